//! The first benchmark: a server, two yardsticks and the load generator on one machine, in turn.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bench::runner::{Runner, Runs, Watch, rest_of, wait_for, words};
use crate::bench::{Goal, Report, median};
use crate::process::{Folder, Server};

/// Each side of a comparison is measured so often, the two in turn.
const ROUNDS: usize = 3;
const STARTS: usize = 5;
const SECONDS: u64 = 2;
/// Messages a second of the comparison of latencies.
const RELAY_RATE: u64 = 10_000;
const PAIR_RATE: u64 = 500;
const SOCKETS: u32 = 10_000;
/// How long the memory of the sockets may settle.
const SETTLE: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn run(root: &Path) -> Result<Report> {
    let yardsticks = ["-p", "net", "--example", "http_echo", "--example", "ws_echo"];
    let runner = Runner::build(root, &yardsticks)?;
    let mut report = Report::new("smoke");
    process(&runner, &mut report)?;
    traffic(&runner, &mut report)?;
    sockets(&runner, &mut report)?;
    Ok(report)
}

/// Starting, and doing nothing.
fn process(runner: &Runner, report: &mut Report) -> Result<()> {
    let mut starts = Vec::new();
    for number in 0..STARTS {
        let folder = Folder::create(&runner.root, &format!("start-{number}"))?;
        let server = runner.ringmaster(&folder)?;
        starts.push(server.until_it_answers()?.as_secs_f64() * 1e3);
    }
    let folder = Folder::create(&runner.root, "idle")?;
    let server = runner.ringmaster(&folder)?;
    std::thread::sleep(SETTLE);
    let watch = Watch::begin(&server)?;
    std::thread::sleep(IDLE);
    let busy = watch.end()?;
    let resident = server.process.resident_bytes()? / MIB;
    let mut add = |name, value, unit, most| {
        report.add("process", name, value, unit, Some(Goal::AtMost(most)));
    };
    add("start_ms", median(&starts), "ms", 50.0);
    add("idle_mib", resident, "MiB", 20.0);
    add("idle_cpu_share", busy.server, "core", 0.04);
    report.add("machine", "busy_with_others", busy.others, "cores", None);
    Ok(())
}

/// Requests and messages, each beside its yardstick.
fn traffic(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "traffic")?;
    let server = runner.ringmaster(&folder)?;
    let http_echo = runner.yardstick("http_echo")?;
    let ws_echo = runner.yardstick("ws_echo")?;
    let mut add = |case, name, value, unit, goal| report.add(case, name, value, unit, goal);

    // As long as a session token is.
    let token = "x".repeat(266);
    let ours = (&server, words(&["account-read"]));
    let bare = (&http_echo, words(&["account-read", "--token", &token]));
    let [ours, bare] = in_turn(runner, &[ours, bare])?;
    let (read, echo) = (ours.median("requests_per_s")?, bare.median("requests_per_s")?);
    add("account-read", "requests_per_s", read, "1/s", None);
    add("account-read", "cpu_us_per_request", ours.median("server_cpu_us")?, "us", None);
    add("http-echo", "requests_per_s", echo, "1/s", None);
    add("http-echo", "cpu_us_per_request", bare.median("server_cpu_us")?, "us", None);
    add("account-read", "of_echo", read / echo, "", Some(Goal::AtLeast(0.6)));
    // The bare server waits for the load generator, so this one is the harder measure.
    let cpu = bare.median("server_cpu_us")? / ours.median("server_cpu_us")?;
    add("account-read", "of_echo_by_cpu", cpu, "", None);

    let ours = (&server, words(&["relay", "--matches", "16", "--members", "2"]));
    let bare = (&ws_echo, words(&["ws-echo", "--connections", "32"]));
    let [full, full_bare] = in_turn(runner, &[ours.clone(), bare.clone()])?;
    let (relayed, echo) = (full.median("messages_per_s")?, full_bare.median("messages_per_s")?);
    let most = Some(Goal::AtMost(12.0));
    add("relay", "messages_per_s", relayed, "1/s", None);
    add("relay", "cpu_us_per_message", full.median("server_cpu_us")?, "us", most);
    add("ws-echo", "messages_per_s", echo, "1/s", None);
    add("ws-echo", "cpu_us_per_message", full_bare.median("server_cpu_us")?, "us", None);
    add("relay", "of_echo", relayed / echo, "", None);

    let rate = words(&["--rate", &RELAY_RATE.to_string()]);
    let ours = (ours.0, [ours.1, rate.clone()].concat());
    let bare = (bare.0, [bare.1, rate].concat());
    let [paced, paced_bare] = in_turn(runner, &[ours, bare])?;
    for (case, runs) in [("relay-paced", &paced), ("ws-echo-paced", &paced_bare)] {
        add(case, "messages_per_s", runs.median("messages_per_s")?, "1/s", None);
        add(case, "p50", runs.median("p50")?, "us", None);
        add(case, "p99", runs.median("p99")?, "us", None);
        add(case, "cpu_us_per_message", runs.median("server_cpu_us")?, "us", None);
    }
    let p50 = paced.median("p50")? / paced_bare.median("p50")?;
    let p99 = paced.median("p99")? / paced_bare.median("p99")?;
    add("relay-paced", "p50_of_echo", p50, "", None);
    add("relay-paced", "p99_of_echo", p99, "", Some(Goal::AtMost(1.5)));

    let pairs = words(&["matchmaker", "--rate", &PAIR_RATE.to_string()]);
    let [old, new, pairs] = in_turn(
        runner,
        &[(&server, words(&["sign-in"])), (&server, words(&["sign-up"])), (&server, pairs)],
    )?;
    for (case, runs) in [("sign-in", &old), ("sign-up", &new)] {
        add(case, "requests_per_s", runs.median("requests_per_s")?, "1/s", None);
        add(case, "p50", runs.median("p50")?, "us", None);
        add(case, "p99", runs.median("p99")?, "us", None);
    }
    let most = Some(Goal::AtMost(5_000.0));
    add("matchmaker", "p50", pairs.median("p50")?, "us", None);
    add("matchmaker", "p99", pairs.median("p99")?, "us", most);
    Ok(())
}

