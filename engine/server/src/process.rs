//! The process around the cores: start, signals, watchdog, end.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::convert::board_config;
use api::ops::Operations;
use base::id::SHARDS_MAX;
use base::json::Json;
use base::limits::{CONNECTIONS_MAX, OPERATOR_CONNECTIONS_MAX, TASKS_MAX, UNDURABLE_BATCHES_MAX};
use base::{Secret, ShardId};
use bytes::Bytes;
use crossbeam_channel::Sender;
use domain::compete::board::NewBoard;
use domain::identity::server_token::ServerKeys;
use domain::identity::token;
use domain::operator::Bearer;
use domain::operator::queue::Queues;
use domain::record::operator::{self, Operators};
use domain::record::{Record as _, queue};
use matchmaker::queue::Definition;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::backups::Backups;
use crate::bus::{self, Bus, Mail, mailbox};
use crate::certificate::Certificate;
use crate::config::{Config, Loaded, Mode, Shown, Sources, escape};
use crate::control;
use crate::executor::{self, Core};
use crate::logger::Logger;
use crate::metrics::Metrics;
use crate::password::{self, Passwords};
use crate::reload::Reloader;
use crate::reporter;
use crate::{operator_key, server_key};

/// How long a shard's tick may stand still before it is reported, and before the process gives up:
/// a restart, or a standby, serves better than a core that does not run.
const STALL_REPORTED: u32 = 8; // in watches
const STALL_FATAL: u32 = 240;
/// How long the first operator may be made by the token that a start without operators prints.
const FIRST_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Files, pipes and outbound connections of the process, with room to spare, and those of each
/// executor.
const DESCRIPTORS_BESIDE: usize = 64;
const DESCRIPTORS_A_SHARD: usize = 16;
const WATCH_PERIOD: Duration = Duration::from_millis(250);

