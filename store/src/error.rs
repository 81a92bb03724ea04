//! Faults of the store. Each names the path it concerns.

use std::io;
use std::path::PathBuf;

use base::{Offset, UnixTime};

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
    #[error(
        "the log begins at offset {begins} with {path}, but the state needs it from {needed} on: \
         put the earlier files of the log back, or restore a backup",
        path = path.display(), begins = begins.0, needed = needed.0
    )]
    LogGap { path: PathBuf, begins: Offset, needed: Offset },
    #[error(
        "{path} of the log is missing: put it back, or restore a backup",
        path = path.display()
    )]
    LogHole { path: PathBuf },
    #[error(
        "{path} has a state but no log: put the files of the log back, or restore a backup",
        path = path.display()
    )]
    LogMissing { path: PathBuf },
    #[error(
        "{path} has a log but no ringmaster.redb: put it back, or restore a backup",
        path = path.display()
    )]
    StateMissing { path: PathBuf },
    #[error("{path} is the log of another store", path = path.display())]
    LogForeign { path: PathBuf },
    #[error(
        "the log ends at offset {ends}, at byte {at} of {path}, but the state has {applied}: the \
         disk has lost what it had synced; restore a backup",
        path = path.display(), ends = ends.0, applied = applied.0
    )]
    LogShort { path: PathBuf, at: u64, ends: Offset, applied: Offset },
    #[error(
        "{path} is damaged at byte {at}{offset}, and has whole entries behind it: no crash does \
         that; restore a backup, or give up what follows by `ringmaster check --repair`",
        path = path.display(),
        offset = offset.map_or(String::new(), |offset| format!(", offset {}", offset.0))
    )]
    LogDamaged { path: PathBuf, at: u64, offset: Option<Offset> },
    #[error("cannot read {path} at byte {at}", path = path.display())]
    LogRead { path: PathBuf, at: u64, source: io::Error },
    #[error(
        "{path} does not give back at byte {at} what was written there: the disk, or memory, is \
         faulty",
        path = path.display()
    )]
    LogSpoiled { path: PathBuf, at: u64 },
    #[error("cannot write {path}", path = path.display())]
    LogWrite { path: PathBuf, source: io::Error },
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
    #[error("{path} is no backup, or one that was not finished: it has no manifest", path = path.display())]
    NoBackup { path: PathBuf },
    #[error("{path} is damaged: {what}; the backup is not whole: use another one", path = path.display())]
    BackupDamaged { path: PathBuf, what: &'static str },
    #[error("{path} does not open with this key: it is another backup's, or the file is damaged", path = path.display())]
    BackupKey { path: PathBuf },
    #[error("{path} is encrypted: name the file of its key", path = path.display())]
    BackupEncrypted { path: PathBuf },
    #[error("{path} is not encrypted: leave out the key, if this is the backup you mean", path = path.display())]
    BackupPlain { path: PathBuf },
    #[error("{path} is not empty (it has {name}): name an empty folder, or a new one", path = path.display())]
    NotEmpty { path: PathBuf, name: String },
    #[error(
        "a restore into {path} was not finished: do it again, or remove what is in the folder",
        path = path.display()
    )]
    RestoreUnfinished { path: PathBuf },
    #[error(
        "the backup shows offset {offset}, {time}, and nothing before: use an earlier backup",
        offset = last.0, time = moment(*time)
    )]
    TargetBefore { last: Offset, time: u64 },
    #[error(
        "backup and archive end at offset {offset}, {time}: name a moment up to there, or another \
         archive",
        offset = last.0, time = moment(*time)
    )]
    TargetBeyond { last: Offset, time: u64 },
    #[error(
        "the disk of {path} has {free} bytes left, and the server needs {least} of them: use another \
         disk, or make room",
        path = path.display()
    )]
    BackupSpace { path: PathBuf, free: u64, least: u64 },
    #[error("given up: {path}", path = path.display())]
    Abandoned { path: PathBuf },
    #[error("{path} is closed after an earlier fault", path = path.display())]
    Poisoned { path: PathBuf },
}

/// Milliseconds since 1970 as people read them.
fn moment(time: u64) -> String {
    match time {
        0 => "of an unknown time".to_owned(),
        _ => format!("of {}", UnixTime(time.saturating_mul(1_000_000))),
    }
}
