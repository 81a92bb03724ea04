//! Matchmaker tickets.

use base::json::Object;
use domain::play::party::Address;
use matchmaker::{Presence, Ticket};

use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::reply::MatchmakerStats;
use crate::request::{MatchmakerAdd, Request};

pub(crate) fn matchmaker_add(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::MatchmakerAdd(add(&mut message)?);
    message.finish()?;
    Ok(request)
}

pub(crate) fn add(message: &mut Message) -> Result<MatchmakerAdd, Malformed> {
    Ok(MatchmakerAdd {
        min_count: message.int32("min_count")?,
        max_count: message.int32("max_count")?,
        count_multiple: message.int32_wrapper("count_multiple")?,
        query: message.text("query")?,
        string_properties: message.text_map("string_properties")?,
        numeric_properties: message.double_map("numeric_properties")?,
    })
}

pub(crate) fn matchmaker_remove(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::MatchmakerRemove { ticket: message.text("ticket")? };
    message.finish()?;
    Ok(request)
}

#[expect(clippy::unnecessary_wraps, reason = "as all decoders")]
pub(crate) fn stats_get(_: &Call<'_>) -> Result<Request, Error> {
    Ok(Request::MatchmakerStatsGet)
}

pub(crate) fn stats(stats: &MatchmakerStats, o: &mut Object<'_>) {
    o.int32("ticket_count", i32::try_from(stats.tickets).unwrap_or(i32::MAX));
    if let Some(oldest) = stats.oldest {
        o.shown("oldest_ticket_create_time", oldest);
    }
    o.list("completions", &stats.completions, |(created, completed), o| {
        o.shown("create_time", created);
        o.shown("complete_time", completed);
    });
}

/// A `MatchmakerUser`.
pub(crate) fn matched_user(ticket: &Ticket, me: &Presence, node: &str, o: &mut Object<'_>) {
    o.object("presence", |o| {
        o.shown("user_id", me.user_id);
        o.shown("session_id", me.session_id);
        o.text("username", &me.username);
    });
    if let Some(party) = ticket.party {
        o.shown("party_id", Address { id: party, node: node.into() });
    }
    properties(ticket, o);
}

pub(crate) fn properties(ticket: &Ticket, o: &mut Object<'_>) {
    let (strings, numbers) = (&ticket.string_properties, &ticket.numeric_properties);
    o.object_if(!strings.is_empty(), "string_properties", |o| {
        strings.iter().for_each(|(name, value)| o.text_wrapper(name, Some(value)));
    });
    o.object_if(!numbers.is_empty(), "numeric_properties", |o| {
        numbers.iter().for_each(|(name, value)| o.double(name, *value));
    });
}
