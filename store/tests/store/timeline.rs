//! A store on a faulty disk, driven step by step, and what its rows were at every offset.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use base::change::Change;
use base::{BatchId, Frame, Offset, Rng};
use faultdisk::FaultDisk;
use store::{
    BackupOptions, Commit, Disk, Error, Key, Progress, RestoreOptions, Restored, Settings, Steps,
    Store, Summary,
};

use crate::fixture::{HOME, TABLE};

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// So small that a few batches fill a segment.
pub const SMALL: Settings = Settings {
    readers: 1,
    queue: 64,
    batch_bytes: 2048,
    commit_bytes: 2048,
    segment_bytes: 512 + 2560 * 2,
    backlog_bytes: 1024 * 1024,
    apply_bytes: 1024,
    archive: None,
    min_free_bytes: 0,
    cache_bytes: 1024 * 1024,
};

pub struct History {
    pub disk: FaultDisk,
    pub steps: Steps,
    pub rng: Rng,
    /// By offset, from zero on.
    pub at: Vec<Rows>,
    /// Time of each offset.
    pub times: Vec<u64>,
    pub keys: u32,
    now: u64,
}

impl History {
    pub fn new(seed: u64, keys: u32, settings: Settings) -> History {
        let disk = FaultDisk::default();
        let opened = Store::open_on(disk.boot(), settings).unwrap();
        History {
            disk,
            steps: opened.store.into_steps(),
            rng: seeded(seed),
            at: vec![Rows::new()],
            times: vec![0],
            keys,
            now: 1000,
        }
    }

    pub fn last(&self) -> Offset {
        Offset(self.at.len() as u64 - 1)
    }

    /// One entry of one to three batches.
    pub fn write(&mut self) {
        let batches = 1 + self.rng.below(3);
        self.now += u64::from(self.rng.below(3)) * 10;
        let group: Vec<_> = (0..batches).map(|_| self.batch()).collect();
        self.steps.commit_at(&group, self.now).unwrap();
    }

    fn batch(&mut self) -> Commit {
        let mut rows = self.at.last().unwrap().clone();
        let mut changes = Vec::new();
        for _ in 0..=self.rng.below(4) {
            let key = format!("key-{}", self.rng.below(self.keys)).into_bytes();
            let value = format!("value-{}", self.rng.below(1000)).into_bytes();
            let value = (self.rng.below(3) > 0).then_some(value);
            match &value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(&key)),
            }
            changes.push(Change { table: TABLE.0, key, value });
        }
        let number = self.at.len() as u64;
        self.at.push(rows);
        self.times.push(self.now);
        let frames = vec![Frame::encode(&changes)];
        Commit { batch: BatchId { shard: HOME, number }, frames, holders: vec![HOME] }
    }

    /// Puts many rows in, and applies them.
    pub fn fill(&mut self, rows: u32) {
        for first in (0..rows).step_by(100) {
            let mut all = self.at.last().unwrap().clone();
            let changes: Vec<_> = (first..(first + 100).min(rows))
                .map(|number| {
                    let key = format!("key-{number}").into_bytes();
                    all.insert(key.clone(), b"first".to_vec());
                    Change { table: TABLE.0, key, value: Some(b"first".to_vec()) }
                })
                .collect();
            let batch = BatchId { shard: HOME, number: self.at.len() as u64 };
            let frames = vec![Frame::encode(&changes)];
            self.steps.commit(&[Commit { batch, frames, holders: vec![HOME] }]).unwrap();
            self.at.push(all);
            self.times.push(0);
        }
        self.settle();
    }

    /// Anything that a store does beside its log.
    pub fn work(&mut self) {
        match self.rng.below(4) {
            0 => drop(self.steps.apply().unwrap()),
            1 => self.steps.checkpoint().unwrap(),
            2 => self.steps.keep().unwrap(),
            _ => {}
        }
    }

    /// Applies everything, and puts away what may be.
    pub fn settle(&mut self) {
        while self.steps.apply().unwrap() {}
        self.steps.checkpoint().unwrap();
        self.steps.keep().unwrap();
    }

    pub fn backup(&self, to: &FaultDisk, options: &BackupOptions) -> Result<Summary, Error> {
        store::backup(&self.steps.source(), &to.boot(), options, &mut go_on)
    }

    /// Checks that a disk holds a store as it was at an offset.
    pub fn check_restored(&self, disk: &FaultDisk, offset: Offset) {
        let checked = store::check_on(&*disk.boot()).unwrap();
        assert!(checked.problems.is_empty(), "{:?}", checked.problems);
        assert_eq!(checked.applied, offset);
        let expected = &self.at[usize::try_from(offset.0).unwrap()];
        let rows: u64 = checked.tables.values().map(|size| size.rows).sum();
        assert_eq!(rows, expected.len() as u64, "at {offset:?}");
        let opened = Store::open_on(disk.boot(), SMALL).unwrap();
        assert_eq!(opened.durable, offset);
        for (key, value) in expected {
            let found = opened.store.read(TABLE, key).unwrap();
            assert_eq!(found.as_deref(), Some(value.as_slice()), "{key:?} at {offset:?}");
        }
    }
}

pub fn seeded(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}

pub fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub fn verify(disk: &FaultDisk, key: Option<&Key>) -> Result<Summary, Error> {
    store::verify(&*disk.boot(), key, &mut go_on)
}

pub fn restore(
    from: &FaultDisk,
    to: &FaultDisk,
    options: &RestoreOptions,
) -> Result<Restored, Error> {
    store::restore_on(&*from.boot(), &*to.boot(), options, &mut go_on)
}

pub fn archive(disk: &FaultDisk) -> Option<Arc<dyn Disk>> {
    Some(disk.boot())
}
