//! The control socket in the data folder: how other commands on this machine speak to the process
//! that serves. `docs/formats.md` has its lines.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use store::{BackupOptions, Disk, Extra, Key, OsDisk, Phase, Progress, Summary};

use crate::config::{Config, escape};
use crate::{operator_key, server_key, whole_file};

const FILE: &str = "control.sock";
/// Longest line.
pub(crate) const LINE_MAX: u64 = 16 * 1024;
/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: usize = 4;
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// Longer paths do not fit into the address of a socket.
const PATH_MAX: usize = 100;
const EXTRA_MAX: u64 = 64 << 10;
/// Room for the log to grow while a backup is made on the disk of the data folder.
const SPARE_BYTES: u64 = 256 << 20;

/// The thread that answers. It ends with [`Control::stop`].
#[derive(Debug)]
pub(crate) struct Control {
    data_dir: PathBuf,
    stops: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Served {
    data_dir: PathBuf,
    store: store::Handle,
    /// What the disk of the data folder has to keep.
    min_free_bytes: u64,
    stops: Arc<AtomicBool>,
    is_backing_up: AtomicBool,
}

/// Listens in a data folder, whose lock this process holds.
pub(crate) fn start(config: &Config, store: store::Handle) -> Result<Control> {
    let data_dir = config.data_dir.as_path();
    let listener = listen(data_dir);
    let listener =
        listener.with_context(|| format!("cannot use {}", socket(data_dir).display()))?;
    let stops = Arc::new(AtomicBool::new(false));
    let served = Arc::new(Served {
        data_dir: data_dir.to_owned(),
        store,
        min_free_bytes: config.store.min_free_bytes.saturating_add(SPARE_BYTES),
        stops: Arc::clone(&stops),
        is_backing_up: AtomicBool::new(false),
    });
    let run = move || accept(&listener, &served);
    let thread = std::thread::Builder::new().name("control".into()).spawn(run)?;
    Ok(Control { data_dir: data_dir.to_owned(), stops, thread })
}

impl Control {
    /// Gives up what is under way, waits for its end, and removes the socket.
    pub(crate) fn stop(self) {
        self.stops.store(true, Ordering::SeqCst);
        // Wakes the thread. If nobody can connect, the end of the process ends it.
        if connect(&self.data_dir).is_ok() {
            let _ = self.thread.join();
        }
        let _ = fs::remove_file(socket(&self.data_dir)); // the next start removes it, too
    }
}

/// Connects to the process that serves from a data folder, if there is one.
pub(crate) fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    at(data_dir, |path| UnixStream::connect(path))
}

pub(crate) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket(data_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // of a process that was killed: the folder's lock is ours
    }
    // The socket gets its mode when it is bound. Other threads make no folders meanwhile, and files
    // for this user only.
    // SAFETY: a plain system call.
    let mask = unsafe { libc::umask(0o177) };
    let listener = at(data_dir, |path| UnixListener::bind(path));
    // SAFETY: a plain system call.
    unsafe { libc::umask(mask) };
    listener
}

/// Names the socket by a path that is short enough.
fn at<T>(data_dir: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = socket(data_dir);
    if path.as_os_str().len() <= PATH_MAX {
        return act(&path);
    }
    let folder = File::open(data_dir)?;
    act(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(FILE))
}

fn accept(listener: &UnixListener, served: &Arc<Served>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming() {
        if served.stops.load(Ordering::SeqCst) {
            break;
        }
        let Ok(stream) = stream else {
            std::thread::sleep(TOLD_EVERY); // no descriptor is free
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        if threads.len() >= CONNECTIONS_MAX {
            let _ = writeln!(&stream, "failed {}", encode(b"too many ask this server at once"));
            continue;
        }
        let served = Arc::clone(served);
        let run = move || serve(&stream, &served);
        threads.extend(std::thread::Builder::new().name("control-client".into()).spawn(run));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(stream: &UnixStream, served: &Served) {
    let answer = answer(stream, served)
        .unwrap_or_else(|error| format!("failed {}", encode(format!("{error:#}").as_bytes())));
    let _ = writeln!(&*stream, "{answer}"); // whoever asked may be gone
}

fn answer(stream: &UnixStream, served: &Served) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_MAX)).read_line(&mut line)?;
    let line = line.strip_suffix('\n').context("a request is one line")?;
    let words: Option<Vec<_>> = line.split(' ').map(decode).collect();
    let words = words.context("a word of the request is not encoded")?;
    let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [b"backup", dir] => back_up(stream, served, dir, None),
        [b"backup", dir, key] => {
            let key = std::str::from_utf8(key).ok().and_then(Key::parse);
            back_up(stream, served, dir, Some(key.context("the key is none")?))
        }
        _ => bail!("this server does not know the request"),
    }
}

