//! Configuration: defaults, then the file, then flags.

mod rates;
mod social;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use base::id::SHARDS_MAX;
use base::limits::TOKEN_LIFE_MAX;
use serde::Deserialize;

use rates::RateLimit;
use social::Social;

/// A game backend in one binary: accounts, matchmaking, relayed matches, durable in one folder.
#[derive(clap::Parser, Debug)]
#[command(version)]
pub(crate) struct Flags {
    /// Folder that keeps everything; made when it is not there [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of HTTP and WebSocket; port 0 takes a free one [default: 127.0.0.1:7350]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Shards, a thread pinned to a core each, 1 to 256 [default: one for each core, from 4 cores
    /// on one less]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Refuse to start with a default key
    #[arg(long)]
    production: bool,
}

/// The whole configuration. Keys and defaults are Nakama's where the meaning is the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Node name, 1 to 16 bytes; hashed into session ids.
    pub name: String,
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// Number of shards; 0 chooses by the number of cores.
    pub shards: usize,
    pub production: bool,
    pub session: Session,
    pub socket: Socket,
    pub password: Password,
    pub social: Social,
    pub rate_limit: RateLimit,
    pub matchmaker: Matchmaker,
    pub placement: Placement,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Session {
    /// Key of session and matchmaker tokens (HS256).
    pub encryption_key: String,
    /// Life of a session token.
    pub token_expiry_sec: u64,
    /// Key of refresh tokens (HS256); must differ.
    pub refresh_encryption_key: String,
    /// Life of a refresh token.
    pub refresh_token_expiry_sec: u64,
    /// Earlier keys of session tokens: tokens of theirs are good until they expire.
    pub earlier_encryption_keys: Vec<String>,
    /// Earlier keys of refresh tokens.
    pub earlier_refresh_encryption_keys: Vec<String>,
    /// A sign-in ends all earlier tokens of its user.
    pub single_session: bool,
    /// A new socket closes the older ones of its user.
    pub single_socket: bool,
    /// PEM files of Ed25519 private keys: the first signs tokens for dedicated servers, all of them
    /// are published. Empty: one that is made in the data folder.
    pub server_token_key_files: Vec<PathBuf>,
    /// Life of a token for a dedicated server.
    pub server_token_expiry_sec: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Password {
    /// Threads that hash passwords, 19 MiB each when the first password comes; 0: one for every
    /// four cores.
    pub threads: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Socket {
    /// User part of the Basic credentials of authentication calls.
    pub server_key: String,
    /// Largest WebSocket message of a client.
    pub max_message_size_bytes: usize,
    /// Largest HTTP body.
    pub max_request_size_bytes: usize,
    /// How long a request may take to arrive.
    pub read_timeout_ms: u64,
    /// How long a response may take to leave.
    pub write_timeout_ms: u64,
    /// How long a connection may stay without a request.
    pub idle_timeout_ms: u64,
    /// How long a WebSocket message may take to leave.
    pub write_wait_ms: u64,
    /// How long a WebSocket may stay without an answer to a ping.
    pub pong_wait_ms: u64,
    /// Time between pings; less than `pong_wait_ms`.
    pub ping_period_ms: u64,
    /// Messages after which a WebSocket counts as alive, pong or not.
    pub ping_backoff_threshold: u32,
    /// How long a closed WebSocket waits for the client's close frame.
    pub close_ack_wait_ms: u64,
    /// Messages that wait for a slow reader before it is dropped.
    pub outgoing_queue_size: usize,
    /// Proxies of our own in front of us, for `X-Forwarded-For`.
    pub proxy_count: usize,
    /// Bytes that wait for a slow reader before it is dropped.
    pub outgoing_buffer_size_bytes: usize,
    /// WebSocket frames of one client in a second, and at once; 0 does not count them.
    pub max_frames_per_sec: u32,
    /// Header fields of every response that does not set them itself: `Name=value`.
    pub response_headers: Vec<Header>,
    /// PEM file of the certificate and what follows it in its chain. Empty: no TLS.
    pub ssl_certificate: PathBuf,
    /// PEM file of its private key. Both are read again when they change, and at SIGHUP.
    pub ssl_private_key: PathBuf,
}

/// A header field of responses, written `Name=value`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Header(pub (String, String));

impl TryFrom<String> for Header {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Header> {
        text.parse()
    }
}

impl FromStr for Header {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Header> {
        let Some((name, value)) = text.split_once('=') else {
            bail!("response_headers: {text:?} is not Name=value");
        };
        let is_framing = ["connection", "content-length", "transfer-encoding"]
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing));
        ensure!(
            !name.is_empty() && name.bytes().all(net::http::is_token) && !is_framing,
            "response_headers: {name:?} is no name of a field that may be set"
        );
        let is_plain = value.chars().all(|letter| letter == '\t' || !letter.is_control());
        ensure!(is_plain, "response_headers: the value of {name} has control characters");
        Ok(Header((name.to_owned(), value.trim().to_owned())))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Matchmaker {
    pub mode: Mode,
    /// Tickets of one session.
    pub max_tickets: usize,
    /// Time between passes.
    pub interval_sec: u64,
    /// Passes as an active ticket, before fewer than the maximum are accepted.
    pub max_intervals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// A full match forms as soon as it exists.
    Immediate,
    /// Everything happens at the interval, as in Nakama.
    Compatible,
}

/// Where things are born that could be born anywhere. For tests of work across cores: the defaults
/// keep things on the core that first sees them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Placement {
    pub sessions: Sessions,
    /// Shard of all random matches.
    pub matches: Option<usize>,
    /// Shard of the ticket pool.
    pub queue: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sessions {
    /// On the core that accepted the connection.
    #[default]
    Local,
    /// On every shard in turn.
    Spread,
}

const SERVER_KEY: &str = "defaultkey";
const ENCRYPTION_KEY: &str = "defaultencryptionkey";
const REFRESH_ENCRYPTION_KEY: &str = "defaultrefreshencryptionkey";

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "nakama".into(),
            data_dir: "data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7350)),
            shards: 0,
            production: false,
            session: Session::default(),
            password: Password::default(),
            social: Social::default(),
            rate_limit: RateLimit::default(),
            socket: Socket::default(),
            matchmaker: Matchmaker::default(),
            placement: Placement::default(),
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Session {
            encryption_key: ENCRYPTION_KEY.into(),
            token_expiry_sec: 60,
            refresh_encryption_key: REFRESH_ENCRYPTION_KEY.into(),
            refresh_token_expiry_sec: 3600,
            earlier_encryption_keys: Vec::new(),
            earlier_refresh_encryption_keys: Vec::new(),
            single_session: false,
            single_socket: false,
            server_token_key_files: Vec::new(),
            server_token_expiry_sec: 60,
        }
    }
}

