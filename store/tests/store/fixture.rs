//! A started store whose events and faults arrive in channels, and backends that misbehave.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::change::Change;
use base::{BatchId, Frame, Offset, ShardId, Table};
use bytes::Bytes;
use store::{Commit, Disk, Error, Event, Handle, Load, Opened, Running, Settings, Sink, Store};

pub const HOME: ShardId = ShardId(0);
pub const OTHER: ShardId = ShardId(1);
/// One of which ranges are read.
pub const TABLE: Table = Table(16);

/// Small, so that a test sees many segments.
pub const SETTINGS: Settings = Settings {
    readers: 2,
    queue: 4096,
    batch_bytes: 1024 * 1024,
    commit_bytes: 1024 * 1024,
    segment_bytes: 1024 * 1024 + 64 * 1024,
    backlog_bytes: 16 * 1024 * 1024,
    apply_bytes: 16 * 1024 * 1024,
    archive: None,
    min_free_bytes: 0,
    cache_bytes: 1024 * 1024,
};

/// Long enough for any machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rig {
    pub running: Running,
    pub handle: Handle,
    pub events: Receiver<(ShardId, Event)>,
    pub faults: Receiver<Error>,
    pub incarnation: u32,
    pub durable: Offset,
}

impl Rig {
    pub fn open(dir: &Path) -> Rig {
        Rig::start(Store::open(dir, SETTINGS).unwrap(), |_| ())
    }

    pub fn open_on(disk: Arc<dyn Disk>) -> Rig {
        Rig::start(Store::open_on(disk, SETTINGS).unwrap(), |_| ())
    }

    /// Starts the threads; each event passes `tap` first, on the store's thread.
    pub fn start(opened: Opened, tap: impl Fn(&Event) + Send + Sync + 'static) -> Rig {
        let (event_in, events) = channel();
        let (fault_in, faults) = channel();
        let event_in = Mutex::new(event_in);
        let sink: Sink = Arc::new(move |shard, event| {
            tap(&event);
            // A test that has seen enough drops its receiver.
            let _ = event_in.lock().unwrap().send((shard, event));
        });
        let on_fault = move |error| {
            let _ = fault_in.send(error);
        };
        let running = opened.store.start(&sink, on_fault).unwrap();
        Rig {
            handle: running.handle(),
            running,
            events,
            faults,
            incarnation: opened.incarnation,
            durable: opened.durable,
        }
    }

    pub fn event(&self) -> (ShardId, Event) {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub fn fault(&self) -> Error {
        self.faults.recv_timeout(PATIENCE).unwrap()
    }

    /// Commits one batch and waits until it is durable.
    pub fn write(&self, number: u64, changes: &[(&[u8], Option<&[u8]>)]) -> Offset {
        self.handle.commit(commit(number, changes)).unwrap();
        match self.event() {
            (HOME, Event::Durable { batch, offset, .. }) => {
                assert_eq!(batch.number, number);
                offset
            }
            other => panic!("expected a durable batch, got {other:?}"),
        }
    }

    /// Waits until readers see an offset.
    pub fn applied(&self, offset: Offset) {
        let begun = Instant::now();
        while self.handle.applied() < offset {
            assert!(begun.elapsed() < PATIENCE, "{offset:?} is never applied");
            std::thread::yield_now();
        }
    }

    pub fn read(&self, key: &[u8], at_least: Offset) -> (Option<Bytes>, Offset) {
        self.applied(at_least);
        self.handle.load(load(key, at_least)).unwrap();
        match self.event() {
            (HOME, Event::Loaded { table: TABLE, key: answered, value, applied }) => {
                assert_eq!(answered, key);
                (value, applied)
            }
            other => panic!("expected an answer to a load, got {other:?}"),
        }
    }
}

pub fn frame(changes: &[(&[u8], Option<&[u8]>)]) -> Frame {
    frame_of(TABLE, changes)
}

pub fn frame_of(table: Table, changes: &[(&[u8], Option<&[u8]>)]) -> Frame {
    let changes = changes.iter().map(|(key, value)| Change {
        table: table.0,
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    });
    Frame::encode(&changes.collect())
}

pub fn commit(number: u64, changes: &[(&[u8], Option<&[u8]>)]) -> Commit {
    Commit {
        batch: BatchId { shard: HOME, number },
        frames: vec![frame(changes)],
        holders: vec![HOME],
    }
}

pub fn load(key: &[u8], at_least: Offset) -> Load {
    Load { shard: HOME, table: TABLE, key: Bytes::copy_from_slice(key), at_least }
}
