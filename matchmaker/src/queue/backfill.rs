//! Running matches that look for players.
//!
//! A server asks for players by a backfill: how many each team lacks, and in which roles. Tickets
//! that fit are offered to it, and leave the queue meanwhile. The server takes them by an
//! acknowledgement, which it may repeat; who is not taken in time waits again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, TicketId, UnixTime};

use super::definition::Definition;
use super::entrant::{Entrant, Unfit, fine};
use super::roles::Wish;
use super::room::{Came, Hot, Slot, Walk, bits};
use super::search::OVERDUE_LOOK;
use super::{Dropped, Event, Queue};
use crate::ticket::{Counts, Ticket};

/// How long an offer holds.
const OFFER_LIFE: Duration = Duration::from_secs(10);

/// Running matches of one queue that look for players at a time.
const BACKFILLS_MAX: usize = 100_000;
/// Tickets that one attempt to fill a match looks at.
const LOOK: usize = 256;
/// Matches that a new ticket is offered to, at most.
const TRIED: usize = 32;

/// What a running match lacks.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    pub id: TicketId,
    /// By which players join it; told to them.
    pub match_id: String,
    /// By team of the definition.
    pub teams: Vec<Opening>,
    /// Index of the region, if the queue has regions.
    pub region: Option<usize>,
    /// Of those who play already.
    pub rating: f64,
    pub priority: Priority,
    /// The attributes that the queue asks for, as a ticket has them.
    pub like: Properties,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    pub texts: BTreeMap<String, String>,
    pub numbers: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opening {
    /// Players who can come.
    pub open: usize,
    /// Mean rating of those who play, if anybody does: newcomers go to the weaker team.
    pub rating: Option<f64>,
    /// Of these roles; by role of the definition. Empty: whichever.
    pub roles: Vec<usize>,
}

/// Whether a new ticket is offered to it before or after a new match is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    High,
    Low,
}

/// Why a backfill is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not one opening for each team of the queue.
    Teams,
    /// Nobody could come, or more than a team has room for.
    Open,
    /// Not one number for each role, or they do not add up.
    Roles,
    Region,
    Rating,
    Unfit(Unfit),
    TooMany,
    NotFound,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Teams => "There has to be one opening for each team of the queue.",
            Error::Open => "Somebody has to be able to come, no more than a team has room for.",
            Error::Roles => "Open roles have to be those of the queue, and as many as can come.",
            Error::Region => "The queue has no such region.",
            Error::Rating => "A rating is a number from -1000000 to 1000000.",
            Error::Unfit(unfit) => return unfit.fmt(f),
            Error::TooMany => "Too many matches look for players.",
            Error::NotFound => "The backfill was not found.",
        })
    }
}

/// A ticket that a running match may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    pub ticket: Ticket,
    pub team: usize,
    /// By player; empty where the opening names no roles.
    pub roles: Vec<usize>,
    pub until: Instant,
}

/// What became of tickets that a server wanted to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// They are the server's, by this acknowledgement or an earlier one.
    pub accepted: Vec<TicketId>,
    /// They are not, and will not be by this offer.
    pub expired: Vec<TicketId>,
}

#[derive(Debug, Default)]
pub(super) struct Backfills {
    running: BTreeMap<TicketId, Running>,
    offers: BTreeMap<TicketId, Held>,
    ends: BTreeSet<(Instant, TicketId)>,
    of_player: BTreeMap<[u8; 16], TicketId>,
}

#[derive(Debug)]
struct Running {
    /// By which its teams and roles are named.
    definition: Arc<Definition>,
    backfill: Backfill,
    slot: Slot,
    offered: Vec<TicketId>,
    accepted: BTreeSet<TicketId>,
}

#[derive(Debug)]
struct Held {
    backfill: TicketId,
    offer: Offer,
    came: Came,
}

impl Backfills {
    /// Matches that look for players.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Tickets that are offered.
    pub(super) fn len(&self) -> usize {
        self.offers.len()
    }

    pub(super) fn is_offered(&self, id: TicketId) -> bool {
        self.offers.contains_key(&id)
    }

