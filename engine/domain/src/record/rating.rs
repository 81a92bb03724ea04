//! What players have won and lost. Table 8, key: the user id. Table 9, key: the user id, then the
//! number of the match modulo [`HISTORY_MAX`], 1 byte. Table 10, key: length of the queue's id, 1
//! byte, the id, then that of the match.
//!
//! What is kept of a player is bounded, so that it goes in one batch with the account.

use base::UserId;
use base::limits::HISTORY_MAX;

use super::record;

/// All ratings of a player.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Ratings {
    /// Matches so far, of all queues: the number of the newest one. Rises with every change.
    pub matches: u64,
    /// By queue, in ascending order.
    pub queues: Vec<QueueRating>,
}

/// What a player is in one queue.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct QueueRating {
    pub queue: String,
    pub rating: f64,
    pub deviation: f64,
    pub volatility: f64,
    pub games: u32,
    pub wins: u32,
    pub losses: u32,
    pub draws: u32,
    /// Games that the player left; they are among the losses.
    pub quits: u32,
    /// Seconds since 1970.
    pub last_played: u64,
}

/// One match of a player's history.
#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Played {
    /// Of all matches of the player, from 1 on.
    pub number: u64,
    pub queue: String,
    pub match_id: String,
    /// Seconds since 1970.
    pub time: u64,
    pub team: String,
    pub rank: u32,
    /// 0 lost, 1 drawn, 2 won.
    pub outcome: u8,
    pub has_quit: bool,
    pub before: f64,
    pub after: f64,
    pub deviation_after: f64,
}

/// The result of a match, as it was taken in. Never written again.
#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct MatchResult {
    /// Seconds since 1970.
    pub time: u64,
    pub teams: Vec<ResultTeam>,
}

#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ResultTeam {
    pub name: String,
    pub rank: u32,
    pub players: Vec<ResultPlayer>,
}

#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ResultPlayer {
    pub user_id: [u8; 16],
    pub has_quit: bool,
    pub before: f64,
    pub deviation_before: f64,
    pub after: f64,
    pub deviation_after: f64,
}

record!(Ratings, 8);
record!(Played, 9);
record!(MatchResult, 10);

/// The key of a player's match of this number.
pub fn played_key(user: UserId, number: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(user.as_bytes());
    key[16] = u8::try_from(number % HISTORY_MAX).expect("the history has fewer than 256 places");
    key
}

pub fn result_key(queue: &str, match_id: &str) -> Vec<u8> {
    let length = u8::try_from(queue.len()).expect("ids of queues are short");
    [&[length], queue.as_bytes(), match_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::{Record, check_bytes};

    #[test]
    fn the_encoding_never_changes() {
        let rating = QueueRating {
            queue: "ranked-duel".into(),
            rating: 1512.5,
            deviation: 350.0,
            volatility: 0.06,
            games: 9,
            wins: 4,
            losses: 3,
            draws: 2,
            quits: 1,
            last_played: 7,
        };
        let ratings = Ratings { matches: 12, queues: vec![rating] };
        check_bytes(
            &ratings,
            &expect![
                "72616e6b65642d6475656c8b000000f5ffffff0000000000a297400000000000e07540b81e85eb51b8ae3f090000000400000003000000020000000100000007000000000000000c00000000000000bcffffff01000000"
            ],
        );
        assert_eq!(Ratings::decode(&ratings.encode()), Some(ratings));

        let played = Played {
            number: 12,
            queue: "duel".into(),
            match_id: "the-match-1".into(),
            time: 7,
            team: "red".into(),
            rank: 1,
            outcome: 2,
            has_quit: false,
            before: 1500.0,
            after: 1512.5,
            deviation_after: 350.0,
        };
        check_bytes(
            &played,
            &expect![
                "7468652d6d617463682d310c000000000000006475656cffffffff8b000000e5ffffff0700000000000000726564ffffffffff01000000020000000000007097400000000000a297400000000000e07540"
            ],
        );

        let player = ResultPlayer {
            user_id: [7; 16],
            has_quit: true,
            before: 1500.0,
            deviation_before: 350.0,
            after: 1484.0,
            deviation_after: 340.0,
        };
        let team = ResultTeam { name: "red".into(), rank: 2, players: vec![player] };
        check_bytes(
            &MatchResult { time: 7, teams: vec![team] },
            &expect![
                "070707070707070707070707070707070100000000007097400000000000e0754000000000003097400000000000407540726564ffffffffff02000000c3ffffff010000000700000000000000e4ffffff01000000"
            ],
        );
    }

    #[test]
    fn keys_of_different_queues_never_meet() {
        assert_ne!(result_key("a", "bc"), result_key("ab", "c"));
        let user = UserId::from_bytes([1; 16]);
        assert_eq!(played_key(user, 1), played_key(user, 1 + HISTORY_MAX));
        assert_ne!(played_key(user, 1), played_key(user, 2));
    }
}
