//! What clients ask for, decoded but not judged: texts are as they came.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::identity::token::Vars;

/// One call of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Root,
    Healthcheck,
    AuthenticateDevice(AuthenticateDevice),
    SessionRefresh { token: String, vars: Vars },
    SessionLogout { token: String, refresh_token: String },
    AccountGet,
    UsersGet { ids: Vec<String>, usernames: Vec<String>, facebook_ids: Vec<String> },
    SocketOpen(SocketOpen),
    Ping,
    Pong,
    StatusFollow { user_ids: Vec<String>, usernames: Vec<String> },
    StatusUnfollow { user_ids: Vec<String> },
    StatusUpdate { status: Option<String> },
    MatchmakerAdd(MatchmakerAdd),
    MatchmakerRemove { ticket: String },
    MatchCreate { name: String },
    MatchJoin { target: Option<MatchTarget> },
    MatchLeave { match_id: String },
    MatchDataSend(MatchDataSend),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticateDevice {
    pub id: String,
    pub vars: Vars,
    pub create: bool,
    pub username: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOpen {
    /// The session token, from the `Authorization` header if there is one, else from the query.
    pub token: Option<String>,
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
    /// (user id, session id) of each presence that the data is for; empty: for all others.
    pub presences: Vec<(String, String)>,
    pub reliable: bool,
}
