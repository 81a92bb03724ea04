//! What a run has measured.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::arguments::Arguments;
use crate::schedule::Schedule;

/// 1 µs to 60 s, to three digits.
const LOWEST: u64 = 1;
const HIGHEST: u64 = 60_000_000;
const DIGITS: u8 = 3;

#[derive(Debug)]
pub(crate) struct Record {
    /// In microseconds, of what was to start in the measured time.
    pub latency: Histogram<u64>,
    /// Errors by kind, of the whole run.
    pub errors: BTreeMap<String, u64>,
    /// Latencies of refusals, if those are no errors.
    pub refused: Option<Histogram<u64>>,
    /// Other figures: name, value, unit.
    pub figures: Vec<(&'static str, f64, &'static str)>,
    /// What is counted: requests, messages, pairs.
    pub noun: &'static str,
    /// When the last measured one was done.
    pub last: Option<Instant>,
    /// Processor time of the server over the measured time, if it was asked for.
    pub server_cpu: Option<Duration>,
}

/// One record for all tasks of a run.
pub(crate) type Shared = Rc<RefCell<Record>>;

impl Record {
    pub(crate) fn new(noun: &'static str) -> Record {
        Record {
            latency: histogram(),
            refused: None,
            errors: BTreeMap::new(),
            figures: Vec::new(),
            noun,
            last: None,
            server_cpu: None,
        }
    }

    /// For all tasks of a run.
    pub(crate) fn shared(arguments: &Arguments, noun: &'static str) -> Shared {
        let refused = arguments.allow_refused.then(histogram);
        Rc::new(RefCell::new(Record { refused, ..Record::new(noun) }))
    }

    /// Takes in a success that was to start at `due`.
    pub(crate) fn success(&mut self, schedule: &Schedule, due: Instant, now: Instant) {
        if due < schedule.measure {
            return;
        }
        self.latency.saturating_record(micros(due, now));
        self.last = Some(now);
    }

    /// Takes in a refusal; `false` if that is an error.
    pub(crate) fn refusal(&mut self, schedule: &Schedule, due: Instant, now: Instant) -> bool {
        let Some(refused) = &mut self.refused else {
            return false;
        };
        if due >= schedule.measure {
            refused.saturating_record(micros(due, now));
        }
        true
    }

    pub(crate) fn error(&mut self, kind: String) {
        self.errors(kind, 1);
    }

    pub(crate) fn errors(&mut self, kind: String, count: u64) {
        *self.errors.entry(kind).or_default() += count;
    }

    /// Adds rates and percentiles to the figures.
    pub(crate) fn finish(&mut self, schedule: &Schedule) {
        let count = self.latency.len();
        let last = self.last.unwrap_or(schedule.end);
        // What came after the end took part of the time, and what ran out of requests less of it.
        let time = last.saturating_duration_since(schedule.measure).as_secs_f64();
        let name = match self.noun {
            "requests" => "requests_per_s",
            "messages" => "messages_per_s",
            _ => "matches_per_s",
        };
        let rate = if time > 0.0 { count as f64 / time } else { 0.0 };
        self.figures.insert(0, (name, rate, "1/s"));
        if let Some(cpu) = self.server_cpu
            && count > 0
        {
            let micros = cpu.as_secs_f64() * 1e6 / count as f64;
            self.figures.push(("server_cpu_us", micros, "us"));
        }
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            self.figures.push((name, self.latency.value_at_quantile(quantile) as f64, "us"));
        }
        self.figures.push(("max", self.latency.max() as f64, "us"));
        self.figures.push(("count", count as f64, ""));
        if let Some(refused) = &self.refused {
            self.figures.push(("refused", refused.len() as f64, ""));
            self.figures.push(("refused_p99", refused.value_at_quantile(0.99) as f64, "us"));
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST, HIGHEST, DIGITS)
        .expect("the bounds are in order and far enough apart")
}

fn micros(due: Instant, now: Instant) -> u64 {
    let micros = now.saturating_duration_since(due).as_micros();
    u64::try_from(micros).unwrap_or(HIGHEST).max(LOWEST)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_was_to_start_in_the_warmup_does_not_count() {
        let arguments = Arguments::parse_from(["ringload", "sign-in", "--seconds", "1"]);
        let start = Instant::now();
        let schedule = Schedule::new(&arguments, start);
        let mut record = Record::new("requests");
        let at = |millis| start + Duration::from_millis(millis);
        record.success(&schedule, at(999), at(1_500));
        record.success(&schedule, at(1_000), at(1_002));
        record.success(&schedule, at(1_900), at(3_000));
        record.finish(&schedule);
        assert_eq!(record.latency.len(), 2);
        assert_eq!(record.figures[0], ("requests_per_s", 1.0, "1/s"));
        let max = record.latency.max();
        assert!((1_100_000..1_101_100).contains(&max), "{max}");
    }

    #[test]
    fn what_is_out_of_bounds_is_kept_at_the_bound() {
        let arguments = Arguments::parse_from(["ringload", "sign-in", "--warmup", "0"]);
        let start = Instant::now();
        let schedule = Schedule::new(&arguments, start);
        let mut record = Record::new("requests");
        record.success(&schedule, start, start);
        record.success(&schedule, start, start + Duration::from_secs(1_000));
        assert_eq!(record.latency.min(), 1);
        assert!(record.latency.max() >= HIGHEST);
    }
}
