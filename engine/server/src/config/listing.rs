//! All keys as TOML: what `ringmaster config show` prints.

use super::source::Origin;
use super::{KEYS, Key, Loaded};

/// The configuration as a file that can be loaded again. A secret is a comment in it, and so is an
/// address whose parameters are left out.
pub(crate) fn show(loaded: &Loaded) -> String {
    let mut lines = KEYS.iter().zip(&loaded.origins).map(|(key, origin)| {
        let value = key.toml(&loaded.config);
        let shown = key.shown(&loaded.config);
        let (_, name) = key.section();
        let origin = match origin {
            Origin::Default => String::new(),
            origin => format!(" # {origin}"),
        };
        match value.as_str() {
            empty @ ("\"\"" | "[]") => format!("{name} = {empty}{origin}\n"),
            _ if key.is_secret && value.starts_with('[') => {
                format!("# {name} = [\"REDACTED\"]{origin}\n")
            }
            _ if key.is_secret => format!("# {name} = \"REDACTED\"{origin}\n"),
            _ if shown != value => format!("# {name} = {shown}{origin}\n"),
            value => format!("{name} = {value}{origin}\n"),
        }
    });
    by_section(|_| lines.next().unwrap_or_default())
}

/// What operators may see of a configuration.
#[derive(Debug)]
pub(crate) struct Shown {
    /// As [`show`] prints it.
    pub text: String,
    /// Secret keys at a value that everybody knows.
    pub default_keys: Vec<&'static str>,
}

impl Shown {
    pub(crate) fn of(loaded: &Loaded) -> Shown {
        Shown { text: show(loaded), default_keys: loaded.config.default_keys() }
    }
}

/// The text of each key in the order of [`KEYS`], below its section.
pub(super) fn by_section(mut text: impl FnMut(&'static Key) -> String) -> String {
    let mut all = String::new();
    let mut last = "";
    for key in KEYS {
        let (section, _) = key.section();
        if section != last {
            all.push_str(&format!("\n[{section}]\n"));
            last = section;
        }
        all.push_str(&text(key));
    }
    all
}
