//! Realtime envelopes in JSON.

use base::json::{self, Json, Object};
use base::{MatchId, TicketId};
use domain::effect::Event;
use domain::play::relay::Data;
use domain::presence::Presence;
use matchmaker::Ticket;

use crate::convert::{matchmaking, party, play, status};
use crate::error::Error;
use crate::json::{Malformed, Message, Unknown, names};
use crate::ops::{Operation, Operations};
use crate::reply::Reply;
use crate::request::Request;

/// Every message kind of the protocol, whichever side may send it.
pub const FIELDS: [&str; 50] = [
    "channel",
    "channel_join",
    "channel_leave",
    "channel_message",
    "channel_message_ack",
    "channel_message_send",
    "channel_message_update",
    "channel_message_remove",
    "channel_presence_event",
    "error",
    "match",
    "match_create",
    "match_data",
    "match_data_send",
    "match_join",
    "match_leave",
    "match_presence_event",
    "matchmaker_add",
    "matchmaker_matched",
    "matchmaker_remove",
    "matchmaker_ticket",
    "notifications",
    "rpc",
    "status",
    "status_follow",
    "status_presence_event",
    "status_unfollow",
    "status_update",
    "stream_data",
    "stream_presence_event",
    "ping",
    "pong",
    "party",
    "party_create",
    "party_join",
    "party_leave",
    "party_promote",
    "party_leader",
    "party_accept",
    "party_remove",
    "party_close",
    "party_join_request_list",
    "party_join_request",
    "party_matchmaker_add",
    "party_matchmaker_remove",
    "party_matchmaker_ticket",
    "party_data",
    "party_data_send",
    "party_presence_event",
    "party_update",
];

/// A decoded envelope.
#[derive(Debug)]
pub struct Envelope {
    /// The client's correlation id; an empty one counts as none.
    pub cid: String,
    pub row: &'static Operation,
    pub request: Request,
}

/// Why an envelope ends its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// No envelope at all: closed without an error message.
    Malformed(Malformed),
    /// A well-formed envelope without a message: error 2.
    Missing { cid: String },
    /// A message kind that clients may not send, or that this server does not have: error 1.
    Unrecognized { cid: String },
}

impl From<Malformed> for Fatal {
    fn from(malformed: Malformed) -> Fatal {
        Fatal::Malformed(malformed)
    }
}

/// Reads one envelope: an object with a `cid`, if any, and exactly one message.
pub fn decode(text: &[u8], operations: &Operations) -> Result<Envelope, Fatal> {
    let value = Json::parse(text).map_err(|error| Malformed(error.0))?;
    let mut envelope = Message::new(value, Unknown::Fatal)?;
    let cid = envelope.text("cid")?;
    let Some(name) = envelope.peek() else {
        return Err(Fatal::Missing { cid });
    };
    let Some(field) = FIELDS.into_iter().find(|field| names(name, field)) else {
        return Err(Malformed(format!("unknown field {name:?}")).into());
    };
    let message = envelope.take(field)?;
    envelope.finish()?; // a second message would be left
    let Some(message) = message else {
        return Err(Malformed(format!("field {field} is null")).into());
    };
    let message = Message::new(message, Unknown::Fatal)?;
    let row = operations.by_field(field);
    let Some((row, binding)) = row.and_then(|row| Some((row, row.realtime.as_ref()?))) else {
        return Err(Fatal::Unrecognized { cid });
    };
    let request = (binding.decode)(message)?;
    Ok(Envelope { cid, row, request })
}

