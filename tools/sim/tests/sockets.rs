//! Sockets: the handshake, envelopes in their order, pings, statuses, the end.

use std::time::Duration;

use base::limits::SESSION_QUEUE_MAX;
use base::{ConnectionId, ShardId, UserId};
use domain::identity::alias::Kind;
use sim::cluster::client::{
    Heard, Login, account, bearer, device, device_named, handshake, logout, users,
};
use sim::cluster::{Cluster, Options, PONG_WAIT, REVOCATIONS};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Runs a scenario under many orders of events.
fn in_any_order(scenario: impl Fn(Cluster)) {
    for seed in 0..40 {
        scenario(Cluster::new(Options { seed, ..Options::default() }));
    }
}

/// An account with this name.
fn player(cluster: &mut Cluster, name: &str) -> Login {
    let request = device_named(&format!("device-{name}"), name);
    let (status, body) = cluster.call(A, request);
    assert_eq!(status, 200, "{body}");
    Login::read(&body)
}

fn home_of(cluster: &Cluster, login: &Login) -> ShardId {
    let user = UserId::parse(&login.user_id).expect("a token has a user id");
    cluster.config.placement.of_user(user)
}

fn another_than(shard: ShardId) -> ShardId {
    [A, B, C].into_iter().find(|other| *other != shard).expect("there are three")
}

fn socket(cluster: &mut Cluster, name: &str) -> ConnectionId {
    let login = player(cluster, name);
    cluster.open(B, C, &login.token)
}

fn check_closed(heard: &[Heard], code: u16, reason: &str) {
    let last = heard.last();
    let is_closed = matches!(last, Some(Heard::Closed { code: c, reason: r })
        if *c == code && *r == reason);
    assert!(is_closed, "{heard:?}");
}

/// Rows 302, 303, 304 and 305.
#[test]
fn a_handshake_is_refused_in_plain_text() {
    let mut cluster = Cluster::new(Options::default());
    let login = player(&mut cluster, "alice");
    let good = format!("token={}", login.token);
    for (query, is_handshake, expected) in [
        ("format=xml".to_owned(), true, 400), // looked at before the token
        (format!("format=xml&{good}"), true, 400),
        (String::new(), true, 401),
        ("token=x".to_owned(), true, 401),
        (format!("token={}", login.refresh_token), true, 401),
        ("token=x".to_owned(), false, 401), // looked at before the upgrade
        (good.clone(), false, 400),
    ] {
        let mut request = handshake(&query);
        request.websocket = is_handshake;
        let (status, body) = cluster.call(B, request);
        assert_eq!(status, expected, "{query}");
        assert!(!body.contains("code"), "{body}");
    }
    let mut request = handshake("token=x&format=json&lang=en");
    request.authorization = vec![format!("Bearer {}", login.token)];
    let connection = cluster.connect(A);
    cluster.send(connection, request.clone());
    cluster.settle();
    assert_eq!(cluster.heard(connection), [Heard::Upgraded], "the header wins");
    request.target = format!("/ws?{good}");
    request.authorization = vec!["Basic x".into()];
    assert_eq!(cluster.call(A, request).0, 401);
    assert_eq!(cluster.call(A, bearer("POST", "/ws", &login.token, "")).0, 404);
}

/// Rows 314, 315, 320 and 326.
#[test]
fn envelopes_are_answered_in_order_with_their_cid() {
    in_any_order(|mut cluster| {
        let socket = socket(&mut cluster, "alice");
        let follow = "\"status_follow\":{\"usernames\":[\"nobody\"]}";
        cluster.say(socket, "{\"cid\":\"1\",\"ping\":{}}");
        cluster.say(socket, format!("{{\"cid\":\"2\",{follow}}}"));
        cluster.say(socket, "{\"cid\":\"3\",\"ping\":{}}");
        cluster.say(socket, "{\"pong\":{}}");
        cluster.say(socket, "{\"cid\":\"4\",\"statusFollow\":{\"userIds\":[\"x\"]}}");
        cluster.say(socket, "{\"ping\":{}}");
        cluster.settle();
        let texts = cluster.texts(socket);
        let begins = |text: &String| text.chars().take(20).collect::<String>();
        assert_eq!(
            texts.iter().map(begins).collect::<Vec<_>>(),
            [
                "{\"cid\":\"1\",\"pong\":{}",
                "{\"cid\":\"2\",\"status\":",
                "{\"cid\":\"3\",\"pong\":{}",
                "{\"cid\":\"4\",\"error\":{",
                "{\"pong\":{}}",
            ]
        );
        assert!(texts[3].contains("\"code\":3"));
    });
}

