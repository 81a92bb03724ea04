//! Our server as the tools start it: without rate limits, on ports of its own choice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::ci::{cargo_path, run_command};
use crate::process::{Folder, Process, Server};

/// How much one client asks is the tool's business.
pub(crate) const NO_LIMITS: &str = "[rate_limit]\nenabled = false\n";

/// How to start a server whose data and configuration lie in a folder.
#[derive(Debug)]
pub(crate) struct Ringmaster {
    program: PathBuf,
    data: String,
    arguments: Vec<String>,
}

impl Ringmaster {
    /// With this text of a configuration file.
    pub(crate) fn new(
        program: PathBuf,
        folder: &Folder,
        shards: usize,
        config_text: &str,
    ) -> Result<Ringmaster> {
        let path = |name| folder.0.join(name).display().to_string();
        let (data, config, shards) = (path("data"), path("config.toml"), shards.to_string());
        fs::write(&config, config_text).with_context(|| format!("cannot write {config}"))?;
        let listen =
            ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--shards", &shards];
        let folders = ["--data-dir", &data, "--config", &config];
        let arguments = [&listen[..], &folders].concat();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Ok(Ringmaster { program, data, arguments })
    }

    /// A process that may not listen yet.
    pub(crate) fn spawn(&self) -> Result<Process> {
        Process::spawn(&self.program, &self.arguments)
    }

    /// A server that listens.
    pub(crate) fn start(&self) -> Result<Server> {
        Server::spawn(&self.program, &self.arguments)?.with_operators()
    }

    /// A token of the machine for an admin, good for so many seconds.
    pub(crate) fn operator_token(&self, life: u64) -> Result<String> {
        let life = life.to_string();
        let output = Command::new(&self.program)
            .args(["token", "--role", "admin", "--expiry-sec", &life, "--data-dir", &self.data])
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no token for an operator: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Builds what these arguments of `cargo build` name, as it is released.
pub(crate) fn build(root: &Path, packages: &[&str]) -> Result<()> {
    let build = ["build", "--release", "--locked", "--quiet"];
    run_command(root, &cargo_path(), &[&build[..], packages].concat(), &[])
}

/// As many shards as the server itself chooses: from four cores on, one is left for the rest.
pub(crate) fn shards() -> Result<usize> {
    let cores = std::thread::available_parallelism()?.get();
    Ok(if cores < 4 { cores } else { cores - 1 })
}
