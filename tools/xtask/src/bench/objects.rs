//! Storage objects through HTTP, beside a bare HTTP server and a plain redb table.

use std::path::Path;

use anyhow::Result;

use crate::bench::runner::{Runner, Runs, Watch, words};
use crate::bench::store::write;
use crate::bench::{Goal, Report};
use crate::process::{Folder, Server};

const ROUNDS: usize = 3;
const SECONDS: &str = "5";
/// Writers, of which each waits for the disk.
const WRITERS: &str = "128";
const READERS: &str = "32";

pub(super) fn run(root: &Path) -> Result<Report> {
    let runner = Runner::build(root, &["-p", "net", "--example", "http_echo"])?;
    crate::ringmaster::build(root, &["-p", "store", "--example", "store_bench"])?;
    let mut report = Report::new("objects");
    let folder = Folder::create(&runner.root, "objects")?;
    let server = runner.ringmaster(&folder)?;
    let echo = runner.yardstick("http_echo")?;
    let watch = Watch::begin(&server)?;
    let goal = Some(Goal::AtLeast(0.4));
    beside_echo(&runner, &mut report, (&server, &echo), ("object-write", WRITERS), (None, goal))?;
    let goal = Some(Goal::AtLeast(0.6));
    beside_echo(&runner, &mut report, (&server, &echo), ("object-read", READERS), (None, goal))?;
    report.add("machine", "busy_with_others", watch.end()?.others, "cores", None);
    let tree = write(&runner, "tree", WRITERS, SECONDS)?;
    let writes = tree.get("writes_per_s").copied().unwrap_or(f64::NAN);
    report.add("redb", "writes_per_s", writes, "1/s", None);
    Ok(report)
}

/// A load of the server, and one of the bare server with as many connections, in turn.
pub(super) fn beside_echo(
    runner: &Runner,
    report: &mut Report,
    (server, echo): (&Server, &Server),
    (load, connections): (&'static str, &str),
    (goal, of_echo): (Option<Goal>, Option<Goal>),
) -> Result<()> {
    let token = "x".repeat(266); // as long as a session token is
    let common = words(&["--connections", connections, "--seconds", SECONDS]);
    let ours = [words(&[load]), common.clone()].concat();
    let bare = [words(&["account-read", "--token", &token]), common].concat();
    let (mut own, mut bares) = (Runs(Vec::new()), Runs(Vec::new()));
    for _ in 0..ROUNDS {
        own.0.push(runner.load(server, &ours)?);
        bares.0.push(runner.load(echo, &bare)?);
    }
    let name = match load {
        "object-write" | "record-write" => "writes_per_s",
        "board-page" => "pages_per_s",
        _ => "reads_per_s",
    };
    let (rate, echo) = (own.median("requests_per_s")?, bares.median("requests_per_s")?);
    let mut add = |name, value, unit, goal| report.add(load, name, value, unit, goal);
    add(name, rate, "1/s", goal);
    add("echo_per_s", echo, "1/s", None);
    add("of_echo", rate / echo, "", of_echo);
    add("p50", own.median("p50")?, "us", None);
    add("p99", own.median("p99")?, "us", None);
    add("cpu_us_per_request", own.median("server_cpu_us")?, "us", None);
    Ok(())
}
