//! An entry: one group of batches, written and synced at once. `docs/formats.md` draws the bytes.

use base::{Frame, Offset};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Commit;

/// Entries begin at multiples of this: no write touches a sector of an entry that is acknowledged.
pub(crate) const SECTOR: u64 = 512;
pub(crate) const HEADER_SIZE: usize = 56;

/// Where the bytes under the checksum begin.
const CHECKED_FROM: usize = 16;

/// A random number of each store, in every file of its log. It seeds the checksums, so that nobody
/// who chooses a value can make it look like an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u64);

impl StoreId {
    /// What every entry begins with. Nobody can choose values full of it, which a start that looks
    /// for entries behind a damaged one would take long to look through.
    fn mark(self) -> [u8; 4] {
        let hash = xxh3_64_with_seed(b"entry", self.0).to_le_bytes();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

/// What an entry follows, and what follows an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Offset of the next batch.
    pub(crate) next: Offset,
    /// Checksum of the entry before; zero before the first.
    pub(crate) previous: u64,
}

/// Who writes an entry, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) incarnation: u32,
    pub(crate) epoch: u64,
    /// Milliseconds since 1970, never less than those of the entry before.
    pub(crate) time: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) checksum: u64,
    pub(crate) previous: u64,
    pub(crate) first: Offset,
    pub(crate) batches: u32,
    pub(crate) stamp: Stamp,
}

impl Header {
    /// Reads a header as it stands; whether its entry is whole, [`Header::is_sealed`] says.
    pub(crate) fn parse(id: StoreId, bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_SIZE)?;
        if bytes[..4] != id.mark() {
            return None;
        }
        Some(Header {
            length: u32_at(bytes, 4),
            checksum: u64_at(bytes, 8),
            previous: u64_at(bytes, 16),
            first: Offset(u64_at(bytes, 24)),
            batches: u32_at(bytes, 32),
            stamp: Stamp {
                incarnation: u32_at(bytes, 36),
                epoch: u64_at(bytes, 40),
                time: u64_at(bytes, 48),
            },
        })
    }

    /// Whether these bytes, header and batches, are what the checksum was made of.
    pub(crate) fn is_sealed(&self, id: StoreId, bytes: &[u8]) -> bool {
        bytes.len() == self.size() && checksum(id, bytes) == self.checksum
    }

    pub(crate) fn follows(&self, link: Link) -> bool {
        let next = self.first.0.checked_add(self.batches.into());
        self.first == link.next
            && self.previous == link.previous
            && self.batches > 0
            && next.is_some()
    }

    /// Header and batches.
    pub(crate) fn size(&self) -> usize {
        HEADER_SIZE + self.length as usize
    }

    /// From the beginning of this entry to that of the next.
    pub(crate) fn span(&self) -> u64 {
        span(self.size())
    }

    pub(crate) fn last(&self) -> Offset {
        Offset(self.first.0 + u64::from(self.batches) - 1)
    }

    pub(crate) fn link(&self) -> Link {
        Link { next: Offset(self.last().0 + 1), previous: self.checksum }
    }
}

/// Size of an entry with the zeros behind it.
pub(crate) fn span(size: usize) -> u64 {
    (size as u64).next_multiple_of(SECTOR)
}

/// Bytes of the entry that a group makes, header and batches.
pub(crate) fn size(group: &[Commit]) -> usize {
    HEADER_SIZE + group.iter().map(batch_size).sum::<usize>()
}

/// Bytes of a batch in an entry.
pub(crate) fn batch_size(commit: &Commit) -> usize {
    4 + commit.frames.iter().map(|frame| 4 + frame.as_bytes().len()).sum::<usize>()
}

