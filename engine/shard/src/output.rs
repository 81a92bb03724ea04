//! What a shard wants done.

use api::console::Report;
use api::http;
use api::ops::{Door, Operation};
use api::reply::Reply;
use base::{BatchId, Code, Frame, Instant, MatchId, Offset, Range, ShardId, Table};
use bytes::Bytes;
use domain::identity::password::Password;
use domain::identity::provider::Proof;

use crate::hook::HookCall;
use crate::message::{Message, TaskId};
use crate::trace::Trace;

/// An output about a connection that is gone is dropped without a word.
#[derive(Debug)]
pub enum Output {
    /// The answer to the connection's request.
    Respond { connection: u64, response: http::Response },
    /// Accept the connection's WebSocket handshake.
    Upgrade { connection: u64 },
    /// One text message. Those of one fan-out share their bytes.
    Send { connection: u64, text: Bytes },
    /// A WebSocket ping.
    Ping { connection: u64 },
    /// Close the WebSocket with this code and reason.
    Close { connection: u64, code: u16, reason: &'static str },
    /// Whether to go on reading from the connection.
    Flow { connection: u64, read: bool },
    /// To another shard, behind everything sent to it before.
    Bus { to: ShardId, message: Message },
    /// Make durable as one transaction, then tell every holder.
    Commit { batch: BatchId, frames: Vec<Frame>, holders: Vec<ShardId> },
    /// Load a key from a snapshot that holds at least everything up to `at_least`.
    Load { table: Table, key: Bytes, at_least: Offset },
    /// The same of the first rows of a range.
    Scan { range: Range, at_least: Offset },
    /// Run a hook.
    Hook(HookCall),
    /// Hash or compare a password, which takes long.
    Password { call: u64, door: Door, work: PasswordWork },
    /// Find out whose proof it is.
    Proof { call: u64, proof: Proof },
    /// Have the process tell something of itself.
    Report { call: u64, report: Report },
    /// Have the webhook told this JSON text.
    Deliver { message: String },
    /// Have it told what happened to a board, until it is taken; answered by
    /// [`crate::Input::Delivered`]. The same event is told under the same key.
    DeliverEvent { key: Bytes, message: String },
    /// The answer to [`crate::Input::Call`].
    Called { call: u64, result: Result<Reply, api::Error> },
    /// A request is over, and its reply, if it has one, is on its way: to be counted.
    Done(Done),
    /// A traced match is over.
    MatchOver { id: MatchId, begun: Instant, joins: u32 },
    /// A stored record that this task needs does not decode. A human must look.
    Damaged { table: Table, task: TaskId },
}

/// A request that is over.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its number on its shard.
    pub number: u64,
    /// None: none that is known.
    pub operation: Option<&'static Operation>,
    pub outcome: Result<(), Code>,
    /// When the shard took it up.
    pub begun: Instant,
    pub trace: Option<Box<Trace>>,
}

/// What is to be done with a password. Its `Debug` form shows no hash.
pub enum PasswordWork {
    Hash(Password),
    Verify { password: Password, hash: String },
}

/// What came of it. Its `Debug` form shows no hash.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordOutcome {
    Hashed(String),
    /// The password is the hash's. `rehashed`: a hash that is better than the one on record.
    Right {
        rehashed: Option<String>,
    },
    Wrong,
    /// Too many passwords wait already.
    Busy,
}

impl std::fmt::Debug for PasswordWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PasswordWork::Hash(_) => "Hash(…)",
            PasswordWork::Verify { .. } => "Verify(…)",
        })
    }
}

impl std::fmt::Debug for PasswordOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PasswordOutcome::Hashed(_) => "Hashed(…)",
            PasswordOutcome::Right { rehashed: None } => "Right",
            PasswordOutcome::Right { rehashed: Some(_) } => "Right(…)",
            PasswordOutcome::Wrong => "Wrong",
            PasswordOutcome::Busy => "Busy",
        })
    }
}
