//! The keys of one shard: what is loaded, what was written and is not durable or not applied yet,
//! and which keys a batch of several shards holds.

mod range;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use base::collections::{KeyHash, KeyMap};
use base::limits::{CACHE_BYTES_MAX, OVERLAY_BYTES_MAX};
use base::{BatchId, Frame, Offset, Range, ShardId, Table};
use bytes::Bytes;
use domain::ctx::{Row, Unavailable};

use range::Ranges;

/// A table's number followed by the key.
pub(crate) type Key = Bytes;

/// What an entry costs beside its key and value.
const ENTRY_OVERHEAD: usize = 128;

/// Undurable batches that something depends on: the newest of each emitting shard, since those of
/// one shard become durable in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depends(Vec<BatchId>);

impl Depends {
    pub(crate) fn add(&mut self, batch: BatchId) {
        match self.0.iter_mut().find(|known| known.shard == batch.shard) {
            Some(known) => known.number = known.number.max(batch.number),
            None => self.0.push(batch),
        }
    }

    pub(crate) fn merge(&mut self, other: &Depends) {
        other.0.iter().for_each(|batch| self.add(*batch));
    }

    pub(crate) fn first(&self, matches: impl Fn(BatchId) -> bool) -> Option<BatchId> {
        self.0.iter().copied().find(|batch| matches(*batch))
    }
}

#[derive(Debug)]
struct Entry {
    /// `None`: the key is known to be absent.
    value: Option<Bytes>,
    /// The newest batch that wrote it, while that is not durable.
    pending: Option<BatchId>,
    /// Where its newest durable write stands; snapshots below do not have it.
    offset: Offset,
    /// Parked commands that have read it.
    pins: u32,
    /// Read since the clock's hand last passed.
    referenced: Cell<bool>,
}

/// Why a command cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// The key has to be loaded.
    Load(Key),
    /// A batch of several shards holds the key.
    Held(Key),
    /// The range has to be scanned.
    Scan(Range),
}

/// What a parked command has read, kept in memory until it is tried again.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    keys: Vec<Key>,
    ranges: Vec<Range>,
}

/// What there is to know of a shard's records in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewFigures {
    pub entries: usize,
    pub bytes: usize,
    /// Reads that found their key, since the start; those of a command that is run again count
    /// again.
    pub hits: u64,
    /// Reads that had to wait for theirs to be loaded.
    pub misses: u64,
    /// Batches that wrote here and are not durable.
    pub undurable: usize,
}

/// Invariants: an entry that is pending, not applied or pinned is never evicted; a key is loaded
/// once at a time; a value in memory is never older than one a snapshot could give.
#[derive(Debug, Default)]
pub(crate) struct View {
    entries: KeyMap<Entry>,
    /// Every key of `entries`, in the order of the clock's hand.
    clock: VecDeque<Key>,
    bytes: usize,
    hits: u64,
    misses: u64,
    loading: KeyMap<Offset>,
    holds: KeyMap<u32>,
    ranges: Ranges,
    undurable: BTreeMap<BatchId, Vec<Key>>,
    /// Newest durable batch of each shard that told us, and the newest durable offset.
    durable: BTreeMap<ShardId, u64>,
    durable_offset: Offset,
    /// The newest offset known to be in every later snapshot.
    applied: Offset,

    // Of the command under way.
    depends: Depends,
    read: Vec<Key>,
    read_ranges: Vec<Range>,
    blocked: Vec<Blocked>,
    scratch: Vec<u8>,
}

impl View {
    /// The seed keeps clients from choosing keys that collide.
    pub(crate) fn new(seed: u64) -> View {
        let hash = KeyHash { seed };
        View {
            entries: KeyMap::with_hasher(hash),
            loading: KeyMap::with_hasher(hash),
            holds: KeyMap::with_hasher(hash),
            ..View::default()
        }
    }

    /// Begins a command whose message depends on these batches.
    pub(crate) fn begin(&mut self, depends: Depends) {
        self.depends = depends;
        self.read.clear();
        self.read_ranges.clear();
        self.blocked.clear();
    }

