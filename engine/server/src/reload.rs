//! SIGHUP: the configuration is read again, and what may change while the server runs does.

use std::io;
use std::sync::{Arc, PoisonError};

use crossbeam_channel::Sender;

use crate::bus::Mail;
use crate::config::{Config, KEYS, Loaded, Shown, Sources, escape};
use crate::logger::Logger;
use crate::process::{Fixed, Shared, shard_config};
use crate::server_key;

/// What every core is told.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub config: Config,
    pub shard: Arc<shard::Config>,
}

/// Lives on a thread of its own, so that slow files keep nobody from stopping the server.
pub(crate) struct Reloader {
    pub sources: Sources,
    /// What is in force.
    pub loaded: Loaded,
    pub logger: Logger,
    pub shared: Arc<Shared>,
    pub fixed: Fixed,
}

impl Reloader {
    /// Starts the thread that reloads at each request. One that waits already is enough.
    pub(crate) fn start(mut self) -> io::Result<Sender<()>> {
        let (sender, requests) = crossbeam_channel::bounded(1);
        let run = move || requests.iter().for_each(|()| self.reload());
        std::thread::Builder::new().name("reload".into()).spawn(run)?;
        Ok(sender)
    }

    /// Takes over what has changed, or nothing if anything is wrong.
    fn reload(&mut self) {
        match self.read() {
            Ok((loaded, shard, changes)) => self.take_over(loaded, shard, &changes),
            Err(problems) => {
                for problem in problems {
                    tracing::error!("configuration not reloaded: {problem}");
                }
            }
        }
    }

    fn read(&self) -> Result<(Loaded, Arc<shard::Config>, Changes), Vec<String>> {
        let (loaded, changes) = merge(&self.loaded, &self.sources.load()?);
        // A key that waits for the restart may contradict one that does not.
        let loaded = loaded.check_reload()?;
        let mut shard = shard_config(&loaded.config, &self.fixed);
        if !loaded.config.session.server_token_key_files.is_empty() {
            let keys = server_key::load(&loaded.config);
            let keys = keys.map_err(|error| vec![escape(&format!("{error:#}"))])?;
            shard.server_keys = Arc::new(keys);
        }
        Ok((loaded, Arc::new(shard), changes))
    }

    fn take_over(&mut self, loaded: Loaded, shard: Arc<shard::Config>, changes: &Changes) {
        self.logger.set_level(loaded.config.logger.level);
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown::of(&loaded);
        let reloaded = Arc::new(Reloaded { config: loaded.config.clone(), shard });
        self.loaded = loaded;
        for mailbox in self.shared.bus.iter() {
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
fn merge(old: &Loaded, wanted: &Loaded) -> (Loaded, Changes) {
    let (mut merged, mut changes) = (old.clone(), Changes::default());
    let origins = merged.origins.iter_mut().zip(&wanted.origins);
    for (key, (origin, wanted_origin)) in KEYS.iter().zip(origins) {
        let value = key.toml(&wanted.config);
        let is_changed = value != key.toml(&old.config);
        if is_changed && !key.is_live {
            changes.waiting.push(key.name);
            continue;
        }
        origin.clone_from(wanted_origin);
        if is_changed {
            key.assign(&mut merged.config, &value);
            changes.done.push(key.name);
        }
    }
    (merged, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

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
                "[]" if key.name == "queues" => {
                    r#"[{ id = "duel", teams = [{ name = "a", max = 2 }] }]"#
                }
                "[]" if key.name == "leaderboards" => r#"[{ id = "points" }]"#,
                "[]" if key.name == "tournaments" => r#"[{ id = "cup", duration = 60 }]"#,
                "[]" => r#"["Name=value"]"#,
                "{}" => "{ per_sec = 1, burst = 2 }",
                "\"immediate\"" => "\"compatible\"",
                "\"info\"" => "\"debug\"",
                "\"text\"" => "\"json\"",
                "\"local\"" => "\"spread\"",
                "\"any\"" => "0",
                "1073741824" => "1073741825",
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
        let loaded = |config: &Config| Loaded {
            config: config.clone(),
            origins: vec![Origin::Default; KEYS.len()],
        };
        let (Loaded { config, .. }, changes) = merge(&loaded(&old), &loaded(&wanted));
        assert_eq!(changes.done.len() + changes.waiting.len(), KEYS.len());
        for key in KEYS {
            let (from, other) = if key.is_live { (&wanted, &old) } else { (&old, &wanted) };
            assert_eq!(key.toml(&config), key.toml(from), "{}", key.name);
            assert_ne!(key.toml(&config), key.toml(other), "{}", key.name);
            assert_eq!(changes.done.contains(&key.name), key.is_live, "{}", key.name);
        }
        assert_eq!(merge(&loaded(&old), &loaded(&old)).1, Changes::default());
    }
}
