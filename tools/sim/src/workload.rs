//! Random clients, random order, random faults: the life of one seed.
//!
//! Clients sign in, log out, open sockets, follow, search and play, vanish and fall silent; links
//! stand still, memory is emptied, the process dies. Everything heard is judged when it is heard;
//! at the end comes a quiet phase, in which everything has to be answered and to end.

mod board;
mod operator;
mod party;
mod queue;
mod rest;
mod storage;
mod ticket;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::http::Request;
use base::{ConnectionId, Instant, Rng, ShardId, UserId};
use domain::identity::alias::Alias;
use matchmaker::Mode;
use shard::{Disk, Hooks, Input, Rates};

use crate::check::board::invariant_boards_belong_together;
use crate::check::socket::{Question, Socket};
use crate::check::ticket::Tickets;
use crate::check::{
    Acknowledged, invariant_deleted, invariant_linked, invariant_rows_belong_together,
};
use crate::cluster::client::{
    Heard, Login, account, authenticate, bearer, device, device_named, handshake, link, logout,
    refresh, text_of, unlink, users,
};
use crate::cluster::{Cluster, Halted, Options, Recording};
use crate::faults::Faults;

const DEVICE_COUNT: u32 = 6;
const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// Aliases of accounts that are edited, deleted and banned; the others never are.
const MOVING: u32 = 4;
const MOVING_NAMES: [&str; 3] = ["mallory", "niaj", "olivia"];
const ACTIONS: u32 = 250;
/// Tokens that clients still use.
const LOGINS: usize = 20;
const HOOKED: [&str; 5] =
    ["authenticate_device", "session_logout", "socket_open", "match_join", "status_follow"];

/// What a run shows when everything held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub faults: Faults,
    pub digest: u64,
}

/// Runs one seed.
///
/// # Panics
/// With the sentence of an invariant that does not hold.
pub fn run(seed: u64, trace: Recording) -> Outcome {
    let mut workload = Workload::new(seed, trace);
    for _ in 0..ACTIONS {
        workload.act();
        workload.go_on();
    }
    workload.rest();
    let mut faults = workload.cluster.faults;
    faults += workload.tickets.lines.counts();
    Outcome { faults, digest: workload.cluster.digest() }
}

/// What a request was, as far as its answer is judged by it.
#[derive(Debug)]
enum Call {
    SignIn {
        device: String,
        name: Option<&'static str>,
    },
    /// A request that a token was shown with, and whether the token was logged out for certain.
    Bearer {
        is_dead: bool,
        login: Login,
    },
    Refresh {
        login: Login,
    },
    /// A logout of this token, shown by its owner.
    Logout {
        is_dead: bool,
        login: Login,
    },
    LogoutAll {
        is_dead: bool,
        login: Login,
        second: u64,
    },
    Handshake {
        login: Login,
        is_online: bool,
    },
    /// A sign-in to an account that others may be editing.
    SignInMoving,
    /// Something done on a leaderboard.
    Board {
        is_dead: bool,
        login: Login,
        board: usize,
        act: board::Act,
    },
    /// A change by an operator.
    Operate,
    /// Something about storage objects.
    Keep(storage::Keep),
    /// A change of one's own account.
    Edit {
        is_dead: bool,
        login: Login,
        done: Option<Done>,
    },
}

/// What an edit has done when it was acknowledged.
#[derive(Debug)]
enum Done {
    Linked(Alias),
    Deleted,
}

