//! The production store on a disk that crashes, and what it has to hold.
//!
//! `Rows` is the expectation: every batch that was announced, in order. Each answer to a load and
//! each restart is compared with it.

use std::collections::{BTreeMap, VecDeque};

use base::{BatchId, Change, Frame, Offset, Range, Rng, ShardId, Table};
use bytes::Bytes;
use faultdisk::{FaultDisk, Losses};
use shard::Input;
use store::{Commit, Event, Load, Opened, Scan, Settings, Steps};

use domain::identity::alias::Kind;

use super::ALIASES;

/// Small, so that segments are filled and used again.
const SETTINGS: Settings = Settings {
    readers: 1,
    queue: 1,
    batch_bytes: 1,
    commit_bytes: 10 * 1024,
    segment_bytes: 12 * 1024,
    backlog_bytes: 1 << 30,
    apply_bytes: 512,
    archive: None,
    min_free_bytes: 0,
    cache_bytes: 64 * 1024,
};

/// Most batches of one transaction.
const GROUP_MAX: u32 = 8;

/// More changes of the disk than a small transaction has.
const OPERATIONS: u32 = 24;

/// Lives in a [`super::Cluster`]. Survives a crash with what was durable.
#[derive(Debug)]
pub struct Store {
    disk: FaultDisk,
    /// `None` after a fault, until the process has died of it.
    steps: Option<Steps>,
    queue: VecDeque<Commit>,
    /// The group whose write failed: it is durable as a whole, or not at all.
    failed: Vec<Commit>,
    /// The disk has failed since the last start. What a failed sync leaves in memory is forgotten,
    /// so that even the death of the process alone loses it.
    has_failed: bool,
    expected: Rows,
    /// Events for each shard.
    pub announced: BTreeMap<ShardId, VecDeque<Input>>,
    pub loads: Vec<Load>,
    pub scans: Vec<Scan>,
    /// The newest batch of each shard.
    newest: BTreeMap<ShardId, u64>,
    pub incarnation: u32,
}

/// What the durable batches wrote.
///
/// Invariant: a row's versions stand in the order of their offsets.
#[derive(Debug, Default)]
struct Rows {
    versions: BTreeMap<(Table, Bytes), Vec<Version>>,
    durable: Offset,
}

/// Where a value was written; `None` deletes.
type Version = (Offset, Option<Bytes>);

impl Rows {
    fn apply(&mut self, commit: &Commit) {
        self.durable.0 += 1;
        for change in commit.frames.iter().flat_map(Frame::changes) {
            let row = (change.table, Bytes::copy_from_slice(change.key));
            let version = (self.durable, change.value.map(Bytes::copy_from_slice));
            self.versions.entry(row).or_default().push(version);
        }
    }

    fn range(&self, range: &Range, offset: Offset) -> Vec<(&Bytes, &Bytes)> {
        let behind = self.versions.range((range.table, range.from.clone())..);
        let keys = behind.map(|((table, key), _)| (table, key));
        let keys = keys.take_while(|(table, key)| **table == range.table && range.contains(key));
        let mut rows: Vec<_> =
            keys.filter_map(|(table, key)| Some((key, self.at(*table, key, offset)?))).collect();
        if range.is_descending {
            rows.reverse();
        }
        rows
    }

    fn at(&self, table: Table, key: &[u8], offset: Offset) -> Option<&Bytes> {
        let versions = self.versions.get(&(table, Bytes::copy_from_slice(key)))?;
        let newest = versions.iter().rev().find(|(written, _)| *written <= offset)?;
        newest.1.as_ref()
    }
}

impl Default for Store {
    fn default() -> Store {
        let disk = FaultDisk::default();
        let opened = store::Store::open_on(disk.boot(), SETTINGS);
        let Opened { store, incarnation, .. } = opened.expect("a new disk has no faults");
        Store {
            disk,
            steps: Some(store.into_steps()),
            queue: VecDeque::new(),
            failed: Vec::new(),
            has_failed: false,
            expected: Rows::default(),
            announced: BTreeMap::new(),
            loads: Vec::new(),
            scans: Vec::new(),
            newest: BTreeMap::new(),
            incarnation,
        }
    }
}

impl Store {
    pub fn commit(&mut self, batch: BatchId, frames: Vec<Frame>, holders: Vec<ShardId>) {
        let newest = self.newest.entry(batch.shard).or_default();
        assert_eq!(batch.number, *newest + 1, "batches of a shard are numbered without a gap");
        *newest = batch.number;
        assert!(holders.contains(&batch.shard), "the emitting shard waits for its batch");
        self.queue.push_back(Commit { batch, frames, holders });
    }

    pub fn can_sync(&self) -> bool {
        !self.queue.is_empty() && self.steps.is_some()
    }

