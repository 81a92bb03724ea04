//! Tests of the store from outside: promises, crashes, refusals.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod archive;
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
mod watched;