/// Runs loads one after the other, round by round.
fn in_turn<const N: usize>(
    runner: &Runner,
    loads: &[(&Server, Vec<String>); N],
) -> Result<[Runs; N]> {
    let seconds = words(&["--seconds", &SECONDS.to_string()]);
    let mut all: [Runs; N] = std::array::from_fn(|_| Runs(Vec::new()));
    for _ in 0..ROUNDS {
        for ((server, arguments), runs) in loads.iter().zip(&mut all) {
            runs.0.push(runner.load(server, &[&arguments[..], &seconds].concat())?);
        }
    }
    Ok(all)
}

/// The memory of sockets that do nothing. The server is a new one each time, so that no memory
/// that earlier work has left can serve the sockets; their accounts are made before.
fn sockets(runner: &Runner, report: &mut Report) -> Result<()> {
    let folder = Folder::create(&runner.root, "sockets")?;
    let count = SOCKETS.to_string();
    let arguments = words(&["idle", "--connections", &count, "--seconds", "3"]);
    let making = runner.ringmaster(&folder)?;
    let devices = words(&["idle", "--connections", &count, "--seconds", "1"]);
    let load = runner.start_load(&making, &devices)?;
    wait_for(&load, "signed_in")?;
    drop((load, making));
    let server = runner.ringmaster(&folder)?;
    std::thread::sleep(SETTLE);
    let empty = server.process.resident_bytes()?;
    let load = runner.start_load(&server, &arguments)?;
    wait_for(&load, "signed_in")?;
    std::thread::sleep(SETTLE);
    let signed_in = server.process.resident_bytes()?;
    wait_for(&load, "sockets_open")?;
    std::thread::sleep(SETTLE);
    let open = server.process.resident_bytes()?;
    let run = rest_of(&load)?;
    ensure!(load.wait()?, "ringload idle had errors: {run:?}");
    let opened_per_s = run.get("opened_per_s").context("ringload tells how fast it opens")?;
    let count = f64::from(SOCKETS);
    let mut add = |name, value, unit, goal| {
        report.add("sockets", name, value, unit, goal);
    };
    add("sockets", count, "", None);
    add("opened_per_s", *opened_per_s, "1/s", None);
    let most = Some(Goal::AtMost(4096.0));
    add("bytes_per_socket", (open - signed_in) / count, "bytes", most);
    add("bytes_per_user", (signed_in - empty) / count, "bytes", None);
    Ok(())
}
