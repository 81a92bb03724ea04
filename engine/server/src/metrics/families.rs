//! Every family of the metrics: its name, kind, labels and meaning. `docs/operations/metrics.md`
//! lists them, and a test holds the two together.

use metrics::{Family, Kind};

use super::CoreFigures;

const fn counter(name: &'static str, labels: Labels, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: Labels, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: Labels, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, labels, help }
}

type Labels = &'static [&'static str];

// The process.

pub(super) static BUILD_INFO: Family =
    gauge("ringmaster_build_info", &["version"], "Always 1: the version stands in the label.");
pub(super) static START_TIME: Family = gauge(
    "ringmaster_start_time_seconds",
    &[],
    "When the process was started, in seconds since 1970.",
);
pub(super) static INCARNATION: Family =
    gauge("ringmaster_incarnation", &[], "How often a process was started on the data folder.");
pub(super) static READY: Family = gauge(
    "ringmaster_ready",
    &[],
    "1 while requests are taken; 0 before every core runs, while they drain, or when one stands still.",
);
pub(super) static CPU: Family = counter(
    "ringmaster_cpu_seconds_total",
    &["mode"],
    "Processor time of all threads; mode: user or system.",
);
pub(super) static RESIDENT: Family =
    gauge("ringmaster_resident_bytes", &[], "Memory of the process that is in RAM.");
pub(super) static MEMORY_LIMIT: Family = gauge(
    "ringmaster_memory_limit_bytes",
    &[],
    "Memory of the machine, or what the process's control group may have, if that is less.",
);
pub(super) static ALLOCATED: Family =
    gauge("ringmaster_allocated_bytes", &[], "Memory that all threads have asked for and use.");
pub(super) static DESCRIPTORS: Family =
    gauge("ringmaster_open_descriptors", &[], "Open files and sockets of the process.");
pub(super) static DESCRIPTORS_MAX: Family =
    gauge("ringmaster_max_descriptors", &[], "Most files and sockets that it may have open.");
pub(super) static DATA: Family =
    gauge("ringmaster_data_bytes", &[], "Size of the store's file in the data folder.");
pub(super) static DISK_FREE: Family = gauge(
    "ringmaster_disk_free_bytes",
    &[],
    "What is left for the server on the file system of the data folder.",
);
pub(super) static DISK_SIZE: Family =
    gauge("ringmaster_disk_size_bytes", &[], "Size of the file system of the data folder.");

// Requests.

pub(super) static REQUESTS: Family = counter(
    "ringmaster_requests_total",
    &["operation", "code"],
    "Requests and realtime messages that are over; code: OK or the gRPC code of the refusal.",
);
pub(super) static REQUEST_SECONDS: Family = histogram(
    "ringmaster_request_seconds",
    &["operation"],
    "From when a core took a request up until its reply was handed to the socket, disk included.",
);
pub(super) static RATE_LIMITED: Family = counter(
    "ringmaster_rate_limited_total",
    &["class", "asker"],
    "Requests over a rate limit, by class of operation; asker: address or user.",
);

// Beside the cores.

pub(super) static PASSWORD_QUEUE: Family = gauge(
    "ringmaster_password_queue",
    &["work"],
    "Passwords that wait for a thread; work: operator, verify or hash.",
);
pub(super) static PASSWORDS_REFUSED: Family = counter(
    "ringmaster_passwords_refused_total",
    &["work"],
    "Passwords that found their queue full or waited too long in it; not those refused in the 20 ms after.",
);
pub(super) static SPANS: Family = counter(
    "ringmaster_trace_spans_total",
    &["outcome"],
    "Spans of traces by what became of them; outcome: exported, dropped (no room) or failed.",
);
pub(super) static WEBHOOK_MESSAGES: Family = counter(
    "ringmaster_webhook_messages_total",
    &["outcome"],
    "Messages to the webhook of the matchmaker by what became of them; outcome: delivered or failed.",
);
pub(super) static PROOFS: Family =
    gauge("ringmaster_proofs", &[], "Proofs of social sign-in that providers are asked about.");

// The store.

pub(super) static STORE_COMMIT_SECONDS: Family = histogram(
    "ringmaster_store_commit_seconds",
    &[],
    "From when a batch of changes was queued until it was durable.",
);
pub(super) static STORE_SYNC_SECONDS: Family =
    histogram("ringmaster_store_sync_seconds", &[], "What the sync of an entry of the log took.");
pub(super) static STORE_ENTRY_BATCHES: Family =
    histogram("ringmaster_store_entry_batches", &[], "Batches made durable together.");
pub(super) static STORE_ENTRY_BYTES: Family =
    histogram("ringmaster_store_entry_bytes", &[], "Bytes of an entry of the log.");
