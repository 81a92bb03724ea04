//! A segment: a file of the log, written from its beginning to its end and then used again.

use std::io;
use std::sync::Arc;

use base::Offset;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::entry::{HEADER_SIZE, Header, Link, SECTOR, StoreId, u32_at, u64_at};
use crate::disk::File;

const MAGIC: [u8; 8] = *b"RMLOGSEG";
const VERSION: u32 = 1;
/// The fields of a segment's header, before their checksum.
const FIELDS: usize = 48;
/// Bytes read at a time when entries are read in order.
const WINDOW: usize = 1024 * 1024;

/// A file of the log. Whoever holds one keeps it from being used again.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    /// Of the file, in bytes.
    pub(crate) size: u64,
    /// What its first entry follows.
    pub(crate) link: Link,
}

/// What the first sector of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Title {
    Segment {
        id: StoreId,
        number: u64,
        link: Link,
    },
    /// Zeros: nothing was written yet.
    Blank,
    /// Of a program that knows more than this one.
    Newer(u32),
    /// Neither.
    Damaged,
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:020}.log")
}

/// The number in a name that [`file_name`] made.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Appends the first sector of a segment.
pub(crate) fn encode_title(out: &mut Vec<u8>, id: StoreId, number: u64, link: Link) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for field in [id.0, number, link.next.0, link.previous] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    let checksum = xxh3_64_with_seed(&out[start..], id.0);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.resize(start + SECTOR as usize, 0);
}

pub(crate) fn read_title(file: &dyn File) -> io::Result<Title> {
    let mut sector = [0; SECTOR as usize];
    if file.len()? < SECTOR {
        return Ok(Title::Damaged);
    }
    file.read(0, &mut sector)?;
    Ok(parse_title(&sector))
}

fn parse_title(sector: &[u8; SECTOR as usize]) -> Title {
    if sector.iter().all(|byte| *byte == 0) {
        return Title::Blank;
    }
    let id = StoreId(u64_at(sector, 16));
    let is_whole = xxh3_64_with_seed(&sector[..FIELDS], id.0) == u64_at(sector, FIELDS);
    if sector[..8] != MAGIC || !is_whole {
        return Title::Damaged;
    }
    match u32_at(sector, 8) {
        VERSION => {
            let link = Link { next: Offset(u64_at(sector, 32)), previous: u64_at(sector, 40) };
            Title::Segment { id, number: u64_at(sector, 24), link }
        }
        newer => Title::Newer(newer),
    }
}

/// Reads the entries of a file, a window at a time.
#[derive(Debug)]
pub(crate) struct Entries {
    file: Arc<dyn File>,
    id: StoreId,
    /// What may be read.
    end: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    start: u64,
}

impl Entries {
    pub(crate) fn new(file: Arc<dyn File>, id: StoreId, end: u64) -> Entries {
        Entries { file, id, end, window: Vec::new(), start: 0 }
    }

    /// So much may be read from here on.
    pub(crate) fn extend(&mut self, end: u64) {
        self.end = end;
    }

    /// The header and the bytes, header and batches, of the whole entry at this place.
    pub(crate) fn at(&mut self, at: u64) -> io::Result<Option<(Header, &[u8])>> {
        let id = self.id;
        let Some(head) = self.bytes(at, HEADER_SIZE)? else { return Ok(None) };
        let Some(header) = Header::parse(id, head) else { return Ok(None) };
        let Some(bytes) = self.bytes(at, header.size())? else { return Ok(None) };
        Ok(header.is_sealed(id, bytes).then_some((header, bytes)))
    }

    /// The header that stands at this place, whatever follows it.
    pub(crate) fn header_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let id = self.id;
        Ok(self.bytes(at, HEADER_SIZE)?.and_then(|head| Header::parse(id, head)))
    }

    /// Bytes of the file, unless it ends before.
    fn bytes(&mut self, at: u64, size: usize) -> io::Result<Option<&[u8]>> {
        let end = at + size as u64;
        if end > self.end {
            return Ok(None);
        }
        if at < self.start || end > self.start + self.window.len() as u64 {
            let size = (size.max(WINDOW) as u64).min(self.end - at);
            self.window.resize(usize::try_from(size).expect("a window fits into memory"), 0);
            self.start = at;
            self.file.read(at, &mut self.window)?;
        }
        let from = usize::try_from(at - self.start).expect("it lies in the window");
        Ok(Some(&self.window[from..from + size]))
    }
}

/// Where the first whole entry at or behind a place stands whose batches are newer than `known`.
pub(crate) fn find_newer(
    entries: &mut Entries,
    from: u64,
    known: Link,
) -> io::Result<Option<(u64, Header)>> {
    let mut at = from.next_multiple_of(SECTOR);
    while at < entries.end {
        if let Some(header) = entries.header_at(at)?
            && header.first >= known.next
            && let Some((header, _)) = entries.at(at)?
        {
            return Ok(Some((at, header)));
        }
        at += SECTOR;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_number_of_twenty_digits() {
        assert_eq!(file_name(7), "00000000000000000007.log");
        assert_eq!(number_of(&file_name(u64::MAX)), Some(u64::MAX));
        for other in ["7.log", "0000000000000000000x.log", "00000000000000000007.log.new", "x"] {
            assert_eq!(number_of(other), None, "{other}");
        }
        assert_eq!(number_of("99999999999999999999.log"), None);
    }

    const ID: StoreId = StoreId(0x0123_4567_89ab_cdef);
    const LINK: Link = Link { next: Offset(7), previous: 0xfedc_ba98_7654_3210 };

    fn title() -> [u8; SECTOR as usize] {
        let mut bytes = Vec::new();
        encode_title(&mut bytes, ID, 5, LINK);
        bytes.try_into().unwrap()
    }

    /// Golden bytes: a title is part of format version 1.
    #[test]
    fn the_encoding_of_a_title_never_changes() {
        let bytes = title();
        let hex: String = bytes[..FIELDS + 8].iter().map(|byte| format!("{byte:02x}")).collect();
        expect_test::expect!["524d4c4f475345470100000000000000efcdab8967452301050000000000000007000000000000001032547698badcfe2264341b805b19be"].assert_eq(&hex);
        assert!(bytes[FIELDS + 8..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_title_is_read_back_and_no_bit_of_it_may_flip() {
        assert_eq!(parse_title(&title()), Title::Segment { id: ID, number: 5, link: LINK });
        assert_eq!(parse_title(&[0; SECTOR as usize]), Title::Blank);
        for bit in 0..(FIELDS + 8) * 8 {
            let mut flipped = title();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse_title(&flipped), Title::Damaged, "bit {bit}");
        }
        let mut newer = title();
        newer[8] = 9;
        let checksum = xxh3_64_with_seed(&newer[..FIELDS], ID.0);
        newer[FIELDS..FIELDS + 8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(parse_title(&newer), Title::Newer(9));
    }
}
