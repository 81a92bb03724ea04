//! Opening the data folder: its lock, the state, the log, the next incarnation.

use std::fs::TryLockError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base::{Offset, Table};
use bytes::Bytes;
use redb::{DatabaseError, ReadableDatabase, StorageError, TableError};
use ring::rand::SecureRandom as _;

use crate::apply::Applier;
use crate::backup::UNFINISHED;
use crate::disk::{Backend, Disk, File, OsDisk};
use crate::error::Error;
use crate::handle::{Parts, Running};
use crate::log::entry::{Link, SECTOR, Stamp, StoreId};
use crate::log::keep::{self, Keeper, UNBORN};
use crate::log::recover::{self, Cut, Recovered};
use crate::log::shelf::Shelf;
use crate::log::{Log, segment};
use crate::read::{Recent, Snapshot, Snapshots};
use crate::stats::Stats;
use crate::tables::{META, Meta, ROWS, Tables};
use crate::{Settings, Sink};

pub const FILE_NAME: &str = "ringmaster.redb";
/// Size of the first segment of a new store: small, so that the first start is quick.
pub(crate) const FIRST_SEGMENT_BYTES: u64 = 1024 * 1024;

/// An open data folder whose threads have not been started.
#[derive(Debug)]
pub struct Store(Parts);

/// What a start needs to know.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    /// Higher than that of every earlier start of this folder; durable.
    pub incarnation: u32,
    /// The offset of the newest batch on disk; zero when there is none.
    pub durable: Offset,
    /// Bytes of the log that the state does not have yet.
    pub backlog_bytes: u64,
    /// What a crash has left of a write, if it has.
    pub cut: Option<Cut>,
}

impl Store {
    /// Opens the data folder, or makes one.
    ///
    /// # Panics
    /// When a setting is out of its range.
    pub fn open(dir: &Path, settings: Settings) -> Result<Opened, Error> {
        Store::open_on(Arc::new(lock_folder(dir, true)?), settings)
    }

    /// Opens a store on a disk, or makes one there.
    ///
    /// # Panics
    /// When a setting is out of its range.
    #[expect(clippy::needless_pass_by_value, reason = "the store keeps the disk")]
    pub fn open_on(disk: Arc<dyn Disk>, settings: Settings) -> Result<Opened, Error> {
        settings.check();
        let opened = Store::try_open(&disk, settings);
        if opened.is_err() {
            disk.forget_cached();
        }
        opened
    }

    fn try_open(disk: &Arc<dyn Disk>, settings: Settings) -> Result<Opened, Error> {
        let failed = |source| io_error(&disk.path(""), source);
        let names = disk.list().map_err(failed)?;
        if names.iter().any(|name| name == UNFINISHED) {
            return Err(Error::RestoreUnfinished { path: disk.path("") });
        }
        if !names.iter().any(|name| name == FILE_NAME) {
            create(&**disk, &names, &settings)?;
        }
        let path = disk.path(FILE_NAME);
        // redb trusts a file that it closed itself, and may panic where somebody changed it since.
        let open = || open_tables(&**disk, FILE_NAME, settings.cache_bytes);
        let tables = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            Err(Error::Damaged { path: path.clone(), what: "redb panicked over it", source: None })
        })?;
        let found = read_meta(&tables)?;
        let recovered =
            recover::recover(&**disk, found.store, found.applied, settings.entry_bytes_max())?;
        let raised = raise_incarnation(&tables, found)?;
        Ok(assemble(Arc::clone(disk), tables, raised, recovered, settings))
    }

    /// The value of a key, before the threads start.
    pub fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let Snapshots { tables, recent, .. } = &self.0.snapshots;
        Snapshot::take(tables, recent, Instant::now())?.get(tables, table, key)
    }

    /// Starts the threads.
    ///
    /// `on_fault` is called once, by the thread that failed, when a write, a sync or a read fails
    /// or a thread panics. Whoever gets it should stop the process: nothing is acknowledged any
    /// more. It must not call [`Running::shutdown`], which waits for that very thread.
    pub fn start(
        self,
        sink: &Sink,
        on_fault: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Running, Error> {
        Running::start(self.0, sink, Box::new(on_fault))
    }

    pub(crate) fn into_parts(self) -> Parts {
        self.0
    }
}

