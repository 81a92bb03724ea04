//! Who has failed to sign in too often, and waits. Lives in memory: a restart forgets it.

use std::collections::BTreeMap;
use std::time::Duration;

use base::limits::{
    ADDRESS_FAILURES_MAX, ADDRESS_LOCKED, FAILURES_REMEMBERED_MAX, OPERATOR_FAILURES_MAX,
    OPERATOR_LOCKED,
};
use base::{ClientAddress, Instant};

/// Five failures lock a name for one address for a minute, ten lock an address for ten minutes,
/// counted from the last one. The figures are Nakama's, which locks a name for everybody: so could
/// anybody keep an operator out. Names that nobody has count as well: nothing tells them apart.
#[derive(Debug, Default)]
pub struct Lockouts {
    names: Failures<(String, ClientAddress)>,
    addresses: Failures<ClientAddress>,
}

#[derive(Debug)]
struct Failures<K>(BTreeMap<K, (u32, Instant)>);

impl<K> Default for Failures<K> {
    fn default() -> Failures<K> {
        Failures(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Failures<K> {
    /// How long the key has to wait still.
    fn wait(&mut self, key: &K, most: u32, locked: Duration, now: Instant) -> Option<Duration> {
        let (count, last) = *self.0.get(key)?;
        let passed = now.since(last);
        if passed >= locked {
            self.0.remove(key);
            return None;
        }
        (count >= most).then(|| locked - passed)
    }

    fn count(&mut self, key: K, now: Instant) {
        if self.0.len() >= FAILURES_REMEMBERED_MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
        let failures = self.0.entry(key).or_insert((0, now));
        *failures = (failures.0.saturating_add(1), now);
    }

    fn take_back(&mut self, key: &K) {
        if let Some((count, _)) = self.0.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Lockouts {
    /// Begins a try: it counts as failed until it has [`Lockouts::passed`], so that many at once
    /// are no way around. `Err` is how long to wait.
    pub fn begin(
        &mut self,
        name: &str,
        address: ClientAddress,
        now: Instant,
    ) -> Result<(), Duration> {
        let pair = (name.to_owned(), address);
        let by_name = self.names.wait(&pair, OPERATOR_FAILURES_MAX, OPERATOR_LOCKED, now);
        let by_address = self.addresses.wait(&address, ADDRESS_FAILURES_MAX, ADDRESS_LOCKED, now);
        if let Some(wait) = by_name.max(by_address) {
            return Err(wait);
        }
        self.names.count(pair, now);
        self.addresses.count(address, now);
        Ok(())
    }

    /// The try that has begun is none: nobody looked at the password.
    pub fn untried(&mut self, name: &str, address: ClientAddress) {
        self.names.take_back(&(name.to_owned(), address));
        self.addresses.take_back(&address);
    }

    /// The password was right.
    pub fn passed(&mut self, name: &str, address: ClientAddress) {
        self.names.0.remove(&(name.to_owned(), address));
        self.addresses.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::default().after(Duration::from_secs(secs))
    }

    fn address(last: u8) -> ClientAddress {
        ClientAddress([last; 16])
    }

    fn wait(secs: u64) -> Result<(), Duration> {
        Err(Duration::from_secs(secs))
    }

    #[test]
    fn a_name_waits_a_minute_after_five_failures_from_where_they_came() {
        let mut lockouts = Lockouts::default();
        for _ in 0..5 {
            assert_eq!(lockouts.begin("ann", address(1), at(10)), Ok(()));
        }
        assert_eq!(lockouts.begin("ann", address(1), at(30)), wait(40));
        assert_eq!(lockouts.begin("ben", address(1), at(30)), Ok(()));
        assert_eq!(lockouts.begin("ann", address(2), at(30)), Ok(()), "she herself is elsewhere");
        assert_eq!(lockouts.begin("ann", address(1), at(69)), wait(1));
        assert_eq!(lockouts.begin("ann", address(1), at(70)), Ok(()));
    }

    #[test]
    fn an_address_waits_ten_minutes_after_ten_failures_whatever_the_name() {
        let mut lockouts = Lockouts::default();
        for number in 0..10 {
            assert_eq!(lockouts.begin(&format!("name-{number}"), address(1), at(0)), Ok(()));
        }
        assert_eq!(lockouts.begin("ann", address(1), at(599)), wait(1));
        assert_eq!(lockouts.begin("ann", address(2), at(0)), Ok(()));
        assert_eq!(lockouts.begin("ann", address(1), at(600)), Ok(()));
    }

    #[test]
    fn a_right_password_ends_the_count() {
        let mut lockouts = Lockouts::default();
        for _ in 0..20 {
            assert_eq!(lockouts.begin("ann", address(1), at(0)), Ok(()));
            lockouts.passed("ann", address(1));
        }
    }

    #[test]
    fn a_try_that_was_none_does_not_count() {
        let mut lockouts = Lockouts::default();
        for _ in 0..20 {
            assert_eq!(lockouts.begin("ann", address(1), at(0)), Ok(()));
            lockouts.untried("ann", address(1));
        }
        lockouts.untried("ben", address(2));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::default();
        for number in 0..FAILURES_REMEMBERED_MAX as u64 + 10 {
            failures.count(number, at(number));
        }
        assert_eq!(failures.0.len(), FAILURES_REMEMBERED_MAX);
        assert!(!failures.0.contains_key(&0) && failures.0.contains_key(&10));
    }
}
