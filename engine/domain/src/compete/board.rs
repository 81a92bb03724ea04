//! Boards, leaderboards and tournaments alike: what there is of them, in memory at their home.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::limits::{
    BOARD_ID_MAX, BOARD_METADATA_MAX, BOARD_ROWS_DELETED_AT_ONCE, BOARDS_MAX, BOARDS_READ_AT_ONCE,
    OWNED_READ_AT_ONCE, PERIODS_CACHED_MAX, RECORDS_FORGOTTEN_AT_ONCE, TOURNAMENT_CATEGORY_MAX,
    TOURNAMENT_DESCRIPTION_MAX, TOURNAMENT_TITLE_MAX,
};
use base::{ChangeRef, Code, Frame, Range, UserId};
use bytes::Bytes;

use super::leaderboard::{Listed, Records, Written};
use super::rank::{Followed, Ranks};
use super::schedule::Schedule;
use crate::ctx::{Applied, Ctx, Never, Stop, Unavailable, View};
use crate::record::board::{
    BoardEvent, COUNTS, DELETIONS, INDEX, MARKS, OWNED, Period, Score, StoredScore,
};
use crate::record::{self, Record as _};

pub use crate::record::board::{Definition, Terms};

/// Of a tournament: as many owners as there are.
pub const ANY_SIZE: u32 = i32::MAX as u32;
/// Writes that an owner has where nothing is said.
pub const NUM_SCORE_DEFAULT: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound,
    TooMany,
    /// It is a leaderboard where a tournament is asked for, or the other way round.
    OtherKind,
    /// Only servers write to it.
    Authoritative,
    Negative,
    /// The sum is too large.
    Overflow,
    Operator,
    Cursor,
    /// The tournament is over.
    Ended,
    /// It is between two of its windows, or before the first.
    NotActive,
    /// Its owner has to join first.
    NotJoined,
    /// As many have written as may.
    Full,
    /// As many have joined as may.
    JoinFull,
    JoinOver,
    /// The owner has written as often as they may.
    NoAttempts,
    /// What is wrong with a new board.
    Wrong(&'static str),
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::NotFound | Error::Ended => Code::NotFound,
            Error::TooMany => Code::ResourceExhausted,
            Error::Authoritative => Code::PermissionDenied,
            Error::OtherKind | Error::Negative | Error::Overflow | Error::Operator => {
                Code::Internal
            }
            Error::NotActive | Error::NotJoined | Error::Full | Error::NoAttempts => {
                Code::FailedPrecondition
            }
            Error::Cursor | Error::JoinFull | Error::JoinOver | Error::Wrong(_) => {
                Code::InvalidArgument
            }
        }
    }
}

/// How a write changes what was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Best,
    Set,
    Increment,
    Decrement,
}

impl Operator {
    pub const ALL: [Operator; 4] =
        [Operator::Best, Operator::Set, Operator::Increment, Operator::Decrement];

    pub fn number(self) -> u8 {
        match self {
            Operator::Best => 0,
            Operator::Set => 1,
            Operator::Increment => 2,
            Operator::Decrement => 3,
        }
    }

    pub fn of_number(number: u8) -> Option<Operator> {
        Operator::ALL.into_iter().find(|operator| operator.number() == number)
    }
}

/// A board that is to be. Times are seconds since 1970; a start of 0 is when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBoard {
    pub id: String,
    pub is_descending: bool,
    pub operator: Operator,
    pub is_authoritative: bool,
    pub has_ranks: bool,
    pub reset: String,
    /// JSON object.
    pub metadata: String,
    pub tournament: Option<Terms>,
}

impl NewBoard {
    /// Whether there can be such a board.
    pub fn check(&self) -> Result<(), Error> {
        let rules = [
            (self.id.is_empty() || self.id.len() > BOARD_ID_MAX, "id: has to be 1 to 128 bytes"),
            (
                !self.reset.is_empty() && Schedule::parse(&self.reset).is_err(),
                "reset_schedule: is no CRON expression",
            ),
            (self.metadata.len() > BOARD_METADATA_MAX, "metadata: is too long"),
        ];
        let wrong = rules.iter().find(|(is_broken, _)| *is_broken);
        wrong.map_or(Ok(()), |(_, what)| Err(Error::Wrong(what)))?;
        self.tournament.as_ref().map_or(Ok(()), check_terms)
    }