    pub(super) fn is_running(&self, id: TicketId) -> bool {
        self.running.contains_key(&id)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    pub(super) fn of_player(&self, player: &[u8; 16]) -> Option<TicketId> {
        self.of_player.get(player).copied()
    }

    pub(super) fn ticket(&self, id: TicketId) -> Option<&Ticket> {
        self.offers.get(&id).map(|held| &held.offer.ticket)
    }

    /// The running match is gone; what is offered to it, is still.
    pub(super) fn forget(&mut self, id: TicketId) {
        self.running.remove(&id);
    }

    /// Takes any of the offered tickets out.
    pub(super) fn drop_one(&mut self) -> Option<Ticket> {
        let id = *self.offers.first_key_value()?.0;
        Some(self.take_back(id)?.offer.ticket)
    }

    /// An offer ends: its place is open again.
    fn take_back(&mut self, id: TicketId) -> Option<Held> {
        let held = self.offers.remove(&id)?;
        self.ends.remove(&(held.offer.until, id));
        for player in super::room::known_by(&held.offer.ticket) {
            self.of_player.remove(&player);
        }
        if let Some(running) = self.running.get_mut(&held.backfill) {
            running.offered.retain(|other| *other != id);
            let opening = &mut running.backfill.teams[held.offer.team];
            opening.open += held.offer.ticket.entries.len();
            for role in &held.offer.roles {
                opening.roles[*role] += 1;
            }
        }
        Some(held)
    }
}

impl Backfill {
    fn check(&self, definition: &Definition) -> Result<(), Error> {
        let teams = &definition.teams;
        if self.teams.len() != teams.len() {
            return Err(Error::Teams);
        }
        let has_room = self.teams.iter().zip(teams).all(|(opening, team)| opening.open <= team.max);
        if !has_room || self.teams.iter().all(|opening| opening.open == 0) {
            return Err(Error::Open);
        }
        let has_roles = |opening: &Opening| {
            let of = |(open, role): (&usize, &super::Role)| *open <= role.slots;
            opening.roles.is_empty()
                || (opening.roles.len() == definition.roles.len()
                    && opening.roles.iter().sum::<usize>() == opening.open
                    && opening.roles.iter().zip(&definition.roles).all(of))
        };
        if !self.teams.iter().all(has_roles) {
            return Err(Error::Roles);
        }
        let has_region = match self.region {
            Some(region) => region < definition.regions.len(),
            None => definition.regions.is_empty(),
        };
        if !has_region {
            return Err(Error::Region);
        }
        let ratings = self.teams.iter().filter_map(|opening| opening.rating).chain([self.rating]);
        let mut ratings = ratings;
        if !ratings.all(super::definition::is_rating) {
            return Err(Error::Rating);
        }
        Ok(())
    }
}

// What servers ask.

impl Queue {
    /// A running match looks for players from here on, until its lease ends.
    pub fn add_backfill(&mut self, backfill: Backfill, now: Instant) -> Result<(), Error> {
        backfill.check(&self.definition)?;
        if self.backfills.running.len() >= BACKFILLS_MAX {
            return Err(Error::TooMany);
        }
        let Properties { texts, numbers } = backfill.like.clone();
        let like = Ticket {
            id: backfill.id,
            entries: Vec::new(),
            party: None,
            counts: Counts::new(2, 2, None).expect("good counts"),
            string_properties: texts,
            numeric_properties: numbers,
            created: UnixTime(0),
        };
        let rating = fine(backfill.rating);
        let entrant =
            Entrant::of_backfill(&self.definition, &self.room.names, &like, backfill.region);
        let entrant = entrant.map_err(Error::Unfit)?;
        let came = self.arrive(now);
        let slot = self.room.insert_guest(entrant, came, rating, backfill.priority);
        self.set_lease(backfill.id, now.after(self.definition.lease));
        let definition = self.definition.clone();
        let (offered, accepted) = (Vec::new(), BTreeSet::new());
        let running = Running { definition, backfill, slot, offered, accepted };
        self.backfills.running.insert(like.id, running);
        self.set_due(slot, now);
        self.queue(slot, self.room.hot(slot).regions);
        Ok(())
    }

