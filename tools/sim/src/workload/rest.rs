//! What is true at rest, when everything is let go and has ended.

use std::collections::{BTreeMap, BTreeSet};

use api::http::Request;
use api::reply::Reply;
use base::limits::{ERASURE_RETRY, TASK_DEADLINE};
use base::{Code, ConnectionId, ShardId, UserId};
use domain::identity::alias::Alias;
use domain::record::Record as _;
use domain::record::erasure::Erasure;

use super::{DEVICE_COUNT, MOVING, NAMES, Workload};
use crate::check::socket::{
    Socket, invariant_data_arrived, invariant_members_are_known, invariant_pairs_are_matched,
    invariant_parties_agree, invariant_statuses_are_known,
};
use crate::check::{Acknowledged, invariant_queues_are_on_disk, invariant_trail_is_whole};
use crate::cluster::client::{Heard, Login, authenticate, device, device_named, handshake};
use crate::cluster::{ALIASES, INTERVAL, USERS};

impl Workload {
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let moves = self.cluster.step();
            self.judge();
            if !moves {
                return;
            }
        }
        panic!("the cluster comes to rest");
    }

    /// Lets everything go: every request is answered, nothing is held, nobody is left.
    pub(super) fn rest(&mut self) {
        self.let_go();
        self.cluster.live_on();
        self.pair_up();
        self.settle();
        self.cluster.advance(TASK_DEADLINE);
        self.judge();
        assert!(self.calls.is_empty(), "every request is answered: {:?}", self.calls);
        let called: BTreeSet<_> = self.cluster.called.iter().map(|(call, _)| *call).collect();
        assert_eq!(called, (1..=self.called).collect(), "every call of server code is answered");
        for (_, result) in &self.cluster.called {
            let is_refused = self.cluster.faults.refused_writes > 0;
            let is_late = |error: &api::Error| match error.code {
                Code::DeadlineExceeded => true,
                Code::ResourceExhausted => is_refused,
                _ => false,
            };
            let is_fine = result.as_ref().map_or_else(is_late, |reply| *reply == Reply::Empty);
            assert!(is_fine, "server code bans whom it wants: {result:?}");
        }
        invariant_trail_is_whole(&self.cluster.store, self.operated);
        invariant_queues_are_on_disk(&self.cluster);
        self.sockets.values().for_each(Socket::invariant_is_answered);
        let sockets: Vec<_> = self.sockets.values().collect();
        invariant_members_are_known(&sockets);
        invariant_parties_agree(&sockets);
        invariant_statuses_are_known(&sockets);
        invariant_pairs_are_matched(&sockets, &self.tickets);
        self.invariant_kicked();
        self.probe_data();
        self.rest_in_queues();
        for connection in std::mem::take(&mut self.sockets).into_keys() {
            self.cluster.disconnect(connection);
        }
        self.settle();
        self.rest_without_clients();
        self.cluster.crash();
        self.judge();
        self.cluster.store.check_rows();
        invariant_queues_are_on_disk(&self.cluster);
        self.rest_without_clients();
    }

    /// At rest a deleted user has no socket but by a token that the deletion spares, and with
    /// `single_socket` nobody has two.
    pub(super) fn invariant_kicked(&self) {
        let store = &self.cluster.store;
        let mut users = BTreeSet::new();
        for (connection, socket) in &self.sockets {
            let is_first = users.insert(&socket.user);
            assert!(is_first || !self.has_single_socket, "a newer socket closes the older");
            let user = UserId::parse(&socket.user).expect("a user id");
            let is_deleted = store.get(USERS, user.as_bytes()).is_none();
            let login = &self.opened[connection];
            // A logout ends tokens, not sockets.
            if is_deleted && !self.logged_out.contains(&socket.user) {
                let is_dead = Acknowledged::is_revoked(store, login);
                assert!(!is_dead, "a deleted user's sockets are closed");
            }
        }
    }

    pub(super) fn rest_without_clients(&mut self) {
        assert!(self.cluster.is_quiet(), "everything has ended");
        self.cluster.advance(2 * ERASURE_RETRY);
        let left = self.cluster.store.rows(Erasure::TABLE).count();
        assert_eq!(left, 0, "what deleted accounts left is gone");
        self.probe_accounts();
        self.probe_moving();
        self.probe_ghosts();
        self.cluster.drain();
        self.cluster.settle();
        assert!(self.cluster.is_quiet(), "everything has ended");
        assert!(self.cluster.damaged.is_empty(), "every record decodes");
    }

    /// Each member of each match says something, which all others hear.
    pub(super) fn probe_data(&mut self) {
        let mut sent = BTreeMap::new();
        for (index, connection) in
            self.sockets.keys().copied().collect::<Vec<_>>().iter().enumerate()
        {
            let matches: Vec<_> = self.sockets[connection].matches().map(str::to_owned).collect();
            for id in matches {
                let number = self.say_data(*connection, &id);
                sent.insert((index, id), number);
            }
        }
        self.settle();
        invariant_data_arrived(&self.sockets.values().collect::<Vec<_>>(), &sent);
        self.probe_party_data();
    }

    /// Every device and every name can be used: no hold was left behind.
    pub(super) fn probe_accounts(&mut self) {
        let shards = self.cluster.shard_count();
        let devices = (0..DEVICE_COUNT).map(|n| (format!("device-{n:04}"), None));
        let named = NAMES.iter().map(|name| (format!("device-of-{name}"), Some(*name)));
        for (n, (id, name)) in devices.chain(named).enumerate() {
            let request = match name {
                None => device(&id),
                Some(name) => device_named(&id, name),
            };
            let (status, body) = self.call_until_heard(ShardId::nth(n % shards), &request);
            match (status, name) {
                (200, _) => {
                    let login = Login::read(&body);
                    let store = &self.cluster.store;
                    self.acknowledged.invariant_sign_in(store, &id, &login);
                }
                (409, Some(name)) => {
                    Acknowledged::invariant_conflict(&self.cluster.store, name);
                }
                other => panic!("{id} cannot sign in: {other:?}: {body}"),
            }
        }
    }

    /// Every alias on disk signs in to the account that it leads to: no hold was left behind.
    pub(super) fn probe_moving(&mut self) {
        let custom: Vec<_> = (0..MOVING).map(|n| format!("moving-custom-{n}")).collect();
        for (n, id) in custom.iter().enumerate() {
            let key = Alias::custom(id).expect("well-formed").key();
            let owner = self.cluster.store.get(ALIASES, &key);
            let request = authenticate("custom", "", &format!("{{\"id\":\"{id}\"}}"));
            let shard = ShardId::nth(n % self.cluster.shard_count());
            let (status, body) = self.call_until_heard(shard, &request);
            match status {
                200 => assert_eq!(Login::read(&body).created, owner.is_none(), "{body}"),
                403 => assert!(owner.is_some(), "only accounts are banned: {body}"),
                other => panic!("{id} cannot sign in: {other}: {body}"),
            }
        }
    }

    /// Nobody is online, in a match or in search of one when everybody is gone.
    pub(super) fn probe_ghosts(&mut self) {
        let (_, body) = self.call_until_heard(ShardId(0), &device("device-of-nobody"));
        let login = Login::read(&body);
        self.probe_boards(&login.token);
        let socket = self.open_until_upgraded(&login.token);
        let ids: Vec<_> = self.acknowledged.users().map(|user| format!("\"{user}\"")).collect();
        for user in ids {
            let follow = format!("{{\"status_follow\":{{\"user_ids\":[{user}]}}}}");
            let answers = self.cluster.tell(socket, follow);
            let is_alone = answers.iter().all(|text| !text.contains("session_id"));
            assert!(is_alone, "nobody is online: {answers:?}");
        }
        for id in self.matches.iter().filter(|_| !self.has_hooks) {
            let join = format!("{{\"match_join\":{{\"match_id\":\"{id}\"}}}}");
            let answers = self.cluster.tell(socket, join);
            let is_over = |text: &String| text.contains("\"code\":4");
            assert!(answers.iter().all(is_over), "a match ends with its last member: {answers:?}");
        }
        for id in &self.parties {
            let join = format!("{{\"party_join\":{{\"party_id\":\"{id}\"}}}}");
            let answers = self.cluster.tell(socket, join);
            let is_over = |text: &String| text.contains("\"code\":3");
            assert!(answers.iter().all(is_over), "a party ends with its last member: {answers:?}");
        }
        let add = "{\"matchmaker_add\":{\"min_count\":2,\"max_count\":4}}";
        let mut heard = self.cluster.tell(socket, add);
        self.cluster.advance(2 * INTERVAL);
        heard.extend(self.cluster.texts(socket));
        let is_matched = heard.iter().any(|text| text.contains("matchmaker_matched"));
        assert!(!is_matched, "a ticket ends with its session: {heard:?}");
        self.cluster.disconnect(socket);
        self.cluster.settle();
        self.cluster.take_fresh();
    }

    /// Asks again while a hook refuses.
    pub(super) fn call_until_heard(&mut self, core: ShardId, request: &Request) -> (u16, String) {
        loop {
            let (status, body) = self.cluster.call(core, request.clone());
            if status != 429 || !self.has_hooks {
                return (status, body);
            }
        }
    }

    pub(super) fn open_until_upgraded(&mut self, token: &str) -> ConnectionId {
        loop {
            let connection = self.cluster.connect(ShardId(0));
            self.cluster.send(connection, handshake(&format!("token={token}")));
            self.cluster.settle();
            let heard = self.cluster.heard(connection);
            if heard == [Heard::Upgraded] {
                return connection;
            }
            assert!(self.has_hooks, "a handshake is answered: {heard:?}");
        }
    }

    // Choices.
}
