//! Maps whose order does not depend on the process.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxBuildHasher;

/// A hash map for keys that the server drew itself (ids): a client cannot choose them, so it cannot
/// make them collide. Keys that clients choose belong into a `BTreeMap`.
pub type IdMap<K, V> = HashMap<K, V, FxBuildHasher>;

/// The set beside [`IdMap`].
pub type IdSet<K> = HashSet<K, FxBuildHasher>;
