//! Which tokens of a user are dead before they expire. Table 3, key: the user id.

use super::record;

#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Revocation {
    /// Tokens issued before this second (since 1970) are dead.
    pub issued_before: u64,
    /// Tokens that were logged out one by one, until some time after their expiry.
    pub tokens: Vec<RevokedToken>,
}

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct RevokedToken {
    pub token_id: [u8; 16],
    /// Whether it is the refresh token of the pair.
    pub refresh: bool,
    /// When it expires by itself, seconds since 1970.
    pub expiry: u64,
}

record!(Revocation, 3);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let revocation = Revocation {
            issued_before: 1,
            tokens: vec![RevokedToken { token_id: [7; 16], refresh: true, expiry: 2 }],
        };
        check_bytes(
            &revocation,
            &expect![
                "070707070707070707070707070707070102000000000000000100000000000000dfffffff01000000"
            ],
        );
    }
}
