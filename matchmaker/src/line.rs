//! Tickets in the order of their creation, to which the newest is added.

use crate::index::Slot;

/// Where the ticket that was created then is stored, if it still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) created: u64,
    pub(crate) slot: Slot,
}

/// Those who left stay as entries until they are half of all.
#[derive(Debug, Default)]
pub(crate) struct Line {
    entries: Vec<Entry>,
    /// Those who left.
    left: u32,
    /// So many at the front all left.
    skipped: u32,
}

/// A line of fewer entries is not worth to be swept.
const SWEEP_MIN: usize = 16;

impl Line {
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(self.entries.last().is_none_or(|last| last.created < entry.created));
        if self.entries.is_empty() {
            self.entries.reserve_exact(1); // most of a group stay alone
        }
        self.entries.push(entry);
    }

    /// One of the tickets left the pool, and `waits` says so.
    pub(crate) fn forget(&mut self, waits: impl Fn(&Entry) -> bool) {
        self.left += 1;
        let left = self.left as usize;
        if left == self.entries.len() {
            self.entries.clear();
            (self.left, self.skipped) = (0, 0);
        } else if left * 2 > self.entries.len() && self.entries.len() >= SWEEP_MIN {
            self.entries.retain(waits);
            (self.left, self.skipped) = (0, 0);
            self.entries.shrink_to(self.entries.len() * 2);
        } else {
            while !waits(&self.entries[self.skipped as usize]) {
                self.skipped += 1;
            }
        }
    }

    /// Tickets that wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.left as usize
    }

    /// Those created later than `after`, and some that left.
    pub(crate) fn after(&self, after: u64) -> &[Entry] {
        let entries = &self.entries[self.skipped as usize..];
        &entries[entries.partition_point(|entry| entry.created <= after)..]
    }
}
