//! Players who wait together: who they are, and which matches they accept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::{PartyId, SessionId, TicketId, UnixTime, UserId, limits};

/// Why a ticket is refused, or not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    MinCount,
    MaxCount,
    CountMultiple,
    /// A ticket needs players, and each of them once.
    Presences,
    /// A session, or the party, has as many tickets as it may have.
    TooManyTickets,
    PoolFull,
    /// No ticket of this id waits for this owner.
    NotFound,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::MinCount => "The minimum count must be at least 2.",
            Error::MaxCount => "The maximum count must be at least the minimum, at most 1024.",
            Error::CountMultiple => "The count multiple must divide both counts.",
            Error::Presences => "A ticket needs players, each of them once.",
            Error::TooManyTickets => "The session or party has too many tickets.",
            Error::PoolFull => "Too many tickets are waiting.",
            Error::NotFound => "The ticket was not found.",
        })
    }
}

const _: () = assert!(limits::MATCHMAKER_COUNT_MAX == 1024, "named in the text above");

/// How many players a ticket wants in its match, itself included.
///
/// Invariants: 2 ≤ min ≤ max ≤ [`limits::MATCHMAKER_COUNT_MAX`]; the multiple divides both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    min: u16,
    max: u16,
    multiple: u16,
}

impl Counts {
    /// Without a multiple, every size between min and max is accepted.
    pub fn new(min: i32, max: i32, multiple: Option<i32>) -> Result<Counts, Error> {
        let min = u32::try_from(min).map_err(|_| Error::MinCount)?;
        let max = u32::try_from(max).map_err(|_| Error::MaxCount)?;
        let multiple = u32::try_from(multiple.unwrap_or(1)).map_err(|_| Error::CountMultiple)?;
        if min < 2 {
            return Err(Error::MinCount);
        }
        if max < min || max > limits::MATCHMAKER_COUNT_MAX {
            return Err(Error::MaxCount);
        }
        if multiple < 1 || !min.is_multiple_of(multiple) || !max.is_multiple_of(multiple) {
            return Err(Error::CountMultiple);
        }
        let narrow = |count| u16::try_from(count).expect("at most the greatest max count");
        Ok(Counts { min: narrow(min), max: narrow(max), multiple: narrow(multiple) })
    }

    pub fn min(self) -> u32 {
        u32::from(self.min)
    }

    pub fn max(self) -> u32 {
        u32::from(self.max)
    }

    pub fn multiple(self) -> u32 {
        u32::from(self.multiple)
    }

    pub fn accept(self, size: u32) -> bool {
        self.min() <= size && size <= self.max() && size.is_multiple_of(self.multiple())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub username: Arc<str>,
}

/// Whose ticket it is: a player's own, or a party's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Session(SessionId),
    Party(PartyId),
}

/// The wish of a player, or of a party as a whole, for a match. The properties are told to the
/// other players of the match.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    pub id: TicketId,
    pub entries: Vec<Presence>,
    pub party: Option<PartyId>,
    pub counts: Counts,
    pub string_properties: BTreeMap<String, String>,
    pub numeric_properties: BTreeMap<String, f64>,
    pub created: UnixTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_checked() {
        let check = |min, max, multiple, expected: Result<(), Error>| {
            assert_eq!(Counts::new(min, max, multiple).map(|_| ()), expected);
        };
        check(2, 2, None, Ok(()));
        check(2, 8, Some(2), Ok(()));
        check(1024, 1024, Some(1024), Ok(()));
        check(1, 2, None, Err(Error::MinCount));
        check(-1, 2, None, Err(Error::MinCount));
        check(3, 2, None, Err(Error::MaxCount));
        check(2, -1, None, Err(Error::MaxCount));
        check(2, 1025, None, Err(Error::MaxCount));
        check(2, 4, Some(0), Err(Error::CountMultiple));
        check(2, 4, Some(-2), Err(Error::CountMultiple));
        check(2, 5, Some(2), Err(Error::CountMultiple));
        check(3, 4, Some(2), Err(Error::CountMultiple));
    }
}
