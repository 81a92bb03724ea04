//! Numbers that one thread writes and any thread reads, and the text in which they are told.
//!
//! # Purpose
//! Counts and measures at next to no cost where it happens, and writes what was counted in the text
//! format of Prometheus, version 0.0.4.
//!
//! # Owns
//! The bounds of histograms, and the form of the text.
//!
//! # Invariants
//! - Recording takes a few instructions, no lock and no memory.
//! - A counter never falls, and neither does any part of a histogram.
//! - Every family is told once, with its samples together.
//!
//! # Never
//! Knows what is counted, reads a clock, keeps a list of what there is.

mod number;
mod text;

pub use number::{Bounds, Counter, Gauge, Histogram, Padded, Tally};
pub use text::{Family, Kind, Text};
