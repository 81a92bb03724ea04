//! All that a feature may touch.

use base::{Change, Now, Range, Rng, Table};
use bytes::Bytes;

use crate::effect::Effect;

/// Committed state together with this shard's own changes.
pub trait View {
    /// The value of a key; `None` when there is none.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Unavailable>;

    /// The first rows of a range, as many as it wants if there are so many. Its table has to be one
    /// of which ranges are read.
    ///
    /// Rows of this shard are as its newest change left them. Those of others may be a moment old:
    /// whoever reads a range that is not of one home keeps to its own.
    fn range(&mut self, range: &Range) -> Result<Vec<Row>, Unavailable>;
}

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// The key is not here yet: the command is parked and applied again, from the start, when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Why an `apply` ended without a reply. In each case it has left no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop<E> {
    /// Apply again when the missing key is there.
    Unavailable,
    /// A stored record does not decode: the store is damaged, and a human must look.
    Damaged(Table),
    /// The request, or the state it met, forbids it.
    Refused(E),
}

impl<E> From<Unavailable> for Stop<E> {
    fn from(_: Unavailable) -> Self {
        Stop::Unavailable
    }
}

impl<E> Stop<E> {
    /// The same stop, with the refusal of another feature.
    pub fn map<F>(self, refused: impl FnOnce(E) -> F) -> Stop<F> {
        match self {
            Stop::Unavailable => Stop::Unavailable,
            Stop::Damaged(table) => Stop::Damaged(table),
            Stop::Refused(error) => Stop::Refused(refused(error)),
        }
    }
}

impl Stop<Never> {
    /// The same stop, for a command that can be refused.
    pub fn never<E>(self) -> Stop<E> {
        self.map(|never| match never {})
    }
}

/// What `apply` gives.
pub type Applied<T, E> = Result<T, Stop<E>>;

/// The refusal of something that is never refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// One command's surroundings.
pub struct Ctx<'a> {
    pub now: Now,
    pub rng: &'a mut Rng,
    pub view: &'a mut dyn View,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Ctx<'a> {
    pub fn new(
        now: Now,
        rng: &'a mut Rng,
        view: &'a mut dyn View,
        effects: &'a mut Vec<Effect>,
    ) -> Ctx<'a> {
        Ctx { now, rng, view, effects }
    }

    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Writes a key.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.push(Effect::Change(Change { table: table.0, key: key.to_vec(), value: Some(value) }));
    }

    /// Deletes a key.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.push(Effect::Change(Change { table: table.0, key: key.to_vec(), value: None }));
    }
}

/// A view of everything that was written, for tests of features.
#[cfg(test)]
pub(crate) mod world {
    use std::collections::BTreeMap;

    use base::UnixTime;

    use super::*;

    pub(crate) struct World {
        pub(crate) now: u64,
        rows: BTreeMap<(Table, Vec<u8>), Bytes>,
    }

    impl Default for World {
        fn default() -> World {
            World { now: 1000, rows: BTreeMap::new() }
        }
    }

    impl View for BTreeMap<(Table, Vec<u8>), Bytes> {
        fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Unavailable> {
            Ok(BTreeMap::get(self, &(table, key.to_vec())).cloned())
        }

        fn range(&mut self, range: &Range) -> Result<Vec<Row>, Unavailable> {
            assert!(range.table.is_ranged());
            let is_in =
                |(table, key): &(Table, Vec<u8>)| *table == range.table && range.contains(key);
            let rows = self.iter().filter(|(key, _)| is_in(key));
            let mut rows: Vec<_> = rows
                .map(|((_, key), value)| (Bytes::copy_from_slice(key), value.clone()))
                .collect();
            if range.is_descending {
                rows.reverse();
            }
            rows.truncate(range.limit);
            Ok(rows)
        }
    }

    /// A view of a world in which nothing was written.
    pub(crate) struct Nothing;

    impl View for Nothing {
        fn get(&mut self, _: Table, _: &[u8]) -> Result<Option<Bytes>, Unavailable> {
            Ok(None)
        }

        fn range(&mut self, _: &Range) -> Result<Vec<Row>, Unavailable> {
            Ok(Vec::new())
        }
    }

    impl World {
        pub(crate) fn view(&mut self) -> &mut dyn View {
            &mut self.rows
        }

        pub(crate) fn len(&self) -> usize {
            self.rows.len()
        }

        pub(crate) fn apply<T>(&mut self, command: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
            self.apply_and_tell(command).0
        }

        /// The same, and what was written.
        pub(crate) fn apply_and_tell<T>(
            &mut self,
            command: impl FnOnce(&mut Ctx<'_>) -> T,
        ) -> (T, Vec<Change>) {
            let now = Now { wall: UnixTime::from_secs(self.now), ..Now::default() };
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&self.now.to_le_bytes());
            let (mut rng, mut effects) = (Rng::from_seed(seed), Vec::new());
            let result = command(&mut Ctx::new(now, &mut rng, &mut self.rows, &mut effects));
            let mut changes = Vec::new();
            for effect in effects {
                let Effect::Change(change) = effect else { panic!("only changes: {effect:?}") };
                let key = (Table(change.table), change.key.clone());
                match change.value.clone() {
                    Some(value) => drop(self.rows.insert(key, value.into())),
                    None => drop(self.rows.remove(&key)),
                }
                changes.push(change);
            }
            (result, changes)
        }
    }
}
