//! An account. Table 1, key: the user id.

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct User {
    pub username: String,
    pub lang_tag: String,
    /// JSON object, written by server code only.
    pub metadata: String,
    /// JSON object of amounts, written by server code only.
    pub wallet: String,
    /// Device ids that sign this account in, in the order in which they were linked.
    pub devices: Vec<String>,
    /// Seconds since 1970.
    pub create_time: u64,
    pub update_time: u64,
}

record!(User, 1);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::{Record, check_bytes};

    #[test]
    fn the_encoding_never_changes() {
        let user = User {
            username: "alice".into(),
            lang_tag: "en".into(),
            metadata: "{}".into(),
            wallet: "{}".into(),
            devices: vec!["device-0123456789".into()],
            create_time: 1,
            update_time: 2,
        };
        check_bytes(
            &user,
            &expect![
                "6465766963652d3031323334353637383991000000efffffff616c696365ffffff656effffffffffff7b7dffffffffffff7b7dffffffffffffd8ffffff0100000001000000000000000200000000000000"
            ],
        );
        assert_eq!(User::decode(&user.encode()), Some(user));
        assert_eq!(User::decode(b"torn"), None);
    }
}
