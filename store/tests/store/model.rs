//! What a store should hold: every batch in order, in a plain map.

use std::collections::{BTreeMap, BTreeSet};

use base::{Offset, Rng, Table};
use store::{Commit, Opened, Settings, Store};

use crate::fixture::{TABLE, commit, frame_of};

/// The smallest segments that a test can want: two or three entries fill one.
pub const TINY: Settings = Settings {
    readers: 1,
    queue: 64,
    batch_bytes: 3000,
    commit_bytes: 3000,
    segment_bytes: 4096,
    backlog_bytes: 1024 * 1024,
    apply_bytes: 1024,
    archive: None,
    min_free_bytes: 0,
    cache_bytes: 64 * 1024,
};

pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Batch `number`: a row that every batch rewrites, one of its own of `size` bytes, and sometimes
/// the end of an older one.
pub fn changes(number: u64, size: usize) -> Changes {
    let own = |number: u64| format!("own-{number}").into_bytes();
    let mut changes = vec![
        (b"shared".to_vec(), Some(number.to_string().into_bytes())),
        (own(number), Some(vec![number.to_le_bytes()[0]; size])),
    ];
    if number > 3 && number.is_multiple_of(3) {
        changes.push((own(number - 3), None));
    }
    changes
}

fn batch(table: Table, number: u64, changes: &Changes) -> Commit {
    let pairs = changes.iter();
    let pairs: Vec<_> = pairs.map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
    Commit { frames: vec![frame_of(table, &pairs)], ..commit(number, &[]) }
}

/// All batches that were given to a store, in order: the offset of the first is 1.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which they write to.
    pub table: Table,
    pub batches: Vec<Changes>,
    /// Behind each group of batches that was given at once, how many there were.
    pub groups: BTreeSet<u64>,
    /// How many were announced as durable.
    pub announced: u64,
}

impl Default for Model {
    fn default() -> Model {
        Model { table: TABLE, batches: Vec::new(), groups: BTreeSet::new(), announced: 0 }
    }
}

impl Model {
    /// Notes a group that is about to be given, and gives it in the store's form.
    pub fn offer(&mut self, group: Vec<Changes>) -> Vec<Commit> {
        let first = self.batches.len() as u64 + 1;
        let commits =
            (first..).zip(&group).map(|(number, changes)| batch(self.table, number, changes));
        let commits = commits.collect();
        self.batches.extend(group);
        self.groups.insert(self.batches.len() as u64);
        commits
    }

    pub fn announce_all(&mut self) {
        self.announced = self.batches.len() as u64;
    }

    /// Compares with a store after its start, and forgets what was lost unannounced.
    pub fn check(&mut self, opened: &Opened) {
        let Offset(durable) = opened.durable;
        assert!(durable >= self.announced, "announced: {}, there: {durable}", self.announced);
        let is_whole = durable == 0 || self.groups.contains(&durable);
        assert!(is_whole, "a part of a group is there, up to {durable}");
        let kept = usize::try_from(durable).unwrap();
        assert!(kept <= self.batches.len(), "{durable} were never given");
        let lost = self.batches.split_off(kept);
        self.groups.retain(|end| *end <= durable);
        self.announced = durable;
        let mut rows = self.rows();
        for (key, _) in lost.iter().flatten() {
            rows.entry(key).or_default();
        }
        check_rows(&opened.store, self.table, &rows);
    }

    /// Every key that was ever written, with its newest value.
    pub fn rows(&self) -> BTreeMap<&[u8], Option<&[u8]>> {
        let changes = self.batches.iter().flatten();
        changes.map(|(key, value)| (key.as_slice(), value.as_deref())).collect()
    }
}

fn check_rows(store: &Store, table: Table, rows: &BTreeMap<&[u8], Option<&[u8]>>) {
    for (key, expected) in rows {
        let found = store.read(table, key).unwrap();
        let key = String::from_utf8_lossy(key);
        assert!(found.as_deref() == *expected, "{key}: {:?}", found.map(|value| value.len()));
    }
}

pub fn rng(seed: u32) -> Rng {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}
