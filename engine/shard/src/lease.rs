//! Tickets and running matches of a game's own servers, which hold them by a lease: on the home of
//! the tickets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use api::Error;
use api::console::{BackfillWish, ServerAct, ServerWish};
use api::convert::{queue as players, server as convert};
use base::limits::{MATCH_NAME_MAX, MATCHMAKER_PROPERTIES_MAX, USERNAME_MAX};
use base::{Code, Instant, TicketId, UserId};
use matchmaker::queue::{
    self, Backfill, BackfillError, Definition, NO_SESSION, Opening, Priority, Properties,
};
use matchmaker::{Counts, Presence, Ticket};

use crate::Shard;
use crate::matchmaking::ticket_error;
use crate::message::{Answer, Known, PoolQuery, Query};
use crate::output::Output;

/// How long a server can ask how its ticket ended.
const OUTCOME_LIFE: Duration = Duration::from_secs(300);
/// Outcomes that are kept; the oldest go first.
const OUTCOMES_MAX: usize = 100_000;
/// Outcomes that are forgotten, where their time has come, with each that is noted.
const FORGOTTEN: usize = 4;

/// How tickets of servers ended, as their servers are told.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    told: BTreeMap<TicketId, String>,
    order: VecDeque<(Instant, TicketId)>,
}

impl Outcomes {
    pub(crate) fn note(&mut self, ticket: TicketId, outcome: String, now: Instant) {
        let is_over = |(at, _): &(Instant, TicketId)| now.since(*at) > OUTCOME_LIFE;
        // More than come, and no more than a handle can take.
        for _ in 0..FORGOTTEN {
            let is_due =
                self.order.len() >= OUTCOMES_MAX || self.order.front().is_some_and(is_over);
            if is_due && let Some((_, ticket)) = self.order.pop_front() {
                self.told.remove(&ticket);
            }
        }
        self.told.insert(ticket, outcome);
        self.order.push_back((now, ticket));
    }
}

impl Shard {
    pub(crate) fn answer_server(&mut self, act: &ServerAct, known: &Known) -> Answer {
        self.is_pool_stirred = true;
        let document = match act {
            ServerAct::TicketAdd { queue, wish } => match self.leased_ticket(queue, wish) {
                Err(error) => Err(error),
                Ok(ticket) => {
                    let again = || Query::Pool(PoolQuery::Server { act: act.clone(), known: None });
                    if let Some(unrated) = self.unrated(&ticket, known, again) {
                        return unrated;
                    }
                    let added = self.add_to_queue(queue, &ticket, known);
                    added.map(|()| convert::added("ticket", ticket.id))
                }
            },
            ServerAct::Ticket(ticket) => self.leased(*ticket),
            ServerAct::Ready { ticket, accept } => {
                let answer = match accept {
                    true => queue::Answer::Accept,
                    false => queue::Answer::Decline,
                };
                let no_match = |_| Error::invalid("No match waits for this ticket.");
                let answered = self.declared.answer(*ticket, None, answer);
                answered.map(|()| "{}".into()).map_err(no_match)
            }
            ServerAct::TicketRemove(ticket) => match self.is_leased(*ticket) {
                true => self.declared.expel(*ticket).map(|()| "{}".into()).map_err(ticket_error),
                false => Err(ticket_error(matchmaker::Error::NotFound)),
            },
            ServerAct::Wait { queue, rating } => {
                let wait = self.declared.wait(queue, *rating).ok_or_else(no_queue);
                wait.map(players::wait)
            }
            ServerAct::BackfillAdd { queue, wish } => self.add_backfill(queue, wish),
            ServerAct::Backfill(id) => {
                let found = self.declared.backfill(*id, self.now.monotonic);
                let shown = found.map(|(definition, backfill, offers)| {
                    convert::backfill(&definition, backfill, &offers)
                });
                shown.map_err(|error| backfill_error(&error))
            }
            ServerAct::Acknowledge { backfill, tickets } => {
                let now = self.now.monotonic;
                let acknowledged = self.declared.acknowledge(*backfill, tickets, now);
                acknowledged
                    .map(|told| convert::acknowledged(&told))
                    .map_err(|error| backfill_error(&error))
            }
            ServerAct::BackfillRemove(id) => self
                .declared
                .remove_backfill(*id)
                .map(|()| "{}".into())
                .map_err(|error| backfill_error(&error)),
        };
        document.map_or_else(Answer::Refused, Answer::Document)
    }

    fn draw_ticket(&mut self) -> TicketId {
        TicketId::born(self.config.placement.birth(self.id), &mut self.rng)
    }

    /// The ticket that a server adds for players who have no session.
    fn leased_ticket(&mut self, id: &str, wish: &ServerWish) -> Result<Ticket, Error> {
        if self.declared.get(id).is_none() {
            return Err(no_queue());
        }
        let ServerWish { players, string_properties, numeric_properties } = wish;
        if string_properties.len() + numeric_properties.len() >= MATCHMAKER_PROPERTIES_MAX {
            return Err(Error::invalid("Too many properties."));
        }
        let mut entries = Vec::new();
        for player in players {
            let user = UserId::parse(&player.user_id);
            let user_id = user.ok_or_else(|| Error::invalid("A user id is not a UUID."))?;
            if player.username.len() > USERNAME_MAX {
                return Err(Error::invalid("A username is too long."));
            }
            let username = player.username.as_str().into();
            entries.push(Presence { user_id, session_id: NO_SESSION, username });
        }
        let mut string_properties = string_properties.clone();
        string_properties.insert("queue".into(), id.into());
        Ok(Ticket {
            id: self.draw_ticket(),
            entries,
            party: None,
            counts: Counts::new(2, 2, None).expect("good counts"),
            string_properties,
            numeric_properties: numeric_properties.clone(),
            created: self.now.wall,
        })
    }

