//! The segments there are, how far each thread has got with them, and how the threads wait for
//! each other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Offset;

use super::entry::SECTOR;
use super::segment::Segment;
use crate::Pressure;
use crate::disk::File;

/// A file ready to become a segment: its name is durable, and its size.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) size: u64,
}

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    /// Durable bytes: its title and whole entries.
    pub(crate) used: u64,
}

/// Shared by the threads of one store.
///
/// Invariants: the numbers of `live`, then those of `spares`, are consecutive. The last of `live`
/// is written to. Only the log makes a spare live, only the keeper takes the first of `live` away
/// or adds a spare.
#[derive(Debug)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    for_log: Condvar,
    for_applier: Condvar,
    for_keeper: Condvar,
    /// Newest offset that readers see.
    applied: AtomicU64,
    backlog_bytes_max: u64,
    has_long_backlog: AtomicBool,
    has_little_space: AtomicBool,
    archive_fails: AtomicBool,
}

#[derive(Debug)]
struct State {
    live: VecDeque<Live>,
    spares: VecDeque<Spare>,
    durable: Offset,
    /// Bytes of entries that were made durable, and of those up to the last checkpoint. Both count
    /// from the first entry behind the checkpoint that this process found.
    written: u64,
    saved: u64,
    checkpoint: Offset,
    /// Of `written`: the applier need not be woken for less.
    applier_wakes_at: u64,
    /// The log waits for a spare.
    is_starving: bool,
    /// Nothing more will be written.
    is_closed: bool,
    /// Nothing more may happen.
    is_stopped: bool,
}

/// What a recovery found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) live: VecDeque<Live>,
    pub(crate) spares: VecDeque<Spare>,
    pub(crate) durable: Offset,
    /// Bytes of entries behind the checkpoint.
    pub(crate) tail_bytes: u64,
    pub(crate) checkpoint: Offset,
}

/// What an applier is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Apply,
    /// The patience is over.
    Nothing,
    /// Everything is applied, and nothing more will come.
    End,
}

impl Shelf {
    pub(crate) fn new(found: Found, backlog_bytes_max: u64) -> Shelf {
        Shelf {
            applied: AtomicU64::new(found.durable.0),
            state: Mutex::new(State {
                live: found.live,
                spares: found.spares,
                durable: found.durable,
                written: found.tail_bytes,
                saved: 0,
                checkpoint: found.checkpoint,
                applier_wakes_at: 0,
                is_starving: false,
                is_closed: false,
                is_stopped: false,
            }),
            for_log: Condvar::new(),
            for_applier: Condvar::new(),
            for_keeper: Condvar::new(),
            backlog_bytes_max,
            has_long_backlog: AtomicBool::new(false),
            has_little_space: AtomicBool::new(false),
            archive_fails: AtomicBool::new(false),
        }
    }

    /// Why new writes should be refused, if they should.
    pub(crate) fn pressure(&self) -> Pressure {
        if self.has_little_space.load(Ordering::Relaxed) {
            Pressure::Full
        } else if self.has_long_backlog.load(Ordering::Relaxed) {
            Pressure::Behind
        } else {
            Pressure::None
        }
    }

    pub(crate) fn set_little_space(&self, is_little: bool) {
        self.has_little_space.store(is_little, Ordering::Relaxed);
    }

    pub(crate) fn has_little_space(&self) -> bool {
        self.has_little_space.load(Ordering::Relaxed)
    }

    pub(crate) fn set_archive_fails(&self, fails: bool) {
        self.archive_fails.store(fails, Ordering::Relaxed);
    }

    pub(crate) fn archive_fails(&self) -> bool {
        self.archive_fails.load(Ordering::Relaxed)
    }

    /// Newest offset that every snapshot taken from here on shows.
    pub(crate) fn applied(&self) -> Offset {
        Offset(self.applied.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Offset {
        self.lock().durable
    }

    /// Bytes of entries that are durable and behind the newest checkpoint.
    pub(crate) fn backlog(&self) -> u64 {
        self.lock().backlog()
    }

    /// Bytes of the files of the log.
    pub(crate) fn size(&self) -> u64 {
        let state = self.lock();
        let live: u64 = state.live.iter().map(|live| live.segment.size).sum();
        live + state.spares.iter().map(|spare| spare.size).sum::<u64>()
    }

    /// All live segments with their durable bytes, oldest first.
    pub(crate) fn segments(&self) -> Vec<(Arc<Segment>, u64)> {
        let state = self.lock();
        state.live.iter().map(|live| (Arc::clone(&live.segment), live.used)).collect()
    }

    /// No write is under way any more, and none will begin.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.for_applier.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.for_log.notify_all();
        self.for_applier.notify_all();
        self.for_keeper.notify_all();
    }

    // The log.

    /// Whether so many bytes more are allowed behind the checkpoint.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.lock().has_room(bytes, self.backlog_bytes_max)
    }

