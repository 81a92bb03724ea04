//! Results of matches: each is taken in once, and makes new ratings, statistics and history of its
//! players. What a result does is planned from what is read first, and prepared as a batch; when
//! something has changed meanwhile, it is planned again.

use std::collections::BTreeMap;

use base::limits::{HISTORY_MAX, RATED_QUEUES_MAX};
use base::{Code, UnixTime, UserId};

use super::rating::{Player, Rating, Rules, Team};
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::rating::{ResultPlayer, ResultTeam, played_key, result_key};
use crate::record::{self};

pub use crate::record::rating::{MatchResult, Played, QueueRating, Ratings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The match has another result already.
    Differs,
    /// Something is not what the plan was made for.
    Changed,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Differs => Code::AlreadyExists,
            Error::Changed => Code::Aborted,
        }
    }
}

/// How a match ended, as its server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub queue: String,
    pub match_id: String,
    pub teams: Vec<EndingTeam>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingTeam {
    pub name: String,
    /// The lowest is the best; those of equal rank drew.
    pub rank: u32,
    pub players: Vec<EndingPlayer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingPlayer {
    pub user: UserId,
    /// Left before the end.
    pub has_quit: bool,
}

impl Ending {
    pub fn key(&self) -> Vec<u8> {
        result_key(&self.queue, &self.match_id)
    }

    pub fn players(&self) -> impl Iterator<Item = &EndingPlayer> {
        self.teams.iter().flat_map(|team| &team.players)
    }

    fn is_told_by(&self, result: &MatchResult) -> bool {
        let same_player = |(own, other): (&EndingPlayer, &ResultPlayer)| {
            *own.user.as_bytes() == other.user_id && own.has_quit == other.has_quit
        };
        let same_team = |(own, other): (&EndingTeam, &ResultTeam)| {
            (&own.name, own.rank) == (&other.name, other.rank)
                && own.players.len() == other.players.len()
                && own.players.iter().zip(&other.players).all(same_player)
        };
        self.teams.len() == result.teams.len()
            && self.teams.iter().zip(&result.teams).all(same_team)
    }
}

/// What is known of a player before a match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Without an account, nothing is kept of the player.
    pub is_there: bool,
    /// All matches so far.
    pub matches: u64,
    /// In the queue that was asked for.
    pub rating: Option<QueueRating>,
}

/// What a result does to one player.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub user: UserId,
    /// For whom it was planned: a player of so many matches.
    pub matches: u64,
    pub rating: QueueRating,
    pub played: Played,
}

/// The whole effect of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub result: MatchResult,
    pub outcomes: Vec<Outcome>,
}

/// The result of this match, if it was taken in.
pub fn find(ctx: &mut Ctx<'_>, ending: &Ending) -> Applied<Option<MatchResult>, Error> {
    let found: Option<MatchResult> = record::read(ctx, &ending.key())?;
    match found {
        Some(found) if !ending.is_told_by(&found) => Err(Stop::Refused(Error::Differs)),
        found => Ok(found),
    }
}

/// What the player has in the queue. Whether there is the account, the caller knows.
pub fn standing(
    ctx: &mut Ctx<'_>,
    user: UserId,
    queue: &str,
    is_there: bool,
) -> Applied<Standing, Never> {
    let Ratings { matches, queues } = ratings(ctx, user)?;
    let rating = queues.into_iter().find(|rating| rating.queue == queue);
    Ok(Standing { is_there, matches, rating })
}

/// The rating of a player at this time, who may never have played.
pub fn at(rules: &Rules, rating: Option<&QueueRating>, now: UnixTime) -> Rating {
    let Some(known) = rating else { return rules.first };
    let QueueRating { rating, deviation, volatility, last_played, .. } = *known;
    let rested = now.secs().saturating_sub(last_played);
    rules.rested(Rating { rating, deviation, volatility }, rested)
}

