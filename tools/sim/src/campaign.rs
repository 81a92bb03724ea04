//! Runs seeds, alone or many, and keeps what a failure needs to be seen again.

use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::{Log, Recording};
use crate::faults::Faults;
use crate::workload::{self, Outcome};

/// One seed of so many is run twice, to see the same trace twice.
const TWICE: u64 = 500;

/// The first word of a log, and the version of its form.
const HEAD: &str = "ringmaster sim 1";

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What many runs had in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub seeds: u64,
    pub faults: Faults,
}

/// Keeps panics from being printed: a failure is told once, at its end.
pub fn silence_panics() {
    panic::set_hook(Box::new(|info| {
        PANIC.with_borrow_mut(|kept| *kept = info.to_string());
    }));
}

/// Runs one seed; an invariant that does not hold is the error.
pub fn run(seed: u64, trace: Recording) -> Result<Outcome, String> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| workload::run(seed, trace)));
    outcome.map_err(|thrown| {
        let said = PANIC.with_borrow_mut(std::mem::take);
        if said.is_empty() { words(&*thrown) } else { said }
    })
}

fn words(thrown: &(dyn Any + Send)) -> String {
    let text = thrown.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| thrown.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// Runs seeds one after another, until there are no more or the time is over.
pub fn run_many(seeds: impl Iterator<Item = u64>, limit: Option<Duration>) -> Result<Totals> {
    let begin = Instant::now();
    let mut totals = Totals::default();
    for seed in seeds {
        if limit.is_some_and(|limit| begin.elapsed() >= limit) {
            break;
        }
        let outcome = match run(seed, Recording::Nothing) {
            Ok(outcome) => outcome,
            Err(said) => return fail(seed, &said),
        };
        if seed.is_multiple_of(TWICE) {
            check_repeats(seed)?;
        }
        totals.seeds += 1;
        totals.faults += outcome.faults;
    }
    Ok(totals)
}

/// One seed gives one trace.
fn check_repeats(seed: u64) -> Result<()> {
    let digest = || run(seed, Recording::Tail).map(|outcome| outcome.digest);
    if digest() != digest() {
        bail!("seed {seed} gave two traces");
    }
    Ok(())
}

/// Runs one seed with all its lines, and keeps them when it fails.
pub fn run_one(seed: u64) -> Result<Outcome> {
    run(seed, Recording::Tail).or_else(|said| fail(seed, &said))
}

/// Runs a failed seed again to keep its log, and tells of it.
fn fail<T>(seed: u64, said: &str) -> Result<T> {
    let log = Log::default();
    let again = run(seed, Recording::Everything(log.clone()));
    let path = write_log(seed, &log.lines(), said)?;
    let commit = commit();
    let again = match again {
        Err(again) if again == said => String::new(),
        other => format!("\nthe second run was different: {other:?}"),
    };
    bail!(
        "seed {seed} failed at commit {commit}: {said}{again}\n\
         log: {path}\nagain: cargo xtask sim --seed {seed}",
        path = path.display()
    )
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let text = output.ok().filter(|output| output.status.success());
    let text = text.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn write_log(seed: u64, lines: &[String], said: &str) -> Result<PathBuf> {
    let folder = Path::new("target/sim");
    fs::create_dir_all(folder).context("cannot create target/sim")?;
    let path = folder.join(format!("{seed}.log"));
    let said = said.replace('\n', " ");
    let text = format!("{HEAD}\nseed {seed}\nsaid {said}\n{}\n", lines.join("\n"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Runs the seed of a log again, and compares line by line.
pub fn replay(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        bail!("{} is not a log of `{HEAD}`", path.display());
    }
    let seed = lines.next().and_then(|line| line.strip_prefix("seed "));
    let seed: u64 =
        seed.context("the log has no seed")?.parse().context("the seed is no number")?;
    let before = lines.next().and_then(|line| line.strip_prefix("said "));
    let before = before.context("the log does not say what failed")?;
    let log = Log::default();
    let outcome = run(seed, Recording::Everything(log.clone()));
    let again = log.lines();
    for (number, (old, new)) in lines.clone().zip(&again).enumerate() {
        if old != new {
            bail!("line {number} differs\n  was: {old}\n  is:  {new}");
        }
    }
    if lines.clone().count() != again.len() {
        bail!("the log has {} lines, the replay {}", lines.count(), again.len());
    }
    println!("{} lines are the same", again.len());
    match outcome {
        Err(said) => bail!("seed {seed} fails as before: {said}\n(it said: {before})"),
        Ok(_) => bail!("seed {seed} holds, where it failed with: {before}"),
    }
}
