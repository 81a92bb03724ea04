//! The command line: a flag for each key, and what is to be done.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base::{Offset, UnixTime};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use domain::operator::Role;
use store::Until;

use super::problem::escape;
use super::setting::Kind;
use super::source::{FILE_VARIABLE, PREFIX};
use super::{KEYS, Key, Sources};
use crate::backup::RestoreRequest;

const CONFIG: &str = "config";

pub(crate) fn command() -> Command {
    let check = Command::new("check").about("Say whether the configuration is good, and why not");
    let show = Command::new("show").about("Print the configuration, without its secrets");
    let config = Command::new("config")
        .about("Look at the configuration without starting anything")
        .subcommand_required(true)
        .subcommand(with_flags(check))
        .subcommand(with_flags(show));
    with_flags(Command::new("ringmaster"))
        .about("A game backend in one binary: accounts, matchmaking, relayed matches")
        .after_help("All keys: ringmaster --help, and docs/configuration.md")
        .version(env!("CARGO_PKG_VERSION"))
        .args_conflicts_with_subcommands(true)
        .subcommand(with_flags(Command::new("serve").about("Serve (the default)")))
        .subcommand(config)
        .subcommand(token())
        .subcommand(check_folder())
        .subcommand(backup())
        .subcommand(restore())
}

fn check_folder() -> Command {
    let repair = Arg::new("repair")
        .long("repair")
        .action(ArgAction::SetTrue)
        .help("Cut the log where it is damaged, after saving a copy; what follows is lost");
    Command::new("check")
        .about("Read everything in the data folder and say whether it is whole; no server may run")
        .args([repair, file()])
        .args(data_dir())
}

fn backup() -> Command {
    let verify = Command::new("verify")
        .about("Read all of a backup and say whether it is whole; needs no server")
        .args([backup_dir(), key_file()]);
    Command::new("backup")
        .about("Have the server that runs on the data folder write a backup, and verify it")
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .args([backup_dir(), key_file(), file()])
        .args(data_dir())
        .subcommand(verify)
}

fn restore() -> Command {
    let archive = Arg::new("archive")
        .long("archive")
        .value_name("DIR")
        .action(ArgAction::Append)
        .requires("moment")
        .value_parser(value_parser!(PathBuf))
        .help("Folder with the log after the backup: archive_dir, or an old data folder");
    let offset = Arg::new("to-offset")
        .long("to-offset")
        .value_name("N")
        .value_parser(value_parser!(u64))
        .help("Restore everything up to this offset");
    let time = Arg::new("to-time")
        .long("to-time")
        .value_name("TIME")
        .value_parser(parse_time)
        .help("Restore everything up to this time: 2026-01-31T12:00:00Z, or ms since 1970");
    Command::new("restore")
        .about("Make an empty data folder what it was in a backup; no server may run on it")
        .args([backup_dir(), key_file(), archive, offset, time, file()])
        .args(data_dir())
        .group(ArgGroup::new("moment").args(["to-offset", "to-time"]))
}

