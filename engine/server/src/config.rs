//! Configuration: one table of keys, from which its sources, checks and documents derive.

mod check;
pub(crate) mod command_line;
mod file;
mod keys;
mod listing;
mod problem;
mod rates;
#[cfg(test)]
mod reference;
#[macro_use]
mod setting;
mod social;
mod source;
mod tables;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use base::Secret;
use base::id::SHARDS_MAX;

pub(crate) use keys::{KEYS, Key};
pub(crate) use listing::{Shown, show};
pub(crate) use problem::escape;
#[cfg(test)]
pub(crate) use source::Origin;
pub(crate) use source::{Loaded, Sources};

use rates::RateLimit;
use setting::{Kind, Setting, Value, Wrong, quote, text};
use social::Social;
use tables::Declared;

/// The whole configuration; what its fields mean, and their defaults, stand in [`KEYS`]. The
/// `Default` of a section has none of them.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub name: String,
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    /// 0 chooses by the number of cores: see [`Config::shard_count`].
    pub shards: usize,
    pub production: bool,
    pub queues: Declared,
    pub leaderboards: Declared,
    pub tournaments: Declared,
    pub session: Session,
    pub socket: Socket,
    pub console: Console,
    pub password: Password,
    pub rate_limit: RateLimit,
    pub social: Social,
    pub store: Store,
    pub matchmaker: Matchmaker,
    pub logger: Logger,
    pub traces: Traces,
    pub placement: Placement,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub encryption_key: Secret,
    pub token_expiry_sec: u64,
    pub refresh_encryption_key: Secret,
    pub refresh_token_expiry_sec: u64,
    pub earlier_encryption_keys: Vec<Secret>,
    pub earlier_refresh_encryption_keys: Vec<Secret>,
    pub single_session: bool,
    pub single_socket: bool,
    pub single_party: bool,
    pub server_token_key_files: Vec<PathBuf>,
    pub server_token_expiry_sec: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Socket {
    pub server_key: Secret,
    pub max_message_size_bytes: usize,
    pub max_request_size_bytes: usize,
    pub read_timeout_ms: u64,
    pub write_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub write_wait_ms: u64,
    pub pong_wait_ms: u64,
    pub ping_period_ms: u64,
    pub ping_backoff_threshold: u32,
    pub close_ack_wait_ms: u64,
    pub outgoing_queue_size: usize,
    pub proxy_count: usize,
    pub outgoing_buffer_size_bytes: usize,
    pub max_frames_per_sec: u32,
    pub response_headers: Vec<Header>,
    pub ssl_certificate: PathBuf,
    pub ssl_private_key: PathBuf,
}

/// A header field, written `Name=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header(pub (String, String));

