//! A whole cluster as a value: shards, bus, store, disk, clients and time, driven by a seed.
//!
//! Shards and store are the production code. Whatever can move stands in a queue of its own link:
//! a connection, a pair of shards, the disk, a holder's announcements, a load. [`Cluster::step`]
//! lets the seed choose the link that moves next, so order holds within a link and nowhere else.
//! Faults are options or calls; what is [`Halted`] stands still until it is let go.
//!
//! Checked after every output: batch numbers have no gap, a request is answered once and counted
//! right behind its answer, and nothing leaves that tells of an account whose batch is not durable.

pub mod client;
pub mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::ops::Operations;
use api::reply::Reply;
use base::limits::CACHE_BYTES_MAX;
use base::{Code, ConnectionId, Instant, Now, Offset, Rng, ShardId, Table, UnixTime, UserId};
use bytes::Bytes;
use domain::compete::board::NewBoard;
use domain::identity::alias::Kind;
use domain::identity::provider::{Profile, Proof, Refusal};
use domain::identity::server_token::ServerKeys;
use domain::identity::token;
use domain::operator::queue::Queues;
use domain::record::{Record as _, queue};
use matchmaker::Mode;
use matchmaker::queue::Definition;
use shard::{
    Config, Figures, HookCall, Hooks, Input, Message, Output, PasswordOutcome, PasswordWork,
    Placement, Providers, QueueInForce, Rates, Sampling, Shard, Stage, Verdict,
};

use ::store::{Load, Scan};

use client::Client;
use store::Store;

use crate::faults::Faults;

/// A password that finds its queue full.
pub const BUSY: &str = "a busy password";

pub const USERS: Table = Table(1);
pub const ALIASES: Table = Table(2);
pub const REVOCATIONS: Table = Table(3);
const NOBODYS: Table = Table(200);

pub const TOKEN_LIFE: u64 = 60;
pub const REFRESH_LIFE: u64 = 3600;
pub const PONG_WAIT: Duration = Duration::from_secs(25);
pub const INTERVAL: Duration = Duration::from_secs(15);

/// Lines of the trace that a failure prints.
const TAIL: usize = 60;

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub shards: usize,
    pub mode: Mode,
    /// Whether all members of a match have to accept each other.
    pub rev_precision: bool,
    pub hooks: Hooks,
    /// Whether hooks answer by themselves, as the seed chooses.
    pub answers_hooks: bool,
    pub single_session: bool,
    pub single_socket: bool,
    pub single_party: bool,
    pub rates: Rates,
    /// Home of the ticket pool.
    pub queue: Option<ShardId>,
    /// The queues that the configuration declares.
    pub queues: Vec<Arc<Definition>>,
    /// Leaderboards and tournaments of the configuration.
    pub boards: Vec<Arc<NewBoard>>,
    /// Of a hundred loads, so many may be answered from a snapshot that is too old.
    pub stale_loads: u32,
    pub trace: Recording,
}

/// What is kept of the trace.
#[derive(Clone, Debug)]
pub enum Recording {
    /// Nothing, which is fast.
    Nothing,
    /// A digest, and the last lines for whoever sees a failure.
    Tail,
    /// A digest, and every line.
    Everything(Log),
}

/// Lines of a trace, which outlive the cluster.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            shards: 3,
            mode: Mode::Immediate,
            rev_precision: false,
            hooks: Hooks::default(),
            answers_hooks: false,
            single_session: false,
            single_socket: false,
            single_party: false,
            rates: Rates::default(),
            queue: None,
            queues: Vec::new(),
            boards: Vec::new(),
            stale_loads: 20,
            trace: Recording::Tail,
        }
    }
}

/// What stands still.
#[derive(Debug, Default)]
pub struct Halted {
    pub disk: bool,
    /// What brings the log into the state.
    pub state: bool,
    pub loads: bool,
    /// Whoever looks at passwords and proofs.
    pub helpers: bool,
    /// Loads of these tables.
    pub tables: BTreeSet<Table>,
    /// Loads of aliases of these kinds.
    pub aliases: BTreeSet<Kind>,
    pub announcements: BTreeSet<ShardId>,
    /// Messages from the first shard to the second.
    pub bus: BTreeSet<(ShardId, ShardId)>,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Client(ConnectionId),
    Bus(ShardId, ShardId),
    Disk,
    /// The threads behind the log.
    State,
    Announced(ShardId),
    Load(usize),
    Scan(usize),
    Timeout(ShardId),
    Hook(usize),
    Helper(usize),
}

