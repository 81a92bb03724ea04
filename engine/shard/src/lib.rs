//! One core as a value: inputs in, outputs out, time handed in.
//!
//! # Purpose
//! Dispatches requests, keeps the entities of one core and speaks with the other cores' shards.
//!
//! # Owns
//! The durable entities whose slot falls to this shard, and the sessions, matches, parties and
//! tickets born here.
//!
//! # Invariants
//! - The same inputs at the same times give the same outputs.
//! - No output that depends on a change leaves before that change is durable; others overtake it.
//! - Messages to one shard leave in the order in which they were written, among those that depend
//!   on the same changes.
//! - A command that fails, or that has to wait for a key, leaves no trace.
//!
//! # Never
//! Blocks, reads a clock, owns a socket, a file or a thread, names a runtime.

mod batch;
mod belongings;
mod board;
mod commit;
mod connection;
mod definition;
mod dispatch;
mod edit;
mod entity;
mod erasure;
mod figures;
mod hook;
mod identity;
mod input;
mod lease;
mod matchmaking;
mod message;
mod operator;
mod output;
mod party;
mod placement;
mod queue;
mod rate;
mod rating;
mod session;
mod sign_in;
mod state;
mod storage;
mod task;
mod trace;
mod verified;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::ops::Operations;
use base::collections::IdMap;
use base::id::SessionIds;
use base::timer::Timers;
use base::{
    ConnectionId, Instant, MatchId, Now, PartyId, Rng, Secret, SessionId, ShardId, UnixTime, UserId,
};
use bytes::Bytes;
use domain::compete::board::NewBoard;
use domain::ctx::Ctx;
use domain::effect::Effect;
use domain::identity::server_token::ServerKeys;
use domain::identity::token;
use domain::operator::lockout::Lockouts;
use domain::operator::queue::Queues;
use domain::play::party::Command;
use domain::play::relay::Relay;
use domain::social::status::Status;
use matchmaker::queue::Definition;

pub use figures::Figures;
pub use hook::{HookCall, Hooks, Stage, Verdict};
pub use input::{Disk, Input};
pub use message::{Answer, Message, Query, TaskId};
pub use output::{Done, Output, PasswordOutcome, PasswordWork};
pub use placement::Placement;
pub use queue::QueueInForce;
pub use rate::{Limit, Limits, RateFigures, Rates};
pub use trace::{Sampling, Trace, Wait};
pub use view::ViewFigures;

use commit::{Held, Holds, Parked, Waiting};
use connection::{Connection, Handshake};
use erasure::Erasures;
use matchmaking::Formed;
use party::Housed;
use rate::Limiter;
use session::Session;
use task::Task;
use trace::MatchTrace;
use verified::Verified;
use view::{Depends, View};

/// What all shards of a process share.
#[derive(Debug)]
pub struct Config {
    pub placement: Placement,
    /// Name of this node; part of session ids.
    pub name: String,
    pub server_key: Secret,
    pub session_keys: token::Keys,
    pub refresh_keys: token::Keys,
    pub server_keys: Arc<ServerKeys>,
    pub operator_keys: token::Keys,
    pub token_life: Duration,
    pub refresh_token_life: Duration,
    pub server_token_life: Duration,
    pub operator_token_life: Duration,
    /// A sign-in ends all earlier tokens of its user.
    pub single_session: bool,
    /// A new socket closes the older ones of its user.
    pub single_socket: bool,
    /// Who becomes a member of a party leaves all others.
    pub single_party: bool,
    pub providers: Providers,
    pub rates: Rates,
    /// A WebSocket is pinged this often, and closed when no answer came for so long.
    pub ping_period: Duration,
    pub pong_wait: Duration,
    /// After so many messages a socket counts as alive, pong or not.
    pub ping_backoff_threshold: u32,
    pub matchmaker: matchmaker::Settings,
    /// Declared queues, no two of one id.
    pub queues: Vec<Arc<Definition>>,
    /// Whether there is one that is told of servers' tickets.
    pub has_webhook: bool,
    /// The queues of operators, as the disk had them when the process started.
    pub written_queues: Arc<Queues>,
    /// Leaderboards and tournaments that are to be there, no two of one id.
    pub boards: Vec<Arc<NewBoard>>,
    pub hooks: Hooks,
    pub sampling: Sampling,
}

/// Which providers can be asked, of those that need configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Providers {
    pub apple: bool,
    pub steam: bool,
    /// Whether ID tokens of OpenID Connect issuers stand for custom ids.
    pub oidc: bool,
}

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Task(u64),
    Connection(u64),
    /// The matchmaker's interval is over.
    MatchmakerPass,
    /// A pass has work left, or players are still to be told of their match.
    MatchmakerStep,
    /// Something is due in a declared queue.
    Queues,
    /// An erasure is to go on, or erasures are to be looked for.
    Erasures,
    /// Something happens to a board, or may.
    Boards,
}

