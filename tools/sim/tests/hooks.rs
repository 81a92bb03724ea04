//! Hooks: server code looks at a request, changes or refuses it, and sees the reply.

use api::reply::Reply;
use api::request::Request;
use base::limits::TASK_DEADLINE;
use base::{Code, ConnectionId, ShardId};
use shard::{Hooks, Stage, Verdict};
use sim::cluster::client::{Heard, Login, account, device, handshake, logout, text_of, users};
use sim::cluster::{Cluster, Options, USERS};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

fn cluster(seed: u64, before: &[&str], after: &[&str]) -> Cluster {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let hooks = Hooks { before: names(before), after: names(after) };
    Cluster::new(Options { seed, hooks, ..Options::default() })
}

/// The request that waits for a before-hook's verdict.
fn stopped(cluster: &mut Cluster) -> (ShardId, u64, Request) {
    let (shard, call) = cluster.hooks.pop_front().expect("a call waits for its hook");
    match call.stage {
        Stage::Before { request } => (shard, call.call, request),
        Stage::After { reply } => panic!("no verdict is waited for: {reply:?}"),
    }
}

fn begin(cluster: &mut Cluster, request: api::http::Request) -> ConnectionId {
    let connection = cluster.connect(A);
    cluster.send(connection, request);
    cluster.settle();
    connection
}

#[test]
fn a_before_hook_can_change_a_request() {
    for seed in 0..20 {
        let mut cluster = cluster(seed, &["authenticate_device"], &[]);
        let connection = begin(&mut cluster, device("device-0001"));
        assert_eq!(cluster.heard(connection), []);
        let (shard, call, request) = stopped(&mut cluster);
        let Request::Authenticate(mut request) = request else { panic!("{request:?}") };
        request.username = "renamed".into();
        cluster.answer_hook(shard, call, Verdict::Continue(Request::Authenticate(request)));
        assert_eq!(Login::read(&cluster.answer(connection).1).username, "renamed");
        assert!(cluster.is_quiet());
    }
}

#[test]
fn a_before_hook_can_refuse_with_any_code() {
    let codes = [
        (Code::Canceled, 499),
        (Code::Unknown, 500),
        (Code::InvalidArgument, 400),
        (Code::DeadlineExceeded, 504),
        (Code::NotFound, 404),
        (Code::AlreadyExists, 409),
        (Code::PermissionDenied, 403),
        (Code::ResourceExhausted, 429),
        (Code::FailedPrecondition, 400),
        (Code::Aborted, 409),
        (Code::OutOfRange, 400),
        (Code::Unimplemented, 501),
        (Code::Internal, 500),
        (Code::Unavailable, 503),
        (Code::DataLoss, 500),
        (Code::Unauthenticated, 401),
    ];
    let mut cluster = cluster(1, &["authenticate_device"], &[]);
    for (code, status) in codes {
        let connection = begin(&mut cluster, device("device-0001"));
        let (shard, call, _) = stopped(&mut cluster);
        let verdict = Verdict::Refuse(api::Error::new(code, "no"));
        cluster.answer_hook(shard, call, verdict);
        let body = format!("{{\"code\":{},\"message\":\"no\"}}", code.number());
        assert_eq!(cluster.answer(connection), (status, body));
    }
    assert_eq!(cluster.store.rows(USERS).count(), 0);
}

#[test]
fn a_before_hook_can_switch_an_operation_off() {
    let mut cluster = cluster(1, &["authenticate_device"], &[]);
    let connection = begin(&mut cluster, device("device-0001"));
    let (shard, call, _) = stopped(&mut cluster);
    cluster.answer_hook(shard, call, Verdict::Disable);
    assert_eq!(cluster.answer(connection), (404, "{\"code\":5,\"message\":\"Not Found\"}".into()));
}

#[test]
fn a_hook_is_not_run_for_a_token_that_was_logged_out() {
    for seed in 0..20 {
        let mut cluster = cluster(seed, &["account_get"], &[]);
        let login = cluster.sign_in(A, "device-0001");
        let connection = begin(&mut cluster, account(&login.token));
        let (shard, call, request) = stopped(&mut cluster);
        cluster.answer_hook(shard, call, Verdict::Continue(request));
        assert_eq!(cluster.answer(connection).0, 200);
        let body = format!("{{\"token\":\"{}\"}}", login.token);
        assert_eq!(cluster.call(B, logout(&login.token, &body)).0, 200);
        let connection = begin(&mut cluster, account(&login.token));
        assert!(cluster.hooks.is_empty());
        assert_eq!(cluster.answer(connection).0, 401);
    }
}

#[test]
fn a_hook_that_does_not_answer_is_given_up_at_the_deadline() {
    let mut cluster = cluster(1, &["authenticate_device"], &[]);
    let connection = begin(&mut cluster, device("device-0001"));
    cluster.advance(TASK_DEADLINE);
    assert_eq!(cluster.answer(connection).0, 504);
    let (shard, call, request) = stopped(&mut cluster);
    cluster.answer_hook(shard, call, Verdict::Continue(request));
    assert_eq!(cluster.heard(connection), [], "the verdict comes too late");
    assert_eq!(cluster.store.rows(USERS).count(), 0);
    assert!(cluster.is_quiet());
}

