//! Leaderboards and tournaments: what clients and operators ask of them, and what their home, the
//! shard of their id, makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::Error;
use api::convert::board::write_standing;
use api::convert::board_console as convert;
use api::reply::Reply;
use api::request::BoardAct;
use base::limits::{BOARD_EVENTS_AT_ONCE, RANKS_BYTES_MAX};
use base::{BatchId, Code, Frame, Instant, ShardId, UserId};
use bytes::Bytes;
use domain::compete::board::{self, BoardUpdate, Boards, Forgotten, NewBoard, Owned};
use domain::compete::leaderboard::{By, Owner, Records, Wish, Write, Written};
use domain::compete::tournament::{self, Filter, Shown};
use domain::ctx::{Applied, Ctx, Stop};
use domain::identity::session::Bearer;
use domain::record::board::Period;

use crate::entity::change;
use crate::message::{Answer, Errand, Message, Query, TaskId};
use crate::output::Output;
use crate::sign_in::user_not_found;
use crate::state::State;
use crate::task::{Step, invalid_token};
use crate::view::Depends;
use crate::{Shard, Timer};

/// Clocks are set: boards are looked at this often, whatever is due.
const BOARDS_LOOKED_AT: Duration = Duration::from_secs(60);
/// What the disk did not take is tried again after this.
const BOARDS_RETRIED: Duration = Duration::from_secs(1);
/// How many questions come between two looks at the memory that ranks take.
const LOOK_PERIOD: u32 = 1024;

/// The boards of this shard.
#[derive(Debug, Default)]
pub(crate) struct Housed {
    boards: Boards,
    /// The newest batch of each board, as long as it may not be durable: whatever is told of the
    /// board depends on it, since ranks in memory are as that batch left them.
    pending: BTreeMap<String, BatchId>,
    /// The deletion of this board's rows is under way.
    sweeping: Option<[u8; 8]>,
    questions: u32,
    /// Events that the webhook is being told.
    telling: BTreeSet<[u8; 17]>,
    /// Whether the boards of the configuration were asked for, and nothing of that was refused.
    is_begun: bool,
    /// When boards are looked at next.
    timer: Option<Instant>,
}

/// What the home of a board is asked.
#[derive(Clone, Debug)]
pub enum BoardQuery {
    /// Nothing, but to know all boards.
    Load,
    Create(Arc<NewBoard>),
    /// A board of the configuration is to be there, and to be like this.
    Configured(Arc<NewBoard>),
    Write {
        board: String,
        owner: Owner,
        write: Write,
        by: By,
    },
    Delete {
        board: String,
        owner: UserId,
        by: By,
    },
    List {
        board: String,
        wish: Wish,
        by: By,
    },
    Around {
        board: String,
        owner: UserId,
        wish: Wish,
        by: By,
    },
    Join {
        board: String,
        owner: Owner,
    },
    /// Which of this shard's tournaments are wanted?
    Tournaments(Arc<Filter>),
    /// The first boards of this shard behind an id, and how many there are.
    Page {
        after: String,
        limit: usize,
    },
    Show {
        board: String,
    },
    Update {
        board: String,
        update: Box<BoardUpdate>,
    },
    DeleteBoard {
        board: String,
    },
    /// Some rows of a deleted board are to go.
    Sweep([u8; 8]),
    /// What is due is to be noted.
    Note,
    /// The webhook took this event.
    Told([u8; 17]),
    /// Some records of a deleted account are to go.
    Forget(UserId),
    /// Records of an owner, behind this period.
    Owned {
        owner: UserId,
        after: Option<Period>,
    },
}

impl BoardQuery {
    /// The board that it is about; `None`: all.
    pub(crate) fn board(&self) -> Option<&str> {
        match self {
            BoardQuery::Create(new) | BoardQuery::Configured(new) => Some(&new.id),
            BoardQuery::Write { board, .. }
            | BoardQuery::Delete { board, .. }
            | BoardQuery::List { board, .. }
            | BoardQuery::Around { board, .. }
            | BoardQuery::Join { board, .. }
            | BoardQuery::Show { board }
            | BoardQuery::Update { board, .. }
            | BoardQuery::DeleteBoard { board } => Some(board),
            BoardQuery::Load
            | BoardQuery::Tournaments(_)
            | BoardQuery::Page { .. }
            | BoardQuery::Sweep(_)
            | BoardQuery::Note
            | BoardQuery::Told(_)
            | BoardQuery::Forget(_)
            | BoardQuery::Owned { .. } => None,
        }
    }
}

