//! The disk and its files as a process has them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use store::{Disk, File};

use crate::state::{Change, FileId, Naming, eio, place};
use crate::{FaultDisk, Kind};

/// What `free` says of a disk without bounds.
const FREE: u64 = 1 << 40;

/// The disk in one life of a process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) disk: FaultDisk,
    pub(crate) life: u64,
}

#[derive(Debug)]
struct Handle {
    process: Process,
    id: FileId,
    /// Keeps a file that has lost its name.
    _open: Arc<()>,
}

impl Disk for Process {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.disk.state_in(self.life)?;
        state.attempt(Kind::Read, "list", "")?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.disk.state_in(self.life)?;
        let id = state.find(name)?;
        state.attempt(Kind::Read, "open", name)?;
        let open = Arc::clone(&state.file(id).open);
        Ok(Arc::new(Handle { process: self.clone(), id, _open: open }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.disk.state_in(self.life)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.attempt(Kind::Create, "create", name)?;
        let id = state.add_file(name);
        state.push_naming(Naming::Create { name: name.to_owned(), id });
        let open = Arc::clone(&state.file(id).open);
        Ok(Arc::new(Handle { process: self.clone(), id, _open: open }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.state_in(self.life)?;
        let id = state.find(from)?;
        state.attempt(Kind::Rename, "rename", &format!("{from} {to}"))?;
        state.push_naming(Naming::Rename { from: from.to_owned(), to: to.to_owned(), id });
        state.file(id).name = to.into();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.state_in(self.life)?;
        let id = state.find(name)?;
        state.attempt(Kind::Remove, "remove", name)?;
        state.push_naming(Naming::Remove { name: name.to_owned(), id });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state_in(self.life)?;
        let done = state.attempt(Kind::FolderSync, "sync", "");
        state.sync_names(done.is_ok());
        done
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.disk.state_in(self.life)?;
        Ok(state.capacity.map_or(FREE, |capacity| capacity.saturating_sub(state.used())))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("<disk>/{name}"))
    }
}

impl Handle {
    fn change(&self, end: u64, verb: &str, change: impl FnOnce() -> Change) -> io::Result<()> {
        let mut state = self.process.disk.state_in(self.process.life)?;
        state.check_room(self.id, end)?;
        let name = Arc::clone(&state.file(self.id).name);
        state.attempt(Kind::Write, verb, &name)?;
        state.push_change(self.id, change());
        Ok(())
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.process.disk.state_in(self.process.life)?;
        Ok(state.file(self.id).content.len() as u64)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.process.disk.state_in(self.process.life)?;
        state.attempt(Kind::Read, "read", "")?;
        let file = state.file(self.id);
        let end = at.saturating_add(out.len() as u64);
        if file.bad.iter().any(|bad| bad.start < end && at < bad.end) {
            return Err(eio());
        }
        file.content.read(place(at), out)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let end = if data.is_empty() { 0 } else { at + data.len() as u64 };
        self.change(end, "write", || Change::Write { at: place(at), data: data.into() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(len, "set_len", || Change::SetLen(place(len)))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.process.disk.state_in(self.process.life)?;
        let name = Arc::clone(&state.file(self.id).name);
        let done = state.attempt(Kind::Sync, "sync", &name);
        state.file(self.id).sync(done.is_ok());
        done
    }
}