    fn define(&self, prefix: [u8; 8], create_time: u64) -> Definition {
        Definition {
            prefix,
            is_descending: self.is_descending,
            operator: self.operator.number(),
            is_authoritative: self.is_authoritative,
            has_ranks: self.has_ranks,
            reset: self.reset.clone(),
            metadata: self.metadata.clone(),
            create_time,
            tournament: self.tournament.clone().map(|terms| Terms {
                start_time: if terms.start_time > 0 { terms.start_time } else { create_time },
                ..terms
            }),
        }
    }
}

fn check_terms(terms: &Terms) -> Result<(), Error> {
    let is_over = terms.end_time > 0 && terms.end_time <= terms.start_time;
    let rules = [
        (terms.duration == 0, "duration: has to be 1 or more"),
        (terms.category > TOURNAMENT_CATEGORY_MAX, "category: has to be 0 to 127"),
        (is_over, "end_time: is not after start_time"),
        (terms.title.len() > TOURNAMENT_TITLE_MAX, "title: is too long"),
        (terms.description.len() > TOURNAMENT_DESCRIPTION_MAX, "description: is too long"),
        (terms.max_size == 0 || terms.max_size > ANY_SIZE, "max_size: has to be 1 or more"),
    ];
    let wrong = rules.iter().find(|(is_broken, _)| *is_broken);
    wrong.map_or(Ok(()), |(_, what)| Err(Error::Wrong(what)))
}

/// New values; `None` leaves what is there. What only tournaments have is nothing to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoardUpdate {
    pub metadata: Option<String>,
    pub is_authoritative: Option<bool>,
    pub has_ranks: Option<bool>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub end_time: Option<u64>,
    pub max_size: Option<u32>,
    pub max_num_score: Option<u32>,
}

impl BoardUpdate {
    fn apply(&self, definition: &mut Definition) {
        fn set<T: Clone>(value: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                value.clone_from(new);
            }
        }
        set(&mut definition.metadata, &self.metadata);
        set(&mut definition.is_authoritative, &self.is_authoritative);
        set(&mut definition.has_ranks, &self.has_ranks);
        if let Some(terms) = &mut definition.tournament {
            set(&mut terms.title, &self.title);
            set(&mut terms.description, &self.description);
            set(&mut terms.end_time, &self.end_time);
            set(&mut terms.max_size, &self.max_size);
            set(&mut terms.max_num_score, &self.max_num_score);
        }
    }
}

/// A board, and what is cached of its periods.
#[derive(Debug)]
pub struct Board {
    pub id: Arc<str>,
    pub definition: Definition,
    pub(super) reset: Option<Schedule>,
    /// The end of the period, of all moments from the first on, and before the second.
    pub(super) known_expiry: Option<(u64, u64, u64)>,
    periods: BTreeMap<u64, Ranks>,
    /// The beginning of the board as it was listed last, and how many were wanted.
    pub(super) first_page: Option<(usize, Arc<Records>)>,
}

impl Board {
    fn new(id: &str, definition: Definition) -> Board {
        Board {
            id: id.into(),
            reset: Schedule::parse(&definition.reset).ok().filter(|_| !definition.reset.is_empty()),
            definition,
            known_expiry: None,
            periods: BTreeMap::new(),
            first_page: None,
        }
    }

    pub fn operator(&self) -> Operator {
        Operator::of_number(self.definition.operator).unwrap_or(Operator::Best)
    }

    pub(super) fn period(&self, expiry: u64) -> Period {
        Period::new(self.definition.prefix, expiry)
    }

    pub(super) fn ranks(&mut self, expiry: u64) -> &mut Ranks {
        let period = self.period(expiry);
        if self.periods.len() >= PERIODS_CACHED_MAX && !self.periods.contains_key(&expiry) {
            // Anybody can ask for any period: those of which least is known go first.
            let least = self.periods.iter().min_by_key(|(_, ranks)| ranks.size());
            if let Some(least) = least.map(|(expiry, _)| *expiry) {
                self.periods.remove(&least);
            }
        }
        self.periods.entry(expiry).or_insert_with(|| Ranks::new(period))
    }
}

