//! Where a store keeps its files: the whole outside world of this crate.

use std::fmt::Debug;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files. What is created, renamed or removed survives a crash only after
/// [`Disk::sync`], and what is written only after [`File::sync`].
pub trait Disk: Debug + Send + Sync + 'static {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes an empty file of a name that is not taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, and replaces the one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    fn sync(&self) -> io::Result<()>;

    /// Bytes that can still be written.
    fn free(&self) -> io::Result<u64>;

    /// Called when a store ends by a fault, which may be a failed write or sync: the system may
    /// have marked as clean what it could not write, and a process started next has to see what is
    /// on the disk, not that.
    fn forget_cached(&self) {}

    /// What errors call a file.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file that any thread may read and write at any place.
#[expect(clippy::len_without_is_empty, reason = "a size in bytes, not a collection")]
pub trait File: Debug + Send + Sync {
    fn len(&self) -> io::Result<u64>;

    /// Fills `out`, or fails where the file is shorter.
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of it; beyond the end the file grows.
    fn write(&self, at: u64, data: &[u8]) -> io::Result<()>;

    /// New bytes are zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes what was written, and the length, durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    path: PathBuf,
    /// The folder, open: its lock is this file's.
    folder: fs::File,
    is_read_only: bool,
}

impl OsDisk {
    /// A folder that is there.
    pub fn open(path: &Path) -> io::Result<OsDisk> {
        // Reading the names tells a file from a folder, and a folder that may not be listed.
        fs::read_dir(path)?;
        let (path, folder) = (path.to_owned(), fs::File::open(path)?);
        Ok(OsDisk { path, folder, is_read_only: false })
    }

    /// A folder that is there, in which files are read only: it may be on a disk that permits no
    /// more.
    pub fn read_only(path: &Path) -> io::Result<OsDisk> {
        Ok(OsDisk { is_read_only: true, ..OsDisk::open(path)? })
    }

    /// A folder that is made if it is not there, for this user only.
    pub fn make(path: &Path) -> io::Result<OsDisk> {
        create_folder(path)?;
        OsDisk::open(path)
    }

    /// Locks the folder for as long as this value lives.
    pub(crate) fn try_lock(&self) -> Result<(), fs::TryLockError> {
        self.folder.try_lock()
    }
}

impl Disk for OsDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        Ok(Arc::new(options.read(true).write(!self.is_read_only).open(self.path.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        // SAFETY: all zeros are a value of this plain struct.
        let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the struct is there to be filled.
        match unsafe { libc::fstatvfs(self.folder.as_raw_fd(), &raw mut found) } {
            0 => Ok(found.f_bavail.saturating_mul(found.f_frsize)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn forget_cached(&self) {
        for name in self.list().unwrap_or_default() {
            if let Ok(file) = fs::File::open(self.path.join(name)) {
                // SAFETY: a plain system call on an open descriptor.
                unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, at)
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Creates the folder and the missing ones above it, each durably, for this user only.
fn create_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(parent_of(path)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && parent_of(path) != path => {
            create_folder(parent_of(path))?;
            let created = DirBuilder::new().mode(0o700).create(path);
            created?;
            sync_folder(parent_of(path))
        }
        Err(e) => Err(e),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// redb on one of our files.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<dyn File>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_of_one_name_has_the_working_folder_as_parent() {
        assert_eq!(parent_of(Path::new("data")), Path::new("."));
        assert_eq!(parent_of(Path::new("a/data")), Path::new("a"));
        assert_eq!(parent_of(Path::new("/")), Path::new("/"));
    }
}
