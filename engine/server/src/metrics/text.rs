//! The answer to a scrape.

use std::time::{Duration, UNIX_EPOCH};

use api::ops::{OPERATIONS, Rate};
use base::Code;
use metrics::{Bounds, Counter, Kind, Tally, Text};
use store::Pressure;

use super::families::{
    ALLOCATED, BUILD_INFO, CORE, CORE_ALLOCATED, CPU, DATA, DESCRIPTORS, DESCRIPTORS_MAX,
    DISK_FREE, DISK_SIZE, INCARNATION, MAILBOX, MEMORY_LIMIT, PASSWORD_QUEUE, PASSWORDS_REFUSED,
    PROOFS, RATE_LIMITED, READY, REQUEST_SECONDS, REQUESTS, RESIDENT, SPANS, START_TIME,
    STORE_APPLY_SECONDS, STORE_ARCHIVE_FAILS, STORE_BACKLOG, STORE_CHECKPOINT_SECONDS,
    STORE_COMMIT_QUEUE, STORE_COMMIT_SECONDS, STORE_ENTRY_BATCHES, STORE_ENTRY_BYTES,
    STORE_LOAD_QUEUE, STORE_LOAD_SECONDS, STORE_LOG, STORE_REFUSES, STORE_SYNC_SECONDS, TICK_AGE,
    TICK_LATE_SECONDS, TICK_SECONDS, WEBHOOK_MESSAGES,
};
use super::{CODES, Core, Metrics, ROWS, process};
use crate::allocator;
use crate::process::Shared;

/// The requests that match no operation.
const UNKNOWN: &str = "unknown";

/// Codes of our own faults, which alerts watch.
const FAULTS: [Code; 5] =
    [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable, Code::DataLoss];

/// All metrics in the text format of Prometheus, version 0.0.4. For a thread beside the cores: it
/// asks the system, which takes a while.
pub(crate) fn text(shared: &Shared) -> String {
    let mut text = Text::default();
    tell_process(&mut text, shared);
    tell_requests(&mut text, &shared.metrics);
    tell_beside(&mut text, shared);
    tell_store(&mut text, &shared.store);
    tell_cores(&mut text, shared);
    text.finish()
}

fn tell_process(text: &mut Text, shared: &Shared) {
    let metrics = &shared.metrics;
    text.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
    let started = metrics.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.measure(&START_TIME, &[], started.as_secs_f64());
    text.gauge(&INCARNATION, &[], u64::from(metrics.incarnation));
    text.gauge(&READY, &[], u64::from(metrics.unready().is_none()));
    if let Some(cpu) = process::cpu() {
        text.measure(&CPU, &["user"], cpu.user.as_secs_f64());
        text.measure(&CPU, &["system"], cpu.system.as_secs_f64());
    }
    let data = shared.config.data_dir.join(store::FILE_NAME).metadata();
    let disk = process::disk(&shared.config.data_dir);
    for (family, value) in [
        (&RESIDENT, process::resident()),
        (&MEMORY_LIMIT, process::memory_limit()),
        (&ALLOCATED, Some(allocator::all_in_use())),
        (&DESCRIPTORS, process::descriptors()),
        (&DESCRIPTORS_MAX, process::max_descriptors()),
        (&DATA, data.ok().map(|data| data.len())),
        (&DISK_FREE, disk.as_ref().map(|disk| disk.free)),
        (&DISK_SIZE, disk.as_ref().map(|disk| disk.size)),
    ] {
        if let Some(value) = value {
            text.gauge(family, &[], value);
        }
    }
}

/// Operations that were never called are left out, and so are codes that they never gave, save
/// those of our faults: a counter that begins above 0 hides from a rate what made it.
fn tell_requests(text: &mut Text, metrics: &Metrics) {
    let operation = |row: usize| OPERATIONS.get(row).map_or(UNKNOWN, |row| row.name);
    for row in 0..ROWS {
        let total = |number: usize| -> u64 {
            metrics.cores.iter().map(|core| core.requests[row][number].value()).sum()
        };
        let is_called = (0..CODES).any(|number| total(number) > 0);
        for (number, code) in [None].into_iter().chain(Code::ALL.map(Some)).enumerate() {
            let total = total(number);
            if total > 0 || is_called && code.is_some_and(|code| FAULTS.contains(&code)) {
                let code = code.map_or_else(|| "OK".to_owned(), |code| format!("{code:?}"));
                text.counter(&REQUESTS, &[operation(row), &code], total);
            }
        }
    }
    for row in 0..ROWS {
        let mut all = Tally::new(&Bounds::SECONDS);
        metrics.cores.iter().for_each(|core| all.add(&core.seconds[row].tally()));
        if all.count() > 0 {
            text.histogram(&REQUEST_SECONDS, &[operation(row)], &all);
        }
    }
    for class in Rate::ALL.into_iter().filter(|class| *class != Rate::Free) {
        let sum = |of: fn(&Core) -> &[Counter; Rate::ALL.len()]| -> u64 {
            metrics.cores.iter().map(|core| of(core)[class as usize].value()).sum()
        };
        text.counter(&RATE_LIMITED, &[class.name(), "address"], sum(|core| &core.address_refusals));
        text.counter(&RATE_LIMITED, &[class.name(), "user"], sum(|core| &core.user_refusals));
    }
}

