//! What the store promises, each promise by its name.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use base::Offset;
use faultdisk::{Fate, FaultDisk, Kind};
use store::{Disk, Error, Event, Pressure, Refused, Settings, Store};

use crate::fixture::{Rig, SETTINGS, commit, load};
use crate::model::{Model, TINY, changes};
use crate::watched::Watched;

fn segment(number: u64) -> String {
    format!("{number:020}.log")
}

/// In a trace where each entry has one batch and is announced by a mark of its number: every mark
/// stands behind the sync that follows its entry's write.
fn check_marks(trace: &[String]) -> u64 {
    let (mut written, mut synced, mut marks) = (None, 0, 0);
    for line in trace {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["write", name] if name.ends_with(".log") => {
                assert_eq!(written.replace(name), None, "two writes are under way: {trace:#?}");
            }
            ["sync", name] if written == Some(name) => {
                written = None;
                synced += 1;
            }
            ["announce", number] => {
                marks += 1;
                assert_eq!(number.parse(), Ok(marks));
                assert!(marks <= synced && written.is_none(), "{marks} is not synced: {trace:#?}");
            }
            _ => {}
        }
    }
    marks
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    disk.record(100_000);
    let mut model = Model::default();
    for number in 1..=30 {
        let group = model.offer(vec![changes(number, 100 * (number as usize % 25))]);
        for (_, event) in steps.commit(&group).unwrap() {
            let Event::Durable { offset, .. } = event else { panic!("nothing was asked for") };
            disk.mark(&format!("announce {}", offset.0));
        }
        if number % 4 == 0 {
            steps.apply().unwrap();
            steps.checkpoint().unwrap();
            steps.keep().unwrap();
        }
    }
    assert_eq!(check_marks(&disk.trace()), 30);
}

#[test]
fn nothing_is_acknowledged_by_a_thread_before_its_sync() {
    let disk = FaultDisk::default();
    let settings = Settings { backlog_bytes: 16 * 1024, ..TINY };
    let opened = Store::open_on(disk.boot(), settings).unwrap();
    disk.record(100_000);
    let marks = disk.clone();
    let rig = Rig::start(opened, move |event| {
        if let Event::Durable { offset, .. } = event {
            marks.mark(&format!("announce {}", offset.0));
        }
    });
    for number in 1..=100 {
        rig.write(number, &[(b"key", Some(&vec![1; 20 * number as usize]))]);
    }
    rig.running.shutdown().unwrap();
    assert_eq!(check_marks(&disk.trace()), 100);
}

/// SpacetimeDB lost whole segments to this: a file is there after a crash if its folder was synced.
#[test]
fn a_segment_survives_because_its_folder_was_synced_before_its_first_entry() {
    let disk = FaultDisk::default();
    disk.record(100_000);
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model::default();
    for number in 1..=12 {
        steps.commit(&model.offer(vec![changes(number, 2000)])).unwrap();
        model.announce_all();
        if number % 3 == 0 {
            while steps.apply().unwrap() {}
            steps.checkpoint().unwrap();
            steps.keep().unwrap();
        }
        let disk = disk.fork();
        disk.crash_with(Fate::LoseAll);
        model.clone().check(&Store::open_on(disk.boot(), TINY).unwrap());
    }
    // Which names have come and are not safe yet.
    let (mut unsafe_names, mut named, mut reused) = (Vec::new(), 0, 0);
    for line in disk.trace() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["rename", from, to] if to.ends_with(".log") => {
                unsafe_names.push(to.to_owned());
                named += 1;
                reused += usize::from(from.ends_with(".log"));
            }
            ["sync"] => unsafe_names.clear(),
            ["write", name] => assert!(!unsafe_names.iter().any(|new| new == name), "{line}"),
            _ => {}
        }
    }
    assert!(named > 8 && reused > 2, "{named} named, {reused} of them again");
}

#[test]
fn an_entry_is_torn_at_any_byte_and_is_gone_or_whole() {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model::default();
    steps.commit(&model.offer(vec![changes(1, 10)])).unwrap();
    model.announce_all();
    disk.fail_nth(Kind::Sync, 1);
    steps.commit(&model.offer(vec![changes(2, 10)])).unwrap_err();
    let at = disk.unsynced().len() - 1;
    assert_eq!(disk.unsynced()[at], 512, "the entry is a sector");
    for bytes in 0..=512 {
        let (disk, mut model) = (disk.fork(), model.clone());
        disk.crash_with(Fate::TearNext { kept: at, bytes });
        let opened = Store::open_on(disk.boot(), TINY).unwrap();
        model.check(&opened);
        // What is behind the batches is zeros in any case.
        assert!(model.announced == 2 || bytes < 400);
        assert_eq!(opened.cut.is_some(), model.announced == 1 && bytes >= 25);
        drop(opened);
        let again = Store::open_on(disk.boot(), TINY).unwrap();
        assert_eq!(again.cut, None, "a cut leaves nothing");
    }
}

