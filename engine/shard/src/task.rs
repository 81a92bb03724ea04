//! Tasks: from a decoded request, step by step, to its answer.
//!
//! A task lives on the shard that took the request. Each step is questions to homes and a named
//! state in which their answers are awaited; one deadline covers all of them.

use api::Error;
use api::http::Response;
use api::ops::{Auth, Door, Operation, Rate};
use api::reply::Reply;
use api::request::Request;
use base::limits::{
    HELD_OUTPUTS_MAX, PASSWORDS_FULL, TASK_DEADLINE, TASKS_MAX, USERS_PER_BAN_MAX,
    USERS_PER_REQUEST_MAX,
};
use base::{Code, Instant, MatchId, Secret, SessionId, ShardId, UserId};
use domain::identity::account::Edit;
use domain::identity::alias::{Alias, Kind as AliasKind};
use domain::identity::password;
use domain::identity::provider::{Profile, Refusal};
use domain::identity::session::{Bearer, Check};
use domain::identity::token::Claims;

use crate::connection::Handshake;
use crate::edit::Wanted;
use crate::identity::{invalid_user_id, parse_names, parse_users};
use crate::message::{Answer, Errand, Message, Query, TaskId};
use crate::operator::Operating;
use crate::output::{Done, Output, PasswordOutcome, PasswordWork};
use crate::party::page;
use crate::session::KICKED;
use crate::sign_in::{rejected, user_not_found};
use crate::state::State;
use crate::trace::Trace;
use crate::view::Depends;
use crate::{Shard, Timer};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) origin: Origin,
    row: &'static Operation,
    pub(crate) state: State,
    /// Answers that the state still waits for.
    pub(crate) awaited: usize,
    /// Everything that any step depended on.
    pub(crate) depends: Depends,
    begun: Instant,
    pub(crate) trace: Option<Box<Trace>>,
}

/// Who asked, and where the answer goes.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// An HTTP connection of this core; `home` is for a session that it may open.
    Http { connection: u64, home: ShardId },
    /// A realtime session of this shard.
    Session { session: SessionId, cid: String },
    /// Server code.
    Call { call: u64 },
}

/// How a step ends.
pub(crate) enum Step {
    /// More answers are awaited, in this state.
    Wait(State),
    Done(Reply),
    Fail(Error),
    /// There is no answer, or it was given in another form. What came of the request is counted.
    Ended(Result<(), Code>),
}

impl Shard {
    pub(crate) fn begin_task(
        &mut self,
        origin: Origin,
        row: &'static Operation,
        bearer: Option<Bearer>,
        request: Request,
    ) {
        let Some(task) = self.insert_task(origin, row, &Depends::default()) else {
            return;
        };
        let has_hook = self.config.hooks.before.contains(row.name);
        let step = match (has_hook, bearer) {
            (false, _) => self.first_step(task, bearer, request),
            (true, None) => {
                self.run_before_hook(task, row, request);
                Step::Wait(State::Hook { caller: None })
            }
            (true, Some(bearer)) => {
                self.ask_guarded(task, bearer, Errand::Nothing);
                Step::Wait(State::HookGuard { request, bearer })
            }
        };
        self.finish_step(task, step);
    }

    pub(crate) fn insert_task(
        &mut self,
        origin: Origin,
        row: &'static Operation,
        depends: &Depends,
    ) -> Option<u64> {
        let number = self.next_task;
        self.next_task += 1;
        let begun = self.now.monotonic;
        let is_full = row.rate != Rate::Free
            && (self.tasks.len() >= TASKS_MAX || self.held.len() >= HELD_OUTPUTS_MAX);
        if let (Auth::Handshake, Origin::Http { connection, .. }) = (row.auth, &origin) {
            self.handshakes.insert(*connection, Handshake::Asked(number));
        }
        let state = State::New;
        let depends = depends.clone();
        let trace = self.sample();
        self.tasks.insert(number, Task { origin, row, state, awaited: 0, depends, begun, trace });
        self.timers.set(begun.after(TASK_DEADLINE), Timer::Task(number));
        if is_full {
            self.finish_step(
                number,
                Step::Fail(Error::exhausted("Too many requests are under way.")),
            );
            return None;
        }
        Some(number)
    }

    /// Has something done outside, which the task waits for.
    pub(crate) fn output_of(&mut self, task: u64, output: Output) {
        let depends = self.depends_of(task);
        self.output(output, &depends);
        if let Some(task) = self.tasks.get_mut(&task) {
            task.awaited += 1;
        }
    }

