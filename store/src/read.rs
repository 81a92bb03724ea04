//! A reader thread: answers loads from a snapshot that it keeps for a short while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Offset, Table};
use bytes::Bytes;
use redb::{ReadOnlyTable, ReadableDatabase};

use crate::error::Error;
use crate::handle::{Fate, Queue, Queued, Waited};
use crate::stats::Stats;
use crate::tables::{self, File, META, Meta, ROWS};
use crate::{Event, Load, Sink};

/// Longest life of a snapshot: as long as one lives, redb cannot use the pages freed after it.
const SNAPSHOT_LIFE: Duration = Duration::from_secs(1);

/// Answers loads from one snapshot after another.
pub(crate) struct Snapshots {
    pub(crate) file: Arc<File>,
    pub(crate) snapshot: Option<Snapshot>,
}

/// Owned by one thread `store-read-N`.
pub(crate) struct Reader {
    pub(crate) snapshots: Snapshots,
    pub(crate) queue: Queue<Load>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) sink: Sink,
    pub(crate) stats: Arc<Stats>,
    /// Counted from zero.
    pub(crate) number: usize,
}

/// The rows at one moment. The table keeps redb's read transaction alive.
pub(crate) struct Snapshot {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    applied: Offset,
    born: Instant,
}

impl Reader {
    pub(crate) fn run(mut self) -> Result<(), Error> {
        while let Some(Queued { item: load, since }) = self.next_load() {
            if self.fate.is_poisoned() {
                break;
            }
            let shard = load.shard;
            let event = self.snapshots.answer(load, Instant::now())?;
            self.stats.loaded(self.number, since, Instant::now());
            if self.fate.is_poisoned() {
                break;
            }
            (self.sink)(shard, event);
        }
        Ok(())
    }

    /// Waits for a load, and gives up the snapshot when it is old, even if no load comes.
    fn next_load(&mut self) -> Option<Queued<Load>> {
        if let Some(snapshot) = &self.snapshots.snapshot {
            let left = SNAPSHOT_LIFE.saturating_sub(snapshot.born.elapsed());
            match self.queue.wait_for(left) {
                Waited::Item(load) => return Some(load),
                Waited::End => return None,
                Waited::Nothing => self.snapshots.snapshot = None,
            }
        }
        self.queue.wait()
    }
}

impl Snapshots {
    pub(crate) fn answer(&mut self, load: Load, now: Instant) -> Result<Event, Error> {
        let file = Arc::clone(&self.file);
        let snapshot = self.snapshot(load.at_least, now)?;
        let value = snapshot.get(&file, load.table, &load.key)?;
        Ok(Event::Loaded { table: load.table, key: load.key, value, applied: snapshot.applied })
    }

    /// The snapshot at hand, or a new one if that is too old for the clock or for the load.
    fn snapshot(&mut self, at_least: Offset, now: Instant) -> Result<&Snapshot, Error> {
        let kept = self.snapshot.take();
        let kept = kept.filter(|kept| kept.serves(at_least, now));
        let snapshot = match kept {
            Some(kept) => kept,
            None => Snapshot::take(&self.file, now)?,
        };
        assert!(
            snapshot.applied >= at_least,
            "a load demands only an offset that was announced as applied"
        );
        Ok(self.snapshot.insert(snapshot))
    }
}

impl Snapshot {
    fn serves(&self, at_least: Offset, now: Instant) -> bool {
        self.applied >= at_least && now.saturating_duration_since(self.born) < SNAPSHOT_LIFE
    }

    pub(crate) fn get(
        &self,
        file: &File,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Bytes>, Error> {
        let mut row = Vec::with_capacity(key.len() + 1);
        tables::row_key(&mut row, table, key);
        let found = self.rows.get(row.as_slice()).map_err(|e| file.read_error(e))?;
        Ok(found.map(|guard| Bytes::copy_from_slice(guard.value())))
    }

    pub(crate) fn take(file: &File, born: Instant) -> Result<Snapshot, Error> {
        let transaction = file.redb.begin_read().map_err(|e| file.read_error(e))?;
        let meta = transaction.open_table(META).map_err(|e| file.read_error(e))?;
        let applied = Meta::read(file, &meta)?.applied;
        let rows = transaction.open_table(ROWS).map_err(|e| file.read_error(e))?;
        Ok(Snapshot { rows, applied, born })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_snapshot_serves_for_a_second_and_only_what_it_contains() {
        let backend = redb::backends::InMemoryBackend::new();
        let file = File {
            redb: redb::Builder::new().create_with_backend(backend).unwrap(),
            path: PathBuf::new(),
        };
        let transaction = file.begin_write().unwrap();
        transaction.open_table(ROWS).unwrap();
        let meta = Meta { applied: Offset(5), incarnation: 1 };
        meta.write(&file, &transaction).unwrap();
        transaction.commit().unwrap();

        let born = Instant::now();
        let snapshot = Snapshot::take(&file, born).unwrap();
        let almost_old = born + SNAPSHOT_LIFE - Duration::from_nanos(1);
        assert!(snapshot.serves(Offset(5), born));
        assert!(snapshot.serves(Offset(0), almost_old));
        assert!(!snapshot.serves(Offset(6), born));
        assert!(!snapshot.serves(Offset(0), born + SNAPSHOT_LIFE));
    }
}
