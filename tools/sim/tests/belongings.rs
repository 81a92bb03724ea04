//! Wallets, and what deleted accounts leave, over several shards and crashes.

use api::http::Request;
use api::ops::Door;
use base::json::Json;
use base::limits::ERASURE_RETRY;
use base::{Code, ConnectionId, Rng, ShardId, Table};
use domain::economy::object::Object;
use domain::economy::wallet::{self, Amounts, Entry};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use domain::record::Record as _;
use domain::record::board::{INDEX, OWNED, Score};
use domain::record::erasure::Erasure;
use domain::record::object::{OF_COLLECTION, OF_OWNER};
use domain::record::user::User;
use sim::cluster::client::{Login, bearer};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);
const COINS: i64 = 100;

fn clusters(count: u64) -> impl Iterator<Item = (Cluster, Rng)> {
    (0..count).map(|seed| {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        (Cluster::new(Options { seed, ..Options::default() }), Rng::from_seed(bytes))
    })
}

fn players(cluster: &mut Cluster, count: usize) -> Vec<Login> {
    let names = (0..count).map(|number| format!("device-{number:04}"));
    names.map(|name| cluster.sign_in(A, &name)).collect()
}

/// Of a game's own server.
fn server(cluster: &Cluster, path: &str, body: &str) -> Request {
    let expiry = cluster.now.wall.secs() + 60;
    let claims = OperatorClaims { bearer: Bearer::Machine { role: Role::Operator }, expiry };
    let token = cluster.config.operator_keys.sign_operator(&claims);
    let request = bearer("POST", &format!("/v2/console/{path}"), &token, body);
    Request { door: Door::Operators, ..request }
}

fn send(cluster: &mut Cluster, core: ShardId, request: Request) -> ConnectionId {
    let connection = cluster.connect(core);
    cluster.send(connection, request);
    connection
}

/// Lets so many things happen, or as many as there are.
fn steps(cluster: &mut Cluster, count: u32) {
    for _ in 0..count {
        cluster.step();
    }
}

fn check_done((status, body): (u16, String)) -> String {
    assert_eq!(status, 200, "{body}");
    body
}

fn update(user: &str, coins: i64) -> String {
    format!(r#"{{"user_id":"{user}","changeset":{{"coins":{coins}}}}}"#)
}

/// Coins from one to another, and a receipt for whoever pays.
fn transfer(number: u32, from: &str, to: &str, coins: i64) -> String {
    let (pays, gets) = (update(from, -coins), update(to, coins));
    format!(
        r#"{{"storage_writes":[{{"collection":"receipts","key":"{number}","user_id":"{from}",
            "value":"{{}}","version":"*"}}],"wallet_updates":[{pays},{gets}],
            "update_ledger":true}}"#
    )
}

