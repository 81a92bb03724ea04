//! Benchmarks: `cargo xtask bench smoke [--json]`.

mod process;
mod smoke;

use std::path::Path;

use anyhow::Result;

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
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Goal::AtLeast(least) => value >= least,
            Goal::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::AtMost(most) => format!("<= {most}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Runs the benchmark and prints what it measured. A missed goal is no error: a machine under load
/// misses them too.
pub(crate) fn smoke(root: &Path, format: Format) -> Result<()> {
    let figures = smoke::run(root)?;
    for figure in &figures {
        match format {
            Format::Table => println!("{}", row(figure)),
            Format::Json => println!("{}", json_line(figure)),
        }
    }
    Ok(())
}

fn row(figure: &Figure) -> String {
    let Figure { case, name, value, unit, goal } = figure;
    let row = format!("{case:<14} {name:<22} {value:>12.2} {unit:<5}");
    let row = match goal {
        Some(goal) if goal.is_met(*value) => format!("{row} {:<12} met", goal.text()),
        Some(goal) => format!("{row} {:<12} MISSED", goal.text()),
        None => row,
    };
    row.trim_end().to_owned()
}

fn json_line(figure: &Figure) -> String {
    let Figure { case, name, value, unit, .. } = figure;
    let value = (value * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "bench": "smoke", "case": case, "name": name, "value": value, "unit": unit,
    });
    line.to_string()
}

/// The middle one; of an even number, the higher of the two.
fn median(values: &[f64]) -> f64 {
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
            "account-read   of_echo                        0.50       >= 0.6       MISSED"
        );
        figure.value = 0.6;
        assert!(row(&figure).ends_with(" met"));
        let line: serde_json::Value = serde_json::from_str(&json_line(&figure)).unwrap();
        let names = ["bench", "case", "name", "value", "unit"];
        assert!(names.iter().all(|name| line.get(name).is_some()), "{line}");
    }

    #[test]
    fn the_median_ignores_one_outlier_of_three() {
        assert_eq!(median(&[3.0, 900.0, 2.0]), 3.0);
        assert!(median(&[]).is_nan());
    }
}
