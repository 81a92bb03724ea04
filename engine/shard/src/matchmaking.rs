//! The matchmaker on its home: it works in steps, and the players of its matches are told.

use std::time::Duration;

use api::Error;
use api::convert::server;
use api::realtime::Way;
use base::{Code, MatchId, SessionId, TicketId};
use bytes::Bytes;
use domain::identity::token::MatchClaims;
use matchmaker::Owner;
use matchmaker::queue::NO_SESSION;

use crate::lease::no_queue;
use crate::message::{Answer, PoolQuery};
use crate::view::Depends;
use crate::{Shard, Timer};

/// Candidates that one step of the matchmaker examines: about a tenth of a millisecond.
const MATCHMAKER_STEP: usize = 2_000;

/// Bytes in which one handle tells players of their match, give or take one message.
const MATCHED_STEP: usize = 256 * 1024;

/// Completions that the statistics show.
const COMPLETIONS: usize = 10;

/// Life of a matchmaker token, seconds.
const MATCH_TOKEN_LIFE: u64 = 30;

/// A match whose players are being told, one after another.
#[derive(Debug)]
pub(crate) struct Formed {
    pub(crate) players: Vec<Player>,
    /// All of them, as every player is told.
    pub(crate) users: String,
    /// How they join it.
    pub(crate) way: Way,
    /// Who is told next.
    pub(crate) told: usize,
}

#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) session: SessionId,
    pub(crate) ticket: TicketId,
    /// As all are told of them.
    pub(crate) user: String,
}

impl Shard {
    pub(crate) fn begin_matchmaker_pass(&mut self) {
        let next = self.now.monotonic.after(self.config.matchmaker.interval);
        self.timers.set(next, Timer::MatchmakerPass);
        self.pool.begin_pass(self.now.monotonic);
        self.is_pool_stirred = true;
    }

    /// Goes on with what was carried over.
    pub(crate) fn step_matchmaker(&mut self) {
        self.is_step_due = false;
        self.is_pool_stirred = true;
    }

    /// Goes on with searches, and tells the players of formed matches, as far as one handle may
    /// take.
    pub(crate) fn stir_matchmaker(&mut self) {
        self.is_pool_stirred = false;
        if self.is_step_due {
            return; // the step that is due does this, too
        }
        self.pool.step(MATCHMAKER_STEP, self.now.monotonic);
        self.declared.step(MATCHMAKER_STEP, self.now.monotonic);
        while let Some(formed) = self.pool.poll_match() {
            let users = api::realtime::matched_users(&formed.tickets, &self.config.name);
            self.form(&formed.tickets, users);
        }
        self.heed_queues();
        self.tell_matches();
        self.set_queue_timer();
    }

    /// Draws an id and a token for a formed match.
    pub(crate) fn form(&mut self, tickets: &[matchmaker::Ticket], users: Vec<String>) {
        let home = self.config.placement.matches.unwrap_or(self.id);
        let id = MatchId::born(self.config.placement.birth(home), &mut self.rng);
        let claims = MatchClaims {
            mid: api::convert::play::match_id_text(id),
            exp: self.now.wall.secs() + MATCH_TOKEN_LIFE,
        };
        let token = self.config.session_keys.sign_match(&claims);
        self.matched(tickets, users, Way::Token(token));
    }

    /// The players of a match are told in their turn.
    pub(crate) fn matched(&mut self, tickets: &[matchmaker::Ticket], users: Vec<String>, way: Way) {
        let entries =
            || tickets.iter().flat_map(|ticket| ticket.entries.iter().map(move |e| (ticket, e)));
        self.completions.extend(entries().map(|(ticket, _)| (ticket.created, self.now.wall)));
        let excess = self.completions.len().saturating_sub(COMPLETIONS);
        self.completions.drain(..excess);
        let all = format!("[{}]", users.join(","));
        for ticket in tickets {
            self.note_outcome(ticket, || server::matched(way.named(), &all));
        }
        let player =
            |((ticket, entry), user): ((&matchmaker::Ticket, &matchmaker::Presence), _)| Player {
                session: entry.session_id,
                ticket: ticket.id,
                user,
            };
        let players = entries().zip(users).map(player).collect();
        self.formed.push_back(Formed { players, users: all, way, told: 0 });
    }