impl BoardQuery {
    /// Whether it may change what is due, or what is to be told.
    fn is_about_events(&self) -> bool {
        match self {
            BoardQuery::Load
            | BoardQuery::Create(_)
            | BoardQuery::Configured(_)
            | BoardQuery::Update { .. }
            | BoardQuery::Note
            | BoardQuery::Told(_) => true,
            BoardQuery::Write { .. }
            | BoardQuery::Delete { .. }
            | BoardQuery::List { .. }
            | BoardQuery::Around { .. }
            | BoardQuery::Join { .. }
            | BoardQuery::Tournaments(_)
            | BoardQuery::Page { .. }
            | BoardQuery::Show { .. }
            | BoardQuery::DeleteBoard { .. }
            | BoardQuery::Sweep(_)
            | BoardQuery::Forget(_)
            | BoardQuery::Owned { .. } => false,
        }
    }
}

/// What the home of a board answers.
#[derive(Debug)]
pub enum BoardAnswer {
    Done,
    /// What was due of this board is known, and whether something was.
    Noted {
        board: String,
        is_noted: bool,
    },
    Written(Box<Written>),
    Records(Arc<Records>),
    Shown(Vec<Shown>),
    /// Some boards, and how many there are in all.
    Page(Vec<Shown>, usize),
    Forgotten(Forgotten),
    Owned(Owned),
}

/// What a client's call about boards waits for.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// Is the token of the caller still good, and what are they called?
    Guard {
        board: String,
        act: Box<BoardAct>,
    },
    ListGuard(Arc<Filter>),
    /// The board's home.
    Act {
        repeats_next: bool,
    },
    List {
        filter: Arc<Filter>,
        found: Vec<Shown>,
    },
}

/// What an operator's call about boards waits for.
#[derive(Debug)]
pub(crate) enum Operated {
    Declared,
    Shown,
    Records,
    Standing,
    Written,
    Page { limit: usize, found: Vec<Shown>, total: usize },
}

fn wait(boarding: Boarding) -> Step {
    Step::Wait(State::Board(Box::new(boarding)))
}

// On the shard that took the call.

impl Shard {
    pub(crate) fn begin_board(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        board: String,
        act: Box<BoardAct>,
    ) -> Step {
        let Some(bearer) = bearer else { return Step::Fail(invalid_token()) };
        let errand = match &*act {
            BoardAct::Write { .. } | BoardAct::Join | BoardAct::Delete { .. } => Errand::Account,
            BoardAct::List { .. } | BoardAct::Around { .. } => Errand::Nothing,
        };
        self.ask_guarded(task, bearer, errand);
        wait(Boarding::Guard { board, act })
    }

    pub(crate) fn list_tournaments(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        filter: Filter,
    ) -> Step {
        let Some(bearer) = bearer else { return Step::Fail(invalid_token()) };
        self.ask_guarded(task, bearer, Errand::Nothing);
        wait(Boarding::ListGuard(Arc::new(filter)))
    }

