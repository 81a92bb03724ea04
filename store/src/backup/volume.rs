//! A file of a backup: a header, then its body, as it is or encrypted.

use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use ring::rand::SecureRandom as _;

use super::cipher::{CHUNK, Cipher, Key, TAG, Unopened};
use super::io_error;
use crate::disk::{Disk, File};
use crate::error::Error;
use crate::log::entry::u32_at;

const MAGIC: [u8; 8] = *b"RMBACKUP";
/// Of the format of all files of a backup.
pub(crate) const VERSION: u32 = 1;
/// Magic, version, protection, salt.
pub(crate) const HEADER: usize = 48;
const SALT_FROM: usize = 16;

const PLAIN: u32 = 0;
const ENCRYPTED: u32 = 1;

/// So much is written between two syncs: the log's own syncs wait for what others have written, and
/// for each sync of others. Measured on two cores and one disk by `examples/backup_cost.rs`, 2,000
/// commits a second beside a backup: with 1 MiB half of the acknowledgements wait 6 ms and the
/// backup makes 76 MiB/s; with 4 MiB 0.8 ms and 126 MiB/s; with 8 MiB 0.4 ms and 150 MiB/s, but the
/// longest wait grows.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;
/// Read at a time when the file is not encrypted.
const WINDOW: usize = 256 * 1024;

/// What a file is known by once it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) size: u64,
    /// SHA-256 of all bytes of the file.
    pub(crate) digest: [u8; 32],
}

pub(crate) struct Writer {
    path: PathBuf,
    file: Arc<dyn File>,
    header: [u8; HEADER],
    cipher: Option<Cipher>,
    hash: Context,
    /// Bytes of the body so far.
    written: u64,
    /// Not in the file yet.
    chunk: Vec<u8>,
    at: u64,
    synced: u64,
}

impl Writer {
    /// Makes the file under a name; `bound` is the name that it will have in the end.
    pub(crate) fn create(
        disk: &dyn Disk,
        name: &str,
        bound: &str,
        key: Option<&Key>,
    ) -> Result<Writer, Error> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let protection = if key.is_some() { ENCRYPTED } else { PLAIN };
        header[12..16].copy_from_slice(&protection.to_le_bytes());
        if key.is_some() {
            let random = ring::rand::SystemRandom::new().fill(&mut header[SALT_FROM..]);
            let failed = io_error(disk, name);
            random
                .map_err(|_| failed(std::io::Error::other("the system gives no random numbers")))?;
        }
        let cipher = key.map(|key| Cipher::new(key, &header[SALT_FROM..], &header, bound));
        let file = disk.create(name).map_err(io_error(disk, name))?;
        let mut writer = Writer {
            path: disk.path(name),
            file,
            header,
            cipher,
            hash: Context::new(&SHA256),
            written: 0,
            chunk: Vec::with_capacity(CHUNK + TAG),
            at: 0,
            synced: 0,
        };
        writer.put(&header)?;
        Ok(writer)
    }

    pub(crate) fn header(&self) -> &[u8; HEADER] {
        &self.header
    }

    /// Bytes of the body so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK {
                self.flush(false)?;
            }
            let count = bytes.len().min(CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Makes all of it durable but the name.
    pub(crate) fn finish(mut self) -> Result<Print, Error> {
        self.flush(true)?;
        self.file.sync().map_err(|source| Error::Io { path: self.path.clone(), source })?;
        let digest = self.hash.finish();
        let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(Print { size: self.at, digest })
    }

    fn flush(&mut self, is_last: bool) -> Result<(), Error> {
        let mut chunk = std::mem::take(&mut self.chunk);
        if let Some(cipher) = &mut self.cipher {
            cipher.seal(&mut chunk, is_last);
        }
        self.put(&chunk)?;
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        self.file.write(self.at, bytes).map_err(failed)?;
        self.hash.update(bytes);
        self.at += bytes.len() as u64;
        if self.at - self.synced >= SYNC_BYTES {
            self.file.sync().map_err(failed)?;
            self.synced = self.at;
        }
        Ok(())
    }
}

/// Reads a body from its beginning to its end.
pub(crate) struct Reader {
    path: PathBuf,
    file: Arc<dyn File>,
    header: [u8; HEADER],
    cipher: Option<Cipher>,
    hash: Context,
    size: u64,
    /// What was read of the file.
    at: u64,
    /// Of the body, what was not read yet.
    left: u64,
    chunk: Vec<u8>,
    /// What was taken of the chunk.
    taken: usize,
}

