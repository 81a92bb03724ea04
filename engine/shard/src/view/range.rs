//! Ranges of keys: what a snapshot has of one, brought up to date by what no snapshot needs to have
//! yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use base::limits::SCANS_MAX;
use base::{Offset, Range};
use domain::ctx::{Row, Unavailable};

use super::{Blocked, Key, View};

/// Invariants: while rows of a snapshot are asked for or here, every key that a batch above its
/// offset has written is in `unapplied`; a range is scanned once at a time.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Keys of tables of which ranges are read: pending, or written above the floor.
    unapplied: BTreeSet<Key>,
    /// The same in the order of the offsets at which they became durable.
    durable: VecDeque<(Offset, Key)>,
    scans: BTreeMap<Range, Scanned>,
}

/// A part of a range, as far as one scan reaches.
#[derive(Debug)]
struct Scanned {
    /// Of the snapshot: at least this one, or when the rows are here, this one.
    offset: Offset,
    found: Option<Found>,
    /// Parked commands that have read it or wait for it.
    pins: u32,
}

#[derive(Debug)]
struct Found {
    rows: Vec<Row>,
    is_end: bool,
}

impl Ranges {
    /// A key of such a table is written by a batch that is not durable.
    pub(super) fn written(&mut self, key: &Key) {
        self.unapplied.insert(key.clone());
    }

    /// What was written there is durable.
    pub(super) fn durable(&mut self, offset: Offset, key: Key) {
        self.durable.push_back((offset, key));
    }

    /// The oldest offset that rows of a snapshot may be of, if there are such.
    pub(super) fn oldest(&self) -> Option<Offset> {
        self.scans.values().map(|scan| scan.offset).min()
    }

    pub(super) fn unpin(&mut self, ranges: &[Range]) {
        for range in ranges {
            if let Some(scan) = self.scans.get_mut(range) {
                scan.pins = scan.pins.saturating_sub(1);
            }
        }
    }
}

impl View {
    /// Notes that a range is wanted by a command that is being parked; the scan to ask for, unless
    /// it is under way. `Err` when there are too many.
    pub(crate) fn scan(&mut self, range: &Range) -> Result<Option<Offset>, ()> {
        if self.ranges.scans.contains_key(range) {
            return Ok(None);
        }
        if self.ranges.scans.len() >= SCANS_MAX {
            return Err(());
        }
        let scan = Scanned { offset: self.applied, found: None, pins: 0 };
        self.ranges.scans.insert(range.clone(), scan);
        Ok(Some(self.applied))
    }

    pub(super) fn pin_range(&mut self, range: &Range) {
        if let Some(scan) = self.ranges.scans.get_mut(range) {
            scan.pins += 1;
        }
    }

    /// Takes in the rows of a scan. `Err` is a scan to repeat: the snapshot was older than asked
    /// for.
    pub(crate) fn scanned(
        &mut self,
        range: &Range,
        rows: Vec<Row>,
        is_end: bool,
        applied: Offset,
    ) -> Result<(), Offset> {
        let Some(scan) = self.ranges.scans.get_mut(range) else { return Ok(()) };
        if applied < scan.offset {
            return Err(scan.offset);
        }
        scan.offset = applied;
        scan.found = Some(Found { rows, is_end });
        self.applied = self.applied.max(applied);
        Ok(())
    }

    /// Forgets rows that nobody waits for any more, and keys that every later snapshot has.
    pub(super) fn prune_ranges(&mut self) {
        self.ranges.scans.retain(|_, scan| scan.found.is_none() || scan.pins > 0);
        let floor = self.floor();
        while let Some((offset, _)) = self.ranges.durable.front()
            && *offset <= floor
        {
            let Some((_, key)) = self.ranges.durable.pop_front() else { return };
            let is_needed = |entry: &super::Entry| entry.pending.is_some() || entry.offset > floor;
            if !self.entries.get(&key).is_some_and(is_needed) {
                self.ranges.unapplied.remove(&key);
            }
        }
    }

    pub(super) fn read_range(&mut self, range: &Range) -> Result<Vec<Row>, Unavailable> {
        debug_assert!(range.table.is_ranged(), "{:?} keeps no order of its keys", range.table);
        let (mut rows, mut left) = (Vec::new(), range.clone());
        while rows.len() < range.limit {
            let here = self.ranges.scans.get(&left).and_then(|scan| scan.found.as_ref());
            let Some(Found { rows: found, is_end }) = here else {
                self.blocked.push(Blocked::Scan(left));
                return Err(Unavailable);
            };
            let last = found.last().filter(|_| !*is_end).map(|(key, _)| key.clone());
            let part = self.part(&left, last.as_deref());
            self.read_ranges.push(left.clone());
            for row in self.merge(&left, &part)? {
                if rows.len() < range.limit {
                    rows.push(row);
                }
            }
            let Some(last) = last else { break };
            left = left.behind(&last);
        }
        Ok(rows)
    }

