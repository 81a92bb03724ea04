//! The home's side of a question: what the entities of this shard answer.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Error;
use api::convert::rating::HistoryWish;
use api::reply::{MatchmakerStats, UserView};
use base::limits::SESSIONS_PER_USER_MAX;
use base::{Code, Frame, MatchId, NotificationId, SessionId, UserId};
use bytes::Bytes;
use domain::compete::result::{self, Standing};
use domain::ctx::{Applied, Ctx, Stop};
use domain::economy::erasure;
use domain::effect::{Effect, Event};
use domain::identity::account::User;
use domain::identity::alias::{self, Kind};
use domain::identity::{account, session};
use domain::operator;
use domain::play::relay::{self, Relay};
use domain::presence::Presence;
use domain::social::notification::{self, Notification};
use domain::social::status::{self, Status, StatusPresence};

use crate::Shard;
use crate::belongings;
use crate::matchmaking::ticket_error;
use crate::message::{
    AccountEdit, Answer, Claim, Entry, Errand, Login, Message, Operate, OperatorEdit,
    OperatorQuery, Query, TaskId,
};
use crate::output::Output;
use crate::storage;
use crate::trace::MatchTrace;
use crate::view::Depends;

/// A refusal that keeps its meaning until the message is written.
pub(crate) enum Refusal {
    Plain(Error),
    Taken(Kind, UserId),
    Changed,
    Revoked,
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal::Plain(error.into())
    }
}

impl Shard {
    pub(crate) fn handle_ask(&mut self, task: TaskId, query: Query, mut depends: Depends) {
        if let Query::Board(query) = query {
            return self.answer_board(task, query, &depends);
        }
        if let Query::Party(query) = query {
            return self.answer_party(task, query, &depends);
        }
        if let Some(answer) = self.answer_transient(&query, &depends) {
            let answered = Message::Answer { task: task.number, answer };
            self.send(task.shard, answered, &depends);
            return;
        }

        let is_prepare = matches!(query, Query::Prepare(_));
        self.view.begin(depends.clone());
        let mut effects = Vec::new();
        let statuses = &self.statuses;
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        let is_here = |user| self.config.placement.of_user(user) == self.id;
        let answered = answer_durable(ctx, statuses, &is_here, &query);
        if answered.is_err() {
            effects.clear(); // of several features, the last may have refused
        }
        let answer = match answered {
            Ok(answer) => answer,
            Err(Stop::Unavailable) => {
                if let Err(refused) = self.park(task, query, depends.clone()) {
                    let answer = Answer::Refused(Error::exhausted(refused));
                    let answered = Message::Answer { task: task.number, answer };
                    self.send(task.shard, answered, &depends);
                }
                return;
            }
            Err(Stop::Damaged(table)) => {
                self.outputs.push_back(Output::Damaged { table, task });
                Answer::Refused(Error::internal())
            }
            Err(Stop::Refused(Refusal::Plain(error))) => Answer::Refused(error),
            Err(Stop::Refused(Refusal::Taken(kind, owner))) => Answer::Taken(kind, owner),
            Err(Stop::Refused(Refusal::Changed)) => Answer::Changed,
            Err(Stop::Refused(Refusal::Revoked)) => Answer::Revoked,
        };
        depends = self.view.depends();

        let changes: Vec<_> = effects.into_iter().filter_map(change).collect();
        let answer = if changes.is_empty() {
            answer
        } else if let Err(refused) = self.admit_write() {
            Answer::Refused(refused)
        } else {
            let frame = Frame::encode(&changes);
            if is_prepare {
                self.hold(task, frame.clone());
                let told = match answer {
                    Answer::Changes(changed) => Some(changed),
                    _ => None,
                };
                Answer::Prepared(frame, told)
            } else {
                let batch = self.emit(vec![frame.clone()], vec![self.id], &mut depends);
                self.view.write(batch, &frame);
                answer
            }
        };
        if let (Query::SetDisabled { user, is_disabled: true }, Answer::Done) = (&query, &answer) {
            self.kick(*user, Some(notification::Code::Banned), &depends);
        }
        self.send(task.shard, Message::Answer { task: task.number, answer }, &depends);
    }

