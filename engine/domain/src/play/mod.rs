//! Playing together.

pub mod party;
pub mod relay;
