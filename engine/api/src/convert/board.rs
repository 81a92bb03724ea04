//! Leaderboards, tournaments, and their records.

use std::cmp::Reverse;
use std::sync::Arc;

use base::json::{Json, Object};
use base::limits::{
    BOARD_METADATA_MAX, RECORD_OWNERS_MAX, RECORDS_PAGE_MAX, RECORDS_SHORT_PAGE_MAX,
    TOURNAMENTS_PAGE_MAX,
};
use base::{Code, UnixTime, UserId, jsonb};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use domain::compete::leaderboard::{By, Cursor, Listed, Records, Wish, Write, Written};
use domain::compete::tournament::{Filter, Shown, Standing};
use domain::record::board::Place;

use crate::error::Error;
use crate::http::Call;
use crate::json::Message;
use crate::request::{BoardAct, Request};

// What is asked for.

pub(crate) fn record_write(call: &Call<'_>) -> Result<Request, Error> {
    let write = write(call.message()?)?;
    Ok(act(call, "leaderboard_id", BoardAct::Write { write, by: By::Leaderboard }))
}

pub(crate) fn record_delete(call: &Call<'_>) -> Result<Request, Error> {
    Ok(act(call, "leaderboard_id", BoardAct::Delete { by: By::Leaderboard }))
}

pub(crate) fn record_list(call: &Call<'_>) -> Result<Request, Error> {
    let mut wish = wish(call, RECORDS_PAGE_MAX)?;
    if wish.limit.is_none() && (wish.owners.is_empty() || wish.cursor.is_some()) {
        wish.limit = Some(1);
    }
    Ok(act(call, "leaderboard_id", BoardAct::List { wish, by: By::Leaderboard }))
}

pub(crate) fn records_around(call: &Call<'_>) -> Result<Request, Error> {
    let (owner, wish) = around(call, 1)?;
    Ok(act(call, "leaderboard_id", BoardAct::Around { owner, wish, by: By::Leaderboard }))
}

pub(crate) fn tournament_write(call: &Call<'_>) -> Result<Request, Error> {
    let write = write(call.message()?)?;
    Ok(act(call, "tournament_id", BoardAct::Write { write, by: By::Tournament }))
}

pub(crate) fn tournament_delete(call: &Call<'_>) -> Result<Request, Error> {
    Ok(act(call, "tournament_id", BoardAct::Delete { by: By::Tournament }))
}

pub(crate) fn tournament_records(call: &Call<'_>) -> Result<Request, Error> {
    let mut wish = wish(call, RECORDS_SHORT_PAGE_MAX)?;
    if wish.limit.is_none() && (wish.owners.is_empty() || wish.cursor.is_none()) {
        wish.limit = Some(10);
    }
    Ok(act(call, "tournament_id", BoardAct::List { wish, by: By::Tournament }))
}

pub(crate) fn tournament_around(call: &Call<'_>) -> Result<Request, Error> {
    let (owner, wish) = around(call, RECORDS_SHORT_PAGE_MAX)?;
    Ok(act(call, "tournament_id", BoardAct::Around { owner, wish, by: By::Tournament }))
}

pub(crate) fn tournament_join(call: &Call<'_>) -> Result<Request, Error> {
    Ok(act(call, "tournament_id", BoardAct::Join))
}

pub(crate) fn tournament_list(call: &Call<'_>) -> Result<Request, Error> {
    let category = |name, default| {
        let category = integer::<u32>(call, name)?.unwrap_or(default);
        let text = || format!("Parameter {name} has to be 0 to 127.");
        (category <= 127).then_some(category).ok_or_else(|| Error::invalid(text()))
    };
    let filter = Filter {
        category_start: category("category_start", 0)?,
        category_end: category("category_end", 127)?,
        start_time: integer::<u32>(call, "start_time")?.unwrap_or(0).into(),
        end_time: integer::<u32>(call, "end_time")?.map(u64::from),
        limit: limit(call, TOURNAMENTS_PAGE_MAX)?.unwrap_or(TOURNAMENTS_PAGE_MAX),
        after: match call.query.text("cursor")?.unwrap_or_default() {
            "" => None,
            text => Some(
                read_standing(text)
                    .ok_or_else(|| Error::new(Code::Unknown, "The cursor is not of this list."))?,
            ),
        },
    };
    if filter.category_end < filter.category_start {
        return Err(Error::invalid("category_end is below category_start."));
    }
    if filter.end_time.is_some_and(|end| end != 0 && end < filter.start_time) {
        return Err(Error::invalid("end_time is before start_time."));
    }
    Ok(Request::Tournaments(filter))
}

fn act(call: &Call<'_>, part: &str, act: BoardAct) -> Request {
    Request::Board { board: call.part(part).to_owned(), act: Box::new(act) }
}

