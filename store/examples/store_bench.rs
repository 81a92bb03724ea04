//! Durable writes: the store beside what it is made of. `cargo xtask bench store` runs it.
//!
//! Writers keep so many batches under way, each of one row: a key of 16 bytes out of a million, a
//! value of 200. Every side has the same writers and the same thread in front of the disk, which
//! takes what has gathered.
//!
//! - `store`: the store, through its public interface.
//! - `tree`: redb alone, one transaction with one sync for each group.
//! - `log`: a bare log, one write and one fdatasync for each group, over and over the same file of
//!   zeros.
//! - `apply`: redb alone without a sync, with a checkpoint each second: what a store can keep up.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{BatchId, Change, Frame, Rng, ShardId, Table};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use hdrhistogram::Histogram;
use store::{Commit, Event, Handle, Load, Settings, Store};

type Failure = Box<dyn std::error::Error>;

const TABLE: Table = Table(200);
const KEYS: u32 = 1_000_000;
const VALUE: usize = 200;
/// As much as one entry of the store takes.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
const LOG_BYTES: u64 = 256 * 1024 * 1024;
const ROWS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("rows");
const CHECKPOINT: Duration = Duration::from_secs(1);

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", side, folder, flying, seconds] => {
            let load = Run { flying: flying.parse()?, seconds: seconds.parse()? };
            write(side, Path::new(folder), &load)
        }
        ["tail", folder, state_mib, tail_mib] => {
            tail(Path::new(folder), state_mib.parse()?, tail_mib.parse()?)
        }
        ["accounts", folder, count] => accounts(Path::new(folder), count.parse()?),
        ["read", folder, count, reads] => read(Path::new(folder), count.parse()?, reads.parse()?),
        _ => Err("usage: write SIDE FOLDER FLYING SECONDS | tail FOLDER MIB MIB | \
                  accounts FOLDER COUNT | read FOLDER COUNT READS"
            .into()),
    }
}

struct Run {
    /// Batches under way.
    flying: usize,
    seconds: u64,
}

/// A side that takes batches and says which are durable.
trait Side {
    fn submit(&mut self, batch: u64, key: [u8; 16], value: &[u8; VALUE]) -> Result<(), Failure>;
    fn durable(&self) -> &Receiver<u64>;
    /// Whether a checkpoint is under way.
    fn is_checkpointing(&self) -> bool;
    /// Bytes that wait to be applied.
    fn backlog(&self) -> u64;
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

fn write(side: &str, folder: &Path, load: &Run) -> Result<(), Failure> {
    let mut side: Box<dyn Side> = match side {
        "store" => Box::new(OfStore::start(folder)?),
        "tree" => Box::new(OfThread::start(folder, Kind::Redb)?),
        "log" => Box::new(OfThread::start(folder, Kind::Log)?),
        "apply" => return apply(folder, load.seconds),
        other => return Err(format!("{other}: no such side").into()),
    };
    let mut latency = Histogram::<u64>::new_with_max(60_000_000_000, 3)?;
    let mut in_checkpoint = latency.clone();
    let mut rng = Rng::from_seed([7; 32]);
    let mut since = vec![Instant::now(); load.flying];
    // The number of a batch, modulo those under way, is free when it is durable: in order.
    let mut submit = |side: &mut dyn Side, batch: u64| -> Result<Instant, Failure> {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&rng.below(KEYS).to_be_bytes());
        let mut value = [0; VALUE];
        rng.fill(&mut value[..16]);
        let now = Instant::now();
        side.submit(batch, key, &value)?;
        Ok(now)
    };
    let mut next = 0;
    for slot in &mut since {
        *slot = submit(&mut *side, next)?;
        next += 1;
    }
    let begun = Instant::now();
    let end = begun + Duration::from_secs(load.seconds);
    let (mut count, mut most_backlog) = (0_u64, 0);
    let mut halfway = None;
    loop {
        let batch = side.durable().recv()?;
        let now = Instant::now();
        if now >= end {
            break;
        }
        count += 1;
        let slot = usize::try_from(batch)? % load.flying;
        let nanos = u64::try_from((now - since[slot]).as_nanos())?;
        latency.record(nanos)?;
        if side.is_checkpointing() {
            in_checkpoint.record(nanos)?;
        }
        if count % 4096 == 0 {
            most_backlog = most_backlog.max(side.backlog());
            if halfway.is_none() && now - begun > Duration::from_secs(load.seconds) / 2 {
                halfway = Some(side.backlog());
            }
        }
        since[slot] = submit(&mut *side, next)?;
        next += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let figure = |name: &str, value: f64| println!("{name} {value}");
    figure("writes_per_s", count as f64 / seconds);
    for (name, quantile) in [("ack_p50", 0.5), ("ack_p99", 0.99), ("ack_p999", 0.999)] {
        figure(name, latency.value_at_quantile(quantile) as f64 / 1e3);
    }
    if in_checkpoint.len() > 1000 {
        figure("ack_p99_in_checkpoint", in_checkpoint.value_at_quantile(0.99) as f64 / 1e3);
    }
    figure("backlog_mib_halfway", halfway.unwrap_or_default() as f64 / 1048576.0);
    figure("backlog_mib_at_end", side.backlog() as f64 / 1048576.0);
    figure("backlog_mib_max", most_backlog as f64 / 1048576.0);
    side.finish()
}

/// The store itself.
struct OfStore {
    running: store::Running,
    handle: Handle,
    durable: Receiver<u64>,
}

impl OfStore {
    fn start(folder: &Path) -> Result<OfStore, Failure> {
        let settings = Settings { queue: 1 << 20, ..Settings::default() };
        let opened = Store::open(folder, settings)?;
        let (tell, durable) = unbounded();
        let sink: store::Sink = Arc::new(move |_, event| {
            if let Event::Durable { batch, .. } = event {
                let _ = tell.send(batch.number);
            }
        });
        let running = opened.store.start(&sink, |error| {
            eprintln!("{error}");
            std::process::exit(1);
        })?;
        Ok(OfStore { handle: running.handle(), running, durable })
    }
}

impl Side for OfStore {
    fn submit(&mut self, batch: u64, key: [u8; 16], value: &[u8; VALUE]) -> Result<(), Failure> {
        let commit = commit(batch, &vec![change(&key, value)]);
        self.handle.commit(commit).map_err(|_| "the queue has room for all under way".into())
    }

