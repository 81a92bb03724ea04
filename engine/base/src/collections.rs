//! Maps whose order does not depend on the process.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxBuildHasher;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A hash map for keys that the server drew itself (ids): a client cannot choose them, so it cannot
/// make them collide. Keys that clients choose belong into a [`KeyMap`], or a `BTreeMap`.
pub type IdMap<K, V> = HashMap<K, V, FxBuildHasher>;

/// The set beside [`IdMap`].
pub type IdSet<K> = HashSet<K, FxBuildHasher>;

/// A hash map for byte strings that clients choose. Only who knows the seed could make them
/// collide.
pub type KeyMap<V> = HashMap<Bytes, V, KeyHash>;

/// The same for texts.
pub type TextMap<V> = HashMap<Arc<str>, V, KeyHash>;

/// XXH3 with a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHash {
    pub seed: u64,
}

#[derive(Debug)]
pub struct KeyHasher(u64);

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.seed)
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length of a byte string, which the hash of its bytes has in it.
    fn write_usize(&mut self, _: usize) {}

    /// The end of a text, which the hash of its bytes has in it.
    fn write_u8(&mut self, _: u8) {}

    /// Folds the number in by a multiplication, as foldhash does.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9E37_79B9_7F4A_7C15_u128;
        let [low, high] = [product as u64, (product >> 64) as u64];
        self.0 = (low ^ high).rotate_left(23).wrapping_add(0x5851_F42D_4C95_7F2D);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_bytes_under_every_seed() {
        let hash = |seed, key: &[u8]| KeyHash { seed }.hash_one(key);
        assert_eq!(hash(1, b"key"), KeyHash { seed: 1 }.hash_one(Bytes::from_static(b"key")));
        assert_ne!(hash(1, b"key"), hash(2, b"key"));
        assert_ne!(hash(1, b"key"), hash(1, b"kez"));
        assert_ne!(hash(1, b""), hash(1, &[0]));
        let mut map = KeyMap::with_hasher(KeyHash { seed: 7 });
        map.insert(Bytes::from_static(b"key"), 1);
        assert_eq!(map.get(b"key".as_slice()), Some(&1));
    }
}
