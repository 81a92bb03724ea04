//! A change of several entities: the coordinator of one batch over several shards.
//!
//! Participants are asked one after another, in the order of [`Claim::order`], so that two batches
//! never wait for each other. Each prepares its changes and holds the keys; then the
//! coordinator emits the union, or abandons what was prepared.

use api::Error;
use api::reply::Reply;
use base::limits::BATCH_BYTES_MAX;
use base::{Frame, ShardId, UserId};
use domain::identity::alias::Kind;

use crate::Shard;
use crate::belongings::{self, Changed, Order};
use crate::edit::Editing;
use crate::message::{Answer, Claim, Message, Query, TaskId};
use crate::operator::Operated;
use crate::rating::TakenIn;
use crate::sign_in::Creation;
use crate::state::State;
use crate::task::{Step, invalid_token};

/// A batch in the making.
#[derive(Debug)]
pub(crate) struct Batch {
    purpose: Purpose,
    /// Claims not prepared yet, in descending order: the next one is the last.
    claims: Vec<Claim>,
    frames: Vec<Frame>,
    /// What participants tell of their part.
    changed: Vec<Changed>,
    /// Shards that hold something for this task, or may be about to.
    participants: Vec<ShardId>,
}

/// What the batch is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Create(Box<Creation>),
    Edit(Box<Editing>),
    Operate(Box<Operated>),
    Rate(Box<TakenIn>),
    Belongings(Box<Order>),
}

/// Why a claim was not prepared, when that is not the end of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conflict {
    Taken(Kind, UserId),
    Changed,
}

impl Shard {
    pub(crate) fn begin_batch(
        &mut self,
        task: u64,
        purpose: Purpose,
        mut claims: Vec<Claim>,
    ) -> Step {
        if let Err(refused) = self.admit_write() {
            return Step::Fail(refused);
        }
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.order()));
        let (frames, changed, participants) = (Vec::new(), Vec::new(), Vec::new());
        let batch = Batch { purpose, claims, frames, changed, participants };
        self.ask_next_participant(task, Box::new(batch))
    }

    /// Asks the next participant, or emits the batch when all have prepared.
    fn ask_next_participant(&mut self, task: u64, mut batch: Box<Batch>) -> Step {
        if let Some(claim) = batch.claims.pop() {
            let home = self.config.placement.of_key(&claim.key());
            if !batch.participants.contains(&home) {
                batch.participants.push(home);
            }
            self.ask(task, home, Query::Prepare(claim));
            return Step::Wait(State::Batch(batch));
        }
        let size: usize = batch.frames.iter().map(|frame| frame.as_bytes().len()).sum();
        if size > BATCH_BYTES_MAX {
            self.abandon(task, &batch);
            return Step::Fail(Error::exhausted("The changes are too large together."));
        }
        let Batch { mut purpose, frames, changed, participants, .. } = *batch;
        if let Purpose::Operate(operated) = &mut purpose {
            operated.note_written(&frames);
            operated.note_changed(&changed);
        }
        if !frames.is_empty() {
            self.emit_prepared(task, frames, participants);
        }
        match purpose {
            Purpose::Create(creation) => self.created(*creation),
            Purpose::Edit(editing) => {
                self.edited(task, &editing);
                Step::Done(Reply::Empty)
            }
            Purpose::Operate(operated) => self.operated(task, *operated),
            Purpose::Rate(taken_in) => self.taken_in(&taken_in),
            Purpose::Belongings(order) => belongings::updated(&order, changed),
        }
    }

    /// All have prepared: their changes are one batch, and whoever holds something is told of it.
    fn emit_prepared(&mut self, task: u64, frames: Vec<Frame>, participants: Vec<ShardId>) {
        let mut depends = self.depends_of(task);
        let mut holders = participants.clone();
        if !holders.contains(&self.id) {
            holders.push(self.id);
        }
        let before = depends.clone();
        let batch = self.emit(frames, holders, &mut depends);
        for shard in participants {
            let task = TaskId { shard: self.id, number: task };
            self.send(shard, Message::Emitted { task, batch }, &before);
        }
        if let Some(task) = self.tasks.get_mut(&task) {
            task.depends = depends;
        }
    }

    pub(crate) fn batch_step(&mut self, task: u64, mut batch: Box<Batch>, answer: Answer) -> Step {
        let conflict = match answer {
            Answer::Prepared(frame, told) => {
                batch.frames.push(frame);
                batch.changed.extend(told.map(|changed| *changed));
                return self.ask_next_participant(task, batch);
            }
            Answer::Changes(changed) => {
                batch.changed.push(*changed);
                return self.ask_next_participant(task, batch);
            }
            Answer::Taken(kind, owner) => Conflict::Taken(kind, owner),
            Answer::Changed => Conflict::Changed,
            Answer::Refused(error) => {
                self.abandon(task, &batch);
                return Step::Fail(error);
            }
            Answer::Revoked => {
                self.abandon(task, &batch);
                return Step::Fail(invalid_token());
            }
            other => {
                debug_assert!(false, "a batch does not wait for {other:?}");
                self.abandon(task, &batch);
                return Step::Fail(Error::internal());
            }
        };
        self.abandon(task, &batch);
        match batch.purpose {
            Purpose::Create(creation) => self.resolve_creation(task, creation, conflict),
            Purpose::Edit(editing) => self.resolve_edit(task, *editing, conflict),
            Purpose::Operate(operated) => self.resolve_operated(task, *operated, conflict),
            Purpose::Rate(taken_in) => self.resolve_result(task, *taken_in),
            Purpose::Belongings(_) => {
                debug_assert!(false, "belongings meet no {conflict:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    pub(crate) fn abandon(&mut self, number: u64, batch: &Batch) {
        let depends = self.depends_of(number);
        for shard in &batch.participants {
            let task = TaskId { shard: self.id, number };
            self.send(*shard, Message::Abandon { task }, &depends);
        }
    }
}
