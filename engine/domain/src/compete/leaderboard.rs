//! Records of a board: how they are written, and how they are listed with their ranks.

use std::sync::Arc;

use base::UserId;
use base::limits::RECORDS_PAGE_MAX;

use super::board::{Board, Error, NUM_SCORE_DEFAULT, Operator};
use super::rank::Count;
use crate::ctx::{Applied, Ctx, Stop};
use crate::record::board::{COUNTS, INDEX, OWNED, Period, Place, Score, StoredScore};
use crate::record::{self, Record as _};

/// By which way a board is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A client, as for a leaderboard.
    Leaderboard,
    /// A client, as for a tournament.
    Tournament,
    /// A server, which may do what clients may not.
    Server,
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: UserId,
    pub username: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    pub score: i64,
    pub subscore: i64,
    /// A number above that of an [`Operator`]; 0: that of the board.
    pub operator: i32,
    /// JSON object; without it, what was there stays.
    pub metadata: Option<String>,
}

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Whose records are wanted besides.
    pub owners: Vec<UserId>,
    /// Without it, no page is.
    pub limit: Option<usize>,
    pub cursor: Option<Cursor>,
    /// The end of the period; without it, it is the current one.
    pub expiry: Option<u64>,
}

/// Where a page begins: behind a place, or before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub board: Arc<str>,
    pub expiry: u64,
    pub place: Place,
    pub is_next: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub owner: UserId,
    /// From 1 on; 0: the board has no ranks.
    pub rank: u64,
    pub score: StoredScore,
}

/// A record as its writer is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub board: Arc<str>,
    pub expiry: u64,
    pub listed: Listed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    pub board: Arc<str>,
    pub expiry: u64,
    pub records: Vec<Listed>,
    pub owner_records: Vec<Listed>,
    /// All records of the period; 0 where they have no ranks.
    pub rank_count: u64,
    pub next: Option<Cursor>,
    pub prev: Option<Cursor>,
}

impl Board {
    pub fn write(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: &Owner,
        write: &Write,
        by: By,
    ) -> Applied<Written, Error> {
        let expiry = self.admit_write(ctx, by).map_err(Stop::Refused)?;
        let (score, subscore) = (number(write.score)?, number(write.subscore)?);
        let operator = self.operator_of(write)?;
        let key = self.period(expiry).score_key(owner.id);
        let known: Option<Score> = record::read(ctx, &key)?;
        let is_tournament = by != By::Leaderboard && self.definition.tournament.is_some();
        if is_tournament
            && let Some(unchanged) = self.admit_attempt(ctx, owner.id, expiry, known.as_ref())?
        {
            return Ok(unchanged);
        }
        let Some(known) = known else {
            let decremented = operator == Operator::Decrement;
            let first = Score {
                score: if decremented { 0 } else { score },
                subscore: if decremented { 0 } else { subscore },
                num_score: 1,
                metadata: write.metadata.clone().unwrap_or_else(|| "{}".to_owned()),
                ..self.new_score(ctx, owner)
            };
            return self.put(ctx, owner.id, expiry, None, &first);
        };
        let (new_score, new_subscore, has_effect) =
            self.combine(operator, (known.score, known.subscore), (score, subscore))?;
        if !has_effect && !is_tournament {
            return self.unchanged(ctx, owner.id, expiry, &known);
        }
        let new = Score {
            score: new_score,
            subscore: new_subscore,
            num_score: known.num_score.saturating_add(1),
            max_num_score: self.max_num_score(),
            username: owner.username.clone(),
            metadata: write.metadata.clone().unwrap_or_else(|| known.metadata.clone()),
            create_time: known.create_time,
            update_time: ctx.now.wall.secs(),
        };
        self.put(ctx, owner.id, expiry, Some(&known), &new)
    }