fn envelope(cid: &str, fill: impl FnOnce(&mut Object<'_>)) -> String {
    json::object(|o| {
        o.text("cid", cid);
        fill(o);
    })
}

/// A direct answer.
pub fn reply(cid: &str, reply: &Reply) -> String {
    envelope(cid, |o| match reply {
        Reply::Empty
        | Reply::Root
        | Reply::Session { .. }
        | Reply::Account { .. }
        | Reply::Users { .. }
        | Reply::ServerToken { .. }
        | Reply::PublicKeys { .. }
        | Reply::Metrics { .. }
        | Reply::Document { .. }
        | Reply::Parties { .. }
        | Reply::Record(_)
        | Reply::Records { .. }
        | Reply::Tournaments { .. }
        | Reply::Objects { .. }
        | Reply::ObjectAcks { .. }
        | Reply::ObjectList { .. }
        | Reply::MatchmakerStats(_) => {}
        Reply::Pong => o.object("pong", |_| {}),
        Reply::Status { presences } => {
            o.object("status", |o| {
                o.list("presences", presences, status::status_presence);
            });
        }
        Reply::Match { joined, size } => o.object("match", |o| play::joined(joined, *size, o)),
        Reply::MatchmakerTicket { ticket } => {
            o.object("matchmaker_ticket", |o| o.shown("ticket", ticket));
        }
        Reply::Rpc { id, payload } => o.object("rpc", |o| {
            o.text("id", id);
            o.text("payload", payload);
        }),
        Reply::Party { view } => o.object("party", |o| party::view(view, o)),
        Reply::PartyRequests { address, presences } => {
            o.object("party_join_request", |o| party::requests(address, presences, o));
        }
        Reply::PartyTicket { address, ticket } => {
            o.object("party_matchmaker_ticket", |o| party::ticket(address, *ticket, o));
        }
    })
}

/// An error envelope with a realtime code.
pub fn error(cid: &str, code: i32, message: &str) -> String {
    envelope(cid, |o| {
        o.object("error", |o| {
            o.int32("code", code);
            o.text("message", message);
        });
    })
}

/// A refusal.
pub fn refusal(cid: &str, refusal: &Error) -> String {
    error(cid, refusal.realtime_code(), &refusal.message)
}

/// A push.
pub fn event(event: &Event) -> String {
    json::object(|o| match event {
        Event::StatusPresence { joins, leaves } => o.object("status_presence_event", |o| {
            o.list("joins", joins, status::status_presence);
            o.list("leaves", leaves, status::status_presence);
        }),
        Event::MatchPresence { match_id, joins, leaves } => {
            o.object("match_presence_event", |o| {
                play::match_presence(*match_id, joins, leaves, o);
            });
        }
        Event::Notification(notification) => o.object("notifications", |o| {
            o.list("notifications", [notification], status::notification);
        }),
        Event::MatchData { match_id, sender, data } => match_data(*match_id, sender, data, o),
        Event::Party { address, event } => party::event(address, event, o),
    })
}

fn match_data(id: MatchId, sender: &Presence, data: &Data, o: &mut Object<'_>) {
    o.object("match_data", |o| play::match_data(id, sender, data, o));
}

/// The players of a formed match, each as all are told of it.
pub fn matched_users(tickets: &[Ticket], node: &str) -> Vec<String> {
    let players =
        tickets.iter().flat_map(|ticket| ticket.entries.iter().map(move |me| (ticket, me)));
    let user = |(ticket, me)| json::object(|o| matchmaking::matched_user(ticket, me, node, o));
    players.map(user).collect()
}

/// How the players of a match join it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    Token(String),
    MatchId(String),
}

impl Way {
    /// The name of the field that says so, and its value.
    pub fn named(&self) -> (&'static str, &str) {
        match self {
            Way::Token(token) => ("token", token),
            Way::MatchId(id) => ("match_id", id),
        }
    }
}

/// The push to one player of a formed match; `users` is the list of those.
pub fn matched(ticket: TicketId, way: &Way, users: &str, me: &str) -> String {
    let (name, value) = way.named();
    json::object(|o| {
        o.object("matchmaker_matched", |o| {
            o.shown("ticket", ticket);
            o.text(name, value);
            o.raw("users", users);
            o.raw("self", me);
        });
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fatal(text: &str) -> Option<&'static str> {
        match decode(text.as_bytes(), &Operations::all()) {
            Ok(_) => None,
            Err(Fatal::Malformed(_)) => Some("malformed"),
            Err(Fatal::Missing { .. }) => Some("missing"),
            Err(Fatal::Unrecognized { .. }) => Some("unrecognized"),
        }
    }

    /// Rows 317, 318 and 319.
    #[test]
    fn an_envelope_has_exactly_one_known_message() {
        let check = |text: &str, expected| assert_eq!(fatal(text), expected, "{text}");
        check(r#"{"cid":"1","ping":{}}"#, None);
        check(r#"{"ping":{}}"#, None);
        check(r#" {"statusUpdate":{"status":"x"},"cid":"2"} "#, None);
        check(r#"{"matchDataSend":{"matchId":"m","opCode":"1"}}"#, None);
        check(r#"{"ping":{"x":1}}"#, Some("malformed"));
        check(r#"{"cid":"1","nonsense":{}}"#, Some("malformed"));
        check(r#"{"ping":{},"pong":{}}"#, Some("malformed"));
        check(r#"{"ping":{},"ping":{}}"#, Some("malformed"));
        check(r#"{"cid":1,"ping":{}}"#, Some("malformed"));
        check(r#"{"ping":[]}"#, Some("malformed"));
        check(r#"{"ping":{}}x"#, Some("malformed"));
        check(r#"{"match_data_send":{"data":"!"}}"#, Some("malformed"));
        check(r#"{"match_join":{"match_id":"a","token":"b"}}"#, Some("malformed"));
        check("{", Some("malformed"));
        check("[]", Some("malformed"));
        check("", Some("malformed"));
        check("{}", Some("missing"));
        check(r#"{"cid":"1"}"#, Some("missing"));
        check(r#"{"cid":"1","ping":null}"#, Some("malformed"));
        check(r#"{"channel":{}}"#, Some("unrecognized"));
        check(r#"{"cid":"1","stream_data":{}}"#, Some("unrecognized"));
    }

    /// Rows 314, 315, 316 and 320.
    #[test]
    fn replies_echo_the_cid_and_errors_omit_code_zero() {
        assert_eq!(reply("7", &Reply::Empty), r#"{"cid":"7"}"#);
        assert_eq!(reply("", &Reply::Empty), "{}");
        assert_eq!(reply("", &Reply::Pong), r#"{"pong":{}}"#);
        assert_eq!(reply("1", &Reply::Status { presences: vec![] }), r#"{"cid":"1","status":{}}"#);
        assert_eq!(error("1", 0, "m"), r#"{"cid":"1","error":{"message":"m"}}"#);
        assert_eq!(error("", 3, "m"), r#"{"error":{"code":3,"message":"m"}}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, &Operations::all());
        }
    }
}
