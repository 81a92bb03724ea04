//! Parties.

use base::json::Object;
use base::limits::{PARTY_PAGE_DEFAULT, PARTY_PAGE_MAX};
use base::{PartyId, SessionId, TicketId, UnixTime, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::play::party::{Address, Event, Settings, View};
use domain::presence::Presence;

use super::matchmaking;
use super::play::user_presence;
use super::status::presence;
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::reply::{ListedParty, PartyPlace};
use crate::request::{PartyAct, PartyCreate, PartyList, PartySettings, Request, UserPresence};

/// Reads `<uuid>.<node>`.
pub fn parse_party_id(text: &str) -> Option<(PartyId, &str)> {
    let (id, node) = text.split_once('.')?;
    Some((PartyId::parse(id)?, node))
}

/// A presence of which nothing is left open.
pub fn parse_presence(presence: &UserPresence) -> Option<Presence> {
    Some(Presence {
        user_id: UserId::parse(&presence.user_id)?,
        session_id: SessionId::parse(&presence.session_id)?,
        username: presence.username.as_str().into(),
    })
}

// What is asked for.

pub(crate) fn party_create(mut message: Message) -> Result<Request, Malformed> {
    let max_size = message.int32("max_size")?;
    let create = PartyCreate { max_size, settings: settings(&mut message)? };
    message.finish()?;
    Ok(Request::PartyCreate(create))
}

pub(crate) fn party_join(message: Message) -> Result<Request, Malformed> {
    party(message, |_| Ok(PartyAct::Join))
}

pub(crate) fn party_leave(message: Message) -> Result<Request, Malformed> {
    party(message, |_| Ok(PartyAct::Leave))
}

pub(crate) fn party_promote(message: Message) -> Result<Request, Malformed> {
    party(message, |message| whom(message).map(PartyAct::Promote))
}

pub(crate) fn party_accept(message: Message) -> Result<Request, Malformed> {
    party(message, |message| whom(message).map(PartyAct::Accept))
}

pub(crate) fn party_remove(message: Message) -> Result<Request, Malformed> {
    party(message, |message| whom(message).map(PartyAct::Remove))
}

pub(crate) fn party_close(message: Message) -> Result<Request, Malformed> {
    party(message, |_| Ok(PartyAct::Close))
}

pub(crate) fn party_join_request_list(message: Message) -> Result<Request, Malformed> {
    party(message, |_| Ok(PartyAct::Requests))
}

pub(crate) fn party_update(message: Message) -> Result<Request, Malformed> {
    party(message, |message| settings(message).map(PartyAct::Update))
}

pub(crate) fn party_matchmaker_add(message: Message) -> Result<Request, Malformed> {
    party(message, |message| matchmaking::add(message).map(PartyAct::MatchmakerAdd))
}

pub(crate) fn party_matchmaker_remove(message: Message) -> Result<Request, Malformed> {
    party(message, |message| Ok(PartyAct::MatchmakerRemove { ticket: message.text("ticket")? }))
}

pub(crate) fn party_data_send(message: Message) -> Result<Request, Malformed> {
    party(message, |message| {
        Ok(PartyAct::Send { op_code: message.int64("op_code")?, data: message.bytes("data")? })
    })
}

pub(crate) fn party_list(call: &Call<'_>) -> Result<Request, Error> {
    let limit = call.query.text("limit")?.map(str::parse).transpose();
    let limit = limit.ok().map(|limit| limit.unwrap_or(PARTY_PAGE_DEFAULT));
    let limit = limit.filter(|limit| (1..=PARTY_PAGE_MAX).contains(limit));
    let text = |field| call.query.text(field).map(|text| text.unwrap_or_default().to_owned());
    Ok(Request::PartyList(PartyList {
        limit: limit.ok_or_else(|| {
            Error::invalid(format!("Parameter limit has to be 1 to {PARTY_PAGE_MAX}."))
        })?,
        open: call.query.flag("open")?,
        query: text("query")?,
        cursor: text("cursor")?,
    }))
}

fn party(
    mut message: Message,
    act: impl FnOnce(&mut Message) -> Result<PartyAct, Malformed>,
) -> Result<Request, Malformed> {
    let party_id = message.text("party_id")?;
    let act = act(&mut message)?;
    message.finish()?;
    Ok(Request::Party { party_id, act })
}

fn settings(message: &mut Message) -> Result<PartySettings, Malformed> {
    Ok(PartySettings {
        open: message.flag("open")?,
        hidden: message.flag("hidden")?,
        label: message.text("label")?,
    })
}

fn whom(message: &mut Message) -> Result<UserPresence, Malformed> {
    Ok(message.message("presence")?.map(user_presence).transpose()?.unwrap_or_default())
}

// What is told.

pub(crate) fn view(view: &View, o: &mut Object<'_>) {
    o.shown("party_id", &view.address);
    o.flag("open", view.open);
    o.flag("hidden", view.hidden);
    o.int32("max_size", view.max_size.get().into());
    o.object("self", |o| presence(&view.me, o));
    o.object("leader", |o| presence(&view.leader, o));
    o.list("presences", &view.members, presence);
    o.text("label", &view.label);
}

pub(crate) fn requests(address: &Address, presences: &[Presence], o: &mut Object<'_>) {
    o.shown("party_id", address);
    o.list("presences", presences, presence);
}

pub(crate) fn ticket(address: &Address, ticket: TicketId, o: &mut Object<'_>) {
    o.shown("party_id", address);
    o.shown("ticket", ticket);
}

/// An envelope's field and what is in it.
pub(crate) fn event(address: &Address, event: &Event, o: &mut Object<'_>) {
    match event {
        Event::Entered(entered) => o.object("party", |o| view(entered, o)),
        Event::Presence { joins, leaves } => o.object("party_presence_event", |o| {
            o.shown("party_id", address);
            o.list("joins", joins, presence);
            o.list("leaves", leaves, presence);
        }),
        Event::Leader(leader) => o.object("party_leader", |o| {
            o.shown("party_id", address);
            o.object("presence", |o| presence(leader, o));
        }),
        Event::Request(who) => o.object("party_join_request", |o| {
            requests(address, std::slice::from_ref(who), o);
        }),
        Event::Updated(Settings { open, hidden, label }) => o.object("party_update", |o| {
            o.shown("party_id", address);
            o.text("label", label.text());
            o.flag("open", *open);
            o.flag("hidden", *hidden);
        }),
        Event::Data { sender, data } => o.object("party_data", |o| {
            o.shown("party_id", address);
            o.object("presence", |o| presence(sender, o));
            o.int64("op_code", data.op_code);
            o.text("data", &STANDARD.encode(&data.bytes));
        }),
        Event::Ticket(id) => o.object("party_matchmaker_ticket", |o| ticket(address, *id, o)),
        Event::Closed => o.object("party_close", |o| o.shown("party_id", address)),
    }
}

pub(crate) fn listed(party: &ListedParty, o: &mut Object<'_>) {
    o.shown("party_id", &party.address);
    o.flag("open", party.open);
    o.int32("max_size", party.max_size.get().into());
    o.text("label", &party.label);
}

/// Where a list goes on behind this place. What was asked for stands there too, since the place
/// means nothing in another list.
pub fn write_cursor(list: &PartyList, place: PartyPlace) -> String {
    let PartyPlace { score, created, id } = place;
    let mut bytes = list_key(list);
    bytes.extend_from_slice(&score.0.to_be_bytes());
    bytes.extend_from_slice(&created.0.0.to_be_bytes());
    bytes.extend_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place behind which this list goes on; `None` for a cursor that is not of this list.
pub fn read_cursor(list: &PartyList) -> Option<PartyPlace> {
    let bytes = URL_SAFE_NO_PAD.decode(&list.cursor).ok()?;
    let rest = bytes.strip_prefix(&*list_key(list))?;
    let (score, rest) = rest.split_first_chunk()?;
    let (created, rest) = rest.split_first_chunk()?;
    Some(PartyPlace {
        score: std::cmp::Reverse(u64::from_be_bytes(*score)),
        created: std::cmp::Reverse(UnixTime(u64::from_be_bytes(*created))),
        id: PartyId::from_bytes(rest.try_into().ok()?),
    })
}

fn list_key(list: &PartyList) -> Vec<u8> {
    let limit = u8::try_from(list.limit).expect("at most PARTY_PAGE_MAX");
    let mut key = vec![limit, list.open.map_or(2, u8::from)];
    key.extend_from_slice(list.query.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    #[test]
    fn a_party_id_has_a_node() {
        let uuid = "11111111-1111-4111-8111-111111111111";
        let id = PartyId::parse(uuid).expect("a well-formed id");
        assert_eq!(parse_party_id(&format!("{uuid}.a.b")), Some((id, "a.b")));
        assert_eq!(parse_party_id(&format!("{uuid}.")), Some((id, "")));
        for wrong in ["", "abc", uuid, ".", "abc.", "x.y"] {
            assert_eq!(parse_party_id(wrong), None, "{wrong}");
        }
    }

    /// Row 300.
    #[test]
    fn a_cursor_is_of_one_list() {
        let place = PartyPlace {
            score: Reverse(1),
            created: Reverse(UnixTime(2)),
            id: PartyId::from_bytes([3; 16]),
        };
        let mut list =
            PartyList { limit: 10, open: None, query: "*".into(), cursor: String::new() };
        list.cursor = write_cursor(&list, place);
        assert_eq!(read_cursor(&list), Some(place));
        assert_eq!(read_cursor(&PartyList { limit: 11, ..list.clone() }), None);
        assert_eq!(read_cursor(&PartyList { open: Some(true), ..list.clone() }), None);
        assert_eq!(read_cursor(&PartyList { query: "+label.a:b".into(), ..list.clone() }), None);
        assert_eq!(read_cursor(&PartyList { query: String::new(), ..list.clone() }), None);
        for wrong in ["", "nonsense", &list.cursor[1..], &format!("{}A", list.cursor)] {
            assert_eq!(read_cursor(&PartyList { cursor: wrong.into(), ..list.clone() }), None);
        }
    }
}