    pub(crate) fn board_step(
        &mut self,
        task: u64,
        boarding: Boarding,
        answer: Answer,
        is_last: bool,
    ) -> Step {
        match (boarding, answer) {
            (Boarding::Guard { board, act }, Answer::Account(Some(account))) => {
                let owner = Owner { id: account.id, username: account.user.username };
                self.act_on_board(task, board, *act, Some(owner))
            }
            (Boarding::Guard { .. }, Answer::Account(None)) => Step::Fail(user_not_found()),
            (Boarding::Guard { board, act }, Answer::Done) => {
                self.act_on_board(task, board, *act, None)
            }
            (Boarding::ListGuard(filter), Answer::Done) => {
                for home in ShardId::all(self.config.placement.count) {
                    let query = BoardQuery::Tournaments(filter.clone());
                    self.ask(task, home, Query::Board(query));
                }
                wait(Boarding::List { filter, found: Vec::new() })
            }
            (Boarding::Act { .. }, Answer::Board(BoardAnswer::Written(written))) => {
                Step::Done(Reply::Record(written))
            }
            (Boarding::Act { .. }, Answer::Board(BoardAnswer::Done)) => Step::Done(Reply::Empty),
            (Boarding::Act { repeats_next }, Answer::Board(BoardAnswer::Records(records))) => {
                Step::Done(Reply::Records { records, repeats_next })
            }
            (Boarding::List { filter, mut found }, Answer::Board(BoardAnswer::Shown(more))) => {
                found.extend(more);
                match is_last {
                    true => Step::Done(page_of(&filter, found)),
                    false => wait(Boarding::List { filter, found }),
                }
            }
            (boarding, answer) => {
                debug_assert!(false, "{boarding:?} does not wait for {answer:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    fn act_on_board(
        &mut self,
        task: u64,
        board: String,
        act: BoardAct,
        owner: Option<Owner>,
    ) -> Step {
        let mut repeats_next = false;
        let query = match (act, owner) {
            (BoardAct::Write { write, by }, Some(owner)) => {
                BoardQuery::Write { board, owner, write, by }
            }
            (BoardAct::Delete { by }, Some(owner)) => {
                BoardQuery::Delete { board, owner: owner.id, by }
            }
            (BoardAct::Join, Some(owner)) => BoardQuery::Join { board, owner },
            (BoardAct::List { wish, by }, _) => BoardQuery::List { board, wish, by },
            (BoardAct::Around { owner, wish, by }, _) => {
                repeats_next = by == By::Tournament;
                BoardQuery::Around { board, owner, wish, by }
            }
            (BoardAct::Write { .. } | BoardAct::Delete { .. } | BoardAct::Join, None) => {
                return Step::Fail(Error::internal());
            }
        };
        self.ask_board(task, query);
        wait(Boarding::Act { repeats_next })
    }

    /// Asks the home of the board that the question is about.
    pub(crate) fn ask_board(&mut self, task: u64, query: BoardQuery) {
        let home = self.config.placement.of_key(query.board().unwrap_or_default().as_bytes());
        self.ask(task, home, Query::Board(query));
    }

    /// Asks all shards for boards.
    pub(crate) fn ask_boards(&mut self, task: u64, after: &str, limit: usize) -> Operated {
        for home in ShardId::all(self.config.placement.count) {
            let query = BoardQuery::Page { after: after.to_owned(), limit };
            self.ask(task, home, Query::Board(query));
        }
        Operated::Page { limit, found: Vec::new(), total: 0 }
    }

    /// An answer to an operator's call; `Err` when others are awaited.
    pub(crate) fn operated_board(
        operated: Operated,
        answer: BoardAnswer,
        is_last: bool,
    ) -> Result<Result<Reply, Error>, Operated> {
        let document = |json: String| Ok(Ok(Reply::Document { json: json.into() }));
        match (operated, answer) {
            (Operated::Declared, BoardAnswer::Done) if is_last => Ok(Ok(Reply::Empty)),
            (Operated::Declared, BoardAnswer::Done) => Err(Operated::Declared),
            (Operated::Shown, BoardAnswer::Shown(shown)) => match shown.first() {
                Some(shown) => document(convert::one_board(shown)),
                None => Ok(Err(board::Error::NotFound.into())),
            },
            (Operated::Records, BoardAnswer::Records(records)) => {
                Ok(Ok(Reply::Records { records, repeats_next: false }))
            }
            (Operated::Standing, BoardAnswer::Records(records)) => {
                match convert::one_standing(&records) {
                    Some(json) => document(json),
                    None => Ok(Err(no_record())),
                }
            }
            (Operated::Written, BoardAnswer::Written(written)) => Ok(Ok(Reply::Record(written))),
            (Operated::Page { limit, mut found, mut total }, BoardAnswer::Page(more, count)) => {
                found.extend(more);
                total += count;
                if !is_last {
                    return Err(Operated::Page { limit, found, total });
                }
                found.sort_by(|one, other| one.id.cmp(&other.id));
                let next = (found.len() > limit).then(|| found[limit - 1].id.clone());
                found.truncate(limit);
                document(convert::boards(&found, total, next.as_deref()))
            }
            (operated, answer) => {
                debug_assert!(false, "{operated:?} does not wait for {answer:?}");
                Ok(Err(Error::internal()))
            }
        }
    }
}

fn no_record() -> Error {
    Error::new(Code::NotFound, "The owner has no record.")
}

/// The page of a list, of what all shards have found.
fn page_of(filter: &Filter, found: Vec<Shown>) -> Reply {
    let standing = |shown: Shown| Some((shown.standing()?, shown));
    let mut found: Vec<_> = found.into_iter().filter_map(standing).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let has_more = found.len() > filter.limit;
    found.truncate(filter.limit);
    let cursor = found.last().filter(|_| has_more).map(|(standing, _)| write_standing(standing));
    let tournaments = found.into_iter().map(|(_, shown)| shown).collect();
    Reply::Tournaments { tournaments, cursor }
}

// On the home of boards.

impl Shard {
    pub(crate) fn answer_board(&mut self, task: TaskId, query: BoardQuery, depends: &Depends) {
        let known = self.depends_of_board(query.board(), depends);
        self.view.begin(known);
        let mut effects = Vec::new();
        let (placement, me) = (self.config.placement, self.id);
        let is_told = self.config.has_webhook;
        let boards = &mut self.boards.boards;
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        let loaded = boards.load(ctx.view, |id| placement.of_key(id.as_bytes()) == me);
        let applied =
            loaded.map_err(Stop::never).and_then(|()| answer(boards, ctx, &query, is_told));
        if applied.is_err() {
            effects.clear();
        }
        let mut answer = match applied {
            Ok(answer) => Answer::Board(answer),
            Err(Stop::Unavailable) => {
                let (is_sweep, asked) = (matches!(query, BoardQuery::Sweep(_)), query.clone());
                if let Err(refused) = self.park(task, Query::Board(query), depends.clone()) {
                    self.put_off(&asked);
                    self.answer_unless_own(
                        task,
                        Answer::Refused(Error::exhausted(refused)),
                        depends,
                    );
                    if is_sweep {
                        self.boards.sweeping = None; // the next question tries again
                    }
                }
                return;
            }
            Err(Stop::Damaged(table)) => {
                self.outputs.push_back(Output::Damaged { table, task });
                Answer::Refused(Error::internal())
            }
            Err(Stop::Refused(error)) => Answer::Refused(error.into()),
        };
        let mut depends = self.view.depends();
        let changes: Vec<_> = effects.into_iter().filter_map(change).collect();
        let mut is_refused = false;
        if !changes.is_empty() {
            if let Err(refused) = self.admit_write() {
                if let Answer::Board(BoardAnswer::Noted { board, .. }) = &answer {
                    self.boards.boards.forget_noted(board);
                }
                answer = Answer::Refused(refused);
                is_refused = true;
            } else {
                let frame = Frame::encode(&changes);
                let batch = self.emit(vec![frame.clone()], vec![self.id], &mut depends);
                self.view.write(batch, &frame);
                self.boards.boards.follow(&frame);
                let noted = match &answer {
                    Answer::Board(BoardAnswer::Noted { board, .. }) => Some(board.as_str()),
                    _ => None,
                };
                if let Some(board) = query.board().or(noted) {
                    self.boards.pending.insert(board.to_owned(), batch);
                }
                if let Answer::Board(BoardAnswer::Forgotten(forgotten)) = &answer {
                    for board in &forgotten.boards {
                        self.boards.pending.insert(board.to_string(), batch);
                    }
                }
            }
        }
        self.answer_unless_own(task, answer, &depends);
        self.go_on_sweeping(&query, is_refused, &depends);
        if is_refused {
            self.put_off(&query);
        } else if query.is_about_events() {
            if let BoardQuery::Told(key) = query {
                self.boards.telling.remove(&key);
            }
            self.tell_events(&depends);
            self.set_board_timer(false);
        }
        self.look_at_ranks();
    }

    /// Asks itself for the boards of the configuration, as far as they live here, and to know all.
    pub(crate) fn begin_boards(&mut self) {
        let ours =
            |new: &&Arc<NewBoard>| self.config.placement.of_key(new.id.as_bytes()) == self.id;
        let configured = self.config.boards.iter().filter(ours).cloned();
        let mut queries: Vec<_> = configured.map(BoardQuery::Configured).collect();
        queries.push(BoardQuery::Load);
        for query in queries {
            self.ask_own_boards(query);
        }
        self.boards.is_begun = true;
        if self.boards.timer.is_none() {
            self.boards.timer = Some(self.now.monotonic);
            self.timers.set(self.now.monotonic, Timer::Boards);
        }
    }

    /// What everything that is told of a board depends on; of all boards, if none is named.
    fn depends_of_board(&mut self, board: Option<&str>, depends: &Depends) -> Depends {
        let mut depends = depends.clone();
        let Shard { boards: Housed { pending, .. }, view, .. } = self;
        let mut add = |batch: BatchId| {
            if !view.is_durable(batch) {
                depends.add(batch);
            }
        };
        match board {
            Some(board) => pending.get(board).copied().into_iter().for_each(&mut add),
            None => pending.values().copied().for_each(&mut add),
        }
        depends
    }

    /// Whoever asks themselves waits for no answer.
    fn answer_unless_own(&mut self, task: TaskId, answer: Answer, depends: &Depends) {
        if task.number != 0 {
            self.send(task.shard, Message::Answer { task: task.number, answer }, depends);
        }
    }

    /// A deleted board's rows go a step at a time, each when the one before is durable.
    fn go_on_sweeping(&mut self, query: &BoardQuery, is_refused: bool, depends: &Depends) {
        if let BoardQuery::Sweep(_) = query {
            self.boards.sweeping = None;
        }
        if is_refused || self.boards.sweeping.is_some() {
            return; // the next question tries again
        }
        self.boards.sweeping = self.boards.boards.deletion();
        if let Some(prefix) = self.boards.sweeping {
            let task = TaskId { shard: self.id, number: 0 };
            let query = Query::Board(BoardQuery::Sweep(prefix));
            self.send_when_durable(Message::Ask { task, query }, depends);
        }
    }

    /// What was asked by itself was refused: it is asked again in a moment.
    fn put_off(&mut self, query: &BoardQuery) {
        match query {
            BoardQuery::Load | BoardQuery::Configured(_) => self.boards.is_begun = false,
            // Told again, under the same key.
            BoardQuery::Told(key) => {
                self.boards.telling.remove(key);
            }
            BoardQuery::Create(_)
            | BoardQuery::Write { .. }
            | BoardQuery::Delete { .. }
            | BoardQuery::List { .. }
            | BoardQuery::Around { .. }
            | BoardQuery::Join { .. }
            | BoardQuery::Tournaments(_)
            | BoardQuery::Page { .. }
            | BoardQuery::Show { .. }
            | BoardQuery::Update { .. }
            | BoardQuery::DeleteBoard { .. }
            | BoardQuery::Sweep(_)
            | BoardQuery::Note
            | BoardQuery::Forget(_)
            | BoardQuery::Owned { .. } => {}
        }
        if query.is_about_events() {
            self.set_board_timer(true);
        }
    }

    /// Has the webhook told what happened, some of it at a time, each once it is durable.
    fn tell_events(&mut self, depends: &Depends) {
        if !self.config.has_webhook {
            return;
        }
        let room = BOARD_EVENTS_AT_ONCE.saturating_sub(self.boards.telling.len());
        let Housed { boards, telling, .. } = &self.boards;
        let waiting = boards.events().filter(|(key, _)| !telling.contains(*key)).take(room);
        let told: Vec<_> = waiting.map(|(key, event)| (*key, convert::event(event))).collect();
        if told.is_empty() {
            return;
        }
        let depends = self.depends_of_board(None, depends);
        for (key, message) in told {
            self.boards.telling.insert(key);
            let key = Bytes::copy_from_slice(&key);
            self.output(Output::DeliverEvent { key, message }, &depends);
        }
    }

    /// The webhook took an event, or it did not: then it is told again with the next look.
    pub(crate) fn handle_delivered(&mut self, key: &[u8], is_taken: bool) {
        let Ok(key) = <[u8; 17]>::try_from(key) else { return };
        if is_taken {
            self.ask_own_boards(BoardQuery::Told(key));
        } else {
            self.boards.telling.remove(&key);
        }
    }

    pub(crate) fn wake_boards(&mut self) {
        self.boards.timer = None;
        if !self.boards.is_begun {
            self.begin_boards();
        }
        self.ask_own_boards(BoardQuery::Note);
    }

    fn ask_own_boards(&mut self, query: BoardQuery) {
        let task = TaskId { shard: self.id, number: 0 };
        let ask = Message::Ask { task, query: Query::Board(query) };
        self.local.push_back((ask, Depends::default()));
    }

    /// Boards are looked at when something is due. Clocks are set, so never much later.
    fn set_board_timer(&mut self, is_refused: bool) {
        let events = self.boards.boards.next_event();
        let has_more = !self.boards.telling.is_empty() || self.boards.boards.events().len() > 0;
        let wait = match events {
            _ if is_refused => BOARDS_RETRIED,
            None if has_more => BOARDS_LOOKED_AT,
            None => return,
            Some(due) => {
                let wait = due.saturating_sub(self.now.wall.secs());
                let part = Duration::from_nanos(self.now.wall.0 % 1_000_000_000);
                Duration::from_secs(wait).saturating_sub(part).min(BOARDS_LOOKED_AT)
            }
        };
        let at = self.now.monotonic.after(wait);
        if self.boards.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        if let Some(earlier) = self.boards.timer.replace(at) {
            self.timers.cancel(earlier, Timer::Boards);
        }
        self.timers.set(at, Timer::Boards);
    }

    fn look_at_ranks(&mut self) {
        let Shard { boards: Housed { boards, pending, questions, .. }, view, .. } = self;
        *questions += 1;
        if *questions >= LOOK_PERIOD {
            *questions = 0;
            boards.cool(RANKS_BYTES_MAX);
            pending.retain(|_, batch| !view.is_durable(*batch));
        }
    }
}

fn answer(
    boards: &mut Boards,
    ctx: &mut Ctx<'_>,
    query: &BoardQuery,
    is_told: bool,
) -> Applied<BoardAnswer, board::Error> {
    let refuse = Stop::Refused;
    Ok(match query {
        BoardQuery::Load => BoardAnswer::Done,
        BoardQuery::Create(new) => {
            boards.create(ctx, new).map_err(refuse)?;
            BoardAnswer::Done
        }
        BoardQuery::Configured(new) => {
            boards.configure(ctx, new).map_err(refuse)?;
            BoardAnswer::Done
        }
        BoardQuery::Write { board, owner, write, by } => {
            let board = boards.find(board).map_err(refuse)?;
            BoardAnswer::Written(Box::new(board.write(ctx, owner, write, *by)?))
        }
        BoardQuery::Delete { board, owner, by } => {
            let found = boards.find(board);
            // Of tournaments, everything that is wrong is the same to clients.
            let unknown = if *by == By::Tournament { Err(board::Error::OtherKind) } else { Ok(()) };
            let board = found.or_else(|error| unknown.and(Err(error))).map_err(refuse)?;
            board.delete(ctx, *owner, *by)?;
            BoardAnswer::Done
        }
        BoardQuery::List { board, wish, by } => {
            let board = boards.find(board).map_err(refuse)?;
            if *by == By::Tournament {
                board.admit_list(ctx.now.wall.secs(), wish).map_err(refuse)?;
            }
            BoardAnswer::Records(board.list(ctx, wish)?)
        }
        BoardQuery::Around { board, owner, wish, by } => {
            let board = boards.find(board).map_err(refuse)?;
            if *by == By::Tournament {
                board.admit_list(ctx.now.wall.secs(), wish).map_err(refuse)?;
            }
            BoardAnswer::Records(board.around(ctx, *owner, wish)?)
        }
        BoardQuery::Join { board, owner } => {
            boards.find(board).map_err(refuse)?.join(ctx, owner)?;
            BoardAnswer::Done
        }
        BoardQuery::Tournaments(filter) => {
            BoardAnswer::Shown(tournament::list(boards, ctx, filter).map_err(Stop::never)?)
        }
        BoardQuery::Page { after, limit } => {
            let count = boards.len();
            let page = boards.page(ctx, after, *limit).map_err(Stop::never)?;
            BoardAnswer::Page(page, count)
        }
        BoardQuery::Show { board } => {
            let board = boards.find(board).map_err(refuse)?;
            BoardAnswer::Shown(vec![board.show(ctx).map_err(Stop::never)?])
        }
        BoardQuery::Update { board, update } => {
            boards.update(ctx, board, update).map_err(refuse)?;
            BoardAnswer::Done
        }
        BoardQuery::DeleteBoard { board } => {
            boards.delete(ctx, board).map_err(refuse)?;
            BoardAnswer::Done
        }
        BoardQuery::Note => match boards.note_events(ctx, is_told).map_err(Stop::never)? {
            Some((board, is_noted)) => BoardAnswer::Noted { board, is_noted },
            None => BoardAnswer::Done,
        },
        BoardQuery::Told(key) => {
            boards.told(ctx, key);
            BoardAnswer::Done
        }
        BoardQuery::Sweep(prefix) => {
            boards.sweep(ctx, *prefix).map_err(Stop::never)?;
            BoardAnswer::Done
        }
        BoardQuery::Owned { owner, after } => {
            BoardAnswer::Owned(boards.owned(ctx, *owner, *after).map_err(Stop::never)?)
        }
        BoardQuery::Forget(owner) => {
            BoardAnswer::Forgotten(boards.forget(ctx, *owner).map_err(Stop::never)?)
        }
    })
}
