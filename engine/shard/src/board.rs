//! Leaderboards and tournaments: what clients and operators ask of them, and what their home, the
//! shard of their id, makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Error;
use api::convert::board::write_standing;
use api::convert::board_console as convert;
use api::reply::Reply;
use api::request::BoardAct;
use base::limits::RANKS_BYTES_MAX;
use base::{BatchId, Frame, ShardId, UserId};
use domain::compete::board::{self, BoardUpdate, Boards, NewBoard};
use domain::compete::leaderboard::{By, Owner, Records, Wish, Write, Written};
use domain::compete::tournament::{self, Filter, Shown};
use domain::ctx::{Applied, Ctx, Stop};
use domain::identity::session::Bearer;

use crate::Shard;
use crate::entity::change;
use crate::message::{Answer, Errand, Message, Query, TaskId};
use crate::output::Output;
use crate::sign_in::user_not_found;
use crate::state::State;
use crate::task::{Step, invalid_token};
use crate::view::Depends;

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
}

/// What the home of a board is asked.
#[derive(Clone, Debug)]
pub enum BoardQuery {
    /// Nothing, but to know all boards.
    Load,
    Create(Arc<NewBoard>),
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
}

impl BoardQuery {
    /// The board that it is about; `None`: all.
    pub(crate) fn board(&self) -> Option<&str> {
        match self {
            BoardQuery::Create(new) => Some(&new.id),
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
            | BoardQuery::Sweep(_) => None,
        }
    }
}

/// What the home of a board answers.
#[derive(Debug)]
pub enum BoardAnswer {
    Done,
    Written(Box<Written>),
    Records(Arc<Records>),
    Shown(Vec<Shown>),
    /// Some boards, and how many there are in all.
    Page(Vec<Shown>, usize),
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
        let boards = &mut self.boards.boards;
        let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
        let loaded = boards.load(ctx.view, |id| placement.of_key(id.as_bytes()) == me);
        let applied = loaded.map_err(Stop::never).and_then(|()| answer(boards, ctx, &query));
        let mut answer = match applied {
            Ok(answer) => Answer::Board(answer),
            Err(Stop::Unavailable) => {
                if let Err(refused) = self.park(task, Query::Board(query), depends.clone()) {
                    self.answer_unless_own(
                        task,
                        Answer::Refused(Error::exhausted(refused)),
                        depends,
                    );
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
                answer = Answer::Refused(refused);
                is_refused = true;
            } else {
                let frame = Frame::encode(&changes);
                let batch = self.emit(vec![frame.clone()], vec![self.id], &mut depends);
                self.view.write(batch, &frame);
                self.boards.boards.follow(&frame);
                if let Some(board) = query.board() {
                    self.boards.pending.insert(board.to_owned(), batch);
                }
            }
        }
        self.answer_unless_own(task, answer, &depends);
        self.go_on_sweeping(&query, is_refused, &depends);
        self.look_at_ranks();
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
) -> Applied<BoardAnswer, board::Error> {
    let refuse = Stop::Refused;
    Ok(match query {
        BoardQuery::Load => BoardAnswer::Done,
        BoardQuery::Create(new) => {
            boards.create(ctx, new).map_err(refuse)?;
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
        BoardQuery::Sweep(prefix) => {
            boards.sweep(ctx, *prefix).map_err(Stop::never)?;
            BoardAnswer::Done
        }
    })
}
