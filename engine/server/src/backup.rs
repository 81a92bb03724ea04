//! `ringmaster backup`, `backup verify` and `restore`.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use base::{Offset, UnixTime};
use store::{Disk, Key, OsDisk, Phase, Progress, RestoreOptions, Restored, Summary};

use crate::config::escape;
use crate::progress::{Bar, mebibytes};
use crate::{control, whole_file};

/// A server that tells nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const KEY_SIZE_MAX: u64 = 4096;

/// What `ringmaster restore` is asked for.
#[derive(Debug)]
pub(crate) struct RestoreRequest {
    pub dir: PathBuf,
    pub key_file: Option<PathBuf>,
    pub archives: Vec<PathBuf>,
    pub until: store::Until,
}

/// Has the process that serves from a data folder write a backup.
pub(crate) fn make(data_dir: &Path, dir: &Path, key_file: Option<&Path>) -> Result<()> {
    let key = key_file.map(read_key).transpose()?;
    let dir = std::path::absolute(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    if key.is_none() {
        eprintln!(
            "ringmaster: warning: the backup is not encrypted (--key-file): whoever reads it has \
             all accounts, and the keys of operators' and servers' tokens"
        );
    }
    let begun = Instant::now();
    let stream = control::connect(data_dir).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow!("no server runs on {}", data_dir.display())
        }
        _ => anyhow!(error).context(format!("cannot use {}", control::socket(data_dir).display())),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let lost = || format!("the server on {} has gone away", data_dir.display());
    (&stream)
        .write_all(control::backup_request(&dir, key.as_ref()).as_bytes())
        .with_context(lost)?;
    let mut answers = BufReader::new(&stream);
    let mut bar = Bar::new();
    let done = loop {
        let mut line = String::new();
        answers.by_ref().take(control::LINE_MAX).read_line(&mut line).with_context(lost)?;
        let words: Vec<_> = line.trim_end().split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
        let numbers = |from: usize| (from..words.len()).map(number).collect::<Option<Vec<u64>>>();
        match words.first() {
            Some(&"progress") => {
                let phase = if words.get(1) == Some(&"copy") { Phase::Copy } else { Phase::Verify };
                if let Some([done, total, bytes]) = numbers(2).as_deref() {
                    let (done, total, bytes) = (*done, *total, *bytes);
                    bar.show(Progress { phase, done, total, bytes });
                }
            }
            Some(&"done") => break numbers(1).unwrap_or_default(),
            Some(&"failed") => {
                let told = words.get(1).and_then(|word| control::decode(word));
                bar.clear();
                bail!("{}", String::from_utf8_lossy(&told.unwrap_or_default()));
            }
            _ => bail!("{}", lost()),
        }
    };
    bar.clear();
    let [first, last, time, rows, entries, files, bytes] = done[..] else {
        bail!("the server on {} is of another version", data_dir.display());
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let (first, last) = (Offset(first), Offset(last));
    let is_encrypted = key.is_some();
    let made = Summary { first, last, time, rows, entries, files, bytes, is_encrypted };
    let _ = writeln!(
        std::io::stdout(),
        "backed up {}: {} in {:.1} s",
        shown(&dir),
        text(&made),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Reads a backup and says what it holds.
pub(crate) fn verify(dir: &Path, key_file: Option<&Path>) -> Result<()> {
    let key = key_file.map(read_key).transpose()?;
    let mut bar = Bar::new();
    let verified = store::verify(&open(dir)?, key.as_ref(), &mut |progress| {
        bar.show(progress);
        ControlFlow::Continue(())
    });
    bar.clear();
    let _ = writeln!(std::io::stdout(), "whole: {}", text(&verified?));
    Ok(())
}

/// Makes a data folder of a backup.
pub(crate) fn restore(data_dir: &Path, request: &RestoreRequest) -> Result<()> {
    let archives = request.archives.iter();
    let archives = archives.map(|dir| Ok(Arc::new(open(dir)?) as Arc<dyn Disk>));
    let options = RestoreOptions {
        key: request.key_file.as_deref().map(read_key).transpose()?,
        until: request.until,
        archives: archives.collect::<Result<_>>()?,
    };
    let begun = Instant::now();
    let mut bar = Bar::new();
    let restored = store::restore(&open(&request.dir)?, data_dir, &options, &mut |progress| {
        bar.show(progress);
        ControlFlow::Continue(())
    });
    bar.clear();
    let Restored { offset, time, epoch } = restored?;
    let _ = writeln!(
        std::io::stdout(),
        "restored {}: everything up to offset {}{}, epoch {epoch}, in {:.1} s",
        shown(data_dir),
        offset.0,
        of(time),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn open(dir: &Path) -> Result<OsDisk> {
    OsDisk::read_only(dir).with_context(|| format!("cannot use {}", dir.display()))
}

pub(crate) fn read_key(file: &Path) -> Result<Key> {
    let text =
        whole_file::read_text(file, KEY_SIZE_MAX).with_context(|| file.display().to_string())?;
    let key = Key::parse(text.trim_end());
    key.with_context(|| format!("{} does not hold 64 hexadecimal digits", file.display()))
}

fn text(summary: &Summary) -> String {
    let Summary { last, time, rows, entries, files, bytes, is_encrypted, .. } = summary;
    format!(
        "everything up to offset {}{}: {rows} rows and {entries} entries of the log, {:.1} MiB in \
         {files} files, {}",
        last.0,
        of(*time),
        mebibytes(*bytes),
        if *is_encrypted { "encrypted" } else { "not encrypted" }
    )
}

fn of(time: u64) -> String {
    match time {
        0 => String::new(),
        _ => format!(" of {}", UnixTime(time.saturating_mul(1_000_000))),
    }
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}
