//! The table of keys. A key is a row here and a field of [`Config`].

use api::console::read_queue;
use api::convert::board_config::{read_leaderboard, read_tournament};
use base::id::SHARDS_MAX;
use base::limits::{BOARDS_CONFIGURED_MAX, QUEUES_MAX, TOKEN_LIFE_MAX};
use toml::de::DeValue;

use super::setting::{Kind, Setting};
use super::tables::Tables;
use super::{Config, Format, Level, Mode, Sessions};

/// One key of the configuration.
pub(crate) struct Key {
    /// Its section and its name.
    pub name: &'static str,
    /// As TOML.
    pub default: &'static str,
    pub kind: Kind,
    pub field: fn(&mut Config) -> &mut dyn Setting,
    /// What it means.
    pub doc: &'static str,
    /// Nothing shows its value.
    pub is_secret: bool,
    /// SIGHUP can change it.
    pub is_live: bool,
}

impl Key {
    const fn new(
        name: &'static str,
        default: &'static str,
        kind: Kind,
        field: fn(&mut Config) -> &mut dyn Setting,
        doc: &'static str,
    ) -> Key {
        Key { name, default, kind, field, doc, is_secret: false, is_live: false }
    }

    const fn secret(self) -> Key {
        Key { is_secret: true, ..self }
    }

    const fn live(self) -> Key {
        Key { is_live: true, ..self }
    }