/// Rows 308, 317, 318 and 319.
#[test]
fn what_is_no_envelope_closes_the_socket() {
    in_any_order(|mut cluster| {
        let alice = player(&mut cluster, "alice");
        let malformed = "malformed payload";
        for (text, reason, error) in [
            ("{", malformed, None),
            ("{\"ping\":{\"x\":1}}", malformed, None),
            ("{\"ping\":{},\"pong\":{}}", malformed, None),
            ("{\"ping\":null}", malformed, None),
            ("{\"cid\":1,\"ping\":{}}", malformed, None),
            ("{}", "error processing message", Some("\"code\":2")),
            ("{\"cid\":\"1\",\"channel\":{}}", "error processing message", Some("\"code\":1")),
        ] {
            let socket = cluster.open(B, C, &alice.token);
            cluster.say(socket, text);
            cluster.say(socket, "{\"ping\":{}}");
            cluster.settle();
            let heard = cluster.heard(socket);
            check_closed(&heard, 1000, reason);
            assert_eq!(heard.len(), 1 + usize::from(error.is_some()), "{heard:?}");
            if let (Some(error), Heard::Text(text)) = (error, &heard[0]) {
                assert!(text.contains(error), "{text}");
            }
        }
        let socket = cluster.open(B, C, &alice.token);
        cluster.say_bytes(socket);
        cluster.settle();
        check_closed(&cluster.heard(socket), 1000, "received unexpected message type");
        assert!(cluster.is_quiet());
    });
}

/// A socket whose session waits: its envelope asks for a name that is not loaded.
fn stuck_socket(cluster: &mut Cluster) -> ConnectionId {
    let login = player(cluster, "alice");
    let socket = cluster.open(B, B, &login.token);
    cluster.halted.aliases.insert(Kind::Username);
    cluster.say(socket, "{\"cid\":\"0\",\"status_follow\":{\"usernames\":[\"nobody\"]}}");
    cluster.settle();
    socket
}

#[test]
fn a_flood_behind_an_envelope_that_waits_is_read_no_further_until_it_goes_on() {
    in_any_order(|mut cluster| {
        let socket = stuck_socket(&mut cluster);
        let count = 3 * SESSION_QUEUE_MAX;
        for n in 1..=count {
            cluster.say(socket, format!("{{\"cid\":\"{n}\",\"ping\":{{}}}}"));
        }
        cluster.settle();
        assert!(cluster.is_paused(socket));
        assert_eq!(cluster.heard(socket), []);
        cluster.halted.aliases.clear();
        cluster.settle();
        assert!(!cluster.is_paused(socket));
        let texts = cluster.texts(socket);
        assert_eq!(texts.len(), count + 1);
        for (n, text) in texts.iter().enumerate() {
            assert!(text.starts_with(&format!("{{\"cid\":\"{n}\"")), "{n}: {text}");
        }
    });
}

#[test]
fn too_many_messages_in_spite_of_the_pause_close_the_socket() {
    in_any_order(|mut cluster| {
        let login = player(&mut cluster, "alice");
        let socket = cluster.open(B, C, &login.token);
        cluster.halted.aliases.insert(Kind::Username);
        cluster.say(socket, "{\"status_follow\":{\"usernames\":[\"nobody\"]}}");
        cluster.settle();
        // The pause does not reach the connection in time.
        cluster.halted.bus.insert((C, B));
        let large = format!("{{\"cid\":\"{}\",\"ping\":{{}}}}", "x".repeat(4000));
        (0..3 * SESSION_QUEUE_MAX).for_each(|_| cluster.say(socket, &*large));
        cluster.settle();
        cluster.halted.bus.clear();
        cluster.settle();
        check_closed(&cluster.heard(socket), 1000, "too many messages at once");
        cluster.halted.aliases.clear();
        cluster.settle();
        assert!(cluster.is_quiet());
    });
}

/// Rows 324 and 325.
#[test]
fn a_silent_peer_is_pinged_and_given_up() {
    in_any_order(|mut cluster| {
        let login = player(&mut cluster, "alice");
        let silent = cluster.open(B, C, &login.token);
        let lively = cluster.open(A, C, &login.token);
        cluster.mute(silent);
        cluster.advance(PONG_WAIT - Duration::from_secs(1));
        assert_eq!(cluster.heard(silent), [Heard::Ping]);
        cluster.advance(Duration::from_secs(2));
        check_closed(&cluster.heard(silent), 1000, "no pong in time");
        cluster.advance(10 * PONG_WAIT);
        let heard = cluster.heard(lively);
        assert_eq!(heard.len(), 18, "a ping each 15 seconds");
        assert!(heard.iter().all(|heard| *heard == Heard::Ping));
    });
}

