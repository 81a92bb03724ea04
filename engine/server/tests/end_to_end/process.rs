//! Child processes: the server, and whatever else a test starts. None outlives its test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take. More than any wait of a server with default settings.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server with its data folder, which outlives kills and restarts.
pub(crate) struct Server {
    /// Holds `data`, the data folder, and `config.toml`.
    folder: TempDir,
    shards: usize,
    process: Process,
    /// What it printed at its start, by line.
    pub(crate) banner: Vec<String>,
    pub(crate) address: SocketAddr,
    /// Where operators connect.
    pub(crate) operators: SocketAddr,
}

impl Server {
    pub(crate) fn start(shards: usize) -> Server {
        Server::start_with(shards, "")
    }

    /// Starts a server with the text of a configuration file.
    pub(crate) fn start_with(shards: usize, config: &str) -> Server {
        Server::start_after(shards, config, |_| ())
    }

    /// The same on a data folder that is made before.
    pub(crate) fn start_after(shards: usize, config: &str, make: impl FnOnce(&Path)) -> Server {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        make(&folder.path().join("data"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (process, banner, [address, operators]) = launch(folder.path(), shards, any);
        Server { folder, shards, process, banner, address, operators }
    }

    pub(crate) fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// From here on, what it writes beyond so many bytes of a file fails, as on a disk that is
    /// broken there.
    pub(crate) fn limit_files(&self, bytes: u64) {
        let id = i32::try_from(self.process.child.id()).unwrap();
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        let none = std::ptr::null_mut();
        // SAFETY: a plain system call, about a child that was not waited for.
        assert_eq!(unsafe { libc::prlimit(id, libc::RLIMIT_FSIZE, &raw const limit, none) }, 0);
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Gives its configuration file another text, and has it read.
    pub(crate) fn reload(&self, config: &str) {
        std::fs::write(self.config_file(), config).unwrap();
        self.signal(libc::SIGHUP);
    }

    /// Waits for a line of its log with this part.
    pub(crate) fn wait_for_log(&self, part: &str) -> String {
        self.log_until(part).pop().unwrap_or_default()
    }

    /// Its log, up to a line with this part.
    pub(crate) fn log_until(&self, part: &str) -> Vec<String> {
        let mut log = Vec::new();
        loop {
            match self.process.stderr.recv_timeout(DEADLINE) {
                Ok(line) => log.push(line),
                Err(error) => panic!("{part:?} is never logged: {error}"),
            }
            if log.last().is_some_and(|line| line.contains(part)) {
                return log;
            }
        }
    }

    pub(crate) fn end(&mut self) -> Ended {
        self.process.end()
    }

    /// Starts again on the same folder and the same port.
    pub(crate) fn start_again(&mut self) {
        (self.process, self.banner, [self.address, self.operators]) =
            launch(self.folder.path(), self.shards, self.address);
    }

    /// Ends the process as a power cut would, and starts at once.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.process.signal(libc::SIGKILL);
        assert_eq!(self.process.end().code, None);
        self.start_again();
    }
}

fn launch(
    folder: &Path,
    shards: usize,
    listen: SocketAddr,
) -> (Process, Vec<String>, [SocketAddr; 2]) {
    let (data, config) = (folder.join("data"), folder.join("config.toml"));
    let (shards, listen) = (shards.to_string(), listen.to_string());
    let process = Process::start(
        ringmaster([OsStr::new("--data-dir"), data.as_os_str()])
            .args([OsStr::new("--config"), config.as_os_str()])
            .args(["--shards", &shards, "--listen", &listen])
            .args(["--admin-listen", "127.0.0.1:0"]),
    );
    let mut banner = Vec::new();
    while !banner.last().is_some_and(|line: &String| line.trim_start().starts_with("try ")) {
        banner.push(process.line());
    }
    let mut addresses =
        banner.iter().filter_map(|line| line.trim_end().split_once("://")?.1.parse().ok());
    let [Some(clients), Some(operators)] = [addresses.next(), addresses.next()] else {
        panic!("two lines of the banner end in the addresses: {banner:?}");
    };
    (process, banner, [clients, operators])
}

/// The command of a server with these arguments.
pub(crate) fn ringmaster<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmaster"));
    command.args(arguments);
    command
}

/// A child whose output is read as it comes. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What no test had read before.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    /// The next line of its output.
    pub(crate) fn line(&self) -> String {
        match self.stdout.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(error) => panic!("no line: {error}; {}", self.stderr.iter().collect::<String>()),
        }
    }

    pub(crate) fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: a plain system call. The child was not waited for, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    /// Waits for the end of the process, which closes its outputs.
    pub(crate) fn end(&mut self) -> Ended {
        let end = Instant::now() + DEADLINE;
        let stdout = rest(&self.stdout, end);
        let stderr = rest(&self.stderr, end);
        Ended { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        let log: String = self.stderr.iter().collect();
        if thread::panicking() && !log.is_empty() {
            eprintln!("what a process said:\n{log}");
        }
    }
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line + "\n").is_err() {
                break;
            }
        }
    });
    receiver
}

fn rest(lines: &Receiver<String>, end: Instant) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => text.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => return text,
            Err(RecvTimeoutError::Timeout) => panic!("still running after {DEADLINE:?}: {text}"),
        }
    }
}
