//! What players own.

pub mod object;
