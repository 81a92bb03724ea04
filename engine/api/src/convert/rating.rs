//! Results of matches, and the ratings, statistics and histories of players.

use base::json::{self, Object};
use base::limits::{HISTORY_PAGE_DEFAULT, HISTORY_PAGE_MAX};
use base::{UnixTime, UserId};
use domain::compete::rating::{Rating, Rules, System};
use domain::compete::result::{
    Ending, EndingPlayer, EndingTeam, MatchResult, Page, Played, QueueRating,
};

use super::console::{limit, number};
use crate::console::Console;
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::request::Request;

pub(crate) fn result_write(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let match_id = message.text("match_id")?;
    let mut teams = Vec::new();
    for mut team in message.messages("teams")? {
        let (name, rank) = (team.text("name")?, team.int32_wrapper("rank")?);
        let rank = rank.and_then(|rank| u32::try_from(rank).ok());
        let rank = rank.ok_or_else(|| Error::invalid("teams: rank has to be 0 or more."))?;
        let players = team.messages("players")?.into_iter().map(player);
        teams.push(EndingTeam { name, rank, players: players.collect::<Result<_, _>>()? });
    }
    let queue = call.part("id").to_owned();
    Ok(Request::Console(Console::MatchResultWrite(Ending { queue, match_id, teams })))
}

fn player(mut player: Message) -> Result<EndingPlayer, Error> {
    let (user, has_quit) = (player.text("user_id")?, player.flag("quit")?);
    let user = UserId::parse(&user);
    let user = user.ok_or_else(|| Error::invalid("players: user_id is not a UUID."))?;
    Ok(EndingPlayer { user, has_quit })
}

pub(crate) fn rating_get(call: &Call<'_>) -> Result<Request, Error> {
    let (queue, user) = (call.part("id").to_owned(), user(call)?);
    Ok(Request::Console(Console::RatingGet { queue, user }))
}

pub(crate) fn history(call: &Call<'_>) -> Result<Request, Error> {
    Ok(Request::Console(Console::RatingHistory(HistoryWish {
        queue: call.part("id").to_owned(),
        user: user(call)?,
        before: number(call, "cursor")?,
        limit: limit(call, HISTORY_PAGE_DEFAULT, HISTORY_PAGE_MAX)?,
    })))
}

fn user(call: &Call<'_>) -> Result<UserId, Error> {
    UserId::parse(call.part("user")).ok_or_else(|| Error::invalid("The user is not a UUID."))
}

/// Which matches of a player are wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryWish {
    pub queue: String,
    pub user: UserId,
    /// Those before this one.
    pub before: Option<u64>,
    pub limit: usize,
}

/// The player whom a function is called about, if it names one.
pub(crate) fn named_user(
    message: &mut Message,
) -> Result<Result<Option<UserId>, Error>, Malformed> {
    let text = message.text_wrapper("user_id")?;
    let user = text
        .map(|text| UserId::parse(&text).ok_or_else(|| Error::invalid("user_id is not a UUID.")));
    Ok(user.transpose())
}

/// `limit` and `cursor` of a function.
pub(crate) fn page(
    message: &mut Message,
) -> Result<Result<(usize, Option<u64>), Error>, Malformed> {
    let limit = message.int32_wrapper("limit")?.map_or(Ok(HISTORY_PAGE_DEFAULT), usize::try_from);
    let cursor = message.text("cursor")?;
    let before = (!cursor.is_empty()).then(|| cursor.parse::<u64>()).transpose();
    let Some(limit) = limit.ok().filter(|limit| (1..=HISTORY_PAGE_MAX).contains(limit)) else {
        let text = format!("limit has to be 1 to {HISTORY_PAGE_MAX}.");
        return Ok(Err(Error::invalid(text)));
    };
    let not_ours = |_| Error::invalid("The cursor is not of this list.");
    Ok(before.map(|before| (limit, before)).map_err(not_ours))
}

/// What a player is in a queue at this moment.
pub fn rating(
    queue: &str,
    user: UserId,
    rules: &Rules,
    known: Option<&QueueRating>,
    rating: Rating,
) -> String {
    let none = QueueRating::default();
    let QueueRating { games, wins, losses, draws, quits, last_played, .. } = known.unwrap_or(&none);
    json::object(|o| {
        o.text("queue", queue);
        o.shown("user_id", user);
        o.double("rating", rating.rating);
        o.double("rating_deviation", rating.deviation);
        if let System::Glicko2 { .. } = rules.system {
            o.double("volatility", rating.volatility);
        }
        let counts = [
            ("games", *games),
            ("wins", *wins),
            ("losses", *losses),
            ("draws", *draws),
            ("quits", *quits),
            ("placement_games_left", rules.placement_games.saturating_sub(*games)),
        ];
        for (name, count) in counts {
            o.raw(name, &count.to_string());
        }
        if known.is_some() {
            o.shown("last_played", UnixTime::from_secs(*last_played));
        }
    })
}

pub fn played(page: &Page) -> String {
    json::object(|o| {
        o.list("matches", &page.played, one_played);
        if let Some(next) = page.next {
            o.shown("cursor", next);
        }
    })
}

fn one_played(played: &Played, o: &mut Object<'_>) {
    o.text("match_id", &played.match_id);
    o.shown("time", UnixTime::from_secs(played.time));
    o.text("team", &played.team);
    o.raw("rank", &played.rank.to_string());
    o.text(
        "outcome",
        match played.outcome {
            2 => "win",
            1 => "draw",
            _ => "loss",
        },
    );
    o.flag("quit", played.has_quit);
    o.double("rating_before", played.before);
    o.double("rating_after", played.after);
    o.double("rating_deviation_after", played.deviation_after);
}

/// A result as it was taken in.
pub fn result(queue: &str, match_id: &str, result: &MatchResult) -> String {
    json::object(|o| {
        o.text("queue", queue);
        o.text("match_id", match_id);
        o.shown("time", UnixTime::from_secs(result.time));
        o.list("teams", &result.teams, |team, o| {
            o.text("name", &team.name);
            o.raw("rank", &team.rank.to_string());
            o.list("players", &team.players, |player, o| {
                o.shown("user_id", UserId::from_bytes(player.user_id));
                o.flag("quit", player.has_quit);
                o.double("rating_before", player.before);
                o.double("rating_after", player.after);
                o.double("rating_deviation_before", player.deviation_before);
                o.double("rating_deviation_after", player.deviation_after);
            });
        });
    })
}
