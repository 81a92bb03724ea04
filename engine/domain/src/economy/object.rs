//! Storage objects: JSON that players and server code keep under a collection and a key, each with
//! its owner, its permissions and a version that guards against lost updates.

use std::collections::BTreeMap;

use base::limits::{
    OBJECT_NAME_MAX, OBJECTS_BYTES_MAX, OBJECTS_ERASED_MAX, OBJECTS_LOOKED_AT_MAX, OBJECTS_MAX,
    OBJECTS_PAGE_BYTES_MAX, OBJECTS_PAGE_MAX,
};
use base::{Code, UserId, jsonb};
use md5::{Digest as _, Md5};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::object::{
    OF_COLLECTION, OF_OWNER, all_of_owner, object_key, of_collection, of_collection_key, of_owner,
    of_owner_key, parts, place_of_collection, place_of_owner,
};
use crate::record::{self, Record as _};

pub use crate::record::object::{Object, Place};

/// The owner of what belongs to the system.
pub const SYSTEM: UserId = UserId::from_bytes([0; 16]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    NoCollection,
    NoKey,
    /// A name does not fit its column in Nakama, which answers an internal error: it is too long,
    /// or has a zero byte.
    NoColumn(&'static str),
    NoValue,
    /// The value is no JSON object that can be kept; says why.
    Value(String),
    PermissionRead,
    PermissionWrite,
    TooMany,
    /// What the request writes does not fit into one batch.
    TooLarge,
    /// The object is not there, has another version, or may not be written.
    Rejected,
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Error::NoCollection
            | Error::NoKey
            | Error::NoValue
            | Error::Value(_)
            | Error::PermissionRead
            | Error::PermissionWrite
            | Error::TooMany
            | Error::Rejected => Code::InvalidArgument,
            Error::TooLarge => Code::ResourceExhausted,
            Error::NoColumn(_) => Code::Internal,
        }
    }
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub user: UserId,
    pub collection: String,
    pub key: String,
}

impl Id {
    /// Whether there may be such an object; of those that are only read, the longest names are not
    /// there.
    fn check(&self) -> Result<(), Error> {
        let Id { collection, key, .. } = self;
        if collection.is_empty() {
            return Err(Error::NoCollection);
        }
        if key.is_empty() {
            return Err(Error::NoKey);
        }
        for (name, text) in [("collection", collection), ("key", key)] {
            if is_no_column(text) {
                return Err(Error::NoColumn(name));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        object_key(self.user, &self.collection, &self.key)
    }

    fn place(&self, permission_read: u8) -> Place {
        Place { permission_read, key: self.key.clone(), user: self.user }
    }
}

/// Lengths are counted in characters, as Nakama's columns do.
fn is_no_column(text: &str) -> bool {
    text.contains('\0') || text.chars().count() > OBJECT_NAME_MAX
}

/// Which version has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Any,
    /// None: the object has to be new.
    New,
    /// Of this hash, as text.
    Version(String),
}

impl Expected {
    pub fn parse(text: String) -> Expected {
        match text.as_str() {
            "" => Expected::Any,
            "*" => Expected::New,
            _ => Expected::Version(text),
        }
    }

    fn is_met(&self, found: Option<&Object>) -> bool {
        match (self, found) {
            (Expected::Any, _) | (Expected::New, None) => true,
            (Expected::New, Some(_)) | (Expected::Version(_), None) => false,
            (Expected::Version(text), Some(found)) => *text == hex(found.version),
        }
    }
}

/// A version as clients see it.
pub fn hex(version: [u8; 16]) -> String {
    version.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: Id,
    pub expected: Expected,
    /// Without one, the object is deleted.
    pub value: Option<Value>,
}

/// What is to be kept. Made by [`Value::parse`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// In the form of [`base::jsonb`].
    text: String,
    version: [u8; 16],
    permission_read: u8,
    permission_write: u8,
}

impl Value {
    pub fn parse(text: &str, permission_read: i32, permission_write: i32) -> Result<Value, Error> {
        let permission = |number: i32, most: u8| u8::try_from(number).ok().filter(|n| *n <= most);
        let permission_read = permission(permission_read, 2).ok_or(Error::PermissionRead)?;
        let permission_write = permission(permission_write, 1).ok_or(Error::PermissionWrite)?;
        if text.is_empty() {
            return Err(Error::NoValue);
        }
        let version = Md5::digest(text).into();
        let text = jsonb::object(text).map_err(|why| Error::Value(said(why)))?;
        Ok(Value { text, version, permission_read, permission_write })
    }
}

