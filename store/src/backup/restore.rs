//! Making a store of a backup.

use std::io;
use std::path::Path;

use base::{ChangeRef, Offset, Table};

use super::archive::{Archive, Target};
use super::manifest::Manifest;
use super::read::{self, Entries, Rows, Told};
use super::{Extra, Phase, Progress, RestoreOptions, Restored, UNFINISHED, Watch, io_error, tell};
use crate::apply;
use crate::disk::Disk;
use crate::error::Error;
use crate::log::entry::{self, Link};
use crate::log::keep::{self, UNBORN};
use crate::log::segment;
use crate::open::{self, FILE_NAME};
use crate::tables::{Meta, Tables};

/// So many bytes of rows or entries are one transaction.
const TRANSACTION_BYTES: u64 = 32 * 1024 * 1024;
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// Makes a store in a folder that is empty, or is not there, and that no process holds.
pub fn restore(
    from: &dyn Disk,
    dir: &Path,
    options: &RestoreOptions,
    watch: Watch<'_>,
) -> Result<Restored, Error> {
    // Whatever is wrong with the backup, no folder is made for it.
    Manifest::read(from, options.key.as_ref())?;
    restore_on(from, &open::lock_folder(dir, true)?, options, watch)
}

/// The same on any disk. On an error nothing is left; a restore that is cut short leaves a folder
/// that no store opens, and that a restore may be started in again.
pub fn restore_on(
    from: &dyn Disk,
    to: &dyn Disk,
    options: &RestoreOptions,
    watch: Watch<'_>,
) -> Result<Restored, Error> {
    let (manifest, _) = Manifest::read(from, options.key.as_ref())?;
    let archive = Archive::open(&options.archives, manifest.store, manifest.ends)?;
    let target = archive.resolve(options.until, &manifest)?;
    let extras = read::extras(from, options.key.as_ref(), &manifest)?;
    let is_ours = |name: &str| {
        name == UNFINISHED
            || name.strip_suffix(UNBORN).unwrap_or(name) == FILE_NAME
            || segment::number_of(name.strip_suffix(UNBORN).unwrap_or(name)).is_some()
            || extras.iter().any(|extra| extra.name == name)
    };
    let names = to.list().map_err(io_error(to, ""))?;
    let is_begun = names.iter().any(|name| name == UNFINISHED);
    if let Some(name) = names.iter().find(|name| !is_begun || !is_ours(name)) {
        return Err(Error::NotEmpty { path: to.path(""), name: name.clone() });
    }
    let restoring = Restoring { from, to, options, manifest: &manifest, target };
    let restored = restoring.run(&names, &extras, watch);
    if restored.is_err() {
        to.forget_cached();
        remove(to, is_ours);
    }
    restored
}

struct Restoring<'a> {
    from: &'a dyn Disk,
    to: &'a dyn Disk,
    options: &'a RestoreOptions,
    manifest: &'a Manifest,
    target: Target,
}

