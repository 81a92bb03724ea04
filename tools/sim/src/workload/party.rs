//! What clients do in parties.

use std::collections::BTreeMap;

use base::ConnectionId;

use super::Workload;
use crate::check::socket::{Question, invariant_party_data_arrived};

impl Workload {
    pub(super) fn any_party_question(&mut self, connection: ConnectionId) -> (Question, String) {
        let known: Vec<_> = self.parties.iter().cloned().collect();
        let own: Vec<_> = self.sockets[&connection].parties.ids().map(str::to_owned).collect();
        let from = if self.rng.below(4) == 0 || own.is_empty() { &known } else { &own };
        let id = self.any(from).unwrap_or_default();
        let other = self.any(&known).unwrap_or_default();
        let about = |what: &str, more: &str| {
            (Question::PartyAct, format!("\"party_{what}\":{{\"party_id\":\"{id}\"{more}}}"))
        };
        let presences = self.sockets[&connection].parties.presences(&id);
        let whom =
            self.any(&presences).map_or_else(String::new, |one| format!(",\"presence\":{one}"));
        match self.rng.below(20) {
            0..3 => {
                let size = 1 + self.rng.below(4);
                let open = self.rng.below(2) == 0;
                let message = format!("\"party_create\":{{\"open\":{open},\"max_size\":{size}}}");
                (Question::PartyCreate, message)
            }
            3..8 => (Question::PartyJoin, format!("\"party_join\":{{\"party_id\":\"{other}\"}}")),
            8 => {
                let message = format!("\"party_leave\":{{\"party_id\":\"{id}\"}}");
                (Question::PartyLeave { id }, message)
            }
            9 => about("promote", &whom),
            10..13 => about("accept", &whom),
            13 => about("remove", &whom),
            14 if self.rng.below(2) == 0 => about("close", ""),
            15 => about("join_request_list", ""),
            17 => {
                let wish = match self.rng.below(2) {
                    0 => self.any_wish(),
                    _ => self.any_line(&presences),
                };
                let (_, message) = about("matchmaker_add", &format!(",{wish}"));
                (Question::PartyTicketAdd(wish), message)
            }
            18 => {
                let tickets: Vec<_> = self.tickets.known().map(str::to_owned).collect();
                let ticket = self.any(&tickets).unwrap_or_default();
                let (_, message) = about("matchmaker_remove", &format!(",\"ticket\":\"{ticket}\""));
                (Question::PartyTicketRemove { ticket }, message)
            }
            16 => about("update", [",\"open\":true", ""][self.rng.below(2) as usize]),
            _ => {
                let socket = self.sockets.get_mut(&connection).expect("the socket is open");
                let number = socket.next_data;
                socket.next_data += 1;
                about("data_send", &format!(",\"op_code\":\"{number}\""))
            }
        }
    }

    /// Each member of each party says something, which all others hear.
    pub(super) fn probe_party_data(&mut self) {
        let mut sent = BTreeMap::new();
        for (index, (connection, socket)) in self.sockets.iter_mut().enumerate() {
            let ids: Vec<_> = socket.parties.ids().map(str::to_owned).collect();
            for id in ids {
                let cid = socket.ask(Question::PartyAct);
                let number = socket.next_data;
                socket.next_data += 1;
                self.cluster.say(
                    *connection,
                    format!(
                        "{{\"cid\":\"{cid}\",\"party_data_send\":{{\"party_id\":\"{id}\",\
                         \"op_code\":\"{number}\"}}}}"
                    ),
                );
                sent.insert((index, id), number);
            }
        }
        self.settle();
        invariant_party_data_arrived(&self.sockets.values().collect::<Vec<_>>(), &sent);
    }
}
