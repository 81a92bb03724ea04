//! Documents that verifications share: a provider's key set, or a certificate, each of one URL.
//!
//! `Known` decides as a value; `Cache` does the IO. A request is made under the lock of its entry,
//! so all who need the document wait for one request, and look again when it is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use base::Instant;
use domain::identity::provider::Refusal;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::fetch::{Answer, Fetcher};
use crate::limits::{
    DOCUMENTS_MAX, FRESH_DEFAULT, FRESH_MAX, FRESH_MIN, RETRY_ABSENT_PAUSE, RETRY_STALE_PAUSE,
    UNKNOWN_KEY_PAUSE,
};
use crate::url::Url;

/// What is known of one document.
///
/// Invariants: a value that was there is only ever replaced by another; between two requests there
/// is the pause that their reason demands.
struct Known<T> {
    value: Option<Arc<T>>,
    /// When the value came, and until when it is fresh.
    learned: Instant,
    fresh_until: Instant,
    /// The last request, and the last one that had a value to replace.
    asked: Option<Instant>,
    asked_again: Option<Instant>,
    /// Whether the last request failed, or is under way.
    failed: bool,
}

enum Step<T> {
    Use(Arc<T>),
    Fetch,
    Refuse(Refusal),
}

impl<T> Known<T> {
    fn nothing() -> Known<T> {
        Known {
            value: None,
            learned: Instant::default(),
            fresh_until: Instant::default(),
            asked: None,
            asked_again: None,
            failed: false,
        }
    }

    /// What somebody does who needs a value that suits since `since`.
    fn step(&self, suits: impl Fn(&T) -> bool, since: Instant, now: Instant) -> Step<T> {
        let paused =
            |asked: Option<Instant>, pause| asked.is_some_and(|asked| now.since(asked) < pause);
        let Some(value) = &self.value else {
            let is_paused = paused(self.asked, RETRY_ABSENT_PAUSE);
            return if is_paused { Step::Refuse(Refusal::Unavailable) } else { Step::Fetch };
        };
        if now >= self.fresh_until && !paused(self.asked, RETRY_STALE_PAUSE) {
            return Step::Fetch;
        }
        let is_newer = self.learned > since;
        if suits(value) || is_newer || paused(self.asked_again, UNKNOWN_KEY_PAUSE) {
            return self.verdict(suits);
        }
        Step::Fetch
    }

    /// The answer without a further request.
    fn verdict(&self, suits: impl Fn(&T) -> bool) -> Step<T> {
        match &self.value {
            Some(value) if suits(value) => Step::Use(Arc::clone(value)),
            Some(_) if !self.failed => Step::Refuse(Refusal::Rejected),
            _ => Step::Refuse(Refusal::Unavailable),
        }
    }

    /// Notes that a request begins. One that never ends has failed.
    fn begin(&mut self, now: Instant) {
        if self.value.is_some() {
            self.asked_again = Some(now);
        }
        self.asked = Some(now);
        self.failed = true;
    }

    fn learn(&mut self, value: T, max_age: Option<Duration>, now: Instant) {
        self.value = Some(Arc::new(value));
        self.learned = now;
        let fresh = max_age.unwrap_or(FRESH_DEFAULT).clamp(FRESH_MIN, FRESH_MAX);
        self.fresh_until = now.after(fresh);
        self.failed = false;
    }
}

type Entry<T> = Arc<Mutex<Known<T>>>;

/// Documents by URL, at most [`DOCUMENTS_MAX`].
pub(crate) struct Cache<T> {
    entries: StdMutex<BTreeMap<String, Entry<T>>>,
    parse: fn(&[u8]) -> Option<T>,
    fetcher: Fetcher,
    /// For one request: less than a verification has, so that a stale document can still be used.
    patience: Duration,
    clock: Clock,
}

impl<T> Cache<T> {
    pub(crate) fn new(
        parse: fn(&[u8]) -> Option<T>,
        fetcher: Fetcher,
        patience: Duration,
        clock: Clock,
    ) -> Cache<T> {
        Cache { entries: StdMutex::default(), parse, fetcher, patience, clock }
    }