fn tell_beside(text: &mut Text, shared: &Shared) {
    let passwords = shared.passwords.figures();
    for (work, figures) in &passwords {
        text.gauge(&PASSWORD_QUEUE, &[work], figures.waiting as u64);
    }
    for (work, figures) in &passwords {
        text.counter(&PASSWORDS_REFUSED, &[work], figures.refused);
    }
    text.gauge(&PROOFS, &[], shared.sidecar.under_way() as u64);
    let spans = shared.sidecar.trace_figures();
    text.counter(&SPANS, &["exported"], spans.exported);
    text.counter(&SPANS, &["dropped"], spans.dropped);
    text.counter(&SPANS, &["failed"], spans.failed);
    let webhook = shared.sidecar.webhook_figures();
    text.counter(&WEBHOOK_MESSAGES, &["delivered"], webhook.delivered);
    text.counter(&WEBHOOK_MESSAGES, &["failed"], webhook.failed);
}

fn tell_store(text: &mut Text, store: &store::Handle) {
    let stats = store.stats();
    text.histogram(&STORE_COMMIT_SECONDS, &[], &stats.commit_seconds());
    text.histogram(&STORE_SYNC_SECONDS, &[], &stats.sync_seconds());
    text.histogram(&STORE_ENTRY_BATCHES, &[], &stats.entry_batches());
    text.histogram(&STORE_ENTRY_BYTES, &[], &stats.entry_bytes());
    text.histogram(&STORE_APPLY_SECONDS, &[], &stats.apply_seconds());
    text.histogram(&STORE_CHECKPOINT_SECONDS, &[], &stats.checkpoint_seconds());
    text.gauge(&STORE_BACKLOG, &[], store.backlog_bytes());
    text.gauge(&STORE_LOG, &[], store.log_bytes());
    text.gauge(&STORE_ARCHIVE_FAILS, &[], u64::from(store.archive_fails()));
    let pressure = store.pressure();
    for (reason, is) in [("behind", Pressure::Behind), ("full", Pressure::Full)] {
        text.gauge(&STORE_REFUSES, &[reason], u64::from(pressure == is));
    }
    text.histogram(&STORE_LOAD_SECONDS, &[], &stats.load_seconds());
    text.gauge(&STORE_COMMIT_QUEUE, &[], store.queued_commits() as u64);
    text.gauge(&STORE_LOAD_QUEUE, &[], store.queued_loads() as u64);
}

fn tell_cores(text: &mut Text, shared: &Shared) {
    let metrics = &shared.metrics;
    let cores = || metrics.cores.iter().enumerate().map(|(index, core)| (index.to_string(), core));
    for (name, core) in cores() {
        text.histogram(&TICK_SECONDS, &[&name], &core.tick.tally());
    }
    for (name, core) in cores() {
        text.histogram(&TICK_LATE_SECONDS, &[&name], &core.tick_late.tally());
    }
    for (name, core) in cores() {
        let age = metrics.start.elapsed().saturating_sub(Duration::from_nanos(core.ticked.value()));
        text.measure(&TICK_AGE, &[&name], age.as_secs_f64());
    }
    for (index, mailbox) in shared.bus.iter().enumerate() {
        text.gauge(&MAILBOX, &[&index.to_string()], mailbox.depth() as u64);
    }
    let in_use = |core| {
        #[expect(clippy::cast_precision_loss, reason = "bytes in memory are far below 2^53")]
        let bytes = allocator::in_use(core) as f64;
        bytes
    };
    for (index, (name, _)) in cores().enumerate() {
        text.measure(&CORE_ALLOCATED, &[&name], in_use(Some(index)));
    }
    text.measure(&CORE_ALLOCATED, &["none"], in_use(None));
    for (row, at) in CORE.iter().zip(0..) {
        for (name, core) in cores() {
            let value = core.figures[at].value();
            match row.family.kind {
                Kind::Counter => text.counter(&row.family, &[&name], value),
                Kind::Gauge if row.family.name.ends_with("_seconds") => {
                    let value = Duration::from_nanos(value).as_secs_f64();
                    text.measure(&row.family, &[&name], value);
                }
                Kind::Gauge | Kind::Histogram => text.gauge(&row.family, &[&name], value),
            }
        }
    }
}
