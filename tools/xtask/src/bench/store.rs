//! The third benchmark: durable writes, beside what they are made of.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bench::runner::{LINE_MAX, Run, Runner, Runs, Watch, words};
use crate::bench::{Goal, Report};
use crate::process::{Folder, Process};

/// Batches under way.
const FLYING: [&str; 5] = ["1", "16", "64", "256", "1024"];
/// Where the goals are.
const JUDGED: &str = "256";
const ROUNDS: usize = 3;
const BURST: &str = "5";
const SUSTAINED: &str = "60";
/// Connections that sign up in a closed loop.
const CONNECTIONS: &str = "128";
/// What a killed server leaves: a state, and the longest log behind it that the default of
/// `store.backlog_bytes` allows.
const STATE_MIB: &str = "1024";
const TAIL_MIB: &str = "1024";
const ACCOUNTS: &str = "1000000";
const READS: &str = "20000";
/// No step takes longer.
const STEP_MAX: Duration = Duration::from_secs(600);

pub(super) fn run(root: &Path) -> Result<Report> {
    let runner = Runner::build(root, &["-p", "store", "--example", "store_bench"])?;
    let mut report = Report::new("store");
    bursts(&runner, &mut report)?;
    sustained(&runner, &mut report)?;
    http(&runner, &mut report)?;
    restart(&runner, &mut report)?;
    accounts(&runner, &mut report)?;
    Ok(report)
}

/// Five seconds of the store, of redb alone and of a bare log, in turn.
fn bursts(runner: &Runner, report: &mut Report) -> Result<()> {
    for flying in FLYING {
        let mut sides = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (side, runs) in ["log", "tree", "store"].into_iter().zip(&mut sides) {
                runs.push(write(runner, side, flying, BURST)?);
            }
        }
        let [log, tree, store] = sides.map(Runs);
        let mut add = |name, value, unit, goal| report.add(flying, name, value, unit, goal);
        let ours = store.median("writes_per_s")?;
        add("writes_per_s", ours, "1/s", None);
        for name in ["ack_p50", "ack_p99", "ack_p999"] {
            add(name, store.median(name)?, "us", None);
        }
        let judged = |goal| (flying == JUDGED).then_some(goal);
        let (log_writes, tree_writes) = (log.median("writes_per_s")?, tree.median("writes_per_s")?);
        add("log_writes_per_s", log_writes, "1/s", None);
        add("log_p99", log.median("ack_p99")?, "us", None);
        add("redb_writes_per_s", tree_writes, "1/s", None);
        add("redb_p99", tree.median("ack_p99")?, "us", None);
        add("of_log", ours / log_writes, "", judged(Goal::AtLeast(0.6)));
        add("over_redb", ours / tree_writes, "", judged(Goal::AtLeast(5.0)));
    }
    Ok(())
}

/// A minute of the store, beside a minute of redb that waits for no disk.
fn sustained(runner: &Runner, report: &mut Report) -> Result<()> {
    let apply = write(runner, "apply", JUDGED, SUSTAINED)?;
    let store = write(runner, "store", JUDGED, SUSTAINED)?;
    let of = |run: &Run, name: &str| {
        run.get(name).copied().with_context(|| format!("a run lacks {name}"))
    };
    let mut add = |name, value, unit, goal| report.add("sustained", name, value, unit, goal);
    let (ours, alone) = (of(&store, "writes_per_s")?, of(&apply, "writes_per_s")?);
    add("writes_per_s", ours, "1/s", None);
    add("apply_writes_per_s", alone, "1/s", None);
    add("of_apply", ours / alone, "", Some(Goal::AtLeast(0.8)));
    for name in ["backlog_mib_halfway", "backlog_mib_at_end", "backlog_mib_max"] {
        add(name, of(&store, name)?, "MiB", None);
    }
    let p99 = of(&store, "ack_p99")?;
    add("ack_p99", p99, "us", None);
    if let Some(within) = store.get("ack_p99_in_checkpoint") {
        add("ack_p99_in_checkpoint", *within, "us", None);
        add("checkpoint_of_p99", within / p99, "", Some(Goal::Below(2.0)));
    }
    Ok(())
}