/// Entry after entry of the only segment of a store, where all entries are one sector.
fn sectors(disk: &FaultDisk) -> Vec<Vec<u8>> {
    disk.read_all(&segment(1)).chunks(512).map(<[u8]>::to_vec).collect()
}

fn with_batches(count: u64) -> (FaultDisk, Model) {
    let disk = FaultDisk::default();
    let mut steps = Store::open_on(disk.boot(), TINY).unwrap().store.into_steps();
    let mut model = Model::default();
    for number in 1..=count {
        steps.commit(&model.offer(vec![changes(number, 10)])).unwrap();
    }
    model.announce_all();
    disk.kill();
    (disk, model)
}

#[test]
fn an_old_entry_behind_a_torn_one_never_comes_back() {
    let (disk, mut model) = with_batches(3);
    let mut bytes = sectors(&disk);
    let (torn, old) = (&bytes[3][..100], bytes[2].clone());
    bytes[3] = [torn, &[0; 412]].concat();
    bytes[4] = old;
    disk.overwrite(&segment(1), &bytes.concat());
    (model.announced, model.groups) = (2, [1, 2].into());

    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    assert_eq!(opened.cut.as_ref().map(|cut| (cut.at, cut.offset)), Some((1536, Offset(3))));
    model.check(&opened);
    let mut steps = opened.store.into_steps();
    steps.commit(&model.offer(vec![changes(3, 20)])).unwrap();
    model.announce_all();
    for fate in [Fate::LoseAll, Fate::KeepAll] {
        disk.crash_with(fate);
        let opened = Store::open_on(disk.boot(), TINY).unwrap();
        assert_eq!(opened.durable, Offset(3));
        model.check(&opened);
    }
}

/// More than this nobody could smuggle in: the number that seeds the checksums is a secret.
#[test]
fn a_value_that_is_a_copy_of_an_entry_is_a_value() {
    let (disk, mut model) = with_batches(3);
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    let mut steps = opened.store.into_steps();
    let mark = sectors(&disk)[1][..4].to_vec();
    // So many copies that one begins at a sector, whatever stands before the value.
    for shift in 0..64_usize {
        let mut value = vec![0; shift * 8];
        value.extend_from_slice(&sectors(&disk)[3]);
        value.extend_from_slice(&sectors(&disk)[2]);
        let copy = vec![(b"copy".to_vec(), Some(value))];
        steps.commit(&model.offer(vec![copy])).unwrap();
        model.announce_all();
        let torn = disk.fork();
        // The newest entry loses its header, as if it had been torn: copies are behind it.
        let last = torn
            .names()
            .into_iter()
            .rfind(|name| name.ends_with(".log") && torn.read_all(name)[..8] == *b"RMLOGSEG");
        let last = last.unwrap();
        let mut bytes = torn.read_all(&last);
        let newest =
            (1..bytes.len() / 512).rfind(|sector| is_entry(&mark, &bytes[sector * 512..], 4));
        let newest = newest.unwrap() * 512;
        bytes[newest..newest + 56].fill(0);
        torn.overwrite(&last, &bytes);
        let opened = Store::open_on(torn.boot(), TINY).unwrap();
        assert_eq!(opened.durable.0, model.announced - 1);
        disk.crash_with(Fate::LoseAll);
        let opened = Store::open_on(disk.boot(), TINY).unwrap();
        model.check(&opened);
        steps = opened.store.into_steps();
    }
}

/// Whether an entry begins here whose first offset is at least this.
fn is_entry(mark: &[u8], bytes: &[u8], least: u64) -> bool {
    bytes[..4] == *mark && u64::from_le_bytes(bytes[24..32].try_into().unwrap()) >= least
}

