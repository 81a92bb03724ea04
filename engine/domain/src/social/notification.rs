//! Notifications: what the server tells a user out of turn.

use base::{NotificationId, UnixTime};

/// A notification of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: NotificationId,
    pub code: Code,
    /// JSON, an object.
    pub content: String,
    pub create_time: UnixTime,
}

/// Nakama's reserved codes, as far as the server sends them by itself, and from -100 on those of
/// declared queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A newer socket took the place of this one.
    SingleSocket,
    /// The account is banned.
    Banned,
    /// A match was found, and waits for the player to accept it.
    MatchFound,
    /// A match came to nothing, and the ticket waits again.
    QueueRejoined,
    /// The ticket waits no more.
    QueueLeft,
}

impl Code {
    pub fn number(self) -> i32 {
        match self {
            Code::SingleSocket => -7,
            Code::Banned => -8,
            Code::MatchFound => -100,
            Code::QueueRejoined => -101,
            Code::QueueLeft => -102,
        }
    }

    pub fn subject(self) -> &'static str {
        match self {
            Code::SingleSocket => "single_socket",
            Code::Banned => "banned",
            Code::MatchFound => "match_found",
            Code::QueueRejoined => "queue_rejoined",
            Code::QueueLeft => "queue_left",
        }
    }
}
