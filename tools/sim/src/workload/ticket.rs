//! What clients ask the matchmaker for.

use base::ConnectionId;

use super::Workload;
use crate::check::socket::Question;
use crate::check::ticket::{Properties, Room, Want, Wish};

const ROOMS: [&str; 2] = ["north", "south hall"];
const RANKS: u32 = 8;

impl Workload {
    /// Several clients add tickets at the same time, some of them more than they may have.
    pub(super) fn queue_up(&mut self) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        for _ in 0..2 + self.rng.below(6) {
            let Some(connection) = self.any(&open) else { return };
            let wish = self.any_wish();
            self.queue(connection, wish);
        }
    }

    /// Everybody who has added no ticket asks for one other player.
    pub(super) fn pair_up(&mut self) {
        let open = self.sockets.iter().filter(|(_, socket)| !socket.has_tickets());
        for connection in open.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            let wish = self.wish_of(2, 2);
            self.queue(connection, wish);
        }
    }

    pub(super) fn queue(&mut self, connection: ConnectionId, wish: Wish) {
        let message = format!("\"matchmaker_add\":{{{wish}}}");
        let socket = self.sockets.get_mut(&connection).expect("the socket is open");
        let cid = socket.ask(Question::TicketAdd(wish));
        self.cluster.say(connection, format!("{{\"cid\":\"{cid}\",{message}}}"));
    }

    pub(super) fn any_wish(&mut self) -> Wish {
        let is_pair = self.rng.below(2) == 0;
        let min = if is_pair { 2 } else { 2 + self.rng.below(2) };
        let max = if is_pair { 2 } else { min + self.rng.below(3) };
        self.wish_of(min, max)
    }

    fn wish_of(&mut self, min: u32, max: u32) -> Wish {
        let multiple = 1 + self.rng.below(2) * u32::from(min == 2 && max.is_multiple_of(2));
        let properties = Properties { room: self.any_room(), rank: self.any_rank() };
        Wish { min, max, multiple, want: self.any_want(), properties, line: None }
    }

    /// Anybody, those of a room, those of any other room, those whose ranks lie between bounds.
    fn any_want(&mut self) -> Want {
        let mut want = Want::default();
        let choice = self.rng.below(8);
        if matches!(choice, 2..=4) {
            want.room = self.any_room().map_or(Room::Any, Room::Is);
        }
        if choice == 5 {
            want.room = self.any_room().map_or(Room::Any, Room::IsNot);
        }
        if matches!(choice, 4 | 6) {
            want.low = self.any_rank();
        }
        if matches!(choice, 4 | 6 | 7) {
            want.high = self.any_rank();
        }
        want.prefers = self.any_room();
        want
    }

    fn any_room(&mut self) -> Option<&'static str> {
        ROOMS.get(self.rng.below(3) as usize).copied()
    }

    fn any_rank(&mut self) -> Option<u32> {
        (self.rng.below(4) > 0).then(|| self.rng.below(RANKS))
    }
}