/// What the match makes of its players. Players of whom nothing is known count as newcomers.
pub fn plan(
    ending: &Ending,
    rules: &Rules,
    standings: &BTreeMap<UserId, Standing>,
    now: UnixTime,
) -> Plan {
    let known = |user: UserId| standings.get(&user).and_then(|one| one.rating.as_ref());
    let player = |player: &EndingPlayer| Player {
        rating: at(rules, known(player.user), now),
        games: known(player.user).map_or(0, |rating| rating.games),
        has_quit: player.has_quit,
    };
    let team = |team: &EndingTeam| Team {
        rank: team.rank,
        players: team.players.iter().map(player).collect(),
    };
    let teams: Vec<_> = ending.teams.iter().map(team).collect();
    let rated = rules.rate(&teams);
    let mut result = MatchResult { time: now.secs(), teams: Vec::new() };
    let mut outcomes = Vec::new();
    for ((team, came), rated) in ending.teams.iter().zip(&teams).zip(rated) {
        let won = outcome_of(ending, team);
        let mut players = Vec::new();
        for ((player, came), after) in team.players.iter().zip(&came.players).zip(rated) {
            let EndingPlayer { user, has_quit } = *player;
            let before = came.rating;
            players.push(ResultPlayer {
                user_id: *user.as_bytes(),
                has_quit,
                before: before.rating,
                deviation_before: before.deviation,
                after: after.rating,
                deviation_after: after.deviation,
            });
            let Some(standing) = standings.get(&user).filter(|one| one.is_there) else { continue };
            let outcome = if has_quit { LOST } else { won };
            let number = standing.matches.saturating_add(1);
            let played = Played {
                number,
                queue: ending.queue.clone(),
                match_id: ending.match_id.clone(),
                time: now.secs(),
                team: team.name.clone(),
                rank: team.rank,
                outcome,
                has_quit,
                before: before.rating,
                after: after.rating,
                deviation_after: after.deviation,
            };
            let rating = counted(standing.rating.as_ref(), &played, after);
            outcomes.push(Outcome { user, matches: standing.matches, rating, played });
        }
        result.teams.push(ResultTeam { name: team.name.clone(), rank: team.rank, players });
    }
    Plan { result, outcomes }
}

/// Keeps that the match was taken in.
pub fn keep(ctx: &mut Ctx<'_>, ending: &Ending, result: &MatchResult) -> Applied<(), Error> {
    if find(ctx, ending)?.is_some() {
        return Err(Stop::Refused(Error::Changed));
    }
    record::write(ctx, &ending.key(), result);
    Ok(())
}

/// Gives a player the new rating, and the match.
pub fn apply(ctx: &mut Ctx<'_>, outcome: &Outcome) -> Applied<(), Error> {
    let Outcome { user, matches, rating, played } = outcome;
    let mut all = ratings(ctx, *user).map_err(Stop::never)?;
    if all.matches != *matches {
        return Err(Stop::Refused(Error::Changed));
    }
    all.matches = played.number;
    match all.queues.binary_search_by(|known| known.queue.cmp(&rating.queue)) {
        Ok(place) => all.queues[place] = rating.clone(),
        Err(place) => all.queues.insert(place, rating.clone()),
    }
    if all.queues.len() > RATED_QUEUES_MAX {
        // Never the new one: it was played last.
        let places = (0..all.queues.len()).filter(|place| all.queues[*place].queue != rating.queue);
        let oldest = places.min_by_key(|place| all.queues[*place].last_played);
        oldest.map(|place| all.queues.remove(place));
    }
    record::write(ctx, user.as_bytes(), &all);
    record::write(ctx, &played_key(*user, played.number), played);
    Ok(())
}

/// Matches of a player, newest first, and the number before which to go on if there may be more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub played: Vec<Played>,
    pub next: Option<u64>,
}

/// A page of the player's matches in the queue, of those with a number below this one.
pub fn history(
    ctx: &mut Ctx<'_>,
    user: UserId,
    queue: &str,
    before: Option<u64>,
    limit: usize,
) -> Applied<Page, Never> {
    let newest = ratings(ctx, user)?.matches;
    let from = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
    let oldest = newest.saturating_sub(HISTORY_MAX);
    let (mut played, mut is_missing): (Vec<Played>, _) = (Vec::new(), false);
    for number in (oldest.saturating_add(1)..=from).rev() {
        // All keys that are missing are missed at once.
        match record::read(ctx, &played_key(user, number)) {
            Ok(found) => played.extend(found.filter(|one: &Played| one.queue == queue)),
            Err(Stop::Unavailable) => is_missing = true,
            Err(stop) => return Err(stop),
        }
    }
    if is_missing {
        return Err(Stop::Unavailable);
    }
    let is_more = played.len() > limit;
    played.truncate(limit);
    let next = if is_more { played.last().map(|one| one.number) } else { None };
    Ok(Page { played, next })
}