struct Workload {
    cluster: Cluster,
    rng: Rng,
    /// Of a thousand actions, so many are crashes.
    crashes: u32,
    /// Whether the wall clock jumps.
    jumps: bool,
    /// The latest second that the wall clock has shown.
    latest: u64,
    /// Crashes that were noticed.
    seen_crashes: u64,
    has_hooks: bool,
    /// Whether clients mostly want to be matched by queues.
    is_competitive: bool,
    calls: BTreeMap<ConnectionId, Call>,
    sockets: BTreeMap<ConnectionId, Socket>,
    logins: Vec<Login>,
    /// Users whose accounts are edited.
    moving: BTreeSet<String>,
    has_single_socket: bool,
    /// Users somebody has logged out as a whole.
    logged_out: BTreeSet<String>,
    /// By whose token each socket was opened.
    opened: BTreeMap<ConnectionId, Login>,
    /// Calls of server code so far.
    called: u64,
    /// Changes by operators that were acknowledged.
    operated: u64,
    matches: BTreeSet<String>,
    parties: BTreeSet<String>,
    tickets: Tickets,
    /// Tags of tickets and names of rules so far.
    tags: u64,
    acknowledged: Acknowledged,
    durable: base::Offset,
}

impl Workload {
    fn new(seed: u64, trace: Recording) -> Workload {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let shards = 1 + rng.below(4) as usize;
        let has_hooks = rng.below(6) == 0;
        let mut hooked = |count| -> BTreeSet<String> {
            let chosen = HOOKED.iter().filter(|_| has_hooks && rng.below(count) == 0);
            chosen.map(|name| (*name).to_owned()).collect()
        };
        let hooks = Hooks { before: hooked(2), after: hooked(3) };
        let (single_session, has_single_socket) = (rng.below(8) == 0, rng.below(8) == 0);
        let mode = if rng.below(2) == 0 { Mode::Immediate } else { Mode::Compatible };
        let rev_precision = rng.below(4) == 0;
        let options = Options {
            single_session,
            single_socket: has_single_socket,
            single_party: has_single_socket,
            rates: Rates::default(),
            seed,
            shards,
            mode,
            rev_precision,
            hooks,
            answers_hooks: true,
            queue: (rng.below(2) == 0).then_some(ShardId(0)),
            queues: queue::configured(),
            boards: Vec::new(),
            stale_loads: rng.below(60),
            trace,
        };
        Workload {
            cluster: Cluster::new(options),
            crashes: [0, 4, 20][rng.below(3) as usize],
            jumps: rng.below(3) == 0,
            is_competitive: rng.below(3) == 0,
            latest: 0,
            rng,
            seen_crashes: 0,
            has_hooks,
            calls: BTreeMap::new(),
            sockets: BTreeMap::new(),
            logins: Vec::new(),
            moving: BTreeSet::new(),
            has_single_socket,
            logged_out: BTreeSet::new(),
            opened: BTreeMap::new(),
            called: 0,
            operated: 0,
            matches: BTreeSet::new(),
            parties: BTreeSet::new(),
            tickets: queue::tickets(mode, rev_precision),
            tags: 0,
            acknowledged: Acknowledged::default(),
            durable: base::Offset(0),
        }
    }

    // What clients and fate do.

    fn act(&mut self) {
        self.react();
        if self.is_competitive && self.rng.below(3) == 0 {
            self.compete();
        }
        match self.rng.below(100) {
            0..10 => self.sign_in(),
            10..14 => self.sign_in_moving(),
            14..20 => self.edit(),
            20..38 => self.call_as_somebody(),
            38..46 => self.open_socket(),
            46..50 => self.lose_connection(),
            50..78 => self.say_something(),
            78..84 => self.climb(),
            84 | 85 => self.queue_up(),
            86 => self.line_up(),
            87..93 => self.halt_or_let_go(),
            93..95 => self.let_time_pass(),
            95..97 => self.cluster.crowd(),
            97 if self.jumps => self.jump(),
            98 if self.rng.below(2) == 0 => self.ban(),
            98 if self.rng.below(2) == 0 => self.define_queue(),
            98 => self.operate(),
            _ => self.steps(200),
        }
        if self.rng.below(1000) < self.crashes {
            self.die();
        }
    }

    fn sign_in(&mut self) {
        let id = format!("device-{:04}", self.rng.below(DEVICE_COUNT));
        let name = (self.rng.below(2) == 0).then(|| NAMES[self.rng.below(5) as usize]);
        let request = match name {
            None => device(&id),
            Some(name) => device_named(&id, name),
        };
        self.call(request, Call::SignIn { device: id, name });
    }

