//! Which account an alias leads to. Table 2, key: one byte of kind, then the alias's text.

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AliasOwner {
    pub user_id: [u8; 16],
}

record!(AliasOwner, 2);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        check_bytes(&AliasOwner { user_id: [7; 16] }, &expect!["07070707070707070707070707070707"]);
    }
}
