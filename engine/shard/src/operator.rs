//! What operators do: their sign-in, the guard before every call, and their changes, each in one
//! batch with its entry of the audit trail.

use std::sync::Arc;

use api::Error;
use api::console::{BelongingsAct, Console, Login, OperatorUpdate, Report};
use api::convert::console as convert;
use api::ops::{Auth, Door, Operation};
use api::reply::Reply;
use base::limits::{BACKUP_NAME_MAX, EDIT_TRIES_MAX};
use base::{ClientAddress, Code, Frame, Secret, TicketId, UserId};
use domain::compete::board::NewBoard;
use domain::compete::leaderboard::{By, Wish};
use domain::identity::account::{self, Edit as AccountChange};
use domain::identity::password::{self, Password};
use domain::identity::token::OperatorClaims;
use domain::operator::account::{Edit, Operator, parse_name, parse_password};
use domain::operator::audit::AuditEntry;
use domain::operator::queue::{self, Queues};
use domain::operator::{Bearer, Role};
use domain::social::notification;

use crate::Shard;
use crate::batch::{Conflict, Purpose};
use crate::belongings::{self, Changed};
use crate::board::{self, BoardQuery};
use crate::identity::invalid_user_id;
use crate::message::{
    AccountEdit, Answer, Claim, Message, Operate, OperatorEdit, OperatorQuery, PoolQuery, Query,
};
use crate::output::{Output, PasswordOutcome, PasswordWork};
use crate::rating::Asker;
use crate::sign_in::user_not_found;
use crate::state::State;
use crate::task::{Step, too_many_passwords};

/// A call of an operator under way.
#[derive(Debug)]
pub(crate) enum Operating {
    /// Whose sign-in is it?
    Find(Box<Login>),
    /// Is another try allowed?
    Try { login: Box<Login>, found: Option<Operator> },
    /// Is it the password? Without an operator it only takes as long.
    Verify { login: Box<Login>, found: Option<Operator> },
    /// It is, and the failures before are being forgotten.
    Passed { login: Box<Login>, found: Operator },
    /// Too many passwords wait, and the try is being taken back.
    Untried,
    /// Is the token still good, and its role high enough?
    Guard { bearer: Bearer, request: Result<Box<Console>, Error> },
    /// A password is hashed for this change.
    Hash { change: Box<Change>, edit: Box<Edit> },
    /// What is the account like?
    Account { change: Box<Change>, user: UserId, tries: u32 },
    /// The operators, the audit trail or the matchmaker are asked.
    Read,
    /// What queues have operators defined? For the one of this id, or for all.
    Queues { id: Option<String> },
    /// The home of the tickets is told of a change, which is answered like this.
    Told(Reply),
    /// The process is asked.
    Report,
    /// Homes of boards are asked.
    Boards(board::Operated),
    /// Is there the board that is to be changed?
    FindBoard { change: Box<Change>, query: Box<BoardQuery> },
}

/// Who changes what, for the guard and the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    bearer: Bearer,
    needed: Role,
    request: Console,
    entry: AuditEntry,
}

/// What is left to do when a batch is emitted.
#[derive(Debug)]
pub(crate) struct Operated {
    reply: Reply,
    /// Whose sockets are closed, and what they are told first.
    kick: Option<(UserId, Option<notification::Code>)>,
    /// What to do again when the account changed meanwhile.
    again: Option<(Box<Change>, UserId, u32)>,
    /// What the process is asked then, whose answer is the reply.
    report: Option<Report>,
    /// What the matchmaker is asked then.
    pool: Option<PoolQuery>,
    /// The queue that is shown then.
    shown_queue: Option<String>,
    /// What the batch makes of the operators' queues, if it changes them.
    queues: Option<Arc<Queues>>,
    /// What homes of boards are asked then.
    boards: Vec<BoardQuery>,
    /// Whether one of them answers with a record.
    is_record: bool,
}

impl Operated {
    fn replying(reply: Reply) -> Operated {
        Operated {
            reply,
            kick: None,
            again: None,
            report: None,
            pool: None,
            shown_queue: None,
            queues: None,
            boards: Vec::new(),
            is_record: false,
        }
    }

    /// Looks at what the batch is going to write.
    pub(crate) fn note_written(&mut self, frames: &[Frame]) {
        self.queues = frames.iter().find_map(queue::written).map(Arc::new);
    }