/// What waits for somebody beside the shards.
#[derive(Debug)]
enum Help {
    Password(PasswordWork),
    Proof(Proof),
    Report,
    /// What the webhook is told, and under which key.
    Event(Bytes, String),
}

/// One process with all that it talks to. Invariant: everything follows from the seed and the
/// calls.
pub struct Cluster {
    options: Options,
    pub config: Arc<Config>,
    shards: Vec<Shard>,
    pub now: Now,
    /// Chooses what happens next.
    rng: Rng,
    /// Chooses what the disk does.
    disk_rng: Rng,
    bus: BTreeMap<(ShardId, ShardId), VecDeque<Message>>,
    pub store: Store,
    pub halted: Halted,
    clients: BTreeMap<ConnectionId, Client>,
    /// Connections that may have heard something since they were last listed.
    fresh: BTreeSet<ConnectionId>,
    next_connection: u64,
    /// Hooks that wait for their verdict, or that were told of a reply.
    pub hooks: VecDeque<(ShardId, HookCall)>,
    /// Passwords and proofs that wait to be looked at.
    helpers: Vec<(ShardId, u64, Help)>,
    /// What the webhook was told, and under which key.
    pub events: Vec<(Bytes, String)>,
    /// What server code was answered.
    pub called: Vec<(u64, Result<Reply, api::Error>)>,
    pub damaged: Vec<Table>,
    /// Requests that are over, by operation and what came of them.
    pub done: BTreeMap<(Option<&'static str>, Result<(), Code>), u64>,
    /// The process dies after so many more outputs.
    dies_after: Option<u32>,
    pub faults: Faults,
    trace: Trace,
}

/// A digest of everything that happened, and the last lines of it.
#[derive(Debug, Default)]
struct Trace {
    digest: u64,
    tail: VecDeque<String>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.trace.tail.is_empty() {
            eprintln!("seed {}; the end of the trace:", self.options.seed);
            self.trace.tail.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Cluster {
    pub fn new(options: Options) -> Cluster {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&options.seed.to_le_bytes());
        let mut cluster = Cluster {
            config: Arc::new(config(&options, 0, Queues::default())),
            shards: Vec::new(),
            now: Now { wall: UnixTime::from_secs(1_700_000_000), monotonic: Instant(0) },
            disk_rng: Rng::from_seed(seed).child("disk"),
            rng: Rng::from_seed(seed),
            bus: BTreeMap::new(),
            store: Store::default(),
            halted: Halted::default(),
            clients: BTreeMap::new(),
            fresh: BTreeSet::new(),
            next_connection: 1,
            hooks: VecDeque::new(),
            helpers: Vec::new(),
            events: Vec::new(),
            called: Vec::new(),
            damaged: Vec::new(),
            done: BTreeMap::new(),
            dies_after: None,
            faults: Faults::default(),
            trace: Trace::default(),
            options,
        };
        cluster.start();
        cluster
    }

    /// The process dies and starts again: what was durable is left, every connection is lost.
    pub fn crash(&mut self) {
        self.bus.clear();
        self.hooks.clear();
        self.helpers.clear();
        self.dies_after = None;
        let fails_again = self.disk_rng.below(8) == 0;
        let losses = self.store.crash(fails_again, &mut self.disk_rng);
        self.faults.crashes += 1;
        self.faults.failed_starts += u64::from(fails_again);
        self.faults.lost_writes += losses.lost;
        self.faults.torn_writes += losses.torn;
        self.faults.lost_names += losses.lost_names;
        self.faults.failed_syncs += losses.failed_syncs;
        self.clients.values_mut().for_each(Client::lose);
        self.fresh.extend(self.clients.keys());
        self.start();
        let durable = self.store.durable();
        self.note(format_args!("crash: {durable:?} is left, {losses:?}"));
    }

    /// The disk fails in the next transaction, and the process dies of it.
    pub fn fail_disk_soon(&mut self) {
        self.store.fail_soon(&mut self.disk_rng);
    }

    /// The process dies between two outputs, so many of them later.
    pub fn crash_after(&mut self, outputs: u32) {
        self.dies_after = Some(outputs);
    }

    /// Takes back a death that was to come.
    pub fn live_on(&mut self) {
        self.dies_after = None;
        self.store.live_on();
    }

    fn start(&mut self) {
        self.now.monotonic = Instant(0);
        let written = self.store.get(Queues::TABLE, queue::KEY);
        let written = written.map(|row| Queues::decode(&row).expect("what shards write decodes"));
        let incarnation = self.store.incarnation;
        self.config = Arc::new(config(&self.options, incarnation, written.unwrap_or_default()));
        let operations = Arc::new(Operations::all());
        let shards: Vec<_> = ShardId::all(self.options.shards)
            .map(|id| {
                let mut seed = [0; 32];
                self.rng.fill(&mut seed);
                Shard::new(id, self.config.clone(), operations.clone(), seed)
            })
            .collect();
        self.shards = shards;
    }

    /// Has every shard live by other options, one after another.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options);
        let written = Queues::clone(&self.config.written_queues);
        let incarnation = self.store.incarnation;
        self.config = Arc::new(config(&self.options, incarnation, written));
        for id in ShardId::all(self.shards.len()) {
            self.handle(id, Input::Configure { config: self.config.clone() });
        }
    }

