//! The fifth benchmark: how good matches are, and how long players wait for them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bench::{Goal, Report};
use crate::process::Process;
use crate::ringmaster;

const PROGRAM: &str = "target/release/matchmaker-bench";
const SCENARIOS: [&str; 3] = ["1v1", "5v5", "thin"];
const CASES: [&str; 3] = ["ours", "fcfs", "nakama"];
/// No line takes longer: an hour of the game's time goes by.
const LINE_MAX: Duration = Duration::from_secs(600);

/// One setting of a contender: its 95th percentile of waits, and its share of fair matches.
struct Point {
    case: &'static str,
    wait: f64,
    fair: f64,
    setting: String,
}

pub(super) fn run(root: &Path, options: &[&str]) -> Result<Report> {
    let (mut scenario, mut seed) = ("5v5", "1");
    for option in options.chunks(2) {
        match *option {
            ["--scenario", name] => {
                let known = SCENARIOS.into_iter().find(|known| *known == name);
                scenario = known.with_context(|| format!("no scenario {name}: {SCENARIOS:?}"))?;
            }
            ["--seed", number] => seed = number,
            _ => bail!("unknown option {}: --scenario NAME, --seed N, --json", option[0]),
        }
    }
    ringmaster::build(root, &["-p", "matchmaker-bench"])?;
    let words = ["quality", scenario, seed].map(str::to_owned);
    let process = Process::spawn(&root.join(PROGRAM), &words)?;
    let mut report = Report::new("quality");
    let (mut points, mut tuned) = (Vec::new(), Vec::new());
    while let Some(line) = process.line(LINE_MAX)? {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        match words[..] {
            ["point", case, wait, fair, setting] => {
                let (wait, fair, setting) = (wait.parse()?, fair.parse()?, setting.to_owned());
                points.push(Point { case: case_of(case)?, wait, fair, setting });
            }
            ["tuned", case, ..] => {
                let setting = line.splitn(3, ' ').nth(2).unwrap_or_default();
                tuned.push((case_of(case)?, setting.to_owned()));
            }
            [case, name, value] => {
                let (name, unit, goal) = figure(case, scenario, name)?;
                report.add(case_of(case)?, name, value.parse()?, unit, goal);
            }
            _ => bail!("the benchmark says {line:?}"),
        }
    }
    anyhow::ensure!(process.wait()?, "{PROGRAM} quality failed");
    let page = root.join(format!("target/quality-{scenario}-{seed}.html"));
    fs::write(&page, html(scenario, seed, &points, &tuned))?;
    eprintln!("the curves: {}", page.display());
    Ok(report)
}

fn case_of(name: &str) -> Result<&'static str> {
    CASES.into_iter().find(|case| *case == name).with_context(|| format!("no case {name}"))
}

type Figure = (&'static str, &'static str, Option<Goal>);

fn figure(case: &str, scenario: &str, name: &str) -> Result<Figure> {
    const FIGURES: [(&str, &str); 9] = [
        ("wait_p50_s", "s"),
        ("wait_p95_s", "s"),
        ("wait_p99_s", "s"),
        ("wait_max_s", "s"),
        ("fair_share", ""),
        ("rating_spread_p95", ""),
        ("role_share", ""),
        ("gave_up_share", ""),
        ("matches", ""),
    ];
    let (name, unit) = FIGURES.into_iter().find(|(known, _)| *known == name).context("a figure")?;
    let goal = match (case, scenario, name) {
        ("ours", "5v5", "fair_share") => Some(Goal::AtLeast(0.95)),
        ("ours", "5v5", "wait_p95_s") => Some(Goal::AtMost(60.0)),
        _ => None,
    };
    Ok((name, unit, goal))
}

/// A page with the curves, and a table of the tuned settings.
fn html(scenario: &str, seed: &str, points: &[Point], tuned: &[(&str, String)]) -> String {
    let (width, height) = (800.0, 400.0);
    let longest = points.iter().map(|point| point.wait).fold(1.0, f64::max);
    let mut marks = String::new();
    let mut rows = String::new();
    for Point { case, wait, fair, setting } in points {
        let (x, y) = (wait / longest * width, (1.0 - fair) * height);
        let color = match *case {
            "ours" => "#1a7f37",
            "fcfs" => "#9a6700",
            _ => "#0550ae",
        };
        let is_tuned = tuned.iter().any(|(own, best)| own == case && best == setting);
        let radius = if is_tuned { 8 } else { 4 };
        let text = format!("{case}: {setting}: {wait:.1} s, {fair:.3}");
        let _ = writeln!(
            marks,
            "<circle cx='{x:.1}' cy='{y:.1}' r='{radius}' fill='{color}'><title>{text}</title></circle>"
        );
        let best = if is_tuned { "tuned" } else { "" };
        let _ = writeln!(
            rows,
            "<tr><td>{case}</td><td>{setting}</td><td>{wait:.1}</td><td>{fair:.3}</td>\
             <td>{best}</td></tr>"
        );
    }
    format!(
        "<!doctype html><meta charset='utf-8'><title>Match quality, {scenario}</title>\n\
         <style>body{{font:14px sans-serif;margin:2em}}td,th{{padding:2px 8px;text-align:left}}\
         </style>\n<h1>Match quality: {scenario}, seed {seed}</h1>\n\
         <p>Right: longer waits (95th percentile, 0 to {longest:.0} s). Up: more matches within \
         45 to 55 % predicted win probability (0 to 1). Green: ours; brown: first come first \
         served; blue: Nakama. Large: the tuned setting.</p>\n\
         <svg width='{width}' height='{height}' viewBox='-10 -10 820 420' \
         style='border:1px solid #999'>\n{marks}</svg>\n\
         <table><tr><th>case</th><th>setting</th><th>wait p95, s</th><th>fair share</th>\
         <th></th></tr>\n{rows}</table>\n"
    )
}
