//! Rules about where files lie and what they are called.

use crate::tidy::Finding;

/// The folders of the root. Git's own and ignored ones are not looked at.
const FOLDERS: [&str; 9] =
    [".cargo", ".ci", "benches", "docs", "engine", "matchmaker", "net", "store", "tools"];

/// Folders of the root that come with their feature.
const FOLDERS_LATER: [&str; 1] = ["replication"];

/// Names that fit everything, so that everything ends up in them.
pub(crate) const FORBIDDEN_MODULES: [&str; 8] =
    ["util", "common", "helper", "misc", "manager", "service", "core", "impl"];

pub(crate) fn check(path: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |sentence| {
        findings.push(Finding { path: path.to_owned(), line: 1, sentence });
    };
    if let Some((folder, _)) = path.split_once('/')
        && !FOLDERS.contains(&folder)
        && !FOLDERS_LATER.contains(&folder)
    {
        add(format!("`{folder}` is not one of the folders of the root"));
    }
    if let Some(module) = path.strip_suffix(".rs") {
        for name in module.split('/') {
            if FORBIDDEN_MODULES.contains(&name) {
                add(format!("`{name}` says nothing: name the module after what it holds"));
            }
        }
    }
    findings
}

/// Whether git ignores a path, as far as this project's `.gitignore` goes: plain names, and names
/// that begin with a slash for the root alone.
pub(crate) fn is_ignored(path: &str, gitignore: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let rules = gitignore.lines().map(|line| line.trim_end_matches('/'));
    path == ".git"
        || rules.filter(|rule| !rule.is_empty() && !rule.starts_with('#')).any(|rule| {
            match rule.strip_prefix('/') {
                Some(anchored) => anchored == path,
                None => rule == name,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(path: &str) -> Vec<String> {
        let findings = check(path).into_iter();
        findings.map(|finding| finding.sentence).collect()
    }

    #[test]
    fn the_root_has_only_its_folders() {
        for good in ["README.md", "engine/base/src/lib.rs", "replication/src/lib.rs"] {
            assert_eq!(sentences(good), Vec::<String>::new());
        }
        assert_eq!(sentences("src/main.rs"), ["`src` is not one of the folders of the root"]);
    }

    #[test]
    fn a_module_has_a_name_that_says_something() {
        for good in ["engine/base/src/code.rs", "docs/helper/picture.svg"] {
            assert_eq!(sentences(good), Vec::<String>::new());
        }
        for bad in ["net/src/util.rs", "net/src/util/text.rs"] {
            assert_eq!(
                sentences(bad),
                ["`util` says nothing: name the module after what it holds"]
            );
        }
    }

    #[test]
    fn what_git_ignores_is_not_looked_at() {
        let gitignore = "/target\nnode_modules/\n\n# a comment\n";
        for ignored in [".git", "target", "tools/examples/node_modules"] {
            assert!(is_ignored(ignored, gitignore), "{ignored}");
        }
        for seen in ["targets", "net/target", "# a comment"] {
            assert!(!is_ignored(seen, gitignore), "{seen}");
        }
    }
}
