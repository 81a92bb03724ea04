//! The log: what is acknowledged. Entries in segments, written and synced one after another.

pub(crate) mod entry;
pub(crate) mod keep;
pub(crate) mod recover;
pub(crate) mod segment;
pub(crate) mod shelf;
pub(crate) mod tail;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Frame, Offset};

use crate::Commit;
use crate::disk::Disk;
use crate::error::Error;
use crate::tables::KEY_MAX;
use entry::{Link, SECTOR, Stamp, StoreId};
use segment::Segment;
use shelf::Shelf;

/// The end of the log. Only one thread writes.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) id: StoreId,
    /// Of the newest entry.
    pub(crate) stamp: Stamp,
    pub(crate) segment: Arc<Segment>,
    /// Where the next entry begins in it.
    pub(crate) at: u64,
    pub(crate) link: Link,
    pub(crate) buffer: Vec<u8>,
    /// A start looks for what a torn write has left so far behind the end.
    pub(crate) entry_bytes_max: u64,
}

/// What became durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// Offset of the first batch of the group.
    pub(crate) first: Offset,
    pub(crate) sync: Duration,
}

impl Log {
    /// Makes the group durable as one entry: one write, one sync. `None` when everything stopped
    /// before. After an error nothing may be asked any more: what a failed sync has left on disk,
    /// nobody knows.
    pub(crate) fn append(
        &mut self,
        group: &[Commit],
        time: u64,
    ) -> Result<Option<Appended>, Error> {
        self.check(group)?;
        self.stamp.time = self.stamp.time.max(time);
        self.buffer.clear();
        let bytes = entry::span(entry::size(group));
        assert!(bytes <= self.entry_bytes_max, "no commit has more bytes than the settings say");
        if !self.shelf.wait_for_room(bytes) {
            return Ok(None);
        }
        let mut next = None;
        let mut at = self.at;
        if at + bytes > self.segment.size {
            let Some((number, file, size)) = self.shelf.wait_for_spare() else { return Ok(None) };
            assert!(SECTOR + bytes <= size, "the largest entry fits into a segment");
            segment::encode_title(&mut self.buffer, self.id, number, self.link);
            at = 0;
            next = Some(Arc::new(Segment { number, file, size, link: self.link }));
        }
        let header = entry::encode(&mut self.buffer, group, self.id, self.link, self.stamp);
        let segment = next.as_ref().unwrap_or(&self.segment);
        let failed = |source| {
            let path = self.disk.path(&segment::file_name(segment.number));
            Error::LogWrite { path, source }
        };
        segment.file.write(at, &self.buffer).map_err(failed)?;
        let written = Instant::now();
        segment.file.sync().map_err(failed)?;
        let sync = written.elapsed();
        self.at = at + self.buffer.len() as u64;
        if let Some(segment) = next {
            self.shelf.roll(Arc::clone(&segment));
            self.segment = segment;
        }
        self.link = header.link();
        self.shelf.publish(header.last(), self.at, bytes);
        Ok(Some(Appended { first: header.first, sync }))
    }

    /// Nothing that redb would refuse later gets into the log.
    fn check(&self, group: &[Commit]) -> Result<(), Error> {
        for change in group.iter().flat_map(|commit| &commit.frames).flat_map(Frame::changes) {
            if change.key.len() > KEY_MAX {
                let (path, table, len) = (self.path(), change.table.0, change.key.len());
                return Err(Error::KeyTooLong { path, table, len });
            }
        }
        match self.link.next.0.checked_add(group.len() as u64) {
            Some(_) => Ok(()),
            None => {
                Err(Error::Damaged { path: self.path(), what: "no offset is left", source: None })
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.disk.path(&segment::file_name(self.segment.number))
    }
}