    /// The queues in force at the home of the tickets, and their versions there.
    pub fn queues(&self) -> BTreeMap<String, QueueInForce> {
        let pool = &self.shards[self.config.placement.of_tickets().index()];
        pool.queues().map(|queue| (queue.definition.id.clone(), queue.clone())).collect()
    }

    // Time and order.

    /// Moves one link that can move, as the seed chooses; `false` when nothing can.
    pub fn step(&mut self) -> bool {
        let links = self.movable();
        let Some(most) = u32::try_from(links.len()).ok().filter(|count| *count > 0) else {
            return self.tick();
        };
        let link = links[self.rng.below(most) as usize];
        self.faults.events += 1;
        self.pass(Duration::from_micros(1));
        self.move_link(link);
        true
    }

    /// Steps so often, or until nothing can move.
    pub fn steps(&mut self, count: usize) {
        (0..count).take_while(|_| self.step()).for_each(drop);
    }

    /// Steps until only time could change anything.
    pub fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "the cluster comes to rest");
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub fn advance(&mut self, duration: Duration) {
        let end = self.now.monotonic.after(duration);
        self.settle();
        while let Some(due) = self.next_timeout().filter(|due| *due <= end) {
            self.pass(due.since(self.now.monotonic));
            self.settle();
        }
        self.pass(end.since(self.now.monotonic));
        self.settle();
    }

    /// Lets time pass without anything happening, as in a process that does not get to run.
    pub fn pass(&mut self, duration: Duration) {
        self.now.monotonic = self.now.monotonic.after(duration);
        let nanos = u64::try_from(duration.as_nanos()).expect("tests last less than 584 years");
        self.now.wall = UnixTime(self.now.wall.0 + nanos);
    }

    /// Deadlines of less than a millisecond are due with the next tick.
    fn tick(&mut self) -> bool {
        let end = self.now.monotonic.after(Duration::from_millis(1));
        let Some(due) = self.next_timeout().filter(|due| *due <= end) else {
            return false;
        };
        self.pass(due.since(self.now.monotonic));
        true
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.shards.iter().filter_map(Shard::poll_timeout).min()
    }