    /// Waits until so many bytes more are allowed behind the checkpoint; `false` at a stop.
    pub(crate) fn wait_for_room(&self, bytes: u64) -> bool {
        let mut state = self.lock();
        while !state.is_stopped && !state.has_room(bytes, self.backlog_bytes_max) {
            state = wait(&self.for_log, state);
        }
        !state.is_stopped
    }

    /// Waits for a spare, which stays where it is until [`Shelf::roll`]; `None` at a stop.
    pub(crate) fn wait_for_spare(&self) -> Option<(u64, Arc<dyn File>, u64)> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(spare) = state.spares.front() {
                return Some((spare.number, Arc::clone(&spare.file), spare.size));
            }
            state.is_starving = true;
            self.for_keeper.notify_all();
            state = wait(&self.for_log, state);
        }
    }

    pub(crate) fn has_spare(&self) -> bool {
        !self.lock().spares.is_empty()
    }

    /// The first spare has become this segment, in which an entry is durable.
    pub(crate) fn roll(&self, segment: Arc<Segment>) {
        let mut state = self.lock();
        let spare = state.spares.pop_front().expect("the log has just written to it");
        assert_eq!(spare.number, segment.number, "segments are used in their order");
        state.live.push_back(Live { segment, used: SECTOR });
        drop(state);
        self.for_keeper.notify_all();
    }

    /// An entry of the last segment, up to `used`, is durable.
    pub(crate) fn publish(&self, durable: Offset, used: u64, bytes: u64) {
        let mut state = self.lock();
        state.durable = durable;
        state.written += bytes;
        let is_long = state.backlog() > self.backlog_bytes_max / 4 * 3;
        self.has_long_backlog.store(is_long, Ordering::Relaxed);
        let last = state.live.back_mut().expect("a segment is written to");
        let was_half = last.used > last.segment.size / 2;
        last.used = used;
        let is_half = used > last.segment.size / 2;
        let wakes_applier = state.written >= state.applier_wakes_at;
        drop(state);
        if wakes_applier {
            self.for_applier.notify_one();
        }
        if is_half && !was_half {
            self.for_keeper.notify_all();
        }
    }

    // The applier.

    /// Waits until something newer than `applied` is durable, or nothing will be.
    pub(crate) fn wait_for_entries(&self, applied: Offset, patience: Option<Duration>) -> Work {
        let mut state = self.lock();
        state.applier_wakes_at = 0;
        let is_idle =
            |state: &mut State| !state.is_stopped && !state.is_closed && state.durable <= applied;
        state = match patience {
            None => self.for_applier.wait_while(state, is_idle),
            Some(patience) => {
                let waited = self.for_applier.wait_timeout_while(state, patience, is_idle);
                Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
            }
        }
        .unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped {
            Work::End
        } else if state.durable > applied {
            Work::Apply
        } else if state.is_closed {
            Work::End
        } else {
            Work::Nothing
        }
    }

    /// Waits a little for so many bytes more than the `read` ones, which make a transaction worth
    /// its cost.
    pub(crate) fn gather(&self, read: u64, bytes: u64, patience: Duration) {
        let mut state = self.lock();
        state.applier_wakes_at = read + bytes;
        let is_little = |state: &mut State| {
            !state.is_stopped && !state.is_closed && state.written - read < bytes
        };
        drop(self.for_applier.wait_timeout_while(state, patience, is_little));
    }

    /// A segment and how much of it is durable.
    pub(crate) fn readable(&self, number: u64) -> Option<(Arc<Segment>, u64)> {
        let state = self.lock();
        let first = state.live.front()?.segment.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        state.live.get(index).map(|live| (Arc::clone(&live.segment), live.used))
    }

    /// Snapshots show everything up to here.
    pub(crate) fn set_applied(&self, applied: Offset) {
        self.applied.fetch_max(applied.0, Ordering::Release);
    }

    /// Everything up to here, `read` bytes of entries, is durable in the state too.
    pub(crate) fn set_checkpoint(&self, checkpoint: Offset, read: u64) {
        let mut state = self.lock();
        state.checkpoint = checkpoint;
        state.saved = read;
        let is_long = state.backlog() > self.backlog_bytes_max / 4 * 3;
        self.has_long_backlog.store(is_long, Ordering::Relaxed);
        drop(state);
        self.for_log.notify_all();
        self.for_keeper.notify_all();
    }

    // The keeper.

    /// Waits until there may be something to do; `false` at a stop.
    pub(crate) fn wait_for_chore(&self, patience: Duration, puts_away: bool) -> bool {
        let state = self.lock();
        let can_put_away = puts_away && state.closed_and_saved().is_some();
        if state.is_stopped || state.wants_spare() || can_put_away {
            return !state.is_stopped;
        }
        let waited = self.for_keeper.wait_timeout(state, patience);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_stopped
    }

    pub(crate) fn wants_spare(&self) -> bool {
        self.lock().wants_spare()
    }

    /// Whether the log waits for a spare, or goes through segments so fast that it soon would.
    pub(crate) fn is_hurried(&self) -> bool {
        let state = self.lock();
        state.is_starving || state.live.len() > HURRIED
    }

    /// The number of the next spare.
    pub(crate) fn next_number(&self) -> u64 {
        self.lock().next_number()
    }

    /// Takes the oldest segment if the state has all of it and nobody reads it; with the bytes that
    /// were used of it.
    pub(crate) fn take_saved(&self) -> Option<(Segment, u64)> {
        let mut state = self.lock();
        state.closed_and_saved()?;
        let Live { segment, used } = state.live.pop_front()?;
        match Arc::try_unwrap(segment) {
            Ok(segment) => Some((segment, used)),
            Err(segment) => {
                state.live.push_front(Live { segment, used });
                None
            }
        }
    }

    /// Puts a segment back that [`Shelf::take_saved`] gave.
    pub(crate) fn put_back(&self, segment: Segment, used: u64) {
        self.lock().live.push_front(Live { segment: Arc::new(segment), used });
    }

    /// The number that a segment should be used under again, unless there are spares enough.
    pub(crate) fn number_for_reuse(&self) -> Option<u64> {
        let state = self.lock();
        (state.spares.len() < SPARES_KEPT).then(|| state.next_number())
    }

    pub(crate) fn add_spare(&self, spare: Spare) {
        let mut state = self.lock();
        assert_eq!(spare.number, state.next_number(), "spares are made in their order");
        state.spares.push_back(spare);
        state.is_starving = false;
        drop(state);
        self.for_log.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spares that are made while the log is busy, and most that are kept of what was used.
const SPARES: usize = 1;
const SPARES_KEPT: usize = 4;
/// With more segments than these that the state does not have, there is no time to fill one with
/// zeros.
const HURRIED: usize = 4;

impl State {
    fn backlog(&self) -> u64 {
        self.written - self.saved
    }

    /// One entry is always allowed, however large.
    fn has_room(&self, bytes: u64, backlog_bytes_max: u64) -> bool {
        self.backlog() == 0 || self.backlog() + bytes <= backlog_bytes_max
    }

    fn next_number(&self) -> u64 {
        let last_spare = self.spares.back().map(|spare| spare.number);
        let last = last_spare.or(self.live.back().map(|live| live.segment.number));
        last.expect("there is a segment") + 1
    }

    /// A server that has used less than half of its first segment has no spare. A closed segment
    /// becomes one at a checkpoint: nothing new is made in its place unless the log is close to
    /// waiting for it.
    fn wants_spare(&self) -> bool {
        let last = self.live.back().expect("a segment is written to");
        let is_half = last.used > last.segment.size / 2;
        let closed = self.live.len() - 1;
        if self.spares.is_empty() {
            self.is_starving || is_half
        } else {
            (is_half || closed > 0) && self.spares.len() + closed < SPARES
        }
    }

    fn closed_and_saved(&self) -> Option<&Live> {
        let (first, next) = (self.live.front()?, self.live.get(1)?);
        let is_saved = next.segment.link.next.0 <= self.checkpoint.0 + 1;
        (is_saved && Arc::strong_count(&first.segment) == 1).then_some(first)
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition.wait(state).unwrap_or_else(PoisonError::into_inner)
}