fn assemble(
    disk: Arc<dyn Disk>,
    tables: Tables,
    meta: Meta,
    recovered: Recovered,
    settings: Settings,
) -> Opened {
    let Recovered { found, tail, stamp, end, applied, cut } = recovered;
    let Meta { store: id, incarnation, epoch, .. } = meta;
    let (durable, backlog_bytes) = (found.durable, found.tail_bytes);
    let last = found.live.back().expect("there is a live segment");
    let segment = Arc::clone(&last.segment);
    let shelf = Arc::new(Shelf::new(found, settings.backlog_bytes));
    let (tables, recent) = (Arc::new(tables), Arc::new(Recent::new(tail)));
    let log = Log {
        disk: Arc::clone(&disk),
        shelf: Arc::clone(&shelf),
        id,
        stamp: Stamp { incarnation, epoch, time: stamp.map_or(0, |stamp| stamp.time) },
        segment,
        at: end.at,
        link: end.link,
        buffer: Vec::new(),
        entry_bytes_max: settings.entry_bytes_max(),
    };
    let applier = Applier {
        tables: Arc::clone(&tables),
        shelf: Arc::clone(&shelf),
        recent: Arc::clone(&recent),
        stats: Arc::new(Stats::new(settings.readers)),
        disk: Arc::clone(&disk),
        id,
        cursor: applied,
        entries: None,
        read: 0,
        saved: 0,
        apply_bytes: settings.apply_bytes,
        checkpoint_bytes: settings.backlog_bytes / 4,
    };
    let keeper = Keeper {
        disk,
        shelf,
        id,
        segment_bytes: settings.segment_bytes,
        archive: settings.archive.clone(),
        min_free_bytes: settings.min_free_bytes,
    };
    let snapshots = Snapshots { tables, recent, snapshot: None };
    let parts = Parts { log, applier, keeper, snapshots, settings };
    Opened { store: Store(parts), incarnation, durable, backlog_bytes, cut }
}

/// Checks that an incarnation is left, and takes it.
fn raise_incarnation(tables: &Tables, found: Meta) -> Result<Meta, Error> {
    let incarnation = found.incarnation.checked_add(1);
    let incarnation = incarnation.ok_or_else(|| tables.damaged("no incarnation is left"))?;
    let raised = Meta { incarnation, ..found };
    let transaction = tables.begin_checkpoint()?;
    raised.write(tables, &transaction)?;
    transaction.commit().map_err(|e| tables.write_error(e))?;
    Ok(raised)
}

/// Opens a redb file, or makes an empty one a store.
pub(crate) fn open_tables(disk: &dyn Disk, name: &str, cache: usize) -> Result<Tables, Error> {
    let path = disk.path(name);
    let file = disk.open(name).map_err(|source| io_error(&path, source))?;
    // redb writes its magic number last, and would make a store of an empty file.
    if file.len().map_err(|source| io_error(&path, source))? == 0 {
        return Err(Error::Foreign { path, source: None });
    }
    tables_in(file, path, cache)
}

pub(crate) fn tables_in(
    file: Arc<dyn File>,
    path: std::path::PathBuf,
    cache: usize,
) -> Result<Tables, Error> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache);
    let redb = builder.create_with_backend(Backend(file));
    let redb = redb.map_err(|e| database_error(&path, e))?;
    Ok(Tables { redb, path })
}

/// Makes a store: first the log, then the state, whose name says that all of it is there.
///
/// The state is made under another name: redb writes its magic number last, and a file without it
/// could not be told from somebody else's after a kill in between.
fn create(disk: &dyn Disk, names: &[String], settings: &Settings) -> Result<(), Error> {
    let unborn = FILE_NAME.to_owned() + UNBORN;
    let failed = |name: &str, source| io_error(&disk.path(name), source);
    // A first start that was cut short has made one segment, without an entry. Any other is the log
    // of a store whose state is lost.
    for name in names {
        if let Some(number) = segment::number_of(name)
            && (number != 1 || has_entries(disk, name)?)
        {
            return Err(Error::StateMissing { path: disk.path("") });
        }
    }
    for name in names {
        let whole = name.strip_suffix(UNBORN);
        if segment::number_of(whole.unwrap_or(name)).is_some() || *name == unborn {
            disk.remove(name).map_err(|e| failed(name, e))?;
        }
    }
    let store = draw_id(disk)?;
    let size = FIRST_SEGMENT_BYTES.min(settings.segment_bytes);
    let link = Link { next: Offset(1), previous: 0 };
    keep::make_first(disk, store, link, size).map_err(|e| failed(&segment::file_name(1), e))?;

    let file = disk.create(&unborn).map_err(|e| failed(&unborn, e))?;
    let tables = tables_in(file, disk.path(&unborn), settings.cache_bytes)?;
    let transaction = tables.begin_checkpoint()?;
    transaction.open_table(ROWS).map_err(|e| tables.write_error(e))?;
    let first = Meta { applied: Offset(0), incarnation: 0, store, epoch: 1 };
    first.write(&tables, &transaction)?;
    transaction.commit().map_err(|e| tables.write_error(e))?;
    tables.redb.close().map_err(|e| database_error(&disk.path(&unborn), e))?;
    disk.rename(&unborn, FILE_NAME).map_err(|e| failed(FILE_NAME, e))?;
    disk.sync().map_err(|e| failed(FILE_NAME, e))
}

