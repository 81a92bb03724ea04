//! The log, on standard error.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use crate::config::{self, Format, Level};

/// What can be turned while it logs.
pub(crate) struct Logger {
    level: Handle<LevelFilter, Registry>,
}

impl Logger {
    /// Begins to log; once in a process.
    pub(crate) fn start(config: &config::Logger) -> Logger {
        let (filter, level) = reload::Layer::new(filter(config.level));
        let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let lines = match config.format {
            Format::Text => lines.boxed(),
            Format::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).init();
        Logger { level }
    }

    pub(crate) fn set_level(&self, level: Level) {
        // It fails when there is no subscriber any more, and nobody to tell.
        let _ = self.level.reload(filter(level));
    }
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}
