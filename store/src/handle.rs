//! The queues in front of the threads, and the end of the threads.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base::Offset;
use crossbeam_channel::{Receiver, SendError, Sender, bounded, select, unbounded};

use crate::apply::Applier;
use crate::backup::Source;
use crate::commit::Committer;
use crate::disk::Disk;
use crate::error::Error;
use crate::log::Log;
use crate::log::keep::Keeper;
use crate::log::shelf::Shelf;
use crate::read::{Reader, Snapshots, Wish};
use crate::stats::Stats;
use crate::tables::Tables;
use crate::{Commit, Load, Pressure, Scan, Settings, Sink};

pub(crate) type OnFault = Box<dyn FnOnce(Error) + Send>;

/// The way into the store, for any thread.
///
/// The queues grow as they fill: one that had room for the limit from the start would cost that
/// memory in an idle server.
#[derive(Clone)]
pub struct Handle {
    commits: Sender<Queued<Commit>>,
    /// Scans, too.
    loads: Sender<Queued<Wish>>,
    stats: Arc<Stats>,
    shelf: Arc<Shelf>,
    source: Arc<Source>,
    /// Most items of each queue; several threads at once may go over it by one each.
    limit: usize,
}

/// Why the store did not take something, which comes back to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The queue has no room.
    Full(T),
    /// The store is shut down, or had a fault.
    Stopped(T),
}

impl<T> Refused<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Refused<U> {
        match self {
            Refused::Full(item) => Refused::Full(map(item)),
            Refused::Stopped(item) => Refused::Stopped(map(item)),
        }
    }
}

impl Handle {
    /// Queues a batch. Never blocks.
    pub fn commit(&self, commit: Commit) -> Result<(), Refused<Commit>> {
        push(&self.commits, commit, self.limit)
    }

    /// Queues a load. Never blocks. Loads overtake commits: an answer may lack what is queued.
    pub fn load(&self, load: Load) -> Result<(), Refused<()>> {
        push(&self.loads, Wish::Load(load), self.limit).map_err(|refused| refused.map(drop))
    }

    /// Queues a scan, as a load.
    pub fn scan(&self, scan: Scan) -> Result<(), Refused<()>> {
        push(&self.loads, Wish::Scan(scan), self.limit).map_err(|refused| refused.map(drop))
    }

    /// Commits that wait.
    pub fn queued_commits(&self) -> usize {
        self.commits.len()
    }

    /// Loads that wait.
    pub fn queued_loads(&self) -> usize {
        self.loads.len()
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Why new writes should be refused, if they should. What is queued already is taken.
    pub fn pressure(&self) -> Pressure {
        self.shelf.pressure()
    }

    /// Newest offset that a load may demand.
    pub fn applied(&self) -> Offset {
        self.shelf.applied()
    }

    /// Whether the archive does not take what it is given.
    pub fn archive_fails(&self) -> bool {
        self.shelf.archive_fails()
    }

    /// For backups of the store.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes of the log that the state does not have durably.
    pub fn backlog_bytes(&self) -> u64 {
        self.shelf.backlog()
    }

    /// Bytes of the files of the log.
    pub fn log_bytes(&self) -> u64 {
        self.shelf.size()
    }
}

/// What waits in a queue.
pub(crate) struct Queued<T> {
    pub(crate) item: T,
    pub(crate) since: Instant,
}

fn push<T>(queue: &Sender<Queued<T>>, item: T, limit: usize) -> Result<(), Refused<T>> {
    if queue.len() >= limit {
        return Err(Refused::Full(item));
    }
    let queued = Queued { item, since: Instant::now() };
    queue.send(queued).map_err(|SendError(queued)| Refused::Stopped(queued.item))
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("commits", &self.commits.len())
            .field("loads", &self.loads.len())
            .finish()
    }
}

/// What the threads are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) applier: Applier,
    pub(crate) keeper: Keeper,
    pub(crate) snapshots: Snapshots,
    pub(crate) settings: Settings,
}

/// The threads of an open store. Dropping it ends them as [`Running::shutdown`] does, unobserved.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    /// Ends when everything else has: it makes the spares that the log may wait for.
    keeper: Option<JoinHandle<()>>,
    fate: Arc<Fate>,
    tables: Option<Arc<Tables>>,
    /// Holds the lock on the folder. The last field: the file is closed before it is given up.
    _disk: Arc<dyn Disk>,
}

