//! A waiting ticket in few bytes: what its players are told once it is matched, one after another.

use std::collections::BTreeMap;

use base::{PartyId, SessionId, TicketId, UnixTime, UserId};

use super::names::{Known, Name, Names, text_of};
use crate::ticket::{Counts, Presence, Ticket};

/// First come the ids: of the ticket, of its party, if it has one, and of users and sessions.
#[derive(Debug)]
pub(super) struct Packed {
    bytes: Box<[u8]>,
    players: u8,
    has_party: bool,
}

const ID: usize = 16;

impl Packed {
    pub(super) fn new(ticket: &Ticket, known: &Known<'_>) -> Packed {
        let Ticket { id, entries, party, counts, created, .. } = ticket;
        let mut out = Vec::with_capacity(room_for(ticket, known));
        out.extend_from_slice(id.as_bytes());
        if let Some(party) = party {
            out.extend_from_slice(party.as_bytes());
        }
        for entry in entries {
            out.extend_from_slice(entry.user_id.as_bytes());
            out.extend_from_slice(entry.session_id.as_bytes());
        }
        length(&mut out, created.0);
        for count in [counts.min(), counts.max(), counts.multiple()] {
            length(&mut out, u64::from(count));
        }
        for entry in entries {
            text(&mut out, &entry.username);
        }
        length(&mut out, known.texts.len() as u64);
        for (known, name, value) in &known.texts {
            push_name(&mut out, *known, name);
            text(&mut out, value);
        }
        length(&mut out, known.numbers.len() as u64);
        for (known, name, value) in &known.numbers {
            push_name(&mut out, *known, name);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Packed {
            bytes: out.into(),
            players: u8::try_from(entries.len()).expect("a team is small"),
            has_party: party.is_some(),
        }
    }

    fn array(&self, at: usize) -> &[u8; ID] {
        self.bytes[at..].first_chunk().expect("it was packed whole")
    }

    pub(super) fn id(&self) -> TicketId {
        TicketId::from_bytes(*self.array(0))
    }

    pub(super) fn party(&self) -> Option<PartyId> {
        self.has_party.then(|| PartyId::from_bytes(*self.array(ID)))
    }

    fn heads(&self) -> usize {
        if self.has_party { 2 * ID } else { ID }
    }

    /// Each player's user and session.
    pub(super) fn players(&self) -> impl Iterator<Item = (UserId, SessionId)> + '_ {
        let ids = &self.bytes[self.heads()..][..usize::from(self.players) * 2 * ID];
        let (ids, _) = ids.as_chunks::<ID>();
        ids.chunks_exact(2)
            .map(|pair| (UserId::from_bytes(pair[0]), SessionId::from_bytes(pair[1])))
    }

    pub(super) fn ticket(&self, names: &Names) -> Ticket {
        let players = usize::from(self.players);
        let mut rest = Rest(&self.bytes[self.heads() + players * 2 * ID..]);
        let created = UnixTime(rest.length());
        let [min, max, multiple] = [(); 3].map(|()| i32::try_from(rest.length()).expect("small"));
        let counts = Counts::new(min, max, Some(multiple)).expect("they were good");
        let mut entries = Vec::with_capacity(players);
        for (user_id, session_id) in self.players() {
            entries.push(Presence { user_id, session_id, username: rest.text().into() });
        }
        let texts = 0..rest.length();
        let texts = texts.map(|_| (rest.name(names, &entries), rest.text().into()));
        let string_properties: BTreeMap<_, _> = texts.collect();
        let numbers = 0..rest.length();
        let numbers =
            numbers.map(|_| (rest.name(names, &entries), f64::from_le_bytes(rest.array())));
        let numeric_properties = numbers.collect();
        let (id, party) = (self.id(), self.party());
        Ticket { id, entries, party, counts, string_properties, numeric_properties, created }
    }
}