    /// A credential that moves between accounts: its provider, body and alias.
    fn any_credential(&mut self) -> (&'static str, String, Alias) {
        let n = self.rng.below(MOVING);
        let parsed =
            |alias: Result<Alias, domain::identity::alias::Error>| alias.expect("well-formed");
        match self.rng.below(4) {
            0 => {
                let id = format!("moving-device-{n}");
                ("device", format!("{{\"id\":\"{id}\"}}"), parsed(Alias::device(&id)))
            }
            1 => {
                let id = format!("moving-custom-{n}");
                ("custom", format!("{{\"id\":\"{id}\"}}"), parsed(Alias::custom(&id)))
            }
            2 => {
                let email = format!("moving-{n}@mail.example");
                let password = ["password", "old-password"][self.rng.below(2) as usize];
                let body = format!("{{\"email\":\"{email}\",\"password\":\"{password}\"}}");
                ("email", body, parsed(Alias::email(&email)))
            }
            _ => {
                let kind = domain::identity::alias::Kind::Google;
                let id = ["google-0", "google-1", "unavailable", "rejected"][n as usize % 4];
                let alias = parsed(Alias::provided(kind, id));
                ("google", format!("{{\"token\":\"{id}\"}}"), alias)
            }
        }
    }

    fn sign_in_moving(&mut self) {
        let (provider, body, _) = self.any_credential();
        let query = match self.rng.below(3) {
            0 => String::new(),
            1 => "?create=false".to_owned(),
            _ => format!("?username={}", MOVING_NAMES[self.rng.below(3) as usize]),
        };
        self.call(authenticate(provider, &query, &body), Call::SignInMoving);
    }

    fn edit(&mut self) {
        let Some(login) = self.any_login() else { return };
        if !self.moving.contains(&login.user_id) {
            return;
        }
        let is_dead = self.acknowledged.is_dead(&login);
        let token = login.token.clone();
        let (provider, body, alias) = self.any_credential();
        match self.rng.below(8) {
            0..3 => {
                let done = Some(Done::Linked(alias));
                self.call(link(&token, provider, &body), Call::Edit { is_dead, login, done });
            }
            3..5 => {
                let body = if self.rng.below(2) == 0 { "{}" } else { &body };
                self.call(
                    unlink(&token, provider, body),
                    Call::Edit { is_dead, login, done: None },
                );
            }
            5..7 => {
                let name = MOVING_NAMES[self.rng.below(3) as usize];
                let body = format!("{{\"username\":\"{name}\",\"location\":\"{name}'s\"}}");
                let update = bearer("PUT", "/v2/account", &token, &body);
                self.call(update, Call::Edit { is_dead, login, done: None });
            }
            _ => {
                let delete = bearer("DELETE", "/v2/account", &token, "");
                self.call(delete, Call::Edit { is_dead, login, done: Some(Done::Deleted) });
            }
        }
    }

    /// Server code bans somebody, or lifts a ban.
    fn ban(&mut self) {
        let moving: Vec<_> = self.moving.iter().cloned().collect();
        let Some(user) = self.any(&moving) else { return };
        let users = vec![UserId::parse(&user).expect("a user id")];
        let (operation, request) = match self.rng.below(2) {
            0 => ("users_ban", api::request::Request::UsersBan { users }),
            _ => ("users_unban", api::request::Request::UsersUnban { users }),
        };
        let shard = self.any_shard();
        self.called += 1;
        self.cluster.handle(shard, Input::Call { call: self.called, operation, request });
    }

    /// The wall clock is set, back or forth; no deadline moves.
    fn jump(&mut self) {
        // A token may have been found expired by now.
        self.latest = self.cluster.now.wall.secs().max(self.latest);
        let nanos = u64::from(1 + self.rng.below(1800)) * 1_000_000_000;
        let wall = &mut self.cluster.now.wall.0;
        *wall = if self.rng.below(2) == 0 { *wall + nanos } else { *wall - nanos };
        let earliest = self.cluster.now.wall.secs();
        self.cluster.faults.clock_jumps += 1;
        for call in self.calls.values_mut() {
            if let Call::LogoutAll { second, .. } = call {
                *second = earliest.min(*second);
            }
        }
    }

