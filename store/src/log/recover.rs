//! What a start makes of the log: every entry behind the checkpoint is read, a torn tail is cut,
//! and whatever cannot have come from a crash is refused.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::Offset;

use super::entry::{self, HEADER_SIZE, Link, SECTOR, Stamp, StoreId};
use super::keep::UNBORN;
use super::segment::{self, Entries, Segment, Title};
use super::shelf::{Found, Live, Spare};
use super::tail::Tail;
use crate::disk::{Disk, File};
use crate::error::Error;

/// The log as a start found it, with its end ready to be written on.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) found: Found,
    pub(crate) tail: Tail,
    /// Of the newest entry, if one was read.
    pub(crate) stamp: Option<Stamp>,
    /// Where the log goes on.
    pub(crate) end: Cursor,
    /// Where the applier goes on.
    pub(crate) applied: Cursor,
    pub(crate) cut: Option<Cut>,
}

/// A place between two entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: u64,
    pub(crate) at: u64,
    pub(crate) link: Link,
}

/// An entry whose write was cut short: it was acknowledged to nobody, and is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub path: PathBuf,
    /// Where it began in the file.
    pub at: u64,
    /// The offset that its first batch would have had.
    pub offset: Offset,
}

/// The files of a log.
#[derive(Debug)]
pub(crate) struct Files {
    /// Oldest first.
    pub(crate) live: Vec<Arc<Segment>>,
    /// Those behind the last live one, with what their first sector says.
    pub(crate) rest: Vec<(Spare, Title)>,
}

/// Reads the log of a store whose state has everything up to `applied`.
pub(crate) fn recover(
    disk: &dyn Disk,
    id: StoreId,
    applied: Offset,
    entry_bytes_max: u64,
) -> Result<Recovered, Error> {
    remove_unborn(disk)?;
    // Names that a kill has left in memory only: what is acknowledged from here on relies on them.
    disk.sync().map_err(|source| Error::Io { path: disk.path(""), source })?;
    let Files { mut live, mut rest } = list(disk, id)?;
    let Some(oldest) = live.first() else {
        return Err(no_segment(disk, &rest));
    };
    let needed = Offset(applied.0 + 1);
    if oldest.link.next > needed {
        let path = disk.path(&segment::file_name(oldest.number));
        return Err(Error::LogGap { path, begins: oldest.link.next, needed });
    }
    let start = live.iter().rposition(|segment| segment.link.next <= needed);
    let start = start.expect("the oldest one is such a segment");
    // Of those before, nothing is read any more; they wait for the keeper.
    let mut used: Vec<u64> = live[..start].iter().map(|segment| segment.size).collect();
    let mut scan = Scan::new(disk, id, applied, &live[start]);
    let mut index = start;
    while let Some(segment) = live.get(index).cloned() {
        let end = scan.read(&segment)?;
        used.push(end);
        index += 1;
        match live.get(index) {
            Some(next) if next.link == scan.link => {}
            Some(_) => return Err(scan.damaged(segment.number, end)),
            None => {
                scan.refuse_newer(segment.number, &segment.file, end)?;
                if let Some(healed) = scan.heal(&mut rest)? {
                    live.push(healed);
                }
            }
        }
    }
    if let Some((spare, Title::Damaged)) = rest.first() {
        scan.refuse_newer(spare.number, &spare.file, SECTOR)?;
    }
    let last = live.last().expect("there is a live segment");
    let end = *used.last().expect("the last segment was read");
    let durable = Offset(scan.link.next.0 - 1);
    if durable < applied {
        let path = disk.path(&segment::file_name(last.number));
        return Err(Error::LogShort { path, at: end, ends: durable, applied });
    }
    let cut = scan.cut(last, end, entry_bytes_max)?;
    give_up_small(disk, &mut rest, SECTOR + entry_bytes_max)?;
    scan.tail.end = durable;
    let live = live.iter().zip(used).map(|(segment, used)| Live { segment: segment.clone(), used });
    Ok(Recovered {
        found: Found {
            live: live.collect(),
            spares: rest.into_iter().map(|(spare, _)| spare).collect(),
            durable,
            tail_bytes: scan.tail_bytes,
            checkpoint: applied,
        },
        end: Cursor { segment: last.number, at: end, link: scan.link },
        tail: scan.tail,
        stamp: scan.stamp,
        applied: scan.applied_at,
        cut,
    })
}