/// One core's state.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    config: Arc<Config>,
    operations: Arc<Operations>,
    now: Now,
    rng: Rng,
    /// Draws which requests are traced.
    sampler: Rng,

    verified: Verified,
    limiter: Limiter,
    view: View,
    next_batch: u64,
    held: Held,
    holds: Holds,
    parked: Parked,

    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    timers: Timers<Timer>,
    is_draining: bool,
    disk: Disk,
    /// A sign-in by password has just found too many others waiting.
    passwords_full_until: Instant,

    connections: IdMap<u64, Connection>,
    /// Connections whose handshake is under way.
    handshakes: IdMap<u64, Handshake>,
    session_ids: SessionIds,
    sessions: IdMap<SessionId, Session>,
    session_of: IdMap<ConnectionId, SessionId>,

    /// Failed sign-ins of operators, on the operators' home.
    lockouts: Lockouts,
    statuses: BTreeMap<UserId, Status>,
    /// What deleted accounts of this shard have left.
    erasures: Erasures,
    relays: IdMap<MatchId, Relay>,
    parties: BTreeMap<PartyId, Housed>,
    boards: board::Housed,
    /// Their names may be clients' choice: no map with a hash that can be met on purpose.
    traced_matches: BTreeMap<MatchId, MatchTrace>,
    pool: matchmaker::Pool,
    /// Declared queues, on the home of the tickets: everything that is judged there is by these.
    queues: BTreeMap<String, QueueInForce>,
    /// Their tickets.
    declared: matchmaker::queue::Queues,
    /// How those of servers ended.
    outcomes: lease::Outcomes,
    /// When [`Timer::Queues`] is set to.
    queue_timer: Option<Instant>,
    /// The newest that is known there of what operators defined.
    written_queues: Arc<Queues>,
    queue_changes: u64,
    /// When the players matched last had come, and when they were matched.
    completions: VecDeque<(UnixTime, UnixTime)>,
    /// Formed matches whose players are being told.
    formed: VecDeque<Formed>,
    /// Whether [`Timer::MatchmakerStep`] is set.
    is_step_due: bool,
    /// Since when a pass, or the telling, has not come to its end.
    carried_since: Option<Instant>,
    /// Whether matches may have formed. Their players are told after everything else: nobody hears
    /// of a match before the reply that names their ticket.
    is_pool_stirred: bool,

    /// Messages of this shard to itself, handled before `handle` ends.
    local: VecDeque<(Message, Depends)>,
    /// Sessions that may have an envelope to take.
    ready: VecDeque<SessionId>,
    outputs: VecDeque<Output>,
}

impl Shard {
    /// A shard without entities. `seed` has to be unguessable: ids and names are drawn from it.
    pub fn new(
        id: ShardId,
        config: Arc<Config>,
        operations: Arc<Operations>,
        seed: [u8; 32],
    ) -> Shard {
        let birth = config.placement.birth(id);
        let mut timers = Timers::default();
        if config.placement.of_tickets() == id {
            let first = Instant::default().after(config.matchmaker.interval);
            timers.set(first, Timer::MatchmakerPass);
        }
        let mut erasures = Erasures::default();
        erasures.list_first();
        timers.set(Instant::default(), Timer::Erasures);
        let mut shard = Shard {
            id,
            operations,
            now: Now::default(),
            rng: Rng::from_seed(seed).child("ids"),
            sampler: Rng::from_seed(seed).child("traces"),
            verified: Verified::default(),
            limiter: Limiter::new(config.rates, &mut Rng::from_seed(seed).child("rates")),
            view: View::new(hash_seed(seed, "keys")),
            next_batch: 1,
            held: Held::default(),
            holds: Holds::default(),
            parked: Parked::default(),
            tasks: BTreeMap::new(),
            next_task: 1,
            timers,
            is_draining: false,
            disk: Disk::default(),
            passwords_full_until: Instant::default(),
            connections: IdMap::default(),
            handshakes: IdMap::default(),
            session_ids: SessionIds::new(birth, &config.name),
            sessions: IdMap::default(),
            session_of: IdMap::default(),
            lockouts: Lockouts::default(),
            statuses: BTreeMap::new(),
            erasures,
            relays: IdMap::default(),
            parties: BTreeMap::new(),
            boards: board::Housed::default(),
            traced_matches: BTreeMap::new(),
            pool: matchmaker::Pool::new(
                config.matchmaker.clone(),
                hash_seed(seed, "pool"),
                &config.name,
            ),
            queues: BTreeMap::new(),
            declared: matchmaker::queue::Queues::default(),
            outcomes: lease::Outcomes::default(),
            queue_timer: None,
            written_queues: config.written_queues.clone(),
            queue_changes: 0,
            completions: VecDeque::new(),
            local: VecDeque::new(),
            ready: VecDeque::new(),
            outputs: VecDeque::new(),
            formed: VecDeque::new(),
            is_step_due: false,
            carried_since: None,
            is_pool_stirred: false,
            config,
        };
        shard.renew_queues();
        shard.begin_boards();
        shard
    }

