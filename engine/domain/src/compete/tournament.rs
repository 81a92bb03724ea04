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
