//! What a backup costs: its speed, and what acknowledgements wait while it is made.
//!
//! `cargo run --release -p store --example backup_cost -- FOLDER [ROWS [RATE]]`

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base::change::Change;
use base::{BatchId, Frame, Rng, ShardId};
use store::{
    BackupOptions, Commit, Disk, Event, Handle, Key, OsDisk, Refused, RestoreOptions, Settings,
    Sink, Store,
};

const HOME: ShardId = ShardId(0);
const VALUE: usize = 1000;
const QUIET: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |index: usize, default| {
        arguments.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let folder = Path::new(arguments.first().expect("a folder that is not there yet"));
    let (rows, rate) = (number(1, 500_000), number(2, 2000));
    let load = Arc::new(Load::default());
    let seen = Arc::clone(&load);
    let sink: Sink = Arc::new(move |_, event| {
        if let Event::Durable { batch, .. } = event {
            seen.durable(batch.number);
        }
    });
    let opened = Store::open(&folder.join("data"), Settings::default()).expect("a new store");
    let running = opened.store.start(&sink, |error| panic!("{error}")).expect("threads");
    let handle = running.handle();
    fill(&handle, rows);
    while handle.backlog_bytes() > 0 {
        thread::sleep(Duration::from_millis(100));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load.run(&handle, rows, rate, &done));
        thread::sleep(Duration::from_secs(2)); // warm
        load.tell("without a backup", || thread::sleep(QUIET));
        for (name, key) in [("plain", None), ("encrypted", Some(Key::new([7; 32])))] {
            load.tell(name, || copy(&handle, &folder.join(name), key));
        }
        done.store(true, Ordering::SeqCst);
    });
    running.shutdown().expect("a clean end");
    let begun = Instant::now();
    let from = OsDisk::read_only(&folder.join("plain")).expect("it was made");
    let to = folder.join("restored");
    let options = RestoreOptions::default();
    store::restore(&from, &to, &options, &mut |_| ControlFlow::Continue(())).expect("it is whole");
    println!("restored in {:.1} s", begun.elapsed().as_secs_f64());
}

fn copy(handle: &Handle, to: &Path, key: Option<Key>) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::make(to).expect("a folder"));
    let options = BackupOptions { key, ..BackupOptions::default() };
    let begun = Instant::now();
    let mut copied = Duration::ZERO;
    let mut watch = |progress: store::Progress| {
        if progress.phase == store::Phase::Copy {
            copied = begun.elapsed();
        }
        ControlFlow::Continue(())
    };
    let made = store::backup(handle.source(), &disk, &options, &mut watch).expect("a backup");
    let (size, all) = (made.bytes as f64 / f64::from(1 << 20), begun.elapsed().as_secs_f64());
    let copied = copied.as_secs_f64();
    println!(
        "{size:.0} MiB, {} rows, {} entries: copied in {copied:.1} s ({:.0} MiB/s), verified in \
         {:.1} s ({:.0} MiB/s)",
        made.rows,
        made.entries,
        size / copied,
        all - copied,
        size / (all - copied)
    );
}

/// When each batch was queued, and what those that are durable waited.
#[derive(Default)]
struct Load {
    queued: Mutex<std::collections::HashMap<u64, Instant>>,
    waits: Mutex<Vec<Duration>>,
    sent: AtomicU64,
}

impl Load {
    fn run(&self, handle: &Handle, rows: u64, rate: u64, done: &AtomicBool) {
        let mut rng = Rng::from_seed([1; 32]);
        let begun = Instant::now();
        let rows = u32::try_from(rows).expect("rows that a test can have");
        while !done.load(Ordering::SeqCst) {
            let sent = self.sent.fetch_add(1, Ordering::SeqCst);
            let due = begun + Duration::from_nanos(sent * 1_000_000_000 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let number = (1 << 40) + sent;
            // From when it was due, so that a stall counts for all that it holds up.
            self.queued.lock().expect("no panic").insert(number, due);
            send(handle, number, &vec![row(rng.below(rows).into(), 300)]);
        }
    }

    fn durable(&self, number: u64) {
        let queued = self.queued.lock().expect("no panic").remove(&number);
        if let Some(queued) = queued {
            self.waits.lock().expect("no panic").push(queued.elapsed());
        }
    }

    fn tell(&self, name: &str, act: impl FnOnce()) {
        self.waits.lock().expect("no panic").clear();
        act();
        let mut waits = std::mem::take(&mut *self.waits.lock().expect("no panic"));
        waits.sort_unstable();
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
        println!(
            "{name}: {} acknowledgements, p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
            waits.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

fn fill(handle: &Handle, rows: u64) {
    for first in (0..rows).step_by(100) {
        let changes = (first..(first + 100).min(rows)).map(|number| row(number, VALUE)).collect();
        send(handle, first, &changes);
    }
}

fn row(number: u64, size: usize) -> Change {
    // Keys in no order, as ids are.
    let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    Change { table: 1, key, value: Some(vec![number as u8; size]) }
}

fn send(handle: &Handle, number: u64, changes: &Vec<Change>) {
    let frames = vec![Frame::encode(changes)];
    let batch = BatchId { shard: HOME, number };
    let mut commit = Commit { batch, frames, holders: vec![HOME] };
    while let Err(refused) = handle.commit(commit) {
        match refused {
            Refused::Full(back) => commit = back,
            Refused::Stopped(_) => panic!("the store has stopped"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}
