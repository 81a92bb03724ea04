//! Wallets, and what deleted accounts leave, over several shards and crashes.

use std::collections::BTreeSet;

use api::http::Request;
use api::ops::Door;
use base::json::Json;
use base::limits::ERASURE_RETRY;
use base::{Code, ConnectionId, Rng, ShardId, Table};
use bytes::Bytes;
use domain::economy::object::Object;
use domain::economy::wallet::{self, Amounts, Entry};
use domain::identity::token::OperatorClaims;
use domain::operator::{Bearer, Role};
use domain::record::Record as _;
use domain::record::board::{INDEX, OWNED, Score};
use domain::record::erasure::Erasure;
use domain::record::object::{self, OF_COLLECTION, OF_OWNER};
use domain::record::user::User;
use sim::cluster::client::{Heard, Login, bearer};
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
fn check_books(cluster: &Cluster, players: &[Login], acknowledged: &BTreeSet<String>) {
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
    let number = |(key, _): (&Bytes, &Bytes)| {
        let owner = base::UserId::from_bytes(key[..16].try_into().expect("16 bytes"));
        object::parts(owner, key).expect("a key of an owner's list").1.key
    };
    let receipts: BTreeSet<_> = store.rows(OF_OWNER).map(number).collect();
    assert_eq!(entries, players.len() + 2 * receipts.len(), "a transfer is whole");
    assert!(acknowledged.is_subset(&receipts), "what is acknowledged is there");
}

#[test]
fn money_is_neither_made_nor_lost_whatever_comes_between() {
    for (mut cluster, mut rng) in clusters(60) {
        let players = players(&mut cluster, 4);
        give(&mut cluster, &players);
        let (mut acknowledged, mut number) = (BTreeSet::new(), 0);
        for round in 0..4 {
            let mut sent = Vec::new();
            for _ in 0..8 {
                number += 1;
                let [from, to] = [(); 2].map(|()| &players[rng.below(4) as usize].user_id);
                let body = transfer(number, from, to, i64::from(1 + rng.below(60)));
                let request = server(&cluster, "multi_update", &body);
                let core = [A, B, C][rng.below(3) as usize];
                sent.push((number, send(&mut cluster, core, request)));
                steps(&mut cluster, rng.below(12));
                if rng.below(8) == 0 {
                    cluster.crowd();
                }
            }
            if round % 2 == 1 {
                cluster.crash_after(rng.below(200));
            }
            cluster.settle();
            cluster.live_on();
            for (number, connection) in sent {
                for heard in cluster.heard(connection) {
                    let Heard::Response { status, body } = heard else { continue };
                    let poor = format!("\"code\":{},", Code::FailedPrecondition.number());
                    assert!(status == 200 || body.contains(&poor), "{status}: {body}");
                    if status == 200 {
                        acknowledged.insert(number.to_string());
                    }
                }
            }
            check_books(&cluster, &players, &acknowledged);
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

/// Nobody sees objects of a deleted account, even while their rows are there.
fn check_hidden(cluster: &mut Cluster, asker: &Login, owner: &str) {
    let id = format!(r#"{{"collection":"saves","key":"1","user_id":"{owner}"}}"#);
    let body = format!(r#"{{"object_ids":[{id}]}}"#);
    let read = cluster.call(A, bearer("POST", "/v2/storage", &asker.token, &body));
    assert_eq!(check_done(read), "{}");
    let all = cluster.call(B, bearer("GET", "/v2/storage/saves?limit=100", &asker.token, ""));
    let all = check_done(all);
    assert!(!all.contains(owner) && all.contains(&asker.user_id), "{all}");
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
        let delete = bearer("DELETE", "/v2/account", &gone.token, "");
        let mut is_acknowledged = true;
        if rng.below(4) > 0 {
            cluster.crash_after(rng.below(120));
            let sent = send(&mut cluster, B, delete);
            cluster.settle();
            cluster.live_on();
            let is_done = |heard: &Heard| matches!(heard, Heard::Response { status: 200, .. });
            is_acknowledged = cluster.heard(sent).iter().any(is_done);
        } else {
            cluster.halted.tables.insert(OF_OWNER); // no erasure gets anywhere
            let sent = send(&mut cluster, B, delete);
            cluster.settle();
            check_done(cluster.answer(sent));
            check_hidden(&mut cluster, other, &gone.user_id);
            let rows = left(&cluster, &gone.user_id);
            assert!(rows.contains(&(Object::TABLE, 7)), "they are still there: {rows:?}");
            cluster.halted.tables.clear();
            assert_eq!(objects(&mut cluster, other, &gone.user_id), 0);
        }
        cluster.settle();
        cluster.advance(2 * ERASURE_RETRY);
        let id = base::UserId::parse(&gone.user_id).expect("a user id");
        if cluster.store.get(User::TABLE, id.as_bytes()).is_some() {
            before += 1; // the crash came before the deletion
            assert!(!is_acknowledged, "what is acknowledged is deleted");
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
