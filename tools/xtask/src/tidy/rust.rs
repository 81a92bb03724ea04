//! Rules about Rust source.

use crate::tidy::Finding;
use crate::tidy::text::{Source, names};
use crate::tidy::tree::FORBIDDEN_MODULES;

/// Lines of a file without its tests.
const LINES_MAX: usize = 1000;
const COLUMNS_MAX: usize = 100;

/// Files with lines that are too long for a reason, each with it.
const LONG_LINE_FILES: [&str; 0] = [];

/// Crates that are values: the same input gives the same output.
const PURE: [&str; 6] = [
    "engine/base/",
    "engine/domain/",
    "engine/api/",
    "engine/shard/",
    "matchmaker/",
    "replication/",
];

/// What a pure crate does not name anywhere.
const IMPURE: [(&str, &str); 8] = [
    ("std::net", "a socket"),
    ("Instant::now", "a clock"),
    ("SystemTime::now", "a clock"),
    ("getrandom", "the system's randomness"),
    ("OsRng", "the system's randomness"),
    ("thread_rng", "the system's randomness"),
    ("collections::HashMap", "a map with random order"),
    ("collections::HashSet", "a set with random order"),
];

/// What only the tests of a pure crate name.
const IMPURE_OUTSIDE_TESTS: [(&str, &str); 2] =
    [("std::fs", "a disk"), ("std::thread", "a thread")];

/// The one file that gives the maps a fixed order.
const COLLECTIONS: &str = "engine/base/src/collections.rs";

/// Crates and the places that may name them; everywhere else they are out of place.
pub(crate) const PLACES: [(&str, &[&str]); 11] = [
    ("glommio", &["engine/server/", "net/"]),
    ("redb", &["store/"]),
    ("quinn", &["net/"]),
    ("tungstenite", &["net/"]),
    ("rustls", &["net/", "engine/sidecar/", "engine/server/tests/end_to_end/tls.rs"]),
    ("hyper", &["engine/sidecar/"]),
    ("mlua", &["engine/script/"]),
    ("rquickjs", &["engine/script/"]),
    ("wasmtime", &["engine/script/"]),
    ("serde_json", &["engine/api/", "engine/base/src/json.rs", "tools/"]),
    ("tokio", &["net/client/", "engine/sidecar/", "tools/"]),
];

/// What stands in no finished code.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

const HEADINGS: [&str; 4] = ["Purpose", "Owns", "Invariants", "Never"];

pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::parse(text, is_test_file(path));
    let mut found = Findings { path, findings: Vec::new() };
    check_budgets(path, text, &source, &mut found);
    check_purity(path, &source, &mut found);
    check_places(path, &source, &mut found);
    check_lines(&source, &mut found);
    found.findings
}

struct Findings<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, line: usize, sentence: String) {
        self.findings.push(Finding { path: self.path.to_owned(), line, sentence });
    }
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests") || path.ends_with("/tests.rs")
}

fn check_budgets(path: &str, text: &str, source: &Source<'_>, found: &mut Findings<'_>) {
    if !text.starts_with("//!") {
        found.add(1, "begin the file with `//!` and one sentence".to_owned());
    }
    if path.ends_with("src/lib.rs") {
        for heading in HEADINGS {
            let wanted = format!("//! # {heading}");
            if !source.lines.iter().any(|line| line.text == wanted) {
                found.add(1, format!("the crate's doc lacks the heading `{heading}`"));
            }
        }
    }
    let count = source.lines.iter().filter(|line| !line.in_test).count();
    if count > LINES_MAX {
        found.add(LINES_MAX, format!("{count} lines without tests, where {LINES_MAX} is the wall"));
    }
    if LONG_LINE_FILES.contains(&path) {
        return;
    }
    for (index, line) in source.lines.iter().enumerate() {
        let columns = line.text.chars().count();
        // Neither a literal nor an address can be broken by its author.
        let unbreakable = line.has_literal || line.text.contains("://");
        if columns > COLUMNS_MAX && !unbreakable {
            found.add(index + 1, format!("{columns} columns, where {COLUMNS_MAX} is the limit"));
        }
    }
}