fn said(why: jsonb::Malformed) -> String {
    match why {
        jsonb::Malformed::NoJson(why) => format!("is no JSON: {why}"),
        jsonb::Malformed::NoObject => "is no JSON object".into(),
        jsonb::Malformed::ZeroCharacter => "holds a zero character".into(),
        jsonb::Malformed::Exponent => "holds a number of too many digits".into(),
    }
}

/// What a write leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub id: Id,
    pub version: [u8; 16],
    pub create_time: u64,
    pub update_time: u64,
}

/// An object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: Id,
    pub object: Object,
}

/// Who changes or reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    User(UserId),
    /// Server code and operators: permissions do not bind them.
    Server,
}

impl Who {
    fn may_write(self, object: &Object) -> bool {
        match self {
            Who::User(_) => object.permission_write == 1,
            Who::Server => true,
        }
    }

    /// Objects of this owner with a permission to read between these he may read.
    fn readable(self, owner: UserId) -> (u8, u8) {
        match self {
            Who::User(user) if user == owner => (1, 2),
            Who::User(_) => (2, 2),
            Who::Server => (0, 2),
        }
    }
}

/// What is wrong with a request on its face.
pub fn check(changes: &[Change]) -> Result<(), Error> {
    if changes.len() > OBJECTS_MAX {
        return Err(Error::TooMany);
    }
    changes.iter().try_for_each(|change| change.id.check())
}

/// The same of a read.
pub fn check_ids(ids: &[Id]) -> Result<(), Error> {
    if ids.len() > OBJECTS_MAX {
        return Err(Error::TooMany);
    }
    ids.iter().try_for_each(|id| match id.check() {
        Ok(()) | Err(Error::NoColumn(_)) => Ok(()), // it is not there
        Err(error) => Err(error),
    })
}

/// Changes objects of owners who live here, all of them or none. The acks of writes, in order.
pub fn apply(ctx: &mut Ctx<'_>, who: Who, changes: &[Change]) -> Applied<Vec<Ack>, Error> {
    check(changes).map_err(Stop::Refused)?;
    let before = read_all(ctx, changes.iter().map(|change| &change.id)).map_err(Stop::never)?;
    let mut after = before.clone();
    let now = ctx.now.wall.0 / 1000;
    let mut acks = Vec::new();
    for Change { id, expected, value } in changes {
        let kept = after.entry(id).or_default();
        let is_free = kept.as_ref().is_none_or(|object| who.may_write(object));
        if !is_free || !expected.is_met(kept.as_ref()) {
            return Err(Stop::Refused(Error::Rejected));
        }
        let Some(value) = value else {
            if kept.take().is_none() {
                return Err(Stop::Refused(Error::Rejected));
            }
            continue;
        };
        let object = written(kept.as_ref(), value, now);
        let Object { version, create_time, update_time, .. } = object;
        acks.push(Ack { id: id.clone(), version, create_time, update_time });
        *kept = Some(object);
    }
    let size: usize = after.iter().map(|(id, object)| size(id, object.as_ref())).sum();
    if size > OBJECTS_BYTES_MAX {
        return Err(Stop::Refused(Error::TooLarge));
    }
    for (id, object) in &after {
        let before = before.get(id).and_then(Option::as_ref);
        if before != object.as_ref() {
            replace(ctx, id, before, object.as_ref());
        }
    }
    Ok(acks)
}

/// What a write makes of an object. One that changes nothing leaves its time, too.
fn written(before: Option<&Object>, value: &Value, now: u64) -> Object {
    let Value { text, version, permission_read, permission_write } = value.clone();
    let is_same = |before: &&Object| {
        (before.version, before.permission_read, before.permission_write)
            == (version, permission_read, permission_write)
    };
    if let Some(same) = before.filter(is_same) {
        return same.clone();
    }
    let create_time = before.map_or(now, |before| before.create_time);
    Object {
        value: text,
        version,
        permission_read,
        permission_write,
        create_time,
        update_time: now,
    }
}

/// Bytes of the rows that a change writes, at the most.
fn size(id: &Id, object: Option<&Object>) -> usize {
    const ROWS: usize = 5; // both lists, before and after
    let name = id.collection.len() + id.key.len() + 64;
    ROWS * name + object.map_or(0, |object| object.value.len() + 64)
}

