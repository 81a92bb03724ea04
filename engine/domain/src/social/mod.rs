//! Who sees whom.

pub mod status;