fn check_purity(path: &str, source: &Source<'_>, found: &mut Findings<'_>) {
    if path == COLLECTIONS || !PURE.iter().any(|folder| path.starts_with(folder)) {
        return;
    }
    for (name, what) in IMPURE {
        for line in source.lines_naming(name) {
            found.add(line, format!("`{name}` is {what}: a pure crate gets it as input"));
        }
    }
    for (name, what) in IMPURE_OUTSIDE_TESTS {
        for line in source.lines_naming(name) {
            if !source.lines[line - 1].in_test {
                found.add(
                    line,
                    format!("`{name}` is {what}: a pure crate has none outside its tests"),
                );
            }
        }
    }
    for line in source.lines_naming("async fn") {
        found.add(line, "`async fn`: a pure crate never waits".to_owned());
    }
}

fn check_places(path: &str, source: &Source<'_>, found: &mut Findings<'_>) {
    for (name, places) in PLACES {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for line in source.lines_naming(name) {
            let places = places.join(" and ");
            found.add(line, format!("`{name}` is named in {places} only"));
        }
    }
}

fn check_lines(source: &Source<'_>, found: &mut Findings<'_>) {
    for (index, line) in source.lines.iter().enumerate() {
        let number = index + 1;
        let code = line.code.trim();
        for name in UNFINISHED {
            if names(code, name) {
                found.add(number, format!("`{name}` is not finished work"));
            }
        }
        if code.contains(".unwrap()") && !line.in_test {
            found.add(
                number,
                "`unwrap` outside tests: `expect` with the reason, or an error".to_owned(),
            );
        }
        if code.starts_with("#[ignore") {
            found.add(number, "`#[ignore]`: a test runs or is deleted".to_owned());
        }
        if code.starts_with("#[should_panic") {
            found.add(number, "`#[should_panic]`: assert what happens".to_owned());
        }
        if line.in_test && names(code, "sleep(") {
            found.add(number, "a test never sleeps: wait for the event".to_owned());
        }
        if let Some(name) = declared_module(code)
            && FORBIDDEN_MODULES.contains(&name)
        {
            found
                .add(number, format!("`{name}` says nothing: name the module after what it holds"));
        }
    }
}

