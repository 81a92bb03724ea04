//! Bytes under (table, key), durable, kept by plain threads beside the cores.
//!
//! # Purpose
//! Makes batches of changes durable in the order in which they were queued and says so, and answers
//! loads of single keys from a snapshot.
//!
//! # Owns
//! `DATA_DIR/ringmaster.redb`, the lock on `DATA_DIR`, the threads `store-commit` and
//! `store-read-N`, the offsets of batches and the incarnation of the process.
//!
//! # Invariants
//! - A batch is on disk wholly or not at all, and none is there without all of lower offsets.
//! - `Durable` follows the sync of its batch. One shard's batches are announced in queue order.
//! - At most one write transaction is in flight.
//! - Every loaded value is at least as new as the load demands, and its `applied` offset was read
//!   inside the same snapshot.
//! - After a fault there is one report of it and not one more event.
//!
//! # Never
//! Blocks the thread that commits or loads, retries a failed write or sync, looks into a value,
//! knows a feature. No other crate names redb.

mod commit;
mod disk;
mod error;
mod handle;
mod open;
mod read;
mod stats;
mod step;
mod tables;

use std::sync::Arc;

use base::{BatchId, Frame, Offset, ShardId, Table};
use bytes::Bytes;

pub use disk::{Disk, File, OsDisk};
pub use error::Error;
pub use handle::{Handle, Refused, Running};
pub use open::{FILE_NAME, Opened, Store};
/// What a store can be kept in instead of a file.
pub use redb::StorageBackend;
pub use stats::Stats;
pub use step::Steps;
pub use tables::{FORMAT, KEY_MAX};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads that answer loads, at least one.
    pub readers: usize,
    /// Commits that wait, and loads that wait, each at least one.
    pub queue: usize,
    /// Most bytes of frames gathered into one transaction. A larger commit has one for itself.
    pub batch_bytes: usize,
}

impl Settings {
    fn check(&self) {
        assert!(self.readers > 0, "a store has at least one reader");
        assert!(self.queue > 0, "a queue has room for at least one");
    }
}

/// One atomic batch. Where two changes have one key, the later wins.
#[derive(Clone, Debug)]
pub struct Commit {
    pub batch: BatchId,
    pub frames: Vec<Frame>,
    /// The shards told when the batch is durable, `batch.shard` among them.
    pub holders: Vec<ShardId>,
}

/// A wish for one key's value.
#[derive(Clone, Debug)]
pub struct Load {
    pub shard: ShardId,
    pub table: Table,
    pub key: Bytes,
    /// The snapshot must contain this offset, which a `Durable` event has named before.
    pub at_least: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The batch survives a crash.
    Durable {
        batch: BatchId,
        offset: Offset,
        /// Every load answered after this event can see this offset.
        applied: Offset,
    },
    /// The answer to a load.
    Loaded {
        table: Table,
        key: Bytes,
        value: Option<Bytes>,
        /// Newest offset in the snapshot that the value was read from.
        applied: Offset,
    },
}

/// Takes events to their shard. Called from the store's threads, so it must not block for long.
pub type Sink = Arc<dyn Fn(ShardId, Event) + Send + Sync>;
