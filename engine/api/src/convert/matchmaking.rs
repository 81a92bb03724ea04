//! Matchmaker tickets.

use base::json::Object;
use matchmaker::Ticket;

use crate::json::{Malformed, Message};
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

/// A `MatchmakerUser`.
pub(crate) fn matched_user(ticket: &Ticket, o: &mut Object<'_>) {
    o.object("presence", |o| {
        o.shown("user_id", ticket.presence.user_id);
        o.shown("session_id", ticket.presence.session_id);
        o.text("username", &ticket.presence.username);
    });
    let (strings, numbers) = (&ticket.string_properties, &ticket.numeric_properties);
    o.object_if(!strings.is_empty(), "string_properties", |o| {
        strings.iter().for_each(|(name, value)| o.text_wrapper(name, Some(value)));
    });
    o.object_if(!numbers.is_empty(), "numeric_properties", |o| {
        numbers.iter().for_each(|(name, value)| o.double(name, *value));
    });
}
