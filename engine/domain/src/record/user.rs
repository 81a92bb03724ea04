//! An account. Table 1, key: the user id.

use super::record;

/// Texts are empty where the account has none.
#[derive(Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct User {
    pub username: String,
    pub display_name: String,
    pub avatar_url: String,
    pub lang_tag: String,
    pub location: String,
    pub timezone: String,
    /// JSON object, written by server code only.
    pub metadata: String,
    /// JSON object of amounts, written by server code only.
    pub wallet: String,
    /// The aliases that sign the account in, in the order in which they were linked: the username
    /// is none of them.
    pub credentials: Vec<Credential>,
    /// Hash of the password, with its algorithm and parameters.
    pub password: String,
    /// Seconds since 1970.
    pub create_time: u64,
    pub update_time: u64,
    /// Since when the account is banned; 0: it is not.
    pub disable_time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Credential {
    /// As in the key of an alias.
    pub kind: u8,
    pub text: String,
}

record!(User, 1);

/// Without the hash of the password.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("display_name", &self.display_name)
            .field("credentials", &self.credentials)
            .field("has_password", &!self.password.is_empty())
            .field("create_time", &self.create_time)
            .field("update_time", &self.update_time)
            .field("disable_time", &self.disable_time)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::{Record, check_bytes};

    #[test]
    fn the_encoding_never_changes() {
        let user = User {
            username: "alice".into(),
            display_name: "Al".into(),
            avatar_url: "u".into(),
            lang_tag: "en".into(),
            location: "l".into(),
            timezone: "t".into(),
            metadata: "{}".into(),
            wallet: "{}".into(),
            credentials: vec![Credential { kind: 2, text: "device-0123456789".into() }],
            password: "$argon2id$".into(),
            create_time: 1,
            update_time: 2,
            disable_time: 3,
        };
        check_bytes(
            &user,
            &expect![
                "6465766963652d303132333435363738390291000000eeffffff246172676f6e32696424616c696365ffffff416cffffffffffff75ffffffffffffff656effffffffffff6cffffffffffffff74ffffffffffffff7b7dffffffffffff7b7dffffffffffffadffffff010000008a000000aeffffff010000000000000002000000000000000300000000000000"
            ],
        );
        assert_eq!(User::decode(&user.encode()), Some(user));
        assert_eq!(User::decode(b"torn"), None);
    }
}
