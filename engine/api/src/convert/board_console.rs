//! Leaderboards and tournaments as operators, and servers of a game, define and see them.

use base::UnixTime;
use base::UserId;
use base::json::{self, Json, Object};
use base::limits::{BOARDS_DECLARED_MAX, BOARDS_PAGE_MAX, RECORDS_SHORT_PAGE_MAX};
use domain::compete::board::{ANY_SIZE, BoardUpdate, NUM_SCORE_DEFAULT, NewBoard, Operator, Terms};
use domain::compete::leaderboard::{Owner, Records};
use domain::compete::reset::Kind;
use domain::compete::tournament::Shown;
use domain::record::board::BoardEvent;

use super::board::{object_text, record, tournament, wish, write};
use super::console;
use super::console::limit;
use crate::console::Console;
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::request::Request;

/// Two lists, one of leaderboards and one of tournaments.
pub(crate) fn declare(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let (leaderboards, tournaments) =
        (message.messages("leaderboards")?, message.messages("tournaments")?);
    message.finish()?;
    if leaderboards.len() + tournaments.len() > BOARDS_DECLARED_MAX {
        return Err(Error::invalid(format!("At most {BOARDS_DECLARED_MAX} boards at once.")));
    }
    let boards = leaderboards.into_iter().map(|one| new_board(one, false));
    let boards = boards.chain(tournaments.into_iter().map(|one| new_board(one, true)));
    Ok(Request::Console(Console::BoardsDeclare(boards.collect::<Result<_, _>>()?)))
}

fn new_board(mut message: Message, is_tournament: bool) -> Result<NewBoard, Error> {
    let (id, operator, reset) =
        (message.text("id")?, message.text("operator")?, message.text("reset")?);
    let is_descending = match message.text("sort")?.as_str() {
        "" | "desc" => true,
        "asc" => false,
        _ => return Err(Error::invalid("sort has to be asc or desc.")),
    };
    let new = NewBoard {
        id,
        is_descending,
        operator: parse_operator(&operator)?,
        is_authoritative: message.flag("authoritative")?,
        has_ranks: message.flag_wrapper("enable_ranks")?.unwrap_or(true),
        reset,
        metadata: metadata(&mut message)?.unwrap_or_else(|| "{}".to_owned()),
        tournament: if is_tournament { Some(terms(&mut message)?) } else { None },
    };
    message.finish()?;
    new.check()?;
    Ok(new)
}

fn terms(message: &mut Message) -> Result<Terms, Error> {
    let category = number(message, "category")?.unwrap_or(0);
    Ok(Terms {
        title: message.text("title")?,
        description: message.text("description")?,
        category: u8::try_from(category)
            .map_err(|_| Error::invalid("category has to be 0 to 127."))?,
        duration: number(message, "duration")?.unwrap_or(0),
        start_time: number(message, "start")?.unwrap_or(0),
        end_time: number(message, "end")?.unwrap_or(0),
        max_size: short(message, "max_size")?.unwrap_or(ANY_SIZE),
        max_num_score: short(message, "max_num_score")?.unwrap_or(NUM_SCORE_DEFAULT),
        is_join_required: message.flag("join_required")?,
    })
}

pub fn parse_operator(name: &str) -> Result<Operator, Error> {
    Ok(match name {
        "" | "best" => Operator::Best,
        "set" => Operator::Set,
        "incr" | "increment" => Operator::Increment,
        "decr" | "decrement" => Operator::Decrement,
        _ => return Err(Error::invalid("operator has to be best, set, incr or decr.")),
    })
}

/// A JSON object, or its text.
fn metadata(message: &mut Message) -> Result<Option<String>, Error> {
    match message.take("metadata")? {
        None => Ok(None),
        Some(Json::Text(text)) if text.is_empty() => Ok(None),
        Some(Json::Text(text)) => object_text(&text).map(Some),
        Some(json) => object_text(&json::text_of(&json)).map(Some),
    }
}

fn number(message: &mut Message, name: &str) -> Result<Option<u64>, Error> {
    match message.int64(name)? {
        0 => Ok(None),
        number => match u64::try_from(number) {
            Ok(number) if number <= u64::from(u32::MAX) => Ok(Some(number)),
            _ => Err(Error::invalid(format!("{name} has to be 0 to {}.", u32::MAX))),
        },
    }
}

fn short(message: &mut Message, name: &str) -> Result<Option<u32>, Error> {
    let number = message.int32_wrapper(name)?.map(u32::try_from).transpose();
    number.map_err(|_| Error::invalid(format!("{name} must not be negative.")))
}

