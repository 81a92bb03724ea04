//! Storage objects, over several shards: batches, versions, permissions, lists, and crashes.

use std::collections::BTreeMap;

use base::json::Json;
use base::{Code, ConnectionId, Rng, ShardId};
use sim::cluster::client::{Login, bearer};
use sim::cluster::{Cluster, Options};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Each scenario under many orders of events.
fn in_any_order(mut scenario: impl FnMut(Cluster)) {
    for seed in 0..30 {
        scenario(Cluster::new(Options { seed, ..Options::default() }));
    }
}

fn players(cluster: &mut Cluster, count: usize) -> Vec<Login> {
    let names = (0..count).map(|number| format!("device-{number:04}"));
    names.map(|name| cluster.sign_in(A, &name)).collect()
}

/// A write with both permissions.
#[derive(Clone, Debug)]
struct Write {
    collection: &'static str,
    key: String,
    number: u32,
    version: String,
    read: u8,
    write: u8,
}

fn put(key: &str, number: u32) -> Write {
    let (key, version) = (key.to_owned(), String::new());
    Write { collection: "saves", key, number, version, read: 1, write: 1 }
}

fn public(key: &str, number: u32) -> Write {
    Write { read: 2, ..put(key, number) }
}

impl Write {
    fn json(&self) -> String {
        let Write { collection, key, number, version, read, write } = self;
        format!(
            r#"{{"collection":"{collection}","key":"{key}","value":"{{\"n\":{number}}}",
                "version":"{version}","permission_read":{read},"permission_write":{write}}}"#
        )
    }
}

fn send(
    cluster: &mut Cluster,
    core: ShardId,
    player: &Login,
    method: &str,
    target: &str,
    body: &str,
) -> ConnectionId {
    let connection = cluster.connect(core);
    let request = bearer(method, &format!("/v2/storage{target}"), &player.token, body);
    cluster.send(connection, request);
    connection
}