    /// What is open still, and what is offered. To ask renews the lease.
    pub fn backfill(
        &mut self,
        id: TicketId,
        now: Instant,
    ) -> Result<(&Arc<Definition>, &Backfill, Vec<&Offer>), Error> {
        if !self.backfills.is_running(id) {
            return Err(Error::NotFound);
        }
        self.set_lease(id, now.after(self.definition.lease));
        let running = self.backfills.running.get(&id).ok_or(Error::NotFound)?;
        let offers = running.offered.iter().filter_map(|id| self.backfills.offers.get(id));
        let offers = offers.map(|held| &held.offer).collect();
        Ok((&running.definition, &running.backfill, offers))
    }

    /// Takes tickets that were offered: exactly those that the answer calls accepted. The same call
    /// again has the same answer.
    pub fn acknowledge(
        &mut self,
        id: TicketId,
        tickets: &[TicketId],
        now: Instant,
    ) -> Result<Acknowledged, Error> {
        let running = self.backfills.running.get_mut(&id).ok_or(Error::NotFound)?;
        let match_id = running.backfill.match_id.clone();
        let definition = running.definition.clone();
        let (mut acknowledged, mut offers) = (Acknowledged::default(), Vec::new());
        for ticket in tickets {
            if running.accepted.contains(ticket) {
                acknowledged.accepted.push(*ticket);
            } else if running.offered.contains(ticket) {
                running.accepted.insert(*ticket);
                acknowledged.accepted.push(*ticket);
                offers.push(*ticket);
            } else {
                acknowledged.expired.push(*ticket);
            }
        }
        let mut taken = Vec::new();
        for ticket in offers {
            let Some(held) = self.backfills.take_back(ticket) else { continue };
            self.close(id, held.offer.team, held.offer.ticket.entries.len(), &held.offer.roles);
            self.waits
                .note(self.definition_rating(&held.offer.ticket), now.since(held.came.joined));
            self.end_lease(ticket);
            taken.push(held.offer);
        }
        if !taken.is_empty() {
            self.events.push_back(Event::Backfilled { definition, match_id, offers: taken });
        }
        Ok(acknowledged)
    }

    fn definition_rating(&self, ticket: &Ticket) -> i32 {
        let entrant = Entrant::read(&self.definition, &self.room.names, ticket);
        entrant.map_or(fine(self.definition.rating.default), |entrant| entrant.rating())
    }

    /// The match looks for nobody any more: who is offered to it waits again.
    pub fn remove_backfill(&mut self, id: TicketId) -> Result<(), Error> {
        self.end_lease(id);
        let running = self.backfills.running.get(&id).ok_or(Error::NotFound)?;
        let slot = running.slot;
        for ticket in running.offered.clone() {
            self.withdraw(ticket, true);
        }
        self.backfills.running.remove(&id);
        // A definition that came later has no slot for it.
        if self.room.find(id) == Some(slot) {
            self.take(slot);
        }
        Ok(())
    }
}

// The queue's own work.

impl Queue {
    /// An offer ends without the server: its players wait again, or are gone.
    pub(super) fn withdraw(&mut self, id: TicketId, waits_again: bool) {
        let Some(held) = self.backfills.take_back(id) else { return };
        let Held { backfill, offer: Offer { ticket, .. }, came } = held;
        match Entrant::read(&self.definition, &self.room.names, &ticket) {
            _ if !waits_again => {}
            Ok(entrant) => self.seat(entrant, came),
            Err(unfit) => {
                self.end_lease(id);
                let why = Dropped::Unfit(unfit);
                self.events.push_back(Event::Dropped { ticket: Box::new(ticket), why });
            }
        }
        if let Some(running) = self.backfills.running.get(&backfill) {
            let slot = running.slot;
            if self.room.find(backfill) == Some(slot) {
                self.queue(slot, self.room.hot(slot).regions);
            }
        }
    }

    pub(super) fn end_offers(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some((_, id)) = self.backfills.ends.first().copied().filter(|(at, _)| *at <= now)
        {
            *left = left.saturating_sub(32);
            self.withdraw(id, true);
        }
    }

    /// Looks for players of a running match.
    pub(super) fn fill(&mut self, guest: Slot, order: u64, left: &mut usize, now: Instant) {
        let Some(hot) = self.room.still(guest, order).copied() else { return };
        self.room.hot_mut(guest).queued = 0;
        for region in bits(hot.regions) {
            let cell = self.room.cell(hot.group, region);
            let mut found: Vec<_> = cell.overdue(OVERDUE_LOOK).collect();
            Walk::new(cell, &hot, guest).next(cell, LOOK, &mut found);
            *left = left.saturating_sub(found.len());
            // The oldest first.
            found.sort_unstable_by_key(|slot| (self.room.hot(*slot).order, *slot));
            found.dedup();
            for slot in found {
                if self.room.fits(guest, slot) {
                    self.offer(guest, slot, now);
                }
            }
        }
    }

