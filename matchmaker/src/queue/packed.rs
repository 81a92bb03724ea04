//! A waiting ticket in few bytes: what its players are told once it is matched, one after another.

use std::collections::BTreeMap;

use base::{PartyId, SessionId, TicketId, UnixTime, UserId};

use crate::ticket::{Counts, Presence, Ticket};

#[derive(Clone, Debug)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn new(ticket: &Ticket) -> Packed {
        let Ticket { id, entries, party, counts, string_properties, numeric_properties, created } =
            ticket;
        let mut out = Vec::with_capacity(256);
        out.extend(id.as_bytes());
        out.extend(created.0.to_le_bytes());
        for count in [counts.min(), counts.max(), counts.multiple()] {
            out.extend(count.to_le_bytes());
        }
        out.push(u8::from(party.is_some()));
        out.extend(party.iter().flat_map(PartyId::as_bytes));
        length(&mut out, entries.len());
        for Presence { user_id, session_id, username } in entries {
            out.extend(user_id.as_bytes());
            out.extend(session_id.as_bytes());
            text(&mut out, username);
        }
        length(&mut out, string_properties.len());
        for (name, value) in string_properties {
            text(&mut out, name);
            text(&mut out, value);
        }
        length(&mut out, numeric_properties.len());
        for (name, value) in numeric_properties {
            text(&mut out, name);
            out.extend(value.to_le_bytes());
        }
        Packed(out.into())
    }

    /// The users and sessions of its players, and its party.
    pub(super) fn players(&self) -> (Vec<(UserId, SessionId)>, Option<PartyId>) {
        let mut rest = Rest(&self.0);
        let _before: [u8; 16 + 8 + 3 * 4] = rest.array();
        let party = (rest.array() == [1]).then(|| PartyId::from_bytes(rest.array()));
        let players = (0..rest.length()).map(|_| {
            let [user, session] = [rest.array(), rest.array()];
            rest.text();
            (UserId::from_bytes(user), SessionId::from_bytes(session))
        });
        (players.collect(), party)
    }

    pub(super) fn ticket(&self) -> Ticket {
        let mut rest = Rest(&self.0);
        let id = TicketId::from_bytes(rest.array());
        let created = UnixTime(u64::from_le_bytes(rest.array()));
        let [min, max, multiple] = [(); 3].map(|()| i32::from_le_bytes(rest.array()));
        let counts = Counts::new(min, max, Some(multiple)).expect("they were good");
        let party = (rest.array() == [1]).then(|| PartyId::from_bytes(rest.array()));
        let entries = (0..rest.length()).map(|_| Presence {
            user_id: UserId::from_bytes(rest.array()),
            session_id: SessionId::from_bytes(rest.array()),
            username: rest.text().into(),
        });
        let entries = entries.collect();
        let texts = (0..rest.length()).map(|_| (rest.text().into(), rest.text().into()));
        let string_properties: BTreeMap<_, _> = texts.collect();
        let numbers = 0..rest.length();
        let numbers = numbers.map(|_| (rest.text().into(), f64::from_le_bytes(rest.array())));
        let numeric_properties = numbers.collect();
        Ticket { id, entries, party, counts, string_properties, numeric_properties, created }
    }
}

/// Seven bits in each byte, the last one first; the eighth says that there are more.
#[expect(clippy::cast_possible_truncation, reason = "seven bits")]
fn length(out: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend(text.as_bytes());
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.0.split_first_chunk().expect("it was packed whole");
        self.0 = rest;
        *array
    }

    fn length(&mut self) -> usize {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let [byte] = self.array();
            length |= usize::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        length
    }

    fn text(&mut self) -> &'a str {
        let length = self.length();
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        str::from_utf8(text).expect("it was a text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_comes_back_as_it_was() {
        let presence = |number: u8| Presence {
            user_id: UserId::from_bytes([number; 16]),
            session_id: SessionId::from_bytes([number + 1; 16]),
            username: "ann".into(),
        };
        let mut ticket = Ticket {
            id: TicketId::from_bytes([7; 16]),
            entries: vec![presence(1)],
            party: None,
            counts: Counts::new(2, 8, Some(2)).expect("good counts"),
            string_properties: [("queue".into(), "duel".into()), ("".into(), "é".repeat(100_000))]
                .into(),
            numeric_properties: [("rating".into(), -0.5)].into(),
            created: UnixTime(u64::MAX),
        };
        assert_eq!(Packed::new(&ticket).ticket(), ticket);
        ticket.entries.push(presence(9));
        ticket.party = Some(PartyId::from_bytes([3; 16]));
        ticket.string_properties.clear();
        let packed = Packed::new(&ticket);
        assert_eq!(packed.ticket(), ticket);
        let ids = ticket.entries.iter().map(|entry| (entry.user_id, entry.session_id));
        assert_eq!(packed.players(), (ids.collect(), ticket.party));
    }
}
