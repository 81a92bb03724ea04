//! `[rate_limit]`: how often one address, and one user, may ask, per class of operations.

use anyhow::{Result, ensure};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RateLimit {
    /// Off for benchmarks.
    pub enabled: bool,
    pub address: Classes,
    pub user: Classes,
}

/// A class without limits is not counted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Classes {
    /// Signing in and out, sockets.
    pub sign: Option<Limit>,
    /// Showing a password.
    pub password: Option<Limit>,
    pub read: Option<Limit>,
    pub write: Option<Limit>,
    /// Match data.
    pub stream: Option<Limit>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub per_sec: u32,
    /// So many at once, after a pause.
    pub burst: u32,
}

impl Default for RateLimit {
    /// Many players may share an address; no player needs more than these.
    fn default() -> Self {
        let limit = |per_sec, burst| Some(Limit { per_sec, burst });
        RateLimit {
            enabled: true,
            address: Classes {
                sign: limit(50, 500),
                password: limit(5, 40),
                read: limit(1_000, 5_000),
                write: limit(500, 2_500),
                stream: None,
            },
            user: Classes {
                sign: limit(5, 30),
                password: limit(1, 10),
                read: limit(50, 300),
                write: limit(25, 150),
                stream: limit(1_000, 2_000),
            },
        }
    }
}

impl RateLimit {
    pub(crate) fn check(&self) -> Result<()> {
        for (scope, classes) in [("address", &self.address), ("user", &self.user)] {
            let Classes { sign, password, read, write, stream } = classes;
            for (class, limit) in [
                ("sign", sign),
                ("password", password),
                ("read", read),
                ("write", write),
                ("stream", stream),
            ] {
                let Some(Limit { per_sec, burst }) = *limit else { continue };
                let key = format!("rate_limit.{scope}.{class}");
                ensure!(
                    (1..=1_000_000).contains(&per_sec) && (1..=1_000_000).contains(&burst),
                    "{key}: per_sec is {per_sec} and burst is {burst}; both have to be 1 to 1000000"
                );
                ensure!(
                    burst / per_sec <= 3600,
                    "{key}: a burst of {burst} takes more than an hour to come back at {per_sec} \
                     a second"
                );
            }
        }
        Ok(())
    }

    pub(crate) fn rates(&self) -> shard::Rates {
        if !self.enabled {
            return shard::Rates::default();
        }
        let limit = |limit: Option<Limit>| {
            limit.map(|Limit { per_sec, burst }| shard::Limit { per_sec, burst })
        };
        let limits = |classes: &Classes| shard::Limits {
            sign: limit(classes.sign),
            password: limit(classes.password),
            read: limit(classes.read),
            write: limit(classes.write),
            stream: limit(classes.stream),
        };
        shard::Rates { address: limits(&self.address), user: limits(&self.user) }
    }
}
