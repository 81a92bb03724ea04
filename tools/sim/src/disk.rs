//! A disk in memory that loses what was not synced when the power goes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Rng;
use store::StorageBackend;

/// One disk; clones share it. Outlives the processes that use it.
///
/// Invariant: undoing `unsynced` from its end gives what the last sync left.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    unsynced: Vec<Step>,
    /// Writes and syncs that still succeed; `None`: all of them.
    left: Option<u32>,
    /// A sync was the first thing that failed.
    is_sync_failed: bool,
}

/// Something that a crash may undo.
#[derive(Debug)]
enum Step {
    Write { at: usize, old: Vec<u8>, new: Vec<u8> },
    SetLen { old: usize, cut: Vec<u8>, new: usize },
}

/// What a crash did to writes that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub kept: u64,
    pub torn: u64,
    pub lost: u64,
    pub failed_syncs: u64,
}

impl Disk {
    /// Lets so many more writes and syncs succeed, and none after them, until the next crash.
    pub fn fail_after(&self, operations: u32) {
        self.state().left = Some(operations);
    }

    /// Lets all writes and syncs succeed.
    pub fn live_on(&self) {
        self.state().left = None;
    }

    /// The power goes: of what was not synced a part stays, in any order or up to some moment, and
    /// a write may be torn at any byte.
    pub fn crash(&self, rng: &mut Rng) -> Losses {
        let state = &mut *self.state();
        let steps = std::mem::take(&mut state.unsynced);
        for step in steps.iter().rev() {
            match step {
                Step::Write { at, old, .. } => {
                    state.bytes[*at..*at + old.len()].copy_from_slice(old);
                }
                Step::SetLen { old, cut, .. } => {
                    state.bytes.resize(*old, 0);
                    let from = old - cut.len();
                    state.bytes[from..].copy_from_slice(cut);
                }
            }
        }
        let mut losses = Losses { failed_syncs: state.is_sync_failed.into(), ..Losses::default() };
        let is_prefix = rng.below(2) == 0;
        let mut is_over = false;
        for step in steps {
            let fate = match (is_prefix, is_over) {
                (true, true) => Fate::Lost,
                _ => [Fate::Kept, Fate::Kept, Fate::Torn, Fate::Lost][rng.below(4) as usize],
            };
            is_over |= fate != Fate::Kept;
            match (step, fate) {
                (_, Fate::Lost) | (Step::SetLen { .. }, Fate::Torn) => losses.lost += 1,
                (Step::Write { at, new, .. }, Fate::Torn) => {
                    let len = u32::try_from(new.len()).expect("pages are small");
                    write(&mut state.bytes, at, &new[..rng.below(len + 1) as usize]);
                    losses.torn += 1;
                }
                (Step::Write { at, new, .. }, Fate::Kept) => {
                    write(&mut state.bytes, at, &new);
                    losses.kept += 1;
                }
                (Step::SetLen { new, .. }, Fate::Kept) => {
                    state.bytes.resize(new, 0);
                    losses.kept += 1;
                }
            }
        }
        state.left = None;
        state.is_sync_failed = false;
        losses
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Torn,
    Lost,
}

impl State {
    fn spend(&mut self, is_sync: bool) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk has failed")),
            Some(left) => {
                *left -= 1;
                self.is_sync_failed = is_sync && *left == 0;
                // Nobody can tell a failed sync from one that was cut short.
                if self.is_sync_failed { Err(io::Error::other("the sync failed")) } else { Ok(()) }
            }
        }
    }
}

/// A write may stay though the growth of the file before it was lost.
fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("the disk fits into memory")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = place(offset);
        let state = self.state();
        let bytes = state.bytes.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = &mut *self.state();
        state.spend(false)?;
        let (old, new) = (state.bytes.len(), place(len));
        let cut = state.bytes.get(new..).unwrap_or_default().to_vec();
        state.bytes.resize(new, 0);
        state.unsynced.push(Step::SetLen { old, cut, new });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.state();
        state.spend(true)?;
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let state = &mut *self.state();
        state.spend(false)?;
        let (at, new) = (place(offset), data.to_vec());
        let place = state.bytes.get_mut(at..at + data.len());
        let place = place.ok_or(io::ErrorKind::UnexpectedEof)?;
        let old = place.to_vec();
        place.copy_from_slice(data);
        state.unsynced.push(Step::Write { at, old, new });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_whatever_is_lost() {
        for seed in 0..50 {
            let disk = Disk::default();
            disk.set_len(8).unwrap();
            disk.write(0, b"synced!!").unwrap();
            disk.sync_data().unwrap();
            disk.write(0, b"s").unwrap();
            disk.set_len(2).unwrap();
            disk.set_len(9).unwrap();
            disk.fail_after(1);
            disk.write(8, b"?").unwrap();
            assert!(disk.write(0, b"never").is_err());
            let losses = disk.crash(&mut Rng::from_seed([seed; 32]));
            assert_eq!(losses.kept + losses.torn + losses.lost, 4);
            let mut left = vec![0; place(disk.len().unwrap())];
            disk.read(0, &mut left).unwrap();
            assert!(left.starts_with(b"sy"), "{left:?}");
            disk.set_len(5).unwrap();
            disk.write(0, b"again").unwrap();
        }
    }
}