/// Writes an object and its places in the lists.
fn replace(ctx: &mut Ctx<'_>, id: &Id, before: Option<&Object>, after: Option<&Object>) {
    match after {
        Some(object) => record::write(ctx, &id.bytes(), object),
        None => record::delete::<Object>(ctx, &id.bytes()),
    }
    let place = |object: &Object| id.place(object.permission_read);
    let (before, after) = (before.map(place), after.map(place));
    if before == after {
        return;
    }
    if let Some(place) = before {
        ctx.delete(OF_OWNER, &of_owner_key(&id.collection, &place));
        ctx.delete(OF_COLLECTION, &of_collection_key(&id.collection, &place));
    }
    if let Some(place) = after {
        ctx.put(OF_OWNER, &of_owner_key(&id.collection, &place), Vec::new());
        ctx.put(OF_COLLECTION, &of_collection_key(&id.collection, &place), Vec::new());
    }
}

/// Objects of owners who live here, as far as they are there and may be read, in the order of the
/// request. No more of them than fit into one answer.
pub fn read(ctx: &mut Ctx<'_>, who: Who, ids: &[Id]) -> Applied<Vec<Found>, Error> {
    check_ids(ids).map_err(Stop::Refused)?;
    let ids: Vec<_> = ids.iter().filter(|id| id.check().is_ok()).collect();
    let all = read_all(ctx, ids.iter().copied()).map_err(Stop::never)?;
    let mut found = Vec::new();
    for id in ids {
        let (least, most) = who.readable(id.user);
        let object = all.get(id).and_then(Option::as_ref);
        let is_readable = |object: &&Object| (least..=most).contains(&object.permission_read);
        found.extend(object.filter(is_readable).map(|object| found_as(id, object)));
    }
    let size: usize = found.iter().map(|found| found.object.value.len()).sum();
    if size > OBJECTS_PAGE_BYTES_MAX {
        return Err(Stop::Refused(Error::TooLarge));
    }
    Ok(found)
}

fn found_as(id: &Id, object: &Object) -> Found {
    Found { id: id.clone(), object: object.clone() }
}

/// A place among everything that an owner has: the collection, and where in that.
pub type PlaceInAll = (String, Place);

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub found: Vec<Found>,
    /// The place up to which the list is known by this page, if there may be more behind it.
    pub end: Option<Place>,
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    pub collection: String,
    /// What comes behind this place; of one owner's, his own is not looked at.
    pub after: Option<Place>,
    pub limit: usize,
}

/// The objects of an owner who lives here, in a collection.
pub fn list_of_owner(
    ctx: &mut Ctx<'_>,
    who: Who,
    owner: UserId,
    list: &List,
) -> Applied<Page, Never> {
    let List { collection, after, limit } = list;
    if is_no_column(collection) {
        return Ok(Page::default());
    }
    let limit = (*limit).min(OBJECTS_PAGE_MAX);
    let mut range = of_owner(owner, collection, who.readable(owner), limit + 1);
    if let Some(after) = after {
        range = range.after(&of_owner_key(collection, &Place { user: owner, ..after.clone() }));
    }
    let rows = ctx.view.range(&range)?;
    let has_more = rows.len() > limit;
    let places = rows.iter().take(limit);
    let places: Option<Vec<_>> =
        places.map(|(key, _)| place_of_owner(owner, collection, key)).collect();
    let places = places.ok_or(Stop::Damaged(OF_OWNER))?;
    let end = places.last().cloned().filter(|_| has_more);
    page_of(ctx, collection, places, end)
}

/// The same of a whole collection, as far as the owners live here. It looks at a bounded number of
/// rows, and may find nothing among them.
pub fn list_of_collection(
    ctx: &mut Ctx<'_>,
    who: Who,
    is_here: &dyn Fn(UserId) -> bool,
    list: &List,
) -> Applied<Page, Never> {
    let List { collection, after, limit } = list;
    if is_no_column(collection) {
        return Ok(Page::default());
    }
    let readable = match who {
        Who::User(_) => (2, 2),
        Who::Server => (0, 2),
    };
    let mut range = of_collection(collection, readable, OBJECTS_LOOKED_AT_MAX);
    if let Some(after) = after {
        range = range.after(&of_collection_key(collection, after));
    }
    let rows = ctx.view.range(&range)?;
    let places = rows.iter().map(|(key, _)| place_of_collection(collection, key));
    let places: Option<Vec<_>> = places.collect();
    let places = places.ok_or(Stop::Damaged(OF_COLLECTION))?;
    let mut end = places.last().cloned().filter(|_| rows.len() == OBJECTS_LOOKED_AT_MAX);
    let mut here: Vec<_> = places.into_iter().filter(|place| is_here(place.user)).collect();
    let limit = (*limit).min(OBJECTS_PAGE_MAX);
    if here.len() > limit {
        here.truncate(limit);
        end = here.last().cloned();
    }
    page_of(ctx, collection, here, end)
}