impl Default for Socket {
    fn default() -> Self {
        Socket {
            server_key: SERVER_KEY.into(),
            max_message_size_bytes: 4096,
            max_request_size_bytes: 262_144,
            read_timeout_ms: 10_000,
            write_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            write_wait_ms: 5_000,
            pong_wait_ms: 25_000,
            ping_period_ms: 15_000,
            ping_backoff_threshold: 20,
            close_ack_wait_ms: 2_000,
            outgoing_queue_size: 64,
            proxy_count: 1,
            outgoing_buffer_size_bytes: 1 << 20,
            max_frames_per_sec: 20_000,
            response_headers: Vec::new(),
            ssl_certificate: PathBuf::new(),
            ssl_private_key: PathBuf::new(),
        }
    }
}

impl Default for Matchmaker {
    fn default() -> Self {
        Matchmaker { mode: Mode::Immediate, max_tickets: 3, interval_sec: 15, max_intervals: 2 }
    }
}

/// Reads the file, lets the flags override it, and checks every value.
pub(crate) fn load(flags: &Flags) -> Result<Config> {
    let mut config = match &flags.config {
        None => Config::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            parse(&text).with_context(|| format!("in {}", path.display()))?
        }
    };
    if let Some(data_dir) = &flags.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    config.listen = flags.listen.unwrap_or(config.listen);
    config.shards = flags.shards.unwrap_or(config.shards);
    ensure!(flags.shards != Some(0), "--shards is 0, and has to be 1 to {SHARDS_MAX}");
    config.production |= flags.production;
    if config.shards == 0 {
        config.shards = match crate::executor::allowed_cores().len() {
            few @ 0..4 => few.max(1),
            many => (many - 1).min(SHARDS_MAX),
        };
    }
    config.check()?;
    Ok(config)
}

fn parse(text: &str) -> Result<Config> {
    Ok(toml::from_str(text)?)
}

