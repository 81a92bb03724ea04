//! The queue of spans, and the task that brings them to the collector.
//!
//! Source of what is tried again and when: OpenTelemetry Protocol Specification, section
//! "OTLP/HTTP Response", <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>. A collector
//! that took a batch but whose answer was lost gets it twice.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use base::Rng;
use base::json::Json;
use hyper::body::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Throttle};
use crate::fetch::{Answer, Fault, Fetcher};
use crate::json::{member, number, text};
use crate::limits::{
    BACKOFF_MIN_MS, BATCH_PAUSE, BATCH_SPANS_MAX, EXPORT_MAX, FLUSH_MAX, RETRIES_MAX,
    RETRY_AFTER_MAX, SPANS_MAX, WARNING_PAUSE,
};
use crate::trace::target::Target;
use crate::trace::{Span, TraceFigures};

/// The way in of spans, for any thread.
#[derive(Clone)]
pub(crate) struct Outlet {
    parcels: mpsc::UnboundedSender<Vec<Span>>,
    account: Arc<Account>,
}

/// What became of all spans.
///
/// Invariant: at most [`SPANS_MAX`] are under way, so that the queue is bounded.
#[derive(Default)]
struct Account {
    under_way: AtomicUsize,
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// The other end of the queue. Lives on the thread of the sidecar.
pub(crate) struct Exporter {
    parcels: mpsc::UnboundedReceiver<Vec<Span>>,
    account: Arc<Account>,
    /// What was taken from the queue. A batch stays here until it is settled.
    pending: Vec<Span>,
    target: Target,
    fetcher: Fetcher,
    rng: Rng,
    clock: Clock,
    warnings: Throttle,
    /// How many had been dropped at the last warning.
    dropped: u64,
}

/// What an answer means for a batch.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// So many of its spans were taken.
    Taken(usize),
    /// It may be taken later, after this time if the collector says so.
    Again(Option<Duration>),
    Lost,
}

/// Both ends of a queue. Fails if the system gives no randomness.
pub(crate) fn queue(target: Target, fetcher: Fetcher) -> io::Result<(Outlet, Exporter)> {
    let mut seed = [0; 32];
    let filled = SystemRandom::new().fill(&mut seed);
    filled.map_err(|_| io::Error::other("the system gives no randomness"))?;
    let (sender, parcels) = mpsc::unbounded_channel();
    let account = Arc::<Account>::default();
    let outlet = Outlet { parcels: sender, account: Arc::clone(&account) };
    let exporter = Exporter {
        parcels,
        account,
        pending: Vec::new(),
        target,
        fetcher,
        rng: Rng::from_seed(seed),
        clock: Clock::start(),
        warnings: Throttle::default(),
        dropped: 0,
    };
    Ok((outlet, exporter))
}

impl Outlet {
    pub(crate) fn export(&self, mut spans: Vec<Span>) {
        let Account { under_way, dropped, .. } = &*self.account;
        let wanted = spans.len();
        let room = |under_way: usize| wanted.min(SPANS_MAX - under_way);
        let before = under_way.fetch_update(Relaxed, Relaxed, |n| Some(n + room(n)));
        let count = before.map_or(0, room);
        dropped.fetch_add((wanted - count) as u64, Relaxed);
        if count == 0 {
            return;
        }
        spans.truncate(count);
        spans.shrink_to_fit();
        spans.iter_mut().for_each(Span::cut);
        if self.parcels.send(spans).is_err() {
            dropped.fetch_add(count as u64, Relaxed);
            under_way.fetch_sub(count, Relaxed);
        }
    }

    pub(crate) fn figures(&self) -> TraceFigures {
        let Account { exported, dropped, failed, .. } = &*self.account;
        TraceFigures {
            exported: exported.load(Relaxed),
            dropped: dropped.load(Relaxed),
            failed: failed.load(Relaxed),
        }
    }
}

