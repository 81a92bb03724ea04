//! Rate limits: how often one address, or one user, may ask for operations of one class.
//!
//! Each limit is a token bucket in the form of the generic cell rate algorithm (ITU-T I.371): all
//! that is kept of a bucket is the instant at which it would be full again.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Error;
use api::ops::Rate;
use base::id::{SLOTS, slot_of};
use base::limits::RATE_ENTRIES_MAX;
use base::{ClientAddress, Code, Instant, Rng, UserId};

/// A bucket: so many at once, and then so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// 1 to 1,000,000,000; the bucket gains one each `1 s / per_sec`.
    pub per_sec: u32,
    /// At least 1.
    pub burst: u32,
}

/// The limits of all classes; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub sign: Option<Limit>,
    pub password: Option<Limit>,
    pub read: Option<Limit>,
    pub write: Option<Limit>,
    pub stream: Option<Limit>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub address: Limits,
    pub user: Limits,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    Address(ClientAddress),
    User(UserId),
}

/// What there is to know of a limiter. Refusals, by class, are those since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateFigures {
    pub addresses: usize,
    pub address_refusals: [u64; Rate::ALL.len()],
    pub users: usize,
    pub user_refusals: [u64; Rate::ALL.len()],
}

/// Too often: the same would be granted after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) Duration);

impl TooOften {
    pub(crate) fn error(&self) -> Error {
        let ms = self.0.as_millis() + 1;
        Error::new(Code::ResourceExhausted, format!("Too many requests: try again in {ms} ms."))
    }
}

/// The buckets of one shard that are not full: those of addresses, and those of users, which nobody
/// can crowd out by addresses.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    addresses: Buckets,
    users: Buckets,
}

/// Invariant: a bucket that is not full stands in one of the two maps, or there were too many of
/// them: then it shares a coarse one with others. The older map is dropped when all of its buckets
/// are full.
#[derive(Debug, Default)]
struct Buckets {
    limits: Limits,
    newer: BTreeMap<(Rate, Asker), Instant>,
    older: BTreeMap<(Rate, Asker), Instant>,
    /// When the newer map becomes the older.
    turn: Instant,
    /// One for each of the slots that askers fall into, once there are too many of them.
    coarse: Vec<Instant>,
    /// So that nobody can choose whose slot to share.
    seed: [u8; 16],
    /// Refusals of each class.
    refused: [u64; Rate::ALL.len()],
}

impl Limits {
    fn of(&self, class: Rate) -> Option<Limit> {
        match class {
            Rate::Free => None,
            Rate::Sign => self.sign,
            Rate::Password => self.password,
            Rate::Read => self.read,
            Rate::Write => self.write,
            Rate::Stream => self.stream,
        }
    }

    fn all(&self) -> impl Iterator<Item = Limit> {
        let Limits { sign, password, read, write, stream } = *self;
        [sign, password, read, write, stream].into_iter().flatten()
    }
}

impl Limit {
    /// Nanoseconds in which the bucket gains one.
    fn interval(self) -> u64 {
        1_000_000_000 / u64::from(self.per_sec.max(1))
    }

    /// Nanoseconds in which the empty bucket fills.
    fn capacity(self) -> u64 {
        self.interval() * u64::from(self.burst.max(1))
    }
}

impl Limiter {
    pub(crate) fn new(rates: Rates, rng: &mut Rng) -> Limiter {
        let mut buckets = |limits| {
            let mut seed = [0; 16];
            rng.fill(&mut seed);
            Buckets { limits, seed, ..Buckets::default() }
        };
        Limiter { addresses: buckets(rates.address), users: buckets(rates.user) }
    }

    /// Where the limits are others, all buckets are full again.
    pub(crate) fn set_rates(&mut self, rates: Rates) {
        for (buckets, limits) in
            [(&mut self.addresses, rates.address), (&mut self.users, rates.user)]
        {
            if buckets.limits != limits {
                let Buckets { seed, refused, .. } = *buckets;
                *buckets = Buckets { limits, seed, refused, ..Buckets::default() };
            }
        }
    }

    /// Takes one from the asker's bucket of this class, if there is one.
    pub(crate) fn take(&mut self, class: Rate, asker: Asker, now: Instant) -> Result<(), TooOften> {
        match asker {
            Asker::Address(_) => self.addresses.take(class, asker, now),
            Asker::User(_) => self.users.take(class, asker, now),
        }
    }

    pub(crate) fn figures(&self) -> RateFigures {
        RateFigures {
            addresses: self.addresses.len(),
            address_refusals: self.addresses.refused,
            users: self.users.len(),
            user_refusals: self.users.refused,
        }
    }
}

impl Buckets {
    /// Buckets that are remembered, full ones among them.
    fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    fn take(&mut self, class: Rate, asker: Asker, now: Instant) -> Result<(), TooOften> {
        let Some(limit) = self.limits.of(class) else { return Ok(()) };
        if now >= self.turn {
            self.turn(now);
        }
        let key = (class, asker);
        let own = self.newer.get(&key).or_else(|| self.older.get(&key)).copied();
        let is_room = self.newer.len() < RATE_ENTRIES_MAX || self.newer.contains_key(&key);
        let slot = (!is_room).then(|| self.slot(class, asker));
        let shared = slot.and_then(|slot| self.coarse.get(slot)).copied();
        let full_at = own.max(shared).unwrap_or_default().max(now);
        let room = Duration::from_nanos(limit.capacity() - limit.interval());
        let lack = full_at.since(now);
        if lack > room {
            self.refused[class as usize] += 1;
            return Err(TooOften(lack - room));
        }
        let full_at = Instant(full_at.0 + limit.interval());
        match slot {
            None => drop(self.newer.insert(key, full_at)),
            Some(slot) => {
                self.coarse.resize(usize::from(SLOTS), Instant::default());
                self.coarse[slot] = full_at;
            }
        }
        Ok(())
    }

