//! What several keys have to be together, and what they name outside.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use base::Secret;

use super::problem::Problems;
use super::source::Origin;
use super::{KEYS, Loaded, escape};
use crate::certificate::Certificate;
use crate::{process, server_key};

impl Loaded {
    /// The same, or what is wrong with it beside a server that runs.
    pub(crate) fn check_reload(self) -> Result<Loaded, Vec<String>> {
        let mut problems = Problems::default();
        self.check_together(&mut problems);
        self.check_server_keys(&mut problems);
        if problems.is_empty() { Ok(self) } else { Err(problems.told()) }
    }

    /// Tells what a start would refuse of what keys name: files, and addresses of others.
    pub(super) fn check_files(&self, problems: &mut Problems) {
        for problem in Certificate::check(&self.config) {
            self.tell(problems, &problem, &[]);
        }
        self.check_server_keys(problems);
        for problem in self.config.social.settings().check().err().unwrap_or_default() {
            self.tell(problems, &social_problem(&problem), &[]);
        }
        let webhook = self.config.webhook().and_then(|webhook| webhook.check().err());
        for problem in webhook.unwrap_or_default() {
            self.tell(problems, &problem, &[]);
        }
        let traces = self.config.sidecar_settings().traces;
        let found = traces.and_then(|traces| traces.check().err());
        for problem in found.unwrap_or_default() {
            self.tell(problems, &trace_problem(problem), &[]);
        }
    }

    fn check_server_keys(&self, problems: &mut Problems) {
        for problem in server_key::check(&self.config) {
            self.tell(problems, &problem, &[]);
        }
    }

    /// Tells what is wrong between keys that are right each by itself.
    pub(super) fn check_together(&self, problems: &mut Problems) {
        let config = &self.config;
        let mut refuse = |key: &str, what: &str, others: &[&str]| {
            self.tell(problems, &format!("{key}: {what}"), others);
        };
        if let Some(admin) = config.admin_listen.filter(|admin| overlap(config.listen, *admin)) {
            let what = format!("{} has to differ from admin_listen, {admin}", config.listen);
            refuse("listen", &what, &["admin_listen"]);
        }
        if let Some(id) = self.shared_board() {
            let what = format!("{id} is a leaderboard, too: an id is that of one only");
            refuse("tournaments", &what, &["leaderboards"]);
        }
        if let Some((key, other)) = self.shared_key() {
            let what = "a key of session tokens is one of refresh tokens too, and has to differ: \
                        session.encryption_key, session.earlier_encryption_keys, \
                        session.refresh_encryption_key, session.earlier_refresh_encryption_keys";
            refuse(key, what, &[other]);
        }
        let socket = &config.socket;
        let (ping, pong) = (socket.ping_period_ms, socket.pong_wait_ms);
        if ping >= pong {
            let what = format!("{ping} has to be less than socket.pong_wait_ms, {pong}");
            refuse("socket.ping_period_ms", &what, &["socket.pong_wait_ms"]);
        }
        if config.session.single_party && !config.session.single_socket {
            let what = "goes together with session.single_socket, which is false";
            refuse("session.single_party", what, &["session.single_socket"]);
        }
        let has_key = !socket.ssl_private_key.as_os_str().is_empty();
        if config.has_tls() != has_key {
            let (set, empty) = match has_key {
                true => ("socket.ssl_private_key", "socket.ssl_certificate"),
                false => ("socket.ssl_certificate", "socket.ssl_private_key"),
            };
            refuse(set, &format!("goes together with {empty}, which is empty"), &[empty]);
        }
        let count = config.shard_count();
        for (key, shard) in [
            ("placement.matches", config.placement.matches),
            ("placement.queue", config.placement.queue),
        ] {
            if let Some(shard) = shard.filter(|shard| *shard >= count) {
                let what = format!("{shard} has to be below the number of shards, {count}");
                refuse(key, &what, &["shards"]);
            }
        }
        let mut defaults = config.default_keys();
        defaults.retain(|key| self.is_known(key));
        if config.production && !defaults.is_empty() {
            let defaults = defaults.join(", ");
            let what = format!("a default key is refused in production: set {defaults}");
            refuse("production", &what, &[]);
        }
    }

    /// Tells the sentence, which begins with the names of keys, unless it is about a key, one of
    /// these or of the others, of which nothing is known.
    fn tell(&self, problems: &mut Problems, sentence: &str, others: &[&str]) {
        let (names, _) = sentence.split_once(": ").unwrap_or_default();
        if names.split(", ").chain(others.iter().copied()).all(|name| self.is_known(name)) {
            problems.add(|| self.place(sentence));
        }
    }

    /// The sentence, which begins with the name of a key, behind the place where its value stands:
    /// a variable and a flag are that name.
    fn place(&self, sentence: &str) -> String {
        for (key, origin) in KEYS.iter().zip(&self.origins) {
            let rest = sentence.strip_prefix(key.name);
            if let Some(rest) = rest.filter(|rest| rest.starts_with([':', ','])) {
                return match origin {
                    Origin::Default | Origin::Unknown => sentence.to_owned(),
                    Origin::File { .. } => format!("{origin}: {sentence}"),
                    Origin::Environment(_) | Origin::Flag(_) => format!("{origin}{rest}"),
                };
            }
        }
        sentence.to_owned()
    }

    /// An id that a leaderboard and a tournament have.
    fn shared_board(&self) -> Option<String> {
        let boards = process::boards(&self.config);
        let ids = |is_tournament: bool| {
            let of_kind =
                boards.iter().filter(move |new| new.tournament.is_some() == is_tournament);
            of_kind.map(|new| new.id.as_str()).collect::<BTreeSet<_>>()
        };
        ids(true).intersection(&ids(false)).next().map(|id| escape(id))
    }

    /// The names of two keys, of session and of refresh tokens, that hold the same one.
    fn shared_key(&self) -> Option<(&'static str, &'static str)> {
        let session = &self.config.session;
        let one = std::slice::from_ref;
        let refresh: [(_, &[Secret]); 2] = [
            ("session.refresh_encryption_key", one(&session.refresh_encryption_key)),
            ("session.earlier_refresh_encryption_keys", &session.earlier_refresh_encryption_keys),
        ];
        let access: [(_, &[Secret]); 2] = [
            ("session.encryption_key", one(&session.encryption_key)),
            ("session.earlier_encryption_keys", &session.earlier_encryption_keys),
        ];
        for (name, keys) in access {
            for (other, others) in refresh {
                let is_shared = keys.iter().any(|key| others.contains(key));
                if is_shared && self.is_known(name) && self.is_known(other) {
                    return Some((name, other));
                }
            }
        }
        None
    }
}

/// Whether a connection could be for either.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // A socket of IPv6 takes those of IPv4, too.
    let takes = |one: IpAddr, other: IpAddr| {
        one == other || one.is_unspecified() && (one.is_ipv6() || other.is_ipv4())
    };
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let is_taken = takes(one_ip, other_ip) || takes(other_ip, one_ip);
    one.port() == other.port() && one.port() != 0 && is_taken
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
