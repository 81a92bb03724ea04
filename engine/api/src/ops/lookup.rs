//! How transports find an operation.

use std::collections::BTreeMap;

use super::{Door, OPERATIONS, Operation};
use crate::http::Router;

/// What the transports look up, derived from rows.
#[derive(Debug)]
pub struct Operations {
    pub router: Router,
    by_field: BTreeMap<&'static str, &'static Operation>,
    by_name: BTreeMap<&'static str, &'static Operation>,
}

impl Operations {
    /// The whole table.
    pub fn all() -> Operations {
        Operations::of(OPERATIONS)
    }

    /// A table of some rows only.
    pub fn of(rows: impl IntoIterator<Item = &'static Operation>) -> Operations {
        let rows: Vec<_> = rows.into_iter().collect();
        let by_field = rows.iter().filter_map(|row| Some((row.realtime.as_ref()?.field, *row)));
        Operations {
            by_field: by_field.collect(),
            by_name: rows.iter().map(|row| (row.name, *row)).collect(),
            router: Router::new(&rows),
        }
    }

    /// The row of an envelope's field, in snake_case.
    pub fn by_field(&self, field: &str) -> Option<&'static Operation> {
        self.by_field.get(field).copied()
    }

    pub fn by_name(&self, name: &str) -> Option<&'static Operation> {
        self.by_name.get(name).copied()
    }

    /// Every row, by name.
    pub fn rows(&self) -> impl Iterator<Item = &'static Operation> {
        self.by_name.values().copied()
    }

    /// Names under which server code may register hooks: none on what operators do.
    pub fn hook_names(&self) -> impl Iterator<Item = String> {
        let rows = self.rows().filter(|row| row.door() == Door::Clients);
        rows.flat_map(|row| [row.before_hook(), row.after_hook()])
    }
}