impl Exporter {
    /// Sends batch after batch, until the other end of `stop` is dropped. What waits then is sent
    /// too, if that takes no longer than [`FLUSH_MAX`].
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<()>) {
        let mut stopped = stop.clone();
        let out_of_time = async {
            let _ = stopped.changed().await;
            sleep(FLUSH_MAX).await;
        };
        let work = async {
            while self.gather(&mut stop).await {
                self.deliver(&mut stop).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = out_of_time => {}
        }
        self.parcels.close();
        while let Ok(parcel) = self.parcels.try_recv() {
            self.pending.extend(parcel);
        }
        self.settle(self.pending.len(), 0, None);
    }

    /// Waits until a batch is full, or old enough. False: there will be none any more.
    async fn gather(&mut self, stop: &mut watch::Receiver<()>) -> bool {
        if self.pending.is_empty() && !self.take(stop).await {
            return false;
        }
        let mut old_enough = pin!(sleep(BATCH_PAUSE));
        while self.pending.len() < BATCH_SPANS_MAX {
            tokio::select! {
                biased;
                more = self.take(stop) => if !more { break },
                () = &mut old_enough => break,
            }
        }
        true
    }

    /// Waits for spans in the queue. False: it is empty and the sidecar stops.
    async fn take(&mut self, stop: &mut watch::Receiver<()>) -> bool {
        let parcel = tokio::select! {
            biased;
            parcel = self.parcels.recv() => parcel,
            _ = stop.changed() => {
                self.parcels.close();
                self.parcels.recv().await
            }
        };
        let Some(parcel) = parcel else {
            return false;
        };
        self.pending.extend(parcel);
        true
    }

    /// Sends one batch, several times if need be.
    async fn deliver(&mut self, stop: &mut watch::Receiver<()>) {
        let count = self.pending.len().min(BATCH_SPANS_MAX);
        let body = Bytes::from(self.target.frame.encode(&self.pending[..count]));
        let mut retries = 0;
        loop {
            let Target { url, headers, .. } = &self.target;
            let answer = timeout(EXPORT_MAX, self.fetcher.post(url, headers, body.clone())).await;
            let answer = answer.unwrap_or(Err(Fault::Unreachable));
            let status = answer.as_ref().ok().map(|answer| answer.status);
            let is_last = retries == RETRIES_MAX || stop.has_changed().is_err();
            match judge(&answer, count) {
                Verdict::Taken(taken) => return self.settle(count, taken, status),
                Verdict::Again(after) if !is_last => {
                    let pause = after.unwrap_or_else(|| backoff(retries, &mut self.rng));
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = stop.changed() => {}
                    }
                    retries += 1;
                }
                Verdict::Again(_) | Verdict::Lost => return self.settle(count, 0, status),
            }
        }
    }

    /// Notes what became of the first so many pending spans.
    fn settle(&mut self, count: usize, taken: usize, status: Option<u16>) {
        let Account { under_way, exported, dropped, failed } = &*self.account;
        self.pending.drain(..count);
        exported.fetch_add(taken as u64, Relaxed);
        failed.fetch_add((count - taken) as u64, Relaxed);
        under_way.fetch_sub(count, Relaxed);
        let (failed, dropped) = (failed.load(Relaxed), dropped.load(Relaxed));
        let is_lossy = taken < count || dropped > self.dropped;
        if is_lossy && self.warnings.admit(self.clock.now().monotonic, WARNING_PAUSE) {
            self.dropped = dropped;
            let host = self.target.url.host();
            tracing::warn!(
                host,
                status,
                failed,
                dropped,
                "spans are lost: the collector of traces does not take them, or too slowly"
            );
        }
    }
}

