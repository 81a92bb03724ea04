//! The waiting tickets, found by session, by class and by age.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use base::collections::IdMap;
use base::{SessionId, TicketId, UnixTime, UserId};

use crate::packed::{Packed, Properties};
use crate::ticket::{Counts, Presence, Query, Ticket};

/// Where a ticket is stored; used again after its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// Tickets with equal counts, largest size first in the name so that one size is one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) max: u32,
    pub(crate) min: u32,
    pub(crate) multiple: u32,
}

impl Class {
    pub(crate) fn of(counts: Counts) -> Class {
        Class { max: counts.max(), min: counts.min(), multiple: counts.multiple() }
    }
}

/// A stored ticket.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: TicketId,
    user: UserId,
    username: Arc<str>,
    pub(crate) session: SessionId,
    pub(crate) counts: Counts,
    query: Query,
    pub(crate) created: UnixTime,
    properties: Packed,
    /// Passes in which it searched.
    pub(crate) intervals: u32,
    /// The session's next ticket.
    next: Option<Slot>,
}

impl Waiting {
    fn new(ticket: Ticket, next: Option<Slot>) -> Waiting {
        let properties = Properties {
            string_properties: ticket.string_properties,
            numeric_properties: ticket.numeric_properties,
        };
        Waiting {
            id: ticket.id,
            user: ticket.presence.user_id,
            username: ticket.presence.username,
            session: ticket.presence.session_id,
            counts: ticket.counts,
            query: ticket.query,
            created: ticket.created,
            properties: properties.pack(),
            intervals: 0,
            next,
        }
    }

    /// The ticket as it was added.
    pub(crate) fn ticket(&self) -> Ticket {
        let properties = self.properties.unpack();
        Ticket {
            id: self.id,
            presence: Presence {
                user_id: self.user,
                session_id: self.session,
                username: self.username.clone(),
            },
            counts: self.counts,
            query: self.query,
            string_properties: properties.string_properties,
            numeric_properties: properties.numeric_properties,
            created: self.created,
        }
    }
}

/// Invariants: every stored ticket is in exactly one class and in its session's list; `created` is
/// unique; no class and no session is empty.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: Vec<Option<Waiting>>,
    free: Vec<Slot>,
    /// The first ticket of each session's list.
    sessions: IdMap<SessionId, Slot>,
    classes: BTreeMap<Class, BTreeMap<UnixTime, Slot>>,
    /// Different sessions among the tickets of one max count.
    sessions_by_max: BTreeMap<u32, u32>,
    newest: UnixTime,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The creation of the newest ticket so far, waiting or not.
    pub(crate) fn newest(&self) -> UnixTime {
        self.newest
    }

    /// Stores a ticket as the newest.
    pub(crate) fn insert(&mut self, mut ticket: Ticket) -> Slot {
        ticket.created = ticket.created.max(UnixTime(self.newest.0 + 1));
        self.newest = ticket.created;
        let (session, counts, created) =
            (ticket.presence.session_id, ticket.counts, ticket.created);
        if !self.session_has_max(session, counts.max()) {
            *self.sessions_by_max.entry(counts.max()).or_default() += 1;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).expect("a pool is limited far below 2^32");
            self.slots.push(None);
            Slot(slot)
        });
        let next = self.sessions.insert(session, slot);
        self.slots[slot.0 as usize] = Some(Waiting::new(ticket, next));
        self.classes.entry(Class::of(counts)).or_default().insert(created, slot);
        slot
    }

    /// Takes a stored ticket out.
    pub(crate) fn remove(&mut self, slot: Slot) -> Waiting {
        let waiting = self.slots[slot.0 as usize].take().expect("only stored tickets are removed");
        self.free.push(slot);
        let session = waiting.session;
        self.unlink(session, slot, waiting.next);
        let max = waiting.counts.max();
        if !self.session_has_max(session, max) {
            let sessions =
                self.sessions_by_max.get_mut(&max).expect("a stored ticket's session is counted");
            *sessions -= 1;
            if *sessions == 0 {
                self.sessions_by_max.remove(&max);
            }
        }
        let class = Class::of(waiting.counts);
        let members = self.classes.get_mut(&class).expect("a stored ticket is in its class");
        members.remove(&waiting.created);
        if members.is_empty() {
            self.classes.remove(&class);
        }
        waiting
    }

    fn unlink(&mut self, session: SessionId, slot: Slot, next: Option<Slot>) {
        if self.sessions.get(&session) == Some(&slot) {
            match next {
                Some(next) => self.sessions.insert(session, next),
                None => self.sessions.remove(&session),
            };
            return;
        }
        let before = self
            .session(session)
            .find(|before| self.waiting(*before).next == Some(slot))
            .expect("a stored ticket is in its session's list");
        self.waiting_mut(before).next = next;
    }

    pub(crate) fn waiting(&self, slot: Slot) -> &Waiting {
        self.slots[slot.0 as usize]
            .as_ref()
            .expect("a slot is held no longer than its ticket waits")
    }

    pub(crate) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.slots[slot.0 as usize]
            .as_mut()
            .expect("a slot is held no longer than its ticket waits")
    }

    /// The tickets of a session, newest first.
    pub(crate) fn session(&self, session: SessionId) -> impl Iterator<Item = Slot> {
        let first = self.sessions.get(&session).copied();
        std::iter::successors(first, |slot| self.waiting(*slot).next)
    }

    pub(crate) fn find(&self, id: TicketId, session: SessionId) -> Option<Slot> {
        self.session(session).find(|slot| self.waiting(*slot).id == id)
    }

    /// Different sessions among the tickets of this max count.
    pub(crate) fn sessions_of_max(&self, max: u32) -> u32 {
        self.sessions_by_max.get(&max).copied().unwrap_or(0)
    }

    /// All tickets of this max count, oldest first.
    pub(crate) fn of_max(&self, max: u32) -> Vec<Slot> {
        let (from, to) = (first_class(max), first_class(max + 1));
        let mut found: Vec<(UnixTime, Slot)> = self
            .classes
            .range(from..to)
            .flat_map(|(_, members)| members.iter().map(|(created, slot)| (*created, *slot)))
            .collect();
        found.sort_unstable_by_key(|(created, _)| *created);
        found.into_iter().map(|(_, slot)| slot).collect()
    }

    /// The first class at or after `from`.
    pub(crate) fn class_from(&self, from: Class) -> Option<Class> {
        self.classes.range(from..).next().map(|(class, _)| *class)
    }

    /// The oldest ticket of a class that was created after `after`, and not after `until`.
    pub(crate) fn next_in_class(
        &self,
        class: Class,
        after: UnixTime,
        until: UnixTime,
    ) -> Option<(UnixTime, Slot)> {
        if after >= until {
            return None;
        }
        let mut members = self.classes.get(&class)?.range((Excluded(after), Included(until)));
        members.next().map(|(created, slot)| (*created, *slot))
    }

    /// The ticket of a class that was created exactly then.
    pub(crate) fn in_class(&self, class: Class, created: UnixTime) -> Option<Slot> {
        self.classes.get(&class)?.get(&created).copied()
    }

    fn session_has_max(&self, session: SessionId, max: u32) -> bool {
        self.session(session).any(|slot| self.waiting(slot).counts.max() == max)
    }
}

fn first_class(max: u32) -> Class {
    Class { max, min: 0, multiple: 0 }
}