pub(crate) fn write(mut message: Message) -> Result<Write, Error> {
    let (score, subscore) = (message.int64("score")?, message.int64("subscore")?);
    let metadata = message.text("metadata")?;
    let operator = match message.take("operator")? {
        None => 0,
        Some(Json::Text(name)) => operator_number(&name)?,
        Some(Json::Integer(number)) => i32::try_from(number).map_err(|_| wrong_operator())?,
        Some(_) => return Err(wrong_operator()),
    };
    message.finish()?;
    let metadata = match metadata.as_str() {
        "" => None,
        text => Some(object_text(text)?),
    };
    Ok(Write { score, subscore, operator, metadata })
}

fn operator_number(name: &str) -> Result<i32, Error> {
    let names = ["NO_OVERRIDE", "BEST", "SET", "INCREMENT", "DECREMENT"];
    let found = names.into_iter().zip(0..).find(|(other, _)| *other == name);
    found.map(|(_, number)| number).or_else(|| name.parse().ok()).ok_or_else(wrong_operator)
}

fn wrong_operator() -> Error {
    Error::invalid("Malformed request: field operator is no operator.")
}

/// A JSON object as PostgreSQL writes it: that is how clients of Nakama get it back.
pub fn object_text(text: &str) -> Result<String, Error> {
    let wrong = || Error::invalid("Metadata must be a JSON object.");
    let text = jsonb::object(text).map_err(|_| wrong())?;
    if text.len() > BOARD_METADATA_MAX {
        let text = format!("Metadata must be at most {BOARD_METADATA_MAX} bytes long.");
        return Err(Error::invalid(text));
    }
    Ok(text)
}

fn around(call: &Call<'_>, default: usize) -> Result<(UserId, Wish), Error> {
    let owner = UserId::parse(call.part("owner_id")).ok_or_else(wrong_owner)?;
    let limit = limit(call, RECORDS_SHORT_PAGE_MAX)?.or(Some(default));
    let cursor = match call.query.text("cursor")?.unwrap_or_default() {
        "" => None,
        text => Some(
            read_cursor(text).ok_or_else(|| Error { code: Code::Internal, ..wrong_cursor() })?,
        ),
    };
    let expiry = expiry(call)?;
    Ok((owner, Wish { owners: Vec::new(), limit, cursor, expiry }))
}

pub(crate) fn wish(call: &Call<'_>, most: usize) -> Result<Wish, Error> {
    let limit = limit(call, most)?;
    let owners: Option<Vec<_>> = call.query.texts("owner_ids").map(UserId::parse).collect();
    let owners = owners.ok_or_else(wrong_owner)?;
    if owners.len() > RECORD_OWNERS_MAX {
        return Err(Error::invalid(format!("At most {RECORD_OWNERS_MAX} owners at once.")));
    }
    let cursor = match call.query.text("cursor")?.unwrap_or_default() {
        "" => None,
        text => Some(read_cursor(text).ok_or_else(wrong_cursor)?),
    };
    Ok(Wish { owners, limit, cursor, expiry: expiry(call)? })
}

/// A period can be named by any number; no period ends at a negative one.
fn expiry(call: &Call<'_>) -> Result<Option<u64>, Error> {
    let expiry = integer::<i64>(call, "expiry")?.filter(|expiry| *expiry != 0);
    Ok(expiry.map(|expiry| u64::try_from(expiry).unwrap_or(u64::MAX)))
}

fn limit(call: &Call<'_>, most: usize) -> Result<Option<usize>, Error> {
    let Some(limit) = integer::<i32>(call, "limit")? else { return Ok(None) };
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=most).contains(limit));
    limit.map(Some).ok_or_else(|| Error::invalid(format!("Parameter limit has to be 1 to {most}.")))
}

fn integer<T: std::str::FromStr>(call: &Call<'_>, name: &str) -> Result<Option<T>, Error> {
    let Some(text) = call.query.text(name)? else { return Ok(None) };
    let number = text.parse();
    number.map(Some).map_err(|_| Error::invalid(format!("Parameter {name} is no such number.")))
}

fn wrong_owner() -> Error {
    Error::invalid("An owner id is not a UUID.")
}

fn wrong_cursor() -> Error {
    Error::invalid("The cursor is not of this list.")
}

// Cursors.

fn write_cursor(cursor: &Cursor) -> String {
    let mut bytes = vec![u8::from(cursor.is_next)];
    bytes.extend(cursor.expiry.to_be_bytes());
    bytes.extend(cursor.place.0);
    bytes.extend(cursor.board.as_bytes());
    URL_SAFE.encode(bytes)
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE.decode(text).ok()?;
    let (is_next, rest) = bytes.split_first()?;
    let (expiry, rest) = rest.split_first_chunk()?;
    let (place, board) = rest.split_first_chunk()?;
    Some(Cursor {
        board: std::str::from_utf8(board).ok()?.into(),
        expiry: u64::from_be_bytes(*expiry),
        place: Place(*place),
        is_next: match is_next {
            0 => false,
            1 => true,
            _ => return None,
        },
    })
}