pub(super) static STORE_APPLY_SECONDS: Family = histogram(
    "ringmaster_store_apply_seconds",
    &[],
    "What it took to bring some entries of the log into the state.",
);
pub(super) static STORE_CHECKPOINT_SECONDS: Family = histogram(
    "ringmaster_store_checkpoint_seconds",
    &[],
    "What it took to make the state durable.",
);
pub(super) static STORE_BACKLOG: Family = gauge(
    "ringmaster_store_backlog_bytes",
    &[],
    "Log that the state lacks; at three quarters of store.backlog_bytes writes are refused.",
);
pub(super) static STORE_LOG: Family =
    gauge("ringmaster_store_log_bytes", &[], "Size of the files of the log in the data folder.");
pub(super) static STORE_ARCHIVE_FAILS: Family = gauge(
    "ringmaster_store_archive_fails",
    &[],
    "1 while store.archive_dir does not take files of the log.",
);
pub(super) static STORE_REFUSES: Family = gauge(
    "ringmaster_store_refuses_writes",
    &["reason"],
    "1 while writes are refused; reason: behind (a long backlog) or full (little space).",
);
pub(super) static STORE_LOAD_SECONDS: Family = histogram(
    "ringmaster_store_load_seconds",
    &[],
    "From when a record was asked for until it was read.",
);
pub(super) static STORE_COMMIT_QUEUE: Family =
    gauge("ringmaster_store_commit_queue", &[], "Batches that wait to be written.");
pub(super) static STORE_LOAD_QUEUE: Family =
    gauge("ringmaster_store_load_queue", &[], "Records that wait to be read.");

// The cores.

pub(super) static TICK_SECONDS: Family = histogram(
    "ringmaster_tick_seconds",
    &["core"],
    "What a core's tick took: timers, the matchmaker's steps, what is to be written.",
);
pub(super) static TICK_LATE_SECONDS: Family = histogram(
    "ringmaster_tick_late_seconds",
    &["core"],
    "How long after its time a core's tick came, which is how long others held it up.",
);
pub(super) static TICK_AGE: Family = gauge(
    "ringmaster_tick_age_seconds",
    &["core"],
    "Since the core's last tick; more than a second is a core that does not run.",
);
pub(super) static MAILBOX: Family = gauge(
    "ringmaster_mailbox_depth",
    &["core"],
    "Messages of other cores that wait in the core's mailbox.",
);
pub(super) static CORE_ALLOCATED: Family = gauge(
    "ringmaster_core_allocated_bytes",
    &["core"],
    "What the core's thread has allocated less what it has freed, to within 64 KiB; core none: \
     all other threads. What one thread allocates and another frees shifts these for good; \
     their sum is right, but for 64 KiB of each thread that has ended.",
);

