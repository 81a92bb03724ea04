//! One table of deadlines for everything that waits on a core.

use std::collections::BTreeSet;

use crate::time::Instant;

/// Deadlines by time; `K` names what is due. A key may stand several times, at different instants.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { due: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    pub fn set(&mut self, at: Instant, key: K) {
        self.due.insert((at, key));
    }

    pub fn cancel(&mut self, at: Instant, key: K) {
        self.due.remove(&(at, key));
    }

    /// Takes the earliest key that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        if self.due.first()?.0 > now {
            return None;
        }
        self.due.pop_first().map(|(_, key)| key)
    }

    /// When the next key is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_of_their_deadlines() {
        let mut timers = Timers::default();
        timers.set(Instant(30), "c");
        timers.set(Instant(10), "a");
        timers.set(Instant(20), "b");
        timers.cancel(Instant(20), "b");
        assert_eq!(timers.next(), Some(Instant(10)));
        assert_eq!(timers.pop(Instant(9)), None);
        assert_eq!(timers.pop(Instant(30)), Some("a"));
        assert_eq!(timers.pop(Instant(30)), Some("c"));
        assert_eq!(timers.pop(Instant(30)), None);
    }
}
