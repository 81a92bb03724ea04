//! `[rate_limit]`: how often one address, and one user, may ask, per class of operations.

use toml::de::DeValue;

use super::{Kind, Setting, Value, Wrong};

#[derive(Clone, Debug, Default)]
pub(crate) struct RateLimit {
    pub enabled: bool,
    pub address: Classes,
    pub user: Classes,
}

/// A class without limits is not counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    pub sign: Option<Limit>,
    pub password: Option<Limit>,
    pub read: Option<Limit>,
    pub write: Option<Limit>,
    pub stream: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub per_sec: u32,
    /// So many at once, after a pause.
    pub burst: u32,
}

/// The most of both.
pub(super) const RATE_MAX: u32 = 1_000_000;

/// Written as a table of both numbers; `None` as an empty one.
impl Setting for Option<Limit> {
    fn set(&mut self, value: &Value<'_>, _: &Kind) -> Result<(), Vec<Wrong>> {
        const NUMBER: Kind = Kind::Whole { least: 1, most: RATE_MAX as u64, unit: "" };
        let DeValue::Table(table) = value.get_ref() else {
            return Err(Wrong::of_type(value).into());
        };
        let (mut per_sec, mut burst) = (0, 0);
        for (name, number) in table {
            match &**name.get_ref() {
                "per_sec" => per_sec.set(number, &NUMBER)?,
                "burst" => burst.set(number, &NUMBER)?,
                _ => {
                    return Err(
                        Wrong::new(value, "has something else than per_sec and burst").into()
                    );
                }
            }
        }
        *self = match (per_sec, burst) {
            (0, 0) => None,
            (0, _) => return Err(Wrong::new(value, "lacks per_sec").into()),
            (_, 0) => return Err(Wrong::new(value, "lacks burst").into()),
            (per_sec, burst) if burst / per_sec > 3600 => {
                let what = "has a burst that takes more than an hour to come back";
                return Err(Wrong::new(value, what).into());
            }
            (per_sec, burst) => Some(Limit { per_sec, burst }),
        };
        Ok(())
    }

    fn toml(&self) -> String {
        match self {
            None => "{}".into(),
            Some(Limit { per_sec, burst }) => format!("{{ per_sec = {per_sec}, burst = {burst} }}"),
        }
    }
}

impl RateLimit {
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
