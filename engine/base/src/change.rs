//! What a handle writes: changes, and the frame of bytes in which they travel.
//!
//! A frame is encoded once, by the shard that owns the changed keys. The same bytes then go to the
//! coordinator, to the store and, later, to a standby, and are read in place everywhere.

use bytes::Bytes;
use rkyv::rancor;

use crate::id::ShardId;

/// Which kind of record a key belongs to. The numbers are given out by the crate that owns the
/// records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(pub u8);

impl Table {
    /// Whether ranges of its keys are read: that costs memory for keys on their way to the state.
    /// Part of the format: a table's number tells.
    pub const fn is_ranged(self) -> bool {
        self.0 >= 16
    }
}

/// Keys of one table: `from` is one of them, `to` is not. An empty `to` is the end of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub table: Table,
    pub from: Bytes,
    pub to: Bytes,
    /// From the last key down to the first.
    pub is_descending: bool,
    /// Most rows that are wanted.
    pub limit: usize,
}

impl Range {
    /// All keys that begin like this, in ascending order.
    pub fn prefix(table: Table, prefix: &[u8], limit: usize) -> Range {
        let from = Bytes::copy_from_slice(prefix);
        Range { table, from, to: after_prefix(prefix), is_descending: false, limit }
    }

    /// Those behind this key, as the range goes.
    pub fn behind(mut self, key: &[u8]) -> Range {
        match self.is_descending {
            true => self.to = Bytes::copy_from_slice(key),
            false => self.from = [key, &[0]].concat().into(),
        }
        self
    }

    /// What is left of it behind this key, which may be anywhere.
    pub fn after(self, key: &[u8]) -> Range {
        let Range { from, to, is_descending, .. } = &self;
        let is_before = *key < **from;
        let is_behind = !to.is_empty() && *key >= **to;
        match (is_before, is_behind, is_descending) {
            (true, _, false) | (_, true, true) => self,
            (false, true, false) => Range { from: self.to.clone(), ..self },
            (true, false, true) => Range { to: self.from.clone(), ..self },
            (false, false, _) => self.behind(key),
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        *self.from <= *key && (self.to.is_empty() || *key < *self.to)
    }
}

/// The first key behind all that begin like this; empty where that is the end of the table.
fn after_prefix(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte < u8::MAX) else { return Bytes::new() };
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    after.into()
}

/// Place of a batch in the order in which the store made batches durable. The first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// A batch before it has an offset: the shard that emitted it and its number there. Batches of one
/// shard become durable in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId {
    pub shard: ShardId,
    pub number: u64,
}

/// One key's new value, or its deletion.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize)]
pub struct Change {
    pub table: u8,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// A change read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRef<'a> {
    pub table: Table,
    pub key: &'a [u8],
    /// `None` deletes the key.
    pub value: Option<&'a [u8]>,
}

/// Bytes that are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the bytes are not a frame of changes")
    }
}

impl std::error::Error for Malformed {}

/// Changes in their encoded form (rkyv, format version 1). Cloning shares the bytes.
///
/// Invariant: the bytes are a valid archive; both constructors see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

type ArchivedChanges = rkyv::vec::ArchivedVec<ArchivedChange>;

impl Frame {
    pub fn encode(changes: &Vec<Change>) -> Frame {
        let bytes = rkyv::to_bytes::<rancor::Panic>(changes)
            .expect("a list of byte strings has no reason not to encode");
        Frame(Bytes::from_owner(bytes))
    }

    /// Takes bytes from a disk or a peer, after checking them whole.
    pub fn decode(bytes: Bytes) -> Result<Frame, Malformed> {
        rkyv::access::<ArchivedChanges, rancor::Error>(&bytes).map_err(|_| Malformed)?;
        Ok(Frame(bytes))
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn changes(&self) -> impl Iterator<Item = ChangeRef<'_>> {
        Frame::changes_in(&self.0).expect("a frame holds a valid archive")
    }

    /// The changes in bytes that may be no frame.
    pub fn changes_in(bytes: &[u8]) -> Result<impl Iterator<Item = ChangeRef<'_>>, Malformed> {
        let archived = rkyv::access::<ArchivedChanges, rancor::Error>(bytes);
        let archived = archived.map_err(|_| Malformed)?;
        Ok(archived.iter().map(|change| ChangeRef {
            table: Table(change.table),
            key: change.key.as_slice(),
            value: change.value.as_ref().map(rkyv::vec::ArchivedVec::as_slice),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Change> {
        vec![
            Change { table: 1, key: b"key".to_vec(), value: Some(b"value".to_vec()) },
            Change { table: 2, key: vec![0; 16], value: None },
        ]
    }

    #[test]
    fn a_frame_is_read_in_place() {
        let frame = Frame::encode(&sample());
        let read: Vec<_> = frame.changes().collect();
        assert_eq!(
            read,
            [
                ChangeRef { table: Table(1), key: b"key", value: Some(b"value") },
                ChangeRef { table: Table(2), key: &[0; 16], value: None },
            ]
        );
        assert_eq!(Frame::decode(frame.as_bytes().clone()), Ok(frame));
    }

    #[test]
    fn torn_and_foreign_bytes_are_refused() {
        let whole = Frame::encode(&sample()).as_bytes().clone();
        assert_eq!(Frame::decode(Bytes::new()), Err(Malformed));
        assert_eq!(Frame::decode(whole.slice(1..)), Err(Malformed));
        assert_eq!(Frame::decode(Bytes::from_static(&[0xff; 32])), Err(Malformed));
    }

    /// Golden bytes: a frame is part of format version 1.
    #[test]
    fn the_encoding_never_changes() {
        let bytes = Frame::encode(&sample()).as_bytes().clone();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        expect_test::expect!["6b657976616c75650000000000000000000000000000000001e7ffffff0300000001e1ffffff0500000002ddffffff10000000000000000000000000dcffffff02000000"].assert_eq(&hex);
    }
}
