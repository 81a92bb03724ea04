//! Leaderboards and tournaments, at the home of their id. Table 24, key: the id of a board.
//!
//! All that belongs to a board begins with its prefix, 8 random bytes, so that a board never meets
//! the records of an earlier one of its id; then mostly the second at which its period ends, 8
//! bytes in the order of numbers, 0 if it never does. Table 25, key: prefix, end, owner. Table 26,
//! key: prefix, end, place; the value is empty. Table 27, key: prefix, end, first place of a block
//! of places; the value is their number, 4 bytes. Table 28, key: owner, prefix, end; the value is
//! empty. Table 29, key: prefix; the value is the id of a board that was deleted: what begins so is
//! to go.
//!
//! A place is score, subscore and owner, 32 bytes: their order is that of an ascending board.

use base::{Table, UserId};
use bytes::Bytes;

use super::{Record as _, record};

pub const INDEX: Table = Table(26);
pub const COUNTS: Table = Table(27);
pub const OWNED: Table = Table(28);
pub const DELETIONS: Table = Table(29);

/// A board, as it was created or last updated.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Definition {
    pub prefix: [u8; 8],
    pub is_descending: bool,
    /// 0 best, 1 set, 2 increment, 3 decrement.
    pub operator: u8,
    pub is_authoritative: bool,
    pub has_ranks: bool,
    /// When its periods end, as a CRON expression; empty: never.
    pub reset: String,
    /// JSON object.
    pub metadata: String,
    /// Seconds since 1970, like all times here.
    pub create_time: u64,
    /// What a tournament is besides.
    pub tournament: Option<Terms>,
}

/// The terms of a tournament.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Terms {
    pub title: String,
    pub description: String,
    pub category: u8,
    /// Seconds for which it is open in each period.
    pub duration: u64,
    pub start_time: u64,
    /// 0: it never ends.
    pub end_time: u64,
    /// Owners in one period; `i32::MAX`: any number, which is not told.
    pub max_size: u32,
    /// Writes of an owner in one period; 0: any number.
    pub max_num_score: u32,
    pub is_join_required: bool,
}

/// What an owner has reached in one period of a board.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Score {
    pub score: u64,
    pub subscore: u64,
    /// Writes that counted.
    pub num_score: u32,
    pub max_num_score: u32,
    /// Of the owner when they wrote last.
    pub username: String,
    /// JSON object.
    pub metadata: String,
    pub create_time: u64,
    pub update_time: u64,
}

record!(Definition, 24);
record!(Score, 25);

/// A score read in place. Cloning shares the bytes.
///
/// Invariant: the bytes are a valid archive; both constructors see to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredScore(Bytes);

impl StoredScore {
    pub fn new(score: &Score) -> StoredScore {
        StoredScore(score.encode().into())
    }

    /// `None` when the bytes are no score.
    pub fn decode(bytes: Bytes) -> Option<StoredScore> {
        rkyv::access::<ArchivedScore, rkyv::rancor::Error>(&bytes).ok()?;
        Some(StoredScore(bytes))
    }

    pub fn get(&self) -> &ArchivedScore {
        rkyv::access::<ArchivedScore, rkyv::rancor::Error>(&self.0)
            .expect("the constructors take valid archives only")
    }
}

/// Where a record stands on a board: score, subscore, owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub [u8; 32]);

impl Place {
    /// No record stands below it.
    pub const LOWEST: Place = Place([0; 32]);

    pub fn new(score: u64, subscore: u64, owner: UserId) -> Place {
        let mut place = [0; 32];
        place[..8].copy_from_slice(&score.to_be_bytes());
        place[8..16].copy_from_slice(&subscore.to_be_bytes());
        place[16..].copy_from_slice(owner.as_bytes());
        Place(place)
    }

    pub fn owner(&self) -> UserId {
        let mut owner = [0; 16];
        owner.copy_from_slice(&self.0[16..]);
        UserId::from_bytes(owner)
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |at: usize| {
            let bytes = self.0[at..at + 8].try_into();
            u64::from_be_bytes(bytes.expect("a slice of 8 bytes"))
        };
        write!(f, "({}, {}, {})", number(0), number(8), self.owner())
    }
}