#[test]
fn twenty_messages_count_as_a_pong() {
    let mut cluster = Cluster::new(Options::default());
    let socket = socket(&mut cluster, "alice");
    cluster.mute(socket);
    for _ in 0..4 {
        cluster.advance(PONG_WAIT - Duration::from_secs(1));
        (0..20).for_each(|_| cluster.say(socket, "{\"ping\":{}}"));
        cluster.settle();
    }
    assert!(!cluster.is_gone(socket));
    cluster.advance(PONG_WAIT - Duration::from_secs(1));
    (0..19).for_each(|_| cluster.say(socket, "{\"ping\":{}}"));
    cluster.advance(Duration::from_secs(2));
    assert!(cluster.is_gone(socket));
}

// Statuses.

/// Rows 311, 312, 329, 331 and 333.
#[test]
fn a_follower_hears_of_a_user_who_comes_changes_and_goes() {
    in_any_order(|mut cluster| {
        let (alice, bob) = (player(&mut cluster, "alice"), player(&mut cluster, "bob"));
        let watcher = cluster.open(A, B, &alice.token);
        let by_id = format!("{{\"status_follow\":{{\"user_ids\":[\"{}\"]}}}}", bob.user_id);
        assert_eq!(cluster.ask(watcher, by_id), "{\"status\":{}}");

        let watched = cluster.open_online(C, &bob.token);
        let heard = cluster.texts(watcher);
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with("{\"status_presence_event\":{\"joins\":[{"), "{heard:?}");
        assert!(heard[0].contains("\"username\":\"bob\",\"status\":\"\""), "{heard:?}");

        let texts = cluster.tell(watched, "{\"cid\":\"1\",\"status_update\":{\"status\":\"hi\"}}");
        assert_eq!(texts.len(), 2, "the reply, and its own event");
        let heard = cluster.texts(watcher);
        assert_eq!(heard.len(), 1, "one event holds both");
        assert!(heard[0].contains("\"joins\":") && heard[0].contains("\"leaves\":"), "{heard:?}");

        let late = cluster.open(C, A, &alice.token);
        let by_name = "{\"status_follow\":{\"usernames\":[\"bob\",\"nobody\"]}}";
        let reply = cluster.ask(late, by_name);
        assert!(reply.contains("\"status\":\"hi\""), "{reply}");
        cluster.disconnect(late);

        cluster.tell(watched, "{\"status_update\":{}}");
        let heard = cluster.texts(watcher);
        assert!(heard.len() == 1 && heard[0].contains("{\"leaves\":["), "{heard:?}");
    });
}

/// Rows 114 and 338.
#[test]
fn a_lost_socket_takes_its_user_offline() {
    in_any_order(|mut cluster| {
        let (alice, bob) = (player(&mut cluster, "alice"), player(&mut cluster, "bob"));
        let watcher = cluster.open(A, A, &alice.token);
        cluster.tell(watcher, "{\"status_follow\":{\"usernames\":[\"bob\"]}}");
        let first = cluster.open_online(B, &bob.token);
        let second = cluster.open_online(C, &bob.token);
        let query = format!("ids={}", bob.user_id);
        assert!(cluster.call(A, users(&alice.token, &query)).1.contains("\"online\":true"));
        cluster.texts(watcher);
        cluster.disconnect(first);
        cluster.settle();
        let heard = cluster.texts(watcher);
        assert!(heard.len() == 1 && heard[0].contains("{\"leaves\":["), "{heard:?}");
        assert!(cluster.call(A, users(&alice.token, &query)).1.contains("\"online\":true"));
        cluster.disconnect(second);
        cluster.settle();
        assert!(!cluster.call(A, users(&alice.token, &query)).1.contains("online"));
        cluster.disconnect(watcher);
        cluster.settle();
        assert!(cluster.is_quiet());
    });
}

