//! What changed a wallet. Table 19, key: the user id, then the entry's id, a UUID of version 7,
//! whose order is that of time.

use base::{LedgerId, Range, Table, UserId};

use super::record;

/// One change of a wallet. Never written again.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct LedgerEntry {
    /// JSON object of amounts, in the form of [`base::jsonb`].
    pub changeset: String,
    /// JSON object, in the same form.
    pub metadata: String,
    /// Microseconds since 1970.
    pub create_time: u64,
    pub update_time: u64,
}

record!(LedgerEntry, 19);

pub fn ledger_key(user: UserId, id: LedgerId) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(user.as_bytes());
    key[16..].copy_from_slice(id.as_bytes());
    key
}

/// The id of the entry under a key; `None` when the bytes are none.
pub fn id_of(key: &[u8]) -> Option<LedgerId> {
    key.get(16..)?.try_into().ok().map(LedgerId::from_bytes)
}

/// The entries of a user, newest first, from behind this one on.
pub fn newest_of(user: UserId, before: Option<LedgerId>, limit: usize) -> Range {
    let range = Range::prefix(Table(19), user.as_bytes(), limit);
    let range = Range { is_descending: true, ..range };
    match before {
        Some(id) => range.after(&ledger_key(user, id)),
        None => range,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let entry = LedgerEntry {
            changeset: "{\"coins\": 5}".into(),
            metadata: "{}".into(),
            create_time: 1,
            update_time: 2,
        };
        check_bytes(
            &entry,
            &expect![
                "7b22636f696e73223a20357d8c000000f4ffffff7b7dffffffffffff01000000000000000200000000000000"
            ],
        );
    }

    #[test]
    fn keys_lead_back_to_what_they_are_made_of() {
        let user = UserId::from_bytes([9; 16]);
        let id = |byte| LedgerId::from_bytes([byte; 16]);
        let key = ledger_key(user, id(3));
        assert_eq!(id_of(&key), Some(id(3)));
        assert_eq!(id_of(&key[..31]), None);
        assert!(newest_of(user, None, 1).contains(&key));
        assert!(newest_of(user, Some(id(4)), 1).contains(&key));
        assert!(!newest_of(user, Some(id(3)), 1).contains(&key));
    }
}