/// What the cores and the threads beside them share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    /// Begins connections where TLS is configured.
    pub tls: Option<Arc<net::tls::Acceptor>>,
    pub bus: Bus,
    pub passwords: Passwords,
    pub sidecar: sidecar::Handle,
    pub store: store::Handle,
    pub backups: Arc<Backups>,
    pub metrics: Metrics,
    pub reports: Sender<reporter::Job>,
    /// The configuration in force, as operators may see it.
    pub shown: Mutex<Shown>,
    /// Ticks of each shard, for the watchdog.
    pub ticks: Vec<AtomicU64>,
    /// Whether each shard has nothing left to do, while draining.
    pub quiet: Vec<AtomicBool>,
    /// Sessions opened so far, for placing them in turn.
    pub sessions: AtomicUsize,
    /// Most connections of clients on each core.
    pub connections_max: usize,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(loaded: Loaded, sources: Sources, logger: Logger) -> Result<()> {
    // One that comes while we start is not lost. The others end a start as they end any process.
    // A file beyond the limit of the process is a failed write, not its end.
    let signals = Signals::new([SIGHUP, libc::SIGXFSZ])?;
    let config = &loaded.config;
    let shards = config.shard_count();
    net::probe::io_uring()?;
    let descriptors = executor::raise_descriptor_limit();
    let settings = store_settings(config)?;
    let certificate = Certificate::start(config)?;
    // The port first: a refused start leaves no trace in the data folder.
    let listeners = net::listener::bind(config.listen, shards)?;
    let mut admin = admin_listener(config)?;
    let opened = store::Store::open(&config.data_dir, settings)?;
    if let Some(store::Cut { path, at, offset }) = &opened.cut {
        let (file, offset) = (path.display(), offset.0);
        tracing::warn!(%file, at, offset, "cut a write that was under way when the process ended");
    }
    let address = listeners.first().context("at least one shard listens")?.local_addr()?;
    let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;
    let operator_keys = operator_key::load_or_make(&config.data_dir)?;
    let has_operators = opened.store.read(Operators::TABLE, operator::KEY)?.is_some();
    let written_queues = written_queues(opened.store.read(Queues::TABLE, queue::KEY)?)?;
    let first_token = (!has_operators)
        .then(|| operator_key::sign(&operator_keys, Bearer::First, FIRST_TOKEN_LIFE));

    let bus = bus::bus(shards);
    let (reports, jobs) = reporter::queue();
    let sidecar = sidecar::Sidecar::start(config.sidecar_settings())?;
    let sink_bus = bus.clone();
    let sink: store::Sink = Arc::new(move |shard: ShardId, event| {
        mailbox(&sink_bus, shard).send_always(Mail::Store(event));
    });
    let store = opened.store.start(
        &sink,
        Box::new(|error| {
            // Nothing more may be answered. What was acknowledged is on disk.
            tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
            std::process::exit(1);
        }),
    )?;
    let shared = Arc::new(Shared {
        config: config.clone(),
        tls: certificate.as_ref().map(|certificate| certificate.acceptor.clone()),
        passwords: start_passwords(config, bus.clone())?,
        sidecar: sidecar.handle(),
        store: store.handle(),
        backups: Backups::new(config, store.handle()),
        metrics: Metrics::new(shards, opened.incarnation),
        reports,
        shown: Mutex::new(Shown::of(&loaded)),
        bus,
        ticks: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        quiet: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        sessions: AtomicUsize::new(0),
        connections_max: connections_max(descriptors, shards),
    });

    let fixed = Fixed {
        shards,
        incarnation: opened.incarnation,
        operator_keys,
        server_keys: Arc::new(server_key::load(config)?),
        written_queues: Arc::new(written_queues),
    };
    let shard_config = Arc::new(shard_config(config, &fixed));
    let operations = Arc::new(Operations::all());
    let cores = executor::allowed_cores();
    let mut threads = Vec::new();
    for (id, listener) in ShardId::all(shards).zip(listeners) {
        let core = Core {
            id,
            cpu: cores.get(id.index() % cores.len().max(1)).copied(),
            listener,
            admin: admin.take(), // the first core serves operators too
            shared: shared.clone(),
            config: shard_config.clone(),
            operations: operations.clone(),
        };
        threads.push(executor::start(core)?);
    }
    watch(shared.clone())?;
    reporter::start(shared.clone(), jobs)?;
    let control = control::start(&shared.config.data_dir, shared.backups.clone());
    let control = control.inspect_err(|error| {
        tracing::warn!(error = format!("{error:#}"), "this server cannot be asked for backups");
    });
    let banner = Banner { address, admin_address, first_token, incarnation: opened.incarnation };
    let config = loaded.config.clone();
    let bus = shared.bus.clone();
    let reloader = Reloader { sources, loaded, logger, shared, fixed };
    let reloads = [Some(reloader.start()?), certificate.map(|certificate| certificate.reload)];
    listen_to_signals(signals, bus, reloads.into_iter().flatten().collect())?;
    banner.print(&config);

    for thread in threads {
        executor::join(thread)?;
    }
    if let Ok(control) = control {
        control.stop();
    }
    store.shutdown()?;
    tracing::info!("stopped");
    Ok(())
}

fn store_settings(config: &Config) -> Result<store::Settings> {
    let archive = match config.store.archive_dir.as_path() {
        none if none.as_os_str().is_empty() => None,
        folder => {
            let disk = store::OsDisk::make(folder);
            let disk = disk.with_context(|| format!("cannot use {}", folder.display()))?;
            Some(Arc::new(disk) as Arc<dyn store::Disk>)
        }
    };
    Ok(store::Settings {
        queue: SHARDS_MAX * UNDURABLE_BATCHES_MAX.max(TASKS_MAX),
        backlog_bytes: config.store.backlog_bytes,
        min_free_bytes: config.store.min_free_bytes,
        archive,
        ..store::Settings::default()
    })
}

/// The queues that operators have defined.
fn written_queues(row: Option<Bytes>) -> Result<Queues> {
    let Some(row) = row else { return Ok(Queues::default()) };
    let written = Queues::decode(&row).context("the record of the queues is damaged")?;
    for queue in &written.queues {
        let json = Json::parse(queue.definition.as_bytes()).map_err(|error| vec![error.0]);
        if let Err(problems) = json.and_then(|json| Definition::parse(&json)) {
            let (id, problems) = (&queue.id, problems.join("; "));
            tracing::warn!(
                id,
                problems,
                "an operator's queue is passed over: it is of a later version"
            );
        }
    }
    Ok(written)
}

/// So many clients that the rest of the process does not run out of descriptors.
fn connections_max(descriptors: usize, shards: usize) -> usize {
    let others = OPERATOR_CONNECTIONS_MAX + DESCRIPTORS_BESIDE + shards * DESCRIPTORS_A_SHARD;
    (descriptors.saturating_sub(others) / shards).clamp(1, CONNECTIONS_MAX)
}

