//! Rules about `Cargo.toml`: who depends on whom, and where versions stand.

use crate::tidy::Finding;
use crate::tidy::rust::PLACES;

/// Our crates by folder, package name, and what of ours they may depend on. A new arrow deserves a
/// decision record.
const ARROWS: [Crate; 20] = [
    Crate::new("engine/base", "base", &[]),
    Crate::new("engine/metrics", "metrics", &[]),
    Crate::new("engine/domain", "domain", &["base"]),
    Crate::new("engine/api", "api", &["base", "domain", "matchmaker"]),
    Crate::new("engine/shard", "shard", &["base", "domain", "matchmaker", "api"]),
    Crate::new("engine/script", "script", &["base", "api"]),
    Crate::new("engine/sidecar", "sidecar", &["base", "domain"]),
    Crate::new(
        "engine/server",
        "ringmaster",
        &[
            "base",
            "metrics",
            "domain",
            "matchmaker",
            "api",
            "shard",
            "script",
            "sidecar",
            "replication",
            "store",
            "net",
            "client",
        ],
    ),
    Crate::new("matchmaker", "matchmaker", &["base"]),
    Crate::new("benches/boards", "boards-bench", &["base", "domain", "store"]),
    Crate::new("benches/matchmaker", "matchmaker-bench", &["base", "matchmaker"]),
    // cargo itself sees to it that only tests of the store use its faulty disk.
    Crate::new("store", "store", &["base", "metrics", "faultdisk"]),
    Crate::new("store/faultdisk", "faultdisk", &["base", "store"]),
    Crate::new("replication", "replication", &["base"]),
    Crate::new("net", "net", &["base"]),
    Crate::new("net/client", "client", &["base", "api"]),
    Crate::new("tools/ctl", "ringctl", &["base", "api", "client"]),
    Crate::new("tools/load", "ringload", &["base", "api", "client"]),
    Crate::new(
        "tools/sim",
        "sim",
        &["base", "domain", "matchmaker", "api", "shard", "replication", "store", "faultdisk"],
    ),
    Crate::new("tools/xtask", "xtask", &["base", "client"]),
];

struct Crate {
    folder: &'static str,
    name: &'static str,
    allowed: &'static [&'static str],
}

impl Crate {
    const fn new(
        folder: &'static str,
        name: &'static str,
        allowed: &'static [&'static str],
    ) -> Crate {
        Crate { folder, name, allowed }
    }
}

/// Checks the workspace's manifest: every outside dependency has its reason.
pub(crate) fn check_root(path: &str, text: &str) -> Vec<Finding> {
    let entries = entries(text).into_iter();
    let lines: Vec<&str> = text.lines().collect();
    entries
        .filter(|entry| entry.section == "workspace.dependencies")
        .filter(|entry| !has_key(&entry.value, "path"))
        .filter(|entry| {
            let above = entry.line.checked_sub(2).and_then(|index| lines.get(index));
            let above = above.is_some_and(|line| line.trim_start().starts_with('#'));
            !above && !entry.has_comment
        })
        .map(|entry| Finding {
            path: path.to_owned(),
            line: entry.line,
            sentence: format!("say beside `{}` why it is needed", entry.name),
        })
        .collect()
}

/// Checks a crate's manifest.
pub(crate) fn check_member(folder: &str, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line, sentence| {
        findings.push(Finding { path: path.to_owned(), line, sentence });
    };
    let entries = entries(text);
    let known = ARROWS.iter().find(|known| known.folder == folder);
    let is_bench = folder == "benches" || folder.starts_with("benches/");
    if known.is_none() && !is_bench {
        add(1, format!("`{folder}` has no row in the table of arrows of tools/xtask"));
    }
    if let Some(known) = known {
        let named = |entry: &&Entry| entry.section == "package" && entry.name == "name";
        if let Some(entry) = entries.iter().find(named)
            && entry.value.trim_matches('"') != known.name
        {
            add(entry.line, format!("the crate in `{folder}` is called `{}`", known.name));
        }
    }
    let inherits = |entry: &Entry| entry.section == "lints" && entry.name == "workspace";
    if !entries.iter().any(inherits) {
        add(1, "the crate lacks `[lints] workspace = true`".to_owned());
    }
    for entry in entries.iter().filter(|entry| entry.is_dependency()) {
        let name = entry.name.as_str();
        if !has_key(&entry.value, "workspace") || has_key(&entry.value, "version") {
            add(
                entry.line,
                format!("`{name}` has its version in the workspace: `{name}.workspace = true`"),
            );
        }
        if ARROWS.iter().any(|known| known.name == name)
            && known.is_some_and(|known| !known.allowed.contains(&name))
        {
            add(entry.line, format!("`{folder}` never depends on `{name}`"));
        }
        for (outside, places) in PLACES {
            let at_home = |place: &&str| format!("{folder}/").starts_with(*place);
            // A place may be a single file of a crate, which then has the dependency.
            let hosts = |place: &&str| place.starts_with(&format!("{folder}/"));
            if name == outside && !places.iter().any(|place| at_home(place) || hosts(place)) {
                let places = places.join(" and ");
                add(entry.line, format!("`{name}` belongs to {places} only"));
            }
        }
    }
    findings
}

