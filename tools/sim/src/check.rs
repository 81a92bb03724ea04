//! What has to be true, in sentences: of the rows on disk, of what was acknowledged, of sockets
//! and of tickets. What does not hold is a panic with the sentence.

pub mod board;
pub mod object;
pub mod party;
pub mod queue;
pub mod socket;
pub mod ticket;

use std::collections::{BTreeMap, BTreeSet};

use base::json::Json;
use base::{Table, TokenId, UserId};
use domain::identity::alias::{Alias, Kind};
use domain::operator::queue::Queues;
use domain::record::alias::AliasOwner;
use domain::record::audit::{AuditEntry, AuditHead, HEAD};
use domain::record::revocation::Revocation;
use domain::record::user::User;
use domain::record::{self, Record};

use crate::cluster::client::{Login, claims, text_of};
use crate::cluster::store::Store;
use crate::cluster::{ALIASES, Cluster, REFRESH_LIFE, REVOCATIONS, TOKEN_LIFE, USERS};

const AUDIT: Table = AuditEntry::TABLE;
const AUDIT_HEAD: Table = AuditHead::TABLE;

/// Aliases and users point at each other: an alias is one account's, and a batch is durable as a
/// whole. So do objects and their lists.
pub fn invariant_rows_belong_together(store: &Store) {
    let mut count = 0;
    for (key, value) in store.rows(USERS) {
        let user = decode::<User>(value);
        let name = (Kind::Username.number(), user.username.as_str());
        let credentials = user.credentials.iter().map(|known| (known.kind, known.text.as_str()));
        for (kind, text) in credentials.chain([name]) {
            count += 1;
            let row = store.get(ALIASES, &[&[kind], text.as_bytes()].concat());
            let owner = decode::<AliasOwner>(&row.expect("an account's alias is there")).user_id;
            assert_eq!(owner, key[..], "an alias is one account's");
        }
        assert!(!user.credentials.is_empty(), "every account can be signed in to");
    }
    assert_eq!(store.rows(ALIASES).count(), count, "no alias is left behind");
    object::invariant_objects_are_listed(store);
}

/// The audit trail has no gap, and every change by an operator that was acknowledged.
pub fn invariant_trail_is_whole(store: &Store, acknowledged: u64) {
    let newest = store.get(AUDIT_HEAD, HEAD).map_or(0, |row| decode::<AuditHead>(&row).newest);
    let numbers: Vec<_> = store.rows(AUDIT).map(|(key, _)| key.to_vec()).collect();
    let expected: Vec<_> = (1..=newest).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(numbers, expected, "the audit trail has no gap");
    assert!(newest >= acknowledged, "an answer tells what is durable");
}

/// At rest, tickets are judged by the definitions on disk.
pub fn invariant_queues_are_on_disk(cluster: &Cluster) {
    let written = cluster.store.get(Queues::TABLE, record::queue::KEY);
    let written = written.map(|row| decode::<Queues>(&row)).unwrap_or_default().queues;
    let configured = cluster.config.queues.iter().map(|queue| (queue.id.clone(), queue.text()));
    let mut expected: BTreeMap<_, _> = configured.collect();
    expected.extend(written.into_iter().map(|queue| (queue.id, queue.definition)));
    let in_force = cluster.queues().into_iter();
    let in_force: BTreeMap<_, _> =
        in_force.map(|(id, queue)| (id, queue.definition.text())).collect();
    assert_eq!(in_force, expected, "tickets are judged by the definitions on disk");
}