/// The operators' listener, if there is to be one.
fn admin_listener(config: &Config) -> Result<Option<TcpListener>> {
    let Some(address) = config.admin_listen else { return Ok(None) };
    Ok(net::listener::bind(address, 1)?.pop())
}

fn start_passwords(config: &Config, bus: Bus) -> Result<Passwords> {
    let threads = match config.password.threads {
        0 => executor::allowed_cores().len().div_ceil(4).max(1),
        threads => threads,
    };
    let sink: password::Sink = Arc::new(move |shard, call, outcome| {
        let input = shard::Input::Password { call, outcome };
        mailbox(&bus, shard).send_always(Mail::Input(input));
    });
    Ok(password::start(threads, &sink)?)
}

/// What a reload leaves as it was when the process started.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// How many there are: where everything lives.
    pub shards: usize,
    pub incarnation: u32,
    pub operator_keys: token::Keys,
    /// Those of `session.server_token_key_files` are read again.
    pub server_keys: Arc<ServerKeys>,
    /// The queues of operators; what they change later, the shards know.
    pub written_queues: Arc<Queues>,
}

pub(crate) fn shard_config(config: &Config, fixed: &Fixed) -> shard::Config {
    let millis = Duration::from_millis;
    let secs = Duration::from_secs;
    let session = &config.session;
    let keys = |newest: &Secret, earlier: &[Secret]| {
        let earlier: Vec<_> = earlier.iter().map(|key| key.0.as_bytes()).collect();
        token::Keys::new(newest.0.as_bytes(), &earlier)
    };
    let sidecar = config.social.settings();
    shard::Config {
        placement: shard::Placement {
            count: fixed.shards,
            incarnation: fixed.incarnation,
            matches: config.placement.matches.map(ShardId::nth),
            queue: config.placement.queue.map(ShardId::nth),
        },
        name: config.name.clone(),
        server_key: config.socket.server_key.clone(),
        session_keys: keys(&session.encryption_key, &session.earlier_encryption_keys),
        refresh_keys: keys(
            &session.refresh_encryption_key,
            &session.earlier_refresh_encryption_keys,
        ),
        server_keys: fixed.server_keys.clone(),
        operator_keys: fixed.operator_keys.clone(),
        token_life: secs(session.token_expiry_sec),
        refresh_token_life: secs(session.refresh_token_expiry_sec),
        server_token_life: secs(session.server_token_expiry_sec),
        operator_token_life: secs(config.console.token_expiry_sec),
        single_session: session.single_session,
        single_socket: session.single_socket,
        single_party: session.single_party,
        providers: shard::Providers {
            apple: sidecar.is_apple_configured(),
            steam: sidecar.is_steam_configured(),
            oidc: !config.social.oidc.is_empty(),
        },
        ping_period: millis(config.socket.ping_period_ms),
        pong_wait: millis(config.socket.pong_wait_ms),
        ping_backoff_threshold: config.socket.ping_backoff_threshold,
        matchmaker: matchmaker::Settings {
            mode: match config.matchmaker.mode {
                Mode::Immediate => matchmaker::Mode::Immediate,
                Mode::Compatible => matchmaker::Mode::Compatible,
            },
            interval: Duration::from_secs(config.matchmaker.interval_sec),
            max_intervals: config.matchmaker.max_intervals,
            max_tickets: config.matchmaker.max_tickets,
            rev_precision: config.matchmaker.rev_precision,
            rev_threshold: config.matchmaker.rev_threshold,
        },
        rates: config.rate_limit.rates(),
        has_webhook: !config.matchmaker.webhook_url.0.is_empty(),
        queues: config.queues.0.iter().map(|text| Arc::new(definition(text))).collect(),
        written_queues: fixed.written_queues.clone(),
        boards: boards(config),
        hooks: shard::Hooks::default(),
        sampling: config.traces.sampling(),
    }
}

/// A queue that the configuration declares.
fn definition(text: &str) -> Definition {
    let json = Json::parse(text.as_bytes()).expect("a declared queue was written as JSON");
    Definition::parse(&json).expect("a declared queue was read before")
}

/// The leaderboards and tournaments that the configuration declares.
pub(crate) fn boards(config: &Config) -> Vec<Arc<NewBoard>> {
    let read = |text: &String, board: fn(&Json) -> Result<NewBoard, Vec<String>>| {
        let json = Json::parse(text.as_bytes()).expect("a declared board was written as JSON");
        Arc::new(board(&json).expect("a declared board was read before"))
    };
    let leaderboards =
        config.leaderboards.0.iter().map(|text| read(text, board_config::leaderboard));
    let tournaments = config.tournaments.0.iter().map(|text| read(text, board_config::tournament));
    leaderboards.chain(tournaments).collect()
}