    /// Deletes the record of the current period, if there is one.
    pub fn delete(&mut self, ctx: &mut Ctx<'_>, owner: UserId, by: By) -> Applied<(), Error> {
        let is_tournament = self.definition.tournament.is_some();
        match by {
            By::Leaderboard if is_tournament => return Err(Stop::Refused(Error::NotFound)),
            By::Leaderboard if self.definition.is_authoritative => {
                return Err(Stop::Refused(Error::Authoritative));
            }
            By::Tournament if !is_tournament || self.definition.is_authoritative => {
                return Err(Stop::Refused(Error::OtherKind));
            }
            By::Leaderboard | By::Tournament | By::Server => {}
        }
        let expiry = self.expiry(ctx.now.wall.secs());
        let period = self.period(expiry);
        let key = period.score_key(owner);
        let known: Option<Score> = record::read(ctx, &key)?;
        if let Some(known) = known {
            let old = Place::new(known.score, known.subscore, owner);
            let counts = self.ranks(expiry).plan(ctx.view, Some(&old), None);
            let counts = counts.map_err(Stop::never)?;
            move_place(ctx, period, &counts, Some(&old), None);
            record::delete::<Score>(ctx, &key);
            ctx.delete(OWNED, &period.owned_key(owner));
        }
        Ok(())
    }

    pub fn list(&mut self, ctx: &mut Ctx<'_>, wish: &Wish) -> Applied<Arc<Records>, Error> {
        let expiry = wish.expiry.unwrap_or_else(|| self.expiry(ctx.now.wall.secs()));
        let is_first = wish.owners.is_empty() && wish.cursor.is_none();
        if let Some((limit, page)) = &self.first_page
            && is_first
            && Some(*limit) == wish.limit
            && page.expiry == expiry
        {
            return Ok(page.clone());
        }
        let mut records = self.page(ctx, wish, expiry)?;
        records.owner_records = self.of_owners(ctx, &wish.owners, expiry)?;
        let records = Arc::new(records);
        if let Some(limit) = wish.limit
            && is_first
            && wish.expiry.is_none()
        {
            self.first_page = Some((limit, records.clone()));
        }
        Ok(records)
    }

    /// Records around that of an owner; none if they have none.
    pub fn around(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: UserId,
        wish: &Wish,
    ) -> Applied<Arc<Records>, Error> {
        let expiry = wish.expiry.unwrap_or_else(|| self.expiry(ctx.now.wall.secs()));
        if wish.cursor.is_some() {
            return self.page(ctx, wish, expiry).map(Arc::new);
        }
        let known: Option<Score> = record::read(ctx, &self.period(expiry).score_key(owner))?;
        let Some(known) = known else { return Ok(Arc::new(self.no_records(expiry))) };
        let place = Place::new(known.score, known.subscore, owner);
        let count = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        let (before, _) = self.before(ctx, expiry, &place, count)?;
        let limit = wish.limit.unwrap_or(1) as u64;
        let from = before.saturating_sub(limit / 2).min(count.saturating_sub(limit));
        self.records_from(ctx, expiry, from, limit, count).map(Arc::new)
    }

    fn page(&mut self, ctx: &mut Ctx<'_>, wish: &Wish, expiry: u64) -> Applied<Records, Error> {
        if let Some(cursor) = &wish.cursor
            && (cursor.board != self.id || cursor.expiry != expiry)
        {
            return Err(Stop::Refused(Error::Cursor));
        }
        let count = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        let limit = wish.limit.unwrap_or(0) as u64;
        let (from, limit) = match &wish.cursor {
            None => (0, limit),
            Some(Cursor { place, is_next, .. }) => {
                let (before, is_there) = self.before(ctx, expiry, place, count)?;
                match is_next {
                    true => (before + u64::from(is_there), limit),
                    false => (before.saturating_sub(limit), limit.min(before)),
                }
            }
        };
        self.records_from(ctx, expiry, from, limit, count)
    }

    /// Records from this number on, in the order of the board.
    fn records_from(
        &mut self,
        ctx: &mut Ctx<'_>,
        expiry: u64,
        from: u64,
        limit: u64,
        count: u64,
    ) -> Applied<Records, Error> {
        let length = limit.min(count.saturating_sub(from));
        let short = usize::try_from(length).unwrap_or(RECORDS_PAGE_MAX);
        let mut places = match self.definition.is_descending {
            false => self.ranks(expiry).page(ctx.view, from, short),
            true => self.ranks(expiry).page(ctx.view, count - from.min(count) - length, short),
        }
        .map_err(Stop::never)?;
        if self.definition.is_descending {
            places.reverse();
        }
        let ranked = places.iter().zip(from + 1..).map(|(place, rank)| (place.owner(), rank));
        let records = self.read_scores(ctx, expiry, ranked)?;
        let cursor = |place: &Place, is_next| {
            Some(Cursor { board: self.id.clone(), expiry, place: *place, is_next })
        };
        let is_last = from + length >= count;
        Ok(Records {
            next: places.last().filter(|_| !is_last).and_then(|place| cursor(place, true)),
            prev: places.first().filter(|_| from > 0).and_then(|place| cursor(place, false)),
            records,
            rank_count: if self.definition.has_ranks { count } else { 0 },
            ..self.no_records(expiry)
        })
    }