/// Appends the entry of a group, and the zeros up to the next sector.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    group: &[Commit],
    id: StoreId,
    link: Link,
    stamp: Stamp,
) -> Header {
    let start = out.len();
    out.resize(start + HEADER_SIZE, 0);
    for commit in group {
        out.extend_from_slice(&len_u32(commit.frames.len()).to_le_bytes());
        for frame in &commit.frames {
            out.extend_from_slice(&len_u32(frame.as_bytes().len()).to_le_bytes());
            out.extend_from_slice(frame.as_bytes());
        }
    }
    let mut header = Header {
        length: len_u32(out.len() - start - HEADER_SIZE),
        checksum: 0,
        previous: link.previous,
        first: link.next,
        batches: len_u32(group.len()),
        stamp,
    };
    let entry = &mut out[start..];
    entry[..4].copy_from_slice(&id.mark());
    entry[4..8].copy_from_slice(&header.length.to_le_bytes());
    entry[16..24].copy_from_slice(&header.previous.to_le_bytes());
    entry[24..32].copy_from_slice(&header.first.0.to_le_bytes());
    entry[32..36].copy_from_slice(&header.batches.to_le_bytes());
    entry[36..40].copy_from_slice(&stamp.incarnation.to_le_bytes());
    entry[40..48].copy_from_slice(&stamp.epoch.to_le_bytes());
    entry[48..56].copy_from_slice(&stamp.time.to_le_bytes());
    header.checksum = checksum(id, entry);
    entry[8..16].copy_from_slice(&header.checksum.to_le_bytes());
    let end = start as u64 + header.span();
    out.resize(usize::try_from(end).expect("an entry fits into memory"), 0);
    header
}

/// The frames of an entry's batches, in order; `None` is where the bytes make no sense.
pub(crate) fn frames(batches: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let (mut rest, mut left) = (batches, 0);
    std::iter::from_fn(move || {
        while left == 0 {
            if rest.is_empty() {
                return None;
            }
            left = take_u32(&mut rest).unwrap_or(u32::MAX);
        }
        left -= 1;
        let len = take_u32(&mut rest).map_or(usize::MAX, |len| len as usize);
        let frame = rest.get(..len);
        rest = rest.get(len..).unwrap_or_default();
        if frame.is_none() {
            (rest, left) = (&[], 0);
        }
        Some(frame)
    })
}

/// The changes of an entry, or `None` when its bytes are no changes.
pub(crate) fn each_change<'a>(
    batches: &'a [u8],
    mut each: impl FnMut(base::ChangeRef<'a>),
) -> Option<()> {
    for frame in frames(batches) {
        Frame::changes_in(frame?).ok()?.for_each(&mut each);
    }
    Some(())
}

/// The bytes of the first so many batches, or `None` when there are not so many.
pub(crate) fn first_batches(batches: &[u8], count: u64) -> Option<&[u8]> {
    let mut rest = batches;
    for _ in 0..count {
        for _ in 0..take_u32(&mut rest)? {
            let len = take_u32(&mut rest)? as usize;
            rest = rest.get(len..)?;
        }
    }
    Some(&batches[..batches.len() - rest.len()])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_le_bytes(*bytes))
}

