//! Tournaments: boards that are open for a while, in each of their periods.

use std::cmp::Reverse;
use std::sync::Arc;

use base::UserId;

use super::board::{ANY_SIZE, Board, Boards, Definition, Error, Terms};
use super::leaderboard::{By, Owner, Wish, Written};
use super::schedule::Schedule;
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record;
use crate::record::board::Score;

/// One period of a tournament. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start_active: u64,
    pub end_active: u64,
    /// The end of the period; 0: never.
    pub expiry: u64,
}

/// The window that counts at this moment.
pub fn window(terms: &Terms, reset: Option<&Schedule>, now: u64) -> Window {
    let Terms { start_time, end_time, duration, .. } = *terms;
    let capped = |time: u64| if end_time > 0 { time.min(end_time) } else { time };
    let Some(reset) = reset else {
        let end_active = capped(start_time.saturating_add(duration));
        return Window { start_active: start_time, end_active, expiry: end_time };
    };
    let far = u64::MAX;
    let next = |after: u64| reset.next(after).unwrap_or(far);
    let of = |start: u64| {
        let expiry = next(start);
        (start, start.saturating_add(duration).min(expiry), expiry)
    };
    let (mut start, mut end, mut expiry) = match now < start_time {
        true => of(next(start_time)),
        false => of(reset.last(now).unwrap_or(0)),
    };
    if now >= start_time && start_time > start {
        if start_time < end {
            start = start_time;
        } else {
            (start, end, expiry) = of(next(start_time));
        }
    }
    if end_time > 0 && end_time < expiry {
        expiry = end_time;
        end = end.min(end_time);
    }
    Window { start_active: start, end_active: end, expiry: if expiry == far { 0 } else { expiry } }
}

/// Which tournaments are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub category_start: u32,
    pub category_end: u32,
    /// Those that start then, or later.
    pub start_time: u64,
    /// Those that end then, or earlier; at 0, those that never end. Without it, those not over.
    pub end_time: Option<u64>,
    pub limit: usize,
    pub after: Option<Standing>,
}

impl Filter {
    fn takes(&self, terms: &Terms, now: u64) -> bool {
        let Terms { category, start_time, end_time, .. } = *terms;
        let ends_as_wanted = match self.end_time {
            None => end_time == 0 || end_time > now,
            Some(0) => end_time == 0,
            Some(wanted) => end_time > 0 && end_time <= wanted,
        };
        (self.category_start..=self.category_end).contains(&u32::from(category))
            && start_time >= self.start_time
            && ends_as_wanted
    }
}

/// Where a tournament stands in a list: by start, the latest end first, then by category and id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    pub start_time: u64,
    pub end_time: Reverse<u64>,
    pub category: u8,
    pub id: Arc<str>,
}

/// A board as it is at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: Arc<str>,
    pub definition: Definition,
    /// 0: none.
    pub prev_reset: u64,
    pub next_reset: u64,
    pub tournament: Option<ShownTournament>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTournament {
    pub size: u64,
    pub can_enter: bool,
    pub window: Window,
}

impl Shown {
    /// In a list of tournaments, if it is one.
    pub fn standing(&self) -> Option<Standing> {
        let Terms { start_time, end_time, category, .. } = self.definition.tournament.as_ref()?;
        Some(Standing {
            start_time: *start_time,
            end_time: Reverse(*end_time),
            category: *category,
            id: self.id.clone(),
        })
    }
}

impl Boards {
    /// Boards behind an id, one more than are wanted.
    pub fn page(
        &mut self,
        ctx: &mut Ctx<'_>,
        after: &str,
        limit: usize,
    ) -> Applied<Vec<Shown>, Never> {
        let boards = self.iter_mut().skip_while(|board| *board.id <= *after);
        show_all(ctx, boards.take(limit + 1))
    }
}