    /// Records of these owners, in the order of the board.
    fn of_owners(
        &mut self,
        ctx: &mut Ctx<'_>,
        owners: &[UserId],
        expiry: u64,
    ) -> Applied<Vec<Listed>, Error> {
        let (mut found, mut is_missing) = (Vec::new(), false);
        let period = self.period(expiry);
        for owner in owners {
            match record::read::<Score, Error>(ctx, &period.score_key(*owner)) {
                Ok(None) => {}
                Ok(Some(score)) => {
                    found.push(Place::new(score.score, score.subscore, *owner));
                }
                Err(Stop::Unavailable) => is_missing = true,
                Err(stop) => return Err(stop),
            }
        }
        if is_missing {
            return Err(Stop::Unavailable);
        }
        found.sort_unstable();
        found.dedup();
        if self.definition.is_descending {
            found.reverse();
        }
        let count = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        let mut ranked = Vec::new();
        for place in &found {
            match self.before(ctx, expiry, place, count) {
                Ok((before, _)) => ranked.push((place.owner(), before + 1)),
                Err(Stop::Unavailable) => is_missing = true,
                Err(stop) => return Err(stop),
            }
        }
        if is_missing {
            return Err(Stop::Unavailable);
        }
        self.read_scores(ctx, expiry, ranked.into_iter())
    }

    fn read_scores(
        &self,
        ctx: &mut Ctx<'_>,
        expiry: u64,
        ranked: impl Iterator<Item = (UserId, u64)>,
    ) -> Applied<Vec<Listed>, Error> {
        let (mut records, mut is_missing) = (Vec::with_capacity(ranked.size_hint().0), false);
        let period = self.period(expiry);
        for (owner, rank) in ranked {
            let Ok(found) = ctx.view.get(Score::TABLE, &period.score_key(owner)) else {
                is_missing = true;
                continue;
            };
            let score = found.and_then(StoredScore::decode).ok_or(Stop::Damaged(Score::TABLE))?;
            let rank = if self.definition.has_ranks { rank } else { 0 };
            records.push(Listed { owner, rank, score });
        }
        if is_missing { Err(Stop::Unavailable) } else { Ok(records) }
    }

    /// How many records stand before this place, and whether a record stands there.
    fn before(
        &mut self,
        ctx: &mut Ctx<'_>,
        expiry: u64,
        place: &Place,
        count: u64,
    ) -> Applied<(u64, bool), Error> {
        let below = self.ranks(expiry).below(ctx.view, place).map_err(Stop::never)?;
        let (below, is_there) = below;
        Ok(match self.definition.is_descending {
            false => (below, is_there),
            true => (count.saturating_sub(below + u64::from(is_there)), is_there),
        })
    }

    fn no_records(&self, expiry: u64) -> Records {
        Records {
            board: self.id.clone(),
            expiry,
            records: Vec::new(),
            owner_records: Vec::new(),
            rank_count: 0,
            next: None,
            prev: None,
        }
    }

    /// A record that a write left as it was.
    pub(super) fn unchanged(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: UserId,
        expiry: u64,
        known: &Score,
    ) -> Applied<Written, Error> {
        let place = Place::new(known.score, known.subscore, owner);
        let count = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        let (before, _) = self.before(ctx, expiry, &place, count)?;
        Ok(self.written(owner, expiry, before + 1, known))
    }

    fn written(&self, owner: UserId, expiry: u64, rank: u64, score: &Score) -> Written {
        let rank = if self.definition.has_ranks { rank } else { 0 };
        let listed = Listed { owner, rank, score: StoredScore::new(score) };
        Written { board: self.id.clone(), expiry, listed }
    }

