//! `ringload`: load for any server that speaks Nakama's client API.
//!
//! # Purpose
//! Runs one scenario against a server and tells rates, latencies and errors, as a table, as JSON
//! lines and as a percentile file.
//!
//! # Owns
//! Its connections, on one thread; the schedule of an open loop; the histogram.
//!
//! # Invariants
//! - With a rate, latency is measured from when the request was to start, whatever the server does.
//! - Every run is bounded in time and in connections, and every error is counted.
//!
//! # Never
//! Uses what only one server offers; retries; leaves out what was slow.

mod arguments;
mod payload;
mod record;
mod report;
mod scenario;
mod schedule;
mod server_cpu;
#[cfg(test)]
mod tests;
mod timer;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ringload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenario, and says whether it went without an error.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let tasks = tokio::task::LocalSet::new();
    let record = tasks.block_on(&runtime, scenario::run(arguments))?;
    report::print(arguments, &record);
    if let Some(path) = &arguments.hgrm {
        let file = std::fs::File::create(path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        let mut file = std::io::BufWriter::new(file);
        report::write_hgrm(&mut file, &record.latency).context("cannot write the percentiles")?;
    }
    Ok(record.errors.is_empty())
}
