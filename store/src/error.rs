//! Faults of the store. Each names the path it concerns.

use std::io;
use std::path::PathBuf;

/// What redb said. Boxed and without its type, so that nobody outside can depend on redb.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot use {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the data folder {path} is in use by another process", path = path.display())]
    Locked { path: PathBuf },
    #[error("{path} is not a store of Ringmaster", path = path.display())]
    Foreign { path: PathBuf, source: Option<Source> },
    #[error(
        "{path} has format version {found}, but this program knows versions up to {known}: \
         start a newer one",
        path = path.display()
    )]
    Format { path: PathBuf, found: u64, known: u64 },
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged { path: PathBuf, what: &'static str, source: Option<Source> },
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: Source },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: Source },
    #[error("a key of {len} bytes in table {table} cannot be written to {path}", path = path.display())]
    KeyTooLong { path: PathBuf, table: u8, len: usize },
    #[error("cannot start the thread {name}")]
    Thread { name: String, source: io::Error },
    #[error("the thread {name}, which keeps {path}, panicked", path = path.display())]
    Panicked { path: PathBuf, name: String },
    #[error("{path} is closed after an earlier fault", path = path.display())]
    Poisoned { path: PathBuf },
}
