//! Storage objects: their rows, and what clients were told of them.

use std::collections::BTreeSet;

use base::json::Json;
use base::{Table, UserId};
use domain::record::object::Object;

use super::{decode, list, text};
use crate::cluster::client::Login;
use crate::cluster::store::Store;

const OBJECTS: Table = Table(16);
const OF_OWNER: Table = Table(17);
const OF_COLLECTION: Table = Table(18);

/// Every object is in the list of its owner and in that of its collection, and nothing else is.
pub fn invariant_objects_are_listed(store: &Store) {
    let (mut of_owner, mut of_collection) = (BTreeSet::new(), BTreeSet::new());
    for (key, value) in store.rows(OBJECTS) {
        let (user, rest) = key.split_at(16);
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let (collection, key) = rest.split_at(2 + length);
        let read = [decode::<Object>(value).permission_read];
        of_owner.insert([user, collection, &read, key].concat());
        of_collection.insert([collection, &read, key, &[0], user].concat());
    }
    for (table, expected) in [(OF_OWNER, of_owner), (OF_COLLECTION, of_collection)] {
        let rows: BTreeSet<_> = store.rows(table).map(|(key, _)| key.to_vec()).collect();
        assert_eq!(rows, expected, "an object is listed as long as it is there");
    }
}

/// What one batch writes became durable before it was acknowledged, and at one moment. No two
/// writes have the same number.
pub fn invariant_objects_were_written(
    store: &Store,
    collection: &str,
    login: &Login,
    written: &[(&str, u64)],
) {
    let user = UserId::parse(&login.user_id).expect("a user id");
    let moments = written.iter().map(|(key, number)| {
        let is_it = |object: &Object| object.value == value(*number);
        let row = object_key(user, collection, key);
        let first = store.first(OBJECTS, &row, |row| row.is_some_and(|row| is_it(&decode(row))));
        first.expect("an answer tells what is durable")
    });
    let moments: BTreeSet<_> = moments.collect();
    assert_eq!(moments.len(), 1, "a batch is durable as a whole");
}

/// A page is in order, has nothing twice, and nothing that was never there for its reader.
pub fn invariant_page_is_in_order(store: &Store, page: &Json, collection: &str, reader: &Login) {
    let mut last = None;
    for object in list(page, "objects") {
        let part = |name| text(object, name).expect("an object has names and a value");
        let (key, user, value) = (part("key"), part("user_id"), part("value"));
        let owner = UserId::parse(user).expect("a user id");
        let may_read = |object: &Object| {
            object.value == value && (object.permission_read == 2 || user == reader.user_id)
        };
        let row = object_key(owner, collection, key);
        let shown = store.first(OBJECTS, &row, |row| row.is_some_and(|row| may_read(&decode(row))));
        assert!(shown.is_some(), "a list shows what was durable to those who may read it");
        let read = permission_read(object);
        let place = Some((read, key.to_owned(), owner));
        assert!(last < place, "a list is in order, and has nothing twice");
        last = place;
    }
}

fn permission_read(object: &Json) -> i128 {
    match super::member(object, "permission_read") {
        Some(Json::Integer(number)) => *number,
        other => panic!("a permission to read is {other:?}"),
    }
}

/// A value with this number, as it is answered.
pub fn value(number: u64) -> String {
    format!("{{\"n\": {number}}}")
}

fn object_key(user: UserId, collection: &str, key: &str) -> Vec<u8> {
    let length = u16::try_from(collection.len()).expect("a short name").to_be_bytes();
    [user.as_bytes(), &length[..], collection.as_bytes(), key.as_bytes()].concat()
}