/// Only what is named changes. Times are seconds since 1970.
pub(crate) fn update(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let update = BoardUpdate {
        metadata: metadata(&mut message)?,
        is_authoritative: message.flag_wrapper("authoritative")?,
        has_ranks: message.flag_wrapper("enable_ranks")?,
        title: message.text_wrapper("title")?,
        description: message.text_wrapper("description")?,
        end_time: match message.take("end_time")? {
            None => None,
            Some(Json::Integer(time)) => Some(u64::try_from(time).map_err(|_| wrong_time())?),
            Some(_) => return Err(wrong_time()),
        },
        max_size: short(&mut message, "max_size")?,
        max_num_score: short(&mut message, "max_num_score")?,
    };
    message.finish()?;
    let (id, update) = (call.part("id").to_owned(), Box::new(update));
    Ok(Request::Console(Console::BoardUpdate { id, update }))
}

fn wrong_time() -> Error {
    Malformed("field end_time is no number of seconds".to_owned()).into()
}

pub(crate) fn list(call: &Call<'_>) -> Result<Request, Error> {
    let after = call.query.text("cursor")?.unwrap_or_default().to_owned();
    let limit = limit(call, BOARDS_PAGE_MAX, BOARDS_PAGE_MAX)?;
    Ok(Request::Console(Console::BoardsList { after, limit }))
}

pub(crate) fn records(call: &Call<'_>) -> Result<Request, Error> {
    let mut wish = wish(call, RECORDS_SHORT_PAGE_MAX)?;
    if wish.limit.is_none() && (wish.owners.is_empty() || wish.cursor.is_some()) {
        wish.limit = Some(1);
    }
    let id = call.part("id").to_owned();
    Ok(Request::Console(Console::BoardRecordsList { id, wish }))
}

/// The body is that of a client's write, with a `username` to keep beside it.
pub(crate) fn record_write(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let owner = Owner { id: owner(call)?, username: message.text("username")? };
    let (id, write) = (call.part("id").to_owned(), write(message)?);
    Ok(Request::Console(Console::BoardRecordWrite { id, owner, write }))
}

pub(crate) fn record_delete(call: &Call<'_>) -> Result<Request, Error> {
    let (id, owner) = (call.part("id").to_owned(), owner(call)?);
    Ok(Request::Console(Console::BoardRecordDelete { id, owner }))
}

pub(crate) fn standing(call: &Call<'_>) -> Result<Request, Error> {
    let (id, owner, expiry) =
        (call.part("id").to_owned(), owner(call)?, console::number(call, "expiry")?);
    Ok(Request::Console(Console::BoardStanding { id, owner, expiry }))
}

fn owner(call: &Call<'_>) -> Result<UserId, Error> {
    UserId::parse(call.part("owner_id")).ok_or_else(|| Error::invalid("The owner is not a UUID."))
}

/// The record of an owner, how many there are, and of a hundred how many stand below; `None` where
/// the owner has none.
pub fn one_standing(records: &Records) -> Option<String> {
    let listed = records.owner_records.first()?;
    let Records { board, expiry, rank_count, .. } = records;
    let json = json::object(|o| {
        o.object("record", |o| record(board, *expiry, listed, o));
        o.raw("rank_count", &rank_count.to_string());
        #[expect(clippy::cast_precision_loss, reason = "shares of fewer than 2^52 records")]
        if listed.rank > 0 {
            let below = rank_count.saturating_sub(listed.rank) as f64;
            o.double("percentile", 100.0 * below / (*rank_count).max(1) as f64);
        }
    });
    Some(json)
}

/// A page of boards, and how many there are in all.
pub fn boards(page: &[Shown], total: usize, next: Option<&str>) -> String {
    json::object(|o| {
        o.list("leaderboards", page, board);
        o.raw("total", &total.to_string());
        o.text_wrapper("cursor", next);
    })
}

pub fn one_board(shown: &Shown) -> String {
    json::object(|o| board(shown, o))
}

fn board(shown: &Shown, o: &mut Object<'_>) {
    if shown.tournament.is_some() {
        tournament(shown, o);
    } else {
        let definition = &shown.definition;
        o.text("id", &shown.id);
        o.int32("sort_order", definition.is_descending.into());
        o.int32("operator", i32::from(definition.operator) + 1);
        for (name, time) in [("prev_reset", shown.prev_reset), ("next_reset", shown.next_reset)] {
            if time > 0 {
                o.raw(name, &time.to_string());
            }
        }
        o.text("metadata", &definition.metadata);
        o.shown("create_time", UnixTime::from_secs(definition.create_time));
        o.flag("authoritative", definition.is_authoritative);
    }
    o.flag("tournament", shown.tournament.is_some());
    o.text("reset_schedule", &shown.definition.reset);
    o.flag("enable_ranks", shown.definition.has_ranks);
}

/// What the webhook is told of something that happened by itself.
pub fn event(event: &BoardEvent) -> String {
    let name = match (event.is_tournament, Kind::of_number(event.kind)) {
        (true, Some(Kind::End)) => "tournament_end",
        (true, _) => "tournament_reset",
        (false, _) => "leaderboard_reset",
    };
    json::object(|o| {
        o.text("type", name);
        o.text("id", &event.board);
        o.shown("time", UnixTime::from_secs(event.time));
    })
}
