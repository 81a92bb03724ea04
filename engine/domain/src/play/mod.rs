//! Playing together.

pub mod relay;