    pub fn can_load(&self) -> bool {
        self.steps.is_some()
    }

    /// The disk fails at some moment of the next transaction.
    pub fn fail_soon(&mut self, rng: &mut Rng) {
        self.disk.fail_after(rng.below(OPERATIONS).into());
    }

    /// Takes back a fault that was to come.
    pub fn live_on(&mut self) {
        self.disk.live_on();
    }

    /// Makes some of what is queued durable, in order, as one entry; `false` when the disk failed,
    /// of which a process dies.
    #[must_use]
    pub fn sync(&mut self, rng: &mut Rng) -> bool {
        let most = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).min(GROUP_MAX);
        let count = 1 + rng.below(most) as usize;
        let group: Vec<_> = self.queue.drain(..count).collect();
        let steps = self.steps.as_mut().expect("only an open store is asked to sync");
        let Ok(events) = steps.commit(&group) else {
            self.failed = group;
            self.has_failed = true;
            self.steps = None;
            return false;
        };
        group.iter().for_each(|commit| self.expected.apply(commit));
        for (shard, event) in events {
            let Event::Durable { batch, offset, applied } = event else {
                panic!("a commit announces batches: {event:?}");
            };
            assert!(offset <= self.expected.durable, "{event:?}");
            assert!(applied <= self.expected.durable, "{event:?}");
            let event = Input::Durable { batch, offset, applied };
            self.announced.entry(shard).or_default().push_back(event);
        }
        true
    }

    /// Whether the state lacks something that is durable.
    pub fn is_behind(&self) -> bool {
        self.steps.as_ref().is_some_and(Steps::is_behind)
    }

    /// Brings some of it into the state, makes the state durable, or puts segments away; `false`
    /// when the disk failed.
    #[must_use]
    pub fn work(&mut self, rng: &mut Rng) -> bool {
        let steps = self.steps.as_mut().expect("only an open store is asked to work");
        let outcome = match rng.below(4) {
            0 => steps.keep(),
            1 => steps.checkpoint(),
            2 => steps.apply().and_then(|_| steps.checkpoint()),
            _ => steps.apply().map(drop),
        };
        if outcome.is_err() {
            self.has_failed = true;
            self.steps = None;
        }
        outcome.is_ok()
    }

    /// Answers a load; if so wished, from the snapshot at hand, even if that is too old for it.
    /// Says with the answer whether it was.
    pub fn answer(&mut self, index: usize, stale: bool) -> (ShardId, Input, bool) {
        let mut load = self.loads.remove(index);
        let (shard, at_least) = (load.shard, load.at_least);
        if stale {
            load.at_least = Offset(0);
        }
        let steps = self.steps.as_mut().expect("only an open store is asked to load");
        let event = steps.load(load).expect("the disk reads");
        let Event::Loaded { table, key, value, applied } = event else {
            panic!("a load is answered by its value: {event:?}");
        };
        assert!(stale || applied >= at_least, "a snapshot is as new as the load demands");
        let expected = self.expected.at(table, &key, applied);
        assert_eq!(value.as_ref(), expected, "a snapshot holds what was durable at its offset");
        (shard, Input::Loaded { table, key, value, applied }, applied < at_least)
    }

    /// The same of a scan.
    pub fn answer_scan(&mut self, index: usize, stale: bool) -> (ShardId, Input, bool) {
        let mut scan = self.scans.remove(index);
        let (shard, at_least) = (scan.shard, scan.at_least);
        if stale {
            scan.at_least = Offset(0);
        }
        let steps = self.steps.as_mut().expect("only an open store is asked to scan");
        let event = steps.scan(scan).expect("the disk reads");
        let Event::Scanned { range, rows, is_end, applied } = event else {
            panic!("a scan is answered by its rows: {event:?}");
        };
        assert!(stale || applied >= at_least, "a snapshot is as new as the scan demands");
        let expected = self.expected.range(&range, applied);
        assert!(rows.len() == expected.len().min(range.limit) || !is_end, "an end has every row");
        let is_first =
            rows.iter().map(|(key, value)| (key, value)).eq(expected.into_iter().take(rows.len()));
        assert!(is_first, "a snapshot holds what was durable at its offset");
        (shard, Input::Scanned { range, rows, is_end, applied }, applied < at_least)
    }

    pub fn forget_snapshot(&mut self) {
        if let Some(steps) = &mut self.steps {
            steps.forget_snapshot();
        }
    }

    /// Loses what is not durable, and opens what is left, with a fault on the way if so wished. The
    /// process alone dies, or the power goes.
    pub fn crash(&mut self, fails_again: bool, rng: &mut Rng) -> Losses {
        self.steps = None;
        let mut losses = self.die(rng);
        if fails_again {
            self.disk.fail_after(rng.below(OPERATIONS).into());
            let opened = store::Store::open_on(self.disk.boot(), SETTINGS);
            self.has_failed = opened.is_err();
            drop(opened);
            losses += self.die(rng);
        }
        self.queue.clear();
        self.announced.clear();
        self.loads.clear();
        self.scans.clear();
        self.newest.clear();
        let opened = store::Store::open_on(self.disk.boot(), SETTINGS);
        let Opened { store, incarnation, durable, .. } = opened.expect("a crash damages no store");
        assert!(incarnation > self.incarnation, "every start has an incarnation of its own");
        self.incarnation = incarnation;
        self.steps = Some(store.into_steps());
        let before = self.expected.durable;
        let failed = std::mem::take(&mut self.failed);
        assert!(
            durable == before || durable.0 == before.0 + failed.len() as u64,
            "a crash keeps every announced batch, and an entry as a whole or not at all"
        );
        if durable == before {
            let changes = failed.iter().flat_map(|commit| &commit.frames).flat_map(Frame::changes);
            let lost = changes.map(|change| (change.table, Bytes::copy_from_slice(change.key)));
            lost.for_each(|row| {
                self.expected.versions.entry(row).or_default();
            });
        } else {
            failed.iter().for_each(|commit| self.expected.apply(commit));
        }
        self.check_rows();
        losses
    }

    fn die(&mut self, rng: &mut Rng) -> Losses {
        if !std::mem::take(&mut self.has_failed) && rng.below(4) == 0 {
            self.disk.kill();
            self.disk.live_on();
            return Losses::default();
        }
        self.disk.crash(rng)
    }

    /// Every row is as the durable batches left it, as far as readers see them.
    pub fn check_rows(&mut self) {
        let steps = self.steps.as_mut().expect("the store is open");
        steps.forget_snapshot();
        let at_least = steps.applied();
        for (table, key) in self.expected.versions.keys() {
            let (table, shard, key) = (*table, ShardId(0), key.clone());
            let load = Load { shard, table, key, at_least };
            let event = steps.load(load).expect("the disk reads");
            let Event::Loaded { table, key, value, applied } = event else {
                panic!("a load is answered by its value: {event:?}");
            };
            let expected = self.expected.at(table, &key, applied);
            assert_eq!(value.as_ref(), expected, "a row is as the durable batches left it");
        }
        steps.forget_snapshot();
    }

    /// The durable value of a key.
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Bytes> {
        self.expected.at(table, key, self.expected.durable).cloned()
    }

    /// The durable rows of a table.
    pub fn rows(&self, table: Table) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let rows = self.expected.versions.iter().filter(move |((other, _), _)| *other == table);
        rows.filter_map(|((_, key), versions)| Some((key, versions.last()?.1.as_ref()?)))
    }

    /// Durable aliases of a kind.
    pub fn aliases(&self, kind: Kind) -> usize {
        let is_of = |key: &Bytes| key.first() == Some(&kind.number());
        self.rows(ALIASES).filter(|(key, _)| is_of(key)).count()
    }

    /// When the row durably had such a value for the first time; `None` is a row that is not there.
    pub fn first(
        &self,
        table: Table,
        key: &[u8],
        is: impl Fn(Option<&Bytes>) -> bool,
    ) -> Option<Offset> {
        let row = (table, Bytes::copy_from_slice(key));
        let versions = self.expected.versions.get(&row)?;
        versions.iter().find(|(_, value)| is(value.as_ref())).map(|(offset, _)| *offset)
    }

    /// Newest durable offset.
    pub fn durable(&self) -> Offset {
        self.expected.durable
    }

    /// Writes a row behind the shards' back.
    pub fn damage(&mut self, table: Table, key: &[u8], value: &'static [u8]) {
        let change = Change { table: table.0, key: key.to_vec(), value: Some(value.to_vec()) };
        let batch = BatchId { shard: ShardId(0), number: 0 };
        let frames = vec![Frame::encode(&vec![change])];
        let commit = Commit { batch, frames, holders: Vec::new() };
        let steps = self.steps.as_mut().expect("the store is open");
        steps.commit(std::slice::from_ref(&commit)).expect("the disk writes");
        while steps.apply().expect("the disk writes") {}
        steps.forget_snapshot();
        self.expected.apply(&commit);
    }

    /// Keys of a table that were written by a batch that is not durable.
    pub fn undurable(&self, table: Table) -> impl Iterator<Item = &[u8]> {
        let waiting = self.queue.iter().chain(&self.failed);
        let changes = waiting.flat_map(|commit| &commit.frames).flat_map(Frame::changes);
        changes.filter(move |change| change.table == table).map(|change| change.key)
    }
}