fn send_writes(
    cluster: &mut Cluster,
    core: ShardId,
    player: &Login,
    writes: &[Write],
) -> ConnectionId {
    let objects: Vec<_> = writes.iter().map(Write::json).collect();
    let body = format!(r#"{{"objects":[{}]}}"#, objects.join(","));
    send(cluster, core, player, "PUT", "", &body)
}

/// The versions that the writes have left, in order.
fn write(cluster: &mut Cluster, player: &Login, writes: &[Write]) -> Result<Vec<String>, String> {
    let sent = send_writes(cluster, B, player, writes);
    cluster.settle();
    versions(cluster.answer(sent))
}

fn versions((status, body): (u16, String)) -> Result<Vec<String>, String> {
    match status {
        200 => Ok(list(&body, "acks").iter().map(|ack| text(ack, "version")).collect()),
        _ => Err(body),
    }
}

fn check_written(cluster: &mut Cluster, player: &Login, writes: &[Write]) -> Vec<String> {
    write(cluster, player, writes).expect("the write is not refused")
}

fn check_refused(answer: Result<Vec<String>, String>) {
    let body = answer.expect_err("the change is refused");
    let number = format!("\"code\":{},", Code::InvalidArgument.number());
    assert!(body.contains(&number), "{body}");
}

fn name(collection: &str, key: &str, owner: &str, version: &str) -> String {
    format!(
        r#"{{"collection":"{collection}","key":"{key}","user_id":"{owner}","version":"{version}"}}"#
    )
}

fn delete(
    cluster: &mut Cluster,
    player: &Login,
    collection: &str,
    key: &str,
    version: &str,
) -> Result<Vec<String>, String> {
    let named = name(collection, key, "", version);
    let body = format!(r#"{{"object_ids":[{named}]}}"#);
    let sent = send(cluster, C, player, "PUT", "/delete", &body);
    cluster.settle();
    match cluster.answer(sent) {
        (200, _) => Ok(Vec::new()),
        (_, body) => Err(body),
    }
}

/// Owner, key and number of an object.
type Seen = (String, String, u32);

fn read(cluster: &mut Cluster, player: &Login, names: &[String]) -> Vec<Seen> {
    let body = format!(r#"{{"object_ids":[{}]}}"#, names.join(","));
    let sent = send(cluster, C, player, "POST", "", &body);
    cluster.settle();
    let (status, body) = cluster.answer(sent);
    assert_eq!(status, 200, "{body}");
    list(&body, "objects").iter().map(seen).collect()
}

/// What the player has under this key of `saves`.
fn own(cluster: &mut Cluster, player: &Login, key: &str) -> Option<u32> {
    let named = name("saves", key, &player.user_id, "");
    read(cluster, player, &[named]).pop().map(|(_, _, number)| number)
}

/// One page of a list, and where the next one begins.
fn page(
    cluster: &mut Cluster,
    player: &Login,
    target: &str,
    limit: usize,
    cursor: &str,
) -> (Vec<Seen>, String) {
    let target = format!("/{target}?limit={limit}&cursor={cursor}");
    let sent = send(cluster, A, player, "GET", &target, "");
    cluster.settle();
    let (status, body) = cluster.answer(sent);
    assert_eq!(status, 200, "{body}");
    (list(&body, "objects").iter().map(seen).collect(), text(&parse(&body), "cursor"))
}

/// All pages of a list, none of which is too long.
fn pages(cluster: &mut Cluster, player: &Login, target: &str, limit: usize) -> Vec<Seen> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..1000 {
        let (found, next) = page(cluster, player, target, limit, &cursor);
        assert!(found.len() <= limit, "{found:?}");
        all.extend(found);
        if next.is_empty() {
            return all;
        }
        cursor = next;
    }
    panic!("the list never ends: {all:?}");
}

fn parse(body: &str) -> Json {
    Json::parse(body.as_bytes()).expect("an answer is JSON")
}

fn member(json: &Json, name: &str) -> Option<Json> {
    let Json::Object(members) = json else { panic!("{json:?} is no object") };
    members.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
}

fn list(body: &str, name: &str) -> Vec<Json> {
    match member(&parse(body), name) {
        Some(Json::List(items)) => items,
        None => Vec::new(),
        Some(other) => panic!("{name} is {other:?}"),
    }
}

fn text(json: &Json, name: &str) -> String {
    match member(json, name) {
        Some(Json::Text(text)) => text,
        None => String::new(),
        Some(other) => panic!("{name} is {other:?}"),
    }
}

fn seen(object: &Json) -> Seen {
    let value = text(object, "value");
    let number = value.strip_prefix(r#"{"n": "#).and_then(|rest| rest.strip_suffix('}'));
    let number = number.unwrap_or_else(|| panic!("{value}"));
    let number = number.parse().expect("what was written is a number");
    (text(object, "user_id"), text(object, "key"), number)
}

#[test]
fn an_object_is_read_where_it_was_not_written_and_after_a_crash() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 3);
        for (number, player) in (1..).zip(&players) {
            check_written(&mut cluster, player, &[put("one", number), public("two", 10 * number)]);
        }
        cluster.crash();
        let named = |key: &str| {
            let name = |player: &Login| name("saves", key, &player.user_id, "");
            players.iter().map(name).collect::<Vec<_>>()
        };
        for (number, player) in (1..).zip(&players) {
            let own = (player.user_id.clone(), "one".to_owned(), number);
            assert_eq!(read(&mut cluster, player, &named("one")), [own], "others are private");
            let mut all = read(&mut cluster, player, &named("two"));
            all.sort_by_key(|(_, _, number)| *number);
            let numbers: Vec<_> = all.iter().map(|(_, _, number)| *number).collect();
            assert_eq!(numbers, [10, 20, 30]);
        }
        assert!(cluster.is_quiet());
    });
}

