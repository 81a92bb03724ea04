//! What is told, and whether it is told right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

use metrics::{Family, Kind};

use super::families::OTHERS;
use super::*;
use crate::backups::Backups;
use crate::config::{Config, Shown};
use crate::process::Shared;
use crate::{bus, reporter};

fn families() -> Vec<&'static Family> {
    OTHERS.into_iter().chain(CORE.iter().map(|row| &row.family)).collect()
}

/// A process without threads of its own but the store's, which end with it.
struct Rig {
    shared: Shared,
    _running: store::Running,
    _folder: tempfile::TempDir,
}

fn rig(cores: usize) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let settings = store::Settings { queue: 1, batch_bytes: 1, ..store::Settings::default() };
    let opened = store::Store::open(&data_dir, settings).unwrap();
    let running = opened.store.start(&(Arc::new(|_, _| {}) as store::Sink), |_| {}).unwrap();
    let passwords = crate::password::start(0, &(Arc::new(|_, _, _| {}) as _)).unwrap();
    let config = Config { shards: cores, data_dir, ..Config::default() };
    let sidecar = sidecar::Sidecar::start(config.social.settings()).unwrap();
    let backups = Backups::new(&config, running.handle());
    let shared = Shared {
        config,
        tls: None,
        bus: bus::bus(cores),
        passwords,
        sidecar: sidecar.handle(),
        store: running.handle(),
        backups,
        metrics: Metrics::new(cores, 7),
        reports: reporter::queue().0,
        shown: Mutex::new(Shown { text: String::new(), default_keys: Vec::new() }),
        ticks: (0..cores).map(|_| AtomicU64::new(0)).collect(),
        quiet: (0..cores).map(|_| AtomicBool::new(false)).collect(),
        sessions: AtomicUsize::new(0),
        connections_max: 1,
    };
    Rig { shared, _running: running, _folder: folder }
}

/// Every sample by its name and labels, as they are told.
type Samples = BTreeMap<String, f64>;

/// Reads the text as its format demands it, and more strictly where we know more: every family
/// stands in the list, is headed by help and type, and is told once, with all its labels.
fn parse(text: &str) -> Samples {
    let known: BTreeMap<_, _> =
        families().into_iter().map(|family| (family.name, family)).collect();
    let mut samples = Samples::new();
    let mut told = BTreeSet::new();
    let mut current: Option<&Family> = None;
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name and a text");
            let family = known.get(name).unwrap_or_else(|| panic!("{name} is not listed"));
            assert_eq!(help, family.help);
            assert!(told.insert(name), "{name} is told twice");
            let kind = format!("# TYPE {name} {}", family.kind.name());
            assert_eq!(lines.next(), Some(kind.as_str()));
            current = Some(family);
            continue;
        }
        let family = current.expect("a sample has a family");
        let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = match sample.split_once('{') {
            None => (sample, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("a brace")),
        };
        let suffix = name.strip_prefix(family.name).expect("a sample of its family");
        match family.kind {
            Kind::Counter | Kind::Gauge => assert_eq!(suffix, "", "{line}"),
            Kind::Histogram => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
        }
        let names: Vec<_> = labels
            .split(',')
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (name, value) = label.split_once('=').expect("a label has a value");
                assert!(
                    value.len() > 2 && value.starts_with('"') && value.ends_with('"'),
                    "{line}"
                );
                name
            })
            .collect();
        let upper = (suffix == "_bucket").then_some("le");
        let expected: Vec<_> = family.labels.iter().copied().chain(upper).collect();
        assert_eq!(names, expected, "{line}");
        let value: f64 = value.parse().expect("a value is a number");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is told twice");
    }
    samples
}

