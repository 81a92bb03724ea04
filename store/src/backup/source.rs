//! What a backup is copied from: chunks of rows, each from a snapshot of its own, and the entries
//! of the log that is being written.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use base::Offset;
use redb::{ReadableDatabase as _, ReadableTableMetadata as _};

use crate::disk::Disk;
use crate::error::Error;
use crate::log::entry::{Link, SECTOR, StoreId};
use crate::log::segment::{self, Entries, Segment};
use crate::log::shelf::Shelf;
use crate::tables::{META, Meta, ROWS, Tables};

/// Rows and bytes of a chunk. A snapshot lives while one is read: some milliseconds.
const CHUNK_ROWS: usize = 1024;
const CHUNK_BYTES: usize = 1024 * 1024;

/// A store that serves, for backups of it. Outlives the store, and is closed with it.
#[derive(Debug)]
pub struct Source {
    /// Gone when the store is closed, which waits for a chunk that is read.
    tables: Mutex<Option<Arc<Tables>>>,
    pub(crate) shelf: Arc<Shelf>,
    /// What errors call the folder. Its lock ends with the store.
    folder: PathBuf,
    pub(crate) id: StoreId,
}

/// Some rows in the order of their keys.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Of the snapshot.
    pub(crate) meta: Meta,
    /// Of all rows there are.
    pub(crate) total: u64,
    /// The encoded rows, one behind the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
    /// Key of the last row.
    pub(crate) last: Vec<u8>,
    /// No row follows.
    pub(crate) is_last: bool,
}

impl Source {
    pub(crate) fn new(
        tables: Arc<Tables>,
        shelf: Arc<Shelf>,
        disk: &dyn Disk,
        id: StoreId,
    ) -> Source {
        Source { tables: Mutex::new(Some(tables)), shelf, folder: disk.path(""), id }
    }

    /// Nothing can be copied any more.
    pub(crate) fn close(&self) {
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The rows behind a key, or the first ones.
    pub(crate) fn chunk(&self, behind: Option<&[u8]>) -> Result<Chunk, Error> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tables) = &*tables else {
            return Err(Error::Poisoned { path: self.folder.clone() });
        };
        // redb panics on some damaged pages. That is the end of the backup alone.
        let chunk = catch_unwind(AssertUnwindSafe(|| read_chunk(tables, behind)));
        chunk.unwrap_or_else(|_| Err(tables.damaged("redb panicked over it")))
    }

    /// Reads the log from the entry behind this offset on.
    ///
    /// The segments were taken when the state had no more than the offset: what follows it is in
    /// them, or will be in later ones. Whoever holds one keeps the later ones, too.
    pub(crate) fn log_behind(
        &self,
        offset: Offset,
        segments: Vec<(Arc<Segment>, u64)>,
    ) -> Result<LogReader<'_>, Error> {
        let next = Offset(offset.0 + 1);
        let found = segments.into_iter().rev().find(|(segment, _)| segment.link.next <= next);
        let (segment, used) = found.expect("the log has what the state has not");
        let entries = Entries::new(Arc::clone(&segment.file), self.id, used);
        let (link, at) = (segment.link, SECTOR);
        let mut reader = LogReader { source: self, segment, entries, used, at, link, time: 0 };
        while reader.link.next < next && reader.next(offset)?.is_some() {}
        assert_eq!(reader.link.next, next, "the state ends where an entry does");
        Ok(reader)
    }
}

/// Reads durable entries while others are written.
pub(crate) struct LogReader<'a> {
    source: &'a Source,
    segment: Arc<Segment>,
    entries: Entries,
    /// Durable bytes of the segment, as far as they were looked for.
    used: u64,
    at: u64,
    /// What the next entry follows.
    pub(crate) link: Link,
    /// Of the newest entry that was read; zero before.
    pub(crate) time: u64,
}

impl LogReader<'_> {
    /// The next entry up to an offset that is durable, or `None` when all was read up to there.
    pub(crate) fn next(&mut self, until: Offset) -> Result<Option<&[u8]>, Error> {
        if self.link.next > until {
            return Ok(None);
        }
        while self.at >= self.used {
            self.go_on();
        }
        let name = segment::file_name(self.segment.number);
        let path = self.source.folder.join(&name);
        let at = self.at;
        let link = self.link;
        let found = match self.entries.at(at) {
            Ok(found) => found.filter(|(header, _)| header.follows(link)),
            Err(source) => return Err(Error::LogRead { path, at, source }),
        };
        let Some((header, bytes)) = found else { return Err(Error::LogSpoiled { path, at }) };
        self.at += header.span();
        self.link = header.link();
        self.time = header.stamp.time;
        Ok(Some(bytes))
    }

    /// Finds out what more the segment has, or enters the next one.
    fn go_on(&mut self) {
        let shelf = &self.source.shelf;
        let readable = |number| shelf.readable(number);
        // The later one first: once it is there, the earlier one does not grow.
        let next = readable(self.segment.number + 1);
        let (_, used) = readable(self.segment.number).expect("a segment that is held stays");
        if self.at < used {
            self.used = used;
            self.entries.extend(used);
            return;
        }
        let (segment, used) = next.expect("an offset that is durable has an entry");
        let file = Arc::clone(&segment.file);
        (self.segment, self.used, self.at) = (segment, used, SECTOR);
        self.entries = Entries::new(file, self.source.id, used);
    }
}

fn read_chunk(tables: &Tables, behind: Option<&[u8]>) -> Result<Chunk, Error> {
    let transaction = tables.redb.begin_read().map_err(|e| tables.read_error(e))?;
    let meta = transaction.open_table(META).map_err(|e| tables.read_error(e))?;
    let meta = Meta::read(tables, &meta)?;
    let rows = transaction.open_table(ROWS).map_err(|e| tables.read_error(e))?;
    let total = rows.len().map_err(|e| tables.read_error(e))?;
    let mut chunk =
        Chunk { meta, total, bytes: Vec::new(), ends: Vec::new(), last: Vec::new(), is_last: true };
    let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
    let range = rows.range::<&[u8]>((from, Bound::Unbounded)).map_err(|e| tables.read_error(e))?;
    for row in range {
        if chunk.ends.len() >= CHUNK_ROWS || chunk.bytes.len() >= CHUNK_BYTES {
            chunk.is_last = false;
            break;
        }
        let (key, value) = row.map_err(|e| tables.read_error(e))?;
        for part in [key.value(), value.value()] {
            let len = u32::try_from(part.len()).expect("a row is far below 4 GiB");
            chunk.bytes.extend_from_slice(&len.to_le_bytes());
        }
        chunk.bytes.extend_from_slice(key.value());
        chunk.bytes.extend_from_slice(value.value());
        chunk.ends.push(chunk.bytes.len());
        chunk.last.clear();
        chunk.last.extend_from_slice(key.value());
    }
    Ok(chunk)
}