    /// What the command under way depends on: its message, and every undurable change it read.
    pub(crate) fn depends(&mut self) -> Depends {
        std::mem::take(&mut self.depends)
    }

    /// Why the command under way was stopped, and what it had read, which is pinned.
    pub(crate) fn park(&mut self) -> (Vec<Blocked>, Pins) {
        let keys = std::mem::take(&mut self.read);
        for key in &keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.pins += 1;
            }
        }
        let ranges = std::mem::take(&mut self.read_ranges);
        ranges.iter().for_each(|range| self.pin_range(range));
        (std::mem::take(&mut self.blocked), Pins { keys, ranges })
    }

    /// Pins what a parked command waits for, too.
    pub(crate) fn pin_scan(&mut self, range: &Range, pins: &mut Pins) {
        self.pin_range(range);
        pins.ranges.push(range.clone());
    }

    pub(crate) fn unpin(&mut self, pins: &Pins) {
        for key in &pins.keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.pins = entry.pins.saturating_sub(1);
            }
        }
        self.ranges.unpin(&pins.ranges);
    }

    /// Notes that a key is wanted; the load to ask for, unless it is under way.
    pub(crate) fn load(&mut self, key: &Key) -> Option<(Table, Bytes, Offset)> {
        if self.loading.contains_key(key) {
            return None;
        }
        self.loading.insert(key.clone(), self.applied);
        Some((Table(key[0]), key.slice(1..), self.applied))
    }

    /// Takes in a loaded key. `Err` is a load to repeat: the snapshot was older than asked for.
    pub(crate) fn loaded(
        &mut self,
        table: Table,
        key: &Bytes,
        value: Option<Bytes>,
        applied: Offset,
    ) -> Result<Key, Offset> {
        let full_key = self.full_key(table, key);
        if let Some(at_least) = self.loading.get(&full_key)
            && applied < *at_least
        {
            return Err(*at_least);
        }
        self.loading.remove(&full_key);
        self.applied = self.applied.max(applied);
        if !self.entries.contains_key(&full_key) {
            // No write of this shard is newer: its entry would still be here.
            self.insert(full_key.clone(), value, None, Offset(0));
        }
        Ok(full_key)
    }

    /// Takes in the changes of a batch that is on its way to the store.
    pub(crate) fn write(&mut self, batch: BatchId, frame: &Frame) {
        let is_durable = self.is_durable(batch);
        for change in frame.changes() {
            let key = self.full_key(change.table, change.key);
            let value = change.value.map(Bytes::copy_from_slice);
            // A write that was durable before we heard of its batch stands at an offset we do not
            // know, but not above the newest durable one.
            let offset = if is_durable { self.durable_offset } else { Offset(0) };
            self.insert(key.clone(), value, (!is_durable).then_some(batch), offset);
            if change.table.is_ranged() {
                self.ranges.written(&key);
                if is_durable {
                    self.ranges.durable(offset, key.clone());
                }
            }
            if !is_durable {
                self.undurable.entry(batch).or_default().push(key);
            }
        }
    }

    /// The batch, and every earlier one of its shard, is on disk.
    pub(crate) fn durable(&mut self, batch: BatchId, offset: Offset, applied: Offset) {
        let newest = self.durable.entry(batch.shard).or_default();
        *newest = batch.number.max(*newest);
        self.durable_offset = self.durable_offset.max(offset);
        self.applied = self.applied.max(applied);
        for key in self.undurable.remove(&batch).unwrap_or_default() {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            entry.offset = entry.offset.max(offset);
            if entry.pending == Some(batch) {
                entry.pending = None;
            }
            if Table(key[0]).is_ranged() {
                self.ranges.durable(offset, key);
            }
        }
    }

    pub(crate) fn is_durable(&self, batch: BatchId) -> bool {
        self.durable.get(&batch.shard).is_some_and(|newest| *newest >= batch.number)
    }

    pub(crate) fn has_undurable(&self) -> bool {
        !self.undurable.is_empty()
    }

    pub(crate) fn figures(&self) -> ViewFigures {
        ViewFigures {
            entries: self.entries.len(),
            bytes: self.bytes,
            hits: self.hits,
            misses: self.misses,
            undurable: self.undurable.len(),
        }
    }

    /// Holds a frame's keys: reading them blocks.
    pub(crate) fn hold(&mut self, frame: &Frame) -> Vec<Key> {
        let keys: Vec<_> =
            frame.changes().map(|change| self.full_key(change.table, change.key)).collect();
        for key in &keys {
            *self.holds.entry(key.clone()).or_default() += 1;
        }
        keys
    }

    pub(crate) fn release(&mut self, keys: &[Key]) {
        for key in keys {
            self.holds.remove(key);
        }
    }

    /// Whether what no snapshot has yet takes so much memory that no more may be written.
    pub(crate) fn is_overfull(&self) -> bool {
        self.bytes > CACHE_BYTES_MAX + OVERLAY_BYTES_MAX
    }

    /// What is written at or below this offset, every snapshot has that rows are read from.
    fn floor(&self) -> Offset {
        self.ranges.oldest().map_or(self.applied, |oldest| oldest.min(self.applied))
    }

    /// Brings the memory back under its limit. Called between handles, never within one.
    pub(crate) fn evict(&mut self) {
        self.prune_ranges();
        let floor = self.floor();
        let mut tries = self.clock.len().min(64); // a bounded step; the next handle goes on
        while self.bytes > CACHE_BYTES_MAX && tries > 0 {
            tries -= 1;
            let Some(key) = self.clock.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let needed = entry.pending.is_some() || entry.offset > floor || entry.pins > 0;
            if needed || entry.referenced.get() || self.loading.contains_key(&key) {
                entry.referenced.set(false);
                self.clock.push_back(key);
            } else if let Some(gone) = self.entries.remove(&key) {
                self.bytes -= cost(&key, gone.value.as_ref());
            }
        }
    }

    fn insert(&mut self, key: Key, value: Option<Bytes>, pending: Option<BatchId>, offset: Offset) {
        self.bytes += cost(&key, value.as_ref());
        match self.entries.get_mut(&key) {
            Some(entry) => {
                self.bytes -= cost(&key, entry.value.as_ref());
                entry.value = value;
                entry.pending = pending;
                entry.offset = entry.offset.max(offset);
            }
            None => {
                self.clock.push_back(key.clone());
                let referenced = Cell::new(true);
                let entry = Entry { value, pending, offset, pins: 0, referenced };
                self.entries.insert(key, entry);
            }
        }
    }

    fn full_key(&mut self, table: Table, key: &[u8]) -> Key {
        self.compose(table, key);
        Bytes::copy_from_slice(&self.scratch)
    }

    fn compose(&mut self, table: Table, key: &[u8]) {
        self.scratch.clear();
        self.scratch.push(table.0);
        self.scratch.extend_from_slice(key);
    }
}

