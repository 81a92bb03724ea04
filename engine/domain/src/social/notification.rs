//! Notifications: what the server tells a user out of turn.

use base::{NotificationId, UnixTime};

/// A notification of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub id: NotificationId,
    pub code: Code,
    pub create_time: UnixTime,
}

/// Nakama's reserved codes, as far as the server sends them by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A newer socket took the place of this one.
    SingleSocket,
    /// The account is banned.
    Banned,
}

impl Code {
    pub fn number(self) -> i32 {
        match self {
            Code::SingleSocket => -7,
            Code::Banned => -8,
        }
    }

    pub fn subject(self) -> &'static str {
        match self {
            Code::SingleSocket => "single_socket",
            Code::Banned => "banned",
        }
    }
}
