//! The way out: HTTPS towards the providers of social sign-in, and towards a collector of traces.
//!
//! # Purpose
//! Says whose a proof of social sign-in is, by asking its provider or by checking its signature
//! with the provider's published keys. Brings spans to a collector of traces that speaks OTLP, and
//! messages to a webhook, if the settings name one.
//!
//! # Owns
//! The thread `sidecar` with a small runtime, its few helpers that look up names, the connections
//! to providers and the collector, what is known of the providers' keys and certificates, and the
//! queue of spans.
//!
//! # Invariants
//! - Every proof is answered once, within the deadline of the settings.
//! - At most [`PROOFS_MAX`] proofs of each provider are under way, and at most [`SPANS_MAX`] spans.
//! - Every span is exported, dropped or failed, and counted as that.
//! - At most [`DELIVERIES_MAX`] messages to the webhook are under way.
//! - An address is asked over https only, but for this machine's own and the collector's; a
//!   redirection is never followed; an answer is read up to a limit.
//! - A profile is given only for what a provider said, or for a signature by a key that came from
//!   the provider's own address.
//! - Providers that hang hinder no other provider, and a collector that hangs hinders none.
//!
//! # Never
//! Blocks a caller; shows a token, a key, a header of the settings or an address with one, in a log
//! or an error; keeps a proof after its answer; knows an account; waits for a collector when it
//! ends, but for a short time. No other crate names hyper.

mod certificate;
mod clock;
mod fetch;
mod json;
mod jwk;
mod jwt;
mod keys;
mod limits;
mod provider;
mod settings;
#[cfg(test)]
mod tests;
mod trace;
mod url;
mod verify;
mod webhook;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use domain::identity::alias::Kind;
use domain::identity::provider::{Profile, Proof, Refusal};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub use limits::{ATTRIBUTES_MAX, DELIVERIES_MAX, PROOFS_MAX, SPAN_TEXT_BYTES_MAX, SPANS_MAX};
pub use settings::{
    Apple, Facebook, FacebookInstantGame, FacebookLimitedLogin, GameCenter, Google, Issuer,
    Settings, Steam, Traces, Webhook,
};
pub use trace::{Span, SpanKind, TraceFigures, Value};
pub use webhook::WebhookFigures;

use crate::fetch::Fetcher;
use crate::limits::RESOLVERS_MAX;
use crate::trace::export::{Exporter, Outlet};
use crate::trace::target::Target;
use crate::verify::{Verifier, invalid};
use crate::webhook::{Outbox, Postman};

/// The running thread. Dropping it takes nothing more, sends the spans that wait if a collector
/// takes them within two seconds, answers what is still under way with `Unavailable`, and ends it.
#[derive(Debug)]
pub struct Sidecar {
    handle: Handle,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// The way in, for any thread.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::UnboundedSender<Job>,
    /// Bounds the queue, which grows as it fills.
    /// By provider: one that hangs fills its own.
    places: Arc<BTreeMap<Kind, Arc<Semaphore>>>,
    /// There if there is a collector.
    spans: Option<Outlet>,
    /// There if there is a webhook.
    outbox: Option<Outbox>,
}

struct Job {
    proof: Proof,
    answer: Answer,
    place: OwnedSemaphorePermit,
}

type Done = Box<dyn FnOnce(Result<Profile, Refusal>) + Send>;

/// Where a verdict goes. Lost on its way, whatever the reason, it says `Unavailable`.
struct Answer(Option<Done>);

