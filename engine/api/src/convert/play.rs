//! Relayed matches.

use base::json::Object;
use base::{MatchId, SessionId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::play::relay::{Data, Joined};
use domain::presence::Presence;

use super::status::presence;
use crate::json::{Malformed, Message};
use crate::request::{MatchDataSend, MatchTarget, Request, UserPresence};

/// A relayed match's id on the wire: the node part behind the dot is empty.
pub fn match_id_text(id: MatchId) -> String {
    format!("{id}.")
}

/// Reads `<uuid>.`. An id with a node is well-formed too, but names an authoritative match.
pub fn parse_match_id(text: &str) -> Option<WireMatchId> {
    let (id, node) = text.split_once('.')?;
    let id = MatchId::parse(id)?;
    Some(if node.is_empty() { WireMatchId::Relayed(id) } else { WireMatchId::Authoritative })
}

/// The two kinds of match ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireMatchId {
    Relayed(MatchId),
    Authoritative,
}

pub(crate) fn match_create(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::MatchCreate { name: message.text("name")? };
    message.finish()?;
    Ok(request)
}

pub(crate) fn match_join(mut message: Message) -> Result<Request, Malformed> {
    let id = message.text_wrapper("match_id")?;
    let token = message.text_wrapper("token")?;
    message.text_map("metadata")?; // read by authoritative matches only
    message.finish()?;
    let target = match (id, token) {
        (Some(_), Some(_)) => return Err(Malformed("both match_id and token are given".into())),
        (Some(id), None) => Some(MatchTarget::Id(id)),
        (None, Some(token)) => Some(MatchTarget::Token(token)),
        (None, None) => None,
    };
    Ok(Request::MatchJoin { target })
}

pub(crate) fn match_leave(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::MatchLeave { match_id: message.text("match_id")? };
    message.finish()?;
    Ok(request)
}

pub(crate) fn match_data_send(mut message: Message) -> Result<Request, Malformed> {
    let presences = message.messages("presences")?.into_iter().map(user_presence);
    let request = MatchDataSend {
        match_id: message.text("match_id")?,
        op_code: message.int64("op_code")?,
        data: message.bytes("data")?,
        presences: presences.collect::<Result<_, _>>()?,
        reliable: message.flag("reliable")?,
    };
    message.finish()?;
    Ok(Request::MatchDataSend(request))
}

pub(crate) fn user_presence(mut message: Message) -> Result<UserPresence, Malformed> {
    let presence = UserPresence {
        user_id: message.text("user_id")?,
        session_id: message.text("session_id")?,
        username: message.text("username")?,
    };
    message.flag("persistence")?;
    message.text_wrapper("status")?;
    message.finish()?;
    Ok(presence)
}

pub(crate) fn joined(joined: &Joined, size: usize, o: &mut Object<'_>) {
    o.text("match_id", &match_id_text(joined.match_id));
    o.int32("size", i32::try_from(size).unwrap_or(i32::MAX));
    o.list("presences", &joined.present, presence);
    o.object("self", |o| presence(&joined.me, o));
}

pub(crate) fn match_presence(
    id: MatchId,
    joins: &[Presence],
    leaves: &[Presence],
    o: &mut Object<'_>,
) {
    o.text("match_id", &match_id_text(id));
    o.list("joins", joins, presence);
    o.list("leaves", leaves, presence);
}

pub(crate) fn match_data(id: MatchId, sender: &Presence, data: &Data, o: &mut Object<'_>) {
    o.text("match_id", &match_id_text(id));
    o.object("presence", |o| presence(sender, o));
    o.int64("op_code", data.op_code);
    o.text("data", &STANDARD.encode(&data.bytes));
    o.flag("reliable", data.reliable);
}

/// The presences of a filter as sessions; `None` when one of them has an id that is none.
pub fn parse_filter(presences: &[UserPresence]) -> Option<Vec<SessionId>> {
    let parse = |presence: &UserPresence| {
        base::UserId::parse(&presence.user_id)?;
        SessionId::parse(&presence.session_id)
    };
    presences.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn match_ids_have_a_dot() {
        let uuid = "11111111-1111-4111-8111-111111111111";
        let id = MatchId::parse(uuid).expect("a well-formed id");
        assert_eq!(parse_match_id(&format!("{uuid}.")), Some(WireMatchId::Relayed(id)));
        assert_eq!(parse_match_id(&format!("{uuid}.node")), Some(WireMatchId::Authoritative));
        for wrong in ["", "abc", uuid, ".", "abc.", "x.y"] {
            assert_eq!(parse_match_id(wrong), None, "{wrong}");
        }
    }
}
