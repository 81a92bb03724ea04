//! `cargo xtask fuzz CRATE TARGET [SECONDS]`: coverage-guided fuzzing with the pinned toolchain.
//!
//! The same instrumentation as cargo-fuzz's without a sanitizer, which stable compilers have. New
//! inputs go to a corpus below `target`; `--keep` merges those that reach new code into the
//! committed one, as few as do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions --cfg fuzzing";
/// Longest input: a head or message a little over its limit.
const INPUT_MAX: &str = "-max_len=4096";

pub(crate) fn run(root: &Path, krate: &str, target: &str, rest: &[&str]) -> Result<()> {
    let folder = match krate {
        "net" => root.join("net/fuzz"),
        "api" => root.join("engine/api/fuzz"),
        "matchmaker" => root.join("matchmaker/fuzz"),
        other => bail!("no crate {other:?} is fuzzed: net, api, matchmaker"),
    };
    let (seconds, keep) = match rest {
        [] => ("60", false),
        ["--keep"] => ("0", true),
        [seconds] => (*seconds, false),
        _ => bail!("usage: cargo xtask fuzz CRATE TARGET [SECONDS | --keep]"),
    };
    let built = root.join("target/fuzz");
    let host = host()?;
    let status = Command::new("cargo")
        .args(["build", "--release", "--bin", target, "--target", &host, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &built)
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    ensure!(status.success(), "the target {target} does not build");

    let committed = folder.join("corpus").join(target);
    let found = built.join("corpus").join(target);
    for corpus in [&committed, &found] {
        std::fs::create_dir_all(corpus)
            .with_context(|| format!("cannot make {}", corpus.display()))?;
    }
    let mut fuzzer = Command::new(built.join(&host).join("release").join(target));
    fuzzer.arg(INPUT_MAX).current_dir(&built);
    if keep {
        fuzzer.arg("-merge=1").args([&committed, &found]);
    } else {
        fuzzer.arg(format!("-max_total_time={seconds}")).args([&found, &committed]);
    }
    ensure!(fuzzer.status()?.success(), "the fuzzer found a failure in {target}, or could not run");
    Ok(())
}

/// The compiler's own platform: named, so that build scripts are not instrumented.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc does not name its host")
}
