//! The wire: Nakama's client API as one table of operations.
//!
//! # Purpose
//! Turns HTTP requests and realtime envelopes into [`request::Request`]s, and [`reply::Reply`]s,
//! events and errors into HTTP responses and envelopes.
//!
//! # Owns
//! The operation table ([`ops`]), the JSON mapping ([`json`]) and the mapping of errors
//! ([`error`]).
//!
//! # Invariants
//! Everything a transport needs to know of an operation derives from its row.
//!
//! # Never
//! Decides anything about the game: it decodes structure, the features judge values.

pub mod console;
pub mod convert;
pub mod cors;
pub mod error;
pub mod http;
pub mod json;
pub mod ops;
pub mod realtime;
pub mod reply;
pub mod request;

pub use error::Error;
