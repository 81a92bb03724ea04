//! Accounts: a device signs in, an account comes to be, once.

use std::time::Duration;

use base::ShardId;
use base::limits::TASK_DEADLINE;
use domain::identity::alias::Kind;
use sim::cluster::client::{Login, device, device_named, device_with, users};
use sim::cluster::{ALIASES, Cluster, Options, USERS};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Runs a scenario under many orders of events.
fn in_any_order(scenario: impl Fn(Cluster)) {
    for seed in 0..40 {
        scenario(Cluster::new(Options { seed, ..Options::default() }));
    }
}

/// Rows 51, 52 and 53.
#[test]
fn a_device_signs_in_to_the_account_that_it_created() {
    in_any_order(|mut cluster| {
        let first = cluster.sign_in(A, "device-0001");
        let again = cluster.sign_in(B, "device-0001");
        assert!(first.created && !again.created);
        assert_eq!(first.user_id, again.user_id);
        assert_eq!(first.username, again.username);
        let other = cluster.sign_in(C, "device-0002");
        assert!(other.created && other.user_id != first.user_id);
        assert!(cluster.is_quiet());
    });
}

/// Row 54.
#[test]
fn an_unknown_device_is_not_found_when_nothing_may_be_created() {
    let mut cluster = Cluster::new(Options::default());
    let (status, body) = cluster.call(A, device_with("?create=false", "device-0001"));
    assert_eq!(status, 404);
    assert!(body.contains("\"code\":5"), "{body}");
    assert_eq!(cluster.store.rows(USERS).count(), 0);
}

/// Row 56.
#[test]
fn a_generated_name_has_ten_letters() {
    let mut cluster = Cluster::new(Options::default());
    let login = cluster.sign_in(A, "device-0001");
    assert_eq!(login.username.len(), 10);
    assert!(login.username.chars().all(|c| c.is_ascii_alphabetic()), "{}", login.username);
}

/// Rows 55 and 56.
#[test]
fn a_username_counts_at_creation_only() {
    in_any_order(|mut cluster| {
        let (_, body) = cluster.call(A, device_named("device-0001", "alice"));
        assert_eq!(Login::read(&body).username, "alice");
        let (_, body) = cluster.call(B, device_named("device-0001", "bob"));
        assert_eq!(Login::read(&body).username, "alice");
        assert_eq!(cluster.store.aliases(Kind::Username), 1);
    });
}

#[test]
fn a_creation_is_answered_when_its_batch_is_durable_and_not_before() {
    in_any_order(|mut cluster| {
        cluster.halted.disk = true;
        let connection = cluster.connect(A);
        cluster.send(connection, device("device-0001"));
        cluster.settle();
        assert_eq!(cluster.store.undurable(USERS).count(), 1, "the batch is on its way");
        assert_eq!(cluster.heard(connection), []);

        // On disk, but the coordinator has not heard of it.
        cluster.halted.disk = false;
        cluster.halted.announcements.extend([A, B, C]);
        cluster.settle();
        assert_eq!(cluster.heard(connection), []);
        assert!(!cluster.is_quiet());

        cluster.halted.announcements.clear();
        cluster.settle();
        assert_eq!(cluster.answer(connection).0, 200);
        assert!(cluster.is_quiet());
    });
}

#[test]
fn a_sign_in_to_an_account_that_is_not_durable_waits_for_its_batch() {
    in_any_order(|mut cluster| {
        cluster.halted.disk = true;
        let creator = cluster.connect(A);
        cluster.send(creator, device("device-0001"));
        cluster.settle();
        let other = cluster.connect(B);
        cluster.send(other, device("device-0001"));
        cluster.settle();
        assert_eq!(cluster.heard(other), []);
        cluster.halted.disk = false;
        cluster.settle();
        let created = Login::read(&cluster.answer(creator).1);
        let signed_in = Login::read(&cluster.answer(other).1);
        assert!(created.created && !signed_in.created);
        assert_eq!(created.user_id, signed_in.user_id);
    });
}

