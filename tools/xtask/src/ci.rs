//! The gate: steps in a row, the first that fails ends it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{crash, sim, tidy};

/// Oldest major version of Node.js that the example clients run on.
const NODE_MIN: u32 = 20;

/// How often the server is killed under load: less than half a minute.
const CRASH_CYCLES: u32 = 20;

/// The packages of the SDK examples, which the end-to-end tests start.
const EXAMPLES: &str = "tools/examples";

/// Where programs are installed that the gate needs.
const TOOLS: &str = "target/tools";

/// The version of cargo-deny whose configuration `deny.toml` is.
const DENY: &str = "0.20.2";

pub(crate) fn run(root: &Path) -> Result<()> {
    let begin = Instant::now();
    step("tools", || check_tools(root))?;
    if root.join(EXAMPLES).join("package-lock.json").exists() {
        step("npm ci", || {
            run_command(&root.join(EXAMPLES), "npm", &["ci", "--ignore-scripts"], &[])
        })?;
    } else {
        // A folder without its lock file would be installed differently every time.
        ensure!(!root.join(EXAMPLES).exists(), "{EXAMPLES} has no package-lock.json");
    }
    step("fmt", || cargo(root, &["fmt", "--all", "--check"], &[]))?;
    step("clippy", || {
        let arguments =
            ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        cargo(root, &arguments, &[])
    })?;
    step("tidy", || tidy::run(root))?;
    step("deny", || deny(root))?;
    step("test", || cargo(root, &["test", "--workspace", "--locked"], &[]))?;
    // The tests have just built this one.
    let server = root.join("target/debug/ringmaster");
    step("instructions", || crate::bench::check_instructions(root))?;
    step("crash", || crash::run_built(root, server, CRASH_CYCLES))?;
    step("sim", || sim::run(root, &["--seconds", "60"]))?;
    step("sim-faults", || sim::run_faults(root))?;
    step("doc", || {
        let arguments = ["doc", "--workspace", "--no-deps", "--locked"];
        cargo(root, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    println!("ci: passed in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

fn step(name: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("ci: {name}");
    let begin = Instant::now();
    let outcome = body();
    let seconds = begin.elapsed().as_secs_f64();
    let word = if outcome.is_ok() { "passed" } else { "FAILED" };
    println!("ci: {name} {word} after {seconds:.1} s");
    outcome.with_context(|| format!("step {name}"))
}

fn check_tools(root: &Path) -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let answer = output_of(root, &cargo_path(), &[subcommand, "--version"]);
        answer.with_context(|| {
            format!("cargo {subcommand} is missing: add it with `rustup component add {component}`")
        })?;
    }
    let version = output_of(root, "node", &["--version"])
        .with_context(|| format!("Node.js is missing: install version {NODE_MIN} or newer"))?;
    let major = node_major(&version)
        .with_context(|| format!("`node --version` answered {version:?}, which is no version"))?;
    ensure!(
        major >= NODE_MIN,
        "Node.js {} is too old: install version {NODE_MIN} or newer",
        version.trim()
    );
    output_of(root, "npm", &["--version"]).context("npm is missing: it comes with Node.js")?;
    Ok(())
}

/// Licences, double dependencies and sources, after `deny.toml`. Known vulnerabilities are another
/// command (`cargo deny check advisories`), since their database is not always in reach.
fn deny(root: &Path) -> Result<()> {
    let own = root.join(TOOLS).join("bin/cargo-deny");
    let is_there = |program: &str| {
        output_of(root, program, &["--version"])
            .is_ok_and(|version| version.trim() == format!("cargo-deny {DENY}"))
    };
    let own_path = own.to_string_lossy().into_owned();
    let program = if is_there("cargo-deny") {
        "cargo-deny".to_owned()
    } else {
        if !is_there(&own_path) {
            let arguments = ["install", "cargo-deny", "--locked", "--version", DENY, "--root"];
            cargo(root, &[&arguments[..], &[TOOLS]].concat(), &[])?;
        }
        own_path
    };
    run_command(root, &program, &["check", "licenses", "bans", "sources"], &[])
}

/// The 20 in `v20.11.1`.
fn node_major(version: &str) -> Option<u32> {
    let (major, _) = version.trim().strip_prefix('v')?.split_once('.')?;
    major.parse().ok()
}

fn cargo(root: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    run_command(root, &cargo_path(), arguments, variables)
}

/// The cargo that runs this program, so that both are of one toolchain.
pub(crate) fn cargo_path() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

pub(crate) fn run_command(
    folder: &Path,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).envs(variables.iter().copied());
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "`{program} {}`: {status}", arguments.join(" "));
    Ok(())
}

fn output_of(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}`: {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(node_major("v20.11.1\n"), Some(20));
        assert_eq!(node_major("v8.0.0"), Some(8));
        assert_eq!(node_major("20"), None);
        assert_eq!(node_major(""), None);
    }
}