#[derive(Clone, Debug, Default)]
pub(crate) struct Console {
    pub token_expiry_sec: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Password {
    pub threads: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub archive_dir: PathBuf,
    pub backup_dir: PathBuf,
    pub backup_key_file: PathBuf,
    pub backlog_bytes: u64,
    pub min_free_bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Matchmaker {
    pub mode: Mode,
    pub max_tickets: usize,
    pub interval_sec: u64,
    pub max_intervals: u32,
    pub rev_precision: bool,
    pub rev_threshold: u32,
    /// Where a game's own server is told of its tickets; empty: nowhere. It may hold a key.
    pub webhook_url: Secret,
    /// The key that signs what it is told.
    pub webhook_secret: Secret,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A full match forms as soon as it exists.
    #[default]
    Immediate,
    /// Everything happens at the interval, as in Nakama.
    Compatible,
}

words!(Mode { "immediate" => Immediate, "compatible" => Compatible });

#[derive(Clone, Debug, Default)]
pub(crate) struct Logger {
    pub level: Level,
    pub format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

words!(Level { "debug" => Debug, "info" => Info, "warn" => Warn, "error" => Error });

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

words!(Format { "text" => Text, "json" => Json });

#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    /// Some collectors have their key in it.
    pub endpoint: Secret,
    pub sample_ratio: f64,
    /// `Name=value` each.
    pub headers: Vec<Secret>,
}

impl Traces {
    pub(crate) fn sampling(&self) -> shard::Sampling {
        let is_on = !self.endpoint.0.is_empty();
        shard::Sampling::of_ratio(if is_on { self.sample_ratio } else { 0.0 })
    }

    /// What the sidecar is told, if there is a collector.
    fn settings(&self, instance: &str) -> Option<sidecar::Traces> {
        let split = |header: &Secret| {
            let (name, value) = header.0.split_once('=').unwrap_or_default();
            (name.to_owned(), Secret::from(value.trim()))
        };
        (!self.endpoint.0.is_empty()).then(|| sidecar::Traces {
            endpoint: self.endpoint.0.clone(),
            headers: self.headers.iter().map(split).collect(),
            instance: instance.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Placement {
    pub sessions: Sessions,
    pub matches: Option<usize>,
    pub queue: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// On the core that accepted the connection.
    #[default]
    Local,
    /// On every shard in turn.
    Spread,
}

words!(Sessions { "local" => Local, "spread" => Spread });

/// All keys have their defaults.
impl Default for Config {
    fn default() -> Self {
        let mut config = Config {
            name: String::new(),
            data_dir: PathBuf::new(),
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            admin_listen: None,
            shards: 0,
            production: false,
            queues: Declared::default(),
            leaderboards: Declared::default(),
            tournaments: Declared::default(),
            session: Session::default(),
            socket: Socket::default(),
            console: Console::default(),
            password: Password::default(),
            rate_limit: RateLimit::default(),
            social: Social::default(),
            store: Store::default(),
            matchmaker: Matchmaker::default(),
            logger: Logger::default(),
            traces: Traces::default(),
            placement: Placement::default(),
        };
        for key in KEYS {
            key.assign(&mut config, key.default);
        }
        config
    }
}

impl Config {
    /// How many shards there are.
    pub(crate) fn shard_count(&self) -> usize {
        match self.shards {
            0 => match crate::executor::allowed_cores().len() {
                few @ 0..4 => few.max(1),
                many => (many - 1).min(SHARDS_MAX),
            },
            count => count,
        }
    }

    pub(crate) fn sidecar_settings(&self) -> sidecar::Settings {
        let traces = self.traces.settings(&self.name);
        sidecar::Settings { traces, webhook: self.webhook(), ..self.social.settings() }
    }

    /// What the sidecar is told, if there is a webhook.
    pub(crate) fn webhook(&self) -> Option<sidecar::Webhook> {
        let Matchmaker { webhook_url, webhook_secret, .. } = &self.matchmaker;
        (!webhook_url.0.is_empty()).then(|| sidecar::Webhook {
            url: webhook_url.0.clone(),
            secret: webhook_secret.clone(),
        })
    }

    pub(crate) fn has_tls(&self) -> bool {
        !self.socket.ssl_certificate.as_os_str().is_empty()
    }

    /// Keys that everybody knows, earlier ones too: whoever knows one signs tokens of anybody.
    pub(crate) fn default_keys(&self) -> Vec<&'static str> {
        let mut config = self.clone();
        let known =
            ["\"defaultkey\"", "\"defaultencryptionkey\"", "\"defaultrefreshencryptionkey\""];
        let is_known = |key: &&Key| {
            let text = (key.field)(&mut config).toml();
            key.is_secret && known.iter().any(|known| text.contains(known))
        };
        KEYS.iter().filter(is_known).map(|key| key.name).collect()
    }
}

impl Header {
    /// Reads `Name=value`, or says why it is none that may be set.
    fn parse(text: &str) -> Result<Header, &'static str> {
        let Some((name, value)) = text.split_once('=') else {
            return Err("lacks the equals sign");
        };
        let is_framing = ["connection", "content-length", "transfer-encoding"]
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing));
        if name.is_empty() || !name.bytes().all(net::http::is_token) || is_framing {
            return Err("has no name of a field that may be set");
        }
        if !value.chars().all(|letter| letter == '\t' || !letter.is_control()) {
            return Err("has control characters");
        }
        Ok(Header((name.to_owned(), value.trim().to_owned())))
    }
}
