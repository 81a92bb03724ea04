//! The queues that operators defined. Table 7, one row under [`KEY`]: all of them are in force
//! together, and few.

use super::record;

pub const KEY: &[u8] = b"queues";

#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Queues {
    /// How often they were changed: deletions count, too.
    pub changes: u64,
    /// By id, in ascending order.
    pub queues: Vec<Queue>,
}

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Queue {
    pub id: String,
    /// The number of the change that wrote it.
    pub version: u64,
    /// Seconds since 1970.
    pub update_time: u64,
    /// JSON object, every default written out.
    pub definition: String,
}

record!(Queues, 7);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let queue = Queue {
            id: "duel".into(),
            version: 2,
            update_time: 1,
            definition: "{\"id\":\"duel\"}".into(),
        };
        check_bytes(
            &Queues { changes: 3, queues: vec![queue] },
            &expect![
                "7b226964223a226475656c227d6475656cffffffff020000000000000001000000000000008d000000dbffffff0300000000000000d8ffffff01000000"
            ],
        );
    }
}
