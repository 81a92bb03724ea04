//! The store through its public interface: on a folder, in order, and through crashes and faults.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

mod crash;
mod fixture;
mod folder;
mod order;