impl Restoring<'_> {
    fn run(&self, names: &[String], extras: &[Extra], watch: Watch<'_>) -> Result<Restored, Error> {
        let to = self.to;
        if names.is_empty() {
            to.create(UNFINISHED).map_err(io_error(to, UNFINISHED))?;
        }
        to.sync().map_err(io_error(to, UNFINISHED))?;
        for name in names.iter().filter(|name| *name != UNFINISHED) {
            to.remove(name).map_err(io_error(to, name))?; // of a restore that was cut short
        }
        to.sync().map_err(io_error(to, UNFINISHED))?;

        let epoch = self.target.epoch.checked_add(1);
        let damaged = |what| Error::BackupDamaged { path: self.from.path(""), what };
        let epoch = epoch.ok_or_else(|| damaged("no epoch is left"))?;
        let store = open::draw_id(to)?;
        let unborn = format!("{FILE_NAME}{UNBORN}");
        let file = to.create(&unborn).map_err(io_error(to, &unborn))?;
        let tables = open::tables_in(file, to.path(&unborn), CACHE_BYTES)?;
        self.fill(&tables, watch)?;
        let Target { offset, time, incarnation, .. } = self.target;
        let transaction = tables.begin_checkpoint()?;
        Meta { applied: offset, incarnation, store, epoch }.write(&tables, &transaction)?;
        transaction.commit().map_err(|e| tables.write_error(e))?;
        tables.redb.close().map_err(|e| open::database_error(&to.path(&unborn), e))?;

        // The log and the further files first: the name of the state says that all of it is there.
        let link = Link { next: Offset(offset.0 + 1), previous: 0 };
        let first = keep::make_first(to, store, link, open::FIRST_SEGMENT_BYTES);
        first.map_err(io_error(to, &segment::file_name(1)))?;
        for Extra { name, bytes } in extras {
            let write = || -> io::Result<()> {
                let file = to.create(name)?;
                file.write(0, bytes)?;
                file.sync()
            };
            write().map_err(io_error(to, name))?;
        }
        to.sync().map_err(io_error(to, ""))?;
        to.rename(&unborn, FILE_NAME).map_err(io_error(to, FILE_NAME))?;
        to.sync().map_err(io_error(to, FILE_NAME))?;
        to.remove(UNFINISHED).map_err(io_error(to, UNFINISHED))?;
        to.sync().map_err(io_error(to, UNFINISHED))?;
        Ok(Restored { offset, time, epoch })
    }

    /// Writes all rows as they were at the target.
    fn fill(&self, tables: &Tables, watch: Watch<'_>) -> Result<(), Error> {
        let key = self.options.key.as_ref();
        let mut told = Told::new(Phase::Restore, self.manifest.bytes());
        let mut rows = Rows::new(self.from, key, self.manifest);
        in_transactions(tables, |writer| {
            let Some(row) = rows.next()? else { return Ok(None) };
            let (table, key) = row.key.split_first().expect("a row has its table");
            writer.write(ChangeRef { table: Table(*table), key, value: Some(row.value) })?;
            told.add(row.size(), watch, self.from)?;
            Ok(Some(row.size()))
        })?;
        let mut entries = Entries::new(self.from, key, self.manifest);
        in_transactions(tables, |writer| {
            let Some((header, batches)) = entries.next()? else { return Ok(None) };
            write_batches(writer, batches)?;
            told.add(header.size() as u64, watch, self.from)?;
            Ok(Some(header.size() as u64))
        })?;
        told.end(watch, self.from)?;
        self.replay(tables, watch)
    }

    /// Brings in what came after the backup.
    fn replay(&self, tables: &Tables, watch: Watch<'_>) -> Result<(), Error> {
        let (begins, target) = (self.manifest.last(), self.target.offset);
        if target == begins {
            return Ok(());
        }
        let Manifest { store, ends, .. } = *self.manifest;
        let mut archive = Archive::open(&self.options.archives, store, ends)?;
        let (mut applied, mut bytes) = (begins, 0);
        in_transactions(tables, |writer| {
            if applied == target {
                return Ok(None);
            }
            let changed = || Error::TargetBeyond { last: applied, time: self.target.time };
            let (header, batches) = archive.next()?.ok_or_else(changed)?;
            let last = header.last().min(target);
            let count = last.0 + 1 - header.first.0;
            let batches = entry::first_batches(batches, count).ok_or_else(changed)?;
            write_batches(writer, batches)?;
            applied = last;
            bytes += header.size() as u64;
            let (done, total) = (applied.0 - begins.0, target.0 - begins.0);
            let progress = Progress { phase: Phase::Replay, done, total, bytes };
            tell(watch, progress, || self.to.path(""))?;
            Ok(Some(header.size() as u64))
        })
    }
}

/// Writes in transactions of a bounded size, until `write` has nothing more; it says how many bytes
/// it wrote.
fn in_transactions(
    tables: &Tables,
    mut write: impl FnMut(&mut apply::Rows<'_>) -> Result<Option<u64>, Error>,
) -> Result<(), Error> {
    let mut is_over = false;
    while !is_over {
        let transaction = tables.begin_checkpoint()?;
        {
            let mut rows = apply::Rows::open(tables, &transaction)?;
            let mut bytes = 0;
            while bytes < TRANSACTION_BYTES && !is_over {
                match write(&mut rows)? {
                    Some(written) => bytes += written,
                    None => is_over = true,
                }
            }
        }
        transaction.commit().map_err(|e| tables.write_error(e))?;
    }
    Ok(())
}

fn write_batches(writer: &mut apply::Rows<'_>, batches: &[u8]) -> Result<(), Error> {
    let mut outcome = Ok(());
    let read = entry::each_change(batches, |change| {
        if outcome.is_ok() {
            outcome = writer.write(change);
        }
    });
    outcome?;
    read.ok_or_else(|| writer.damaged("an entry has no changes in it"))
}

/// Removes what a restore has made. What cannot be removed is no store: the marker goes last.
fn remove(to: &dyn Disk, is_ours: impl Fn(&str) -> bool) {
    let names = to.list().unwrap_or_default();
    let made: Vec<_> = names.iter().filter(|name| *name != UNFINISHED && is_ours(name)).collect();
    // The state first: whatever is left then is an empty folder's worth.
    let (states, others): (Vec<_>, Vec<_>) = made.into_iter().partition(|name| *name == FILE_NAME);
    let is_clean = states.into_iter().chain(others).all(|name| to.remove(name).is_ok());
    if is_clean && to.sync().is_ok() && to.remove(UNFINISHED).is_ok() && to.sync().is_ok() {
        return;
    }
    tracing::warn!(folder = %to.path("").display(), "cannot remove what was restored");
}
