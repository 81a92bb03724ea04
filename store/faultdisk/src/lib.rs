//! A disk in memory that does to a store what a disk may do, for its tests and the simulator.
//!
//! # Purpose
//! Implements `store::Disk` and `store::File` as a POSIX file system at its nastiest, from a seed
//! or exactly as a test says.
//!
//! # Owns
//! What a crash leaves of what was not synced, and the faults that a test asks for.
//!
//! # Invariants
//! - What `File::sync` or `Disk::sync` made durable survives every crash, unless a sync failed
//!   before: what that one should have written is never safe again, as on Linux.
//! - A file's sync does not keep its name, nor a folder's sync what is in its files.
//! - An operation that fails changes nothing.
//! - After a crash no earlier process reads or changes anything.
//! - The same calls and the same seed give the same disk.
//!
//! # Never
//! Touches the real disk, reads a clock, is part of the server.

mod content;
mod crash;
mod process;
mod state;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Rng;

pub use crash::{Fate, Losses};
use process::Process;
use state::State;

/// One disk; clones share it. Outlives the processes that use it, and is the test's hand on it: no
/// fault stops its own methods.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk(Arc<Mutex<State>>);

/// Operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of bytes or of the length.
    Write,
    /// Of a file.
    Sync,
    Create,
    Rename,
    Remove,
    FolderSync,
    /// Of bytes, of names, or opening a file.
    Read,
    /// All but `Read`.
    Any,
}

impl FaultDisk {
    /// The disk as one life of a process sees it, until the next crash.
    pub fn boot(&self) -> Arc<dyn store::Disk> {
        Arc::new(Process { disk: self.clone(), life: self.state().life })
    }

    /// The process dies and the power stays: nothing is lost, and nothing more is durable.
    pub fn kill(&self) {
        self.state().end_life();
    }

    /// The power goes: of what was not synced a part stays, in any order or up to some moment, and
    /// a write may be torn.
    pub fn crash(&self, rng: &mut Rng) -> Losses {
        let mut state = self.state();
        let fates = crash::draw(&state, rng);
        state.crash(&fates)
    }

    /// The power goes, and exactly this is left.
    pub fn crash_with(&self, fate: Fate) -> Losses {
        let mut state = self.state();
        let fates = crash::decide(&state, fate);
        state.crash(&fates)
    }

    /// The steps that a crash may undo, in their order, each with the bytes that it writes: a step
    /// of the folder or of a length has none.
    pub fn unsynced(&self) -> Vec<usize> {
        let steps = crash::in_order(&self.state());
        steps.iter().map(|step| step.bytes).collect()
    }

    /// A copy of the whole disk, which shares no change with this one. Boot it anew.
    pub fn fork(&self) -> FaultDisk {
        let mut state = self.state().clone();
        state.end_life();
        FaultDisk(Arc::new(Mutex::new(state)))
    }

    /// Lets the `n`th of the following operations of a kind fail; the next one is the first.
    /// Forgotten at the next crash.
    pub fn fail_nth(&self, kind: Kind, n: u64) {
        assert!(n > 0, "the next operation is the first");
        self.state().failing.push((kind, n));
    }

    /// Lets so many more changes and syncs succeed, and none after them, until the next crash.
    pub fn fail_after(&self, operations: u64) {
        self.state().left = Some(operations);
    }

    /// Takes back all of `fail_nth`, `fail_after` and `fail_reads`.
    pub fn live_on(&self) {
        self.state().live_on();
    }

    /// Lets reads of the file fail that touch these bytes, also after a crash and under another
    /// name.
    ///
    /// # Panics
    /// When there is no such file, as all that take a name.
    pub fn fail_reads(&self, name: &str, range: Range<u64>) {
        self.state().named(name).bad.push(range);
    }

    /// Bytes that the disk still has room for; `None`: any number.
    pub fn set_free(&self, bytes: Option<u64>) {
        let mut state = self.state();
        state.capacity = bytes.map(|bytes| state.used().saturating_add(bytes));
    }

    /// Turns one bit over, in what is there and in what a crash goes back to.
    pub fn flip_bit(&self, name: &str, at: u64, bit: u8) {
        self.state().named(name).content.flip(state::place(at), bit);
    }

    /// Makes the file as short as this, durably.
    pub fn cut(&self, name: &str, len: u64) {
        self.state().named(name).replace(|content| content.set_len(state::place(len)));
    }

    /// Makes these the bytes of the file, durably, whether there is one of the name or not.
    /// A new one makes all names durable.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.plant(name);
        state.named(name).replace(|content| {
            content.set_len(0);
            content.write(0, bytes);
        });
    }

    pub fn read_all(&self, name: &str) -> Vec<u8> {
        let mut state = self.state();
        let content = &state.named(name).content;
        let mut bytes = vec![0; content.len()];
        content.read(0, &mut bytes).expect("the bytes are as many as the file has");
        bytes
    }

    /// The names of all files, in their order.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Changes and syncs that succeeded so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Writes down the last so many changes, syncs and marks.
    pub fn record(&self, entries_max: usize) {
        self.state().trace_max = entries_max;
    }

    /// Puts an entry of the test between those of the disk.
    pub fn mark(&self, text: &str) {
        self.state().note(|| text.to_owned());
    }

    /// What was written down: `write a`, `set_len a`, `sync a`, `create a`, `rename a b`,
    /// `remove a`, `sync`, each with ` failed` behind it where it did, and marks.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a process that still lives.
    fn state_in(&self, life: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.life != life {
            return Err(io::Error::other("the process is dead"));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests;