    /// Looks at what the homes tell of it.
    pub(crate) fn note_changed(&mut self, changed: &[Changed]) {
        if let Some(reply) = belongings::written(changed) {
            self.reply = reply;
        }
    }
}

impl Shard {
    /// Begins a call that shows no token.
    pub(crate) fn begin_operating(&mut self, task: u64, request: Console) -> Step {
        match request {
            Console::Healthcheck => Step::Done(Reply::Empty),
            Console::Report(report) => self.report(task, report),
            Console::Login(mut login) => {
                // A name that nobody can have is nobody's.
                login.username = parse_name(&login.username).unwrap_or_default();
                if let Some(new) = &login.new_password
                    && let Err(error) = parse_password(&new.0)
                {
                    return Step::Fail(error.into());
                }
                self.ask_operators(task, OperatorQuery::Find(login.username.clone()));
                Step::Wait(State::Operator(Operating::Find(Box::new(login))))
            }
            Console::Logout
            | Console::OperatorsList
            | Console::OperatorCreate { .. }
            | Console::OperatorUpdate(_)
            | Console::OperatorDelete { .. }
            | Console::AuditList(_)
            | Console::AccountGet { .. }
            | Console::AccountExport { .. }
            | Console::AccountBan { .. }
            | Console::AccountUnban { .. }
            | Console::AccountDelete { .. }
            | Console::BackupStart { .. }
            | Console::TicketsList { .. }
            | Console::TicketExplain { .. }
            | Console::TicketRemove { .. }
            | Console::MatchmakerPause { .. }
            | Console::QueuesList
            | Console::QueueGet { .. }
            | Console::QueueWrite { .. }
            | Console::QueueDelete { .. }
            | Console::Server(_)
            | Console::MatchResultWrite(_)
            | Console::RatingGet { .. }
            | Console::RatingHistory(_)
            | Console::Belongings(_)
            | Console::BoardsDeclare(_)
            | Console::BoardsList { .. }
            | Console::BoardGet { .. }
            | Console::BoardUpdate { .. }
            | Console::BoardDelete { .. }
            | Console::BoardRecordsList { .. }
            | Console::BoardRecordWrite { .. }
            | Console::BoardStanding { .. }
            | Console::BoardRecordDelete { .. } => Step::Fail(dead_token()),
        }
    }

    /// It was no try: the password was not looked at.
    pub(crate) fn take_back_try(&mut self, task: u64, login: &Login) {
        let (name, client) = (login.username.clone(), from(login));
        self.ask_operators(task, OperatorQuery::Untried(name, client));
    }

    /// Begins a call whose token was verified; whether it is still good, its home knows.
    pub(crate) fn begin_guarded(
        &mut self,
        task: u64,
        row: &Operation,
        bearer: Bearer,
        request: Result<Console, Error>,
    ) -> Step {
        let check = OperatorQuery::Check { bearer: bearer.clone(), needed: needed(row) };
        self.ask_operators(task, check);
        let request = request.map(Box::new);
        Step::Wait(State::Operator(Operating::Guard { bearer, request }))
    }

