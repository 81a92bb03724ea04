//! Accounts that are deleted, and whose belongings are on their way out. Table 20, key: the user
//! id. It belongs to the home of the user.

use base::{Range, Table, UserId};

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Erasure {
    /// When the account was deleted, in seconds since 1970.
    pub begun: u64,
}

record!(Erasure, 20);

/// Those behind this user.
pub fn behind(user: Option<UserId>, limit: usize) -> Range {
    let range = Range::prefix(Table(20), &[], limit);
    match user {
        Some(user) => range.behind(user.as_bytes()),
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
        check_bytes(&Erasure { begun: 7 }, &expect!["0700000000000000"]);
        let user = UserId::from_bytes([9; 16]);
        assert!(behind(None, 1).contains(user.as_bytes()));
        assert!(!behind(Some(user), 1).contains(user.as_bytes()));
    }
}
