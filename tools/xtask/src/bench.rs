//! Benchmarks: `cargo xtask bench smoke|edges|store|objects|boards|matchmaker|quality [--json]`.

mod boards;
mod edges;
mod matchmaker;
mod objects;
mod quality;
mod runner;
mod smoke;
mod store;

use std::path::Path;

use anyhow::Result;

/// What a benchmark has measured.
#[derive(Debug)]
pub(crate) struct Report {
    bench: &'static str,
    figures: Vec<Figure>,
}

/// One measured figure.
#[derive(Clone, Debug)]
struct Figure {
    case: &'static str,
    name: &'static str,
    value: f64,
    unit: &'static str,
    goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
            Goal::Below(bound) => value < bound,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::AtMost(most) => format!("<= {most}"),
            Goal::Below(bound) => format!("< {bound}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// The server beside its yardsticks.
pub(crate) fn smoke(root: &Path, format: Format) -> Result<()> {
    smoke::run(root).map(|report| report.print(format))
}

/// The store beside redb alone and a bare log.
pub(crate) fn store(root: &Path, format: Format) -> Result<()> {
    store::run(root).map(|report| report.print(format))
}

/// Storage objects beside a bare HTTP server.
pub(crate) fn objects(root: &Path, format: Format) -> Result<()> {
    objects::run(root).map(|report| report.print(format))
}

/// Boards of many records.
pub(crate) fn boards(root: &Path, format: Format) -> Result<()> {
    boards::run(root).map(|report| report.print(format))
}

/// The server among peers that cost it much, and what its own defences cost.
pub(crate) fn edges(root: &Path, format: Format) -> Result<()> {
    edges::run(root).map(|report| report.print(format))
}

/// How good matches are.
pub(crate) fn quality(root: &Path, options: &[&str]) -> Result<()> {
    let format = if options.contains(&"--json") { Format::Json } else { Format::Table };
    let options: Vec<_> = options.iter().copied().filter(|option| *option != "--json").collect();
    quality::run(root, &options).map(|report| report.print(format))
}

/// One pool of the matchmaker.
pub(crate) fn matchmaker(root: &Path, options: &[&str]) -> Result<()> {
    let format = if options.contains(&"--json") { Format::Json } else { Format::Table };
    let options: Vec<_> = options.iter().copied().filter(|option| *option != "--json").collect();
    matchmaker::run(root, &options).map(|report| report.print(format))
}

pub(crate) use matchmaker::check_instructions;

impl Report {
    pub(crate) fn new(bench: &'static str) -> Report {
        Report { bench, figures: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        case: &'static str,
        name: &'static str,
        value: f64,
        unit: &'static str,
        goal: Option<Goal>,
    ) {
        self.figures.push(Figure { case, name, value, unit, goal });
    }

    /// A missed goal is no error: a machine under load misses them too.
    pub(crate) fn print(&self, format: Format) {
        for figure in &self.figures {
            match format {
                Format::Table => println!("{}", row(figure)),
                Format::Json => println!("{}", json_line(self.bench, figure)),
            }
        }
    }
}

fn row(figure: &Figure) -> String {
    let Figure { case, name, value, unit, goal } = figure;
    let row = format!("{case:<16} {name:<24} {value:>12.2} {unit:<6}");
    let row = match goal {
        Some(goal) if goal.is_met(*value) => format!("{row} {:<12} met", goal.text()),
        Some(goal) => format!("{row} {:<12} MISSED", goal.text()),
        None => row,
    };
    row.trim_end().to_owned()
}

fn json_line(bench: &str, figure: &Figure) -> String {
    let Figure { case, name, value, unit, .. } = figure;
    let value = (value * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "bench": bench, "case": case, "name": name, "value": value, "unit": unit,
    });
    line.to_string()
}

/// The middle one; of an even number, the higher of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_row_with_its_goal_or_a_json_line() {
        let goal = Some(Goal::AtLeast(0.6));
        let mut figure =
            Figure { case: "account-read", name: "of_echo", value: 0.5, unit: "", goal };
        assert_eq!(
            row(&figure),
            "account-read     of_echo                          0.50        >= 0.6       MISSED"
        );
        figure.value = 0.6;
        assert!(row(&figure).ends_with(" met"));
        let line: serde_json::Value = serde_json::from_str(&json_line("edges", &figure)).unwrap();
        let names = ["case", "name", "value", "unit"];
        assert!(names.iter().all(|name| line.get(name).is_some()), "{line}");
        assert_eq!(line["bench"], "edges");
    }

    #[test]
    fn a_goal_holds_at_its_bound_or_not() {
        for (goal, below, at, above) in [
            (Goal::AtLeast(2.0), false, true, true),
            (Goal::AtMost(2.0), true, true, false),
            (Goal::Below(2.0), true, false, false),
        ] {
            assert_eq!([1.9, 2.0, 2.1].map(|value| goal.is_met(value)), [below, at, above]);
        }
        assert!(!Goal::Below(2.0).is_met(f64::NAN));
    }

    #[test]
    fn the_median_ignores_one_outlier_of_three() {
        assert_eq!(median(&[3.0, 900.0, 2.0]), 3.0);
        assert!(median(&[]).is_nan());
    }
}
