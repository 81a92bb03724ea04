//! The store as shards see it: batches become durable in queue order, snapshots lag behind.

use std::collections::{BTreeMap, VecDeque};

use base::{BatchId, Frame, Offset, Rng, ShardId, Table};
use bytes::Bytes;
use shard::Input;

/// Lives in a [`super::Cluster`]. Survives a crash with what was durable.
///
/// Invariants: `floor <= applied <= durable`; a row's versions stand in the order of their offsets.
#[derive(Debug, Default)]
pub(crate) struct Store {
    rows: BTreeMap<(Table, Bytes), Vec<Version>>,
    queue: VecDeque<Commit>,
    durable: Offset,
    /// What the newest snapshot holds.
    applied: Offset,
    /// What every snapshot of this run holds.
    floor: Offset,
    /// Events for each shard.
    pub(crate) announced: BTreeMap<ShardId, VecDeque<Input>>,
    pub(crate) loads: Vec<Load>,
    /// The newest batch of each shard.
    newest: BTreeMap<ShardId, u64>,
}

/// Where a value was written; `None` deletes.
type Version = (Offset, Option<Bytes>);

#[derive(Debug)]
struct Commit {
    batch: BatchId,
    frames: Vec<Frame>,
    holders: Vec<ShardId>,
}

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) shard: ShardId,
    pub(crate) table: Table,
    pub(crate) key: Bytes,
    pub(crate) at_least: Offset,
}

impl Store {
    pub(crate) fn commit(&mut self, batch: BatchId, frames: Vec<Frame>, holders: Vec<ShardId>) {
        let newest = self.newest.entry(batch.shard).or_default();
        assert_eq!(batch.number, *newest + 1, "batches of a shard are numbered without a gap");
        *newest = batch.number;
        assert!(holders.contains(&batch.shard), "the emitting shard waits for its batch");
        self.queue.push_back(Commit { batch, frames, holders });
    }

    pub(crate) fn can_sync(&self) -> bool {
        !self.queue.is_empty() || self.applied < self.durable
    }

    /// Makes some of what is queued durable, in order, and lets the snapshots follow a little.
    pub(crate) fn sync(&mut self, rng: &mut Rng) {
        let most = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).min(8);
        for _ in 0..rng.below(most + 1).max(1) {
            let Some(commit) = self.queue.pop_front() else {
                break;
            };
            self.durable.0 += 1;
            for change in commit.frames.iter().flat_map(Frame::changes) {
                let row = (change.table, Bytes::copy_from_slice(change.key));
                let version = (self.durable, change.value.map(Bytes::copy_from_slice));
                self.rows.entry(row).or_default().push(version);
            }
            let (batch, offset, applied) = (commit.batch, self.durable, self.applied);
            for holder in commit.holders {
                let event = Input::Durable { batch, offset, applied };
                self.announced.entry(holder).or_default().push_back(event);
            }
        }
        self.applied = between(self.applied, self.durable, rng);
    }

    /// Answers a load from a snapshot that is new enough, or, if so wished, from one that is not.
    pub(crate) fn answer(&mut self, index: usize, stale: bool, rng: &mut Rng) -> (ShardId, Input) {
        let Load { shard, table, key, at_least } = self.loads.remove(index);
        assert!(at_least <= self.applied, "nobody has told a shard of a snapshot like this");
        let applied = match stale && at_least > self.floor {
            true => between(self.floor, Offset(at_least.0 - 1), rng),
            false => between(at_least.max(self.floor), self.applied, rng),
        };
        let value = self.at(table, &key, applied);
        (shard, Input::Loaded { table, key, value, applied })
    }

    /// Loses what is not durable. The next run begins with snapshots that hold all of the rest.
    pub(crate) fn crash(&mut self) {
        self.queue.clear();
        self.announced.clear();
        self.loads.clear();
        self.newest.clear();
        self.applied = self.durable;
        self.floor = self.durable;
    }

    /// The durable value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.at(table, &Bytes::copy_from_slice(key), self.durable)
    }

    /// The durable rows of a table.
    pub(crate) fn rows(&self, table: Table) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let rows = self.rows.iter().filter(move |((other, _), _)| *other == table);
        rows.filter_map(|((_, key), versions)| Some((key, versions.last()?.1.as_ref()?)))
    }

    /// Writes a row behind the shards' back.
    pub(crate) fn damage(&mut self, table: Table, key: &[u8], value: &'static [u8]) {
        let row = (table, Bytes::copy_from_slice(key));
        let version = (Offset(0), Some(Bytes::from_static(value)));
        self.rows.insert(row, vec![version]);
    }

    /// Keys of a table that were written by a batch that is not durable.
    pub(crate) fn undurable(&self, table: Table) -> impl Iterator<Item = &[u8]> {
        let changes = self.queue.iter().flat_map(|commit| &commit.frames).flat_map(Frame::changes);
        changes.filter(move |change| change.table == table).map(|change| change.key)
    }

    fn at(&self, table: Table, key: &Bytes, offset: Offset) -> Option<Bytes> {
        let versions = self.rows.get(&(table, key.clone()))?;
        versions.iter().rev().find(|(written, _)| *written <= offset)?.1.clone()
    }
}

fn between(low: Offset, high: Offset, rng: &mut Rng) -> Offset {
    let width = u32::try_from(high.0 - low.0).unwrap_or(u32::MAX - 1);
    Offset(low.0 + u64::from(rng.below(width + 1)))
}
