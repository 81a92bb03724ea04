//! What is on the disk, what of it is durable, and which faults are to come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::Kind;
use crate::content::Content;

pub(crate) type FileId = u64;

/// A longer file would need too much memory even as zeros.
const FILE_MAX: u64 = 1 << 36;

/// Invariant: `durable_names` with all `namings` are `names`.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// Counts the processes that have died.
    pub(crate) life: u64,
    pub(crate) files: BTreeMap<FileId, Inode>,
    pub(crate) names: BTreeMap<String, FileId>,
    pub(crate) durable_names: BTreeMap<String, FileId>,
    pub(crate) namings: Vec<Step<Naming>>,
    /// Steps so far, of all files and the folder.
    steps: u64,
    files_made: FileId,
    pub(crate) operations: u64,
    /// Changes and syncs that still succeed; `None`: all of them.
    pub(crate) left: Option<u64>,
    /// Which operations fail, counted down to one.
    pub(crate) failing: Vec<(Kind, u64)>,
    /// The disk fails from here on.
    has_failed: bool,
    pub(crate) failed_syncs: u64,
    /// Most bytes in all files.
    pub(crate) capacity: Option<u64>,
    pub(crate) trace: VecDeque<String>,
    pub(crate) trace_max: usize,
}

/// A file, whatever its name.
///
/// Invariant: what a crash goes back to, with all `steps`, is `content`.
#[derive(Clone, Default)]
pub(crate) struct Inode {
    /// The last that it had.
    pub(crate) name: Arc<str>,
    pub(crate) content: Content,
    pub(crate) steps: Vec<Step<Change>>,
    /// Bytes that cannot be read.
    pub(crate) bad: Vec<Range<u64>>,
    /// Handles hold it.
    pub(crate) open: Arc<()>,
}

/// Something that a crash may undo.
#[derive(Clone)]
pub(crate) struct Step<C> {
    /// Its place among all steps of the disk.
    pub(crate) number: u64,
    pub(crate) safety: Safety,
    pub(crate) change: C,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safety {
    Unsynced,
    /// Its sync failed, and no later one writes it.
    Doubtful,
    /// Synced; it stands in the list because a doubtful one stands before it.
    Synced,
}

#[derive(Clone)]
pub(crate) enum Change {
    Write { at: usize, data: Arc<[u8]> },
    SetLen(usize),
}

#[derive(Clone)]
pub(crate) enum Naming {
    Create { name: String, id: FileId },
    Rename { from: String, to: String, id: FileId },
    Remove { name: String, id: FileId },
}

/// What a broken device says.
pub(crate) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

pub(crate) fn place(at: u64) -> usize {
    usize::try_from(at).expect("the disk fits into memory")
}

impl State {
    /// Counts an operation, and says whether it is to fail.
    pub(crate) fn attempt(&mut self, kind: Kind, verb: &str, name: &str) -> io::Result<()> {
        let is_change = kind != Kind::Read;
        let mut fails = false;
        self.failing.retain_mut(|(failing, n)| {
            if *failing == kind || (*failing == Kind::Any && is_change) {
                *n -= 1;
                fails |= *n == 0;
            }
            *n > 0
        });
        let had_failed = self.has_failed;
        if is_change {
            match &mut self.left {
                Some(0) => (fails, self.has_failed) = (true, true),
                Some(left) => *left -= 1,
                None => {}
            }
            self.note(|| {
                let space = if name.is_empty() { "" } else { " " };
                format!("{verb}{space}{name}{}", if fails { " failed" } else { "" })
            });
            self.operations += u64::from(!fails);
        }
        if fails {
            // A disk that is dead anyway fails no sync that could have succeeded.
            let is_sync = matches!(kind, Kind::Sync | Kind::FolderSync);
            self.failed_syncs += u64::from(is_sync && !had_failed);
            return Err(eio());
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, entry: impl FnOnce() -> String) {
        if self.trace_max > 0 {
            self.trace.push_back(entry());
            let excess = self.trace.len().saturating_sub(self.trace_max);
            self.trace.drain(..excess);
        }
    }

    /// Forgets the faults that were to come.
    pub(crate) fn mend(&mut self) {
        (self.left, self.has_failed) = (None, false);
        self.failing.clear();
    }

    pub(crate) fn live_on(&mut self) {
        self.mend();
        for file in self.files.values_mut() {
            file.bad.clear();
        }
    }

    pub(crate) fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn file(&mut self, id: FileId) -> &mut Inode {
        self.files.get_mut(&id).expect("a file that is named or open is there")
    }

    pub(crate) fn named(&mut self, name: &str) -> &mut Inode {
        let Ok(id) = self.find(name) else { panic!("there is no file called {name}") };
        self.file(id)
    }

    pub(crate) fn add_file(&mut self, name: &str) -> FileId {
        self.files_made += 1;
        self.files.insert(self.files_made, Inode { name: name.into(), ..Inode::default() });
        self.files_made
    }

    /// Sees to it that there is a file of the name. A new one makes all names durable.
    pub(crate) fn plant(&mut self, name: &str) {
        if !self.names.contains_key(name) {
            let id = self.add_file(name);
            self.push_naming(Naming::Create { name: name.to_owned(), id });
            self.namings.clear();
            self.durable_names.clone_from(&self.names);
        }
    }

    pub(crate) fn push_naming(&mut self, change: Naming) {
        let is_done = change.apply(&mut self.names);
        assert!(is_done, "a process checks names before it changes them");
        self.steps += 1;
        self.namings.push(Step { number: self.steps, safety: Safety::Unsynced, change });
    }

    pub(crate) fn push_change(&mut self, id: FileId, change: Change) {
        self.steps += 1;
        let number = self.steps;
        let file = self.file(id);
        match &change {
            Change::Write { at, data } => file.content.write(*at, data),
            Change::SetLen(len) => file.content.set_len(*len),
        }
        file.steps.push(Step { number, safety: Safety::Unsynced, change });
    }

    pub(crate) fn sync_names(&mut self, is_done: bool) {
        if sync(&mut self.namings, is_done) {
            self.durable_names.clone_from(&self.names);
            self.forget_files();
        }
    }

    /// Bytes in all files that have a name.
    pub(crate) fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[id].content.len() as u64).sum()
    }