    fn call_as_somebody(&mut self) {
        let Some(login) = self.any_login() else { return };
        let is_dead = self.acknowledged.is_dead(&login);
        let token = login.token.clone();
        match self.rng.below(12) {
            0..2 => self.call(account(&token), Call::Bearer { is_dead, login }),
            2 | 3 => self.keep(login, is_dead),
            4..7 => {
                let other = self.any_login().expect("there is one");
                let name = NAMES[self.rng.below(5) as usize];
                let query = format!("ids={}&usernames={name}", other.user_id);
                self.call(users(&token, &query), Call::Bearer { is_dead, login });
            }
            7..10 => self.call(refresh(&login.refresh_token), Call::Refresh { login }),
            10 => {
                let body = match self.rng.below(2) {
                    0 => format!("{{\"token\":\"{token}\"}}"),
                    _ => format!(
                        "{{\"token\":\"{token}\",\"refresh_token\":\"{}\"}}",
                        login.refresh_token
                    ),
                };
                self.call(logout(&token, &body), Call::Logout { is_dead, login });
            }
            _ => {
                let second = self.cluster.now.wall.secs();
                self.logged_out.insert(login.user_id.clone());
                self.call(logout(&token, ""), Call::LogoutAll { is_dead, login, second });
            }
        }
    }

    fn call(&mut self, request: Request, call: Call) {
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
        let is_online = self.rng.below(2) == 0;
        let query = format!("token={}&status={is_online}", login.token);
        self.cluster.send_homed(connection, home, handshake(&query));
        self.calls.insert(connection, Call::Handshake { login, is_online });
    }

    fn lose_connection(&mut self) {
        let connections: Vec<_> = self.sockets.keys().chain(self.calls.keys()).copied().collect();
        let Some(connection) = self.any(&connections) else {
            return;
        };
        if self.rng.below(4) == 0 && self.sockets.contains_key(&connection) {
            self.cluster.faults.muted_clients += 1;
            return self.cluster.mute(connection);
        }
        self.cluster.faults.lost_connections += 1;
        self.calls.remove(&connection);
        self.sockets.remove(&connection);
        self.cluster.disconnect(connection);
    }

    fn say_something(&mut self) {
        let open: Vec<_> = self.sockets.keys().copied().collect();
        let Some(connection) = self.any(&open) else {
            return;
        };
        // Now and then many at once: the session's queue fills.
        let count = if self.rng.below(40) == 0 { 80 } else { 1 };
        (0..count).for_each(|_| self.say_one(connection));
    }

    fn say_one(&mut self, connection: ConnectionId) {
        let known: Vec<_> = self.matches.iter().cloned().collect();
        let own: Vec<_> = self.sockets[&connection].matches().map(str::to_owned).collect();
        let from = if self.rng.below(2) == 0 { &own } else { &known };
        let from = if from.is_empty() { &known } else { from };
        let id = self.any(from).unwrap_or_default();
        if self.rng.below(3) == 0 {
            self.say_data(connection, &id);
        }
        let (question, message) = match self.rng.below(3) {
            0 => self.any_party_question(connection),
            _ => self.any_question(id),
        };
        let socket = self.sockets.get_mut(&connection).expect("it was chosen among them");
        let cid = socket.ask(question);
        self.cluster.say(connection, format!("{{\"cid\":\"{cid}\",{message}}}"));
    }

    fn say_data(&mut self, connection: ConnectionId, id: &str) -> i64 {
        let socket = self.sockets.get_mut(&connection).expect("the socket is open");
        let number = socket.next_data;
        socket.next_data += 1;
        let data =
            format!("{{\"match_data_send\":{{\"match_id\":\"{id}\",\"op_code\":\"{number}\"}}}}");
        self.cluster.say(connection, data);
        number
    }

