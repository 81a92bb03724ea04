//! The store without threads: for a driver that decides itself what happens when.

use std::sync::Arc;
use std::time::Instant;

use base::ShardId;

use crate::commit::Writer;
use crate::error::Error;
use crate::read::Snapshots;
use crate::{Commit, Event, Load, Store};

/// A store that does one step at each call, with the code of the threads.
pub struct Steps {
    writer: Writer,
    snapshots: Snapshots,
    opened: Instant,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("applied", &self.writer.applied).finish_non_exhaustive()
    }
}

impl Store {
    /// Gives up threads. The lock on the folder, if there is one, is given up too.
    pub fn into_steps(self) -> Steps {
        let (file, applied) = self.into_file();
        let file = Arc::new(file);
        Steps {
            writer: Writer { file: Arc::clone(&file), applied },
            snapshots: Snapshots { file, snapshot: None },
            opened: Instant::now(),
        }
    }
}

impl Steps {
    /// Makes the group durable as one transaction; gives what to tell whom, in order. After an
    /// error nothing may be asked of the store any more.
    pub fn commit(&mut self, group: &[Commit]) -> Result<Vec<(ShardId, Event)>, Error> {
        Ok(self.writer.write(group)?.events)
    }

    /// Answers a load, from the snapshot of an earlier load as long as that is new enough for it.
    pub fn load(&mut self, load: Load) -> Result<Event, Error> {
        self.snapshots.answer(load, self.opened)
    }

    /// Gives up the snapshot, as a reader does after a second.
    pub fn forget_snapshot(&mut self) {
        self.snapshots.snapshot = None;
    }
}
