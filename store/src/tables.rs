//! What stands in the redb file: the rows, and the few numbers about them.
//!
//! Table `rows` has the table byte followed by the key, and the value. Table `meta` has the format
//! version, the store's number, the offset up to which `rows` is built, the incarnation and the
//! epoch.

use std::path::{Path, PathBuf};

use base::{Offset, Table};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::error::Error;
use crate::log::entry::StoreId;

/// The format that this program writes and reads.
pub const FORMAT: u64 = 1;

/// Longest key of a row. Every key is far below: the edge bounds the text that becomes part of one.
pub const KEY_MAX: usize = 64 * 1024;

pub(crate) const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";
const APPLIED_KEY: &str = "applied";
const INCARNATION_KEY: &str = "incarnation";
const STORE_KEY: &str = "store";
const EPOCH_KEY: &str = "epoch";

/// An open redb file and the place to name in errors.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) redb: redb::Database,
    pub(crate) path: PathBuf,
}

impl Tables {
    /// Starts a transaction that is synced, and quick to repair: a checkpoint.
    ///
    /// Quick repair writes redb's list of free pages with it and syncs twice. Without it a kill is
    /// followed by a walk over the whole tables. Measured on two cores with 2 million rows (1 GiB,
    /// 64 MiB cache), random keys: the open after a kill takes 0.7 ms against 1.2 s. The second
    /// sync has another merit: with one, a torn commit is told from a whole one by a checksum that
    /// is not cryptographic, over bytes that clients choose.
    pub(crate) fn begin_checkpoint(&self) -> Result<WriteTransaction, Error> {
        let mut transaction = self.redb.begin_write().map_err(|e| self.write_error(e))?;
        transaction.set_durability(redb::Durability::Immediate).map_err(|e| self.write_error(e))?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// Starts a transaction that readers see, and that the next checkpoint makes durable.
    pub(crate) fn begin_apply(&self) -> Result<WriteTransaction, Error> {
        let mut transaction = self.redb.begin_write().map_err(|e| self.write_error(e))?;
        transaction.set_durability(redb::Durability::None).map_err(|e| self.write_error(e))?;
        Ok(transaction)
    }

    pub(crate) fn write_error(&self, source: impl Into<redb::Error>) -> Error {
        Error::Write { path: self.path.clone(), source: Box::new(source.into()) }
    }

    pub(crate) fn read_error(&self, source: impl Into<redb::Error>) -> Error {
        Error::Read { path: self.path.clone(), source: Box::new(source.into()) }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), what, source: None }
    }
}

/// The numbers in `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) applied: Offset,
    pub(crate) incarnation: u32,
    pub(crate) store: StoreId,
    pub(crate) epoch: u64,
}

impl Meta {
    /// Reads the numbers of a file whose format this program knows.
    pub(crate) fn read(
        tables: &Tables,
        table: &impl ReadableTable<&'static str, u64>,
    ) -> Result<Meta, Error> {
        let number = |key: &str| match table.get(key) {
            Ok(found) => Ok(found.map(|guard| guard.value())),
            Err(e) => Err(tables.read_error(e)),
        };
        match number(FORMAT_KEY)? {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => {
                return Err(Error::Format { path: tables.path.clone(), found, known: FORMAT });
            }
            Some(_) | None => return Err(foreign(&tables.path)),
        }
        let applied = number(APPLIED_KEY)?.filter(|applied| *applied < u64::MAX);
        let applied = applied.ok_or_else(|| tables.damaged("no applied offset"))?;
        let incarnation = number(INCARNATION_KEY)?
            .and_then(|wide| u32::try_from(wide).ok())
            .ok_or_else(|| tables.damaged("no incarnation"))?;
        let store = number(STORE_KEY)?.ok_or_else(|| foreign(&tables.path))?;
        let epoch = number(EPOCH_KEY)?.ok_or_else(|| tables.damaged("no epoch"))?;
        Ok(Meta { applied: Offset(applied), incarnation, store: StoreId(store), epoch })
    }

    pub(crate) fn write(
        self,
        tables: &Tables,
        transaction: &WriteTransaction,
    ) -> Result<(), Error> {
        let mut table = transaction.open_table(META).map_err(|e| tables.write_error(e))?;
        for (key, value) in [
            (FORMAT_KEY, FORMAT),
            (APPLIED_KEY, self.applied.0),
            (INCARNATION_KEY, u64::from(self.incarnation)),
            (STORE_KEY, self.store.0),
            (EPOCH_KEY, self.epoch),
        ] {
            table.insert(key, value).map_err(|e| tables.write_error(e))?;
        }
        Ok(())
    }
}

pub(crate) fn foreign(path: &Path) -> Error {
    Error::Foreign { path: path.to_owned(), source: None }
}

/// Writes the key of a row into `buffer`.
pub(crate) fn row_key(buffer: &mut Vec<u8>, table: Table, key: &[u8]) {
    buffer.clear();
    buffer.push(table.0);
    buffer.extend_from_slice(key);
}

pub(crate) fn write_applied(
    tables: &Tables,
    transaction: &WriteTransaction,
    applied: Offset,
) -> Result<(), Error> {
    let mut table = transaction.open_table(META).map_err(|e| tables.write_error(e))?;
    let written = table.insert(APPLIED_KEY, applied.0);
    written.map_err(|e| tables.write_error(e))?;
    Ok(())
}