    /// Answers what lives in memory only; `None` when the question is about durable entities.
    fn answer_transient(&mut self, query: &Query, depends: &Depends) -> Option<Answer> {
        Some(match query {
            Query::Open { me, online } => self.open(me, *online, depends),
            Query::SetStatus { me, text } => {
                self.set_status(me, text.clone(), depends);
                Answer::Done
            }
            Query::Follow { session, users } => self.follow(*session, users, depends),
            Query::Unfollow { session, users } => {
                for user in users {
                    let command = status::Command::Unfollow { session: *session };
                    self.apply_status(*user, command, depends);
                }
                Answer::Done
            }
            Query::MatchJoin { id, me, entry } => self.join_match(*id, me, *entry, depends),
            Query::MatchLeave { id, session } => {
                self.leave_match(*id, *session, depends);
                Answer::Done
            }
            Query::TicketAdd { ticket, query, known } => {
                let again = || {
                    let (ticket, query) = (ticket.clone(), query.clone());
                    Query::TicketAdd { ticket, query, known: None }
                };
                if let Some(unrated) = self.unrated(ticket, known, again) {
                    return Some(unrated);
                }
                match self.add_to_pool(ticket, query, known) {
                    Ok(id) => Answer::Ticket(id),
                    Err(error) => Answer::Refused(error),
                }
            }
            Query::TicketRemove { ticket, owner } => match self.remove_ticket_of(*ticket, *owner) {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Refused(ticket_error(error)),
            },
            Query::Queue(query) => self.answer_queue(query),
            Query::Pool(query) => self.answer_pool(query),
            Query::MatchmakerStats => Answer::MatchmakerStats(MatchmakerStats {
                tickets: self.pool.len() + self.declared.len(),
                oldest: self.pool.oldest(),
                completions: self.completions.iter().copied().collect(),
            }),
            Query::Operator(OperatorQuery::Try(name, client)) => {
                match self.lockouts.begin(name, *client, self.now.monotonic) {
                    Ok(()) => Answer::Done,
                    Err(wait) => Answer::Refused(locked_out(wait)),
                }
            }
            Query::Operator(OperatorQuery::Passed(name, client)) => {
                self.lockouts.passed(name, *client);
                Answer::Done
            }
            Query::Operator(OperatorQuery::Untried(name, client)) => {
                self.lockouts.untried(name, *client);
                Answer::Done
            }
            Query::Owners(_)
            | Query::Login(_)
            | Query::Refresh(_)
            | Query::Guarded { .. }
            | Query::Users(_)
            | Query::MatchResult(_)
            | Query::Standing { .. }
            | Query::History(_)
            | Query::SignedIn { .. }
            | Query::SetDisabled { .. }
            | Query::Operator(_)
            | Query::Board(_)
            | Query::Party(_)
            | Query::Storage(_)
            | Query::Erase { .. }
            | Query::EraseEnd { .. }
            | Query::Erasures { .. }
            | Query::Prepare(_) => return None,
        })
    }

    /// A session opens.
    fn open(&mut self, me: &Presence, online: bool, depends: &Depends) -> Answer {
        let user = me.user_id;
        if self.config.single_socket {
            self.kick(user, Some(notification::Code::SingleSocket), depends);
        } else if self
            .statuses
            .get(&user)
            .is_some_and(|s| s.sessions().len() >= SESSIONS_PER_USER_MAX)
        {
            return Answer::Refused(Error::exhausted("The user has too many sockets."));
        }
        let command = status::Command::Open { session: me.session_id };
        self.apply_status(user, command, depends);
        if online {
            self.set_status(me, Some(String::new()), depends);
        }
        Answer::Done
    }

    /// Ends every session of the user that is open here. They leave the status when they are over.
    pub(crate) fn kick(
        &mut self,
        user: UserId,
        notice: Option<notification::Code>,
        depends: &Depends,
    ) {
        let Some(status) = self.statuses.get(&user) else { return };
        let sessions = status.sessions().to_vec();
        let text = notice.map(|code| {
            let id = NotificationId::random(&mut self.rng);
            let content = "{}".into();
            let notification = Notification { id, code, content, create_time: self.now.wall };
            Bytes::from(api::realtime::event(&Event::Notification(notification)))
        });
        for session in sessions {
            if let Some(home) = self.config.placement.of_session(session) {
                self.send(home, Message::End { session, text: text.clone() }, depends);
            }
        }
    }

