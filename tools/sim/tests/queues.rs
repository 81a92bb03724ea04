//! Declared queues: what the configuration and operators define, and by which definitions tickets
//! are judged, over several shards.

use std::sync::Arc;
use std::time::Duration;

use api::http::Request;
use api::ops::Door;
use base::json::Json;
use base::{Code, ShardId};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use matchmaker::queue::Definition;
use sim::cluster::client::bearer;
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Each scenario in many orders, with the home of the tickets on every shard in turn: that of the
/// operators is one of them.
fn in_any_order(configured: &[Definition], mut scenario: impl FnMut(Cluster)) {
    let queues: Vec<_> = configured.iter().cloned().map(Arc::new).collect();
    for seed in 0..30 {
        let queue = Some([A, B, C][seed as usize % 3]);
        scenario(Cluster::new(Options {
            seed,
            queue,
            queues: queues.clone(),
            ..Options::default()
        }));
    }
}

fn queue(id: &str, mode: &str) -> Definition {
    Definition { mode: mode.into(), ..Definition::new(id, 1) }
}

fn request(
    cluster: &Cluster,
    role: Role,
    method: &str,
    path: &str,
    definition: Option<&Definition>,
) -> Request {
    let expiry = cluster.now.wall.secs() + 60;
    let claims = OperatorClaims { bearer: Bearer::Machine { role }, expiry };
    let token = cluster.config.operator_keys.sign_operator(&claims);
    let body = definition.map(Definition::text).unwrap_or_default();
    let request = bearer(method, &format!("/v2/console/{path}"), &token, &body);
    Request { door: Door::Operators, ..request }
}

fn ask(cluster: &mut Cluster, method: &str, path: &str) -> (u16, String) {
    let request = request(cluster, Role::Operator, method, path, None);
    cluster.call(C, request)
}

fn write(cluster: &mut Cluster, path: &str, definition: &Definition) -> (u16, String) {
    let path = format!("queue/{path}");
    let request = request(cluster, Role::Operator, "PUT", &path, Some(definition));
    cluster.call(B, request)
}

fn check_done((status, body): (u16, String)) -> String {
    assert_eq!(status, 200, "{body}");
    body
}

fn check_refused((status, body): (u16, String), code: Code, part: &str) {
    let number = format!("\"code\":{},", code.number());
    let is_refused = status == code.http_status() && body.contains(&number) && body.contains(part);
    assert!(is_refused, "{status}: {body}");
}

/// Whether the answer shows the queue of this mode, version and source.
fn check_shown(body: &str, shown: &[(&Definition, u64, &str)]) {
    let json = Json::parse(body.as_bytes()).expect("an answer is JSON");
    let member = |json: &Json, name: &str| match json {
        Json::Object(members) => members.iter().find(|(other, _)| other == name).cloned(),
        _ => None,
    };
    let queues = match (member(&json, "queue"), member(&json, "queues")) {
        (Some((_, queue)), None) => vec![queue],
        (None, Some((_, Json::List(queues)))) => queues,
        (None, None) => Vec::new(),
        other => panic!("{other:?}"),
    };
    assert_eq!(queues.len(), shown.len(), "{body}");
    for (queue, (definition, version, source)) in queues.iter().zip(shown) {
        let (_, found) = member(queue, "definition").expect("it is there");
        assert_eq!(Definition::parse(&found).as_ref(), Ok(*definition), "{body}");
        let text = |name| member(queue, name).map(|(_, value)| value);
        assert_eq!(text("version"), Some(Json::Text(version.to_string())), "{body}");
        assert_eq!(text("source"), Some(Json::Text((*source).into())), "{body}");
        assert_eq!(text("update_time").is_some(), *source == "operator", "{body}");
    }
}

/// Ids and modes of the queues that tickets are judged by.
fn modes(cluster: &Cluster) -> Vec<(String, String)> {
    let queues = cluster.queues().into_iter();
    queues.map(|(id, queue)| (id, queue.definition.mode.clone())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, mode)| ((*id).to_owned(), (*mode).to_owned())).collect()
}