/// The tournaments of this shard, one more than are wanted.
pub fn list(boards: &mut Boards, ctx: &mut Ctx<'_>, filter: &Filter) -> Applied<Vec<Shown>, Never> {
    let now = ctx.now.wall.secs();
    let mut wanted: Vec<(Standing, &mut Board)> = Vec::new();
    for board in boards.iter_mut() {
        let Some(terms) = board.definition.tournament.as_ref() else { continue };
        let standing = Standing {
            start_time: terms.start_time,
            end_time: Reverse(terms.end_time),
            category: terms.category,
            id: board.id.clone(),
        };
        if filter.takes(terms, now) && filter.after.as_ref().is_none_or(|after| *after < standing) {
            wanted.push((standing, board));
        }
    }
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    wanted.truncate(filter.limit + 1);
    show_all(ctx, wanted.into_iter().map(|(_, board)| board))
}

/// Everything that is missing is asked for at once.
fn show_all<'a>(
    ctx: &mut Ctx<'_>,
    boards: impl Iterator<Item = &'a mut Board>,
) -> Applied<Vec<Shown>, Never> {
    let (mut found, mut is_missing) = (Vec::new(), false);
    for board in boards {
        match board.show(ctx) {
            Ok(one) => found.push(one),
            Err(Stop::Unavailable) => is_missing = true,
            Err(stop) => return Err(stop),
        }
    }
    if is_missing { Err(Stop::Unavailable) } else { Ok(found) }
}

impl Board {
    /// The end of the period at this second; 0: never.
    pub fn expiry(&mut self, now: u64) -> u64 {
        if let Some(terms) = &self.definition.tournament {
            return window(terms, self.reset.as_ref(), now).expiry;
        }
        let Some(reset) = &self.reset else { return 0 };
        if let Some((from, to, expiry)) = self.known_expiry
            && (from..to).contains(&now)
        {
            return expiry;
        }
        let next = reset.next(now);
        self.known_expiry = Some((now, next.unwrap_or(u64::MAX), next.unwrap_or(0)));
        next.unwrap_or(0)
    }

    /// As it is at this moment.
    pub fn show(&mut self, ctx: &mut Ctx<'_>) -> Applied<Shown, Never> {
        let now = ctx.now.wall.secs();
        let expiry = self.expiry(now);
        let tournament = match &self.definition.tournament {
            None => None,
            Some(terms) => {
                let window = window(terms, self.reset.as_ref(), now);
                let (max_size, end_time) = (terms.max_size, terms.end_time);
                let size = match max_size {
                    ANY_SIZE => 0,
                    _ => self.ranks(expiry).count(ctx.view)?,
                };
                let is_open = (window.start_active..=window.end_active).contains(&now)
                    && (end_time == 0 || now < end_time);
                let can_enter = is_open && size < u64::from(max_size);
                Some(ShownTournament { size, can_enter, window })
            }
        };
        Ok(Shown {
            id: self.id.clone(),
            definition: self.definition.clone(),
            prev_reset: self.reset.as_ref().and_then(|reset| reset.last(now)).unwrap_or(0),
            next_reset: expiry,
            tournament,
        })
    }

    /// The owner takes part. Where nobody has to join, that is nothing.
    pub fn join(&mut self, ctx: &mut Ctx<'_>, owner: &Owner) -> Applied<(), Error> {
        let Some(terms) = self.definition.tournament.clone() else {
            return Err(Stop::Refused(Error::NotFound));
        };
        if !terms.is_join_required {
            return Ok(());
        }
        let now = ctx.now.wall.secs();
        let window = window(&terms, self.reset.as_ref(), now);
        if now > window.end_active || (terms.end_time > 0 && now >= terms.end_time) {
            return Err(Stop::Refused(Error::JoinOver));
        }
        let key = self.period(window.expiry).score_key(owner.id);
        if record::read::<Score, Error>(ctx, &key)?.is_some() {
            return Ok(());
        }
        if self.is_full(ctx, window.expiry, terms.max_size)? {
            return Err(Stop::Refused(Error::JoinFull));
        }
        let new = self.new_score(ctx, owner);
        self.put(ctx, owner.id, window.expiry, None, &new).map(drop)
    }

