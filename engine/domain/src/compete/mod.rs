//! What players win and lose: ratings.

pub mod rating;