    pub(crate) fn operating_step(
        &mut self,
        task: u64,
        row: &'static Operation,
        operating: Operating,
        answer: Answer,
        is_last: bool,
    ) -> Step {
        match (operating, answer) {
            (Operating::FindBoard { change, query }, Answer::Board(_)) => {
                self.commit_board(task, &change, *query)
            }
            (Operating::Boards(operated), Answer::Board(answer)) => {
                match Shard::operated_board(operated, answer, is_last) {
                    Ok(result) => result.map_or_else(Step::Fail, Step::Done),
                    Err(operated) => Step::Wait(State::Operator(Operating::Boards(operated))),
                }
            }
            (Operating::Find(login), Answer::Operators(found)) => {
                let found = found.into_iter().next();
                let (name, client) = (login.username.clone(), from(&login));
                self.ask_operators(task, OperatorQuery::Try(name, client));
                Step::Wait(State::Operator(Operating::Try { login, found }))
            }
            (Operating::Try { login, found }, Answer::Done) => {
                let Ok(password) = Password::parse(&login.password.0) else {
                    return Step::Fail(wrong_password());
                };
                let work = match &found {
                    Some(operator) => {
                        PasswordWork::Verify { password, hash: operator.password.clone() }
                    }
                    None => PasswordWork::Hash(password),
                };
                self.ask_password(task, Door::Operators, work);
                Step::Wait(State::Operator(Operating::Verify { login, found }))
            }
            (Operating::Passed { login, found }, Answer::Done) => {
                self.let_in(task, row, *login, found)
            }
            (Operating::Untried, Answer::Done) => Step::Fail(too_many_passwords()),
            (Operating::Guard { bearer, request }, Answer::Done) => match request {
                Ok(request) => self.operate(task, row, &bearer, &request),
                Err(error) => Step::Fail(error),
            },
            (Operating::Account { change, user, tries }, Answer::Users(found)) => {
                match found.into_iter().next() {
                    Some(view) => self.with_account(task, &change, user, tries, &view),
                    None => Step::Fail(user_not_found()),
                }
            }
            (Operating::Read, Answer::Operators(found)) => document(convert::operators(&found)),
            (Operating::Read, Answer::Audit(page)) => document(convert::audit(&page)),
            (Operating::Read, Answer::Done) => Step::Done(Reply::Empty),
            (Operating::Queues { id }, Answer::Queues(written)) => {
                self.show_queues(id.as_deref(), &written).map_or_else(Step::Fail, document)
            }
            (Operating::Told(reply), Answer::Done) => Step::Done(reply),
            (Operating::Read, Answer::Tickets { tickets, next, is_paused }) => {
                document(convert::tickets(&tickets, next, is_paused))
            }
            (Operating::Read, Answer::Explanation(explanation)) => {
                if explanation.is_whole() {
                    return document(convert::explanation(&explanation));
                }
                let ticket = explanation.listed.ticket.id;
                self.operate_pool(task, PoolQuery::Explain { ticket, so_far: Some(explanation) })
            }
            (Operating::Read, Answer::Document(json)) => document(json),
            (Operating::Read, Answer::QueuedTickets { tickets, next, is_paused }) => {
                document(api::convert::queue::tickets(&tickets, next, is_paused))
            }
            (Operating::Read, Answer::QueueExplanation(so_far)) => {
                if so_far.is_whole() {
                    return document(api::convert::queue::explanation(&so_far, true));
                }
                let ticket = so_far.ticket.id;
                let so_far = Some(so_far);
                self.operate_pool(task, PoolQuery::ExplainQueued { ticket, so_far })
            }
            (operating, answer) => {
                debug_assert!(false, "{operating:?} does not wait for {answer:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    pub(crate) fn operating_password(
        &mut self,
        task: u64,
        operating: Operating,
        outcome: PasswordOutcome,
    ) -> Step {
        match (operating, outcome) {
            (Operating::Verify { login, found: Some(found) }, PasswordOutcome::Right { .. }) => {
                let (name, client) = (login.username.clone(), from(&login));
                self.ask_operators(task, OperatorQuery::Passed(name, client));
                Step::Wait(State::Operator(Operating::Passed { login, found }))
            }
            (Operating::Verify { login, .. }, PasswordOutcome::Busy) => {
                self.take_back_try(task, &login);
                Step::Wait(State::Operator(Operating::Untried))
            }
            (Operating::Verify { .. }, _) => Step::Fail(wrong_password()),
            (Operating::Hash { .. }, PasswordOutcome::Busy) => Step::Fail(too_many_passwords()),
            (Operating::Hash { change, edit }, PasswordOutcome::Hashed(hash)) => {
                let edit = match *edit {
                    Edit::Create { name, role, .. } => Edit::Create { name, role, password: hash },
                    Edit::Change { name, role, is_disabled, .. } => {
                        Edit::Change { name, role, is_disabled, password: Some(hash) }
                    }
                    other => other,
                };
                self.change_operators(task, &change, edit)
            }
            (operating, outcome) => {
                debug_assert!(false, "{operating:?} does not wait for {outcome:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    /// The password was right.
    fn let_in(
        &mut self,
        task: u64,
        row: &'static Operation,
        login: Login,
        found: Operator,
    ) -> Step {
        let bearer = Bearer::SignedIn { name: found.name.clone(), generation: found.generation };
        let Some(new) = login.new_password.clone() else {
            let expiry = self.now.wall.secs() + self.config.operator_token_life.as_secs();
            let token = self.config.operator_keys.sign_operator(&OperatorClaims { bearer, expiry });
            return document(convert::session(&token));
        };
        let edit = Edit::Change { name: found.name, role: None, password: None, is_disabled: None };
        let target = login.username.clone();
        let change = change(row, bearer, Role::Viewer, Console::Login(login), target);
        self.hash_for(task, &change, edit, &new)
    }

    /// The guard has let the call pass.
    fn operate(
        &mut self,
        task: u64,
        row: &'static Operation,
        bearer: &Bearer,
        request: &Console,
    ) -> Step {
        if *bearer == Bearer::First && !matches!(request, Console::OperatorCreate { .. }) {
            return Step::Fail(domain::operator::account::Error::NotAllowed.into());
        }
        let change =
            |target: String| change(row, bearer.clone(), needed(row), request.clone(), target);
        match request {
            Console::Report(report) => self.report(task, report.clone()),
            Console::OperatorsList => {
                self.ask_operators(task, OperatorQuery::List);
                Step::Wait(State::Operator(Operating::Read))
            }
            Console::AuditList(wanted) => {
                self.ask_operators(task, OperatorQuery::Audit(wanted.clone()));
                Step::Wait(State::Operator(Operating::Read))
            }
            Console::Logout => match bearer {
                Bearer::SignedIn { name, .. } => {
                    let edit = Edit::EndTokens { name: name.clone() };
                    self.change_operators(task, &change(name.clone()), edit)
                }
                Bearer::Machine { .. } | Bearer::First => {
                    let text = "Only the token of a sign-in can be ended; this one ends by itself.";
                    Step::Fail(Error::new(Code::FailedPrecondition, text))
                }
            },
            Console::OperatorCreate { username, password, role } => {
                let (name, role) = match (parse_name(username), parse_role(role)) {
                    (Ok(name), Ok(role)) => (name, role),
                    (Err(error), _) => return Step::Fail(error.into()),
                    (_, Err(error)) => return Step::Fail(error),
                };
                let edit = Edit::Create { name: name.clone(), role, password: String::new() };
                self.hash_for(task, &change(name), edit, password)
            }
            Console::OperatorUpdate(update) => {
                let OperatorUpdate { username, password, role, is_disabled } = update;
                let role = match role.as_deref().map(parse_role).transpose() {
                    Ok(role) => role,
                    Err(error) => return Step::Fail(error),
                };
                if password.is_none() && role.is_none() && is_disabled.is_none() {
                    return Step::Fail(Error::invalid("Nothing to update."));
                }
                let name = username.to_ascii_lowercase();
                let is_disabled = *is_disabled;
                let edit = Edit::Change { name: name.clone(), role, password: None, is_disabled };
                match password {
                    Some(password) => self.hash_for(task, &change(name), edit, password),
                    None => self.change_operators(task, &change(name), edit),
                }
            }
            Console::OperatorDelete { username } => {
                let name = username.to_ascii_lowercase();
                let edit = Edit::Delete { name: name.clone() };
                self.change_operators(task, &change(name), edit)
            }
            Console::AccountBan { id } | Console::AccountUnban { id } => {
                let Some(user) = UserId::parse(id) else { return Step::Fail(invalid_user_id()) };
                let is_disabled = matches!(request, Console::AccountBan { .. });
                let kick = is_disabled.then_some((user, Some(notification::Code::Banned)));
                let operated = Operated { kick, ..Operated::replying(Reply::Empty) };
                let claims = vec![Claim::SetDisabled { user, is_disabled }];
                self.commit_change(task, &change(user.to_string()), None, claims, operated)
            }
            Console::AccountGet { id }
            | Console::AccountExport { id }
            | Console::AccountDelete { id } => {
                let Some(user) = UserId::parse(id) else { return Step::Fail(invalid_user_id()) };
                self.ask_account(task, Box::new(change(user.to_string())), user, 0)
            }
            Console::BackupStart { name } => {
                if !is_backup_name(name) {
                    return Step::Fail(Error::invalid(
                        "Name must be 1-64 letters, digits, '.', '_' or '-', and not begin with '.'.",
                    ));
                }
                let report = Some(Report::StartBackup(name.clone()));
                let operated = Operated { report, ..Operated::replying(Reply::Empty) };
                self.commit_change(task, &change(name.clone()), None, Vec::new(), operated)
            }
            Console::TicketsList { from, limit, queue } => {
                let (from, limit, queue) = (*from, *limit, queue.clone());
                self.operate_pool(task, PoolQuery::List { from, limit, queue })
            }
            Console::TicketExplain { id } => match TicketId::parse(id) {
                Some(ticket) => {
                    self.operate_pool(task, PoolQuery::Explain { ticket, so_far: None })
                }
                None => Step::Fail(invalid_ticket()),
            },
            Console::TicketRemove { id } => {
                let Some(ticket) = TicketId::parse(id) else { return Step::Fail(invalid_ticket()) };
                let pool = Some(PoolQuery::Remove(ticket));
                let operated = Operated { pool, ..Operated::replying(Reply::Empty) };
                let target = ticket.to_string();
                self.commit_change(task, &change(target), None, Vec::new(), operated)
            }
            Console::MatchmakerPause { is_paused } => {
                let pool = Some(PoolQuery::Pause(*is_paused));
                let operated = Operated { pool, ..Operated::replying(Reply::Empty) };
                self.commit_change(task, &change(String::new()), None, Vec::new(), operated)
            }
            Console::Server(act) => {
                self.operate_pool(task, PoolQuery::Server { act: act.clone(), known: None })
            }
            Console::MatchResultWrite(ending) => self.take_in_result(task, ending.clone()),
            Console::RatingGet { queue, user } => {
                self.read_rating(task, queue.clone(), *user, Asker::Operator)
            }
            Console::RatingHistory(wish) => self.read_history(task, wish.clone(), Asker::Operator),
            Console::Belongings(BelongingsAct::Update(update)) => {
                self.update_belongings(task, update.clone())
            }
            Console::Belongings(
                act @ (BelongingsAct::ObjectWrite(_)
                | BelongingsAct::ObjectDelete(_)
                | BelongingsAct::LedgerDelete { .. }),
            ) => match belongings::claims_of(act) {
                Ok((target, claims)) => {
                    let operated = Operated::replying(Reply::Empty);
                    self.commit_change(task, &change(target), None, claims, operated)
                }
                Err(error) => Step::Fail(error),
            },
            Console::Belongings(act) => self.read_belongings(task, act).unwrap_or_else(Step::Fail),
            Console::QueuesList => self.ask_queues(task, None),
            Console::QueueGet { id } => self.ask_queues(task, Some(id.clone())),
            Console::QueueWrite { id, definition, version } => {
                let edit = self.queue_edit(id, Some(definition), *version);
                self.change_queue(task, &change(id.clone()), edit)
            }
            Console::QueueDelete { id, version } => {
                let edit = self.queue_edit(id, None, *version);
                self.change_queue(task, &change(id.clone()), edit)
            }
            Console::BoardsDeclare(boards) => {
                let queries =
                    boards.iter().map(|new| BoardQuery::Create(Arc::new(self.begun(new))));
                let operated =
                    Operated { boards: queries.collect(), ..Operated::replying(Reply::Empty) };
                self.commit_change(task, &change(String::new()), None, Vec::new(), operated)
            }
            Console::BoardsList { after, limit } => {
                let operated = self.ask_boards(task, after, *limit);
                Step::Wait(State::Operator(Operating::Boards(operated)))
            }
            Console::BoardGet { id } => {
                self.ask_board(task, BoardQuery::Show { board: id.clone() });
                Step::Wait(State::Operator(Operating::Boards(board::Operated::Shown)))
            }
            Console::BoardRecordsList { id, wish } => {
                let (board, wish) = (id.clone(), wish.clone());
                self.ask_board(task, BoardQuery::List { board, wish, by: By::Server });
                Step::Wait(State::Operator(Operating::Boards(board::Operated::Records)))
            }
            Console::BoardStanding { id, owner, expiry } => {
                let (board, owners) = (id.clone(), vec![*owner]);
                let wish = Wish { owners, expiry: *expiry, ..Wish::default() };
                self.ask_board(task, BoardQuery::List { board, wish, by: By::Server });
                Step::Wait(State::Operator(Operating::Boards(board::Operated::Standing)))
            }
            Console::BoardUpdate { id, update } => {
                let query = BoardQuery::Update { board: id.clone(), update: update.clone() };
                self.change_board(task, &change(id.clone()), query)
            }
            Console::BoardDelete { id } => {
                let query = BoardQuery::DeleteBoard { board: id.clone() };
                self.change_board(task, &change(id.clone()), query)
            }
            Console::BoardRecordWrite { id, owner, write } => {
                let (board, owner, write) = (id.clone(), owner.clone(), write.clone());
                let query = BoardQuery::Write { board, owner, write, by: By::Server };
                self.change_board(task, &change(id.clone()), query)
            }
            Console::BoardRecordDelete { id, owner } => {
                let (board, owner) = (id.clone(), *owner);
                let query = BoardQuery::Delete { board, owner, by: By::Server };
                self.change_board(task, &change(id.clone()), query)
            }
            Console::Healthcheck | Console::Login(_) => Step::Fail(Error::internal()),
        }
    }

    fn ask_account(&mut self, task: u64, change: Box<Change>, user: UserId, tries: u32) -> Step {
        self.ask(task, self.config.placement.of_user(user), Query::Users(vec![user]));
        Step::Wait(State::Operator(Operating::Account { change, user, tries }))
    }

    /// The account is there.
    fn with_account(
        &mut self,
        task: u64,
        change: &Change,
        user: UserId,
        tries: u32,
        view: &api::reply::UserView,
    ) -> Step {
        match change.request {
            Console::AccountExport { .. } => {
                self.begin_export(task, view.clone(), Some(Box::new(change.clone())))
            }
            Console::AccountDelete { .. } => {
                let plan = match account::plan(&view.user, &AccountChange::Delete) {
                    Ok(plan) => plan,
                    Err(error) => return Step::Fail(error.into()),
                };
                let release = |alias| Claim::Release { alias, user };
                let mut claims: Vec<_> = plan.releases.iter().cloned().map(release).collect();
                let edit = AccountChange::Delete;
                claims.push(Claim::Edit(Box::new(AccountEdit { user, bearer: None, edit, plan })));
                let again = Some((Box::new(change.clone()), user, tries));
                let kick = Some((user, None));
                let operated = Operated { kick, again, ..Operated::replying(Reply::Empty) };
                self.commit_change(task, change, None, claims, operated)
            }
            _ => document(convert::account_view(view)),
        }
    }

    /// Whoever takes personal data away leaves a trace of it.
    pub(crate) fn commit_export(&mut self, task: u64, change: &Change, json: String) -> Step {
        let operated = Operated::replying(Reply::Document { json: json.into() });
        self.commit_change(task, change, None, Vec::new(), operated)
    }

    fn hash_for(&mut self, task: u64, change: &Change, edit: Edit, password: &Secret) -> Step {
        let password = match parse_password(&password.0) {
            Ok(password) => password,
            Err(error) => return Step::Fail(error.into()),
        };
        let work = PasswordWork::Hash(password);
        self.ask_password(task, Door::Operators, work);
        let (change, edit) = (Box::new(change.clone()), Box::new(edit));
        Step::Wait(State::Operator(Operating::Hash { change, edit }))
    }

    fn change_operators(&mut self, task: u64, change: &Change, edit: Edit) -> Step {
        let operated = Operated::replying(Reply::Empty);
        let edit = Some(OperatorEdit::Account(edit));
        self.commit_change(task, change, edit, Vec::new(), operated)
    }

    fn change_queue(&mut self, task: u64, change: &Change, edit: queue::Edit) -> Step {
        let shown_queue = edit.definition.is_some().then(|| edit.id.clone());
        let operated = Operated { shown_queue, ..Operated::replying(Reply::Empty) };
        self.commit_change(task, change, Some(OperatorEdit::Queue(edit)), Vec::new(), operated)
    }

    /// A board is to be changed, if it is there.
    fn change_board(&mut self, task: u64, change: &Change, query: BoardQuery) -> Step {
        let board = query.board().unwrap_or_default().to_owned();
        self.ask_board(task, BoardQuery::Show { board });
        let (change, query) = (Box::new(change.clone()), Box::new(query));
        Step::Wait(State::Operator(Operating::FindBoard { change, query }))
    }

    /// Its home changes it once the entry of the audit trail is on its way.
    fn commit_board(&mut self, task: u64, change: &Change, query: BoardQuery) -> Step {
        let is_record = matches!(query, BoardQuery::Write { .. });
        let operated =
            Operated { boards: vec![query], is_record, ..Operated::replying(Reply::Empty) };
        self.commit_change(task, change, None, Vec::new(), operated)
    }

    /// A board that was declared with times from this moment on.
    fn begun(&self, new: &NewBoard) -> NewBoard {
        let (mut new, now) = (new.clone(), self.now.wall.secs());
        if let Some(terms) = &mut new.tournament {
            terms.start_time += now;
            terms.end_time += if terms.end_time > 0 { now } else { 0 };
        }
        new
    }

    /// One batch: the change itself, the guard once more, and the entry of the audit trail.
    fn commit_change(
        &mut self,
        task: u64,
        change: &Change,
        edit: Option<OperatorEdit>,
        mut claims: Vec<Claim>,
        operated: Operated,
    ) -> Step {
        let Change { bearer, needed, entry, .. } = change.clone();
        claims.push(Claim::Operate(Box::new(Operate { bearer, needed, edit, entry })));
        self.begin_batch(task, Purpose::Operate(Box::new(operated)), claims)
    }

    /// The batch is on its way to the store.
    pub(crate) fn operated(&mut self, task: u64, operated: Operated) -> Step {
        if let Some((user, notice)) = operated.kick {
            let depends = self.depends_of(task);
            let home = self.config.placement.of_user(user);
            self.send(home, Message::Kick { user, notice }, &depends);
        }
        if let Some(queues) = operated.queues {
            return self.queues_changed(task, queues, operated.shown_queue.as_deref());
        }
        if !operated.boards.is_empty() {
            operated.boards.into_iter().for_each(|query| self.ask_board(task, query));
            let written = board::Operated::Written;
            let awaited = if operated.is_record { written } else { board::Operated::Declared };
            return Step::Wait(State::Operator(Operating::Boards(awaited)));
        }
        match (operated.report, operated.pool) {
            (Some(report), _) => self.report(task, report),
            (None, Some(query)) => self.operate_pool(task, query),
            (None, None) => Step::Done(operated.reply),
        }
    }

    pub(crate) fn resolve_operated(
        &mut self,
        task: u64,
        operated: Operated,
        conflict: Conflict,
    ) -> Step {
        match operated.again {
            Some((change, user, tries)) if tries < EDIT_TRIES_MAX => {
                self.ask_account(task, change, user, tries + 1)
            }
            _ => {
                debug_assert!(matches!(conflict, Conflict::Changed), "{conflict:?}");
                Step::Fail(account::Error::Changed.into())
            }
        }
    }

    fn report(&mut self, task: u64, report: Report) -> Step {
        self.output_of(task, Output::Report { call: task, report });
        Step::Wait(State::Operator(Operating::Report))
    }

    fn operate_pool(&mut self, task: u64, query: PoolQuery) -> Step {
        self.ask(task, self.config.placement.of_tickets(), Query::Pool(query));
        Step::Wait(State::Operator(Operating::Read))
    }

    fn ask_operators(&mut self, task: u64, query: OperatorQuery) {
        self.ask(task, self.config.placement.of_operators(), Query::Operator(query));
    }
}

fn change(
    row: &Operation,
    bearer: Bearer,
    needed: Role,
    request: Console,
    target: String,
) -> Change {
    let entry = AuditEntry {
        time: 0,
        actor: bearer.actor(),
        operation: row.name.to_owned(),
        target,
        detail: convert::detail(&request),
    };
    Change { bearer, needed, request, entry }
}

/// Where a sign-in comes from. The gateway always says it.
fn from(login: &Login) -> ClientAddress {
    login.client.unwrap_or(ClientAddress([0; 16]))
}

fn document(json: String) -> Step {
    Step::Done(Reply::Document { json: json.into() })
}

fn needed(row: &Operation) -> Role {
    match row.auth {
        Auth::Operator(role) => role,
        Auth::Open
        | Auth::ServerKey
        | Auth::Session
        | Auth::Runtime
        | Auth::Handshake
        | Auth::Operators => Role::Admin,
    }
}

fn invalid_ticket() -> Error {
    Error::invalid("The ticket is not a UUID.")
}

fn parse_role(name: &str) -> Result<Role, Error> {
    Role::parse(name).ok_or_else(|| Error::invalid("Role must be viewer, operator or admin."))
}

/// Whether a folder may be called so.
fn is_backup_name(name: &str) -> bool {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    (1..=BACKUP_NAME_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && !name.starts_with('.')
}

fn wrong_password() -> Error {
    password::Error::Wrong.into()
}

pub(crate) fn dead_token() -> Error {
    domain::operator::account::Error::Dead.into()
}