pub fn write_standing(standing: &Standing) -> String {
    let mut bytes = vec![standing.category];
    bytes.extend(standing.start_time.to_be_bytes());
    bytes.extend(standing.end_time.0.to_be_bytes());
    bytes.extend(standing.id.as_bytes());
    URL_SAFE.encode(bytes)
}

fn read_standing(text: &str) -> Option<Standing> {
    let bytes = URL_SAFE.decode(text).ok()?;
    let (category, rest) = bytes.split_first()?;
    let (start_time, rest) = rest.split_first_chunk()?;
    let (end_time, id) = rest.split_first_chunk()?;
    Some(Standing {
        start_time: u64::from_be_bytes(*start_time),
        end_time: Reverse(u64::from_be_bytes(*end_time)),
        category: *category,
        id: Arc::from(std::str::from_utf8(id).ok()?),
    })
}

// What is told.

pub(crate) fn written(written: &Written, o: &mut Object<'_>) {
    record(&written.board, written.expiry, &written.listed, o);
}

pub(crate) fn records(records: &Records, repeats_next: bool, o: &mut Object<'_>) {
    let one = |listed: &Listed, o: &mut Object<'_>| {
        record(&records.board, records.expiry, listed, o);
    };
    o.list("records", &records.records, one);
    o.list("owner_records", &records.owner_records, one);
    let next = records.next.as_ref().map(write_cursor);
    o.text_wrapper("next_cursor", next.as_deref());
    // Nakama's own mistake around the owner of a tournament's record.
    let prev = if repeats_next { next } else { records.prev.as_ref().map(write_cursor) };
    o.text_wrapper("prev_cursor", prev.as_deref());
    o.int64("rank_count", signed(records.rank_count));
}

pub(super) fn record(board: &str, expiry: u64, listed: &Listed, o: &mut Object<'_>) {
    let score = listed.score.get();
    o.text("leaderboard_id", board);
    o.shown("owner_id", listed.owner);
    o.text_wrapper("username", Some(&score.username));
    o.int64("score", signed(score.score.to_native()));
    o.int64("subscore", signed(score.subscore.to_native()));
    o.int32("num_score", short(score.num_score.to_native()));
    o.text("metadata", &score.metadata);
    o.shown("create_time", UnixTime::from_secs(score.create_time.to_native()));
    o.shown("update_time", UnixTime::from_secs(score.update_time.to_native()));
    time(o, "expiry_time", expiry);
    o.int64("rank", signed(listed.rank));
    o.int32("max_num_score", short(score.max_num_score.to_native()));
}

pub(crate) fn tournament(shown: &Shown, o: &mut Object<'_>) {
    let definition = &shown.definition;
    let (Some(terms), Some(tournament)) = (&definition.tournament, &shown.tournament) else {
        return;
    };
    o.text("id", &shown.id);
    o.text("title", &terms.title);
    o.text("description", &terms.description);
    o.int32("category", terms.category.into());
    o.int32("sort_order", definition.is_descending.into());
    o.int32("size", i32::try_from(tournament.size).unwrap_or(i32::MAX));
    o.int32("max_size", short(terms.max_size));
    o.int32("max_num_score", short(terms.max_num_score));
    o.flag("can_enter", tournament.can_enter);
    seconds(o, "end_active", tournament.window.end_active);
    seconds(o, "next_reset", shown.next_reset);
    o.text("metadata", &definition.metadata);
    o.shown("create_time", UnixTime::from_secs(definition.create_time));
    o.shown("start_time", UnixTime::from_secs(terms.start_time));
    time(o, "end_time", terms.end_time);
    seconds(o, "duration", terms.duration);
    seconds(o, "start_active", tournament.window.start_active);
    seconds(o, "prev_reset", shown.prev_reset);
    // The number of an override, as in Nakama.
    o.int32("operator", i32::from(definition.operator) + 1);
    o.flag("authoritative", definition.is_authoritative);
    o.flag("join_required", terms.is_join_required);
}

/// A time that is left out where there is none.
fn time(o: &mut Object<'_>, name: &str, seconds: u64) {
    if seconds > 0 {
        o.shown(name, UnixTime::from_secs(seconds));
    }
}

/// Seconds as a number; left out when zero.
fn seconds(o: &mut Object<'_>, name: &str, seconds: u64) {
    if seconds > 0 {
        o.raw(name, &seconds.to_string());
    }
}

fn short(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
