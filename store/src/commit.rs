//! The commit thread: gathers batches, writes them in one transaction, announces them.

use std::sync::Arc;

use base::{Frame, Offset, ShardId};
use redb::WriteTransaction;

use crate::error::Error;
use crate::handle::{Fate, Queue};
use crate::tables::{self, File, KEY_MAX, ROWS};
use crate::{Commit, Event, Sink};

/// Makes groups of batches durable. One at a time writes to a file.
pub(crate) struct Writer {
    pub(crate) file: Arc<File>,
    /// The offset of the newest durable batch.
    pub(crate) applied: Offset,
}

impl Writer {
    /// Makes the group durable as one transaction; gives what to tell whom, in queue order.
    pub(crate) fn write(&mut self, group: &[Commit]) -> Result<Vec<(ShardId, Event)>, Error> {
        let before = self.applied;
        let count = u64::try_from(group.len()).expect("a group's size fits 64 bits");
        let applied = before.0.checked_add(count);
        let applied = applied.ok_or_else(|| self.file.damaged("no offset is left"))?;
        let transaction = self.file.begin_write()?;
        self.write_rows(&transaction, group)?;
        tables::write_applied(&self.file, &transaction, Offset(applied))?;
        transaction.commit().map_err(|e| self.file.write_error(e))?;
        self.applied = Offset(applied);
        let mut events = Vec::new();
        for (commit, offset) in group.iter().zip(before.0 + 1..) {
            let (batch, offset, applied) = (commit.batch, Offset(offset), self.applied);
            let durable = || Event::Durable { batch, offset, applied };
            events.extend(commit.holders.iter().map(|shard| (*shard, durable())));
        }
        Ok(events)
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

/// Owned by the thread `store-commit`.
pub(crate) struct Committer {
    pub(crate) writer: Writer,
    pub(crate) queue: Queue<Commit>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) sink: Sink,
    pub(crate) batch_bytes: usize,
}

impl Committer {
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let mut first = self.queue.wait();
        while let Some(commit) = first {
            if self.fate.is_poisoned() {
                return Ok(());
            }
            let Gathered { group, next } = self.gather(commit);
            for (shard, event) in self.writer.write(&group)? {
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
    fn gather(&self, first: Commit) -> Gathered {
        let mut bytes = size(&first);
        let mut group = vec![first];
        while let Some(commit) = self.queue.poll() {
            bytes = bytes.saturating_add(size(&commit));
            if bytes > self.batch_bytes {
                return Gathered { group, next: Some(commit) };
            }
            group.push(commit);
        }
        Gathered { group, next: None }
    }
}

struct Gathered {
    group: Vec<Commit>,
    /// What had no room in the group: the first of the next one.
    next: Option<Commit>,
}

fn size(commit: &Commit) -> usize {
    commit.frames.iter().map(|frame| frame.as_bytes().len()).sum()
}
