//! Where closed segments go before they are used again.

use std::sync::{Arc, Mutex};

use faultdisk::{Fate, FaultDisk, Kind};
use store::{Disk, Settings, Steps, Store};

use crate::model::{Model, TINY, changes};
use crate::watched::Watched;

fn open(disk: &FaultDisk, archive: Arc<dyn Disk>, model: &mut Model) -> Steps {
    let settings = Settings { archive: Some(archive), ..TINY };
    let opened = Store::open_on(disk.boot(), settings).unwrap();
    model.check(&opened);
    opened.store.into_steps()
}

/// Fills some segments, and lets the state have them.
fn fill(steps: &mut Steps, model: &mut Model) {
    for _ in 0..5 {
        let number = model.batches.len() as u64 + 1;
        steps.commit(&model.offer(vec![changes(number, 2000)])).unwrap();
    }
    model.announce_all();
    while steps.apply().unwrap() {}
    steps.checkpoint().unwrap();
}

fn segments(disk: &FaultDisk) -> Vec<(u64, Vec<u8>)> {
    let names = disk.names().into_iter().filter(|name| name.ends_with(".log"));
    let segments = names.map(|name| {
        let digits = name.strip_suffix(".log").unwrap().rsplit('-').next().unwrap();
        (digits.parse().unwrap(), disk.read_all(&name))
    });
    segments.collect()
}

/// Every segment that was ever full, and is not what its file is any more, is in the archive
/// whatever is lost of what that has not synced.
fn check(full: &[(u64, Vec<u8>)], disk: &FaultDisk, archive: &FaultDisk) -> usize {
    let (disk, archive) = (disk.fork(), archive.fork());
    disk.crash_with(Fate::KeepAll);
    archive.crash_with(Fate::LoseAll);
    let (here, archived) = (segments(&disk), segments(&archive));
    for (number, bytes) in full {
        let copy = archived.iter().find(|(other, _)| other == number);
        match copy {
            Some((_, copy)) => assert!(bytes.starts_with(copy) && copy.len() > 2048, "{number}"),
            None => assert!(here.contains(&(*number, bytes.clone())), "{number} is nowhere"),
        }
    }
    archived.len()
}

#[test]
fn a_closed_segment_is_wholly_in_the_archive_before_it_is_used_again() {
    let (disk, archive) = (FaultDisk::default(), FaultDisk::default());
    let mut model = Model::default();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let tap = {
        let (disk, archive, moments) = (disk.clone(), archive.clone(), Arc::clone(&moments));
        Arc::new(move |_: &str, _: &str| {
            moments.lock().unwrap().push((disk.fork(), archive.fork()));
        })
    };
    let watched: Arc<dyn Disk> = Arc::new(Watched { disk: archive.boot(), tap });
    let mut steps = open(&disk, watched, &mut model);
    fill(&mut steps, &mut model);
    // The last one is not closed.
    let mut full = segments(&disk);
    full.retain(|(number, _)| *number < 5);
    steps.keep().unwrap();
    assert_eq!(check(&full, &disk, &archive), 4);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 16);
    for (disk, archive) in moments {
        check(&full, &disk, &archive);
        // The process dies there; the next one goes on, and both lose power.
        let mut model = model.clone();
        let mut steps = open(&disk, archive.boot(), &mut model);
        steps.keep().unwrap();
        assert_eq!(check(&full, &disk, &archive), 4);
    }
}

#[test]
fn an_archive_that_fails_keeps_segments_and_is_tried_again() {
    for kind in [Kind::Read, Kind::Create, Kind::Write, Kind::Sync, Kind::Rename] {
        let (disk, archive) = (FaultDisk::default(), FaultDisk::default());
        let mut model = Model::default();
        let mut steps = open(&disk, archive.boot(), &mut model);
        fill(&mut steps, &mut model);
        let mut full = segments(&disk);
        full.retain(|(number, _)| *number < 5);
        archive.fail_nth(kind, 1);
        steps.keep().unwrap();
        assert_eq!(check(&full, &disk, &archive), 0, "{kind:?}");
        assert!(full.iter().all(|segment| segments(&disk).contains(segment)));
        // Writes go on meanwhile.
        fill(&mut steps, &mut model);
        steps.keep().unwrap();
        assert_eq!(check(&full, &disk, &archive), 9, "{kind:?}");
        let names = archive.names();
        assert!(names.iter().all(|name| name.ends_with(".log")), "{names:?}");
    }
}