    fn movable(&self) -> Vec<Link> {
        let mut links = Vec::new();
        let ready = self.clients.iter().filter(|(_, client)| client.is_ready());
        links.extend(ready.map(|(id, _)| Link::Client(*id)));
        let filled = self
            .bus
            .iter()
            .filter(|(link, queue)| !queue.is_empty() && !self.halted.bus.contains(link));
        links.extend(filled.map(|((from, to), _)| Link::Bus(*from, *to)));
        if self.store.can_sync() && !self.halted.disk {
            links.push(Link::Disk);
        }
        if self.store.is_behind() && !self.halted.state {
            links.push(Link::State);
        }
        let announced = self.store.announced.iter().filter(|(shard, events)| {
            !events.is_empty() && !self.halted.announcements.contains(shard)
        });
        links.extend(announced.map(|(shard, _)| Link::Announced(*shard)));
        let is_halted = |load: &Load| {
            let is_of = |kind: &Kind| load.key.first() == Some(&kind.number());
            self.halted.loads
                || self.halted.tables.contains(&load.table)
                || (load.table == ALIASES && self.halted.aliases.iter().any(is_of))
        };
        let loads = self.store.loads.iter().enumerate().filter(|(_, load)| !is_halted(load));
        links.extend(loads.map(|(index, _)| Link::Load(index)));
        let is_halted =
            |scan: &Scan| self.halted.loads || self.halted.tables.contains(&scan.range.table);
        let scans = self.store.scans.iter().enumerate().filter(|(_, scan)| !is_halted(scan));
        links.extend(scans.map(|(index, _)| Link::Scan(index)));
        let due = |shard: &Shard| shard.poll_timeout().is_some_and(|at| at <= self.now.monotonic);
        let due = ShardId::all(self.shards.len()).filter(|id| due(&self.shards[id.index()]));
        links.extend(due.map(Link::Timeout));
        if !self.halted.helpers {
            links.extend((0..self.helpers.len()).map(Link::Helper));
        }
        if self.options.answers_hooks {
            links.extend((0..self.hooks.len()).map(Link::Hook));
        }
        links
    }

    fn move_link(&mut self, link: Link) {
        let (shard, input) = match link {
            Link::Client(id) => {
                let input = self.clients.get_mut(&id).and_then(Client::take_input);
                (id.shard, input)
            }
            Link::Bus(from, to) => {
                let message = self.bus.get_mut(&(from, to)).and_then(VecDeque::pop_front);
                (to, message.map(|message| Input::Message { message }))
            }
            Link::Disk => {
                self.note(format_args!("sync"));
                if !self.store.sync(&mut self.disk_rng) {
                    self.faults.failed_commits += 1;
                    self.crash();
                }
                return;
            }
            Link::State => {
                self.note(format_args!("apply"));
                if !self.store.work(&mut self.disk_rng) {
                    self.faults.failed_checkpoints += 1;
                    self.crash();
                }
                return;
            }
            Link::Announced(shard) => {
                (shard, self.store.announced.get_mut(&shard).and_then(VecDeque::pop_front))
            }
            Link::Load(index) => {
                let stale = self.disk_rng.below(100) < self.options.stale_loads;
                if self.disk_rng.below(3) == 0 {
                    self.store.forget_snapshot();
                }
                let (shard, input, was_stale) = self.store.answer(index, stale);
                self.faults.stale_loads += u64::from(was_stale);
                (shard, Some(input))
            }
            Link::Scan(index) => {
                let stale = self.disk_rng.below(100) < self.options.stale_loads;
                if self.disk_rng.below(3) == 0 {
                    self.store.forget_snapshot();
                }
                let (shard, input, was_stale) = self.store.answer_scan(index, stale);
                self.faults.stale_loads += u64::from(was_stale);
                (shard, Some(input))
            }
            Link::Timeout(shard) => (shard, Some(Input::Timeout)),
            Link::Hook(index) => return self.answer_any_hook(index),
            Link::Helper(index) => {
                let (shard, call, help) = self.helpers.swap_remove(index);
                if let Help::Event(key, message) = &help {
                    self.events.push((key.clone(), message.clone()));
                }
                (shard, Some(help.answer(call)))
            }
        };
        self.handle(shard, input.expect("a link that can move holds something"));
    }

    // One input, and what follows from it.

    /// Gives a shard an input and carries out what follows.
    pub fn handle(&mut self, id: ShardId, input: Input) {
        let micros = self.now.monotonic.0 / 1000;
        self.note(format_args!("{micros} {id} <- {input:?}"));
        self.handle_unseen(id, input);
    }

