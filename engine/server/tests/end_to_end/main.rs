//! The whole server from outside: its process, its sockets, its data folder, and the stock SDK.
//!
//! Numbers of rows are those of the compatibility checklist.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

mod backup;
mod client;
mod configuration;
mod drain;
mod durability;
mod encoding;
mod http;
mod limits;
mod operators;
mod patience;
mod process;
mod queues;
mod scripts;
mod secrets;
mod start;
mod tls;
mod traces;
