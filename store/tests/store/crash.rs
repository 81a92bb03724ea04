//! Crash images and failing disks.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::{Offset, Rng};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use store::{Error, Event, Refused, Store};

use crate::fixture::{Rig, SETTINGS, commit, load};

/// One step of the history from which crash images are made.
#[derive(Clone, Debug)]
enum Step {
    SetLen(u64),
    Write(u64, Vec<u8>),
    Sync,
    /// Not the disk's: a batch was announced as durable.
    Announced(Offset),
}

/// A disk in memory that writes down all that happens to it.
#[derive(Clone, Debug, Default)]
struct Recorder {
    disk: Arc<Mutex<Vec<u8>>>,
    history: Arc<Mutex<Vec<Step>>>,
}

impl Recorder {
    fn record(&self, step: Step) {
        self.history.lock().unwrap().push(step);
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = disk.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.record(Step::SetLen(len));
        set_len(&mut self.disk.lock().unwrap(), len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.record(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.record(Step::Write(offset, data.to_vec()));
        write(&mut self.disk.lock().unwrap(), offset, data);
        Ok(())
    }
}

fn set_len(disk: &mut Vec<u8>, len: u64) {
    disk.resize(usize::try_from(len).unwrap(), 0);
}

fn write(disk: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    if disk.len() < start + data.len() {
        disk.resize(start + data.len(), 0);
    }
    disk[start..start + data.len()].copy_from_slice(data);
}

/// What a crash leaves: everything synced, and of the rest whatever the disk had got to, in any
/// order, each write whole, absent, or cut at a sector.
fn crash_image(history: &[Step], rng: &mut Rng) -> Vec<u8> {
    const SECTOR: usize = 512;
    let synced =
        history.iter().rposition(|step| matches!(step, Step::Sync)).map_or(0, |last| last + 1);
    let mut disk = Vec::new();
    for (index, step) in history.iter().enumerate() {
        let fate = if index < synced { 0 } else { rng.below(4) };
        match (step, fate) {
            (Step::SetLen(len), 0 | 1) => set_len(&mut disk, *len),
            (Step::Write(offset, data), 0 | 1) => write(&mut disk, *offset, data),
            (Step::Write(offset, data), 2) => {
                let sectors = u32::try_from(data.len() / SECTOR).unwrap();
                let kept = rng.below(sectors + 1) as usize * SECTOR;
                write(&mut disk, *offset, &data[..kept]);
            }
            (Step::SetLen(_) | Step::Write(..) | Step::Sync | Step::Announced(_), _) => {}
        }
    }
    disk
}

fn in_memory(bytes: &[u8]) -> InMemoryBackend {
    let backend = InMemoryBackend::new();
    backend.set_len(bytes.len() as u64).unwrap();
    backend.write(0, bytes).unwrap();
    backend
}

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Batch `number`: rows of its own, of all sizes; a group of rows that every batch rewrites; and
/// now and then deletions.
fn changes(number: u64, rng: &mut Rng) -> Changes {
    let mut changes = Vec::new();
    for row in 0..1 + rng.below(4) {
        let len = rng.below(if number.is_multiple_of(8) { 40_000 } else { 600 });
        let key = format!("own-{number}-{row}").into_bytes();
        changes.push((key, Some(vec![number.to_le_bytes()[0]; len as usize])));
    }
    for row in 0..5 {
        let key = format!("shared-{row}").into_bytes();
        changes.push((key, Some(number.to_string().into_bytes())));
    }
    if number > 4 {
        changes.push((format!("own-{}-0", number - 4).into_bytes(), None));
    }
    changes
}

fn borrowed(changes: &Changes) -> Vec<(&[u8], Option<&[u8]>)> {
    let pairs = changes.iter();
    pairs.map(|(key, value)| (key.as_slice(), value.as_deref())).collect()
}

const BATCHES: u64 = 80;

#[test]
fn a_crash_at_any_point_keeps_what_was_announced_and_only_whole_batches() {
    let mut rng = Rng::from_seed([3; 32]);
    let batches: Vec<Changes> = (1..=BATCHES).map(|n| changes(n, &mut rng)).collect();
    let recorder = Recorder::default();
    let opened = Store::open_with_backend(recorder.clone(), SETTINGS).unwrap();
    // The first start has to be over: a folder's file gets its name only when it is whole.
    let born = recorder.history.lock().unwrap().len();
    let tap = recorder.clone();
    let rig = Rig::start(opened, move |event| {
        if let Event::Durable { offset, .. } = event {
            tap.record(Step::Announced(*offset));
        }
    });
    let mut waiting = 0;
    for (number, batch) in (1..).zip(&batches) {
        rig.handle.commit(commit(number, &borrowed(batch))).unwrap();
        waiting += 1;
        // Sometimes one batch in flight, sometimes several.
        if rng.below(2) == 0 {
            for _ in 0..waiting {
                rig.event();
            }
            waiting = 0;
        }
    }
    rig.running.shutdown().unwrap();

    let history = recorder.history.lock().unwrap().clone();
    let steps = u32::try_from(history.len() - born).unwrap();
    for _ in 0..120 {
        let point = born + rng.below(steps + 1) as usize;
        let image = crash_image(&history[..point], &mut rng);
        check_image(&image, &history[..point], &batches);
    }
}

fn check_image(image: &[u8], history: &[Step], batches: &[Changes]) {
    let announced = history.iter().filter_map(|step| match step {
        Step::Announced(offset) => Some(*offset),
        Step::SetLen(_) | Step::Write(..) | Step::Sync => None,
    });
    let announced = announced.max().unwrap_or_default();

    let rig = Rig::open_with(in_memory(image));
    assert_eq!(rig.incarnation, 2);
    assert!(rig.applied >= announced, "an announced batch is lost");
    // The batches are numbered as their offsets are.
    let whole = usize::try_from(rig.applied.0).unwrap();
    let mut model = BTreeMap::new();
    for (key, value) in batches[..whole].iter().flatten() {
        model.insert(key, value.as_ref());
    }
    for (key, _) in batches.iter().flatten() {
        let (value, applied) = rig.read(key, rig.applied);
        assert_eq!(applied, rig.applied);
        let expected = model.get(key).copied().flatten();
        assert!(
            value.as_deref() == expected.map(Vec::as_slice),
            "{} is not as the batches up to {} left it",
            String::from_utf8_lossy(key),
            rig.applied.0
        );
    }
    let next = rig.write(1, &[(b"after", Some(b"the crash"))]);
    assert_eq!(next, Offset(rig.applied.0 + 1));
    rig.running.shutdown().unwrap();
}

/// A disk whose syncs or reads fail from a certain moment on.
#[derive(Clone, Debug)]
struct Failing {
    disk: Arc<InMemoryBackend>,
    syncs_fail: Arc<AtomicBool>,
    reads_fail: Arc<AtomicBool>,
    syncs: Arc<AtomicU64>,
}

impl Failing {
    fn new() -> Failing {
        Failing {
            disk: Arc::new(InMemoryBackend::new()),
            syncs_fail: Arc::default(),
            reads_fail: Arc::default(),
            syncs: Arc::default(),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.reads_fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk does not read"));
        }
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.syncs_fail.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk does not sync"));
        }
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}

#[test]
fn after_a_failed_sync_nothing_is_announced_and_nothing_is_tried_again() {
    let backend = Failing::new();
    let rig = Rig::open_with(backend.clone());
    rig.write(1, &[(b"a", Some(b"1"))]);

    backend.syncs_fail.store(true, Ordering::SeqCst);
    for number in 2..10 {
        // The store may have noticed after any of them.
        match rig.handle.commit(commit(number, &[(b"a", Some(b"2"))])) {
            Ok(()) | Err(Refused::Stopped(_)) => {}
            Err(Refused::Full(_)) => panic!("the queue is longer than that"),
        }
    }
    let error = rig.fault();
    assert!(matches!(error, Error::Write { .. }), "{error:?}");
    let syncs = backend.syncs.load(Ordering::SeqCst);
    backend.syncs_fail.store(false, Ordering::SeqCst);

    let refused = rig.running.shutdown();
    assert!(matches!(refused, Err(Error::Poisoned { .. })));
    assert_eq!(rig.events.try_iter().count(), 0);
    assert_eq!(rig.faults.try_iter().count(), 0);
    assert_eq!(backend.syncs.load(Ordering::SeqCst), syncs);
}

#[test]
fn after_a_failed_read_nothing_is_answered_and_nothing_is_announced() {
    let backend = Failing::new();
    let rig = Rig::open_with(backend.clone());
    // Enough rows for a tree of two levels, whose root alone is read at the start.
    let keys: Vec<_> = (0..200_u64).map(u64::to_be_bytes).collect();
    let value = vec![1; 2000];
    let rows: Vec<_> = keys.iter().map(|key| (key.as_slice(), Some(value.as_slice()))).collect();
    rig.write(1, &rows);
    rig.running.shutdown().unwrap();

    // A new start has nothing cached.
    let rig = Rig::open_with(backend.clone());
    backend.reads_fail.store(true, Ordering::SeqCst);
    rig.handle.load(load(&keys[100], Offset(1))).unwrap();
    let error = rig.fault();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
    assert_eq!(error.to_string(), "cannot read <backend>", "the disk's own words are the source");
    let late = rig.handle.commit(commit(2, &[(b"late", None)]));
    assert!(matches!(late, Ok(()) | Err(Refused::Stopped(_))));
    assert!(rig.running.shutdown().is_err());
    assert_eq!(rig.events.try_iter().count(), 0);
    assert_eq!(rig.faults.try_iter().count(), 0);
}