    /// A client's list of a tournament's records shows nothing of one that is over.
    pub fn admit_list(&self, now: u64, wish: &Wish) -> Result<(), Error> {
        let terms = self.definition.tournament.as_ref().ok_or(Error::NotFound)?;
        let is_over = terms.end_time > 0 && now >= terms.end_time;
        if is_over && wish.expiry.is_none() { Err(Error::Ended) } else { Ok(()) }
    }

    /// Whether a write may come this way at this moment; the end of its period.
    pub(super) fn admit_write(&mut self, ctx: &Ctx<'_>, by: By) -> Result<u64, Error> {
        let now = ctx.now.wall.secs();
        let is_client = by != By::Server;
        match (by, &self.definition.tournament) {
            (By::Tournament, None) => return Err(Error::OtherKind),
            (By::Tournament | By::Server, Some(terms)) => {
                let Window { start_active, end_active, expiry } =
                    window(terms, self.reset.as_ref(), now);
                if terms.end_time > 0 && now >= terms.end_time {
                    return Err(Error::Ended);
                }
                if is_client && self.definition.is_authoritative {
                    return Err(Error::Authoritative);
                }
                let is_active = (start_active..end_active).contains(&now);
                return if is_active { Ok(expiry) } else { Err(Error::NotActive) };
            }
            (By::Leaderboard, _) | (By::Server, None) => {}
        }
        if is_client && self.definition.is_authoritative {
            return Err(Error::Authoritative);
        }
        Ok(self.expiry(now))
    }

    /// Whether an owner may write to a tournament; the record as it stays, when the write is not
    /// counted any more.
    pub(super) fn admit_attempt(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: UserId,
        expiry: u64,
        known: Option<&Score>,
    ) -> Applied<Option<Written>, Error> {
        let Some(terms) = &self.definition.tournament else { return Ok(None) };
        let (max_size, max_num_score) = (terms.max_size, terms.max_num_score);
        let is_join_required = terms.is_join_required;
        let Some(known) = known else {
            if is_join_required {
                return Err(Stop::Refused(Error::NotJoined));
            }
            if self.is_full(ctx, expiry, max_size)? {
                return Err(Stop::Refused(Error::Full));
            }
            return Ok(None);
        };
        let has_no_more = max_num_score > 0 && known.num_score >= max_num_score;
        match (has_no_more, is_join_required) {
            (false, _) => Ok(None),
            (true, false) => Err(Stop::Refused(Error::NoAttempts)),
            (true, true) => self.unchanged(ctx, owner, expiry, known).map(Some),
        }
    }

