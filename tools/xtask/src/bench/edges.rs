//! The second benchmark: work that is slow on purpose, peers that cost and never ask, and what the
//! defences against both cost.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::bench::runner::{Run, Runner, Runs, Watch, rest_of, wait_for, words};
use crate::bench::{Goal, Report, median};
use crate::process::{Folder, Server};

/// Everything is measured so often, what is compared in turn. Five, since a 99th percentile of few
/// seconds is easily disturbed.
const ROUNDS: usize = 5;
const SETTLE: Duration = Duration::from_secs(1);
/// How long password sign-ins are measured.
const SIGN_IN_SECONDS: u64 = 5;
/// Reads of accounts a second, and how long they are measured after a second of warm-up. The window
/// ends before the server gives up a slow peer, after 10 s.
const READ_RATE: u64 = 2_000;
const READ_SECONDS: u64 = 4;
/// How long the others go on, who begin earlier.
const OTHERS_SECONDS: u64 = 7;
/// Fewer than may wait (128): nobody is refused, and the hashing thread never rests.
const HASHING_CONNECTIONS: u32 = 100;
/// More than are hashed (1) and may wait together.
const PASSWORD_CONNECTIONS: u32 = 256;
/// A password waits for up to 128 others.
const PASSWORD_TIMEOUT_MS: u64 = 30_000;
const PEERS: u32 = 1_000;
/// How often the metrics are asked for, and what counts as noise of a 99th percentile.
const SCRAPE_PERIOD: Duration = Duration::from_secs(1);
const SCRAPED_MOST: f64 = 1.15;
/// Requests of the two runs whose difference is counted.
const FEW: u32 = 2_000;
const MANY: u32 = 12_000;

pub(super) fn run(root: &Path) -> Result<Report> {
    let runner = Runner::build(root, &["-p", "shard", "--example", "rate_cost"])?;
    let mut report = Report::new("edges");
    let folder = Folder::create(root, "edges")?;
    let server = runner.ringmaster(&folder)?;
    std::thread::sleep(SETTLE);
    let watch = Watch::begin(&server)?;
    passwords(&runner, &server, &mut report)?;
    reads(&runner, &server, &mut report)?;
    report.add("machine", "busy_with_others", watch.end()?.others, "cores", None);
    drop(server);
    limits(&runner, &folder, &mut report)?;
    Ok(report)
}

/// How many passwords a second are compared, with few who wait.
fn passwords(runner: &Runner, server: &Server, report: &mut Report) -> Result<()> {
    let seconds = SIGN_IN_SECONDS.to_string();
    let load = words(&["sign-in-password", "--connections", "8", "--seconds", &seconds]);
    let runs: Result<_> = (0..ROUNDS).map(|_| runner.load(server, &load)).collect();
    let runs = Runs(runs?);
    for (name, figure, unit) in [
        ("requests_per_s", "requests_per_s", "1/s"),
        ("cpu_us_per_request", "server_cpu_us", "us"),
        ("p50", "p50", "us"),
        ("p99", "p99", "us"),
    ] {
        report.add("sign-in-password", name, runs.median(figure)?, unit, None);
    }
    Ok(())
}

/// Who else is there while accounts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Nobody,
    /// Somebody who asks for all metrics once a second.
    Scraper,
    Hashing,
    Passwords,
    SlowHeaders,
    HalfOpen,
}

impl Others {
    const ALL: [Others; 6] = [
        Others::Nobody,
        Others::Scraper,
        Others::Hashing,
        Others::Passwords,
        Others::SlowHeaders,
        Others::HalfOpen,
    ];

    fn case(self) -> &'static str {
        match self {
            Others::Nobody => "read-quiet",
            Others::Scraper => "read-scraped",
            Others::Hashing => "read-hashing",
            Others::Passwords => "read-passwords",
            Others::SlowHeaders => "read-slow",
            Others::HalfOpen => "read-half-open",
        }
    }

    /// Their load, if any.
    fn arguments(self) -> Option<Vec<String>> {
        let seconds = OTHERS_SECONDS.to_string();
        let (scenario, connections) = match self {
            Others::Nobody | Others::Scraper => return None,
            Others::Hashing => ("sign-in-password", HASHING_CONNECTIONS),
            Others::Passwords => ("sign-in-password", PASSWORD_CONNECTIONS),
            Others::SlowHeaders => ("slow-headers", PEERS),
            Others::HalfOpen => ("half-open", PEERS),
        };
        let (connections, timeout) = (connections.to_string(), PASSWORD_TIMEOUT_MS.to_string());
        let more = ["--allow-refused", "--warmup", "0", "--timeout-ms", &timeout];
        let own = [scenario, "--connections", &connections, "--seconds", &seconds];
        Some(words(&[&own[..], &more].concat()))
    }
}

