//! A configuration file: TOML, whose mistakes are told by line.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problem::{NAME_MAX, shorten};
use super::source::{Loading, Origin, meant};
use super::{KEYS, Key, Value};
use crate::whole_file;

const SIZE_MAX: u64 = 1 << 20;

/// A file that is being read.
struct File<'a> {
    path: &'a Path,
    /// Where its lines start.
    starts: Vec<usize>,
    /// What is no TOML, by line.
    faults: BTreeMap<usize, String>,
    /// Whether a fault may hide keys.
    is_torn: bool,
    /// The keys that it holds, and their lines.
    given: BTreeMap<&'static str, usize>,
}

impl Loading {
    pub(super) fn take_file(&mut self, path: &Path) {
        if path.as_os_str().is_empty() {
            // Flags cannot say that.
            self.problems.add(|| {
                let origin = Origin::Environment(super::source::FILE_VARIABLE.into());
                format!("{origin}: the value is empty, and has to be a path")
            });
            return self.loaded.origins.fill(Origin::Unknown);
        }
        let text = match whole_file::read_text(path, SIZE_MAX) {
            Ok(text) => text,
            Err(error) => {
                self.problems.add(|| format!("{}: {error}", path.display()));
                return self.loaded.origins.fill(Origin::Unknown);
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        let mut file = File::new(path, &text);
        for error in errors {
            let line = file.line(error.span().map_or(0, |span| span.start));
            // The error's own form would show the line, and a secret in it.
            file.faults.entry(line).or_insert_with(|| error.message().to_owned());
        }
        self.take_table(&mut file, "", table.get_ref());
        self.tell_faults(&mut file, usize::MAX);
        if file.is_torn {
            for (key, origin) in KEYS.iter().zip(&mut self.loaded.origins) {
                if !file.given.contains_key(key.name) {
                    *origin = Origin::Unknown;
                }
            }
        }
    }

    fn take_table(&mut self, file: &mut File<'_>, section: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let full = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            let line = file.line(name.span().start);
            self.tell_faults(file, line);
            let key = KEYS.iter().find(|key| key.name == full);
            if key.is_none()
                && is_section(&full)
                && let DeValue::Table(table) = value.get_ref()
            {
                self.take_table(file, &full, table);
                continue;
            }
            let earlier = key.and_then(|key| file.given.insert(key.name, line));
            let is_whole = self.tell_fault(file, line, value);
            file.is_torn |= !is_whole && key.is_none();
            match key {
                Some(key) if !is_whole => self.loaded.forget(key),
                Some(key) => match earlier {
                    None => self.take_value(key, value, &|offset| file.origin(offset)),
                    Some(earlier) => {
                        self.loaded.forget(key);
                        let at = file.origin_of(line);
                        self.problems.add(|| {
                            format!("{at}: {full}: line {earlier} has it too: only one may be")
                        });
                    }
                },
                None if is_whole => {
                    let at = file.origin_of(line);
                    self.problems.add(|| format!("{at}: {}", unknown(&full, value)));
                }
                None => {}
            }
        }
    }

    /// Tells what is no TOML before this line.
    fn tell_faults(&mut self, file: &mut File<'_>, line: usize) {
        let later = file.faults.split_off(&line);
        for (line, what) in std::mem::replace(&mut file.faults, later) {
            file.is_torn = true;
            let at = file.origin_of(line);
            self.problems.add(|| format!("{at}: no TOML: {what}"));
        }
    }

    /// Tells what is no TOML in a value that begins in this line: the first fault, since others
    /// follow from it. True if there is none.
    fn tell_fault(&mut self, file: &mut File<'_>, line: usize, value: &Value<'_>) -> bool {
        let last = file.line(value.span().end).max(line);
        let lines: Vec<_> = file.faults.range(line..=last).map(|(line, _)| *line).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(what) = file.faults.remove(line) else { continue };
            if index == 0 {
                let at = file.origin_of(*line);
                self.problems.add(|| format!("{at}: no TOML: {what}"));
            }
        }
        file.is_torn |= !lines.is_empty() && last > line;
        // Tables of a list stand behind the span of the list.
        let end = file.line(end(value)).max(line);
        lines.is_empty() && file.faults.range(line..=end).next().is_none()
    }
}

impl File<'_> {
    fn new<'a>(path: &'a Path, text: &str) -> File<'a> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        File {
            path,
            starts: [0].into_iter().chain(breaks.map(|(index, _)| index + 1)).collect(),
            faults: BTreeMap::new(),
            is_torn: false,
            given: BTreeMap::new(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn origin(&self, offset: usize) -> Origin {
        self.origin_of(self.line(offset))
    }

    fn origin_of(&self, line: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line }
    }
}

/// Where the last part of a value ends.
fn end(value: &Value<'_>) -> usize {
    let parts = match value.get_ref() {
        DeValue::Array(items) => items.iter().map(end).max(),
        DeValue::Table(table) => table.iter().map(|(_, value)| end(value)).max(),
        _ => None,
    };
    parts.unwrap_or(0).max(value.span().end)
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// What is said of a name that is no key.
fn unknown(full: &str, value: &Value<'_>) -> String {
    let name = shorten(full);
    let is_table = matches!(value.get_ref(), DeValue::Table(_));
    if is_section(full) {
        return format!("{name} is a section, and has to be a table: [{name}]");
    }
    let what = if is_table { "section" } else { "key" };
    format!("{name}: unknown {what}{}", suggestion(full, is_table))
}

/// What an unknown name may have been meant to be.
fn suggestion(name: &str, is_section: bool) -> String {
    let parents = |key: &Key| key.name.rsplit_once('.').map(|(section, _)| section.to_owned());
    if is_section {
        return meant(name, KEYS.iter().filter_map(parents));
    }
    let close = meant(name, KEYS.iter().map(|key| key.name.to_owned()));
    let (_, last) = name.rsplit_once('.').unwrap_or(("", name));
    let is_misplaced = |key: &&Key| key.name.rsplit('.').next() == Some(last);
    match KEYS.iter().find(is_misplaced) {
        Some(key) if close.is_empty() && name.len() <= NAME_MAX => {
            format!("; did you mean {}?", key.name)
        }
        _ => close,
    }
}
