//! Waiting tickets that search together.

use std::num::NonZeroU32;

use base::collections::KeyHash;

use crate::plans::PlanId;
use crate::sorted::Sorted;
use crate::table::hash_of_number;
use crate::ticket::Counts;

/// A group in an index; used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupId(NonZeroU32);

impl GroupId {
    pub(crate) fn of_number(number: u32) -> GroupId {
        GroupId(NonZeroU32::MIN.saturating_add(number))
    }

    pub(crate) fn number(self) -> u32 {
        self.0.get() - 1
    }
}

/// Waiting tickets that are alike as searchers: of the same query, counts and size, and of the same
/// opinion of themselves. Where matches are mutual, each ticket is a group of its own.
#[derive(Debug)]
pub(crate) struct Group {
    /// Tells it from those that had its place before.
    pub(crate) born: u64,
    pub(crate) plan: PlanId,
    pub(crate) counts: Counts,
    pub(crate) size: u32,
    /// [`Spot`]s, by their creation.
    ///
    /// [`Spot`]: crate::cell::Spot
    pub(crate) tickets: Sorted,
    /// No fewer than the players that its query accepts, of the tickets with its max count and no
    /// smaller min count.
    pub(crate) fill: u64,
    /// All players that were added to it.
    pub(crate) met: u64,
    /// Whether `fill` was counted since the group began.
    pub(crate) is_counted: bool,
    /// Whether its tickets are not accepted by their own query.
    pub(crate) is_selfless: bool,
}

impl Group {
    /// Whether tickets are alike that are in these groups.
    pub(crate) fn is_like(&self, other: &Group) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (PlanId, u32, u32, u32, bool) {
        (self.plan, self.counts.min(), self.counts.max(), self.size, self.is_selfless)
    }

    /// A hash of what makes its tickets alike.
    pub(crate) fn hash(&self, hash: KeyHash) -> u64 {
        let (plan, min, max, size, is_selfless) = self.key();
        let counts = u64::from(min) << 32 | u64::from(max) << 1 | u64::from(is_selfless);
        hash_of_number(u128::from(plan.0) << 96 | u128::from(size) << 64 | u128::from(counts), hash)
    }

    /// It accepts so many players more.
    pub(crate) fn meet(&mut self, players: u32) {
        self.fill += u64::from(players);
        self.met += u64::from(players);
    }

    /// Its fill was counted, but for those whom it met since it had met so many; says whether none
    /// of them has to be looked for: who came before the first count did not see that it could be
    /// filled.
    pub(crate) fn ends_turn(&mut self, met: u64) -> bool {
        std::mem::replace(&mut self.is_counted, true) || self.met == met || !self.could_fill()
    }

    /// Whether there may be enough players for one of its tickets.
    pub(crate) fn could_fill(&self) -> bool {
        let own = if self.is_selfless { self.size } else { 0 };
        self.fill + u64::from(own) >= u64::from(self.counts.max())
    }
}
