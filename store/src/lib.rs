//! Bytes under (table, key), durable, kept by plain threads beside the cores.
//!
//! # Purpose
//! Makes batches of changes durable in the order in which they were queued and says so, and answers
//! loads of single keys from a snapshot. What is acknowledged stands in a log; a state in redb
//! follows it. Copies itself into backups while it serves, and is made again from them.
//!
//! # Owns
//! `DATA_DIR/ringmaster.redb`, `DATA_DIR/*.log`, the lock on `DATA_DIR`, the offsets of batches,
//! the incarnation of the process, and the threads: `store-log` writes, syncs and announces,
//! `store-apply` brings entries of the log into the state and checkpoints, `store-keep` makes,
//! puts away and archives segments, `store-read-N` answer loads.
//!
//! # Invariants
//! - A batch is on disk wholly or not at all, and none is there without all of lower offsets.
//! - `Durable` follows the sync of its batch. One shard's batches are announced in queue order.
//! - At most one write of the log, and one of the state, is in flight.
//! - The state never has what the log has not.
//! - Every loaded value is at least as new as the load demands, and its `applied` offset was read
//!   inside the same snapshot.
//! - After a fault there is one report of it, and nothing is written.
//!
//! # Never
//! Blocks the thread that commits or loads, retries a failed write or sync, looks into a value,
//! knows a feature. No other crate names redb.

mod apply;
mod backup;
mod check;
mod commit;
mod disk;
mod error;
mod handle;
mod log;
mod open;
mod read;
mod stats;
mod step;
mod tables;

use std::sync::Arc;

use base::{BatchId, Frame, Offset, Range, ShardId, Table};
use bytes::Bytes;

pub use backup::{
    BackupOptions, Extra, FILE_BYTES, Key, Phase, Progress, RestoreOptions, Restored, Source,
    Summary, Until, Watch, backup, restore, restore_on, verify,
};
pub use check::{Checked, Damage, TableSize, check, check_on, repair, repair_on};
pub use disk::{Disk, File, OsDisk};
pub use error::Error;
pub use handle::{Handle, Refused, Running};
pub use log::recover::Cut;
pub use open::{FILE_NAME, Opened, Store};
pub use stats::Stats;
pub use step::Steps;
pub use tables::{FORMAT, KEY_MAX};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that answer loads, at least one.
    pub readers: usize,
    /// Commits that wait, and loads that wait, each at least one.
    pub queue: usize,
    /// Most bytes gathered into one entry of the log. A larger commit has one for itself.
    pub batch_bytes: usize,
    /// Most bytes of one commit, its frames and their lengths.
    pub commit_bytes: usize,
    /// Size of a file of the log. The largest entry fits into it; at most 1 GiB.
    pub segment_bytes: u64,
    /// Most bytes of the log that the state does not have durably; beyond it the log waits. A start
    /// reads so many.
    pub backlog_bytes: u64,
    /// Bytes of the log that one transaction brings into the state, if so many are there. The more
    /// rows it has, the more of them share a page, which is written once.
    pub apply_bytes: u64,
    /// Where closed segments are copied to before they are used again.
    pub archive: Option<Arc<dyn Disk>>,
    /// With less than this on the disk, [`Pressure::Full`]; 0 never looks.
    pub min_free_bytes: u64,
    /// What redb keeps in memory.
    pub cache_bytes: usize,
}

/// Why new writes should be refused. What is under way goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    #[default]
    None,
    /// The state is far behind the log.
    Behind,
    /// The disk has little space left.
    Full,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            readers: 2,
            queue: 4096,
            batch_bytes: 4 * 1024 * 1024,
            commit_bytes: 2 * 1024 * 1024,
            segment_bytes: 64 * 1024 * 1024,
            backlog_bytes: 1024 * 1024 * 1024,
            apply_bytes: 16 * 1024 * 1024,
            archive: None,
            min_free_bytes: 0,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Settings {
    fn check(&self) {
        assert!(self.readers > 0, "a store has at least one reader");
        assert!(self.queue > 0, "a queue has room for at least one");
        let least = log::entry::SECTOR + self.entry_bytes_max();
        assert!(self.segment_bytes >= least, "a segment has room for the largest entry");
        assert!(self.segment_bytes <= 1 << 30, "a segment is at most 1 GiB");
    }

    /// With its header, and the zeros up to the next sector.
    fn entry_bytes_max(&self) -> u64 {
        log::entry::span(log::entry::HEADER_SIZE + self.batch_bytes.max(self.commit_bytes))
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

/// A wish for the first rows of a range.
#[derive(Clone, Debug)]
pub struct Scan {
    pub shard: ShardId,
    pub range: Range,
    /// As that of a [`Load`].
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
    /// The answer to a scan.
    Scanned {
        range: Range,
        /// As many as were wanted and there are, unless those are more than
        /// [`base::limits::SCAN_BYTES_MAX`] bytes.
        rows: Vec<(Bytes, Bytes)>,
        /// Whether the range has no more rows.
        is_end: bool,
        applied: Offset,
    },
}

/// Takes events to their shard. Called from the store's threads, so it must not block for long.
pub type Sink = Arc<dyn Fn(ShardId, Event) + Send + Sync>;