/// The name in `mod name;`, `pub mod name {` and the like.
fn declared_module(code: &str) -> Option<&str> {
    let (before, name) = code.split_once("mod ")?;
    if !before.is_empty() && !before.starts_with("pub") {
        return None;
    }
    Some(name.trim_end_matches([';', '{', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings in a file that has its doc line, so that the text begins in line 2.
    fn sentences(path: &str, text: &str) -> Vec<String> {
        let text = format!("//! A file.\n{text}");
        let findings = check(path, &text).into_iter();
        findings.map(|finding| format!("{}: {}", finding.line, finding.sentence)).collect()
    }

    fn check_good(path: &str, text: &str) {
        assert_eq!(sentences(path, text), Vec::<String>::new(), "{path}");
    }

    #[test]
    fn a_file_begins_with_its_sentence() {
        assert_eq!(
            check("net/src/rt.rs", "use std::io;\n")[0].sentence,
            "begin the file with `//!` and one sentence"
        );
        check_good("net/src/rt.rs", "use std::io;\n");
    }

    #[test]
    fn a_crate_says_its_purpose_what_it_owns_its_invariants_and_what_it_never_does() {
        let doc = "//!\n//! # Purpose\n//! # Owns\n//! # Invariants\n";
        assert_eq!(
            sentences("net/src/lib.rs", doc),
            ["1: the crate's doc lacks the heading `Never`"]
        );
        check_good("net/src/lib.rs", &format!("{doc}//! # Never\n"));
    }

    #[test]
    fn a_file_has_a_thousand_lines_without_its_tests() {
        let code = "fn f() {}\n".repeat(999);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        check_good("net/src/rt.rs", &format!("{code}{tests}"));
        assert_eq!(
            sentences("net/src/rt.rs", &format!("{code}fn g() {{}}\n{tests}")),
            ["1000: 1001 lines without tests, where 1000 is the wall"]
        );
    }

    #[test]
    fn a_line_has_a_hundred_columns_unless_nobody_can_break_it() {
        let long = "x".repeat(101);
        assert_eq!(
            sentences("net/src/rt.rs", &format!("// {long}\n")),
            ["2: 104 columns, where 100 is the limit"]
        );
        check_good("net/src/rt.rs", &format!("// {}\n", "ü".repeat(97)));
        check_good("net/src/rt.rs", &format!("// https://{long}\n"));
        check_good("net/src/rt.rs", &format!("const A: &str = \"{long}\";\n"));
    }

    #[test]
    fn a_pure_crate_names_nothing_of_the_outside_world() {
        for name in [
            "std::net::TcpStream",
            "std::time::Instant::now()",
            "SystemTime::now()",
            "rand::rngs::OsRng",
            "std::collections::HashMap<u8, u8>",
        ] {
            let text = format!("fn f() {{ {name} }}\n");
            assert_eq!(sentences("engine/shard/src/lib.rs", &text).len(), 5, "{name}");
            assert_eq!(sentences("engine/shard/src/input.rs", &text).len(), 1, "{name}");
            assert_eq!(sentences("engine/shard/tests/a.rs", &text).len(), 1, "{name}");
            check_good("engine/server/src/driver.rs", &text);
        }
        check_good("engine/base/src/collections.rs", "use std::collections::{HashMap, HashSet};\n");
        check_good(
            "engine/base/src/time.rs",
            "// no Instant::now here\nuse std::collections::BTreeMap;\n",
        );
        assert_eq!(
            sentences("matchmaker/src/pool.rs", "use std::{\n    io,\n    net,\n};\n"),
            ["4: `std::net` is a socket: a pure crate gets it as input"]
        );
        assert_eq!(
            sentences("matchmaker/src/pool.rs", "pub async fn f() {}\n"),
            ["2: `async fn`: a pure crate never waits"]
        );
    }

    #[test]
    fn only_the_tests_of_a_pure_crate_have_files_and_threads() {
        let text = "fn f() { std::fs::read(\"a\") }\n";
        check_good("engine/api/tests/golden.rs", text);
        check_good("engine/api/src/json.rs", &format!("#[cfg(test)]\nmod tests {{\n{text}}}\n"));
        assert_eq!(
            sentences("engine/api/src/json.rs", text),
            ["2: `std::fs` is a disk: a pure crate has none outside its tests"]
        );
    }

    #[test]
    fn each_outside_crate_has_its_place() {
        for (name, places) in PLACES {
            let text = format!("use {name}::Thing;\n");
            for place in places {
                check_good(&format!("{}/src/a.rs", place.trim_end_matches('/')), &text);
            }
            let places = places.join(" and ");
            assert_eq!(
                sentences("docs/guides/a.rs", &text),
                [format!("2: `{name}` is named in {places} only")]
            );
        }
        check_good("engine/base/src/json.rs", "use serde_json::Value;\n");
        assert_eq!(sentences("engine/base/src/id.rs", "use serde_json::Value;\n").len(), 1);
    }

    #[test]
    fn unwrap_is_for_tests() {
        let text = "fn f() { g().unwrap() }\n";
        check_good("net/tests/echo.rs", text);
        check_good("net/src/rt.rs", "fn f() { g().unwrap_or(1) } // .unwrap()\n");
        assert_eq!(
            sentences("net/src/rt.rs", text),
            ["2: `unwrap` outside tests: `expect` with the reason, or an error"]
        );
    }

    #[test]
    fn tests_run_assert_and_never_sleep() {
        for (text, sentence) in [
            ("#[ignore]\n", "`#[ignore]`: a test runs or is deleted"),
            ("#[ignore = \"slow\"]\n", "`#[ignore]`: a test runs or is deleted"),
            ("#[should_panic]\n", "`#[should_panic]`: assert what happens"),
            ("fn f() { thread::sleep(a) }\n", "a test never sleeps: wait for the event"),
            ("fn f() { dbg!(a) }\n", "`dbg!` is not finished work"),
        ] {
            let expected = format!("2: {sentence}");
            assert_eq!(sentences("net/tests/echo.rs", text), [expected]);
        }
        check_good("net/src/rt.rs", "fn f() { timer::sleep(a) }\n");
        check_good("net/tests/echo.rs", "fn f() { is_asleep(a) }\n");
    }

    #[test]
    fn a_declared_module_has_a_name_that_says_something() {
        check_good("net/src/rt.rs", "mod utility;\npub mod codec {\n}\nlet my_mod = 1;\n");
        assert_eq!(sentences("net/src/rt.rs", "mod util;\n").len(), 1);
        assert_eq!(sentences("net/src/rt.rs", "pub(crate) mod helper {\n}\n").len(), 1);
    }
}