/// Whose records of an owner were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub boards: BTreeSet<Arc<str>>,
    /// Whether to ask again.
    pub has_more: bool,
}

/// Some records of an owner, without their ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub records: Vec<Written>,
    /// Behind which period there may be more.
    pub next: Option<Period>,
}

/// All boards whose home this shard is.
///
/// Invariant: once they are loaded, they are as the newest change left them.
#[derive(Debug, Default)]
pub struct Boards {
    boards: BTreeMap<String, Board>,
    /// Their ids, by prefix.
    ids: BTreeMap<[u8; 8], String>,
    /// Prefixes of deleted boards of which there are rows left.
    deletions: BTreeSet<[u8; 8]>,
    /// When to look for what has happened by itself, to which boards; 0: at once.
    pub(super) due: BTreeSet<(u64, Arc<str>)>,
    /// Events that are still to be told, by key.
    pub(super) events: BTreeMap<[u8; 17], BoardEvent>,
    /// Ids up to this one are read.
    read_to: Option<Bytes>,
    is_loaded: bool,
}

impl Boards {
    /// Reads what the disk has, of the ids that are ours. Does nothing once that is done.
    pub fn load(
        &mut self,
        view: &mut dyn View,
        is_ours: impl Fn(&str) -> bool,
    ) -> Applied<(), Never> {
        if self.is_loaded {
            return Ok(());
        }
        let jobs = view.range(&Range::prefix(DELETIONS, &[], BOARDS_MAX))?;
        let events = view.range(&Range::prefix(BoardEvent::TABLE, &[], BOARDS_MAX))?;
        let mut is_whole = false;
        while !is_whole {
            let mut range = Range::prefix(Definition::TABLE, &[], BOARDS_READ_AT_ONCE);
            if let Some(last) = &self.read_to {
                range = range.behind(last);
            }
            let rows = view.range(&range)?;
            for (key, value) in &rows {
                let id = std::str::from_utf8(key).map_err(|_| Stop::Damaged(Definition::TABLE))?;
                if is_ours(id) {
                    let definition = Definition::decode(value);
                    self.take(id, definition.ok_or(Stop::Damaged(Definition::TABLE))?);
                }
            }
            is_whole = rows.len() < BOARDS_READ_AT_ONCE;
            self.read_to = rows.into_iter().next_back().map(|(key, _)| key).or(self.read_to.take());
        }
        let ours = jobs.iter().filter(|(_, id)| str::from_utf8(id).is_ok_and(&is_ours));
        self.deletions = ours.filter_map(|(key, _)| key[..].try_into().ok()).collect();
        for (key, value) in events {
            let damaged = Stop::Damaged(BoardEvent::TABLE);
            let event = BoardEvent::decode(&value).ok_or(damaged)?;
            if is_ours(&event.board)
                && let Ok(key) = key[..].try_into()
            {
                self.events.insert(key, event);
            }
        }
        self.is_loaded = true;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.boards.len()
    }

    pub fn is_empty(&self) -> bool {
        self.boards.is_empty()
    }

    pub fn find(&mut self, id: &str) -> Result<&mut Board, Error> {
        self.boards.get_mut(id).ok_or(Error::NotFound)
    }