#[test]
fn what_was_evicted_is_loaded_again_and_what_is_not_applied_stays() {
    in_any_order(|mut cluster| {
        let logins: Vec<_> = (0..6)
            .map(|n| {
                cluster.crowd();
                cluster.sign_in(ShardId(n % 3), &format!("device-000{n}"))
            })
            .collect();
        for (n, login) in (0..).zip(logins) {
            cluster.crowd();
            let again = cluster.sign_in(ShardId((n + 1) % 3), &format!("device-000{n}"));
            assert_eq!(again.user_id, login.user_id);
        }
    });
}

#[test]
fn an_account_that_was_not_durable_is_gone_after_a_crash_and_a_durable_one_is_not() {
    in_any_order(|mut cluster| {
        let kept = cluster.sign_in(A, "device-0001");
        cluster.halted.disk = true;
        let connection = cluster.connect(B);
        cluster.send(connection, device_named("device-0002", "bob"));
        cluster.settle();
        cluster.crash();
        cluster.halted.disk = false;
        assert_eq!(cluster.sign_in(C, "device-0001").user_id, kept.user_id);
        let (status, body) = cluster.call(A, device_named("device-0003", "bob"));
        assert_eq!(status, 200, "the name is free: {body}");
        assert!(cluster.sign_in(A, "device-0002").created);
    });
}

#[test]
fn creations_with_one_device_at_once_end_as_one_account() {
    in_any_order(|mut cluster| {
        let connections = [A, B, C, A, A].map(|core| cluster.connect(core));
        for connection in connections {
            cluster.send(connection, device("device-0001"));
        }
        cluster.settle();
        let logins = connections.map(|connection| {
            let (status, body) = cluster.answer(connection);
            assert_eq!(status, 200, "{body}");
            Login::read(&body)
        });
        assert_eq!(logins.iter().filter(|login| login.created).count(), 1);
        assert!(logins.iter().all(|login| login.user_id == logins[0].user_id));
        assert_eq!(cluster.store.rows(USERS).count(), 1);
        assert_eq!(cluster.store.aliases(Kind::Username), 1, "no name is left behind");
        assert!(cluster.is_quiet());
    });
}

/// Row 57.
#[test]
fn of_two_devices_with_one_name_one_is_refused() {
    in_any_order(|mut cluster| {
        let connections = [cluster.connect(A), cluster.connect(B)];
        cluster.send(connections[0], device_named("device-0001", "alice"));
        cluster.send(connections[1], device_named("device-0002", "alice"));
        cluster.settle();
        let mut answers = connections.map(|connection| cluster.answer(connection));
        answers.sort();
        assert_eq!(answers[0].0, 200);
        assert_eq!(answers[1].0, 409);
        assert!(answers[1].1.contains("\"code\":6"), "{answers:?}");
        assert_eq!(cluster.store.aliases(Kind::Device), 1, "the loser's device is free");
        // The one that was refused has left no hold.
        for device_id in ["device-0001", "device-0002"] {
            cluster.sign_in(C, device_id);
        }
    });
}

#[test]
fn crossed_creations_never_wait_for_each_other() {
    for seed in 0..200 {
        let options = Options { seed, shards: 2 + (seed as usize % 3), ..Options::default() };
        let mut cluster = Cluster::new(options);
        let mut connections = Vec::new();
        for (device_id, name) in [
            ("device-0001", "alice"),
            ("device-0001", "alice"),
            ("device-0001", "alice"),
            ("device-0002", "bob"),
            ("device-0001", "bob"),
            ("device-0002", "alice"),
            ("device-0003", "alice"),
            ("device-0003", "bob"),
        ] {
            let connection = cluster.connect(if seed % 2 == 0 { A } else { B });
            cluster.send(connection, device_named(device_id, name));
            connections.push(connection);
        }
        cluster.settle(); // without a deadline's help
        for connection in connections {
            let (status, body) = cluster.answer(connection);
            assert!(status == 200 || status == 409, "{body}");
        }
        assert_eq!(cluster.store.rows(USERS).count(), cluster.store.aliases(Kind::Username));
        assert_eq!(cluster.store.rows(USERS).count(), cluster.store.aliases(Kind::Device));
    }
}