    /// The document, if it suits. One that does not is asked for again, within limits.
    pub(crate) async fn find(
        &self,
        url: &Url,
        suits: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, Refusal> {
        let since = self.clock.now().monotonic;
        let entry = self.entry(url).ok_or(Refusal::Unavailable)?;
        let mut known = entry.lock().await;
        let now = self.clock.now().monotonic;
        let mut step = known.step(&suits, since, now);
        if matches!(step, Step::Fetch) {
            known.begin(now);
            let answer = timeout(self.patience, self.fetcher.fetch(url)).await;
            if let Ok(Ok(Answer { status: 200, body, max_age, .. })) = answer
                && let Some(value) = (self.parse)(&body)
            {
                known.learn(value, max_age, self.clock.now().monotonic);
            }
            step = known.verdict(&suits);
        }
        match step {
            Step::Use(value) => Ok(value),
            Step::Refuse(refusal) => Err(refusal),
            Step::Fetch => Err(Refusal::Unavailable), // no verdict is one
        }
    }

    /// The entry of a URL, for which an older one may have to go; none if all are in use.
    fn entry(&self, url: &Url) -> Option<Entry<T>> {
        let key = url.to_key();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&key) {
            return Some(Arc::clone(entry));
        }
        if entries.len() >= DOCUMENTS_MAX {
            // Those without a document go first, so that addresses that have none displace none.
            let idle = entries.iter().filter_map(|(key, entry)| {
                let known = entry.try_lock().ok()?;
                Some(((known.value.is_some(), known.learned), key.clone()))
            });
            let (_, oldest) = idle.min()?;
            entries.remove(&oldest);
        }
        let entry = Arc::new(Mutex::new(Known::nothing()));
        entries.insert(key, Arc::clone(&entry));
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(1);

    fn after(secs: u64) -> Instant {
        START.after(Duration::from_secs(secs))
    }

    fn known(max_age: Option<u64>) -> Known<u8> {
        let mut known = Known::nothing();
        known.begin(START);
        known.learn(7, max_age.map(Duration::from_secs), START);
        known
    }

    /// What somebody does who comes at `now` and needs `wanted`.
    fn step(known: &Known<u8>, wanted: u8, now: Instant) -> &'static str {
        match known.step(|value| *value == wanted, now, now) {
            Step::Use(_) => "use",
            Step::Fetch => "fetch",
            Step::Refuse(Refusal::Rejected) => "rejected",
            Step::Refuse(Refusal::Unavailable) => "unavailable",
            Step::Refuse(Refusal::Busy) => "busy",
        }
    }

    #[test]
    fn an_absent_document_is_asked_for_once_a_second() {
        let mut known = Known::nothing();
        assert_eq!(step(&known, 7, START), "fetch");
        known.begin(START);
        assert_eq!(step(&known, 7, START), "unavailable");
        assert_eq!(step(&known, 7, after(1)), "fetch");
    }

    #[test]
    fn a_document_is_fresh_within_bounds() {
        for (max_age, fresh) in [
            (None, FRESH_DEFAULT),
            (Some(0), FRESH_MIN),
            (Some(1000), Duration::from_secs(1000)),
            (Some(u64::MAX), FRESH_MAX),
        ] {
            let known = known(max_age);
            assert_eq!(step(&known, 7, after(fresh.as_secs() - 1)), "use");
            assert_eq!(step(&known, 7, after(fresh.as_secs())), "fetch");
        }
    }

    #[test]
    fn a_stale_document_is_used_while_its_provider_is_unreachable() {
        let mut known = known(Some(600));
        known.begin(after(600));
        assert!(matches!(known.verdict(|_| true), Step::Use(_)));
        assert_eq!(step(&known, 7, after(629)), "use");
        assert_eq!(step(&known, 8, after(629)), "unavailable");
        assert_eq!(step(&known, 7, after(630)), "fetch");
    }

    #[test]
    fn what_is_not_in_a_document_is_asked_for_once_a_minute() {
        let mut known = known(Some(3600));
        assert_eq!(step(&known, 8, after(1)), "fetch");
        known.begin(after(1));
        assert_eq!(step(&known, 8, after(2)), "unavailable");
        known.learn(9, Some(Duration::from_secs(3600)), after(2));
        assert_eq!(step(&known, 8, after(60)), "rejected");
        assert_eq!(step(&known, 9, after(60)), "use");
        assert_eq!(step(&known, 8, after(61)), "fetch");
    }

    #[test]
    fn who_waited_for_a_document_does_not_ask_again() {
        let known = known(None);
        let verdict = known.step(|value| *value == 8, Instant(0), after(1));
        assert!(matches!(verdict, Step::Refuse(Refusal::Rejected)));
    }

    #[test]
    fn a_new_address_displaces_the_oldest_and_first_those_without_a_document() {
        let fetcher = Fetcher::new();
        let cache: Cache<u8> = Cache::new(|_| None, fetcher, Duration::ZERO, Clock::start());
        let url = |number: usize| Url::parse(&format!("https://example.com/{number}")).unwrap();
        for number in 0..DOCUMENTS_MAX {
            let entry = cache.entry(&url(number)).unwrap();
            if number != 5 {
                let now = after((DOCUMENTS_MAX - number) as u64);
                entry.try_lock().unwrap().learn(7, None, now);
            }
        }
        let has = |number| cache.entries.lock().unwrap().contains_key(&url(number).to_key());
        cache.entry(&url(100)).unwrap();
        assert!(!has(5) && has(DOCUMENTS_MAX - 1));
        cache.entry(&url(101)).unwrap();
        assert!(!has(100) && has(DOCUMENTS_MAX - 1));
        cache.entry(&url(101)).unwrap().try_lock().unwrap().learn(7, None, after(1000));
        cache.entry(&url(102)).unwrap();
        assert!(has(101) && !has(DOCUMENTS_MAX - 1));
        let entries: Vec<_> = cache.entries.lock().unwrap().values().cloned().collect();
        let _in_use: Vec<_> = entries.iter().map(|entry| entry.try_lock().unwrap()).collect();
        assert!(cache.entry(&url(103)).is_none());
    }
}