/// The number of a new store.
pub(crate) fn draw_id(disk: &dyn Disk) -> Result<StoreId, Error> {
    let mut random = [0; 8];
    let failed = |_| io::Error::other("the system gives no random numbers");
    let drawn = ring::rand::SystemRandom::new().fill(&mut random).map_err(failed);
    drawn.map_err(|source| io_error(&disk.path(""), source))?;
    Ok(StoreId(u64::from_le_bytes(random)))
}

/// Whether anything was written to a segment, of whatever store, behind its title.
fn has_entries(disk: &dyn Disk, name: &str) -> Result<bool, Error> {
    let read = || -> io::Result<bool> {
        let file = disk.open(name)?;
        let mut piece = vec![0; 64 * 1024];
        let (mut at, end) = (SECTOR, file.len()?);
        while at < end {
            let len = usize::try_from(end - at).map_or(piece.len(), |left| left.min(piece.len()));
            file.read(at, &mut piece[..len])?;
            if piece[..len].iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at += len as u64;
        }
        Ok(false)
    };
    read().map_err(|source| Error::LogRead { path: disk.path(name), at: SECTOR, source })
}

/// Opens a folder for nobody else.
pub(crate) fn lock_folder(dir: &Path, makes: bool) -> Result<OsDisk, Error> {
    let folder = if makes { OsDisk::make(dir) } else { OsDisk::open(dir) };
    let folder = folder.map_err(|source| io_error(dir, source))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error(dir, source)),
    }
}

/// Reads the numbers of a file that may be anybody's, without writing to it.
pub(crate) fn read_meta(tables: &Tables) -> Result<Meta, Error> {
    let table_error = |e| match e {
        TableError::Storage(e) => tables.read_error(e),
        e => Error::Foreign { path: tables.path.clone(), source: Some(Box::new(e)) },
    };
    let transaction = tables.redb.begin_read().map_err(|e| tables.read_error(e))?;
    let meta = transaction.open_table(META).map_err(table_error)?;
    let found = Meta::read(tables, &meta)?;
    transaction.open_table(ROWS).map_err(table_error)?;
    Ok(found)
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

pub(crate) fn database_error(path: &Path, error: DatabaseError) -> Error {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Error::Locked { path }
        }
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
            Error::Foreign { path, source: Some(Box::new(e)) }
        }
        DatabaseError::Storage(StorageError::Io(source)) => Error::Io { path, source },
        DatabaseError::Storage(e @ StorageError::Corrupted(_)) => {
            Error::Damaged { path, what: "redb cannot repair it", source: Some(Box::new(e)) }
        }
        e @ DatabaseError::UpgradeRequired(_) => Error::Foreign { path, source: Some(Box::new(e)) },
        e => Error::Read { path, source: Box::new(e) },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::FORMAT;

    #[test]
    fn a_kill_while_the_file_is_born_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        // What redb leaves behind when it dies before the magic number: a header of zeros.
        fs::write(dir.path().join("ringmaster.redb.new"), [0; 8192]).unwrap();
        let opened = Store::open(dir.path(), Settings::default()).unwrap();
        assert_eq!((opened.incarnation, opened.durable), (1, Offset(0)));
        assert!(!dir.path().join("ringmaster.redb.new").exists());
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Settings::default()).unwrap());
        let path = dir.path().join(FILE_NAME);
        let redb = redb::Database::open(&path).unwrap();
        let transaction = redb.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
        transaction.commit().unwrap();
        drop(redb);

        let error = Store::open(dir.path(), Settings::default()).unwrap_err();
        assert!(matches!(error, Error::Format { found: 2, known: 1, .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "{} has format version 2, but this program knows versions up to 1: start a newer one",
                path.display()
            )
        );
    }
}
