//! The declared queues, on the home of the tickets, and what their players ask of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Error;
use api::convert::queue::{self as convert, Call};
use api::convert::rating::HistoryWish;
use api::convert::server;
use api::realtime::Way;
use api::reply::Reply;
use base::json::Object;
use base::limits::MATCHED_BYTES_MAX;
use base::{NotificationId, TicketId};
use bytes::Bytes;
use domain::compete::rating::Rating;
use domain::compete::result;
use domain::effect::Event;
use domain::presence::Presence;
use domain::social::notification::{Code, Notification};
use matchmaker::Ticket;
use matchmaker::queue::{self, Definition, Explanation, NO_SESSION, Refused};

use crate::lease::no_queue;
use crate::matchmaking::ticket_error;
use crate::message::{Answer, Known, Query, QueueQuery, Unrated};
use crate::rating::{self, Asker};
use crate::state::State;
use crate::task::Step;
use crate::view::Depends;
use crate::{Shard, Timer};

/// A declared queue, as tickets are judged by it.
#[derive(Clone, Debug)]
pub struct QueueInForce {
    pub definition: Arc<Definition>,
    /// Rises with each change of the queue, whoever made it, for as long as the process runs.
    pub version: u64,
}

// The functions that players call.

impl Shard {
    pub(crate) fn call_function(
        &mut self,
        task: u64,
        me: &Presence,
        id: String,
        payload: &str,
    ) -> Result<Step, Error> {
        let session = me.session_id;
        let query = match convert::call(&id, payload)? {
            Call::Ready { ticket, answer } => QueueQuery::Ready { ticket, session, answer },
            Call::Wait { queue, rating } => QueueQuery::Wait { queue, rating },
            Call::Rating { queue, user } => {
                let user = user.unwrap_or(me.user_id);
                return Ok(self.read_rating(task, queue, user, Asker::Function(id)));
            }
            Call::History { queue, user, before, limit } => {
                let user = user.unwrap_or(me.user_id);
                let wish = HistoryWish { queue, user, before, limit };
                return Ok(self.read_history(task, wish, Asker::Function(id)));
            }
            Call::Explain { ticket } => QueueQuery::Explain { ticket, session, so_far: None },
        };
        self.ask(task, self.config.placement.of_tickets(), Query::Queue(query));
        Ok(Step::Wait(State::Rpc(id)))
    }

    /// The home of the tickets has answered.
    pub(crate) fn called(&mut self, task: u64, id: String, answer: Answer) -> Step {
        let payload = match answer {
            Answer::Done => String::new(),
            Answer::QueueWait(wait) => convert::wait(wait),
            Answer::QueueExplanation(so_far) if so_far.is_whole() => {
                convert::explanation(&so_far, false)
            }
            Answer::QueueExplanation(so_far) => {
                let ticket = so_far.ticket.id;
                let session = so_far.ticket.entries[0].session_id;
                let query = QueueQuery::Explain { ticket, session, so_far: Some(so_far) };
                self.ask(task, self.config.placement.of_tickets(), Query::Queue(query));
                return Step::Wait(State::Rpc(id));
            }
            answer => {
                debug_assert!(false, "a function does not wait for {answer:?}");
                return Step::Fail(Error::internal());
            }
        };
        Step::Done(Reply::Rpc { id, payload })
    }
}

// On the home of the tickets.

impl Shard {
    /// Takes over all queues that are in force from here on.
    pub fn set_queues(&mut self, queues: Vec<QueueInForce>) {
        let definitions: Vec<_> = queues.iter().map(|queue| queue.definition.clone()).collect();
        self.declared.define(&definitions);
        self.is_pool_stirred = true;
        let id = |queue: &QueueInForce| queue.definition.id.clone();
        self.queues = queues.into_iter().map(|queue| (id(&queue), queue)).collect();
    }

    /// The queues in force, by id.
    pub fn queues(&self) -> impl Iterator<Item = &QueueInForce> {
        self.queues.values()
    }