/// A page of everything that an owner who lives here has, in the order of the collections, and
/// behind what the next one begins.
pub fn list_all(
    ctx: &mut Ctx<'_>,
    owner: UserId,
    after: Option<&PlaceInAll>,
    limit: usize,
) -> Applied<(Vec<Found>, Option<PlaceInAll>), Never> {
    let limit = limit.min(OBJECTS_PAGE_MAX);
    let rows = ctx.view.range(&all_of_owner(owner, after, limit + 1))?;
    let has_more = rows.len() > limit;
    let places: Option<Vec<_>> =
        rows.iter().take(limit).map(|(key, _)| parts(owner, key)).collect();
    let places = places.ok_or(Stop::Damaged(OF_OWNER))?;
    let end = places.last().cloned().filter(|_| has_more);
    page(ctx, places, end)
}

/// Deletes a part of what an owner has; `true` when that may not have been the last.
pub fn erase(ctx: &mut Ctx<'_>, owner: UserId) -> Applied<bool, Never> {
    let rows = ctx.view.range(&all_of_owner(owner, None, OBJECTS_ERASED_MAX))?;
    let places: Option<Vec<_>> = rows.iter().map(|(key, _)| parts(owner, key)).collect();
    for (collection, place) in places.ok_or(Stop::Damaged(OF_OWNER))? {
        record::delete::<Object>(ctx, &object_key(owner, &collection, &place.key));
        ctx.delete(OF_OWNER, &of_owner_key(&collection, &place));
        ctx.delete(OF_COLLECTION, &of_collection_key(&collection, &place));
    }
    Ok(!rows.is_empty())
}

/// The same of one collection.
fn page_of(
    ctx: &mut Ctx<'_>,
    collection: &str,
    places: Vec<Place>,
    end: Option<Place>,
) -> Applied<Page, Never> {
    let whole = |place| (collection.to_owned(), place);
    let places = places.into_iter().map(whole).collect();
    let (found, end) = page(ctx, places, end.map(whole))?;
    Ok(Page { found, end: end.map(|(_, place)| place) })
}

/// The objects of these places; `end` is where the list is known to. It ends earlier where they
/// grow too large for one answer.
fn page(
    ctx: &mut Ctx<'_>,
    places: Vec<(String, Place)>,
    mut end: Option<PlaceInAll>,
) -> Applied<(Vec<Found>, Option<PlaceInAll>), Never> {
    let id = |(collection, place): &(String, Place)| Id {
        user: place.user,
        collection: collection.clone(),
        key: place.key.clone(),
    };
    let ids: Vec<_> = places.iter().map(id).collect();
    let all = read_all(ctx, ids.iter())?;
    let (mut found, mut size, mut last) = (Vec::new(), 0, None);
    for (id, whole) in ids.iter().zip(places) {
        if let Some(object) = all.get(id).and_then(Option::as_ref) {
            size += object.value.len();
            if size > OBJECTS_PAGE_BYTES_MAX && !found.is_empty() {
                end = last;
                break;
            }
            found.push(found_as(id, object));
        }
        last = Some(whole);
    }
    Ok((found, end))
}

/// Reads objects, all that are missing at once.
fn read_all<'a>(
    ctx: &mut Ctx<'_>,
    ids: impl Iterator<Item = &'a Id>,
) -> Applied<BTreeMap<&'a Id, Option<Object>>, Never> {
    let (mut found, mut is_missing) = (BTreeMap::new(), false);
    for id in ids {
        if found.contains_key(id) {
            continue;
        }
        match ctx.view.get(Object::TABLE, &id.bytes()) {
            Err(_) => is_missing = true,
            Ok(None) => drop(found.insert(id, None)),
            Ok(Some(bytes)) => {
                let object = Object::decode(&bytes).ok_or(Stop::Damaged(Object::TABLE))?;
                found.insert(id, Some(object));
            }
        }
    }
    if is_missing { Err(Stop::Unavailable) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
