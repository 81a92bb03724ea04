//! Batches on their way to the store, and what waits for them.

use std::collections::{BTreeMap, VecDeque};

use api::Error;
use base::limits::{
    BATCH_BYTES_MAX, HOLD_QUEUE_MAX, OPERATOR_QUEUE_MAX, TASKS_MAX, UNDURABLE_BATCHES_MAX,
};
use base::{BatchId, Frame, Offset, Range, SessionId, ShardId, Table};
use bytes::Bytes;
use domain::ctx::Row;

use crate::Shard;
use crate::input::Disk;
use crate::message::{Claim, Message, Query, TaskId};
use crate::output::Output;
use crate::view::{Blocked, Depends, Key, Pins, View};

/// What waits for a batch.
#[derive(Debug)]
pub(crate) enum Waiting {
    Output(Output),
    /// To this shard itself.
    Message(Message),
    /// To a session of this shard, counted against it.
    Reply {
        session: SessionId,
        text: Bytes,
    },
}

/// What waits for batches, each under the first batch it waits for.
#[derive(Debug, Default)]
pub(crate) struct Held {
    by_batch: BTreeMap<BatchId, Vec<(Waiting, Depends)>>,
    count: usize,
}

impl Held {
    pub(crate) fn push(&mut self, batch: BatchId, waiting: Waiting, depends: Depends) {
        self.count += 1;
        self.by_batch.entry(batch).or_default().push((waiting, depends));
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn take(&mut self, batch: BatchId) -> Vec<(Waiting, Depends)> {
        let taken = self.by_batch.remove(&batch).unwrap_or_default();
        self.count -= taken.len();
        taken
    }
}

/// Keys that tasks hold here, with the changes prepared for them.
#[derive(Debug, Default)]
pub(crate) struct Holds(BTreeMap<TaskId, Vec<(Vec<Key>, Frame)>>);

/// Questions that wait for a key: to be loaded, or to be held no longer.
///
/// Invariant: a parked question stands in exactly one of `for_load`, `for_scan` and `for_hold`.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    questions: BTreeMap<u64, Question>,
    next: u64,
    for_load: BTreeMap<Key, VecDeque<u64>>,
    for_scan: BTreeMap<Range, VecDeque<u64>>,
    for_hold: BTreeMap<Key, VecDeque<u64>>,
}

#[derive(Debug)]
struct Question {
    task: TaskId,
    query: Query,
    depends: Depends,
    pins: Pins,
}

impl Parked {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.questions.len()
    }

    /// Forgets a preparation that was still waiting.
    pub(crate) fn abandon(&mut self, task: TaskId, view: &mut View) {
        let is_abandoned = |question: &Question| {
            question.task == task && matches!(question.query, Query::Prepare(_))
        };
        for (_, question) in self.questions.extract_if(.., |_, question| is_abandoned(question)) {
            view.unpin(&question.pins);
        }
    }
}

impl Shard {
    /// Whether a write may begin.
    pub(crate) fn admit_write(&self) -> Result<(), Error> {
        let newest = BatchId { shard: self.id, number: self.next_batch };
        let limit = UNDURABLE_BATCHES_MAX as u64;
        let waits_long = newest.number > limit
            && !self.view.is_durable(BatchId { number: newest.number - limit, ..newest });
        match self.disk {
            Disk::Full => Err(Error::exhausted("The disk is almost full; only reads go on.")),
            Disk::Ready if !waits_long && !self.view.is_overfull() => Ok(()),
            Disk::Ready | Disk::Behind => Err(Error::exhausted("The disk is behind; try again.")),
        }
    }

    /// Sends frames to the store as one batch and makes the message under way depend on it.
    pub(crate) fn emit(
        &mut self,
        frames: Vec<Frame>,
        holders: Vec<ShardId>,
        depends: &mut Depends,
    ) -> BatchId {
        let size: usize = frames.iter().map(|frame| frame.as_bytes().len()).sum();
        assert!(size <= BATCH_BYTES_MAX, "no operation writes a batch of {size} bytes");
        let batch = BatchId { shard: self.id, number: self.next_batch };
        self.next_batch += 1;
        depends.add(batch);
        // Not held back: whoever waits for this batch waits for it to get there.
        self.outputs.push_back(Output::Commit { batch, frames, holders });
        batch
    }

    /// Lets out what waited for this batch or an earlier one of its shard.
    pub(crate) fn release_held(&mut self, batch: BatchId) {
        let first = BatchId { number: 0, ..batch };
        let due: Vec<_> =
            self.held.by_batch.range(first..=batch).map(|(batch, _)| *batch).collect();
        for batch in due {
            for (waiting, depends) in self.held.take(batch) {
                match waiting {
                    Waiting::Output(output) => self.output(output, &depends),
                    Waiting::Message(message) => self.send_when_durable(message, &depends),
                    Waiting::Reply { session, text } => {
                        self.reply_when_durable(session, text, &depends);
                    }
                }
            }
        }
    }

