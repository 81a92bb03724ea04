//! Storage objects and wallets, as server code and operators see them.

use base::json::{self, Json, Object};
use base::limits::{LEDGER_PAGE_MAX, OBJECTS_PAGE_MAX};
use base::{LedgerId, UnixTime, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::economy::object::{Ack, Found, Id, Place};
use domain::economy::wallet::{self, Amounts, Entry, Updated};

use super::console::limit;
use super::storage;
use crate::console::{BelongingsAct, Console, MultiUpdate, WalletUpdate};
use crate::error::Error;
use crate::http::Call;
use crate::json::Message;
use crate::request::{ObjectChange, ObjectList, ObjectValue, Request};

// What is asked for.

fn request(act: BelongingsAct) -> Result<Request, Error> {
    Ok(Request::Console(Console::Belongings(act)))
}

/// The object that a path names; an owner of zeros is the system.
fn named(call: &Call<'_>) -> ObjectChange {
    ObjectChange {
        collection: call.part("collection").to_owned(),
        key: call.part("key").to_owned(),
        user: call.part("user_id").to_owned(),
        version: call.part("version").to_owned(),
        value: None,
    }
}

pub(crate) fn object_list(call: &Call<'_>) -> Result<Request, Error> {
    let text = |name| call.query.text(name).map(|text| text.unwrap_or_default().to_owned());
    request(BelongingsAct::ObjectList(ObjectList {
        collection: text("collection")?,
        user: text("user_id")?,
        limit: limit(call, OBJECTS_PAGE_MAX, OBJECTS_PAGE_MAX)?,
        cursor: text("cursor")?,
    }))
}

pub(crate) fn object_get(call: &Call<'_>) -> Result<Request, Error> {
    request(BelongingsAct::ObjectGet(named(call)))
}

pub(crate) fn object_write(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let value = ObjectValue {
        text: message.text("value")?,
        permission_read: message.int32_wrapper("permission_read")?.unwrap_or(1),
        permission_write: message.int32_wrapper("permission_write")?.unwrap_or(1),
    };
    let version = message.text("version")?;
    message.finish()?;
    let change = ObjectChange { version, value: Some(value), ..named(call) };
    request(BelongingsAct::ObjectWrite(change))
}

pub(crate) fn object_delete(call: &Call<'_>) -> Result<Request, Error> {
    request(BelongingsAct::ObjectDelete(named(call)))
}

pub(crate) fn ledger(call: &Call<'_>) -> Result<Request, Error> {
    request(BelongingsAct::Ledger {
        user: call.part("id").to_owned(),
        limit: limit(call, LEDGER_PAGE_MAX, LEDGER_PAGE_MAX)?,
        cursor: call.query.text("cursor")?.unwrap_or_default().to_owned(),
    })
}

pub(crate) fn ledger_delete(call: &Call<'_>) -> Result<Request, Error> {
    let (user, entry) = (call.part("id").to_owned(), call.part("wallet_id").to_owned());
    request(BelongingsAct::LedgerDelete { user, entry })
}

pub(crate) fn multi_update(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    if message.take("account_updates")?.is_some_and(|updates| updates != Json::List(Vec::new())) {
        return Err(Error::invalid("account_updates are not taken here."));
    }
    let writes = message.messages("storage_writes")?.into_iter().map(storage::write);
    let writes = writes.collect::<Result<_, _>>()?;
    let deletes = message.messages("storage_deletes")?.into_iter().map(storage::name);
    let deletes = deletes.collect::<Result<_, _>>()?;
    let wallets = message.messages("wallet_updates")?.into_iter().map(wallet_update);
    let wallets = wallets.collect::<Result<_, _>>()?;
    let updates_ledger = message.flag("update_ledger")?;
    message.finish()?;
    request(BelongingsAct::Update(MultiUpdate { writes, deletes, wallets, updates_ledger }))
}

fn wallet_update(mut message: Message) -> Result<WalletUpdate, Error> {
    let (user, changeset) = (message.text("user_id")?, message.int64_map("changeset")?);
    let metadata = match message.take("metadata")? {
        None => String::new(),
        Some(Json::Text(text)) => text,
        Some(value) => json::text_of(&value),
    };
    Ok(WalletUpdate { user, changeset, metadata })
}

// What it means.

/// Whose it is; without a text, the system's.
pub fn owner(text: &str) -> Result<UserId, Error> {
    match text {
        "" => Ok(domain::economy::object::SYSTEM),
        text => UserId::parse(text)
            .ok_or_else(|| Error::invalid("Invalid user id: it has to be a UUID, or empty.")),
    }
}

pub fn id(named: &ObjectChange) -> Result<Id, Error> {
    let user = owner(&named.user)?;
    Ok(Id { user, collection: named.collection.clone(), key: named.key.clone() })
}

pub fn update(update: WalletUpdate) -> Result<(UserId, wallet::Update), Error> {
    let user = UserId::parse(&update.user);
    let user = user.ok_or_else(|| Error::invalid("wallet_updates: user_id is not a UUID."))?;
    Ok((user, wallet::Update::parse(update.changeset, &update.metadata)?))
}

/// The id of an entry of a ledger.
pub fn entry_id(text: &str) -> Result<LedgerId, Error> {
    let id = LedgerId::parse(text);
    id.ok_or_else(|| Error::invalid("Invalid wallet id: it has to be a UUID."))
}

pub fn ledger_cursor(text: &str) -> Result<Option<LedgerId>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    id.map(LedgerId::from_bytes).map(Some).ok_or_else(|| Error::invalid("Malformed cursor."))
}

