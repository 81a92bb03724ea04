//! What is answered, and in which order.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use base::{BatchId, Offset, ShardId};
use store::{Commit, Error, Event, KEY_MAX, Refused, Settings, Store};

use crate::fixture::{HOME, OTHER, Rig, SETTINGS, commit, frame, load};
use crate::timeline::{History, SMALL};

#[test]
fn what_is_written_is_read_and_what_is_deleted_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    assert_eq!(rig.read(b"key", Offset(0)), (None, Offset(0)));
    let offset = rig.write(1, &[(b"key", Some(b"one")), (b"", Some(b""))]);
    assert_eq!(
        rig.read(b"key", offset),
        (Some("one".into()), Offset(1)),
        "a load sees the offset that it demands"
    );
    assert_eq!(rig.read(b"", offset).0.unwrap(), "");
    for number in 2..20 {
        let value = number.to_string();
        let offset = rig.write(number, &[(b"key", Some(value.as_bytes()))]);
        assert_eq!(rig.read(b"key", offset), (Some(value.into()), offset));
    }
    let offset = rig.write(20, &[(b"key", None)]);
    assert_eq!(rig.read(b"key", offset), (None, offset));
    rig.running.shutdown().unwrap();
}

#[test]
fn the_later_of_two_changes_of_one_key_wins() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let mut twice = commit(1, &[(b"a", Some(b"1")), (b"a", Some(b"2"))]);
    twice.frames.push(frame(&[(b"a", Some(b"3")), (b"b", Some(b"4"))]));
    twice.frames.push(frame(&[(b"b", None)]));
    rig.handle.commit(twice).unwrap();
    rig.event();
    assert_eq!(rig.read(b"a", Offset(1)).0.unwrap(), "3");
    assert_eq!(rig.read(b"b", Offset(1)).0, None);
}

/// The commit thread is held inside the first announcement until everything else is queued.
fn held(settings: Settings) -> (Rig, impl FnOnce(), tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (release, released) = channel::<()>();
    let (arrived_in, arrived) = channel();
    let released = Mutex::new(released);
    let opened = Store::open(dir.path(), settings).unwrap();
    let rig = Rig::start(opened, move |event| {
        if let Event::Durable { batch, .. } = event
            && batch.number == 0
        {
            arrived_in.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
    });
    rig.handle.commit(commit(0, &[])).unwrap();
    arrived.recv().unwrap();
    (rig, move || release.send(()).unwrap(), dir)
}

/// The batch and the offset of an announcement, and whom it told.
fn announced((shard, event): (ShardId, Event)) -> (ShardId, BatchId, Offset) {
    let Event::Durable { batch, offset, applied } = event else {
        panic!("not an announcement: {event:?}")
    };
    assert!(applied <= offset, "what is not durable is not applied");
    (shard, batch, offset)
}

fn durable(number: u64, offset: u64) -> (ShardId, BatchId, Offset) {
    (HOME, BatchId { shard: HOME, number }, Offset(offset))
}

#[test]
fn everything_queued_becomes_durable_in_one_entry_in_order() {
    let (rig, release, _dir) = held(SETTINGS);
    for number in 1..=100 {
        let key = number.to_string();
        let change = (key.as_bytes(), Some(b"value".as_slice()));
        rig.handle.commit(commit(number, &[change])).unwrap();
    }
    release();
    assert_eq!(announced(rig.event()), durable(0, 1));
    for number in 1..=100 {
        assert_eq!(announced(rig.event()), durable(number, number + 1));
    }
    assert_eq!(rig.read(b"100", Offset(101)).1, Offset(101));
}

#[test]
fn every_batch_entry_and_load_is_measured() {
    let (rig, release, _dir) = held(SETTINGS);
    for number in 1..=100 {
        rig.handle.commit(commit(number, &[(b"key", Some(b"value"))])).unwrap();
    }
    assert_eq!(rig.handle.queued_commits(), 100);
    release();
    (0..=100).for_each(|_| drop(rig.event()));
    rig.read(b"key", Offset(101));
    let stats = rig.handle.stats();
    assert_eq!(rig.handle.queued_commits() + rig.handle.queued_loads(), 0);
    assert_eq!(stats.commit_seconds().count(), 101);
    assert_eq!(stats.sync_seconds().count(), 2);
    let (batches, bytes) = (stats.entry_batches(), stats.entry_bytes());
    let frames = |number, changes| commit(number, changes).frames[0].as_bytes().len();
    let changes = frames(0, &[]) + 100 * frames(1, &[(b"key", Some(b"value"))]);
    // Two headers; of each batch its number of frames, and the length of the one.
    let expected = 2 * 56 + 101 * 8 + changes;
    assert_eq!((batches.count(), batches.sum()), (2, 101));
    assert_eq!((bytes.count(), bytes.sum()), (2, expected as u64));
    assert_eq!(stats.load_seconds().count(), 1);
}

#[test]
fn an_entry_takes_no_more_bytes_than_the_setting_unless_one_commit_has_more() {
    let value = [1; 300];
    let small = |number| commit(number, &[(b"key", Some(&value))]);
    let size = small(1).frames[0].as_bytes().len();
    let (rig, release, _dir) = held(Settings { batch_bytes: size * 2, ..SETTINGS });
    for number in 1..=3 {
        rig.handle.commit(small(number)).unwrap();
    }
    let large = [2; 3000];
    rig.handle.commit(commit(4, &[(b"key", Some(&large))])).unwrap();
    rig.handle.commit(small(5)).unwrap();
    release();
    for expected in
        [durable(0, 1), durable(1, 2), durable(2, 3), durable(3, 4), durable(4, 5), durable(5, 6)]
    {
        assert_eq!(announced(rig.event()), expected);
    }
}

#[test]
fn every_holder_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let shared = Commit { holders: vec![OTHER, HOME], ..commit(9, &[(b"key", Some(b"value"))]) };
    rig.handle.commit(shared).unwrap();
    let (_, batch, offset) = durable(9, 1);
    assert_eq!(announced(rig.event()), (OTHER, batch, offset));
    assert_eq!(announced(rig.event()), (HOME, batch, offset));
}

