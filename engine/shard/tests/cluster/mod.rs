//! A whole cluster as a value: shards, bus, store, clients and time, driven by a seed.
//!
//! Whatever can move stands in a queue of its own link: a connection, a pair of shards, the disk,
//! a holder's announcements, a load. [`Cluster::step`] lets the seed choose the link that moves
//! next, so order holds within a link and nowhere else. Faults are options or calls; what is
//! [`Halted`] stands still until it is let go.
//!
//! Checked after every output: batch numbers have no gap, a request is answered once, and nothing
//! leaves that tells of an account whose batch is not durable.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod client;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::ops::Operations;
use base::limits::CACHE_BYTES_MAX;
use base::{ConnectionId, Instant, Now, Offset, Rng, ShardId, Table, UnixTime, UserId};
use bytes::Bytes;
use domain::identity::token;
use matchmaker::Mode;
use shard::{Config, HookCall, Hooks, Input, Message, Output, Placement, Shard, Verdict};

use client::Client;
use store::{Load, Store};

pub(crate) const USERS: Table = Table(1);
pub(crate) const DEVICES: Table = Table(2);
pub(crate) const USERNAMES: Table = Table(3);
pub(crate) const REVOCATIONS: Table = Table(4);
const NOBODYS: Table = Table(200);

pub(crate) const TOKEN_LIFE: u64 = 60;
pub(crate) const REFRESH_LIFE: u64 = 3600;
pub(crate) const PONG_WAIT: Duration = Duration::from_secs(25);
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// Lines of the trace that a failure prints.
const TAIL: usize = 60;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) shards: usize,
    pub(crate) mode: Mode,
    pub(crate) hooks: Hooks,
    /// Home of the ticket pool.
    pub(crate) queue: Option<ShardId>,
    /// Of a hundred loads, so many are answered from a snapshot that is too old.
    pub(crate) stale_loads: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            shards: 3,
            mode: Mode::Immediate,
            hooks: Hooks::default(),
            queue: None,
            stale_loads: 20,
        }
    }
}

/// What stands still.
#[derive(Debug, Default)]
pub(crate) struct Halted {
    pub(crate) disk: bool,
    pub(crate) loads: bool,
    /// Loads of these tables.
    pub(crate) tables: BTreeSet<Table>,
    pub(crate) announcements: BTreeSet<ShardId>,
    /// Messages from the first shard to the second.
    pub(crate) bus: BTreeSet<(ShardId, ShardId)>,
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Client(ConnectionId),
    Bus(ShardId, ShardId),
    Disk,
    Announced(ShardId),
    Load(usize),
    Timeout(ShardId),
}

