//! The declared queues, on the home of the tickets.

use std::sync::Arc;

use matchmaker::queue::Definition;

use crate::Shard;

/// A declared queue, as tickets are judged by it.
#[derive(Clone, Debug)]
pub struct QueueInForce {
    pub definition: Arc<Definition>,
    /// Rises with each change of the queue, whoever made it, for as long as the process runs.
    pub version: u64,
}

impl Shard {
    /// Takes over all queues that are in force from here on.
    pub fn set_queues(&mut self, queues: Vec<QueueInForce>) {
        let id = |queue: &QueueInForce| queue.definition.id.clone();
        self.queues = queues.into_iter().map(|queue| (id(&queue), queue)).collect();
    }

    /// The queues in force, by id.
    pub fn queues(&self) -> impl Iterator<Item = &QueueInForce> {
        self.queues.values()
    }
}
