//! What a game's own servers ask of declared queues: tickets of players who have no socket here,
//! and players for running matches.

use std::collections::BTreeMap;

use base::TicketId;
use base::json::{self, Json, Object};
use matchmaker::Ticket;
use matchmaker::queue::{Acknowledged, Backfill, Definition, Offer};

use super::matchmaking;
use crate::console::{BackfillWish, Console, ServerAct, ServerPlayer, ServerWish, TeamWish};
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::request::Request;

fn request(act: ServerAct) -> Request {
    Request::Console(Console::Server(act))
}

fn id(call: &Call<'_>) -> Result<TicketId, Error> {
    TicketId::parse(call.part("id")).ok_or_else(|| Error::invalid("The id is not a UUID."))
}

pub(crate) fn ticket_add(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let player = |mut player: Message| -> Result<ServerPlayer, Malformed> {
        Ok(ServerPlayer { user_id: player.text("user_id")?, username: player.text("username")? })
    };
    let players: Result<_, _> = message.messages("players")?.into_iter().map(player).collect();
    let wish = ServerWish {
        players: players?,
        string_properties: message.text_map("string_properties")?,
        numeric_properties: message.double_map("numeric_properties")?,
    };
    Ok(request(ServerAct::TicketAdd { queue: call.part("id").to_owned(), wish }))
}

pub(crate) fn ticket_get(call: &Call<'_>) -> Result<Request, Error> {
    Ok(request(ServerAct::Ticket(id(call)?)))
}

pub(crate) fn ticket_ready(call: &Call<'_>) -> Result<Request, Error> {
    let accept = call.message()?.flag_wrapper("accept")?;
    let accept = accept.ok_or_else(|| Error::invalid("accept is missing: true or false."))?;
    Ok(request(ServerAct::Ready { ticket: id(call)?, accept }))
}

pub(crate) fn ticket_remove(call: &Call<'_>) -> Result<Request, Error> {
    Ok(request(ServerAct::TicketRemove(id(call)?)))
}

pub(crate) fn wait(call: &Call<'_>) -> Result<Request, Error> {
    let rating = call.query.text("rating")?.map(str::parse::<f64>).transpose();
    let rating = rating.map_err(|_| Error::invalid("rating is not a number."))?;
    Ok(request(ServerAct::Wait { queue: call.part("id").to_owned(), rating }))
}

pub(crate) fn backfill_add(call: &Call<'_>) -> Result<Request, Error> {
    let mut message = call.message()?;
    let team = |mut team: Message| -> Result<TeamWish, Malformed> {
        Ok(TeamWish {
            name: team.text("name")?,
            open: team.int32("open")?,
            rating: number(&mut team, "rating")?,
            roles: team.double_map("roles")?,
        })
    };
    let teams: Result<_, _> = message.messages("teams")?.into_iter().map(team).collect();
    let wish = BackfillWish {
        match_id: message.text("match_id")?,
        teams: teams?,
        region: message.text("region")?,
        rating: number(&mut message, "rating")?,
        priority: message.text("priority")?,
        string_properties: message.text_map("string_properties")?,
        numeric_properties: message.double_map("numeric_properties")?,
    };
    Ok(request(ServerAct::BackfillAdd { queue: call.part("id").to_owned(), wish }))
}

pub(crate) fn backfill_get(call: &Call<'_>) -> Result<Request, Error> {
    Ok(request(ServerAct::Backfill(id(call)?)))
}

pub(crate) fn backfill_acknowledge(call: &Call<'_>) -> Result<Request, Error> {
    let tickets = call.message()?.texts("tickets")?;
    let tickets: Option<_> = tickets.iter().map(|ticket| TicketId::parse(ticket)).collect();
    let tickets = tickets.ok_or_else(|| Error::invalid("A ticket is not a UUID."))?;
    Ok(request(ServerAct::Acknowledge { backfill: id(call)?, tickets }))
}

pub(crate) fn backfill_remove(call: &Call<'_>) -> Result<Request, Error> {
    Ok(request(ServerAct::BackfillRemove(id(call)?)))
}

fn number(message: &mut Message, field: &str) -> Result<Option<f64>, Malformed> {
    match message.take(field)? {
        None => Ok(None),
        #[expect(clippy::cast_precision_loss, reason = "bounds are checked later")]
        Some(Json::Integer(number)) => Ok(Some(number as f64)),
        Some(Json::Float(number)) => Ok(Some(number)),
        Some(_) => Err(Malformed(format!("{field} is no number"))),
    }
}

