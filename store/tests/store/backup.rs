//! Backups: made while others write, told whole from broken.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use base::Offset;
use faultdisk::{Fate, FaultDisk, Kind};
use store::{
    BackupOptions, Disk, Error, Extra, Key, OsDisk, Phase, RestoreOptions, Settings, Store, Until,
};

use crate::fixture::{Rig, SETTINGS, TABLE};
use crate::history::{History, SMALL, archive, go_on, restore, seeded, verify};

const KEY: [u8; 32] = [7; 32];

fn options(key: Option<Key>) -> BackupOptions {
    let extras = vec![Extra { name: "a.key".to_owned(), bytes: b"secret".to_vec() }];
    BackupOptions { key, extras, file_bytes: 16 * 1024, min_free_bytes: 0 }
}

fn protections() -> [Option<Key>; 2] {
    [None, Some(Key::new(KEY))]
}

fn restored_from(from: &FaultDisk, key: Option<Key>) -> FaultDisk {
    let to = FaultDisk::default();
    restore(from, &to, &RestoreOptions { key, ..RestoreOptions::default() }).unwrap();
    to
}

/// A small store with a state, and entries that the state has not.
fn small(seed: u64) -> History {
    let mut history = History::new(seed, 20, SMALL);
    (0..12).for_each(|_| history.write());
    history.settle();
    (0..3).for_each(|_| history.write());
    history
}

#[test]
fn a_backup_that_others_write_under_shows_the_state_at_its_end() {
    for seed in 0..2 {
        for key in protections() {
            let mut history = History::new(seed, 5000, SMALL_FILL);
            history.fill(5000);
            let (source, to) = (history.steps.source(), FaultDisk::default());
            let mut calls = 0;
            let mut last = None;
            let mut watch = |progress: store::Progress| {
                let now = (progress.phase, progress.done, progress.bytes);
                assert!(last.is_none_or(|last| last <= now), "{last:?}, then {now:?}");
                assert!(progress.done <= progress.total);
                last = Some(now);
                calls += u32::from(progress.phase == Phase::Copy);
                for _ in 0..20 {
                    history.write();
                    history.work();
                }
                ControlFlow::Continue(())
            };
            let made = store::backup(&source, &to.boot(), &options(key.clone()), &mut watch);
            let made = made.unwrap();
            assert!(calls > 4, "several chunks: {calls}");
            assert!(made.last < history.last() && made.last > made.first, "{made:?}");
            assert_eq!(made.time, history.times[usize::try_from(made.last.0).unwrap()]);
            assert_eq!(verify(&to, key.as_ref()).unwrap(), made);
            history.check_restored(&restored_from(&to, key), made.last);
        }
    }
}

#[test]
fn no_more_of_the_log_is_held_than_is_written_between_two_chunks() {
    let mut history = History::new(1, 8000, SMALL_FILL);
    history.fill(8000);
    let (source, disk) = (history.steps.source(), history.disk.clone());
    let segments = || disk.names().iter().filter(|name| name.ends_with(".log")).count();
    let (mut most, mut written) = (0, 0);
    let mut watch = |_| {
        (0..40).for_each(|_| history.write());
        history.settle();
        (most, written) = (segments().max(most), written + 40);
        ControlFlow::Continue(())
    };
    store::backup(&source, &FaultDisk::default().boot(), &options(None), &mut watch).unwrap();
    assert!(written >= 320, "{written} entries of at least a sector, 34 of which fill a segment");
    assert!(most <= 7, "{most} segments");
}

const SMALL_FILL: Settings =
    Settings { commit_bytes: 8192, segment_bytes: 512 + 2 * 8704, ..SMALL };

#[test]
fn a_backup_of_an_empty_store_is_one() {
    for key in protections() {
        let (history, to) = (History::new(1, 1, SMALL), FaultDisk::default());
        let made = history.backup(&to, &options(key.clone())).unwrap();
        assert_eq!((made.rows, made.entries, made.last), (0, 0, Offset(0)));
        history.check_restored(&restored_from(&to, key), Offset(0));
    }
}

#[test]
fn a_restored_store_is_backed_up_and_restored_again() {
    let history = small(1);
    let first = FaultDisk::default();
    history.backup(&first, &options(None)).unwrap();
    let disk = restored_from(&first, None);
    assert_eq!(disk.read_all("a.key"), b"secret");
    let opened = Store::open_on(disk.boot(), SMALL).unwrap();
    assert_eq!((opened.incarnation, opened.durable), (2, history.last()));
    let (steps, second) = (opened.store.into_steps(), FaultDisk::default());
    let made = store::backup(&steps.source(), &second.boot(), &options(None), &mut go_on).unwrap();
    assert_eq!(made.last, history.last());
    history.check_restored(&restored_from(&second, None), history.last());
}

