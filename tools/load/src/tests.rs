//! Every scenario against a server that behaves, and against one that does not.

mod fake;
mod websocket;

use std::rc::Rc;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::record::Record;
use crate::scenario;
use crate::tests::fake::{Fake, Habit};

// Requests.

#[test]
fn account_read_reads_accounts_and_counts_them() {
    for habit in [Habit::Good, Habit::Chunked] {
        let (record, fake) = run(habit, "account-read --requests 200 --connections 4");
        check(&record, 200, &[]);
        let rate = record.figures[0];
        assert!(rate.0 == "requests_per_s" && rate.1 > 0.0, "{rate:?}");
        assert_eq!(fake.seen.borrow().accounts.len(), 4);
    }
}

#[test]
fn objects_and_records_are_written_anew_each_time() {
    for scenario in ["object-write", "record-write"] {
        let words = format!("{scenario} --board points --requests 60 --connections 3");
        let (record, fake) = run(Habit::Good, &words);
        check(&record, 60, &[]);
        assert_eq!(fake.seen.borrow().written.len(), 60, "{scenario}");
        assert_eq!(fake.seen.borrow().accounts.len(), 3, "{scenario}");
    }
}

#[test]
fn objects_and_pages_are_there_before_they_are_read() {
    let (record, fake) = run(Habit::Good, "object-read --requests 60 --connections 3");
    check(&record, 60, &[]);
    assert_eq!(fake.seen.borrow().written.len(), 3);
    let words = "board-page --board points --devices 7 --requests 60 --connections 3";
    let (record, fake) = run(Habit::Good, words);
    check(&record, 60, &[]);
    assert_eq!(fake.seen.borrow().written.len(), 7);
}

#[test]
fn an_open_loop_sends_all_that_its_schedule_holds() {
    let words = "account-read --requests 100 --connections 2 --rate 5000";
    check(&run(Habit::Good, words).0, 100, &[]);
}

#[test]
fn errors_are_counted_by_kind() {
    let words = "account-read --requests 10 --connections 1 --rate 5000";
    check(&run(Habit::Status(503), words).0, 0, &[("status 503", 10)]);
    check(&run(Habit::Status(401), words).0, 0, &[("status 401", 10)]);
}

#[test]
fn sign_in_makes_its_devices_first() {
    let words = "sign-in --requests 100 --connections 4 --devices 8";
    let (record, fake) = run(Habit::Good, words);
    check(&record, 100, &[]);
    let seen = fake.seen.borrow();
    assert_eq!(seen.accounts.len(), 8);
    let lines = ["true", "false"]
        .map(|create| format!("POST /v2/account/authenticate/device?create={create} HTTP/1.1"));
    assert_eq!(seen.requests, lines.into());
    assert_eq!(seen.connections, 4);
    let words = "sign-in --requests 10 --connections 1 --devices 1 --rate 5000";
    check(&run(Habit::Status(404), words).0, 0, &[("status 404", 10)]);
}

#[test]
fn sign_up_makes_an_account_each_time() {
    let words = "sign-up --requests 50 --connections 3 --rate 5000";
    let (record, fake) = run(Habit::Good, words);
    check(&record, 50, &[]);
    assert_eq!(fake.seen.borrow().accounts.len(), 50);
    let not_new = ("protocol: the account is not new", 50);
    check(&run(Habit::KnowsEverybody, words).0, 0, &[not_new]);
}

#[test]
fn sign_in_password_shares_accounts_that_it_made_first() {
    let words = "sign-in-password --requests 40 --connections 6 --accounts 3";
    let (record, fake) = run(Habit::Good, words);
    check(&record, 40, &[]);
    let accounts = [0, 1, 2].map(|n| format!("ringload-{n}@ringload.example ringload-password"));
    assert_eq!(fake.seen.borrow().accounts, accounts.into());
    assert!(!record.figures.iter().any(|(name, ..)| *name == "refused"));
}

