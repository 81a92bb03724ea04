//! Where the time of sampled requests and matches went. Whoever runs the shard makes spans of it.

use base::{Instant, MatchId};

use crate::Shard;
use crate::state::State;

/// Waits of one request that are told apart; what comes after them belongs to the last.
const WAITS_MAX: usize = 32;

/// Which part of requests, and of matches, is traced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    /// Of 2^32.
    part: u64,
}

impl Sampling {
    /// `ratio` from 0, nothing, to 1, everything.
    pub fn of_ratio(ratio: f64) -> Sampling {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 2^32"
        )]
        let part = (ratio.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Sampling { part }
    }

    pub fn is_off(self) -> bool {
        self.part == 0
    }

    fn takes(self, draw: [u8; 4]) -> bool {
        u64::from(u32::from_le_bytes(draw)) < self.part
    }

    /// The same verdict on every shard: a match is traced with all who join it, or not at all.
    fn takes_match(self, id: MatchId) -> bool {
        let bytes = id.as_bytes();
        let mut hash: u32 = 0x811c_9dc5; // FNV-1a
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
        self.takes((hash ^ (hash >> 16)).wrapping_mul(0x9e37_79b9).to_le_bytes())
    }
}

/// Of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The match that it is about, if that is traced as a whole.
    pub of_match: Option<MatchId>,
    /// What it waited for, one after another.
    pub waits: Vec<Wait>,
    /// When its reply was ready. It leaves when what it depends on is durable.
    pub ready: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub name: &'static str,
    pub begun: Instant,
    pub ended: Instant,
}

impl Trace {
    /// A wait begins, and ends the one before it.
    fn wait(&mut self, name: &'static str, now: Instant) {
        let is_full = self.waits.len() == WAITS_MAX;
        if let Some(last) = self.waits.last_mut() {
            if last.name == name || is_full {
                return;
            }
            last.ended = now;
        }
        self.waits.push(Wait { name, begun: now, ended: now });
    }

    /// The request is over.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ready = now;
        if let Some(last) = self.waits.last_mut() {
            last.ended = now;
        }
    }
}

/// Of a match that is traced, while it lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchTrace {
    pub(crate) begun: Instant,
    pub(crate) joins: u32,
}

impl Shard {
    /// A trace for a new request, if it is one of the sample.
    pub(crate) fn sample(&mut self) -> Option<Box<Trace>> {
        if self.config.sampling.is_off() {
            return None;
        }
        let mut draw = [0; 4];
        self.sampler.fill(&mut draw);
        self.config.sampling.takes(draw).then(Box::default)
    }

    pub(crate) fn trace_wait(&mut self, task: u64, state: &State) {
        let now = self.now.monotonic;
        let task = self.tasks.get_mut(&task);
        if let Some(trace) = task.and_then(|task| task.trace.as_mut()) {
            trace.wait(state.name(), now);
        }
    }

    /// The request is about this match: it belongs to the match's trace.
    pub(crate) fn trace_about(&mut self, task: u64, id: MatchId) {
        if !self.config.sampling.takes_match(id) {
            return;
        }
        if let Some(task) = self.tasks.get_mut(&task) {
            task.trace.get_or_insert_default().of_match = Some(id);
        }
    }

    /// Somebody has joined a match; `is_new`: it begins with that.
    pub(crate) fn trace_join(&mut self, id: MatchId, is_new: bool) {
        if is_new && self.config.sampling.takes_match(id) {
            let trace = MatchTrace { begun: self.now.monotonic, joins: 0 };
            self.traced_matches.insert(id, trace);
        }
        if let Some(trace) = self.traced_matches.get_mut(&id) {
            trace.joins = trace.joins.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ratio_is_the_part_that_is_taken() {
        let taken = |ratio: f64| {
            let sampling = Sampling::of_ratio(ratio);
            let ids = (0..10_000_u128).map(|number| MatchId::from_bytes(number.to_be_bytes()));
            ids.filter(|id| sampling.takes_match(*id)).count()
        };
        assert_eq!((taken(0.0), taken(1.0), taken(7.0), taken(-1.0)), (0, 10_000, 10_000, 0));
        let half = taken(0.5);
        assert!((4_500..5_500).contains(&half), "{half}");
        assert!(Sampling::of_ratio(1.0).takes([0xff; 4]) && !Sampling::of_ratio(0.0).takes([0; 4]));
        assert!(Sampling::default().is_off() && !Sampling::of_ratio(1e-9).is_off());
    }

    #[test]
    fn waits_follow_each_other_and_are_bounded() {
        let at = |nanos| Instant::default().after(Duration::from_nanos(nanos));
        let mut trace = Trace::default();
        trace.wait("a", at(1));
        trace.wait("a", at(2));
        trace.wait("b", at(3));
        trace.end(at(5));
        let wait = |name, begun, ended| Wait { name, begun: at(begun), ended: at(ended) };
        assert_eq!(trace.waits, [wait("a", 1, 3), wait("b", 3, 5)]);
        for _ in 0..WAITS_MAX {
            trace.wait("a", at(6));
            trace.wait("b", at(7));
        }
        trace.end(at(9));
        assert_eq!((trace.waits.len(), trace.waits[WAITS_MAX - 1].ended), (WAITS_MAX, at(9)));
    }
}
