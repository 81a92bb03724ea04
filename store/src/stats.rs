//! What the store's threads count and measure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Bounds, Histogram, Padded, Tally};

/// The numbers of one store, since it was started. Times are in nanoseconds.
#[derive(Debug)]
pub struct Stats {
    log: Padded<LogStats>,
    apply: Padded<ApplyStats>,
    /// One for each thread that answers loads.
    loads: Box<[Padded<Histogram>]>,
}

/// Written by the thread `store-log`.
#[derive(Debug)]
struct LogStats {
    seconds: Histogram,
    sync_seconds: Histogram,
    batches: Histogram,
    bytes: Histogram,
}

/// Written by the thread `store-apply`.
#[derive(Debug)]
struct ApplyStats {
    apply_seconds: Histogram,
    checkpoint_seconds: Histogram,
    is_checkpointing: AtomicBool,
}

impl Stats {
    pub(crate) fn new(readers: usize) -> Stats {
        let seconds = || Histogram::new(&Bounds::SECONDS);
        Stats {
            log: Padded(LogStats {
                seconds: seconds(),
                sync_seconds: seconds(),
                batches: Histogram::new(&Bounds::COUNTS),
                bytes: Histogram::new(&Bounds::BYTES),
            }),
            apply: Padded(ApplyStats {
                apply_seconds: seconds(),
                checkpoint_seconds: seconds(),
                is_checkpointing: AtomicBool::new(false),
            }),
            loads: (0..readers).map(|_| Padded(seconds())).collect(),
        }
    }

    /// Of each batch, from when it was queued until it was durable.
    pub fn commit_seconds(&self) -> Tally {
        self.log.seconds.tally()
    }

    /// Of each entry of the log, what its sync took.
    pub fn sync_seconds(&self) -> Tally {
        self.log.sync_seconds.tally()
    }

    /// The batches of each entry.
    pub fn entry_batches(&self) -> Tally {
        self.log.batches.tally()
    }

    /// The bytes of each entry.
    pub fn entry_bytes(&self) -> Tally {
        self.log.bytes.tally()
    }

    /// Of each transaction that brings entries into the state.
    pub fn apply_seconds(&self) -> Tally {
        self.apply.apply_seconds.tally()
    }

    /// Of each checkpoint.
    pub fn checkpoint_seconds(&self) -> Tally {
        self.apply.checkpoint_seconds.tally()
    }

    /// Whether a checkpoint is under way.
    pub fn is_checkpointing(&self) -> bool {
        self.apply.is_checkpointing.load(Ordering::Relaxed)
    }

    /// Of each load, from when it was queued until it was answered.
    pub fn load_seconds(&self) -> Tally {
        let mut all = Tally::new(&Bounds::SECONDS);
        self.loads.iter().for_each(|reader| all.add(&reader.tally()));
        all
    }

    pub(crate) fn synced(&self, batches: usize, bytes: usize, sync: Duration) {
        self.log.sync_seconds.record(nanos(sync));
        self.log.batches.record(batches as u64);
        self.log.bytes.record(bytes as u64);
    }

    pub(crate) fn durable(&self, queued: Instant, now: Instant) {
        self.log.seconds.record(nanos(now.saturating_duration_since(queued)));
    }

    pub(crate) fn applied(&self, took: Duration) {
        self.apply.apply_seconds.record(nanos(took));
    }

    pub(crate) fn begin_checkpoint(&self) {
        self.apply.is_checkpointing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn checkpointed(&self, took: Duration) {
        self.apply.is_checkpointing.store(false, Ordering::Relaxed);
        self.apply.checkpoint_seconds.record(nanos(took));
    }

    pub(crate) fn loaded(&self, reader: usize, queued: Instant, now: Instant) {
        self.loads[reader].record(nanos(now.saturating_duration_since(queued)));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