    fn durable(&self) -> &Receiver<u64> {
        &self.durable
    }

    fn is_checkpointing(&self) -> bool {
        self.handle.stats().is_checkpointing()
    }

    fn backlog(&self) -> u64 {
        self.handle.backlog_bytes()
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        let (syncs, batches) =
            (self.handle.stats().sync_seconds(), self.handle.stats().entry_batches());
        println!("syncs {}", syncs.count());
        println!("sync_mean {}", syncs.sum() as f64 / syncs.count() as f64 / 1e3);
        println!("batches_mean {}", batches.sum() as f64 / batches.count() as f64);
        Ok(self.running.shutdown()?)
    }
}

fn change(key: &[u8], value: &[u8]) -> Change {
    Change { table: TABLE.0, key: key.to_vec(), value: Some(value.to_vec()) }
}

fn commit(number: u64, changes: &Vec<Change>) -> Commit {
    let batch = BatchId { shard: ShardId(0), number };
    Commit { batch, frames: vec![Frame::encode(changes)], holders: vec![ShardId(0)] }
}

#[derive(Clone, Copy)]
enum Kind {
    Redb,
    Log,
}

/// A thread that makes groups durable with nothing around it.
struct OfThread {
    batches: Sender<(u64, [u8; 16], [u8; VALUE])>,
    durable: Receiver<u64>,
    thread: std::thread::JoinHandle<Result<(), String>>,
}

impl OfThread {
    fn start(folder: &Path, kind: Kind) -> Result<OfThread, Failure> {
        fs::create_dir_all(folder)?;
        let (batches, queue) = unbounded();
        let (tell, durable) = unbounded();
        let folder = folder.to_owned();
        let thread = std::thread::spawn(move || {
            let outcome = match kind {
                Kind::Redb => group_commit(&folder, &queue, &tell),
                Kind::Log => bare_log(&folder, &queue, &tell),
            };
            outcome.map_err(|error| error.to_string())
        });
        Ok(OfThread { batches, durable, thread })
    }
}

impl Side for OfThread {
    fn submit(&mut self, batch: u64, key: [u8; 16], value: &[u8; VALUE]) -> Result<(), Failure> {
        Ok(self.batches.send((batch, key, *value))?)
    }