    fn handle_unseen(&mut self, id: ShardId, input: Input) {
        let micros = self.now.monotonic.0 / 1000;
        self.shards[id.index()].handle(input, self.now);
        let mut is_answer = false;
        while let Some(output) = self.shards[id.index()].poll_output() {
            let is_done = matches!(output, Output::Done(_));
            assert!(is_done || !is_answer, "an answer is counted before anything else leaves");
            is_answer = is_counted(&output);
            self.note(format_args!("{micros} {id} -> {output:?}"));
            self.check_durable(&output);
            self.carry_out(id, output);
            match &mut self.dies_after {
                None => {}
                Some(0) => return self.crash(),
                Some(left) => *left -= 1,
            }
        }
    }

    pub fn answer_hook(&mut self, id: ShardId, call: u64, verdict: Verdict) {
        self.handle(id, Input::Hooked { call, verdict });
        self.settle();
    }

    /// A hook that lets everything pass, and refuses now and then.
    fn answer_any_hook(&mut self, index: usize) {
        let (shard, HookCall { call, stage, .. }) =
            self.hooks.remove(index).expect("a link that can move holds something");
        let Stage::Before { request } = stage else { return };
        let verdict = match self.rng.below(10) {
            0 => Verdict::Refuse(api::Error::exhausted("The hook says no.")),
            _ => Verdict::Continue(request),
        };
        self.handle(shard, Input::Hooked { call, verdict });
    }

    pub fn drain(&mut self) {
        ShardId::all(self.shards.len()).for_each(|id| self.handle(id, Input::Drain));
    }

    /// Fills the memory of every shard, so that what can be evicted soon is.
    pub fn crowd(&mut self) {
        let value = Some(Bytes::from(vec![0; CACHE_BYTES_MAX]));
        self.note(format_args!("crowd"));
        for id in ShardId::all(self.shards.len()) {
            let (table, key, value) = (NOBODYS, Bytes::from_static(b"large"), value.clone());
            self.handle_unseen(id, Input::Loaded { table, key, value, applied: Offset(0) });
        }
        self.faults.evictions += 1;
    }

    pub fn figures(&self, id: ShardId) -> Figures {
        self.shards[id.index()].figures()
    }