/// A link that was acknowledged was durable: the alias has led to the user, and did before
/// everything that the user's tokens of that age could do had ended.
pub fn invariant_linked(store: &Store, alias: &Alias, login: &Login) {
    let user = UserId::parse(&login.user_id).expect("a user id");
    let leads = |row: Option<&bytes::Bytes>| {
        row.is_some_and(|row| decode::<AliasOwner>(row).user_id == *user.as_bytes())
    };
    let linked = store.first(ALIASES, &alias.key(), leads);
    let linked = linked.expect("an answer tells what is durable");
    let ends = |row: Option<&bytes::Bytes>| {
        row.is_some_and(|row| issued(login) < decode::<Revocation>(row).issued_before)
    };
    let ended = store.first(REVOCATIONS, user.as_bytes(), ends);
    assert!(ended.is_none_or(|ended| linked < ended), "a dead token changes nothing");
}

/// A deletion that was acknowledged was durable, and user ids are never used again.
pub fn invariant_deleted(store: &Store, user_id: &str) {
    let user = UserId::parse(user_id).expect("a user id");
    assert!(store.get(USERS, user.as_bytes()).is_none(), "a deleted account stays deleted");
    let is_gone = |row: Option<&bytes::Bytes>| row.is_none();
    let gone = store.first(USERS, user.as_bytes(), is_gone);
    assert!(gone.is_some(), "an answer tells what is durable");
}

/// What clients were told and may rely on.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// User id and name by device.
    accounts: BTreeMap<String, (String, String)>,
    /// Devices whose account somebody was told to be new.
    created: BTreeSet<String>,
    /// Session tokens that were logged out.
    pub dead: BTreeSet<String>,
    /// Seconds before which every token of the user is dead.
    pub dead_before: BTreeMap<String, u64>,
}

impl Acknowledged {
    /// A device signs in to one account for ever, and who was told of it finds it on disk.
    pub fn invariant_sign_in(&mut self, store: &Store, device: &str, login: &Login) {
        let row = store.get(ALIASES, &device_key(device));
        let owner = decode::<AliasOwner>(&row.expect("an answer tells what is durable"));
        let owner = UserId::from_bytes(owner.user_id).to_string();
        assert_eq!(owner, login.user_id, "an answer tells what is durable");
        let account = (login.user_id.clone(), login.username.clone());
        match self.accounts.get(device) {
            Some(known) => assert_eq!(*known, account, "a device signs in to one account"),
            None => drop(self.accounts.insert(device.to_owned(), account)),
        }
        if login.created {
            assert!(self.created.insert(device.to_owned()), "an account is created once");
        }
    }

    /// A sign-in is refused for its name only when the name is taken for certain. Its owner may be
    /// the same device, by another request at the same time.
    pub fn invariant_conflict(store: &Store, name: &str) {
        let key = Alias::username(name).expect("a name").key();
        assert!(store.get(ALIASES, &key).is_some(), "a taken name is durable");
    }

    /// An acknowledged logout is on disk as long as the token would be good without it.
    pub fn invariant_logout(&mut self, store: &Store, login: &Login, second: u64) {
        let is_expired = issued(login) + TOKEN_LIFE <= second;
        assert!(
            is_expired || is_logged_out(store, login, false),
            "an answer tells what is durable"
        );
        self.dead.insert(login.token.clone());
    }

    pub fn invariant_logout_all(&mut self, store: &Store, user_id: &str, second: u64) {
        let revocation = revocation(store, user_id).expect("an answer tells what is durable");
        assert!(revocation.issued_before >= second, "an answer tells what is durable");
        let before = self.dead_before.entry(user_id.to_owned()).or_default();
        *before = second.max(*before);
    }

    /// Whether the session token is logged out for certain.
    pub fn is_dead(&self, login: &Login) -> bool {
        let before = self.dead_before.get(&login.user_id).copied().unwrap_or_default();
        self.dead.contains(&login.token) || issued(login) < before
    }

    /// A token that was logged out for certain when it was shown is not good.
    pub fn invariant_dead(is_dead: bool) {
        assert!(!is_dead, "a dead token was good");
    }