impl Config {
    fn check(&self) -> Result<()> {
        ensure!((1..=16).contains(&self.name.len()), "name has to be 1 to 16 bytes long");
        ensure!(self.shards <= SHARDS_MAX, "shards is {}, at most {SHARDS_MAX}", self.shards);
        for (key, value) in [
            ("session.encryption_key", &self.session.encryption_key),
            ("session.refresh_encryption_key", &self.session.refresh_encryption_key),
            ("socket.server_key", &self.socket.server_key),
        ] {
            ensure!(!value.is_empty(), "{key} must not be empty");
        }
        let Session { encryption_key, refresh_encryption_key, .. } = &self.session;
        let session_keys = self.session.earlier_encryption_keys.iter().chain([encryption_key]);
        let refresh_keys: Vec<_> = self
            .session
            .earlier_refresh_encryption_keys
            .iter()
            .chain([refresh_encryption_key])
            .collect();
        for key in session_keys {
            ensure!(
                !key.is_empty() && !refresh_keys.contains(&key),
                "session.encryption_key and session.refresh_encryption_key have to differ, and \
                 no earlier key can be empty or of both"
            );
        }
        ensure!(
            refresh_keys.iter().all(|key| !key.is_empty()),
            "session.earlier_refresh_encryption_keys has an empty key"
        );
        let threads = self.password.threads;
        ensure!(threads <= 64, "password.threads is {threads}, and has to be 0 to 64");
        self.social.check()?;
        let has_path = |path: &PathBuf| !path.as_os_str().is_empty();
        ensure!(
            has_path(&self.socket.ssl_certificate) == has_path(&self.socket.ssl_private_key),
            "socket.ssl_certificate and socket.ssl_private_key go together: one of them is empty"
        );
        self.rate_limit.check()?;
        let Socket { pong_wait_ms, ping_period_ms, .. } = self.socket;
        for (key, value, most) in [
            ("session.token_expiry_sec", self.session.token_expiry_sec, TOKEN_LIFE_MAX),
            (
                "session.refresh_token_expiry_sec",
                self.session.refresh_token_expiry_sec,
                TOKEN_LIFE_MAX,
            ),
            (
                "session.server_token_expiry_sec",
                self.session.server_token_expiry_sec,
                TOKEN_LIFE_MAX,
            ),
            ("socket.max_message_size_bytes", self.socket.max_message_size_bytes as u64, 16 << 20),
            ("socket.max_request_size_bytes", self.socket.max_request_size_bytes as u64, 64 << 20),
            ("socket.read_timeout_ms", self.socket.read_timeout_ms, DAY_MS),
            ("socket.write_timeout_ms", self.socket.write_timeout_ms, DAY_MS),
            ("socket.idle_timeout_ms", self.socket.idle_timeout_ms, DAY_MS),
            ("socket.write_wait_ms", self.socket.write_wait_ms, DAY_MS),
            ("socket.pong_wait_ms", pong_wait_ms, DAY_MS),
            ("socket.ping_period_ms", ping_period_ms, DAY_MS),
            ("socket.ping_backoff_threshold", self.socket.ping_backoff_threshold.into(), 1 << 31),
            ("socket.close_ack_wait_ms", self.socket.close_ack_wait_ms, DAY_MS),
            ("socket.outgoing_queue_size", self.socket.outgoing_queue_size as u64, 1 << 20),
            (
                "socket.outgoing_buffer_size_bytes",
                self.socket.outgoing_buffer_size_bytes as u64,
                1 << 30,
            ),
            ("matchmaker.max_tickets", self.matchmaker.max_tickets as u64, 1 << 20),
            ("matchmaker.interval_sec", self.matchmaker.interval_sec, DAY_MS / 1000),
            ("matchmaker.max_intervals", self.matchmaker.max_intervals.into(), 1 << 31),
        ] {
            ensure!((1..=most).contains(&value), "{key} is {value}, and has to be 1 to {most}");
        }
        ensure!(
            ping_period_ms < pong_wait_ms,
            "socket.ping_period_ms is {ping_period_ms}, and has to be less than \
             socket.pong_wait_ms, {pong_wait_ms}"
        );
        for (key, shard) in [
            ("placement.matches", self.placement.matches),
            ("placement.queue", self.placement.queue),
        ] {
            if let Some(shard) = shard {
                let count = self.shards;
                ensure!(shard < count, "{key} is {shard}, and has to be below the {count} shards");
            }
        }
        let defaults = self.default_keys();
        if self.production && !defaults.is_empty() {
            bail!("a default key is refused in production: set {}", defaults.join(", "));
        }
        Ok(())
    }

