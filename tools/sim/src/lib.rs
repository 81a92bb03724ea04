//! The simulator: whole clusters of the production code from a seed, with faults and invariants.
//!
//! # Purpose
//! Runs shards and the store under schedules, crashes and clients that a seed chooses, and judges
//! everything that leaves them.
//!
//! # Owns
//! The bus, the disk, the clock and the clients of a [`cluster::Cluster`].
//!
//! # Invariants
//! - The same seed gives the same trace, in this process and in any other.
//! - Order holds within a link and nowhere else.
//!
//! # Never
//! Reads a clock or draws randomness inside a run, changes what production code does.

pub mod campaign;
pub mod check;
pub mod cluster;
pub mod faults;
pub mod workload;
