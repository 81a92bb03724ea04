//! Random clients, random order, random faults: what is true at every moment, and at rest.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::limits::TASK_DEADLINE;
use base::{ConnectionId, Rng, ShardId, UserId};
use cluster::client::{
    Heard, Login, account, claims, device, device_named, handshake, logout, refresh, text_of, users,
};
use cluster::{Cluster, DEVICES, Options, REVOCATIONS, TOKEN_LIFE, USERNAMES, USERS};
use domain::record::Record;
use domain::record::device::Device;
use domain::record::revocation::Revocation;
use domain::record::user::User;
use domain::record::username::UsernameOwner;
use matchmaker::Mode;

const DEVICE_COUNT: u32 = 6;
const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const SEEDS: u64 = 200;
const ACTIONS: usize = 250;

#[test]
fn whatever_happens_nothing_acknowledged_is_lost_and_everything_comes_to_rest() {
    for seed in 0..SEEDS {
        let mut workload = Workload::new(seed);
        for _ in 0..ACTIONS {
            workload.act();
            workload.go_on();
        }
        workload.rest();
    }
}

#[test]
fn one_seed_gives_one_history() {
    let digest = |seed| {
        let mut workload = Workload::new(seed);
        for _ in 0..ACTIONS {
            workload.act();
            workload.go_on();
        }
        workload.rest();
        workload.cluster.digest()
    };
    assert_eq!(digest(7), digest(7));
}

/// What a request was, as far as its answer is judged by it.
#[derive(Debug)]
enum Call {
    SignIn {
        device: String,
    },
    /// A request that a token was shown with, and whether the token was logged out for certain.
    Bearer {
        is_dead: bool,
    },
    Refresh,
    /// A logout of this token, shown by its owner.
    Logout {
        is_dead: bool,
        login: Login,
    },
    LogoutAll {
        is_dead: bool,
        user_id: String,
        second: u64,
    },
    Handshake,
}

#[derive(Debug)]
struct Socket {
    is_open: bool,
    next_cid: u32,
    waiting: BTreeSet<u32>,
    /// The newest reply that no batch could hold up.
    newest: u32,
    /// Questions for names: their replies may wait for a batch.
    for_names: BTreeSet<u32>,
}