    /// Tells players of their match, as many as one handle may.
    fn tell_matches(&mut self) {
        let mut bytes = 0;
        while bytes < MATCHED_STEP
            && let Some(mut formed) = self.formed.pop_front()
        {
            let Some(player) = formed.players.get(formed.told) else { continue };
            let Player { session, ticket, user } = player;
            if *session != NO_SESSION {
                let text = api::realtime::matched(*ticket, &formed.way, &formed.users, user);
                bytes += text.len();
                self.push(vec![*session], &Bytes::from(text), &Depends::default());
            }
            formed.told += 1;
            self.formed.push_front(formed);
        }
        let has_work = self.pool.has_work() || self.declared.has_work(self.now.monotonic);
        let is_more = has_work || !self.formed.is_empty();
        self.carried_since = match self.carried_since {
            _ if !is_more => None,
            None => Some(self.now.monotonic),
            since => since,
        };
        if is_more && !self.is_step_due {
            self.is_step_due = true;
            // Due at once, but not within this handle: other inputs get their turn.
            let soon = self.now.monotonic.after(Duration::from_nanos(1));
            self.timers.set(soon, Timer::MatchmakerStep);
        }
    }

    /// Takes a ticket back that waits for this owner.
    pub(crate) fn remove_ticket_of(
        &mut self,
        ticket: TicketId,
        owner: Owner,
    ) -> Result<(), matchmaker::Error> {
        self.is_pool_stirred = true;
        self.pool.remove(ticket, owner).or_else(|_| self.declared.remove(ticket, owner))
    }

    pub(crate) fn answer_pool(&mut self, query: &PoolQuery) -> Answer {
        let refused = |error| Answer::Refused(ticket_error(error));
        match query {
            PoolQuery::List { from, limit, queue } if !queue.is_empty() => {
                let Some(queue) = self.declared.get(queue) else {
                    return Answer::Refused(no_queue());
                };
                let (tickets, next) = queue.list(*from, *limit, self.now.monotonic);
                Answer::QueuedTickets { tickets, next, is_paused: self.pool.is_paused() }
            }
            PoolQuery::List { from, limit, .. } => {
                let (tickets, next) = self.pool.list(*from, *limit);
                Answer::Tickets { tickets, next, is_paused: self.pool.is_paused() }
            }
            PoolQuery::Explain { ticket, .. } if self.declared.of_ticket(*ticket).is_some() => {
                self.explain_queued(*ticket, None)
            }
            PoolQuery::Explain { ticket, so_far } => {
                let so_far = so_far.as_deref().cloned();
                let explanation = self.pool.explain(*ticket, so_far).map(Box::new);
                explanation.map_or_else(refused, Answer::Explanation)
            }
            PoolQuery::ExplainQueued { ticket, so_far } => {
                self.explain_queued(*ticket, so_far.as_deref())
            }
            PoolQuery::Server { act, known } => self.answer_server(act, known),
            PoolQuery::Remove(ticket) => {
                self.is_pool_stirred = true;
                let removed = self.pool.expel(*ticket).or_else(|_| self.declared.expel(*ticket));
                removed.map_or_else(refused, |()| Answer::Done)
            }
            PoolQuery::Pause(is_paused) => {
                self.pool.set_paused(*is_paused);
                self.declared.set_paused(*is_paused);
                self.is_pool_stirred = true;
                Answer::Done
            }
            PoolQuery::Queues(written) => {
                self.take_written(written);
                Answer::Done
            }
        }
    }
}

pub(crate) fn ticket_error(error: matchmaker::Error) -> Error {
    let code = match error {
        matchmaker::Error::NotFound => Code::InvalidArgument,
        _ => Code::ResourceExhausted,
    };
    Error::new(code, error.to_string())
}
