//! A reader thread: answers loads from a snapshot that it keeps for a short while.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::limits::SCAN_BYTES_MAX;
use base::{Offset, Range, Table};
use bytes::Bytes;
use redb::{AccessGuard, ReadOnlyTable, ReadableDatabase, StorageError};

use crate::error::Error;
use crate::handle::{Fate, Queue, Queued, Waited};
use crate::log::tail::Tail;
use crate::stats::Stats;
use crate::tables::{self, META, Meta, ROWS, Tables};
use crate::{Event, Load, Scan, Sink};

/// Longest life of a snapshot: as long as one lives, redb cannot use the pages freed after it.
const SNAPSHOT_LIFE: Duration = Duration::from_secs(1);

/// What the log had at the start and the state had not, until the state has it.
#[derive(Debug)]
pub(crate) struct Recent(Mutex<Option<Arc<Tail>>>);

/// Answers loads from one snapshot after another.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    pub(crate) tables: Arc<Tables>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
}

/// What readers are asked for.
#[derive(Debug)]
pub(crate) enum Wish {
    Load(Load),
    Scan(Scan),
}

/// Owned by one thread `store-read-N`.
pub(crate) struct Reader {
    pub(crate) snapshots: Snapshots,
    pub(crate) queue: Queue<Wish>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) sink: Sink,
    pub(crate) stats: Arc<Stats>,
    /// Counted from zero.
    pub(crate) number: usize,
}

/// The rows at one moment. The table keeps redb's read transaction alive.
pub(crate) struct Snapshot {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// Looked into first.
    tail: Option<Arc<Tail>>,
    pub(crate) applied: Offset,
    born: Instant,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Recent {
    pub(crate) fn new(tail: Tail) -> Recent {
        Recent(Mutex::new((!tail.is_empty()).then(|| Arc::new(tail))))
    }

    /// Snapshots from here on have everything up to this offset.
    pub(crate) fn applied(&self, applied: Offset) {
        let mut tail = self.lock();
        if tail.as_ref().is_some_and(|tail| tail.end <= applied) {
            *tail = None;
        }
    }

    fn get(&self) -> Option<Arc<Tail>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Tail>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    pub(crate) fn run(mut self) -> Result<(), Error> {
        while let Some(Queued { item: wish, since }) = self.next_wish() {
            if self.fate.is_poisoned() {
                break;
            }
            let (shard, event) = match wish {
                Wish::Load(load) => (load.shard, self.snapshots.answer(load, Instant::now())?),
                Wish::Scan(scan) => (scan.shard, self.snapshots.scan(scan, Instant::now())?),
            };
            self.stats.loaded(self.number, since, Instant::now());
            if self.fate.is_poisoned() {
                break;
            }
            (self.sink)(shard, event);
        }
        Ok(())
    }

    /// Waits for a wish, and gives up the snapshot when it is old, even if none comes.
    fn next_wish(&mut self) -> Option<Queued<Wish>> {
        if let Some(snapshot) = &self.snapshots.snapshot {
            let left = SNAPSHOT_LIFE.saturating_sub(snapshot.born.elapsed());
            match self.queue.wait_for(left) {
                Waited::Item(wish) => return Some(wish),
                Waited::End => return None,
                Waited::Nothing => self.snapshots.snapshot = None,
            }
        }
        self.queue.wait()
    }
}

impl Snapshots {
    pub(crate) fn answer(&mut self, load: Load, now: Instant) -> Result<Event, Error> {
        let tables = Arc::clone(&self.tables);
        let snapshot = self.snapshot(load.at_least, now)?;
        let value = snapshot.get(&tables, load.table, &load.key)?;
        Ok(Event::Loaded { table: load.table, key: load.key, value, applied: snapshot.applied })
    }

    pub(crate) fn scan(&mut self, scan: Scan, now: Instant) -> Result<Event, Error> {
        let Scan { range, at_least, .. } = scan;
        let tables = Arc::clone(&self.tables);
        let snapshot = self.snapshot(at_least, now)?;
        let (rows, is_end) = snapshot.scan(&tables, &range)?;
        Ok(Event::Scanned { range, rows, is_end, applied: snapshot.applied })
    }

    /// The snapshot at hand, or a new one if that is too old for the clock or for the load.
    fn snapshot(&mut self, at_least: Offset, now: Instant) -> Result<Arc<Snapshot>, Error> {
        let kept = self.snapshot.take().filter(|kept| kept.serves(at_least, now));
        let snapshot = match kept {
            Some(kept) => kept,
            None => Arc::new(Snapshot::take(&self.tables, &self.recent, now)?),
        };
        assert!(
            snapshot.applied >= at_least,
            "a load demands only an offset that was announced as applied"
        );
        Ok(Arc::clone(self.snapshot.insert(snapshot)))
    }
}

impl Snapshot {
    fn serves(&self, at_least: Offset, now: Instant) -> bool {
        self.applied >= at_least && now.saturating_duration_since(self.born) < SNAPSHOT_LIFE
    }

    pub(crate) fn get(
        &self,
        tables: &Tables,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        if let Some(tail) = &self.tail
            && let Some(value) = from_tail(tail, tables, table, key)?
        {
            return Ok(value);
        }
        let mut row = Vec::with_capacity(key.len() + 1);
        tables::row_key(&mut row, table, key);
        let found = self.rows.get(row.as_slice()).map_err(|e| tables.read_error(e))?;
        Ok(found.map(|guard| Bytes::copy_from_slice(guard.value())))
    }

