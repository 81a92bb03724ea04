//! Records as they lie on disk: rkyv archives of format version 1, one table a kind.
//!
//! Table numbers and layouts belong to the format: they never change within a version, and the
//! tests pin their bytes. No record holds a hash map.

pub mod alias;
pub mod audit;
pub mod board;
pub mod erasure;
pub mod ledger;
pub mod object;
pub mod operator;
pub mod queue;
pub mod rating;
pub mod revocation;
pub mod user;

use base::Table;
use bytes::Bytes;
use rkyv::rancor;

use crate::ctx::{Ctx, Stop};

/// A kind of record: its table, and how its bytes are written and read.
pub trait Record: Sized {
    const TABLE: Table;

    fn encode(&self) -> Vec<u8>;

    /// `None` when the bytes are no such record.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Implements [`Record`] for a type with the rkyv derives.
macro_rules! record {
    ($name:ident, $table:expr) => {
        impl $crate::record::Record for $name {
            const TABLE: base::Table = base::Table($table);

            fn encode(&self) -> Vec<u8> {
                rkyv::to_bytes::<rkyv::rancor::Panic>(self)
                    .expect("strings and numbers have no reason not to encode")
                    .into_vec()
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                rkyv::from_bytes::<Self, $crate::record::rancor::Error>(bytes).ok()
            }
        }
    };
}
use record;

/// Reads and decodes the record under a key.
pub fn read<R: Record, E>(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<R>, Stop<E>> {
    let found: Option<Bytes> = ctx.view.get(R::TABLE, key)?;
    match found {
        None => Ok(None),
        Some(bytes) => R::decode(&bytes).map(Some).ok_or(Stop::Damaged(R::TABLE)),
    }
}

/// Deletes the record under a key.
pub fn delete<R: Record>(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.delete(R::TABLE, key);
}

/// Writes a record under a key.
pub fn write<R: Record>(ctx: &mut Ctx<'_>, key: &[u8], record: &R) {
    ctx.put(R::TABLE, key, record.encode());
}

#[cfg(test)]
pub(crate) fn check_bytes<R: Record>(record: &R, expected: &expect_test::Expect) {
    let hex: String = record.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    expected.assert_eq(&hex);
}