/// Bytes that are enough for most tickets; names and texts of up to 127 bytes have a length of one.
fn room_for(ticket: &Ticket, known: &Known<'_>) -> usize {
    let players = ticket.entries.iter().map(|entry| 2 * ID + 1 + entry.username.len());
    let name = |known: &Name, name: &str| match known.number {
        Name::OTHER => 2 + name.len(),
        _ if known.owner == Name::ALL => 1,
        _ => 2,
    };
    let texts = known.texts.iter().map(|(known, own, text)| name(known, own) + 1 + text.len());
    let numbers = known.numbers.iter().map(|(known, own, _)| name(known, own) + 8);
    let created = (u64::BITS - ticket.created.0.leading_zeros()).div_ceil(7).max(1) as usize;
    let heads = if ticket.party.is_some() { 2 * ID } else { ID };
    // Counts below 128 are a byte each, and so are the numbers of properties.
    heads + players.sum::<usize>() + texts.sum::<usize>() + numbers.sum::<usize>() + created + 5
}

/// Of a player's own property: its number, and the player's index follows.
const OWN: u8 = 128;

/// 0, and the name; or its number, from 1 on.
fn push_name(out: &mut Vec<u8>, known: Name, name: &str) {
    match known {
        Name { number: Name::OTHER, .. } => {
            out.push(0);
            text(out, name);
        }
        Name { number, owner: Name::ALL } => out.push(number + 1),
        Name { number, owner } => out.extend_from_slice(&[OWN | (number + 1), owner]),
    }
}

/// Seven bits in each byte, the last one first; the eighth says that there are more.
#[expect(clippy::cast_possible_truncation, reason = "seven bits")]
fn length(out: &mut Vec<u8>, mut length: u64) {
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.0.split_first_chunk().expect("it was packed whole");
        self.0 = rest;
        *array
    }

    fn length(&mut self) -> u64 {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let [byte] = self.array();
            length |= u64::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        length
    }

    fn text(&mut self) -> &'a str {
        let length = usize::try_from(self.length()).expect("it was the length of a text");
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        str::from_utf8(text).expect("it was a text")
    }

    fn name(&mut self, names: &Names, players: &[Presence]) -> String {
        match self.array() {
            [0] => self.text().into(),
            [number] if number & OWN == 0 => names.text(number - 1).into(),
            [number] => {
                let [owner] = self.array();
                let user = text_of(players[usize::from(owner)].user_id);
                let user = str::from_utf8(&user).expect("digits and dashes");
                [names.text(number - OWN - 1), "@", user].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Definition;

    #[test]
    fn a_ticket_comes_back_as_it_was() {
        let names = Names::new(&Definition::new("duel", 5));
        let packed = |ticket: &Ticket| Packed::new(ticket, &Known::new(&names, ticket));
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
            numeric_properties: [("rating".into(), -0.5), ("rating@".into(), 1.0)].into(),
            created: UnixTime(u64::MAX),
        };
        assert_eq!(packed(&ticket).ticket(&names), ticket);
        ticket.created = UnixTime(300);
        ticket.string_properties = [("queue".into(), "duel".into())].into();
        let known = Known::new(&names, &ticket);
        assert_eq!(packed(&ticket).bytes.len(), room_for(&ticket, &known));
        ticket.entries.push(presence(9));
        ticket.party = Some(PartyId::from_bytes([3; 16]));
        ticket.string_properties.clear();
        for number in [1, 8, 9] {
            let user = UserId::from_bytes([number; 16]);
            ticket.string_properties.insert(format!("roles@{user}"), "top".into());
            ticket.numeric_properties.insert(format!("rating@{user}"), 0.5);
        }
        let packed = packed(&ticket);
        assert_eq!(packed.ticket(&names), ticket);
        let ids = ticket.entries.iter().map(|entry| (entry.user_id, entry.session_id));
        assert!(packed.players().eq(ids));
        assert_eq!((packed.id(), packed.party()), (ticket.id, ticket.party));
    }
}