    fn set_status(&mut self, me: &Presence, text: Option<String>, depends: &Depends) {
        let command = match text {
            Some(text) => status::Command::Set { presence: me.clone(), text },
            None => status::Command::Clear { session: me.session_id },
        };
        self.apply_status(me.user_id, command, depends);
    }

    pub(crate) fn apply_status(
        &mut self,
        user: UserId,
        command: status::Command,
        depends: &Depends,
    ) {
        let status = self.statuses.entry(user).or_default();
        let mut effects = Vec::new();
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        status.apply(ctx, command);
        if status.is_empty() {
            self.statuses.remove(&user);
        }
        self.deliver(effects, depends);
    }

    fn follow(&mut self, session: SessionId, users: &[UserId], depends: &Depends) -> Answer {
        let mut present: Vec<StatusPresence> = Vec::new();
        for user in users {
            self.apply_status(*user, status::Command::Follow { session }, depends);
            if let Some(status) = self.statuses.get(user) {
                present.extend_from_slice(status.online());
            }
        }
        Answer::Statuses(present)
    }

    fn join_match(
        &mut self,
        id: MatchId,
        me: &Presence,
        entry: Entry,
        depends: &Depends,
    ) -> Answer {
        if entry == Entry::Existing && !self.relays.contains_key(&id) {
            return Answer::Refused(relay::Error::NotFound.into());
        }
        let is_new = !self.relays.contains_key(&id);
        let relay = self.relays.entry(id).or_insert_with(|| Relay::new(id));
        let mut effects = Vec::new();
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        let joined = relay.join(ctx, me.clone());
        self.deliver(effects, depends);
        match joined {
            Ok(joined) => {
                self.trace_join(id, is_new);
                Answer::Joined(joined)
            }
            Err(error) => Answer::Refused(error.into()),
        }
    }

    pub(crate) fn leave_match(&mut self, id: MatchId, session: SessionId, depends: &Depends) {
        let Some(relay) = self.relays.get_mut(&id) else {
            return;
        };
        let mut effects = Vec::new();
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        relay.leave(ctx, session);
        if relay.is_empty() {
            self.relays.remove(&id);
            if let Some(MatchTrace { begun, joins }) = self.traced_matches.remove(&id) {
                self.output(Output::MatchOver { id, begun, joins }, depends);
            }
        }
        self.deliver(effects, depends);
    }
}

pub(crate) fn change(effect: Effect) -> Option<base::Change> {
    match effect {
        Effect::Change(change) => Some(change),
        Effect::Push { .. } | Effect::Party { .. } => None,
    }
}

