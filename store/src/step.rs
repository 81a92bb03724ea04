//! The store without threads: for a driver that decides itself what happens when.

use std::sync::Arc;
use std::time::Instant;

use base::{Offset, ShardId};

use crate::apply::Applier;
use crate::backup::Source;
use crate::commit::announcements;
use crate::error::Error;
use crate::handle::Parts;
use crate::log::Log;
use crate::log::entry;
use crate::log::keep::Keeper;
use crate::read::Snapshots;
use crate::{Commit, Event, Load, Scan, Store};

/// A store that does one step at each call, with the code of the threads.
#[derive(Debug)]
pub struct Steps {
    log: Log,
    applier: Applier,
    keeper: Keeper,
    snapshots: Snapshots,
    opened: Instant,
    source: Arc<Source>,
}

impl Store {
    /// Gives up threads. The lock on the folder, if there is one, is given up too.
    pub fn into_steps(self) -> Steps {
        let Parts { log, applier, keeper, snapshots, .. } = self.into_parts();
        let (tables, shelf) = (Arc::clone(&applier.tables), Arc::clone(&log.shelf));
        let source = Arc::new(Source::new(tables, shelf, &*log.disk, log.id));
        Steps { log, applier, keeper, snapshots, opened: Instant::now(), source }
    }
}

impl Steps {
    /// Makes the group durable as one entry; gives what to tell whom, in order. After an error
    /// nothing may be asked of the store any more.
    ///
    /// Where a thread would wait for the state to come closer, this brings it there first.
    pub fn commit(&mut self, group: &[Commit]) -> Result<Vec<(ShardId, Event)>, Error> {
        self.commit_at(group, 0)
    }

    /// The same at a time, in milliseconds since 1970.
    pub fn commit_at(
        &mut self,
        group: &[Commit],
        time: u64,
    ) -> Result<Vec<(ShardId, Event)>, Error> {
        if !self.log.shelf.has_room(entry::span(entry::size(group))) {
            while self.apply()? {}
            self.checkpoint()?;
        }
        if !self.log.shelf.has_spare() {
            self.keeper.make_spare()?;
        }
        let appended =
            self.log.append(group, time)?.expect("nothing stops a store without threads");
        Ok(announcements(group, appended.first, self.log.shelf.applied()).collect())
    }

    /// Whether something is durable that the state does not have durably.
    pub fn is_behind(&self) -> bool {
        self.log.shelf.backlog() > 0
    }

    /// Brings some of what is durable into the state. `false` when there was nothing.
    pub fn apply(&mut self) -> Result<bool, Error> {
        let has_some = self.applier.applied() < self.log.shelf.durable();
        if has_some {
            self.applier.apply()?;
        }
        Ok(has_some)
    }

    /// Makes durable what is in the state.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.applier.checkpoint()
    }

    /// Puts away segments that are not needed any more, and makes new ones.
    pub fn keep(&mut self) -> Result<(), Error> {
        self.keeper.work()
    }

    /// For backups of the store, while steps are done.
    pub fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// Newest offset that an answer to a load may be asked for.
    pub fn applied(&self) -> Offset {
        self.log.shelf.applied()
    }

    /// Answers a load, from the snapshot of an earlier load as long as that is new enough for it.
    pub fn load(&mut self, load: Load) -> Result<Event, Error> {
        self.snapshots.answer(load, self.opened)
    }

    /// Answers a scan, as a load.
    pub fn scan(&mut self, scan: Scan) -> Result<Event, Error> {
        self.snapshots.scan(scan, self.opened)
    }

    /// Gives up the snapshot, as a reader does after a second.
    pub fn forget_snapshot(&mut self) {
        self.snapshots.snapshot = None;
    }
}
