//! Where values come from, in rising precedence: defaults, files, environment, flags.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::setting::Kind;
use super::{Config, KEYS, Key};

/// What variables of ours begin with.
pub(crate) const PREFIX: &str = "RINGMASTER_";
/// The variable that names the file where no flag does.
pub(crate) const FILE_VARIABLE: &str = "RINGMASTER_CONFIG";
const FILE_SUFFIX: &str = "_FILE";
const CONFIG_SIZE_MAX: u64 = 1 << 20;
const SECRET_SIZE_MAX: u64 = 64 << 10;

/// Everything that may hold a value, to be read at the start and again at each reload.
pub(crate) struct Sources {
    /// Later ones override earlier ones.
    pub files: Vec<PathBuf>,
    /// The variables with our prefix, by name.
    pub environment: Vec<(String, OsString)>,
    /// Each key once.
    pub flags: Vec<(&'static Key, String)>,
}

/// A configuration, and where its values come from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub config: Config,
    /// In the order of [`KEYS`].
    pub origins: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Flag(key) => write!(f, "--{key}"),
        }
    }
}

impl Sources {
    /// Reads everything and checks it: the configuration, or all that is wrong, a sentence each.
    pub(crate) fn load(&self) -> Result<Loaded, Vec<String>> {
        let mut loading = Loading {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
            problems: Vec::new(),
        };
        for path in &self.files {
            loading.take_file(path);
        }
        loading.take_environment(&self.environment);
        for (key, text) in &self.flags {
            loading.take_text(key, text, &Origin::Flag(key.name.into()));
        }
        let Loading { config, origins, problems } = loading;
        if problems.is_empty() { Loaded { config, origins }.check() } else { Err(problems) }
    }
}

struct Loading {
    config: Config,
    origins: Vec<Origin>,
    problems: Vec<String>,
}

impl Loading {
    fn take_file(&mut self, path: &Path) {
        let text = match read_text(path, CONFIG_SIZE_MAX) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{}: {error}", path.display())),
        };
        let file = Text { path, text: &text };
        match DeTable::parse(&text) {
            Ok(table) => self.take_table(&file, "", table.get_ref()),
            Err(error) => {
                // The error's own form would show the line, and a secret in it.
                let at = file.origin(error.span().map_or(0, |span| span.start));
                self.problems.push(format!("{at}: no TOML: {}", error.message()));
            }
        }
    }

    fn take_table(&mut self, file: &Text<'_>, section: &str, table: &DeTable<'_>) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let full = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            let at = file.origin(name.span().start);
            if let Some(key) = find(&full) {
                self.take_value(key, value, &|offset| file.origin(offset));
            } else if !is_section(&full) {
                let what =
                    if matches!(value.get_ref(), DeValue::Table(_)) { "section" } else { "key" };
                let meant = suggestion(&full, what == "section");
                self.problems.push(format!("{at}: {full}: unknown {what}{meant}"));
            } else if let DeValue::Table(table) = value.get_ref() {
                self.take_table(file, &full, table);
            } else {
                let what = format!("{full} is a section, and has to be a table: [{full}]");
                self.problems.push(format!("{at}: {what}"));
            }
        }
    }

    fn take_environment(&mut self, variables: &[(String, OsString)]) {
        for (name, value) in variables {
            if name == FILE_VARIABLE || is_service_link(name, value) {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let key = KEYS.iter().find(|key| key.variable() == *name);
            let of_file = name
                .strip_suffix(FILE_SUFFIX)
                .and_then(|name| KEYS.iter().find(|key| key.is_secret && key.variable() == *name));
            let Some(key) = key.or(of_file) else {
                let meant = meant(name, KEYS.iter().map(Key::variable));
                self.problems.push(format!("{origin}: unknown variable{meant}"));
                continue;
            };
            let Some(value) = value.to_str() else {
                self.problems.push(format!("{origin}: the value is no UTF-8"));
                continue;
            };
            if of_file.is_none() {
                self.take_text(key, value, &origin);
                continue;
            }
            let other = key.variable();
            if variables.iter().any(|(name, _)| *name == other) {
                self.problems.push(format!("{origin}: {other} is set too: only one may be"));
                continue;
            }
            match read_text(Path::new(value), SECRET_SIZE_MAX) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    self.take_text(key, text.strip_suffix('\r').unwrap_or(text), &origin);
                }
                // Without its name: who takes the variable for the other puts the secret there.
                Err(error) => self.problems.push(format!("{origin}: the file {error}")),
            }
        }
    }

    /// Takes a value that stands alone: TOML, save that a text has no quotes, and that a list may
    /// be separated by commas.
    fn take_text(&mut self, key: &'static Key, text: &str, origin: &Origin) {
        let string =
            |text: &str| Spanned::new(0..text.len(), DeValue::String(text.to_owned().into()));
        let is_list = matches!(key.kind, Kind::List(item) if !matches!(item, Kind::Issuer));
        let value = if key.is_text() {
            string(text)
        } else if is_list && !text.trim_start().starts_with('[') {
            let mut items = DeArray::new();
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.for_each(|part| items.push(string(part)));
            Spanned::new(0..text.len(), DeValue::Array(items))
        } else {
            DeValue::parse(text).unwrap_or_else(|_| string(text))
        };
        self.take_value(key, &value, &|_| origin.clone());
    }

    fn take_value(
        &mut self,
        key: &'static Key,
        value: &Spanned<DeValue<'_>>,
        origin: &dyn Fn(usize) -> Origin,
    ) {
        match (key.field)(&mut self.config).set(value, &key.kind) {
            Ok(()) => {
                let index = KEYS.iter().position(|other| other.name == key.name);
                self.origins[index.expect("the key is of the table")] = origin(value.span().start);
            }
            Err(wrong) => {
                let at = match origin(wrong.at) {
                    at @ Origin::File { .. } => format!("{at}: {}", key.name),
                    at => at.to_string(),
                };
                let sentence = wrong.sentence(key.is_secret);
                self.problems.push(format!("{at}: {sentence}, and has to be {}", key.kind));
            }
        }
    }
}

/// A file that is being read.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Text<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
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
        Some(key) if close.is_empty() => format!("; did you mean {}?", key.name),
        _ => close,
    }
}

/// The closest of these, if one is close.
fn meant(name: &str, known: impl Iterator<Item = String>) -> String {
    let near = known.map(|known| (strsim::damerau_levenshtein(name, &known), known)).min();
    match near {
        Some((distance, known)) if distance <= 1 + name.len() / 6 => {
            format!("; did you mean {known}?")
        }
        _ => String::new(),
    }
}

/// Whether Kubernetes has set the variable: it does for every service, and one may have our name.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let is_address = value.to_str().is_some_and(|value| value.contains("://"));
    name.contains("_SERVICE_") || name.contains("_PORT_") || name.ends_with("_PORT") && is_address
}

/// Reads a file that is not larger than it may be.
fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| explain("cannot be read", &error))?;
    let read = file.take(most + 1).read_to_string(&mut text);
    read.map_err(|error| explain("cannot be read", &error))?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("is larger than {most} bytes")));
    }
    Ok(text)
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("{what}: {error}"))
}
