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

use crate::commit::{Committer, Writer};
use crate::error::Error;
use crate::read::{Reader, Snapshots};
use crate::stats::Stats;
use crate::tables::File;
use crate::{Commit, Load, Settings, Sink};

pub(crate) type OnFault = Box<dyn FnOnce(Error) + Send>;

/// The way into the store, for any thread.
///
/// The queues grow as they fill: one that had room for the limit from the start would cost that
/// memory in an idle server.
#[derive(Clone)]
pub struct Handle {
    commits: Sender<Queued<Commit>>,
    loads: Sender<Queued<Load>>,
    stats: Arc<Stats>,
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

impl Handle {
    /// Queues a batch. Never blocks.
    pub fn commit(&self, commit: Commit) -> Result<(), Refused<Commit>> {
        push(&self.commits, commit, self.limit)
    }

    /// Queues a load. Never blocks. Loads overtake commits: an answer may lack what is queued.
    pub fn load(&self, load: Load) -> Result<(), Refused<Load>> {
        push(&self.loads, load, self.limit)
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
pub(crate) struct Parts {
    pub(crate) file: Arc<File>,
    pub(crate) folder: Option<std::fs::File>,
    pub(crate) settings: Settings,
    pub(crate) applied: Offset,
    pub(crate) sink: Sink,
}

/// The threads of an open store. Dropping it ends them as [`Running::shutdown`] does, unobserved.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    fate: Arc<Fate>,
    file: Option<Arc<File>>,
    /// Holds the lock on the folder. The last field: the file is closed before it is given up.
    _folder: Option<std::fs::File>,
}

impl Running {
    pub(crate) fn start(parts: Parts, on_fault: OnFault) -> Result<Running, Error> {
        let (stop, stopped) = bounded(0);
        let fate = Arc::new(Fate {
            poisoned: AtomicBool::new(false),
            on_fault: Mutex::new(Some(on_fault)),
            stop: Mutex::new(Some(stop)),
        });
        let (commits, commit_queue) = unbounded();
        let (loads, load_queue) = unbounded();
        let stats = Arc::new(Stats::new(parts.settings.readers));
        let mut running = Running {
            handle: Handle { commits, loads, stats: stats.clone(), limit: parts.settings.queue },
            threads: Vec::with_capacity(parts.settings.readers + 1),
            fate: Arc::clone(&fate),
            file: Some(Arc::clone(&parts.file)),
            _folder: parts.folder,
        };
        let committer = Committer {
            writer: Writer { file: Arc::clone(&parts.file), applied: parts.applied },
            queue: Queue::new(commit_queue, stopped.clone()),
            fate: Arc::clone(&fate),
            sink: Arc::clone(&parts.sink),
            stats: Arc::clone(&stats),
            batch_bytes: parts.settings.batch_bytes,
        };
        running.spawn("store-commit".to_owned(), &parts.file, || committer.run())?;
        for number in 0..parts.settings.readers {
            let reader = Reader {
                snapshots: Snapshots { file: Arc::clone(&parts.file), snapshot: None },
                queue: Queue::new(load_queue.clone(), stopped.clone()),
                fate: Arc::clone(&fate),
                sink: Arc::clone(&parts.sink),
                stats: Arc::clone(&stats),
                number,
            };
            running.spawn(format!("store-read-{number}"), &parts.file, || reader.run())?;
        }
        Ok(running)
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Commits and announces everything queued, answers the queued loads, ends the threads and
    /// closes the file. What other threads queue while this runs may be dropped without an event.
    pub fn shutdown(mut self) -> Result<(), Error> {
        self.join();
        let file = self.file.take().expect("only shutdown takes the file, once");
        let file = Arc::into_inner(file).expect("the threads, which shared the file, have ended");
        let File { redb, path } = file;
        if self.fate.is_poisoned() {
            return Err(Error::Poisoned { path });
        }
        redb.close().map_err(|e| Error::Write { path, source: Box::new(e) })
    }

    fn spawn(
        &mut self,
        name: String,
        file: &Arc<File>,
        body: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let guard = PanicGuard {
            name: name.clone(),
            path: file.path.clone(),
            fate: Arc::clone(&self.fate),
        };
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let outcome = body();
            if let Err(error) = outcome {
                guard.fate.fault(error);
            }
        });
        self.threads.push(thread.map_err(|source| Error::Thread { name, source })?);
        Ok(())
    }

    fn join(&mut self) {
        self.fate.stop();
        for thread in self.threads.drain(..) {
            // A panic has been reported by the thread's guard.
            let _ = thread.join();
        }
    }
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
    /// Nothing is ever sent: dropping it wakes every thread.
    stop: Mutex<Option<Sender<Infallible>>>,
}

impl Fate {
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }

    pub(crate) fn fault(&self, error: Error) {
        self.poisoned.store(true, Ordering::SeqCst);
        self.stop();
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