/// Applies a question to the durable entities.
fn answer_durable(
    ctx: &mut Ctx<'_>,
    statuses: &BTreeMap<UserId, Status>,
    is_here: &dyn Fn(UserId) -> bool,
    query: &Query,
) -> Applied<Answer, Refusal> {
    match query {
        Query::Owners(aliases) => {
            let found =
                all(aliases.iter().map(|alias| alias::find(ctx, alias).map_err(Stop::never)));
            found.map(Answer::Owners)
        }
        Query::Login(user) => login(ctx, *user),
        Query::Refresh(bearer) => {
            let user = guard(ctx, bearer, session::Check::Everything)?;
            Ok(Answer::Login(user.map(Login::of)))
        }
        Query::Guarded { bearer, check, errand } => {
            let user = guard(ctx, bearer, *check)?;
            if user.is_none() && *check == session::Check::WholeUserOnly {
                return Err(Stop::Refused(Refusal::Revoked)); // nobody is there for a socket
            }
            match errand {
                Errand::Nothing => Ok(Answer::Done),
                Errand::Account => {
                    let user = user.map(|user| view(statuses, bearer.user_id, user));
                    Ok(Answer::Account(user))
                }
                Errand::Logout(tokens) => {
                    session::revoke(ctx, bearer.user_id, tokens).map_err(|s| s.map(Into::into))?;
                    Ok(Answer::Done)
                }
                Errand::LogoutAll => {
                    session::revoke_all(ctx, bearer.user_id).map_err(Stop::never)?;
                    Ok(Answer::Done)
                }
            }
        }
        Query::Users(users) => {
            all(users.iter().map(|user| view_user(ctx, statuses, *user))).map(Answer::Users)
        }
        Query::SignedIn { user, signed_in } => {
            let user = account::sign_in(ctx, *user, signed_in);
            Ok(Answer::Login(Some(Login::of(user.map_err(|stop| stop.map(Into::into))?))))
        }
        Query::SetDisabled { user, is_disabled } => {
            account::set_disabled(ctx, *user, *is_disabled).map_err(Stop::never)?;
            Ok(Answer::Done)
        }
        Query::Operator(query) => about_operators(ctx, query),
        Query::MatchResult(ending) => {
            let found = result::find(ctx, ending).map_err(|stop| stop.map(Into::into))?;
            Ok(Answer::MatchResult(found.map(Box::new)))
        }
        Query::Standing { user, queue } => {
            let account = account::read(ctx, *user).map_err(Stop::never);
            let standing = result::standing(ctx, *user, queue, false).map_err(Stop::never);
            let is_there = account?.is_some();
            Ok(Answer::Standing(*user, Standing { is_there, ..standing? }))
        }
        Query::History(HistoryWish { queue, user, before, limit }) => {
            let page = result::history(ctx, *user, queue, *before, *limit).map_err(Stop::never)?;
            Ok(Answer::History(page))
        }
        Query::Storage(query) => storage::answer(ctx, is_here, query),
        Query::Erase { user } => {
            let has_more = is_here(*user) && erasure::step(ctx, *user).map_err(Stop::never)?;
            Ok(Answer::Erased { has_more })
        }
        Query::EraseEnd { user } => {
            erasure::end(ctx, *user);
            Ok(Answer::Done)
        }
        Query::Erasures { after } => {
            let page = erasure::list(ctx, is_here, *after).map_err(Stop::never)?;
            Ok(Answer::Erasures(page))
        }
        Query::Prepare(claim) => prepare(ctx, claim),
        Query::Open { .. }
        | Query::SetStatus { .. }
        | Query::Follow { .. }
        | Query::Unfollow { .. }
        | Query::MatchJoin { .. }
        | Query::MatchLeave { .. }
        | Query::Board(_)
        | Query::Party(_)
        | Query::TicketAdd { .. }
        | Query::MatchmakerStats
        | Query::Queue(_)
        | Query::Pool(_)
        | Query::TicketRemove { .. } => Ok(Answer::Done),
    }
}

/// What was found, once everything was looked for: all keys that are missing are missed at once.
fn all<T>(
    looked_for: impl Iterator<Item = Applied<Option<T>, Refusal>>,
) -> Applied<Vec<T>, Refusal> {
    let mut found = Vec::new();
    let mut is_missing = false;
    for one in looked_for {
        match one {
            Ok(one) => found.extend(one),
            Err(Stop::Unavailable) => is_missing = true,
            Err(stop) => return Err(stop),
        }
    }
    if is_missing { Err(Stop::Unavailable) } else { Ok(found) }
}

fn login(ctx: &mut Ctx<'_>, user: UserId) -> Applied<Answer, Refusal> {
    let found = account::read(ctx, user).map_err(Stop::never)?;
    Ok(Answer::Login(found.map(Login::of)))
}

/// Lets the bearer of a token pass that is still good, and gives the account, if it is there: that
/// may have been banned a moment before the token was signed on another core.
pub(crate) fn guard(
    ctx: &mut Ctx<'_>,
    bearer: &session::Bearer,
    check: session::Check,
) -> Applied<Option<User>, Refusal> {
    let is_valid = session::is_valid(ctx, bearer, check).map_err(Stop::never);
    let user = account::read(ctx, bearer.user_id).map_err(Stop::never)?;
    match is_valid? && !user.as_ref().is_some_and(User::is_disabled) {
        true => Ok(user),
        false => Err(Stop::Refused(Refusal::Revoked)),
    }
}

/// A user as others see them, with what their sessions say.
fn view(statuses: &BTreeMap<UserId, Status>, id: UserId, user: User) -> UserView {
    let online = statuses.get(&id).is_some_and(|status| !status.online().is_empty());
    UserView { id, user, online }
}

fn view_user(
    ctx: &mut Ctx<'_>,
    statuses: &BTreeMap<UserId, Status>,
    id: UserId,
) -> Applied<Option<UserView>, Refusal> {
    let found = account::read(ctx, id).map_err(Stop::never)?;
    Ok(found.map(|user| view(statuses, id, user)))
}

