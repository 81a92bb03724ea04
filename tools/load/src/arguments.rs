//! The command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use client::Server;

/// Load for any server that speaks Nakama's client API.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringload", version)]
pub(crate) struct Arguments {
    pub scenario: Scenario,
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long, default_value_t = 7350)]
    pub port: u16,
    /// User part of the Basic credentials of authentication calls.
    #[arg(long, default_value = "defaultkey")]
    pub server_key: String,
    /// Open loop: requests, messages or formed matches a second over all connections.
    #[arg(
        long,
        conflicts_with = "closed",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000)
    )]
    pub rate: Option<u64>,
    /// Closed loop, which is also what no rate means: each connection goes on when it is answered.
    #[arg(long)]
    pub closed: bool,
    /// Connections of the HTTP scenarios and of ws-echo; groups of matchmaker; sockets of idle;
    /// peers of slow-headers and half-open.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// How long is measured (idle, slow-headers, half-open: how long the sockets are held).
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// How long load runs before it is measured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup: u64,
    /// At most so many requests, warmup included.
    #[arg(long, default_value_t = u64::MAX)]
    pub requests: u64,
    /// relay: number of matches.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub matches: u32,
    /// relay, matchmaker: members of each match.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub members: u32,
    /// relay, ws-echo: bytes of data in a message.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(16..=2_048))]
    pub size: u32,
    /// relay, ws-echo in closed loop: messages of one member under way.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub window: u32,
    /// record-write, board-page: id of the leaderboard, which has to be there.
    #[arg(long, default_value = "ringload")]
    pub board: String,
    /// sign-in: number of devices; board-page: records that are there at the least.
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub devices: u32,
    /// sign-in-password: number of accounts, which the connections share.
    #[arg(
        long,
        default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub accounts: u32,
    /// HTTP scenarios: count the status 429 as a figure, instead of as an error.
    #[arg(long)]
    pub allow_refused: bool,
    /// relay, ws-echo: how long after the last message was sent the last one may come.
    #[arg(
        long,
        default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(1..=600_000)
    )]
    pub grace_ms: u64,
    /// account-read: use this session token, without signing in.
    #[arg(long)]
    pub token: Option<String>,
    /// Process of a server on this machine whose processor time is measured.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Wait this long for a connection and for each answer.
    #[arg(
        long,
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=600_000)
    )]
    pub timeout_ms: u64,
    /// One JSON object for each figure, instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write the latencies as HdrHistogram percentiles, in µs.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Read the own account.
    AccountRead,
    /// Write one storage object again and again.
    ObjectWrite,
    /// Read one storage object.
    ObjectRead,
    /// Write the own record of a leaderboard.
    RecordWrite,
    /// Read the first hundred records of a leaderboard.
    BoardPage,
    /// Sign in with devices that have an account.
    SignIn,
    /// Sign in with devices that have none yet.
    SignUp,
    /// Sign in by e-mail address and password, with accounts that are there.
    SignInPassword,
    /// Members of relayed matches send each other data.
    Relay,
    /// Groups ask for each other by a query; measured from the last ticket until all are told.
    Matchmaker,
    /// Hold sockets that do nothing.
    Idle,
    /// The messages of relay to a server that only sends them back.
    WsEcho,
    /// Hold connections that send a request's head, a byte each two seconds.
    SlowHeaders,
    /// Hold connections that say nothing, or begin a WebSocket handshake and never end it.
    HalfOpen,
}

impl Arguments {
    pub(crate) fn server(&self) -> Arc<Server> {
        Arc::new(Server {
            host: self.host.clone(),
            port: self.port,
            key: self.server_key.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
        })
    }

    /// The scenario's name on the command line.
    pub(crate) fn case(&self) -> String {
        let value = self.scenario.to_possible_value();
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
