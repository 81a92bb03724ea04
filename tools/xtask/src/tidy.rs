//! The rules of STYLE.md that a program can check.
//!
//! Every rule is a function from a path and a text to findings. Only this file reads the disk.

mod manifest;
mod rust;
mod text;
mod tree;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A broken rule, in a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) sentence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut paths = files(root)?;
    paths.sort();
    let mut findings = Vec::new();
    for path in &paths {
        let full = root.join(path);
        let bytes = fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        findings.extend(check(path, &String::from_utf8_lossy(&bytes)));
    }
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

/// The files of the tree, by their paths below its root, without what git ignores.
pub(crate) fn files(root: &Path) -> Result<Vec<String>> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut paths = Vec::new();
    collect(root, "", &ignored, &mut paths)?;
    Ok(paths)
}

/// All findings in one file. The path is relative to the root.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = tree::check(path);
    if path.contains("/fuzz/") {
        return findings; // a workspace of its own, around a crate that is checked
    }
    if path.ends_with(".rs") {
        findings.extend(rust::check(path, text));
    }
    if path == "Cargo.toml" {
        findings.extend(manifest::check_root(path, text));
    } else if let Some(folder) = path.strip_suffix("/Cargo.toml") {
        findings.extend(manifest::check_member(folder, path, text));
    }
    findings
}

/// Lists the files below a folder, without what git ignores.
fn collect(root: &Path, folder: &str, ignored: &str, paths: &mut Vec<String>) -> Result<()> {
    let full = root.join(folder);
    let entries = fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if tree::is_ignored(&path, ignored) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, ignored, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_by_all_rules_of_its_kind() {
        let source = "fn f() {\n    todo!()\n}\n";
        let sentences = |path| -> Vec<_> {
            let findings = check(path, source).into_iter();
            findings.map(|finding| finding.to_string()).collect()
        };
        assert_eq!(sentences("docs/guides/text.md"), Vec::<String>::new());
        assert_eq!(
            sentences("elsewhere/util.rs"),
            [
                "elsewhere/util.rs:1: `elsewhere` is not one of the folders of the root",
                "elsewhere/util.rs:1: `util` says nothing: name the module after what it holds",
                "elsewhere/util.rs:1: begin the file with `//!` and one sentence",
                "elsewhere/util.rs:2: `todo!` is not finished work",
            ]
        );
    }
}