struct Workload {
    cluster: Cluster,
    rng: Rng,
    crashes: bool,
    calls: BTreeMap<ConnectionId, Call>,
    sockets: BTreeMap<ConnectionId, Socket>,
    logins: Vec<Login>,
    matches: Vec<String>,
    tickets: Vec<String>,
    matched: BTreeSet<String>,
    /// Session tokens whose logout was acknowledged.
    dead: BTreeSet<String>,
    /// Seconds before which every token of the user is dead, acknowledged.
    dead_before: BTreeMap<String, u64>,
    durable_rows: usize,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let shards = 1 + rng.below(4) as usize;
        let options = Options {
            seed,
            shards,
            mode: if rng.below(2) == 0 { Mode::Immediate } else { Mode::Compatible },
            queue: (rng.below(2) == 0).then_some(ShardId(0)),
            stale_loads: rng.below(60),
            ..Options::default()
        };
        Workload {
            cluster: Cluster::new(options),
            crashes: rng.below(3) == 0,
            rng,
            calls: BTreeMap::new(),
            sockets: BTreeMap::new(),
            logins: Vec::new(),
            matches: Vec::new(),
            tickets: Vec::new(),
            matched: BTreeSet::new(),
            dead: BTreeSet::new(),
            dead_before: BTreeMap::new(),
            durable_rows: 0,
        }
    }

    // Actions.

    fn act(&mut self) {
        match self.rng.below(100) {
            0..18 => self.sign_in(),
            18..40 => self.call_as_somebody(),
            40..48 => self.open_socket(),
            48..52 => self.lose_connection(),
            52..90 => self.say_something(),
            90..96 => self.halt_or_let_go(),
            96..98 => {
                let seconds = 1 + u64::from(self.rng.below(12));
                self.cluster.advance(Duration::from_secs(seconds));
            }
            _ if self.crashes && self.rng.below(4) == 0 => {
                self.cluster.crash();
                self.matches.clear();
            }
            98 => self.cluster.crowd(),
            _ => self.cluster.steps(200),
        }
    }

    fn sign_in(&mut self) {
        let id = format!("device-{:04}", self.rng.below(DEVICE_COUNT));
        let request = match self.rng.below(2) {
            0 => device(&id),
            _ => device_named(&id, NAMES[self.rng.below(5) as usize]),
        };
        self.call(request, Call::SignIn { device: id });
    }

    fn call_as_somebody(&mut self) {
        let Some(login) = self.any_login() else {
            return;
        };
        let is_dead = self.is_dead(&login);
        let token = &login.token;
        match self.rng.below(12) {
            0..4 => self.call(account(token), Call::Bearer { is_dead }),
            4..7 => {
                let other = self.any_login().expect("there is one");
                let name = NAMES[self.rng.below(5) as usize];
                let query = format!("ids={}&usernames={name}", other.user_id);
                self.call(users(token, &query), Call::Bearer { is_dead });
            }
            7..10 => self.call(refresh(&login.refresh_token), Call::Refresh),
            10 => {
                let body = format!("{{\"token\":\"{token}\"}}");
                self.call(logout(token, &body), Call::Logout { is_dead, login: login.clone() });
            }
            _ => {
                let second = self.cluster.now.wall.secs();
                let user_id = login.user_id.clone();
                self.call(logout(token, ""), Call::LogoutAll { is_dead, user_id, second });
            }
        }
    }

    fn call(&mut self, request: api::http::Request, call: Call) {
        let core = self.any_shard();
        let connection = self.cluster.connect(core);
        self.cluster.send(connection, request);
        self.calls.insert(connection, call);
    }

    fn open_socket(&mut self) {
        let Some(login) = self.any_login() else {
            return;
        };
        let (core, home) = (self.any_shard(), self.any_shard());
        let connection = self.cluster.connect(core);
        let status = self.rng.below(2) == 0;
        let query = format!("token={}&status={status}", login.token);
        self.cluster.send_homed(connection, home, handshake(&query));
        self.calls.insert(connection, Call::Handshake);
    }

    fn lose_connection(&mut self) {
        let connections: Vec<_> = self.sockets.keys().chain(self.calls.keys()).copied().collect();
        let Some(connection) = self.any(&connections) else {
            return;
        };
        self.calls.remove(&connection);
        self.sockets.remove(&connection);
        self.cluster.disconnect(connection);
    }

    fn say_something(&mut self) {
        let open: Vec<_> = self.sockets.iter().filter(|(_, socket)| socket.is_open).collect();
        let open: Vec<_> = open.into_iter().map(|(connection, _)| *connection).collect();
        let Some(connection) = self.any(&open) else {
            return;
        };
        let somebody = self.any_login().map_or_else(String::new, |login| login.user_id);
        let name = NAMES[self.rng.below(5) as usize];
        let known = self.matches.clone();
        let id = self.any(&known).unwrap_or_default();
        let tickets = self.tickets.clone();
        let ticket = self.any(&tickets).unwrap_or_default();
        let (message, is_for_names) = match self.rng.below(14) {
            0 => ("\"ping\":{}".to_owned(), false),
            1 => (format!("\"status_follow\":{{\"user_ids\":[\"{somebody}\"]}}"), false),
            2 => (format!("\"status_follow\":{{\"usernames\":[\"{name}\"]}}"), true),
            3 => (format!("\"status_unfollow\":{{\"user_ids\":[\"{somebody}\"]}}"), false),
            4 | 5 => (format!("\"status_update\":{{\"status\":\"{name}\"}}"), false),
            6 => ("\"status_update\":{}".to_owned(), false),
            7 | 8 => ("\"matchmaker_add\":{\"min_count\":2,\"max_count\":3}".to_owned(), false),
            9 => (format!("\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}"), false),
            10 => ("\"match_create\":{}".to_owned(), false),
            11 => (format!("\"match_create\":{{\"name\":\"{name}\"}}"), false),
            12 => (format!("\"match_join\":{{\"match_id\":\"{id}\"}}"), false),
            _ => (format!("\"match_leave\":{{\"match_id\":\"{id}\"}}"), false),
        };
        if self.rng.below(3) == 0 {
            let data = format!("{{\"match_data_send\":{{\"match_id\":\"{id}\",\"op_code\":1}}}}");
            self.cluster.say(connection, data);
        }
        let socket = self.sockets.get_mut(&connection).expect("it was chosen among them");
        let cid = socket.next_cid;
        socket.next_cid += 1;
        socket.waiting.insert(cid);
        if is_for_names {
            socket.for_names.insert(cid);
        }
        self.cluster.say(connection, format!("{{\"cid\":\"{cid}\",{message}}}"));
    }

    fn halt_or_let_go(&mut self) {
        let (from, to) = (self.any_shard(), self.any_shard());
        match self.rng.below(8) {
            0 => self.cluster.halted.disk = true,
            1 => self.cluster.halted.loads = true,
            2 => drop(self.cluster.halted.announcements.insert(from)),
            3 => drop(self.cluster.halted.bus.insert((from, to))),
            _ => self.let_go(),
        }
    }

    fn let_go(&mut self) {
        self.cluster.halted = cluster::Halted::default();
    }

    // What is true at every moment.

    /// Lets a few things happen, and judges them.
    fn go_on(&mut self) {
        for _ in 0..self.rng.below(25) {
            if !self.cluster.step() {
                break;
            }
            self.check_rows();
        }
        self.collect();
    }

    /// Devices, names and users point at each other: batches are durable as a whole.
    fn check_rows(&mut self) {
        let store = &self.cluster.store;
        let count = store.rows(USERS).count();
        assert_eq!(store.rows(DEVICES).count(), count);
        assert_eq!(store.rows(USERNAMES).count(), count);
        if count == self.durable_rows {
            return;
        }
        self.durable_rows = count;
        for (key, value) in store.rows(USERS) {
            let user = decode::<User>(value);
            let device = store.get(DEVICES, user.devices[0].as_bytes()).expect("the device");
            assert_eq!(decode::<Device>(&device).user_id, key[..]);
            let name = store.get(USERNAMES, user.username.as_bytes()).expect("the name");
            assert_eq!(decode::<UsernameOwner>(&name).user_id, key[..]);
        }
    }

    /// Judges everything that was heard.
    fn collect(&mut self) {
        for connection in self.calls.keys().copied().collect::<Vec<_>>() {
            for heard in self.cluster.heard(connection) {
                self.judge_call(connection, heard);
            }
        }
        for connection in self.sockets.keys().copied().collect::<Vec<_>>() {
            for heard in self.cluster.heard(connection) {
                self.judge_socket(connection, heard);
            }
        }
    }

    fn judge_call(&mut self, connection: ConnectionId, heard: Heard) {
        if let (Heard::Text(_) | Heard::Ping, Some(_)) = (&heard, self.sockets.get(&connection)) {
            return self.judge_socket(connection, heard);
        }
        let call = self.calls.remove(&connection).expect("one answer to one call");
        match (call, heard) {
            (_, Heard::Lost) => {}
            (Call::Handshake, Heard::Upgraded) => {
                let socket = Socket {
                    is_open: true,
                    next_cid: 1,
                    waiting: BTreeSet::new(),
                    newest: 0,
                    for_names: BTreeSet::new(),
                };
                self.sockets.insert(connection, socket);
            }
            (call, Heard::Response { status, body }) => self.judge_response(call, status, &body),
            (call, heard) => panic!("{call:?} was answered by {heard:?}"),
        }
    }

    fn judge_response(&mut self, call: Call, status: u16, body: &str) {
        match (call, status) {
            (_, 504) => {}
            (Call::SignIn { device }, 200) => {
                let login = Login::read(body);
                let row = self.cluster.store.get(DEVICES, device.as_bytes());
                let owner = decode::<Device>(&row.expect("an answer tells what is durable"));
                let owner = UserId::from_bytes(owner.user_id).to_string();
                assert_eq!(owner, login.user_id);
                self.logins.push(login);
            }
            (Call::SignIn { .. }, 409) => {}
            (Call::Refresh, 200) => self.logins.push(Login::read(body)),
            (Call::Bearer { is_dead }, 200) => assert!(!is_dead, "a dead token was good: {body}"),
            (Call::Logout { is_dead, login }, 200) => {
                assert!(!is_dead, "a dead token was good");
                let tid = text_of(&claims(&login.token).expect("a JWT"), "tid").expect("an id");
                let tokens = self.revocation(&login.user_id).tokens;
                let is_kept = tokens.iter().any(|token| {
                    base::TokenId::from_bytes(token.token_id).to_string() == tid && !token.refresh
                });
                assert!(is_kept, "an answer tells what is durable");
                self.dead.insert(login.token);
            }
            (Call::LogoutAll { is_dead, user_id, second }, 200) => {
                assert!(!is_dead, "a dead token was good");
                assert!(self.revocation(&user_id).issued_before >= second);
                let before = self.dead_before.entry(user_id).or_default();
                *before = second.max(*before);
            }
            (Call::SignIn { .. } | Call::Handshake, 401) => {}
            (Call::Bearer { .. } | Call::Refresh, 401) => {}
            // A token that expired meanwhile cannot be logged out.
            (Call::Logout { .. } | Call::LogoutAll { .. }, 400 | 401) => {}
            (call, status) => panic!("{call:?} was answered by {status}: {body}"),
        }
    }

    fn judge_socket(&mut self, connection: ConnectionId, heard: Heard) {
        let socket = self.sockets.get_mut(&connection).expect("it was opened");
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Ping => return,
            Heard::Lost => {
                self.sockets.remove(&connection);
                return;
            }
            Heard::Closed { reason, .. } => {
                assert_eq!(reason, "too many messages at once");
                self.sockets.remove(&connection);
                return;
            }
            other => panic!("a socket heard {other:?}"),
        };
        if let Some(cid) = text_of(&text, "cid") {
            let cid: u32 = cid.parse().expect("cids are numbers here");
            assert!(socket.waiting.remove(&cid), "{cid} is answered once: {text}");
            if !socket.for_names.contains(&cid) {
                assert!(cid > socket.newest, "{cid} is answered in its turn");
                socket.newest = cid;
            }
        }
        if let Some(ticket) = text_of(&text, "matchmaker_matched/ticket") {
            assert!(self.matched.insert(ticket), "a ticket is matched once: {text}");
            let players = text.matches("\"session_id\"").count() - 1; // and `self`
            assert!((2..=3).contains(&players), "{text}");
        }
        self.matches.extend(text_of(&text, "match/match_id"));
        self.tickets.extend(text_of(&text, "matchmaker_ticket/ticket"));
    }

    // What is true at rest.

    /// Lets everything go: every request is answered, nothing is held, nobody is left.
    fn rest(&mut self) {
        self.let_go();
        self.cluster.settle();
        self.collect();
        self.cluster.advance(TASK_DEADLINE);
        self.collect();
        assert!(self.calls.is_empty(), "not answered: {:?}", self.calls);
        for (connection, socket) in &self.sockets {
            assert!(socket.waiting.is_empty(), "{connection:?}: not answered: {socket:?}");
        }
        for connection in std::mem::take(&mut self.sockets).into_keys() {
            self.cluster.disconnect(connection);
        }
        self.cluster.settle();
        self.check_rows();
        assert!(self.cluster.is_quiet(), "everything has ended");
        let shards = self.cluster.shard_count();
        for n in 0..DEVICE_COUNT {
            let core = ShardId::nth(n as usize % shards);
            self.cluster.sign_in(core, &format!("device-{n:04}"));
        }
        for name in NAMES {
            let answer =
                self.cluster.call(ShardId(0), device_named(&format!("device-of-{name}"), name));
            assert!(matches!(answer.0, 200 | 409), "{answer:?}");
        }
        self.cluster.drain();
        self.cluster.settle();
        assert!(self.cluster.is_quiet());
        assert!(self.cluster.damaged.is_empty(), "every record decodes");
    }

    // Choices and lookups.

    fn any<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let count = u32::try_from(things.len()).ok().filter(|count| *count > 0)?;
        things.get(self.rng.below(count) as usize).cloned()
    }

    fn any_login(&mut self) -> Option<Login> {
        let recent = self.logins.len().saturating_sub(20);
        let logins = self.logins[recent..].to_vec();
        self.any(&logins)
    }

    fn any_shard(&mut self) -> ShardId {
        let count = u32::try_from(self.cluster.shard_count()).expect("a few");
        ShardId::nth(self.rng.below(count) as usize)
    }

    fn is_dead(&self, login: &Login) -> bool {
        let said = claims(&login.token).expect("a JWT");
        let (_, rest) = said.split_once("\"exp\":").expect("an expiry");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let issued = digits.parse::<u64>().expect("seconds") - TOKEN_LIFE;
        let before = self.dead_before.get(&login.user_id).copied().unwrap_or_default();
        self.dead.contains(&login.token) || issued < before
    }

    fn revocation(&self, user_id: &str) -> Revocation {
        let user = UserId::parse(user_id).expect("a user id");
        let row = self.cluster.store.get(REVOCATIONS, user.as_bytes());
        decode(&row.expect("an answer tells what is durable"))
    }
}

fn decode<R: Record>(bytes: &[u8]) -> R {
    R::decode(bytes).expect("what shards write decodes")
}
