//! Backups: a copy of a store that serves, told whole from broken, and made a store again.
//!
//! A backup has the rows, copied a chunk at a time, each chunk from a snapshot of its own, and all
//! entries of the log from the first of these snapshots to the end. Batches put and delete whole
//! rows: the entries over the rows give exactly the state at the last entry, however old a row
//! was. `docs/formats.md` draws the bytes.

mod archive;
mod cipher;
mod copy;
mod manifest;
mod read;
mod restore;
mod source;
mod volume;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use base::Offset;

use crate::disk::Disk;
use crate::error::Error;

pub use cipher::Key;
pub use copy::backup;
pub use read::verify;
pub use restore::{restore, restore_on};
pub use source::Source;

/// There while a restore is under way: a folder with it is no store.
pub(crate) const UNFINISHED: &str = "restore.unfinished";

/// Most bytes of a file of rows or of entries before it is protected, unless one alone has more.
pub const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// What a backup should be like.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// Encrypts it.
    pub key: Option<Key>,
    /// Further small files of the data folder, which the store does not know.
    pub extras: Vec<Extra>,
    /// As [`FILE_BYTES`].
    pub file_bytes: u64,
    /// With less than this on the disk the backup is given up: the store may need the rest.
    pub min_free_bytes: u64,
}

impl Default for BackupOptions {
    fn default() -> BackupOptions {
        BackupOptions { key: None, extras: Vec::new(), file_bytes: FILE_BYTES, min_free_bytes: 0 }
    }
}

/// A small file that is kept with a store: letters, digits, `.`, `-` and `_` in its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Extra {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Extra {
    /// The bytes are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extra").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What to make of a backup.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Opens it.
    pub key: Option<Key>,
    pub until: Until,
    /// Folders with segments of the log: archives, or what is left of a data folder.
    pub archives: Vec<Arc<dyn Disk>>,
}

/// The moment that a restore goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// That of the backup.
    #[default]
    Backup,
    Offset(Offset),
    /// Milliseconds since 1970: everything that was made durable up to then.
    Time(u64),
}

/// What a whole backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its rows are at least as new as this.
    pub first: Offset,
    /// The moment that it shows.
    pub last: Offset,
    /// Milliseconds since 1970 of the last entry; zero where that is not known.
    pub time: u64,
    pub rows: u64,
    pub entries: u64,
    pub files: usize,
    /// Of all its files.
    pub bytes: u64,
    pub is_encrypted: bool,
}

/// What a restore has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub offset: Offset,
    /// As [`Summary::time`].
    pub time: u64,
    pub epoch: u64,
}

/// How far something long has got. Neither number ever goes down within a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// Rows while rows are copied, offsets while entries of an archive are, bytes otherwise.
    pub done: u64,
    pub total: u64,
    /// Written, or read, in this phase.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A backup is written.
    Copy,
    /// A backup is read and checked.
    Verify,
    /// A backup is read and written as a store.
    Restore,
    /// Later entries are brought into the restored store.
    Replay,
}

/// Called every now and then; a break gives up what is under way.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

fn tell(watch: Watch<'_>, progress: Progress, path: impl FnOnce() -> PathBuf) -> Result<(), Error> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Abandoned { path: path() }),
    }
}

fn io_error(disk: &dyn Disk, name: &str) -> impl FnOnce(std::io::Error) -> Error {
    let path = disk.path(name);
    move |source| Error::Io { path, source }
}