/// A new ticket, or running match.
pub fn added(name: &str, id: TicketId) -> String {
    json::object(|o| o.shown(name, id))
}

/// What a ticket does: `waiting`, `match_found`, `offered`.
pub fn state(state: &str) -> String {
    json::object(|o| o.text("state", state))
}

/// How a ticket ended: it is matched, and `way` is the `match_id` or the `token`.
pub fn matched((way, value): (&str, &str), users: &str) -> String {
    json::object(|o| {
        o.text("state", "matched");
        o.text(way, value);
        o.raw("users", users);
    })
}

/// How a ticket ended, without a match.
pub fn gone(reason: &str) -> String {
    json::object(|o| {
        o.text("state", "gone");
        o.text("reason", reason);
    })
}

/// What the webhook is told of a ticket: what an answer about it would say.
pub fn message(ticket: &Ticket, told: &str) -> String {
    json::object(|o| {
        o.text("type", "queue_ticket");
        o.shown("ticket", ticket.id);
        o.text("queue", ticket.string_properties.get("queue").map_or("", String::as_str));
        o.raw("data", told);
    })
}

/// What a running match lacks still, and who is offered to it.
pub fn backfill(definition: &Definition, backfill: &Backfill, offers: &[&Offer]) -> String {
    json::object(|o| {
        o.text("match_id", &backfill.match_id);
        let teams = definition.teams.iter().zip(&backfill.teams);
        o.list("teams", teams, |(team, opening), o| {
            o.text("name", &team.name);
            o.raw("open", &opening.open.to_string());
            let open = definition.roles.iter().zip(&opening.roles);
            let open: Vec<_> = open.filter(|(_, count)| **count > 0).collect();
            o.object_if(!open.is_empty(), "roles", |o| {
                open.iter().for_each(|(role, count)| o.raw(&role.name, &count.to_string()));
            });
        });
        o.list("offers", offers, |offer, o| offered(definition, offer, o));
    })
}

fn offered(definition: &Definition, offer: &Offer, o: &mut Object<'_>) {
    let Ticket { id, entries, .. } = &offer.ticket;
    o.shown("ticket", id);
    o.text("team", &definition.teams[offer.team].name);
    o.list("players", entries.iter().enumerate(), |(place, player), o| {
        o.shown("user_id", player.user_id);
        o.text("username", &player.username);
        if let Some(role) = offer.roles.get(place) {
            o.text("role", &definition.roles[*role].name);
        }
    });
    matchmaking::properties(&offer.ticket, o);
}

pub fn acknowledged(acknowledged: &Acknowledged) -> String {
    let list = |tickets: &[TicketId]| {
        let shown: Vec<_> = tickets.iter().map(|ticket| format!("\"{ticket}\"")).collect();
        format!("[{}]", shown.join(","))
    };
    json::object(|o| {
        o.raw("accepted", &list(&acknowledged.accepted));
        o.raw("expired", &list(&acknowledged.expired));
    })
}

/// The players of a ticket that a running match has taken, each as they are told.
pub fn users(definition: &Definition, offer: &Offer, node: &str) -> Vec<String> {
    let user = |(place, me): (usize, &matchmaker::Presence)| {
        let mut ticket = Ticket { entries: Vec::new(), ..offer.ticket.clone() };
        let mut say = |name: &str, value: &str| {
            ticket.string_properties.insert(name.into(), value.into());
        };
        say("team", &definition.teams[offer.team].name);
        if let Some(role) = offer.roles.get(place) {
            say("role", &definition.roles[*role].name);
        }
        json::object(|o| matchmaking::matched_user(&ticket, me, node, o))
    };
    offer.ticket.entries.iter().enumerate().map(user).collect()
}

/// Openings by role: one number for each role of the queue.
pub fn roles(definition: &Definition, named: &BTreeMap<String, f64>) -> Option<Vec<usize>> {
    if named.is_empty() {
        return Some(Vec::new());
    }
    let is_known = |name: &String| definition.roles.iter().any(|role| role.name == *name);
    let count = |role: &matchmaker::queue::Role| {
        let count = named.get(&role.name).copied().unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        ((0.0..=64.0).contains(&count) && count.fract() == 0.0).then_some(count as usize)
    };
    if !named.keys().all(is_known) {
        return None;
    }
    definition.roles.iter().map(count).collect()
}