    pub(crate) fn check_room(&self, id: FileId, end: u64) -> io::Result<()> {
        if end > FILE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(capacity) = self.capacity else { return Ok(()) };
        let growth = end.saturating_sub(self.files[&id].content.len() as u64);
        if growth > 0 && self.used().saturating_add(growth) > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Ends the process: its handles hold nothing more.
    pub(crate) fn end_life(&mut self) {
        self.life += 1;
        for file in self.files.values_mut() {
            file.open = Arc::default();
        }
    }

    /// Drops files that no name leads to, whatever a crash leaves, and no handle.
    pub(crate) fn forget_files(&mut self) {
        let mut named: BTreeSet<FileId> = self.names.values().copied().collect();
        named.extend(self.durable_names.values());
        named.extend(self.namings.iter().map(|step| step.change.id()));
        self.files.retain(|id, file| named.contains(id) || Arc::strong_count(&file.open) > 1);
    }
}

impl Inode {
    pub(crate) fn sync(&mut self, is_done: bool) {
        if sync(&mut self.steps, is_done) {
            self.content.sync();
        }
    }

    /// Changes the content durably, whatever was to become of it.
    pub(crate) fn replace(&mut self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content);
        self.content.sync();
        self.steps.clear();
    }
}

/// Syncs the steps, or fails to; says whether there is none left to be undone.
fn sync<C>(steps: &mut Vec<Step<C>>, is_done: bool) -> bool {
    let safety = if is_done { Safety::Synced } else { Safety::Doubtful };
    for step in steps.iter_mut().filter(|step| step.safety == Safety::Unsynced) {
        step.safety = safety;
    }
    let is_safe = steps.iter().all(|step| step.safety == Safety::Synced);
    if is_safe {
        steps.clear();
    }
    is_safe
}

impl Naming {
    fn id(&self) -> FileId {
        match self {
            Naming::Create { id, .. } | Naming::Rename { id, .. } | Naming::Remove { id, .. } => {
                *id
            }
        }
    }

    /// Says whether it could be done.
    pub(crate) fn apply(&self, names: &mut BTreeMap<String, FileId>) -> bool {
        match self {
            Naming::Create { name, id } => {
                let is_free = !names.contains_key(name);
                if is_free {
                    names.insert(name.clone(), *id);
                }
                is_free
            }
            Naming::Rename { from, to, id } => {
                let is_there = names.get(from) == Some(id);
                if is_there {
                    names.remove(from);
                    names.insert(to.clone(), *id);
                }
                is_there
            }
            Naming::Remove { name, id } => {
                let is_there = names.get(name) == Some(id);
                if is_there {
                    names.remove(name);
                }
                is_there
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("names", &self.names).finish_non_exhaustive()
    }
}
