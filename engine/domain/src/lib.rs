//! The features: what a game backend knows and decides, free of wire, disk and threads.
//!
//! # Purpose
//! Accounts, sessions, statuses, relayed matches, parties, results, ratings and operators as state
//! machines over a [`ctx::View`].
//!
//! # Owns
//! The rules, the errors they give and the records they keep ([`record`]).
//!
//! # Invariants
//! A feature touches the world only through [`ctx::Ctx`]. An `apply` that fails has pushed no
//! effect.
//!
//! # Never
//! Names the wire (`api`), another group's feature, a clock, a file, a socket or a thread.

pub mod compete;
pub mod ctx;
pub mod economy;
pub mod effect;
pub mod identity;
pub mod operator;
pub mod play;
pub mod presence;
pub mod record;
pub mod social;