    /// Offers a ticket to the running matches of this priority that it fits, and says whether one
    /// of them may have it.
    pub(super) fn offer_to_any(
        &mut self,
        slot: Slot,
        priority: Priority,
        left: &mut usize,
        now: Instant,
    ) -> bool {
        let group = self.room.hot(slot).group;
        let guests: Vec<_> = self.room.guests(group, priority).take(TRIED).collect();
        *left = left.saturating_sub(guests.len());
        guests.into_iter().any(|guest| self.room.fits(guest, slot) && self.offer(guest, slot, now))
    }

    /// Offers a ticket to a running match, if a team has room for it.
    fn offer(&mut self, guest: Slot, slot: Slot, now: Instant) -> bool {
        let id = self.room.waiting(guest).id();
        let Some(running) = self.backfills.running.get(&id) else { return false };
        let wishes: Vec<_> = self.room.wishes(slot).collect();
        let strength = |team: &usize| running.backfill.teams[*team].rating.unwrap_or(f64::MIN);
        let mut teams: Vec<usize> = (0..running.backfill.teams.len()).collect();
        teams.sort_by(|a, b| strength(a).total_cmp(&strength(b)));
        let place = teams
            .into_iter()
            .find_map(|team| Some((team, running.backfill.teams[team].place(&wishes)?)));
        let Some((team, roles)) = place else { return false };
        let Hot { order, size, .. } = *self.room.hot(slot);
        let waiting = self.take(slot);
        let (ticket, until) = (waiting.ticket(&self.room.names), now.after(OFFER_LIFE));
        self.close(id, team, usize::from(size), &roles);
        for player in super::room::known_by(&ticket) {
            self.backfills.of_player.insert(player, ticket.id);
        }
        self.backfills.ends.insert((until, ticket.id));
        if let Some(running) = self.backfills.running.get_mut(&id) {
            running.offered.push(ticket.id);
        }
        let offered = ticket.id;
        let offer = Offer { ticket, team, roles, until };
        let came = Came { order, joined: waiting.joined };
        let held = Held { backfill: id, offer, came };
        self.backfills.offers.insert(offered, held);
        true
    }

    /// Places of a running match are not open any more.
    fn close(&mut self, id: TicketId, team: usize, players: usize, roles: &[usize]) {
        let Some(running) = self.backfills.running.get_mut(&id) else { return };
        let opening = &mut running.backfill.teams[team];
        opening.open -= players;
        for role in roles {
            opening.roles[*role] -= 1;
        }
    }

    /// Guests of an earlier room come into the new one.
    pub(super) fn move_guest(&mut self, like: &Ticket, came: Came, now: Instant) {
        let Some(running) = self.backfills.running.get(&like.id) else { return };
        let Backfill { region, rating, priority, .. } = running.backfill;
        let (was, now_is) = (&running.definition, &self.definition);
        let is_good =
            was.teams == now_is.teams && was.roles == now_is.roles && was.regions == now_is.regions;
        let entrant = Entrant::of_backfill(&self.definition, &self.room.names, like, region);
        let (true, Ok(entrant)) = (is_good, entrant) else {
            let _ = self.remove_backfill(like.id);
            return;
        };
        let slot = self.room.insert_guest(entrant, came, fine(rating), priority);
        if let Some(running) = self.backfills.running.get_mut(&like.id) {
            running.slot = slot;
        }
        self.set_due(slot, now);
        self.queue(slot, self.room.hot(slot).regions);
    }
}

impl Opening {
    /// The roles that these players would have, if there is room for them.
    fn place(&self, wishes: &[Wish]) -> Option<Vec<usize>> {
        if wishes.len() > self.open {
            return None;
        }
        if self.roles.is_empty() {
            return Some(Vec::new());
        }
        let (roles, _) = super::roles::assign(wishes, &self.roles)?;
        Some(roles.into_iter().map(usize::from).collect())
    }
}
