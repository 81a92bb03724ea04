//! What clients do in declared queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::ConnectionId;
use base::json::Json;
use matchmaker::Mode;
use matchmaker::queue::Definition;

use super::Workload;
use crate::check::queue::{Line, ROLES, Rules, Says};
use crate::check::socket::Question;
use crate::check::ticket::{Properties, Tickets, Want, Wish};

/// The last one is there only when operators define it.
const QUEUES: [&str; 3] = ["duel", "pairs", "arena"];
const MAPS: [&str; 2] = ["dust", "lake"];
/// From the lowest rating on, in hundreds.
const RATINGS: u32 = 6;

/// At rest, clients queue up and accept what they are offered so often.
const ROUNDS: usize = 4;
/// In so long, every window has reached its end and everybody was tried again.
const WIDENED: Duration = Duration::from_secs(20);

/// What the configuration declares.
fn rules() -> [Rules; 2] {
    let duel = Rules {
        id: "duel",
        mode: "duel".into(),
        size: 1,
        ready: Some(5),
        has_roles: false,
        has_regions: true,
        window: (100, 300, 4),
    };
    let pairs = Rules {
        id: "pairs",
        mode: "pairs".into(),
        size: 2,
        has_roles: true,
        has_regions: false,
        window: (200, 600, 3),
        ..duel
    };
    [duel, pairs]
}

pub(super) fn configured() -> Vec<Arc<Definition>> {
    let definition = |rules: Rules| {
        let json = Json::parse(rules.to_string().as_bytes()).expect("a definition is JSON");
        Arc::new(Definition::parse(&json).expect("a good definition"))
    };
    rules().map(definition).into()
}

pub(super) fn tickets(mode: Mode, is_mutual: bool) -> Tickets {
    let mut tickets = Tickets::new(mode, is_mutual);
    for rules in rules() {
        tickets.lines.declare(rules);
    }
    tickets.lines.change(QUEUES[2]);
    tickets
}

impl Workload {
    /// What an operator may ask of a queue.
    pub(super) fn any_rules(&mut self) -> Rules {
        self.tags += 1;
        let size = 1 + self.rng.below(3) as usize;
        let low = 100 * self.rng.below(4);
        Rules {
            id: QUEUES[self.rng.below(3) as usize],
            mode: format!("mode {}", self.tags),
            size,
            ready: (self.rng.below(2) == 0).then_some(3),
            has_roles: size == 2 && self.rng.below(2) == 0,
            has_regions: self.rng.below(4) == 0,
            window: (low, low + 100 * self.rng.below(4), 1 + self.rng.below(5)),
        }
    }