    /// The keys of the range that a snapshot may lack, as far as the scan reaches.
    fn part(&self, range: &Range, last: Option<&[u8]>) -> Vec<Key> {
        let full = |key: &[u8]| [&[range.table.0], key].concat();
        let (mut from, mut to) =
            (Bound::Included(full(&range.from)), Bound::Excluded(full(&range.to)));
        if range.to.is_empty() {
            to = Bound::Excluded(vec![range.table.0.saturating_add(1)]);
        }
        match last {
            Some(last) if range.is_descending => from = Bound::Included(full(last)),
            Some(last) => to = Bound::Included(full(last)),
            None => {}
        }
        let is_empty = match (&from, &to) {
            (Bound::Included(from), Bound::Excluded(to)) => from >= to,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            _ => true,
        };
        if is_empty {
            return Vec::new();
        }
        let from = from.as_ref().map(Vec::as_slice);
        let keys = self.ranges.unapplied.range::<[u8], _>((from, to.as_ref().map(Vec::as_slice)));
        match range.is_descending {
            true => keys.rev().cloned().collect(),
            false => keys.cloned().collect(),
        }
    }

    /// What was scanned, with the newest values of these keys, in the order of the range.
    fn merge(&mut self, range: &Range, newer: &[Key]) -> Result<Vec<Row>, Unavailable> {
        let here = self.ranges.scans.get(range).and_then(|scan| scan.found.as_ref());
        let found = here.map_or(&[][..], |found| &found.rows);
        let (mut rows, mut newer) = (Vec::with_capacity(found.len()), newer.iter().peekable());
        let mut blocked = Vec::new();
        let mut push = |key: &Key, rows: &mut Vec<Row>| {
            let Some(entry) = self.entries.get(key) else { return };
            if let Some(batch) = entry.pending {
                self.depends.add(batch);
            }
            rows.extend(entry.value.clone().map(|value| (key.slice(1..), value)));
        };
        for (key, value) in found {
            let is_before = |other: &Key| match range.is_descending {
                true => other[1..] > **key,
                false => other[1..] < **key,
            };
            while let Some(other) = newer.next_if(|other| is_before(other)) {
                push(other, &mut rows);
            }
            match newer.next_if(|other| other[1..] == **key) {
                Some(other) => push(other, &mut rows),
                None => rows.push((key.clone(), value.clone())),
            }
        }
        newer.for_each(|other| push(other, &mut rows));
        if !self.holds.is_empty() {
            for (key, _) in &rows {
                let key = Key::from([&[range.table.0], &key[..]].concat());
                if self.holds.contains_key(&key) {
                    blocked.push(Blocked::Held(key));
                }
            }
        }
        if blocked.is_empty() {
            return Ok(rows);
        }
        self.blocked.append(&mut blocked);
        Err(Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use base::limits::CACHE_BYTES_MAX;
    use base::{BatchId, Change, Frame, Rng, ShardId, Table};
    use bytes::Bytes;
    use domain::ctx::View as _;

    use super::*;
    use crate::view::Depends;

    const TABLE: Table = Table(16);

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// A shard whose batches become durable and applied now and then.
    struct World {
        rng: Rng,
        view: View,
        /// The rows after each batch.
        states: Vec<Rows>,
        durable: u64,
        applied: u64,
    }

    impl World {
        fn write(&mut self) {
            let number = self.states.len() as u64;
            let mut rows = self.states.last().cloned().unwrap_or_default();
            let key = vec![self.draw(16), self.draw(2)];
            let value = (self.draw(3) > 0).then(|| number.to_le_bytes().to_vec());
            match value.clone() {
                Some(value) => drop(rows.insert(key.clone(), value)),
                None => drop(rows.remove(&key)),
            }
            self.states.push(rows);
            let frame = Frame::encode(&vec![Change { table: TABLE.0, key, value }]);
            self.view.write(batch(number), &frame);
        }

        /// What may happen between two questions.
        fn act(&mut self) {
            match self.draw(4) {
                0 | 1 => self.write(),
                2 if self.durable + 1 < self.states.len() as u64 => {
                    self.durable += 1;
                    let offset = Offset(self.durable);
                    self.view.durable(batch(self.durable), offset, Offset(self.applied));
                }
                _ => self.applied += u64::from(self.applied < self.durable),
            }
            self.view.evict();
        }

        fn read(&mut self, range: &Range) -> (Vec<Row>, Depends) {
            loop {
                self.view.begin(Depends::default());
                match self.view.range(range) {
                    Ok(rows) => return (rows, self.view.depends()),
                    Err(Unavailable) => self.wait(),
                }
            }
        }

        /// A question is parked until its scan is answered.
        fn wait(&mut self) {
            let (blocked, mut pins) = self.view.park();
            let Some(Blocked::Scan(wanted)) = blocked.first() else { panic!("{blocked:?}") };
            let mut at_least = self.view.scan(wanted).unwrap().expect("nobody else asks");
            self.view.pin_scan(wanted, &mut pins);
            loop {
                (0..self.draw(4)).for_each(|_| self.act());
                let offset = at_least.0.saturating_sub(u64::from(self.draw(4) == 0));
                let newer = u32::try_from(self.applied - offset).unwrap();
                let offset = offset + u64::from(self.rng.below(1 + newer));
                let state = &self.states[offset as usize];
                let mut rows: Vec<Row> = state
                    .iter()
                    .filter(|(key, _)| wanted.contains(key))
                    .map(|(key, value)| (key.clone().into(), value.clone().into()))
                    .collect();
                if wanted.is_descending {
                    rows.reverse();
                }
                let fit = wanted.limit.min(1 + self.rng.below(4) as usize);
                let is_end = rows.len() <= fit;
                rows.truncate(fit);
                match self.view.scanned(wanted, rows, is_end, Offset(offset)) {
                    Ok(()) => break,
                    Err(repeat) => at_least = repeat,
                }
            }
            self.view.unpin(&pins);
        }

        fn draw(&mut self, below: u32) -> u8 {
            self.rng.below(below) as u8
        }
    }

    fn batch(number: u64) -> BatchId {
        BatchId { shard: ShardId(0), number }
    }

    #[test]
    fn a_range_is_as_the_newest_changes_left_it_whatever_snapshots_have() {
        for seed in 0..200 {
            let view = View { bytes: CACHE_BYTES_MAX + 1, ..View::new(7) }; // evicts what it can
            let rng = Rng::from_seed([seed; 32]);
            let states = vec![Rows::new()];
            let mut world = World { rng, view, states, durable: 0, applied: 0 };
            for _ in 0..100 {
                (0..3).for_each(|_| world.act());
                let mut bound = || Bytes::from(vec![world.draw(16)]);
                let (from, mut to) = (bound(), bound());
                if world.draw(3) == 0 {
                    to.clear();
                }
                let is_descending = world.draw(2) == 0;
                let limit = usize::from(world.draw(12));
                let range = Range { table: TABLE, from, to, is_descending, limit };
                let (rows, depends) = world.read(&range);
                let newest = world.states.last().unwrap();
                let mut expected: Vec<_> =
                    newest.iter().filter(|(key, _)| range.contains(key)).collect();
                if is_descending {
                    expected.reverse();
                }
                expected.truncate(limit);
                let told: Vec<_> = rows.iter().map(|(key, value)| (&key[..], &value[..])).collect();
                let expected: Vec<_> =
                    expected.into_iter().map(|(key, value)| (&key[..], &value[..])).collect();
                assert_eq!(told, expected, "seed {seed}, {range:?}");
                let written =
                    rows.iter().map(|(_, value)| u64::from_le_bytes(value[..].try_into().unwrap()));
                let newest = written.filter(|number| *number > world.durable).max();
                if let Some(newest) = newest {
                    let known = depends.first(|batch| batch.number >= newest);
                    assert!(known.is_some(), "seed {seed}: what is read is not durable");
                }
            }
            for number in world.durable + 1..world.states.len() as u64 {
                world.view.durable(batch(number), Offset(number), Offset(number));
            }
            world.view.evict();
            assert!(world.view.ranges.unapplied.is_empty(), "every snapshot has them");
            assert!(world.view.ranges.scans.is_empty(), "nobody waits for them");
        }
    }

    #[test]
    fn a_held_key_blocks_a_range_that_has_it() {
        let mut view = View::default();
        let change = Change { table: TABLE.0, key: b"k".to_vec(), value: Some(b"v".to_vec()) };
        let frame = Frame::encode(&vec![change]);
        let range = Range::prefix(TABLE, b"", 10);
        view.begin(Depends::default());
        assert_eq!(view.range(&range), Err(Unavailable));
        let (_, mut pins) = view.park();
        assert_eq!(view.scan(&range), Ok(Some(Offset(0))));
        view.pin_scan(&range, &mut pins);
        let rows = vec![(Bytes::from_static(b"k"), Bytes::from_static(b"old"))];
        assert_eq!(view.scanned(&range, rows, true, Offset(0)), Ok(()));
        let held = view.hold(&frame);
        view.begin(Depends::default());
        assert_eq!(view.range(&range), Err(Unavailable));
        assert!(matches!(view.park().0[..], [Blocked::Held(_)]));
        view.release(&held);
        view.write(batch(1), &frame);
        view.begin(Depends::default());
        let rows = view.range(&range).expect("nothing is held");
        assert_eq!(rows, [(Bytes::from_static(b"k"), Bytes::from_static(b"v"))]);
        assert_eq!(view.depends().first(|_| true), Some(batch(1)));
    }
}
