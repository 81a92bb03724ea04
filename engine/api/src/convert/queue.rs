//! Declared queues: what their players are told, and the functions by which they answer.

use std::time::Duration;

use base::json::{self, Json, Object};
use base::{TicketId, UserId};
use matchmaker::queue::{Answer, Dropped, Explanation, Lineup, Listed, Seat, Wait};
use matchmaker::{Presence, Ticket};

use super::{matchmaking, rating};
use crate::error::Error;
use crate::json::{Malformed, Message, Unknown};
use crate::request::Request;

pub(crate) fn rpc(mut message: Message) -> Result<Request, Malformed> {
    let (id, payload) = (message.text("id")?, message.text("payload")?);
    message.text("http_key")?; // of no use here
    message.finish()?;
    Ok(Request::Rpc { id, payload })
}

/// A function that clients can call.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `queue_ready`: a player says whether they accept a match.
    Ready { ticket: TicketId, answer: Answer },
    /// `queue_wait`: how long do players wait?
    Wait { queue: String, rating: Option<f64> },
    /// `queue_explain`: why does the own ticket wait?
    Explain { ticket: TicketId },
    /// `rating_get`: what is a player in a queue? The caller, if none is named.
    Rating { queue: String, user: Option<UserId> },
    /// `rating_history`: which matches has a player played there? From this one on, so many.
    History { queue: String, user: Option<UserId>, before: Option<u64>, limit: usize },
}

/// Reads a call. Ids are compared in lower case, as in Nakama.
pub fn call(id: &str, payload: &str) -> Result<Call, Error> {
    let id = id.to_lowercase();
    if id.is_empty() {
        return Err(Error::invalid("RPC ID must be set"));
    }
    let read: fn(&mut Message) -> Result<Result<Call, Error>, Malformed> = match id.as_str() {
        "queue_ready" => ready,
        "queue_wait" => wait_call,
        "queue_explain" => |message| Ok(ticket(message)?.map(|ticket| Call::Explain { ticket })),
        "rating_get" => rating_call,
        "rating_history" => history_call,
        _ => return Err(Error::no_function()),
    };
    let malformed = |what: String| Error::invalid(format!("The payload is malformed: {what}"));
    let parse = || {
        let json = Json::parse(payload.as_bytes()).map_err(|error| malformed(error.0))?;
        let mut message = Message::new(json, Unknown::Fatal).map_err(|error| malformed(error.0))?;
        let call = read(&mut message).map_err(|error| malformed(error.0))?;
        message.finish().map_err(|error| malformed(error.0))?;
        call
    };
    parse().map_err(Error::of_function)
}

fn ready(message: &mut Message) -> Result<Result<Call, Error>, Malformed> {
    let ticket = ticket(message)?;
    let accepts = message.flag_wrapper("accept")?;
    let answer = match accepts {
        Some(true) => Ok(Answer::Accept),
        Some(false) => Ok(Answer::Decline),
        None => Err(Error::invalid("accept is missing: true or false.")),
    };
    Ok(ticket.and_then(|ticket| Ok(Call::Ready { ticket, answer: answer? })))
}

fn wait_call(message: &mut Message) -> Result<Result<Call, Error>, Malformed> {
    let queue = message.text("queue")?;
    let rating = match message.take("rating")? {
        None => None,
        #[expect(clippy::cast_precision_loss, reason = "no rating is that large")]
        Some(Json::Integer(rating)) => Some(rating as f64),
        Some(Json::Float(rating)) => Some(rating),
        Some(_) => return Err(Malformed("rating is no number".into())),
    };
    Ok(Ok(Call::Wait { queue, rating }))
}

fn rating_call(message: &mut Message) -> Result<Result<Call, Error>, Malformed> {
    let queue = message.text("queue")?;
    Ok(rating::named_user(message)?.map(|user| Call::Rating { queue, user }))
}