    fn durable(&self) -> &Receiver<u64> {
        &self.durable
    }

    fn is_checkpointing(&self) -> bool {
        false
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        drop(self.batches);
        Ok(self.thread.join().map_err(|_| "the thread panicked")??)
    }
}

type Batches = Receiver<(u64, [u8; 16], [u8; VALUE])>;

fn group_commit(folder: &Path, queue: &Batches, tell: &Sender<u64>) -> Result<(), Failure> {
    let redb = builder().create(folder.join("bare.redb"))?;
    while let Ok(first) = queue.recv() {
        let mut done = vec![first.0];
        let mut transaction = redb.begin_write()?;
        transaction.set_quick_repair(true);
        {
            let mut rows = transaction.open_table(ROWS)?;
            rows.insert(first.1.as_slice(), first.2.as_slice())?;
            while let Ok((batch, key, value)) = queue.try_recv() {
                rows.insert(key.as_slice(), value.as_slice())?;
                done.push(batch);
            }
        }
        transaction.commit()?;
        for batch in done {
            let _ = tell.send(batch);
        }
    }
    Ok(())
}

fn bare_log(folder: &Path, queue: &Batches, tell: &Sender<u64>) -> Result<(), Failure> {
    let file = fs::File::create(folder.join("bare.log"))?;
    let zeros = vec![0; 1024 * 1024];
    for piece in 0..LOG_BYTES / zeros.len() as u64 {
        file.write_all_at(&zeros, piece * zeros.len() as u64)?;
    }
    file.sync_all()?;
    println!("ready 1");
    std::io::stdout().flush()?;
    let (mut at, mut buffer, mut done) = (0, Vec::new(), Vec::new());
    while let Ok(first) = queue.recv() {
        buffer.clear();
        done.clear();
        let mut take = |(batch, key, value): (u64, [u8; 16], [u8; VALUE])| {
            buffer.extend_from_slice(&key);
            buffer.extend_from_slice(&value);
            done.push(batch);
            buffer.len()
        };
        let mut size = take(first);
        while size < GROUP_BYTES
            && let Ok(batch) = queue.try_recv()
        {
            size = take(batch);
        }
        if at + buffer.len() as u64 > LOG_BYTES {
            at = 0;
        }
        file.write_all_at(&buffer, at)?;
        file.sync_data()?;
        at += buffer.len() as u64;
        for batch in &done {
            let _ = tell.send(*batch);
        }
    }
    Ok(())
}

/// Rows into redb in large transactions, as fast as it takes them.
fn apply(folder: &Path, seconds: u64) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let redb = builder().create(folder.join("bare.redb"))?;
    let mut rng = Rng::from_seed([7; 32]);
    let begun = Instant::now();
    let (mut count, mut last) = (0_u64, begun);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut transaction = redb.begin_write()?;
        transaction.set_durability(redb::Durability::None)?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            for _ in 0..GROUP_BYTES / (VALUE + 16) {
                let mut key = [0; 16];
                key[..4].copy_from_slice(&rng.below(KEYS).to_be_bytes());
                let mut value = [0; VALUE];
                rng.fill(&mut value[..16]);
                rows.insert(key.as_slice(), value.as_slice())?;
                count += 1;
            }
        }
        transaction.commit()?;
        if last.elapsed() >= CHECKPOINT {
            let mut checkpoint = redb.begin_write()?;
            checkpoint.set_quick_repair(true);
            checkpoint.commit()?;
            last = Instant::now();
        }
    }
    println!("writes_per_s {}", count as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(Settings::default().cache_bytes);
    builder
}

