//! The tickets of one cell, and the groups whose matches are there.

use std::hash::{BuildHasher, Hasher};

use base::collections::{IdMap, KeyHash};

use crate::group::GroupId;
use crate::index::Slot;
use crate::leaf::Span;
use crate::sorted::Sorted;

/// Invariant: one of the two is not empty.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// [`Spot`]s.
    pub(crate) tickets: Sorted,
    /// [`Seeker`]s.
    pub(crate) seekers: Sorted,
}

/// Where a ticket is in its cell: by its number, or by its creation if the shape has no span; then
/// by its slot. In one number, which is compared without a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot(pub(crate) i128);

impl Spot {
    pub(crate) fn new(number: i64, slot: Slot) -> Spot {
        Spot(i128::from(number) << 32 | i128::from(slot.0))
    }

    pub(crate) fn of_creation(created: u64, slot: Slot) -> Spot {
        Spot(i128::from(created) << 32 | i128::from(slot.0))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower part")]
    #[expect(clippy::cast_sign_loss, reason = "the lower part")]
    pub(crate) fn slot(self) -> Slot {
        Slot(self.0 as u32)
    }

    /// Before all those of this number, or creation.
    pub(crate) fn first_of(number: impl Into<i128>) -> Spot {
        Spot(number.into() << 32)
    }

    pub(crate) fn next(self) -> Spot {
        Spot(self.0 + 1)
    }
}

/// A group by its bounds: by the power of two above their distance, then by the lower one. So the
/// bounds that can hold a number are one range of each distance. In one number, as a [`Spot`]: the
/// level, the edge, the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seeker(pub(crate) i128);

/// Only an upper bound, kept by it.
const BELOW: u8 = 100;
/// No upper bound.
const ABOVE: u8 = 101;

impl Seeker {
    pub(crate) fn new(span: Option<Span>, group: GroupId) -> Seeker {
        let (level, edge) = match span {
            None => (ABOVE, i64::MIN),
            Some(span) if span.high == i64::MAX => (ABOVE, span.low),
            Some(span) if span.low == i64::MIN => (BELOW, span.high),
            Some(span) => {
                let distance = span.low.abs_diff(span.high);
                let level = u64::BITS - distance.leading_zeros();
                (u8::try_from(level).expect("at most 64"), span.low)
            }
        };
        Seeker::of(level, edge, group.number())
    }

    fn of(level: u8, edge: i64, group: u32) -> Seeker {
        let edge = (edge ^ i64::MIN).cast_unsigned();
        Seeker(i128::from(level) << 96 | i128::from(edge) << 32 | i128::from(group))
    }

    fn level(self) -> u8 {
        u8::try_from(self.0 >> 96).expect("it was made of one")
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower part")]
    #[expect(clippy::cast_sign_loss, reason = "the lower part")]
    fn group(self) -> GroupId {
        GroupId::of_number(self.0 as u32)
    }
}

impl Cell {
    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty() && self.seekers.is_empty()
    }

    /// Hands over the groups whose bounds could hold a number, from behind a seeker on, until it is
    /// told to stop; gives the seeker at which it was.
    pub(crate) fn seekers(
        &self,
        value: i64,
        mut after: Option<Seeker>,
        mut goes_on: impl FnMut(GroupId) -> bool,
    ) -> Option<Seeker> {
        let mut level = after.map_or(0, Seeker::level);
        loop {
            let first = self.seekers.from(Seeker::of(level, i64::MIN, 0).0).next()?;
            level = Seeker(first).level();
            let (from, to) = match level {
                BELOW => (value, i64::MAX),
                ABOVE => (i64::MIN, value),
                0..64 => (value.saturating_sub_unsigned(1 << level), value),
                _ => (i64::MIN, value),
            };
            let from = match after.take().filter(|after| after.level() == level) {
                Some(after) => after.0 + 1,
                None => Seeker::of(level, from, 0).0,
            };
            let to = Seeker::of(level, to, u32::MAX).0;
            for seeker in self.seekers.from(from).take_while(|seeker| *seeker <= to) {
                if !goes_on(Seeker(seeker).group()) {
                    return Some(Seeker(seeker));
                }
            }
            level += 1;
        }
    }
}

/// The cells of a shape by their keys, in parts, so that no call has to move them all.
#[derive(Debug)]
pub(crate) struct Cells(Box<[IdMap<u64, Cell>]>);

const PARTS: usize = 256;

impl Default for Cells {
    fn default() -> Cells {
        Cells((0..PARTS).map(|_| IdMap::default()).collect())
    }
}

impl Cells {
    fn part(&mut self, key: u64) -> &mut IdMap<u64, Cell> {
        &mut self.0[(key >> (u64::BITS - PARTS.ilog2())) as usize]
    }

    pub(crate) fn find(&self, key: u64) -> Option<&Cell> {
        self.0[(key >> (u64::BITS - PARTS.ilog2())) as usize].get(&key)
    }

    /// The cell, which is there from now on.
    pub(crate) fn cell(&mut self, key: u64) -> &mut Cell {
        self.part(key).entry(key).or_default()
    }

    /// Takes something out of a cell, and the cell with the last that was in it.
    pub(crate) fn take(&mut self, key: u64, take: impl FnOnce(&mut Cell) -> bool) {
        let part = self.part(key);
        let cell = part.get_mut(&key).expect("there is a cell for what is in it");
        let is_there = take(cell);
        debug_assert!(is_there, "it is in its cell");
        if cell.is_empty() {
            part.remove(&key);
        }
    }

    /// The parts, to be dropped one after another.
    pub(crate) fn into_parts(self) -> Box<[IdMap<u64, Cell>]> {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&u64, &Cell)> {
        self.0.iter().flatten()
    }
}

/// The cell of a max count and the values that its tickets have.
pub(crate) fn cell_key(lane: u32, values: u64, hash: KeyHash) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write_u64(values ^ (u64::from(lane) << 32));
    hasher.finish()
}

/// Where matches are mutual: the cell of the groups whose ticket is in one cell, `other`, of the
/// shape of this number, and whose matches are in this one.
pub(crate) fn pair_key(shape: usize, cell: u64, other: u64, hash: KeyHash) -> u64 {
    let mut hasher = hash.build_hasher();
    [shape as u64, cell, other].into_iter().for_each(|key| hasher.write_u64(key));
    hasher.finish()
}