    /// In the order of their ids.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Board> {
        self.boards.values_mut()
    }

    /// Creates a board, unless there is one of its id: that one is left as it is.
    pub fn create(&self, ctx: &mut Ctx<'_>, new: &NewBoard) -> Result<(), Error> {
        new.check()?;
        if self.boards.contains_key(&new.id) {
            return Ok(());
        }
        if self.boards.len() >= BOARDS_MAX {
            return Err(Error::TooMany);
        }
        let mut prefix = [0; 8];
        ctx.rng.fill(&mut prefix);
        record::write(ctx, new.id.as_bytes(), &new.define(prefix, ctx.now.wall.secs()));
        Ok(())
    }

    /// Creates a board, or has it follow what can change of it.
    pub fn configure(&self, ctx: &mut Ctx<'_>, new: &NewBoard) -> Result<(), Error> {
        let Some(board) = self.boards.get(&new.id) else { return self.create(ctx, new) };
        if board.definition.tournament.is_some() != new.tournament.is_some() {
            return Err(Error::OtherKind);
        }
        let terms = new.tournament.as_ref();
        let update = BoardUpdate {
            metadata: Some(new.metadata.clone()),
            is_authoritative: Some(new.is_authoritative),
            has_ranks: Some(new.has_ranks),
            title: terms.map(|terms| terms.title.clone()),
            description: terms.map(|terms| terms.description.clone()),
            end_time: terms.map(|terms| terms.end_time),
            max_size: terms.map(|terms| terms.max_size),
            max_num_score: terms.map(|terms| terms.max_num_score),
        };
        self.update(ctx, &new.id, &update)
    }

    pub fn update(&self, ctx: &mut Ctx<'_>, id: &str, update: &BoardUpdate) -> Result<(), Error> {
        let board = self.boards.get(id).ok_or(Error::NotFound)?;
        let mut definition = board.definition.clone();
        update.apply(&mut definition);
        definition.tournament.as_ref().map_or(Ok(()), check_terms)?;
        if definition != board.definition {
            record::write(ctx, id.as_bytes(), &definition);
        }
        Ok(())
    }

    /// Deletes a board. Its records go a few at a time.
    pub fn delete(&self, ctx: &mut Ctx<'_>, id: &str) -> Result<(), Error> {
        let board = self.boards.get(id).ok_or(Error::NotFound)?;
        record::delete::<Definition>(ctx, id.as_bytes());
        ctx.delete(MARKS, &board.definition.prefix);
        ctx.put(DELETIONS, &board.definition.prefix, id.as_bytes().to_vec());
        Ok(())
    }

    /// A deleted board of which there are rows left.
    pub fn deletion(&self) -> Option<[u8; 8]> {
        self.deletions.first().copied()
    }

    /// Deletes some rows of a deleted board, or, when there are none, that it is to be done.
    pub fn sweep(&self, ctx: &mut Ctx<'_>, prefix: [u8; 8]) -> Applied<(), Never> {
        let most = BOARD_ROWS_DELETED_AT_ONCE;
        let mut is_clean = true;
        for table in [Score::TABLE, INDEX, COUNTS] {
            let rows = ctx.view.range(&Range::prefix(table, &prefix, most))?;
            for (key, _) in &rows {
                is_clean = false;
                ctx.delete(table, key);
                if table == Score::TABLE
                    && let Some((period, owner)) = key.split_first_chunk::<16>()
                    && let Ok(owner) = owner.try_into()
                {
                    ctx.delete(OWNED, &Period(*period).owned_key(UserId::from_bytes(owner)));
                }
            }
        }
        if is_clean {
            ctx.delete(DELETIONS, &prefix);
        }
        Ok(())
    }

    /// Deletes some records of an owner, of any board and period here.
    pub fn forget(&mut self, ctx: &mut Ctx<'_>, owner: UserId) -> Applied<Forgotten, Never> {
        let mut range = Range::prefix(OWNED, owner.as_bytes(), OWNED_READ_AT_ONCE);
        let (mut forgotten, mut count) = (Forgotten::default(), 0);
        loop {
            let rows = ctx.view.range(&range)?;
            for (key, _) in &rows {
                let period = key.get(16..).and_then(|period| period.try_into().ok());
                let Some(period) = period.map(Period) else { return Err(Stop::Damaged(OWNED)) };
                // Those of others are for their homes, and those of no board are swept.
                let Some(board) = self.of_prefix(&period.0) else { continue };
                board.remove(ctx, owner, period.expiry())?;
                forgotten.boards.insert(board.id.clone());
                count += 1;
                if count >= RECORDS_FORGOTTEN_AT_ONCE {
                    forgotten.has_more = true;
                    return Ok(forgotten);
                }
            }
            let last = rows.last().filter(|_| rows.len() == OWNED_READ_AT_ONCE);
            let Some((last, _)) = last else { return Ok(forgotten) };
            range = range.behind(last);
        }
    }

    /// Records of an owner, of any board and period here, behind this period.
    pub fn owned(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: UserId,
        after: Option<Period>,
    ) -> Applied<Owned, Never> {
        let mut range = Range::prefix(OWNED, owner.as_bytes(), OWNED_READ_AT_ONCE);
        if let Some(after) = after {
            range = range.behind(&after.owned_key(owner));
        }
        let rows = ctx.view.range(&range)?;
        let periods = rows.iter().map(|(key, _)| key.get(16..)?.try_into().ok().map(Period));
        let periods: Option<Vec<_>> = periods.collect();
        let periods = periods.ok_or(Stop::Damaged(OWNED))?;
        let next = periods.last().copied().filter(|_| rows.len() == OWNED_READ_AT_ONCE);
        let (mut records, mut is_missing) = (Vec::new(), false);
        for period in periods {
            let Some(board) = self.of_prefix(&period.0) else { continue };
            match ctx.view.get(Score::TABLE, &period.score_key(owner)) {
                Err(Unavailable) => is_missing = true,
                Ok(None) => {}
                Ok(Some(score)) => {
                    let score = StoredScore::decode(score).ok_or(Stop::Damaged(Score::TABLE))?;
                    let (board, expiry) = (board.id.clone(), period.expiry());
                    records.push(Written {
                        board,
                        expiry,
                        listed: Listed { owner, rank: 0, score },
                    });
                }
            }
        }
        if is_missing { Err(Stop::Unavailable) } else { Ok(Owned { records, next }) }
    }

    /// Follows what was written: to boards, and to their ranks.
    pub fn follow(&mut self, frame: &Frame) {
        for ChangeRef { table, key, value } in frame.changes() {
            if table == Definition::TABLE {
                self.follow_definition(key, value);
            } else if table == BoardEvent::TABLE
                && let Ok(key) = key.try_into()
            {
                match value.and_then(BoardEvent::decode) {
                    Some(event) => self.events.insert(key, event),
                    None => self.events.remove(&key),
                };
            } else if table == DELETIONS
                && let Ok(prefix) = key.try_into()
            {
                match value {
                    Some(_) => self.deletions.insert(prefix),
                    None => self.deletions.remove(&prefix),
                };
            } else if let Some(followed) = Followed::of(table, key, value) {
                self.follow_ranks(followed);
            } else if table == Score::TABLE
                && let Some(board) = self.of_prefix(key)
            {
                board.first_page = None;
            }
        }
    }

    fn follow_definition(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Ok(id) = std::str::from_utf8(key) else { return };
        match value.and_then(Definition::decode) {
            Some(definition) => self.take(id, definition),
            None => {
                if let Some(gone) = self.boards.remove(id) {
                    self.ids.remove(&gone.definition.prefix);
                }
            }
        }
    }

    fn take(&mut self, id: &str, definition: Definition) {
        let prefix = definition.prefix;
        let mut board = Board::new(id, definition);
        if let Some(known) = self.boards.remove(id) {
            self.ids.remove(&known.definition.prefix);
            if known.definition.prefix == prefix {
                board.periods = known.periods;
            }
        }
        self.ids.insert(prefix, id.to_owned());
        self.due.insert((0, board.id.clone()));
        self.boards.insert(id.to_owned(), board);
    }

    fn of_prefix(&mut self, key: &[u8]) -> Option<&mut Board> {
        let id = self.ids.get(key.first_chunk()?)?;
        self.boards.get_mut(id)
    }

    fn follow_ranks(&mut self, followed: Followed) {
        let (Followed::Counted(period, ..) | Followed::Placed(period, ..)) = followed;
        let Some(board) = self.of_prefix(&period.0) else { return };
        board.first_page = None;
        let expiry = period.expiry();
        let Some(ranks) = board.periods.get_mut(&expiry) else { return };
        match followed {
            Followed::Counted(_, first, count) => ranks.counted(first, count),
            Followed::Placed(_, place, is_there) => ranks.placed(place, is_there),
        }
    }

    /// Brings the memory of all ranks back to this size, a board at a time, and forgets the pages
    /// that were listed.
    pub fn cool(&mut self, most: usize) {
        for board in self.boards.values_mut() {
            board.first_page = None;
        }
        let size = |board: &Board| board.periods.values().map(Ranks::size).sum::<usize>();
        let mut all: usize = self.boards.values().map(size).sum();
        for board in self.boards.values_mut() {
            for ranks in board.periods.values_mut() {
                if all <= most {
                    return;
                }
                let before = ranks.size();
                ranks.cool(all - most);
                all -= before - ranks.size();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaderboard::tests::{leaderboard, owner};
    use super::super::leaderboard::{By, Wish, Write};
    use super::*;
    use crate::ctx::world::World;

    fn run<T>(
        world: &mut World,
        boards: &mut Boards,
        command: impl FnOnce(&mut Boards, &mut Ctx<'_>) -> T,
    ) -> T {
        boards.load(world.view(), |id| id != "foreign").expect("all is here");
        let (result, changes) = world.apply_and_tell(|ctx| command(boards, ctx));
        boards.follow(&Frame::encode(&changes));
        result
    }

    fn write(world: &mut World, boards: &mut Boards, number: u8) -> u64 {
        let write = Write { score: i64::from(number), ..Write::default() };
        run(world, boards, |boards, ctx| {
            let board = boards.find("board").expect("it is there");
            board.write(ctx, &owner(number), &write, By::Leaderboard).expect("it is written")
        })
        .listed
        .rank
    }

    #[test]
    fn a_board_of_the_same_id_is_left_as_it_is() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        let mut create = |boards: &mut Boards, new: &NewBoard| {
            run(&mut world, boards, |boards, ctx| boards.create(ctx, new))
        };
        assert_eq!(create(&mut boards, &leaderboard()), Ok(()));
        let other = NewBoard { is_descending: false, ..leaderboard() };
        assert_eq!(create(&mut boards, &other), Ok(()));
        assert!(boards.find("board").is_ok_and(|board| board.definition.is_descending));
        let wrong = NewBoard { reset: "not now".into(), ..leaderboard() };
        let why = "reset_schedule: is no CRON expression";
        assert_eq!(create(&mut boards, &wrong), Err(Error::Wrong(why)));
    }

    #[test]
    fn boards_are_read_in_pages_and_others_are_left_out() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        for number in 0..3 * BOARDS_READ_AT_ONCE {
            let new = NewBoard { id: format!("board-{number:04}"), ..leaderboard() };
            run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &new))
                .expect("it is created");
        }
        let foreign = NewBoard { id: "foreign".into(), ..leaderboard() };
        run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &foreign))
            .expect("it is created");
        let mut read = Boards::default();
        read.load(world.view(), |id| id != "foreign").expect("all is here");
        assert_eq!(read.len(), 3 * BOARDS_READ_AT_ONCE);
        assert!(read.find("foreign").is_err());
    }

    #[test]
    fn a_deleted_board_leaves_nothing_and_comes_back_empty() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &leaderboard()))
            .expect("it is created");
        for number in 1..=9 {
            write(&mut world, &mut boards, number);
        }
        run(&mut world, &mut boards, |boards, ctx| boards.delete(ctx, "board"))
            .expect("it is there");
        assert!(boards.find("board").is_err());
        world.now += 1; // another prefix
        run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &leaderboard()))
            .expect("it is created");
        assert_eq!(write(&mut world, &mut boards, 1), 1, "it never meets the old records");
        // The deletion is found again after a start.
        boards = Boards::default();
        boards.load(world.view(), |_| true).expect("all is here");
        let mut steps = 0;
        while let Some(prefix) = boards.deletion() {
            run(&mut world, &mut boards, |boards, ctx| boards.sweep(ctx, prefix))
                .expect("all is here");
            steps += 1;
        }
        assert_eq!(steps, 2, "the rows, and that they were to be deleted");
        assert_eq!(world.len(), 5, "one board with one record");
    }

    #[test]
    fn an_owner_is_forgotten_on_all_boards_here_and_others_are_not() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        for number in 0..RECORDS_FORGOTTEN_AT_ONCE + 3 {
            let new = NewBoard { id: format!("board-{number}"), ..leaderboard() };
            run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &new))
                .expect("it is created");
            for of in 1..=2 {
                let score = Write { score: of, ..Write::default() };
                let of = owner(u8::try_from(of).expect("it is small"));
                run(&mut world, &mut boards, |boards, ctx| {
                    let board = boards.find(&new.id).expect("it is there");
                    board.write(ctx, &of, &score, By::Leaderboard).expect("it is written")
                });
            }
            world.now += 1; // another prefix
        }
        let mut forget = |boards: &mut Boards| {
            let id = owner(2).id;
            run(&mut world, boards, |boards, ctx| boards.forget(ctx, id)).expect("all is here")
        };
        let Forgotten { boards: some, has_more } = forget(&mut boards);
        assert_eq!((some.len(), has_more), (RECORDS_FORGOTTEN_AT_ONCE, true));
        let Forgotten { boards: rest, has_more } = forget(&mut boards);
        assert_eq!((rest.len(), has_more), (3, false));
        assert_eq!(forget(&mut boards), Forgotten::default());
        let wish = Wish { owners: vec![owner(1).id, owner(2).id], ..Wish::default() };
        let left = run(&mut world, &mut boards, |boards, ctx| {
            boards.find("board-7").expect("it is there").list(ctx, &wish).expect("it is listed")
        });
        let [only] = &left.owner_records[..] else { panic!("{left:?}") };
        assert_eq!((only.owner, only.rank), (owner(1).id, 1));
    }

    #[test]
    fn a_configured_board_is_created_and_follows_what_can_change() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        let mut configure = |boards: &mut Boards, new: &NewBoard| {
            run(&mut world, boards, |boards, ctx| boards.configure(ctx, new))
        };
        assert_eq!(configure(&mut boards, &leaderboard()), Ok(()));
        let other = NewBoard {
            is_descending: false,
            is_authoritative: true,
            metadata: "{\"a\": 1}".into(),
            ..leaderboard()
        };
        assert_eq!(configure(&mut boards, &other), Ok(()));
        let Definition { is_descending, is_authoritative, metadata, .. } =
            boards.find("board").expect("it is there").definition.clone();
        assert_eq!((is_descending, is_authoritative), (true, true));
        assert_eq!(metadata, "{\"a\": 1}");
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &leaderboard()))
            .expect("it is created");
        for number in 1..=3 {
            write(&mut world, &mut boards, number);
        }
        let update = BoardUpdate { has_ranks: Some(false), ..BoardUpdate::default() };
        run(&mut world, &mut boards, |boards, ctx| boards.update(ctx, "board", &update))
            .expect("it is there");
        assert_eq!(write(&mut world, &mut boards, 4), 0, "it has no ranks any more");
        let unknown =
            run(&mut world, &mut boards, |boards, ctx| boards.update(ctx, "other", &update));
        assert_eq!(unknown, Err(Error::NotFound));
    }

    #[test]
    fn the_period_in_use_stays_in_memory_whatever_periods_are_asked_for() {
        let (mut world, mut boards) = (World::default(), Boards::default());
        run(&mut world, &mut boards, |boards, ctx| boards.create(ctx, &leaderboard()))
            .expect("it is created");
        for number in 1..=9 {
            write(&mut world, &mut boards, number);
        }
        for expiry in 1..=2 * PERIODS_CACHED_MAX as u64 {
            let wish = Wish { limit: Some(1), expiry: Some(expiry), ..Wish::default() };
            run(&mut world, &mut boards, |boards, ctx| {
                boards.find("board").expect("it is there").list(ctx, &wish).map(drop)
            })
            .expect("it is listed");
        }
        let board = boards.find("board").expect("it is there");
        assert!(board.periods.len() <= PERIODS_CACHED_MAX);
        assert!(board.periods.contains_key(&0), "it was read again and again otherwise");
    }
}