/// Deletes everything that is kept of a player.
pub fn forget(ctx: &mut Ctx<'_>, user: UserId) -> Applied<(), Never> {
    let Ratings { matches, .. } = ratings(ctx, user)?;
    if matches > 0 {
        record::delete::<Ratings>(ctx, user.as_bytes());
    }
    for number in 1..=matches.min(HISTORY_MAX) {
        record::delete::<Played>(ctx, &played_key(user, number));
    }
    Ok(())
}

const LOST: u8 = 0;
const DRAWN: u8 = 1;
const WON: u8 = 2;

fn ratings(ctx: &mut Ctx<'_>, user: UserId) -> Applied<Ratings, Never> {
    Ok(record::read(ctx, user.as_bytes())?.unwrap_or_default())
}

/// The best rank wins, alone; those who share it draw.
fn outcome_of(ending: &Ending, team: &EndingTeam) -> u8 {
    let best = ending.teams.iter().map(|team| team.rank).min().unwrap_or(team.rank);
    let shared = ending.teams.iter().filter(|team| team.rank == best).count();
    match (team.rank == best, shared) {
        (true, 1) => WON,
        (true, _) => DRAWN,
        (false, _) => LOST,
    }
}

fn counted(known: Option<&QueueRating>, played: &Played, after: Rating) -> QueueRating {
    let mut rating = known.cloned().unwrap_or_default();
    rating.queue.clone_from(&played.queue);
    let count = |number: &mut u32, is_one: bool| {
        *number = number.saturating_add(u32::from(is_one));
    };
    count(&mut rating.games, true);
    count(&mut rating.wins, played.outcome == WON);
    count(&mut rating.draws, played.outcome == DRAWN);
    count(&mut rating.losses, played.outcome == LOST);
    count(&mut rating.quits, played.has_quit);
    QueueRating {
        rating: after.rating,
        deviation: after.deviation,
        volatility: after.volatility,
        last_played: played.time,
        ..rating
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compete::rating::System;
    use crate::ctx::world::World;

    const RULES: Rules = Rules {
        system: System::Elo { k: 32.0 },
        first: Rating { rating: 1500.0, deviation: 350.0, volatility: 0.06 },
        placement_games: 0,
        placement_factor: 1.0,
        growth: 0.0,
    };

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    fn ending(queue: &str, match_id: &str, ranks: [u32; 2]) -> Ending {
        let team = |(index, rank): (u8, u32)| EndingTeam {
            name: format!("team {index}"),
            rank,
            players: vec![EndingPlayer { user: user(index + 1), has_quit: false }],
        };
        let teams = (0..).zip(ranks).map(team).collect();
        Ending { queue: queue.into(), match_id: match_id.into(), teams }
    }

    fn planned(world: &mut World, ending: &Ending) -> Plan {
        let now = UnixTime::from_secs(world.now);
        let read = |player: &EndingPlayer| {
            let user = player.user;
            let read = world.apply(|ctx| standing(ctx, user, &ending.queue, true));
            (user, read.expect("it is read"))
        };
        let standings = ending.players().map(read).collect();
        plan(ending, &RULES, &standings, now)
    }

    fn take_in(world: &mut World, ending: &Ending) -> Plan {
        let plan = planned(world, ending);
        world.apply(|ctx| keep(ctx, ending, &plan.result)).expect("it is new");
        for outcome in &plan.outcomes {
            world.apply(|ctx| apply(ctx, outcome)).expect("nothing has changed");
        }
        plan
    }

    fn rating_of(world: &mut World, number: u8, queue: &str) -> QueueRating {
        let standing = world.apply(|ctx| standing(ctx, user(number), queue, true));
        standing.expect("it is read").rating.expect("it is rated")
    }

    #[test]
    fn a_result_is_taken_in_once_and_another_one_of_the_match_is_refused() {
        let mut world = World::default();
        let first = ending("duel", "one", [1, 2]);
        let plan = take_in(&mut world, &first);
        assert_eq!(world.apply(|ctx| find(ctx, &first)), Ok(Some(plan.result.clone())));
        let changed = Err(Stop::Refused(Error::Changed));
        assert_eq!(world.apply(|ctx| keep(ctx, &first, &plan.result)), changed);
        assert_eq!(world.apply(|ctx| apply(ctx, &plan.outcomes[0])), changed);
        let other = ending("duel", "one", [2, 1]);
        assert_eq!(world.apply(|ctx| find(ctx, &other)), Err(Stop::Refused(Error::Differs)));
        assert_eq!(world.apply(|ctx| find(ctx, &ending("arena", "one", [2, 1]))), Ok(None));
        assert_eq!(rating_of(&mut world, 1, "duel").rating, 1516.0);
    }

    #[test]
    fn statistics_count_wins_draws_losses_and_quits() {
        let mut world = World::default();
        take_in(&mut world, &ending("duel", "one", [1, 2]));
        take_in(&mut world, &ending("duel", "two", [1, 1]));
        let mut quit = ending("duel", "three", [1, 2]);
        quit.teams[0].players[0].has_quit = true;
        take_in(&mut world, &quit);
        let QueueRating { games, wins, draws, losses, quits, .. } =
            rating_of(&mut world, 1, "duel");
        assert_eq!((games, wins, draws, losses, quits), (3, 1, 1, 1, 1));
        let page = world.apply(|ctx| history(ctx, user(1), "duel", None, 10));
        let outcomes: Vec<_> =
            page.expect("it is read").played.iter().map(|one| one.outcome).collect();
        assert_eq!(outcomes, [LOST, DRAWN, WON]);
    }

    #[test]
    fn nothing_is_kept_of_players_without_an_account() {
        let ending = ending("duel", "one", [1, 2]);
        let plan = plan(&ending, &RULES, &BTreeMap::new(), UnixTime::from_secs(1));
        assert_eq!(plan.outcomes, []);
        assert_eq!(plan.result.teams[0].players[0].after, 1516.0);
    }

    #[test]
    fn a_history_is_read_in_pages_and_keeps_the_newest_matches() {
        let mut world = World::default();
        for number in 0..HISTORY_MAX + 5 {
            let queue = if number % 2 == 0 { "duel" } else { "arena" };
            take_in(&mut world, &ending(queue, &number.to_string(), [1, 2]));
        }
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let page = world.apply(|ctx| history(ctx, user(2), "duel", before, 20));
            let Page { played, next } = page.expect("it is read");
            assert!(played.len() <= 20);
            found.extend(played.into_iter().map(|one| one.number));
            before = next;
            if next.is_none() {
                break;
            }
        }
        let all = (1..=HISTORY_MAX + 5).filter(|number| number % 2 == 1).rev();
        let expected: Vec<_> = all.filter(|number| *number > 5).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn ratings_of_too_many_queues_lose_the_one_played_longest_ago() {
        let mut world = World::default();
        for number in 0..=RATED_QUEUES_MAX {
            world.now += 1;
            take_in(&mut world, &ending(&format!("queue {number}"), "one", [1, 2]));
        }
        let of = |world: &mut World, queue: &str| {
            world.apply(|ctx| standing(ctx, user(1), queue, true)).expect("it is read").rating
        };
        assert_eq!(of(&mut world, "queue 0"), None);
        assert!(of(&mut world, "queue 1").is_some());
        assert!(of(&mut world, &format!("queue {RATED_QUEUES_MAX}")).is_some());
    }

    #[test]
    fn all_of_a_player_can_be_forgotten() {
        let mut world = World::default();
        for number in 0..3 {
            take_in(&mut world, &ending("duel", &number.to_string(), [1, 2]));
        }
        assert_eq!(world.apply(|ctx| forget(ctx, user(1))), Ok(()));
        assert_eq!(world.apply(|ctx| forget(ctx, user(1))), Ok(()));
        let gone = world.apply(|ctx| standing(ctx, user(1), "duel", false));
        assert_eq!(gone, Ok(Standing::default()));
        for number in 1..4 {
            let key = played_key(user(1), number);
            let found = world.apply(|ctx| record::read::<Played, Never>(ctx, &key));
            assert_eq!(found, Ok(None));
        }
        assert_eq!(rating_of(&mut world, 2, "duel").games, 3);
    }
}
