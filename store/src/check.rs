//! `ringmaster check`: reads every entry of the log and every row of the state, and changes nothing
//! but, if asked to, the end of the log.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Offset, Table};
use redb::{ReadableDatabase, ReadableTable};

use crate::backup::UNFINISHED;
use crate::disk::{Disk, File};
use crate::error::Error;
use crate::log::entry::{self, HEADER_SIZE, Link, SECTOR, StoreId};
use crate::log::keep;
use crate::log::recover::{self, Files};
use crate::log::segment::{self, Entries, Segment};
use crate::open::{self, FILE_NAME};
use crate::tables::{ROWS, Tables};

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Rows of each table, and their bytes, keys and values.
    pub tables: BTreeMap<Table, TableSize>,
    /// The state has everything up to here.
    pub applied: Offset,
    pub segments: usize,
    pub entries: u64,
    pub batches: u64,
    /// First and last offset of the log's whole entries, if there are any.
    pub log: Option<(Offset, Offset)>,
    /// Why the store would not start, or should not.
    pub problems: Vec<Error>,
    /// What a repair would cut, or has cut.
    pub damage: Option<Damage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    pub rows: u64,
    pub bytes: u64,
}

/// A damaged place of the log, with whole entries behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    pub at: u64,
    /// The first offset that would be lost.
    pub offset: Offset,
    segment: u64,
}

/// Checks a data folder that no process holds.
pub fn check(dir: &Path) -> Result<Checked, Error> {
    check_on(&open::lock_folder(dir, false)?)
}

/// Cuts the log at its damage, after a copy of what is cut was saved beside it; gives the copies.
pub fn repair(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    repair_on(&open::lock_folder(dir, false)?)
}

/// The same of a store on any disk.
pub fn check_on(disk: &dyn Disk) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let names = disk.list().map_err(|source| Error::Io { path: disk.path(""), source })?;
    if names.iter().any(|name| name == UNFINISHED) {
        checked.problems.push(Error::RestoreUnfinished { path: disk.path("") });
        return Ok(checked);
    }
    let state = catch_unwind(AssertUnwindSafe(|| check_state(disk, &mut checked)));
    let path = disk.path(FILE_NAME);
    let panicked = || Error::Damaged { path, what: "redb panicked over it", source: None };
    match state.unwrap_or_else(|_| Err(panicked())) {
        Ok(id) => {
            if let Err(problem) = check_log(disk, id, &mut checked) {
                checked.problems.push(problem);
            }
        }
        Err(problem) => checked.problems.push(problem),
    }
    Ok(checked)
}

/// The same of a store on any disk.
pub fn repair_on(disk: &dyn Disk) -> Result<Vec<PathBuf>, Error> {
    let Some(damage) = check_on(disk)?.damage else { return Ok(Vec::new()) };
    let mut saved = Vec::new();
    let failed = |name: &str, source| Error::LogWrite { path: disk.path(name), source };
    let copy_name = |name: &str| format!("{name}.cut-{}", damage.offset.0);
    let names = disk.list().map_err(|source| Error::Io { path: disk.path(""), source })?;
    let mut later: Vec<_> = names.iter().filter_map(|name| segment::number_of(name)).collect();
    later.retain(|number| *number > damage.segment);
    later.sort_unstable();

    let name = segment::file_name(damage.segment);
    let copy = copy_name(&name);
    let file = disk.open(&name).map_err(|e| failed(&name, e))?;
    let size = file.len().map_err(|e| failed(&name, e))?;
    let save = || -> io::Result<()> {
        let unborn = copy.clone() + keep::UNBORN;
        if names.contains(&unborn) {
            disk.remove(&unborn)?;
        }
        let to = disk.create(&unborn)?;
        keep::copy_file(&*file, &*to, size)?;
        to.sync()?;
        disk.rename(&unborn, &copy)?;
        disk.sync()
    };
    save().map_err(|e| failed(&copy, e))?;
    saved.push(disk.path(&copy));
    // From the end on, so that a repair that is cut short leaves no hole in the log.
    for number in later.into_iter().rev() {
        let name = segment::file_name(number);
        disk.rename(&name, &copy_name(&name)).map_err(|e| failed(&name, e))?;
        disk.sync().map_err(|e| failed(&name, e))?;
        saved.push(disk.path(&copy_name(&name)));
    }
    keep::write_zeros(&*file, damage.at, size).map_err(|e| failed(&name, e))?;
    Ok(saved)
}

fn check_state(disk: &dyn Disk, checked: &mut Checked) -> Result<StoreId, Error> {
    let path = disk.path(FILE_NAME);
    let file = disk.open(FILE_NAME).map_err(|source| Error::Io { path: path.clone(), source })?;
    let scratch = Arc::new(Scratch { file, written: Mutex::default() });
    let mut tables = open::tables_in(scratch, path, 64 * 1024 * 1024)?;
    let meta = open::read_meta(&tables)?;
    checked.applied = meta.applied;
    let is_whole = tables.redb.check_integrity();
    if !is_whole.map_err(|e| tables.read_error(e))? {
        return Err(tables.damaged("a page does not have its checksum"));
    }
    count_rows(&tables, checked)?;
    Ok(meta.store)
}

fn count_rows(tables: &Tables, checked: &mut Checked) -> Result<(), Error> {
    let transaction = tables.redb.begin_read().map_err(|e| tables.read_error(e))?;
    let rows = transaction.open_table(ROWS).map_err(|e| tables.read_error(e))?;
    for row in rows.iter().map_err(|e| tables.read_error(e))? {
        let (key, value) = row.map_err(|e| tables.read_error(e))?;
        let table = key.value().first().ok_or_else(|| tables.damaged("a row without a table"))?;
        let size = checked.tables.entry(Table(*table)).or_default();
        size.rows += 1;
        size.bytes += (key.value().len() - 1 + value.value().len()) as u64;
    }
    Ok(())
}