    /// Has a password hashed or compared.
    pub(crate) fn ask_password(&mut self, task: u64, door: Door, work: PasswordWork) {
        self.output_of(task, Output::Password { call: task, door, work });
    }

    // Answers from outside.

    pub(crate) fn handle_password(&mut self, call: u64, outcome: PasswordOutcome) {
        let Some(state) = self.take_state(call) else { return };
        let step = match (state, outcome) {
            (State::Password { .. }, PasswordOutcome::Wrong) => {
                Step::Fail(password::Error::Wrong.into())
            }
            (State::Password { user, hash, sign_in }, PasswordOutcome::Right { rehashed }) => {
                self.password_is_right(call, user, hash, *sign_in, rehashed)
            }
            (State::HashForCreation { mut sign_in }, PasswordOutcome::Hashed(hash)) => {
                sign_in.hash = Some(Secret(hash));
                self.create(call, sign_in)
            }
            (State::HashForLink { bearer, alias }, PasswordOutcome::Hashed(hash)) => {
                self.link_email(call, bearer, alias, hash)
            }
            (State::Operator(operating), outcome) => {
                self.operating_password(call, operating, outcome)
            }
            (state, PasswordOutcome::Busy) => {
                if matches!(state, State::Password { .. }) {
                    self.passwords_full_until = self.now.monotonic.after(PASSWORDS_FULL);
                }
                Step::Fail(too_many_passwords())
            }
            (state, outcome) => unexpected(&state, &outcome),
        };
        self.finish_step(call, step);
    }

    pub(crate) fn handle_reported(&mut self, call: u64, outcome: Result<Reply, Error>) {
        if self.take_state(call).is_some() {
            self.finish_step(call, outcome.map_or_else(Step::Fail, Step::Done));
        }
    }

    pub(crate) fn handle_proof(&mut self, call: u64, outcome: Result<Profile, Refusal>) {
        let Some(state) = self.take_state(call) else { return };
        let step = match (state, outcome) {
            (State::Proof(proven), Ok(profile)) => self.sign_in_as(call, *proven, profile),
            (State::EditProof { bearer, kind, then }, Ok(profile)) => {
                self.edit_as(call, bearer, kind, then, &profile)
            }
            (_, Err(Refusal::Busy)) => {
                Step::Fail(Error::exhausted("Too many credentials wait for their provider."))
            }
            (_, Err(Refusal::Unavailable)) => {
                Step::Fail(Error::new(Code::Unavailable, "The provider does not answer."))
            }
            // Nakama has a code of its own for this one.
            (State::Proof(proven), Err(Refusal::Rejected))
                if proven.kind == AliasKind::FacebookInstantGame =>
            {
                Step::Fail(Error { code: Code::DataLoss, ..rejected() })
            }
            (_, Err(Refusal::Rejected)) => Step::Fail(rejected()),
            (state, outcome) => unexpected(&state, &outcome),
        };
        self.finish_step(call, step);
    }

    /// The state of a task that an answer has come for, unless the task is over.
    fn take_state(&mut self, call: u64) -> Option<State> {
        let task = self.tasks.get_mut(&call)?;
        task.awaited = task.awaited.saturating_sub(1);
        Some(std::mem::replace(&mut task.state, State::New))
    }

    // The steps.

