//! The fourth benchmark: one pool of the matchmaker in virtual time, and what an add costs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::runner::{Run, words};
use crate::bench::{Goal, Report};
use crate::process::{Folder, Process};
use crate::ringmaster;

const PROGRAM: &str = "target/release/matchmaker-bench";
const CASES: [&str; 4] = ["nakama-1v1", "nakama-5v5", "nakama-queries", "queue-5v5"];
/// Seconds that are measured, after half as many to warm up: of the game's time, which runs faster
/// than the clock on the wall; of `nakama-queries`, of work.
const SECONDS: &str = "60";
const SECONDS_OF_QUERIES: &str = "10";
const SEED: &str = "1";
/// No line takes longer: a pool is filled, or a minute of the game's time goes by.
const LINE_MAX: Duration = Duration::from_secs(600);

/// The pool in which instructions are counted, and the adds of two runs.
const COUNTED_WAITING: &str = "20000";
const FEW: u32 = 500;
const MANY: u32 = 2500;
/// Where the counts of each case are recorded.
const RECORD: &str = "benches/matchmaker/instructions.txt";
/// How far a count may be from the recorded one.
const TOLERANCE: f64 = 0.1;

pub(super) fn run(root: &Path, options: &[&str]) -> Result<Report> {
    let (mut waiting, mut cases) = ("100000", CASES.to_vec());
    for option in options.chunks(2) {
        match *option {
            ["--waiting", number] => waiting = number,
            ["--case", case] => {
                let known = CASES.into_iter().find(|known| *known == case);
                cases = vec![known.with_context(|| format!("no case {case}: one of {CASES:?}"))?];
            }
            _ => bail!("unknown option {}: --waiting N, --case NAME, --json", option[0]),
        }
    }
    let tickets: u32 = waiting.parse().with_context(|| format!("--waiting {waiting}"))?;
    ensure!((1_000..=2_000_000).contains(&tickets), "--waiting takes 1000 to 2000000");
    ringmaster::build(root, &["-p", "matchmaker-bench"])?;
    let mut report = Report::new("matchmaker");
    for case in cases {
        measure(root, case, waiting, &mut report)?;
        let count = instructions_per_add(root, case)?;
        report.add(case, "instructions_per_add", count, "", None);
    }
    Ok(report)
}

fn measure(root: &Path, case: &'static str, waiting: &str, report: &mut Report) -> Result<()> {
    let is_queries = case == "nakama-queries";
    let seconds = if is_queries { SECONDS_OF_QUERIES } else { SECONDS };
    let process = Process::spawn(&root.join(PROGRAM), &words(&[case, waiting, seconds, SEED]))?;
    let mut run = Run::new();
    while let Some(line) = process.line(LINE_MAX)? {
        let (name, value) = line.split_once(' ').context("a figure is `name value`")?;
        run.insert(name.to_owned(), value.parse()?);
    }
    ensure!(process.wait()?, "{PROGRAM} {case} failed");
    let tick = if waiting.len() > 6 { 1_000.0 } else { 200.0 };
    let figures: &[(&'static str, &'static str, Option<Goal>)] = match is_queries {
        false => &[
            ("tick_p50", "us", None),
            ("tick_p99", "us", Some(Goal::Below(tick))),
            ("tick_max", "us", None),
            ("carried_age_p99", "us", Some(Goal::Below(5_000.0))),
            ("adds_cancels_per_s", "1/s", Some(Goal::AtLeast(500_000.0))),
            ("steady_ops_per_s", "1/s", None),
            ("bytes_per_ticket", "B", Some(Goal::AtMost(512.0))),
            ("matched_share", "", Some(Goal::AtLeast(0.8))),
            ("waiting_at_begin", "", None),
            ("waiting_at_end", "", None),
        ],
        true => &[
            ("adds_per_s", "1/s", Some(Goal::AtLeast(100_000.0))),
            ("add_p50", "us", None),
            ("add_p99", "us", None),
            ("bytes_per_ticket", "B", Some(Goal::AtMost(512.0))),
        ],
    };
    for (name, unit, goal) in figures {
        let value = *run.get(*name).with_context(|| format!("the run lacks {name}"))?;
        report.add(case, name, value, unit, *goal);
    }
    Ok(())
}

/// Compares the instructions of an add, in each case, with the recorded ones.
pub(crate) fn check_instructions(root: &Path) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is missing: instructions are not counted");
        return Ok(());
    }
    ringmaster::build(root, &["-p", "matchmaker-bench"])?;
    let record = fs::read_to_string(root.join(RECORD)).with_context(|| RECORD.to_owned())?;
    let mut counted = String::new();
    let mut is_near = true;
    for case in CASES {
        let count = instructions_per_add(root, case)?;
        counted += &format!("{case} {count:.0}\n");
        let of_case = record.lines().find_map(|line| line.strip_prefix(case)?.trim().parse().ok());
        let recorded: f64 = of_case.with_context(|| format!("{RECORD} lacks {case}"))?;
        is_near &= (count / recorded - 1.0).abs() <= TOLERANCE;
    }
    ensure!(is_near, "instructions of an add: recorded\n{record}counted\n{counted}see {RECORD}");
    Ok(())
}

/// Reading a query, adding its ticket, trying it, and taking one ticket back.
fn instructions_per_add(root: &Path, case: &str) -> Result<f64> {
    let folder = Folder::create(root, "matchmaker")?;
    let few = instructions(root, &folder, case, FEW)?;
    let many = instructions(root, &folder, case, MANY)?;
    Ok((many - few) / f64::from(MANY - FEW))
}

fn instructions(root: &Path, folder: &Folder, case: &str, adds: u32) -> Result<f64> {
    let file = folder.0.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .args(["--collect-atstart=no", "--toggle-collect=*add_and_cancel*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(root.join(PROGRAM))
        .args(["count", case, COUNTED_WAITING, &adds.to_string()])
        .output()
        .context("cannot start valgrind")?;
    if !output.status.success() {
        bail!("{PROGRAM} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(&file).context("valgrind has written its counts")?;
    super::edges::total(&text).context("valgrind's counts have their form")
}