#[test]
fn threads_that_write_meanwhile_do_no_harm() {
    let (data, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rig = Rig::open(data.path());
    let value = |number: u64| format!("{number:0>900}");
    let put = |number: u64| {
        let key = format!("key-{:05}", number.wrapping_mul(7919) % 5000);
        let changes = [(key.as_bytes(), Some(value(number)))];
        let changes =
            changes.each_ref().map(|(key, value)| (*key, value.as_deref().map(str::as_bytes)));
        rig.write(number, &changes);
    };
    (1..=5000).for_each(put);
    rig.applied(Offset(5000));
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(5000));
    let to: Arc<dyn Disk> = Arc::new(OsDisk::make(&copies.path().join("a")).unwrap());
    let handle = rig.handle.clone();
    let made = thread::scope(|scope| {
        let backup = scope.spawn(|| {
            let made = store::backup(handle.source(), &to, &options(None), &mut go_on);
            stop.store(true, Ordering::SeqCst);
            made
        });
        let mut number = 5000;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            put(number);
        }
        written.store(number, Ordering::SeqCst);
        backup.join().unwrap()
    });
    let made = made.unwrap();
    let written = written.load(Ordering::SeqCst);
    assert!((5000..=written).contains(&made.last.0), "{made:?} of {written}");
    rig.running.shutdown().unwrap();
    let closed = store::backup(handle.source(), &to, &options(None), &mut go_on);
    assert!(matches!(closed, Err(Error::NotEmpty { .. })));

    let restored = copies.path().join("deep").join("b");
    let from = OsDisk::read_only(&copies.path().join("a")).unwrap();
    store::restore(&from, &restored, &RestoreOptions::default(), &mut go_on).unwrap();
    let opened = Store::open(&restored, SETTINGS).unwrap();
    assert_eq!(opened.durable, made.last);
    let newest: std::collections::BTreeMap<_, _> =
        (1..=made.last.0).map(|n| (n.wrapping_mul(7919) % 5000, n)).collect();
    assert_eq!(newest.len() as u64, made.rows.max(5000));
    for (key, number) in newest {
        let found = opened.store.read(TABLE, format!("key-{key:05}").as_bytes()).unwrap();
        assert_eq!(found.unwrap(), value(number), "{key}");
    }
}

#[test]
fn a_store_that_is_closed_is_not_copied() {
    let rig = Rig::open_on(FaultDisk::default().boot());
    rig.write(1, &[(b"a", Some(b"1"))]);
    let handle = rig.handle.clone();
    rig.running.shutdown().unwrap();
    let to = FaultDisk::default();
    let made = store::backup(handle.source(), &to.boot(), &options(None), &mut go_on);
    assert!(matches!(made, Err(Error::Poisoned { .. })));
    assert!(to.names().is_empty());
}