    /// Whether every shard says that nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.shards.iter().all(Shard::is_quiet)
    }

    /// The connections that may have heard something since the last call.
    pub fn take_fresh(&mut self) -> BTreeSet<ConnectionId> {
        std::mem::take(&mut self.fresh)
    }

    /// Forgets connections that are over, of which many come together in a long run.
    pub fn forget_gone(&mut self) {
        self.clients.retain(|_, client| !client.is_over());
    }

    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Messages on their way from one shard to another.
    pub fn on_bus(&self, from: ShardId, to: ShardId) -> usize {
        self.bus.get(&(from, to)).map_or(0, VecDeque::len)
    }

    /// Equal digests: the same things happened in the same order.
    pub fn digest(&self) -> u64 {
        self.trace.digest
    }

    fn carry_out(&mut self, id: ShardId, output: Output) {
        match output {
            Output::Respond { connection, response } => {
                self.with_client(id, connection, |client| client.respond(response));
            }
            Output::Upgrade { connection } => self.with_client(id, connection, Client::upgrade),
            Output::Send { connection, text } => {
                self.with_client(id, connection, |client| client.receive(&text));
            }
            Output::Ping { connection } => self.with_client(id, connection, Client::ping),
            Output::Close { connection, code, reason } => {
                self.with_client(id, connection, |client| client.close(code, reason));
            }
            Output::Flow { connection, read } => {
                self.with_client(id, connection, |client| client.set_paused(!read));
            }
            Output::Bus { to, message } => {
                assert!(to != id && to.index() < self.shards.len(), "{to} is another shard");
                self.bus.entry((id, to)).or_default().push_back(message);
            }
            Output::Commit { batch, frames, holders } => {
                assert_eq!(batch.shard, id);
                self.store.commit(batch, frames, holders);
            }
            Output::Load { table, key, at_least } => {
                self.store.loads.push(Load { shard: id, table, key, at_least });
            }
            Output::Scan { range, at_least } => {
                self.store.scans.push(Scan { shard: id, range, at_least });
            }
            Output::Hook(call) => self.hooks.push_back((id, call)),
            Output::Password { call, work, .. } => {
                self.helpers.push((id, call, Help::Password(work)));
            }
            Output::Proof { call, proof } => self.helpers.push((id, call, Help::Proof(proof))),
            Output::Report { call, .. } => self.helpers.push((id, call, Help::Report)),
            Output::Called { call, result } => self.called.push((call, result)),
            Output::Done(done) => {
                check_trace(&done, self.now.monotonic);
                let name = done.operation.map(|row| row.name);
                *self.done.entry((name, done.outcome)).or_default() += 1;
            }
            Output::Deliver { .. } => {} // nobody is there
            Output::DeliverEvent { key, message } => {
                self.helpers.push((id, 0, Help::Event(key, message)));
            }
            Output::MatchOver { begun, joins, .. } => {
                assert!(begun <= self.now.monotonic && joins > 0, "a match begins with a member");
            }
            Output::Damaged { table, .. } => self.damaged.push(table),
        }
    }

    fn with_client(&mut self, shard: ShardId, number: u64, act: impl FnOnce(&mut Client)) {
        let id = ConnectionId { shard, number };
        self.fresh.insert(id);
        // A connection that is over is known no more.
        if let Some(client) = self.clients.get_mut(&id) {
            act(client);
        }
    }

    /// No output tells of an account whose batch is not durable.
    fn check_durable(&self, output: &Output) {
        let is_new = |key: &&[u8]| self.store.get(USERS, key).is_none();
        let new: Vec<_> = self.store.undurable(USERS).filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let told = match output {
            Output::Respond { response, .. } => client::plain(&response.body),
            Output::Send { text, .. } => client::plain(&String::from_utf8_lossy(text)),
            Output::Bus { message, .. } => client::plain(&format!("{message:?}")),
            Output::Hook(call) => client::plain(&format!("{call:?}")),
            Output::Called { result, .. } => client::plain(&format!("{result:?}")),
            Output::Upgrade { .. }
            | Output::Ping { .. }
            | Output::Close { .. }
            | Output::Flow { .. }
            | Output::Commit { .. }
            | Output::Load { .. }
            | Output::Scan { .. }
            | Output::Password { .. }
            | Output::Proof { .. }
            | Output::Done(_)
            | Output::Deliver { .. }
            | Output::DeliverEvent { .. }
            | Output::MatchOver { .. }
            | Output::Report { .. }
            | Output::Damaged { .. } => return,
        };
        for key in new {
            let user = UserId::from_bytes(key.try_into().expect("a user's key is its id"));
            let user = user.to_string();
            assert!(!told.contains(&user), "{user} is not durable, and leaves in {output:?}");
        }
    }

    /// Writes a line of the trace.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        let log = match &self.options.trace {
            Recording::Nothing => return,
            Recording::Tail => None,
            Recording::Everything(log) => Some(log),
        };
        let line = line.to_string();
        for byte in line.bytes() {
            self.trace.digest = (self.trace.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        match log {
            Some(log) => log.push(line),
            None => {
                if self.trace.tail.len() == TAIL {
                    self.trace.tail.pop_front();
                }
                self.trace.tail.push_back(line);
            }
        }
    }
}

/// An answer to a request. The socket that a drain refuses after its handshake was granted, and
/// counted, is none.
fn is_counted(output: &Output) -> bool {
    match output {
        Output::Respond { response, .. } => response.status != 503,
        Output::Called { .. } => true,
        _ => false,
    }
}

/// A request begins before it is over, and its waits follow each other between both.
fn check_trace(done: &shard::Done, now: Instant) {
    assert!(done.begun <= now, "{done:?}");
    let Some(trace) = &done.trace else { return };
    let mut at = done.begun;
    for wait in &trace.waits {
        assert!(at <= wait.begun && wait.begun <= wait.ended, "{done:?}");
        at = wait.ended;
    }
    assert!(at <= trace.ready && trace.ready <= now, "{done:?}");
}

