//! SIGHUP: the configuration is read again, and what may change while the server runs does.

use std::sync::Arc;

use crate::bus::{Bus, Mail};
use crate::config::{Config, KEYS, Loaded, Sources};
use crate::logger::Logger;
use crate::process::shard_config;

/// What every core is told.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub config: Config,
    pub shard: Arc<shard::Config>,
}

/// Lives on the thread of the signals.
pub(crate) struct Reloader {
    pub sources: Sources,
    /// What is in force.
    pub config: Config,
    pub logger: Logger,
    pub bus: Bus,
    pub incarnation: u32,
}

impl Reloader {
    /// Takes over what has changed, or nothing if anything is wrong.
    pub(crate) fn reload(&mut self) {
        match self.read() {
            Ok((reloaded, changes)) => self.take_over(reloaded, &changes),
            Err(problems) => {
                for problem in problems {
                    tracing::error!("configuration not reloaded: {problem}");
                }
            }
        }
    }

    fn read(&self) -> Result<(Reloaded, Changes), Vec<String>> {
        let Loaded { config: wanted, origins } = self.sources.load()?;
        let (config, changes) = merge(&self.config, &wanted);
        // A key that waits for the restart may contradict one that does not.
        let Loaded { config, .. } = Loaded { config, origins }.check()?;
        let shard = shard_config(&config, self.incarnation);
        let shard = Arc::new(shard.map_err(|error| vec![format!("{error:#}")])?);
        Ok((Reloaded { config, shard }, changes))
    }

    fn take_over(&mut self, reloaded: Reloaded, changes: &Changes) {
        self.logger.set_level(reloaded.config.logger.level);
        self.config = reloaded.config.clone();
        let reloaded = Arc::new(reloaded);
        for mailbox in self.bus.iter() {
            mailbox.send_always(Mail::Reload(reloaded.clone()));
        }
        let Changes { done, waiting } = changes;
        tracing::info!(changed = done.join(", "), "configuration reloaded");
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "changed keys that need a restart");
        }
    }
}

/// Names of keys whose values differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    done: Vec<&'static str>,
    /// For a restart.
    waiting: Vec<&'static str>,
}

/// The configuration in force, with those values of the wanted one that it can take.
fn merge(old: &Config, wanted: &Config) -> (Config, Changes) {
    let (mut config, mut changes) = (old.clone(), Changes::default());
    for key in KEYS {
        let value = key.toml(wanted);
        if value == key.toml(old) {
            continue;
        }
        if key.is_live {
            key.assign(&mut config, &value);
            changes.done.push(key.name);
        } else {
            changes.waiting.push(key.name);
        }
    }
    (config, changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_change_stays_and_is_named() {
        let old = Config::default();
        let mut wanted = Config::default();
        for key in KEYS {
            let changed = match key.default {
                "true" => "false",
                "false" => "true",
                "0" => "1",
                "[]" if key.name == "social.oidc" => {
                    r#"[{ name = "a", issuer = "b", audience = "c", jwks_url = "https://d/" }]"#
                }
                "[]" => r#"["Name=value"]"#,
                "{}" => "{ per_sec = 1, burst = 2 }",
                "\"immediate\"" => "\"compatible\"",
                "\"info\"" => "\"debug\"",
                "\"text\"" => "\"json\"",
                "\"local\"" => "\"spread\"",
                "\"any\"" => "0",
                text if text.ends_with(":7350\"") || text.ends_with(":7351\"") => "\"127.0.0.1:1\"",
                "\"\"" => "\"https://a/\"",
                text if text.starts_with('"') => "\"other\"",
                text if text.starts_with('{') => "{}",
                _ => "5",
            };
            // The ratio is at most 1.
            key.assign(
                &mut wanted,
                if key.name == "traces.sample_ratio" { "0.5" } else { changed },
            );
        }
        let (config, changes) = merge(&old, &wanted);
        assert_eq!(changes.done.len() + changes.waiting.len(), KEYS.len());
        for key in KEYS {
            let (from, other) = if key.is_live { (&wanted, &old) } else { (&old, &wanted) };
            assert_eq!(key.toml(&config), key.toml(from), "{}", key.name);
            assert_ne!(key.toml(&config), key.toml(other), "{}", key.name);
            assert_eq!(changes.done.contains(&key.name), key.is_live, "{}", key.name);
        }
        assert_eq!(merge(&old, &old).1, Changes::default());
    }
}