/// Leaves a state and a log behind it as a kill would: nothing is closed.
fn tail(folder: &Path, state_mib: u64, tail_mib: u64) -> Result<(), Failure> {
    let settings = Settings { backlog_bytes: u64::MAX / 8, ..Settings::default() };
    let mut steps = Store::open(folder, settings)?.store.into_steps();
    let (mut rng, mut number) = (Rng::from_seed([9; 32]), 0);
    let mut write = |mib: u64, each: &mut dyn FnMut(&[Commit]) -> Result<(), Failure>| {
        let mut left = mib * 1024 * 1024;
        while left > 0 {
            let group: Vec<_> = (0..256)
                .map(|_| {
                    let (mut key, mut value) = ([0; 16], [0; VALUE]);
                    rng.fill(&mut key);
                    rng.fill(&mut value);
                    number += 1;
                    commit(number, &vec![change(&key, &value)])
                })
                .collect();
            left = left.saturating_sub(group.len() as u64 * 256);
            each(&group)?;
        }
        Ok::<(), Failure>(())
    };
    let mut since = 0;
    let state = folder.join(store::FILE_NAME);
    while fs::metadata(&state)?.len() < state_mib * 1024 * 1024 {
        write(16, &mut |group| {
            steps.commit(group)?;
            Ok(())
        })?;
        while steps.apply()? {}
        since += 1;
        if since % 4 == 0 {
            steps.checkpoint()?;
            steps.keep()?;
        }
    }
    steps.checkpoint()?;
    write(tail_mib, &mut |group| {
        steps.commit(group)?;
        Ok(())
    })?;
    println!("state_mib {}", fs::metadata(&state)?.len() / 1024 / 1024);
    std::io::stdout().flush()?;
    std::process::abort()
}

/// Rows of so many accounts as a first sign-in by device writes them: the account and two aliases.
fn accounts(folder: &Path, count: u64) -> Result<(), Failure> {
    let mut steps = Store::open(folder, Settings::default())?.store.into_steps();
    let mut rng = Rng::from_seed([11; 32]);
    let mut number = 0;
    while number < count {
        let group: Vec<_> = (0..1000)
            .map(|_| {
                number += 1;
                let id = account_id(number);
                // The sizes of an account that signed in by device for the first time.
                let mut user = [0; 180];
                rng.fill(&mut user);
                let device = format!("\u{2}device-of-account-{number}");
                let name = format!("\u{1}{:010}", rng.below(u32::MAX));
                let changes = vec![
                    Change { table: 201, key: id.to_vec(), value: Some(user.to_vec()) },
                    Change { table: 202, key: device.into_bytes(), value: Some(id.to_vec()) },
                    Change { table: 202, key: name.into_bytes(), value: Some(id.to_vec()) },
                ];
                commit(number, &changes)
            })
            .collect();
        steps.commit(&group)?;
        steps.apply()?;
        if number % 50_000 == 0 {
            steps.checkpoint()?;
            steps.keep()?;
        }
    }
    steps.checkpoint()?;
    let size = fs::metadata(folder.join(store::FILE_NAME))?.len();
    println!("bytes_per_account {}", size as f64 / count as f64);
    Ok(())
}

fn account_id(number: u64) -> [u8; 16] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let mut id = [0; 16];
    Rng::from_seed(seed).fill(&mut id);
    id
}

/// Loads of accounts one after another, from the disk and again from memory.
fn read(folder: &Path, count: u32, reads: u32) -> Result<(), Failure> {
    let opened = Store::open(folder, Settings::default())?;
    let (tell, loaded) = unbounded();
    let sink: store::Sink = Arc::new(move |_, event| {
        if let Event::Loaded { value, .. } = event {
            let _ = tell.send(value.is_some());
        }
    });
    let running = opened.store.start(&sink, |error| {
        eprintln!("{error}");
        std::process::exit(1);
    })?;
    let handle = running.handle();
    forget(&folder.join(store::FILE_NAME))?;
    for name in ["read_p99_uncached", "read_p99_cached"] {
        // The same accounts twice: the second time their pages are in the system's memory.
        let mut rng = Rng::from_seed([13; 32]);
        let mut latency = Histogram::<u64>::new(3)?;
        for _ in 0..reads {
            let key = Bytes::copy_from_slice(&account_id(1 + u64::from(rng.below(count))));
            let load =
                Load { shard: ShardId(0), table: Table(201), key, at_least: handle.applied() };
            let begun = Instant::now();
            handle.load(load).map_err(|_| "the queue has room for one")?;
            if !loaded.recv()? {
                return Err("an account is not there".into());
            }
            latency.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        }
        println!("{name} {}", latency.value_at_quantile(0.99) as f64 / 1e3);
    }
    Ok(running.shutdown()?)
}

/// Has the system forget a file's pages.
fn forget(path: &Path) -> Result<(), Failure> {
    let status = std::process::Command::new("dd")
        .arg(format!("if={}", path.display()))
        .args(["iflag=nocache", "count=0", "status=none"])
        .status()?;
    if status.success() { Ok(()) } else { Err("dd failed".into()) }
}