    fn is_full(&mut self, ctx: &mut Ctx<'_>, expiry: u64, max_size: u32) -> Applied<bool, Error> {
        if max_size == ANY_SIZE {
            return Ok(false);
        }
        let size = self.ranks(expiry).count(ctx.view).map_err(Stop::never)?;
        Ok(size >= u64::from(max_size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::board::{NUM_SCORE_DEFAULT, NewBoard};
    use super::super::leaderboard::Write;
    use super::super::leaderboard::tests::{Home, leaderboard, owner, shown};
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn terms() -> Terms {
        Terms {
            title: "T".into(),
            description: String::new(),
            category: 3,
            duration: HOUR,
            start_time: 1000,
            end_time: 0,
            max_size: ANY_SIZE,
            max_num_score: NUM_SCORE_DEFAULT,
            is_join_required: false,
        }
    }

    fn of(terms: Terms, reset: &str) -> Home {
        let reset = reset.into();
        Home::new(&NewBoard { tournament: Some(terms), reset, ..leaderboard() })
    }

    fn write(home: &mut Home, number: u8, score: i64) -> Applied<(u64, u64, u64, u32), Error> {
        let write = Write { score, ..Write::default() };
        let written =
            home.on_board(|board, ctx| board.write(ctx, &owner(number), &write, By::Tournament));
        written.map(|written| shown(&written.listed))
    }

    fn join(home: &mut Home, number: u8) -> Applied<(), Error> {
        home.on_board(|board, ctx| board.join(ctx, &owner(number)))
    }

    fn refused<T>(error: Error) -> Applied<T, Error> {
        Err(Stop::Refused(error))
    }

    /// Row 231.
    #[test]
    fn windows_follow_start_end_duration_and_resets() {
        let daily = Schedule::parse("0 0 * * *").expect("it is one");
        let check = |terms: &Terms, is_daily: bool, now, expected: (u64, u64, u64)| {
            let Window { start_active, end_active, expiry } =
                window(terms, is_daily.then_some(&daily), now);
            assert_eq!((start_active, end_active, expiry), expected, "at {now}");
        };
        let at = |start_time, end_time| Terms { start_time, end_time, ..terms() };
        check(&at(1000, 0), false, 5, (1000, 4600, 0));
        check(&at(1000, 0), false, 9000, (1000, 4600, 0));
        check(&at(1000, 2000), false, 5, (1000, 2000, 2000));
        // Each day for an hour, after it has begun.
        check(&at(0, 0), true, 5 * DAY, (5 * DAY, 5 * DAY + HOUR, 6 * DAY));
        check(&at(0, 0), true, 6 * DAY - 1, (5 * DAY, 5 * DAY + HOUR, 6 * DAY));
        // Before it begins.
        let late = 5 * DAY + 2 * HOUR;
        check(&at(late, 0), true, DAY, (6 * DAY, 6 * DAY + HOUR, 7 * DAY));
        // Its begin is inside of a window, or behind it.
        let inside = 5 * DAY + 60;
        check(&at(inside, 0), true, inside + 1, (inside, 5 * DAY + HOUR, 6 * DAY));
        check(&at(late, 0), true, late + 1, (6 * DAY, 6 * DAY + HOUR, 7 * DAY));
        // Its end comes before that of the period.
        let early = 5 * DAY + 60;
        check(&at(0, early), true, 5 * DAY, (5 * DAY, early, early));
        // The next reset ends a window.
        let long = Terms { duration: 3 * DAY, ..at(0, 0) };
        check(&long, true, 5 * DAY + 9, (5 * DAY, 6 * DAY, 6 * DAY));
    }

    /// Rows 235, 236.
    #[test]
    fn only_an_open_tournament_takes_scores() {
        let mut home = of(Terms { start_time: 2000, end_time: 9000, ..terms() }, "");
        assert_eq!(write(&mut home, 1, 5), refused(Error::NotActive));
        home.world.now = 2000;
        assert_eq!(write(&mut home, 1, 5), Ok((5, 0, 1, 1)));
        home.world.now = 2000 + HOUR;
        assert_eq!(write(&mut home, 1, 6), refused(Error::NotActive));
        home.world.now = 9000;
        assert_eq!(write(&mut home, 1, 6), refused(Error::Ended));
        let listed = home.on_board(|board, _| board.admit_list(9000, &Wish::default()));
        assert_eq!(listed, Err(Error::Ended));
        let old = Wish { expiry: Some(9000), ..Wish::default() };
        assert_eq!(home.on_board(|board, _| board.admit_list(9000, &old)), Ok(()));
        let mut plain = Home::new(&leaderboard());
        assert_eq!(write(&mut plain, 1, 5), refused(Error::OtherKind));
        assert_eq!(join(&mut plain, 1), refused(Error::NotFound));
    }

    /// Rows 236 to 238.
    #[test]
    fn attempts_are_counted_and_end() {
        let mut home = of(Terms { max_num_score: 2, ..terms() }, "");
        assert_eq!(write(&mut home, 1, 10), Ok((10, 0, 1, 1)));
        assert_eq!(write(&mut home, 1, 5), Ok((10, 0, 1, 2)), "it counts though it is no better");
        assert_eq!(write(&mut home, 1, 20), refused(Error::NoAttempts));
        let mut home = of(Terms { max_num_score: 1, is_join_required: true, ..terms() }, "");
        assert_eq!(write(&mut home, 1, 10), refused(Error::NotJoined));
        assert_eq!(join(&mut home, 1), Ok(()));
        assert_eq!(write(&mut home, 1, 10), Ok((10, 0, 1, 1)));
        assert_eq!(write(&mut home, 1, 20), Ok((10, 0, 1, 1)), "no more is taken");
        let mut home = of(Terms { max_num_score: 0, ..terms() }, "");
        for count in 1..5 {
            assert_eq!(write(&mut home, 1, 1), Ok((1, 0, 1, count)));
        }
    }

    /// Rows 232, 233, 237.
    #[test]
    fn as_many_take_part_as_may() {
        let mut home = of(Terms { max_size: 1, ..terms() }, "");
        assert_eq!(join(&mut home, 1), Ok(()), "nobody has to");
        assert_eq!(write(&mut home, 1, 1), Ok((1, 0, 1, 1)));
        assert_eq!(write(&mut home, 2, 1), refused(Error::Full));
        assert_eq!(write(&mut home, 1, 2), Ok((2, 0, 1, 2)));
        let mut home = of(Terms { max_size: 1, is_join_required: true, ..terms() }, "");
        let size = |home: &mut Home| {
            let shown = home.on_board(Board::show).expect("it is there");
            let tournament = shown.tournament.expect("it is one");
            (tournament.size, tournament.can_enter)
        };
        assert_eq!(size(&mut home), (0, true));
        assert_eq!(join(&mut home, 1), Ok(()));
        assert_eq!(size(&mut home), (1, false));
        assert_eq!(join(&mut home, 2), refused(Error::JoinFull));
        assert_eq!(join(&mut home, 1), Ok(()), "again");
        home.world.now = 1000 + HOUR + 1;
        assert_eq!(join(&mut home, 2), refused(Error::JoinOver));
    }

    /// Rows 226, 243.
    #[test]
    fn a_new_period_begins_with_nobody() {
        let mut home = of(Terms { start_time: 0, max_size: 5, ..terms() }, "0 0 * * *");
        home.world.now = DAY;
        assert_eq!(write(&mut home, 1, 7), Ok((7, 0, 1, 1)));
        home.world.now = 2 * DAY;
        let shown = home.on_board(Board::show).expect("it is there");
        assert_eq!((shown.prev_reset, shown.next_reset), (2 * DAY, 3 * DAY));
        assert_eq!(shown.tournament.map(|tournament| tournament.size), Some(0));
        assert_eq!(write(&mut home, 1, 3), Ok((3, 0, 1, 1)));
        let old = Wish { limit: Some(5), expiry: Some(2 * DAY), ..Wish::default() };
        let listed = home.on_board(|board, ctx| board.list(ctx, &old)).expect("it is listed");
        assert_eq!(listed.records[0].score.get().score, 7);
    }

    /// Row 230.
    #[test]
    fn a_list_takes_what_its_filter_says() {
        let filter = Filter { category_end: 127, limit: 10, ..Filter::default() };
        let check = |filter: &Filter, terms: &Terms, now, expected| {
            assert_eq!(filter.takes(terms, now), expected, "{filter:?} of {terms:?}");
        };
        let ends = |end_time| Terms { end_time, ..terms() };
        check(&filter, &ends(0), 5000, true);
        check(&filter, &ends(5000), 5000, false);
        check(&filter, &ends(5001), 5000, true);
        check(&Filter { end_time: Some(0), ..filter.clone() }, &ends(0), 5000, true);
        check(&Filter { end_time: Some(0), ..filter.clone() }, &ends(7000), 5000, false);
        check(&Filter { end_time: Some(6000), ..filter.clone() }, &ends(7000), 5000, false);
        check(&Filter { end_time: Some(6000), ..filter.clone() }, &ends(4000), 5000, true);
        check(&Filter { start_time: 1000, ..filter.clone() }, &ends(0), 5000, true);
        check(&Filter { start_time: 1001, ..filter.clone() }, &ends(0), 5000, false);
        check(&Filter { category_start: 4, ..filter.clone() }, &ends(0), 5000, false);
        check(&Filter { category_end: 2, ..filter }, &ends(0), 5000, false);
    }
}