    pub(crate) fn first_step(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        request: Request,
    ) -> Step {
        match request {
            Request::Root => Step::Done(Reply::Root),
            Request::Healthcheck => Step::Done(Reply::Empty),
            Request::Pong => Step::Ended(Ok(())),
            Request::Ping => Step::Done(Reply::Pong),
            Request::ServerKeysGet => {
                Step::Done(Reply::PublicKeys { json: self.config.server_keys.jwks() })
            }
            Request::Authenticate(request) => self.authenticate_with(task, request),
            Request::AccountUpdate(update) => {
                self.begin_edit(task, bearer, Shard::wanted_update(update))
            }
            Request::AccountDelete => self.begin_edit(task, bearer, Ok(Wanted::Edit(Edit::Delete))),
            Request::Link(credentials) => {
                let wanted = self.wanted_link(credentials);
                self.begin_edit(task, bearer, wanted)
            }
            Request::Unlink(credentials) => {
                let wanted = self.wanted_unlink(credentials);
                self.begin_edit(task, bearer, wanted)
            }
            Request::AccountExport { user } => {
                self.ask(task, self.config.placement.of_user(user), Query::Users(vec![user]));
                Step::Wait(State::Export)
            }
            Request::UsersBan { users } => self.disable(task, users, true),
            Request::UsersUnban { users } => self.disable(task, users, false),
            Request::ServerTokenGet { audience } => {
                let Some(bearer) = bearer else {
                    return Step::Fail(invalid_token());
                };
                self.server_token(task, bearer, audience)
            }
            Request::SessionRefresh { token, vars } => self.refresh(task, &token.0, vars),
            Request::SocketOpen(open) => self.ask_handshake(task, open),
            Request::SessionLogout { token, refresh_token } => {
                let Some(bearer) = bearer else {
                    return Step::Fail(invalid_token());
                };
                self.logout(task, bearer, &token.0, &refresh_token.0)
            }
            Request::AccountGet => {
                let Some(bearer) = bearer else {
                    return Step::Fail(invalid_token());
                };
                self.ask_guarded(task, bearer, Errand::Account);
                Step::Wait(State::Account)
            }
            Request::UsersGet { ids, usernames, facebook_ids } => {
                let Some(bearer) = bearer else {
                    return Step::Fail(invalid_token());
                };
                if ids.len() + usernames.len() + facebook_ids.len() > USERS_PER_REQUEST_MAX {
                    let error = Error::invalid("Too many users are asked for at once.");
                    return self.refuse_after_guard(task, bearer, error);
                }
                let Some(ids) = parse_users(&ids) else {
                    return self.refuse_after_guard(task, bearer, invalid_user_id());
                };
                let mut aliases = parse_names(&usernames);
                let facebook = |id: &String| Alias::provided(AliasKind::Facebook, id).ok();
                aliases.extend(facebook_ids.iter().filter_map(facebook));
                self.ask_guarded(task, bearer, Errand::Nothing);
                Step::Wait(State::UsersGuard { ids, aliases })
            }
            Request::MatchmakerStatsGet => {
                let Some(bearer) = bearer else { return Step::Fail(invalid_token()) };
                self.ask_guarded(task, bearer, Errand::Nothing);
                Step::Wait(State::MatchmakerStatsGuard)
            }
            Request::Storage(request) => self.begin_storage(task, bearer, request),
            Request::PartyList(list) => self.list_parties(task, bearer, list),
            Request::Board { board, act } => self.begin_board(task, bearer, board, act),
            Request::Tournaments(filter) => self.list_tournaments(task, bearer, filter),
            Request::Console(request) => self.begin_operating(task, request),
            Request::StatusFollow { .. }
            | Request::StatusUnfollow { .. }
            | Request::StatusUpdate { .. }
            | Request::MatchmakerAdd(_)
            | Request::MatchmakerRemove { .. }
            | Request::Rpc { .. }
            | Request::MatchCreate { .. }
            | Request::MatchJoin { .. }
            | Request::MatchLeave { .. }
            | Request::MatchDataSend(_)
            | Request::PartyCreate(_)
            | Request::Party { .. } => match self.origin(task) {
                Some(Origin::Session { session, .. }) => self.session_step(task, session, request),
                _ => Step::Fail(Error::new(Code::Unimplemented, "Only a socket can ask for this.")),
            },
        }
    }

