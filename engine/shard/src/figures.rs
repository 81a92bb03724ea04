//! What there is to know of a shard at a glance.

use std::time::Duration;

use crate::Shard;
use crate::rate::RateFigures;
use crate::view::ViewFigures;

/// Each of them is at hand: asking costs nothing that grows with the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Open WebSockets of connections that this core accepted.
    pub sockets: usize,
    /// Sessions that live here.
    pub sessions: usize,
    /// Users who live here and have a session, or followers.
    pub statuses: usize,
    pub matches: usize,
    pub parties: usize,
    pub tickets: usize,
    /// Requests under way.
    pub tasks: usize,
    /// Questions that wait for a key.
    pub parked: usize,
    /// Outputs that wait for the disk.
    pub held: usize,
    /// Formed matches whose players are still to be told.
    pub untold: usize,
    /// How long the matchmaker's work has been carried over from one step to the next.
    pub carried: Duration,
    pub view: ViewFigures,
    pub rates: RateFigures,
}

impl Shard {
    pub fn figures(&self) -> Figures {
        let carried = self.carried_since.map(|since| self.now.monotonic.since(since));
        Figures {
            sockets: self.connections.len(),
            sessions: self.sessions.len(),
            statuses: self.statuses.len(),
            matches: self.relays.len(),
            parties: self.parties.len(),
            tickets: self.pool.len() + self.declared.len(),
            tasks: self.tasks.len(),
            parked: self.parked.len(),
            held: self.held.len(),
            untold: self.formed.len(),
            carried: carried.unwrap_or_default(),
            view: self.view.figures(),
            rates: self.limiter.figures(),
        }
    }
}
