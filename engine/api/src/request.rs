//! What clients ask for, decoded but not judged: texts are as they came.

use std::collections::BTreeMap;

use base::{Secret, UserId};
use bytes::Bytes;
use domain::compete::leaderboard::{By, Wish, Write};
use domain::compete::tournament::Filter;
use domain::identity::provider::Proof;
use domain::identity::token::Vars;

use crate::console::Console;

/// What is asked of storage objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    Read(Vec<ObjectChange>),
    Change(Vec<ObjectChange>),
    List(ObjectList),
}

/// An object that is named, or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectChange {
    pub collection: String,
    pub key: String,
    pub user: String,
    pub version: String,
    pub value: Option<ObjectValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectValue {
    pub text: String,
    pub permission_read: i32,
    pub permission_write: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectList {
    pub collection: String,
    /// Empty: of everybody.
    pub user: String,
    pub limit: usize,
    pub cursor: String,
}

/// One call of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Root,
    Healthcheck,
    /// The public keys of tokens for dedicated servers.
    ServerKeysGet,
    Authenticate(Authenticate),
    SessionRefresh {
        token: Secret,
        vars: Vars,
    },
    SessionLogout {
        token: Secret,
        refresh_token: Secret,
    },
    /// A token that a dedicated server of this audience can verify by itself.
    ServerTokenGet {
        audience: String,
    },
    AccountGet,
    MatchmakerStatsGet,
    AccountUpdate(AccountUpdate),
    AccountDelete,
    Link(Credentials),
    /// Empty texts stand for whatever is linked.
    Unlink(Credentials),
    AccountExport {
        user: UserId,
    },
    UsersBan {
        users: Vec<UserId>,
    },
    UsersUnban {
        users: Vec<UserId>,
    },
    UsersGet {
        ids: Vec<String>,
        usernames: Vec<String>,
        facebook_ids: Vec<String>,
    },
    Storage(Storage),
    SocketOpen(SocketOpen),
    Ping,
    Pong,
    StatusFollow {
        user_ids: Vec<String>,
        usernames: Vec<String>,
    },
    StatusUnfollow {
        user_ids: Vec<String>,
    },
    StatusUpdate {
        status: Option<String>,
    },
    MatchmakerAdd(MatchmakerAdd),
    MatchmakerRemove {
        ticket: String,
    },
    /// A function of the server.
    Rpc {
        id: String,
        payload: String,
    },
    MatchCreate {
        name: String,
    },
    MatchJoin {
        target: Option<MatchTarget>,
    },
    MatchLeave {
        match_id: String,
    },
    MatchDataSend(MatchDataSend),
    PartyCreate(PartyCreate),
    /// Something done to a party that may be there.
    Party {
        party_id: String,
        act: PartyAct,
    },
    PartyList(PartyList),
    /// Something asked of a leaderboard or tournament that may be there.
    Board {
        board: String,
        act: Box<BoardAct>,
    },
    Tournaments(Filter),
    /// Of an operator.
    Console(Console),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    pub credentials: Credentials,
    pub vars: Vars,
    pub create: bool,
    pub username: String,
}

/// What a client shows to sign in, or to be able to later. Its `Debug` form shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Device { id: String },
    Custom { id: String },
    Email { email: String, password: String },
    Proof(Proof),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Device { id } => write!(f, "Device({id:?})"),
            Credentials::Custom { id } => write!(f, "Custom({id:?})"),
            Credentials::Email { email, .. } => write!(f, "Email({email:?}, …)"),
            Credentials::Proof(proof) => proof.fmt(f),
        }
    }
}

/// New values; `None` leaves what is there, an empty text clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountUpdate {
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub lang_tag: Option<String>,
    pub location: Option<String>,
    pub timezone: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOpen {
    /// The session token, from the `Authorization` header if there is one, else from the query.
    pub token: Option<Secret>,
    pub format: String,
    /// Appear online at once.
    pub status: bool,
    /// Whether the request is a whole WebSocket handshake.
    pub is_handshake: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MatchmakerAdd {
    pub min_count: i32,
    pub max_count: i32,
    pub count_multiple: Option<i32>,
    pub query: String,
    pub string_properties: BTreeMap<String, String>,
    pub numeric_properties: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchTarget {
    Id(String),
    Token(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchDataSend {
    pub match_id: String,
    pub op_code: i64,
    pub data: Bytes,
    /// Whom the data is for; empty: for all others.
    pub presences: Vec<UserPresence>,
    pub reliable: bool,
}

/// A session as a client names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPresence {
    pub user_id: String,
    pub session_id: String,
    pub username: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyCreate {
    pub max_size: i32,
    pub settings: PartySettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartySettings {
    pub open: bool,
    pub hidden: bool,
    pub label: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PartyAct {
    Join,
    Leave,
    Promote(UserPresence),
    Accept(UserPresence),
    Remove(UserPresence),
    Close,
    Requests,
    Update(PartySettings),
    MatchmakerAdd(MatchmakerAdd),
    MatchmakerRemove { ticket: String },
    Send { op_code: i64, data: Bytes },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyList {
    /// Parties of one page, from 1 to [`base::limits::PARTY_PAGE_MAX`].
    pub limit: usize,
    pub open: Option<bool>,
    /// Over what is known of a party; empty for all.
    pub query: String,
    /// Where an earlier page ended; empty for the first one.
    pub cursor: String,
}

/// What clients ask of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardAct {
    Write { write: Write, by: By },
    Delete { by: By },
    List { wish: Wish, by: By },
    Around { owner: UserId, wish: Wish, by: By },
    Join,
}
