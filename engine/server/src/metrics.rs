//! What a core counts and measures, and what the process tells of it.
//!
//! Each core writes its own numbers, most of them once a tick. Whoever asks reads them from a
//! thread beside the cores: a scrape costs the shards nothing.

mod families;
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::time::{Duration, SystemTime};

use api::ops::{OPERATIONS, Operation, Rate};
use base::{Code, Instant};
use metrics::{Bounds, Counter, Gauge, Histogram, Padded};
use shard::{Done, Figures};

pub(crate) use text::text;

use families::CORE;

/// Values of the `code` label: success, and every code.
const CODES: usize = Code::ALL.len() + 1;
/// Rows of the operation table, and requests that match none.
const ROWS: usize = OPERATIONS.len() + 1;

/// A core whose newest tick ended so long ago stands still.
const STILL: Duration = Duration::from_secs(2);

/// What a process tells of itself.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Where every core's clock begins.
    pub start: std::time::Instant,
    started: SystemTime,
    incarnation: u32,
    cores: Box<[Padded<Core>]>,
}

/// What one core writes. Any thread reads it.
#[derive(Debug)]
pub(crate) struct Core {
    requests: Box<[[Counter; CODES]; ROWS]>,
    seconds: Box<[Histogram]>,
    tick: Histogram,
    tick_late: Histogram,
    /// When the newest tick ended, on the clock of all cores. Zero: there was none.
    ticked: Gauge,
    is_draining: Gauge,
    /// In the order of [`CORE`].
    figures: [Gauge; CORE.len()],
    address_refusals: [Counter; Rate::ALL.len()],
    user_refusals: [Counter; Rate::ALL.len()],
}

/// What a core publishes at its tick.
pub(crate) struct CoreFigures<'a> {
    pub shard: Figures,
    pub traffic: &'a Traffic,
    pub connections: usize,
    pub backlog: usize,
    pub is_draining: bool,
}

/// What a core has seen pass since its start.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub connections: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub received_messages: u64,
    pub sent_messages: u64,
    pub damaged_records: u64,
}

/// When a tick was due, when it came, and when it was over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub due: Instant,
    pub begun: Instant,
    pub ended: Instant,
}

impl Metrics {
    pub(crate) fn new(cores: usize, incarnation: u32) -> Metrics {
        Metrics {
            start: std::time::Instant::now(),
            started: SystemTime::now(),
            incarnation,
            cores: (0..cores).map(|_| Padded(Core::new())).collect(),
        }
    }

    pub(crate) fn core(&self, index: usize) -> &Core {
        &self.cores[index]
    }
}

impl Metrics {
    /// Why no clients should be sent here, if they should not.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        let is_still = |core: &Padded<Core>| {
            let age =
                self.start.elapsed().saturating_sub(Duration::from_nanos(core.ticked.value()));
            core.ticked.value() == 0 || age > STILL
        };
        if self.cores.iter().any(|core| core.is_draining.value() > 0) {
            Some("The server is shutting down.")
        } else if self.cores.iter().any(is_still) {
            Some("A core does not run.")
        } else {
            None
        }
    }

    /// The sum over all cores of what they publish under this name.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let place = CORE.iter().position(|row| row.family.name == name);
        let figure = |core: &Padded<Core>| place.map_or(0, |place| core.figures[place].value());
        self.cores.iter().map(figure).sum()
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }
}

impl Core {
    fn new() -> Core {
        let requests = std::array::from_fn(|_| std::array::from_fn(|_| Counter::default()));
        let seconds = || Histogram::new(&Bounds::SECONDS);
        Core {
            requests: Box::new(requests),
            seconds: (0..ROWS).map(|_| seconds()).collect(),
            tick: seconds(),
            tick_late: seconds(),
            ticked: Gauge::default(),
            is_draining: Gauge::default(),
            figures: Default::default(),
            address_refusals: Default::default(),
            user_refusals: Default::default(),
        }
    }

    /// Counts a request whose reply is handed to its socket at `now`.
    pub(crate) fn done(&self, done: &Done, now: Instant) {
        let row = done.operation.map_or(OPERATIONS.len(), Operation::index);
        let code = done.outcome.map_or_else(|code| usize::from(code.number()), |()| 0);
        self.requests[row][code].add(1);
        self.seconds[row].record(nanos(now.since(done.begun)));
    }

    /// Counts a tick.
    pub(crate) fn ticked(&self, tick: Tick) {
        self.tick.record(nanos(tick.ended.since(tick.begun)));
        self.tick_late.record(nanos(tick.begun.since(tick.due)));
        self.ticked.set(tick.ended.0);
    }

    /// The core takes no new work from here on.
    pub(crate) fn drain(&self) {
        self.is_draining.set(1);
    }

    pub(crate) fn publish(&self, figures: &CoreFigures<'_>) {
        self.is_draining.set(u64::from(figures.is_draining));
        for (gauge, row) in self.figures.iter().zip(&CORE) {
            gauge.set((row.read)(figures));
        }
        let rates = &figures.shard.rates;
        for (counter, total) in self.address_refusals.iter().zip(rates.address_refusals) {
            counter.publish(total);
        }
        for (counter, total) in self.user_refusals.iter().zip(rates.user_refusals) {
            counter.publish(total);
        }
    }
}

/// How an outcome is named in metrics, logs and traces.
pub(crate) fn code_name(outcome: Result<(), Code>) -> String {
    outcome.map_or_else(|code| format!("{code:?}"), |()| "OK".to_owned())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
