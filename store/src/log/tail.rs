//! The rows that the log has and the state has not yet, at a start: what readers look into first.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use base::{ChangeRef, Offset, Range, Table};
use bytes::Bytes;
use rustc_hash::FxBuildHasher;
use xxhash_rust::xxh3::Xxh3;

use super::entry::StoreId;
use super::segment::{self, Segment};

/// Where the newest value of each row stands in the log.
///
/// A start serves before the tail is applied, however long that is. Rows are told apart by 128 bits
/// of a hash that the store's random number seeds, so that a million of them take little memory.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Offset of the newest batch in it.
    pub(crate) end: Offset,
    id: StoreId,
    rows: HashMap<u128, Place, FxBuildHasher>,
    /// The keys of tables of which ranges are read, each behind its table.
    ranged: BTreeSet<(Table, Box<[u8]>)>,
    /// Held, so that they are not used again.
    segments: Vec<Arc<Segment>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Index in `segments`.
    segment: u32,
    at: u32,
    /// [`DELETED`] where the row is gone.
    len: u32,
}

const DELETED: u32 = u32::MAX;

impl Tail {
    pub(crate) fn new(id: StoreId) -> Tail {
        let (rows, ranged) = (HashMap::default(), BTreeSet::new());
        Tail { end: Offset(0), id, rows, ranged, segments: Vec::new() }
    }

    /// What is taken in from here on stands in this segment.
    pub(crate) fn enter(&mut self, segment: Arc<Segment>) {
        self.segments.push(segment);
    }

    /// Takes in a change whose value begins at this place of the segment.
    pub(crate) fn take(&mut self, change: ChangeRef<'_>, at: u64) {
        let segment = self.segments.len().checked_sub(1).expect("a segment was entered");
        let narrow = |wide: u64| u32::try_from(wide).expect("segments are below 4 GiB");
        let place = Place {
            segment: narrow(segment as u64),
            at: narrow(at),
            len: change.value.map_or(DELETED, |value| narrow(value.len() as u64)),
        };
        self.rows.insert(self.hash(change.table, change.key), place);
        if change.table.is_ranged() {
            self.ranged.insert((change.table, change.key.into()));
        }
    }

    /// The keys of a range that it has rows of, or knows to be gone, in ascending order.
    pub(crate) fn keys<'a>(
        &'a self,
        range: &'a Range,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let from = (range.table, Box::from(&*range.from));
        let to = match range.to.is_empty() {
            true => (Table(range.table.0.saturating_add(1)), Box::default()),
            false => (range.table, Box::from(&*range.to)),
        };
        let keys = (from < to).then(|| self.ranged.range(from..to));
        keys.into_iter().flatten().map(|(_, key)| &**key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row's value, or that it is gone; `None` where the tail says nothing of it. An error comes
    /// with the name of the file.
    pub(crate) fn get(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Option<Bytes>>, (String, io::Error)> {
        let Some(place) = self.rows.get(&self.hash(table, key)) else { return Ok(None) };
        if place.len == DELETED {
            return Ok(Some(None));
        }
        let mut value = vec![0; place.len as usize];
        let segment = &self.segments[place.segment as usize];
        let read = segment.file.read(place.at.into(), &mut value);
        read.map_err(|error| (segment::file_name(segment.number), error))?;
        Ok(Some(Some(value.into())))
    }

    fn hash(&self, table: Table, key: &[u8]) -> u128 {
        let mut hasher = Xxh3::with_seed(self.id.0);
        hasher.update(&[table.0]);
        hasher.update(key);
        hasher.digest128()
    }
}