/// One process with all that it talks to. Invariant: everything follows from the seed and the
/// calls.
pub(crate) struct Cluster {
    options: Options,
    pub(crate) config: Arc<Config>,
    shards: Vec<Shard>,
    incarnation: u32,
    pub(crate) now: Now,
    rng: Rng,
    bus: BTreeMap<(ShardId, ShardId), VecDeque<Message>>,
    pub(crate) store: Store,
    pub(crate) halted: Halted,
    clients: BTreeMap<ConnectionId, Client>,
    next_connection: u64,
    /// Hooks that wait for their verdict, or that were told of a reply.
    pub(crate) hooks: VecDeque<(ShardId, HookCall)>,
    pub(crate) damaged: Vec<Table>,
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
        if std::thread::panicking() {
            eprintln!("seed {}; the end of the trace:", self.options.seed);
            self.trace.tail.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Cluster {
    pub(crate) fn new(options: Options) -> Cluster {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&options.seed.to_le_bytes());
        let mut cluster = Cluster {
            config: Arc::new(config(&options, 0)),
            shards: Vec::new(),
            incarnation: 0,
            now: Now { wall: UnixTime::from_secs(1_700_000_000), monotonic: Instant(0) },
            rng: Rng::from_seed(seed),
            bus: BTreeMap::new(),
            store: Store::default(),
            halted: Halted::default(),
            clients: BTreeMap::new(),
            next_connection: 1,
            hooks: VecDeque::new(),
            damaged: Vec::new(),
            trace: Trace::default(),
            options,
        };
        cluster.start();
        cluster
    }

    /// The process dies and starts again: what was durable is left, every connection is lost.
    pub(crate) fn crash(&mut self) {
        self.bus.clear();
        self.hooks.clear();
        self.store.crash();
        self.clients.values_mut().for_each(Client::lose);
        self.start();
        self.trace("crash".to_owned());
    }

    fn start(&mut self) {
        self.incarnation += 1;
        self.now.monotonic = Instant(0);
        self.config = Arc::new(config(&self.options, self.incarnation));
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

    // Time and order.

    /// Moves one link that can move, as the seed chooses; `false` when nothing can.
    pub(crate) fn step(&mut self) -> bool {
        let links = self.movable();
        let Some(most) = u32::try_from(links.len()).ok().filter(|count| *count > 0) else {
            return self.tick();
        };
        let link = links[self.rng.below(most) as usize];
        self.pass(Duration::from_micros(1));
        self.move_link(link);
        true
    }

    /// Steps so often, or until nothing can move.
    pub(crate) fn steps(&mut self, count: usize) {
        (0..count).take_while(|_| self.step()).for_each(drop);
    }

    /// Steps until only time could change anything.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 1_000_000, "the cluster comes to rest");
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn advance(&mut self, duration: Duration) {
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
    pub(crate) fn pass(&mut self, duration: Duration) {
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
        let announced = self.store.announced.iter().filter(|(shard, events)| {
            !events.is_empty() && !self.halted.announcements.contains(shard)
        });
        links.extend(announced.map(|(shard, _)| Link::Announced(*shard)));
        let loads =
            self.store.loads.iter().enumerate().filter(|(_, load)| {
                !self.halted.loads && !self.halted.tables.contains(&load.table)
            });
        links.extend(loads.map(|(index, _)| Link::Load(index)));
        let due = |shard: &Shard| shard.poll_timeout().is_some_and(|at| at <= self.now.monotonic);
        let due = ShardId::all(self.shards.len()).filter(|id| due(&self.shards[id.index()]));
        links.extend(due.map(Link::Timeout));
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
            Link::Disk => return self.store.sync(&mut self.rng),
            Link::Announced(shard) => {
                (shard, self.store.announced.get_mut(&shard).and_then(VecDeque::pop_front))
            }
            Link::Load(index) => {
                let stale = self.rng.below(100) < self.options.stale_loads;
                let (shard, input) = self.store.answer(index, stale, &mut self.rng);
                (shard, Some(input))
            }
            Link::Timeout(shard) => (shard, Some(Input::Timeout)),
        };
        self.handle(shard, input.expect("a link that can move holds something"));
    }

    // One input, and what follows from it.

    /// Gives a shard an input and carries out what follows.
    pub(crate) fn handle(&mut self, id: ShardId, input: Input) {
        self.trace(format!("{} {id} <- {input:?}", self.now.monotonic.0 / 1000));
        self.shards[id.index()].handle(input, self.now);
        while let Some(output) = self.shards[id.index()].poll_output() {
            self.trace(format!("{} {id} -> {output:?}", self.now.monotonic.0 / 1000));
            self.check_durable(&output);
            self.carry_out(id, output);
        }
    }

    pub(crate) fn answer_hook(&mut self, id: ShardId, call: u64, verdict: Verdict) {
        self.handle(id, Input::Hooked { call, verdict });
        self.settle();
    }

    pub(crate) fn drain(&mut self) {
        ShardId::all(self.shards.len()).for_each(|id| self.handle(id, Input::Drain));
    }

    /// Fills the memory of every shard, so that what can be evicted soon is.
    pub(crate) fn crowd(&mut self) {
        let value = Some(Bytes::from(vec![0; CACHE_BYTES_MAX]));
        for shard in &mut self.shards {
            let (table, key, value) = (NOBODYS, Bytes::from_static(b"large"), value.clone());
            shard.handle(Input::Loaded { table, key, value, applied: Offset(0) }, self.now);
            assert!(shard.poll_output().is_none(), "nobody waited for this");
        }
        self.trace("crowd".to_owned());
    }

    /// Whether every shard says that nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shards.iter().all(Shard::is_quiet)
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Messages on their way from one shard to another.
    pub(crate) fn on_bus(&self, from: ShardId, to: ShardId) -> usize {
        self.bus.get(&(from, to)).map_or(0, VecDeque::len)
    }

    /// Equal digests: the same things happened in the same order.
    pub(crate) fn digest(&self) -> u64 {
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
            Output::Hook(call) => self.hooks.push_back((id, call)),
            Output::Damaged { table } => self.damaged.push(table),
        }
    }

    fn with_client(&mut self, shard: ShardId, number: u64, act: impl FnOnce(&mut Client)) {
        let client = self.clients.get_mut(&ConnectionId { shard, number });
        act(client.expect("connections are known for ever"));
    }

    /// No output tells of an account whose batch is not durable.
    fn check_durable(&self, output: &Output) {
        let told = match output {
            Output::Respond { response, .. } => client::plain(&response.body),
            Output::Send { text, .. } => client::plain(&String::from_utf8_lossy(text)),
            Output::Bus { message, .. } => client::plain(&format!("{message:?}")),
            Output::Hook(call) => client::plain(&format!("{call:?}")),
            Output::Upgrade { .. }
            | Output::Ping { .. }
            | Output::Close { .. }
            | Output::Flow { .. }
            | Output::Commit { .. }
            | Output::Load { .. }
            | Output::Damaged { .. } => return,
        };
        for key in self.store.undurable(USERS) {
            let user = UserId::from_bytes(key.try_into().expect("a user's key is its id"));
            let user = user.to_string();
            assert!(!told.contains(&user), "{user} is not durable, and leaves in {output:?}");
        }
    }

    fn trace(&mut self, line: String) {
        for byte in line.bytes() {
            self.trace.digest = (self.trace.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.trace.tail.len() == TAIL {
            self.trace.tail.pop_front();
        }
        self.trace.tail.push_back(line);
    }
}

fn config(options: &Options, incarnation: u32) -> Config {
    Config {
        placement: Placement {
            count: options.shards,
            incarnation,
            matches: None,
            queue: options.queue,
        },
        name: "node".into(),
        server_key: "defaultkey".into(),
        session_key: token::Key::new(b"session"),
        refresh_key: token::Key::new(b"refresh"),
        token_life: Duration::from_secs(TOKEN_LIFE),
        refresh_token_life: Duration::from_secs(REFRESH_LIFE),
        ping_period: Duration::from_secs(15),
        pong_wait: PONG_WAIT,
        ping_backoff_threshold: 20,
        matchmaker: matchmaker::Settings {
            mode: options.mode,
            interval: INTERVAL,
            max_intervals: 2,
            max_tickets: 3,
        },
        hooks: options.hooks.clone(),
    }
}