/// One `name = value` of a manifest, over all its lines.
struct Entry {
    section: String,
    name: String,
    value: String,
    /// Where it begins, counted from one.
    line: usize,
    has_comment: bool,
}

impl Entry {
    fn is_dependency(&self) -> bool {
        self.section.ends_with("dependencies")
    }
}

/// Reads as much TOML as manifests have: sections, and entries whose brackets may span lines.
/// `[dependencies.name]` and `name.workspace = true` become entries of `dependencies`.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut depth = 0;
    for (index, line) in text.lines().enumerate() {
        let (content, comment) = split_comment(line);
        let content = content.trim();
        if depth > 0 {
            if let Some(entry) = entries.last_mut() {
                entry.value.push_str(content);
                entry.has_comment |= comment;
            }
        } else if let Some(header) = content.strip_prefix('[') {
            header.trim_matches(['[', ']']).clone_into(&mut section);
            continue;
        } else if let Some((left, right)) = content.split_once('=') {
            let (name, key) = split_key(left.trim());
            let value = match key {
                Some(key) => format!("{{ {key} = {} }}", right.trim()),
                None => right.trim().to_owned(),
            };
            add_entry(&mut entries, &section, name, value, (index + 1, comment));
        }
        depth += brackets(content);
    }
    entries
}

fn add_entry(
    entries: &mut Vec<Entry>,
    section: &str,
    name: &str,
    value: String,
    (line, has_comment): (usize, bool),
) {
    let nested = section.rsplit_once('.').filter(|(parent, _)| {
        parent.ends_with("dependencies") && !section.ends_with("dependencies")
    });
    let Some((parent, dependency)) = nested else {
        entries.push(Entry {
            section: section.to_owned(),
            name: name.to_owned(),
            value,
            line,
            has_comment,
        });
        return;
    };
    let known =
        entries.last_mut().filter(|entry| entry.section == parent && entry.name == dependency);
    match known {
        Some(entry) => {
            entry.value.push_str(&format!("{{ {name} = {value} }}"));
            entry.has_comment |= has_comment;
        }
        None => entries.push(Entry {
            section: parent.to_owned(),
            name: dependency.to_owned(),
            value: format!("{{ {name} = {value} }}"),
            line,
            has_comment,
        }),
    }
}

/// Takes `name.key` apart.
fn split_key(left: &str) -> (&str, Option<&str>) {
    match left.split_once('.') {
        Some((name, key)) => (name, Some(key)),
        None => (left, None),
    }
}

/// Splits a line before its comment and says whether it has one.
fn split_comment(line: &str) -> (&str, bool) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&line[..at], true),
            _ => {}
        }
    }
    (line, false)
}

/// How many brackets a line opens and leaves open.
fn brackets(content: &str) -> i32 {
    content.chars().fold(0, |depth, c| match c {
        '[' | '{' => depth + 1,
        ']' | '}' => depth - 1,
        _ => depth,
    })
}