fn check_log(disk: &dyn Disk, id: StoreId, checked: &mut Checked) -> Result<(), Error> {
    let Files { live, rest } = recover::list(disk, id)?;
    checked.segments = live.len();
    let Some(oldest) = live.first() else {
        return Err(recover::no_segment(disk, &rest));
    };
    let needed = Offset(checked.applied.0 + 1);
    if oldest.link.next > needed {
        let path = disk.path(&segment::file_name(oldest.number));
        return Err(Error::LogGap { path, begins: oldest.link.next, needed });
    }
    let mut link = oldest.link;
    let mut at = SECTOR;
    for (index, segment) in live.iter().enumerate() {
        (link, at) = check_segment(disk, id, segment, link, checked)?;
        let next = live.get(index + 1);
        let behind = match next {
            Some(next) if next.link == link => false,
            Some(_) => true,
            None => has_newer(disk, id, &segment.file, segment, at, link)?,
        };
        if behind {
            let path = disk.path(&segment::file_name(segment.number));
            // What the state has already is not lost with the log.
            if link.next > checked.applied {
                let (path, offset) = (path.clone(), link.next);
                checked.damage = Some(Damage { path, at, offset, segment: segment.number });
            }
            return Err(Error::LogDamaged { path, at, offset: Some(link.next) });
        }
    }
    let last = live.last().unwrap_or(oldest);
    if let Some((spare, segment::Title::Damaged)) = rest.first() {
        let spare =
            Segment { number: spare.number, file: spare.file.clone(), size: spare.size, link };
        if has_newer(disk, id, &spare.file, &spare, SECTOR, link)? {
            let path = disk.path(&segment::file_name(spare.number));
            let (at, offset, segment) = (SECTOR, link.next, spare.number);
            checked.damage = Some(Damage { path: path.clone(), at, offset, segment });
            return Err(Error::LogDamaged { path, at, offset: Some(offset) });
        }
    }
    let ends = Offset(link.next.0 - 1);
    if ends < checked.applied {
        let path = disk.path(&segment::file_name(last.number));
        return Err(Error::LogShort { path, at, ends, applied: checked.applied });
    }
    Ok(())
}

/// Reads a segment's entries; what follows the last one, and where.
fn check_segment(
    disk: &dyn Disk,
    id: StoreId,
    segment: &Segment,
    mut link: Link,
    checked: &mut Checked,
) -> Result<(Link, u64), Error> {
    let path = || disk.path(&segment::file_name(segment.number));
    let mut entries = Entries::new(Arc::clone(&segment.file), id, segment.size);
    let mut at = SECTOR;
    loop {
        let found = entries.at(at).map_err(|source| Error::LogRead { path: path(), at, source })?;
        let Some((header, bytes)) = found.filter(|(header, _)| header.follows(link)) else {
            return Ok((link, at));
        };
        let frames = entry::each_change(&bytes[HEADER_SIZE..], |_| ());
        let damaged = || Error::LogDamaged { path: path(), at, offset: Some(header.first) };
        frames.ok_or_else(damaged)?;
        checked.entries += 1;
        checked.batches += u64::from(header.batches);
        let first = checked.log.map_or(header.first, |(first, _)| first);
        checked.log = Some((first, header.last()));
        (link, at) = (header.link(), at + header.span());
    }
}

fn has_newer(
    disk: &dyn Disk,
    id: StoreId,
    file: &Arc<dyn File>,
    segment: &Segment,
    from: u64,
    link: Link,
) -> Result<bool, Error> {
    let mut entries = Entries::new(Arc::clone(file), id, segment.size);
    let newer = segment::find_newer(&mut entries, from, link);
    let path = || disk.path(&segment::file_name(segment.number));
    let newer = newer.map_err(|source| Error::LogRead { path: path(), at: from, source })?;
    Ok(newer.is_some())
}

/// A file that is written to in memory only: opening a state after a kill repairs it.
#[derive(Debug)]
struct Scratch {
    file: Arc<dyn File>,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    pages: BTreeMap<u64, Box<[u8]>>,
    len: Option<u64>,
}

const PAGE: u64 = 4096;

impl Scratch {
    fn read_into(&self, written: &Written, at: u64, out: &mut [u8]) -> io::Result<()> {
        let len = self.file.len()?;
        let mut done = 0;
        while done < out.len() {
            let here = at + done as u64;
            let within = (here % PAGE) as usize;
            let count = (PAGE as usize - within).min(out.len() - done);
            let part = &mut out[done..done + count];
            match written.pages.get(&(here / PAGE)) {
                Some(page) => part.copy_from_slice(&page[within..within + count]),
                None => {
                    part.fill(0);
                    let there = len.saturating_sub(here).min(count as u64) as usize;
                    self.file.read(here, &mut part[..there])?;
                }
            }
            done += count;
        }
        Ok(())
    }
}

impl File for Scratch {
    fn len(&self) -> io::Result<u64> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len.map_or_else(|| self.file.len(), Ok)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        if at + out.len() as u64 > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_into(&written, at, out)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let end = self.len()?.max(at + data.len() as u64);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len = Some(end);
        let mut done = 0;
        while done < data.len() {
            let here = at + done as u64;
            let within = (here % PAGE) as usize;
            let count = (PAGE as usize - within).min(data.len() - done);
            let number = here / PAGE;
            if !written.pages.contains_key(&number) {
                let mut page = vec![0; PAGE as usize].into_boxed_slice();
                self.read_into(&written, number * PAGE, &mut page)?;
                written.pages.insert(number, page);
            }
            let page = written.pages.get_mut(&number).expect("it was put there");
            page[within..within + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len = Some(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
