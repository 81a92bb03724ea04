//! The thread that tells what the process knows of itself. Reports are long, and no core waits for
//! them to be written.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use api::Error;
use api::console::Report;
use api::reply::Reply;
use base::json::{self, Object};
use base::limits::REPORTS_MAX;
use base::{Code, ShardId, UnixTime};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::bus::{Mail, mailbox};
use crate::process::Shared;

/// How long one answer to a scrape serves all who ask.
const SCRAPE_LIFE: Duration = Duration::from_millis(100);

/// A report that a shard's task waits for.
#[derive(Debug)]
pub(crate) struct Job {
    pub shard: ShardId,
    pub call: u64,
    pub report: Report,
}

/// The way in, and the thread's end of it.
pub(crate) fn queue() -> (Sender<Job>, Receiver<Job>) {
    bounded(REPORTS_MAX)
}

pub(crate) fn start(shared: Arc<Shared>, jobs: Receiver<Job>) -> std::io::Result<()> {
    let run = move || {
        let mut scraped: Option<(Instant, Arc<str>)> = None;
        for Job { shard, call, report } in jobs {
            let kept = scraped.take().filter(|(at, _)| at.elapsed() < SCRAPE_LIFE);
            let outcome = match (&report, &kept) {
                (Report::Metrics, Some((_, text))) => Ok(Reply::Metrics { text: text.clone() }),
                _ => answer(&shared, report),
            };
            scraped = match (&outcome, kept) {
                (Ok(Reply::Metrics { text }), None) => Some((Instant::now(), text.clone())),
                (_, kept) => kept,
            };
            let input = shard::Input::Reported { call, outcome };
            mailbox(&shared.bus, shard).send_always(Mail::Input(input));
        }
    };
    std::thread::Builder::new().name("reporter".into()).spawn(run)?;
    Ok(())
}

/// What is said when too many wait.
pub(crate) fn busy() -> Error {
    Error::exhausted("Too many reports are under way.")
}

/// Whether clients should be sent here.
pub(crate) fn readiness(shared: &Shared) -> Result<Reply, Error> {
    match shared.metrics.unready() {
        None => Ok(Reply::Empty),
        Some(why) => Err(Error::new(Code::Unavailable, why)),
    }
}

fn answer(shared: &Shared, report: Report) -> Result<Reply, Error> {
    match report {
        Report::Ready => readiness(shared),
        Report::Metrics => Ok(Reply::Metrics { text: crate::metrics::text(shared).into() }),
        Report::Config => document(|o| {
            let shown = shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
            o.text("config", &shown.text);
            o.list("warnings", &shown.default_keys, |key, o| {
                o.text("field", key);
                o.text("message", "Everybody knows this default.");
            });
            o.text("server_version", env!("CARGO_PKG_VERSION"));
        }),
        Report::Backup => Ok(Reply::Document { json: shared.backups.status().into() }),
        Report::StartBackup(name) => {
            shared.backups.start(&name).map(|json| Reply::Document { json: json.into() })
        }
        Report::Status => document(|o| o.list("nodes", [shared], status)),
    }
}

/// The node's figures, named as in Nakama where it has them.
fn status(shared: &Shared, o: &mut Object<'_>) {
    let metrics = &shared.metrics;
    o.text("name", &shared.config.name);
    o.int32("health", i32::from(metrics.unready().is_some()));
    for (name, figure) in [
        ("session_count", "ringmaster_sessions"),
        ("match_count", "ringmaster_matches"),
        ("party_count", "ringmaster_parties"),
        ("ticket_count", "ringmaster_tickets"),
        ("connection_count", "ringmaster_connections"),
    ] {
        o.raw(name, &metrics.sum(figure).to_string());
    }
    o.raw("shard_count", &shared.bus.len().to_string());
    let started = metrics.started().duration_since(UNIX_EPOCH).unwrap_or_default();
    o.shown("create_time", UnixTime::from_secs(started.as_secs()));
}

fn document(fill: impl FnOnce(&mut Object<'_>)) -> Result<Reply, Error> {
    Ok(Reply::Document { json: json::object(fill).into() })
}