    /// Takes one input. Drain [`Shard::poll_output`] afterwards.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        match input {
            Input::Request { connection, home, request } => {
                self.handle_request(connection, home, &request);
            }
            Input::Text { connection, text } => self.handle_text(connection, text),
            Input::Binary { connection } => self.handle_binary(connection),
            Input::Pong { connection } => self.handle_pong(connection),
            Input::Closed { connection } => self.handle_closed(connection),
            Input::Message { message } => self.local.push_back((message, Depends::default())),
            Input::Durable { batch, offset, applied } => {
                self.view.durable(batch, offset, applied);
                self.release_held(batch);
            }
            Input::Loaded { table, key, value, applied } => {
                self.handle_loaded(table, key, value, applied);
            }
            Input::Scanned { range, rows, is_end, applied } => {
                self.handle_scanned(range, rows, is_end, applied);
            }
            Input::Disk { disk } => self.disk = disk,
            Input::Hooked { call, verdict } => self.handle_hooked(call, verdict),
            Input::Password { call, outcome } => self.handle_password(call, outcome),
            Input::Proof { call, outcome } => self.handle_proof(call, outcome),
            Input::Reported { call, outcome } => self.handle_reported(call, outcome),
            Input::Delivered { key, is_taken } => self.handle_delivered(&key, is_taken),
            Input::Call { call, operation, request } => self.handle_call(call, operation, request),
            Input::Configure { config } => self.configure(config),
            Input::Timeout => {}
            Input::Drain => self.handle_drain(),
        }
        self.handle_timers();
        loop {
            if let Some((message, depends)) = self.local.pop_front() {
                self.handle_message(message, depends);
            } else if let Some(session) = self.ready.pop_front() {
                self.take_envelope(session);
            } else if self.is_pool_stirred {
                self.stir_matchmaker();
            } else {
                break;
            }
        }
        self.view.evict();
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether nothing is under way: no request, no change that is not durable, no output that
    /// waits.
    pub fn is_quiet(&self) -> bool {
        self.tasks.is_empty()
            && self.parked.is_empty()
            && self.held.is_empty()
            && self.outputs.is_empty()
            && self.sessions.is_empty()
            && self.erasures.is_idle()
            && !self.view.has_undurable()
    }

    fn handle_timers(&mut self) {
        while let Some(timer) = self.timers.pop(self.now.monotonic) {
            match timer {
                Timer::Task(number) => self.expire_task(number),
                Timer::Connection(number) => self.expire_connection(number),
                Timer::MatchmakerPass => self.begin_matchmaker_pass(),
                Timer::MatchmakerStep => self.step_matchmaker(),
                Timer::Queues => self.wake_queues(),
                Timer::Erasures => self.wake_erasures(),
                Timer::Boards => self.wake_boards(),
            }
        }
    }

    /// Lives by another configuration from here on: placement, name and the matchmaker's settings
    /// are the same.
    fn configure(&mut self, config: Arc<Config>) {
        assert_eq!(self.config.placement, config.placement, "homes never move");
        self.limiter.set_rates(config.rates);
        self.verified = Verified::default(); // by keys that may be gone
        self.config = config;
        self.renew_queues();
        self.begin_boards();
    }

    fn handle_drain(&mut self) {
        self.is_draining = true;
        let mut numbers: Vec<_> = self.connections.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.close_connection(number, 1001, "server shutting down");
        }
    }

    fn handle_message(&mut self, message: Message, depends: Depends) {
        match message {
            Message::Ask { task, query } => self.handle_ask(task, query, depends),
            Message::Answer { task, answer } => self.resume_task(task, answer, &depends),
            Message::Emitted { task, batch } => self.end_hold(task, Some(batch)),
            Message::Abandon { task } => {
                self.parked.abandon(task, &mut self.view);
                self.end_hold(task, None);
            }
            Message::Granted { connection, home, claims, online } => {
                self.open_socket(connection, home, &claims, online);
            }
            Message::Attach { connection, bearer, username, online } => {
                self.open_session(connection, bearer, username, online, &depends);
            }
            Message::Detach { connection } => self.handle_detached(connection),
            Message::Text { connection, text } => self.handle_session_text(connection, text),
            Message::WrongFrame { connection } => self.handle_wrong_frame(connection),
            Message::Send { connection, text } => {
                self.output(Output::Send { connection, text }, &depends);
            }
            Message::Close { connection, code, reason } => {
                self.connections.remove(&connection);
                self.output(Output::Close { connection, code, reason }, &depends);
            }
            Message::Flow { connection, read } => {
                self.output(Output::Flow { connection, read }, &depends);
            }
            Message::Push { to, text } => self.push_local(&to, &text, &depends),
            Message::Status { user, command } => self.apply_status(user, command, &depends),
            Message::Kick { user, notice } => self.kick(user, notice, &depends),
            Message::End { session, text } => self.end_by_order(session, text, &depends),
            Message::MatchLeave { id, session } => self.leave_match(id, session, &depends),
            Message::MatchData { id, from, receivers, data } => {
                let Some(relay) = self.relays.get(&id) else {
                    return;
                };
                let mut effects = Vec::new();
                let ctx = &mut Ctx::new(self.now, &mut self.rng, &mut self.view, &mut effects);
                relay.send(ctx, from, &receivers, data);
                self.deliver(effects, &depends);
            }
            Message::PartyLeave { id, by } => {
                self.apply_to_party(None, id, &by, Command::Leave, &depends);
            }
            Message::PartyEntered { id, session } => self.enter_party(id, session),
            Message::PartyOut { id, session, number } => self.forget_party(id, session, number),
            Message::TicketsDrop { session } => {
                self.pool.remove_session(session);
                self.declared.remove_session(session);
                self.is_pool_stirred = true;
            }
            Message::TicketsDropParty { party } => {
                self.pool.remove_party(party);
                self.declared.remove_party(party);
                self.is_pool_stirred = true;
            }
        }
    }

    /// Sends what a transient feature pushed. Such a feature changes nothing durable.
    fn deliver(&mut self, effects: Vec<Effect>, depends: &Depends) {
        for effect in effects {
            match effect {
                Effect::Change(change) => {
                    panic!("a transient feature wrote to table {}", change.table)
                }
                Effect::Push { to, event } => {
                    let text = Bytes::from(api::realtime::event(&event));
                    self.push(to, &text, depends);
                }
                Effect::Party { id, notice } => self.heed_party(id, &notice, depends),
            }
        }
    }

    /// Sends the same text to sessions wherever they live.
    fn push(&mut self, to: Vec<SessionId>, text: &Bytes, depends: &Depends) {
        let mut by_home: BTreeMap<ShardId, Vec<SessionId>> = BTreeMap::new();
        for session in to {
            if let Some(home) = self.config.placement.of_session(session) {
                by_home.entry(home).or_default().push(session);
            }
        }
        for (home, to) in by_home {
            self.send(home, Message::Push { to, text: text.clone() }, depends);
        }
    }

    /// Sends a message to a shard, this one included.
    fn send(&mut self, to: ShardId, message: Message, depends: &Depends) {
        if to == self.id {
            self.local.push_back((message, depends.clone()));
        } else {
            self.output(Output::Bus { to, message }, depends);
        }
    }

    /// Asks a home as soon as all that the task depends on is durable, this shard, too.
    fn ask_when_durable(&mut self, number: u64, home: ShardId, query: Query) {
        if home != self.id {
            return self.ask(number, home, query); // what leaves waits anyway
        }
        let depends = self.depends_of(number);
        let Some(task) = self.tasks.get_mut(&number) else { return };
        task.awaited += 1;
        let task = TaskId { shard: self.id, number };
        self.send_when_durable(Message::Ask { task, query }, &depends);
    }

    /// Sends a message to this shard as soon as everything it depends on is durable.
    fn send_when_durable(&mut self, message: Message, depends: &Depends) {
        match depends.first(|batch| !self.view.is_durable(batch)) {
            None => self.local.push_back((message, Depends::default())),
            Some(batch) => self.held.push(batch, Waiting::Message(message), depends.clone()),
        }
    }

    /// Lets an output out as soon as everything it depends on is durable.
    fn output(&mut self, output: Output, depends: &Depends) {
        match depends.first(|batch| !self.view.is_durable(batch)) {
            None => self.outputs.push_back(output),
            Some(batch) => self.held.push(batch, Waiting::Output(output), depends.clone()),
        }
    }
}

/// What keys that clients choose are hashed with.
fn hash_seed(seed: [u8; 32], label: &str) -> u64 {
    let mut bytes = [0; 8];
    Rng::from_seed(seed).child(label).fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
