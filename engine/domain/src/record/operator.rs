//! The people and scripts that run the server. Table 4, one row under [`KEY`]: there are few of
//! them, and whether there is any is a question of its own.

use super::record;

pub const KEY: &[u8] = b"operators";

#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Operators {
    /// By name, in ascending order.
    pub operators: Vec<Operator>,
}

/// Its `Debug` form does not show the hash.
#[derive(Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Operator {
    pub name: String,
    /// 1 viewer, 2 operator, 3 admin.
    pub role: u8,
    /// Hash of the password, with its algorithm and parameters.
    pub password: String,
    /// Tokens name it: those of an earlier one are dead.
    pub generation: u64,
    pub is_disabled: bool,
    /// Seconds since 1970.
    pub create_time: u64,
    pub update_time: u64,
}

record!(Operators, 4);

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("generation", &self.generation)
            .field("is_disabled", &self.is_disabled)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let operator = Operator {
            name: "ann-the-admin".into(),
            role: 3,
            password: "$argon2id$".into(),
            generation: 4,
            is_disabled: true,
            create_time: 1,
            update_time: 2,
        };
        assert!(!format!("{operator:?}").contains("argon2"));
        check_bytes(
            &Operators { operators: vec![operator] },
            &expect![
                "616e6e2d7468652d61646d696e246172676f6e326964248d000000e9ffffff038a000000edffffff04000000000000000101000000000000000200000000000000d6ffffff01000000"
            ],
        );
    }
}