    fn any_question(&mut self, id: String) -> (Question, String) {
        let user = self.any_login().map_or_else(String::new, |login| login.user_id);
        let name = NAMES[self.rng.below(5) as usize];
        match self.rng.below(15) {
            0 => (Question::Ping, "\"ping\":{}".to_owned()),
            1 | 2 => {
                let message = format!("\"status_follow\":{{\"user_ids\":[\"{user}\"]}}");
                (Question::Follow { user }, message)
            }
            3 => {
                let message = format!("\"status_follow\":{{\"usernames\":[\"{name}\"]}}");
                (Question::FollowName, message)
            }
            4 => {
                let message = format!("\"status_unfollow\":{{\"user_ids\":[\"{user}\"]}}");
                (Question::Unfollow { user }, message)
            }
            5 => {
                let message = format!("\"status_update\":{{\"status\":\"{name}\"}}");
                (Question::SetStatus { is_online: true }, message)
            }
            6 => (Question::SetStatus { is_online: false }, "\"status_update\":{}".to_owned()),
            7 | 8 => {
                let wish = match self.rng.below(3) {
                    0 => self.any_line(&[]),
                    _ => self.any_wish(),
                };
                let message = format!("\"matchmaker_add\":{{{wish}}}");
                (Question::TicketAdd(wish), message)
            }
            9 => {
                let known: Vec<_> = self.tickets.known().map(str::to_owned).collect();
                let ticket = self.any(&known).unwrap_or_default();
                let message = format!("\"matchmaker_remove\":{{\"ticket\":\"{ticket}\"}}");
                (Question::TicketRemove { ticket }, message)
            }
            10 => (Question::Create, "\"match_create\":{}".to_owned()),
            11 => (Question::Create, format!("\"match_create\":{{\"name\":\"{name}\"}}")),
            12 | 13 => (Question::Join, format!("\"match_join\":{{\"match_id\":\"{id}\"}}")),
            _ => {
                let message = format!("\"match_leave\":{{\"match_id\":\"{id}\"}}");
                (Question::Leave { id }, message)
            }
        }
    }

    fn halt_or_let_go(&mut self) {
        let (from, to) = (self.any_shard(), self.any_shard());
        let (halted, faults) = (&mut self.cluster.halted, &mut self.cluster.faults);
        match self.rng.below(12) {
            0 => {
                halted.disk = true;
                faults.halted_disks += 1;
            }
            1 => {
                halted.loads = true;
                faults.halted_loads += 1;
            }
            2 => {
                halted.announcements.insert(from);
                faults.halted_announcements += 1;
            }
            3 => {
                halted.bus.insert((from, to));
                faults.halted_links += 1;
            }
            4 => {
                halted.helpers = true;
                faults.halted_helpers += 1;
            }
            5 => {
                halted.state = true;
                faults.halted_states += 1;
            }
            6 => {
                faults.refused_writes += 1;
                let disk = [Disk::Behind, Disk::Full][self.rng.below(2) as usize];
                self.cluster.handle(from, Input::Disk { disk });
            }
            _ => self.let_go(),
        }
    }

    fn let_go(&mut self) {
        self.cluster.halted = Halted::default();
        for shard in ShardId::all(self.cluster.shard_count()) {
            self.cluster.handle(shard, Input::Disk { disk: Disk::Ready });
        }
    }

    fn let_time_pass(&mut self) {
        let duration = Duration::from_secs(1 + u64::from(self.rng.below(12)));
        if self.rng.below(3) == 0 {
            self.cluster.faults.frozen_moments += 1;
            return self.cluster.pass(duration);
        }
        self.cluster.advance(duration);
    }

    /// The process dies: at once, between two outputs, or in the middle of a transaction.
    fn die(&mut self) {
        match self.rng.below(3) {
            0 => self.cluster.crash(),
            1 => self.cluster.crash_after(self.rng.below(20)),
            _ => self.cluster.fail_disk_soon(),
        }
    }

    // What is true at every moment.

    /// Lets a few things happen, and judges them.
    fn go_on(&mut self) {
        let count = self.rng.below(25);
        self.steps(count);
    }

