//! When each request is to start, and which ones count.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;

/// The plan of one run. Requests are claimed one by one, by whichever connection is free.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub start: Instant,
    /// From here on requests count.
    pub measure: Instant,
    /// From here on none starts.
    pub end: Instant,
    /// Requests a second; none in a closed loop.
    rate: Option<u64>,
    limit: u64,
    claimed: Cell<u64>,
}

impl Schedule {
    pub(crate) fn new(arguments: &Arguments, start: Instant) -> Schedule {
        let measure = start + Duration::from_secs(arguments.warmup);
        let end = measure + Duration::from_secs(arguments.seconds);
        let limit = arguments.requests;
        Schedule { start, measure, end, rate: arguments.rate, limit, claimed: Cell::new(0) }
    }

    /// The intended start of the next request; none when the run is over.
    pub(crate) fn claim(&self, now: Instant) -> Option<Instant> {
        let index = self.claimed.get();
        let due = match self.rate {
            Some(rate) => self.start + offset(index, rate),
            None => now,
        };
        if due >= self.end || index >= self.limit {
            return None;
        }
        self.claimed.set(index + 1);
        Some(due)
    }

    /// How late an open loop may still send what the schedule holds: a server that cannot keep up
    /// has to show that in its latencies, within reason.
    pub(crate) fn patience(&self) -> Instant {
        self.end + Duration::from_secs(10)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.rate.is_some()
    }
}

/// When request `index` is due after the start. Exact, however long the run.
fn offset(index: u64, rate: u64) -> Duration {
    let rest = u128::from(index % rate) * 1_000_000_000 / u128::from(rate);
    Duration::new(index / rate, u32::try_from(rest).expect("below a second"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn schedule(flags: &[&str], start: Instant) -> Schedule {
        let words = ["ringload", "sign-in"].iter().chain(flags);
        Schedule::new(&Arguments::parse_from(words), start)
    }

    #[test]
    fn an_open_loop_has_its_starts_whatever_the_time() {
        let start = Instant::now();
        let schedule = schedule(&["--rate", "3", "--warmup", "1", "--seconds", "1"], start);
        let late = start + Duration::from_secs(100);
        let dues: Vec<_> = std::iter::from_fn(|| schedule.claim(late)).collect();
        let offsets: Vec<_> = dues.iter().map(|due| (*due - start).as_nanos()).collect();
        let third = 333_333_333;
        let second = 1_000_000_000;
        let expected = [0, third, 2 * third, second, second + third, second + 2 * third];
        assert_eq!(offsets.len(), 6);
        for (offset, expected) in offsets.iter().zip(expected) {
            assert!(offset.abs_diff(expected) <= 1, "{offset} {expected}");
        }
        assert_eq!(dues.iter().filter(|due| **due >= schedule.measure).count(), 3);
    }

    #[test]
    fn a_closed_loop_starts_at_once_until_the_end() {
        let start = Instant::now();
        let schedule = schedule(&["--warmup", "0", "--seconds", "1"], start);
        let middle = start + Duration::from_millis(500);
        assert_eq!(schedule.claim(middle), Some(middle));
        assert_eq!(schedule.claim(start + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_number_of_requests_bounds_both() {
        for flags in [&["--requests", "2"][..], &["--requests", "2", "--rate", "1000"]] {
            let start = Instant::now();
            let schedule = schedule(flags, start);
            let count = std::iter::from_fn(|| schedule.claim(start)).count();
            assert_eq!(count, 2);
        }
    }

    #[test]
    fn starts_do_not_drift() {
        assert_eq!(offset(7_000_000 * 3_600, 7_000_000), Duration::from_secs(3_600));
        assert_eq!(offset(1, 1_000_000), Duration::from_micros(1));
    }
}
