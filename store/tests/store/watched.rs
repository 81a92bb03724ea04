//! A disk that tells of every change and sync before it happens, and may hold it up.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use store::{Disk, File};

/// Gets the verb and the name of the file, which is empty for the folder.
pub type Tap = Arc<dyn Fn(&str, &str) + Send + Sync>;

pub struct Watched {
    pub disk: Arc<dyn Disk>,
    pub tap: Tap,
}

struct WatchedFile {
    file: Arc<dyn File>,
    name: String,
    tap: Tap,
}

impl Watched {
    fn file(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(WatchedFile { file, name: name.to_owned(), tap: Arc::clone(&self.tap) })
    }
}

impl Disk for Watched {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.disk.open(name)?, name))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        (self.tap)("create", name);
        Ok(self.file(self.disk.create(name)?, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.tap)("rename", from);
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.tap)("remove", name);
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        (self.tap)("sync", "");
        self.disk.sync()
    }

    fn free(&self) -> io::Result<u64> {
        self.disk.free()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

impl File for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(at, out)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        (self.tap)("write", &self.name);
        self.file.write(at, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.tap)("set_len", &self.name);
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        (self.tap)("sync", &self.name);
        self.file.sync()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}
