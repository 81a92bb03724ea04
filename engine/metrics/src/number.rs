//! Counters, gauges and histograms with one writer each.
//!
//! A writer loads and stores without a locked instruction: a second writer at the same time would
//! lose counts, and nothing worse. Readers see each number whole, and numbers beside each other a
//! little apart.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps what one core writes off the cache lines of another: two lines, since processors fetch
/// them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// How often something happened, since the start.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.store(self.value().wrapping_add(more), Ordering::Relaxed);
    }

    /// Takes over what somebody else has counted.
    pub fn publish(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How much there is of something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const BOUNDS: usize = 17;

/// The upper bounds of a histogram's buckets, each included; one bucket more has no bound.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounds {
    upper: [u64; BOUNDS],
    /// So many of what is recorded make one of what is told.
    per_unit: u64,
}

impl Bounds {
    /// Nanoseconds, told in seconds: from 50 µs to 10 s.
    pub const SECONDS: Bounds = Bounds {
        upper: [
            50_000,
            100_000,
            250_000,
            500_000,
            1_000_000,
            2_500_000,
            5_000_000,
            10_000_000,
            25_000_000,
            50_000_000,
            100_000_000,
            250_000_000,
            500_000_000,
            1_000_000_000,
            2_500_000_000,
            5_000_000_000,
            10_000_000_000,
        ],
        per_unit: 1_000_000_000,
    };
    /// Powers of two, from 1 to 65,536.
    pub const COUNTS: Bounds = Bounds::powers_of_two(0);
    /// Powers of two, from 256 B to 16 MiB.
    pub const BYTES: Bounds = Bounds::powers_of_two(8);

    const fn powers_of_two(first: u32) -> Bounds {
        let mut upper = [0; BOUNDS];
        let mut index = 0;
        while index < BOUNDS {
            upper[index] = 1 << (first as usize + index);
            index += 1;
        }
        Bounds { upper, per_unit: 1 }
    }

    /// The bounds, as they are told.
    pub(crate) fn told(&self) -> impl Iterator<Item = f64> {
        self.upper.iter().map(|upper| self.tell(*upper))
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of nanoseconds is told to 16 digits")]
    pub(crate) fn tell(&self, recorded: u64) -> f64 {
        recorded as f64 / self.per_unit as f64
    }
}

/// How often values fell between which bounds, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    buckets: [Counter; BOUNDS + 1],
    sum: Counter,
}

impl Histogram {
    pub fn new(bounds: &'static Bounds) -> Histogram {
        Histogram { bounds, buckets: Default::default(), sum: Counter::default() }
    }

    pub fn record(&self, value: u64) {
        let index = self.bounds.upper.partition_point(|upper| *upper < value);
        self.buckets[index].add(1);
        self.sum.add(value);
    }

    /// What was recorded so far.
    pub fn tally(&self) -> Tally {
        Tally {
            bounds: self.bounds,
            buckets: self.buckets.each_ref().map(Counter::value),
            sum: self.sum.value(),
        }
    }
}

/// What a histogram has recorded, or several of the same bounds together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub(crate) bounds: &'static Bounds,
    pub(crate) buckets: [u64; BOUNDS + 1],
    pub(crate) sum: u64,
}

impl Tally {
    pub fn new(bounds: &'static Bounds) -> Tally {
        Tally { bounds, buckets: [0; BOUNDS + 1], sum: 0 }
    }

    /// Adds those of a histogram with the same bounds.
    pub fn add(&mut self, other: &Tally) {
        debug_assert_eq!(self.bounds, other.bounds, "values of one kind are added");
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.wrapping_add(more);
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend_and_end_where_they_should() {
        for (bounds, first, last) in [
            (Bounds::SECONDS, 0.000_05, 10.0),
            (Bounds::COUNTS, 1.0, 65_536.0),
            (Bounds::BYTES, 256.0, 16_777_216.0),
        ] {
            assert!(bounds.upper.is_sorted_by(|a, b| a < b));
            let told: Vec<_> = bounds.told().collect();
            assert_eq!((told[0], told[BOUNDS - 1]), (first, last));
        }
    }

    #[test]
    fn a_value_falls_into_the_bucket_that_its_bound_closes() {
        let histogram = Histogram::new(&Bounds::COUNTS);
        for value in [0, 1, 2, 3, 4, 65_536, 65_537, u64::from(u32::MAX)] {
            histogram.record(value);
        }
        let tally = histogram.tally();
        assert_eq!(tally.buckets[..4], [2, 1, 2, 0]);
        assert_eq!(tally.buckets[BOUNDS - 1..], [1, 2]);
        assert_eq!(tally.count(), 8);
        assert_eq!(tally.sum, 10 + 65_536 + 65_537 + u64::from(u32::MAX));
    }

    #[test]
    fn tallies_add_up() {
        let histogram = Histogram::new(&Bounds::BYTES);
        histogram.record(300);
        let mut both = Tally::new(&Bounds::BYTES);
        both.add(&histogram.tally());
        both.add(&histogram.tally());
        assert_eq!((both.count(), both.sum, both.buckets[1]), (2, 600, 2));
    }

    #[test]
    fn what_cores_write_lies_apart() {
        let cores = [Padded(Counter::default()), Padded(Counter::default())];
        let [first, second] = cores.each_ref().map(|core| std::ptr::from_ref(core).addr());
        assert!(second - first >= 128);
    }
}
