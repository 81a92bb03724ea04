//! A pool of tickets: they wait, they search, they form matches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included};
use std::time::Duration;

use base::{SessionId, TicketId, UnixTime, limits};

use crate::index::{Index, Slot, Waiting};
use crate::select::{Search, Step};
use crate::ticket::{Error, Ticket};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A full match forms as soon as it exists; passes form those below the max count.
    Immediate,
    /// Matches form in passes only, as in Nakama.
    Compatible,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: Mode,
    /// Time between two passes; whoever owns the pool keeps it.
    pub interval: Duration,
    /// Passes in which a ticket searches; in the last one it accepts its min count.
    pub max_intervals: u32,
    /// Tickets of one session.
    pub max_tickets: usize,
}

/// Tickets that play together.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The found ones in the order of their age, then the one that searched.
    pub tickets: Vec<Ticket>,
}

/// Lives on the shard that owns the queue. Drain [`Pool::poll_match`] after every call; while
/// [`Pool::has_work`], call [`Pool::step`].
///
/// Invariants: a ticket is in at most one match, and in none after its removal; in immediate mode
/// no full match could be formed from the tickets that wait.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    index: Index,
    /// Tickets that still search by themselves, by age. The others wait to be found.
    active: BTreeMap<UnixTime, Slot>,
    pass: Option<Pass>,
    /// An interval ended while a pass was under way: the next one follows it.
    pass_due: bool,
    formed: VecDeque<Match>,
}

#[derive(Debug)]
struct Pass {
    /// The creation of the ticket that searched last.
    walked: UnixTime,
    /// The newest ticket that belongs to the pass.
    until: UnixTime,
    search: Option<Search>,
}

impl Pool {
    pub fn new(settings: Settings) -> Pool {
        Pool {
            settings,
            index: Index::default(),
            active: BTreeMap::new(),
            pass: None,
            pass_due: false,
            formed: VecDeque::new(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tickets that wait.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tickets that still search by themselves.
    pub fn active_len(&self) -> usize {
        self.active.len()
    }

    pub fn add(&mut self, ticket: Ticket) -> Result<(), Error> {
        let of_session = self.index.session(ticket.presence.session_id).count();
        if of_session >= self.settings.max_tickets {
            return Err(Error::TooManyTickets);
        }
        if self.len() >= limits::MATCHMAKER_TICKETS_MAX {
            return Err(Error::PoolFull);
        }
        let max = ticket.counts.max();
        let slot = self.index.insert(ticket);
        self.active.insert(self.index.newest(), slot);
        match self.settings.mode {
            Mode::Immediate => self.form_full(max),
            Mode::Compatible => {}
        }
        Ok(())
    }

    /// Removes a ticket of this session.
    pub fn remove(&mut self, id: TicketId, owner: SessionId) -> Result<(), Error> {
        let slot = self.index.find(id, owner).ok_or(Error::NotFound)?;
        self.take(slot);
        Ok(())
    }

    /// Removes all tickets of a session, and says how many there were.
    pub fn remove_session(&mut self, session: SessionId) -> usize {
        let slots: Vec<Slot> = self.index.session(session).collect();
        for slot in &slots {
            self.take(*slot);
        }
        slots.len()
    }

    /// An interval ended: every active ticket searches once, oldest first, in [`Pool::step`].
    /// Tickets added later are not part of the pass.
    pub fn begin_pass(&mut self) {
        if self.pass.is_some() {
            self.pass_due = true;
        } else if !self.active.is_empty() {
            self.pass =
                Some(Pass { walked: UnixTime(0), until: self.index.newest(), search: None });
        }
    }

    /// Whether a pass is under way.
    pub fn has_work(&self) -> bool {
        self.pass.is_some()
    }

    /// Goes on with a pass for `budget` units of work (one is a class or a ticket looked at), and
    /// says whether there is more.
    pub fn step(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(pass) = &mut self.pass else {
                return false;
            };
            let Some(search) = &mut pass.search else {
                self.search_next();
                continue;
            };
            match search.step(&self.index) {
                Step::Going => {}
                Step::Ended => pass.search = None,
                Step::Found(mut members) => {
                    members.push(search.searcher);
                    pass.search = None;
                    self.form(&members);
                }
            }
        }
        self.has_work()
    }

    /// The next match that was formed.
    pub fn poll_match(&mut self) -> Option<Match> {
        self.formed.pop_front()
    }

    /// Begins the search of the oldest active ticket that did not search in this pass, or ends it.
    fn search_next(&mut self) {
        let Some(pass) = &mut self.pass else {
            return;
        };
        let mut rest = self.active.range((Excluded(pass.walked), Included(pass.until)));
        let Some((created, slot)) = rest.next().map(|(created, slot)| (*created, *slot)) else {
            self.pass = None;
            if std::mem::take(&mut self.pass_due) {
                self.begin_pass();
            }
            return;
        };
        pass.walked = created;
        let waiting = self.index.waiting_mut(slot);
        waiting.intervals += 1;
        let counts = waiting.counts;
        let last = waiting.intervals >= self.settings.max_intervals || counts.min() == counts.max();
        if last {
            self.active.remove(&created);
        }
        pass.search = Some(Search::new(&self.index, slot, last, pass.until));
    }

    /// Forms the full match of this size, if there is one.
    ///
    /// Single players that accept everybody make a full match of size n exactly when n of them, of
    /// different sessions, have max count n: every hit's range lies inside the searcher's, so none
    /// has a larger max, and none accepts n with a smaller one. The one with the smallest min
    /// count, of those the newest, counts as the one that searched.
    fn form_full(&mut self, size: u32) {
        if self.index.sessions_of_max(size) < size {
            return;
        }
        let mut sessions = BTreeSet::new();
        let mut members = self.index.of_max(size);
        members.retain(|slot| sessions.insert(self.index.waiting(*slot).session));
        members.truncate(size as usize);
        let newest_first = (0..members.len()).rev();
        let searcher = newest_first
            .min_by_key(|position| self.index.waiting(members[*position]).counts.min())
            .expect("a full match has members");
        let searcher = members.remove(searcher);
        members.push(searcher);
        self.form(&members);
    }

    fn form(&mut self, members: &[Slot]) {
        let tickets = members.iter().map(|slot| self.take(*slot).ticket()).collect();
        self.formed.push_back(Match { tickets });
    }

    /// Takes a ticket out of everything that knows it.
    fn take(&mut self, slot: Slot) -> Waiting {
        let waiting = self.index.remove(slot);
        self.active.remove(&waiting.created);
        if let Some(pass) = &mut self.pass
            && let Some(search) = &mut pass.search
        {
            if search.searcher == slot {
                pass.search = None;
            } else {
                search.forget(slot);
            }
        }
        waiting
    }
}