#[test]
fn names_follow_the_rules() {
    let mut names = BTreeSet::new();
    for family in families() {
        let name = family.name;
        assert!(names.insert(name), "{name} stands there twice");
        assert!(name.starts_with("ringmaster_"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        for suffix in ["_bucket", "_sum", "_count"] {
            assert!(!name.ends_with(suffix), "{name} looks like a part of a histogram");
        }
        assert!(family.help.ends_with('.') && family.help.is_ascii(), "{name}");
        assert!(family.labels.iter().all(|label| *label != "le"), "{name}");
    }
}

#[test]
fn a_process_that_has_just_begun_tells_every_family_but_those_of_requests() {
    let Rig { shared, .. } = &rig(2);
    let text = text(shared);
    let samples = parse(&text);
    let told = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(told, families().len() - 2, "{text}");
    assert!(!text.contains("ringmaster_requests_total"));
    assert_eq!(samples["ringmaster_ready"], 0.0);
    assert_eq!(samples["ringmaster_incarnation"], 7.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(samples[&format!("ringmaster_build_info{{version=\"{version}\"}}")], 1.0);
    for name in
        ["data_bytes", "resident_bytes", "open_descriptors", "max_descriptors", "disk_size_bytes"]
    {
        assert!(samples[&format!("ringmaster_{name}")] > 0.0, "{name}");
    }
}

/// A family as the manual lists it.
fn row(family: &Family) -> String {
    let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let name = family.name.trim_end_matches("_total");
    let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("");
    let (name, kind, help) = (family.name, family.kind.name(), family.help);
    format!("| `{name}` | {kind} | {} | {unit} | {help} |", labels.join(", "))
}

#[test]
fn the_manual_lists_every_family_and_no_other() {
    let manual = include_str!("../../../../docs/operations/metrics.md");
    let listed: Vec<_> = manual.lines().filter(|line| line.starts_with("| `ringmaster_")).collect();
    let expected: Vec<_> = families().into_iter().map(row).collect();
    assert!(listed == expected, "the table of metrics.md is:\n{}", expected.join("\n"));
}

/// What a query names, without the parts of a histogram.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("ringmaster_"));
    let histogram = |name: &str| {
        families().iter().any(|family| family.name == name && family.kind == Kind::Histogram)
    };
    let family = |word| {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let mut names = parts.filter_map(|part| str::strip_suffix(word, part));
        names.find(|name| histogram(name)).unwrap_or(word)
    };
    words.map(family).collect()
}

#[test]
fn alerts_and_the_dashboard_name_families_that_are_there() {
    let known: BTreeSet<_> = families().into_iter().map(|family| family.name).collect();
    let alerts = named(include_str!("../../../../docs/operations/alerts.yml"));
    let dashboard = named(include_str!("../../../../docs/operations/dashboard.json"));
    let manual = named(include_str!("../../../../docs/operations/metrics.md"));
    for (text, names) in [("alerts", &alerts), ("dashboard", &dashboard), ("manual", &manual)] {
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "the {text} has {unknown:?}");
        assert!(names.len() > 20, "the {text} names {names:?}");
    }
}

#[test]
fn requests_are_summed_over_cores_by_operation_and_code() {
    let Rig { shared, .. } = &rig(2);
    let done = |core: usize, name: Option<&str>, outcome, millis: u64| {
        let operation = name.map(|name| OPERATIONS.iter().find(|row| row.name == name).unwrap());
        let begun = Instant(5_000_000);
        let now = begun.after(Duration::from_millis(millis));
        let done = Done { number: 1, operation, outcome, begun, trace: None };
        shared.metrics.core(core).done(&done, now);
    };
    done(0, Some("account_get"), Ok(()), 1);
    done(1, Some("account_get"), Ok(()), 30);
    done(1, Some("account_get"), Err(Code::Unauthenticated), 0);
    done(0, Some("match_data_send"), Ok(()), 0);
    done(0, None, Err(Code::NotFound), 0);
    let samples = parse(&text(shared));
    let requests: Vec<_> =
        samples.iter().filter(|(name, _)| name.starts_with("ringmaster_requests_total")).collect();
    let total = |labels: &str| samples[&format!("ringmaster_requests_total{{{labels}}}")];
    assert_eq!(total("operation=\"account_get\",code=\"OK\""), 2.0);
    assert_eq!(total("operation=\"account_get\",code=\"Unauthenticated\""), 1.0);
    assert_eq!(total("operation=\"match_data_send\",code=\"OK\""), 1.0);
    assert_eq!(total("operation=\"unknown\",code=\"NotFound\""), 1.0);
    // Faults of ours are told before there is one: a rate sees the first.
    let faults = ["Unknown", "DeadlineExceeded", "Internal", "Unavailable", "DataLoss"];
    for operation in ["account_get", "match_data_send", "unknown"] {
        for code in faults {
            assert_eq!(total(&format!("operation=\"{operation}\",code=\"{code}\"")), 0.0);
        }
    }
    assert_eq!(requests.len(), 4 + 3 * faults.len());
    let alerts = include_str!("../../../../docs/operations/alerts.yml");
    assert!(alerts.contains(&format!("code=~\"{}\"", faults.join("|"))), "they are watched");
    let part = |part: &str| samples[&format!("ringmaster_request_seconds_{part}")];
    assert_eq!(part("bucket{operation=\"account_get\",le=\"0.0005\"}"), 1.0);
    assert_eq!(part("bucket{operation=\"account_get\",le=\"0.001\"}"), 2.0);
    assert_eq!(part("count{operation=\"account_get\"}"), 3.0);
    assert_eq!(part("sum{operation=\"account_get\"}"), 0.031);
}

#[test]
fn a_core_publishes_its_figures_and_is_ready_until_it_drains() {
    let Rig { shared, .. } = &rig(2);
    let mut figures = CoreFigures {
        shard: Figures { sessions: 3, carried: Duration::from_millis(2), ..Figures::default() },
        traffic: &Traffic { sent_bytes: 99, ..Traffic::default() },
        connections: 4,
        backlog: 5,
        is_draining: false,
    };
    figures.shard.view.hits = 6;
    figures.shard.rates.address_refusals[Rate::Sign as usize] = 8;
    figures.shard.rates.user_refusals[Rate::Write as usize] = 9;
    let millis = |millis| Instant::default().after(Duration::from_millis(millis));
    for core in 0..2 {
        let core = shared.metrics.core(core);
        core.publish(&figures);
        core.ticked(Tick { due: millis(10), begun: millis(12), ended: millis(13) });
    }
    let samples = parse(&text(shared));
    for (name, value) in [
        ("ringmaster_sessions{core=\"1\"}", 3.0),
        ("ringmaster_matchmaker_carried_seconds{core=\"0\"}", 0.002),
        ("ringmaster_sent_bytes_total{core=\"0\"}", 99.0),
        ("ringmaster_connections{core=\"0\"}", 4.0),
        ("ringmaster_bus_backlog{core=\"0\"}", 5.0),
        ("ringmaster_cache_hits_total{core=\"1\"}", 6.0),
        ("ringmaster_rate_limited_total{class=\"sign\",asker=\"address\"}", 16.0),
        ("ringmaster_rate_limited_total{class=\"write\",asker=\"user\"}", 18.0),
        ("ringmaster_rate_limited_total{class=\"write\",asker=\"address\"}", 0.0),
        ("ringmaster_tick_seconds_sum{core=\"0\"}", 0.001),
        ("ringmaster_tick_late_seconds_sum{core=\"0\"}", 0.002),
        ("ringmaster_ready", 1.0),
    ] {
        assert_eq!(samples[name], value, "{name}");
    }
    figures.is_draining = true;
    shared.metrics.core(1).publish(&figures);
    let samples = parse(&text(shared));
    assert_eq!(samples["ringmaster_ready"], 0.0);
    assert_eq!(samples["ringmaster_draining{core=\"0\"}"], 0.0);
    assert_eq!(samples["ringmaster_draining{core=\"1\"}"], 1.0);
}