    /// Writes a record, whose rank is then known.
    pub(super) fn put(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: UserId,
        expiry: u64,
        known: Option<&Score>,
        new: &Score,
    ) -> Applied<Written, Error> {
        let period = self.period(expiry);
        let old = known.map(|known| Place::new(known.score, known.subscore, owner));
        let place = Place::new(new.score, new.subscore, owner);
        let count = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        // Without the record as it was.
        let others = count - u64::from(old.is_some()).min(count);
        let (below, _) = self.ranks(expiry).below(ctx.view, &place).map_err(Stop::never)?;
        let below = below - u64::from(old.is_some_and(|old| old < place)).min(below);
        let before = if self.definition.is_descending { others - below } else { below };
        if old != Some(place) {
            let counts = self.ranks(expiry).plan(ctx.view, old.as_ref(), Some(&place));
            move_place(ctx, period, &counts.map_err(Stop::never)?, old.as_ref(), Some(&place));
        }
        if known.is_none() {
            ctx.put(OWNED, &period.owned_key(owner), Vec::new());
        }
        record::write(ctx, &period.score_key(owner), new);
        Ok(self.written(owner, expiry, before + 1, new))
    }

    /// A record of somebody who has written nothing yet.
    pub(super) fn new_score(&self, ctx: &Ctx<'_>, owner: &Owner) -> Score {
        Score {
            score: 0,
            subscore: 0,
            num_score: 0,
            max_num_score: self.max_num_score(),
            username: owner.username.clone(),
            metadata: "{}".to_owned(),
            create_time: ctx.now.wall.secs(),
            update_time: ctx.now.wall.secs(),
        }
    }

    pub fn max_num_score(&self) -> u32 {
        let terms = self.definition.tournament.as_ref();
        terms.map_or(NUM_SCORE_DEFAULT, |terms| terms.max_num_score)
    }

    fn operator_of(&self, write: &Write) -> Result<Operator, Stop<Error>> {
        match write.operator {
            0 => Ok(self.operator()),
            number => {
                let number = number.checked_sub(1).and_then(|number| u8::try_from(number).ok());
                number.and_then(Operator::of_number).ok_or(Stop::Refused(Error::Operator))
            }
        }
    }

    /// Score and subscore after a write, and whether it has an effect.
    fn combine(
        &self,
        operator: Operator,
        known: (u64, u64),
        given: (u64, u64),
    ) -> Result<(u64, u64, bool), Stop<Error>> {
        let is_any = given != (0, 0);
        let better = |known: u64, given: u64| match self.definition.is_descending {
            true => known.max(given),
            false => known.min(given),
        };
        Ok(match operator {
            Operator::Best => {
                let best = (better(known.0, given.0), better(known.1, given.1));
                (best.0, best.1, best != known)
            }
            Operator::Set => (given.0, given.1, given != known),
            Operator::Increment => (add(known.0, given.0)?, add(known.1, given.1)?, is_any),
            Operator::Decrement => {
                (known.0.saturating_sub(given.0), known.1.saturating_sub(given.1), is_any)
            }
        })
    }
}

/// The counts of blocks first: whoever follows splits a block before its places move.
fn move_place(
    ctx: &mut Ctx<'_>,
    period: Period,
    counts: &[Count],
    old: Option<&Place>,
    new: Option<&Place>,
) {
    for (first, count) in counts {
        let key = period.place_key(first);
        match count {
            Some(count) => ctx.put(COUNTS, &key, count.to_be_bytes().to_vec()),
            None => ctx.delete(COUNTS, &key),
        }
    }
    if let Some(old) = old {
        ctx.delete(INDEX, &period.place_key(old));
    }
    if let Some(new) = new {
        ctx.put(INDEX, &period.place_key(new), Vec::new());
    }
}

/// Scores are not negative.
fn number(given: i64) -> Result<u64, Stop<Error>> {
    u64::try_from(given).map_err(|_| Stop::Refused(Error::Negative))
}

/// A score is no larger than clients can be told.
fn add(known: u64, given: u64) -> Result<u64, Stop<Error>> {
    let sum = known.checked_add(given).filter(|sum| i64::try_from(*sum).is_ok());
    sum.ok_or(Stop::Refused(Error::Overflow))
}

#[cfg(test)]
pub(super) mod tests {
    use base::Frame;