fn checksum(id: StoreId, entry: &[u8]) -> u64 {
    xxh3_64_with_seed(&entry[CHECKED_FROM..], id.0)
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("settings bound an entry far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use base::change::Change;
    use base::{BatchId, ChangeRef, ShardId};
    use expect_test::expect;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ID: StoreId = StoreId(0x0123_4567_89ab_cdef);
    const LINK: Link = Link { next: Offset(7), previous: 0xfedc_ba98_7654_3210 };
    const STAMP: Stamp = Stamp { incarnation: 3, epoch: 1, time: 1_700_000_000_000 };

    fn commit(frames: &[Vec<Change>]) -> Commit {
        let batch = BatchId { shard: ShardId(0), number: 1 };
        Commit { batch, frames: frames.iter().map(Frame::encode).collect(), holders: Vec::new() }
    }

    fn change(key: &[u8], value: Option<&[u8]>) -> Change {
        Change { table: 1, key: key.to_vec(), value: value.map(<[u8]>::to_vec) }
    }

    fn encoded(group: &[Commit]) -> (Header, Vec<u8>) {
        let mut bytes = Vec::new();
        let header = encode(&mut bytes, group, ID, LINK, STAMP);
        (header, bytes)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Golden bytes: an entry is part of format version 1.
    #[test]
    fn the_encoding_never_changes() {
        let group = [
            commit(&[vec![change(b"key", Some(b"value"))]]),
            commit(&[]),
            commit(&[vec![change(b"a", None)], vec![]]),
        ];
        let (header, bytes) = encoded(&group);
        assert_eq!(bytes.len(), 512);
        assert!(bytes[header.size()..].iter().all(|byte| *byte == 0));
        expect!["afc42b4e5d0000001854de61a5be4d321032547698badcfe0700000000000000030000000300000001000000000000000068e5cf8b010000"].assert_eq(&hex(&bytes[..HEADER_SIZE]));
        expect!["01000000220000006b657976616c756501f7ffffff0300000001f1ffffff05000000eeffffff0100000000000000020000001b0000006101feffffff01000000000000000000000000eeffffff01000000080000000000000000000000"].assert_eq(&hex(&bytes[HEADER_SIZE..header.size()]));
    }

    #[test]
    fn a_header_says_what_is_before_and_behind() {
        let (header, bytes) = encoded(&[commit(&[]), commit(&[])]);
        assert_eq!(Header::parse(ID, &bytes), Some(header));
        assert!(header.is_sealed(ID, &bytes[..header.size()]));
        assert!(header.follows(LINK));
        assert_eq!((header.first, header.last()), (Offset(7), Offset(8)));
        assert_eq!(header.link(), Link { next: Offset(9), previous: header.checksum });
        assert!(!header.follows(Link { next: Offset(8), ..LINK }));
        assert!(!header.follows(Link { previous: 0, ..LINK }));
        assert!(!header.is_sealed(StoreId(1), &bytes[..header.size()]));
        assert!(!header.is_sealed(ID, &bytes));
        assert_eq!(Header::parse(ID, &bytes[..HEADER_SIZE - 1]), None);
        assert_eq!(Header::parse(ID, &bytes[1..]), None);
    }

    #[test]
    fn every_bit_is_under_the_checksum() {
        let (header, bytes) = encoded(&[commit(&[vec![change(b"key", Some(b"value"))]])]);
        for bit in 0..header.size() * 8 {
            let mut flipped = bytes[..header.size()].to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_whole = Header::parse(ID, &flipped).is_some_and(|header| {
                header.size() == flipped.len() && header.is_sealed(ID, &flipped)
            });
            assert!(!is_whole, "bit {bit}");
        }
    }

    type Row = (Vec<u8>, Option<Vec<u8>>);

    fn row() -> impl Strategy<Value = Row> {
        (vec(any::<u8>(), 0..9), proptest::option::of(vec(any::<u8>(), 0..99)))
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            rows in vec(vec(vec(row(), 0..4), 0..3), 0..5),
        ) {
            let frames = |batch: &Vec<Vec<Row>>| -> Vec<Vec<Change>> {
                let frame = |frame: &Vec<Row>| -> Vec<Change> {
                    frame.iter().map(|(key, value)| change(key, value.as_deref())).collect()
                };
                batch.iter().map(frame).collect()
            };
            let group: Vec<Commit> = rows.iter().map(|batch| commit(&frames(batch))).collect();
            let (header, bytes) = encoded(&group);
            prop_assert_eq!(header.size(), size(&group));
            prop_assert_eq!(bytes.len() as u64, header.span());
            let mut read = Vec::new();
            let each = each_change(&bytes[HEADER_SIZE..header.size()], |change: ChangeRef<'_>| {
                read.push((change.key.to_vec(), change.value.map(<[u8]>::to_vec)));
            });
            prop_assert!(each.is_some());
            let written: Vec<_> = rows.into_iter().flatten().flatten().collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn bytes_that_are_no_frames_end_and_never_panic(
            mut bytes in vec(any::<u8>(), 0..300),
            small in any::<bool>(),
        ) {
            if small {
                // Lengths that are plausible.
                bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0);
            }
            let count = frames(&bytes).count();
            prop_assert!(count <= bytes.len() / 4 + 1, "{} frames", count);
            let _ = each_change(&bytes, |_| ());
            let _ = Header::parse(ID, &bytes).map(|header| header.is_sealed(ID, &bytes));
        }
    }
}
