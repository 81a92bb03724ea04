//! The first benchmark: a server, two yardsticks and the load generator on one machine, in turn.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bench::process::{Folder, Process, Server, machine_seconds};
use crate::bench::{Figure, Goal, median};

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
/// No line of a load generator takes longer: its run and its set-up.
const LINE_MAX: Duration = Duration::from_secs(60);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn run(root: &Path) -> Result<Vec<Figure>> {
    let bench = Bench::build(root)?;
    let mut figures = Vec::new();
    bench.process(&mut figures)?;
    bench.traffic(&mut figures)?;
    bench.sockets(&mut figures)?;
    Ok(figures)
}

/// What was built, and how it is run.
struct Bench {
    root: PathBuf,
    /// Shards of the server, threads of the yardsticks.
    shards: usize,
}

/// The figures of one run of the load generator.
type Run = BTreeMap<String, f64>;

impl Bench {
    fn build(root: &Path) -> Result<Bench> {
        for arguments in [
            &["-p", "ringmaster", "-p", "ringload"][..],
            &["-p", "net", "--example", "http_echo", "--example", "ws_echo"],
        ] {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let mut command = Command::new(cargo);
            command.args(["build", "--release", "--locked", "--quiet"]).args(arguments);
            let status = command.current_dir(root).status().context("cannot start cargo")?;
            ensure!(status.success(), "the build failed");
        }
        let cores = std::thread::available_parallelism()?.get();
        // As the server itself chooses: from four cores on, one is left for everything else.
        let shards = if cores < 4 { cores } else { cores - 1 };
        Ok(Bench { root: root.to_owned(), shards })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.root.join("target/release").join(name)
    }

    fn ringmaster(&self, folder: &Folder) -> Result<Server> {
        let data = folder.0.join("data").display().to_string();
        let shards = self.shards.to_string();
        let arguments = ["--data-dir", &data, "--listen", "127.0.0.1:0", "--shards", &shards];
        Server::spawn(&self.program("ringmaster"), &arguments.map(str::to_owned))
    }

    fn yardstick(&self, name: &str) -> Result<Server> {
        let threads = self.shards.to_string();
        let arguments = ["--listen", "127.0.0.1:0", "--threads", &threads].map(str::to_owned);
        Server::spawn(&self.program("examples").join(name), &arguments)
    }

