//! What players win and lose: results of matches and ratings.

pub mod rank;
pub mod rating;
pub mod result;
pub mod schedule;
