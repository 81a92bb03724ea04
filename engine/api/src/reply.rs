//! What operations answer, before it is written in a wire format.

use std::cmp::Reverse;
use std::sync::Arc;

use base::{PartyId, Secret, TicketId, UnixTime, UserId};
use domain::compete::leaderboard::{Records, Written};
use domain::compete::tournament::Shown;
use domain::economy::object::{Ack, Found};
use domain::identity::account::User;
use domain::play::party::{Address, MaxSize, View};
use domain::play::relay::Joined;
use domain::presence::Presence;
use domain::social::status::StatusPresence;

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing but success.
    Empty,
    /// `GET /`: success without a body.
    Root,
    Session {
        created: bool,
        token: Secret,
        refresh_token: Secret,
    },
    Account {
        user: UserView,
    },
    Users {
        users: Vec<UserView>,
    },
    ServerToken {
        token: Secret,
    },
    /// The keys that tokens for dedicated servers are verified by, as a whole JSON document.
    PublicKeys {
        json: Arc<str>,
    },
    /// A whole JSON document.
    Document {
        json: Arc<str>,
    },
    /// The metrics of the process, in Prometheus' text format.
    Metrics {
        text: Arc<str>,
    },
    Objects {
        found: Vec<Found>,
    },
    ObjectAcks {
        acks: Vec<Ack>,
    },
    ObjectList {
        found: Vec<Found>,
        /// Where the next page begins, if there is one.
        cursor: Option<String>,
    },
    /// A record of a board, as it is after a write.
    Record(Box<Written>),
    Records {
        records: Arc<Records>,
        /// The cursor of the next page stands for the one before, too.
        repeats_next: bool,
    },
    Tournaments {
        tournaments: Vec<Shown>,
        cursor: Option<String>,
    },
    Pong,
    Status {
        presences: Vec<StatusPresence>,
    },
    /// `size` as Nakama counts it: with the joiner on create, the others on a first join.
    Match {
        joined: Joined,
        size: usize,
    },
    MatchmakerTicket {
        ticket: TicketId,
    },
    MatchmakerStats(MatchmakerStats),
    /// What a function gave; the id is as it was sent.
    Rpc {
        id: String,
        payload: String,
    },
    /// A new party.
    Party {
        view: Box<View>,
    },
    /// Who asks to be let into a party.
    PartyRequests {
        address: Address,
        presences: Vec<Presence>,
    },
    PartyTicket {
        address: Address,
        ticket: TicketId,
    },
    Parties {
        parties: Vec<ListedParty>,
        /// Where the next page begins, if there is one.
        cursor: Option<String>,
    },
}

/// A party as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedParty {
    pub place: PartyPlace,
    pub address: Address,
    pub open: bool,
    pub max_size: MaxSize,
    pub label: Arc<str>,
}

/// Where a party stands in a list: the best hits first, of those the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartyPlace {
    /// A number that rises with the score.
    pub score: Reverse<u64>,
    pub created: Reverse<UnixTime>,
    pub id: PartyId,
}

/// What waits in the matchmaker, and what was matched last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchmakerStats {
    pub tickets: usize,
    pub oldest: Option<UnixTime>,
    /// Of each player, when their ticket was created and when it was matched.
    pub completions: Vec<(UnixTime, UnixTime)>,
}

/// A user together with what their sessions say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    pub id: UserId,
    pub user: User,
    pub online: bool,
}
