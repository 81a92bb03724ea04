//! Reading a backup: every byte of it is looked at.

use std::collections::VecDeque;

use super::cipher::Key;
use super::manifest::{Kind, Listed, Manifest};
use super::volume::Reader;
use super::{Extra, Phase, Progress, Summary, Watch, tell};
use crate::disk::Disk;
use crate::error::Error;
use crate::log::entry::{self, HEADER_SIZE, Header, Link, StoreId};
use crate::tables::KEY_MAX;

/// Most rows or entries between two calls of the watch, and most bytes of them.
const TOLD_EVERY: u64 = 1024 * 1024;
/// A larger file of the data folder is none of those that a backup keeps.
const EXTRA_MAX: u64 = 1024 * 1024;

/// Checks a backup: that all files are there as the manifest says, that every row and every entry
/// is one, and that the entries follow each other without a gap from the rows to the end.
pub fn verify(disk: &dyn Disk, key: Option<&Key>, watch: Watch<'_>) -> Result<Summary, Error> {
    let (manifest, is_encrypted) = Manifest::read(disk, key)?;
    let mut told = Told::new(Phase::Verify, manifest.bytes());
    let mut rows = Rows::new(disk, key, &manifest);
    while let Some(row) = rows.next()? {
        told.add(row.size(), watch, disk)?;
    }
    let mut entries = Entries::new(disk, key, &manifest);
    while let Some((header, _)) = entries.next()? {
        told.add(header.size() as u64, watch, disk)?;
    }
    extras(disk, key, &manifest)?;
    told.end(watch, disk)?;
    Ok(manifest.summary(is_encrypted))
}

/// Counts bytes for a watch.
pub(crate) struct Told {
    progress: Progress,
    unsaid: u64,
}

impl Told {
    pub(crate) fn new(phase: Phase, total: u64) -> Told {
        Told { progress: Progress { phase, done: 0, total, bytes: 0 }, unsaid: 0 }
    }

    pub(crate) fn add(
        &mut self,
        bytes: u64,
        watch: Watch<'_>,
        disk: &dyn Disk,
    ) -> Result<(), Error> {
        self.unsaid += bytes;
        if self.unsaid < TOLD_EVERY {
            return Ok(());
        }
        self.progress.bytes += std::mem::take(&mut self.unsaid);
        self.progress.done = self.progress.bytes.min(self.progress.total);
        tell(watch, self.progress, || disk.path(""))
    }

    pub(crate) fn end(&mut self, watch: Watch<'_>, disk: &dyn Disk) -> Result<(), Error> {
        self.progress.bytes += std::mem::take(&mut self.unsaid);
        self.progress.done = self.progress.total;
        tell(watch, self.progress, || disk.path(""))
    }
}

/// The files of one kind, one after another.
struct Volumes<'a> {
    disk: &'a dyn Disk,
    key: Option<&'a Key>,
    files: VecDeque<&'a Listed>,
    current: Option<(Reader, &'a Listed)>,
}

impl<'a> Volumes<'a> {
    fn new(disk: &'a dyn Disk, key: Option<&'a Key>, manifest: &'a Manifest, kind: Kind) -> Self {
        Volumes { disk, key, files: manifest.of_kind(kind).collect(), current: None }
    }

    /// The file that has something left to read; those before were what the manifest says.
    fn reader(&mut self) -> Result<Option<&mut Reader>, Error> {
        while self.current.as_ref().is_none_or(|(reader, _)| reader.left() == 0) {
            if let Some((reader, listed)) = self.current.take() {
                finish(reader, listed, self.disk)?;
            }
            let Some(listed) = self.files.pop_front() else { return Ok(None) };
            self.current = Some((Reader::open(self.disk, &listed.name, self.key)?, listed));
        }
        Ok(self.current.as_mut().map(|(reader, _)| reader))
    }
}

fn finish(reader: Reader, listed: &Listed, disk: &dyn Disk) -> Result<(), Error> {
    if reader.finish()? == listed.print {
        return Ok(());
    }
    let what = "it does not have the size and the SHA-256 that the manifest names";
    Err(Error::BackupDamaged { path: disk.path(&listed.name), what })
}