fn judge(answer: &Result<Answer, Fault>, count: usize) -> Verdict {
    match answer {
        Ok(answer) => match answer.status {
            200..=299 => Verdict::Taken(count - rejected(&answer.body).min(count)),
            429 | 502..=504 => {
                Verdict::Again(answer.retry_after.map(|after| after.min(RETRY_AFTER_MAX)))
            }
            _ => Verdict::Lost,
        },
        Err(Fault::Unreachable) => Verdict::Again(None),
        Err(Fault::Body) => Verdict::Lost, // or taken: nobody knows
    }
}

/// How many spans of a batch the collector did not want, by the body of its answer.
fn rejected(body: &[u8]) -> usize {
    let Ok(answer) = Json::parse(body) else {
        return 0;
    };
    let Some(partial) = member(&answer, "partialSuccess") else {
        return 0;
    };
    let rejected = number(partial, "rejectedSpans")
        .or_else(|| text(partial, "rejectedSpans").and_then(|text| text.parse().ok()));
    // None of a negative number, all of one that is too large.
    rejected.map_or(0, |rejected| usize::try_from(rejected.max(0)).unwrap_or(usize::MAX))
}

/// The time before a retry, counted from zero: between half of a doubling time and all of it.
fn backoff(retry: u32, rng: &mut Rng) -> Duration {
    let half = (BACKOFF_MIN_MS << retry) / 2;
    Duration::from_millis((half + rng.below(half + 1)).into())
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::time::Instant;

    use super::*;
    use crate::settings::Traces;
    use crate::trace::tests::example;

    /// With a collector that is not there.
    fn start() -> (Outlet, Exporter) {
        // A port that was free a moment ago and that nobody listens on.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", free.local_addr().unwrap());
        let target = Target::read(&Traces { endpoint, ..Traces::default() }).unwrap();
        queue(target, Fetcher::new()).unwrap()
    }

    fn spans(count: usize) -> Vec<Span> {
        vec![example(); count]
    }

    /// Runs where time passes only when nothing else can happen.
    fn run(test: impl Future<Output = ()>) {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    fn answer(status: u16, body: &str, retry_after: Option<u64>) -> Result<Answer, Fault> {
        let retry_after = retry_after.map(Duration::from_secs);
        Ok(Answer { status, body: body.to_owned().into(), max_age: None, retry_after })
    }

    #[test]
    fn a_batch_leaves_when_it_is_full_or_a_second_old() {
        run(async {
            let (outlet, mut exporter) = start();
            let (_stop, mut stopping) = watch::channel(());
            let begun = Instant::now();
            outlet.export(spans(1));
            outlet.export(spans(2));
            assert!(exporter.gather(&mut stopping).await);
            assert_eq!((exporter.pending.len(), begun.elapsed()), (3, BATCH_PAUSE));
            outlet.export(spans(BATCH_SPANS_MAX - 3));
            outlet.export(spans(1));
            assert!(exporter.gather(&mut stopping).await);
            assert_eq!(exporter.pending.len(), BATCH_SPANS_MAX);
            assert_eq!(begun.elapsed(), BATCH_PAUSE);
        });
    }

    #[test]
    fn what_waits_when_the_sidecar_stops_leaves_at_once() {
        run(async {
            let (outlet, mut exporter) = start();
            let (stop, mut stopping) = watch::channel(());
            let begun = Instant::now();
            outlet.export(spans(1));
            drop(stop);
            assert!(exporter.gather(&mut stopping).await);
            assert_eq!((exporter.pending.len(), begun.elapsed()), (1, Duration::ZERO));
            exporter.settle(1, 1, None);
            assert!(!exporter.gather(&mut stopping).await);
            outlet.export(spans(2));
            assert_eq!(outlet.figures(), TraceFigures { exported: 1, dropped: 2, failed: 0 });
        });
    }

    #[test]
    fn the_queue_is_bounded_until_spans_are_settled() {
        let (outlet, mut exporter) = start();
        let figures = |exported, dropped, failed| {
            assert_eq!(outlet.figures(), TraceFigures { exported, dropped, failed });
        };
        outlet.export(Vec::new());
        outlet.export(spans(SPANS_MAX - 1));
        figures(0, 0, 0);
        outlet.export(spans(3));
        outlet.export(spans(1));
        figures(0, 3, 0);
        let mut parcels = Vec::new();
        while let Ok(parcel) = exporter.parcels.try_recv() {
            parcels.push(parcel.len());
            exporter.pending.extend(parcel);
        }
        assert_eq!(parcels, [SPANS_MAX - 1, 1]);
        outlet.export(spans(1));
        figures(0, 4, 0);
        exporter.settle(2, 1, None);
        figures(1, 4, 1);
        outlet.export(spans(3));
        figures(1, 5, 1);
        drop(exporter);
        outlet.export(spans(1));
        figures(1, 6, 1);
    }

    #[test]
    fn what_may_be_taken_later_is_sent_again_and_nothing_else() {
        let lost = Verdict::Lost;
        assert_eq!(judge(&answer(200, "", None), 5), Verdict::Taken(5));
        assert_eq!(judge(&answer(202, "{}", None), 5), Verdict::Taken(5));
        for status in [429, 502, 503, 504] {
            assert_eq!(judge(&answer(status, "", None), 5), Verdict::Again(None));
            let after = Some(Duration::from_secs(7));
            assert_eq!(judge(&answer(status, "", Some(7)), 5), Verdict::Again(after));
        }
        for status in [302, 400, 401, 404, 408, 413, 500, 501, 505] {
            assert_eq!(judge(&answer(status, "", Some(7)), 5), lost, "{status}");
        }
        assert_eq!(judge(&Err(Fault::Unreachable), 5), Verdict::Again(None));
        assert_eq!(judge(&Err(Fault::Body), 5), lost);
    }

    #[test]
    fn a_collector_that_waits_long_is_asked_again_before() {
        let after = answer(503, "", Some(100_000));
        assert_eq!(judge(&after, 5), Verdict::Again(Some(RETRY_AFTER_MAX)));
    }

    #[test]
    fn a_part_of_a_batch_may_be_rejected() {
        for (body, taken) in [
            (r#"{"partialSuccess":{}}"#, 5),
            (r#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":"m"}}"#, 5),
            (r#"{"partialSuccess":{"rejectedSpans":"2"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":"-2"}}"#, 5),
            (r#"{"partialSuccess":{"rejectedSpans":"99999999999999999999999"}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"many"}}"#, 5),
            ("<html>", 5),
        ] {
            assert_eq!(judge(&answer(200, body, None), 5), Verdict::Taken(taken), "{body}");
        }
    }

    #[test]
    fn retries_come_slower_and_slower_and_not_in_step() {
        let mut rng = Rng::from_seed([7; 32]);
        for retry in 0..RETRIES_MAX {
            let full = Duration::from_millis((BACKOFF_MIN_MS << retry).into());
            let pauses: Vec<_> = (0..100).map(|_| backoff(retry, &mut rng)).collect();
            assert!(pauses.iter().all(|pause| (full / 2..=full).contains(pause)));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }

    #[test]
    fn a_batch_is_given_up_after_its_retries() {
        run(async {
            let (outlet, mut exporter) = start();
            let (_stop, mut stopping) = watch::channel(());
            outlet.export(spans(2));
            assert!(exporter.gather(&mut stopping).await);
            let begun = Instant::now();
            exporter.deliver(&mut stopping).await;
            assert_eq!(outlet.figures(), TraceFigures { exported: 0, dropped: 0, failed: 2 });
            let pauses: u32 = (0..RETRIES_MAX).map(|retry| BACKOFF_MIN_MS << retry).sum();
            let pauses = Duration::from_millis(pauses.into());
            let tries = EXPORT_MAX * (RETRIES_MAX + 1);
            assert!((pauses / 2..=pauses + tries).contains(&begun.elapsed()));
        });
    }
}
