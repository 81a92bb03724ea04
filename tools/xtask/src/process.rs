//! Child processes: servers, load, and what the system says about them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a server takes to say where it listens, at the most.
const START_MAX: Duration = Duration::from_secs(10);
/// Clock ticks a second in /proc, which Linux has fixed at 100 for all programs.
const TICKS: f64 = 100.0;

/// A child process whose output is read line by line. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn spawn(program: &Path, arguments: &[String]) -> Result<Process> {
        // As many descriptors as are allowed: thousands of sockets need them on both sides.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Process { child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line; none at the end of the output.
    pub(crate) fn line(&self, limit: Duration) -> Result<Option<String>> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(Disconnected) => Ok(None),
            Err(Timeout) => bail!("process {} says nothing for {limit:?}", self.id()),
        }
    }

    /// Waits for the end of a process that has closed its output.
    pub(crate) fn wait(mut self) -> Result<bool> {
        Ok(self.child.wait()?.success())
    }

    /// Ends the process at once, whatever it is at, and waits until it is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill")?;
        self.child.wait().context("cannot wait for what was killed")?;
        Ok(())
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        ticks(&stat, 2).map(|ticks| ticks / TICKS)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("the status has VmRSS")?.trim().parse::<f64>()? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// User and system time of this process and of all its children that have ended, in seconds.
pub(crate) fn own_seconds() -> Result<f64> {
    ticks(&fs::read_to_string("/proc/self/stat")?, 4).map(|ticks| ticks / TICKS)
}

/// The sum of so many times of a process's stat line: user, system, and the same of its children.
fn ticks(stat: &str, count: usize) -> Result<f64> {
    let (_, fields) = stat.rsplit_once(')').context("a stat line has a name")?;
    let times: Vec<f64> =
        fields.split_whitespace().skip(11).take(count).map(str::parse).collect::<Result<_, _>>()?;
    ensure!(times.len() == count, "a stat line is long");
    Ok(times.iter().sum())
}

/// Time that all processors together have worked since the start of the system, in seconds.
pub(crate) fn machine_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("the machine has a stat line")?;
    busy_ticks(line).map(|ticks| ticks / TICKS).context("the machine's stat line has its form")
}

/// The sum of user, nice, system, and, after idle and waiting, both kinds of interrupts.
fn busy_ticks(line: &str) -> Option<f64> {
    let fields: Option<Vec<f64>> =
        line.split_whitespace().skip(1).map(|field| field.parse().ok()).collect();
    let fields = fields?;
    Some(fields.get(..3)?.iter().sum::<f64>() + fields.get(5..7)?.iter().sum::<f64>())
}

/// A server and the port it has chosen.
#[derive(Debug)]
pub(crate) struct Server {
    pub process: Process,
    pub port: u16,
    /// Of the operators' listener, if it has one.
    pub operators: Option<u16>,
    pub spawned: Instant,
}

impl Server {
    /// Starts a server that prints `http://HOST:PORT` on one of its first lines.
    pub(crate) fn spawn(program: &Path, arguments: &[String]) -> Result<Server> {
        let spawned = Instant::now();
        let process = Process::spawn(program, arguments)?;
        let end = spawned + START_MAX;
        loop {
            let limit = end.saturating_duration_since(Instant::now());
            let line = process.line(limit)?;
            let line = line.with_context(|| format!("{} ended", program.display()))?;
            if let Some(port) = port_in(&line) {
                return Ok(Server { process, port, operators: None, spawned });
            }
        }
    }

    /// Reads the port of the operators' listener, which a server prints next.
    pub(crate) fn with_operators(mut self) -> Result<Server> {
        let line = self.process.line(START_MAX)?;
        self.operators = line.as_deref().and_then(port_in);
        ensure!(self.operators.is_some(), "the server names no address for operators: {line:?}");
        Ok(self)
    }

    /// Asks for `/healthcheck`; gives how long it took from the start of the process.
    pub(crate) fn until_it_answers(&self) -> Result<Duration> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(START_MAX))?;
        stream.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        ensure!(answer == *b"HTTP/1.1 200", "the healthcheck failed");
        Ok(self.spawned.elapsed())
    }
}

fn port_in(line: &str) -> Option<u16> {
    let (_, address) = line.split_once("http://")?;
    let (_, port) = address.trim_end().rsplit_once(':')?;
    port.parse().ok()
}

/// A folder that is deleted in the end.
#[derive(Debug)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    /// On the disk of the build, since the system's temporary folder may be in memory.
    pub(crate) fn create(root: &Path, name: &str) -> Result<Folder> {
        let path = root.join("target").join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Folder(path))
    }

    /// Leaves the folder where it is, for whoever has to look at it.
    pub(crate) fn keep(self) -> PathBuf {
        let path = self.0.clone();
        std::mem::forget(self);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is left lies below `target`
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_a_banner() {
        assert_eq!(port_in("  HTTP, WebSocket  http://127.0.0.1:7350"), Some(7350));
        assert_eq!(port_in("Ringmaster 0.1.0"), None);
        assert_eq!(port_in("try curl http://127.0.0.1:7350/v2"), None);
    }

    #[test]
    fn waiting_is_no_work() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 0 0 0"), Some(31.0));
        assert_eq!(busy_ticks("cpu  1 x"), None);
        assert!(machine_seconds().unwrap() > 0.0);
    }

    #[test]
    fn the_time_of_a_process_is_its_own_or_with_its_children() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 9 8 7 6 150 50 30 4 20 0 1 0 99";
        assert_eq!(ticks(stat, 2).unwrap(), 200.0);
        assert_eq!(ticks(stat, 4).unwrap(), 234.0);
        assert!(ticks("7 (a) S 1", 2).is_err());
        assert!(own_seconds().unwrap() >= 0.0);
    }

    #[test]
    fn a_process_is_read_to_its_end() {
        let words = ["-c", "echo a; echo b"].map(str::to_owned);
        let process = Process::spawn(Path::new("/bin/sh"), &words).unwrap();
        let limit = Duration::from_secs(10);
        assert_eq!(process.line(limit).unwrap().as_deref(), Some("a"));
        assert_eq!(process.line(limit).unwrap().as_deref(), Some("b"));
        assert_eq!(process.line(limit).unwrap(), None);
        assert!(process.wait().unwrap());
    }
}
