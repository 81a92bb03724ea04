//! The one place that reads the system's clocks.

use std::time::{Instant as Start, SystemTime, UNIX_EPOCH};

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
