//! The control socket in the data folder: how other commands on this machine speak to the process
//! that serves. `docs/formats.md` has its lines.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use store::{Key, Phase, Progress, Summary};

use crate::backups::{Backups, phase_name};

const FILE: &str = "control.sock";
/// Longest line.
pub(crate) const LINE_MAX: u64 = 16 * 1024;
/// How long a request may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECTIONS_MAX: usize = 4;
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// Longer paths do not fit into the address of a socket.
const PATH_MAX: usize = 100;

/// The thread that answers. It ends with [`Control::stop`].
#[derive(Debug)]
pub(crate) struct Control {
    data_dir: PathBuf,
    backups: Arc<Backups>,
    thread: JoinHandle<()>,
}

/// Listens in a data folder, whose lock this process holds.
pub(crate) fn start(data_dir: &Path, backups: Arc<Backups>) -> Result<Control> {
    let listener = listen(data_dir);
    let listener =
        listener.with_context(|| format!("cannot use {}", socket(data_dir).display()))?;
    let thread_backups = Arc::clone(&backups);
    let run = move || accept(&listener, &thread_backups);
    let thread = std::thread::Builder::new().name("control".into()).spawn(run)?;
    Ok(Control { data_dir: data_dir.to_owned(), backups, thread })
}

impl Control {
    /// Gives up what is under way, waits for its end, and removes the socket.
    pub(crate) fn stop(self) {
        self.backups.stop();
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

fn accept(listener: &UnixListener, backups: &Arc<Backups>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming() {
        if backups.is_stopping() {
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
        let backups = Arc::clone(backups);
        let run = move || serve(&stream, &backups);
        threads.extend(std::thread::Builder::new().name("control-client".into()).spawn(run));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(stream: &UnixStream, backups: &Arc<Backups>) {
    let answer = answer(stream, backups)
        .unwrap_or_else(|error| format!("failed {}", encode(format!("{error:#}").as_bytes())));
    let _ = writeln!(&*stream, "{answer}"); // whoever asked may be gone
}

fn answer(stream: &UnixStream, backups: &Arc<Backups>) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_MAX)).read_line(&mut line)?;
    let line = line.strip_suffix('\n').context("a request is one line")?;
    let words: Option<Vec<_>> = line.split(' ').map(decode).collect();
    let words = words.context("a word of the request is not encoded")?;
    let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [b"backup", dir] => back_up(stream, backups, dir, None),
        [b"backup", dir, key] => {
            let key = std::str::from_utf8(key).ok().and_then(Key::parse);
            back_up(stream, backups, dir, Some(key.context("the key is none")?))
        }
        _ => bail!("this server does not know the request"),
    }
}

fn back_up(
    mut stream: &UnixStream,
    backups: &Arc<Backups>,
    dir: &[u8],
    key: Option<Key>,
) -> Result<String> {
    let dir = PathBuf::from(std::ffi::OsString::from_vec(dir.to_vec()));
    ensure!(dir.is_absolute(), "{} is no absolute path", dir.display());
    let mut told: Option<(Phase, Instant)> = None;
    let turn = backups.begin(&dir)?;
    let made = turn.make(key, |progress: Progress| {
        let Progress { phase, done, total, bytes } = progress;
        if told.is_some_and(|(last, at)| last == phase && at.elapsed() < TOLD_EVERY) {
            return ControlFlow::Continue(());
        }
        told = Some((phase, Instant::now()));
        // Whoever closed the socket does not want it any more.
        match writeln!(stream, "progress {} {done} {total} {bytes}", phase_name(phase)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    let Summary { first, last, time, rows, entries, files, bytes, .. } = made;
    Ok(format!("done {} {} {time} {rows} {entries} {files} {bytes}", first.0, last.0))
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