fn back_up(stream: &UnixStream, served: &Served, dir: &[u8], key: Option<Key>) -> Result<String> {
    let dir = PathBuf::from(std::ffi::OsString::from_vec(dir.to_vec()));
    ensure!(dir.is_absolute(), "{} is no absolute path", dir.display());
    let data_dir = fs::canonicalize(&served.data_dir)?;
    ensure!(!dir.starts_with(&data_dir), "{} is in the data folder: name another", dir.display());
    let flag = &served.is_backing_up;
    ensure!(!flag.swap(true, Ordering::SeqCst), "another backup is under way: wait for its end");
    let shown = escape(&dir.to_string_lossy());
    tracing::info!(folder = shown, encrypted = key.is_some(), "a backup begins");
    let made = make(stream, served, &dir, key);
    flag.store(false, Ordering::SeqCst);
    match made {
        Ok(made) => {
            let (offset, rows, bytes) = (made.last.0, made.rows, made.bytes);
            tracing::info!(folder = shown, offset, rows, bytes, "a backup is whole");
            let Summary { first, last, time, rows, entries, files, bytes, .. } = made;
            Ok(format!("done {} {} {time} {rows} {entries} {files} {bytes}", first.0, last.0))
        }
        Err(error) => {
            tracing::warn!(folder = shown, error = format!("{error:#}"), "a backup was not made");
            Err(error)
        }
    }
}

fn make(mut stream: &UnixStream, served: &Served, dir: &Path, key: Option<Key>) -> Result<Summary> {
    let disk = OsDisk::make(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    let is_shared = fs::metadata(dir)?.dev() == fs::metadata(&served.data_dir)?.dev();
    let options = BackupOptions {
        key,
        extras: extras(&served.data_dir)?,
        min_free_bytes: if is_shared { served.min_free_bytes } else { 0 },
        ..BackupOptions::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut told: Option<(Phase, Instant)> = None;
    let mut watch = |progress: Progress| {
        if served.stops.load(Ordering::SeqCst) {
            return ControlFlow::Break(());
        }
        let Progress { phase, done, total, bytes } = progress;
        if told.is_some_and(|(last, at)| last == phase && at.elapsed() < TOLD_EVERY) {
            return ControlFlow::Continue(());
        }
        told = Some((phase, Instant::now()));
        let phase = if phase == Phase::Copy { "copy" } else { "verify" };
        // Whoever closed the socket does not want it any more.
        match writeln!(stream, "progress {phase} {done} {total} {bytes}") {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let made = store::backup(served.store.source(), &disk, &options, &mut watch);
    made.map_err(|error| match error {
        store::Error::Abandoned { .. } if served.stops.load(Ordering::SeqCst) => {
            anyhow!("the server stops")
        }
        error => error.into(),
    })
}

/// The keys that belong to the data folder.
fn extras(data_dir: &Path) -> Result<Vec<Extra>> {
    let mut extras = Vec::new();
    for name in [operator_key::FILE, server_key::FILE] {
        let path = data_dir.join(name);
        if path.exists() {
            let bytes = whole_file::read(&path, EXTRA_MAX);
            let bytes = bytes.with_context(|| path.display().to_string())?;
            extras.push(Extra { name: name.to_owned(), bytes });
        }
    }
    Ok(extras)
}

/// A word of a line.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'/' | b'.' | b'-' | b'_' => word.push(char::from(*byte)),
            letter if letter.is_ascii_alphanumeric() => word.push(char::from(*byte)),
            byte => word += &format!("%{byte:02x}"),
        }
    }
    word
}

/// The bytes of a word, if it is one.
pub(crate) fn decode(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(high? * 16 + low?).ok()?);
        rest = behind;
    }
    Some(bytes)
}

/// The line that asks for a backup.
pub(crate) fn backup_request(dir: &Path, key: Option<&Key>) -> String {
    let dir = encode(dir.as_os_str().as_bytes());
    match key {
        None => format!("backup {dir}\n"),
        Some(key) => format!("backup {dir} {}\n", key.digits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_long_path_has_a_socket_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("d".repeat(200));
        fs::create_dir(&data).unwrap();
        assert!(connect(&data).is_err());
        let first = listen(&data).unwrap();
        connect(&data).unwrap();
        drop(first);
        let left = connect(&data).unwrap_err();
        assert_eq!(left.kind(), io::ErrorKind::ConnectionRefused);
        let _second = listen(&data).unwrap();
        connect(&data).unwrap();
    }

    #[test]
    fn any_bytes_are_a_word_and_no_word_breaks_a_line() {
        let all: Vec<u8> = (0..=255).collect();
        let word = encode(&all);
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(decode(&word), Some(all));
        assert_eq!(encode(b"/a/b-1.c_d"), "/a/b-1.c_d");
        for broken in ["%", "%1", "%x0", "a%0"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
