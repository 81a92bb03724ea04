//! Declared queues: rated, role-aware, party-aware matching.
//!
//! A ticket that comes is tried at once: a match is looked for around it. A ticket that waits is
//! tried again when it asks for less, at the next of its stages; in the last stage it is overdue:
//! every search around it looks at it first, and it searches itself through all of its cell again
//! and again.

mod all;
mod backfill;
mod balance;
mod check;
mod definition;
mod entrant;
mod explain;
mod ladder;
mod names;
mod packed;
mod parse;
mod roles;
mod room;
mod search;
mod steps;
mod wait;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, PartyId, SessionId, TicketId, limits};

use self::backfill::Backfills;
use self::check::Checks;
use self::entrant::Entrant;
use self::names::Names;
use self::room::{Came, Hot, Room, Slot, bits, known_by};
use self::search::{Found, Search, Spare, Step, Terms};
use self::wait::Waits;
use crate::ticket::{self, Owner, Ticket};

pub use self::all::Queues;
pub use self::backfill::{
    Acknowledged, Backfill, Error as BackfillError, Offer, Opening, Priority, Properties,
};
pub use self::check::Answer;
pub use self::definition::{
    Attribute, Definition, Kept, Method, Rating, Role, Rule, Stage, System, Team,
};
pub use self::entrant::{Unfit, Why};
pub use self::explain::{Explanation, Listed};
pub use self::room::{NO_SESSION, is_held};
pub use self::steps::Steps;
pub use self::wait::Wait;

/// A ticket that is overdue searches all of its cell this often.
pub const RETRY: Duration = Duration::from_secs(5);

/// Attempts beyond which those that were not tried since a pause have to wait.
const SWEPT_MAX: usize = 4_096;

/// What moving a ticket to another definition costs, in tickets looked at.
const MOVE_COST: usize = 32;

/// Why a ticket cannot wait in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Ticket(ticket::Error),
    Unfit(Unfit),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Ticket(error) => error.fmt(f),
            Refused::Unfit(unfit) => unfit.fmt(f),
        }
    }
}

impl From<ticket::Error> for Refused {
    fn from(error: ticket::Error) -> Refused {
        Refused::Ticket(error)
    }
}

/// A match that was formed.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineup {
    pub definition: Arc<Definition>,
    pub tickets: Vec<Ticket>,
    /// By ticket and player.
    pub seats: Vec<Vec<Seat>>,
    /// Index of the region, if the queue has regions.
    pub region: Option<usize>,
    /// By attribute of [`Rule::Intersect`]: its name, and the values that all tickets share.
    pub shared: Vec<(String, Vec<String>)>,
    /// 0 to 1.
    pub quality: f64,
    /// Of the strongest team against the weakest.
    pub win_probability: f64,
}

/// What a player is in a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub team: usize,
    pub role: Option<usize>,
    /// The player did not name that role.
    pub is_autofilled: bool,
}

/// What a ticket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Waiting,
    /// A match was found, and is to be accepted.
    Asked,
    /// A running match may take it.
    Offered,
}

/// Deals tickets that were matched elsewhere out to the full teams of a definition, as a queue does
/// it, every player taking every role at need: the seats by ticket and player, and the win
/// probability of the strongest team against the weakest. `None` if they do not fill the teams.
pub fn deal(definition: &Definition, tickets: &[Ticket]) -> Option<(Vec<Vec<Seat>>, f64)> {
    let names = Names::new(definition);
    let read = |ticket: &Ticket| Entrant::read(definition, &names, ticket).ok();
    let entrants: Vec<Entrant> = tickets.iter().map(read).collect::<Option<_>>()?;
    let sizes: Vec<_> = definition.teams.iter().map(|team| team.max).collect();
    let players: usize = entrants.iter().map(|entrant| entrant.players.len()).sum();
    if players != definition.players() {
        return None;
    }
    let units = entrants.iter().map(|entrant| balance::Unit::of(&entrant.players, true));
    let slots: Vec<_> = definition.roles.iter().map(|role| role.slots).collect();
    let split = balance::balance(&units.collect::<Vec<_>>(), &sizes, &slots)?;
    let entrants = entrants.iter().enumerate();
    let seats = entrants.map(|(index, entrant)| split.seats(index, &entrant.players)).collect();
    Some((seats, split.win_probability))
}

