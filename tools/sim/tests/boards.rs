//! Leaderboards and tournaments, over several shards: ranks are those of a sorted list, whatever
//! happens meanwhile.

use api::http::Request;
use api::ops::Door;
use base::{Code, ShardId};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use domain::record::Record as _;
use domain::record::board::{COUNTS, DELETIONS, Definition, INDEX, OWNED, Score};
use sim::check::board::{invariant_boards_belong_together, records};
use sim::cluster::client::{Login, bearer};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Each scenario in many orders.
fn in_any_order(mut scenario: impl FnMut(Cluster)) {
    (0..25).for_each(|seed| scenario(Cluster::new(Options { seed, ..Options::default() })));
}

fn operate(cluster: &mut Cluster, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = operation(cluster, method, path, body);
    cluster.call(B, request)
}

fn operation(cluster: &Cluster, method: &str, path: &str, body: &str) -> Request {
    let expiry = cluster.now.wall.secs() + 60;
    let claims = OperatorClaims { bearer: Bearer::Machine { role: Role::Operator }, expiry };
    let token = cluster.config.operator_keys.sign_operator(&claims);
    let request = bearer(method, &format!("/v2/console/{path}"), &token, body);
    Request { door: Door::Operators, ..request }
}

fn declare(cluster: &mut Cluster, boards: &str) {
    check_done(operate(cluster, "POST", "boards", boards));
}

fn call(
    cluster: &mut Cluster,
    login: &Login,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let core = [A, B, C][cluster.now.wall.0 as usize % 3];
    cluster.call(core, bearer(method, path, &login.token, body))
}

fn write(cluster: &mut Cluster, login: &Login, board: &str, score: u64) -> u64 {
    let (path, body) = (format!("/v2/leaderboard/{board}"), format!("{{\"score\":{score}}}"));
    let body = check_done(call(cluster, login, "POST", &path, &body));
    records(&body)[0].rank
}

/// Owner, score and rank of all.
fn list(cluster: &mut Cluster, login: &Login, board: &str) -> Vec<(String, u64, u64)> {
    let path = format!("/v2/leaderboard/{board}?limit=1000");
    let body = check_done(call(cluster, login, "GET", &path, ""));
    let listed = records(&body).into_iter();
    listed.map(|told| (told.owner, told.score, told.rank)).collect()
}

fn check_done((status, body): (u16, String)) -> String {
    assert_eq!(status, 200, "{body}");
    body
}

fn check_refused((status, body): (u16, String), code: Code) {
    let number = format!("\"code\":{},", code.number());
    assert!(status == code.http_status() && body.contains(&number), "{status}: {body}");
}

fn players(cluster: &mut Cluster, count: usize) -> Vec<Login> {
    let names = (0..count).map(|number| format!("device-{number:04}"));
    names.map(|name| cluster.sign_in(A, &name)).collect()
}