fn cost(key: &Key, value: Option<&Bytes>) -> usize {
    ENTRY_OVERHEAD + 2 * key.len() + value.map_or(0, Bytes::len)
}

impl domain::ctx::View for View {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Unavailable> {
        self.compose(table, key);
        if self.holds.contains_key(self.scratch.as_slice()) {
            self.blocked.push(Blocked::Held(Bytes::copy_from_slice(&self.scratch)));
            return Err(Unavailable);
        }
        let Some((key, entry)) = self.entries.get_key_value(self.scratch.as_slice()) else {
            self.misses += 1;
            self.blocked.push(Blocked::Load(Bytes::copy_from_slice(&self.scratch)));
            return Err(Unavailable);
        };
        self.hits += 1;
        if let Some(batch) = entry.pending {
            self.depends.add(batch);
        }
        self.read.push(key.clone());
        entry.referenced.set(true);
        Ok(entry.value.clone())
    }

    fn range(&mut self, range: &Range) -> Result<Vec<Row>, Unavailable> {
        self.read_range(range)
    }
}

#[cfg(test)]
mod tests {
    use base::Change;
    use domain::ctx::View as _;

    use super::*;

    const USERS: Table = Table(1);

    fn frame(value: &[u8]) -> Frame {
        Frame::encode(&vec![Change { table: 1, key: b"k".to_vec(), value: Some(value.to_vec()) }])
    }