fn history_call(message: &mut Message) -> Result<Result<Call, Error>, Malformed> {
    let queue = message.text("queue")?;
    let (user, page) = (rating::named_user(message)?, rating::page(message)?);
    let call = |(user, (limit, before))| Call::History { queue, user, before, limit };
    Ok(user.and_then(|user| Ok(call((user, page?)))))
}

fn ticket(message: &mut Message) -> Result<Result<TicketId, Error>, Malformed> {
    let ticket = TicketId::parse(&message.text("ticket")?);
    Ok(ticket.ok_or_else(|| Error::invalid("The ticket is not a UUID.")))
}

fn seconds(o: &mut Object<'_>, name: &str, time: Duration) {
    o.double(name, time.as_secs_f64());
}

/// The answer of `queue_wait`: empty where nobody was matched yet.
pub fn wait(wait: Option<Wait>) -> String {
    json::object(|o| {
        if let Some(Wait { median, p90, samples }) = wait {
            seconds(o, "median_sec", median);
            seconds(o, "p90_sec", p90);
            o.raw("samples", &samples.to_string());
        }
    })
}

/// Why a ticket waits. Players are not told of the tickets of others.
pub fn explanation(explanation: &Explanation, is_operator: bool) -> String {
    let Explanation { ticket, waited, stage, stages, window, others, acceptable, .. } = explanation;
    json::object(|o| {
        o.shown("ticket", ticket.id);
        seconds(o, "waited_sec", *waited);
        o.raw("stage", &stage.to_string());
        o.raw("stages", &stages.to_string());
        o.double("rating_window", *window);
        o.raw("others", &others.to_string());
        o.raw("acceptable", &acceptable.to_string());
        let excluded = explanation.excluded.iter().filter(|(_, tickets)| *tickets > 0);
        o.list("excluded", excluded, |(rule, tickets), o| {
            o.text("rule", rule);
            o.raw("tickets", &tickets.to_string());
        });
        if let Some((other, reach)) = explanation.next_reach {
            seconds(o, "window_reaches_next_in_sec", reach);
            if is_operator {
                o.shown("next_ticket", other);
            }
        }
    })
}

/// Tickets that wait in a queue, and where the list goes on.
pub fn tickets(tickets: &[Listed], next: Option<usize>, is_paused: bool) -> String {
    json::object(|o| {
        o.flag("paused", is_paused);
        o.list("tickets", tickets, |listed, o| {
            let Listed { ticket, waited, stage, stages } = listed;
            o.shown("ticket", ticket.id);
            o.shown("create_time", ticket.created);
            seconds(o, "waited_sec", *waited);
            o.raw("stage", &stage.to_string());
            o.raw("stages", &stages.to_string());
            o.list("presences", &ticket.entries, |me, o| {
                o.shown("user_id", me.user_id);
                o.text("username", &me.username);
            });
            matchmaking::properties(ticket, o);
        });
        o.text_wrapper("cursor", next.map(|next| next.to_string()).as_deref());
    })
}

/// The players of a lineup, each as all are told of it: with the team, role and region.
pub fn users(lineup: &Lineup, node: &str) -> Vec<String> {
    let mut users = Vec::new();
    for (ticket, seats) in lineup.tickets.iter().zip(&lineup.seats) {
        for (me, seat) in ticket.entries.iter().zip(seats) {
            users.push(user(lineup, ticket, me, seat, node));
        }
    }
    users
}

fn user(lineup: &Lineup, ticket: &Ticket, me: &Presence, seat: &Seat, node: &str) -> String {
    let definition = &lineup.definition;
    let own =
        |name: &str| name.split_once('@').is_none_or(|(_, user)| user == me.user_id.to_string());
    let mut ticket = Ticket {
        entries: Vec::new(),
        string_properties: ticket.string_properties.clone(),
        numeric_properties: ticket.numeric_properties.clone(),
        ..*ticket
    };
    ticket.string_properties.retain(|name, _| own(name));
    ticket.numeric_properties.retain(|name, _| own(name));
    let texts = &mut ticket.string_properties;
    texts.insert("team".into(), definition.teams[seat.team].name.clone());
    if let Some(role) = seat.role {
        texts.insert("role".into(), definition.roles[role].name.clone());
    }
    if let Some(region) = lineup.region {
        texts.insert("region".into(), definition.regions[region].clone());
    }
    if !definition.mode.is_empty() {
        texts.insert("mode".into(), definition.mode.clone());
    }
    for (attribute, values) in &lineup.shared {
        texts.insert(attribute.clone(), values.join(","));
    }
    let numbers = &mut ticket.numeric_properties;
    numbers.insert("match_quality".into(), lineup.quality);
    numbers.insert("win_probability".into(), lineup.win_probability);
    json::object(|o| matchmaking::matched_user(&ticket, me, node, o))
}