#[test]
fn refusals_are_a_figure_when_that_is_asked_for() {
    let words = "sign-in-password --requests 10 --connections 2 --accounts 1 --rate 5000";
    check(&run(Habit::Status(429), words).0, 0, &[("status 429", 10)]);
    let allowed = format!("{words} --allow-refused");
    let (record, _) = run(Habit::Status(429), &allowed);
    check(&record, 0, &[]);
    assert_eq!(figure(&record, "refused"), 10.0);
    assert!(figure(&record, "refused_p99") > 0.0);
    let (record, _) = run(Habit::Status(503), &allowed);
    check(&record, 0, &[("status 503", 10)]);
    assert_eq!(figure(&record, "refused"), 0.0);
}

// Messages.

#[test]
fn relay_sends_each_message_to_all_others() {
    let words = "relay --matches 2 --members 3 --requests 60 --rate 5000";
    let (record, fake) = run(Habit::Good, words);
    check(&record, 120, &[]);
    assert_eq!((figure(&record, "sent"), figure(&record, "received")), (60.0, 120.0));
    let seen = fake.seen.borrow();
    let joins = ["0.", "1."].map(|id| {
        // The members of a ring all join the match of the first.
        format!(r#"{{"cid":"1","match_join":{{"match_id":"{id}"}}}}"#)
    });
    let create = r#"{"cid":"1","match_create":{}}"#.to_owned();
    assert_eq!(seen.envelopes, joins.into_iter().chain([create]).collect());
    assert_eq!(seen.accounts.len(), 6);
}

#[test]
fn relay_goes_round_the_ring_in_a_closed_loop() {
    let words = "relay --matches 1 --members 2 --window 2 --requests 300 --seconds 1";
    let (record, _) = run(Habit::Good, words);
    check(&record, 300, &[]);
    assert_eq!(figure(&record, "sent"), 300.0);
}

#[test]
fn relay_notices_what_is_wrong() {
    let words = "relay --matches 1 --members 3 --requests 20 --rate 5000 --grace-ms 300";
    check(&run(Habit::LosesData, words).0, 38, &[("lost", 2)]);
    // Nobody waits for more than was sent.
    let (record, _) = run(Habit::DoublesData, words);
    let twice = record.latency.len() - 40;
    check(&record, 40 + twice, &[("received twice", twice)]);
    assert!((1..=40).contains(&twice), "{twice}");
    check(&run(Habit::Refuses, words).0, 0, &[("error envelope", 20), ("lost", 40)]);
    let words = "relay --matches 1 --members 2 --requests 2 --rate 5000 --grace-ms 1";
    let (record, _) = run(Habit::ClosesSockets, words);
    assert_eq!(record.errors.get("socket closed: 1000"), Some(&2), "{:?}", record.errors);
}

#[test]
fn a_set_up_that_fails_ends_the_run() {
    const CLOSED: &str = "set-up failed: the server closed the connection";
    const NO_MATCH: &str =
        "set-up failed: the server does not speak the protocol: reply without a match id";
    for (habit, scenario, expected) in [
        (Habit::NoMatch, "relay", NO_MATCH),
        (Habit::ClosesPeers, "relay", CLOSED),
        (Habit::ClosesPeers, "sign-in", CLOSED),
        (Habit::ClosesPeers, "sign-in-password", CLOSED),
        (Habit::ClosesPeers, "matchmaker", CLOSED),
        (Habit::ClosesPeers, "idle", CLOSED),
        (Habit::ClosesPeers, "ws-echo", CLOSED),
    ] {
        let error = try_run(habit, scenario).0.err().map(|error| format!("{error:#}"));
        assert_eq!(error.as_deref(), Some(expected), "{scenario}");
    }
}

#[test]
fn ws_echo_gets_its_messages_back() {
    let (record, fake) = run(Habit::Good, "ws-echo --connections 3 --requests 60 --rate 5000");
    check(&record, 60, &[]);
    assert_eq!(fake.seen.borrow().accounts.len(), 0, "an echo knows no accounts");
    let words = "ws-echo --connections 2 --window 2 --requests 100 --seconds 1";
    check(&run(Habit::Good, words).0, 100, &[]);
}

#[test]
fn matchmaker_waits_for_all_of_a_group() {
    for members in [2, 5] {
        let words = format!("matchmaker --connections 2 --members {members} --requests 20");
        let (record, fake) = run(Habit::Good, &format!("{words} --rate 2000"));
        check(&record, 20, &[]);
        assert_eq!(record.figures[0].0, "matches_per_s");
        let seen = fake.seen.borrow();
        let add = |room| {
            format!(
                r#"{{"matchmaker_add":{{"min_count":{members},"max_count":{members},"query":"+properties.room:{room}","string_properties":{{"room":"{room}"}}}}}}"#
            )
        };
        assert_eq!(seen.envelopes, ["r0", "r1"].map(add).into());
        assert_eq!(seen.accounts.len(), 2 * members);
    }
}

#[test]
fn matchmaker_notices_what_is_wrong() {
    let words = "matchmaker --connections 2 --requests 20 --rate 2000";
    check(&run(Habit::Refuses, words).0, 0, &[("error envelope", 2)]);
    check(&run(Habit::ClosesSockets, words).0, 0, &[("socket closed: 1000", 2)]);
}

// Sockets.

#[test]
fn idle_holds_its_sockets() {
    let (record, fake) = run(Habit::Good, "idle --connections 5 --seconds 1");
    check(&record, 0, &[]);
    assert_eq!(figure(&record, "sockets"), 5.0);
    assert!(figure(&record, "opened_per_s") > 0.0);
    assert_eq!(fake.seen.borrow().envelopes, [r#"{"cid":"1","ping":{}}"#.to_owned()].into());
    let (record, _) = run(Habit::ClosesSockets, "idle --connections 5 --seconds 1");
    check(&record, 0, &[("socket closed: 1000", 5)]);
}

#[test]
fn slow_headers_holds_heads_without_an_end() {
    let (record, fake) = run(Habit::Good, "slow-headers --connections 8 --seconds 1");
    check(&record, 0, &[]);
    let figures = ["peers", "peers_least", "closed_by_server"].map(|name| figure(&record, name));
    assert_eq!(figures, [8.0, 8.0, 0.0]);
    let seen = fake.seen.borrow();
    // The second half begins in the second second.
    assert_eq!((seen.connections, seen.requests.len()), (8, 0));
    assert!(seen.unfinished.len() >= 4, "{:?}", seen.unfinished);
    assert!(seen.unfinished.iter().all(|text| text == "G"), "{:?}", seen.unfinished);
}

#[test]
fn half_open_says_nothing_or_half_a_handshake() {
    let (record, fake) = run(Habit::Good, "half-open --connections 8 --seconds 1");
    check(&record, 0, &[]);
    assert_eq!(figure(&record, "peers"), 8.0);
    let seen = fake.seen.borrow();
    assert_eq!((seen.connections, seen.requests.len(), seen.unfinished.len()), (8, 0, 4));
    assert!(seen.unfinished.iter().all(|text| text.ends_with("Upgrade: websocket\r\n")));
}

#[test]
fn a_peer_that_is_closed_comes_again_and_is_counted() {
    let (record, fake) = run(Habit::ClosesPeers, "half-open --connections 2 --seconds 1");
    check(&record, 0, &[]);
    let closed = figure(&record, "closed_by_server");
    assert!(closed >= 2.0, "{closed}");
    assert_eq!(figure(&record, "peers_least"), 1.0, "the silent one stays");
    // All that are open, and those that were.
    assert_eq!(fake.seen.borrow().connections as f64, figure(&record, "peers") + closed);
}

/// Runs a scenario against a server, and gives what was measured and what the server has seen.
fn run(habit: Habit, words: &str) -> (Record, Rc<Fake>) {
    let (outcome, fake) = try_run(habit, words);
    (outcome.unwrap(), fake)
}

fn try_run(habit: Habit, words: &str) -> (anyhow::Result<Record>, Rc<Fake>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (fake, port) = Fake::start(habit).await;
        let words = format!("ringload {words} --warmup 0 --timeout-ms 5000 --port {port}");
        let arguments = Arguments::parse_from(words.split(' '));
        let outcome = scenario::run(&arguments).await;
        // The server sees the connections end.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        (outcome, fake)
    })
}

fn check(record: &Record, count: u64, errors: &[(&str, u64)]) {
    let found: Vec<_> = record.errors.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(found, errors);
    assert_eq!(record.latency.len(), count);
}

fn figure(record: &Record, wanted: &str) -> f64 {
    let found = record.figures.iter().find(|(name, ..)| *name == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is a figure")).1
}
