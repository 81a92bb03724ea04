//! Matches whose players are asked whether they accept.

use std::collections::{BTreeMap, BTreeSet};

use base::{Instant, SessionId, TicketId};

use super::entrant::Entrant;
use super::room::{Came, is_held, known_by, who};
use super::{Event, Lineup, Queue};
use crate::ticket::{Error, Ticket};

/// A player's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accept,
    Decline,
}

#[derive(Debug, Default)]
pub(super) struct Checks {
    checks: BTreeMap<u64, Check>,
    next: u64,
    of_ticket: BTreeMap<TicketId, u64>,
    of_player: BTreeMap<[u8; 16], u64>,
    ends: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Check {
    lineup: Lineup,
    /// By ticket.
    ages: Vec<Came>,
    end: Instant,
    /// Players who accepted.
    accepted: BTreeSet<[u8; 16]>,
}

impl Checks {
    /// Tickets that are asked.
    pub(super) fn len(&self) -> usize {
        self.of_ticket.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    pub(super) fn of_ticket(&self, id: TicketId) -> Option<u64> {
        self.of_ticket.get(&id).copied()
    }

    /// The ticket with which a player is asked.
    pub(super) fn of_player(&self, player: &[u8; 16]) -> Option<TicketId> {
        let check = self.checks.get(self.of_player.get(player)?)?;
        let mut tickets = check.lineup.tickets.iter();
        let ticket = tickets.find(|ticket| known_by(ticket).any(|known| known == *player));
        ticket.map(|ticket| ticket.id)
    }

    pub(super) fn ticket(&self, id: TicketId) -> Option<&Ticket> {
        let check = self.checks.get(self.of_ticket.get(&id)?)?;
        check.lineup.tickets.iter().find(|ticket| ticket.id == id)
    }

    pub(super) fn begin(&mut self, lineup: Lineup, ages: Vec<Came>, end: Instant) {
        self.next += 1;
        for ticket in &lineup.tickets {
            self.of_ticket.insert(ticket.id, self.next);
            for player in known_by(ticket) {
                self.of_player.insert(player, self.next);
            }
        }
        self.ends.insert((end, self.next));
        self.checks.insert(self.next, Check { lineup, ages, end, accepted: BTreeSet::new() });
    }

    /// Takes any of the tickets out.
    pub(super) fn drop_one(&mut self) -> Option<Ticket> {
        let number = *self.checks.first_key_value()?.0;
        let check = self.checks.get_mut(&number)?;
        let ticket = check.lineup.tickets.pop()?;
        self.of_ticket.remove(&ticket.id);
        for player in known_by(&ticket) {
            self.of_player.remove(&player);
        }
        if check.lineup.tickets.is_empty() {
            self.end(number);
        }
        Some(ticket)
    }

    fn end(&mut self, number: u64) -> Option<Check> {
        let check = self.checks.remove(&number)?;
        self.ends.remove(&(check.end, number));
        for ticket in &check.lineup.tickets {
            self.of_ticket.remove(&ticket.id);
            for player in known_by(ticket) {
                self.of_player.remove(&player);
            }
        }
        Some(check)
    }
}

impl Queue {
    /// A player says whether they accept the match that their ticket is asked about; without a
    /// session, a server says so for all players of a ticket that it added.
    pub fn answer(
        &mut self,
        id: TicketId,
        session: Option<SessionId>,
        answer: Answer,
    ) -> Result<(), Error> {
        let number = self.checks.of_ticket(id).ok_or(Error::NotFound)?;
        let check = self.checks.checks.get_mut(&number).ok_or(Error::NotFound)?;
        let tickets = &check.lineup.tickets;
        let ticket = tickets.iter().find(|ticket| ticket.id == id).ok_or(Error::NotFound)?;
        let players: Vec<_> = match session {
            Some(session) => {
                let is_own = |presence: &&_| who(presence) == *session.as_bytes();
                ticket.entries.iter().filter(is_own).map(who).collect()
            }
            None => ticket.entries.iter().filter(|entry| is_held(entry)).map(who).collect(),
        };
        if players.is_empty() {
            return Err(Error::NotFound);
        }
        match answer {
            Answer::Decline => self.dissolve(id),
            Answer::Accept => {
                check.accepted.extend(players);
                let all: usize = tickets.iter().map(|ticket| ticket.entries.len()).sum();
                if check.accepted.len() == all
                    && let Some(check) = self.checks.end(number)
                {
                    for ticket in &check.lineup.tickets {
                        self.end_lease(ticket.id);
                    }
                    self.events.push_back(Event::Matched(Box::new(check.lineup)));
                }
            }
        }
        Ok(())
    }

    /// The ticket declines its match. All others of it wait again.
    pub(super) fn dissolve(&mut self, declines: TicketId) {
        let number = self.checks.of_ticket(declines);
        if let Some(check) = number.and_then(|number| self.checks.end(number)) {
            self.back_to_queue(check, &|_, ticket| ticket.id != declines);
        }
    }

    /// Those who have not accepted in time are gone; the others wait again.
    pub(super) fn end_checks(&mut self, left: &mut usize, now: Instant) {
        while *left > 0
            && let Some((_, number)) =
                self.checks.ends.first().copied().filter(|(at, _)| *at <= now)
            && let Some(check) = self.checks.end(number)
        {
            *left = left.saturating_sub(8 * check.lineup.tickets.len());
            let has_accepted = |accepted: &BTreeSet<_>, ticket: &Ticket| {
                ticket.entries.iter().all(|entry| accepted.contains(&who(entry)))
            };
            self.back_to_queue(check, &has_accepted);
        }
    }

    /// Those of a check that `stays` wait again, by their age; the others are gone.
    fn back_to_queue(
        &mut self,
        check: Check,
        stays: &dyn Fn(&BTreeSet<[u8; 16]>, &Ticket) -> bool,
    ) {
        let (mut waiting, mut gone) = (Vec::new(), Vec::new());
        for (ticket, came) in check.lineup.tickets.into_iter().zip(check.ages) {
            let entrant = Entrant::read(&self.definition, &self.room.names, &ticket);
            match entrant {
                Ok(entrant) if stays(&check.accepted, &ticket) => {
                    self.seat(entrant, came);
                    waiting.push(ticket);
                }
                _ => {
                    self.end_lease(ticket.id);
                    gone.push(ticket);
                }
            }
        }
        self.events.push_back(Event::Dissolved { waiting, gone });
    }
}
