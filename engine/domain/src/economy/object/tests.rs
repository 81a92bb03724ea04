//! Objects beside a plain map, which has the rules written out once more.

use proptest::prelude::*;

use super::*;
use crate::ctx::world::World;

/// What is known of an object, with the value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    text: &'static str,
    permission_read: u8,
    permission_write: u8,
    create_time: u64,
    update_time: u64,
}

type Map = BTreeMap<Id, Known>;

const VALUES: [&str; 3] = ["{}", "{\"a\":1}", "{\"a\": 1}"];

#[derive(Clone, Debug)]
struct Wish {
    user: u8,
    collection: &'static str,
    key: u8,
    /// None deletes.
    value: Option<(usize, u8, u8)>,
    /// 0 any, 1 new, 2 the right one, 3 a wrong one.
    version: u8,
}

fn wish() -> impl Strategy<Value = Wish> {
    let value = prop::option::weighted(0.7, (0..VALUES.len(), 0..3u8, 0..2u8));
    let collection = prop::sample::select(vec!["saves", "save", "s"]);
    (1..4u8, collection, 0..6u8, value, 0..4u8).prop_map(
        |(user, collection, key, value, version)| Wish { user, collection, key, value, version },
    )
}

fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

fn version(text: &str) -> String {
    hex(Md5::digest(text).into())
}

fn change(map: &Map, wish: &Wish) -> Change {
    let id = Id {
        user: user(wish.user),
        collection: wish.collection.to_owned(),
        key: "k".repeat(usize::from(wish.key) + 1),
    };
    let expected = match wish.version {
        0 => Expected::Any,
        1 => Expected::New,
        2 => Expected::Version(version(map.get(&id).map_or("{}", |known| known.text))),
        _ => Expected::Version("0".repeat(32)),
    };
    let value = wish.value.map(|(text, read, write)| {
        Value::parse(VALUES[text], read.into(), write.into()).expect("it is well-formed")
    });
    Change { id, expected, value }
}

/// The rules of one change, after Nakama's table of them.
fn follow(map: &mut Map, who: Who, wish: &Wish, now: u64) -> bool {
    let Change { id, expected, .. } = change(map, wish);
    let before = map.get(&id).cloned();
    let is_met = match (&expected, &before) {
        (Expected::Any, _) => true,
        (Expected::New, before) => before.is_none(),
        (Expected::Version(text), before) => {
            before.as_ref().is_some_and(|before| version(before.text) == *text)
        }
    };
    let may_write =
        who == Who::Server || before.as_ref().is_none_or(|before| before.permission_write == 1);
    if !is_met || !may_write || (wish.value.is_none() && before.is_none()) {
        return false;
    }
    let Some((text, permission_read, permission_write)) = wish.value else {
        map.remove(&id);
        return true;
    };
    let mut known = Known {
        text: VALUES[text],
        permission_read,
        permission_write,
        create_time: before.as_ref().map_or(now, |before| before.create_time),
        update_time: now,
    };
    if let Some(before) = before {
        let same = Known { update_time: before.update_time, ..known };
        if same == before {
            known = same;
        }
    }
    map.insert(id, known);
    true
}

/// Every object that somebody may read, in the order of the lists.
fn readable(map: &Map, who: Who, owner: Option<UserId>, collection: &str) -> Vec<(u8, Id)> {
    let may_read = |id: &Id, known: &Known| match (who, owner) {
        (Who::Server, _) => true,
        (Who::User(me), Some(_)) if me == id.user => known.permission_read > 0,
        (Who::User(_), _) => known.permission_read == 2,
    };
    let of = |id: &Id| id.collection == collection && owner.is_none_or(|owner| owner == id.user);
    let found = map.iter().filter(|(id, known)| of(id) && may_read(id, known));
    let mut found: Vec<_> = found.map(|(id, known)| (known.permission_read, id.clone())).collect();
    found.sort_by_key(|(read, id)| (*read, id.key.clone(), id.user));
    found
}