#[test]
fn an_abandoned_creation_leaves_no_hold() {
    in_any_order(|mut cluster| {
        cluster.halted.aliases.insert(Kind::Username);
        let late = cluster.connect(A);
        cluster.send(late, device_named("device-0001", "alice"));
        cluster.advance(TASK_DEADLINE);
        let (status, body) = cluster.answer(late);
        assert_eq!(status, 504, "{body}");
        assert!(body.contains("\"code\":4"), "{body}");

        cluster.halted.aliases.clear();
        cluster.settle();
        assert!(cluster.is_quiet());
        let (status, body) = cluster.call(B, device_named("device-0001", "bob"));
        assert_eq!(status, 200, "the device is not held: {body}");
        let (status, body) = cluster.call(C, device_named("device-0002", "alice"));
        assert_eq!(status, 200, "the name is not held: {body}");
    });
}

/// A preparation that waits for another's hold is abandoned in the handle that ends the hold.
#[test]
fn two_creations_that_expire_together_leave_no_hold() {
    for (seed, name) in (0..20).map(|n| (n, format!("name-{n}"))) {
        let mut cluster = Cluster::new(Options { seed, shards: 1, ..Options::default() });
        cluster.halted.loads = true;
        let connections = [cluster.connect(A), cluster.connect(A)];
        for connection in connections {
            cluster.send(connection, device_named("device-0001", &name));
        }
        cluster.settle();
        // Both are told that the device is unknown; then one holds it, and waits for the name.
        cluster.halted.loads = false;
        cluster.halted.aliases.insert(Kind::Username);
        cluster.settle();
        cluster.pass(TASK_DEADLINE); // one tick finds both of them expired
        cluster.settle();
        cluster.halted.aliases.clear();
        cluster.settle();
        for connection in connections {
            assert_eq!(cluster.answer(connection).0, 504);
        }
        let later = cluster.connect(A);
        cluster.send(later, device("device-0001"));
        cluster.advance(TASK_DEADLINE);
        assert_eq!(cluster.answer(later).0, 200, "seed {seed}: the device is held by nobody");
    }
}

#[test]
fn a_creation_whose_abandonment_is_late_holds_its_keys_until_it_comes() {
    in_any_order(|mut cluster| {
        cluster.halted.aliases.insert(Kind::Username);
        let late = cluster.connect(A);
        cluster.send(late, device_named("device-0001", "alice"));
        cluster.settle();
        cluster.halted.bus.extend([(A, B), (A, C)]);
        cluster.advance(TASK_DEADLINE);
        assert_eq!(cluster.answer(late).0, 504);
        cluster.halted.aliases.clear();
        cluster.halted.bus.clear();
        cluster.settle();
        assert_eq!(cluster.call(B, device_named("device-0001", "alice")).0, 200);
    });
}

#[test]
fn an_answer_after_the_deadline_is_no_second_answer() {
    in_any_order(|mut cluster| {
        cluster.halted.loads = true;
        let connection = cluster.connect(A);
        cluster.send(connection, device("device-0001"));
        cluster.advance(TASK_DEADLINE + Duration::from_secs(1));
        assert_eq!(cluster.answer(connection).0, 504);
        cluster.halted.loads = false;
        cluster.settle();
        assert_eq!(cluster.heard(connection), []);
        assert_eq!(cluster.store.rows(USERS).count(), 0, "nobody was told of an account");
        cluster.send(connection, device("device-0001"));
        cluster.settle();
        assert_eq!(cluster.answer(connection).0, 200);
    });
}

#[test]
fn a_client_that_leaves_during_its_creation_leaves_no_hold() {
    in_any_order(|mut cluster| {
        let connection = cluster.connect(A);
        cluster.send(connection, device_named("device-0001", "alice"));
        cluster.steps(6);
        cluster.disconnect(connection);
        cluster.settle();
        assert!(cluster.is_quiet());
        cluster.sign_in(B, "device-0001");
    });
}

