//! `ringmaster`: a game backend in one process.
//!
//! # Purpose
//! Reads the configuration, opens the store, and runs one shard on each core until told to stop.
//!
//! # Owns
//! Threads, sockets, the clock, the data folder: everything that the shards are kept from.
//!
//! # Invariants
//! A core's shard, sockets and codecs are touched by that core's thread alone.
//!
//! # Never
//! Decides anything about the game: inputs go into a shard, its outputs are carried out.

mod address;
mod allocator;
mod bus;
mod certificate;
mod config;
mod driver;
mod executor;
mod gateway;
mod metrics;
mod password;
mod process;
mod server_key;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    let flags = config::Flags::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let config = match config::load(&flags) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("ringmaster: {error:#}");
            return ExitCode::from(2); // nothing was started
        }
    };
    match process::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringmaster: {error:#}");
            ExitCode::FAILURE
        }
    }
}