/// What a notification about a ticket of a queue says.
pub fn notice(ticket: &Ticket, fill: impl FnOnce(&mut Object<'_>)) -> String {
    json::object(|o| {
        o.shown("ticket", ticket.id);
        o.text("queue", ticket.string_properties.get("queue").map_or("", String::as_str));
        fill(o);
    })
}

/// Why a ticket waits no more.
pub fn reason(why: &Dropped) -> String {
    match why {
        Dropped::LeaseOver => "The server did not renew the ticket.".into(),
        Dropped::Unfit(unfit) => format!("The queue has changed. {unfit}"),
        Dropped::QueueDeleted => "The queue is no longer there.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_and_what_is_wrong_is_named() {
        let id = "00000000-0000-4000-8000-000000000001";
        let ticket = TicketId::parse(id).expect("an id");
        let ok = |name: &str, payload: &str| call(name, payload).expect(payload);
        assert_eq!(
            ok("Queue_Ready", &format!(r#"{{"ticket":"{id}","accept":true}}"#)),
            Call::Ready { ticket, answer: Answer::Accept }
        );
        assert_eq!(
            ok("queue_ready", &format!(r#"{{"ticket":"{id}","accept":false}}"#)),
            Call::Ready { ticket, answer: Answer::Decline }
        );
        assert_eq!(
            ok("queue_wait", r#"{"queue":"duel","rating":1500}"#),
            Call::Wait { queue: "duel".into(), rating: Some(1500.0) }
        );
        assert_eq!(
            ok("queue_explain", &format!(r#"{{"ticket":"{id}"}}"#)),
            Call::Explain { ticket }
        );

        let user = UserId::parse(id);
        assert_eq!(
            ok("rating_get", r#"{"queue":"duel"}"#),
            Call::Rating { queue: "duel".into(), user: None }
        );
        assert_eq!(
            ok("rating_history", &format!(r#"{{"queue":"duel","user_id":"{id}","cursor":"7"}}"#)),
            Call::History { queue: "duel".into(), user, before: Some(7), limit: 20 }
        );

        // Row 10 of the reference: 3 without an id, 6 for an unknown one, 7 where it fails.
        let fails = |name: &str, payload: &str, code: i32, text: &str| {
            let error = call(name, payload).expect_err(payload);
            assert_eq!((error.realtime_code(), &*error.message), (code, text));
        };
        fails("", "", 3, "RPC ID must be set");
        fails("nonsense", "{}", 6, "RPC function not found");
        fails("queue_ready", r#"{"ticket":"x","accept":true}"#, 7, "The ticket is not a UUID.");
        let cursor = "The cursor is not of this list.";
        fails("rating_history", r#"{"queue":"duel","cursor":"x"}"#, 7, cursor);
        fails("rating_history", r#"{"limit":101}"#, 7, "limit has to be 1 to 100.");
        fails("rating_get", r#"{"user_id":"x"}"#, 7, "user_id is not a UUID.");
        let missing = "accept is missing: true or false.";
        fails("queue_ready", &format!(r#"{{"ticket":"{id}"}}"#), 7, missing);
        for payload in ["", "[]", "{", r#"{"rating":"x"}"#, r#"{"queue":1}"#, r#"{"x":1}"#] {
            let error = call("queue_wait", payload).expect_err(payload);
            assert!(error.message.starts_with("The payload is malformed"), "{error:?}");
        }
    }
}