#[test]
fn ranks_survive_crashes_and_empty_memories() {
    in_any_order(|mut cluster| {
        declare(&mut cluster, r#"{"leaderboards":[{"id":"b"},{"id":"a","sort":"asc"}]}"#);
        let players = players(&mut cluster, 5);
        for (number, player) in (0..).zip(&players) {
            write(&mut cluster, player, "b", number * 10);
            assert_eq!(write(&mut cluster, player, "a", 50 - number), 1);
        }
        let id = |number: usize| players[number].user_id.clone();
        let expected: Vec<_> =
            (0..5).rev().zip(1..).map(|(at, rank)| (id(at), at as u64 * 10, rank)).collect();
        assert_eq!(list(&mut cluster, &players[0], "b"), expected);
        cluster.crowd();
        assert_eq!(list(&mut cluster, &players[0], "b"), expected);
        cluster.crash();
        assert_eq!(list(&mut cluster, &players[1], "b"), expected);
        assert_eq!(write(&mut cluster, &players[0], "b", 25), 3);
        check_done(call(&mut cluster, &players[4], "DELETE", "/v2/leaderboard/b", ""));
        let scores: Vec<_> =
            list(&mut cluster, &players[2], "b").into_iter().map(|(_, score, _)| score).collect();
        assert_eq!(scores, [30, 25, 20, 10]);
        assert_eq!(list(&mut cluster, &players[2], "a")[0].1, 46);
        invariant_boards_belong_together(&cluster.store);
        assert!(cluster.is_quiet());
    });
}

/// A rank depends on every write before it, also where it is read from memory.
#[test]
fn nobody_learns_a_rank_that_a_crash_takes_back() {
    in_any_order(|mut cluster| {
        declare(&mut cluster, r#"{"leaderboards":[{"id":"b"}]}"#);
        let players = players(&mut cluster, 2);
        write(&mut cluster, &players[0], "b", 10);
        cluster.halted.disk = true;
        let writer = cluster.connect(A);
        let body = r#"{"score":20}"#;
        let request = bearer("POST", "/v2/leaderboard/b", &players[1].token, body);
        cluster.send(writer, request);
        cluster.settle();
        let readers = [A, B, C].map(|core| {
            let reader = cluster.connect(core);
            let path = "/v2/leaderboard/b?limit=10";
            cluster.send(reader, bearer("GET", path, &players[0].token, ""));
            reader
        });
        cluster.settle();
        assert!(cluster.heard(writer).is_empty(), "the write is not durable");
        assert!(readers.iter().all(|reader| cluster.heard(*reader).is_empty()), "nor is the rank");
        cluster.crash();
        cluster.halted.disk = false;
        let listed = list(&mut cluster, &players[0], "b");
        assert!(matches!(listed.len(), 1 | 2), "{listed:?}");
        invariant_boards_belong_together(&cluster.store);
    });
}

/// Row 440.
#[test]
fn increments_at_once_sum_exactly() {
    in_any_order(|mut cluster| {
        declare(&mut cluster, r#"{"leaderboards":[{"id":"b","operator":"incr"}]}"#);
        let player = cluster.sign_in(A, "device-0001");
        let connections: Vec<_> = (0..8)
            .map(|number| {
                let connection = cluster.connect([A, B, C][number % 3]);
                let request = bearer("POST", "/v2/leaderboard/b", &player.token, r#"{"score":3}"#);
                cluster.send(connection, request);
                connection
            })
            .collect();
        cluster.settle();
        for connection in connections {
            assert_eq!(cluster.answer(connection).0, 200);
        }
        assert_eq!(list(&mut cluster, &player, "b"), [(player.user_id.clone(), 24, 1)]);
    });
}

#[test]
fn a_deleted_board_is_gone_with_all_its_rows_also_after_a_crash() {
    in_any_order(|mut cluster| {
        declare(&mut cluster, r#"{"leaderboards":[{"id":"b"},{"id":"other"}]}"#);
        let players = players(&mut cluster, 3);
        for (number, player) in (1..).zip(&players) {
            write(&mut cluster, player, "b", number);
        }
        cluster.crash_after(3 + u32::try_from(cluster.now.wall.0 % 12).expect("a few"));
        let connection = cluster.connect(B);
        let deletion = operation(&cluster, "DELETE", "leaderboard/b", "");
        cluster.send(connection, deletion);
        cluster.settle();
        cluster.live_on();
        // The answer may have got lost, or the deletion with it.
        let (status, body) = operate(&mut cluster, "DELETE", "leaderboard/b", "");
        assert!(matches!(status, 200 | 404), "{body}");
        cluster.settle();
        for table in [Score::TABLE, INDEX, COUNTS, OWNED, DELETIONS] {
            assert_eq!(cluster.store.rows(table).count(), 0, "{table:?}");
        }
        assert_eq!(cluster.store.rows(Definition::TABLE).count(), 1);
        let path = "/v2/leaderboard/b";
        check_refused(call(&mut cluster, &players[0], "GET", path, ""), Code::NotFound);
        declare(&mut cluster, r#"{"leaderboards":[{"id":"b"}]}"#);
        assert_eq!(list(&mut cluster, &players[0], "b"), []);
        assert_eq!(write(&mut cluster, &players[0], "b", 0), 1);
    });
}

#[test]
fn boards_of_all_shards_are_listed_in_pages() {
    let mut cluster = Cluster::new(Options::default());
    let boards: Vec<_> = (0..7).map(|number| format!("{{\"id\":\"board-{number}\"}}")).collect();
    declare(&mut cluster, &format!("{{\"leaderboards\":[{}]}}", boards.join(",")));
    let page = check_done(operate(&mut cluster, "GET", "leaderboard?limit=5", ""));
    assert_eq!(page.matches("\"id\"").count(), 5, "{page}");
    assert!(page.contains("\"total\":7,\"cursor\":\"board-4\""), "{page}");
    let page = check_done(operate(&mut cluster, "GET", "leaderboard?limit=5&cursor=board-4", ""));
    assert!(page.contains("board-5") && page.contains("board-6"), "{page}");
    assert!(!page.contains("board-4") && !page.contains("cursor"), "{page}");
    let one = check_done(operate(&mut cluster, "GET", "leaderboard/board-3", ""));
    assert!(one.contains(r#""id":"board-3","sort_order":1,"operator":1"#), "{one}");
    check_refused(operate(&mut cluster, "GET", "leaderboard/nothing", ""), Code::NotFound);
}

#[test]
fn servers_write_where_clients_may_not() {
    let mut cluster = Cluster::new(Options::default());
    declare(&mut cluster, r#"{"leaderboards":[{"id":"b","authoritative":true}]}"#);
    let player = cluster.sign_in(A, "device-0001");
    let own = call(&mut cluster, &player, "POST", "/v2/leaderboard/b", r#"{"score":1}"#);
    check_refused(own, Code::PermissionDenied);
    let path = format!("leaderboard/b/owner/{}", player.user_id);
    let body = r#"{"score":7,"username":"me"}"#;
    let told = check_done(operate(&mut cluster, "POST", &path, body));
    assert!(told.contains(r#""username":"me","score":"7""#), "{told}");
    assert_eq!(list(&mut cluster, &player, "b"), [(player.user_id.clone(), 7, 1)]);
    check_done(operate(&mut cluster, "DELETE", &path, ""));
    assert_eq!(list(&mut cluster, &player, "b"), []);
    let page = check_done(operate(&mut cluster, "GET", "leaderboard/b/records?limit=5", ""));
    assert_eq!(page, "{}");
}

/// Rows 230, 231.
#[test]
fn tournaments_of_all_shards_are_listed_in_order() {
    in_any_order(|mut cluster| {
        let tournament = |number: u64| {
            let (start, category) = (100 * (number % 3), number % 2);
            format!(
                "{{\"id\":\"t-{number}\",\"duration\":60,\"start\":{start},\"category\":{category}}}"
            )
        };
        let tournaments: Vec<_> = (0..9).map(tournament).collect();
        declare(&mut cluster, &format!("{{\"tournaments\":[{}]}}", tournaments.join(",")));
        let player = cluster.sign_in(A, "device-0001");
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v2/tournament?limit=4&cursor={cursor}");
            let body = check_done(call(&mut cluster, &player, "GET", &path, ""));
            let ids = body.split("\"id\":\"").skip(1);
            found.extend(ids.filter_map(|rest| rest.split('"').next().map(str::to_owned)));
            match body.split_once("\"cursor\":\"").and_then(|(_, rest)| rest.split_once('"')) {
                Some((next, _)) => cursor = next.to_owned(),
                None => break,
            }
        }
        let expected = ["t-0", "t-6", "t-3", "t-4", "t-1", "t-7", "t-2", "t-8", "t-5"];
        assert_eq!(found, expected);
        let path = "/v2/tournament?category_start=1";
        let body = check_done(call(&mut cluster, &player, "GET", path, ""));
        assert_eq!(body.matches("\"id\"").count(), 4, "{body}");
    });
}