    fn steps(&mut self, count: u32) {
        for _ in 0..count {
            let moves = self.cluster.step();
            self.judge();
            if !moves {
                break;
            }
        }
        self.judge();
    }

    /// Judges the rows, and everything that was heard.
    fn judge(&mut self) {
        let store = &self.cluster.store;
        if store.durable() != self.durable {
            self.durable = store.durable();
            invariant_rows_belong_together(store);
            invariant_boards_belong_together(store);
        }
        for connection in self.cluster.take_fresh() {
            for heard in self.cluster.heard(connection) {
                self.judge_heard(connection, heard);
            }
        }
        if self.cluster.faults.crashes != self.seen_crashes {
            self.cluster.called.clear();
            self.called = 0;
            self.seen_crashes = self.cluster.faults.crashes;
            assert!(self.calls.is_empty() && self.sockets.is_empty(), "a crash loses all clients");
            self.matches.clear();
            self.parties.clear();
            self.tickets.forget_all();
            self.acknowledged.invariant_is_durable(&self.cluster.store);
            invariant_rows_belong_together(&self.cluster.store);
            self.cluster.forget_gone();
        }
    }

    fn judge_heard(&mut self, connection: ConnectionId, heard: Heard) {
        if let Some(socket) = self.sockets.get_mut(&connection) {
            return match heard {
                Heard::Text(text) => {
                    // After a crash, time began again: nobody knows how long they waited.
                    let is_over = self.cluster.faults.crashes != self.seen_crashes;
                    let now = self.cluster.now.monotonic;
                    let now = if is_over { Instant(u64::MAX) } else { now };
                    socket.hear(&text, &mut self.tickets, now);
                    self.matches.extend(text_of(&text, "match/match_id"));
                    self.parties.extend(text_of(&text, "party/party_id"));
                }
                Heard::Ping => {}
                Heard::Lost | Heard::Closed { .. } => {
                    if let Heard::Closed { reason, .. } = heard {
                        let known = [
                            "too many messages at once",
                            "no pong in time",
                            "server is overloaded",
                        ];
                        let is_kicked = self.has_single_socket
                            || self.moving.contains(&socket.user)
                            || self.opened.get(&connection).is_some_and(|login| {
                                let latest = self.cluster.now.wall.secs().max(self.latest);
                                Acknowledged::may_be_refused(&self.cluster.store, login, latest)
                            });
                        let is_known = known.contains(&reason)
                            || (reason == "server-side session disconnect" && is_kicked);
                        assert!(is_known, "a socket was closed: {reason}");
                    }
                    self.sockets.remove(&connection);
                    self.opened.remove(&connection);
                }
                other => panic!("a socket heard {other:?}"),
            };
        }
        // Whoever vanished hears nothing; what was under way for them counts for nobody.
        let Some(call) = self.calls.remove(&connection) else { return };
        match (call, heard) {
            (_, Heard::Lost) => {}
            (Call::Handshake { login, is_online }, Heard::Upgraded) => {
                self.sockets.insert(
                    connection,
                    Socket::new(
                        login.user_id.clone(),
                        connection.number,
                        is_online,
                        self.has_single_socket,
                    ),
                );
                self.opened.insert(connection, login);
            }
            (call, Heard::Response { status, body }) => self.judge_response(call, status, &body),
            (call, heard) => panic!("{call:?} was answered by {heard:?}"),
        }
    }