impl Reader {
    pub(crate) fn open(disk: &dyn Disk, name: &str, key: Option<&Key>) -> Result<Reader, Error> {
        let path = disk.path(name);
        let failed = |source| Error::Io { path: disk.path(name), source };
        let damaged = |what| Error::BackupDamaged { path: disk.path(name), what };
        let file = disk.open(name).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => damaged("it is not there"),
            _ => failed(source),
        })?;
        let size = file.len().map_err(failed)?;
        let mut header = [0; HEADER];
        if size < HEADER as u64 {
            return Err(damaged("it is shorter than its header"));
        }
        file.read(0, &mut header).map_err(failed)?;
        if header[..8] != MAGIC {
            return Err(damaged("it is no file of a backup"));
        }
        match u32_at(&header, 8) {
            VERSION => {}
            0 => return Err(damaged("its version is zero")),
            found => {
                let (found, known) = (found.into(), VERSION.into());
                return Err(Error::Format { path, found, known });
            }
        }
        let raw = size - HEADER as u64;
        let (cipher, left) = match (u32_at(&header, 12), key) {
            (PLAIN, None) => (None, raw),
            (ENCRYPTED, Some(key)) => {
                let chunks = raw.div_ceil((CHUNK + TAG) as u64);
                let body = raw.checked_sub(chunks * TAG as u64);
                let left = body.filter(|_| chunks > 0).ok_or_else(|| damaged("it is cut short"))?;
                (Some(Cipher::new(key, &header[SALT_FROM..], &header, name)), left)
            }
            (PLAIN, Some(_)) => return Err(Error::BackupPlain { path }),
            (ENCRYPTED, None) => return Err(Error::BackupEncrypted { path }),
            _ => return Err(damaged("nobody knows how it is protected")),
        };
        let mut hash = Context::new(&SHA256);
        hash.update(&header);
        let (at, chunk) = (HEADER as u64, Vec::new());
        Ok(Reader { path, file, header, cipher, hash, size, at, left, chunk, taken: 0 })
    }

    pub(crate) fn header(&self) -> &[u8; HEADER] {
        &self.header
    }

    /// Of the body, what was not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.cipher.is_some()
    }

    /// Appends the next bytes of the body, or says that there are not so many.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, count: usize) -> Result<(), Error> {
        if count as u64 > self.left {
            return Err(self.damaged("it ends within a record"));
        }
        let mut missing = count;
        while missing > 0 {
            if self.taken == self.chunk.len() {
                self.fill()?;
            }
            let here = missing.min(self.chunk.len() - self.taken);
            out.extend_from_slice(&self.chunk[self.taken..self.taken + here]);
            self.taken += here;
            missing -= here;
        }
        self.left -= count as u64;
        Ok(())
    }

    /// What the file is known by. All of the body was read.
    pub(crate) fn finish(mut self) -> Result<Print, Error> {
        assert_eq!(self.left, 0, "whoever asks for the end has read all before it");
        if self.at < self.size {
            self.fill()?; // the one chunk of an empty body
        }
        let digest = self.hash.finish();
        let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(Print { size: self.size, digest })
    }

    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        Error::BackupDamaged { path: self.path.clone(), what }
    }

    fn fill(&mut self) -> Result<(), Error> {
        let most = if self.cipher.is_some() { CHUNK + TAG } else { WINDOW };
        let left = self.size - self.at;
        let count = usize::try_from(left).map_or(most, |left| left.min(most));
        self.chunk.resize(count, 0);
        let failed = |source| Error::Io { path: self.path.clone(), source };
        self.file.read(self.at, &mut self.chunk).map_err(failed)?;
        self.hash.update(&self.chunk);
        self.at += count as u64;
        self.taken = 0;
        let Some(cipher) = &mut self.cipher else { return Ok(()) };
        match cipher.open(&mut self.chunk, self.at == self.size) {
            Ok(()) => Ok(()),
            Err(Unopened { is_first: true }) => Err(Error::BackupKey { path: self.path.clone() }),
            Err(Unopened { is_first: false }) => {
                Err(self.damaged("a part of it is not what was encrypted"))
            }
        }
    }
}
