//! Opening the data folder: its lock, its file, the format check, the next incarnation.

use std::fs::{self, DirBuilder, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use base::{Offset, Table};
use bytes::Bytes;
use redb::{DatabaseError, ReadableDatabase, StorageError, TableError};

use crate::error::Error;
use crate::handle::{Parts, Running};
use crate::read::Snapshot;
use crate::tables::{File, META, Meta, ROWS};
use crate::{Settings, Sink};

pub const FILE_NAME: &str = "ringmaster.redb";
/// The file under its first name, until it can be opened whatever happens.
const UNBORN_NAME: &str = "ringmaster.redb.new";

/// Pages that redb keeps in memory, read and written. Shards have caches of their own, so what
/// comes here is mostly cold and never read twice; the inner pages of a tree of 10 million rows
/// fit, and an idle server with little data stays small, since redb fills the cache only as pages
/// are touched.
const CACHE_SIZE: usize = 64 * 1024 * 1024;

const BACKEND_CACHE_SIZE: usize = 64 * 1024;

/// An open data folder whose threads have not been started.
#[derive(Debug)]
pub struct Store {
    file: File,
    settings: Settings,
    applied: Offset,
    /// Holds the lock on the folder. The last field: the file is closed before it is given up.
    folder: Option<fs::File>,
}

/// What a start needs to know.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    /// Higher than that of every earlier start of this folder; durable.
    pub incarnation: u32,
    /// The offset of the newest batch on disk; zero when there is none.
    pub applied: Offset,
}

impl Store {
    /// Opens the data folder, or makes one.
    ///
    /// # Panics
    /// When a setting is zero where [`Settings`] wants at least one.
    pub fn open(dir: &Path, settings: Settings) -> Result<Opened, Error> {
        settings.check();
        create_folder(dir)?;
        let folder = lock_folder(dir)?;
        let path = dir.join(FILE_NAME);
        let exists = path.try_exists().map_err(|source| io_error(&path, source))?;
        if !exists {
            create_file(dir, &path)?;
        }
        // redb trusts a file that it closed itself, and may panic where somebody changed it since.
        let open = || {
            let redb = builder().open(&path);
            let redb = redb.map_err(|e| database_error(&path, e))?;
            let path = path.clone();
            Store::take(File { redb, path }, Some(folder), settings)
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            Err(Error::Damaged { path: path.clone(), what: "redb panicked over it", source: None })
        })
    }

    /// Opens a store whose bytes are kept by something else than a file, with a cache small enough
    /// for reads to get there: the crash tests.
    #[doc(hidden)]
    pub fn open_with_backend(
        backend: impl redb::StorageBackend,
        settings: Settings,
    ) -> Result<Opened, Error> {
        settings.check();
        let path = PathBuf::from("<backend>");
        let mut builder = redb::Builder::new();
        builder.set_cache_size(BACKEND_CACHE_SIZE);
        let opened = builder.create_with_backend(backend);
        let redb = opened.map_err(|e| database_error(&path, e))?;
        let file = File { redb, path };
        if is_empty(&file)? {
            write_first(&file)?;
        }
        Store::take(file, None, settings)
    }

    /// The value of a key, before the threads start.
    pub fn read(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Snapshot::take(&self.file, Instant::now())?.get(&self.file, table, key)
    }

    /// Starts the threads.
    ///
    /// `on_fault` is called once, by the thread that failed, when a write, a sync or a read fails
    /// or a thread panics. Whoever gets it should stop the process: nothing is acknowledged any
    /// more. It must not call [`Running::shutdown`], which waits for that very thread.
    pub fn start(
        self,
        sink: Sink,
        on_fault: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Running, Error> {
        let parts = Parts {
            file: Arc::new(self.file),
            folder: self.folder,
            settings: self.settings,
            applied: self.applied,
            sink,
        };
        Running::start(parts, Box::new(on_fault))
    }

    pub(crate) fn into_file(self) -> (File, Offset) {
        (self.file, self.applied)
    }

    /// Checks the format and raises the incarnation.
    fn take(file: File, folder: Option<fs::File>, settings: Settings) -> Result<Opened, Error> {
        let found = read_meta(&file)?;
        let incarnation = found
            .incarnation
            .checked_add(1)
            .ok_or_else(|| file.damaged("no incarnation is left"))?;
        let raised = Meta { incarnation, ..found };
        let transaction = file.begin_write()?;
        raised.write(&file, &transaction)?;
        transaction.commit().map_err(|e| file.write_error(e))?;
        Ok(Opened {
            store: Store { file, settings, applied: found.applied, folder },
            incarnation,
            applied: found.applied,
        })
    }
}

fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_SIZE);
    builder
}

/// Creates the folder and the missing ones above it, each durably, for this user only.
fn create_folder(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(parent_of(path)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && parent_of(path) != path => {
            create_folder(parent_of(path))?;
            let created = DirBuilder::new().mode(0o700).create(path);
            created.map_err(|source| io_error(path, source))?;
            sync_folder(parent_of(path))
        }
        Err(source) => Err(io_error(path, source)),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> Result<(), Error> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error(path, source))
}

fn lock_folder(dir: &Path) -> Result<fs::File, Error> {
    // Reading the names tells a file from a folder, and a folder that may not be listed.
    fs::read_dir(dir).map_err(|source| io_error(dir, source))?;
    let folder = fs::File::open(dir).map_err(|source| io_error(dir, source))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error(dir, source)),
    }
}

/// Creates the file under another name and renames it when it is whole: redb writes its magic
/// number last, and a file without it could not be told from somebody else's after a kill in
/// between.
fn create_file(dir: &Path, path: &Path) -> Result<(), Error> {
    let unborn = dir.join(UNBORN_NAME);
    match fs::remove_file(&unborn) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(&unborn, source)),
    }
    let created = builder().create(&unborn);
    let redb = created.map_err(|e| database_error(&unborn, e))?;
    let file = File { redb, path: unborn };
    write_first(&file)?;
    let unborn = file.path;
    file.redb.close().map_err(|e| database_error(&unborn, e))?;
    fs::rename(&unborn, path).map_err(|source| io_error(path, source))?;
    sync_folder(dir)
}

fn is_empty(file: &File) -> Result<bool, Error> {
    let transaction = file.redb.begin_read().map_err(|e| file.read_error(e))?;
    let mut tables = transaction.list_tables().map_err(|e| file.read_error(e))?;
    Ok(tables.next().is_none())
}

/// Makes an empty file a store.
fn write_first(file: &File) -> Result<(), Error> {
    let transaction = file.begin_write()?;
    transaction.open_table(ROWS).map_err(|e| file.write_error(e))?;
    let first = Meta { applied: Offset(0), incarnation: 0 };
    first.write(file, &transaction)?;
    transaction.commit().map_err(|e| file.write_error(e))
}

/// Reads the numbers of a file that may be anybody's, without writing to it.
fn read_meta(file: &File) -> Result<Meta, Error> {
    let table_error = |e| match e {
        TableError::Storage(e) => file.read_error(e),
        e => Error::Foreign { path: file.path.clone(), source: Some(Box::new(e)) },
    };
    let transaction = file.redb.begin_read().map_err(|e| file.read_error(e))?;
    let meta = transaction.open_table(META).map_err(table_error)?;
    let found = Meta::read(file, &meta)?;
    transaction.open_table(ROWS).map_err(table_error)?;
    Ok(found)
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn database_error(path: &Path, error: DatabaseError) -> Error {
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
    use super::*;
    use crate::FORMAT;

    const SETTINGS: Settings = Settings { readers: 1, queue: 1, batch_bytes: 1024 };

    #[test]
    fn a_kill_while_the_file_is_born_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        // What redb leaves behind when it dies before the magic number: a header of zeros.
        fs::write(dir.path().join(UNBORN_NAME), [0; 8192]).unwrap();
        let opened = Store::open(dir.path(), SETTINGS).unwrap();
        assert_eq!((opened.incarnation, opened.applied), (1, Offset(0)));
        assert!(!dir.path().join(UNBORN_NAME).exists());
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), SETTINGS).unwrap());
        let path = dir.path().join(FILE_NAME);
        let redb = redb::Database::open(&path).unwrap();
        let transaction = redb.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
        transaction.commit().unwrap();
        drop(redb);

        let error = Store::open(dir.path(), SETTINGS).unwrap_err();
        assert!(matches!(error, Error::Format { found: 2, known: 1, .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "{} has format version 2, but this program knows versions up to 1: start a newer one",
                path.display()
            )
        );
    }

    #[test]
    fn a_relative_path_of_one_name_has_the_working_folder_as_parent() {
        assert_eq!(parent_of(Path::new("data")), Path::new("."));
        assert_eq!(parent_of(Path::new("a/data")), Path::new("a"));
        assert_eq!(parent_of(Path::new("/")), Path::new("/"));
    }
}
