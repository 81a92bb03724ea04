//! What the store's threads count and measure.

use std::time::{Duration, Instant};

use metrics::{Bounds, Histogram, Padded, Tally};

/// The numbers of one store, since it was started. Times are in nanoseconds.
#[derive(Debug)]
pub struct Stats {
    commit: Padded<CommitStats>,
    /// One for each thread that answers loads.
    loads: Box<[Padded<Histogram>]>,
}

/// Written by the thread `store-commit`.
#[derive(Debug)]
struct CommitStats {
    seconds: Histogram,
    sync_seconds: Histogram,
    batches: Histogram,
    bytes: Histogram,
}

/// What a transaction was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) batches: usize,
    pub(crate) bytes: usize,
}

impl Stats {
    pub(crate) fn new(readers: usize) -> Stats {
        let seconds = || Histogram::new(&Bounds::SECONDS);
        Stats {
            commit: Padded(CommitStats {
                seconds: seconds(),
                sync_seconds: seconds(),
                batches: Histogram::new(&Bounds::COUNTS),
                bytes: Histogram::new(&Bounds::BYTES),
            }),
            loads: (0..readers).map(|_| Padded(seconds())).collect(),
        }
    }

    /// Of each batch, from when it was queued until it was durable.
    pub fn commit_seconds(&self) -> Tally {
        self.commit.seconds.tally()
    }

    /// Of each transaction, what making it durable took after its rows were written.
    pub fn sync_seconds(&self) -> Tally {
        self.commit.sync_seconds.tally()
    }

    /// The batches of each transaction.
    pub fn transaction_batches(&self) -> Tally {
        self.commit.batches.tally()
    }

    /// The bytes of each transaction's frames.
    pub fn transaction_bytes(&self) -> Tally {
        self.commit.bytes.tally()
    }

    /// Of each load, from when it was queued until it was answered.
    pub fn load_seconds(&self) -> Tally {
        let mut all = Tally::new(&Bounds::SECONDS);
        self.loads.iter().for_each(|reader| all.add(&reader.tally()));
        all
    }

    pub(crate) fn synced(&self, transaction: Transaction, took: Duration) {
        self.commit.sync_seconds.record(nanos(took));
        self.commit.batches.record(transaction.batches as u64);
        self.commit.bytes.record(transaction.bytes as u64);
    }

    pub(crate) fn durable(&self, queued: Instant, now: Instant) {
        self.commit.seconds.record(nanos(now.saturating_duration_since(queued)));
    }

    pub(crate) fn loaded(&self, reader: usize, queued: Instant, now: Instant) {
        self.loads[reader].record(nanos(now.saturating_duration_since(queued)));
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
