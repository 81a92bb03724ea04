//! The one place that reads the system's clocks.

use std::time::{Duration, Instant as Start, SystemTime, UNIX_EPOCH};

use base::{Instant, Now, UnixTime};

#[derive(Clone, Copy)]
pub(crate) struct Clock(Start);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Start::now())
    }

    pub(crate) fn now(self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        Now {
            monotonic: Instant::default().after(self.0.elapsed()),
            wall: UnixTime(u64::try_from(nanos).unwrap_or(u64::MAX)),
        }
    }
}

/// Lets one through, and further ones only after a pause.
#[derive(Default)]
pub(crate) struct Throttle(Option<Instant>);

impl Throttle {
    pub(crate) fn admit(&mut self, now: Instant, pause: Duration) -> bool {
        let is_due = self.0.is_none_or(|last| now.since(last) >= pause);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_let_through_in_each_pause() {
        let mut throttle = Throttle::default();
        let mut admit = |secs| {
            let now = Instant::default().after(Duration::from_secs(secs));
            throttle.admit(now, Duration::from_secs(60))
        };
        let admitted = [0, 1, 59, 60, 61, 119, 200].map(&mut admit);
        assert_eq!(admitted, [true, false, false, true, false, false, true]);
    }
}
