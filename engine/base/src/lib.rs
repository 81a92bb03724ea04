//! The ground every other crate stands on.
//!
//! # Purpose
//! Ids, time, limits, error codes, changes and their offsets, randomness, JSON values, timers.
//!
//! # Owns
//! Nothing: values and pure functions only.
//!
//! # Invariants
//! The same input gives the same output, on every machine and in every run.
//!
//! # Never
//! Reads a clock, asks the system for randomness, opens a file or a socket, starts a thread.

pub mod change;
pub mod code;
pub mod collections;
pub mod id;
pub mod json;
pub mod jsonb;
pub mod limits;
pub mod rng;
pub mod secret;
pub mod time;
pub mod timer;

pub use change::{BatchId, Change, ChangeRef, Frame, Offset, Range, Table};
pub use code::Code;
pub use id::{
    ClientAddress, ConnectionId, MatchId, NotificationId, PartyId, SessionId, ShardId, TicketId,
    TokenId, UserId,
};
pub use rng::Rng;
pub use secret::Secret;
pub use time::{Instant, Now, UnixTime};
