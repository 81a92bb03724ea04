//! What a feature wants done. What is not here cannot happen.

use base::{Change, MatchId, PartyId, SessionId};

use crate::play::{party, relay};
use crate::presence::Presence;
use crate::social::notification::Notification;
use crate::social::status::StatusPresence;

/// Taken out of a [`crate::ctx::Ctx`] by the shard alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A durable change; those of one `apply` are one atomic batch.
    Change(Change),
    /// A push to realtime sessions, wherever they live.
    Push { to: Vec<SessionId>, event: Event },
    /// What a party's shard has to do besides.
    Party { id: PartyId, notice: party::Notice },
}

/// What a push tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    StatusPresence { joins: Vec<StatusPresence>, leaves: Vec<StatusPresence> },
    MatchPresence { match_id: MatchId, joins: Vec<Presence>, leaves: Vec<Presence> },
    Notification(Notification),
    MatchData { match_id: MatchId, sender: Presence, data: relay::Data },
    Party { address: party::Address, event: party::Event },
}