/// All pages of a list, one after another.
fn pages(mut page: impl FnMut(&List) -> Page, collection: &str, limit: usize) -> Vec<(u8, Id)> {
    let mut list = List { collection: collection.to_owned(), after: None, limit };
    let mut all = Vec::new();
    for _ in 0..200 {
        let Page { found, end } = page(&list);
        assert!(found.len() <= limit);
        all.extend(found.into_iter().map(|found| (found.object.permission_read, found.id)));
        match end {
            Some(end) => list.after = Some(end),
            None => return all,
        }
    }
    panic!("the list does not end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn objects_are_those_of_a_map(
        batches in prop::collection::vec(
            (prop::collection::vec(wish(), 1..4), any::<bool>()), 1..30),
        limit in 1..5usize,
    ) {
        let (mut world, mut map) = (World::default(), Map::new());
        for (wishes, by_server) in batches {
            world.now += 1;
            let now = world.now * 1_000_000;
            let who = if by_server { Who::Server } else { Who::User(user(wishes[0].user)) };
            // A version is chosen by what was there before the batch.
            let changes: Vec<_> = wishes.iter().map(|wish| change(&map, wish)).collect();
            let mut after = map.clone();
            let is_right = |wish: &Wish, change: &Change, after: &Map| {
                wish.version != 2 || change.expected == self::change(after, wish).expected
            };
            let mut is_fine = true;
            for (wish, change) in wishes.iter().zip(&changes) {
                let version = if is_right(wish, change, &after) { wish.version } else { 3 };
                let meant = Wish { version, ..wish.clone() };
                is_fine = is_fine && follow(&mut after, who, &meant, now);
            }
            let applied = world.apply(|ctx| apply(ctx, who, &changes));
            match applied {
                Ok(acks) => {
                    prop_assert!(is_fine);
                    let writes = changes.iter().filter(|change| change.value.is_some());
                    let written = writes.map(|change| &change.id);
                    prop_assert!(acks.iter().map(|ack| &ack.id).eq(written));
                    map = after;
                }
                Err(stop) => {
                    prop_assert!(!is_fine);
                    prop_assert_eq!(stop, Stop::Refused(Error::Rejected));
                }
            }
        }
        for asker in [Who::Server, Who::User(user(1)), Who::User(user(9))] {
            for collection in ["saves", "save", "s", "none"] {
                let all = pages(
                    |list| {
                        let all = |ctx: &mut Ctx<'_>| {
                            list_of_collection(ctx, asker, &|_| true, list)
                        };
                        world.apply(all).unwrap()
                    },
                    collection,
                    limit,
                );
                prop_assert_eq!(all, readable(&map, asker, None, collection));
                for owner in 1..4 {
                    let owner = user(owner);
                    let of_owner = pages(
                        |list| world.apply(|ctx| list_of_owner(ctx, asker, owner, list)).unwrap(),
                        collection,
                        limit,
                    );
                    prop_assert_eq!(of_owner, readable(&map, asker, Some(owner), collection));
                }
            }
            let ids: Vec<_> = map.keys().cloned().collect();
            let found = world.apply(|ctx| read(ctx, asker, &ids)).unwrap();
            let found: BTreeMap<_, _> =
                found.into_iter().map(|found| (found.id, found.object)).collect();
            for (id, known) in &map {
                let may_read = match asker {
                    Who::Server => true,
                    Who::User(me) if me == id.user => known.permission_read > 0,
                    Who::User(_) => known.permission_read == 2,
                };
                let object = found.get(id);
                prop_assert_eq!(object.is_some(), may_read);
                if let Some(object) = object {
                    prop_assert_eq!(&object.value, &jsonb::object(known.text).unwrap());
                    prop_assert_eq!(hex(object.version), version(known.text));
                    let times = (object.create_time, object.update_time);
                    prop_assert_eq!(times, (known.create_time, known.update_time));
                }
            }
        }
        for owner in 1..4 {
            while world.apply(|ctx| erase(ctx, user(owner))).unwrap() {}
        }
        prop_assert_eq!(world.len(), 0, "nothing is left of anybody's");
    }
}

#[test]
fn what_is_wrong_on_its_face_is_told() {
    let id = |collection: &str, key: &str| Id {
        user: user(1),
        collection: collection.to_owned(),
        key: key.to_owned(),
    };
    let wrong = |id: Id| {
        check(&[Change { id, expected: Expected::Any, value: None }]).expect_err("it is wrong")
    };
    assert_eq!(wrong(id("", "k")), Error::NoCollection);
    assert_eq!(wrong(id("c", "")), Error::NoKey);
    assert_eq!(wrong(id("c\0", "k")), Error::NoColumn("collection"));
    assert_eq!(wrong(id("c", &"é".repeat(OBJECT_NAME_MAX + 1))), Error::NoColumn("key"));
    let many = vec![id("c", "k"); OBJECTS_MAX + 1];
    assert_eq!(check_ids(&many), Err(Error::TooMany));
    assert_eq!(check_ids(&[id("c", &"x".repeat(500))]), Ok(()), "it is not there");
    for (text, read, write, error) in [
        ("{}", 3, 1, Error::PermissionRead),
        ("{}", -1, 1, Error::PermissionRead),
        ("{}", 1, 2, Error::PermissionWrite),
        ("", 1, 1, Error::NoValue),
        ("[]", 1, 1, Error::Value("is no JSON object".into())),
    ] {
        assert_eq!(Value::parse(text, read, write), Err(error), "{text} {read} {write}");
    }
}

#[test]
fn what_is_too_much_for_one_batch_is_refused_whole() {
    let mut world = World::default();
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(250_000));
    let changes: Vec<_> = (0..4)
        .map(|number| Change {
            id: Id { user: user(1), collection: "c".into(), key: number.to_string() },
            expected: Expected::Any,
            value: Some(Value::parse(&text, 1, 1).expect("it is well-formed")),
        })
        .collect();
    let who = Who::User(user(1));
    let refused = world.apply(|ctx| apply(ctx, who, &changes));
    assert_eq!(refused, Err(Stop::Refused(Error::TooLarge)));
    assert_eq!(world.len(), 0);
    assert!(world.apply(|ctx| apply(ctx, who, &changes[..3])).is_ok());
}
