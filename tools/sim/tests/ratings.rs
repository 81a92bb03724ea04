//! Results of matches, over several shards: each is taken in once, whatever happens meanwhile.

use std::sync::Arc;

use api::http::Request;
use api::ops::Door;
use base::json::Json;
use base::{Code, ConnectionId, ShardId};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use matchmaker::queue::{Definition, Kept, Method, Steps, System};
use sim::cluster::client::{Login, bearer, text_of};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// A duel rated by Elo without placement games: what one wins, the other loses.
fn duel() -> Definition {
    let mut duel = Definition::new("duel", 1);
    let method = Method::Elo { k: 32.0 };
    duel.rating.system = System::Kept(Kept { method, placement_games: 0, ..Kept::elo() });
    duel
}

fn options(seed: u64) -> Options {
    let mut pairs = Definition::new("pairs", 2);
    pairs.rating.system = System::Kept(Kept::openskill(350.0));
    pairs.rating.window = Steps::constant(1000.0);
    let queues = [duel(), pairs, Definition::new("free", 1)].map(Arc::new);
    let queue = Some([A, B, C][seed as usize % 3]);
    Options { seed, queue, queues: queues.to_vec(), ..Options::default() }
}

/// Each scenario in many orders, with the home of the tickets on every shard in turn.
fn in_any_order(mut scenario: impl FnMut(Cluster)) {
    (0..30).for_each(|seed| scenario(Cluster::new(options(seed))));
}

fn players(cluster: &mut Cluster, count: usize) -> Vec<Login> {
    let names = (0..count).map(|number| format!("device-{number:04}"));
    names.map(|name| cluster.sign_in(A, &name)).collect()
}

fn request(cluster: &Cluster, method: &str, path: &str, body: &str) -> Request {
    let expiry = cluster.now.wall.secs() + 60;
    let role = if method == "GET" { Role::Viewer } else { Role::Operator };
    let claims = OperatorClaims { bearer: Bearer::Machine { role }, expiry };
    let token = cluster.config.operator_keys.sign_operator(&claims);
    let request = bearer(method, &format!("/v2/console/queue/{path}"), &token, body);
    Request { door: Door::Operators, ..request }
}

