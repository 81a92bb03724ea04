//! The store from outside: its folder, its order, its promises, crashes, refusals, backups.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod archive;
mod backup;
mod check;
mod crash;
mod fixture;
mod folder;
mod golden;
mod history;
mod model;
mod order;
mod promise;
mod refuse;
mod timeline;
mod watched;