    fn batch(number: u64) -> BatchId {
        BatchId { shard: ShardId(0), number }
    }

    fn get(view: &mut View) -> Result<Option<Bytes>, Blocked> {
        view.begin(Depends::default());
        view.get(USERS, b"k").map_err(|Unavailable| view.blocked[0].clone())
    }

    #[test]
    fn a_write_during_a_load_wins_over_what_the_load_brings() {
        let mut view = View::default();
        let Err(Blocked::Load(key)) = get(&mut view) else { panic!("nothing is loaded yet") };
        assert!(view.load(&key).is_some());
        assert!(view.load(&key).is_none(), "one load at a time");
        view.write(batch(1), &frame(b"new"));
        let old = Some(Bytes::from_static(b"old"));
        assert!(view.loaded(USERS, &Bytes::from_static(b"k"), old, Offset(0)).is_ok());
        assert_eq!(get(&mut view), Ok(Some(Bytes::from_static(b"new"))));
        assert_eq!(view.depends(), Depends(vec![batch(1)]));
        let bytes = ENTRY_OVERHEAD + 2 * 2 + 3; // the key with its table, the value
        let expected = ViewFigures { entries: 1, bytes, hits: 1, misses: 1, undurable: 1 };
        assert_eq!(view.figures(), expected);
    }

    #[test]
    fn a_load_from_an_old_snapshot_is_repeated() {
        let mut view = View::default();
        view.durable(batch(1), Offset(7), Offset(7));
        let Err(Blocked::Load(key)) = get(&mut view) else { panic!("nothing is loaded yet") };
        assert_eq!(view.load(&key).map(|(_, _, at_least)| at_least), Some(Offset(7)));
        let key = Bytes::from_static(b"k");
        assert_eq!(view.loaded(USERS, &key, None, Offset(6)), Err(Offset(7)));
        assert!(view.loaded(USERS, &key, None, Offset(7)).is_ok());
        assert_eq!(get(&mut view), Ok(None));
    }

    #[test]
    fn an_entry_stays_until_snapshots_have_it() {
        let mut view = View::default();
        let large = vec![0; CACHE_BYTES_MAX];
        view.write(batch(1), &frame(&large));
        let evict = |view: &mut View| (0..3).for_each(|_| view.evict());
        evict(&mut view);
        assert!(get(&mut view).is_ok(), "pending");
        view.durable(batch(1), Offset(1), Offset(0));
        evict(&mut view);
        assert!(get(&mut view).is_ok(), "durable, not applied");
        assert_eq!(view.depends(), Depends::default());
        view.durable(batch(2), Offset(2), Offset(1));
        view.begin(Depends::default());
        assert!(view.get(USERS, b"k").is_ok());
        let (_, pins) = view.park();
        evict(&mut view);
        assert!(get(&mut view).is_ok(), "pinned");
        view.unpin(&pins);
        evict(&mut view);
        assert!(matches!(get(&mut view), Err(Blocked::Load(_))));
        assert_eq!(view.bytes, 0);
    }

    #[test]
    fn a_held_key_blocks_until_it_is_released() {
        let mut view = View::default();
        let keys = view.hold(&frame(b"v"));
        assert!(matches!(get(&mut view), Err(Blocked::Held(_))));
        view.release(&keys);
        view.write(batch(1), &frame(b"v"));
        assert_eq!(get(&mut view), Ok(Some(Bytes::from_static(b"v"))));
    }

    #[test]
    fn a_batch_that_was_durable_before_its_entries_came_is_not_pending() {
        let mut view = View::default();
        view.durable(batch(3), Offset(9), Offset(8));
        view.write(batch(3), &frame(b"v"));
        assert!(get(&mut view).is_ok());
        assert_eq!(view.depends(), Depends::default());
        assert!(!view.has_undurable());
    }
}
