//! Storage objects.

use base::json::Object;
use base::limits::OBJECTS_PAGE_MAX;
use base::{UnixTime, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::economy::object::{Ack, Change, Expected, Found, Id, Place, SYSTEM, Value, hex};

use super::console::limit;
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::request::{ObjectChange, ObjectList, ObjectValue, Request, Storage};

// What is asked for.

pub(crate) fn storage_read(call: &Call<'_>) -> Result<Request, Error> {
    let names = call.message()?.messages("object_ids")?.into_iter().map(name);
    Ok(Request::Storage(Storage::Read(names.collect::<Result<_, _>>()?)))
}

pub(crate) fn storage_write(call: &Call<'_>) -> Result<Request, Error> {
    let objects = call.message()?.messages("objects")?.into_iter().map(write);
    Ok(Request::Storage(Storage::Change(objects.collect::<Result<_, _>>()?)))
}

pub(crate) fn storage_delete(call: &Call<'_>) -> Result<Request, Error> {
    let names = call.message()?.messages("object_ids")?.into_iter().map(name);
    Ok(Request::Storage(Storage::Change(names.collect::<Result<_, _>>()?)))
}

pub(crate) fn storage_list(call: &Call<'_>) -> Result<Request, Error> {
    let user = match call.part("user_id") {
        "" => call.query.text("user_id")?.unwrap_or_default(),
        user => user,
    };
    Ok(Request::Storage(Storage::List(ObjectList {
        collection: call.part("collection").to_owned(),
        user: user.to_owned(),
        limit: limit(call, 1, OBJECTS_PAGE_MAX)?,
        cursor: call.query.text("cursor")?.unwrap_or_default().to_owned(),
    })))
}

/// An object that is named, to be read or deleted.
fn name(mut message: Message) -> Result<ObjectChange, Malformed> {
    Ok(ObjectChange {
        collection: message.text("collection")?,
        key: message.text("key")?,
        user: message.text("user_id")?,
        version: message.text("version")?,
        value: None,
    })
}

fn write(mut message: Message) -> Result<ObjectChange, Malformed> {
    let value = ObjectValue {
        text: message.text("value")?,
        permission_read: message.int32_wrapper("permission_read")?.unwrap_or(1),
        permission_write: message.int32_wrapper("permission_write")?.unwrap_or(1),
    };
    Ok(ObjectChange { value: Some(value), ..name(message)? })
}

// What it means.

/// An object by its name; without an owner, it is the system's.
pub fn id(named: &ObjectChange) -> Result<Id, Error> {
    let user = match named.user.as_str() {
        "" => SYSTEM,
        text => UserId::parse(text)
            .filter(|user| *user != SYSTEM)
            .ok_or_else(|| Error::invalid("Invalid user id: it has to be a UUID, or empty."))?,
    };
    Ok(Id { user, collection: named.collection.clone(), key: named.key.clone() })
}

/// A change of an object of this owner.
pub fn change(user: UserId, change: ObjectChange) -> Result<Change, Error> {
    let ObjectChange { collection, key, version, value, .. } = change;
    let value =
        value.map(|value| Value::parse(&value.text, value.permission_read, value.permission_write));
    let id = Id { user, collection, key };
    Ok(Change { id, expected: Expected::parse(version), value: value.transpose()? })
}

/// Whose list it is, if it is one owner's.
pub fn owner(list: &ObjectList) -> Result<Option<UserId>, Error> {
    if list.user.is_empty() {
        return Ok(None);
    }
    let user = UserId::parse(&list.user);
    user.map(Some).ok_or_else(|| Error::invalid("Invalid user id: it has to be a UUID."))
}

/// The permission to read, the owner and the key behind which a page begins.
pub fn cursor(place: &Place) -> String {
    let Place { permission_read, key, user } = place;
    URL_SAFE_NO_PAD.encode([&[*permission_read], &user.as_bytes()[..], key.as_bytes()].concat())
}

pub fn parse_cursor(text: &str) -> Result<Option<Place>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let place = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (permission_read, rest) = bytes.split_first()?;
        let (user, key) = rest.split_first_chunk()?;
        let key = String::from_utf8(key.to_vec()).ok().filter(|key| !key.contains('\0'))?;
        let user = UserId::from_bytes(*user);
        (*permission_read <= 2).then_some(Place { permission_read: *permission_read, key, user })
    };
    place().map(Some).ok_or_else(|| Error::invalid("Malformed cursor."))
}

// What is answered.

pub(crate) fn found(found: &Found, o: &mut Object<'_>) {
    let Found { id, object } = found;
    name_of(id, o);
    o.text("value", &object.value);
    o.text("version", &hex(object.version));
    o.int32("permission_read", object.permission_read.into());
    o.int32("permission_write", object.permission_write.into());
    o.shown("create_time", UnixTime::from_secs(object.create_time / 1_000_000));
    o.shown("update_time", UnixTime::from_secs(object.update_time / 1_000_000));
}

pub(crate) fn ack(ack: &Ack, o: &mut Object<'_>) {
    name_of(&ack.id, o);
    o.text("version", &hex(ack.version));
    o.shown("create_time", UnixTime(ack.create_time * 1000));
    o.shown("update_time", UnixTime(ack.update_time * 1000));
}

fn name_of(id: &Id, o: &mut Object<'_>) {
    o.text("collection", &id.collection);
    o.text("key", &id.key);
    o.shown("user_id", id.user);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_leads_back_and_a_forged_one_is_refused() {
        let user = UserId::from_bytes([3; 16]);
        let place = Place { permission_read: 2, key: "kéy".into(), user };
        assert_eq!(parse_cursor(&cursor(&place)), Ok(Some(place)));
        assert_eq!(parse_cursor(""), Ok(None));
        let long = URL_SAFE_NO_PAD.encode([9; 40]);
        let zero = URL_SAFE_NO_PAD.encode([&[1; 17][..], b"a\0b"].concat());
        for forged in ["nonsense", "AA", "_", long.as_str(), zero.as_str()] {
            assert!(parse_cursor(forged).is_err(), "{forged}");
        }
    }

    proptest! {
        #[test]
        fn no_cursor_panics(bytes: Vec<u8>) {
            let _ = parse_cursor(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
