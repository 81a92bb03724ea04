//! The commit thread: gathers batches, writes them in one transaction, announces them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Frame, Offset, ShardId};
use redb::WriteTransaction;

use crate::error::Error;
use crate::handle::{Fate, Queue, Queued};
use crate::stats::{Stats, Transaction};
use crate::tables::{self, File, KEY_MAX, ROWS};
use crate::{Commit, Event, Sink};

/// Makes groups of batches durable. One at a time writes to a file.
pub(crate) struct Writer {
    pub(crate) file: Arc<File>,
    /// The offset of the newest durable batch.
    pub(crate) applied: Offset,
}

impl Writer {
    /// Makes the group durable as one transaction; gives what to tell whom, in queue order, and
    /// what the sync took.
    pub(crate) fn write(&mut self, group: &[Commit]) -> Result<Written, Error> {
        let before = self.applied;
        let count = u64::try_from(group.len()).expect("a group's size fits 64 bits");
        let applied = before.0.checked_add(count);
        let applied = applied.ok_or_else(|| self.file.damaged("no offset is left"))?;
        let transaction = self.file.begin_write()?;
        self.write_rows(&transaction, group)?;
        tables::write_applied(&self.file, &transaction, Offset(applied))?;
        let written = Instant::now();
        transaction.commit().map_err(|e| self.file.write_error(e))?;
        let sync = written.elapsed();
        self.applied = Offset(applied);
        let mut events = Vec::new();
        for (commit, offset) in group.iter().zip(before.0 + 1..) {
            let (batch, offset, applied) = (commit.batch, Offset(offset), self.applied);
            let durable = || Event::Durable { batch, offset, applied };
            events.extend(commit.holders.iter().map(|shard| (*shard, durable())));
        }
        Ok(Written { events, sync })
    }

    fn write_rows(&self, transaction: &WriteTransaction, group: &[Commit]) -> Result<(), Error> {
        let rows = transaction.open_table(ROWS);
        let mut rows = rows.map_err(|e| self.file.write_error(e))?;
        let mut key = Vec::new();
        let frames = group.iter().flat_map(|commit| &commit.frames);
        for change in frames.flat_map(Frame::changes) {
            if change.key.len() > KEY_MAX {
                return Err(Error::KeyTooLong {
                    path: self.file.path.clone(),
                    table: change.table.0,
                    len: change.key.len(),
                });
            }
            tables::row_key(&mut key, change.table, change.key);
            let written = match change.value {
                Some(value) => rows.insert(key.as_slice(), value),
                None => rows.remove(key.as_slice()),
            };
            written.map_err(|e| self.file.write_error(e))?;
        }
        Ok(())
    }
}

pub(crate) struct Written {
    pub(crate) events: Vec<(ShardId, Event)>,
    sync: Duration,
}

/// Owned by the thread `store-commit`.
pub(crate) struct Committer {
    pub(crate) writer: Writer,
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
            let Written { events, sync } = self.writer.write(&group)?;
            let now = Instant::now();
            self.stats.synced(Transaction { batches: group.len(), bytes }, sync);
            queued.into_iter().for_each(|queued| self.stats.durable(queued, now));
            for (shard, event) in events {
                if self.fate.is_poisoned() {
                    return Ok(());
                }
                (self.sink)(shard, event);
            }
            first = next.or_else(|| self.queue.wait());
        }
        Ok(())
    }

    /// Takes what is queued already, up to the bytes of one transaction.
    fn gather(&self, first: Queued<Commit>) -> Gathered {
        let bytes = size(&first.item);
        let mut gathered =
            Gathered { group: vec![first.item], queued: vec![first.since], bytes, next: None };
        while let Some(commit) = self.queue.poll() {
            let bytes = gathered.bytes.saturating_add(size(&commit.item));
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

struct Gathered {
    group: Vec<Commit>,
    /// When each of them was queued.
    queued: Vec<Instant>,
    /// Of their frames.
    bytes: usize,
    /// What had no room in the group: the first of the next one.
    next: Option<Queued<Commit>>,
}

fn size(commit: &Commit) -> usize {
    commit.frames.iter().map(|frame| frame.as_bytes().len()).sum()
}