    pub(crate) fn hold(&mut self, task: TaskId, frame: Frame) {
        let keys = self.view.hold(&frame);
        self.holds.0.entry(task).or_default().push((keys, frame));
    }

    /// Ends a task's hold: its changes are pending in `batch`, or came to nothing.
    pub(crate) fn end_hold(&mut self, task: TaskId, batch: Option<BatchId>) {
        let mut waiting = Vec::new();
        for (keys, frame) in self.holds.0.remove(&task).unwrap_or_default() {
            self.view.release(&keys);
            if let Some(batch) = batch {
                self.view.write(batch, &frame);
                let mut depends = Depends::default();
                depends.add(batch);
                self.heed_deletions(&frame, &depends);
            }
            for key in keys {
                waiting.extend(self.parked.for_hold.remove(&key).unwrap_or_default());
            }
        }
        self.unpark(waiting);
    }

    /// Parks a question until the key that blocks it is there; `Err` when too many wait already.
    pub(crate) fn park(
        &mut self,
        task: TaskId,
        query: Query,
        depends: Depends,
    ) -> Result<(), &'static str> {
        let (blocked, mut pins) = self.view.park();
        // All missing keys are loaded at once; the question is asked again when the last is there.
        let mut waits_for = None;
        let mut too_many_scans = false;
        for blocked in blocked {
            if let Blocked::Load(key) = &blocked
                && let Some((table, key, at_least)) = self.view.load(key)
            {
                self.outputs.push_back(Output::Load { table, key, at_least });
            }
            if let Blocked::Scan(range) = &blocked {
                match self.view.scan(range) {
                    Ok(None) => {}
                    Ok(Some(at_least)) => {
                        let range = range.clone();
                        self.outputs.push_back(Output::Scan { range, at_least });
                    }
                    Err(()) => too_many_scans = true,
                }
                self.view.pin_scan(range, &mut pins);
            }
            waits_for = Some(blocked);
        }
        let refused = match &waits_for {
            None => Some("The request could not go on."),
            Some(_) if too_many_scans => Some("Too many lists are being read."),
            Some(_) if self.parked.questions.len() >= TASKS_MAX => Some("Too many requests wait."),
            Some(Blocked::Held(key)) => {
                let waiting = self.parked.for_hold.get(key).map_or(0, VecDeque::len);
                let most = match query {
                    Query::Operator(_) | Query::Prepare(Claim::Operate(_)) => OPERATOR_QUEUE_MAX,
                    _ => HOLD_QUEUE_MAX,
                };
                (waiting >= most).then_some("Too many requests wait for the same record.")
            }
            Some(Blocked::Load(_) | Blocked::Scan(_)) => None,
        };
        if let Some(refused) = refused {
            self.view.unpin(&pins);
            return Err(refused);
        }
        let number = self.parked.next;
        self.parked.next += 1;
        self.parked.questions.insert(number, Question { task, query, depends, pins });
        match waits_for {
            None => {}
            Some(Blocked::Held(key)) => {
                self.parked.for_hold.entry(key).or_default().push_back(number);
            }
            Some(Blocked::Load(key)) => {
                self.parked.for_load.entry(key).or_default().push_back(number);
            }
            Some(Blocked::Scan(range)) => {
                self.parked.for_scan.entry(range).or_default().push_back(number);
            }
        }
        Ok(())
    }

    pub(crate) fn handle_loaded(
        &mut self,
        table: Table,
        key: Bytes,
        value: Option<Bytes>,
        applied: Offset,
    ) {
        match self.view.loaded(table, &key, value, applied) {
            Err(at_least) => self.outputs.push_back(Output::Load { table, key, at_least }),
            Ok(full_key) => {
                let waiting = self.parked.for_load.remove(&full_key).unwrap_or_default();
                self.unpark(waiting);
            }
        }
    }

    pub(crate) fn handle_scanned(
        &mut self,
        range: Range,
        rows: Vec<Row>,
        is_end: bool,
        applied: Offset,
    ) {
        match self.view.scanned(&range, rows, is_end, applied) {
            Err(at_least) => self.outputs.push_back(Output::Scan { range, at_least }),
            Ok(()) => {
                let waiting = self.parked.for_scan.remove(&range).unwrap_or_default();
                self.unpark(waiting);
            }
        }
    }

    /// Asks parked questions again, before any message that came after them: an abandonment must
    /// not pass the preparation that it ends. Those abandoned meanwhile are not there any more.
    fn unpark(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let mut questions = Vec::new();
        for number in numbers {
            let Some(question) = self.parked.questions.remove(&number) else { continue };
            self.view.unpin(&question.pins);
            let Question { task, query, depends, .. } = question;
            questions.push((Message::Ask { task, query }, depends));
        }
        for question in questions.into_iter().rev() {
            self.local.push_front(question);
        }
    }
}