fn backup_dir() -> Arg {
    Arg::new("dir")
        .value_name("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("Folder of the backup")
}

fn key_file() -> Arg {
    Arg::new("key-file")
        .long("key-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("File with the key of an encrypted backup: 64 hexadecimal digits")
}

/// Milliseconds since 1970.
fn parse_time(text: &str) -> Result<u64, String> {
    let time = match text.parse() {
        Ok(millis) => Some(millis),
        Err(_) => UnixTime::parse(text).map(|time| time.0 / 1_000_000),
    };
    time.ok_or_else(|| "want a time as 2026-01-31T12:00:00Z, or ms since 1970".to_owned())
}

/// The folder of a backup, and the file with its key.
pub(crate) fn backup_request(matches: &ArgMatches) -> (PathBuf, Option<PathBuf>) {
    let dir = matches.get_one::<PathBuf>("dir").expect("clap wants it");
    (dir.clone(), matches.get_one::<PathBuf>("key-file").cloned())
}

pub(crate) fn restore_request(matches: &ArgMatches) -> RestoreRequest {
    let (dir, key_file) = backup_request(matches);
    let offset = matches.get_one("to-offset").map(|offset| Until::Offset(Offset(*offset)));
    let time = matches.get_one("to-time").map(|time| Until::Time(*time));
    RestoreRequest {
        dir,
        key_file,
        archives: matches.get_many("archive").into_iter().flatten().cloned().collect(),
        until: offset.or(time).unwrap_or_default(),
    }
}

/// The flag of the data folder, for commands that need nothing else.
fn data_dir() -> impl Iterator<Item = Arg> {
    KEYS.iter().filter(|key| key.name == "data_dir").map(flag)
}

fn token() -> Command {
    let role = Arg::new("role")
        .long("role")
        .value_name("ROLE")
        .required(true)
        .value_parser(Role::ALL.map(Role::name))
        .help("What its bearer may do");
    let life = Arg::new("life")
        .long("expiry-sec")
        .value_name("N")
        .default_value("900")
        .value_parser(value_parser!(u64).range(1..=86_400))
        .help("Seconds until it expires, 1 to 86400");
    Command::new("token")
        .about("Print a short-lived operator token for scripts on this machine")
        .args([role, life, file()])
        .args(data_dir())
}

/// What `ringmaster token` is asked for.
pub(crate) struct TokenRequest {
    pub role: Role,
    pub life: Duration,
}

pub(crate) fn token_request(matches: &ArgMatches) -> TokenRequest {
    let role = matches.get_one::<String>("role").and_then(|name| Role::parse(name));
    let life = matches.get_one("life").copied().map(Duration::from_secs);
    let (Some(role), Some(life)) = (role, life) else {
        unreachable!("clap wants a role, and has a default of the other")
    };
    TokenRequest { role, life }
}

fn with_flags(command: Command) -> Command {
    command.arg(file()).args(KEYS.iter().map(flag))
}

fn file() -> Arg {
    Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file (TOML); may be repeated, later ones override")
}

fn flag(key: &'static Key) -> Arg {
    let (section, _) = key.section();
    let long = match key.name {
        "data_dir" => "data-dir",
        "admin_listen" => "admin-listen",
        name => name,
    };
    let value = match key.kind {
        Kind::Flag => "BOOL",
        Kind::Whole { .. } | Kind::Number { .. } | Kind::Shard => "N",
        Kind::Text { .. } | Kind::Header => "TEXT",
        Kind::Word(_) => "WORD",
        Kind::Path { .. } => "PATH",
        Kind::Url => "URL",
        Kind::Address { .. } => "ADDR:PORT",
        Kind::List(_) | Kind::Tables(_) => "LIST",
        Kind::Rate | Kind::Issuer => "TABLE",
    };
    let default =
        if key.is_secret { String::new() } else { format!(" [default: {}]", key.default) };
    let arg = Arg::new(key.name)
        .long(long)
        .alias(key.name)
        .value_name(value)
        .allow_negative_numbers(true)
        .help(format!("{}{default}", key.doc));
    let arg = match key.kind {
        Kind::Flag => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    };
    match section {
        "" => arg,
        section => arg.help_heading(section).hide_short_help(true),
    }
}

impl Sources {
    /// What the command line names, and the environment of this process.
    pub(crate) fn new(matches: &ArgMatches) -> Sources {
        let mut environment: Vec<_> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        environment.sort();
        let files = match matches.get_many(CONFIG) {
            Some(files) => files.cloned().collect(),
            None => {
                let named = environment.iter().filter(|(name, _)| name == FILE_VARIABLE);
                named.map(|(_, file)| file.into()).collect()
            }
        };
        // A command may have the flags of some keys only.
        let text = |key: &Key| matches.try_get_one::<String>(key.name).ok()?.cloned();
        let flag = |key: &'static Key| Some((key, text(key)?));
        Sources { files, environment, flags: KEYS.iter().filter_map(flag).collect() }
    }
}

/// Says what a command line gets that is none, or the help that it asked for.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_advice = |line: &str| line.starts_with("Usage:") || line.starts_with("For more");
    let told: Vec<_> = lines.take_while(|line| !is_advice(line)).collect();
    let told = told.join("; ");
    eprintln!("ringmaster: {}", escape(told.strip_prefix("error: ").unwrap_or(&told)));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }
}