    fn slot(&self, class: Rate, asker: Asker) -> usize {
        let who = match asker {
            Asker::Address(ClientAddress(bytes)) => bytes,
            Asker::User(user) => *user.as_bytes(),
        };
        usize::from(slot_of(&[&self.seed[..], &[class as u8], &who].concat()))
    }

    /// Drops what has not been asked for since the last turn: those buckets are full.
    fn turn(&mut self, now: Instant) {
        let longest = self.limits.all().map(Limit::capacity).max().unwrap_or_default();
        let is_late = now.since(self.turn) >= Duration::from_nanos(longest);
        self.older = std::mem::take(&mut self.newer);
        if is_late {
            self.older.clear();
            self.coarse = Vec::new();
        }
        self.turn = now.after(Duration::from_nanos(longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn user(n: u8) -> Asker {
        Asker::User(UserId::from_bytes([n; 16]))
    }

    fn limiter(per_sec: u32, burst: u32) -> Limiter {
        let read = Some(Limit { per_sec, burst });
        let rates = Rates { user: Limits { read, ..Limits::default() }, ..Rates::default() };
        Limiter::new(rates, &mut Rng::from_seed([1; 32]))
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let mut limiter = limiter(10, 5);
        let at = |limiter: &mut Limiter, nanos| limiter.take(Rate::Read, user(1), Instant(nanos));
        for _ in 0..5 {
            assert_eq!(at(&mut limiter, SECOND), Ok(()));
        }
        assert_eq!(at(&mut limiter, SECOND), Err(TooOften(Duration::from_millis(100))));
        let almost = SECOND + 99_999_999;
        assert_eq!(at(&mut limiter, almost), Err(TooOften(Duration::from_nanos(1))));
        assert_eq!(at(&mut limiter, SECOND + 100_000_000), Ok(()));
        let granted = (0..100_u64).filter(|n| {
            at(&mut limiter, 2 * SECOND + n * SECOND / 20).is_ok() // for 5 seconds
        });
        assert_eq!(granted.count(), 5 + 49, "the burst, and ten a second");
    }

    #[test]
    fn askers_and_classes_have_buckets_of_their_own() {
        let mut limiter = limiter(1, 1);
        let now = Instant(SECOND);
        assert_eq!(limiter.take(Rate::Read, user(1), now), Ok(()));
        assert!(limiter.take(Rate::Read, user(1), now).is_err());
        assert_eq!(limiter.take(Rate::Read, user(2), now), Ok(()));
        for class in [Rate::Free, Rate::Write, Rate::Sign, Rate::Password, Rate::Stream] {
            for _ in 0..10 {
                assert_eq!(limiter.take(class, user(1), now), Ok(()), "{class:?} has no limit");
            }
        }
        let mut refused = [0; Rate::ALL.len()];
        refused[Rate::Read as usize] = 1;
        assert_eq!(limiter.figures().user_refusals, refused);
        assert_eq!(limiter.figures().address_refusals, [0; Rate::ALL.len()]);
        let address = Asker::Address(ClientAddress([1; 16]));
        for _ in 0..10 {
            assert_eq!(limiter.take(Rate::Read, address, now), Ok(()));
        }
    }

    #[test]
    fn the_table_is_bounded_forgets_what_is_full_and_counts_everybody() {
        let mut limiter = limiter(1, 2);
        let asker = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            Asker::User(UserId::from_bytes(id))
        };
        let many = u32::try_from(RATE_ENTRIES_MAX).expect("it fits") + 10;
        for n in 0..many {
            assert_eq!(limiter.take(Rate::Read, asker(n), Instant(0)), Ok(()));
        }
        assert_eq!(limiter.users.newer.len(), RATE_ENTRIES_MAX);
        // One too many is counted too, by a bucket that it shares.
        let late_comer = asker(many);
        let granted = (0..10).filter(|_| limiter.take(Rate::Read, late_comer, Instant(0)).is_ok());
        assert!(granted.count() <= 2);
        // A bucket that is not full is remembered over a turn.
        assert_eq!(limiter.take(Rate::Read, asker(1), Instant(SECOND)), Ok(()));
        assert_eq!(limiter.take(Rate::Read, asker(1), Instant(SECOND)), Ok(()));
        let late = Instant(2 * SECOND);
        assert_eq!(limiter.take(Rate::Read, asker(1), late), Ok(()));
        assert!(limiter.take(Rate::Read, asker(1), late).is_err());
        assert!(limiter.users.newer.len() < 10);
        limiter.take(Rate::Read, asker(2), Instant(60 * SECOND)).expect("it is full");
        assert_eq!(limiter.users.newer.len() + limiter.users.older.len(), 1);
        assert!(limiter.users.coarse.is_empty());
    }
}