/// What happened in a queue, for its players to be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Matched(Box<Lineup>),
    /// These are matched, once all of them accept.
    Asked {
        tickets: Vec<Ticket>,
        within: Duration,
    },
    /// A match was not accepted. Some wait again, at the place that their age gives them.
    Dissolved {
        waiting: Vec<Ticket>,
        gone: Vec<Ticket>,
    },
    /// Running matches have taken these.
    Backfilled {
        definition: Arc<Definition>,
        match_id: String,
        offers: Vec<Offer>,
    },
    /// A ticket waits no more.
    Dropped {
        ticket: Box<Ticket>,
        why: Dropped,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The server that added it did not renew its lease.
    LeaseOver,
    /// The queue's definition changed, and does not take it.
    Unfit(Unfit),
    QueueDeleted,
}

/// Lives on the shard that owns the ticket pool. Drain [`Queue::poll_event`] after every call;
/// while [`Queue::has_work`], call [`Queue::step`], and at [`Queue::next_timeout`].
///
/// Invariants: a ticket is in at most one match, and in none after its removal; a session waits in
/// it once; everything that its definition asks of a match holds for every match at the moment at
/// which it forms.
#[derive(Debug)]
pub struct Queue {
    definition: Arc<Definition>,
    terms: Terms,
    room: Room,
    next_order: u64,
    /// When tickets enter their next stage, or search thoroughly again.
    due: BTreeSet<(Instant, Slot)>,
    /// What is due for a ticket; without an entry nothing is.
    attempts: VecDeque<Attempt>,
    thorough: VecDeque<Attempt>,
    /// Where the tickets begin that were not tried since the queue was paused.
    sweep: Option<Slot>,
    is_paused: bool,
    leases: BTreeMap<TicketId, Instant>,
    lease_ends: BTreeSet<(Instant, TicketId)>,
    checks: Checks,
    backfills: Backfills,
    waits: Waits,
    spare: Spare,
    /// Rooms of earlier definitions, whose tickets are still to be moved.
    earlier: VecDeque<Room>,
    events: VecDeque<Event>,
}

/// A match is to be looked for around a ticket.
#[derive(Debug)]
struct Attempt {
    slot: Slot,
    order: u64,
    /// Of a thorough one, the regions that were not searched yet; of others, the ticket knows them.
    regions: Option<u32>,
    search: Option<Box<Search>>,
}

