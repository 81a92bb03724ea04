//! Boards, leaderboards and tournaments alike: what there is of them, in memory at their home.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::limits::{
    BOARD_ID_MAX, BOARD_METADATA_MAX, BOARD_ROWS_DELETED_AT_ONCE, BOARDS_MAX, BOARDS_READ_AT_ONCE,
    PERIODS_CACHED_MAX, TOURNAMENT_CATEGORY_MAX, TOURNAMENT_DESCRIPTION_MAX, TOURNAMENT_TITLE_MAX,
};
use base::{ChangeRef, Code, Frame, Range, UserId};
use bytes::Bytes;

use super::leaderboard::Records;
use super::rank::{Followed, Ranks};
use super::schedule::Schedule;
use crate::ctx::{Applied, Ctx, Never, Stop, View};
use crate::record::board::{COUNTS, DELETIONS, INDEX, OWNED, Period, Score};
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

/// A board that is to be. Times are seconds since 1970.
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
            tournament: self.tournament.clone(),
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
            self.periods.pop_first(); // anybody can ask for any period
        }
        self.periods.entry(expiry).or_insert_with(|| Ranks::new(period))
    }
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

    /// Follows what was written: to boards, and to their ranks.
    pub fn follow(&mut self, frame: &Frame) {
        for ChangeRef { table, key, value } in frame.changes() {
            if table == Definition::TABLE {
                self.follow_definition(key, value);
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

    /// Brings the memory of all ranks back to this size, a board at a time.
    pub fn cool(&mut self, most: usize) {
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
    use super::super::leaderboard::{By, Write};
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
}