    /// Starting, and doing nothing.
    fn process(&self, figures: &mut Vec<Figure>) -> Result<()> {
        let mut starts = Vec::new();
        for number in 0..STARTS {
            let folder = Folder::create(&self.root, &format!("start-{number}"))?;
            let server = self.ringmaster(&folder)?;
            let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
            stream.set_read_timeout(Some(LINE_MAX))?;
            stream.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer)?;
            ensure!(answer == *b"HTTP/1.1 200", "the healthcheck failed");
            starts.push(server.spawned.elapsed().as_secs_f64() * 1e3);
        }
        let folder = Folder::create(&self.root, "idle")?;
        let server = self.ringmaster(&folder)?;
        std::thread::sleep(SETTLE);
        let (before, machine_before) = (server.process.cpu_seconds()?, machine_seconds()?);
        std::thread::sleep(IDLE);
        let used = server.process.cpu_seconds()? - before;
        let others = machine_seconds()? - machine_before - used;
        let share = used / IDLE.as_secs_f64();
        let resident = server.process.resident_bytes()? / MIB;
        let mut add = |name, value, unit, most| {
            let goal = Some(Goal::AtMost(most));
            figures.push(Figure { case: "process", name, value, unit, goal });
        };
        add("start_ms", median(&starts), "ms", 50.0);
        add("idle_mib", resident, "MiB", 20.0);
        add("idle_cpu_share", share, "core", 0.04);
        // What else ran on the machine, and so into all figures.
        let value = others / IDLE.as_secs_f64();
        let (case, name) = ("machine", "busy_with_others");
        figures.push(Figure { case, name, value, unit: "cores", goal: None });
        Ok(())
    }

    /// Requests and messages, each beside its yardstick.
    fn traffic(&self, figures: &mut Vec<Figure>) -> Result<()> {
        let folder = Folder::create(&self.root, "traffic")?;
        let server = self.ringmaster(&folder)?;
        let http_echo = self.yardstick("http_echo")?;
        let ws_echo = self.yardstick("ws_echo")?;
        let mut add = |case, name, value, unit, goal| {
            figures.push(Figure { case, name, value, unit, goal });
        };

        // As long as a session token is.
        let token = "x".repeat(266);
        let ours = (&server, words(&["account-read"]));
        let bare = (&http_echo, words(&["account-read", "--token", &token]));
        let [ours, bare] = self.in_turn(&[ours, bare])?;
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
        let [full, full_bare] = self.in_turn(&[ours.clone(), bare.clone()])?;
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
        let [paced, paced_bare] = self.in_turn(&[ours, bare])?;
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
        let [old, new, pairs] = self.in_turn(&[
            (&server, words(&["sign-in"])),
            (&server, words(&["sign-up"])),
            (&server, pairs),
        ])?;
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
    fn in_turn<const N: usize>(&self, loads: &[(&Server, Vec<String>); N]) -> Result<[Runs; N]> {
        let mut all: [Runs; N] = std::array::from_fn(|_| Runs(Vec::new()));
        for _ in 0..ROUNDS {
            for ((server, arguments), runs) in loads.iter().zip(&mut all) {
                runs.0.push(self.load(server, arguments)?);
            }
        }
        Ok(all)
    }

    fn load(&self, server: &Server, arguments: &[String]) -> Result<Run> {
        let seconds = SECONDS.to_string();
        let load =
            self.start_load(server, &[arguments, &words(&["--seconds", &seconds])].concat())?;
        let mut run = Run::new();
        while let Some(line) = load.line(LINE_MAX)? {
            let (name, value) = figure_in(&line)?;
            run.insert(name, value);
        }
        ensure!(load.wait()?, "ringload {} had errors: {run:?}", arguments.join(" "));
        Ok(run)
    }

    fn start_load(&self, server: &Server, arguments: &[String]) -> Result<Process> {
        let (port, pid) = (server.port.to_string(), server.process.id().to_string());
        let own = words(&["--json", "--port", &port, "--server-pid", &pid]);
        Process::spawn(&self.program("ringload"), &[arguments, &own].concat())
    }

    /// The memory of sockets that do nothing. The server is a new one each time, so that no memory
    /// that earlier work has left can serve the sockets; their accounts are made before.
    fn sockets(&self, figures: &mut Vec<Figure>) -> Result<()> {
        let folder = Folder::create(&self.root, "sockets")?;
        let count = SOCKETS.to_string();
        let arguments = words(&["idle", "--connections", &count, "--seconds", "3"]);
        let making = self.ringmaster(&folder)?;
        let devices = words(&["idle", "--connections", &count, "--seconds", "1"]);
        let load = self.start_load(&making, &devices)?;
        wait_for(&load, "signed_in")?;
        drop((load, making));
        let server = self.ringmaster(&folder)?;
        std::thread::sleep(SETTLE);
        let empty = server.process.resident_bytes()?;
        let load = self.start_load(&server, &arguments)?;
        wait_for(&load, "signed_in")?;
        std::thread::sleep(SETTLE);
        let signed_in = server.process.resident_bytes()?;
        wait_for(&load, "sockets_open")?;
        std::thread::sleep(SETTLE);
        let open = server.process.resident_bytes()?;
        let mut opened_per_s = 0.0;
        while let Some(line) = load.line(LINE_MAX)? {
            let (name, value) = figure_in(&line)?;
            ensure!(!name.starts_with("errors"), "ringload idle: {name}");
            if name == "opened_per_s" {
                opened_per_s = value;
            }
        }
        ensure!(load.wait()?, "ringload idle had errors");
        let count = f64::from(SOCKETS);
        let mut add = |name, value, unit, goal| {
            figures.push(Figure { case: "sockets", name, value, unit, goal });
        };
        add("sockets", count, "", None);
        add("opened_per_s", opened_per_s, "1/s", None);
        let most = Some(Goal::AtMost(4096.0));
        add("bytes_per_socket", (open - signed_in) / count, "bytes", most);
        add("bytes_per_user", (signed_in - empty) / count, "bytes", None);
        Ok(())
    }
}

/// The same load, several times.
struct Runs(Vec<Run>);

impl Runs {
    fn median(&self, name: &str) -> Result<f64> {
        let values: Option<Vec<f64>> = self.0.iter().map(|run| run.get(name).copied()).collect();
        Ok(median(&values.with_context(|| format!("a run lacks {name}"))?))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Reads on until a figure comes.
fn wait_for(load: &Process, wanted: &str) -> Result<()> {
    loop {
        let line =
            load.line(LINE_MAX)?.with_context(|| format!("ringload ended before {wanted}"))?;
        if figure_in(&line)?.0 == wanted {
            return Ok(());
        }
    }
}

/// Name and value of a line of the load generator.
fn figure_in(line: &str) -> Result<(String, f64)> {
    let value: serde_json::Value =
        serde_json::from_str(line).with_context(|| format!("{line:?} is not JSON"))?;
    let name = value["name"].as_str().context("a figure has a name")?;
    Ok((name.to_owned(), value["value"].as_f64().context("a figure has a value")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_load_generator_is_read() {
        let line = r#"{"bench":"ringload","case":"relay","name":"p99","value":12.5,"unit":"us"}"#;
        assert_eq!(figure_in(line).unwrap(), ("p99".to_owned(), 12.5));
        assert!(figure_in("{}").is_err());
        assert!(figure_in("ready").is_err());
    }

    #[test]
    fn a_run_without_a_figure_is_noticed() {
        let run = |value| Run::from([("p99".to_owned(), value)]);
        let mut runs = Runs(vec![run(1.0), run(3.0), run(2.0)]);
        assert_eq!(runs.median("p99").unwrap(), 2.0);
        runs.0.push(Run::new());
        assert!(runs.median("p99").is_err());
    }
}
