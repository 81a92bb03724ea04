//! Realtime sessions: one envelope at a time, in the order in which they came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use api::Error;
use api::convert::play::{WireMatchId, parse_filter, parse_match_id};
use api::realtime::{self, Envelope, Fatal};
use api::reply::Reply;
use api::request::{MatchDataSend, MatchTarget, MatchmakerAdd, PartyAct, Request};
use base::limits::{
    FOLLOWS_MAX, MATCH_NAME_MAX, MATCHED_BYTES_MAX, MATCHES_PER_SESSION_MAX,
    MATCHMAKER_PROPERTIES_MAX, MATCHMAKER_QUERY_MAX, SESSION_QUEUE_BYTES_MAX, SESSION_QUEUE_MAX,
    STATUS_MAX,
};
use base::{Code, ConnectionId, MatchId, PartyId, SessionId, TicketId, UserId};
use bytes::Bytes;
use domain::identity::session::Bearer;
use domain::play::relay::{Data, Receivers};
use domain::presence::Presence;
use domain::social::status;

use crate::Shard;
use crate::commit::Waiting;
use crate::identity::{invalid_user_id, parse_names, parse_users};
use crate::message::{Entry, Message, Query};
use crate::output::Output;
use crate::rate::Asker;
use crate::state::State;
use crate::task::Step;
use crate::view::Depends;

/// Why a socket closes whose user may have none any more.
pub(crate) const KICKED: &str = "server-side session disconnect";

/// One realtime session. Lives on its home shard, which its id names.
///
/// Invariant: it is a member of no match outside `matches`, in no party outside `parties`, and a
/// follower of nobody outside `follows`.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) me: Presence,
    connection: ConnectionId,
    /// Envelopes that wait for the one under way, and their bytes.
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    is_busy: bool,
    /// Replies that wait for the disk.
    held: usize,
    /// Whether the connection was told to read no further.
    is_paused: bool,
    /// The connection is lost: the session ends with its last envelope.
    is_detached: bool,
    pub(crate) matches: BTreeSet<MatchId>,
    /// The parties that it is in or asks to be let into, and the task of its newest request to come
    /// in: what a party says of an earlier one is out of date.
    pub(crate) parties: BTreeMap<PartyId, u64>,
    follows: BTreeSet<UserId>,
    has_tickets: bool,
    /// What its questions depended on: whatever undoes their effect must not pass them.
    pub(crate) asked: Depends,
}

impl Shard {
    pub(crate) fn open_session(
        &mut self,
        connection: ConnectionId,
        bearer: Bearer,
        username: Arc<str>,
        online: bool,
        depends: &Depends,
    ) {
        let user_id = bearer.user_id;
        let session_id = self.session_ids.draw(self.now.wall);
        let me = Presence { user_id, session_id, username };
        let session = Session {
            me: me.clone(),
            connection,
            queue: VecDeque::new(),
            queued_bytes: 0,
            is_busy: true, // until its user knows of it
            held: 0,
            is_paused: false,
            is_detached: false,
            matches: BTreeSet::new(),
            parties: BTreeMap::new(),
            follows: BTreeSet::from([user_id]),
            has_tickets: false,
            asked: depends.clone(),
        };
        self.sessions.insert(session_id, session);
        self.session_of.insert(connection, session_id);
        self.begin_session_open(session_id, me, bearer, online, depends);
    }

    pub(crate) fn handle_session_text(&mut self, connection: ConnectionId, text: Bytes) {
        let Some(id) = self.session_of.get(&connection).copied() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is_free = !session.is_busy && session.held < SESSION_QUEUE_MAX;
        if is_free && session.queue.is_empty() {
            return self.handle_envelope(id, &text);
        }
        session.queued_bytes += text.len();
        session.queue.push_back(text);
        // What was read before the connection heard of the pause still comes: a read or two.
        if session.queued_bytes > SESSION_QUEUE_BYTES_MAX {
            self.close_session(id, "too many messages at once");
        } else if session.queue.len() >= SESSION_QUEUE_MAX && !session.is_paused {
            session.is_paused = true;
            self.send_flow(connection, false);
        }
    }

