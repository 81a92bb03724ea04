//! What several keys have to be together, and what they name outside.

use base::Secret;

use super::source::Origin;
use super::{Config, KEYS, Loaded};
use crate::certificate::Certificate;
use crate::server_key;

impl Loaded {
    /// The same, or what is wrong between keys that are right each by itself.
    pub(crate) fn check(self) -> Result<Loaded, Vec<String>> {
        let problems = check_together(&self);
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

fn check_together(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    let mut refuse = |key: &str, what: String| {
        let index = KEYS.iter().position(|other| other.name == key);
        let origin = index.map_or(&Origin::Default, |index| &loaded.origins[index]);
        problems.push(match origin {
            Origin::File { .. } => format!("{origin}: {key}: {what}"),
            Origin::Default => format!("{key}: {what}"),
            Origin::Environment(_) | Origin::Flag(_) => format!("{origin}: {what}"),
        });
    };
    if let Some(key) = shared_key(config) {
        let what = "a key of session tokens is one of refresh tokens too, and has to differ: \
                    session.encryption_key, session.earlier_encryption_keys, \
                    session.refresh_encryption_key, session.earlier_refresh_encryption_keys";
        refuse(key, what.into());
    }
    let socket = &config.socket;
    let (ping, pong) = (socket.ping_period_ms, socket.pong_wait_ms);
    if ping >= pong {
        let what = format!("{ping} has to be less than socket.pong_wait_ms, {pong}");
        refuse("socket.ping_period_ms", what);
    }
    let has_key = !socket.ssl_private_key.as_os_str().is_empty();
    if config.has_tls() != has_key {
        let (set, empty) = match has_key {
            true => ("socket.ssl_private_key", "socket.ssl_certificate"),
            false => ("socket.ssl_certificate", "socket.ssl_private_key"),
        };
        refuse(set, format!("goes together with {empty}, which is empty"));
    }
    let count = config.shard_count();
    for (key, shard) in [
        ("placement.matches", config.placement.matches),
        ("placement.queue", config.placement.queue),
    ] {
        if let Some(shard) = shard.filter(|shard| *shard >= count) {
            refuse(key, format!("{shard} has to be below the number of shards, {count}"));
        }
    }
    let issuers = &config.social.oidc;
    for (index, issuer) in issuers.iter().enumerate() {
        if issuers[..index].iter().any(|other| other.name == issuer.name) {
            refuse("social.oidc", format!("two issuers have the name {:?}", issuer.name));
        }
    }
    let defaults = config.default_keys();
    if config.production && !defaults.is_empty() {
        let what = format!("a default key is refused in production: set {}", defaults.join(", "));
        refuse("production", what);
    }
    problems
}

/// The name of a key that signs tokens of both kinds.
fn shared_key(config: &Config) -> Option<&'static str> {
    let session = &config.session;
    let is_of_refresh = |key: &Secret| {
        session.refresh_encryption_key == *key
            || session.earlier_refresh_encryption_keys.contains(key)
    };
    if is_of_refresh(&session.encryption_key) {
        return Some("session.encryption_key");
    }
    let is_shared = session.earlier_encryption_keys.iter().any(is_of_refresh);
    is_shared.then_some("session.earlier_encryption_keys")
}

/// What a start would refuse of what the keys name: files, and addresses of providers.
pub(crate) fn check_files(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = Certificate::check(config) {
        problems.push(format!("{error:#}"));
    }
    if let Err(error) = server_key::check(config) {
        problems.push(format!("{error:#}"));
    }
    if let Err(error) = config.social.settings().check() {
        problems.push(format!("social: {error}"));
    }
    problems
}
