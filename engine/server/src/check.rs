//! `ringmaster check`: says what the data folder holds, and whether it is whole.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use store::Checked;

use crate::config::escape;

/// Checks the folder, and cuts the damaged end of its log if so wished.
pub(crate) fn run(data_dir: &Path, repairs: bool) -> anyhow::Result<ExitCode> {
    let checked = store::check(data_dir)?;
    let mut told = escape_lines(&text(&checked));
    let mut is_whole = checked.problems.is_empty();
    if let Some(damage) = checked.damage.filter(|_| repairs) {
        for copy in store::repair(data_dir)? {
            told += &format!("saved {}\n", shown(&copy));
        }
        let (path, at, lost) = (shown(&damage.path), damage.at, damage.offset.0);
        told += &format!("cut {path} at byte {at}: everything from offset {lost} on is gone\n");
        is_whole = store::check(data_dir)?.problems.is_empty();
        told += if is_whole { "" } else { "still not whole\n" };
    }
    told += if is_whole { "whole\n" } else { "" };
    // Whoever listened may be gone: what was found is the exit status, too.
    let _ = std::io::stdout().write_all(told.as_bytes());
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
