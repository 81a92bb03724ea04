//! The store from outside: its folder, its order, its backups.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod backup;
mod fixture;
mod folder;
mod history;
mod order;
