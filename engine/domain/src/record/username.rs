//! Which account bears a username. Table 3, key: the username.

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct UsernameOwner {
    pub user_id: [u8; 16],
}

record!(UsernameOwner, 3);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        check_bytes(
            &UsernameOwner { user_id: [7; 16] },
            &expect!["07070707070707070707070707070707"],
        );
    }
}