/// Starts the thread that notices a core whose tick stands still.
fn watch(shared: Arc<Shared>) -> Result<()> {
    let watchdog = move || {
        let mut seen = vec![(0, 0); shared.ticks.len()]; // (ticks, watches since they last moved)
        loop {
            // Watches are counted, not time: a process that was stopped as a whole has no stall.
            std::thread::sleep(WATCH_PERIOD);
            for (shard, (ticks, watches)) in seen.iter_mut().enumerate() {
                let now = shared.ticks[shard].load(Ordering::Relaxed);
                *watches = if now == *ticks { *watches + 1 } else { 0 };
                *ticks = now;
                if *watches == STALL_REPORTED {
                    tracing::error!(shard, "a shard's tick stands still");
                } else if *watches == STALL_FATAL {
                    tracing::error!(shard, "a shard has not run for a minute: giving up");
                    std::process::exit(1);
                }
            }
        }
    };
    std::thread::Builder::new().name("watchdog".into()).spawn(watchdog)?;
    Ok(())
}

/// Starts the thread that turns the first SIGTERM or SIGINT into a drain, and the second into an
/// end. SIGHUP asks for reloads, which are done elsewhere.
fn listen_to_signals(mut signals: Signals, bus: Bus, reloads: Vec<Sender<()>>) -> Result<()> {
    signals.add_signal(SIGTERM)?;
    signals.add_signal(SIGINT)?;
    let listen = move || {
        let mut is_draining = false;
        for signal in signals.forever() {
            if signal == libc::SIGXFSZ {
                continue; // whoever wrote knows
            }
            if signal == SIGHUP {
                for reload in &reloads {
                    let _ = reload.try_send(()); // one that waits already is enough
                }
                continue;
            }
            if std::mem::replace(&mut is_draining, true) {
                tracing::warn!(signal, "stopping at once");
                std::process::exit(1);
            }
            tracing::info!(signal, "draining");
            for mailbox in bus.iter() {
                mailbox.send_always(Mail::Drain);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(())
}

/// What a start tells on standard output.
struct Banner {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    /// There is no operator yet: whoever reads this can make the first one.
    first_token: Option<String>,
    incarnation: u32,
}

impl Banner {
    fn print(&self, config: &Config) {
        let address = self.address;
        let keys = config.default_keys();
        let default_keys = match keys.as_slice() {
            [] => "none".to_owned(),
            keys => {
                let keys = keys.join(", ");
                format!("{keys} (everybody knows them: set your own before going online)")
            }
        };
        let scheme = if config.has_tls() { "https" } else { "http" };
        let mut text = format!(
            "Ringmaster {version}\n\
             \x20 HTTP, WebSocket  {scheme}://{address}\n",
            version = env!("CARGO_PKG_VERSION"),
        );
        if let Some(admin) = self.admin_address {
            text += &format!("\x20 operators        {scheme}://{admin}\n");
        }
        text += &format!(
            "\x20 data folder      {data} (start {incarnation})\n\
             \x20 shards           {shards}\n\
             \x20 default keys     {default_keys}\n",
            data = escape(&config.data_dir.to_string_lossy()),
            incarnation = self.incarnation,
            shards = config.shard_count(),
        );
        if let (Some(admin), Some(token)) = (self.admin_address, &self.first_token) {
            text += &format!(
                "\x20 first operator   curl -H 'Authorization: Bearer {token}' \
                 -d '{{\"username\":\"NAME\",\"password\":\"AT LEAST 12 BYTES\",\"role\":\"admin\"}}' \
                 {scheme}://{admin}/v2/console/user\n"
            );
        }
        text += &format!(
            "\x20 try              curl -u {key}: -d '{{\"id\":\"my-first-device\"}}' \
             {scheme}://{address}/v2/account/authenticate/device\n",
            key = if keys.contains(&"socket.server_key") { "defaultkey" } else { "SERVER_KEY" },
        );
        // Whoever started us may have closed the output; that is no reason not to serve.
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
        if !keys.is_empty() && !address.ip().is_loopback() {
            tracing::warn!(keys = keys.join(", "), "default keys outside loopback");
        }
    }
}
