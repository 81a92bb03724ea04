//! Waiting players brought together.
//!
//! # Purpose
//! Tickets of single players that accept anybody, and the matches they form: at once when a full
//! one exists ([`Mode::Immediate`]), or in passes exactly as Nakama forms them
//! ([`Mode::Compatible`]).
//!
//! # Owns
//! The waiting tickets of one pool, their indexes, the progress of a pass, and the matches formed
//! but not yet taken.
//!
//! # Invariants
//! - A ticket is in at most one match, and in none after its removal.
//! - Every member of a match accepts its size: inside its bounds, a multiple of its multiple.
//! - No two members of a match are of the same session.
//! - In immediate mode, no full match could be formed from the tickets that wait.
//! - The same calls give the same matches, however a pass is cut into steps.
//!
//! # Never
//! Reads a clock, does IO, iterates over a map without order, scans the pool for one search.

mod index;
mod packed;
mod pool;
pub mod query;
mod select;
mod ticket;

pub use pool::{Match, Mode, Pool, Settings};
pub use ticket::{Counts, Error, Presence, Query, Ticket};