/// First sign-ins by device, through the whole server.
fn http(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "http")?;
    let server = runner.ringmaster(&folder)?;
    let watch = Watch::begin(&server)?;
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        let load = ["sign-up", "--connections", CONNECTIONS, "--seconds", BURST];
        runs.push(runner.load(&server, &words(&load))?);
    }
    let runs = Runs(runs);
    let mut add = |name, value, unit, goal| report.add("http", name, value, unit, goal);
    let goal = Some(Goal::AtLeast(20_000.0));
    add("http_writes_per_s", runs.median("requests_per_s")?, "1/s", goal);
    add("p50", runs.median("p50")?, "us", None);
    add("p99", runs.median("p99")?, "us", None);
    add("server_cpu_us", runs.median("server_cpu_us")?, "us", None);
    report.add("machine", "busy_with_others", watch.end()?.others, "cores", None);
    Ok(())
}

/// From the start of a server on what a killed one has left until it answers.
fn restart(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "restart")?;
    let data = folder.0.join("data").display().to_string();
    let mut tail = Process::spawn(
        &runner.program("examples/store_bench"),
        &words(&["tail", &data, STATE_MIB, TAIL_MIB]),
    )?;
    let left = figures(&mut tail)?; // it aborts in the end
    let server = runner.ringmaster(&folder)?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.set_read_timeout(Some(LINE_MAX))?;
    stream.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    ensure!(answer == *b"HTTP/1.1 200", "the healthcheck failed");
    let seconds = server.spawned.elapsed().as_secs_f64();
    report.add("restart", "restart_s", seconds, "s", Some(Goal::Below(2.0)));
    let state = left.get("state_mib").context("the state has a size")?;
    report.add("restart", "state_mib", *state, "MiB", None);
    report.add("restart", "rss_mib", server.process.resident_bytes()? / 1048576.0, "MiB", None);
    Ok(())
}

/// What a million accounts take, and how long one is read.
fn accounts(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "accounts")?;
    let data = folder.0.join("data").display().to_string();
    let written = bench(runner, &["accounts", &data, ACCOUNTS])?;
    let read = bench(runner, &["read", &data, ACCOUNTS, READS])?;
    for (run, name, unit) in [
        (&written, "bytes_per_account", "B"),
        (&read, "read_p99_uncached", "us"),
        (&read, "read_p99_cached", "us"),
    ] {
        let value = run.get(name).with_context(|| format!("a run lacks {name}"))?;
        report.add("accounts", name, *value, unit, None);
    }
    Ok(())
}

/// Durable writes into the store, or into one of its parts.
pub(super) fn write(runner: &Runner, side: &str, flying: &str, seconds: &str) -> Result<Run> {
    let folder = Folder::create(&runner.root, "writes")?;
    let data = folder.0.join("data").display().to_string();
    bench(runner, &["write", side, &data, flying, seconds])
}

/// Runs the store's program to its end.
fn bench(runner: &Runner, arguments: &[&str]) -> Result<Run> {
    let program = runner.program("examples/store_bench");
    let mut process = Process::spawn(&program, &words(arguments))?;
    let run = figures(&mut process)?;
    ensure!(process.wait()?, "store_bench {} failed", arguments.join(" "));
    Ok(run)
}

/// Reads lines of a name and a value until the output ends.
fn figures(process: &mut Process) -> Result<Run> {
    let (mut run, end) = (Run::new(), Instant::now() + STEP_MAX);
    while let Some(line) = process.line(end.saturating_duration_since(Instant::now()))? {
        let (name, value) = line.split_once(' ').with_context(|| format!("{line:?}: no figure"))?;
        run.insert(name.to_owned(), value.parse()?);
    }
    Ok(run)
}
