//! Decoders and encoders, a file for each group of operations.

pub mod account;
pub mod belongings;
pub mod board;
pub mod board_config;
pub mod board_console;
pub mod console;
pub mod identity;
pub mod matchmaking;
pub mod party;
pub mod play;
pub mod queue;
pub mod rating;
pub mod server;
pub mod status;
pub mod storage;
