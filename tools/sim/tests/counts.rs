//! What is counted: every request once, under its operation and what came of it.

use std::time::Duration;

use api::http::Request;
use base::{ClientAddress, Code, ShardId};
use shard::{Limit, Limits, Rates};
use sim::cluster::client::{account, device, logout};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

const OK: Result<(), Code> = Ok(());

/// What was counted since the last call.
fn counted(cluster: &mut Cluster) -> Vec<(Option<&'static str>, Result<(), Code>, u64)> {
    let done = std::mem::take(&mut cluster.done).into_iter();
    done.map(|((operation, outcome), count)| (operation, outcome, count)).collect()
}

#[test]
fn a_request_over_http_is_counted_by_its_operation_and_code() {
    let read = Some(Limit { per_sec: 1, burst: 2 });
    let user = Limits { read, ..Limits::default() };
    let rates = Rates { user, ..Rates::default() };
    let mut cluster = Cluster::new(Options { rates, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    assert_eq!(counted(&mut cluster), [(Some("authenticate_device"), OK, 1)]);
    for expected in [200, 200, 429] {
        assert_eq!(cluster.call(B, account(&alice.token)).0, expected);
    }
    assert_eq!(cluster.call(B, account("wrong")).0, 401);
    assert_eq!(cluster.call(B, device("short")).0, 400);
    let nowhere = Request { method: "GET".into(), target: "/v2/no".into(), ..Request::default() };
    assert_eq!(cluster.call(B, nowhere).0, 404);
    assert_eq!(
        counted(&mut cluster),
        [
            (None, Err(Code::NotFound), 1),
            (Some("account_get"), OK, 2),
            (Some("account_get"), Err(Code::ResourceExhausted), 1),
            (Some("account_get"), Err(Code::Unauthenticated), 1),
            (Some("authenticate_device"), Err(Code::InvalidArgument), 1),
        ]
    );
    assert_eq!(
        cluster.call(A, logout(&alice.token, &format!("{{\"token\":\"{}\"}}", alice.token))).0,
        200
    );
    assert_eq!(cluster.call(A, account(&alice.token)).0, 401);
    assert_eq!(
        counted(&mut cluster),
        [(Some("account_get"), Err(Code::Unauthenticated), 1), (Some("session_logout"), OK, 1)]
    );
}

#[test]
fn a_message_of_a_session_is_counted_whether_it_is_answered_or_not() {
    let write = Some(Limit { per_sec: 1, burst: 1 });
    let rates = Rates { user: Limits { write, ..Limits::default() }, ..Rates::default() };
    let mut cluster = Cluster::new(Options { rates, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    counted(&mut cluster);
    let socket = cluster.open(A, B, &alice.token);
    assert_eq!(counted(&mut cluster), [(Some("socket_open"), OK, 1)], "and its session is not");
    cluster.tell(socket, "{\"match_create\":{}}");
    cluster.tell(socket, "{\"match_create\":{}}");
    cluster.tell(socket, "{\"ping\":{}}");
    cluster.tell(socket, "{\"pong\":{}}");
    let data = "\"op_code\":\"1\",\"data\":\"\"";
    let nowhere = "00000000-0000-4000-8000-000000000000.";
    cluster.tell(socket, format!("{{\"match_data_send\":{{\"match_id\":\"{nowhere}\",{data}}}}}"));
    cluster.tell(socket, format!("{{\"match_data_send\":{{\"match_id\":\"none\",{data}}}}}"));
    cluster.tell(socket, "{\"cid\":\"1\",\"stream_data\":{}}");
    assert_eq!(
        counted(&mut cluster),
        [
            (None, Err(Code::Unimplemented), 1),
            (Some("match_create"), OK, 1),
            (Some("match_create"), Err(Code::ResourceExhausted), 1),
            (Some("match_data_send"), OK, 1),
            (Some("match_data_send"), Err(Code::InvalidArgument), 1),
            (Some("ping"), OK, 1),
            (Some("pong"), OK, 1),
        ]
    );
}

#[test]
fn a_request_is_over_when_its_reply_leaves() {
    let mut cluster = Cluster::new(Options::default());
    cluster.halted.disk = true;
    let connection = cluster.connect(A);
    cluster.send(connection, device("device-0001"));
    cluster.settle();
    assert_eq!(counted(&mut cluster), [], "it waits for the disk");
    cluster.pass(Duration::from_millis(3));
    cluster.halted.disk = false;
    cluster.settle();
    assert_eq!(cluster.answer(connection).0, 200);
    assert_eq!(counted(&mut cluster), [(Some("authenticate_device"), OK, 1)]);
}

#[test]
fn figures_say_what_a_shard_holds() {
    let sign = Some(Limit { per_sec: 1, burst: 1 });
    let rates = Rates { address: Limits { sign, ..Limits::default() }, ..Rates::default() };
    let mut cluster = Cluster::new(Options { rates, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    for _ in 0..3 {
        let client = Some(ClientAddress([1; 16]));
        cluster.call(B, Request { client, ..device("device-0001") });
    }
    let refused = cluster.figures(B).rates.address_refusals;
    assert_eq!(refused.iter().sum::<u64>(), 2);
    assert_eq!(cluster.figures(B).rates.addresses, 1);

    let socket = cluster.open(A, B, &alice.token);
    cluster.tell(socket, "{\"match_create\":{\"name\":\"one\"}}");
    let (at_a, at_b) = (cluster.figures(A), cluster.figures(B));
    assert_eq!((at_a.sockets, at_a.sessions), (1, 0));
    assert_eq!((at_b.sockets, at_b.sessions), (0, 1));
    let all: Vec<_> = ShardId::all(3).map(|id| cluster.figures(id)).collect();
    assert_eq!(all.iter().map(|figures| figures.matches).sum::<usize>(), 1);
    assert!(all.iter().map(|figures| figures.view.entries).sum::<usize>() >= 2);
    assert!(all.iter().all(|figures| figures.tasks + figures.held + figures.parked == 0));
}
