//! What a benchmark runs: the server, the yardsticks and the load generator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bench::median;
use crate::process::{Folder, Process, Server, machine_seconds, own_seconds};
use crate::ringmaster::{self, NO_LIMITS, Ringmaster};

/// No line of a load generator takes longer: its run and its set-up.
pub(super) const LINE_MAX: Duration = Duration::from_secs(60);

/// What was built, and how it is run.
pub(super) struct Runner {
    pub root: PathBuf,
    /// Shards of the server, threads of the yardsticks.
    shards: usize,
}

/// The figures of one run of the load generator.
pub(super) type Run = BTreeMap<String, f64>;

impl Runner {
    /// Builds the server, the load generator, and what else these arguments of `cargo build` name.
    pub(super) fn build(root: &Path, more: &[&str]) -> Result<Runner> {
        for packages in [&["-p", "ringmaster", "-p", "ringload"][..], more] {
            ringmaster::build(root, packages)?;
        }
        let shards = ringmaster::shards()?;
        Ok(Runner { root: root.to_owned(), shards })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.root.join("target/release").join(name)
    }

    /// A server without rate limits, whose data lie in the folder.
    pub(super) fn ringmaster(&self, folder: &Folder) -> Result<Server> {
        let program = self.program("ringmaster");
        Ringmaster::new(program, folder, self.shards, NO_LIMITS)?.start()
    }

    pub(super) fn yardstick(&self, name: &str) -> Result<Server> {
        let threads = self.shards.to_string();
        let arguments = words(&["--listen", "127.0.0.1:0", "--threads", &threads]);
        Server::spawn(&self.program("examples").join(name), &arguments)
    }

    /// Runs the load generator to its end; an error of it is one.
    pub(super) fn load(&self, server: &Server, arguments: &[String]) -> Result<Run> {
        let load = self.start_load(server, arguments)?;
        let run = rest_of(&load)?;
        ensure!(load.wait()?, "ringload {} had errors: {run:?}", arguments.join(" "));
        Ok(run)
    }

    pub(super) fn start_load(&self, server: &Server, arguments: &[String]) -> Result<Process> {
        let (port, pid) = (server.port.to_string(), server.process.id().to_string());
        let own = words(&["--json", "--port", &port, "--server-pid", &pid]);
        Process::spawn(&self.program("ringload"), &[arguments, &own].concat())
    }
}

/// The same load, several times.
pub(super) struct Runs(pub Vec<Run>);

impl Runs {
    pub(super) fn median(&self, name: &str) -> Result<f64> {
        Ok(median(&self.all(name)?))
    }

    pub(super) fn least(&self, name: &str) -> Result<f64> {
        Ok(self.all(name)?.into_iter().fold(f64::INFINITY, f64::min))
    }

    fn all(&self, name: &str) -> Result<Vec<f64>> {
        let values: Option<_> = self.0.iter().map(|run| run.get(name).copied()).collect();
        values.with_context(|| format!("a run lacks {name}"))
    }
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Reads on until a figure comes.
pub(super) fn wait_for(load: &Process, wanted: &str) -> Result<()> {
    loop {
        let line =
            load.line(LINE_MAX)?.with_context(|| format!("ringload ended before {wanted}"))?;
        if figure_in(&line)?.0 == wanted {
            return Ok(());
        }
    }
}

/// Reads all figures that are still to come.
pub(super) fn rest_of(load: &Process) -> Result<Run> {
    let mut run = Run::new();
    while let Some(line) = load.line(LINE_MAX)? {
        let (name, value) = figure_in(&line)?;
        run.insert(name, value);
    }
    Ok(run)
}

/// How busy the machine is, from its making on.
pub(super) struct Watch<'a> {
    server: &'a Server,
    begin: Instant,
    of_server: f64,
    of_others: f64,
}

/// How many cores were used over the time of a [`Watch`].
pub(super) struct Busy {
    pub server: f64,
    /// By everything but the server and the loads that have ended: near 0, or all figures are worth
    /// less. A little below it too, since the system counts short work by its ticks.
    pub others: f64,
}

impl Watch<'_> {
    pub(super) fn begin(server: &Server) -> Result<Watch<'_>> {
        let of_server = server.process.cpu_seconds()?;
        let of_others = machine_seconds()? - of_server - own_seconds()?;
        Ok(Watch { server, begin: Instant::now(), of_server, of_others })
    }

    pub(super) fn end(&self) -> Result<Busy> {
        let end = Watch::begin(self.server)?;
        let time = (end.begin - self.begin).as_secs_f64();
        let server = (end.of_server - self.of_server) / time;
        Ok(Busy { server, others: (end.of_others - self.of_others) / time })
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
        assert_eq!((runs.median("p99").unwrap(), runs.least("p99").unwrap()), (2.0, 1.0));
        runs.0.push(Run::new());
        assert!(runs.median("p99").is_err());
    }
}