impl Sidecar {
    /// Fails if the settings make no sense, or if the system gives no thread.
    pub fn start(mut settings: Settings) -> io::Result<Sidecar> {
        let fetcher = Fetcher::new();
        let target = settings.traces.take().map(|traces| Target::read(&traces)).transpose();
        let target = target.map_err(invalid)?;
        let ends =
            target.map(|target| trace::export::queue(target, fetcher.beside())).transpose()?;
        let (spans, exporter) = ends.unzip();
        let webhook = settings.webhook.take().map(|webhook| webhook::Target::read(&webhook));
        let webhook = webhook.transpose().map_err(invalid)?;
        let ends = webhook.map(|target| webhook::queue(target, fetcher.beside())).transpose()?;
        let (outbox, postman) = ends.unzip();
        let verifier = Arc::new(Verifier::new(settings, &fetcher)?);
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(RESOLVERS_MAX)
            .thread_name("sidecar-name")
            .build()?;
        let (jobs, queue) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("sidecar".into())
            .spawn(move || run(runtime, &verifier, queue, (exporter, postman), stopped))?;
        let places = Kind::CREDENTIALS.map(|kind| (kind, Arc::new(Semaphore::new(PROOFS_MAX))));
        let handle = Handle { jobs, places: Arc::new(BTreeMap::from(places)), spans, outbox };
        Ok(Sidecar { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the panic hook, and answers were given all the same.
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Has a proof looked at and `done` called with the verdict, once: on the thread of the
    /// sidecar, or at once on the caller's if there is no room or no sidecar any more. Never
    /// blocks, and neither should `done`.
    pub fn verify(
        &self,
        proof: Proof,
        done: impl FnOnce(Result<Profile, Refusal>) + Send + 'static,
    ) {
        let answer = Answer(Some(Box::new(done)));
        let place = self.places.get(&proof.kind()).cloned();
        let Some(Ok(place)) = place.map(Semaphore::try_acquire_owned) else {
            answer.give(Err(Refusal::Busy));
            return;
        };
        // A job that is not taken comes back and is dropped, which answers it.
        let _ = self.jobs.send(Job { proof, answer, place });
    }

    /// Has spans brought to the collector, as many of them as there is room for. Without one
    /// they go nowhere. Never blocks.
    pub fn export(&self, spans: Vec<Span>) {
        if let Some(outlet) = &self.spans {
            outlet.export(spans);
        }
    }

    /// Has the webhook told this JSON text, if there is one. Never blocks. What is not taken, again
    /// and again, or waits when the process ends, is lost.
    pub fn deliver(&self, message: String) {
        if let Some(outbox) = &self.outbox {
            outbox.post(message);
        }
    }

    /// The same under an id of its own, by which a receiver knows one that comes again. Tells
    /// whether it was taken.
    pub fn deliver_named(
        &self,
        id: String,
        message: String,
        told: impl FnOnce(bool) + Send + 'static,
    ) {
        match &self.outbox {
            Some(outbox) => outbox.post_named(id, message, Box::new(told)),
            None => told(false),
        }
    }

    /// What became of all messages to the webhook, for metrics.
    pub fn webhook_figures(&self) -> WebhookFigures {
        self.outbox.as_ref().map(Outbox::figures).unwrap_or_default()
    }

    /// What became of all spans that were to be exported, for metrics.
    pub fn trace_figures(&self) -> TraceFigures {
        self.spans.as_ref().map(Outlet::figures).unwrap_or_default()
    }
}

impl Handle {
    /// Proofs that are not answered yet.
    pub fn under_way(&self) -> usize {
        let free: usize = self.places.values().map(|places| places.available_permits()).sum();
        self.places.len() * PROOFS_MAX - free
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("under_way", &self.under_way()).finish()
    }
}

fn run(
    runtime: Runtime,
    verifier: &Arc<Verifier>,
    mut queue: mpsc::UnboundedReceiver<Job>,
    (exporter, postman): (Option<Exporter>, Option<Postman>),
    mut stopped: oneshot::Receiver<Infallible>,
) {
    runtime.block_on(async {
        let (stop, stopping) = watch::channel(());
        let exporter = exporter.map(|exporter| tokio::spawn(exporter.run(stopping)));
        if let Some(postman) = postman {
            tokio::spawn(postman.run());
        }
        loop {
            let job = tokio::select! {
                biased;
                _ = &mut stopped => break,
                job = queue.recv() => job,
            };
            let Some(job) = job else { break };
            tokio::spawn(job.run(Arc::clone(verifier)));
        }
        drop((queue, stop));
        if let Some(exporter) = exporter {
            // A panic has been reported by the panic hook.
            let _ = exporter.await;
        }
    });
    // A name that is being looked up would hold the runtime's end up.
    runtime.shutdown_background();
}

impl Job {
    async fn run(self, verifier: Arc<Verifier>) {
        let Job { proof, answer, place } = self;
        let verdict = verifier.verify(proof).await;
        drop(place); // whoever gets the answer finds the place free
        answer.give(verdict);
    }
}

impl Answer {
    fn give(mut self, verdict: Result<Profile, Refusal>) {
        if let Some(done) = self.0.take() {
            done(verdict);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Refusal::Unavailable));
        }
    }
}