/// One number that a core publishes at its tick. Gauges in seconds are published in nanoseconds.
pub(super) struct Row {
    pub(super) family: Family,
    pub(super) read: fn(&CoreFigures<'_>) -> u64,
}

const fn row(family: Family, read: fn(&CoreFigures<'_>) -> u64) -> Row {
    Row { family, read }
}

const BY_CORE: Labels = &["core"];

pub(super) static CORE: [Row; 27] = [
    row(
        gauge("ringmaster_connections", BY_CORE, "Open TCP connections, WebSockets among them."),
        |core| core.connections as u64,
    ),
    row(
        gauge(
            "ringmaster_sockets",
            BY_CORE,
            "Open WebSockets, on the core that has the connection.",
        ),
        |core| core.shard.sockets as u64,
    ),
    row(
        gauge("ringmaster_sessions", BY_CORE, "Realtime sessions, on the core where they live."),
        |core| core.shard.sessions as u64,
    ),
    row(
        gauge("ringmaster_statuses", BY_CORE, "Users with a session, or with followers."),
        |core| core.shard.statuses as u64,
    ),
    row(gauge("ringmaster_matches", BY_CORE, "Matches in progress."), |core| {
        core.shard.matches as u64
    }),
    row(gauge("ringmaster_parties", BY_CORE, "Parties."), |core| core.shard.parties as u64),
    row(gauge("ringmaster_tickets", BY_CORE, "Matchmaker tickets that wait."), |core| {
        core.shard.tickets as u64
    }),
    row(
        gauge(
            "ringmaster_matchmaker_carried_seconds",
            BY_CORE,
            "Since when the matchmaker's work has been carried over from one tick to the next.",
        ),
        |core| super::nanos(core.shard.carried),
    ),
    row(
        gauge(
            "ringmaster_matchmaker_untold",
            BY_CORE,
            "Formed matches whose players are still to be told.",
        ),
        |core| core.shard.untold as u64,
    ),
    row(gauge("ringmaster_requests_pending", BY_CORE, "Requests under way."), |core| {
        core.shard.tasks as u64
    }),
    row(
        gauge(
            "ringmaster_parked",
            BY_CORE,
            "Questions that wait for a record: to be loaded, or held no longer.",
        ),
        |core| core.shard.parked as u64,
    ),
    row(
        gauge("ringmaster_held_outputs", BY_CORE, "Replies and messages that wait for the disk."),
        |core| core.shard.held as u64,
    ),
    row(
        gauge(
            "ringmaster_undurable_batches",
            BY_CORE,
            "Batches that wrote here and are not on disk.",
        ),
        |core| core.shard.view.undurable as u64,
    ),
    row(
        gauge(
            "ringmaster_bus_backlog",
            BY_CORE,
            "Messages that full mailboxes of others did not take.",
        ),
        |core| core.backlog as u64,
    ),
    row(
        gauge("ringmaster_cache_records", BY_CORE, "Records in memory, absent ones too."),
        |core| core.shard.view.entries as u64,
    ),
    row(gauge("ringmaster_cache_bytes", BY_CORE, "What those records take."), |core| {
        core.shard.view.bytes as u64
    }),
    row(
        counter("ringmaster_cache_hits_total", BY_CORE, "Reads of records that were in memory."),
        |core| core.shard.view.hits,
    ),
    row(
        counter(
            "ringmaster_cache_misses_total",
            BY_CORE,
            "Reads of records that had to be loaded.",
        ),
        |core| core.shard.view.misses,
    ),
    row(
        gauge(
            "ringmaster_rate_addresses",
            BY_CORE,
            "Addresses whose requests are counted, by class.",
        ),
        |core| core.shard.rates.addresses as u64,
    ),
    row(
        gauge("ringmaster_rate_users", BY_CORE, "Users whose requests are counted, by class."),
        |core| core.shard.rates.users as u64,
    ),
    row(counter("ringmaster_connections_total", BY_CORE, "Connections accepted."), |core| {
        core.traffic.connections
    }),
    row(
        counter("ringmaster_received_bytes_total", BY_CORE, "Bytes read from connections."),
        |core| core.traffic.received_bytes,
    ),
    row(counter("ringmaster_sent_bytes_total", BY_CORE, "Bytes written to connections."), |core| {
        core.traffic.sent_bytes
    }),
    row(
        counter(
            "ringmaster_received_messages_total",
            BY_CORE,
            "Text messages read from WebSockets.",
        ),
        |core| core.traffic.received_messages,
    ),
    row(
        counter("ringmaster_sent_messages_total", BY_CORE, "Text messages for WebSockets."),
        |core| core.traffic.sent_messages,
    ),
    row(
        counter(
            "ringmaster_damaged_records_total",
            BY_CORE,
            "Stored records that did not decode: a human must look.",
        ),
        |core| core.traffic.damaged_records,
    ),
    row(
        gauge(
            "ringmaster_draining",
            BY_CORE,
            "1 while the core takes no new work and finishes what there is.",
        ),
        |core| u64::from(core.is_draining),
    ),
];

/// Those that are not in [`CORE`].
#[cfg(test)]
pub(super) static OTHERS: [&Family; 39] = [
    &BUILD_INFO,
    &START_TIME,
    &INCARNATION,
    &READY,
    &CPU,
    &RESIDENT,
    &MEMORY_LIMIT,
    &ALLOCATED,
    &DESCRIPTORS,
    &DESCRIPTORS_MAX,
    &DATA,
    &DISK_FREE,
    &DISK_SIZE,
    &REQUESTS,
    &REQUEST_SECONDS,
    &RATE_LIMITED,
    &PASSWORD_QUEUE,
    &PASSWORDS_REFUSED,
    &PROOFS,
    &SPANS,
    &WEBHOOK_MESSAGES,
    &STORE_COMMIT_SECONDS,
    &STORE_SYNC_SECONDS,
    &STORE_ENTRY_BATCHES,
    &STORE_ENTRY_BYTES,
    &STORE_APPLY_SECONDS,
    &STORE_CHECKPOINT_SECONDS,
    &STORE_BACKLOG,
    &STORE_LOG,
    &STORE_ARCHIVE_FAILS,
    &STORE_REFUSES,
    &STORE_LOAD_SECONDS,
    &STORE_COMMIT_QUEUE,
    &STORE_LOAD_QUEUE,
    &TICK_SECONDS,
    &TICK_LATE_SECONDS,
    &TICK_AGE,
    &MAILBOX,
    &CORE_ALLOCATED,
];