/// A result: the teams as ranks and players, of whom `!` says that they have quit.
fn body(match_id: &str, teams: &[(u32, &[&str])]) -> String {
    let player = |id: &&str| match id.strip_prefix('!') {
        Some(id) => format!(r#"{{"user_id":"{id}","quit":true}}"#),
        None => format!(r#"{{"user_id":"{id}"}}"#),
    };
    let team = |(rank, players): &(u32, &[&str])| {
        let players: Vec<_> = players.iter().map(player).collect();
        format!(r#"{{"rank":{rank},"players":[{}]}}"#, players.join(","))
    };
    let teams: Vec<_> = teams.iter().map(team).collect();
    format!(r#"{{"match_id":"{match_id}","teams":[{}]}}"#, teams.join(","))
}

fn send(cluster: &mut Cluster, core: ShardId, queue: &str, body: &str) -> ConnectionId {
    let request = request(cluster, "POST", &format!("{queue}/result"), body);
    let connection = cluster.connect(core);
    cluster.send(connection, request);
    connection
}

fn write(cluster: &mut Cluster, queue: &str, body: &str) -> (u16, String) {
    let request = request(cluster, "POST", &format!("{queue}/result"), body);
    cluster.call(C, request)
}

fn read(cluster: &mut Cluster, path: &str) -> (u16, String) {
    let request = request(cluster, "GET", path, "");
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

fn number(body: &str, name: &str) -> f64 {
    let json = Json::parse(body.as_bytes()).expect("an answer is JSON");
    let Json::Object(members) = json else { panic!("{body}") };
    match members.iter().find(|(other, _)| other == name) {
        Some((_, Json::Integer(number))) => *number as f64,
        Some((_, Json::Float(number))) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

/// Rating and games of a player in the duel, and how many matches their history has.
fn standing(cluster: &mut Cluster, user: &str) -> (f64, f64, usize) {
    let rating = check_done(read(cluster, &format!("duel/rating/{user}")));
    let history = check_done(read(cluster, &format!("duel/history/{user}?limit=100")));
    let matches = history.matches("match_id").count();
    (number(&rating, "rating"), number(&rating, "games"), matches)
}

#[test]
fn a_result_changes_ratings_statistics_and_histories() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 4);
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| players[at].user_id.as_str());
        let told = check_done(write(&mut cluster, "duel", &body("one", &[(1, &[a]), (2, &[b])])));
        let part = r#""rating_before":1500,"rating_after":1516"#;
        assert!(told.contains(part) && told.contains(r#""name":"red","rank":1"#), "{told}");
        check_done(write(&mut cluster, "duel", &body("two", &[(3, &[a]), (3, &[b])])));
        let quit = format!("!{a}");
        check_done(write(&mut cluster, "duel", &body("three", &[(1, &[&quit]), (2, &[b])])));

        let rating = check_done(read(&mut cluster, &format!("duel/rating/{a}")));
        let counts = r#""games":3,"wins":1,"losses":1,"draws":1,"quits":1"#;
        assert!(rating.contains(counts), "{rating}");
        let page = check_done(read(&mut cluster, &format!("duel/history/{a}?limit=2")));
        assert!(page.contains("three") && page.contains("two") && !page.contains("one"), "{page}");
        assert!(page.contains(r#""outcome":"loss","quit":true"#), "{page}");
        let rest = format!("duel/history/{a}?limit=2&cursor=2");
        assert!(page.contains(r#""cursor":"2""#), "{page}");
        let page = check_done(read(&mut cluster, &rest));
        assert!(
            page.contains("one") && !page.contains("two") && !page.contains("cursor"),
            "{page}"
        );

        let four = body("one", &[(2, &[a, b]), (1, &[c, d])]);
        check_done(write(&mut cluster, "pairs", &four));
        let rating = check_done(read(&mut cluster, &format!("pairs/rating/{c}")));
        assert!(number(&rating, "rating") > 1500.0, "{rating}");
        assert!(number(&rating, "rating_deviation") < 350.0, "{rating}");
        assert_eq!(standing(&mut cluster, c), (1500.0, 0.0, 0), "nothing there");
        assert!(cluster.is_quiet());
    });
}

#[test]
fn what_is_no_result_of_the_queue_is_refused() {
    let mut cluster = Cluster::new(options(0));
    let players = players(&mut cluster, 3);
    let [a, b, c] = [0, 1, 2].map(|at: usize| players[at].user_id.as_str());
    let mut refused = |queue: &str, body: &str, code, part: &str| {
        check_refused(write(&mut cluster, queue, body), code, part);
    };
    let good = body("one", &[(1, &[a]), (2, &[b])]);
    refused("nowhere", &good, Code::NotFound, "no such queue");
    refused("free", &good, Code::FailedPrecondition, "keeps no ratings");
    let wrong = Code::InvalidArgument;
    refused("duel", &body("", &[(1, &[a]), (2, &[b])]), wrong, "match_id has to be");
    refused("duel", &body(&"x".repeat(129), &[(1, &[a]), (2, &[b])]), wrong, "match_id has to be");
    refused("duel", &body("one", &[(1, &[a])]), wrong, "have 2 teams");
    refused("duel", &body("one", &[(1, &[a]), (2, &[])]), wrong, "1 to 1 players");
    refused("duel", &body("one", &[(1, &[a, c]), (2, &[b])]), wrong, "1 to 1 players");
    refused("duel", &body("one", &[(1, &[a]), (2, &[a])]), wrong, "is there twice");
    refused("duel", &body("one", &[(1, &["x"]), (2, &[a])]), wrong, "not a UUID");
    let named = good.replacen(r#"{"rank""#, r#"{"name":"green","rank""#, 1);
    refused("duel", &named, wrong, "no team");
    let named = good.replacen(r#"{"rank""#, r#"{"name":"blue","rank""#, 1);
    refused("duel", &named, wrong, "is there twice");
    refused("duel", &good.replacen(r#""rank":1,"#, "", 1), wrong, "rank has to be");

    // Somebody took the place of a player who left.
    let left = format!("!{c}");
    check_done(write(&mut cluster, "duel", &body("one", &[(1, &[a, &left]), (2, &[b])])));
    assert_eq!(standing(&mut cluster, c).1, 1.0);
}

#[test]
fn a_result_that_comes_again_is_answered_and_not_applied() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 2);
        let [a, b] = [0, 1].map(|at: usize| players[at].user_id.clone());
        let first = body("one", &[(1, &[&a]), (2, &[&b])]);
        let connections: Vec<_> = [A, B, C, A, B]
            .map(|core| send(&mut cluster, core, "duel", &first))
            .into_iter()
            .collect();
        cluster.settle();
        let mut told: Vec<_> =
            connections.iter().map(|one| check_done(cluster.answer(*one))).collect();
        cluster.crash();
        told.push(check_done(write(&mut cluster, "duel", &first)));
        assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
        let other = body("one", &[(2, &[&a]), (1, &[&b])]);
        check_refused(write(&mut cluster, "duel", &other), Code::AlreadyExists, "another result");
        assert_eq!(standing(&mut cluster, &a), (1516.0, 1.0, 1));
        assert_eq!(standing(&mut cluster, &b), (1484.0, 1.0, 1));
    });
}

/// Players in many matches that end at once: every result counts, and what one wins another loses.
#[test]
fn results_of_the_same_players_at_once_all_count() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 4);
        let mut sent = Vec::new();
        for (winner, player) in players.iter().enumerate() {
            for (loser, other) in players.iter().enumerate().filter(|(loser, _)| *loser != winner) {
                let teams: [(u32, &[&str]); 2] =
                    [(1, &[&player.user_id]), (1 + (loser % 2) as u32, &[&other.user_id])];
                let text = body(&format!("{winner} {loser}"), &teams);
                sent.push(send(&mut cluster, [A, B, C][loser % 3], "duel", &text));
            }
        }
        cluster.settle();
        sent.iter().for_each(|one| drop(check_done(cluster.answer(*one))));
        let mut sum = 0.0;
        for player in &players {
            let (rating, games, matches) = standing(&mut cluster, &player.user_id);
            assert_eq!((games, matches), (6.0, 6));
            sum += rating;
        }
        assert!((sum - 6000.0).abs() < 1e-6, "{sum}");
        assert!(cluster.is_quiet());
    });
}

/// Whenever the process dies, all of a result is there or nothing; and what was answered is there.
/// The server sends it again, and it is there once.
#[test]
fn a_crash_neither_loses_a_result_nor_applies_it_twice() {
    let mut outcomes = [0, 0];
    for seed in 0..12 {
        for outputs in 0..24 {
            let mut cluster = Cluster::new(options(seed));
            let players = players(&mut cluster, 2);
            let [a, b] = [0, 1].map(|at: usize| players[at].user_id.clone());
            let text = body("one", &[(1, &[&a]), (2, &[&b])]);
            let connection = send(&mut cluster, B, "duel", &text);
            cluster.crash_after(outputs);
            cluster.settle();
            cluster.live_on();
            let is_answered = !cluster.is_gone(connection);
            let (rating, games, matches) = standing(&mut cluster, &a);
            let is_there = games > 0.0;
            assert!(is_there || !is_answered, "{seed} {outputs}");
            assert_eq!(matches, usize::from(is_there), "{seed} {outputs}");
            let other = standing(&mut cluster, &b);
            assert_eq!((rating + other.0, other.1, other.2), (3000.0, games, matches));

            check_done(write(&mut cluster, "duel", &text));
            check_done(write(&mut cluster, "duel", &text));
            assert_eq!(standing(&mut cluster, &a), (1516.0, 1.0, 1), "{seed} {outputs}");
            assert_eq!(standing(&mut cluster, &b), (1484.0, 1.0, 1), "{seed} {outputs}");
            outcomes[usize::from(is_answered)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "both happen: {outcomes:?}");
}

#[test]
fn a_deleted_player_counts_as_a_newcomer_of_whom_nothing_is_kept() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 2);
        let [a, b] = [0, 1].map(|at: usize| players[at].user_id.as_str());
        check_done(write(&mut cluster, "duel", &body("one", &[(1, &[a]), (2, &[b])])));
        let gone = bearer("DELETE", "/v2/account", &players[1].token, "");
        let deletion = cluster.connect(A);
        cluster.send(deletion, gone);
        let result = send(&mut cluster, C, "duel", &body("two", &[(1, &[a]), (2, &[b])]));
        cluster.settle();
        check_done(cluster.answer(deletion));
        check_done(cluster.answer(result));
        assert_eq!(standing(&mut cluster, a).1, 2.0);
        assert_eq!(standing(&mut cluster, b), (1500.0, 0.0, 0));
        for table in [8, 9] {
            let rows = cluster.store.rows(base::Table(table)).count();
            assert_eq!(rows, [0, 1, 2][table as usize - 7], "only those of the other");
        }
        check_done(write(&mut cluster, "duel", &body("three", &[(1, &[a]), (2, &[b])])));
        assert_eq!(standing(&mut cluster, b), (1500.0, 0.0, 0));
    });
}

#[test]
fn players_read_ratings_and_histories_by_functions() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 2);
        let [a, b] = [0, 1].map(|at: usize| players[at].user_id.as_str());
        check_done(write(&mut cluster, "duel", &body("one", &[(1, &[a]), (2, &[b])])));
        let socket = cluster.open(A, B, &players[0].token);
        let mut call = |id: &str, payload: &str| {
            let payload = payload.replace('"', "\\\"");
            let text = format!(r#"{{"cid":"1","rpc":{{"id":"{id}","payload":"{payload}"}}}}"#);
            cluster.ask(socket, text).replace('\\', "")
        };
        let own = call("rating_get", r#"{"queue":"duel"}"#);
        assert!(own.contains(r#""rating":1516,"#), "{own}");
        let other = call("rating_get", &format!(r#"{{"queue":"duel","user_id":"{b}"}}"#));
        assert!(other.contains(r#""rating":1484,"#), "{other}");
        let own = call("rating_history", r#"{"queue":"duel"}"#);
        assert!(own.contains(r#""match_id":"one""#) && own.contains(r#""outcome":"win""#), "{own}");
        let nothing = call("rating_get", r#"{"queue":"free"}"#);
        assert!(
            nothing.contains(r#""code":7"#) && nothing.contains("keeps no ratings"),
            "{nothing}"
        );
    });
}

fn add(fields: &str, rating: f64) -> String {
    let counts = r#""query":"*","min_count":2,"max_count":2"#;
    format!(
        r#"{{{fields}{counts},"string_properties":{{"queue":"QUEUE"}},"numeric_properties":{{"rating":{rating}}}}}"#
    )
}

/// Whatever a ticket says: in a queue that keeps ratings, these count, those of a party too.
#[test]
fn tickets_bring_the_ratings_that_are_kept() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 4);
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| players[at].user_id.as_str());
        for queue in ["duel", "pairs"] {
            let teams: [(u32, &[&str]); 2] = match queue {
                "duel" => [(1, &[a]), (2, &[b])],
                _ => [(1, &[a, b]), (2, &[c, d])],
            };
            check_done(write(&mut cluster, queue, &body("one", &teams)));
        }
        let sockets: Vec<_> = players
            .iter()
            .zip([A, B, C, A])
            .map(|(player, home)| cluster.open(B, home, &player.token))
            .collect();
        let single = add("", 9999.0).replace("QUEUE", "duel");
        for socket in &sockets[..2] {
            cluster.say(*socket, format!(r#"{{"matchmaker_add":{single}}}"#));
        }
        cluster.settle();
        for socket in &sockets[..2] {
            let heard = cluster.texts(*socket).concat();
            assert!(heard.contains("matchmaker_matched"), "{heard}");
            assert!(
                heard.contains(r#""rating":1516"#) && heard.contains(r#""rating":1484"#),
                "{heard}"
            );
            assert!(!heard.contains("9999"), "{heard}");
        }

        let made = cluster.tell(sockets[0], r#"{"party_create":{"open":true,"max_size":2}}"#);
        let party = text_of(&made[0], "party/party_id").expect("a party");
        cluster.tell(sockets[1], format!(r#"{{"cid":"x","party_join":{{"party_id":"{party}"}}}}"#));
        let fields = format!(r#""party_id":"{party}","#);
        let text = add(&fields, 9999.0).replace("QUEUE", "pairs");
        cluster.say(sockets[0], format!(r#"{{"party_matchmaker_add":{text}}}"#));
        let pair = format!(
            r#"{{"players":[{{"user_id":"{c}"}},{{"user_id":"{d}"}}],
                "numeric_properties":{{"rating":9999,"rating@{c}":9999}}}}"#
        );
        let ticket = request(&cluster, "POST", "pairs/ticket", &pair);
        let added = check_done(cluster.call(C, ticket));
        cluster.settle();
        let heard = cluster.texts(sockets[1]).concat();
        assert!(heard.contains("matchmaker_matched"), "{heard} {added}");
        let (won, lost) = (heard.matches("\"rating@").count(), heard.matches("9999").count());
        assert!(won >= 4 && lost == 0, "{heard}");
        for player in &players {
            let path = format!("pairs/rating/{}", player.user_id);
            let rating = number(&check_done(read(&mut cluster, &path)), "rating");
            let kept = format!(r#""rating@{}":{rating}"#, player.user_id);
            assert!(heard.contains(&kept), "{kept}: {heard}");
        }
    });
}

/// A ticket waits for what its players are: whoever has left by then is in no queue.
#[test]
fn who_leaves_while_ratings_are_looked_up_has_no_ticket() {
    for seed in 0..60 {
        let mut cluster = Cluster::new(options(seed));
        let players = players(&mut cluster, 2);
        let socket = cluster.open(A, [A, B, C][seed as usize % 3], &players[0].token);
        let single = add("", 1500.0).replace("QUEUE", "duel");
        cluster.say(socket, format!(r#"{{"matchmaker_add":{single}}}"#));
        cluster.steps(seed as usize % 20);
        cluster.disconnect(socket);
        cluster.settle();
        let other = cluster.open(B, C, &players[1].token);
        let heard = cluster.tell(other, format!(r#"{{"matchmaker_add":{single}}}"#)).concat();
        assert!(!heard.contains("matchmaker_matched"), "{seed}: {heard}");
    }
}
