//! A pool of tickets: they wait, they search, they form matches.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included};
use std::time::Duration;

use base::{Instant, PartyId, SessionId, TicketId, UnixTime, limits};

use crate::arrival::{Arrival, Spare};
use crate::index::{Entry, Index, Slot};
use crate::query::Query;
use crate::search::{Aim, Search, Step};
use crate::ticket::{Error, Owner, Ticket};

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
    /// Tickets of one session, and of one party.
    pub max_tickets: usize,
    /// Whether the queries of all members of a match have to accept each other, or only that of
    /// the one that searched the others.
    pub rev_precision: bool,
    /// Intervals after which a pass that still runs asks for it no more; 0: never.
    pub rev_threshold: u32,
}

/// Tickets that play together.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The found ones in the order in which they joined, then the one that searched.
    pub tickets: Vec<Ticket>,
}

/// Lives on the shard that owns the queue. Drain [`Pool::poll_match`] after every call; while
/// [`Pool::has_work`], call [`Pool::step`].
///
/// Invariants: a ticket is in at most one match, and in none after its removal.
#[derive(Debug)]
pub struct Pool {
    pub(crate) settings: Settings,
    pub(crate) index: Index,
    /// Tickets that still search by themselves in passes, by age. The others wait to be found.
    active: BTreeMap<u64, Slot>,
    pass: Option<Pass>,
    /// An interval ended while a pass was under way: the next one follows it.
    pass_due: Option<Instant>,
    /// New tickets, in immediate mode, that were not tried yet.
    arrivals: VecDeque<Entry>,
    /// Those that need more than a [`QUANTUM`]: the first [`TURNS`] take turns.
    long: VecDeque<Arrival>,
    /// Those whose cells are being built.
    unbuilt: VecDeque<Entry>,
    spare: Spare,
    is_paused: bool,
    formed: VecDeque<Match>,
}

/// Candidates that one arrival looks at before others get their turn.
const QUANTUM: usize = 512;
/// Arrivals that keep what their search found so far, while others have their turn.
const TURNS: usize = 16;

#[derive(Debug)]
struct Pass {
    begun: Instant,
    /// The creation of the ticket that searched last.
    walked: u64,
    /// The newest ticket that belongs to the pass.
    until: u64,
    search: Option<Search>,
}