/// Rows 109, 110, 111 and 115.
#[test]
fn users_are_found_on_every_shard_by_id_and_by_name() {
    in_any_order(|mut cluster| {
        let logins: Vec<_> = (0..8)
            .map(|n| {
                let request = device_named(&format!("device-000{n}"), &format!("player{n}"));
                Login::read(&cluster.call(ShardId(n % 3), request).1)
            })
            .collect();
        let by_id = logins[..5].iter().map(|login| format!("ids={}", login.user_id));
        let by_name = (3..8).map(|n| format!("usernames=player{n}"));
        let unknown = ["ids=11111111-1111-4111-8111-111111111111", "usernames=PLAYER1"];
        let query: Vec<_> = by_id.chain(by_name).chain(unknown.map(str::to_owned)).collect();
        let (status, body) = cluster.call(B, users(&logins[0].token, &query.join("&")));
        assert_eq!(status, 200);
        for login in &logins {
            let id = format!("\"id\":\"{}\"", login.user_id);
            assert_eq!(body.matches(&id).count(), 1, "{body}");
        }
        assert_eq!(body.matches("\"id\":").count(), 8);
        assert!(!body.contains("devices") && !body.contains("wallet"), "{body}");
    });
}

#[test]
fn the_keys_of_one_question_are_loaded_together() {
    let mut cluster = Cluster::new(Options { shards: 1, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    cluster.halted.tables.insert(USERS);
    let ids: Vec<_> =
        (0..10).map(|n| format!("ids=11111111-1111-4111-8111-11111111111{n}")).collect();
    let connection = cluster.connect(A);
    cluster.send(connection, users(&alice.token, &ids.join("&")));
    cluster.settle();
    assert_eq!(cluster.store.loads.len(), 10);
}

/// Rows 112 and 113.
#[test]
fn nobody_is_asked_for_and_a_bad_id_is_refused() {
    let mut cluster = Cluster::new(Options::default());
    let login = cluster.sign_in(A, "device-0001");
    assert_eq!(cluster.call(B, users(&login.token, "")), (200, "{}".into()));
    let (status, body) = cluster.call(B, users(&login.token, "ids=abc"));
    assert_eq!(status, 400);
    assert!(body.contains("\"code\":3"), "{body}");
}

/// A generated name that is taken: another one is drawn.
#[test]
fn a_generated_name_that_is_taken_is_drawn_again() {
    // The same seeds draw the same names; the first run shows which.
    let first = Cluster::new(Options::default()).sign_in(A, "device-0001").username;
    let mut cluster = Cluster::new(Options::default());
    let request = device_named("device-0002", &first);
    let (status, _) = cluster.call(B, request);
    assert_eq!(status, 200);
    let second = cluster.sign_in(A, "device-0001");
    assert!(second.created);
    assert_ne!(second.username, first);
    assert_eq!(cluster.store.aliases(Kind::Username), 2);
    assert!(cluster.is_quiet());
}

#[test]
fn a_record_that_does_not_decode_is_an_internal_error_and_is_reported() {
    let mut cluster = Cluster::new(Options::default());
    cluster.store.damage(ALIASES, b"\x02device-0001", b"torn");
    let (status, body) = cluster.call(A, device("device-0001"));
    assert_eq!(status, 500);
    assert!(body.contains("\"code\":13"), "{body}");
    assert_eq!(cluster.damaged, [ALIASES]);
    assert!(cluster.is_quiet());
}

#[test]
fn one_seed_gives_one_trace() {
    let run = |seed| {
        let mut cluster = Cluster::new(Options { seed, ..Options::default() });
        let connections = [A, B, C].map(|core| cluster.connect(core));
        for connection in connections {
            cluster.send(connection, device("device-0001"));
        }
        cluster.advance(TASK_DEADLINE);
        cluster.digest()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