    /// An answer has come: the next step, once every awaited answer is there.
    pub(crate) fn resume_task(&mut self, number: u64, answer: Answer, depends: &Depends) {
        let Some(task) = self.tasks.get_mut(&number) else {
            return self.erasure_step(number, &answer, depends);
        };
        task.depends.merge(depends);
        task.awaited = task.awaited.saturating_sub(1);
        let is_last = task.awaited == 0;
        let row = task.row;
        let state = std::mem::replace(&mut task.state, State::New);
        let step = match (state, answer) {
            // A batch that is refused has held something: it has a way of its own to end.
            (State::Batch(batch), answer) => self.batch_step(number, batch, answer),
            (State::Rated(rated), answer) => self.rated_step(number, rated, answer, is_last),
            (state, Answer::Unrated(unrated)) => self.find_ratings(number, unrated, state),
            (State::SessionOpen, Answer::Refused(_)) => {
                self.refuse_session(number, "server is overloaded");
                Step::Ended(Err(Code::ResourceExhausted))
            }
            (State::SessionOpen, Answer::Revoked) => {
                self.refuse_session(number, KICKED);
                Step::Ended(Err(Code::Unauthenticated))
            }
            (State::MatchJoin { id, .. }, Answer::Refused(error)) => {
                self.forget_match(number, id);
                Step::Fail(error)
            }
            (State::Rpc(_), Answer::Refused(error)) => Step::Fail(error.of_function()),
            (_, Answer::Refused(error)) => Step::Fail(error),
            (State::SocketGuard { .. }, Answer::Revoked) => self.refuse_handshake(number, 401),
            (_, Answer::Revoked) => Step::Fail(invalid_token()),

            (State::Refusal { error }, Answer::Done) => Step::Fail(error),
            (State::HookGuard { request, bearer }, Answer::Done) => {
                self.run_before_hook(number, row, request);
                Step::Wait(State::Hook { caller: Some(bearer) })
            }
            (State::Lookup { sign_in }, Answer::Owners(found)) => {
                self.looked_up(number, sign_in, found.first().copied())
            }
            (State::Login { user, sign_in }, Answer::Login(Some(login))) => {
                self.check_login(number, user, sign_in, login)
            }
            (State::Login { .. } | State::Refresh { .. }, Answer::Login(None))
            | (State::Account | State::ServerToken { .. }, Answer::Account(None)) => {
                Step::Fail(user_not_found())
            }
            (State::SignedIn { user, vars }, Answer::Login(Some(login))) => {
                Step::Done(self.new_session(user, login.username, vars, false))
            }
            (State::EditGuard { bearer, wanted }, Answer::Done) => {
                self.go_on_editing(number, bearer, *wanted)
            }
            (State::Edit(editing), Answer::Users(found)) => {
                self.plan_edit(number, editing, found.first().map(|view| &view.user))
            }
            (State::Export, Answer::Users(found)) => match found.first() {
                Some(user) => self.begin_export(number, user.clone(), None),
                None => Step::Fail(user_not_found()),
            },
            (State::Disable, Answer::Done) if is_last => Step::Done(Reply::Empty),
            (State::Disable, Answer::Done) => Step::Wait(State::Disable),
            (State::ServerToken { audience }, Answer::Account(Some(found))) => {
                Step::Done(self.server_token_reply(found.id, found.user.username, audience))
            }
            (State::Refresh { claims, vars }, Answer::Login(Some(login))) => {
                let vars = if vars.is_empty() { claims.vars } else { vars };
                let claims = Claims { username: login.username, vars, ..*claims };
                Step::Done(self.session_reply(claims, false))
            }
            (State::Account, Answer::Account(Some(user))) => Step::Done(Reply::Account { user }),
            (
                State::Logout
                | State::SetStatus
                | State::MatchLeave
                | State::Party(_)
                | State::TicketRemove,
                Answer::Done,
            ) => Step::Done(Reply::Empty),
            (State::Unfollow, Answer::Done) if is_last => Step::Done(Reply::Empty),
            (State::Unfollow, Answer::Done) => Step::Wait(State::Unfollow),
            (State::UsersGuard { ids, aliases }, Answer::Done) => {
                self.find_users(number, ids, aliases)
            }
            (State::UsersAliases { mut ids }, Answer::Owners(found)) => {
                ids.extend(found);
                if is_last {
                    self.read_users(number, ids)
                } else {
                    Step::Wait(State::UsersAliases { ids })
                }
            }
            (State::UsersRead { mut found }, Answer::Users(more)) => {
                found.extend(more);
                if is_last {
                    Step::Done(Reply::Users { users: found })
                } else {
                    Step::Wait(State::UsersRead { found })
                }
            }
            (State::SocketGuard { open, claims }, Answer::Done) => {
                self.grant_handshake(number, &open, claims)
            }
            (State::SessionOpen, Answer::Done) if is_last => Step::Ended(Ok(())),
            (State::SessionOpen, Answer::Done) => Step::Wait(State::SessionOpen),
            (State::FollowNames { session, mut ids }, Answer::Owners(found)) => {
                ids.extend(found);
                if is_last {
                    self.follow_users(number, session, ids)
                } else {
                    Step::Wait(State::FollowNames { session, ids })
                }
            }
            (State::Follow { mut present }, Answer::Statuses(more)) => {
                present.extend(more);
                if is_last {
                    Step::Done(Reply::Status { presences: present })
                } else {
                    Step::Wait(State::Follow { present })
                }
            }
            (State::MatchJoin { id, is_create }, Answer::Joined(joined)) => {
                self.trace_about(number, id); // now it is known that there is such a match
                let size = if is_create { joined.size } else { joined.present.len() };
                Step::Done(Reply::Match { joined, size })
            }
            (State::Storage(storing), answer) => {
                self.storage_step(number, *storing, answer, is_last)
            }
            (State::Board(boarding), answer) => self.board_step(number, *boarding, answer, is_last),
            (State::Operator(operating), answer) => {
                self.operating_step(number, row, operating, answer, is_last)
            }
            (State::Party(id), Answer::Ticket(ticket)) => {
                Step::Done(Reply::PartyTicket { address: self.party_address(id), ticket })
            }
            (State::Party(_), Answer::PartyCreated(view)) => Step::Done(Reply::Party { view }),
            (State::Party(_), Answer::PartyRequests(address, presences)) => {
                Step::Done(Reply::PartyRequests { address, presences })
            }
            (State::MatchmakerStatsGuard, Answer::Done) => {
                self.ask(number, self.config.placement.of_tickets(), Query::MatchmakerStats);
                Step::Wait(State::MatchmakerStats)
            }
            (State::MatchmakerStats, Answer::MatchmakerStats(stats)) => {
                Step::Done(Reply::MatchmakerStats(stats))
            }
            (State::PartiesGuard(listing), Answer::Done) => self.ask_for_parties(number, listing),
            (State::Parties { listing, mut found }, Answer::Parties(more)) => {
                found.extend(more);
                if is_last {
                    Step::Done(page(&listing, found))
                } else {
                    Step::Wait(State::Parties { listing, found })
                }
            }
            (State::Rpc(id), answer) => self.called(number, id, answer),
            (State::TicketAdd, Answer::Ticket(ticket)) => {
                Step::Done(Reply::MatchmakerTicket { ticket })
            }
            (state, answer) => unexpected(&state, &answer),
        };
        self.finish_step(number, step);
    }