/// Whether an inline table has a key.
fn has_key(value: &str, key: &str) -> bool {
    let pieces = value.split(['{', ',', '}']);
    value.starts_with('{')
        && pieces.filter_map(|piece| piece.split_once('=')).any(|(left, _)| left.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_root(text: &str) -> Vec<String> {
        let text = format!("[workspace.dependencies]\n{text}");
        let findings = check_root("Cargo.toml", &text).into_iter();
        findings.map(|finding| finding.to_string()).collect()
    }

    fn in_member(folder: &str, text: &str) -> Vec<String> {
        let text = format!("[lints]\nworkspace = true\n{text}");
        let findings = check_member(folder, "Cargo.toml", &text).into_iter();
        findings.map(|finding| finding.to_string()).collect()
    }

    const NONE: [String; 0] = [];

    #[test]
    fn an_outside_dependency_has_its_reason() {
        assert_eq!(in_root("bytes = \"1\" # buffers\n"), NONE);
        assert_eq!(in_root("# Buffers.\nbytes = \"1\"\n"), NONE);
        assert_eq!(in_root("rkyv = { features = [\n  # why\n  \"a\",\n] }\n"), NONE);
        assert_eq!(in_root("clap = { features = [\n  \"a\",\n] } # why\n"), NONE);
        assert_eq!(in_root("base = { path = \"engine/base\" }\n"), NONE);
        assert_eq!(
            in_root("\nbytes = \"1\"\nuuid = \"1\" # ids\n"),
            ["Cargo.toml:3: say beside `bytes` why it is needed"]
        );
        assert_eq!(
            in_root("\nclap = { features = [\n  \"a\",\n] }\n"),
            ["Cargo.toml:3: say beside `clap` why it is needed"]
        );
    }

    #[test]
    fn a_crate_takes_versions_from_the_workspace() {
        for good in [
            "[dependencies]\nbytes.workspace = true\n",
            "[dependencies]\nbytes = { workspace = true, features = [\"std\"] }\n",
            "[dev-dependencies.bytes]\nworkspace = true\nfeatures = []\n",
        ] {
            assert_eq!(in_member("net", good), NONE);
        }
        for bad in [
            "[dependencies]\nbytes = \"1\"\n",
            "[dependencies]\nbytes = { version = \"1\" }\n",
            "[dev-dependencies.bytes]\nversion = \"1\"\n",
            "[target.'cfg(unix)'.dependencies]\nbytes = { path = \"../bytes\" }\n",
        ] {
            assert_eq!(
                in_member("net", bad),
                [
                    "Cargo.toml:4: `bytes` has its version in the workspace: `bytes.workspace = true`"
                ]
            );
        }
    }

    #[test]
    fn dependencies_follow_the_arrows() {
        let on = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
        for (folder, name) in [
            ("engine/api", "domain"),
            ("engine/shard", "api"),
            ("engine/server", "store"),
            ("store", "base"),
            ("benches/macro", "shard"),
        ] {
            assert_eq!(in_member(folder, &on(name)), NONE);
        }
        for (folder, name) in [
            ("engine/base", "domain"),
            ("engine/domain", "api"),
            ("store", "domain"),
            ("matchmaker", "ringmaster"),
            ("engine/server", "xtask"),
        ] {
            assert_eq!(
                in_member(folder, &on(name)),
                [format!("Cargo.toml:4: `{folder}` never depends on `{name}`")]
            );
        }
        assert_eq!(
            in_member("engine/new", &on("base")),
            ["Cargo.toml:1: `engine/new` has no row in the table of arrows of tools/xtask"]
        );
    }

    #[test]
    fn an_outside_crate_is_a_dependency_only_at_its_place() {
        let on = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
        for (folder, name) in [
            ("store", "redb"),
            ("net", "glommio"),
            ("engine/base", "serde_json"),
            ("net/client", "tokio"),
        ] {
            assert_eq!(in_member(folder, &on(name)), NONE);
        }
        assert_eq!(
            in_member("engine/shard", &on("redb")),
            ["Cargo.toml:4: `redb` belongs to store/ only"]
        );
    }

    #[test]
    fn a_crate_has_its_name_and_the_lints_of_the_workspace() {
        let named = |name: &str| format!("[package]\nname = \"{name}\"\n");
        assert_eq!(in_member("engine/server", &named("ringmaster")), NONE);
        assert_eq!(
            in_member("engine/server", &named("server")),
            ["Cargo.toml:4: the crate in `engine/server` is called `ringmaster`"]
        );
        let findings = check_member("net", "Cargo.toml", &named("net"));
        assert_eq!(findings[0].sentence, "the crate lacks `[lints] workspace = true`");
    }
}