/// Rows 330, 332, 335 and 336.
#[test]
fn who_is_not_followed_any_more_is_not_heard_of() {
    in_any_order(|mut cluster| {
        let (alice, bob) = (player(&mut cluster, "alice"), player(&mut cluster, "bob"));
        let watcher = cluster.open(A, B, &alice.token);
        let watched = cluster.open(C, A, &bob.token);
        let who = format!("{{\"user_ids\":[\"{}\"]}}", bob.user_id);
        cluster.ask(watcher, format!("{{\"status_follow\":{who}}}"));
        assert_eq!(cluster.ask(watcher, format!("{{\"status_unfollow\":{who}}}")), "{}");
        cluster.tell(watched, "{\"status_update\":{\"status\":\"hi\"}}");
        assert_eq!(cluster.heard(watcher), []);
        let stranger = "{\"user_ids\":[\"11111111-1111-4111-8111-111111111111\"]}";
        assert_eq!(
            cluster.ask(watcher, format!("{{\"status_follow\":{stranger}}}")),
            "{\"status\":{}}"
        );
        for bad in [
            "{\"status_follow\":{\"user_ids\":[\"x\"]}}".to_owned(),
            "{\"status_follow\":{\"usernames\":[\"\"]}}".to_owned(),
            "{\"status_unfollow\":{\"user_ids\":[\"\"]}}".to_owned(),
            format!("{{\"status_update\":{{\"status\":\"{}\"}}}}", "x".repeat(2049)),
        ] {
            assert!(cluster.ask(watcher, bad).contains("\"code\":3"));
        }
    });
}

// The end.

#[test]
fn a_drain_closes_sockets_refuses_work_and_ends_quiet() {
    in_any_order(|mut cluster| {
        let alice = player(&mut cluster, "alice");
        let sockets =
            [(A, A), (B, C), (C, A)].map(|(core, home)| cluster.open(core, home, &alice.token));
        let creator = cluster.connect(B);
        cluster.send(creator, device("device-0002"));
        cluster.steps(4);
        cluster.drain();
        cluster.settle();
        for socket in sockets {
            check_closed(&cluster.heard(socket), 1001, "server shutting down");
        }
        let (status, _) = cluster.answer(creator);
        assert!(status == 200 || status == 503, "{status}");
        assert_eq!(cluster.call(C, device("device-0003")).0, 503);
        assert!(cluster.is_quiet());
    });
}

#[test]
fn a_connection_that_is_lost_before_its_attachment_is_durable_leaves_no_session() {
    let mut cluster = Cluster::new(Options::default());
    let alice = player(&mut cluster, "alice");
    let spare = cluster.sign_in(A, "device-alice");
    let home = home_of(&cluster, &alice);
    cluster.halted.disk = true;
    let body = format!("{{\"token\":\"{}\"}}", spare.token);
    let connection = cluster.connect(home);
    cluster.send(connection, logout(&spare.token, &body));
    cluster.settle();
    assert_eq!(cluster.store.undurable(REVOCATIONS).count(), 1);
    let socket = cluster.connect(home);
    let open = handshake(&format!("token={}&status=true", alice.token));
    cluster.send_homed(socket, another_than(home), open);
    cluster.settle();
    cluster.disconnect(socket);
    cluster.settle();
    cluster.halted.disk = false;
    cluster.settle();
    cluster.advance(Duration::from_secs(600));
    let fresh = cluster.sign_in(B, "device-alice");
    let (_, body) = cluster.call(B, account(&fresh.token));
    assert!(!body.contains("online"), "ten minutes later: {body}");
    assert!(cluster.is_quiet());
}

#[test]
fn a_follow_that_waits_for_a_batch_does_not_outlive_its_session() {
    let mut tried = 0;
    for seed in 0..60 {
        let mut cluster = Cluster::new(Options { seed, ..Options::default() });
        let placement = cluster.config.placement;
        let alice = player(&mut cluster, "alice");
        let home = placement.of_key(b"bob");
        let watcher = cluster.open(home, home, &alice.token);
        cluster.halted.disk = true;
        let creator = cluster.connect(A);
        cluster.send(creator, device_named("device-bob", "bob"));
        cluster.settle();
        cluster.say(watcher, "{\"status_follow\":{\"usernames\":[\"bob\"]}}");
        cluster.settle();
        cluster.disconnect(watcher);
        cluster.settle();
        cluster.halted.disk = false;
        cluster.settle();
        let bob = Login::read(&cluster.answer(creator).1);
        let home_of_bob = home_of(&cluster, &bob);
        if home_of_bob == home {
            continue;
        }
        tried += 1;
        let watched = cluster.open(home_of_bob, home_of_bob, &bob.token);
        cluster.halted.bus.insert((home_of_bob, home));
        cluster.tell(watched, "{\"status_update\":{\"status\":\"hi\"}}");
        let pushes = cluster.on_bus(home_of_bob, home);
        assert_eq!(pushes, 0, "seed {seed}: nobody follows any more");
    }
    assert!(tried > 0, "some users live on another shard than their names");
}

#[test]
fn a_client_that_leaves_during_its_handshake_leaves_no_session() {
    let mut cluster = Cluster::new(Options::default());
    let alice = player(&mut cluster, "alice");
    cluster.crash();
    cluster.halted.loads = true;
    let socket = cluster.connect(B);
    cluster.send(socket, handshake(&format!("token={}&status=true", alice.token)));
    cluster.settle();
    cluster.disconnect(socket);
    cluster.settle();
    cluster.halted.loads = false;
    cluster.settle();
    let (_, body) = cluster.call(B, account(&alice.token));
    assert!(!body.contains("online"), "{body}");
    assert!(cluster.is_quiet());
}

