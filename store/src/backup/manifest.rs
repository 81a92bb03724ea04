//! The manifest: what a backup is of, and what its files are. Written last.

use base::Offset;
use ring::digest::{SHA256, digest};

use super::cipher::Key;
use super::volume::{Print, Reader, Writer};
use super::{Summary, io_error};
use crate::disk::Disk;
use crate::error::Error;
use crate::log::entry::{Link, StoreId};
use crate::log::keep::UNBORN;

pub(crate) const FILE_NAME: &str = "manifest";
/// A backup of a tebibyte has a manifest of one.
const SIZE_MAX: u64 = 16 * 1024 * 1024;
const SEAL: usize = 32;
/// Longest name of a file.
const NAME_MAX: usize = 200;
const EXTRA_PREFIX: &str = "file-";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    pub(crate) incarnation: u32,
    pub(crate) epoch: u64,
    /// What the first copied entry follows.
    pub(crate) begins: Link,
    /// What the first entry behind the backup follows.
    pub(crate) ends: Link,
    /// Of the last entry, milliseconds since 1970; zero where that is not known.
    pub(crate) time: u64,
    pub(crate) rows: u64,
    pub(crate) entries: u64,
    /// In the order in which they are read.
    pub(crate) files: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) print: Print,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rows = 1,
    Log = 2,
    Extra = 3,
}

impl Kind {
    /// What files of rows, or of entries, are called.
    pub(crate) fn file_name(self, number: u32) -> String {
        let prefix = if self == Kind::Rows { "rows" } else { "log" };
        format!("{prefix}-{number:06}")
    }

    fn parse(byte: u8) -> Option<Kind> {
        [Kind::Rows, Kind::Log, Kind::Extra].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What a further file of the data folder is called in a backup.
pub(crate) fn extra_name(name: &str) -> String {
    format!("{EXTRA_PREFIX}{name}")
}

/// What it is called in the data folder, unless the name is none of such a file.
pub(crate) fn name_of_extra(name: &str) -> Option<&str> {
    let name = name.strip_prefix(EXTRA_PREFIX)?;
    is_extra(name).then_some(name)
}

/// Whether a further file of the data folder may have this name.
pub(crate) fn is_extra(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_ours = name == crate::FILE_NAME
        || name == super::UNFINISHED
        || name.ends_with(UNBORN)
        || crate::log::segment::number_of(name).is_some();
    let len = 1..NAME_MAX - EXTRA_PREFIX.len();
    len.contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_good) && !is_ours
}

/// Whether a backup has files of this name.
pub(crate) fn is_file_of_backup(name: &str) -> bool {
    let is_numbered = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_manifest = name.strip_suffix(UNBORN).unwrap_or(name) == FILE_NAME;
    is_manifest || is_numbered("rows-") || is_numbered("log-") || name_of_extra(name).is_some()
}

impl Manifest {
    pub(crate) fn summary(&self, is_encrypted: bool) -> Summary {
        Summary {
            first: Offset(self.begins.next.0 - 1),
            last: self.last(),
            time: self.time,
            rows: self.rows,
            entries: self.entries,
            files: self.files.len() + 1,
            bytes: self.bytes(),
            is_encrypted,
        }
    }

    /// The moment that the backup shows.
    pub(crate) fn last(&self) -> Offset {
        Offset(self.ends.next.0 - 1)
    }

    /// Of all files but the manifest.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.print.size).sum()
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Listed> {
        self.files.iter().filter(move |file| file.kind == kind)
    }

    /// Writes it, after everything else was made durable; then the backup is whole.
    pub(crate) fn write(&self, disk: &dyn Disk, key: Option<&Key>) -> Result<(), Error> {
        let unborn = format!("{FILE_NAME}{UNBORN}");
        let mut writer = Writer::create(disk, &unborn, FILE_NAME, key)?;
        let body = self.encode();
        writer.write(&body)?;
        let seal = seal(writer.header(), &body);
        writer.write(&seal)?;
        writer.finish()?;
        disk.rename(&unborn, FILE_NAME).map_err(io_error(disk, FILE_NAME))?;
        disk.sync().map_err(io_error(disk, FILE_NAME))
    }