fn config(options: &Options, incarnation: u32, written_queues: Queues) -> Config {
    Config {
        placement: Placement {
            count: options.shards,
            incarnation,
            matches: None,
            queue: options.queue,
        },
        name: "node".into(),
        server_key: "defaultkey".into(),
        session_keys: token::Keys::new(b"session", &[]),
        refresh_keys: token::Keys::new(b"refresh", &[]),
        server_keys: Arc::new(ServerKeys::new("node", &server_key(), &[]).expect("a key")),
        token_life: Duration::from_secs(TOKEN_LIFE),
        refresh_token_life: Duration::from_secs(REFRESH_LIFE),
        server_token_life: Duration::from_secs(TOKEN_LIFE),
        operator_keys: token::Keys::new(b"operator", &[]),
        operator_token_life: Duration::from_secs(TOKEN_LIFE),
        single_session: options.single_session,
        single_socket: options.single_socket,
        single_party: options.single_party,
        rates: options.rates,
        providers: Providers { apple: true, steam: false, oidc: true },
        ping_period: Duration::from_secs(15),
        pong_wait: PONG_WAIT,
        ping_backoff_threshold: 20,
        matchmaker: matchmaker::Settings {
            mode: options.mode,
            interval: INTERVAL,
            max_intervals: 2,
            max_tickets: 3,
            rev_precision: options.rev_precision,
            // Whatever a pass takes, the invariant holds.
            rev_threshold: 0,
        },
        queues: options.queues.clone(),
        boards: options.boards.clone(),
        has_webhook: true,
        written_queues: Arc::new(written_queues),
        hooks: options.hooks.clone(),
        sampling: Sampling::of_ratio(0.5),
    }
}

/// An Ed25519 key in PKCS #8 form (RFC 8410): always the same one.
fn server_key() -> Vec<u8> {
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend_from_slice(&[7; 32]);
    key
}

impl Help {
    /// A hash is the password behind a mark; an old mark, which some passwords begin with, is worth
    /// replacing. A proof is the
    /// player's id, or a word for what goes wrong.
    fn answer(self, call: u64) -> Input {
        match self {
            Help::Password(work) => {
                let outcome = match work {
                    PasswordWork::Hash(password) => {
                        let clear = password.as_str();
                        let mark = if clear.starts_with("old") { "old" } else { "new" };
                        PasswordOutcome::Hashed(format!("{mark}:{clear}"))
                    }
                    PasswordWork::Verify { password, .. } if password.as_str() == BUSY => {
                        PasswordOutcome::Busy
                    }
                    PasswordWork::Verify { password, hash } => match hash.split_once(':') {
                        Some((_, clear)) if clear != password.as_str() => PasswordOutcome::Wrong,
                        Some(("old", clear)) => {
                            PasswordOutcome::Right { rehashed: Some(format!("new:{clear}")) }
                        }
                        _ => PasswordOutcome::Right { rehashed: None },
                    },
                };
                Input::Password { call, outcome }
            }
            Help::Event(key, _) => Input::Delivered { key, is_taken: true },
            Help::Report => {
                let outcome = Ok(Reply::Metrics { text: "reported".into() });
                Input::Reported { call, outcome }
            }
            Help::Proof(proof) => {
                let id = match proof {
                    Proof::Apple { token }
                    | Proof::Facebook { token }
                    | Proof::FacebookInstantGame { signed_player_info: token }
                    | Proof::Google { token }
                    | Proof::Steam { token } => token,
                    Proof::Oidc { token } => format!("issuer:{}", token.replace(['x', '.'], "")),
                    Proof::GameCenter(proof) => proof.player_id,
                };
                let outcome = match id.as_str() {
                    "rejected" => Err(Refusal::Rejected),
                    "unavailable" => Err(Refusal::Unavailable),
                    "busy" => Err(Refusal::Busy),
                    _ => Ok(Profile {
                        display_name: format!("Name of {id}"),
                        avatar_url: format!("https://{id}.example/picture"),
                        email: format!("{id}@mail.example"),
                        id,
                    }),
                };
                Input::Proof { call, outcome }
            }
        }
    }
}
