//! `ringmaster check`: says what the data folder holds, and whether it is whole.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use store::Checked;

use crate::config::escape;

/// Checks the folder, and cuts the damaged end of its log if so wished.
pub(crate) fn run(data_dir: &Path, repairs: bool) -> anyhow::Result<ExitCode> {
    let checked = store::check(data_dir)?;
    print!("{}", escape_lines(&text(&checked)));
    if checked.problems.is_empty() {
        println!("whole");
        return Ok(ExitCode::SUCCESS);
    }
    let Some(damage) = checked.damage.filter(|_| repairs) else {
        return Ok(ExitCode::FAILURE);
    };
    for copy in store::repair(data_dir)? {
        println!("saved {}", escape(&copy.to_string_lossy()));
    }
    let lost = damage.offset.0;
    println!(
        "cut {} at byte {}: everything from offset {lost} on is gone",
        shown(&damage.path),
        damage.at
    );
    let again = store::check(data_dir)?;
    let is_whole = again.problems.is_empty();
    println!("{}", if is_whole { "whole" } else { "still not whole" });
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    for (table, size) in &checked.tables {
        line("table", format!("{:>3}  {} rows, {} bytes", table.0, size.rows, size.bytes));
    }
    line("state", format!("up to offset {}", checked.applied.0));
    let Checked { segments, entries, batches, .. } = checked;
    let range = match checked.log {
        Some((first, last)) => format!(", offsets {} to {}", first.0, last.0),
        None => String::new(),
    };
    line("log", format!("{segments} files, {entries} entries, {batches} batches{range}"));
    for problem in &checked.problems {
        let mut told = problem.to_string();
        let mut source = problem.source();
        while let Some(cause) = source {
            let _ = write!(told, ": {cause}");
            source = cause.source();
        }
        line("problem", told);
    }
    text
}

fn shown(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// A path may have any letters.
fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}