/// Prepares a claim: its changes are taken out of the effects and held.
fn prepare(ctx: &mut Ctx<'_>, claim: &Claim) -> Applied<Answer, Refusal> {
    match claim {
        Claim::Take { alias, user } => alias::claim(ctx, alias, *user).map_err(|stop| {
            stop.map(|error| match error {
                alias::Error::Taken(kind, owner) => Refusal::Taken(kind, owner),
                other => other.into(),
            })
        })?,
        Claim::Release { alias, user } => {
            if !alias::release(ctx, alias, *user).map_err(Stop::never)? {
                return Err(Stop::Refused(Refusal::Changed));
            }
        }
        Claim::Create(new) => account::create(ctx, new),
        Claim::Edit(change) => {
            let AccountEdit { user, bearer, edit, plan } = &**change;
            if let Some(bearer) = bearer {
                guard(ctx, bearer, session::Check::Everything)?;
            }
            account::edit(ctx, *user, edit, plan).map_err(|stop| {
                stop.map(|error| match error {
                    account::Error::Changed => Refusal::Changed,
                    other => other.into(),
                })
            })?;
            if *edit == account::Edit::Delete {
                result::forget(ctx, *user).map_err(Stop::never)?;
                erasure::begin(ctx, *user);
            }
        }
        Claim::Result { ending, result } => {
            result::keep(ctx, ending, result).map_err(result_changed)?;
        }
        Claim::Rate(outcome) => {
            if account::read(ctx, outcome.user).map_err(Stop::never)?.is_none() {
                return Err(Stop::Refused(Refusal::Changed));
            }
            result::apply(ctx, outcome).map_err(result_changed)?;
        }
        Claim::Belongings(belongings) => return belongings::prepare(ctx, belongings),
        Claim::LedgerForget { user, id } => belongings::forget(ctx, *user, *id)?,
        Claim::SetDisabled { user, is_disabled } => {
            if !account::set_disabled(ctx, *user, *is_disabled).map_err(Stop::never)? {
                return Err(Stop::Refused(account::Error::NotFound.into()));
            }
        }
        Claim::Operate(operate) => {
            let Operate { bearer, needed, edit, entry } = &**operate;
            // Held by the change before, as a rule: what waits for it has read nothing else.
            let number = operator::audit::next_number(ctx).map_err(Stop::never)?;
            operator::account::check(ctx, bearer, *needed).map_err(|s| s.map(Into::into))?;
            match edit {
                None => {}
                Some(OperatorEdit::Account(edit)) => {
                    operator::account::edit(ctx, edit).map_err(|stop| stop.map(Into::into))?;
                }
                Some(OperatorEdit::Queue(edit)) => {
                    operator::queue::edit(ctx, edit).map_err(|stop| stop.map(Into::into))?;
                }
            }
            operator::audit::append(ctx, number, entry);
        }
    }
    Ok(Answer::Done)
}

fn result_changed(stop: Stop<result::Error>) -> Stop<Refusal> {
    stop.map(|error| match error {
        result::Error::Changed => Refusal::Changed,
        result::Error::Differs => error.into(),
    })
}

/// What is known of operators.
fn about_operators(ctx: &mut Ctx<'_>, query: &OperatorQuery) -> Applied<Answer, Refusal> {
    Ok(match query {
        OperatorQuery::Find(name) => {
            let found = operator::account::find(ctx, name).map_err(Stop::never)?;
            Answer::Operators(found.into_iter().collect())
        }
        OperatorQuery::Check { bearer, needed } => {
            operator::account::check(ctx, bearer, *needed).map_err(|s| s.map(Into::into))?;
            Answer::Done
        }
        OperatorQuery::List => {
            Answer::Operators(operator::account::list(ctx).map_err(Stop::never)?)
        }
        OperatorQuery::Audit(wanted) => {
            Answer::Audit(operator::audit::list(ctx, wanted).map_err(Stop::never)?)
        }
        OperatorQuery::Queues => Answer::Queues(operator::queue::list(ctx).map_err(Stop::never)?),
        OperatorQuery::Try(..) | OperatorQuery::Passed(..) | OperatorQuery::Untried(..) => {
            Answer::Done
        }
    })
}

fn locked_out(wait: Duration) -> Error {
    let secs = wait.as_secs() + 1;
    let text = format!("Too many failed sign-ins; try again in {secs} s.");
    Error::new(Code::ResourceExhausted, text)
}
