//! How much of everything there may be.

use std::time::Duration;

/// Proofs that are looked at or wait for it. A further one is answered `Busy`.
pub const PROOFS_MAX: usize = 256;

/// Bytes of a provider's answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Bytes of a token, whatever its kind.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Requests under way in one lane; further ones wait. A provider that hangs fills its own lane.
pub(crate) const LANE_REQUESTS_MAX: usize = 64;

/// Connections to one host that are kept while nothing happens on them, and for how long.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 8;
pub(crate) const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);

/// Time for a connection to come about, whoever still waits for it.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Bytes of the head of an answer.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// Threads that look up names, which the system's resolver blocks. Half of them are there for the
/// collector of traces, one look-up of which may begin every [`EXPORT_MAX`] while the resolver
/// gives the earlier ones up after 30 s: a collector without a name leaves the other half to
/// providers.
pub(crate) const RESOLVERS_MAX: usize = 8;

/// Documents (key sets, or certificates) that are kept, each of one URL.
pub(crate) const DOCUMENTS_MAX: usize = 32;

/// Issuers of OpenID Connect; with the other providers' they are fewer than [`DOCUMENTS_MAX`].
pub(crate) const ISSUERS_MAX: usize = 24;

/// Keys of one set; what follows is not looked at.
pub(crate) const KEYS_MAX: usize = 100;

/// How long a document is taken to be fresh: as its provider says within these bounds.
pub(crate) const FRESH_MIN: Duration = Duration::from_secs(5 * 60);
pub(crate) const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const FRESH_DEFAULT: Duration = Duration::from_secs(60 * 60);

/// Time between two requests for a document because a key is not in it.
pub(crate) const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(60);

/// Time after a failed request for a document that is not there at all, and for one that is stale.
pub(crate) const RETRY_ABSENT_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const RETRY_STALE_PAUSE: Duration = Duration::from_secs(30);

/// Difference between a provider's clock and ours that is overlooked.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

/// Bytes of a player's id. A profile with a longer one makes no sense.
pub(crate) const ID_BYTES_MAX: usize = 512;

/// Bytes of a profile's other texts. A longer one is left empty.
pub(crate) const TEXT_BYTES_MAX: usize = 2048;

/// Spans that wait for the collector of traces, those that it is being given included. Further ones
/// are dropped.
pub const SPANS_MAX: usize = 8192;

/// Attributes of one span; further ones are cut off.
pub const ATTRIBUTES_MAX: usize = 16;

/// Bytes of one text of a span; what follows is cut off.
pub const SPAN_TEXT_BYTES_MAX: usize = 256;

/// Spans of one request. A collector takes 20 MiB, as the specification recommends: a byte of a
/// text has up to six in JSON, which with the attributes and two texts more makes 14 MiB.
pub(crate) const BATCH_SPANS_MAX: usize = 512;
const _: () = assert!(BATCH_SPANS_MAX * (ATTRIBUTES_MAX + 2) * SPAN_TEXT_BYTES_MAX * 6 <= 14 << 20);

/// How long a span waits for others to make a batch.
pub(crate) const BATCH_PAUSE: Duration = Duration::from_secs(1);

/// Time for one request to the collector.
pub(crate) const EXPORT_MAX: Duration = Duration::from_secs(10);

/// How often a batch is sent again.
pub(crate) const RETRIES_MAX: u32 = 4;

/// Milliseconds before the first retry, at most; doubled before each further one.
pub(crate) const BACKOFF_MIN_MS: u32 = 1000;

/// Messages to the webhook that are under way. Further ones fail.
pub const DELIVERIES_MAX: usize = 8192;

/// How often a message to the webhook is sent again: for some four minutes.
pub(crate) const DELIVERY_RETRIES_MAX: u32 = 7;

/// The longest time before a retry that the collector may demand.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Time for what waits when the sidecar stops.
pub(crate) const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Headers of the operator in a request to the collector.
pub(crate) const TRACE_HEADERS_MAX: usize = 16;

/// Time between two warnings that a provider cannot be asked, or that spans are lost.
pub(crate) const WARNING_PAUSE: Duration = Duration::from_secs(60);