impl Running {
    pub(crate) fn start(parts: Parts, sink: &Sink, on_fault: OnFault) -> Result<Running, Error> {
        let Parts { log, applier, keeper, snapshots, settings } = parts;
        let (stop, stopped) = bounded(0);
        let shelf = Arc::clone(&log.shelf);
        let fate = Arc::new(Fate {
            poisoned: AtomicBool::new(false),
            on_fault: Mutex::new(Some(on_fault)),
            stop: Mutex::new(Some(stop)),
            shelf: Arc::clone(&shelf),
            disk: Arc::clone(&log.disk),
        });
        let (commits, commit_queue) = unbounded();
        let (loads, load_queue) = unbounded();
        let stats = Arc::clone(&applier.stats);
        let tables = Arc::clone(&applier.tables);
        let (shared, disk) = (Arc::clone(&tables), &*log.disk);
        let source = Arc::new(Source::new(shared, Arc::clone(&shelf), disk, log.id));
        let (stats_of_handle, limit) = (Arc::clone(&stats), settings.queue);
        let mut running = Running {
            handle: Handle { commits, loads, stats: stats_of_handle, shelf, source, limit },
            threads: Vec::with_capacity(settings.readers + 2),
            keeper: None,
            fate: Arc::clone(&fate),
            tables: Some(tables),
            _disk: Arc::clone(&log.disk),
        };
        let keeper = running.spawn("store-keep".to_owned(), || keeper.run())?;
        running.keeper = Some(keeper);
        let ends = Arc::clone(&fate);
        let applier = running.spawn("store-apply".to_owned(), move || applier.run(&ends))?;
        running.threads.push(applier);
        let committer = Committer {
            log,
            queue: Queue::new(commit_queue, stopped.clone()),
            fate: Arc::clone(&fate),
            sink: Arc::clone(sink),
            stats: Arc::clone(&stats),
            batch_bytes: settings.batch_bytes,
        };
        let committer = running.spawn("store-log".to_owned(), || committer.run())?;
        running.threads.push(committer);
        for number in 0..settings.readers {
            let reader = Reader {
                snapshots: snapshots.clone(),
                queue: Queue::new(load_queue.clone(), stopped.clone()),
                fate: Arc::clone(&fate),
                sink: Arc::clone(sink),
                stats: Arc::clone(&stats),
                number,
            };
            let reader = running.spawn(format!("store-read-{number}"), || reader.run())?;
            running.threads.push(reader);
        }
        Ok(running)
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Makes everything queued durable and announces it, answers the queued loads, brings all of it
    /// into the state, ends the threads and closes the files. What other threads queue while this
    /// runs may be dropped without an event.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.join();
        let tables = self.tables.take().expect("only shutdown takes them, once");
        let tables = Arc::into_inner(tables).expect("the threads, which shared them, have ended");
        let Tables { redb, path } = tables;
        if self.fate.is_poisoned() {
            return Err(Error::Poisoned { path });
        }
        redb.close().map_err(|e| Error::Write { path, source: Box::new(e) })
    }

    fn spawn(
        &self,
        name: String,
        body: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<JoinHandle<()>, Error> {
        let tables = self.tables.as_ref().expect("they are there until the end");
        let guard = PanicGuard {
            name: name.clone(),
            path: tables.path.clone(),
            fate: Arc::clone(&self.fate),
        };
        let is_behind = matches!(name.as_str(), "store-apply" | "store-keep");
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            if is_behind {
                step_back();
            }
            let outcome = body();
            if let Err(error) = outcome {
                guard.fate.fault(error);
            }
        });
        thread.map_err(|source| Error::Thread { name, source })
    }

    fn join(&mut self) {
        self.fate.stop();
        // A panic has been reported by the thread's guard.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.handle.shelf.stop();
        self.handle.source.close();
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

/// Lets other threads go before this one: what is acknowledged does not wait for it.
fn step_back() {
    // SAFETY: plain system calls. Where it is refused, everything works as well, if slower.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid().cast_unsigned(), 10) };
}

impl Drop for Running {
    fn drop(&mut self) {
        self.join();
    }
}

/// How all threads of one store end: together, and with one report if it is a fault.
pub(crate) struct Fate {
    poisoned: AtomicBool,
    on_fault: Mutex<Option<OnFault>>,
    /// Nothing is ever sent: dropping it wakes every thread that waits for a queue.
    stop: Mutex<Option<Sender<Infallible>>>,
    /// Where the others wait.
    shelf: Arc<Shelf>,
    disk: Arc<dyn Disk>,
}

impl Fate {
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }

    pub(crate) fn fault(&self, error: Error) {
        self.poisoned.store(true, Ordering::SeqCst);
        self.stop();
        self.shelf.stop();
        self.disk.forget_cached();
        let on_fault = self.on_fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(on_fault) = on_fault {
            on_fault(error);
        }
    }

    fn stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fate").field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

/// Turns a thread's panic into a fault: redb panics on some damaged pages, and a store whose thread
/// is gone must not look alive.
struct PanicGuard {
    name: String,
    path: PathBuf,
    fate: Arc<Fate>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.fate.fault(Error::Panicked {
                path: self.path.clone(),
                name: std::mem::take(&mut self.name),
            });
        }
    }
}

/// One thread's end of a queue.
pub(crate) struct Queue<T> {
    items: Receiver<Queued<T>>,
    stopped: Receiver<Infallible>,
}

impl<T> Queue<T> {
    fn new(items: Receiver<Queued<T>>, stopped: Receiver<Infallible>) -> Queue<T> {
        Queue { items, stopped }
    }

    /// Waits for the next item. After the stop it gives what is left, then `None`.
    pub(crate) fn wait(&self) -> Option<Queued<T>> {
        select! {
            recv(self.items) -> item => item.ok(),
            recv(self.stopped) -> _ => self.poll(),
        }
    }

    /// As [`Queue::wait`], but no longer than `patience`.
    pub(crate) fn wait_for(&self, patience: Duration) -> Waited<T> {
        let item = select! {
            recv(self.items) -> item => item.ok(),
            recv(self.stopped) -> _ => self.poll(),
            default(patience) => return Waited::Nothing,
        };
        item.map_or(Waited::End, Waited::Item)
    }

    /// How many items are there.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes an item that is there already.
    pub(crate) fn poll(&self) -> Option<Queued<T>> {
        self.items.try_recv().ok()
    }
}

pub(crate) enum Waited<T> {
    Item(Queued<T>),
    Nothing,
    End,
}
