//! The audit trail. Table 5, key: the entry's number, 8 bytes, big-endian, from 1 on without a gap.
//! Table 6, one row under [`HEAD`]: the newest number.

use super::record;

pub const HEAD: &[u8] = b"audit";

/// One change by an operator. Never written again.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AuditEntry {
    /// Seconds since 1970.
    pub time: u64,
    /// Who: the operator's name, or how somebody came in without one.
    pub actor: String,
    /// What: the operation's name.
    pub operation: String,
    /// To whom or what.
    pub target: String,
    /// JSON object: with which values, secrets left out.
    pub detail: String,
}

#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct AuditHead {
    pub newest: u64,
}

record!(AuditEntry, 5);
record!(AuditHead, 6);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let entry = AuditEntry {
            time: 1,
            actor: "ann-the-admin".into(),
            operation: "console_account_ban".into(),
            target: "t".into(),
            detail: "{}".into(),
        };
        check_bytes(
            &entry,
            &expect![
                "616e6e2d7468652d61646d696e636f6e736f6c655f6163636f756e745f62616e01000000000000008d000000d8ffffff93000000ddffffff74ffffffffffffff7b7dffffffffffff"
            ],
        );
        check_bytes(&AuditHead { newest: 2 }, &expect!["0200000000000000"]);
    }
}