    use super::super::board::{Boards, NewBoard};
    use super::*;
    use crate::ctx::world::World;

    /// A home with one board.
    pub(crate) struct Home {
        pub(crate) world: World,
        boards: Boards,
    }

    impl Home {
        pub(crate) fn new(board: &NewBoard) -> Home {
            let mut home = Home { world: World::default(), boards: Boards::default() };
            home.boards.load(home.world.view(), |_| true).expect("all is here");
            home.run(|boards, ctx| boards.create(ctx, board)).expect("it is a good board");
            home
        }

        fn run<T>(&mut self, command: impl FnOnce(&mut Boards, &mut Ctx<'_>) -> T) -> T {
            let Home { world, boards } = self;
            let (result, changes) = world.apply_and_tell(|ctx| command(boards, ctx));
            boards.follow(&Frame::encode(&changes));
            result
        }

        pub(crate) fn on_board<T>(
            &mut self,
            command: impl FnOnce(&mut Board, &mut Ctx<'_>) -> T,
        ) -> T {
            self.run(|boards, ctx| command(boards.find("board").expect("it is there"), ctx))
        }

        fn write(&mut self, number: u8, write: &Write) -> Applied<(u64, u64, u64, u32), Error> {
            let written = self
                .on_board(|board, ctx| board.write(ctx, &owner(number), write, By::Leaderboard));
            written.map(|written| shown(&written.listed))
        }

        fn list(&mut self, wish: &Wish) -> Applied<Arc<Records>, Error> {
            let listed = self.on_board(|board, ctx| board.list(ctx, wish));
            // What is read from the rows alone is the same.
            self.boards = Boards::default();
            self.boards.load(self.world.view(), |_| true).expect("all is here");
            assert_eq!(self.on_board(|board, ctx| board.list(ctx, wish)), listed);
            listed
        }
    }

    pub(crate) fn leaderboard() -> NewBoard {
        NewBoard {
            id: "board".into(),
            is_descending: true,
            operator: Operator::Best,
            is_authoritative: false,
            has_ranks: true,
            reset: String::new(),
            metadata: "{}".into(),
            tournament: None,
        }
    }

    pub(crate) fn owner(number: u8) -> Owner {
        Owner { id: UserId::from_bytes([number; 16]), username: format!("player {number}") }
    }

    /// Score, subscore, rank and number of writes.
    pub(crate) fn shown(listed: &Listed) -> (u64, u64, u64, u32) {
        let score = listed.score.get();
        let (points, more) = (score.score.to_native(), score.subscore.to_native());
        (points, more, listed.rank, score.num_score.to_native())
    }

    fn of(operator: Operator) -> Home {
        Home::new(&NewBoard { operator, ..leaderboard() })
    }

    fn scored(score: i64, subscore: i64) -> Write {
        Write { score, subscore, ..Write::default() }
    }

    fn page(limit: usize) -> Wish {
        Wish { limit: Some(limit), ..Wish::default() }
    }

    fn owners(records: &[Listed]) -> Vec<(u8, u64)> {
        records.iter().map(|listed| (listed.owner.as_bytes()[0], listed.rank)).collect()
    }

    /// Rows 209 to 215.
    #[test]
    fn each_operator_combines_in_its_own_way() {
        let check = |operator, writes: &[(i64, i64)], expected: &[(u64, u64, u64, u32)]| {
            let mut home = of(operator);
            for (given, expected) in writes.iter().zip(expected) {
                assert_eq!(home.write(1, &scored(given.0, given.1)), Ok(*expected), "{given:?}");
            }
        };
        let best = [(10, 1, 1, 1), (10, 9, 1, 2), (10, 9, 1, 2), (11, 9, 1, 3)];
        check(Operator::Best, &[(10, 1), (5, 9), (10, 9), (11, 0)], &best);
        let set = [(10, 0, 1, 1), (5, 0, 1, 2), (5, 0, 1, 2), (0, 0, 1, 3)];
        check(Operator::Set, &[(10, 0), (5, 0), (5, 0), (0, 0)], &set);
        let increment = [(10, 1, 1, 1), (15, 3, 1, 2), (15, 3, 1, 2)];
        check(Operator::Increment, &[(10, 1), (5, 2), (0, 0)], &increment);
        let decrement = [(0, 0, 1, 1), (0, 0, 1, 2), (0, 0, 1, 2)];
        check(Operator::Decrement, &[(10, 1), (5, 2), (0, 0)], &decrement);
    }

    #[test]
    fn an_ascending_board_keeps_the_lowest() {
        let mut home = Home::new(&NewBoard { is_descending: false, ..leaderboard() });
        assert_eq!(home.write(1, &scored(10, 5)), Ok((10, 5, 1, 1)));
        assert_eq!(home.write(1, &scored(12, 3)), Ok((10, 3, 1, 2)));
        assert_eq!(home.write(2, &scored(9, 9)), Ok((9, 9, 1, 1)));
        assert_eq!(home.write(3, &scored(11, 0)), Ok((11, 0, 3, 1)));
        let listed = home.list(&page(10)).expect("it is listed");
        assert_eq!(owners(&listed.records), [(2, 1), (1, 2), (3, 3)]);
    }

    /// Rows 214, 216.
    #[test]
    fn a_write_names_its_operator_or_is_refused() {
        let mut home = of(Operator::Best);
        let by = |operator, score| Write { operator, ..scored(score, 0) };
        assert_eq!(home.write(1, &by(0, 10)), Ok((10, 0, 1, 1)));
        assert_eq!(home.write(1, &by(2, 5)), Ok((5, 0, 1, 2)));
        assert_eq!(home.write(1, &by(3, 7)), Ok((12, 0, 1, 3)));
        assert_eq!(home.write(1, &by(4, 20)), Ok((0, 0, 1, 4)));
        let refused = |error| Err(Stop::Refused(error));
        for operator in [5, 9, -1, i32::MIN] {
            assert_eq!(home.write(1, &by(operator, 1)), refused(Error::Operator));
        }
        assert_eq!(home.write(1, &scored(-1, 0)), refused(Error::Negative));
        assert_eq!(home.write(1, &scored(0, -1)), refused(Error::Negative));
        assert_eq!(home.write(1, &by(3, i64::MAX)), Ok((i64::MAX as u64, 0, 1, 5)));
        assert_eq!(home.write(1, &by(3, 1)), refused(Error::Overflow));
        let mut home = Home::new(&NewBoard { is_authoritative: true, ..leaderboard() });
        assert_eq!(home.write(1, &scored(1, 0)), refused(Error::Authoritative));
        let by = By::Server;
        let written = home.on_board(|board, ctx| board.write(ctx, &owner(1), &scored(1, 0), by));
        assert_eq!(written.map(|written| written.listed.rank), Ok(1));
    }

    /// Row 215.
    #[test]
    fn metadata_and_name_follow_writes_that_have_an_effect() {
        let mut home = of(Operator::Set);
        let metadata = |home: &mut Home| {
            let listed = home.list(&page(1)).expect("it is listed");
            listed.records[0].score.get().metadata.as_str().to_owned()
        };
        let with = |score, text: &str| Write { metadata: Some(text.into()), ..scored(score, 0) };
        home.write(1, &scored(1, 0)).expect("it is written");
        assert_eq!(metadata(&mut home), "{}");
        home.write(1, &with(2, "{\"a\": 1}")).expect("it is written");
        home.write(1, &scored(3, 0)).expect("it is written");
        home.write(1, &with(3, "{\"a\": 2}")).expect("it is written");
        assert_eq!(metadata(&mut home), "{\"a\": 1}");
    }

    /// Rows 219 to 224.
    #[test]
    fn pages_follow_each_other_both_ways() {
        let mut home = of(Operator::Set);
        for number in 1..=5 {
            // Two of the same score: the higher owner comes first where the order descends.
            home.write(number, &scored(i64::from(number / 2), 0)).expect("it is written");
        }
        let all = home.list(&page(10)).expect("it is listed");
        assert_eq!(owners(&all.records), [(5, 1), (4, 2), (3, 3), (2, 4), (1, 5)]);
        assert_eq!((all.rank_count, &all.next, &all.prev), (5, &None, &None));
        let first = home.list(&page(2)).expect("it is listed");
        assert_eq!((owners(&first.records), &first.prev), (vec![(5, 1), (4, 2)], &None));
        let second = home.list(&Wish { cursor: first.next.clone(), ..page(2) });
        let second = second.expect("it is listed");
        assert_eq!(owners(&second.records), [(3, 3), (2, 4)]);
        let third = home.list(&Wish { cursor: second.next.clone(), ..page(2) });
        let third = third.expect("it is listed");
        assert_eq!((owners(&third.records), &third.next), (vec![(1, 5)], &None));
        let back = home.list(&Wish { cursor: third.prev.clone(), ..page(2) });
        assert_eq!(owners(&back.expect("it is listed").records), [(3, 3), (2, 4)]);
        let back = home.list(&Wish { cursor: second.prev.clone(), ..page(3) });
        assert_eq!(back.as_ref().map(|back| owners(&back.records)), Ok(vec![(5, 1), (4, 2)]));
        let moved = second.next.clone().map(|next| Cursor { board: "other".into(), ..next });
        let refused = home.list(&Wish { cursor: moved, ..page(2) });
        assert_eq!(refused, Err(Stop::Refused(Error::Cursor)));
        let other = home.list(&Wish { cursor: second.next.clone(), expiry: Some(7), ..page(2) });
        assert_eq!(other, Err(Stop::Refused(Error::Cursor)));
    }

    /// Rows 222, 223.
    #[test]
    fn owners_are_listed_in_the_order_of_the_board() {
        let mut home = of(Operator::Set);
        for (number, score) in [(1, 10), (2, 30), (3, 20)] {
            home.write(number, &scored(score, 0)).expect("it is written");
        }
        let ids = [1, 2, 2, 9].map(|number| owner(number).id).to_vec();
        let listed = home.list(&Wish { owners: ids, ..Wish::default() }).expect("it is listed");
        assert_eq!(owners(&listed.owner_records), [(2, 1), (1, 3)]);
        assert_eq!((listed.records.len(), listed.rank_count), (0, 3));
    }

    /// Rows 227, 228.
    #[test]
    fn a_window_around_an_owner_is_filled_from_the_other_side() {
        let mut home = of(Operator::Set);
        for number in 1..=5 {
            home.write(number, &scored(60 - i64::from(number), 0)).expect("it is written");
        }
        let mut around = |number, limit| {
            let found =
                home.on_board(|board, ctx| board.around(ctx, owner(number).id, &page(limit)));
            let found = found.expect("it is listed");
            (owners(&found.records), found.prev.is_some(), found.next.is_some())
        };
        assert_eq!(around(3, 3), (vec![(2, 2), (3, 3), (4, 4)], true, true));
        assert_eq!(around(1, 3), (vec![(1, 1), (2, 2), (3, 3)], false, true));
        assert_eq!(around(5, 3), (vec![(3, 3), (4, 4), (5, 5)], true, false));
        assert_eq!(around(4, 1), (vec![(4, 4)], true, true));
        assert_eq!(around(4, 100).0.len(), 5);
        assert_eq!(around(9, 3), (vec![], false, false));
        home.on_board(|board, ctx| board.delete(ctx, owner(1).id, By::Leaderboard))
            .expect("it is deleted");
        home.on_board(|board, ctx| board.delete(ctx, owner(1).id, By::Leaderboard))
            .expect("there is none");
        assert_eq!(home.write(1, &scored(1, 0)), Ok((1, 0, 5, 1)));
    }

    /// Row 221, and what a period is.
    #[test]
    fn a_board_without_ranks_tells_none() {
        let mut home = Home::new(&NewBoard { has_ranks: false, ..leaderboard() });
        assert_eq!(home.write(1, &scored(1, 0)), Ok((1, 0, 0, 1)));
        let listed = home.list(&page(5)).expect("it is listed");
        assert_eq!((owners(&listed.records), listed.rank_count), (vec![(1, 0)], 0));
        let other = home.list(&Wish { expiry: Some(5), ..page(5) }).expect("it is listed");
        assert_eq!(other.records, []);
    }

    #[test]
    fn rows_of_a_deleted_record_are_gone() {
        let mut home = of(Operator::Set);
        let before = home.world.len();
        home.write(1, &scored(1, 0)).expect("it is written");
        assert_eq!(home.world.len(), before + 4);
        home.on_board(|board, ctx| board.delete(ctx, owner(1).id, By::Leaderboard))
            .expect("it is deleted");
        assert_eq!(home.world.len(), before);
    }
}
