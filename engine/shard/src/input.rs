//! What happens to a shard.

use std::sync::Arc;

use api::http;
use api::reply::Reply;
use api::request::Request;
use base::{BatchId, Offset, Range, ShardId, Table};
use bytes::Bytes;

use domain::identity::provider::{Profile, Refusal};

use crate::Config;
use crate::hook::Verdict;
use crate::message::Message;
use crate::output::PasswordOutcome;

/// Connections are named by their number on this core; numbers are never used again.
#[derive(Debug)]
pub enum Input {
    /// A whole HTTP request. The next one of the connection comes after the response to this one.
    Request {
        connection: u64,
        /// Where a session opened by this request lives.
        home: ShardId,
        request: http::Request,
    },
    /// A text message of an upgraded connection.
    Text { connection: u64, text: Bytes },
    /// A binary message, which a JSON socket does not have.
    Binary { connection: u64 },
    /// The peer answered a ping.
    Pong { connection: u64 },
    /// The connection is gone.
    Closed { connection: u64 },
    /// From another shard. Messages of one sender arrive in the order in which it sent them.
    Message { message: Message },
    /// A batch that holds entries of this shard is on disk. Batches of one shard become durable in
    /// the order of their numbers.
    Durable { batch: BatchId, offset: Offset, applied: Offset },
    /// The answer to [`crate::Output::Load`], read from a snapshot that holds everything up to
    /// `applied`.
    Loaded { table: Table, key: Bytes, value: Option<Bytes>, applied: Offset },
    /// The answer to [`crate::Output::Scan`]: as many rows as were wanted, or as fit into one
    /// answer, and whether the range has no more.
    Scanned { range: Range, rows: Vec<(Bytes, Bytes)>, is_end: bool, applied: Offset },
    /// How the disk is from here on.
    Disk { disk: Disk },
    /// What a hook said.
    Hooked { call: u64, verdict: Verdict },
    /// The answer to [`crate::Output::Password`].
    Password { call: u64, outcome: PasswordOutcome },
    /// The answer to [`crate::Output::Proof`]: whose proof it is.
    Proof { call: u64, outcome: Result<Profile, Refusal> },
    /// The answer to [`crate::Output::Report`].
    Reported { call: u64, outcome: Result<Reply, api::Error> },
    /// The answer to [`crate::Output::DeliverEvent`]: whether the webhook took it.
    Delivered { key: Bytes, is_taken: bool },
    /// Server code calls an operation; answered by [`crate::Output::Called`].
    Call { call: u64, operation: &'static str, request: Request },
    /// The configuration is another one from here on, save for its placement, name, hooks and
    /// the matchmaker's settings.
    Configure { config: Arc<Config> },
    /// A deadline of [`crate::Shard::poll_timeout`] has come.
    Timeout,
    /// Take no new work, tell the clients.
    Drain,
}

/// Whether the disk takes more. What is under way goes on whatever it is; reads do, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    #[default]
    Ready,
    /// So much waits for it that writes are refused.
    Behind,
    /// So little space is left that writes are refused.
    Full,
}
