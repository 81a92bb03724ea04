//! The applier: brings what the log has into the state, and checkpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{ChangeRef, Offset};
use redb::WriteTransaction;

use crate::error::Error;
use crate::handle::Fate;
use crate::log::entry::{self, HEADER_SIZE, StoreId};
use crate::log::recover::Cursor;
use crate::log::segment::{self, Entries};
use crate::log::shelf::{Shelf, Work};
use crate::read::Recent;
use crate::stats::Stats;
use crate::tables::{self, ROWS, Tables};

/// How long so many are waited for: readers need what is applied only when memory is short.
const GATHER: Duration = Duration::from_millis(20);
/// How long what is applied waits for a checkpoint at the most. A checkpoint writes all pages that
/// have changed since the last, and with random keys those are soon all there are; a start reads
/// what came after it from the log.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(5);

/// Owned by the thread `store-apply`.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) tables: Arc<Tables>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) disk: Arc<dyn crate::Disk>,
    pub(crate) id: StoreId,
    pub(crate) cursor: Cursor,
    /// Of the segment under the cursor.
    pub(crate) entries: Option<Entries>,
    /// Bytes of entries that were applied, and those up to the last checkpoint.
    pub(crate) read: u64,
    pub(crate) saved: u64,
    /// Bytes of entries that one transaction takes, if so many are there.
    pub(crate) apply_bytes: u64,
    /// So many bytes are worth a checkpoint before its time.
    pub(crate) checkpoint_bytes: u64,
}

impl Applier {
    pub(crate) fn run(mut self, fate: &Fate) -> Result<(), Error> {
        let mut last = Instant::now();
        loop {
            let patience =
                (self.read > self.saved).then(|| CHECKPOINT_PERIOD.saturating_sub(last.elapsed()));
            let work = self.shelf.wait_for_entries(self.applied(), patience);
            if fate.is_poisoned() {
                return Ok(());
            }
            if work == Work::Apply {
                self.shelf.gather(self.read, self.apply_bytes, GATHER);
                self.apply()?;
            }
            let is_due = last.elapsed() >= CHECKPOINT_PERIOD
                || self.read - self.saved >= self.checkpoint_bytes;
            if self.read > self.saved && (is_due || work == Work::End) {
                self.checkpoint()?;
                last = Instant::now();
            } else if self.read == self.saved {
                last = Instant::now();
            }
            if work == Work::End {
                return Ok(());
            }
        }
    }

    pub(crate) fn applied(&self) -> Offset {
        Offset(self.cursor.link.next.0 - 1)
    }

    /// Applies what is durable, up to the bytes of one transaction.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let before = self.read;
        let tables = Arc::clone(&self.tables);
        let transaction = tables.begin_apply()?;
        {
            let mut rows = Rows::open(&tables, &transaction)?;
            while self.read - before < self.apply_bytes && self.apply_entry(&mut rows)? {}
        }
        tables::write_applied(&tables, &transaction, self.applied())?;
        transaction.commit().map_err(|e| tables.write_error(e))?;
        self.shelf.set_applied(self.applied());
        self.recent.applied(self.applied());
        self.stats.applied(begun.elapsed());
        Ok(())
    }

    /// Makes durable what is applied.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let transaction = self.tables.begin_checkpoint()?;
        tables::write_applied(&self.tables, &transaction, self.applied())?;
        self.stats.begin_checkpoint();
        transaction.commit().map_err(|e| self.tables.write_error(e))?;
        self.saved = self.read;
        self.shelf.set_checkpoint(self.applied(), self.read);
        self.stats.checkpointed(begun.elapsed());
        Ok(())
    }

    /// Applies the entry under the cursor, if there is one.
    fn apply_entry(&mut self, rows: &mut Rows<'_>) -> Result<bool, Error> {
        let Cursor { segment: number, at, link } = self.cursor;
        // The later one first: once it is there, the earlier one does not grow. That may be gone
        // already: nobody waits for this thread to leave a segment of which the state has all.
        let next = self.shelf.readable(number + 1);
        let here = self.shelf.readable(number).filter(|(_, used)| at < *used);
        let Some((segment, used)) = here else {
            let Some((next, _)) = next else { return Ok(false) };
            self.cursor = Cursor { segment: next.number, at: entry::SECTOR, link };
            self.entries = None;
            return self.apply_entry(rows);
        };
        let path = || self.disk.path(&segment::file_name(number));
        let entries = match &mut self.entries {
            Some(entries) => entries,
            None => self.entries.insert(Entries::new(segment.file.clone(), self.id, used)),
        };
        entries.extend(used);
        let found = entries.at(at).map_err(|source| Error::LogRead { path: path(), at, source })?;
        // The disk does not give what was written to it.
        let spoiled = || Error::LogSpoiled { path: path(), at };
        let (header, bytes) = found.ok_or_else(spoiled)?;
        if !header.follows(link) {
            return Err(spoiled());
        }
        let mut outcome = Ok(());
        let changes = entry::each_change(&bytes[HEADER_SIZE..], |change| {
            if outcome.is_ok() {
                outcome = rows.write(change);
            }
        });
        outcome?;
        changes.ok_or_else(spoiled)?;
        self.read += header.span();
        let at = at + header.span();
        self.cursor = Cursor { segment: number, at, link: header.link() };
        Ok(true)
    }
}

/// The rows in a transaction.
pub(crate) struct Rows<'a> {
    tables: &'a Tables,
    rows: redb::Table<'a, &'static [u8], &'static [u8]>,
    key: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(crate) fn open(
        tables: &'a Tables,
        transaction: &'a WriteTransaction,
    ) -> Result<Rows<'a>, Error> {
        let rows = transaction.open_table(ROWS).map_err(|e| tables.write_error(e))?;
        Ok(Rows { tables, rows, key: Vec::new() })
    }

    pub(crate) fn write(&mut self, change: ChangeRef<'_>) -> Result<(), Error> {
        tables::row_key(&mut self.key, change.table, change.key);
        let written = match change.value {
            Some(value) => self.rows.insert(self.key.as_slice(), value),
            None => self.rows.remove(self.key.as_slice()),
        };
        written.map_err(|e| self.tables.write_error(e))?;
        Ok(())
    }

    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        self.tables.damaged(what)
    }
}
