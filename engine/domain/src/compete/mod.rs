//! What players win and lose: results of matches, ratings, boards.

pub mod board;
pub mod leaderboard;
pub mod rank;
pub mod rating;
pub mod reset;
pub mod result;
pub mod schedule;
pub mod tournament;