    /// The name of its environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("RINGMASTER_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// Its section, empty for none, and its name in there.
    pub(crate) fn section(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// Whether its values are texts, which need no quotes outside of files.
    pub(crate) fn is_text(&self) -> bool {
        match self.kind {
            Kind::Text { .. }
            | Kind::Word(_)
            | Kind::Path { .. }
            | Kind::Url
            | Kind::Address { .. }
            | Kind::Header => true,
            Kind::Flag
            | Kind::Whole { .. }
            | Kind::Number { .. }
            | Kind::List(_)
            | Kind::Rate
            | Kind::Shard
            | Kind::Issuer
            | Kind::Tables(_) => false,
        }
    }

    /// Sets the key to a value that [`Setting::toml`], or the table, has written.
    pub(crate) fn assign(&self, config: &mut Config, toml: &str) {
        let value = DeValue::parse(toml).expect("a setting writes TOML");
        let set = (self.field)(config).set(&value, &self.kind);
        set.expect("a value that was written is right");
    }

    /// The value as TOML, without the parts of URLs in which secrets stand.
    pub(crate) fn shown(&self, config: &Config) -> String {
        (self.field)(&mut config.clone()).shown(&self.kind)
    }

    /// The value as TOML.
    pub(crate) fn toml(&self, config: &Config) -> String {
        (self.field)(&mut config.clone()).toml()
    }
}

const fn whole(least: u64, most: u64, unit: &'static str) -> Kind {
    Kind::Whole { least, most, unit }
}

const KEY: Kind = Kind::Text { least: 1, most: 4096 };
const TEXT: Kind = Kind::Text { least: 0, most: 4096 };
const LIFE: Kind = whole(1, TOKEN_LIFE_MAX, "seconds");
const TIME: Kind = whole(1, 24 * 3600 * 1000, "milliseconds");
const COUNT: Kind = whole(1, 1 << 20, "");
const MANY: Kind = whole(1, 1 << 31, "");

const QUEUES: Tables = Tables { most: QUEUES_MAX, read: read_queue };
const LEADERBOARDS: Tables = Tables { most: BOARDS_CONFIGURED_MAX, read: read_leaderboard };
const TOURNAMENTS: Tables = Tables { most: BOARDS_CONFIGURED_MAX, read: read_tournament };

/// All keys, by section, in the order in which they are documented.
pub(crate) static KEYS: &[Key] = &[
    Key::new(
        "name",
        "\"nakama\"",
        Kind::Text { least: 1, most: 16 },
        |config| &mut config.name,
        "Name of this node; it is hashed into session ids.",
    ),
    Key::new(
        "data_dir",
        "\"data\"",
        Kind::Path { is_optional: false },
        |config| &mut config.data_dir,
        "Folder that keeps everything; made when it is not there.",
    ),
    Key::new(
        "listen",
        "\"127.0.0.1:7350\"",
        Kind::Address { is_optional: false },
        |config| &mut config.listen,
        "Address and port of HTTP and WebSocket; port 0 takes a free one.",
    ),
    Key::new(
        "admin_listen",
        "\"127.0.0.1:7351\"",
        Kind::Address { is_optional: true },
        |config| &mut config.admin_listen,
        "Address and port for operators; empty: none.",
    ),
    Key::new(
        "shards",
        "0",
        whole(0, SHARDS_MAX as u64, ""),
        |config| &mut config.shards,
        "Shards, a thread pinned to a core each; 0: one for each core, from 4 cores on one less.",
    ),
    Key::new(
        "production",
        "false",
        Kind::Flag,
        |config| &mut config.production,
        "Refuse to start with a default key.",
    ),
    Key::new(
        "queues",
        "[]",
        Kind::Tables(&QUEUES),
        |config| &mut config.queues,
        "Declared matchmaking queues, a table each: `[[queues]]`.",
    )
    .live(),
    Key::new(
        "leaderboards",
        "[]",
        Kind::Tables(&LEADERBOARDS),
        |config| &mut config.leaderboards,
        "Leaderboards that are created when they are not there, a table each: `[[leaderboards]]`.",
    )
    .live(),
    Key::new(
        "tournaments",
        "[]",
        Kind::Tables(&TOURNAMENTS),
        |config| &mut config.tournaments,
        "Tournaments that are created when they are not there, a table each: `[[tournaments]]`.",
    )
    .live(),
    Key::new(
        "socket.server_key",
        "\"defaultkey\"",
        KEY,
        |config| &mut config.socket.server_key,
        "User part of the Basic credentials of authentication calls.",
    )
    .secret()
    .live(),
    Key::new(
        "socket.ssl_certificate",
        "\"\"",
        Kind::Path { is_optional: true },
        |config| &mut config.socket.ssl_certificate,
        "PEM file of the certificate and what follows it in its chain; empty: no TLS.",
    ),
    Key::new(
        "socket.ssl_private_key",
        "\"\"",
        Kind::Path { is_optional: true },
        |config| &mut config.socket.ssl_private_key,
        "PEM file of the certificate's private key.",
    ),
    Key::new(
        "socket.max_message_size_bytes",
        "4096",
        whole(1, 16 << 20, "bytes"),
        |config| &mut config.socket.max_message_size_bytes,
        "Largest WebSocket message of a client.",
    )
    .live(),
    Key::new(
        "socket.max_request_size_bytes",
        "262144",
        whole(1, 64 << 20, "bytes"),
        |config| &mut config.socket.max_request_size_bytes,
        "Largest HTTP body.",
    )
    .live(),
    Key::new(
        "socket.read_timeout_ms",
        "10000",
        TIME,
        |config| &mut config.socket.read_timeout_ms,
        "How long a request may take to arrive.",
    )
    .live(),
    Key::new(
        "socket.write_timeout_ms",
        "10000",
        TIME,
        |config| &mut config.socket.write_timeout_ms,
        "How long a response may take to leave.",
    )
    .live(),
    Key::new(
        "socket.idle_timeout_ms",
        "60000",
        TIME,
        |config| &mut config.socket.idle_timeout_ms,
        "How long a connection may stay without a request.",
    )
    .live(),
    Key::new(
        "socket.write_wait_ms",
        "5000",
        TIME,
        |config| &mut config.socket.write_wait_ms,
        "How long a WebSocket message may take to leave.",
    )
    .live(),
    Key::new(
        "socket.pong_wait_ms",
        "25000",
        TIME,
        |config| &mut config.socket.pong_wait_ms,
        "How long a WebSocket may stay without an answer to a ping.",
    )
    .live(),
    Key::new(
        "socket.ping_period_ms",
        "15000",
        TIME,
        |config| &mut config.socket.ping_period_ms,
        "Time between pings; less than `socket.pong_wait_ms`.",
    )
    .live(),
    Key::new(
        "socket.ping_backoff_threshold",
        "20",
        MANY,
        |config| &mut config.socket.ping_backoff_threshold,
        "Messages after which a WebSocket counts as alive, pong or not.",
    )
    .live(),
    Key::new(
        "socket.close_ack_wait_ms",
        "2000",
        TIME,
        |config| &mut config.socket.close_ack_wait_ms,
        "How long a closed WebSocket waits for the client's close frame.",
    )
    .live(),
    Key::new(
        "socket.outgoing_queue_size",
        "64",
        COUNT,
        |config| &mut config.socket.outgoing_queue_size,
        "Messages that wait for a slow reader before it is dropped.",
    )
    .live(),
    Key::new(
        "socket.outgoing_buffer_size_bytes",
        "1048576",
        whole(1, 1 << 30, "bytes"),
        |config| &mut config.socket.outgoing_buffer_size_bytes,
        "Bytes that wait for a slow reader before it is dropped.",
    )
    .live(),
    Key::new(
        "socket.max_frames_per_sec",
        "20000",
        whole(0, u32::MAX as u64, ""),
        |config| &mut config.socket.max_frames_per_sec,
        "WebSocket frames of one client in a second, and at once; 0: they are not counted.",
    )
    .live(),
    Key::new(
        "socket.response_headers",
        "[]",
        Kind::List(&Kind::Header),
        |config| &mut config.socket.response_headers,
        "Header fields of every response that does not set them itself.",
    )
    .live(),
    Key::new(
        "socket.proxy_count",
        "1",
        whole(0, 1 << 20, ""),
        |config| &mut config.socket.proxy_count,
        "Proxies of your own in front of the server, for `X-Forwarded-For`; 0: it is ignored.",
    )
    .live(),
    Key::new(
        "session.encryption_key",
        "\"defaultencryptionkey\"",
        KEY,
        |config| &mut config.session.encryption_key,
        "Key of session and matchmaker tokens (HS256).",
    )
    .secret()
    .live(),
    Key::new(
        "session.token_expiry_sec",
        "60",
        LIFE,
        |config| &mut config.session.token_expiry_sec,
        "Life of a session token.",
    )
    .live(),
    Key::new(
        "session.refresh_encryption_key",
        "\"defaultrefreshencryptionkey\"",
        KEY,
        |config| &mut config.session.refresh_encryption_key,
        "Key of refresh tokens (HS256); not the same.",
    )
    .secret()
    .live(),
    Key::new(
        "session.refresh_token_expiry_sec",
        "3600",
        LIFE,
        |config| &mut config.session.refresh_token_expiry_sec,
        "Life of a refresh token.",
    )
    .live(),
    Key::new(
        "session.earlier_encryption_keys",
        "[]",
        Kind::List(&KEY),
        |config| &mut config.session.earlier_encryption_keys,
        "Earlier keys of session tokens: tokens of theirs are good until they expire.",
    )
    .secret()
    .live(),
    Key::new(
        "session.earlier_refresh_encryption_keys",
        "[]",
        Kind::List(&KEY),
        |config| &mut config.session.earlier_refresh_encryption_keys,
        "Earlier keys of refresh tokens.",
    )
    .secret()
    .live(),
    Key::new(
        "session.single_session",
        "false",
        Kind::Flag,
        |config| &mut config.session.single_session,
        "A sign-in ends all earlier tokens of its user.",
    )
    .live(),
    Key::new(
        "session.single_socket",
        "false",
        Kind::Flag,
        |config| &mut config.session.single_socket,
        "A new socket closes the older ones of its user.",
    )
    .live(),
    Key::new(
        "session.single_party",
        "false",
        Kind::Flag,
        |config| &mut config.session.single_party,
        "Whoever becomes a member of a party leaves all others; needs `session.single_socket`.",
    )
    .live(),
    Key::new(
        "session.server_token_key_files",
        "[]",
        Kind::List(&Kind::Path { is_optional: false }),
        |config| &mut config.session.server_token_key_files,
        "PEM files of Ed25519 private keys: the first signs tokens for dedicated servers, all of \
         them are published; none: one that is made in the data folder.",
    )
    .live(),
    Key::new(
        "session.server_token_expiry_sec",
        "60",
        LIFE,
        |config| &mut config.session.server_token_expiry_sec,
        "Life of a token for a dedicated server.",
    )
    .live(),
    Key::new(
        "console.token_expiry_sec",
        "86400",
        whole(1, 30 * 24 * 3600, "seconds"),
        |config| &mut config.console.token_expiry_sec,
        "Life of an operator's token.",
    ),
    Key::new(
        "password.threads",
        "0",
        whole(0, 64, ""),
        |config| &mut config.password.threads,
        "Threads that hash passwords, 19 MiB each from the first password on; 0: one for every \
         four cores.",
    ),
    Key::new(
        "rate_limit.enabled",
        "true",
        Kind::Flag,
        |config| &mut config.rate_limit.enabled,
        "Whether requests are counted; off for benchmarks.",
    )
    .live(),
    Key::new(
        "rate_limit.address.sign",
        "{ per_sec = 50, burst = 500 }",
        Kind::Rate,
        |config| &mut config.rate_limit.address.sign,
        "Signing in and out and opening sockets, from one address.",
    )
    .live(),
    Key::new(
        "rate_limit.address.password",
        "{ per_sec = 5, burst = 40 }",
        Kind::Rate,
        |config| &mut config.rate_limit.address.password,
        "Showing a password, from one address.",
    )
    .live(),
    Key::new(
        "rate_limit.address.read",
        "{ per_sec = 1000, burst = 5000 }",
        Kind::Rate,
        |config| &mut config.rate_limit.address.read,
        "Operations that read, from one address.",
    )
    .live(),
    Key::new(
        "rate_limit.address.write",
        "{ per_sec = 500, burst = 2500 }",
        Kind::Rate,
        |config| &mut config.rate_limit.address.write,
        "Operations that write, from one address.",
    )
    .live(),
    Key::new(
        "rate_limit.address.stream",
        "{}",
        Kind::Rate,
        |config| &mut config.rate_limit.address.stream,
        "Match data, from one address.",
    )
    .live(),
    Key::new(
        "rate_limit.user.sign",
        "{ per_sec = 5, burst = 30 }",
        Kind::Rate,
        |config| &mut config.rate_limit.user.sign,
        "Signing in and out and opening sockets, by one user.",
    )
    .live(),
    Key::new(
        "rate_limit.user.password",
        "{ per_sec = 1, burst = 10 }",
        Kind::Rate,
        |config| &mut config.rate_limit.user.password,
        "Showing a password, by one user.",
    )
    .live(),
    Key::new(
        "rate_limit.user.read",
        "{ per_sec = 50, burst = 300 }",
        Kind::Rate,
        |config| &mut config.rate_limit.user.read,
        "Operations that read, by one user.",
    )
    .live(),
    Key::new(
        "rate_limit.user.write",
        "{ per_sec = 25, burst = 150 }",
        Kind::Rate,
        |config| &mut config.rate_limit.user.write,
        "Operations that write, by one user.",
    )
    .live(),
    Key::new(
        "rate_limit.user.stream",
        "{ per_sec = 1000, burst = 2000 }",
        Kind::Rate,
        |config| &mut config.rate_limit.user.stream,
        "Match data, by one user.",
    )
    .live(),
    Key::new(
        "social.apple.bundle_id",
        "\"\"",
        TEXT,
        |config| &mut config.social.apple.bundle_id,
        "Audience of Apple's identity tokens; empty: they are refused.",
    ),
    Key::new(
        "social.facebook_limited_login.app_id",
        "\"\"",
        TEXT,
        |config| &mut config.social.facebook_limited_login.app_id,
        "Audience of Limited Login's tokens; empty: they are taken for tokens of the Graph API.",
    ),
    Key::new(
        "social.facebook_instant_game.app_secret",
        "\"\"",
        TEXT,
        |config| &mut config.social.facebook_instant_game.app_secret,
        "What player information is signed with; empty: it is refused.",
    )
    .secret(),
    Key::new(
        "social.game_center.bundle_ids",
        "[]",
        Kind::List(&KEY),
        |config| &mut config.social.game_center.bundle_ids,
        "Games whose signatures are accepted; none: any game's.",
    ),
    Key::new(
        "social.game_center.max_age_sec",
        "86400",
        whole(0, TOKEN_LIFE_MAX, "seconds"),
        |config| &mut config.social.game_center.max_age_sec,
        "A signature that is older is refused; 0: none is.",
    ),
    Key::new(
        "social.google.client_ids",
        "[]",
        Kind::List(&KEY),
        |config| &mut config.social.google.client_ids,
        "Audiences of which Google's ID tokens must have one; none: any.",
    ),
    Key::new(
        "social.steam.publisher_key",
        "\"\"",
        TEXT,
        |config| &mut config.social.steam.publisher_key,
        "Your key of the Steam Web API; empty: Steam's tickets are refused.",
    )
    .secret(),
    Key::new(
        "social.steam.app_id",
        "0",
        whole(0, u32::MAX as u64, ""),
        |config| &mut config.social.steam.app_id,
        "The game at Steam; 0: its tickets are refused.",
    ),
    Key::new(
        "social.oidc",
        "[]",
        Kind::List(&Kind::Issuer),
        |config| &mut config.social.oidc,
        "Up to 24 OpenID Connect issuers, whose ID tokens stand for custom ids `name:subject`. In \
         a file also as tables `[[social.oidc]]`.",
    ),
    Key::new(
        "social.endpoints.apple_jwks_url",
        "\"\"",
        Kind::Url,
        |config| &mut config.social.endpoints.apple_jwks_url,
        "Another address of Apple's keys, for tests and proxies; empty: the public one.",
    ),
    Key::new(
        "social.endpoints.facebook_graph_url",
        "\"\"",
        Kind::Url,
        |config| &mut config.social.endpoints.facebook_graph_url,
        "Another address of the node `me` of Facebook's Graph API.",
    ),
    Key::new(
        "social.endpoints.facebook_limited_login_jwks_url",
        "\"\"",
        Kind::Url,
        |config| &mut config.social.endpoints.facebook_limited_login_jwks_url,
        "Another address of the keys of Limited Login.",
    ),
    Key::new(
        "social.endpoints.game_center_key_domains",
        "[]",
        Kind::List(&KEY),
        |config| &mut config.social.endpoints.game_center_key_domains,
        "Other domains that Game Center's certificates may come from, with all below them.",
    ),
    Key::new(
        "social.endpoints.google_jwks_url",
        "\"\"",
        Kind::Url,
        |config| &mut config.social.endpoints.google_jwks_url,
        "Another address of Google's keys.",
    ),
    Key::new(
        "social.endpoints.steam_ticket_url",
        "\"\"",
        Kind::Url,
        |config| &mut config.social.endpoints.steam_ticket_url,
        "Another address that Steam's tickets are shown to.",
    ),
    Key::new(
        "store.archive_dir",
        "\"\"",
        Kind::Path { is_optional: true },
        |config| &mut config.store.archive_dir,
        "Folder that full files of the log are copied to before they are used again; empty for none.",
    ),
    Key::new(
        "store.backup_dir",
        "\"\"",
        Kind::Path { is_optional: true },
        |config| &mut config.store.backup_dir,
        "Folder below which operators may have backups made; empty for nowhere.",
    ),
    Key::new(
        "store.backup_key_file",
        "\"\"",
        Kind::Path { is_optional: true },
        |config| &mut config.store.backup_key_file,
        "File with the key, 64 hexadecimal digits, that operators' backups are encrypted with.",
    ),
    Key::new(
        "store.backlog_bytes",
        "1073741824",
        whole(64 << 20, 64 << 30, "bytes"),
        |config| &mut config.store.backlog_bytes,
        "Log that the state may lack. At three quarters writes are refused; a start reads it.",
    ),
    Key::new(
        "store.min_free_bytes",
        "268435456",
        whole(0, 1 << 50, "bytes"),
        |config| &mut config.store.min_free_bytes,
        "With less space than this on the disk, writes are refused and reads go on; 0 for never.",
    ),
    Key::new(
        "matchmaker.mode",
        "\"immediate\"",
        Mode::KIND,
        |config| &mut config.matchmaker.mode,
        "Whether a full match forms as soon as it exists, or at the interval, as in Nakama.",
    ),
    Key::new(
        "matchmaker.max_tickets",
        "3",
        COUNT,
        |config| &mut config.matchmaker.max_tickets,
        "Tickets of one session.",
    ),
    Key::new(
        "matchmaker.interval_sec",
        "15",
        whole(1, 24 * 3600, "seconds"),
        |config| &mut config.matchmaker.interval_sec,
        "Time between passes.",
    ),
    Key::new(
        "matchmaker.max_intervals",
        "2",
        MANY,
        |config| &mut config.matchmaker.max_intervals,
        "Passes as an active ticket, before fewer than the maximum are accepted.",
    ),
    Key::new(
        "matchmaker.rev_precision",
        "false",
        Kind::Flag,
        |config| &mut config.matchmaker.rev_precision,
        "Whether all members of a match have to accept each other, not only the one that searched.",
    ),
    Key::new(
        "matchmaker.rev_threshold",
        "1",
        whole(0, 1_000_000, "intervals"),
        |config| &mut config.matchmaker.rev_threshold,
        "Intervals after which a pass that still runs does without `rev_precision`; 0 for never.",
    ),
    Key::new(
        "matchmaker.webhook_url",
        "\"\"",
        TEXT,
        |config| &mut config.matchmaker.webhook_url,
        "Where a game's own server is told of its tickets in queues, and of leaderboards' resets; it may hold a key.",
    )
    .secret(),
    Key::new(
        "matchmaker.webhook_secret",
        "\"\"",
        TEXT,
        |config| &mut config.matchmaker.webhook_secret,
        "Key that signs what the webhook is told: `whsec_` and the base64 form of 24 to 64 bytes.",
    )
    .secret(),
    Key::new(
        "logger.level",
        "\"info\"",
        Level::KIND,
        |config| &mut config.logger.level,
        "What is logged: this, and what weighs more.",
    )
    .live(),
    Key::new(
        "logger.format",
        "\"text\"",
        Format::KIND,
        |config| &mut config.logger.format,
        "How the log is written, on standard error.",
    ),
    Key::new(
        "traces.endpoint",
        "\"\"",
        Kind::Url,
        |config| &mut config.traces.endpoint,
        "Base address of a collector of OTLP over HTTP, such as http://127.0.0.1:4318; empty: no \
         traces. Its path may hold a key.",
    )
    .secret(),
    Key::new(
        "traces.sample_ratio",
        "1.0",
        Kind::Number { least: 0.0, most: 1.0 },
        |config| &mut config.traces.sample_ratio,
        "The part of requests that is traced.",
    ),
    Key::new(
        "traces.headers",
        "[]",
        Kind::List(&Kind::Header),
        |config| &mut config.traces.headers,
        "Header fields for the collector.",
    )
    .secret(),
    Key::new(
        "placement.sessions",
        "\"local\"",
        Sessions::KIND,
        |config| &mut config.placement.sessions,
        "For tests: where a session opens, on the core of its connection or on every shard in \
         turn.",
    ),
    Key::new(
        "placement.matches",
        "\"any\"",
        Kind::Shard,
        |config| &mut config.placement.matches,
        "For tests: the shard of all random matches.",
    ),
    Key::new(
        "placement.queue",
        "\"any\"",
        Kind::Shard,
        |config| &mut config.placement.queue,
        "For tests: the shard of the ticket pool.",
    ),
];