#[test]
fn a_handshake_that_is_under_way_does_not_outlive_a_drain() {
    let mut cluster = Cluster::new(Options::default());
    let alice = player(&mut cluster, "alice");
    cluster.crash(); // so that nothing is in memory
    cluster.halted.loads = true;
    let socket = cluster.connect(B);
    cluster.send(socket, handshake(&format!("token={}", alice.token)));
    cluster.settle();
    cluster.drain();
    cluster.halted.loads = false;
    cluster.settle();
    assert!(cluster.is_quiet(), "{:?}", cluster.heard(socket));
}

/// What one read brings is on the bus before the pause comes back.
#[test]
fn a_burst_to_a_session_on_another_shard_does_not_close_it() {
    let mut cluster = Cluster::new(Options::default());
    let alice = player(&mut cluster, "alice");
    let socket = cluster.open(A, B, &alice.token);
    cluster.halted.bus.insert((B, A)); // for as long as one read of the socket takes
    let id = socket;
    cluster.say(id, "{\"status_follow\":{\"usernames\":[\"x\",\"y\",\"z\",\"u\",\"v\"]}}");
    for _ in 0..3 * SESSION_QUEUE_MAX {
        cluster.say(id, "{\"ping\":{}}");
    }
    cluster.halted.loads = true;
    cluster.settle();
    cluster.halted.bus.clear();
    cluster.halted.loads = false;
    cluster.settle();
    let heard = cluster.heard(socket);
    let closed = heard.iter().find(|heard| matches!(heard, Heard::Closed { .. }));
    assert_eq!(closed, None);
}

/// A handshake whose upgrade waits for the disk, on the user's own shard.
fn upgrade_that_waits(cluster: &mut Cluster) -> ConnectionId {
    let alice = player(cluster, "alice");
    let spare = cluster.sign_in(A, "device-alice");
    let home = home_of(cluster, &alice);
    cluster.halted.disk = true;
    let body = format!("{{\"token\":\"{}\"}}", spare.token);
    let connection = cluster.connect(home);
    cluster.send(connection, logout(&spare.token, &body));
    cluster.settle();
    let socket = cluster.connect(home);
    cluster.send(socket, handshake(&format!("token={}", alice.token)));
    cluster.settle();
    assert_eq!(cluster.heard(socket), []);
    socket
}

#[test]
fn a_handshake_that_waits_for_the_disk_does_not_outlive_a_drain() {
    let mut cluster = Cluster::new(Options::default());
    let socket = upgrade_that_waits(&mut cluster);
    cluster.drain();
    cluster.halted.disk = false;
    cluster.advance(Duration::from_secs(60));
    assert_eq!(cluster.answer(socket).0, 503);
    assert!(cluster.is_quiet());
}

#[test]
fn a_socket_whose_upgrade_waits_for_the_disk_is_pinged_once_it_is_open() {
    for seconds in [20, 40] {
        let mut cluster = Cluster::new(Options::default());
        let socket = upgrade_that_waits(&mut cluster);
        cluster.advance(Duration::from_secs(seconds));
        cluster.halted.disk = false;
        cluster.advance(Duration::from_secs(100));
        let heard = cluster.heard(socket);
        assert!(!cluster.is_gone(socket), "after {seconds} s: {heard:?}");
        let pings = heard.iter().filter(|heard| **heard == Heard::Ping).count();
        assert!(pings >= 5, "after {seconds} s: {heard:?}");
    }
}

/// Replies that wait for the disk count against their session, or one session could have everybody
/// else refused with code 8.
#[test]
fn a_session_whose_replies_wait_for_the_disk_is_read_no_further() {
    let mut cluster = Cluster::new(Options { shards: 1, ..Options::default() });
    let alice = cluster.sign_in(A, "device-0001");
    let socket = cluster.open(A, A, &alice.token);
    cluster.halted.disk = true;
    let creator = cluster.connect(A);
    cluster.send(creator, device_named("device-0002", "bob"));
    cluster.settle();
    for _ in 0..100 * SESSION_QUEUE_MAX {
        cluster.say(socket, "{\"status_follow\":{\"usernames\":[\"bob\"]}}");
    }
    cluster.settle();
    assert_eq!(cluster.texts(socket), [""; 0]);
    assert!(cluster.is_paused(socket), "6400 replies wait");
}
