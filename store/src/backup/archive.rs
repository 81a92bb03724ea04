//! Segments of the log that lie in folders: what came after a backup.

use std::sync::Arc;

use base::Offset;

use super::Until;
use super::manifest::Manifest;
use crate::disk::Disk;
use crate::error::Error;
use crate::log::entry::{HEADER_SIZE, Header, Link, SECTOR, StoreId};
use crate::log::keep;
use crate::log::segment::{self, Entries, Title};

/// Reads the entries that follow a backup, as far as each follows the one before.
pub(crate) struct Archive<'a> {
    id: StoreId,
    /// In the order of their numbers.
    segments: Vec<Found<'a>>,
    /// Of the segment that is read, and its entries.
    current: Option<(usize, Entries)>,
    at: u64,
    /// What the next entry of the segment follows.
    link: Link,
    /// What the next entry that is given follows.
    wanted: Link,
}

struct Found<'a> {
    number: u64,
    disk: &'a dyn Disk,
    name: String,
    link: Link,
}

/// Where a restore goes to, and what is known of that moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) offset: Offset,
    pub(crate) time: u64,
    pub(crate) incarnation: u32,
    pub(crate) epoch: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(
        folders: &'a [Arc<dyn Disk>],
        id: StoreId,
        from: Link,
    ) -> Result<Archive<'a>, Error> {
        let mut segments: Vec<Found<'_>> = Vec::new();
        for disk in folders {
            let disk = &**disk;
            for name in disk.list().map_err(super::io_error(disk, ""))? {
                let Some(number) = number_of(id, &name) else { continue };
                let read = disk.open(&name).and_then(|file| segment::read_title(&*file));
                let failed = |source| Error::LogRead { path: disk.path(&name), at: 0, source };
                match read.map_err(failed)? {
                    Title::Segment { id: of, number: own, link } if of == id && own == number => {
                        segments.push(Found { number, disk, name, link });
                    }
                    _ => {} // a spare, or of another store
                }
            }
        }
        segments.sort_by_key(|found| found.number);
        segments.dedup_by_key(|found| found.number);
        let (current, at, link) = (None, SECTOR, from);
        let mut archive = Archive { id, segments, current, at, link, wanted: from };
        let start = archive.segments.iter().rposition(|found| found.link.next <= from.next);
        if let Some(start) = start {
            archive.enter(start)?;
        }
        Ok(archive)
    }

    /// The next entry, and its batches; `None` where the archive has no more that follow.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, &[u8])>, Error> {
        loop {
            let Some((index, entries)) = &mut self.current else { return Ok(None) };
            let (index, at, link) = (*index, self.at, self.link);
            let found = &self.segments[index];
            if link.next == self.wanted.next && link != self.wanted {
                let path = found.disk.path(&found.name);
                let what = "it is of the same store, but not what followed this backup";
                return Err(Error::BackupDamaged { path, what });
            }
            let failed = |source| Error::LogRead { path: found.disk.path(&found.name), at, source };
            // Looked at twice: what is borrowed cannot be given away in a loop.
            let header = entries.at(at).map_err(failed)?.map(|(header, _)| header);
            let Some(header) = header.filter(|header| header.follows(link)) else {
                let follows =
                    |next: &Found<'_>| next.number == found.number + 1 && next.link == link;
                if self.segments.get(index + 1).is_some_and(follows) {
                    self.enter(index + 1)?;
                    continue;
                }
                self.current = None;
                return Ok(None);
            };
            self.at += header.span();
            self.link = header.link();
            if header.first < self.wanted.next {
                continue; // the backup has it
            }
            self.wanted = self.link;
            break self.entry_at(at);
        }
    }

    /// The last offset and time up to which there is everything.
    pub(crate) fn resolve(mut self, until: Until, manifest: &Manifest) -> Result<Target, Error> {
        let mut target = Target {
            offset: manifest.last(),
            time: manifest.time,
            incarnation: manifest.incarnation,
            epoch: manifest.epoch,
        };
        let is_before = match until {
            Until::Backup => return Ok(target),
            Until::Offset(offset) if offset == target.offset => return Ok(target),
            Until::Offset(offset) => offset < target.offset,
            Until::Time(time) => time < target.time,
        };
        if is_before {
            let (last, time) = (target.offset, target.time);
            return Err(Error::TargetBefore { last, time });
        }
        while let Some((header, _)) = self.next()? {
            if let Until::Time(time) = until
                && header.stamp.time > time
            {
                return Ok(target);
            }
            target.offset = header.last();
            target.time = header.stamp.time;
            target.incarnation = target.incarnation.max(header.stamp.incarnation);
            target.epoch = target.epoch.max(header.stamp.epoch);
            if let Until::Offset(offset) = until
                && header.last() >= offset
            {
                return Ok(Target { offset, ..target });
            }
        }
        if until == Until::Time(target.time) {
            return Ok(target);
        }
        Err(Error::TargetBeyond { last: target.offset, time: target.time })
    }

    fn enter(&mut self, index: usize) -> Result<(), Error> {
        let Found { disk, name, link, .. } = &self.segments[index];
        let opened = disk.open(name).and_then(|file| Ok((file.len()?, file)));
        let failed = |source| Error::LogRead { path: disk.path(name), at: 0, source };
        let (size, file) = opened.map_err(failed)?;
        (self.at, self.link) = (SECTOR, *link);
        self.current = Some((index, Entries::new(file, self.id, size)));
        Ok(())
    }

    fn entry_at(&mut self, at: u64) -> Result<Option<(Header, &[u8])>, Error> {
        let Some((index, entries)) = &mut self.current else { return Ok(None) };
        let found = &self.segments[*index];
        let path = || found.disk.path(&found.name);
        let entry = entries.at(at).map_err(|source| Error::LogRead { path: path(), at, source })?;
        Ok(entry.map(|(header, bytes)| (header, &bytes[HEADER_SIZE..])))
    }
}

/// The number of a segment of this store, in an archive or in a data folder.
fn number_of(id: StoreId, name: &str) -> Option<u64> {
    let number = segment::number_of(name.rsplit('-').next()?)?;
    (name == segment::file_name(number) || name == keep::archive_name(id, number)).then_some(number)
}
