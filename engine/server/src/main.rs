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
mod backup;
mod backups;
mod bus;
mod certificate;
mod check;
mod config;
mod control;
mod driver;
mod executor;
mod gateway;
mod key_file;
mod logger;
mod metrics;
mod operator_key;
mod password;
mod process;
mod progress;
mod reload;
mod reporter;
mod server_key;
mod spans;
mod whole_file;

use std::io::Write as _;
use std::process::ExitCode;

use clap::ArgMatches;

use config::{Loaded, Sources, command_line};
use domain::operator::Bearer;
use logger::Logger;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    let matches = match command_line::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return command_line::refuse(&error),
    };
    match matches.subcommand() {
        None => serve(&matches),
        Some(("serve", matches)) => serve(matches),
        Some(("config", matches)) => match matches.subcommand() {
            Some(("show", matches)) => show(matches),
            Some((_, matches)) => check(matches),
            None => unreachable!("clap wants one of both"),
        },
        Some(("token", matches)) => token(matches),
        Some(("check", matches)) => check_folder(matches),
        Some(("backup", matches)) => back_up(matches),
        Some(("restore", matches)) => restore(matches),
        Some((name, _)) => unreachable!("the command {name} is not in the list"),
    }
}

fn serve(matches: &ArgMatches) -> ExitCode {
    let sources = Sources::new(matches);
    let loaded = match load(&sources) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let logger = Logger::start(&loaded.config.logger);
    match process::run(loaded, sources, logger) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn check(matches: &ArgMatches) -> ExitCode {
    let loaded = match load(&Sources::new(matches)) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut text = "configuration is good\n".to_owned();
    for key in loaded.config.default_keys() {
        text += &format!("warning: {key}: everybody knows it: set your own before going online\n");
    }
    print(&text)
}

fn show(matches: &ArgMatches) -> ExitCode {
    match Sources::new(matches).load() {
        Ok(loaded) => print(&config::show(&loaded)),
        Err(problems) => refuse(&problems),
    }
}

/// Prints a token for whoever is at the machine itself: it opens the data folder's key.
fn token(matches: &ArgMatches) -> ExitCode {
    let request = command_line::token_request(matches);
    let data_dir = match Sources::new(matches).data_dir() {
        Ok(data_dir) => data_dir,
        Err(problems) => return refuse(&problems),
    };
    match operator_key::load(&data_dir) {
        Ok(keys) => {
            let bearer = Bearer::Machine { role: request.role };
            println!("{}", operator_key::sign(&keys, bearer, request.life));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Reads everything in the data folder.
fn check_folder(matches: &ArgMatches) -> ExitCode {
    match Sources::new(matches).data_dir() {
        Ok(data_dir) => match check::run(&data_dir, matches.get_flag("repair")) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Err(problems) => refuse(&problems),
    }
}

fn back_up(matches: &ArgMatches) -> ExitCode {
    if let Some(("verify", matches)) = matches.subcommand() {
        let (dir, key_file) = command_line::backup_request(matches);
        return end(backup::verify(&dir, key_file.as_deref()));
    }
    let (dir, key_file) = command_line::backup_request(matches);
    match Sources::new(matches).data_dir() {
        Ok(data_dir) => end(backup::make(&data_dir, &dir, key_file.as_deref())),
        Err(problems) => refuse(&problems),
    }
}

fn restore(matches: &ArgMatches) -> ExitCode {
    match Sources::new(matches).data_dir() {
        Ok(data_dir) => end(backup::restore(&data_dir, &command_line::restore_request(matches))),
        Err(problems) => refuse(&problems),
    }
}

fn end(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The configuration that a server starts with, or the end of this process.
fn load(sources: &Sources) -> Result<Loaded, ExitCode> {
    sources.load_with_files().map_err(|problems| refuse(&problems))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // whoever listened is gone
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("ringmaster: {}", config::escape(&format!("{error:#}")));
    ExitCode::FAILURE
}

/// Nothing was started.
fn refuse(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("ringmaster: {problem}");
    }
    ExitCode::from(2)
}
