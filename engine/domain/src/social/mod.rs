//! Who sees whom, and who is told what.

pub mod notification;
pub mod status;