impl Pool {
    /// The seed keeps clients from making texts and numbers collide; the node's name is a part of
    /// the ids of parties, as clients know them.
    pub fn new(settings: Settings, seed: u64, node: &str) -> Pool {
        Pool {
            index: Index::new(seed, settings.rev_precision, node),
            settings,
            active: BTreeMap::new(),
            pass: None,
            pass_due: None,
            arrivals: VecDeque::new(),
            long: VecDeque::new(),
            unbuilt: VecDeque::new(),
            spare: Spare::default(),
            is_paused: false,
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

    /// A paused pool takes tickets and forms no match.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// When the oldest ticket was created.
    pub fn oldest(&self) -> Option<UnixTime> {
        self.index.oldest().map(UnixTime)
    }

    /// Adds a ticket; in immediate mode, [`Pool::step`] tries it. Its creation is moved behind that
    /// of the newest one where needed.
    #[expect(clippy::needless_pass_by_value, reason = "the ticket is the pool's from now on")]
    pub fn add(&mut self, ticket: Ticket, query: &Query) -> Result<(), Error> {
        self.check(&ticket)?;
        let counts = ticket.counts;
        let entry = self.index.insert(&ticket, query);
        match self.settings.mode {
            Mode::Compatible => {
                self.active.insert(entry.created, entry.slot);
            }
            Mode::Immediate => {
                if counts.min() < counts.max() {
                    self.active.insert(entry.created, entry.slot);
                }
                if self.arrivals.len() > 2 * self.len() + 16 {
                    self.arrivals.retain(|entry| self.index.still(*entry).is_some());
                }
                self.arrivals.push_back(entry);
            }
        }
        Ok(())
    }

    fn check(&self, ticket: &Ticket) -> Result<(), Error> {
        let sessions = || ticket.entries.iter().map(|entry| entry.session_id);
        if !are_distinct(sessions()) {
            return Err(Error::Presences);
        }
        let most = self.settings.max_tickets;
        let of_party = ticket.party.map_or(0, |party| self.index.of_party(party).count());
        if of_party >= most || sessions().any(|s| self.index.of_session(s).count() >= most) {
            return Err(Error::TooManyTickets);
        }
        if self.len() >= limits::MATCHMAKER_TICKETS_MAX {
            return Err(Error::PoolFull);
        }
        Ok(())
    }

    /// Removes a ticket of this owner.
    pub fn remove(&mut self, id: TicketId, owner: Owner) -> Result<(), Error> {
        let slot = self.index.find(id).ok_or(Error::NotFound)?;
        let waiting = self.index.waiting(slot);
        let is_owner = match owner {
            Owner::Session(session) => {
                waiting.party().is_none() && waiting.sessions().next() == Some(session)
            }
            Owner::Party(party) => waiting.party() == Some(party),
        };
        if !is_owner {
            return Err(Error::NotFound);
        }
        self.take(slot);
        Ok(())
    }

    /// Removes a ticket, whoever owns it.
    pub fn expel(&mut self, id: TicketId) -> Result<(), Error> {
        let slot = self.index.find(id).ok_or(Error::NotFound)?;
        self.take(slot);
        Ok(())
    }

    /// Removes all tickets that a session is in, those of parties too, and says how many there
    /// were.
    pub fn remove_session(&mut self, session: SessionId) -> usize {
        let slots = self.index.of_session(session).collect::<Vec<_>>();
        self.take_all(&slots)
    }

    /// Removes all tickets of a party, and says how many there were.
    pub fn remove_party(&mut self, party: PartyId) -> usize {
        let slots = self.index.of_party(party).collect::<Vec<_>>();
        self.take_all(&slots)
    }

    /// An interval ended: in [`Pool::step`], every active ticket searches, oldest first. Tickets
    /// added later are not part of the pass.
    pub fn begin_pass(&mut self, now: Instant) {
        if self.pass.is_some() {
            self.pass_due = Some(now);
        } else if !self.active.is_empty() {
            self.pass =
                Some(Pass { begun: now, walked: 0, until: self.index.newest(), search: None });
        }
    }

    /// Whether there is something for [`Pool::step`] to do.
    pub fn has_work(&self) -> bool {
        let has_arrivals =
            !(self.arrivals.is_empty() && self.long.is_empty() && self.unbuilt.is_empty());
        self.pass.is_some() || self.index.is_building() || (has_arrivals && !self.is_paused)
    }

    /// Works for about `budget` units (one is a ticket or a query looked at), and says whether
    /// there is more. New tickets come first, but long searches and the pass get their share.
    pub fn step(&mut self, budget: usize, now: Instant) -> bool {
        let mut left = budget;
        for share in [budget / 8, 0] {
            if !self.is_paused {
                self.try_arrivals(&mut left, 4 * share);
                self.try_long(&mut left, 3 * share);
            }
            self.build(&mut left, 2 * share);
            self.go_on_with_pass(&mut left, share, now);
        }
        self.has_work()
    }

    /// The next match that was formed.
    pub fn poll_match(&mut self) -> Option<Match> {
        self.formed.pop_front()
    }

    fn try_arrivals(&mut self, left: &mut usize, floor: usize) {
        while *left > floor
            && let Some(entry) = self.arrivals.pop_front()
        {
            let waiting = self.index.still(entry);
            if waiting.is_some_and(|waiting| !self.index.is_built(waiting.plan)) {
                self.unbuilt.push_back(entry);
                *left -= 1;
                continue;
            }
            let mut arrival = Arrival::new(entry, &mut self.spare);
            if self.go_on_with(&mut arrival, left) {
                arrival.end(&mut self.spare);
            } else {
                if self.long.len() >= TURNS {
                    arrival.forget_search();
                }
                self.long.push_back(arrival);
            }
        }
    }

    fn try_long(&mut self, left: &mut usize, floor: usize) {
        while *left > floor
            && let Some(mut arrival) = self.long.pop_front()
        {
            if !self.go_on_with(&mut arrival, left) {
                self.long.insert(self.long.len().min(TURNS - 1), arrival);
            }
        }
    }

    /// Works for one quantum on an arrival, and says whether it is done.
    fn go_on_with(&mut self, arrival: &mut Arrival, left: &mut usize) -> bool {
        let quantum = QUANTUM.min(*left);
        let mut rest = quantum;
        let is_done = loop {
            let is_mutual = self.settings.rev_precision;
            match arrival.step(&mut self.index, &mut self.spare, is_mutual, &mut rest) {
                crate::arrival::Step::Going => break false,
                crate::arrival::Step::Done => break true,
                crate::arrival::Step::Found(members) => self.form(&members, &mut rest),
            }
        };
        *left -= (quantum - rest).max(1);
        is_done
    }

    fn build(&mut self, left: &mut usize, floor: usize) {
        while *left > floor && self.index.is_building() {
            let (looked, is_built) = self.index.build(*left - floor);
            *left = left.saturating_sub(looked);
            if is_built {
                // They are older than those that were not tried yet.
                self.unbuilt.append(&mut self.arrivals);
                std::mem::swap(&mut self.unbuilt, &mut self.arrivals);
            }
        }
    }

    fn go_on_with_pass(&mut self, left: &mut usize, floor: usize, now: Instant) {
        while *left > floor {
            let Some(pass) = &mut self.pass else { return };
            let Some(search) = &mut pass.search else {
                *left -= 1;
                if !self.search_next(now) {
                    return;
                }
                continue;
            };
            let mut budget = *left - floor;
            let step = search.step(&self.index, &mut budget);
            *left = floor + budget;
            match step {
                Step::Going => {}
                Step::Failed { .. } => pass.search = None,
                Step::Found(mut members) => {
                    members.push(search.searcher.slot);
                    pass.search = None;
                    self.form(&members, left);
                }
            }
        }
    }

    /// Begins the search of the oldest active ticket that did not search in this pass, or ends it;
    /// unless the ticket's cells are being built.
    fn search_next(&mut self, now: Instant) -> bool {
        let Some(pass) = &mut self.pass else { return true };
        let mut rest = self.active.range((Excluded(pass.walked), Included(pass.until)));
        let Some((created, slot)) = rest.next().map(|(created, slot)| (*created, *slot)) else {
            self.pass = None;
            if let Some(due) = self.pass_due.take() {
                self.begin_pass(due);
            }
            return true;
        };
        if !self.index.is_built(self.index.waiting(slot).plan) {
            return false;
        }
        pass.walked = created;
        let waiting = self.index.waiting_mut(slot);
        waiting.intervals += 1;
        let counts = waiting.counts;
        let is_last =
            waiting.intervals >= self.settings.max_intervals || counts.min() == counts.max();
        if is_last {
            self.active.remove(&created);
        }
        let searches = is_last || self.settings.mode == Mode::Compatible;
        if searches && !self.is_paused {
            let threshold = self.settings.interval.saturating_mul(self.settings.rev_threshold);
            let is_mutual = self.settings.rev_precision
                && (threshold.is_zero() || now.since(pass.begun) < threshold);
            let aim = Aim::Pass { is_last };
            let mut search = Search::new(&self.index, Entry { created, slot }, aim, is_mutual);
            search.until = pass.until;
            pass.search = Some(search);
        }
        true
    }

    fn form(&mut self, members: &[Slot], left: &mut usize) {
        let waiting = members.iter().map(|slot| self.index.waiting(*slot));
        let tickets: Vec<_> = waiting.map(|waiting| waiting.ticket(&self.index.terms)).collect();
        *left = left.saturating_sub(tickets.iter().map(|ticket| ticket.entries.len()).sum());
        self.take_all(members);
        self.formed.push_back(Match { tickets });
    }

    fn take_all(&mut self, slots: &[Slot]) -> usize {
        for slot in slots {
            self.take(*slot);
        }
        slots.len()
    }

    /// Takes a ticket out of everything that knows it.
    fn take(&mut self, slot: Slot) {
        let created = self.index.remove(slot);
        self.active.remove(&created);
        if let Some(pass) = &mut self.pass
            && pass.search.as_ref().is_some_and(|search| search.searcher.slot == slot)
        {
            pass.search = None;
        }
    }
}

/// Whether there is a session, and none twice.
fn are_distinct(sessions: impl ExactSizeIterator<Item = SessionId>) -> bool {
    if sessions.len() == 1 {
        return true;
    }
    let mut sessions: Vec<SessionId> = sessions.collect();
    sessions.sort_unstable();
    !sessions.is_empty() && sessions.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use base::UserId;

    use super::*;
    use crate::ticket::{Counts, Presence};

    #[test]
    fn arrivals_of_those_who_left_are_forgotten_while_a_pool_is_paused() {
        let settings = Settings {
            mode: Mode::Immediate,
            interval: Duration::MAX,
            max_intervals: 1,
            max_tickets: 1,
            rev_precision: true,
            rev_threshold: u32::MAX,
        };
        let mut pool = Pool::new(settings, 1, "n");
        pool.set_paused(true);
        let query = Query::parse("*").expect("a query");
        for number in 0..1000_u128 {
            let id = TicketId::from_bytes(number.to_be_bytes());
            let presence = Presence {
                user_id: UserId::from_bytes([0; 16]),
                session_id: SessionId::from_bytes([0; 16]),
                username: "player".into(),
            };
            let ticket = Ticket {
                id,
                entries: vec![presence],
                party: None,
                counts: Counts::new(2, 4, None).expect("good counts"),
                string_properties: BTreeMap::new(),
                numeric_properties: BTreeMap::new(),
                created: UnixTime(0),
            };
            pool.add(ticket, &query).expect("room");
            pool.begin_pass(Instant(0));
            pool.step(10, Instant(0));
            assert!(pool.arrivals.len() < 40, "{}", pool.arrivals.len());
            pool.expel(id).expect("it waits");
        }
        pool.set_paused(false);
        while pool.step(10, Instant(0)) {}
        assert!(pool.arrivals.is_empty() && pool.is_empty());
    }
}