/// A store that is at rest, and whose next write and sync are the log's.
fn at_rest() -> (FaultDisk, Rig) {
    let disk = FaultDisk::default();
    let settings = Settings { backlog_bytes: 2048, ..SETTINGS };
    let rig = Rig::start(Store::open_on(disk.boot(), settings.clone()).unwrap(), |_| ());
    rig.write(1, &[(b"a", Some(b"1"))]);
    rig.running.shutdown().unwrap();
    let rig = Rig::start(Store::open_on(disk.boot(), settings).unwrap(), |_| ());
    disk.record(1000);
    (disk, rig)
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_announced_and_nothing_is_tried_again() {
    // The first write and the first sync are the log's, the others are the state's checkpoint's.
    for (kind, n) in [(Kind::Write, 1), (Kind::Sync, 1), (Kind::Write, 2), (Kind::Sync, 2)] {
        let (disk, rig) = at_rest();
        disk.fail_nth(kind, n);
        let mut announced = 0;
        // A single one where the second is to be the state's.
        if n == 2 {
            rig.write(2, &[(b"a", Some(b"2"))]);
            announced = 1;
        }
        let mut error = (n == 2).then(|| rig.fault());
        for number in 3..10 {
            // The store may have noticed after any of them.
            match rig.handle.commit(commit(number, &[(b"a", Some(b"2"))])) {
                Ok(()) | Err(Refused::Stopped(_)) => {}
                Err(Refused::Full(_)) => panic!("the queue is longer than that"),
            }
        }
        let error = error.take().unwrap_or_else(|| rig.fault());
        match n {
            1 => assert!(matches!(error, Error::LogWrite { .. }), "{error:?}"),
            _ => assert!(matches!(error, Error::Write { .. }), "{error:?}"),
        }
        let refused = rig.running.shutdown();
        assert!(matches!(refused, Err(Error::Poisoned { .. })));
        assert_eq!(rig.events.try_iter().count(), 0);
        assert_eq!(rig.faults.try_iter().count(), 0);
        let trace = disk.trace();
        let failed = trace.iter().position(|line| line.ends_with(" failed")).unwrap();
        let name = trace[failed].split(' ').nth(1).unwrap();
        let later = trace[failed + 1..].iter().filter(|line| line.ends_with(name));
        assert_eq!(later.count(), 0, "{trace:#?}");

        disk.crash_with(Fate::LoseAll);
        let opened = Store::open_on(disk.boot(), SETTINGS).unwrap();
        assert!(opened.durable.0 > announced, "with the batch of before");
    }
}

#[test]
fn after_a_failed_read_nothing_is_answered_and_nothing_is_announced() {
    let disk = FaultDisk::default();
    let rig = Rig::open_on(disk.boot());
    // Enough rows for a tree of two levels, whose root alone is read at the start.
    let keys: Vec<_> = (0..200_u64).map(u64::to_be_bytes).collect();
    let value = vec![1; 2000];
    let rows: Vec<_> = keys.iter().map(|key| (key.as_slice(), Some(value.as_slice()))).collect();
    rig.write(1, &rows);
    rig.running.shutdown().unwrap();

    // redb's debug build reads everything at a start: the cache has room for little of it.
    let settings = Settings { cache_bytes: 16 * 1024, ..SETTINGS };
    let rig = Rig::start(Store::open_on(disk.boot(), settings).unwrap(), |_| ());
    disk.fail_reads("ringmaster.redb", 0..u64::MAX);
    rig.handle.load(load(&keys[100], Offset(1))).unwrap();
    let error = rig.fault();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
    let said = error.to_string();
    assert_eq!(said, "cannot read <disk>/ringmaster.redb", "the disk's words are the source");
    let late = rig.handle.commit(commit(2, &[(b"late", None)]));
    assert!(matches!(late, Ok(()) | Err(Refused::Stopped(_))));
    assert!(rig.running.shutdown().is_err());
    assert_eq!(rig.events.try_iter().count(), 0);
    assert_eq!(rig.faults.try_iter().count(), 0);
}

/// The tail of the log answers until the state has it, and a disk that does not give it back is a
/// fault too.
#[test]
fn a_row_in_the_tail_that_cannot_be_read_is_a_fault() {
    let (disk, _) = with_batches(1);
    let opened = Store::open_on(disk.boot(), TINY).unwrap();
    disk.fail_reads(&segment(1), 512..u64::MAX);
    let mut steps = opened.store.into_steps();
    let error = steps.load(load(b"shared", Offset(1))).unwrap_err();
    assert!(matches!(error, Error::Io { .. } | Error::LogRead { .. }), "{error:?}");
    let error = steps.apply().unwrap_err();
    assert!(matches!(error, Error::LogRead { .. }), "{error:?}");
}

#[test]
fn a_disk_without_space_is_a_fault_and_loses_nothing() {
    let disk = FaultDisk::default();
    let rig = Rig::start(Store::open_on(disk.boot(), TINY).unwrap(), |_| ());
    disk.set_free(Some(1024));
    let mut announced = 0;
    for number in 1..=20 {
        if rig.handle.commit(commit(number, &[(b"key", Some(&[1; 900]))])).is_err() {
            break;
        }
    }
    let error = rig.fault();
    assert!(matches!(error, Error::LogWrite { .. } | Error::Write { .. }), "{error:?}");
    assert!(rig.running.shutdown().is_err());
    announced += rig.events.try_iter().count() as u64;
    disk.crash_with(Fate::LoseAll);
    disk.set_free(None);
    let rig = Rig::start(Store::open_on(disk.boot(), TINY).unwrap(), |_| ());
    assert!(rig.durable >= Offset(announced));
    rig.write(1, &[(b"key", Some(b"more"))]);
    rig.running.shutdown().unwrap();
}

#[test]
fn writes_are_refused_while_there_is_little_space() {
    let disk = FaultDisk::default();
    let settings = Settings { min_free_bytes: 10_000, ..TINY };
    let rig = Rig::start(Store::open_on(disk.boot(), settings).unwrap(), |_| ());
    let until = |pressure| {
        while rig.handle.pressure() != pressure {
            std::thread::yield_now();
        }
    };
    until(Pressure::None);
    disk.set_free(Some(9_999));
    until(Pressure::Full);
    // What is under way goes on.
    rig.write(1, &[(b"key", Some(b"value"))]);
    disk.set_free(Some(1 << 20));
    until(Pressure::None);
    rig.running.shutdown().unwrap();
}

#[test]
fn the_log_waits_for_the_state_and_says_so() {
    let disk = FaultDisk::default();
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let is_watching = Arc::new(AtomicBool::new(false));
    let tap = {
        let (gate, is_watching) = (Arc::clone(&gate), Arc::clone(&is_watching));
        Arc::new(move |verb: &str, name: &str| {
            let is_checkpoint = verb == "sync" && name == "ringmaster.redb";
            if is_checkpoint && is_watching.load(Ordering::SeqCst) {
                let open = gate.1.wait_while(gate.0.lock().unwrap(), |is_open| !*is_open);
                drop(open.unwrap());
            }
        })
    };
    let watched: Arc<dyn Disk> = Arc::new(Watched { disk: disk.boot(), tap });
    // Room for ten entries of a sector; the eleventh waits. A group is one batch.
    let settings = Settings { backlog_bytes: 10 * 512, batch_bytes: 1, ..TINY };
    let rig = Rig::start(Store::open_on(watched, settings).unwrap(), |_| ());
    assert_eq!(rig.handle.pressure(), Pressure::None);
    *gate.0.lock().unwrap() = false;
    is_watching.store(true, Ordering::SeqCst);
    for number in 1..=30 {
        rig.handle.commit(commit(number, &[(b"key", Some(b"value"))])).unwrap();
    }
    for _ in 1..=10 {
        rig.event();
    }
    // Nothing can come, however long one waits, and the backlog is what the ten are.
    assert_eq!(rig.handle.backlog_bytes(), 10 * 512);
    assert_eq!(rig.handle.pressure(), Pressure::Behind);
    assert!(rig.events.try_recv().is_err());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for _ in 11..=30 {
        rig.event();
    }
    rig.applied(Offset(30));
    while rig.handle.pressure() != Pressure::None {
        std::thread::yield_now();
    }
    rig.running.shutdown().unwrap();
}

#[test]
fn without_threads_a_commit_brings_the_state_closer_where_the_log_would_wait() {
    let disk = FaultDisk::default();
    let settings = Settings { backlog_bytes: 4 * 512, ..TINY };
    let mut steps = Store::open_on(disk.boot(), settings.clone()).unwrap().store.into_steps();
    let mut model = Model::default();
    for number in 1..=5 {
        steps.commit(&model.offer(vec![changes(number, 10)])).unwrap();
    }
    model.announce_all();
    disk.crash_with(Fate::LoseAll);
    let opened = Store::open_on(disk.boot(), settings).unwrap();
    assert_eq!(opened.backlog_bytes, 512, "four were brought into the state before the fifth");
    model.check(&opened);
}

/// One transaction takes four of the six: the rows of the others are in the log only.
#[test]
fn the_tail_answers_until_the_state_has_all_of_it() {
    let disk = FaultDisk::default();
    let settings = Settings { backlog_bytes: 64 * 1024 * 1024, ..SETTINGS };
    let mut steps = Store::open_on(disk.boot(), settings.clone()).unwrap().store.into_steps();
    let mut model = Model::default();
    // More than one transaction takes.
    for number in 1..=20 {
        steps.commit(&model.offer(vec![changes(number, 1_000_000)])).unwrap();
    }
    disk.crash_with(Fate::LoseAll);
    let mut steps = Store::open_on(disk.boot(), settings).unwrap().store.into_steps();
    let mut transactions = 0;
    loop {
        steps.forget_snapshot();
        for (key, expected) in model.rows() {
            let answer = steps.load(load(key, Offset(20))).unwrap();
            let Event::Loaded { value, applied, .. } = answer else { panic!("no answer") };
            assert_eq!(applied, Offset(20));
            assert!(value.as_deref() == expected, "{}", String::from_utf8_lossy(key));
        }
        if !steps.apply().unwrap() {
            break;
        }
        transactions += 1;
    }
    assert_eq!(transactions, 2);
}
