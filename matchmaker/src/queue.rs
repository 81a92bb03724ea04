//! Declared queues: rated, role-aware, party-aware matching.

mod balance;
mod definition;
mod entrant;
mod packed;
mod parse;
mod roles;
mod steps;

pub use definition::{Attribute, Definition, Rating, Role, Rule, Stage, System, Team};
pub use entrant::{Unfit, Why};
pub use steps::Steps;