    pub(crate) fn finish_step(&mut self, number: u64, step: Step) {
        let (result, outcome) = match step {
            Step::Wait(state) => return self.wait(number, state),
            Step::Done(reply) => (Some(Ok(reply)), Ok(())),
            Step::Fail(error) => {
                let code = error.code;
                (Some(Err(error)), Err(code))
            }
            Step::Ended(outcome) => (None, outcome),
        };
        let Some(mut task) = self.tasks.remove(&number) else {
            return;
        };
        self.timers.cancel(task.begun.after(TASK_DEADLINE), Timer::Task(number));
        if let Some(Ok(reply)) = &result {
            self.run_after_hook(number, task.row, reply, &task.depends);
        }
        // That a session registers with its user is no request: the one that opened its socket was.
        let is_request =
            task.row.auth != Auth::Handshake || matches!(task.origin, Origin::Http { .. });
        match task.origin {
            Origin::Http { connection, .. } => {
                if let Some(Handshake::Asked(_)) = self.handshakes.get(&connection) {
                    self.handshakes.remove(&connection); // refused, or failed
                }
                if let Some(result) = result {
                    let response = match &result {
                        Ok(reply) => Response::reply(reply),
                        Err(error) if task.row.auth == Auth::Handshake => {
                            Response::text(error.code.http_status(), &error.message)
                        }
                        Err(error) => Response::error(error),
                    };
                    self.respond(connection, response, &task.depends);
                }
            }
            Origin::Session { session, cid } => {
                self.end_session_task(session, &cid, result.as_ref(), &task.depends);
            }
            Origin::Call { call } => {
                if let Some(result) = result {
                    self.output(Output::Called { call, result }, &task.depends);
                }
            }
        }
        if is_request {
            if let Some(trace) = &mut task.trace {
                trace.end(self.now.monotonic);
            }
            let Task { row, begun, trace, depends, .. } = task;
            let done = Done { number, operation: Some(row), outcome, begun, trace };
            self.output(Output::Done(done), &depends);
        }
    }

    pub(crate) fn wait(&mut self, number: u64, state: State) {
        self.trace_wait(number, &state);
        if let Some(task) = self.tasks.get_mut(&number) {
            task.state = state;
        }
    }

