//! Making a backup of a store that serves.

use std::sync::Arc;

use super::cipher::Key;
use super::manifest::{self, FILE_NAME, Kind, Listed, Manifest};
use super::read;
use super::source::{Chunk, LogReader, Source};
use super::volume::{Print, Writer};
use super::{BackupOptions, Extra, Phase, Progress, Summary, Watch, io_error, tell};
use crate::disk::Disk;
use crate::error::Error;
use crate::log::keep::UNBORN;

/// Copies a store that serves into an empty folder, then reads the copy from the disk and checks
/// it. Takes as long as it takes; on an error, and when it is given up, nothing is left of it.
///
/// # Panics
/// When an extra has a name that it may not have.
pub fn backup(
    source: &Source,
    to: &Arc<dyn Disk>,
    options: &BackupOptions,
    watch: Watch<'_>,
) -> Result<Summary, Error> {
    let names = to.list().map_err(io_error(&**to, ""))?;
    if let Some(name) = names.first() {
        return Err(Error::NotEmpty { path: to.path(""), name: name.clone() });
    }
    let made = write(source, &**to, options, watch).and_then(|()| {
        // What is checked is what the disk has.
        to.forget_cached();
        read::verify(&**to, options.key.as_ref(), watch)
    });
    if made.is_err() {
        remove(&**to);
    }
    made
}

fn write(
    source: &Source,
    to: &dyn Disk,
    options: &BackupOptions,
    watch: Watch<'_>,
) -> Result<(), Error> {
    let mut copying = Copying::new(to, options);
    // Before the first snapshot: the state has no less than these lack.
    let segments = source.shelf.segments();
    let mut chunk = source.chunk(None)?;
    let meta = chunk.meta;
    let mut log = source.log_behind(meta.applied, segments)?;
    let begins = log.link;
    loop {
        let free = to.free().map_err(io_error(to, ""))?;
        if free < options.min_free_bytes {
            let (path, least) = (to.path(""), options.min_free_bytes);
            return Err(Error::BackupSpace { path, free, least });
        }
        copying.take_rows(&chunk)?;
        // So that no more of the log is held than was written meanwhile.
        copying.take_entries(&mut log, source)?;
        let rows = copying.rows.count;
        let (total, bytes) = (chunk.total.max(rows), copying.bytes());
        let progress = Progress { phase: Phase::Copy, done: rows, total, bytes };
        tell(watch, progress, || to.path(""))?;
        if chunk.is_last {
            break;
        }
        chunk = source.chunk(Some(&chunk.last))?;
    }
    copying.take_entries(&mut log, source)?;
    let (ends, time) = (log.link, log.time);
    drop(log);
    let Copying { rows, log, .. } = copying;
    let (row_count, entry_count) = (rows.count, log.count);
    let mut files = rows.finish()?;
    files.extend(log.finish()?);
    for extra in &options.extras {
        files.push(write_extra(to, extra, options.key.as_ref())?);
    }
    to.sync().map_err(io_error(to, ""))?;
    let manifest = Manifest {
        store: source.id,
        incarnation: meta.incarnation,
        epoch: meta.epoch,
        begins,
        ends,
        time,
        rows: row_count,
        entries: entry_count,
        files,
    };
    manifest.write(to, options.key.as_ref())
}

struct Copying<'a> {
    rows: Series<'a>,
    log: Series<'a>,
}

impl<'a> Copying<'a> {
    fn new(to: &'a dyn Disk, options: &'a BackupOptions) -> Copying<'a> {
        Copying {
            rows: Series::new(Kind::Rows, to, options),
            log: Series::new(Kind::Log, to, options),
        }
    }

    fn take_rows(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut start = 0;
        for end in &chunk.ends {
            self.rows.push(&chunk.bytes[start..*end])?;
            start = *end;
        }
        Ok(())
    }

    /// Everything that is durable.
    fn take_entries(&mut self, log: &mut LogReader<'_>, source: &Source) -> Result<(), Error> {
        let durable = source.shelf.durable();
        while let Some(entry) = log.next(durable)? {
            self.log.push(entry)?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.rows.bytes + self.log.bytes
    }
}

/// Files with numbers, one full after the other.
struct Series<'a> {
    kind: Kind,
    to: &'a dyn Disk,
    key: Option<&'a Key>,
    file_bytes: u64,
    /// The name of the file, and its end.
    current: Option<(String, Writer)>,
    full: Vec<Listed>,
    /// Rows or entries.
    count: u64,
    bytes: u64,
}

impl<'a> Series<'a> {
    fn new(kind: Kind, to: &'a dyn Disk, options: &'a BackupOptions) -> Series<'a> {
        let (key, file_bytes) = (options.key.as_ref(), options.file_bytes);
        Series { kind, to, key, file_bytes, current: None, full: Vec::new(), count: 0, bytes: 0 }
    }

    fn push(&mut self, record: &[u8]) -> Result<(), Error> {
        let size = record.len() as u64;
        let is_full = |writer: &Writer| writer.written() + size > self.file_bytes;
        if let Some((name, writer)) = self.current.take_if(|(_, writer)| is_full(writer)) {
            self.full.push(listed(self.kind, name, writer.finish()?));
        }
        if self.current.is_none() {
            let number = u32::try_from(self.full.len() + 1).expect("files are far fewer");
            let name = self.kind.file_name(number);
            let writer = Writer::create(self.to, &name, &name, self.key)?;
            self.current = Some((name, writer));
        }
        let (_, writer) = self.current.as_mut().expect("it was just made");
        writer.write(record)?;
        self.count += 1;
        self.bytes += size;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Listed>, Error> {
        if let Some((name, writer)) = self.current {
            self.full.push(listed(self.kind, name, writer.finish()?));
        }
        Ok(self.full)
    }
}

fn listed(kind: Kind, name: String, print: Print) -> Listed {
    Listed { kind, name, print }
}

fn write_extra(to: &dyn Disk, extra: &Extra, key: Option<&Key>) -> Result<Listed, Error> {
    assert!(manifest::is_extra(&extra.name), "{:?} is no name of an extra", extra.name);
    let name = manifest::extra_name(&extra.name);
    let mut writer = Writer::create(to, &name, &name, key)?;
    writer.write(&extra.bytes)?;
    Ok(listed(Kind::Extra, name, writer.finish()?))
}

/// Removes what there is of a backup, the manifest first. Whatever stays is no whole backup, or
/// the disk is one that nothing can be done with.
fn remove(to: &dyn Disk) {
    let is_removed = to.remove(FILE_NAME).is_ok() && to.sync().is_ok();
    let names = to.list().unwrap_or_default();
    if !is_removed && names.iter().any(|name| name == FILE_NAME) {
        return;
    }
    for name in names {
        let is_ours = manifest::is_file_of_backup(name.strip_suffix(UNBORN).unwrap_or(&name));
        if is_ours && to.remove(&name).is_err() {
            tracing::warn!(file = %to.path(&name).display(), "cannot remove it");
        }
    }
    let _ = to.sync(); // without it they may come back after a crash, and are no backup
}
