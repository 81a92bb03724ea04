//! Where values come from, in rising precedence: defaults, files, environment, flags.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::problem::{NAME_MAX, Problems, escape, shorten};
use super::setting::Kind;
use super::{Config, KEYS, Key, Value};
use crate::whole_file;

/// What variables of ours begin with.
pub(crate) const PREFIX: &str = "RINGMASTER_";
/// The variable that names the file where no flag does.
pub(crate) const FILE_VARIABLE: &str = "RINGMASTER_CONFIG";
const FILE_SUFFIX: &str = "_FILE";
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
    /// Its source cannot be read, so that nothing can be said of the value.
    Unknown,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Unknown => f.write_str("unknown"),
            Origin::File { path, line } => {
                write!(f, "{}:{line}", escape(&path.to_string_lossy()))
            }
            Origin::Environment(variable) => {
                write!(f, "environment {}", escape(&shorten(variable)))
            }
            Origin::Flag(key) => write!(f, "--{key}"),
        }
    }
}

impl Loaded {
    pub(super) fn is_known(&self, name: &str) -> bool {
        let mut all = KEYS.iter().zip(&self.origins);
        all.any(|(key, origin)| key.name == name && *origin != Origin::Unknown)
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.set_origin(key, Origin::Unknown);
    }

    fn set_origin(&mut self, key: &Key, origin: Origin) {
        let index = KEYS.iter().position(|other| other.name == key.name);
        self.origins[index.expect("the key is of the table")] = origin;
    }
}

impl Sources {
    /// Reads everything and checks it: the configuration, or all that is wrong, a sentence each.
    pub(crate) fn load(&self) -> Result<Loaded, Vec<String>> {
        let (loaded, problems) = self.read();
        if problems.is_empty() { Ok(loaded) } else { Err(problems.told()) }
    }

    /// The same for a start, which reads what keys name, too.
    pub(crate) fn load_with_files(&self) -> Result<Loaded, Vec<String>> {
        let (loaded, mut problems) = self.read();
        loaded.check_files(&mut problems);
        if problems.is_empty() { Ok(loaded) } else { Err(problems.told()) }
    }

    /// The data folder, whatever is wrong with other keys.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Vec<String>> {
        let (loaded, problems) = self.read();
        let is_known = loaded.is_known("data_dir");
        if is_known { Ok(loaded.config.data_dir) } else { Err(problems.told()) }
    }

    fn read(&self) -> (Loaded, Problems) {
        let origins = vec![Origin::Default; KEYS.len()];
        let loaded = Loaded { config: Config::default(), origins };
        let mut loading = Loading { loaded, problems: Problems::default() };
        for path in &self.files {
            loading.take_file(path);
        }
        loading.take_environment(&self.environment);
        for (key, text) in &self.flags {
            loading.take_text(key, text, &Origin::Flag(key.name.into()));
        }
        let Loading { loaded, mut problems } = loading;
        loaded.check_together(&mut problems);
        (loaded, problems)
    }
}

pub(super) struct Loading {
    pub(super) loaded: Loaded,
    pub(super) problems: Problems,
}

impl Loading {
    fn take_environment(&mut self, variables: &[(String, OsString)]) {
        for (name, value) in variables {
            if name == FILE_VARIABLE {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let key = KEYS.iter().find(|key| key.variable() == *name);
            let of_file = name
                .strip_suffix(FILE_SUFFIX)
                .and_then(|name| KEYS.iter().find(|key| key.is_secret && key.variable() == *name));
            let Some(key) = key.or(of_file) else {
                if !is_service_link(name, value) {
                    self.problems.add(|| {
                        let meant = meant(name, KEYS.iter().map(Key::variable));
                        format!("{origin}: unknown variable{meant}")
                    });
                }
                continue;
            };
            let text = match value.to_str() {
                None => Err("the value is no UTF-8".into()),
                Some(text) if of_file.is_none() => Ok(text.to_owned()),
                Some(path) => secret(key, path, variables),
            };
            match text {
                Ok(text) => self.take_text(key, &text, &origin),
                Err(what) => {
                    self.loaded.forget(key);
                    self.problems.add(|| format!("{origin}: {what}"));
                }
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

    pub(super) fn take_value(
        &mut self,
        key: &'static Key,
        value: &Value<'_>,
        origin: &dyn Fn(usize) -> Origin,
    ) {
        let Err(wrong) = (key.field)(&mut self.loaded.config).set(value, &key.kind) else {
            return self.loaded.set_origin(key, origin(value.span().start));
        };
        self.loaded.forget(key);
        for wrong in wrong {
            self.problems.add(|| {
                let at = match origin(wrong.at) {
                    at @ Origin::File { .. } => format!("{at}: {}", key.name),
                    at => at.to_string(),
                };
                format!("{at}{}", wrong.sentence(key.is_secret, &key.kind))
            });
        }
    }
}

/// What the file holds that a variable names, or what is wrong with it.
fn secret(key: &Key, path: &str, variables: &[(String, OsString)]) -> Result<String, String> {
    let other = key.variable();
    if variables.iter().any(|(name, _)| *name == other) {
        return Err(format!("{other} is set too: only one may be"));
    }
    // Without its name: who takes the variable for the other puts the secret there.
    let text = whole_file::read_text(Path::new(path), SECRET_SIZE_MAX);
    let mut text = text.map_err(|error| format!("the file {error}"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The closest of these, if one is close.
pub(super) fn meant(name: &str, known: impl Iterator<Item = String>) -> String {
    if name.len() > NAME_MAX {
        return String::new();
    }
    let near = known.map(|known| (strsim::damerau_levenshtein(name, &known), known)).min();
    match near {
        Some((distance, known)) if distance <= 1 + name.len() / 6 => {
            format!("; did you mean {known}?")
        }
        _ => String::new(),
    }
}

/// Whether Kubernetes has set the variable, which begins with our prefix: it does for every
/// service, and one may have our name, or one that begins with it.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let Some(value) = value.to_str() else { return false };
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_link = |scheme: &str| {
        let address = value.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        address.is_some_and(|address| address.parse::<SocketAddr>().is_ok())
    };
    if name.ends_with("_SERVICE_HOST") {
        return is_ip(value);
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_number(value);
    }
    let parts = ["_PROTO", "_PORT", "_ADDR", ""].into_iter();
    let mut parts = parts.filter_map(|part| Some((name.strip_suffix(part)?, part)));
    parts.any(|(port, part)| {
        let is_of = |suffix, scheme| {
            let number =
                str::strip_suffix(port, suffix).and_then(|port| port.rsplit_once("_PORT_"));
            number.is_some_and(|(_, number)| {
                is_number(number)
                    && match part {
                        "_PROTO" => value == scheme,
                        "_PORT" => value == number,
                        "_ADDR" => is_ip(value),
                        _ => is_link(scheme),
                    }
            })
        };
        is_of("_TCP", "tcp") || is_of("_UDP", "udp")
    }) || name.ends_with("_PORT") && (is_link("tcp") || is_link("udp"))
}