    /// Adds a ticket to the queue that its property names, or else to the pool.
    pub(crate) fn add_to_pool(
        &mut self,
        ticket: &Ticket,
        query: &Arc<matchmaker::Query>,
        known: &Known,
    ) -> Result<TicketId, Error> {
        self.is_pool_stirred = true;
        let named = ticket.string_properties.get("queue");
        let Some(queue) = named.and_then(|id| self.declared.get(id)) else {
            let added = self.pool.add(ticket.clone(), query);
            return added.map(|()| ticket.id).map_err(ticket_error);
        };
        let id = queue.definition().id.clone();
        self.add_to_queue(&id, ticket, known).map(|()| ticket.id)
    }

    /// Unless it is known what the players of the ticket are and its queue has to know it: whoever
    /// adds it is to find that out, and to ask this again.
    pub(crate) fn unrated(
        &self,
        ticket: &Ticket,
        known: &Known,
        again: impl FnOnce() -> Query,
    ) -> Option<Answer> {
        let queue = self.declared.get(ticket.string_properties.get("queue")?)?;
        let definition = queue.definition();
        // A party of the wrong size is refused, whatever its players are.
        if rating::kept(definition).is_none()
            || !definition.party_sizes.contains(&ticket.entries.len())
        {
            return None;
        }
        let users: BTreeSet<_> = ticket.entries.iter().map(|entry| entry.user_id).collect();
        let is_known = |user| known.as_ref().is_some_and(|known| known.contains_key(user));
        if users.iter().all(is_known) {
            return None;
        }
        let (queue, users) = (definition.id.clone(), users.into_iter().collect());
        Some(Answer::Unrated(Box::new(Unrated { queue, users, query: again() })))
    }

    /// The ticket with what is known of its players, where the queue keeps their ratings.
    fn rated(&self, definition: &Definition, ticket: &Ticket, known: &Known) -> Option<Ticket> {
        let rules = rating::kept(definition)?;
        let mut ticket = ticket.clone();
        let is_other = |name: &str| {
            let of = name.split_once('@').map_or(name, |(of, _)| of);
            of != "rating" && of != "rating_deviation"
        };
        ticket.string_properties.retain(|name, _| is_other(name));
        ticket.numeric_properties.retain(|name, _| is_other(name));
        let is_party = ticket.entries.len() > 1;
        for entry in &ticket.entries {
            let standing = known.as_ref().and_then(|known| known.get(&entry.user_id));
            let own = standing.and_then(|standing| standing.rating.as_ref());
            let Rating { rating, deviation, .. } = result::at(&rules, own, self.now.wall);
            let own = if is_party { format!("@{}", entry.user_id) } else { String::new() };
            let numbers = &mut ticket.numeric_properties;
            numbers.insert(format!("rating{own}"), rating);
            numbers.insert(format!("rating_deviation{own}"), deviation);
        }
        Some(ticket)
    }

    pub(crate) fn add_to_queue(
        &mut self,
        id: &str,
        ticket: &Ticket,
        known: &Known,
    ) -> Result<(), Error> {
        let definition = self.declared.get(id).map(|queue| queue.definition().clone());
        let rated = definition.and_then(|definition| self.rated(&definition, ticket, known));
        let ticket = rated.as_ref().unwrap_or(ticket);
        let players = self.declared.get(id).map_or(0, |queue| queue.definition().players());
        if told_bytes(ticket).saturating_mul(players) > MATCHED_BYTES_MAX {
            return Err(Error::invalid("The properties are too long for so many players."));
        }
        match self.declared.add(id, ticket, self.now.monotonic).ok_or_else(no_queue)? {
            Ok(()) => Ok(()),
            Err(Refused::Ticket(error)) => Err(ticket_error(error)),
            Err(Refused::Unfit(unfit)) => Err(Error::invalid(unfit.to_string())),
        }
    }