    pub(crate) fn handle_wrong_frame(&mut self, connection: ConnectionId) {
        if let Some(id) = self.session_of.get(&connection).copied() {
            self.close_session(id, "received unexpected message type");
        }
    }

    /// The connection is lost. What it said before still counts; then the session ends, since it
    /// does not outlive its connection yet.
    pub(crate) fn handle_detached(&mut self, connection: ConnectionId) {
        let Some(id) = self.session_of.get(&connection).copied() else { return };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.is_detached = true;
            self.ready.push_back(id);
        }
    }

    fn handle_envelope(&mut self, id: SessionId, text: &[u8]) {
        let operations = self.operations.clone();
        match realtime::decode(text, &operations) {
            Ok(envelope) => {
                let row = envelope.row;
                if let Some(outcome) = self.take_up(id, envelope) {
                    self.done_at_once(Some(row), outcome);
                }
            }
            Err(fatal) => {
                let code = self.end_fatally(id, fatal);
                self.done_at_once(None, Err(code));
            }
        }
    }

    /// What came of an envelope, unless a task goes on with it.
    fn take_up(&mut self, id: SessionId, envelope: Envelope) -> Option<Result<(), Code>> {
        let row = envelope.row;
        let session = self.sessions.get(&id)?;
        let asker = Asker::User(session.me.user_id);
        if let Err(too_often) = self.limiter.take(row.rate, asker, self.now.monotonic) {
            let error = too_often.error();
            self.tell(id, realtime::refusal(&envelope.cid, &error), &Depends::default());
            return Some(Err(error.code));
        }
        let name = row.name;
        let has_hook =
            self.config.hooks.before.contains(name) || self.config.hooks.after.contains(name);
        match envelope.request {
            // What needs no other shard's answer needs no task.
            Request::Ping if !has_hook => {
                let text = realtime::reply(&envelope.cid, &Reply::Pong);
                self.tell(id, text, &Depends::default());
                Some(Ok(()))
            }
            Request::Pong if !has_hook => Some(Ok(())),
            // Nothing begins for a player who has left.
            Request::MatchmakerAdd(_)
            | Request::MatchCreate { .. }
            | Request::MatchJoin { .. }
            | Request::PartyCreate(_)
            | Request::Party { act: PartyAct::Join, .. }
                if self.sessions.get(&id).is_none_or(|session| session.is_detached) =>
            {
                Some(Err(Code::Canceled))
            }
            Request::MatchDataSend(send) if !has_hook => {
                let sent = self.send_match_data(id, send);
                Some(sent.map_err(|error| {
                    // Errors of unanswered messages bear no cid.
                    self.tell(id, realtime::refusal("", &error), &Depends::default());
                    error.code
                }))
            }
            request => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.is_busy = true;
                }
                self.begin_session_task(id, envelope.cid, envelope.row, request);
                None
            }
        }
    }

    /// Ends a session over what is no request.
    fn end_fatally(&mut self, id: SessionId, fatal: Fatal) -> Code {
        match fatal {
            Fatal::Malformed(_) => {
                self.close_session(id, "malformed payload");
                Code::InvalidArgument
            }
            Fatal::Missing { cid } => {
                self.tell(id, realtime::error(&cid, 2, "Missing message."), &Depends::default());
                self.close_session(id, "error processing message");
                Code::InvalidArgument
            }
            Fatal::Unrecognized { cid } => {
                self.end_unrecognized(id, &cid);
                Code::Unimplemented
            }
        }
    }

    /// The first step of a request that only a session can make.
    pub(crate) fn session_step(&mut self, task: u64, id: SessionId, request: Request) -> Step {
        let Some(session) = self.sessions.get(&id) else {
            return Step::Ended(Err(Code::Canceled));
        };
        let me = session.me.clone();
        let step = match request {
            Request::StatusFollow { user_ids, usernames } => {
                self.follow_by_name(task, id, &user_ids, &usernames)
            }
            Request::StatusUnfollow { user_ids } => self.unfollow(task, id, &user_ids),
            Request::StatusUpdate { status } => self.update_status(task, me, status),
            Request::MatchmakerAdd(add) => self.add_ticket(task, me, add),
            Request::MatchmakerRemove { ticket } => self.remove_ticket(task, id, &ticket),
            Request::Rpc { id, payload } => self.call_function(task, &me, id, &payload),
            Request::MatchCreate { name } => self.create_match(task, me, &name),
            Request::MatchJoin { target } => self.join_by(task, me, target),
            Request::MatchLeave { match_id } => self.leave_by_id(task, id, &match_id),
            Request::MatchDataSend(send) => {
                self.send_match_data(id, send).map(|()| Step::Ended(Ok(())))
            }
            Request::PartyCreate(create) => self.create_party(task, me, &create),
            Request::Party { party_id, act } => self.act_on_party(task, me, &party_id, act),
            _ => Err(Error::internal()),
        };
        step.unwrap_or_else(Step::Fail)
    }

    /// The task of a session's request has ended: its answer goes out, the next envelope is taken.
    pub(crate) fn end_session_task(
        &mut self,
        id: SessionId,
        cid: &str,
        result: Option<&Result<Reply, Error>>,
        depends: &Depends,
    ) {
        match result {
            None => {}
            Some(Ok(reply)) => self.reply(id, realtime::reply(cid, reply), depends),
            Some(Err(error)) => self.reply(id, realtime::refusal(cid, error), depends),
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.is_busy = false;
        self.ready.push_back(id);
    }

    /// Takes the next envelope of a session that is not busy any more.
    pub(crate) fn take_envelope(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.is_busy || session.held >= SESSION_QUEUE_MAX {
            return;
        }
        let connection = session.connection;
        let is_detached = session.is_detached;
        let next = session.queue.pop_front();
        session.queued_bytes -= next.as_ref().map_or(0, Bytes::len);
        if session.is_paused && session.queue.len() <= SESSION_QUEUE_MAX / 2 {
            session.is_paused = false;
            self.send_flow(connection, true);
        }
        match next {
            Some(text) => {
                self.handle_envelope(id, &text);
                self.ready.push_back(id);
            }
            None if is_detached => self.end_session(id),
            None => {}
        }
    }

    /// Ends a session whose connection is gone or being closed: it leaves everything it was in.
    fn end_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.session_of.remove(&session.connection);
        let depends = session.asked;
        let placement = self.config.placement;
        for match_id in session.matches {
            let leave = Message::MatchLeave { id: match_id, session: id };
            self.send(placement.of_match(match_id), leave, &depends);
        }
        self.leave_parties(session.parties.into_keys(), &session.me, &depends);
        let own = session.me.user_id;
        for user in session.follows {
            let command = match user == own {
                true => status::Command::End { session: id },
                false => status::Command::Unfollow { session: id },
            };
            self.send(placement.of_user(user), Message::Status { user, command }, &depends);
        }
        if session.has_tickets {
            self.send(placement.of_tickets(), Message::TicketsDrop { session: id }, &depends);
        }
    }

    /// Closes the session's socket with code 1000, as all of Nakama's refusals are.
    pub(crate) fn close_session(&mut self, id: SessionId, reason: &'static str) {
        self.close_session_when(id, reason, &Depends::default());
    }

    pub(crate) fn close_session_when(
        &mut self,
        id: SessionId,
        reason: &'static str,
        depends: &Depends,
    ) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let ConnectionId { shard, number: connection } = session.connection;
        let close = Message::Close { connection, code: 1000, reason };
        self.send(shard, close, depends);
        self.end_session(id);
    }

    /// The user's home wants the session to end.
    pub(crate) fn end_by_order(&mut self, id: SessionId, text: Option<Bytes>, depends: &Depends) {
        if let Some(text) = text {
            self.push_local(&[id], &text, depends);
        }
        self.close_session_when(id, KICKED, depends);
    }

    /// Ends a session over a message that is not for clients to send.
    pub(crate) fn end_unrecognized(&mut self, id: SessionId, cid: &str) {
        self.tell(id, realtime::error(cid, 1, "Unrecognized message."), &Depends::default());
        self.close_session(id, "error processing message");
    }

    pub(crate) fn tell(&mut self, id: SessionId, text: String, depends: &Depends) {
        self.push_local(&[id], &Bytes::from(text), depends);
    }

    /// Answers a session, as soon as what the answer depends on is durable.
    fn reply(&mut self, id: SessionId, text: String, depends: &Depends) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.held += 1;
        }
        self.reply_when_durable(id, Bytes::from(text), depends);
    }

    pub(crate) fn reply_when_durable(&mut self, id: SessionId, text: Bytes, depends: &Depends) {
        if let Some(batch) = depends.first(|batch| !self.view.is_durable(batch)) {
            let reply = Waiting::Reply { session: id, text };
            return self.held.push(batch, reply, depends.clone());
        }
        self.push_local(&[id], &text, &Depends::default());
        if let Some(session) = self.sessions.get_mut(&id) {
            session.held -= 1;
            self.ready.push_back(id);
        }
    }

    pub(crate) fn push_local(&mut self, to: &[SessionId], text: &Bytes, depends: &Depends) {
        for id in to {
            let Some(session) = self.sessions.get(id) else {
                continue;
            };
            let ConnectionId { shard, number: connection } = session.connection;
            let text = text.clone();
            if shard == self.id {
                self.output(Output::Send { connection, text }, depends);
            } else {
                self.send(shard, Message::Send { connection, text }, depends);
            }
        }
    }

    fn send_flow(&mut self, connection: ConnectionId, read: bool) {
        let flow = Message::Flow { connection: connection.number, read };
        self.send(connection.shard, flow, &Depends::default());
    }

    // Statuses.

    fn follow_by_name(
        &mut self,
        task: u64,
        id: SessionId,
        user_ids: &[String],
        usernames: &[String],
    ) -> Result<Step, Error> {
        let ids = parse_users(user_ids).ok_or_else(invalid_user_id)?;
        if usernames.iter().any(String::is_empty) {
            return Err(Error::invalid("A username is empty."));
        }
        if usernames.len() > FOLLOWS_MAX {
            return Err(too_many_followed());
        }
        Ok(match self.scatter_aliases(task, parse_names(usernames)) {
            0 => self.follow_users(task, id, ids),
            _ => Step::Wait(State::FollowNames { session: id, ids }),
        })
    }

    /// Follows users; the own one is followed from the start and left out here.
    pub(crate) fn follow_users(
        &mut self,
        task: u64,
        id: SessionId,
        mut users: Vec<UserId>,
    ) -> Step {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Step::Ended(Err(Code::Canceled));
        };
        users.sort_unstable();
        users.dedup();
        users.retain(|user| *user != session.me.user_id);
        let more = users.iter().filter(|user| !session.follows.contains(user)).count();
        if session.follows.len() - 1 + more > FOLLOWS_MAX {
            return Step::Fail(too_many_followed());
        }
        session.follows.extend(users.iter().copied());
        let placement = self.config.placement;
        let query = |users| Query::Follow { session: id, users };
        match self.scatter(task, users, |user| placement.of_user(*user), query) {
            0 => Step::Done(Reply::Status { presences: Vec::new() }),
            _ => Step::Wait(State::Follow { present: Vec::new() }),
        }
    }

    fn unfollow(&mut self, task: u64, id: SessionId, user_ids: &[String]) -> Result<Step, Error> {
        let users = parse_users(user_ids).ok_or_else(invalid_user_id)?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(Step::Ended(Err(Code::Canceled)));
        };
        let own = session.me.user_id;
        let left: Vec<_> =
            users.into_iter().filter(|user| *user != own && session.follows.remove(user)).collect();
        let placement = self.config.placement;
        let query = |users| Query::Unfollow { session: id, users };
        Ok(match self.scatter(task, left, |user| placement.of_user(*user), query) {
            0 => Step::Done(Reply::Empty),
            _ => Step::Wait(State::Unfollow),
        })
    }

    fn update_status(
        &mut self,
        task: u64,
        me: Presence,
        text: Option<String>,
    ) -> Result<Step, Error> {
        if text.as_ref().is_some_and(|text| text.len() > STATUS_MAX) {
            return Err(Error::invalid("Status must be at most 2048 bytes long."));
        }
        let home = self.config.placement.of_user(me.user_id);
        self.ask(task, home, Query::SetStatus { me, text });
        Ok(Step::Wait(State::SetStatus))
    }

    // Matchmaker.

    fn add_ticket(&mut self, task: u64, me: Presence, add: MatchmakerAdd) -> Result<Step, Error> {
        let (mut ticket, query) = self.wish(add)?;
        let Some(session) = self.sessions.get_mut(&me.session_id) else {
            return Ok(Step::Ended(Err(Code::Canceled)));
        };
        session.has_tickets = true;
        ticket.entries.push(ticket_entry(me));
        self.ask(
            task,
            self.config.placement.of_tickets(),
            Query::TicketAdd { ticket, query, known: None },
        );
        Ok(Step::Wait(State::TicketAdd))
    }

    /// A ticket of nobody yet, and whom it looks for.
    pub(crate) fn wish(
        &mut self,
        add: MatchmakerAdd,
    ) -> Result<(Box<matchmaker::Ticket>, Arc<matchmaker::Query>), Error> {
        let counts = matchmaker::Counts::new(add.min_count, add.max_count, add.count_multiple);
        let counts = counts.map_err(|error| Error::invalid(error.to_string()))?;
        if add.query.len() > MATCHMAKER_QUERY_MAX {
            return Err(Error::invalid("The query is too long."));
        }
        let properties = add.string_properties.len() + add.numeric_properties.len();
        if properties > MATCHMAKER_PROPERTIES_MAX {
            return Err(Error::invalid("Too many properties."));
        }
        if matched_bytes(&add) > MATCHED_BYTES_MAX {
            return Err(Error::invalid("The properties are too long for so many players."));
        }
        let query = matchmaker::Query::parse(&add.query);
        let query = query.map_err(|error| Error::new(Code::Unknown, error.to_string()))?;
        let home = self.config.placement.of_tickets();
        let ticket = matchmaker::Ticket {
            id: TicketId::born(self.config.placement.birth(home), &mut self.rng),
            entries: Vec::new(),
            party: None,
            counts,
            string_properties: add.string_properties,
            numeric_properties: add.numeric_properties,
            created: self.now.wall,
        };
        Ok((Box::new(ticket), Arc::new(query)))
    }

    fn remove_ticket(&mut self, task: u64, id: SessionId, ticket: &str) -> Result<Step, Error> {
        let (ticket, owner) = (parse_ticket(ticket)?, matchmaker::Owner::Session(id));
        let home = self.config.placement.of_tickets();
        self.ask(task, home, Query::TicketRemove { ticket, owner });
        Ok(Step::Wait(State::TicketRemove))
    }

    // Matches.

    fn create_match(&mut self, task: u64, me: Presence, name: &str) -> Result<Step, Error> {
        if name.len() > MATCH_NAME_MAX {
            return Err(Error::invalid("The match name is too long."));
        }
        let id = if name.is_empty() {
            let home = self.config.placement.matches.unwrap_or(self.id);
            MatchId::born(self.config.placement.birth(home), &mut self.rng)
        } else {
            MatchId::named(name)
        };
        self.ask_to_join(task, me, id, Entry::Open, true)
    }

    fn join_by(
        &mut self,
        task: u64,
        me: Presence,
        target: Option<MatchTarget>,
    ) -> Result<Step, Error> {
        let (text, entry) = match target {
            None => return Err(Error::invalid("Neither a match id nor a token is given.")),
            Some(MatchTarget::Id(id)) => (id, Entry::Existing),
            Some(MatchTarget::Token(token)) => {
                let claims = self.config.session_keys.verify_match(&token, self.now.wall);
                let claims = claims.map_err(|_| Error::invalid("The match token is not valid."))?;
                (claims.mid, Entry::Open)
            }
        };
        match parse_match_id(&text) {
            None => Err(Error::invalid("The match id is not valid.")),
            Some(WireMatchId::Authoritative) => Err(domain::play::relay::Error::NotFound.into()),
            Some(WireMatchId::Relayed(id)) => self.ask_to_join(task, me, id, entry, false),
        }
    }

    fn ask_to_join(
        &mut self,
        task: u64,
        me: Presence,
        id: MatchId,
        entry: Entry,
        is_create: bool,
    ) -> Result<Step, Error> {
        let Some(session) = self.sessions.get_mut(&me.session_id) else {
            return Ok(Step::Ended(Err(Code::Canceled)));
        };
        let is_known = session.matches.contains(&id);
        if !is_known && session.matches.len() >= MATCHES_PER_SESSION_MAX {
            return Err(Error::invalid("The session is in too many matches."));
        }
        session.matches.insert(id);
        let home = self.config.placement.of_match(id);
        self.ask(task, home, Query::MatchJoin { id, me, entry });
        Ok(Step::Wait(State::MatchJoin { id, is_create }))
    }

    fn leave_by_id(&mut self, task: u64, id: SessionId, match_id: &str) -> Result<Step, Error> {
        let match_id = parse_match_id(match_id);
        let match_id = match_id.ok_or_else(|| Error::invalid("The match id is not valid."))?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(Step::Ended(Err(Code::Canceled)));
        };
        match match_id {
            WireMatchId::Relayed(match_id) if session.matches.remove(&match_id) => {
                self.trace_about(task, match_id);
                let home = self.config.placement.of_match(match_id);
                self.ask(task, home, Query::MatchLeave { id: match_id, session: id });
                Ok(Step::Wait(State::MatchLeave))
            }
            WireMatchId::Relayed(_) | WireMatchId::Authoritative => Ok(Step::Done(Reply::Empty)),
        }
    }

    /// Passes match data on. Refused for a malformed match id only: what cannot be delivered is
    /// dropped.
    fn send_match_data(&mut self, id: SessionId, send: MatchDataSend) -> Result<(), Error> {
        let match_id = parse_match_id(&send.match_id);
        let match_id = match_id.ok_or_else(|| Error::invalid("The match id is not valid."))?;
        let receivers = match send.presences.is_empty() {
            true => Some(Receivers::Others),
            false => parse_filter(&send.presences).map(Receivers::Named),
        };
        let (WireMatchId::Relayed(match_id), Some(receivers)) = (match_id, receivers) else {
            return Ok(());
        };
        let is_member =
            self.sessions.get(&id).is_some_and(|session| session.matches.contains(&match_id));
        if is_member {
            let data = Data { op_code: send.op_code, bytes: send.data, reliable: send.reliable };
            let message = Message::MatchData { id: match_id, from: id, receivers, data };
            let home = self.config.placement.of_match(match_id);
            self.send(home, message, &Depends::default());
        }
        Ok(())
    }
}

pub(crate) fn parse_ticket(ticket: &str) -> Result<TicketId, Error> {
    TicketId::parse(ticket).ok_or_else(|| Error::invalid("The ticket is not a UUID."))
}

pub(crate) fn ticket_entry(me: Presence) -> matchmaker::Presence {
    let Presence { user_id, session_id, username } = me;
    matchmaker::Presence { user_id, session_id, username }
}

/// About what every player of a full match is told, if all tickets are like this one.
fn matched_bytes(add: &MatchmakerAdd) -> usize {
    let strings = add.string_properties.iter().map(|(name, value)| name.len() + value.len() + 8);
    let numbers = add.numeric_properties.keys().map(|name| name.len() + 32);
    let user = 256 + strings.sum::<usize>() + numbers.sum::<usize>();
    user.saturating_mul(usize::try_from(add.max_count).unwrap_or(0))
}

fn too_many_followed() -> Error {
    Error::invalid("Too many users are followed.")
}
