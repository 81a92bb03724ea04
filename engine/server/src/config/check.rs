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

    /// The same, or what a start would refuse of what its keys name: files, and addresses of
    /// providers.
    pub(crate) fn check_files(self) -> Result<Loaded, Vec<String>> {
        let mut problems = Vec::new();
        if let Err(error) = Certificate::check(&self.config) {
            problems.push(format!("{error:#}"));
        }
        if let Err(error) = server_key::check(&self.config) {
            problems.push(format!("session.server_token_key_files: {error:#}"));
        }
        if let Err(error) = self.config.social.settings().check() {
            problems.push(social_problem(&error.to_string()));
        }
        let traces = self.config.sidecar_settings().traces;
        if let Some(Err(error)) = traces.map(|traces| traces.check()) {
            problems.push(trace_problem(error.to_string()));
        }
        let problems: Vec<_> = problems.into_iter().map(|problem| self.place(problem)).collect();
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// The sentence, which begins with the name of a key, behind the place where its value stands:
    /// a variable and a flag are that name.
    fn place(&self, sentence: String) -> String {
        for (key, origin) in KEYS.iter().zip(&self.origins) {
            let rest = sentence.strip_prefix(key.name);
            if let Some(rest) = rest.filter(|rest| rest.starts_with([':', ','])) {
                return match origin {
                    Origin::Default => sentence,
                    Origin::File { .. } => format!("{origin}: {sentence}"),
                    Origin::Environment(_) | Origin::Flag(_) => format!("{origin}{rest}"),
                };
            }
        }
        sentence
    }
}

/// What the sidecar says of its settings, by the names of our keys.
fn social_problem(sentence: &str) -> String {
    let (setting, what) = sentence.split_once(' ').unwrap_or((sentence, ""));
    let name = format!("social.endpoints.{}", setting.replace('.', "_"));
    if KEYS.iter().any(|key| key.name == name) {
        return format!("{name}: {what}");
    }
    format!("social.oidc: {sentence}")
}

fn trace_problem(sentence: String) -> String {
    match sentence.strip_prefix("traces.endpoint ") {
        Some(what) => format!("traces.endpoint: {what}"),
        None if sentence.starts_with("traces.headers: ") => sentence,
        None => format!("traces.headers: {sentence}"),
    }
}

fn check_together(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    let mut refuse =
        |key: &str, what: String| problems.push(loaded.place(format!("{key}: {what}")));
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