/// How long the reading of accounts takes, at a fixed rate, beside others.
fn reads(runner: &Runner, server: &Server, report: &mut Report) -> Result<()> {
    let mut all = Others::ALL.map(|others| (others, Runs(Vec::new()), Runs(Vec::new())));
    let mut scrapes = Vec::new();
    for _ in 0..ROUNDS {
        for (others, reads, theirs) in &mut all {
            let scraper = (*others == Others::Scraper).then(|| Scraper::start(server));
            let (read, their) = read_beside(runner, server, *others)?;
            if let Some(scraper) = scraper {
                scrapes.extend(scraper.end()?);
            }
            reads.0.push(read);
            theirs.0.extend(their);
        }
    }
    let quiet_p99 = all[0].1.median("p99")?;
    for (others, reads, theirs) in &all {
        let case = others.case();
        let p99 = reads.median("p99")?;
        report.add(case, "p50", reads.median("p50")?, "us", None);
        report.add(case, "p99", p99, "us", None);
        if *others != Others::Nobody {
            let ratio = p99 / quiet_p99;
            let most = if *others == Others::Scraper { SCRAPED_MOST } else { 2.0 };
            report.add(case, "p99_of_quiet", ratio, "", Some(Goal::Below(most)));
        }
        match others {
            Others::Nobody => {}
            Others::Scraper => {
                report.add(case, "scrape_p50", median(&scrapes), "us", None);
            }
            Others::Hashing | Others::Passwords => {
                let refused = theirs.median("refused")? / OTHERS_SECONDS as f64;
                let signed_in = theirs.median("requests_per_s")?;
                report.add(case, "signed_in_per_s", signed_in, "1/s", None);
                report.add(case, "refused_per_s", refused, "1/s", None);
                report.add(case, "refused_p99", theirs.median("refused_p99")?, "us", None);
            }
            Others::SlowHeaders | Others::HalfOpen => {
                let goal = Goal::AtLeast(PEERS.into());
                report.add(case, "peers", theirs.least("peers_least")?, "", Some(goal));
            }
        }
    }
    Ok(())
}

/// Asks for the metrics, as Prometheus does, until its end.
struct Scraper {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<f64>>>,
}

impl Scraper {
    fn start(server: &Server) -> Scraper {
        let port = server.operators.unwrap_or_default();
        let (stop, stopped) = channel();
        let scrape_on = move || {
            let mut times = Vec::new();
            while stopped.recv_timeout(SCRAPE_PERIOD) == Err(RecvTimeoutError::Timeout) {
                times.push(scrape(port)?.as_secs_f64() * 1e6);
            }
            Ok(times)
        };
        Scraper { stop, thread: std::thread::spawn(scrape_on) }
    }

    /// How long each answer took, in microseconds.
    fn end(self) -> Result<Vec<f64>> {
        drop(self.stop);
        let times = self.thread.join().map_err(|_| anyhow!("the scraper panicked"))??;
        ensure!(!times.is_empty(), "nothing was scraped");
        Ok(times)
    }
}

fn scrape(port: u16) -> Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("cannot scrape")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.contains("ringmaster_requests_total"), "that is no scrape: {answer}");
    Ok(begun.elapsed())
}

/// What a run of account reads has measured, and what the others have.
fn read_beside(runner: &Runner, server: &Server, others: Others) -> Result<(Run, Option<Run>)> {
    let (rate, seconds) = (READ_RATE.to_string(), READ_SECONDS.to_string());
    let read = words(&["account-read", "--rate", &rate, "--seconds", &seconds]);
    let Some(arguments) = others.arguments() else {
        return Ok((runner.load(server, &read)?, None));
    };
    let load = runner.start_load(server, &arguments)?;
    wait_for(&load, "ready")?;
    let run = runner.load(server, &read)?;
    let theirs = rest_of(&load)?;
    ensure!(load.wait()?, "ringload {} had errors: {theirs:?}", arguments.join(" "));
    Ok((run, Some(theirs)))
}

/// What the rate limits cost, in instructions of the shard for one read of an account.
fn limits(runner: &Runner, folder: &Folder, report: &mut Report) -> Result<()> {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        eprintln!("bench: valgrind is not installed; the cost of the rate limits is left out");
        return Ok(());
    }
    let each = |limits| -> Result<f64> {
        let few = instructions(runner, folder, limits, FEW)?;
        let many = instructions(runner, folder, limits, MANY)?;
        Ok((many - few) / f64::from(MANY - FEW))
    };
    let (on, off) = (each("on")?, each("off")?);
    for (case, value) in [("limits-on", on), ("limits-off", off), ("limits-cost", on - off)] {
        report.add(case, "instructions_per_request", value, "", None);
    }
    Ok(())
}

/// Instructions of a whole run of the example.
fn instructions(runner: &Runner, folder: &Folder, limits: &str, requests: u32) -> Result<f64> {
    let file = folder.0.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(runner.program("examples").join("rate_cost"))
        .args([limits, &requests.to_string()])
        .output()
        .context("cannot start valgrind")?;
    if !output.status.success() {
        bail!("rate_cost failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(&file).context("valgrind has written its counts")?;
    total(&text).context("valgrind's counts have their form")
}

/// The count in the line `summary:` or `totals:`.
pub(super) fn total(text: &str) -> Option<f64> {
    let mut lines = text.lines().rev();
    let count =
        lines.find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    count?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_fit_into_each_other() {
        // The read timeout of the server, in its default configuration.
        const { assert!(OTHERS_SECONDS < 10) };
        const { assert!(1 + READ_SECONDS < OTHERS_SECONDS) };
    }

    #[test]
    fn the_instructions_are_found() {
        assert_eq!(total("events: Ir\nsummary: 12345\n\n0 1\n\ntotals: 12346\n"), Some(12346.0));
        assert_eq!(total("events: Ir\nsummary: 12345\n"), Some(12345.0));
        assert_eq!(total("totals: many\n"), None);
        assert_eq!(total(""), None);
    }
}
