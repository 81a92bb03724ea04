//! `sim`: runs seeds and tells what was injected, or which invariant does not hold.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use sim::campaign::{self, Totals};

const USAGE: &str = "\
usage: sim --seed N | --seeds A..B | --seconds S [--start N] | --replay FILE

  --seed N      one seed
  --seeds A..B  the seeds from A up to B, without B
  --seconds S   as many seeds as there is time for, from a random one, or from N
  --replay FILE the seed of a log that a failure left, compared line by line";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    campaign::silence_panics();
    let outcome = match words.as_slice() {
        ["--seed", seed] => run_one(seed),
        ["--seeds", range] => run_range(range),
        ["--seconds", seconds] => run_seconds(seconds, None),
        ["--seconds", seconds, "--start", start] => run_seconds(seconds, Some(start)),
        ["--replay", file] => campaign::replay(Path::new(file)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_one(seed: &str) -> Result<()> {
    let seed = number(seed)?;
    let outcome = campaign::run_one(seed)?;
    println!("seed {seed} holds; digest {:016x}\n{}", outcome.digest, outcome.faults);
    Ok(())
}

fn run_range(range: &str) -> Result<()> {
    let (first, end) = range.split_once("..").context("a range is A..B")?;
    run_many(number(first)?..number(end)?, None)
}

fn run_seconds(seconds: &str, start: Option<&str>) -> Result<()> {
    let start = match start {
        Some(start) => number(start)?,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 1_000_000,
    };
    println!("from seed {start}");
    run_many(start.., Some(Duration::from_secs(number(seconds)?)))
}

fn run_many(seeds: impl Iterator<Item = u64>, limit: Option<Duration>) -> Result<()> {
    let begin = Instant::now();
    let Totals { seeds, faults } = campaign::run_many(seeds, limit)?;
    println!("{seeds:>12} seeds in {:.1} s\n{faults}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}
