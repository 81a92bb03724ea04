//! The log thread: gathers batches, makes them durable as one entry, announces them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::{Offset, ShardId};

use crate::error::Error;
use crate::handle::{Fate, Queue, Queued};
use crate::log::Log;
use crate::log::entry::{self, HEADER_SIZE};
use crate::stats::Stats;
use crate::{Commit, Event, Sink};

/// So many batches of one entry have more behind them soon.
const CROWD: usize = 16;
/// How long those are waited for at the most, and never longer than a quarter of a sync.
const LINGER_MAX: Duration = Duration::from_micros(100);

/// Owned by the thread `store-log`.
pub(crate) struct Committer {
    pub(crate) log: Log,
    pub(crate) queue: Queue<Commit>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) sink: Sink,
    pub(crate) stats: Arc<Stats>,
    pub(crate) batch_bytes: usize,
}

impl Committer {
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let mut first = self.queue.wait();
        while let Some(commit) = first {
            if self.fate.is_poisoned() {
                return Ok(());
            }
            let Gathered { group, queued, bytes, next } = self.gather(commit);
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let Some(appended) = self.log.append(&group, time)? else { return Ok(()) };
            let now = Instant::now();
            let known = group.len();
            self.stats.synced(known, bytes, appended.sync);
            queued.into_iter().for_each(|queued| self.stats.durable(queued, now));
            for (shard, event) in announcements(&group, appended.first, self.log.shelf.applied()) {
                if self.fate.is_poisoned() {
                    return Ok(());
                }
                (self.sink)(shard, event);
            }
            if next.is_none() {
                self.linger(known, appended.sync);
            }
            first = next.or_else(|| self.queue.wait());
        }
        self.log.shelf.close();
        Ok(())
    }

    /// Gives those who were told a moment to come back with more, which then goes with the next
    /// sync and not with the one after it. A few writers are not worth a wait.
    fn linger(&self, told: usize, sync: Duration) {
        if told < CROWD {
            return;
        }
        let (begun, patience) = (Instant::now(), (sync / 4).min(LINGER_MAX));
        while self.queue.len() < told && begun.elapsed() < patience {
            std::thread::yield_now();
        }
    }

    /// Takes what is queued already, up to the bytes of one entry: while one is written and synced,
    /// the next one gathers, and a server with one writer waits for nobody.
    fn gather(&self, first: Queued<Commit>) -> Gathered {
        let bytes = HEADER_SIZE + entry::batch_size(&first.item);
        let mut gathered =
            Gathered { group: vec![first.item], queued: vec![first.since], bytes, next: None };
        while let Some(commit) = self.queue.poll() {
            let bytes = gathered.bytes.saturating_add(entry::batch_size(&commit.item));
            if bytes > self.batch_bytes {
                gathered.next = Some(commit);
                break;
            }
            gathered.bytes = bytes;
            gathered.group.push(commit.item);
            gathered.queued.push(commit.since);
        }
        gathered
    }
}

/// Whom to tell what of a group that is durable, in queue order.
pub(crate) fn announcements(
    group: &[Commit],
    first: Offset,
    applied: Offset,
) -> impl Iterator<Item = (ShardId, Event)> {
    group.iter().zip(first.0..).flat_map(move |(commit, offset)| {
        let event = Event::Durable { batch: commit.batch, offset: Offset(offset), applied };
        commit.holders.iter().map(move |shard| (*shard, event.clone()))
    })
}

struct Gathered {
    group: Vec<Commit>,
    /// When each of them was queued.
    queued: Vec<Instant>,
    /// Of the entry that the group makes.
    bytes: usize,
    /// What had no room in the group: the first of the next one.
    next: Option<Queued<Commit>>,
}
