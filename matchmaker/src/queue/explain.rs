//! Why a ticket waits in its queue.

use std::time::Duration;

use base::{Instant, TicketId};

use super::room::{Room, Slot};
use super::{Queue, entrant};
use crate::ticket::{Error, Ticket};

/// Tickets that one call of [`Queue::explain`] looks at.
const LOOK: usize = 2_000;

/// What stands between a ticket and the others of its queue. One of them may be counted several
/// times, once for each rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub ticket: Ticket,
    pub waited: Duration,
    /// Its stage, and how many there are.
    pub stage: usize,
    pub stages: usize,
    /// How far its rating window reaches now, in points.
    pub window: f64,
    /// Other tickets that were looked at.
    pub others: u64,
    /// Tickets that nothing excludes: there are too few of them, or not for all roles, or no match
    /// of them has the quality that is asked for.
    pub acceptable: u64,
    /// By rule, how many tickets it excludes.
    pub excluded: Vec<(&'static str, u64)>,
    /// The next ticket that only ratings keep away: when the windows of both reach the other.
    pub next_reach: Option<(TicketId, Duration)>,
    /// Where [`Queue::explain`] goes on, if it has not looked at all tickets.
    next: Option<Slot>,
}

impl Explanation {
    /// Whether all tickets were looked at.
    pub fn is_whole(&self) -> bool {
        self.next.is_none()
    }
}

/// A ticket that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub ticket: Ticket,
    pub waited: Duration,
    /// Its stage, of how many.
    pub stage: usize,
    pub stages: usize,
}

/// In the order of [`Room::differences`].
const RULES: [&str; 7] = [
    "attributes that have to be equal",
    "rating window",
    "region",
    "blocked users",
    "attributes within a distance",
    "attributes that share a value",
    "party size",
];

impl Queue {
    /// Up to `limit` waiting tickets, in no order of theirs, from a place on, and the place to go
    /// on from.
    pub fn list(&self, from: usize, limit: usize, now: Instant) -> (Vec<Listed>, Option<usize>) {
        let from = Slot(u32::try_from(from).unwrap_or(u32::MAX));
        let mut rest = self.room.from(from).filter(|slot| self.room.hot(*slot).size > 0);
        let listed = |slot: Slot| {
            let waiting = self.room.waiting(slot);
            Listed {
                ticket: waiting.ticket(&self.room.names),
                waited: now.since(waiting.joined),
                stage: usize::from(self.room.hot(slot).stage) + 1,
                stages: self.room.stages.len(),
            }
        };
        let tickets = rest.by_ref().take(limit).map(listed).collect();
        (tickets, rest.next().map(|slot| slot.0 as usize))
    }

    /// Why a ticket waits. Does a bounded part of the work: call it again with what it gave, until
    /// that is whole.
    pub fn explain(
        &self,
        id: TicketId,
        so_far: Option<Explanation>,
        now: Instant,
    ) -> Result<Explanation, Error> {
        let found = self.room.find(id).filter(|slot| self.room.hot(*slot).size > 0);
        let slot = found.ok_or(Error::NotFound)?;
        let (hot, waiting) = (*self.room.hot(slot), self.room.waiting(slot));
        let mut so_far = so_far.unwrap_or_else(|| Explanation {
            ticket: waiting.ticket(&self.room.names),
            waited: now.since(waiting.joined),
            stage: usize::from(hot.stage) + 1,
            stages: self.room.stages.len(),
            window: self.room.stage(&hot).window,
            others: 0,
            acceptable: 0,
            excluded: RULES.map(|rule| (rule, 0)).into(),
            next_reach: None,
            next: Some(Slot(0)),
        });
        let Some(from) = so_far.next.take() else { return Ok(so_far) };
        for (looked, other) in self.room.from(from).enumerate() {
            if looked == LOOK {
                so_far.next = Some(other);
                break;
            }
            if other == slot {
                continue;
            }
            so_far.others += 1;
            let size = usize::from(hot.size) + usize::from(self.room.hot(other).size);
            let mut differs = self.room.differences(slot, other);
            differs[6] = size > self.definition.players();
            for ((_, count), differs) in so_far.excluded.iter_mut().zip(differs) {
                *count += u64::from(differs);
            }
            so_far.acceptable += u64::from(!differs.contains(&true));
            if differs.iter().filter(|differs| **differs).count() == 1
                && differs[1]
                && let Some(reach) = self.room.reach(slot, other, now)
                && so_far.next_reach.is_none_or(|(_, earlier)| reach < earlier)
            {
                so_far.next_reach = Some((self.room.waiting(other).id(), reach));
            }
        }
        Ok(so_far)
    }
}

impl Room {
    /// How long until the rating windows of both reach the other.
    fn reach(&self, one: Slot, other: Slot, now: Instant) -> Option<Duration> {
        let gap = self.gap(one, other);
        let reaches = |slot: Slot| {
            let mut stages = self.stages.iter();
            let stage = stages.find(|stage| gap <= entrant::fine(stage.window))?;
            Some(stage.from.saturating_sub(now.since(self.waiting(slot).joined)))
        };
        Some(reaches(one)?.max(reaches(other)?))
    }
}