    fn is_leased(&self, id: TicketId) -> bool {
        let ticket = self.declared.of_ticket(id).and_then(|queue| queue.ticket(id));
        ticket.is_some_and(|ticket| ticket.entries.iter().all(queue::is_held))
    }

    /// What a ticket does, or how it ended. To ask renews the lease.
    fn leased(&mut self, id: TicketId) -> Result<String, Error> {
        if self.is_leased(id) {
            let _ = self.declared.renew(id, self.now.monotonic);
            let queue = self.declared.of_ticket(id);
            let state =
                queue.and_then(|queue| queue.state(id)).map_or("waiting", |state| match state {
                    queue::State::Waiting => "waiting",
                    queue::State::Asked => "match_found",
                    queue::State::Offered => "offered",
                });
            return Ok(convert::state(state));
        }
        let outcome = self.outcomes.told.get(&id).cloned();
        outcome.ok_or_else(|| Error::new(Code::NotFound, "The ticket was not found."))
    }

    /// How a ticket ended, if a server held it.
    pub(crate) fn note_outcome(&mut self, ticket: &Ticket, outcome: impl FnOnce() -> String) {
        if ticket.entries.iter().all(queue::is_held) {
            let outcome = outcome();
            self.tell_server(ticket, &outcome);
            self.outcomes.note(ticket.id, outcome, self.now.monotonic);
        }
    }

    /// The webhook is told what a server's ticket does.
    pub(crate) fn tell_server(&mut self, ticket: &Ticket, told: &str) {
        if self.config.has_webhook && ticket.entries.iter().all(queue::is_held) {
            let message = convert::message(ticket, told);
            self.outputs.push_back(Output::Deliver { message });
        }
    }

    fn add_backfill(&mut self, id: &str, wish: &BackfillWish) -> Result<String, Error> {
        let definition = self.declared.get(id).ok_or_else(no_queue)?.definition().clone();
        let backfill = Backfill { id: self.draw_ticket(), ..read_backfill(&definition, wish)? };
        let number = backfill.id;
        let added = self.declared.add_backfill(id, backfill, self.now.monotonic);
        added.ok_or_else(no_queue)?.map_err(|error| backfill_error(&error))?;
        Ok(convert::added("backfill", number))
    }
}

fn read_backfill(definition: &Definition, wish: &BackfillWish) -> Result<Backfill, Error> {
    if wish.match_id.is_empty() || wish.match_id.len() > MATCH_NAME_MAX {
        return Err(Error::invalid("match_id has to be 1 to 1024 bytes."));
    }
    if wish.string_properties.len() + wish.numeric_properties.len() > MATCHMAKER_PROPERTIES_MAX {
        return Err(Error::invalid("Too many properties."));
    }
    let priority = match wish.priority.as_str() {
        "" | "high" => Priority::High,
        "low" => Priority::Low,
        _ => return Err(Error::invalid("priority has to be \"high\" or \"low\".")),
    };
    let mut teams = vec![Opening::default(); definition.teams.len()];
    for team in &wish.teams {
        let place = definition.teams.iter().position(|known| known.name == team.name);
        let place = place.ok_or_else(|| Error::invalid("The queue has no such team."))?;
        let roles = convert::roles(definition, &team.roles);
        teams[place] = Opening {
            open: usize::try_from(team.open).map_err(|_| Error::invalid("open is negative."))?,
            rating: team.rating,
            roles: roles.ok_or_else(|| backfill_error(&BackfillError::Roles))?,
        };
    }
    // A team for whose roles nobody asked takes none of them.
    if teams.iter().any(|team| !team.roles.is_empty()) {
        for team in teams.iter_mut().filter(|team| team.open == 0) {
            team.roles = vec![0; definition.roles.len()];
        }
    }
    let region = match wish.region.as_str() {
        "" => None,
        name => {
            let place = definition.regions.iter().position(|region| region == name);
            Some(place.ok_or_else(|| backfill_error(&BackfillError::Region))?)
        }
    };
    Ok(Backfill {
        id: TicketId::from_bytes([0; 16]),
        match_id: wish.match_id.clone(),
        teams,
        region,
        rating: wish.rating.unwrap_or(definition.rating.default),
        priority,
        like: Properties {
            texts: wish.string_properties.clone(),
            numbers: wish.numeric_properties.clone(),
        },
    })
}

pub(crate) fn no_queue() -> Error {
    Error::new(Code::NotFound, "There is no such queue.")
}

fn backfill_error(error: &BackfillError) -> Error {
    let code = match error {
        BackfillError::NotFound => Code::NotFound,
        BackfillError::TooMany => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    };
    Error::new(code, error.to_string())
}