    /// Reads that of a backup, and whether it is encrypted.
    pub(crate) fn read(disk: &dyn Disk, key: Option<&Key>) -> Result<(Manifest, bool), Error> {
        let names = disk.list().map_err(io_error(disk, ""))?;
        if !names.iter().any(|name| name == FILE_NAME) {
            return Err(Error::NoBackup { path: disk.path("") });
        }
        let mut reader = Reader::open(disk, FILE_NAME, key)?;
        if reader.left() > SIZE_MAX {
            return Err(reader.damaged("it is larger than any manifest"));
        }
        let mut body = Vec::new();
        let len = usize::try_from(reader.left()).expect("it was just compared");
        reader.read(&mut body, len)?;
        let (body, end) = match body.len().checked_sub(SEAL) {
            Some(at) => body.split_at(at),
            None => return Err(reader.damaged("it is cut short")),
        };
        if seal(reader.header(), body) != end {
            return Err(reader.damaged("it does not have its checksum"));
        }
        let manifest = Manifest::decode(body).filter(Manifest::is_sound);
        let manifest = manifest.ok_or_else(|| reader.damaged("it makes no sense"))?;
        Ok((manifest, reader.is_encrypted()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.store.0.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        for number in [
            self.epoch,
            self.begins.next.0,
            self.begins.previous,
            self.ends.next.0,
            self.ends.previous,
            self.time,
            self.rows,
            self.entries,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let count = u32::try_from(self.files.len()).expect("files have numbers of 32 bits");
        out.extend_from_slice(&count.to_le_bytes());
        for Listed { kind, name, print } in &self.files {
            out.push(*kind as u8);
            out.push(u8::try_from(name.len()).expect("names are short"));
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&print.size.to_le_bytes());
            out.extend_from_slice(&print.digest);
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Manifest> {
        fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
            let (taken, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(*taken)
        }
        let rest = &mut bytes;
        let store = StoreId(u64::from_le_bytes(take(rest)?));
        let incarnation = u32::from_le_bytes(take(rest)?);
        let mut number = || take(rest).map(u64::from_le_bytes);
        let epoch = number()?;
        let begins = Link { next: Offset(number()?), previous: number()? };
        let ends = Link { next: Offset(number()?), previous: number()? };
        let (time, rows, entries) = (number()?, number()?, number()?);
        let mut files = Vec::new();
        for _ in 0..u32::from_le_bytes(take(rest)?) {
            let kind = Kind::parse(u8::from_le_bytes(take(rest)?))?;
            let len = usize::from(u8::from_le_bytes(take(rest)?));
            let (name, behind) = rest.split_at_checked(len)?;
            *rest = behind;
            let name = String::from_utf8(name.to_vec()).ok()?;
            let size = u64::from_le_bytes(take(rest)?);
            files.push(Listed { kind, name, print: Print { size, digest: take(rest)? } });
        }
        let manifest =
            Manifest { store, incarnation, epoch, begins, ends, time, rows, entries, files };
        rest.is_empty().then_some(manifest)
    }

    /// Whether numbers and names are such as a backup may have: the names become paths.
    fn is_sound(&self) -> bool {
        let is_numbered = |kind: Kind| {
            let numbered = self.of_kind(kind).zip(1..);
            numbered.into_iter().all(|(file, number)| file.name == kind.file_name(number))
        };
        let mut extras: Vec<_> = self.of_kind(Kind::Extra).map(|file| &file.name).collect();
        let count = extras.len();
        extras.sort_unstable();
        extras.dedup();
        let size = self.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.print.size));
        (1..=self.ends.next.0).contains(&self.begins.next.0)
            && self.ends.next.0 < u64::MAX
            && is_numbered(Kind::Rows)
            && is_numbered(Kind::Log)
            && count == extras.len()
            && extras.iter().all(|name| name_of_extra(name).is_some())
            && size.is_some()
    }
}

fn seal(header: &[u8], body: &[u8]) -> [u8; SEAL] {
    let digest = digest(&SHA256, &[header, body].concat());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let print = Print { size: 48, digest: [9; 32] };
        let listed = |kind, name: &str| Listed { kind, name: name.to_owned(), print };
        Manifest {
            store: StoreId(1),
            incarnation: 2,
            epoch: 3,
            begins: Link { next: Offset(4), previous: 5 },
            ends: Link { next: Offset(6), previous: 7 },
            time: 8,
            rows: 10,
            entries: 1,
            files: vec![
                listed(Kind::Rows, "rows-000001"),
                listed(Kind::Log, "log-000001"),
                listed(Kind::Extra, "file-a.key"),
            ],
        }
    }

    #[test]
    fn a_manifest_is_read_back_and_no_part_of_one_is() {
        let bytes = sample().encode();
        assert_eq!(Manifest::decode(&bytes), Some(sample()));
        for len in 0..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..len]), None, "{len}");
        }
        assert_eq!(Manifest::decode(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn names_that_lead_elsewhere_make_no_sense() {
        assert!(sample().is_sound());
        for name in [
            "rows-000002",
            "file-../a",
            "file-.a",
            "file-",
            "file-ringmaster.redb",
            "file-restore.unfinished",
            "file-00000000000000000001.log",
            "file-a.new",
            "/a",
        ] {
            for index in 0..3 {
                let mut manifest = sample();
                manifest.files[index].name = name.to_owned();
                assert!(!manifest.is_sound(), "{name} for {index}");
            }
        }
        let mut twice = sample();
        twice.files.push(twice.files[2].clone());
        assert!(!twice.is_sound());
    }
}