/// The collection and the place behind which a page of everything that an owner has begins.
pub fn all_cursor((collection, place): &(String, Place)) -> String {
    let length = u16::try_from(collection.len()).expect("names of collections are short");
    let (user, key) = (place.user.as_bytes(), place.key.as_bytes());
    let bytes = [&length.to_be_bytes(), collection.as_bytes(), &[place.permission_read], user, key];
    URL_SAFE_NO_PAD.encode(bytes.concat())
}

pub fn parse_all_cursor(text: &str) -> Result<Option<(String, Place)>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (length, rest) = bytes.split_first_chunk()?;
        let (collection, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let collection = String::from_utf8(collection.to_vec()).ok()?;
        let place = storage::place(rest)?;
        Some((collection, place))
    };
    whole().map(Some).ok_or_else(|| Error::invalid("Malformed cursor."))
}

// What is answered.

pub fn object(found: &Found) -> String {
    json::object(|o| storage::found(found, o))
}

/// A page of everything that an owner has.
pub fn objects(found: &[Found], next: Option<&(String, Place)>) -> String {
    json::object(|o| {
        o.list("objects", found, storage::found);
        o.text_wrapper("cursor", next.map(all_cursor).as_deref());
    })
}

pub fn ack(ack: &Ack) -> String {
    json::object(|o| storage::ack(ack, o))
}

/// What a change of several owners leaves.
pub fn updated(acks: &[Ack], wallets: &[Updated]) -> String {
    json::object(|o| {
        o.list("acks", acks, storage::ack);
        o.list("wallet_updates", wallets, |updated, o| {
            o.shown("user_id", updated.user);
            o.raw("updated", &amounts(&updated.updated));
            o.raw("previous", &amounts(&updated.previous));
        });
    })
}

fn amounts(amounts: &Amounts) -> String {
    wallet::text(amounts)
}

pub fn ledger_page(user: UserId, page: &wallet::Page) -> String {
    json::object(|o| {
        o.list("items", &page.entries, |(id, entry), o| ledger_entry(user, *id, entry, o));
        let next = page.next.map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes()));
        o.text_wrapper("next_cursor", next.as_deref());
    })
}

pub(crate) fn ledger_entry(user: UserId, id: LedgerId, entry: &Entry, o: &mut Object<'_>) {
    o.shown("id", id);
    o.shown("user_id", user);
    o.text("changeset", &entry.changeset);
    o.text("metadata", &entry.metadata);
    o.shown("create_time", UnixTime::from_secs(entry.create_time / 1_000_000));
    o.shown("update_time", UnixTime::from_secs(entry.update_time / 1_000_000));
}

