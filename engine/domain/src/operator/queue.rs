//! The queues that operators define, beside those of the configuration: an operator's definition
//! overrides the configuration's of the same id until it is deleted.

use std::collections::BTreeSet;

use base::limits::{QUEUE_DEFINITIONS_MAX, QUEUES_MAX};
use base::{Code, Frame};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::queue::KEY;
use crate::record::{self, Record as _};

pub use crate::record::queue::{Queue, Queues};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound,
    /// The configuration alone has it.
    Configured,
    /// It is at this version, and not at the expected one.
    OtherVersion(u64),
    TooMany,
    /// All definitions together.
    TooLarge,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::NotFound => Code::NotFound,
            Error::Configured => Code::FailedPrecondition,
            Error::OtherVersion(_) => Code::Aborted,
            Error::TooMany | Error::TooLarge => Code::ResourceExhausted,
        }
    }
}

/// A change of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub id: String,
    /// As JSON, checked by whoever knows what it means; without it, the queue is deleted.
    pub definition: Option<String>,
    /// The version that it has to be at, if that matters; 0: no operator has defined it.
    pub version: Option<u64>,
    /// Ids of the queues that the configuration defines.
    pub configured: Vec<String>,
}

pub fn list(ctx: &mut Ctx<'_>) -> Applied<Queues, Never> {
    Ok(record::read(ctx, KEY)?.unwrap_or_default())
}

pub fn edit(ctx: &mut Ctx<'_>, edit: &Edit) -> Applied<(), Error> {
    let Edit { id, definition, version, configured } = edit;
    let mut all = list(ctx).map_err(Stop::never)?;
    let queues = &mut all.queues;
    let place = queues.binary_search_by(|queue| queue.id.as_str().cmp(id));
    let current = place.map_or(0, |place| queues[place].version);
    let refuse = |error| Err(Stop::Refused(error));
    if version.is_some_and(|version| version != current) {
        return refuse(Error::OtherVersion(current));
    }
    all.changes += 1;
    match (definition, place) {
        (None, Ok(place)) => {
            queues.remove(place);
        }
        (None, Err(_)) if configured.contains(id) => return refuse(Error::Configured),
        (None, Err(_)) => return refuse(Error::NotFound),
        (Some(definition), place) => {
            let queue = Queue {
                id: id.clone(),
                version: all.changes,
                update_time: ctx.now.wall.secs(),
                definition: definition.clone(),
            };
            match place {
                Ok(place) => queues[place] = queue,
                Err(place) => queues.insert(place, queue),
            }
            let ids: BTreeSet<_> = queues.iter().map(|queue| &queue.id).chain(configured).collect();
            if ids.len() > QUEUES_MAX && place.is_err() && !configured.contains(id) {
                return refuse(Error::TooMany);
            }
            let size: usize = queues.iter().map(|queue| queue.definition.len()).sum();
            if size > QUEUE_DEFINITIONS_MAX {
                return refuse(Error::TooLarge);
            }
        }
    }
    record::write(ctx, KEY, &all);
    Ok(())
}

/// All queues of operators, as a change of them has written them.
pub fn written(change: &Frame) -> Option<Queues> {
    let written = change.changes().find(|change| change.table == Queues::TABLE);
    Queues::decode(written?.value?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    fn write(id: &str) -> Edit {
        let definition = Some(format!("{{\"id\":\"{id}\"}}"));
        Edit { id: id.into(), definition, version: None, configured: vec!["ours".into()] }
    }

    fn delete(id: &str) -> Edit {
        Edit { definition: None, ..write(id) }
    }

    fn refused<T>(error: Error) -> Applied<T, Error> {
        Err(Stop::Refused(error))
    }

    fn versions(world: &mut World) -> Vec<(String, u64)> {
        let all = world.apply(list).expect("they are read");
        all.queues.into_iter().map(|queue| (queue.id, queue.version)).collect()
    }

    #[test]
    fn versions_rise_over_deletions() {
        let mut world = World::default();
        let mut run = |change: &Edit| world.apply(|ctx| edit(ctx, change));
        assert_eq!(run(&write("duel")), Ok(()));
        assert_eq!(run(&write("arena")), Ok(()));
        assert_eq!(run(&delete("duel")), Ok(()));
        assert_eq!(run(&delete("duel")), refused(Error::NotFound));
        assert_eq!(run(&write("duel")), Ok(()));
        assert_eq!(versions(&mut world), [("arena".into(), 2), ("duel".into(), 4)]);
    }

    #[test]
    fn a_change_of_another_version_is_refused() {
        let mut world = World::default();
        let mut run = |change: Edit, version| {
            let change = Edit { version: Some(version), ..change };
            world.apply(|ctx| edit(ctx, &change))
        };
        assert_eq!(run(write("duel"), 1), refused(Error::OtherVersion(0)));
        assert_eq!(run(write("duel"), 0), Ok(()));
        assert_eq!(run(write("duel"), 0), refused(Error::OtherVersion(1)));
        assert_eq!(run(write("duel"), 1), Ok(()));
        assert_eq!(run(delete("duel"), 1), refused(Error::OtherVersion(2)));
        assert_eq!(run(delete("duel"), 2), Ok(()));
        assert_eq!(run(write("duel"), 2), refused(Error::OtherVersion(0)));
    }

    #[test]
    fn what_the_configuration_defines_is_overridden_and_never_deleted() {
        let mut world = World::default();
        let mut run = |change: &Edit| world.apply(|ctx| edit(ctx, change));
        assert_eq!(run(&delete("ours")), refused(Error::Configured));
        assert_eq!(run(&write("ours")), Ok(()));
        assert_eq!(run(&delete("ours")), Ok(()));
        assert_eq!(run(&delete("ours")), refused(Error::Configured));
    }

    #[test]
    fn there_is_a_most_of_queues_and_of_their_definitions() {
        let mut world = World::default();
        let mut run = |change: &Edit| world.apply(|ctx| edit(ctx, change));
        for number in 1..QUEUES_MAX {
            assert_eq!(run(&write(&format!("queue-{number}"))), Ok(()));
        }
        assert_eq!(run(&write("another")), refused(Error::TooMany), "with that of the file");
        assert_eq!(run(&write("ours")), Ok(()));
        assert_eq!(run(&write("queue-1")), Ok(()));
        let large = Some("x".repeat(QUEUE_DEFINITIONS_MAX));
        let large = Edit { definition: large, ..write("queue-1") };
        assert_eq!(run(&large), refused(Error::TooLarge));
        assert_eq!(run(&delete("queue-1")), Ok(()));
    }
}
