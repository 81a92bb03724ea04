//! What operations answer, before it is written in a wire format.

use std::sync::Arc;

use base::{Secret, TicketId, UserId};
use domain::identity::account::User;
use domain::play::relay::Joined;
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
}

/// A user together with what their sessions say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    pub id: UserId,
    pub user: User,
    pub online: bool,
}
