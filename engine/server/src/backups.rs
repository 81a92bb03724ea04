//! Backups that this process makes of itself, one at a time: for the control socket, and for
//! operators.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use api::Error;
use base::json::{self, Object};
use base::{Code, UnixTime};
use store::{BackupOptions, Disk, Extra, Key, OsDisk, Phase, Progress, Summary};

use crate::backup::read_key;
use crate::config::{Config, escape};
use crate::{operator_key, server_key, whole_file};

const EXTRA_MAX: u64 = 64 << 10;
/// Room for the log to grow while a backup is made on the disk of the data folder.
const SPARE_BYTES: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct Backups {
    data_dir: PathBuf,
    store: store::Handle,
    /// What the disk of the data folder has to keep.
    min_free_bytes: u64,
    /// Where operators' backups go, if they may make any, and the file of their key.
    dir: PathBuf,
    key_file: PathBuf,
    stops: AtomicBool,
    is_running: AtomicBool,
    newest: Mutex<Option<Told>>,
}

/// The backup under way, or the last one.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    begun: SystemTime,
    progress: Option<Progress>,
    outcome: Option<Result<Summary, String>>,
}

/// The right to make the one backup. Dropped, another may be made.
#[derive(Debug)]
pub(crate) struct Turn {
    backups: Arc<Backups>,
    dir: PathBuf,
}

impl Backups {
    pub(crate) fn new(config: &Config, store: store::Handle) -> Arc<Backups> {
        Arc::new(Backups {
            data_dir: config.data_dir.clone(),
            store,
            min_free_bytes: config.store.min_free_bytes.saturating_add(SPARE_BYTES),
            dir: config.store.backup_dir.clone(),
            key_file: config.store.backup_key_file.clone(),
            stops: AtomicBool::new(false),
            is_running: AtomicBool::new(false),
            newest: Mutex::new(None),
        })
    }

    /// Has the one under way given up; none begins any more.
    pub(crate) fn stop(&self) {
        self.stops.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    /// Takes the turn to make a backup in a folder, which is not made yet.
    pub(crate) fn begin(self: &Arc<Self>, dir: &Path) -> Result<Turn> {
        ensure!(!self.is_stopping(), "the server stops");
        let data_dir = fs::canonicalize(&self.data_dir)?;
        let is_inside = dir.starts_with(&data_dir);
        ensure!(!is_inside, "{} is in the data folder: name another", dir.display());
        let is_running = self.is_running.swap(true, Ordering::SeqCst);
        ensure!(!is_running, "another backup is under way: wait for its end");
        let name = escape(&dir.to_string_lossy());
        let begun = SystemTime::now();
        *self.newest() = Some(Told { name, begun, progress: None, outcome: None });
        Ok(Turn { backups: Arc::clone(self), dir: dir.to_owned() })
    }

    /// Begins a backup in a folder of this name, on a thread of its own, and answers at once.
    pub(crate) fn start(self: &Arc<Self>, name: &str) -> Result<String, Error> {
        let refuse = |text: String| Error::new(Code::FailedPrecondition, text);
        if self.dir.as_os_str().is_empty() {
            return Err(refuse("store.backup_dir is not configured.".to_owned()));
        }
        let key_file = Some(&self.key_file).filter(|file| !file.as_os_str().is_empty());
        let key = key_file.map(|file| read_key(file)).transpose();
        let key = key.map_err(|error| refuse(format!("{error:#}")))?;
        let dir = std::path::absolute(&self.dir).map_err(|error| refuse(error.to_string()))?;
        let dir = dir.join(name);
        let turn = self.begin(&dir).map_err(|error| refuse(format!("{error:#}")))?;
        let run = move || {
            let _ = turn.make(key, |_| ControlFlow::Continue(())); // told by `status`, and logged
        };
        let thread = std::thread::Builder::new().name("backup".into()).spawn(run);
        thread.map_err(|error| refuse(format!("cannot start a thread: {error}")))?;
        Ok(self.status())
    }

    /// What there is to tell of the backup under way, or of the last one.
    pub(crate) fn status(&self) -> String {
        let told = self.newest().clone();
        json::object(|o| {
            if let Some(told) = &told {
                o.object("backup", |o| told.write(o));
            }
        })
    }

    fn newest(&self) -> MutexGuard<'_, Option<Told>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that belong to the data folder.
    fn extras(&self) -> Result<Vec<Extra>> {
        let mut extras = Vec::new();
        for name in [operator_key::FILE, server_key::FILE] {
            let path = self.data_dir.join(name);
            if path.exists() {
                let bytes = whole_file::read(&path, EXTRA_MAX);
                let bytes = bytes.with_context(|| path.display().to_string())?;
                extras.push(Extra { name: name.to_owned(), bytes });
            }
        }
        Ok(extras)
    }
}

impl Turn {
    /// Makes it, and reads it back. `watch` may give it up.
    pub(crate) fn make(
        self,
        key: Option<Key>,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Summary> {
        let folder = escape(&self.dir.to_string_lossy());
        tracing::info!(folder, encrypted = key.is_some(), "a backup begins");
        let made = self.write(key, &mut watch);
        let outcome = match &made {
            Ok(made) => {
                let (offset, rows, bytes) = (made.last.0, made.rows, made.bytes);
                tracing::info!(folder, offset, rows, bytes, "a backup is whole");
                Ok(*made)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(folder, error, "a backup was not made");
                Err(error)
            }
        };
        if let Some(told) = &mut *self.backups.newest() {
            told.outcome = Some(outcome);
        }
        made
    }

    fn write(
        &self,
        key: Option<Key>,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Summary> {
        let Turn { backups, dir } = self;
        let disk = OsDisk::make(dir).with_context(|| format!("cannot use {}", dir.display()))?;
        let is_shared = fs::metadata(dir)?.dev() == fs::metadata(&backups.data_dir)?.dev();
        let options = BackupOptions {
            key,
            extras: backups.extras()?,
            min_free_bytes: if is_shared { backups.min_free_bytes } else { 0 },
            ..BackupOptions::default()
        };
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let mut watch = |progress: Progress| {
            if let Some(told) = &mut *backups.newest() {
                told.progress = Some(progress);
            }
            if backups.is_stopping() { ControlFlow::Break(()) } else { watch(progress) }
        };
        let made = store::backup(backups.store.source(), &disk, &options, &mut watch);
        made.map_err(|error| match error {
            store::Error::Abandoned { .. } if backups.is_stopping() => anyhow!("the server stops"),
            error => error.into(),
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.backups.is_running.store(false, Ordering::SeqCst);
    }
}

impl Told {
    fn write(&self, o: &mut Object<'_>) {
        o.text("folder", &self.name);
        let begun = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        o.shown("create_time", UnixTime::from_secs(begun.as_secs()));
        match &self.outcome {
            None => {
                o.text("state", "running");
                if let Some(Progress { phase, done, total, bytes }) = self.progress {
                    o.text("phase", phase_name(phase));
                    o.raw("done", &done.to_string());
                    o.raw("total", &total.to_string());
                    o.raw("bytes", &bytes.to_string());
                }
            }
            Some(Ok(made)) => {
                o.text("state", "whole");
                o.raw("offset", &made.last.0.to_string());
                o.raw("rows", &made.rows.to_string());
                o.raw("bytes", &made.bytes.to_string());
                o.flag("encrypted", made.is_encrypted);
            }
            Some(Err(error)) => {
                o.text("state", "failed");
                o.text("message", error);
            }
        }
    }
}

/// What the lines of the control socket, and operators, call it.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    if phase == Phase::Copy { "copy" } else { "verify" }
}