    /// The first rows of a range, and whether those are all.
    fn scan(&self, tables: &Tables, range: &Range) -> Result<(Vec<(Bytes, Bytes)>, bool), Error> {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        tables::row_key(&mut from, range.table, &range.from);
        match range.to.is_empty() {
            true => to.push(range.table.0.saturating_add(1)),
            false => tables::row_key(&mut to, range.table, &range.to),
        }
        if from >= to {
            return Ok((Vec::new(), true));
        }
        let found = self.rows.range(from.as_slice()..to.as_slice());
        let found = found.map_err(|e| tables.read_error(e))?;
        let recent = self.tail.as_ref().map(|tail| tail.keys(range)).into_iter().flatten();
        let mut rows =
            Rows { snapshot: self, tables, table: range.table, read: Vec::new(), bytes: 0 };
        let is_end = match range.is_descending {
            false => rows.take(found, recent, range.limit, Ordering::Less),
            true => rows.take(found.rev(), recent.rev(), range.limit, Ordering::Greater),
        };
        Ok((rows.read, is_end?))
    }

    pub(crate) fn take(tables: &Tables, recent: &Recent, born: Instant) -> Result<Snapshot, Error> {
        // Before the snapshot: where the tail is gone, the snapshot has it.
        let tail = recent.get();
        let transaction = tables.redb.begin_read().map_err(|e| tables.read_error(e))?;
        let meta = transaction.open_table(META).map_err(|e| tables.read_error(e))?;
        let applied = Meta::read(tables, &meta)?.applied;
        let rows = transaction.open_table(ROWS).map_err(|e| tables.read_error(e))?;
        let tail = tail.filter(|tail| applied < tail.end);
        let applied = tail.as_ref().map_or(applied, |tail| tail.end);
        Ok(Snapshot { rows, tail, applied, born })
    }
}

/// A row's value as the tail has it; `None` where it says nothing of the row.
fn from_tail(
    tail: &Tail,
    tables: &Tables,
    table: Table,
    key: &[u8],
) -> Result<Option<Option<Bytes>>, Error> {
    let path = |name| tables.path.with_file_name(name);
    tail.get(table, key).map_err(|(name, source)| Error::Io { path: path(name), source })
}

type Found<'a> =
    Result<(AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>), StorageError>;

/// Rows of a range, as they are read.
struct Rows<'a> {
    snapshot: &'a Snapshot,
    tables: &'a Tables,
    table: Table,
    read: Vec<(Bytes, Bytes)>,
    bytes: usize,
}

impl Rows<'_> {
    /// Merges the state's rows with those of the tail, whose values are the newer ones. Whether
    /// nothing is left; `first` is how a key compares with those behind it.
    fn take<'a, 'b>(
        &mut self,
        state: impl Iterator<Item = Found<'a>>,
        recent: impl Iterator<Item = &'b [u8]>,
        limit: usize,
        first: Ordering,
    ) -> Result<bool, Error> {
        let (mut state, mut recent) = (state.peekable(), recent.peekable());
        loop {
            if self.read.len() >= limit || self.bytes >= SCAN_BYTES_MAX {
                return Ok(state.peek().is_none() && recent.peek().is_none());
            }
            let order = match (state.peek(), recent.peek()) {
                (None, None) => return Ok(true),
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) | (Some(Err(_)), Some(_)) => Ordering::Less,
                (Some(Ok((key, _))), Some(newer)) => match key.value()[1..].cmp(newer) {
                    Ordering::Equal => Ordering::Equal,
                    order if order == first => Ordering::Less,
                    _ => Ordering::Greater,
                },
            };
            if order == Ordering::Less {
                let found = state.next().expect("it was peeked at");
                let (key, value) = found.map_err(|e| self.tables.read_error(e))?;
                self.push(&key.value()[1..], Bytes::copy_from_slice(value.value()));
                continue;
            }
            if order == Ordering::Equal {
                drop(state.next());
            }
            let key = recent.next().expect("it was peeked at");
            let tail = self.snapshot.tail.as_ref().expect("its keys are read");
            if let Some(Some(value)) = from_tail(tail, self.tables, self.table, key)? {
                self.push(key, value);
            }
        }
    }

    fn push(&mut self, key: &[u8], value: Bytes) {
        self.bytes += key.len() + value.len();
        self.read.push((Bytes::copy_from_slice(key), value));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::log::entry::StoreId;

    #[test]
    fn a_snapshot_serves_for_a_second_and_only_what_it_contains() {
        let backend = redb::backends::InMemoryBackend::new();
        let tables = Tables {
            redb: redb::Builder::new().create_with_backend(backend).unwrap(),
            path: PathBuf::new(),
        };
        let transaction = tables.begin_checkpoint().unwrap();
        transaction.open_table(ROWS).unwrap();
        let store = StoreId(1);
        let meta = Meta { applied: Offset(5), incarnation: 1, store, epoch: 1 };
        meta.write(&tables, &transaction).unwrap();
        transaction.commit().unwrap();

        let born = Instant::now();
        let recent = Recent::new(Tail::new(store));
        let snapshot = Snapshot::take(&tables, &recent, born).unwrap();
        let almost_old = born + SNAPSHOT_LIFE - Duration::from_nanos(1);
        assert!(snapshot.serves(Offset(5), born));
        assert!(snapshot.serves(Offset(0), almost_old));
        assert!(!snapshot.serves(Offset(6), born));
        assert!(!snapshot.serves(Offset(0), born + SNAPSHOT_LIFE));
    }
}