#[test]
fn an_after_hook_sees_the_reply_once_it_is_durable() {
    for seed in 0..20 {
        let mut cluster = cluster(seed, &[], &["authenticate_device"]);
        cluster.halted.disk = true;
        let connection = begin(&mut cluster, device("device-0001"));
        assert!(cluster.hooks.is_empty() && cluster.heard(connection).is_empty());
        cluster.halted.disk = false;
        cluster.settle();
        let login = Login::read(&cluster.answer(connection).1);
        let (_, call) = cluster.hooks.pop_front().expect("the hook is told");
        assert_eq!(call.operation, "authenticate_device");
        let Stage::After { reply: Reply::Session { created: true, token, .. } } = call.stage else {
            panic!("{call:?}");
        };
        assert_eq!(token.0, login.token);
    }
}

#[test]
fn an_after_hook_does_not_see_a_refusal() {
    let mut cluster = cluster(1, &[], &["authenticate_device"]);
    assert_eq!(cluster.call(A, device("short")).0, 400);
    assert!(cluster.hooks.is_empty());
}

#[test]
fn envelopes_stop_at_their_hooks_and_keep_their_order() {
    for seed in 0..20 {
        let mut cluster = cluster(seed, &["status_update", "ping"], &["status_update"]);
        let login = cluster.sign_in(A, "device-0001");
        let socket = cluster.open(A, B, &login.token);
        cluster.say(socket, "{\"cid\":\"1\",\"status_update\":{\"status\":\"x\"}}");
        cluster.say(socket, "{\"cid\":\"2\",\"ping\":{}}");
        cluster.settle();
        assert_eq!(cluster.heard(socket), []);
        let (shard, call, request) = stopped(&mut cluster);
        assert_eq!(request, Request::StatusUpdate { status: Some("x".into()) });
        let changed = Request::StatusUpdate { status: Some("y".into()) };
        cluster.answer_hook(shard, call, Verdict::Continue(changed));
        let texts = cluster.texts(socket);
        assert!(texts.contains(&"{\"cid\":\"1\"}".to_owned()), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("\"status\":\"y\"")), "{texts:?}");
        let after = cluster.hooks.iter().position(|(_, call)| call.operation == "status_update");
        let (_, call) = cluster.hooks.remove(after.expect("an after-hook")).expect("is there");
        assert!(matches!(call.stage, Stage::After { reply: Reply::Empty }));
        let (shard, call, request) = stopped(&mut cluster);
        cluster.answer_hook(shard, call, Verdict::Continue(request));
        assert_eq!(text_of(&cluster.texts(socket)[0], "cid").as_deref(), Some("2"));
    }
}

#[test]
fn a_before_hook_of_a_scattered_request_ends() {
    let mut cluster = cluster(1, &["users_get"], &[]);
    let login = cluster.sign_in(A, "device-0001");
    let query = format!("ids={}", login.user_id);
    let connection = begin(&mut cluster, users(&login.token, &query));
    let (shard, call, request) = stopped(&mut cluster);
    cluster.answer_hook(shard, call, Verdict::Continue(request));
    assert_eq!(cluster.answer(connection).0, 200);
}

/// What a socket hears when a before-hook says this of its envelope.
fn hooked(verdict: Verdict) -> Vec<Heard> {
    let mut cluster = cluster(1, &["status_update"], &[]);
    let login = cluster.sign_in(A, "device-0001");
    let socket = cluster.open(A, B, &login.token);
    cluster.say(socket, "{\"cid\":\"1\",\"status_update\":{}}");
    cluster.say(socket, "{\"cid\":\"2\",\"ping\":{}}");
    cluster.settle();
    let (shard, call, _) = stopped(&mut cluster);
    cluster.answer_hook(shard, call, verdict);
    cluster.heard(socket)
}

#[test]
fn an_envelope_that_a_before_hook_refuses_gets_error_7_and_the_socket_stays() {
    let refused = hooked(Verdict::Refuse(api::Error::new(Code::NotFound, "no")));
    let [Heard::Text(error), Heard::Text(pong)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(error, "{\"cid\":\"1\",\"error\":{\"code\":7,\"message\":\"no\"}}");
    assert_eq!(pong, "{\"cid\":\"2\",\"pong\":{}}");
}

#[test]
fn an_envelope_that_a_before_hook_switches_off_gets_error_1_and_a_close() {
    let disabled = hooked(Verdict::Disable);
    let [Heard::Text(error), Heard::Closed { code: 1000, .. }] = &disabled[..] else {
        panic!("{disabled:?}");
    };
    assert!(error.contains("\"code\":1,"), "{error}");
}

/// A peer who leaves while the hook looks is known to be gone, not online till the pong deadline.
#[test]
fn a_client_that_leaves_during_the_hook_of_its_handshake_leaves_no_session() {
    let hooks = Hooks { before: ["socket_open".to_owned()].into(), ..Hooks::default() };
    let mut cluster = Cluster::new(Options { hooks, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    let socket = cluster.connect(A);
    cluster.send(socket, handshake(&format!("token={}&status=true", alice.token)));
    cluster.settle();
    cluster.disconnect(socket);
    cluster.settle();
    let (shard, call) = cluster.hooks.pop_front().expect("a hook");
    let Stage::Before { request } = call.stage else { panic!("{call:?}") };
    cluster.answer_hook(shard, call.call, Verdict::Continue(request));
    let (_, body) = cluster.call(A, account(&alice.token));
    assert!(!body.contains("online"), "{body}");
    assert!(cluster.is_quiet());
}