    pub(crate) fn expire_task(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else {
            return;
        };
        let step = match std::mem::replace(&mut task.state, State::New) {
            State::Batch(batch) => {
                self.abandon(number, &batch);
                Step::Fail(Error::deadline())
            }
            State::SessionOpen => {
                self.refuse_session(number, "server is overloaded");
                Step::Ended(Err(Code::DeadlineExceeded))
            }
            State::Operator(Operating::Verify { login, .. }) => {
                self.take_back_try(number, &login);
                Step::Fail(Error::deadline())
            }
            _ => Step::Fail(Error::deadline()),
        };
        self.finish_step(number, step);
    }

    pub(crate) fn respond(&mut self, connection: u64, response: Response, depends: &Depends) {
        self.output(Output::Respond { connection, response }, depends);
    }

    /// Has a request counted that became no task.
    pub(crate) fn done_at_once(
        &mut self,
        operation: Option<&'static Operation>,
        outcome: Result<(), Code>,
    ) {
        let number = self.next_task;
        self.next_task += 1;
        let begun = self.now.monotonic;
        let done = Done { number, operation, outcome, begun, trace: None };
        self.output(Output::Done(done), &Depends::default());
    }

    /// The task's connection is gone, and nobody waits for its end.
    pub(crate) fn cancel_task(&mut self, number: u64) {
        self.finish_step(number, Step::Ended(Err(Code::Canceled)));
    }

    /// The request is wrong, but a token that is no longer good is told so first.
    pub(crate) fn refuse_after_guard(&mut self, task: u64, bearer: Bearer, error: Error) -> Step {
        self.ask_guarded(task, bearer, Errand::Nothing);
        Step::Wait(State::Refusal { error })
    }

    /// A session is not let in: its socket closes.
    fn refuse_session(&mut self, task: u64, reason: &'static str) {
        let Some(Task { origin: Origin::Session { session, .. }, depends, .. }) =
            self.tasks.get(&task)
        else {
            return;
        };
        let (session, depends) = (*session, depends.clone());
        self.close_session_when(session, reason, &depends);
    }

    fn disable(&mut self, task: u64, mut users: Vec<UserId>, is_disabled: bool) -> Step {
        users.sort_unstable();
        users.dedup();
        if users.len() > USERS_PER_BAN_MAX {
            return Step::Fail(Error::invalid("Too many accounts at once."));
        }
        for user in &users {
            let home = self.config.placement.of_user(*user);
            self.ask(task, home, Query::SetDisabled { user: *user, is_disabled });
        }
        if users.is_empty() { Step::Done(Reply::Empty) } else { Step::Wait(State::Disable) }
    }

    /// Asks a home; the task awaits one answer more.
    pub(crate) fn ask(&mut self, number: u64, home: ShardId, query: Query) {
        let Some(task) = self.tasks.get_mut(&number) else {
            return;
        };
        task.awaited += 1;
        let depends = task.depends.clone();
        if let Origin::Session { session, .. } = &task.origin
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.asked.merge(&depends);
        }
        let task = TaskId { shard: self.id, number };
        self.send(home, Message::Ask { task, query }, &depends);
    }

    pub(crate) fn origin(&self, task: u64) -> Option<Origin> {
        self.tasks.get(&task).map(|task| task.origin.clone())
    }

    /// Everything that any step of the task depended on so far.
    pub(crate) fn depends_of(&self, task: u64) -> Depends {
        self.tasks.get(&task).map(|task| task.depends.clone()).unwrap_or_default()
    }

    /// A join came to nothing: the session is not in the match.
    fn forget_match(&mut self, task: u64, id: MatchId) {
        if let Some(Task { origin: Origin::Session { session, .. }, .. }) = self.tasks.get(&task)
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.matches.remove(&id);
        }
    }

    pub(crate) fn ask_guarded(&mut self, task: u64, bearer: Bearer, errand: Errand) {
        let home = self.config.placement.of_user(bearer.user_id);
        self.ask(task, home, Query::Guarded { bearer, check: Check::Everything, errand });
    }
}

/// An answer that nobody waits for: a bug, and no reason to let the client wait.
fn unexpected(state: &State, answer: &dyn std::fmt::Debug) -> Step {
    debug_assert!(false, "{state:?} does not wait for {answer:?}");
    Step::Fail(Error::internal())
}

pub(crate) fn too_many_passwords() -> Error {
    Error::exhausted("Too many passwords wait to be checked.")
}

pub(crate) fn shutting_down() -> Error {
    Error::new(Code::Unavailable, "The server is shutting down.")
}

pub(crate) fn invalid_token() -> Error {
    Error::unauthenticated("Auth token invalid")
}