/// The rows of a backup.
pub(crate) struct Rows<'a> {
    volumes: Volumes<'a>,
    /// Key and value of a row, and where the key ends.
    row: Vec<u8>,
    key: Vec<u8>,
    count: u64,
    expected: u64,
}

pub(crate) struct Row<'a> {
    /// With the byte of the table before it.
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl Row<'_> {
    pub(crate) fn size(&self) -> u64 {
        (8 + self.key.len() + self.value.len()) as u64
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, key: Option<&'a Key>, manifest: &'a Manifest) -> Self {
        let volumes = Volumes::new(disk, key, manifest, Kind::Rows);
        Rows { volumes, row: Vec::new(), key: Vec::new(), count: 0, expected: manifest.rows }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        let disk = self.volumes.disk;
        let Some(reader) = self.volumes.reader()? else {
            if self.count == self.expected {
                return Ok(None);
            }
            let what = "there are not as many rows as the manifest says";
            return Err(Error::BackupDamaged { path: disk.path(""), what });
        };
        self.row.clear();
        reader.read(&mut self.row, 8)?;
        let [key, value] = [0, 4].map(|at| entry::u32_at(&self.row, at) as usize);
        if key == 0 || key > KEY_MAX + 1 {
            return Err(reader.damaged("a row has a key that is none"));
        }
        self.row.clear();
        reader.read(&mut self.row, key)?;
        if self.count > 0 && self.row <= self.key {
            return Err(reader.damaged("the rows are not in the order of their keys"));
        }
        self.key.clone_from(&self.row);
        reader.read(&mut self.row, value)?;
        self.count += 1;
        Ok(Some(Row { key: &self.key, value: &self.row[key..] }))
    }
}

/// The entries of a backup.
pub(crate) struct Entries<'a> {
    volumes: Volumes<'a>,
    id: StoreId,
    link: Link,
    ends: Link,
    entry: Vec<u8>,
    count: u64,
    expected: u64,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, key: Option<&'a Key>, manifest: &'a Manifest) -> Self {
        Entries {
            volumes: Volumes::new(disk, key, manifest, Kind::Log),
            id: manifest.store,
            link: manifest.begins,
            ends: manifest.ends,
            entry: Vec::new(),
            count: 0,
            expected: manifest.entries,
        }
    }

    /// The next entry: its header, and its batches, which are changes.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, &[u8])>, Error> {
        let disk = self.volumes.disk;
        let Some(reader) = self.volumes.reader()? else {
            if self.link == self.ends && self.count == self.expected {
                return Ok(None);
            }
            let what = "its entries do not reach as far as the manifest says";
            return Err(Error::BackupDamaged { path: disk.path(""), what });
        };
        self.entry.clear();
        reader.read(&mut self.entry, HEADER_SIZE)?;
        let Some(header) = Header::parse(self.id, &self.entry) else {
            return Err(reader.damaged("an entry does not begin as one"));
        };
        reader.read(&mut self.entry, header.length as usize)?;
        let batches = &self.entry[HEADER_SIZE..];
        if !header.is_sealed(self.id, &self.entry) {
            return Err(reader.damaged("an entry does not have its checksum"));
        }
        if !header.follows(self.link) {
            return Err(reader.damaged("an entry does not follow the one before"));
        }
        if entry::each_change(batches, |_| ()).is_none() {
            return Err(reader.damaged("an entry has no changes in it"));
        }
        self.link = header.link();
        self.count += 1;
        Ok(Some((header, batches)))
    }
}

/// The further files of the data folder.
pub(crate) fn extras(
    disk: &dyn Disk,
    key: Option<&Key>,
    manifest: &Manifest,
) -> Result<Vec<Extra>, Error> {
    let mut extras = Vec::new();
    for listed in manifest.of_kind(Kind::Extra) {
        let mut reader = Reader::open(disk, &listed.name, key)?;
        if reader.left() > EXTRA_MAX {
            return Err(reader.damaged("it is too large"));
        }
        let mut bytes = Vec::new();
        let len = usize::try_from(reader.left()).expect("it was just compared");
        reader.read(&mut bytes, len)?;
        finish(reader, listed, disk)?;
        let name = super::manifest::name_of_extra(&listed.name);
        let name = name.expect("the manifest was looked through").to_owned();
        extras.push(Extra { name, bytes });
    }
    Ok(extras)
}
