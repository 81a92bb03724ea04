//! Long random lives of a store, compared with a plain map.

use base::{Offset, Range, Rng};
use bytes::Bytes;
use faultdisk::{FaultDisk, Kind};
use store::{Error, Event, Load, Scan, Settings, Steps, Store};

use crate::fixture::{HOME, TABLE, load};
use crate::model::{Model, TINY, changes, rng};

const SEEDS: u32 = 300;
const ACTS: u32 = 40;

struct Life {
    rng: Rng,
    disk: FaultDisk,
    archive: FaultDisk,
    model: Model,
    /// Of the last start.
    incarnation: u32,
}

#[test]
fn any_life_of_a_store_agrees_with_a_map() {
    for seed in 0..SEEDS {
        let alive = Alive(seed);
        let mut life = Life {
            rng: rng(seed),
            disk: FaultDisk::default(),
            archive: FaultDisk::default(),
            model: Model::default(),
            incarnation: 0,
        };
        let mut steps = life.open();
        for _ in 0..ACTS {
            steps = life.act(steps);
        }
        drop(alive);
    }
}

/// Says which seed failed.
struct Alive(u32);

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

impl Life {
    fn open(&mut self) -> Steps {
        let settings = Settings { archive: Some(self.archive.boot()), ..TINY };
        let opened = Store::open_on(self.disk.boot(), settings).unwrap();
        self.model.check(&opened);
        // A start that was cut short has used its number, or has not.
        assert!(opened.incarnation > self.incarnation);
        self.incarnation = opened.incarnation;
        self.check_archive();
        opened.store.into_steps()
    }

    fn act(&mut self, mut steps: Steps) -> Steps {
        let done = match self.rng.below(24) {
            0..8 => self.commit(&mut steps),
            8..11 => steps.apply().map(drop),
            11..13 => steps.checkpoint(),
            13..15 => steps.keep(),
            15..18 => self.compare(&mut steps),
            18 => {
                steps.forget_snapshot();
                Ok(())
            }
            19 => {
                // What a sync that failed has left in memory, no later process can tell.
                self.disk.live_on();
                drop(steps);
                return self.open();
            }
            20 => {
                self.disk.live_on();
                self.disk.kill();
                self.archive.kill();
                drop(steps);
                return self.open();
            }
            21 => return self.lose_power(steps),
            22 => {
                // Whatever fails there, the store goes on.
                let kinds = [Kind::Write, Kind::Sync, Kind::Rename, Kind::Read];
                let kind = kinds[self.rng.below(4) as usize];
                self.archive.fail_nth(kind, 1 + u64::from(self.rng.below(3)));
                Ok(())
            }
            _ => {
                let kinds = [Kind::Any, Kind::Write, Kind::Sync, Kind::Rename, Kind::FolderSync];
                let kind = kinds[self.rng.below(5) as usize];
                self.disk.fail_nth(kind, 1 + u64::from(self.rng.below(12)));
                Ok(())
            }
        };
        match done {
            Ok(()) => steps,
            Err(_) => self.lose_power(steps),
        }
    }

    fn lose_power(&mut self, steps: Steps) -> Steps {
        // What a store does at its end, a crash may find undone.
        if self.rng.below(2) == 0 {
            drop(steps);
        }
        self.disk.crash(&mut self.rng);
        self.archive.crash(&mut self.rng);
        self.open()
    }

    fn commit(&mut self, steps: &mut Steps) -> Result<(), Error> {
        let mut number = self.model.batches.len() as u64;
        let mut left = 2700;
        let group = (0..=self.rng.below(3)).map(|_| {
            number += 1;
            let size = self.rng.below(left / 2);
            left -= size;
            changes(number, size as usize)
        });
        let group = group.collect();
        let group = self.model.offer(group);
        let events = steps.commit(&group)?;
        let first = self.model.announced + 1;
        self.model.announce_all();
        let offsets = events.iter().map(|(_, event)| match event {
            Event::Durable { offset, .. } => offset.0,
            Event::Loaded { .. } | Event::Scanned { .. } => panic!("nothing was asked for"),
        });
        assert!(offsets.eq(first..=self.model.announced));
        Ok(())
    }

    /// An answer is what the batches up to its offset have left.
    fn compare(&mut self, steps: &mut Steps) -> Result<(), Error> {
        let number = 1 + self.rng.below(self.model.batches.len() as u32 + 1);
        let key = match self.rng.below(3) {
            0 => b"shared".to_vec(),
            _ => format!("own-{number}").into_bytes(),
        };
        let wanted = match self.rng.below(2) {
            0 => Offset(0),
            _ => steps.applied(),
        };
        let Load { at_least, .. } = load(&key, wanted);
        let Event::Loaded { value, applied, .. } = steps.load(load(&key, wanted))? else {
            panic!("a load was asked for")
        };
        assert!(applied >= at_least && applied.0 <= self.model.announced);
        let past = self.past(applied);
        let expected = past.rows().get(key.as_slice()).copied().flatten();
        assert!(value.as_deref() == expected, "{} at {applied:?}", String::from_utf8_lossy(&key));
        self.compare_range(steps, key)
    }

    /// The same of a range that ends or begins at the key.
    fn compare_range(&mut self, steps: &mut Steps, key: Vec<u8>) -> Result<(), Error> {
        let (key, none) = (Bytes::from(key), Bytes::new());
        let (from, to) = if self.rng.below(2) == 0 { (key, none) } else { (none, key) };
        let (is_descending, limit) = (self.rng.below(2) == 0, self.rng.below(8) as usize);
        let range = Range { table: TABLE, from, to, is_descending, limit };
        let scan = Scan { shard: HOME, range: range.clone(), at_least: steps.applied() };
        let Event::Scanned { range: answered, rows, is_end, applied } = steps.scan(scan)? else {
            panic!("a scan was asked for")
        };
        assert_eq!(answered, range);
        let past = self.past(applied);
        let rows_then = past.rows();
        let is_in = |key: &[u8]| range.contains(key);
        let mut expected: Vec<_> = rows_then
            .iter()
            .filter_map(|(key, value)| is_in(key).then_some((&key[..], (*value)?)))
            .collect();
        expected.sort_unstable();
        if is_descending {
            expected.reverse();
        }
        assert_eq!(is_end, expected.len() <= limit, "{range:?} at {applied:?}");
        expected.truncate(limit);
        assert!(rows.iter().map(|(key, value)| (&key[..], &value[..])).eq(expected), "{range:?}");
        Ok(())
    }

    fn past(&self, applied: Offset) -> Model {
        let batches = self.model.batches[..usize::try_from(applied.0).unwrap()].to_vec();
        Model { batches, ..Model::default() }
    }

    /// What is not in the folder any more is in the archive, whatever happens to that.
    fn check_archive(&self) {
        let numbers = |disk: &FaultDisk| -> Vec<u64> {
            let disk = disk.fork();
            disk.crash_with(faultdisk::Fate::LoseAll);
            let names = disk.names().into_iter();
            let names = names.filter_map(|name| Some(name.strip_suffix(".log")?.to_owned()));
            names.map(|name| name.rsplit('-').next().unwrap().parse().unwrap()).collect()
        };
        let (archived, here) = (numbers(&self.archive), numbers(&self.disk));
        let oldest = here.iter().min().unwrap();
        assert!((1..*oldest).all(|number| archived.contains(&number)), "{archived:?}, {oldest}");
    }
}
