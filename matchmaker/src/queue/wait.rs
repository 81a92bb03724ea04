//! How long players have waited lately, by their rating.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::entrant::FINE;

/// Rating points of one band.
const BAND: f64 = 100.0;
/// Waits that are remembered of one band.
const KEPT: usize = 64;
const BANDS_MAX: usize = 256;
/// Fewer waits than these say nothing of a band.
const ENOUGH: usize = 8;

/// The newest waits of each band.
#[derive(Debug, Default)]
pub(super) struct Waits {
    bands: BTreeMap<i32, VecDeque<Duration>>,
}

/// What players of a rating can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// As many wait longer as shorter.
    pub median: Duration,
    /// One of ten waits longer.
    pub p90: Duration,
    /// Waits that this was learnt from.
    pub samples: usize,
}

impl Waits {
    pub(super) fn note(&mut self, rating: i32, wait: Duration) {
        let band = band(rating);
        if !self.bands.contains_key(&band) && self.bands.len() >= BANDS_MAX {
            return;
        }
        let waits = self.bands.entry(band).or_default();
        if waits.len() >= KEPT {
            waits.pop_front();
        }
        waits.push_back(wait);
    }

    /// Of the own band; where that knows too few, of those around it, wider and wider.
    pub(super) fn of(&self, rating: i32) -> Option<Wait> {
        let own = band(rating);
        let mut waits: Vec<Duration> = Vec::new();
        let mut by_nearness: Vec<_> = self.bands.iter().collect();
        by_nearness.sort_by_key(|(band, _)| own.abs_diff(**band));
        let mut reach = 0;
        for (band, known) in by_nearness {
            if waits.len() >= ENOUGH && own.abs_diff(*band) > reach {
                break;
            }
            reach = own.abs_diff(*band);
            waits.extend(known);
        }
        waits.sort_unstable();
        let at = |share: usize| waits.get(waits.len() * share / 100).copied();
        Some(Wait { median: at(50)?, p90: at(90)?, samples: waits.len() })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "ratings are bounded")]
fn band(rating: i32) -> i32 {
    (f64::from(rating) / FINE / BAND).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_by_rating_band() {
        let mut waits = Waits::default();
        assert_eq!(waits.of(0), None);
        let rating = |points: i32| points * 16;
        for second in 1..=100 {
            waits.note(rating(1550), Duration::from_secs(second));
        }
        waits.note(rating(2550), Duration::from_secs(1000));
        let wait = waits.of(rating(1510)).expect("there are waits");
        assert_eq!(wait.samples, 64, "the newest ones");
        assert_eq!(wait.median, Duration::from_secs(69));
        assert_eq!(wait.p90, Duration::from_secs(94));
        let rare = waits.of(rating(2590)).expect("there are waits");
        assert_eq!(rare.samples, 65, "one is not enough: those around it count, too");
    }
}