    /// Clients queue up, alone or in small parties, and wait for a while.
    pub(super) fn compete(&mut self) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        let Some(connection) = self.any(&open) else { return };
        match self.rng.below(6) {
            0 | 1 => self.line_up(),
            2 | 3 => self.gather(connection),
            4 => self.line_up_together(connection),
            _ => self.cluster.pass(Duration::from_millis(u64::from(self.rng.below(2000)))),
        }
    }

    /// Enters the party of another, or has it open one for two.
    fn gather(&mut self, connection: ConnectionId) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        let other = self.any(&open).unwrap_or(connection);
        let ids: Vec<_> = self.sockets[&other].parties.ids().map(str::to_owned).collect();
        match self.any(&ids).filter(|_| other != connection) {
            Some(id) => {
                let join = format!("\"party_join\":{{\"party_id\":\"{id}\"}}");
                self.say_question(connection, Question::PartyJoin, &join);
            }
            None => {
                let create = "\"party_create\":{\"open\":true,\"max_size\":2}";
                self.say_question(other, Question::PartyCreate, create);
            }
        }
    }

    /// Those who lead a party queue up with it.
    fn line_up_together(&mut self, connection: ConnectionId) {
        let ids: Vec<_> = self.sockets[&connection].parties.ids().map(str::to_owned).collect();
        for id in ids {
            let presences = self.sockets[&connection].parties.presences(&id);
            let wish = self.any_line(&presences);
            let add = format!("\"party_matchmaker_add\":{{\"party_id\":\"{id}\",{wish}}}");
            self.say_question(connection, Question::PartyTicketAdd(wish), &add);
        }
    }

    /// Several clients add tickets to queues at the same time.
    pub(super) fn line_up(&mut self) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        for _ in 0..2 + self.rng.below(6) {
            let Some(connection) = self.any(&open) else { return };
            let wish = self.any_line(&[]);
            self.queue(connection, wish);
        }
    }

    /// A ticket for a declared queue, of a player or of a party with these members.
    pub(super) fn any_line(&mut self, presences: &[String]) -> Wish {
        self.tags += 1;
        let mut own = BTreeMap::new();
        for presence in presences {
            if self.rng.below(2) == 0 {
                let user = crate::cluster::client::text_of(presence, "user_id").expect("a user");
                own.insert(user, self.any_says());
            }
        }
        let users: Vec<_> = self.sockets.values().map(|socket| socket.user.clone()).collect();
        let blocked = (self.rng.below(8) == 0).then(|| self.any(&users)).flatten();
        let far = self.rng.below(3);
        let line = Line {
            tag: self.tags,
            queue: QUEUES[[0, 0, 1, 1, 1, 2][self.rng.below(6) as usize]],
            says: self.any_says(),
            own,
            blocked,
            latencies: [[Some(20), Some(50), None][far as usize], Some(30)],
            map: MAPS.get(self.rng.below(20) as usize).copied(),
            since: self.cluster.now.monotonic,
        };
        self.tickets.lines.begin(line.clone());
        Wish {
            min: 2,
            max: 2,
            multiple: 1,
            want: Want::default(),
            properties: Properties::default(),
            line: Some(line),
        }
    }

    fn any_says(&mut self) -> Says {
        let roles: &[&'static str] = match self.rng.below(4) {
            0 => &ROLES[..1],
            1 => &ROLES[1..],
            2 => &ROLES,
            _ => &[],
        };
        Says { rating: 1000 + 100 * self.rng.below(RATINGS), roles: roles.to_vec() }
    }

    /// Those who are asked about a match accept, mostly; or decline, wait too long, take their
    /// tickets back, or vanish.
    pub(super) fn react(&mut self) {
        for (socket, ticket) in self.tickets.lines.take_asked() {
            let Some(connection) = self.connection_of(socket) else { continue };
            if self.rng.below(2) == 0 {
                self.tickets.lines.ask_later(socket, ticket);
                continue;
            }
            match self.rng.below(20) {
                0 => self.answer(connection, &ticket, false),
                1 => {}
                2 => {
                    self.answer(connection, &ticket, true);
                    self.take_back(connection, &ticket);
                }
                3 => self.take_back(connection, &ticket),
                4 => {
                    self.cluster.faults.lost_connections += 1;
                    self.sockets.remove(&connection);
                    self.cluster.disconnect(connection);
                }
                5 => {
                    self.answer(connection, &ticket, true);
                    self.answer(connection, &ticket, self.tags.is_multiple_of(2));
                }
                _ => self.answer(connection, &ticket, true),
            }
        }
    }

    fn connection_of(&self, socket: u64) -> Option<ConnectionId> {
        self.sockets.keys().copied().find(|connection| connection.number == socket)
    }

    fn answer(&mut self, connection: ConnectionId, ticket: &str, accepts: bool) {
        self.tickets.lines.answer(ticket, connection.number, accepts);
        let question = Question::Ready { ticket: ticket.to_owned(), accepts };
        let payload = format!("{{\\\"ticket\\\":\\\"{ticket}\\\",\\\"accept\\\":{accepts}}}");
        self.call_function(connection, question, "queue_ready", &payload);
    }

    fn call_function(
        &mut self,
        connection: ConnectionId,
        question: Question,
        id: &str,
        payload: &str,
    ) {
        let call = format!("\"rpc\":{{\"id\":\"{id}\",\"payload\":\"{payload}\"}}");
        self.say_question(connection, question, &call);
    }

    fn take_back(&mut self, connection: ConnectionId, ticket: &str) {
        let message = format!("\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}");
        let question = Question::TicketRemove { ticket: ticket.to_owned() };
        self.say_question(connection, question, &message);
    }

    fn say_question(&mut self, connection: ConnectionId, question: Question, message: &str) {
        let socket = self.sockets.get_mut(&connection).expect("the socket is open");
        let cid = socket.ask(question);
        self.cluster.say(connection, format!("{{\"cid\":\"{cid}\",{message}}}"));
    }

    // What is true at rest.

    /// Everybody queues up, and everybody accepts; then nobody answers any more, and every ready
    /// check ends.
    pub(super) fn rest_in_queues(&mut self) {
        self.cluster.advance(Duration::ZERO);
        self.judge();
        let open = self.sockets.iter();
        let open: BTreeMap<_, _> = open.map(|(id, socket)| (id.number, &*socket.user)).collect();
        self.tickets.lines.note_gone(&open);
        let open: Vec<_> = self.sockets.keys().copied().collect();
        for _ in 0..2 {
            open.iter().for_each(|connection| self.gather(*connection));
            self.settle();
        }
        for connection in open {
            self.line_up_together(connection);
            let wish = self.any_line(&[]);
            self.queue(connection, wish);
        }
        for _ in 0..ROUNDS {
            self.settle();
            for (socket, ticket) in self.tickets.lines.take_asked() {
                if let Some(connection) = self.connection_of(socket) {
                    self.answer(connection, &ticket, true);
                }
            }
            self.settle();
            self.cluster.advance(WIDENED / 4);
            self.judge();
        }
        while !self.tickets.lines.take_asked().is_empty() {
            self.cluster.advance(WIDENED);
            self.judge();
        }
        self.invariant_queues_at_rest();
    }

    fn invariant_queues_at_rest(&mut self) {
        let open = self.sockets.iter();
        let open: BTreeMap<_, _> =
            open.map(|(id, socket)| (id.number, socket.user.clone())).collect();
        let open: BTreeMap<_, _> = open.iter().map(|(id, user)| (*id, &**user)).collect();
        self.tickets.lines.invariant_nobody_is_asked(&open);
        let waiting = self.tickets.lines.waiting(&open);
        for (socket, ticket) in &waiting {
            let Some(connection) = self.connection_of(*socket) else { continue };
            let question = Question::Explain { ticket: ticket.clone() };
            let payload = format!("{{\\\"ticket\\\":\\\"{ticket}\\\"}}");
            self.call_function(connection, question, "queue_explain", &payload);
        }
        self.settle();
        let elsewhere = self.tickets.lines.invariant_all_wait(&waiting);
        for queue in self.cluster.queues().into_values() {
            let mode = &queue.definition.mode;
            self.tickets.lines.invariant_nobody_is_passed_over(mode, &waiting, &open);
        }
        for (socket, ticket) in elsewhere {
            let Some(connection) = self.connection_of(socket) else { continue };
            let message = format!("{{\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}}}");
            let answers = self.cluster.tell(connection, message);
            let is_refused = answers.iter().any(|text| text.contains("\"error\""));
            assert!(!is_refused, "a ticket that was told of nothing waits: {ticket}");
        }
    }
}