    fn judge_response(&mut self, call: Call, status: u16, body: &str) {
        let store = &self.cluster.store;
        self.latest = self.cluster.now.wall.secs().max(self.latest);
        let second = self.latest;
        match (call, status) {
            // The deadline, and what a hook refused.
            (_, 504) => {}
            (Call::Board { .. }, 404) if body.contains("Leaderboard") => {}
            (_, 429) if self.has_hooks => {}
            (_, 429) if self.cluster.faults.refused_writes > 0 && body.contains("The disk is") => {}
            (Call::SignIn { device, .. }, 200) => {
                let login = Login::read(body);
                self.acknowledged.invariant_sign_in(store, &device, &login);
                self.logins.push(login);
            }
            (Call::SignIn { name, .. }, 409) => {
                let name = name.expect("nobody is refused for a name that was drawn");
                Acknowledged::invariant_conflict(store, name);
            }
            (Call::SignInMoving, 200) => {
                let login = Login::read(body);
                self.moving.insert(login.user_id.clone());
                self.logins.push(login);
            }
            // The provider, a wrong password, a ban, an account that is not there, a taken name.
            (Call::SignInMoving, 401 | 403 | 404 | 409 | 503) => {}
            (Call::Edit { is_dead, login, done }, 200) => {
                Acknowledged::invariant_dead(is_dead);
                match done {
                    Some(Done::Linked(alias)) => invariant_linked(store, &alias, &login),
                    Some(Done::Deleted) => invariant_deleted(store, &login.user_id),
                    None => {}
                }
            }
            // A name that is taken, what is linked elsewhere or nowhere, the provider.
            (Call::Edit { .. }, 400 | 403 | 409 | 503) => {}
            (Call::Edit { .. }, 401) if body.contains("provider") => {}
            // The account was deleted in the second in which the token was issued.
            (
                Call::Edit { login, .. } | Call::Bearer { login, .. } | Call::Board { login, .. },
                404,
            ) => {
                invariant_deleted(store, &login.user_id);
            }
            (Call::Board { is_dead, board, act, .. }, 200) => {
                Acknowledged::invariant_dead(is_dead);
                self.judge_board(board, act, body);
            }
            (Call::Operate, 200) => self.operated += 1,
            // The account or the queue is gone, or is being changed by others, or the token has
            // expired by a jump.
            (Call::Operate, 401 | 404 | 409) => {}
            (Call::Operate, 400) if body.contains("defined by the configuration") => {}
            (Call::Refresh { login }, 403 | 404) if self.moving.contains(&login.user_id) => {}
            (Call::Refresh { .. }, 200) => self.logins.push(Login::read(body)),
            (Call::Bearer { is_dead, .. }, 200) => {
                Acknowledged::invariant_dead(is_dead);
            }
            (Call::Keep(keep), 200) => keep.judge(store, body),
            (Call::Keep(keep), 400) if keep.may_conflict() => {}
            (Call::Logout { is_dead, login }, 200) => {
                Acknowledged::invariant_dead(is_dead);
                self.acknowledged.invariant_logout(store, &login, second);
            }
            (Call::LogoutAll { is_dead, login, second }, 200) => {
                Acknowledged::invariant_dead(is_dead);
                self.acknowledged.invariant_logout_all(store, &login.user_id, second);
            }
            (Call::Refresh { login }, 401) => {
                Acknowledged::invariant_refusal(store, &login, true, second);
            }
            // A token that expired meanwhile cannot be logged out.
            (
                Call::Bearer { login, .. }
                | Call::Board { login, .. }
                | Call::Keep(storage::Keep { login, .. })
                | Call::Handshake { login, .. }
                | Call::Edit { login, .. },
                401,
            )
            | (Call::Logout { login, .. } | Call::LogoutAll { login, .. }, 400 | 401) => {
                Acknowledged::invariant_refusal(store, &login, false, second);
            }
            (call, status) => panic!("{call:?} was answered by {status}: {body}"),
        }
        let surplus = self.logins.len().saturating_sub(LOGINS);
        self.logins.drain(..surplus);
    }

    fn any<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let count = u32::try_from(things.len()).ok().filter(|count| *count > 0)?;
        things.get(self.rng.below(count) as usize).cloned()
    }

    fn any_login(&mut self) -> Option<Login> {
        let logins = std::mem::take(&mut self.logins);
        let login = self.any(&logins);
        self.logins = logins;
        login
    }

    fn any_shard(&mut self) -> ShardId {
        let count = u32::try_from(self.cluster.shard_count()).expect("a few");
        ShardId::nth(self.rng.below(count) as usize)
    }
}