    pub(crate) fn answer_queue(&mut self, query: &QueueQuery) -> Answer {
        match query {
            QueueQuery::Ready { ticket, session, answer } => {
                self.is_pool_stirred = true;
                match self.declared.answer(*ticket, Some(*session), *answer) {
                    Ok(()) => Answer::Done,
                    Err(_) => Answer::Refused(Error::invalid("No match waits for this ticket.")),
                }
            }
            QueueQuery::Wait { queue, rating } => match self.declared.wait(queue, *rating) {
                Some(wait) => Answer::QueueWait(wait),
                None => Answer::Refused(no_queue()),
            },
            QueueQuery::Definition { queue } => match self.declared.get(queue) {
                Some(queue) => Answer::Definition(queue.definition().clone()),
                None => Answer::Refused(no_queue()),
            },
            QueueQuery::Explain { ticket, session, so_far } => {
                let queue = self.declared.of_ticket(*ticket);
                let own = queue.and_then(|queue| queue.ticket(*ticket));
                let is_own = |ticket: &Ticket| {
                    ticket.entries.iter().any(|entry| entry.session_id == *session)
                };
                if !own.as_ref().is_some_and(is_own) {
                    return Answer::Refused(ticket_error(matchmaker::Error::NotFound));
                }
                self.explain_queued(*ticket, so_far.as_deref())
            }
        }
    }

    pub(crate) fn explain_queued(&self, ticket: TicketId, so_far: Option<&Explanation>) -> Answer {
        match self.declared.explain(ticket, so_far.cloned(), self.now.monotonic) {
            Ok(explanation) => Answer::QueueExplanation(Box::new(explanation)),
            Err(error) => Answer::Refused(ticket_error(error)),
        }
    }

    /// The players of what has happened are told.
    pub(crate) fn heed_queues(&mut self) {
        while let Some(event) = self.declared.poll_event() {
            match event {
                queue::Event::Matched(lineup) => {
                    let users = convert::users(&lineup, &self.config.name);
                    self.form(&lineup.tickets, users);
                }
                queue::Event::Backfilled { definition, match_id, offers } => {
                    for offer in offers {
                        let users = server::users(&definition, &offer, &self.config.name);
                        self.matched(&[offer.ticket], users, Way::MatchId(match_id.clone()));
                    }
                }
                queue::Event::Asked { tickets, within } => {
                    for ticket in &tickets {
                        self.tell_server(ticket, &server::state("match_found"));
                        self.notify(ticket, Code::MatchFound, |o| {
                            o.double("within_sec", within.as_secs_f64());
                        });
                    }
                }
                queue::Event::Dissolved { waiting, gone } => {
                    for ticket in &waiting {
                        self.tell_server(ticket, &server::state("waiting"));
                        self.notify(ticket, Code::QueueRejoined, |_| {});
                    }
                    for ticket in &gone {
                        let reason = "The match was not accepted.";
                        self.note_outcome(ticket, || server::gone(reason));
                        self.notify(ticket, Code::QueueLeft, |o| o.text("reason", reason));
                    }
                }
                queue::Event::Dropped { ticket, why } => {
                    let reason = convert::reason(&why);
                    self.note_outcome(&ticket, || server::gone(&reason));
                    self.notify(&ticket, Code::QueueLeft, |o| o.text("reason", &reason));
                }
            }
        }
    }

    /// Tells the players of a ticket.
    fn notify(&mut self, ticket: &Ticket, code: Code, fill: impl FnOnce(&mut Object<'_>)) {
        let sessions = ticket.entries.iter().map(|entry| entry.session_id);
        let to: Vec<_> = sessions.filter(|session| *session != NO_SESSION).collect();
        let id = NotificationId::random(&mut self.rng);
        let content = convert::notice(ticket, fill);
        let notification = Notification { id, code, content, create_time: self.now.wall };
        let text = Bytes::from(api::realtime::event(&Event::Notification(notification)));
        self.push(to, &text, &Depends::default());
    }

    /// Has the queues work when their time has come.
    pub(crate) fn set_queue_timer(&mut self) {
        let next = self.declared.next_timeout();
        if next == self.queue_timer {
            return;
        }
        if let Some(earlier) = self.queue_timer {
            self.timers.cancel(earlier, Timer::Queues);
        }
        if let Some(next) = next {
            self.timers.set(next, Timer::Queues);
        }
        self.queue_timer = next;
    }

    pub(crate) fn wake_queues(&mut self) {
        self.queue_timer = None;
        self.is_pool_stirred = true;
    }
}

/// About what every player of a match is told of the players of this ticket.
fn told_bytes(ticket: &Ticket) -> usize {
    let texts = ticket.string_properties.iter().map(|(name, text)| name.len() + text.len() + 8);
    let numbers = ticket.numeric_properties.keys().map(|name| name.len() + 32);
    512 + texts.sum::<usize>() + numbers.sum::<usize>()
}