fn give(cluster: &mut Cluster, players: &[Login]) {
    let gifts: Vec<_> = players.iter().map(|player| update(&player.user_id, COINS)).collect();
    let body = format!(r#"{{"wallet_updates":[{}],"update_ledger":true}}"#, gifts.join(","));
    let request = server(cluster, "multi_update", &body);
    check_done(cluster.call(B, request));
}

fn coins(amounts: &Amounts) -> i64 {
    amounts.get("coins").copied().unwrap_or_default()
}

/// Every coin is somewhere, every wallet is the sum of its ledger, and every transfer is whole.
fn check_books(cluster: &Cluster, players: &[Login], acknowledged: usize) {
    let store = &cluster.store;
    let (mut total, mut entries) = (0, 0);
    for player in players {
        let id = base::UserId::parse(&player.user_id).expect("a user id");
        let user = store.get(User::TABLE, id.as_bytes()).expect("the account is there");
        let kept = User::decode(&user).expect("an account");
        let kept = wallet::parse(&kept.wallet).expect("a wallet");
        assert!(kept.values().all(|amount| *amount >= 0), "{kept:?}");
        let of_player = store.rows(Entry::TABLE).filter(|(key, _)| key.starts_with(id.as_bytes()));
        let changes = of_player.map(|(_, entry)| {
            entries += 1;
            let entry = Entry::decode(entry).expect("an entry");
            coins(&wallet::parse(&entry.changeset).expect("amounts"))
        });
        assert_eq!(changes.sum::<i64>(), coins(&kept), "a wallet is the sum of its ledger");
        total += coins(&kept);
    }
    assert_eq!(total, COINS * players.len() as i64, "no coin is made or lost");
    let receipts = store.rows(Object::TABLE).count();
    assert_eq!(entries, players.len() + 2 * receipts, "a transfer is whole");
    assert!(receipts >= acknowledged, "what is acknowledged is there");
}

#[test]
fn money_is_neither_made_nor_lost_whatever_comes_between() {
    for (mut cluster, mut rng) in clusters(60) {
        let players = players(&mut cluster, 4);
        give(&mut cluster, &players);
        let (mut acknowledged, mut number) = (0, 0);
        for round in 0..4 {
            let mut sent = Vec::new();
            for _ in 0..8 {
                number += 1;
                let [from, to] = [(); 2].map(|()| &players[rng.below(4) as usize].user_id);
                let body = transfer(number, from, to, i64::from(1 + rng.below(60)));
                let request = server(&cluster, "multi_update", &body);
                sent.push(send(&mut cluster, [A, B, C][rng.below(3) as usize], request));
                steps(&mut cluster, rng.below(12));
            }
            if round % 2 == 1 {
                steps(&mut cluster, rng.below(60));
                cluster.crash();
                cluster.settle();
                check_books(&cluster, &players, acknowledged);
                continue;
            }
            cluster.settle();
            for connection in sent {
                let (status, body) = cluster.answer(connection);
                acknowledged += usize::from(status == 200);
                let poor = format!("\"code\":{},", Code::FailedPrecondition.number());
                assert!(status == 200 || body.contains(&poor), "{status}: {body}");
            }
            check_books(&cluster, &players, acknowledged);
        }
        assert!(cluster.is_quiet());
    }
}

/// Rows of tables that have something of the user, with the erasure itself.
fn left(cluster: &Cluster, user: &str) -> Vec<(Table, usize)> {
    let id = base::UserId::parse(user).expect("a user id");
    let tables =
        [Object::TABLE, OF_OWNER, OF_COLLECTION, Entry::TABLE, Erasure::TABLE, Score::TABLE]
            .into_iter()
            .chain([INDEX, OWNED]);
    let is_of = |key: &[u8]| key.windows(16).any(|part| part == id.as_bytes());
    tables
        .map(|table| (table, cluster.store.rows(table).filter(|(key, _)| is_of(key)).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn objects(cluster: &mut Cluster, asker: &Login, owner: &str) -> usize {
    let target = format!("/v2/storage/saves/{owner}?limit=100");
    let body = check_done(cluster.call(C, bearer("GET", &target, &asker.token, "")));
    let json = Json::parse(body.as_bytes()).expect("an answer is JSON");
    let Json::Object(members) = json else { panic!("{body}") };
    match members.iter().find(|(name, _)| name == "objects") {
        Some((_, Json::List(objects))) => objects.len(),
        _ => 0,
    }
}

#[test]
fn a_deleted_account_leaves_nothing_even_when_a_crash_comes_between() {
    let (mut before, mut after) = (0, 0);
    for (mut cluster, mut rng) in clusters(60) {
        let players = players(&mut cluster, 2);
        let [gone, other] = &players[..] else { panic!("two players") };
        give(&mut cluster, &players);
        let boards: Vec<_> = (0..5).map(|n| format!(r#"{{"id":"board-{n}"}}"#)).collect();
        let body = format!(r#"{{"leaderboards":[{}]}}"#, boards.join(","));
        let request = server(&cluster, "boards", &body);
        check_done(cluster.call(A, request));
        for player in &players {
            let writes: Vec<_> = (0..7)
                .map(|n| {
                    let key = format!(r#""collection":"saves","key":"{n}""#);
                    format!(r#"{{{key},"value":"{{}}","permission_read":2}}"#)
                })
                .collect();
            let body = format!(r#"{{"objects":[{}]}}"#, writes.join(","));
            check_done(cluster.call(B, bearer("PUT", "/v2/storage", &player.token, &body)));
            for n in 0..5 {
                let target = format!("/v2/leaderboard/board-{n}");
                let score = bearer("POST", &target, &player.token, r#"{"score":"3"}"#);
                check_done(cluster.call(C, score));
            }
        }
        let all = left(&cluster, &gone.user_id);
        let sent = send(&mut cluster, B, bearer("DELETE", "/v2/account", &gone.token, ""));
        if rng.below(4) > 0 {
            steps(&mut cluster, rng.below(150));
            cluster.crash();
        } else {
            cluster.settle();
            check_done(cluster.answer(sent));
            assert_eq!(objects(&mut cluster, other, &gone.user_id), 0, "they are hidden at once");
        }
        cluster.settle();
        cluster.advance(2 * ERASURE_RETRY);
        let id = base::UserId::parse(&gone.user_id).expect("a user id");
        if cluster.store.get(User::TABLE, id.as_bytes()).is_some() {
            before += 1; // the crash came before the deletion
            assert_eq!(left(&cluster, &gone.user_id), all);
        } else {
            after += 1;
            assert_eq!(left(&cluster, &gone.user_id), [], "nothing is left");
        }
        assert_eq!(objects(&mut cluster, other, &other.user_id), 7, "others keep what they have");
        assert!(cluster.is_quiet());
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}