#[test]
fn an_operators_definition_overrides_the_configurations_until_it_is_deleted() {
    let (duel, arena) = (queue("duel", "file"), queue("old arena", "file"));
    in_any_order(&[duel.clone(), arena.clone()], |mut cluster| {
        let shown = check_done(ask(&mut cluster, "GET", "queue"));
        check_shown(&shown, &[(&duel, 0, "configuration"), (&arena, 0, "configuration")]);
        assert_eq!(modes(&cluster), pairs(&[("duel", "file"), ("old arena", "file")]));
        let first = cluster.queues()["duel"].version;

        let ours = queue("duel", "ours");
        let shown = check_done(write(&mut cluster, "duel", &ours));
        check_shown(&shown, &[(&ours, 1, "operator")]);
        assert_eq!(modes(&cluster), pairs(&[("duel", "ours"), ("old arena", "file")]));
        let second = cluster.queues()["duel"].version;
        let shown = check_done(ask(&mut cluster, "GET", "queue"));
        check_shown(&shown, &[(&ours, 1, "operator"), (&arena, 0, "configuration")]);
        let shown = check_done(ask(&mut cluster, "GET", "queue/old%20arena"));
        check_shown(&shown, &[(&arena, 0, "configuration")]);

        let only = queue("brawl", "ours");
        check_done(write(&mut cluster, "brawl", &only));
        cluster.crash();
        assert_eq!(modes(&cluster).len(), 3, "they are known before anything else happens");
        let shown = check_done(ask(&mut cluster, "GET", "queue/duel"));
        check_shown(&shown, &[(&ours, 1, "operator")]);

        assert_eq!(check_done(ask(&mut cluster, "DELETE", "queue/duel")), "{}");
        assert_eq!(check_done(ask(&mut cluster, "DELETE", "queue/brawl")), "{}");
        assert_eq!(modes(&cluster), pairs(&[("duel", "file"), ("old arena", "file")]));
        let by_file = ask(&mut cluster, "DELETE", "queue/duel");
        check_refused(by_file, Code::FailedPrecondition, "configuration");
        let nobodys = ask(&mut cluster, "DELETE", "queue/brawl");
        check_refused(nobodys, Code::NotFound, "no queue");
        check_refused(ask(&mut cluster, "GET", "queue/brawl"), Code::NotFound, "no queue");
        let shown = check_done(write(&mut cluster, "duel", &ours));
        check_shown(&shown, &[(&ours, 5, "operator")]);
        assert!(first < second);
        assert!(cluster.is_quiet());
    });
}

#[test]
fn a_change_of_another_version_is_refused() {
    in_any_order(&[queue("duel", "file")], |mut cluster| {
        let ours = queue("duel", "ours");
        check_refused(write(&mut cluster, "duel?version=1", &ours), Code::Aborted, "version 0");
        check_done(write(&mut cluster, "duel?version=0", &ours));
        check_refused(write(&mut cluster, "duel?version=0", &ours), Code::Aborted, "version 1");
        check_done(write(&mut cluster, "duel?version=1", &queue("duel", "more")));
        let old = ask(&mut cluster, "DELETE", "queue/duel?version=1");
        check_refused(old, Code::Aborted, "version 2");
        assert_eq!(modes(&cluster), pairs(&[("duel", "more")]));
        check_done(ask(&mut cluster, "DELETE", "queue/duel?version=2"));
        check_done(write(&mut cluster, "duel", &ours));

        let again = [(); 2].map(|()| {
            let path = "queue/duel?version=4";
            let request = request(&cluster, Role::Operator, "PUT", path, Some(&ours));
            let connection = cluster.connect(A);
            cluster.send(connection, request);
            connection
        });
        cluster.settle();
        let mut statuses = again.map(|connection| cluster.answer(connection).0);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "one of two who saw the same");
    });
}

#[test]
fn changes_are_for_operators_and_stand_in_the_trail() {
    in_any_order(&[], |mut cluster| {
        let duel = queue("duel", "");
        for method in ["PUT", "DELETE"] {
            let request = request(&cluster, Role::Viewer, method, "queue/duel", Some(&duel));
            check_refused(cluster.call(A, request), Code::PermissionDenied, "role");
        }
        let wrong = Definition { party_sizes: [7].into(), lease: Duration::ZERO, ..duel.clone() };
        let refused = write(&mut cluster, "duel", &wrong);
        check_refused(refused.clone(), Code::InvalidArgument, "party_sizes: ");
        check_refused(refused, Code::InvalidArgument, "lease_sec: ");
        check_refused(write(&mut cluster, "other", &duel), Code::InvalidArgument, "another id");
        assert_eq!(modes(&cluster), pairs(&[]));
        assert_eq!(check_done(ask(&mut cluster, "GET", "audit/log")), "{}");

        check_done(write(&mut cluster, "duel", &duel));
        check_done(ask(&mut cluster, "DELETE", "queue/duel"));
        let log = check_done(ask(&mut cluster, "GET", "audit/log"));
        let written = format!(
            "\"operation\":\"console_queue_write\",\"target\":\"duel\",\
             \"metadata\":{{\"definition\":{}}}",
            duel.text()
        );
        assert!(log.contains(&written), "{log}");
        let deleted = "\"operation\":\"console_queue_delete\",\"target\":\"duel\",\"metadata\":{}";
        assert!(log.contains(deleted), "{log}");
    });
}

#[test]
fn another_configuration_is_taken_over_below_what_operators_defined() {
    in_any_order(&[queue("duel", "file"), queue("arena", "file")], |mut cluster| {
        check_done(write(&mut cluster, "duel", &queue("duel", "ours")));
        let before = cluster.queues();
        let more = ["arena", "duel", "brawl"].map(|id| Arc::new(queue(id, "other")));
        cluster.reconfigure(|options| options.queues = more.to_vec());
        let expected = [("arena", "other"), ("brawl", "other"), ("duel", "ours")];
        assert_eq!(modes(&cluster), pairs(&expected));
        let after = cluster.queues();
        assert_eq!(after["duel"].version, before["duel"].version, "it has not changed");
        assert!(after["arena"].version > before["arena"].version);

        check_done(ask(&mut cluster, "DELETE", "queue/duel"));
        assert_eq!(cluster.queues()["duel"].definition.mode, "other");
        assert!(cluster.queues()["duel"].version > after["duel"].version);
        cluster.reconfigure(|options| options.queues.clear());
        assert_eq!(modes(&cluster), pairs(&[]));
    });
}

