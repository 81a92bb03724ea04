//! The process around the cores: start, signals, watchdog, end.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::ops::Operations;
use base::ShardId;
use base::id::SHARDS_MAX;
use base::limits::{BATCH_BYTES_MAX, TASKS_MAX, UNDURABLE_BATCHES_MAX};
use crossbeam_channel::Sender;
use domain::identity::token;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::bus::{self, Bus, Mail, mailbox};
use crate::certificate::Certificate;
use crate::config::{Config, Mode};
use crate::executor::{self, Core};
use crate::metrics::Metrics;
use crate::password::{self, Passwords};
use crate::server_key;

/// How long a shard's tick may stand still before it is reported, and before the process gives up:
/// a restart, or a standby, serves better than a core that does not run.
const STALL_REPORTED: u32 = 8; // in watches
const STALL_FATAL: u32 = 240;
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
    pub metrics: Metrics,
    /// Ticks of each shard, for the watchdog.
    pub ticks: Vec<AtomicU64>,
    /// Whether each shard has nothing left to do, while draining.
    pub quiet: Vec<AtomicBool>,
    /// Sessions opened so far, for placing them in turn.
    pub sessions: AtomicUsize,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> Result<()> {
    net::probe::io_uring()?;
    executor::raise_descriptor_limit();
    let settings = store::Settings {
        readers: 2,
        queue: SHARDS_MAX * UNDURABLE_BATCHES_MAX.max(TASKS_MAX),
        batch_bytes: 16 * BATCH_BYTES_MAX,
    };
    let certificate = Certificate::start(config)?;
    // The port first: a refused start leaves no trace in the data folder.
    let listeners = net::listener::bind(config.listen, config.shards)?;
    let opened = store::Store::open(&config.data_dir, settings)?;
    let address = listeners.first().context("at least one shard listens")?.local_addr()?;

    let bus = bus::bus(config.shards);
    let sidecar = sidecar::Sidecar::start(config.social.settings())?;
    let sink_bus = bus.clone();
    let sink: store::Sink = Arc::new(move |shard: ShardId, event| {
        mailbox(&sink_bus, shard).send_always(Mail::Store(event));
    });
    let store = opened.store.start(
        sink,
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
        metrics: Metrics::new(config.shards, opened.incarnation),
        bus,
        ticks: (0..config.shards).map(|_| AtomicU64::new(0)).collect(),
        quiet: (0..config.shards).map(|_| AtomicBool::new(false)).collect(),
        sessions: AtomicUsize::new(0),
    });

    let shard_config = Arc::new(shard_config(config, opened.incarnation)?);
    let operations = Arc::new(Operations::all());
    let cores = executor::allowed_cores();
    let mut threads = Vec::new();
    for (id, listener) in ShardId::all(config.shards).zip(listeners) {
        let core = Core {
            id,
            cpu: cores.get(id.index() % cores.len().max(1)).copied(),
            listener,
            shared: shared.clone(),
            config: shard_config.clone(),
            operations: operations.clone(),
        };
        threads.push(executor::start(core)?);
    }
    watch(shared.clone())?;
    listen_to_signals(shared.bus.clone(), certificate.map(|certificate| certificate.reload))?;
    print_banner(config, address, opened.incarnation);

    for thread in threads {
        executor::join(thread)?;
    }
    store.shutdown()?;
    tracing::info!("stopped");
    Ok(())
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

fn shard_config(config: &Config, incarnation: u32) -> Result<shard::Config> {
    let millis = Duration::from_millis;
    let secs = Duration::from_secs;
    let session = &config.session;
    let keys = |newest: &str, earlier: &[String]| {
        let earlier: Vec<_> = earlier.iter().map(String::as_bytes).collect();
        token::Keys::new(newest.as_bytes(), &earlier)
    };
    let sidecar = config.social.settings();
    Ok(shard::Config {
        placement: shard::Placement {
            count: config.shards,
            incarnation,
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
        server_keys: server_key::load(config)?,
        token_life: secs(session.token_expiry_sec),
        refresh_token_life: secs(session.refresh_token_expiry_sec),
        server_token_life: secs(session.server_token_expiry_sec),
        single_session: session.single_session,
        single_socket: session.single_socket,
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
        },
        rates: config.rate_limit.rates(),
        hooks: shard::Hooks::default(),
    })
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
/// end. SIGHUP, where there is a certificate, has it read again.
fn listen_to_signals(bus: Bus, reload: Option<Sender<()>>) -> Result<()> {
    let hangup = reload.as_ref().map(|_| SIGHUP);
    let mut signals = Signals::new([SIGTERM, SIGINT].into_iter().chain(hangup))?;
    let listen = move || {
        let mut is_draining = false;
        for signal in signals.forever() {
            if let (SIGHUP, Some(reload)) = (signal, &reload) {
                let _ = reload.try_send(()); // one that waits already is enough
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

fn print_banner(config: &Config, address: std::net::SocketAddr, incarnation: u32) {
    let keys = config.default_keys();
    let default_keys = match keys.as_slice() {
        [] => "none".to_owned(),
        keys => {
            format!("{} (everybody knows them: set your own before going online)", keys.join(", "))
        }
    };
    let text = format!(
        "Ringmaster {version}\n\
         \x20 HTTP, WebSocket  {scheme}://{address}\n\
         \x20 data folder      {data} (start {incarnation})\n\
         \x20 shards           {shards}\n\
         \x20 default keys     {default_keys}\n\
         \x20 try              curl -u {key}: -d '{{\"id\":\"my-first-device\"}}' \
         {scheme}://{address}/v2/account/authenticate/device\n",
        scheme =
            if config.socket.ssl_certificate.as_os_str().is_empty() { "http" } else { "https" },
        version = env!("CARGO_PKG_VERSION"),
        data = config.data_dir.display(),
        shards = config.shards,
        key = if keys.contains(&"socket.server_key") { "defaultkey" } else { "SERVER_KEY" },
    );
    // Whoever started us may have closed the output; that is no reason not to serve.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
    if !keys.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(keys = keys.join(", "), "default keys outside loopback");
    }
}
