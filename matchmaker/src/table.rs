//! Where values are, by hashes of their keys; the keys stay with the values.

use std::hash::{BuildHasher, Hasher};

use base::collections::KeyHash;
use hashbrown::HashTable;

/// Several values may have one hash, and one key. In parts: no call has to move all values.
#[derive(Debug)]
pub(crate) struct Table(Box<[HashTable<Value>]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    hash: u32,
    number: u32,
}

const PARTS: usize = 256;

impl Default for Table {
    fn default() -> Table {
        Table((0..PARTS).map(|_| HashTable::new()).collect())
    }
}

impl Table {
    /// The values whose key may have this hash.
    pub(crate) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        let hash_kept = kept(hash);
        let found = self.0[part(hash)].iter_hash(spread(hash_kept));
        found.filter(move |value| value.hash == hash_kept).map(|value| value.number)
    }

    /// The first of them for which this holds.
    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash_kept = kept(hash);
        let found = self.0[part(hash)]
            .find(spread(hash_kept), |value| value.hash == hash_kept && is(value.number));
        found.map(|value| value.number)
    }

    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        let value = Value { hash: kept(hash), number };
        let part = &mut self.0[part(hash)];
        part.insert_unique(spread(value.hash), value, |value| spread(value.hash));
    }

    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let value = Value { hash: kept(hash), number };
        let found = self.0[part(hash)].find_entry(spread(value.hash), |other| *other == value);
        found.expect("what is in a table is removed once").remove();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(HashTable::len).sum()
    }
}

fn part(hash: u64) -> usize {
    (hash >> (u64::BITS - PARTS.ilog2())) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn kept(hash: u64) -> u32 {
    hash as u32
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The hash of an id.
pub(crate) fn hash_of(bytes: &[u8; 16], hash: KeyHash) -> u64 {
    let number = u128::from_le_bytes(*bytes);
    hash_of_number(number, hash)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(crate) fn hash_of_number(number: u128, hash: KeyHash) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write_u64(number as u64);
    hasher.write_u64((number >> 64) as u64);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_key_are_apart() {
        let mut table = Table::default();
        let hash = |key: u8| hash_of(&[key; 16], KeyHash { seed: 3 });
        let found = |table: &Table, key| {
            let mut found: Vec<u32> = table.all(hash(key)).collect();
            found.sort_unstable();
            found
        };
        for key in 0..200 {
            table.insert(hash(key), key.into());
            table.insert(hash(key), u32::from(key) + 1000);
        }
        assert_eq!(found(&table, 5), [5, 1005]);
        table.remove(hash(5), 5);
        assert_eq!(found(&table, 5), [1005]);
        assert!(found(&table, 201).is_empty());
        assert_eq!(table.find(hash(6), |number| number > 100), Some(1006));
        assert_eq!(table.find(hash(5), |number| number < 100), None);
        assert_eq!(table.len(), 399);
    }
}