    /// A token is refused only when it has expired, or its logout or its user's ban is durable.
    pub fn invariant_refusal(store: &Store, login: &Login, is_refresh: bool, second: u64) {
        let is_expired = match is_refresh {
            true => issued(login) + REFRESH_LIFE <= second,
            false => issued(login) + TOKEN_LIFE <= second,
        };
        assert!(
            is_expired || is_logged_out(store, login, is_refresh) || was_banned(store, login),
            "a good token is refused, or a logout is told of before it is durable"
        );
    }

    /// Whether every token of its age is dead.
    pub fn is_revoked(store: &Store, login: &Login) -> bool {
        revocation(store, &login.user_id).is_some_and(|row| issued(login) < row.issued_before)
    }

    /// Whether the session token may have died between its handshake and now.
    pub fn may_be_refused(store: &Store, login: &Login, second: u64) -> bool {
        issued(login) + TOKEN_LIFE <= second
            || is_logged_out(store, login, false)
            || was_banned(store, login)
    }

    /// What was acknowledged is on disk, whatever happened since.
    pub fn invariant_is_durable(&self, store: &Store) {
        for (device, (user_id, username)) in &self.accounts {
            let row = store.get(ALIASES, &device_key(device)).expect("acknowledged accounts stay");
            let owner = decode::<AliasOwner>(&row).user_id;
            assert_eq!(UserId::from_bytes(owner).to_string(), *user_id);
            let row = store.get(USERS, &owner).expect("acknowledged accounts stay");
            assert_eq!(decode::<User>(&row).username, *username);
        }
        for (user_id, second) in &self.dead_before {
            let revocation = revocation(store, user_id).expect("acknowledged logouts stay");
            assert!(revocation.issued_before >= *second, "acknowledged logouts stay");
        }
    }

    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.accounts.values().map(|(user, _)| user.as_str())
    }
}

fn device_key(id: &str) -> Vec<u8> {
    Alias::device(id).expect("a device").key()
}

fn is_logged_out(store: &Store, login: &Login, is_refresh: bool) -> bool {
    let Some(revocation) = revocation(store, &login.user_id) else { return false };
    let said = claims(&login.token).expect("a JWT");
    let tid = text_of(&said, "tid").expect("a token has an id");
    issued(login) < revocation.issued_before
        || revocation.tokens.iter().any(|token| {
            TokenId::from_bytes(token.token_id).to_string() == tid && token.refresh == is_refresh
        })
}

/// Whether the user's account has ever been banned, or deleted, for certain.
fn was_banned(store: &Store, login: &Login) -> bool {
    let user = UserId::parse(&login.user_id).expect("a user id");
    let is_banned =
        |row: Option<&bytes::Bytes>| row.is_none_or(|row| decode::<User>(row).is_disabled());
    store.first(USERS, user.as_bytes(), is_banned).is_some()
}

/// When the pair of tokens was issued.
fn issued(login: &Login) -> u64 {
    let said = claims(&login.token).expect("a JWT");
    let (_, rest) = said.split_once("\"exp\":").expect("an expiry");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().expect("seconds") - TOKEN_LIFE
}

fn revocation(store: &Store, user_id: &str) -> Option<Revocation> {
    let user = UserId::parse(user_id).expect("a user id");
    store.get(REVOCATIONS, user.as_bytes()).map(|row| decode(&row))
}

fn decode<R: Record>(bytes: &[u8]) -> R {
    R::decode(bytes).expect("what shards write decodes")
}

// Reading what clients hear.

fn member<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    let Json::Object(members) = value else { return None };
    members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
}

fn text<'a>(value: &'a Json, path: &str) -> Option<&'a str> {
    let found = path.split('/').try_fold(value, member)?;
    match found {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

fn list<'a>(value: &'a Json, name: &str) -> &'a [Json] {
    match member(value, name) {
        Some(Json::List(items)) => items,
        _ => &[],
    }
}

/// The session of a presence.
fn session(presence: &Json) -> String {
    text(presence, "session_id").expect("a presence has a session").to_owned()
}