impl Queue {
    /// The definition has to be a checked one.
    pub fn new(definition: Arc<Definition>) -> Queue {
        Queue {
            terms: Terms::new(&definition),
            room: Room::new(&definition),
            definition,
            next_order: 0,
            due: BTreeSet::new(),
            attempts: VecDeque::new(),
            thorough: VecDeque::new(),
            sweep: None,
            is_paused: false,
            leases: BTreeMap::new(),
            lease_ends: BTreeSet::new(),
            checks: Checks::default(),
            backfills: Backfills::default(),
            waits: Waits::default(),
            spare: Spare::default(),
            earlier: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Tickets that wait; not those that are asked whether they accept a match, or are offered to
    /// a running one.
    pub fn len(&self) -> usize {
        let all = self.room.len() + self.earlier.iter().map(Room::len).sum::<usize>();
        all - self.backfills.running()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A paused queue takes tickets and forms no match.
    pub fn set_paused(&mut self, is_paused: bool) {
        if self.is_paused && !is_paused {
            self.sweep = Some(Slot(0));
        }
        self.is_paused = is_paused;
    }

    /// Another definition from here on. Tickets that wait keep their age and are read again; those
    /// that the new definition does not take are dropped.
    pub fn redefine(&mut self, definition: Arc<Definition>) {
        if *definition == *self.definition {
            return;
        }
        let room = std::mem::replace(&mut self.room, Room::new(&definition));
        self.terms = Terms::new(&definition);
        self.definition = definition;
        self.due.clear();
        self.attempts.clear();
        self.thorough.clear();
        self.sweep = None;
        if room.len() > 0 {
            self.earlier.push_back(room);
        }
    }

    /// Reads a ticket, unless it is refused.
    fn read(&self, ticket: &Ticket) -> Result<Entrant, Refused> {
        let entrant = Entrant::read(&self.definition, &self.room.names, ticket);
        let entrant = entrant.map_err(Refused::Unfit)?;
        let mut players: Vec<_> = known_by(ticket).collect();
        players.sort_unstable();
        if ticket.entries.is_empty() || players.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ticket::Error::Presences.into());
        }
        if players.iter().any(|player| self.knows(player)) {
            return Err(ticket::Error::TooManyTickets.into());
        }
        if self.len() + self.checks.len() + self.backfills.len() >= limits::MATCHMAKER_TICKETS_MAX {
            return Err(ticket::Error::PoolFull.into());
        }
        Ok(entrant)
    }

    /// Whether this player waits in the queue, or is asked about a match.
    fn knows(&self, player: &[u8; 16]) -> bool {
        self.room.find_player(player).is_some()
            || self.checks.of_player(player).is_some()
            || self.backfills.of_player(player).is_some()
            || self.earlier.iter().any(|room| room.find_player(player).is_some())
    }

    /// Adds a ticket. One of a server without sessions leaves when its lease ends, unless that is
    /// renewed.
    pub fn add(&mut self, ticket: &Ticket, now: Instant) -> Result<(), Refused> {
        let entrant = self.read(ticket)?;
        let came = self.arrive(now);
        self.seat(entrant, came);
        if ticket.entries.iter().all(is_held) {
            self.set_lease(ticket.id, now.after(self.definition.lease));
        }
        Ok(())
    }

    /// Somebody comes, behind all others.
    fn arrive(&mut self, now: Instant) -> Came {
        self.next_order += 1;
        Came { order: self.next_order, joined: now }
    }

    /// Has a ticket wait.
    fn seat(&mut self, entrant: Entrant, came: Came) {
        let slot = self.room.insert(&self.definition, entrant, came);
        self.set_due(slot, came.joined);
        self.queue(slot, self.room.hot(slot).regions);
    }

    /// When something is due for a ticket next.
    fn set_due(&mut self, slot: Slot, now: Instant) {
        let waiting = self.room.waiting(slot);
        let next = self.room.stages.get(usize::from(self.room.hot(slot).stage) + 1);
        let due = next.map_or_else(|| now.after(RETRY), |stage| waiting.joined.after(stage.from));
        self.room.waiting_mut(slot).due = due;
        self.due.insert((due, slot));
    }

    fn set_lease(&mut self, id: TicketId, end: Instant) {
        if let Some(earlier) = self.leases.insert(id, end) {
            self.lease_ends.remove(&(earlier, id));
        }
        self.lease_ends.insert((end, id));
    }

    fn end_lease(&mut self, id: TicketId) {
        if let Some(end) = self.leases.remove(&id) {
            self.lease_ends.remove(&(end, id));
        }
    }

    /// The server that added the ticket is still there.
    pub fn renew(&mut self, id: TicketId, now: Instant) -> Result<(), ticket::Error> {
        if !self.leases.contains_key(&id) {
            return Err(ticket::Error::NotFound);
        }
        self.set_lease(id, now.after(self.definition.lease));
        Ok(())
    }

    /// Has the ticket tried in these regions.
    fn queue(&mut self, slot: Slot, regions: u32) {
        if self.is_paused || regions == 0 {
            return;
        }
        let hot = self.room.hot_mut(slot);
        let was_queued = hot.queued != 0;
        hot.queued |= regions;
        if was_queued {
            return;
        }
        let attempt = Attempt { slot, order: hot.order, regions: None, search: None };
        self.attempts.push_back(attempt);
        // Those of tickets that left are hardly more than these; some are found in each call.
        for _ in 0..4 {
            if self.attempts.len() > 2 * self.room.len() + 1024
                && let Some(attempt) = self.attempts.pop_front()
                && self.room.still(attempt.slot, attempt.order).is_some()
            {
                self.attempts.push_back(attempt);
            }
        }
    }

    /// Removes a ticket of this owner. If it is asked whether it accepts a match, it declines.
    pub fn remove(&mut self, id: TicketId, owner: Owner) -> Result<(), ticket::Error> {
        let owned = match owner {
            Owner::Session(session) => self.of_player(session.as_bytes()),
            Owner::Party(party) => self.of_player(party.as_bytes()),
        };
        // A member of a party does not own its ticket.
        let is_owner =
            owned == Some(id) && (matches!(owner, Owner::Party(_)) || self.party_of(id).is_none());
        if !is_owner {
            return Err(ticket::Error::NotFound);
        }
        self.expel(id)
    }

    fn party_of(&self, id: TicketId) -> Option<PartyId> {
        let rooms = self.earlier.iter().chain([&self.room]);
        let mut found = rooms.filter_map(|room| room.find(id).map(|slot| room.waiting(slot)));
        match found.next() {
            Some(waiting) => waiting.party(),
            None => self.checks.ticket(id).or_else(|| self.backfills.ticket(id))?.party,
        }
    }

    /// Removes a ticket, whoever owns it.
    pub fn expel(&mut self, id: TicketId) -> Result<(), ticket::Error> {
        if self.backfills.is_running(id) {
            return Err(ticket::Error::NotFound); // no ticket
        }
        self.end_lease(id);
        if let Some(slot) = self.room.find(id) {
            self.take(slot);
            return Ok(());
        }
        if self.backfills.is_offered(id) {
            self.withdraw(id, false);
            return Ok(());
        }
        if self.checks.of_ticket(id).is_some() {
            self.dissolve(id);
            return Ok(());
        }
        let room = self.earlier.iter_mut().find_map(|room| Some((room.find(id)?, room)));
        let (slot, room) = room.ok_or(ticket::Error::NotFound)?;
        room.remove(slot);
        Ok(())
    }

    /// Removes the ticket that a session is in.
    pub fn remove_session(&mut self, session: SessionId) {
        if let Some(id) = self.of_player(session.as_bytes()) {
            let _ = self.expel(id);
        }
    }

    /// Removes the ticket of a party, whose members are these.
    pub fn remove_party(&mut self, party: PartyId) {
        if let Some(id) = self.of_player(party.as_bytes()) {
            let _ = self.expel(id);
        }
    }

    fn of_player(&self, player: &[u8; 16]) -> Option<TicketId> {
        let rooms = self.earlier.iter().chain([&self.room]);
        let mut found =
            rooms.filter_map(|room| room.find_player(player).map(|slot| room.waiting(slot).id()));
        let found = found.next().or_else(|| self.checks.of_player(player));
        found.or_else(|| self.backfills.of_player(player))
    }

    fn has(&self, id: TicketId) -> bool {
        self.room.find(id).is_some()
            || self.checks.of_ticket(id).is_some()
            || self.backfills.is_offered(id)
            || self.backfills.is_running(id)
            || self.earlier.iter().any(|room| room.find(id).is_some())
    }

    /// What a ticket of the queue does.
    pub fn state(&self, id: TicketId) -> Option<State> {
        if self.checks.of_ticket(id).is_some() {
            return Some(State::Asked);
        }
        if self.backfills.is_offered(id) {
            return Some(State::Offered);
        }
        (self.has(id) && !self.backfills.is_running(id)).then_some(State::Waiting)
    }

    /// A ticket of the queue, if it is there.
    pub fn ticket(&self, id: TicketId) -> Option<Ticket> {
        if self.backfills.is_running(id) {
            return None; // no ticket, though it has a place in the room
        }
        let rooms = self.earlier.iter().chain([&self.room]);
        let ticket_of =
            |room: &Room| room.find(id).map(|slot| room.waiting(slot).ticket(&room.names));
        let mut found = rooms.filter_map(ticket_of);
        let found = found.next().or_else(|| self.checks.ticket(id).cloned());
        found.or_else(|| self.backfills.ticket(id).cloned())
    }

    /// Takes a ticket out of everything that knows it.
    fn take(&mut self, slot: Slot) -> room::Waiting {
        let waiting = self.room.remove(slot);
        self.due.remove(&(waiting.due, slot));
        waiting
    }

    // The work.

    /// Whether [`Queue::step`] has something to do at once.
    pub fn has_work(&self, now: Instant) -> bool {
        let has_attempts =
            !(self.attempts.is_empty() && self.thorough.is_empty()) || self.sweep.is_some();
        (has_attempts && !self.is_paused)
            || !self.earlier.is_empty()
            || self.next_timeout().is_some_and(|at| at <= now)
    }

    /// When there is something to do, though nothing happens until then.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let lease = self.lease_ends.first().map(|(at, _)| *at);
        let (check, offer) = (self.checks.next_timeout(), self.backfills.next_timeout());
        [due, lease, check, offer].into_iter().flatten().min()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Works for about `budget` units (one is a ticket looked at), and says whether there is more.
    pub fn step(&mut self, budget: usize, now: Instant) -> bool {
        self.work(budget, now);
        self.has_work(now)
    }

    /// The same, and says what is left of the budget.
    fn work(&mut self, budget: usize, now: Instant) -> usize {
        let mut left = budget;
        self.end_leases(&mut left, now);
        self.end_checks(&mut left, now);
        self.end_offers(&mut left, now);
        self.move_tickets(&mut left, now);
        self.advance(&mut left, now);
        if !self.is_paused {
            self.sweep(&mut left);
            self.try_queued(&mut left, budget / 8, now);
            self.try_thorough(&mut left, now);
            self.try_queued(&mut left, 0, now);
        }
        left
    }

    /// Takes any of its tickets out.
    fn drop_one(&mut self) -> Option<Ticket> {
        while let Some(room) = self.earlier.front_mut() {
            let Some(slot) = room.from(room.sweep).next() else {
                self.earlier.pop_front();
                continue;
            };
            room.sweep = slot;
            match room.remove(slot).ticket(&room.names) {
                guest if guest.entries.is_empty() => self.backfills.forget(guest.id),
                ticket => return Some(ticket),
            }
        }
        loop {
            let found = self.room.from(self.room.sweep).next();
            let Some(slot) = found else { break };
            self.room.sweep = slot;
            match self.take(slot).ticket(&self.room.names) {
                guest if guest.entries.is_empty() => self.backfills.forget(guest.id),
                ticket => return Some(ticket),
            }
        }
        self.checks.drop_one().or_else(|| self.backfills.drop_one())
    }

    fn end_leases(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some((_, id)) = self.lease_ends.first().copied().filter(|(at, _)| *at <= now)
        {
            *left -= 1;
            if self.backfills.is_running(id) {
                let _ = self.remove_backfill(id); // ends the lease
                continue;
            }
            let ticket = self.ticket(id);
            let _ = self.expel(id); // ends the lease
            if let Some(ticket) = ticket {
                let why = Dropped::LeaseOver;
                self.events.push_back(Event::Dropped { ticket: Box::new(ticket), why });
            }
        }
    }

    fn move_tickets(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some(room) = self.earlier.front_mut()
        {
            *left = left.saturating_sub(MOVE_COST);
            let Some(slot) = room.from(room.sweep).next() else {
                self.earlier.pop_front();
                continue;
            };
            room.sweep = slot;
            let order = room.hot(slot).order;
            let waiting = room.remove(slot);
            let ticket = waiting.ticket(&room.names);
            let came = Came { order, joined: waiting.joined };
            if ticket.entries.is_empty() {
                self.move_guest(&ticket, came, now);
                continue;
            }
            match Entrant::read(&self.definition, &self.room.names, &ticket) {
                Ok(entrant) => self.seat(entrant, came),
                Err(unfit) => {
                    self.end_lease(ticket.id);
                    let why = Dropped::Unfit(unfit);
                    self.events.push_back(Event::Dropped { ticket: Box::new(ticket), why });
                }
            }
        }
    }

    /// Tickets whose time has come ask for less, and are tried again.
    fn advance(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some((due, slot)) = self.due.first().copied().filter(|(due, _)| *due <= now)
        {
            *left = left.saturating_sub(2);
            self.due.remove(&(due, slot));
            let advanced = self.room.advance(slot);
            self.set_due(slot, now);
            match advanced {
                _ if self.room.hot(slot).size == 0 => {
                    self.queue(slot, self.room.hot(slot).regions);
                }
                Some(regions) => self.queue(slot, regions),
                None if self.is_paused => {}
                // More than it can do in time.
                None if self.thorough.len() > self.room.len() => {}
                None => {
                    let Hot { order, regions, .. } = *self.room.hot(slot);
                    let regions = Some(regions);
                    self.thorough.push_back(Attempt { slot, order, regions, search: None });
                }
            }
        }
    }

    fn sweep(&mut self, left: &mut usize) {
        while *left > 0
            && self.attempts.len() < SWEPT_MAX
            && let Some(from) = self.sweep
        {
            *left -= 1;
            let next = self.room.from(from).next();
            if let Some(slot) = next {
                self.queue(slot, self.room.hot(slot).regions);
            }
            self.sweep = next.map(|slot| Slot(slot.0 + 1));
        }
    }

    fn try_queued(&mut self, left: &mut usize, floor: usize, now: Instant) {
        while *left > floor
            && let Some(mut attempt) = self.attempts.pop_front()
        {
            if !self.go_on_with(&mut attempt, left, now) {
                self.attempts.push_front(attempt);
            }
        }
    }

    fn try_thorough(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some(mut attempt) = self.thorough.pop_front()
        {
            if !self.go_on_with(&mut attempt, left, now) {
                self.thorough.push_front(attempt);
            }
        }
    }

    /// Looks for a match in one region after another, and says whether that is done.
    fn go_on_with(&mut self, attempt: &mut Attempt, left: &mut usize, now: Instant) -> bool {
        loop {
            let Some(anchor) = self.room.still(attempt.slot, attempt.order) else {
                *left = left.saturating_sub(1);
                return true;
            };
            if *left == 0 {
                return false;
            }
            if anchor.size == 0 {
                self.fill(attempt.slot, attempt.order, left, now);
                return true;
            }
            let is_begin = attempt.search.is_none();
            if is_begin && self.offer_to_any(attempt.slot, Priority::High, left, now) {
                return true;
            }
            let anchor = self.room.hot(attempt.slot);
            let mut search = match attempt.search.take() {
                Some(search) => *search,
                None => {
                    *left = left.saturating_sub(1);
                    let is_thorough = attempt.regions.is_some();
                    let left_over = attempt.regions.unwrap_or(anchor.queued);
                    let farness = &self.room.waiting(attempt.slot).farness;
                    let near = |region: &usize| farness.get(*region);
                    let Some(region) = bits(left_over).min_by_key(near) else {
                        self.offer_to_any(attempt.slot, Priority::Low, left, now);
                        return true;
                    };
                    let left_over = left_over & !(1 << region);
                    match &mut attempt.regions {
                        Some(regions) => *regions = left_over,
                        None => self.room.hot_mut(attempt.slot).queued = left_over,
                    }
                    let anchor = self.room.hot(attempt.slot);
                    if !Search::could_fill(&self.terms, &self.room, anchor, region) {
                        continue;
                    }
                    Search::new(attempt.slot, region, is_thorough, &mut self.spare)
                }
            };
            let step = search.step(&self.terms, &self.room, &mut self.spare, left);
            if matches!(step, Step::Going) {
                attempt.search = Some(Box::new(search));
                continue;
            }
            search.give_back(&mut self.spare);
            if let Step::Found(found) = step {
                self.form(&found, now);
                return true;
            }
        }
    }

    fn form(&mut self, found: &Found, now: Instant) {
        let mut lineup = Lineup {
            definition: self.definition.clone(),
            tickets: Vec::new(),
            seats: Vec::new(),
            region: (!self.definition.regions.is_empty()).then_some(found.region),
            shared: self.shared(&found.sets),
            quality: found.quality,
            win_probability: found.split.win_probability,
        };
        let mut ages = Vec::new();
        for (index, slot) in found.slots.iter().enumerate() {
            let Hot { order, rating, .. } = *self.room.hot(*slot);
            let waiting = self.take(*slot);
            let ticket = waiting.ticket(&self.room.names);
            self.waits.note(rating, now.since(waiting.joined));
            lineup.seats.push(found.split.seats(index, &waiting.players));
            lineup.tickets.push(ticket);
            ages.push(Came { order, joined: waiting.joined });
        }
        match self.definition.ready {
            None => {
                for ticket in &lineup.tickets {
                    self.end_lease(ticket.id);
                }
                self.events.push_back(Event::Matched(Box::new(lineup)));
            }
            Some(within) => {
                let tickets = lineup.tickets.clone();
                self.checks.begin(lineup, ages, now.after(within));
                self.events.push_back(Event::Asked { tickets, within });
            }
        }
    }

    fn shared(&self, sets: &[u64]) -> Vec<(String, Vec<String>)> {
        let with_values = self.definition.attributes.iter().filter_map(|attribute| {
            let Rule::Intersect(values) = &attribute.rule else { return None };
            Some((&attribute.name, values))
        });
        let pairs = with_values.zip(sets);
        let shared = |((name, values), set): ((&String, &Vec<String>), &u64)| {
            let shared = values.iter().enumerate().filter(|(place, _)| set & 1 << place != 0);
            (name.clone(), shared.map(|(_, value)| value.clone()).collect())
        };
        pairs.map(shared).collect()
    }

    /// How long players of this rating have waited lately.
    pub fn wait(&self, rating: f64) -> Option<Wait> {
        self.waits.of(entrant::fine(rating))
    }
}