/// Whenever the process dies: what was answered is there, with its entry of the trail, and tickets
/// are judged by what is on disk and by nothing else.
#[test]
fn a_definition_is_in_force_when_it_is_durable_and_not_before() {
    let mut outcomes = [0, 0];
    for seed in 0..20 {
        for outputs in 0..14 {
            let queue_home = Some([A, B, C][seed as usize % 3]);
            let options = Options { seed, queue: queue_home, ..Options::default() };
            let mut cluster = Cluster::new(options);
            let duel = queue("duel", "");
            let request = request(&cluster, Role::Operator, "PUT", "queue/duel", Some(&duel));
            let connection = cluster.connect(B);
            cluster.send(connection, request);
            cluster.halted.disk = true;
            cluster.settle();
            assert_eq!(modes(&cluster), pairs(&[]), "it is not on disk");
            cluster.halted.disk = false;
            cluster.crash_after(outputs);
            cluster.settle();
            cluster.live_on();
            let is_answered = !cluster.is_gone(connection);
            let is_there = modes(&cluster) == pairs(&[("duel", "")]);
            assert!(is_there || !is_answered, "{seed} {outputs}");
            let log = check_done(ask(&mut cluster, "GET", "audit/log"));
            assert_eq!(log.contains("console_queue_write"), is_there, "{seed} {outputs}");
            let shown = check_done(ask(&mut cluster, "GET", "queue"));
            assert_eq!(shown.contains("duel"), is_there, "{seed} {outputs}");
            outcomes[usize::from(is_answered)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "both happen: {outcomes:?}");
}

/// Many changes at once reach the home of the tickets in any order, and the newest stays.
#[test]
fn the_newest_definition_stays_in_force() {
    in_any_order(&[], |mut cluster| {
        let connections: Vec<_> = (0..12)
            .map(|number| {
                let duel = queue("duel", &format!("m{number}"));
                let request = request(&cluster, Role::Operator, "PUT", "queue/duel", Some(&duel));
                let connection = cluster.connect([A, B, C][number % 3]);
                cluster.send(connection, request);
                (connection, duel)
            })
            .collect();
        cluster.settle();
        for (connection, duel) in &connections {
            let body = check_done(cluster.answer(*connection));
            assert!(body.contains(&format!("\"mode\":\"{}\"", duel.mode)), "its own: {body}");
        }
        let shown = check_done(ask(&mut cluster, "GET", "queue/duel"));
        let (_, mode) = modes(&cluster).remove(0);
        assert!(shown.contains(&format!("\"mode\":\"{mode}\"")), "{mode}: {shown}");
        assert!(shown.contains("\"version\":\"12\""), "{shown}");
        assert!(cluster.is_quiet());
    });
}

/// What the home of the tickets is told late is not taken for new.
#[test]
fn an_older_definition_that_comes_later_is_passed_over() {
    let mut cluster = Cluster::new(Options { queue: Some(C), ..Options::default() });
    assert_eq!(cluster.config.placement.of_operators(), B);
    cluster.halted.bus.insert((A, C));
    let mut send = |core, mode| {
        let duel = queue("duel", mode);
        let request = request(&cluster, Role::Operator, "PUT", "queue/duel", Some(&duel));
        let connection = cluster.connect(core);
        cluster.send(connection, request);
        cluster.settle();
        connection
    };
    let (late, newest) = (send(A, "older"), send(C, "newer"));
    check_done(cluster.answer(newest));
    assert_eq!(modes(&cluster), pairs(&[("duel", "newer")]));
    assert!(cluster.is_waiting(late), "whoever is answered knows that it is in force");
    cluster.halted.bus.clear();
    cluster.settle();
    assert!(check_done(cluster.answer(late)).contains("\"version\":\"1\""));
    assert_eq!(modes(&cluster), pairs(&[("duel", "newer")]));
}

#[test]
fn there_is_a_most_of_queues() {
    let configured: Vec<_> = (0..60).map(|number| queue(&format!("file-{number}"), "")).collect();
    let queues = configured.into_iter().map(Arc::new).collect();
    let mut cluster = Cluster::new(Options { queues, ..Options::default() });
    for number in 0..4 {
        let id = format!("ours-{number}");
        check_done(write(&mut cluster, &id, &queue(&id, "")));
    }
    let more = write(&mut cluster, "more", &queue("more", ""));
    check_refused(more, Code::ResourceExhausted, "too many queues");
    check_done(write(&mut cluster, "file-1", &queue("file-1", "ours")));
    assert_eq!(cluster.queues().len(), 64);
}