/// Of writers that all want to replace the same version, one does.
#[test]
fn of_two_writers_of_one_version_one_wins() {
    in_any_order(|mut cluster| {
        let player = players(&mut cluster, 1).remove(0);
        let first = check_written(&mut cluster, &player, &[put("one", 1)]).remove(0);
        let writers: Vec<_> = (2..)
            .zip([A, B, C, A])
            .map(|(number, core)| {
                let write = Write { version: first.clone(), ..put("one", number) };
                (number, send_writes(&mut cluster, core, &player, &[write]))
            })
            .collect();
        cluster.settle();
        let (mut won, mut lost) = (Vec::new(), 0);
        for (number, sent) in writers {
            match versions(cluster.answer(sent)) {
                Ok(_) => won.push(number),
                refused => {
                    check_refused(refused);
                    lost += 1;
                }
            }
        }
        assert_eq!((won.len(), lost), (1, 3));
        assert_eq!(own(&mut cluster, &player, "one"), Some(won[0]));

        // The same of writers who want it to be new.
        let new = Write { version: "*".into(), ..put("two", 1) };
        let writers = [A, B, C]
            .map(|core| send_writes(&mut cluster, core, &player, std::slice::from_ref(&new)));
        cluster.settle();
        let won = writers.map(|sent| versions(cluster.answer(sent)).is_ok());
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert!(cluster.is_quiet());
    });
}

#[test]
fn a_refused_change_leaves_nothing_of_its_batch() {
    in_any_order(|mut cluster| {
        let player = players(&mut cluster, 1).remove(0);
        let locked = Write { write: 0, ..put("locked", 1) };
        let version = check_written(&mut cluster, &player, &[put("one", 1), locked]).remove(0);
        for bad in [
            Write { version: "*".into(), ..put("one", 2) },
            Write { version: "0123".into(), ..put("one", 2) },
            Write { version, ..put("new", 2) },
            put("locked", 2),
            Write { read: 3, ..put("one", 2) },
            Write { write: 2, ..put("one", 2) },
            put("", 2),
        ] {
            let batch = [put("before", 2), bad, put("one", 3)];
            check_refused(write(&mut cluster, &player, &batch));
            let left = pages(&mut cluster, &player, &format!("saves/{}", player.user_id), 100);
            let left: Vec<_> = left.iter().map(|(_, key, number)| (&**key, *number)).collect();
            assert_eq!(left, [("locked", 1), ("one", 1)]);
        }
        check_refused(delete(&mut cluster, &player, "saves", "locked", ""));
        check_refused(delete(&mut cluster, &player, "saves", "nothing", ""));
        check_refused(delete(&mut cluster, &player, "saves", "one", "0123"));
        assert_eq!(own(&mut cluster, &player, "one"), Some(1));
    });
}

