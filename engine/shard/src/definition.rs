//! Which declared queues there are: those of the configuration, and over them those that operators
//! have defined. Who asks what operators see goes to the record; the home of the tickets is told of
//! every change when it is durable, and knows the record from the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Error;
use api::console::ShownQueue;
use api::convert::console as convert;
use api::reply::Reply;
use base::UnixTime;
use base::json::Json;
use domain::operator::queue::{self, Edit, Queue, Queues};
use matchmaker::queue::Definition;

use crate::Shard;
use crate::message::{OperatorQuery, PoolQuery, Query};
use crate::operator::Operating;
use crate::queue::QueueInForce;
use crate::state::State;
use crate::task::Step;

impl Shard {
    /// Asks for the queue of this id, or for all.
    pub(crate) fn ask_queues(&mut self, task: u64, id: Option<String>) -> Step {
        self.ask(
            task,
            self.config.placement.of_operators(),
            Query::Operator(OperatorQuery::Queues),
        );
        Step::Wait(State::Operator(Operating::Queues { id }))
    }

    /// The change of a queue that an operator wishes for.
    pub(crate) fn queue_edit(
        &self,
        id: &str,
        definition: Option<&str>,
        version: Option<u64>,
    ) -> Edit {
        Edit {
            id: id.to_owned(),
            definition: definition.map(str::to_owned),
            version,
            configured: self.config.queues.iter().map(|queue| queue.id.clone()).collect(),
        }
    }

    /// The answer to who asked for the queue of this id, or for all.
    pub(crate) fn show_queues(&self, id: Option<&str>, written: &Queues) -> Result<String, Error> {
        let mut shown: BTreeMap<&str, ShownQueue> = BTreeMap::new();
        for queue in &self.config.queues {
            shown.insert(&queue.id, ShownQueue { definition: queue.text(), written: None });
        }
        for queue in &written.queues {
            let Queue { id, version, update_time, definition } = queue;
            let written = Some((*version, UnixTime::from_secs(*update_time)));
            shown.insert(id, ShownQueue { definition: definition.clone(), written });
        }
        match id {
            None => Ok(convert::queues(&shown.into_values().collect::<Vec<_>>())),
            Some(id) => {
                let found = shown.get(id).ok_or(queue::Error::NotFound)?;
                Ok(convert::queue(found))
            }
        }
    }

    /// The batch of a change is on its way to the store. Once it is durable, the home of the
    /// tickets is told, and then whoever made the change, who is shown this queue.
    pub(crate) fn queues_changed(
        &mut self,
        task: u64,
        written: Arc<Queues>,
        shown: Option<&str>,
    ) -> Step {
        let shown = shown.map(|id| self.show_queues(Some(id), &written)).transpose();
        let reply = match shown {
            Ok(Some(json)) => Reply::Document { json: json.into() },
            Ok(None) => Reply::Empty,
            Err(error) => return Step::Fail(error),
        };
        let home = self.config.placement.of_tickets();
        self.ask_when_durable(task, home, Query::Pool(PoolQuery::Queues(written)));
        Step::Wait(State::Operator(Operating::Told(reply)))
    }

    /// Operators have changed their definitions. Changes may come out of their order.
    pub(crate) fn take_written(&mut self, written: &Arc<Queues>) {
        if written.changes > self.written_queues.changes {
            self.written_queues = written.clone();
            self.renew_queues();
        }
    }

    /// Finds out again which queues are in force, where that matters.
    pub(crate) fn renew_queues(&mut self) {
        if self.config.placement.of_tickets() != self.id {
            return;
        }
        let id = |queue: &Arc<Definition>| queue.id.clone();
        let mut all: BTreeMap<_, _> =
            self.config.queues.iter().map(|queue| (id(queue), queue.clone())).collect();
        let written = self.written_queues.queues.iter().filter_map(parse);
        all.extend(written.map(|queue| (id(&queue), queue)));
        let mut in_force = Vec::new();
        for (id, definition) in all {
            let known = self.queues.get(&id).filter(|known| known.definition == definition);
            let version = known.map(|known| known.version).unwrap_or_else(|| {
                self.queue_changes += 1;
                self.queue_changes
            });
            in_force.push(QueueInForce { definition, version });
        }
        self.set_queues(in_force);
    }
}

/// A definition as it was written, unless it was by a version that knows more than this one.
fn parse(queue: &Queue) -> Option<Arc<Definition>> {
    let json = Json::parse(queue.definition.as_bytes()).ok()?;
    Definition::parse(&json).ok().map(Arc::new)
}