/// What the audit trail keeps of a change: not the value, which belongs to a player.
pub(crate) fn detail(act: &BelongingsAct, o: &mut Object<'_>) {
    match act {
        BelongingsAct::ObjectWrite(change) => {
            o.text("version", &change.version);
            if let Some(value) = &change.value {
                o.raw("bytes", &value.text.len().to_string());
                o.int32("permission_read", value.permission_read);
                o.int32("permission_write", value.permission_write);
            }
        }
        BelongingsAct::ObjectDelete(change) => o.text("version", &change.version),
        BelongingsAct::LedgerDelete { entry, .. } => o.text("wallet_id", entry),
        BelongingsAct::ObjectList(_)
        | BelongingsAct::ObjectGet(_)
        | BelongingsAct::Ledger { .. }
        | BelongingsAct::Update(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::http;
    use crate::ops::{Door, Operations};

    fn decode(method: &str, target: &str, body: &str) -> Result<BelongingsAct, Error> {
        let request = http::Request {
            method: method.into(),
            target: format!("/v2/console/{target}"),
            body: body.to_owned().into(),
            door: Door::Operators,
            ..http::Request::default()
        };
        match Operations::all().router.find(&request)?.decode(&request)? {
            Request::Console(Console::Belongings(act)) => Ok(act),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_update_of_several_owners_is_read_whole() {
        let body = r#"{"storage_writes":[{"collection":"c","key":"k","user_id":"u","value":"{}"}],
            "storageDeletes":[{"collection":"c","key":"d","version":"v"}],
            "wallet_updates":[{"user_id":"u","changeset":{"coins":-5,"gems":"7"},
            "metadata":{"why":[1,null,"x"]}}],"update_ledger":true}"#;
        let Ok(BelongingsAct::Update(update)) = decode("POST", "multi_update", body) else {
            panic!("no update")
        };
        let value = ObjectValue { text: "{}".into(), permission_read: 1, permission_write: 1 };
        assert_eq!(update.writes[0].value, Some(value));
        assert_eq!((&*update.deletes[0].key, &*update.deletes[0].version), ("d", "v"));
        let WalletUpdate { changeset, metadata, .. } = &update.wallets[0];
        assert_eq!(metadata, r#"{"why":[1,null,"x"]}"#);
        let expected = [("coins".to_owned(), -5), ("gems".to_owned(), 7)];
        assert_eq!(*changeset, Amounts::from(expected));
        assert!(update.updates_ledger);
        for wrong in [
            r#"{"wallet_updates":[{"changeset":{"coins":1.5}}]}"#,
            r#"{"wallet_updates":[{"changeset":{"coins":9223372036854775808}}]}"#,
            r#"{"wallet_updates":{}}"#,
            r#"{"account_updates":[{}]}"#,
            "[]",
        ] {
            assert!(decode("POST", "multi_update", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_object_is_named_by_its_path() {
        let act = decode("DELETE", "storage/a%20b/k/u/v", "");
        let Ok(BelongingsAct::ObjectDelete(change)) = act else { panic!("{act:?}") };
        let names = (&*change.collection, &*change.key, &*change.user, &*change.version);
        assert_eq!(names, ("a b", "k", "u", "v"));
        let act = decode("PUT", "storage/c/k/u", r#"{"value":"{}","permission_write":0}"#);
        let Ok(BelongingsAct::ObjectWrite(change)) = act else { panic!("{act:?}") };
        let value = ObjectValue { text: "{}".into(), permission_read: 1, permission_write: 0 };
        assert_eq!(change.value, Some(value));
    }

    #[test]
    fn answers_show_what_was_and_what_is() {
        let user = UserId::from_bytes([7; 16]);
        let of = |amount| Amounts::from([("coins".to_owned(), amount)]);
        let updated = Updated { user, previous: of(0), updated: of(5) };
        expect![[r#"{"wallet_updates":[{"user_id":"07070707-0707-0707-0707-070707070707","updated":{"coins": 5},"previous":{"coins": 0}}]}"#]]
        .assert_eq(&super::updated(&[], &[updated]));
        let entry = Entry {
            changeset: "{\"coins\": 5}".into(),
            metadata: "{}".into(),
            create_time: 1_000_001,
            update_time: 1_000_001,
        };
        let id = LedgerId::from_bytes([1; 16]);
        let page = wallet::Page { entries: vec![(id, entry)], next: Some(id) };
        expect![[r#"{"items":[{"id":"01010101-0101-0101-0101-010101010101","user_id":"07070707-0707-0707-0707-070707070707","changeset":"{\"coins\": 5}","metadata":"{}","create_time":"1970-01-01T00:00:01Z","update_time":"1970-01-01T00:00:01Z"}],"next_cursor":"AQEBAQEBAQEBAQEBAQEBAQ"}"#]]
        .assert_eq(&ledger_page(user, &page));
    }

    proptest! {
        #[test]
        fn cursors_lead_back_and_forged_ones_do_not_panic(bytes: Vec<u8>, key in "[^\0]*") {
            let user = UserId::from_bytes([3; 16]);
            let whole = ("saves".to_owned(), Place { permission_read: 1, key, user });
            prop_assert_eq!(parse_all_cursor(&all_cursor(&whole)), Ok(Some(whole)));
            let forged = URL_SAFE_NO_PAD.encode(bytes);
            let _ = (parse_all_cursor(&forged), ledger_cursor(&forged));
        }
    }
}