/// One period of a board: its prefix, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub [u8; 16]);

impl Period {
    pub fn new(prefix: [u8; 8], expiry: u64) -> Period {
        let mut period = [0; 16];
        period[..8].copy_from_slice(&prefix);
        period[8..].copy_from_slice(&expiry.to_be_bytes());
        Period(period)
    }

    pub fn expiry(&self) -> u64 {
        let bytes = self.0[8..].try_into();
        u64::from_be_bytes(bytes.expect("a slice of 8 bytes"))
    }

    pub fn score_key(&self, owner: UserId) -> [u8; 32] {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&self.0);
        key[16..].copy_from_slice(owner.as_bytes());
        key
    }

    /// In [`INDEX`], or of a block in [`COUNTS`].
    pub fn place_key(&self, place: &Place) -> [u8; 48] {
        let mut key = [0; 48];
        key[..16].copy_from_slice(&self.0);
        key[16..].copy_from_slice(&place.0);
        key
    }

    pub fn owned_key(&self, owner: UserId) -> [u8; 32] {
        let mut key = [0; 32];
        key[..16].copy_from_slice(owner.as_bytes());
        key[16..].copy_from_slice(&self.0);
        key
    }
}

/// The period and the place of a key that [`Period::place_key`] made.
pub fn split_place_key(key: &[u8]) -> Option<(Period, Place)> {
    let (period, place) = key.split_first_chunk()?;
    Some((Period(*period), Place(place.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        let terms = Terms {
            title: "The great race".into(),
            description: "daily".into(),
            category: 3,
            duration: 3600,
            start_time: 10,
            end_time: 0,
            max_size: 100,
            max_num_score: 5,
            is_join_required: true,
        };
        let definition = Definition {
            prefix: [9; 8],
            is_descending: true,
            operator: 2,
            is_authoritative: false,
            has_ranks: true,
            reset: "0 0 * * *".into(),
            metadata: "{}".into(),
            create_time: 7,
            tournament: Some(terms),
        };
        check_bytes(
            &definition,
            &expect![
                "302030202a202a202a546865206772656174207261636509090909090909090102000189000000ddffffff7b7dffffffffffff0700000000000000018e000000cdffffff6461696c79ffffff03100e0000000000000a000000000000000000000000000000640000000500000001"
            ],
        );
        assert_eq!(Definition::decode(&definition.encode()), Some(definition));
        let score = Score {
            score: 12,
            subscore: 3,
            num_score: 2,
            max_num_score: 1_000_000,
            username: "the-first-one".into(),
            metadata: "{}".into(),
            create_time: 7,
            update_time: 8,
        };
        check_bytes(
            &score,
            &expect![
                "7468652d66697273742d6f6e650c0000000000000003000000000000000200000040420f008d000000dbffffff7b7dffffffffffff07000000000000000800000000000000"
            ],
        );
        assert_eq!(Score::decode(&score.encode()), Some(score));
    }

    #[test]
    fn places_are_in_the_order_of_score_subscore_and_owner() {
        let owner = |byte| UserId::from_bytes([byte; 16]);
        let places = [
            Place::new(0, 9, owner(9)),
            Place::new(1, 0, owner(9)),
            Place::new(1, 256, owner(0)),
            Place::new(1, 256, owner(1)),
            Place::new(300, 0, owner(0)),
        ];
        assert!(places.is_sorted());
        assert_eq!(places[3].owner(), owner(1));
        let period = Period::new([7; 8], 300);
        let key = period.place_key(&places[3]);
        assert_eq!(split_place_key(&key), Some((period, places[3])));
        assert_eq!(split_place_key(&key[1..]), None);
    }

    #[test]
    fn a_score_is_read_in_place() {
        assert_eq!(StoredScore::decode(Bytes::from_static(b"nonsense")), None);
    }
}