#[test]
fn a_full_queue_gives_the_commit_back() {
    let (rig, release, _dir) = held(Settings { queue: 1, ..SETTINGS });
    rig.handle.commit(commit(1, &[])).unwrap();
    let refused = rig.handle.commit(commit(2, &[])).unwrap_err();
    assert!(matches!(refused, Refused::Full(given) if given.batch.number == 2));
    release();
}

#[test]
fn a_shutdown_commits_and_answers_what_is_queued_and_then_refuses() {
    let (rig, release, dir) = held(SETTINGS);
    for number in 1..=50 {
        rig.handle.commit(commit(number, &[])).unwrap();
    }
    rig.applied(Offset(1));
    rig.handle.load(load(b"key", Offset(1))).unwrap();
    release();
    rig.running.shutdown().unwrap();
    let announced: Vec<_> = rig.events.try_iter().collect();
    assert_eq!(announced.len(), 52);
    let refused = rig.handle.commit(commit(51, &[]));
    assert!(matches!(refused, Err(Refused::Stopped(_))));
    let refused = rig.handle.load(load(b"key", Offset(0)));
    assert!(matches!(refused, Err(Refused::Stopped(_))));
    assert_eq!(Rig::open(dir.path()).durable, Offset(51));
}

#[test]
fn the_longest_key_is_stored_and_a_longer_one_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    let longest = vec![7; KEY_MAX];
    rig.write(1, &[(&longest, Some(b"value"))]);
    assert_eq!(rig.read(&longest, Offset(1)).0.unwrap(), "value");

    let longer = vec![7; KEY_MAX + 1];
    assert_eq!(rig.read(&longer, Offset(1)).0, None);
    let refused = commit(2, &[(&longer, Some(b"value"))]);
    rig.handle.commit(refused).unwrap();
    assert!(matches!(
        rig.fault(),
        Error::KeyTooLong { len, .. } if len == KEY_MAX + 1
    ));
    assert_eq!(rig.events.try_iter().count(), 0);
}

/// A shard that demands what was never announced has a bug, and the process must not go on.
#[test]
fn a_load_from_the_future_is_reported_as_a_panic_of_its_thread() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(dir.path());
    rig.handle.load(load(b"key", Offset(1))).unwrap();
    assert!(matches!(rig.fault(), Error::Panicked { name, .. } if name.starts_with("store-read-")));
    assert!(matches!(rig.running.shutdown(), Err(Error::Poisoned { .. })));
    assert_eq!(rig.events.try_iter().count(), 0);
}

/// The applier stands at the end of a segment that is put away before it goes on.
#[test]
fn a_segment_is_put_away_though_the_applier_still_points_at_it() {
    let mut history = History::new(1, 20, SMALL);
    for _ in 0..50 {
        history.write();
        history.steps.keep().unwrap();
        while history.steps.apply().unwrap() {}
        history.steps.checkpoint().unwrap();
    }
    assert_eq!(history.steps.applied(), history.last());
}
