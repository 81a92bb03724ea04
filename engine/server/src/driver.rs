//! Between one shard and the world: feeds it inputs, carries out its outputs.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::console::Report;
use api::ops::{Auth, Door, Operation, Rate};
use base::collections::IdMap;
use base::timer::Timers;
use base::{Code, Instant, Now, ShardId, UnixTime};
use shard::{Disk, Done, Input, Output, Shard};

use crate::bus::{Mail, mailbox};
use crate::config::{Config, Sessions};
use crate::gateway::{Edge, Socket};
use crate::metrics::{self, CoreFigures, Tick, Traffic};
use crate::process::Shared;
use crate::reload::Reloaded;
use crate::spans::{Spans, request_id};
use crate::{executor, reporter};

/// Both clocks of one core.
#[derive(Debug)]
struct Clock {
    start: std::time::Instant,
}

impl Clock {
    fn now(&self) -> Now {
        let monotonic = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: Instant(monotonic),
            wall: UnixTime(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

/// One core's shard with everything it acts through. Touched by that core's thread alone.
#[derive(Debug)]
pub(crate) struct Driver {
    id: ShardId,
    shard: Shard,
    shared: Arc<Shared>,
    clock: Clock,
    /// When the shard was last given an input.
    last_input: Instant,
    /// Requests that are over, to be counted with the next flush.
    done: Vec<Done>,
    spans: Spans,
    pub traffic: Traffic,
    is_draining: bool,
    /// What the shard was told of it last.
    disk: Disk,

    /// What new connections of clients, and of operators, begin with.
    edges: [Rc<Edge>; 2],
    sockets: IdMap<u64, Rc<Socket>>,
    /// How many of them are operators'.
    operators: usize,
    next_connection: u64,
    timers: Timers<u64>,
    /// Sockets with something to write, each once.
    dirty: Vec<Rc<Socket>>,

    /// Messages that a full mailbox did not take, for each shard.
    backlog: Vec<VecDeque<shard::Message>>,
    /// Sockets that are not read while there is a backlog.
    stalled: Vec<Rc<Socket>>,
    /// Shards to wake.
    woken: Vec<bool>,
}

impl Driver {
    pub(crate) fn new(id: ShardId, shard: Shard, shared: Arc<Shared>) -> Driver {
        let count = shared.bus.len();
        let edges = edges(&shared.config);
        let start = shared.metrics.start;
        Driver {
            id,
            shard,
            shared,
            clock: Clock { start },
            last_input: Instant::default(),
            done: Vec::new(),
            spans: Spans::new(id, executor::seed()),
            traffic: Traffic::default(),
            is_draining: false,
            disk: Disk::default(),
            edges,
            sockets: IdMap::default(),
            operators: 0,
            next_connection: 1,
            timers: Timers::default(),
            dirty: Vec::new(),
            backlog: (0..count).map(|_| VecDeque::new()).collect(),
            stalled: Vec::new(),
            woken: vec![false; count],
        }
    }

    /// What new connections begin with.
    pub(crate) fn edge(&self, door: Door) -> Rc<Edge> {
        let [clients, operators] = &self.edges;
        match door {
            Door::Clients => clients.clone(),
            Door::Operators => operators.clone(),
        }
    }

    /// Lives by another configuration from here on.
    pub(crate) fn reload(&mut self, reloaded: &Reloaded) {
        self.edges = edges(&reloaded.config);
        self.take(Input::Configure { config: reloaded.shard.clone() });
    }

    /// What begins connections where TLS is configured.
    pub(crate) fn tls(&self) -> Option<&net::tls::Acceptor> {
        self.shared.tls.as_deref()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now().monotonic
    }

    /// How long nothing has happened.
    pub(crate) fn idle_time(&self) -> Duration {
        self.now().since(self.last_input)
    }

    /// Most connections of clients.
    pub(crate) fn connections_max(&self) -> usize {
        self.shared.connections_max
    }

    pub(crate) fn connection_count(&self, door: Door) -> usize {
        match door {
            Door::Clients => self.sockets.len() - self.operators,
            Door::Operators => self.operators,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether nothing is under way and every client has its last bytes.
    pub(crate) fn is_quiet(&self) -> bool {
        // Operators watch to the end.
        let is_over = |socket: &Rc<Socket>| socket.door() == Door::Operators && socket.is_idle();
        self.shard.is_quiet() && self.sockets.values().all(is_over) && !self.is_congested()
    }

    /// Takes a new connection and gives it a number.
    pub(crate) fn add_socket(&mut self, socket: impl FnOnce(u64) -> Socket) -> Rc<Socket> {
        let number = self.next_connection;
        self.next_connection += 1;
        self.traffic.connections += 1;
        let socket = Rc::new(socket(number));
        self.operators += usize::from(socket.door() == Door::Operators);
        self.sockets.insert(number, socket.clone());
        socket
    }

    /// The connection is gone.
    pub(crate) fn remove_socket(&mut self, number: u64) {
        if let Some(socket) = self.sockets.remove(&number) {
            self.operators -= usize::from(socket.door() == Door::Operators);
            self.take(Input::Closed { connection: number });
            self.flush();
        }
    }

    /// Where a session opened by this request lives.
    pub(crate) fn home_for(&self, request: &api::http::Request) -> ShardId {
        match self.shared.config.placement.sessions {
            Sessions::Spread if request.websocket => {
                let turn = self.shared.sessions.fetch_add(1, Ordering::Relaxed);
                ShardId::nth(turn % self.backlog.len())
            }
            Sessions::Local | Sessions::Spread => self.id,
        }
    }

    /// Gives the shard an input. What follows from it is for `carry_out` and `flush`.
    pub(crate) fn take(&mut self, input: Input) {
        let now = self.clock.now();
        self.last_input = now.monotonic;
        self.shard.handle(input, now);
    }

    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        self.shared.metrics.core(self.id.index()).drain(); // known before any client hears of it
        self.take(Input::Drain);
        let mut sockets: Vec<_> = self.sockets.values().cloned().collect();
        sockets.sort_unstable_by_key(|socket| socket.number);
        for socket in sockets {
            if socket.door() == Door::Clients {
                socket.drain();
            }
        }
    }

    /// What is due each millisecond, and was at `due`.
    pub(crate) fn tick(&mut self, due: Instant) {
        let now = self.clock.now();
        let disk = match self.shared.store.pressure() {
            store::Pressure::None => Disk::Ready,
            store::Pressure::Behind => Disk::Behind,
            store::Pressure::Full => Disk::Full,
        };
        if std::mem::replace(&mut self.disk, disk) != disk {
            self.take(Input::Disk { disk });
        }
        if self.shard.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.take(Input::Timeout);
        }
        while let Some(number) = self.timers.pop(now.monotonic) {
            if let Some(socket) = self.sockets.get(&number)
                && let Some(next) = socket.expire(now.monotonic)
            {
                self.timers.set(next, number);
            }
        }
        self.flush();
        let metrics = self.shared.metrics.core(self.id.index());
        metrics.publish(&CoreFigures {
            shard: self.shard.figures(),
            traffic: &self.traffic,
            connections: self.sockets.len(),
            backlog: self.backlog.iter().map(VecDeque::len).sum(),
            is_draining: self.is_draining,
        });
        metrics.ticked(Tick { due, begun: now.monotonic, ended: self.now() });
    }

    /// Looks at the socket's deadline not later than `at`.
    pub(crate) fn set_timer(&mut self, at: Instant, socket: u64) {
        self.timers.set(at, socket);
    }

    /// Carries out all outputs. Bytes for sockets and messages for shards are gathered until
    /// `flush`.
    pub(crate) fn carry_out(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            self.carry_out_one(output);
        }
    }

    /// Writes once to each socket and wakes each shard once.
    pub(crate) fn flush(&mut self) {
        self.carry_out();
        self.retry_backlog();
        if !self.dirty.is_empty() || !self.done.is_empty() {
            let now = self.now();
            self.tell_done(now);
            for socket in self.dirty.drain(..) {
                if let Some(deadline) = socket.flush(now, &mut self.traffic.sent_bytes) {
                    self.timers.set(deadline, socket.number);
                }
            }
        }
        for (shard, woken) in self.woken.iter_mut().enumerate() {
            if std::mem::take(woken) {
                mailbox(&self.shared.bus, ShardId::nth(shard)).wake();
            }
        }
    }

    /// Counts, logs and traces the requests that are over.
    fn tell_done(&mut self, now: Instant) {
        let metrics = self.shared.metrics.core(self.id.index());
        for done in self.done.drain(..) {
            metrics.done(&done, now);
            if tracing::enabled!(tracing::Level::DEBUG) {
                tracing::debug!(
                    request = request_id(self.id, done.number),
                    operation = done.operation.map_or("unknown", |row| row.name),
                    code = metrics::code_name(done.outcome),
                    micros = now.since(done.begun).as_micros() as u64,
                    "request over"
                );
            }
            // Guessing leaves a trace, if not in the audit trail; a lock-out bounds it.
            let is_wrong = done.outcome == Err(Code::Unauthenticated);
            if is_wrong && done.operation.is_some_and(is_operator_sign_in) {
                let request = request_id(self.id, done.number);
                let code = metrics::code_name(done.outcome);
                tracing::warn!(request, code, "an operator's sign-in was refused");
            }
            if let Some(trace) = &done.trace {
                let spans = self.spans.of_request(&done, trace, self.clock.now());
                self.shared.sidecar.export(spans);
            }
        }
    }

    fn carry_out_one(&mut self, output: Output) {
        match output {
            Output::Respond { connection, response } => {
                self.with_socket(connection, |socket| socket.respond(&response));
            }
            Output::Upgrade { connection } => self.with_socket(connection, Socket::upgrade),
            Output::Send { connection, text } => {
                self.traffic.sent_messages += 1;
                self.with_socket(connection, |socket| socket.send(&text));
            }
            Output::Ping { connection } => self.with_socket(connection, Socket::ping),
            Output::Close { connection, code, reason } => {
                self.with_socket(connection, |socket| socket.close(code, reason));
            }
            Output::Flow { connection, read } => {
                self.with_socket(connection, |socket| socket.set_paused(!read));
            }
            Output::Bus { to, message } => self.send(to, message),
            Output::Commit { batch, frames, holders } => {
                let commit = store::Commit { batch, frames, holders };
                if let Err(refused) = self.shared.store.commit(commit) {
                    report_store("a commit", matches!(refused, store::Refused::Full(_)));
                }
            }
            Output::Load { table, key, at_least } => {
                let load = store::Load { shard: self.id, table, key, at_least };
                if let Err(refused) = self.shared.store.load(load) {
                    report_store("a load", matches!(refused, store::Refused::Full(_)));
                }
            }
            Output::Scan { range, at_least } => {
                let scan = store::Scan { shard: self.id, range, at_least };
                if let Err(refused) = self.shared.store.scan(scan) {
                    report_store("a scan", matches!(refused, store::Refused::Full(_)));
                }
            }
            Output::Hook(call) => {
                // No hook is registered, so no shard asks for one.
                tracing::error!(operation = call.operation, "a hook without a script");
            }
            Output::Password { call, door, work } => {
                if !self.shared.passwords.submit(self.id, call, door, work) {
                    let outcome = shard::PasswordOutcome::Busy;
                    self.mail_to_self(Input::Password { call, outcome });
                }
            }
            Output::Proof { call, proof } => {
                let (bus, id) = (self.shared.bus.clone(), self.id);
                self.shared.sidecar.verify(proof, move |outcome| {
                    let input = Input::Proof { call, outcome };
                    mailbox(&bus, id).send_always(Mail::Input(input));
                });
            }
            // Whoever asks this is not kept waiting by those who ask for more.
            Output::Report { call, report: Report::Ready } => {
                let outcome = reporter::readiness(&self.shared);
                self.mail_to_self(Input::Reported { call, outcome });
            }
            Output::Report { call, report } => {
                let job = reporter::Job { shard: self.id, call, report };
                if self.shared.reports.try_send(job).is_err() {
                    self.mail_to_self(Input::Reported { call, outcome: Err(reporter::busy()) });
                }
            }
            Output::Called { call, .. } => {
                // No server code is there, so nobody has called.
                tracing::error!(call, "an answer to a call that nobody made");
            }
            Output::Deliver { message } => self.shared.sidecar.deliver(message),
            Output::DeliverEvent { key, message } => {
                let (bus, shard) = (self.shared.bus.clone(), self.id);
                let id: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                self.shared.sidecar.deliver_named(id, message, move |is_taken| {
                    let input = Input::Delivered { key, is_taken };
                    mailbox(&bus, shard).send_always(Mail::Input(input));
                });
            }
            Output::Done(done) => self.done.push(done),
            Output::MatchOver { id, begun, joins } => {
                let span = self.spans.of_match(id, begun, joins, self.clock.now());
                self.shared.sidecar.export(vec![span]);
            }
            Output::Damaged { table, task } => {
                self.traffic.damaged_records += 1;
                let request = request_id(task.shard, task.number);
                tracing::error!(request, table = table.0, "a stored record does not decode");
            }
        }
    }

    /// An input for the time when all outputs are carried out.
    fn mail_to_self(&self, input: Input) {
        mailbox(&self.shared.bus, self.id).send_always(Mail::Input(input));
    }

    fn with_socket(&mut self, connection: u64, act: impl FnOnce(&Socket)) {
        let Some(socket) = self.sockets.get(&connection).cloned() else { return };
        act(&socket);
        self.mark_dirty(&socket);
    }

    /// Has the socket written to at the next flush.
    pub(crate) fn mark_dirty(&mut self, socket: &Rc<Socket>) {
        if socket.mark_dirty() {
            self.dirty.push(socket.clone());
        }
    }

    // The bus. A full mailbox holds up this core's connections, not its shard.

    fn send(&mut self, to: ShardId, message: shard::Message) {
        let backlog = &mut self.backlog[to.index()];
        if !backlog.is_empty() {
            return backlog.push_back(message);
        }
        self.woken[to.index()] = true;
        if let Err(message) = mailbox(&self.shared.bus, to).send(message) {
            backlog.push_back(message);
        }
    }

    fn retry_backlog(&mut self) {
        let mut left = false;
        for (shard, backlog) in self.backlog.iter_mut().enumerate() {
            while let Some(message) = backlog.pop_front() {
                self.woken[shard] = true;
                if let Err(message) = mailbox(&self.shared.bus, ShardId::nth(shard)).send(message) {
                    backlog.push_front(message);
                    break;
                }
            }
            left |= !backlog.is_empty();
        }
        if !left {
            self.stalled.drain(..).for_each(|socket| socket.wake());
        }
    }

    /// Whether messages wait for another core, so that no new input should be read.
    pub(crate) fn is_congested(&self) -> bool {
        self.backlog.iter().any(|backlog| !backlog.is_empty())
    }

    /// Wakes the socket when there is no backlog any more.
    pub(crate) fn stall(&mut self, socket: Rc<Socket>) {
        self.stalled.push(socket);
    }
}

fn is_operator_sign_in(row: &Operation) -> bool {
    row.auth == Auth::Operators && row.rate == Rate::Password
}

fn edges(config: &Config) -> [Rc<Edge>; 2] {
    [Door::Clients, Door::Operators].map(|door| Rc::new(Edge::new(config, door)))
}

/// The queues of the store hold more than all shards may have under way: a full one is a bug, and
/// an answer that never comes is worse than a restart. A stopped store has reported its fault
/// itself.
fn report_store(what: &str, is_full: bool) {
    assert!(!is_full, "the store's queue has no room for {what}");
}
