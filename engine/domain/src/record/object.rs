//! Storage objects. Table 16, key: the owner's user id, length of the collection, u16 big-endian,
//! the collection, the key. Table 17, the owner's list: user id, length and collection, permission
//! to read, 1 byte, the key. Table 18, the collection's list: length and collection, permission to
//! read, the key, a zero byte, user id. The lists have empty values.
//!
//! All rows of an object belong to the home of its owner. No text in a key has a zero byte.

use base::{Range, Table, UserId};

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Object {
    /// JSON object in the form of [`base::jsonb`].
    pub value: String,
    /// MD5 of the value as it was written.
    pub version: [u8; 16],
    /// 0 nobody, 1 the owner, 2 everybody.
    pub permission_read: u8,
    /// 0 nobody, 1 the owner.
    pub permission_write: u8,
    /// Microseconds since 1970.
    pub create_time: u64,
    pub update_time: u64,
}

record!(Object, 16);

pub const OF_OWNER: Table = Table(17);
pub const OF_COLLECTION: Table = Table(18);

/// Where an object stands in a list of one owner's, or of one collection's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub permission_read: u8,
    pub key: String,
    pub user: UserId,
}

fn collection_part(collection: &str) -> Vec<u8> {
    let length = u16::try_from(collection.len()).expect("names of collections are short");
    [&length.to_be_bytes(), collection.as_bytes()].concat()
}

pub fn object_key(user: UserId, collection: &str, key: &str) -> Vec<u8> {
    [user.as_bytes(), &collection_part(collection)[..], key.as_bytes()].concat()
}

pub fn of_owner_key(collection: &str, place: &Place) -> Vec<u8> {
    let Place { permission_read, key, user } = place;
    let collection = collection_part(collection);
    [user.as_bytes(), &collection[..], &[*permission_read], key.as_bytes()].concat()
}

pub fn of_collection_key(collection: &str, place: &Place) -> Vec<u8> {
    let Place { permission_read, key, user } = place;
    let collection = collection_part(collection);
    [&collection[..], &[*permission_read], key.as_bytes(), &[0], user.as_bytes()].concat()
}

/// The owner's objects of a collection with these permissions to read, from the least on.
pub fn of_owner(user: UserId, collection: &str, readable: (u8, u8), limit: usize) -> Range {
    let prefix = [user.as_bytes(), &collection_part(collection)[..]].concat();
    list(OF_OWNER, &prefix, readable, limit)
}

/// The collection's objects.
pub fn of_collection(collection: &str, readable: (u8, u8), limit: usize) -> Range {
    list(OF_COLLECTION, &collection_part(collection), readable, limit)
}

/// Everything that the owner has, as [`object_key`]s.
pub fn all_of_owner(user: UserId, limit: usize) -> Range {
    Range::prefix(Table(16), user.as_bytes(), limit)
}

fn list(table: Table, prefix: &[u8], (least, most): (u8, u8), limit: usize) -> Range {
    let from = [prefix, &[least]].concat().into();
    let to = [prefix, &[most + 1]].concat().into();
    Range { table, from, to, is_descending: false, limit }
}

/// The place behind the prefix of a list; `None` when the bytes are none.
pub fn place_of_owner(user: UserId, collection: &str, key: &[u8]) -> Option<Place> {
    let rest = key.get(16 + 2 + collection.len()..)?;
    let (permission_read, key) = rest.split_first()?;
    let key = String::from_utf8(key.to_vec()).ok()?;
    Some(Place { permission_read: *permission_read, key, user })
}

pub fn place_of_collection(collection: &str, key: &[u8]) -> Option<Place> {
    let rest = key.get(2 + collection.len()..)?;
    let (permission_read, rest) = rest.split_first()?;
    let (key, user) = rest.split_at_checked(rest.len().checked_sub(17)?)?;
    let user = UserId::from_bytes(user[1..].try_into().ok()?);
    let key = String::from_utf8(key.to_vec()).ok()?;
    Some(Place { permission_read: *permission_read, key, user })
}

/// The collection and the key of an object's row.
pub fn parts(key: &[u8]) -> Option<(String, String)> {
    let (length, rest) = key.get(16..)?.split_first_chunk()?;
    let (collection, key) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((text(collection)?, text(key)?))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let object = Object {
            value: "{\"a\": 1}".into(),
            version: [7; 16],
            permission_read: 1,
            permission_write: 0,
            create_time: 5,
            update_time: 6,
        };
        check_bytes(
            &object,
            &expect![
                "7b2261223a20317d07070707070707070707070707070707010005000000000000000600000000000000"
            ],
        );
    }

    #[test]
    fn keys_lead_back_to_what_they_are_made_of() {
        let user = UserId::from_bytes([9; 16]);
        let place = Place { permission_read: 2, key: "k\u{1}é".into(), user };
        let key = of_owner_key("saves", &place);
        assert_eq!(place_of_owner(user, "saves", &key), Some(place.clone()));
        assert!(of_owner(user, "saves", (1, 2), 1).contains(&key));
        assert!(!of_owner(user, "saves", (0, 1), 1).contains(&key));
        assert!(!of_owner(user, "save", (0, 2), 1).contains(&key));
        let key = of_collection_key("saves", &place);
        assert_eq!(place_of_collection("saves", &key), Some(place));
        assert!(of_collection("saves", (2, 2), 1).contains(&key));
        let key = object_key(user, "saves", "k");
        assert_eq!(parts(&key), Some(("saves".into(), "k".into())));
        assert!(all_of_owner(user, 1).contains(&key));
        assert_ne!(object_key(user, "a", "bc"), object_key(user, "ab", "c"));
    }
}
