//! Declared queues: rated, role-aware, party-aware matching.

mod definition;
mod parse;
mod steps;

pub use definition::{Attribute, Definition, Rating, Role, Rule, Stage, System, Team};
pub use steps::Steps;