    /// Keys that everybody knows, earlier ones too: whoever knows one signs tokens of anybody.
    pub(crate) fn default_keys(&self) -> Vec<&'static str> {
        let session = &self.session;
        let known = [ENCRYPTION_KEY, REFRESH_ENCRYPTION_KEY];
        let is_known = |key: &String| known.contains(&key.as_str());
        let mut keys = Vec::new();
        if self.socket.server_key == SERVER_KEY {
            keys.push("socket.server_key");
        }
        for (name, is_default) in [
            ("session.encryption_key", is_known(&session.encryption_key)),
            ("session.refresh_encryption_key", is_known(&session.refresh_encryption_key)),
            (
                "session.earlier_encryption_keys",
                session.earlier_encryption_keys.iter().any(is_known),
            ),
            (
                "session.earlier_refresh_encryption_keys",
                session.earlier_refresh_encryption_keys.iter().any(is_known),
            ),
        ] {
            if is_default {
                keys.push(name);
            }
        }
        keys
    }
}

const DAY_MS: u64 = 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let checked = parse(text).and_then(|config| config.check());
        format!("{:#}", checked.expect_err("the text is refused"))
    }

    #[test]
    fn defaults_and_every_section_are_accepted() {
        let text = r#"
            name = "nakama1"
            shards = 4
            [session]
            token_expiry_sec = 7200
            [socket]
            outgoing_queue_size = 16
            response_headers = ["X-Extra=one", "X-Empty=", "X-Two=a=b "]
            [matchmaker]
            mode = "compatible"
            interval_sec = 1
            [placement]
            sessions = "spread"
            queue = 3
        "#;
        let config = parse(text).expect("the text is well-formed");
        config.check().expect("the values are in range");
        assert_eq!(config.session.token_expiry_sec, 7200);
        assert_eq!(config.matchmaker.mode, Mode::Compatible);
        let headers: Vec<_> =
            config.socket.response_headers.iter().map(|header| &header.0).collect();
        let expected = [("X-Extra", "one"), ("X-Empty", ""), ("X-Two", "a=b")];
        assert!(headers.into_iter().map(|(name, value)| (&**name, &**value)).eq(expected));
        assert_eq!(config.default_keys().len(), 3);
    }

    #[test]
    fn a_refusal_names_the_key() {
        let check = |text: &str, part: &str| {
            let refusal = refusal(text);
            assert!(refusal.contains(part), "{text}: {refusal}");
        };
        check("[socket]\nprot = 1", "unknown field `prot`");
        check("[matchmaker]\nmode = \"fast\"", "unknown variant `fast`");
        check("[session]\ntoken_expiry_sec = \"x\"", "token_expiry_sec");
        check("[session]\ntoken_expiry_sec = 0", "session.token_expiry_sec is 0");
        check("[socket]\nping_period_ms = 25000", "less than socket.pong_wait_ms");
        check("[session]\nencryption_key = \"\"", "session.encryption_key must not be empty");
        check("[session]\nencryption_key = \"defaultrefreshencryptionkey\"", "have to differ");
        check("shards = 257", "at most 256");
        check("shards = 2\n[placement]\nqueue = 2", "placement.queue is 2");
        check("name = \"\"", "name has to be");
        check("[socket]\nresponse_headers = [\"X\"]", "\"X\" is not Name=value");
        check("[socket]\nresponse_headers = [\"A: b=c\"]", "\"A: b\" is no name");
        check("[socket]\nresponse_headers = [\"=c\"]", "\"\" is no name");
        check("[socket]\nresponse_headers = [\"Content-Length=1\"]", "is no name of a field");
        check("[socket]\nresponse_headers = [\"X=a\\r\\nY: b\"]", "control characters");
        check("[socket]\nmax_frames_per_sec = -1", "max_frames_per_sec");
        check("[socket]\noutgoing_buffer_size_bytes = 0", "outgoing_buffer_size_bytes is 0");
        check("[socket]\nssl_certificate = \"a.pem\"", "socket.ssl_private_key go together");
        check("[socket]\nssl_private_key = \"a.key\"", "socket.ssl_private_key go together");
        check("production = true", "socket.server_key, session.encryption_key");
        let rotated = "production = true
            [socket]
            server_key = \"ours\"
            [session]
            encryption_key = \"ours\"
            refresh_encryption_key = \"ours too\"
            earlier_encryption_keys = [\"defaultencryptionkey\"]";
        check(rotated, "session.earlier_encryption_keys");
        check("listen = \"nowhere\"", "listen");
    }
}
