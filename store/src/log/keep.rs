//! The keeper: makes spares, archives closed segments, uses them again, watches the space.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Link, StoreId};
use super::segment::{self, Segment};
use super::shelf::{Shelf, Spare};
use crate::disk::{Disk, File};
use crate::error::Error;

/// How often the space is looked at, and an archive that failed is tried again.
const PERIOD: Duration = Duration::from_secs(1);
/// Zeros are written and synced in such pieces, so that the log's own syncs do not wait long.
const PIECE: usize = 256 * 1024;

/// Files that are made or copied have this behind their names until they are whole.
pub(crate) const UNBORN: &str = ".new";

/// Owned by the thread `store-keep`.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) id: StoreId,
    pub(crate) segment_bytes: u64,
    pub(crate) archive: Option<Arc<dyn Disk>>,
    pub(crate) min_free_bytes: u64,
}

impl Keeper {
    pub(crate) fn run(mut self) -> Result<(), Error> {
        loop {
            self.work()?;
            if !self.shelf.wait_for_chore(PERIOD, !self.shelf.archive_fails()) {
                return Ok(());
            }
        }
    }

    /// Does what there is to do.
    pub(crate) fn work(&mut self) -> Result<(), Error> {
        self.look_at_space()?;
        // First what is used again, so that fewer new ones are needed.
        while self.put_away()? {}
        self.make_spares()
    }

    pub(crate) fn make_spares(&self) -> Result<(), Error> {
        while self.shelf.wants_spare() {
            self.make_spare()?;
        }
        Ok(())
    }

    pub(crate) fn make_spare(&self) -> Result<(), Error> {
        let number = self.shelf.next_number();
        let name = segment::file_name(number);
        let failed = |source| Error::LogWrite { path: self.disk.path(&name), source };
        let is_hurried = self.shelf.is_hurried();
        let file = make_segment(&*self.disk, number, self.segment_bytes, is_hurried);
        let file = file.map_err(failed)?;
        self.shelf.add_spare(Spare { number, file, size: self.segment_bytes });
        Ok(())
    }

    fn look_at_space(&self) -> Result<(), Error> {
        if self.min_free_bytes == 0 {
            return Ok(());
        }
        let free = self.disk.free();
        let free = free.map_err(|source| Error::Io { path: self.disk.path(""), source })?;
        let was_little = self.shelf.has_little_space();
        // Writes come back when there is a tenth more: not at every file that comes and goes.
        let least = self.min_free_bytes + if was_little { self.min_free_bytes / 10 } else { 0 };
        let is_little = free < least;
        if is_little != was_little {
            self.shelf.set_little_space(is_little);
            if is_little {
                tracing::error!(free, least, "the disk is almost full: writes are refused");
            } else {
                tracing::info!(free, least, "the disk has space again: writes are taken");
            }
        }
        Ok(())
    }

    /// Archives the oldest segment, if nobody needs it any more, and makes a spare of it.
    fn put_away(&mut self) -> Result<bool, Error> {
        let Some((segment, used)) = self.shelf.take_saved() else { return Ok(false) };
        let name = segment::file_name(segment.number);
        if let Some(archive) = &self.archive {
            let name = archive_name(self.id, segment.number);
            if let Err(error) = archive_segment(&**archive, &name, &segment, used) {
                if !self.shelf.archive_fails() {
                    let file = archive.path(&name).display().to_string();
                    tracing::error!(file, %error, "cannot archive; segments are kept meanwhile");
                }
                self.shelf.set_archive_fails(true);
                self.shelf.put_back(segment, used);
                return Ok(false);
            }
            self.shelf.set_archive_fails(false);
        }
        let failed = |source| Error::LogWrite { path: self.disk.path(&name), source };
        let number = self.shelf.number_for_reuse();
        match number.filter(|_| segment.size == self.segment_bytes) {
            Some(number) => {
                self.disk.rename(&name, &segment::file_name(number)).map_err(failed)?;
                self.disk.sync().map_err(failed)?;
                self.shelf.add_spare(Spare { number, file: segment.file, size: segment.size });
            }
            None => {
                self.disk.remove(&name).map_err(failed)?;
                self.disk.sync().map_err(failed)?;
            }
        }
        Ok(true)
    }
}

/// Makes the first segment of a store.
pub(crate) fn make_first(disk: &dyn Disk, id: StoreId, link: Link, size: u64) -> io::Result<()> {
    let file = make_segment(disk, 1, size, false)?;
    let mut title = Vec::new();
    segment::encode_title(&mut title, id, 1, link);
    file.write(0, &title)?;
    file.sync()
}

/// Makes a file of zeros that has its name and all its bytes durably: a sync of what is written
/// to it later has no more to do than that. In a hurry the bytes are left to those syncs, which
/// then take about 1.6 times as long.
fn make_segment(
    disk: &dyn Disk,
    number: u64,
    size: u64,
    is_hurried: bool,
) -> io::Result<Arc<dyn File>> {
    let name = segment::file_name(number);
    let unborn = name.clone() + UNBORN;
    let file = disk.create(&unborn)?;
    if is_hurried {
        file.set_len(size)?;
        file.sync()?;
    } else {
        write_zeros(&*file, 0, size)?;
    }
    disk.rename(&unborn, &name)?;
    disk.sync()?;
    Ok(file)
}

/// What a segment is called in the archive, which may keep those of several stores.
pub(crate) fn archive_name(id: StoreId, number: u64) -> String {
    format!("{:016x}-{}", id.0, segment::file_name(number))
}

/// Writes and syncs zeros from one place of a file up to another.
pub(crate) fn write_zeros(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).map_or(PIECE, |left| left.min(PIECE));
        file.write(at, &zeros[..len])?;
        file.sync()?;
        at += len as u64;
    }
    Ok(())
}

fn archive_segment(archive: &dyn Disk, name: &str, segment: &Segment, used: u64) -> io::Result<()> {
    let unborn = format!("{name}{UNBORN}");
    let names = archive.list()?;
    if names.contains(&unborn) {
        archive.remove(&unborn)?; // of a copy that was cut short
    }
    if names.iter().any(|there| there == name) {
        // A name there means a whole file: the copy was made, and its segment not used again yet.
        // The sync may have failed, or the process ended before it.
        return archive.sync();
    }
    let copy = archive.create(&unborn)?;
    copy_file(&*segment.file, &*copy, used)?;
    copy.sync()?;
    archive.rename(&unborn, name)?;
    archive.sync()
}

/// Copies the first bytes of a file.
pub(crate) fn copy_file(from: &dyn File, to: &dyn File, size: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).map_or(PIECE, |left| left.min(PIECE));
        from.read(at, &mut piece[..len])?;
        to.write(at, &piece[..len])?;
        at += len as u64;
    }
    Ok(())
}
