//! Waiting players brought together.
//!
//! # Purpose
//! Tickets of players and parties, each with a query that says whom it accepts, and the matches
//! they form: at once when a full one exists ([`Mode::Immediate`]), or in passes exactly as Nakama
//! forms them ([`Mode::Compatible`]).
//!
//! # Owns
//! The waiting tickets of one pool, their indexes, the searches under way, and the matches formed
//! but not yet taken. The query language, which other lists speak, too.
//!
//! # Invariants
//! - A ticket is in at most one match, and in none after its removal.
//! - Every member of a match accepts its size: inside its bounds, a multiple of its multiple.
//! - The one that searched accepts all others by its query; with `rev_precision`, all accept all.
//! - No two members of a match are of the same session.
//! - The same calls give the same matches.
//!
//! # Never
//! Reads a clock, does IO, iterates over a map without order, does more in one step than its budget
//! says.

mod arrival;
mod cell;
mod explain;
mod group;
mod index;
mod leaf;
mod plan;
mod plans;
mod pool;
pub mod query;
pub mod queue;
mod row;
mod search;
mod shape;
mod slab;
mod sorted;
mod table;
mod terms;
mod ticket;
mod waiting;

pub use explain::{Explanation, Listed, Nearest};
pub use pool::{Match, Mode, Pool, Settings};
pub use query::Query;
pub use ticket::{Counts, Error, Owner, Presence, Ticket};