/// Why there is no segment in these files.
pub(crate) fn no_segment(disk: &dyn Disk, rest: &[(Spare, Title)]) -> Error {
    match rest.first() {
        Some((spare, Title::Damaged)) => {
            let path = disk.path(&segment::file_name(spare.number));
            Error::LogDamaged { path, at: 0, offset: None }
        }
        _ => Error::LogMissing { path: disk.path("") },
    }
}

/// Removes the segments that were never whole.
fn remove_unborn(disk: &dyn Disk) -> Result<(), Error> {
    let failed = |source| Error::Io { path: disk.path(""), source };
    for name in disk.list().map_err(failed)? {
        if name.strip_suffix(UNBORN).and_then(segment::number_of).is_some() {
            disk.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

/// Finds the files of a log.
pub(crate) fn list(disk: &dyn Disk, id: StoreId) -> Result<Files, Error> {
    let mut numbers = Vec::new();
    let folder = |source| Error::Io { path: disk.path(""), source };
    for name in disk.list().map_err(folder)? {
        numbers.extend(segment::number_of(&name));
    }
    numbers.sort_unstable();
    let mut files = Files { live: Vec::new(), rest: Vec::new() };
    let mut expected = numbers.first().copied();
    for number in numbers {
        let name = segment::file_name(number);
        let path = || disk.path(&name);
        if expected != Some(number) {
            let missing = expected.expect("there is a first one");
            return Err(Error::LogHole { path: disk.path(&segment::file_name(missing)) });
        }
        expected = number.checked_add(1);
        let failed = |source| Error::LogRead { path: path(), at: 0, source };
        let file = disk.open(&name).map_err(failed)?;
        let size = file.len().map_err(failed)?;
        match segment::read_title(&*file).map_err(failed)? {
            Title::Newer(found) => {
                let (path, found, known) = (path(), found.into(), crate::FORMAT);
                return Err(Error::Format { path, found, known });
            }
            Title::Segment { id: other, .. } if other != id => {
                return Err(Error::LogForeign { path: path() });
            }
            Title::Segment { number: own, link, .. } if own == number => {
                if let Some((spare, _)) = files.rest.first() {
                    let path = disk.path(&segment::file_name(spare.number));
                    return Err(Error::LogDamaged { path, at: 0, offset: None });
                }
                files.live.push(Arc::new(Segment { number, file, size, link }));
            }
            title => files.rest.push((Spare { number, file, size }, title)),
        }
    }
    Ok(files)
}

/// Removes the spares that are too small for the largest entry, and those behind them.
fn give_up_small(
    disk: &dyn Disk,
    spares: &mut Vec<(Spare, Title)>,
    least: u64,
) -> Result<(), Error> {
    let small = spares.iter().position(|(spare, _)| spare.size < least);
    for (spare, _) in spares.drain(small.unwrap_or(spares.len())..).rev() {
        let path = || disk.path(&segment::file_name(spare.number));
        let failed = |source| Error::LogWrite { path: path(), source };
        disk.remove(&segment::file_name(spare.number)).map_err(failed)?;
        // One after another, so that a crash leaves no hole.
        disk.sync().map_err(failed)?;
    }
    Ok(())
}

/// Reads entry after entry.
struct Scan<'a> {
    disk: &'a dyn Disk,
    id: StoreId,
    applied: Offset,
    link: Link,
    stamp: Option<Stamp>,
    tail: Tail,
    tail_bytes: u64,
    /// Behind the newest entry that the state has.
    applied_at: Cursor,
}

impl Scan<'_> {
    fn new<'a>(disk: &'a dyn Disk, id: StoreId, applied: Offset, first: &Segment) -> Scan<'a> {
        let link = first.link;
        let applied_at = Cursor { segment: first.number, at: SECTOR, link };
        let (tail, tail_bytes) = (Tail::new(id), 0);
        Scan { disk, id, applied, link, stamp: None, tail, tail_bytes, applied_at }
    }

    /// Takes in the entries of a segment, and says where they end.
    fn read(&mut self, segment: &Arc<Segment>) -> Result<u64, Error> {
        let mut entries = Entries::new(Arc::clone(&segment.file), self.id, segment.size);
        self.tail.enter(Arc::clone(segment));
        let mut at = SECTOR;
        loop {
            let found = entries.at(at).map_err(|e| self.unreadable(segment.number, at, e))?;
            let Some((header, bytes)) = found else { return Ok(at) };
            if !header.follows(self.link) {
                return Ok(at);
            }
            let next = at + header.span();
            if header.last() > self.applied {
                let base = bytes.as_ptr().addr();
                let tail = &mut self.tail;
                let taken = entry::each_change(&bytes[HEADER_SIZE..], |change| {
                    let from = change.value.map_or(0, |value| value.as_ptr().addr() - base);
                    tail.take(change, at + from as u64);
                });
                // The checksum is right, so that a newer program may have written it.
                taken.ok_or_else(|| self.damaged(segment.number, at))?;
                self.tail_bytes += header.span();
            } else {
                let link = header.link();
                self.applied_at = Cursor { segment: segment.number, at: next, link };
            }
            (self.link, self.stamp, at) = (header.link(), Some(header.stamp), next);
        }
    }

    /// A write that begins a segment is its title and an entry; where the title is lost and the
    /// entry is whole, the entry says what the title did.
    fn heal(&self, rest: &mut Vec<(Spare, Title)>) -> Result<Option<Arc<Segment>>, Error> {
        let Some((spare, _)) = rest.first() else { return Ok(None) };
        let mut entries = Entries::new(Arc::clone(&spare.file), self.id, spare.size);
        let found = entries.at(SECTOR);
        let found = found.map_err(|e| self.unreadable(spare.number, SECTOR, e))?;
        if !found.is_some_and(|(header, _)| header.follows(self.link)) {
            return Ok(None);
        }
        let (Spare { number, file, size }, _) = rest.remove(0);
        let mut title = Vec::new();
        segment::encode_title(&mut title, self.id, number, self.link);
        let failed = |source| Error::LogWrite { path: self.path(number), source };
        file.write(0, &title).map_err(failed)?;
        file.sync().map_err(failed)?;
        Ok(Some(Arc::new(Segment { number, file, size, link: self.link })))
    }

    /// One write is under way at a time: behind a torn one there is nothing whole.
    fn refuse_newer(&self, number: u64, file: &Arc<dyn File>, from: u64) -> Result<(), Error> {
        let size = file.len().map_err(|e| self.unreadable(number, from, e))?;
        let mut entries = Entries::new(Arc::clone(file), self.id, size);
        let newer = segment::find_newer(&mut entries, from, self.link);
        match newer.map_err(|e| self.unreadable(number, from, e))? {
            None => Ok(()),
            Some(_) => Err(self.damaged(number, from)),
        }
    }

    /// Overwrites what a torn write has left behind the last entry, and syncs.
    fn cut(&self, last: &Segment, end: u64, entry_bytes_max: u64) -> Result<Option<Cut>, Error> {
        let path = self.path(last.number);
        let unreadable = |e| self.unreadable(last.number, end, e);
        let size = entry_bytes_max.min(last.size - end);
        let mut left = vec![0; usize::try_from(size).expect("an entry fits into memory")];
        last.file.read(end, &mut left).map_err(unreadable)?;
        let failed = |source| Error::LogWrite { path: self.path(last.number), source };
        let torn =
            entry::Header::parse(self.id, &left).filter(|header| header.first == self.link.next);
        if left.iter().any(|byte| *byte != 0) {
            left.fill(0);
            last.file.write(end, &left).map_err(failed)?;
        }
        // What this start reads it may show, though a kill may have left it in memory only.
        last.file.sync().map_err(failed)?;
        Ok(torn.map(|header| Cut { path, at: end, offset: header.first }))
    }

    fn damaged(&self, number: u64, at: u64) -> Error {
        Error::LogDamaged { path: self.path(number), at, offset: Some(self.link.next) }
    }

    fn unreadable(&self, number: u64, at: u64, source: io::Error) -> Error {
        Error::LogRead { path: self.path(number), at, source }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.disk.path(&segment::file_name(number))
    }
}