/// Whenever the process dies, all of a batch is there or nothing, lists included; and what was
/// answered is there.
#[test]
fn a_crash_leaves_all_of_a_batch_or_nothing() {
    let mut outcomes = [0, 0];
    for seed in 0..20 {
        for outputs in 0..12 {
            let mut cluster = Cluster::new(Options { seed, ..Options::default() });
            let player = players(&mut cluster, 1).remove(0);
            check_written(&mut cluster, &player, &[put("kept", 1), public("hidden", 1)]);
            let batch = [put("kept", 2), put("hidden", 2), public("new", 2)];
            let sent = send_writes(&mut cluster, B, &player, &batch);
            cluster.crash_after(outputs);
            cluster.settle();
            cluster.live_on();
            let is_answered = !cluster.is_gone(sent);
            let is_there = own(&mut cluster, &player, "new").is_some();
            assert!(is_there || !is_answered, "{seed} {outputs}");
            let number = 1 + u32::from(is_there);
            for key in ["kept", "hidden"] {
                assert_eq!(own(&mut cluster, &player, key), Some(number), "{seed} {outputs}");
            }
            let listed = pages(&mut cluster, &player, &format!("saves/{}", player.user_id), 1);
            assert_eq!(listed.len(), 2 + usize::from(is_there), "{seed} {outputs}: {listed:?}");
            let public = pages(&mut cluster, &player, "saves", 1);
            let keys: Vec<_> = public.iter().map(|(_, key, _)| &**key).collect();
            assert_eq!(keys, [if is_there { "new" } else { "hidden" }], "{seed} {outputs}");
            outcomes[usize::from(is_answered)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "both happen: {outcomes:?}");
}

#[test]
fn the_list_of_a_collection_is_one_order_over_all_shards() {
    in_any_order(|mut cluster| {
        let players = players(&mut cluster, 5);
        let mut expected = Vec::new();
        for (number, player) in (1..).zip(&players) {
            let mut writes = vec![put("mine", number), public("same", number)];
            writes.push(public(&format!("key-{}", number * 3 % 5), number));
            check_written(&mut cluster, player, &writes);
            for write in &writes[1..] {
                expected.push((player.user_id.clone(), write.key.clone(), number));
            }
        }
        expected.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
        cluster.crash();
        for limit in [1, 2, 3, 10, 100] {
            let all = pages(&mut cluster, &players[0], "saves", limit);
            assert_eq!(all, expected, "in pages of {limit}");
        }
        assert_eq!(pages(&mut cluster, &players[0], "save", 10), [], "another collection");
        assert!(cluster.is_quiet());
    });
}

#[test]
fn a_cursor_that_is_none_is_refused() {
    let mut cluster = Cluster::new(Options::default());
    let player = players(&mut cluster, 1).remove(0);
    check_written(&mut cluster, &player, &[public("one", 1), public("two", 2)]);
    for target in ["saves".to_owned(), format!("saves/{}", player.user_id)] {
        for cursor in ["nonsense!", "AA", "A", "________________________", "%00"] {
            let target = format!("/{target}?cursor={cursor}");
            let sent = send(&mut cluster, B, &player, "GET", &target, "");
            cluster.settle();
            let (status, body) = cluster.answer(sent);
            assert_eq!(status, 400, "{target}: {body}");
            assert!(body.contains("\"code\":3,"), "{target}: {body}");
        }
    }
}

// Whatever is done, against a plain map.

#[derive(Clone, Debug)]
struct Kept {
    number: u32,
    version: String,
    read: u8,
    write: u8,
}

/// What each player has, by collection and key.
type Model = BTreeMap<(usize, &'static str, String), Kept>;

/// The version of each value that was acknowledged: it is the same wherever the value is.
type Versions = BTreeMap<u32, String>;

const COLLECTIONS: [&str; 2] = ["saves", "s"];

fn draw_write(rng: &mut Rng, model: &Model, player: usize) -> Write {
    let collection = COLLECTIONS[rng.below(2) as usize];
    let key = ["a", "ab", "b", "ba"][rng.below(4) as usize].to_owned();
    let there = model.get(&(player, collection, key.clone()));
    let version = match rng.below(6) {
        0 => "*".to_owned(),
        1 => "0123".to_owned(),
        2 | 3 => there.map_or(String::new(), |kept| kept.version.clone()),
        _ => String::new(),
    };
    // Seldom locked for ever.
    let write = u8::from(rng.below(12) > 0);
    let read = rng.below(3) as u8;
    Write { collection, key, number: rng.below(100), version, read, write }
}

fn is_met(version: &str, there: Option<&Kept>) -> bool {
    match (version, there) {
        ("", _) | ("*", None) => true,
        (_, None) | ("*", Some(_)) => false,
        (version, Some(kept)) => version == kept.version,
    }
}

/// The model after the writes; `None` when they are refused.
fn written(model: &Model, known: &Versions, player: usize, writes: &[Write]) -> Option<Model> {
    let mut after = model.clone();
    for write in writes {
        let id = (player, write.collection, write.key.clone());
        let there = after.get(&id);
        if there.is_some_and(|kept| kept.write == 0) || !is_met(&write.version, there) {
            return None;
        }
        let Write { number, read, write, .. } = *write;
        let version = known.get(&number).cloned().unwrap_or_else(|| format!("of {number}"));
        after.insert(id, Kept { number, version, read, write });
    }
    Some(after)
}

/// Learns the versions from the acks.
fn adopt(model: &mut Model, known: &mut Versions, writes: &[Write], versions: &[String]) {
    assert_eq!(writes.len(), versions.len(), "each write has its ack");
    for (write, version) in writes.iter().zip(versions) {
        let of_number = known.entry(write.number).or_insert_with(|| version.clone());
        assert_eq!(of_number, version, "of the same value");
    }
    for kept in model.values_mut() {
        kept.version = known[&kept.number].clone();
    }
}

fn check_lists(cluster: &mut Cluster, players: &[Login], model: &Model, rng: &mut Rng) {
    let limit = 1 + rng.below(4) as usize;
    let caller = rng.below(players.len() as u32) as usize;
    for collection in COLLECTIONS {
        let within = |owner: Option<usize>, least: u8| {
            let objects = model.iter().filter(move |((player, of, _), kept)| {
                *of == collection && owner.is_none_or(|one| one == *player) && kept.read >= least
            });
            let seen = |((player, _, key), kept): (&(usize, _, String), &Kept)| {
                (kept.read, key.clone(), players[*player].user_id.clone(), kept.number)
            };
            let mut all: Vec<_> = objects.map(seen).collect();
            all.sort();
            let seen = all.into_iter().map(|(_, key, user, number)| (user, key, number));
            seen.collect::<Vec<Seen>>()
        };
        let found = pages(cluster, &players[caller], collection, limit);
        assert_eq!(found, within(None, 2), "all of {collection}");
        for (owner, player) in players.iter().enumerate() {
            let target = format!("{collection}/{}", player.user_id);
            let found = pages(cluster, &players[caller], &target, limit);
            let least = if owner == caller { 1 } else { 2 };
            assert_eq!(found, within(Some(owner), least), "{collection} of {owner}");
        }
    }
}

#[test]
fn whatever_is_done_objects_and_lists_are_those_of_a_plain_map() {
    let mut outcomes = [0, 0];
    for seed in 0..12 {
        let mut cluster = Cluster::new(Options { seed, ..Options::default() });
        let players = players(&mut cluster, 3);
        let mut rng = Rng::from_seed([seed as u8; 32]);
        let (mut model, mut known) = (Model::new(), Versions::new());
        for step in 0..60 {
            let player = rng.below(3) as usize;
            match rng.below(8) {
                0 => cluster.crash(),
                1 => cluster.crowd(),
                2 | 3 => {
                    let Write { collection, key, version, .. } =
                        draw_write(&mut rng, &model, player);
                    let id = (player, collection, key.clone());
                    let there = model.get(&id).filter(|kept| kept.write == 1);
                    let is_free = there.is_some() && is_met(&version, there);
                    let told = delete(&mut cluster, &players[player], collection, &key, &version);
                    assert_eq!(told.is_ok(), is_free, "{seed} {step}: {id:?} {version:?}");
                    if is_free {
                        model.remove(&id);
                    }
                }
                _ => {
                    let count = 1 + rng.below(3);
                    let writes: Vec<_> =
                        (0..count).map(|_| draw_write(&mut rng, &model, player)).collect();
                    let after = written(&model, &known, player, &writes);
                    let told = write(&mut cluster, &players[player], &writes);
                    assert_eq!(told.is_ok(), after.is_some(), "{seed} {step}: {writes:?} {told:?}");
                    outcomes[usize::from(told.is_ok())] += 1;
                    if let (Some(after), Ok(versions)) = (after, told) {
                        model = after;
                        adopt(&mut model, &mut known, &writes, &versions);
                    }
                }
            }
            if step % 6 == 0 {
                check_lists(&mut cluster, &players, &model, &mut rng);
            }
        }
        check_lists(&mut cluster, &players, &model, &mut rng);
        assert!(cluster.is_quiet());
    }
    assert!(outcomes.iter().all(|count| *count > 50), "both happen: {outcomes:?}");
}