#[test]
fn a_backup_that_is_given_up_leaves_nothing() {
    let history = small(2);
    let mut calls = 0;
    history.backup(&FaultDisk::default(), &options(None)).unwrap();
    for given_up in 1.. {
        let to = FaultDisk::default();
        calls = 0;
        let mut watch = |_| {
            calls += 1;
            if calls == given_up { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let source = history.steps.source();
        match store::backup(&source, &to.boot(), &options(None), &mut watch) {
            Err(Error::Abandoned { .. }) => assert!(to.names().is_empty()),
            made => {
                made.unwrap();
                break;
            }
        }
    }
    assert!(calls >= 2);
}

#[test]
fn a_backup_leaves_the_store_the_space_that_it_needs() {
    let (mut history, to) = (History::new(1, 5000, SMALL_FILL), FaultDisk::default());
    history.fill(5000);
    to.set_free(Some(100_000));
    let with = |min_free_bytes| BackupOptions { min_free_bytes, ..options(None) };
    let refused = history.backup(&to, &with(60_000));
    assert!(matches!(refused, Err(Error::BackupSpace { least: 60_000, .. })), "{refused:?}");
    assert!(to.names().is_empty());
    to.set_free(Some(200_000));
    history.backup(&to, &with(60_000)).unwrap();
    let full = FaultDisk::default();
    full.set_free(Some(50_000));
    assert!(matches!(history.backup(&full, &with(0)), Err(Error::Io { .. })));
    assert!(full.names().is_empty());
}

/// A start serves before the state has what the log has.
#[test]
fn a_backup_begins_before_a_start_has_applied_everything() {
    let mut history = small(12);
    (0..5).for_each(|_| history.write());
    history.disk.kill();
    let opened = Store::open_on(history.disk.boot(), SMALL).unwrap();
    assert!(opened.backlog_bytes > 0);
    let (steps, to) = (opened.store.into_steps(), FaultDisk::default());
    let made = store::backup(&steps.source(), &to.boot(), &options(None), &mut go_on).unwrap();
    assert!(made.first < made.last && made.last == history.last(), "{made:?}");
    history.check_restored(&restored_from(&to, None), history.last());
}

#[test]
fn a_backup_goes_into_an_empty_folder_only() {
    let (history, to) = (small(3), FaultDisk::default());
    to.overwrite("a", b"mine");
    let error = history.backup(&to, &options(None)).unwrap_err();
    assert!(matches!(&error, Error::NotEmpty { name, .. } if name == "a"), "{error}");
    assert_eq!(to.read_all("a"), b"mine");

    let from = FaultDisk::default();
    history.backup(&from, &options(None)).unwrap();
    let error = restore(&from, &to, &RestoreOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    assert_eq!(to.names(), ["a"]);
}

#[test]
fn an_operation_that_fails_leaves_no_backup_and_a_second_try_works() {
    let history = small(4);
    for key in protections() {
        for n in 1.. {
            let to = FaultDisk::default();
            to.fail_nth(Kind::Any, n);
            if history.backup(&to, &options(key.clone())).is_ok() {
                assert!(n > 10, "{n}");
                break;
            }
            to.live_on();
            assert!(to.names().is_empty(), "{n}: {:?}", to.names());
            let mut rng = seeded(n);
            to.fork().crash(&mut rng);
            let made = history.backup(&to, &options(key.clone())).unwrap();
            to.crash_with(Fate::LoseAll);
            assert_eq!(verify(&to, key.as_ref()).unwrap(), made);
        }
    }
}

#[test]
fn a_disk_that_dies_leaves_a_whole_backup_or_none() {
    let history = small(5);
    for n in 0.. {
        let to = FaultDisk::default();
        to.fail_after(n);
        let made = history.backup(&to, &options(None));
        let mut rng = seeded(n);
        let mut fates: Vec<FaultDisk> = Vec::new();
        for fate in [Fate::LoseAll, Fate::KeepAll, Fate::KeepNames] {
            let fork = to.fork();
            fork.crash_with(fate);
            fates.push(fork);
        }
        for _ in 0..4 {
            let fork = to.fork();
            fork.crash(&mut rng);
            fates.push(fork);
        }
        for disk in fates {
            match (verify(&disk, None), &made) {
                (Ok(found), _) => {
                    assert_eq!(found.last, history.last());
                    history.check_restored(&restored_from(&disk, None), found.last);
                }
                (Err(_), Err(_)) => {}
                (Err(error), Ok(_)) => panic!("it was made: {error}"),
            }
        }
        if made.is_ok() {
            break;
        }
    }
}

#[test]
fn every_byte_that_changes_is_noticed() {
    let mut history = History::new(6, 3, SMALL);
    history.write();
    history.settle();
    history.write();
    for key in protections() {
        let disk = FaultDisk::default();
        history.backup(&disk, &options(key.clone())).unwrap();
        verify(&disk, key.as_ref()).unwrap();
        for name in disk.names() {
            let bytes = disk.read_all(&name);
            for at in 0..bytes.len() as u64 {
                let bit = (at % 8) as u8;
                disk.flip_bit(&name, at, bit);
                assert!(verify(&disk, key.as_ref()).is_err(), "byte {at} of {name}");
                disk.flip_bit(&name, at, bit);
                disk.cut(&name, at);
                assert!(verify(&disk, key.as_ref()).is_err(), "{at} bytes of {name}");
                disk.overwrite(&name, &bytes);
            }
            disk.overwrite(&name, &[&bytes[..], &[0]].concat());
            assert!(verify(&disk, key.as_ref()).is_err(), "a byte more in {name}");
            disk.overwrite(&name, &bytes);
        }
        verify(&disk, key.as_ref()).unwrap();
    }
}

#[test]
fn files_of_one_backup_are_not_those_of_another() {
    let mut history = small(7);
    for key in protections() {
        let (before, after) = (FaultDisk::default(), FaultDisk::default());
        history.backup(&before, &options(key.clone())).unwrap();
        history.write();
        history.settle();
        history.backup(&after, &options(key.clone())).unwrap();
        for name in ["rows-000001", "manifest"] {
            let kept = after.read_all(name);
            after.overwrite(name, &before.read_all(name));
            assert!(verify(&after, key.as_ref()).is_err(), "{name}");
            after.overwrite(name, &kept);
        }
        verify(&after, key.as_ref()).unwrap();
    }
}

#[test]
fn a_key_that_is_wrong_missing_or_too_much_is_named() {
    let history = small(8);
    let (plain, encrypted) = (FaultDisk::default(), FaultDisk::default());
    history.backup(&plain, &options(None)).unwrap();
    history.backup(&encrypted, &options(Some(Key::new(KEY)))).unwrap();
    let wrong = Key::new([8; 32]);
    assert!(matches!(verify(&encrypted, Some(&wrong)), Err(Error::BackupKey { .. })));
    assert!(matches!(verify(&encrypted, None), Err(Error::BackupEncrypted { .. })));
    assert!(matches!(verify(&plain, Some(&wrong)), Err(Error::BackupPlain { .. })));
    assert!(matches!(verify(&FaultDisk::default(), None), Err(Error::NoBackup { .. })));
    let secret = b"secret";
    let shows = |disk: &FaultDisk, name: &str| {
        disk.read_all(name).windows(secret.len()).any(|part| part == secret)
    };
    assert!(shows(&plain, "file-a.key") && !shows(&encrypted, "file-a.key"));
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_a_second_try_works() {
    let (history, from) = (small(9), FaultDisk::default());
    history.backup(&from, &options(None)).unwrap();
    for n in 1.. {
        let to = FaultDisk::default();
        to.fail_nth(Kind::Any, n);
        if restore(&from, &to, &RestoreOptions::default()).is_ok() {
            assert!(n > 10, "{n}");
            break;
        }
        to.live_on();
        assert!(to.names().is_empty(), "{n}: {:?}", to.names());
        restore(&from, &to, &RestoreOptions::default()).unwrap();
        history.check_restored(&to, history.last());
    }
}

#[test]
fn a_restore_that_is_cut_short_starts_no_server_and_can_be_done_again() {
    let (history, from) = (small(10), FaultDisk::default());
    history.backup(&from, &options(None)).unwrap();
    for n in 0.. {
        let to = FaultDisk::default();
        to.fail_after(n);
        let restored = restore(&from, &to, &RestoreOptions::default());
        let mut rng = seeded(n);
        for round in 0..4 {
            let disk = to.fork();
            match round {
                0 => drop(disk.crash_with(Fate::LoseAll)),
                1 => drop(disk.crash_with(Fate::KeepAll)),
                _ => drop(disk.crash(&mut rng)),
            }
            check_crashed(&history, &from, &disk);
            if restored.is_ok() {
                history.check_restored(&disk, history.last());
            }
        }
        if restored.is_ok() {
            break;
        }
    }
}

/// Empty, refused, or whole; and a restore into it works unless it is whole.
fn check_crashed(history: &History, from: &FaultDisk, disk: &FaultDisk) {
    if disk.names().is_empty() {
        return;
    }
    match Store::open_on(disk.fork().boot(), SMALL) {
        Ok(opened) => assert_eq!(opened.durable, history.last(), "{:?}", disk.names()),
        Err(Error::RestoreUnfinished { .. }) => {
            let checked = store::check_on(&*disk.boot()).unwrap();
            assert!(matches!(checked.problems[..], [Error::RestoreUnfinished { .. }]));
            restore(from, disk, &RestoreOptions::default()).unwrap();
            history.check_restored(disk, history.last());
        }
        Err(error) => panic!("{error}; {:?}", disk.names()),
    }
}

/// A backup, and what was archived before and after it.
fn archived() -> (History, FaultDisk, FaultDisk, Offset) {
    let archive_disk = FaultDisk::default();
    let settings = Settings { archive: archive(&archive_disk), ..SMALL };
    let mut history = History::new(11, 20, settings);
    (0..30).for_each(|_| history.write());
    history.settle();
    (0..5).for_each(|_| history.write());
    let copy = FaultDisk::default();
    let made = history.backup(&copy, &options(None)).unwrap();
    for _ in 0..60 {
        history.write();
        history.work();
    }
    history.settle();
    (history, copy, archive_disk, made.last)
}

fn until(until: Until, archives: &[&FaultDisk]) -> RestoreOptions {
    let archives = archives.iter().map(|disk| disk.boot()).collect();
    RestoreOptions { key: None, until, archives }
}

/// The last offset that backup and archive have.
fn end_of(copy: &FaultDisk, archives: &[&FaultDisk]) -> (Offset, u64) {
    let beyond = until(Until::Offset(Offset(u64::MAX)), archives);
    match restore(copy, &FaultDisk::default(), &beyond) {
        Err(Error::TargetBeyond { last, time }) => (last, time),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_offset_of_an_archive_can_be_restored() {
    let (history, copy, archive, backed_up) = archived();
    let (end, _) = end_of(&copy, &[&archive]);
    assert!(end > backed_up && end < history.last(), "{backed_up:?} to {end:?}");
    for offset in backed_up.0..=end.0 {
        let to = FaultDisk::default();
        let options = until(Until::Offset(Offset(offset)), &[&archive]);
        let restored = restore(&copy, &to, &options).unwrap();
        assert_eq!((restored.offset, restored.epoch), (Offset(offset), 2));
        history.check_restored(&to, Offset(offset));
    }
    let before = until(Until::Offset(Offset(backed_up.0 - 1)), &[&archive]);
    let refused = restore(&copy, &FaultDisk::default(), &before);
    assert!(matches!(refused, Err(Error::TargetBefore { last, .. }) if last == backed_up));
    let beyond = until(Until::Offset(Offset(end.0 + 1)), &[&archive]);
    let (to, refused) = (FaultDisk::default(), Error::TargetBeyond { last: end, time: 0 });
    let error = restore(&copy, &to, &beyond).unwrap_err();
    assert!(std::mem::discriminant(&error) == std::mem::discriminant(&refused), "{error}");
    assert!(to.names().is_empty());
}

#[test]
fn a_time_means_everything_up_to_it() {
    let (history, copy, archive, backed_up) = archived();
    let (end, end_time) = end_of(&copy, &[&archive]);
    let begin = history.times[usize::try_from(backed_up.0).unwrap()];
    for time in (begin..=end_time).step_by(5) {
        let to = FaultDisk::default();
        let restored = restore(&copy, &to, &until(Until::Time(time), &[&archive])).unwrap();
        let ends = usize::try_from(end.0).unwrap();
        let expected = (0..=ends).rev().find(|offset| history.times[*offset] <= time).unwrap();
        assert_eq!(restored.offset.0, expected as u64, "{time}");
        history.check_restored(&to, restored.offset);
    }
    for (time, is_before) in [(begin - 1, true), (end_time + 1, false)] {
        let to = FaultDisk::default();
        let refused = restore(&copy, &to, &until(Until::Time(time), &[&archive]));
        match refused {
            Err(Error::TargetBefore { .. }) if is_before => {}
            Err(Error::TargetBeyond { last, .. }) if !is_before => assert_eq!(last, end),
            other => panic!("{time}: {other:?}"),
        }
    }
}

#[test]
fn what_is_left_of_a_data_folder_goes_on_where_the_archive_ends() {
    let (history, copy, archive, _) = archived();
    let (end, _) = end_of(&copy, &[&archive, &history.disk]);
    assert_eq!(end, history.last());
    let to = FaultDisk::default();
    restore(&copy, &to, &until(Until::Offset(end), &[&archive, &history.disk])).unwrap();
    history.check_restored(&to, end);
}

#[test]
fn an_archive_is_followed_up_to_where_it_breaks() {
    let (_, copy, archive, _) = archived();
    let (end, _) = end_of(&copy, &[&archive]);
    let names = archive.names();
    let last = names.last().unwrap();
    let bytes = archive.read_all(last);
    archive.flip_bit(last, 600, 3);
    let (before, _) = end_of(&copy, &[&archive]);
    assert!(before < end);
    archive.overwrite(last, &bytes);
    assert_eq!(end_of(&copy, &[&archive]).0, end);
    // One that is missing in the middle.
    let middle = &names[names.len() - 2];
    archive.boot().rename(middle, "elsewhere").unwrap();
    assert!(end_of(&copy, &[&archive]).0 < before);
}

#[test]
fn a_folder_that_is_not_there_is_no_backup() {
    assert!(OsDisk::read_only(Path::new("/nonexistent")).is_err());
}
