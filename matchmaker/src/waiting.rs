//! A ticket that waits, in few bytes.

use base::{PartyId, SessionId, TicketId, UnixTime, UserId};

use crate::group::GroupId;
use crate::plans::PlanId;
use crate::row::{self, Row};
use crate::terms::Terms;
use crate::ticket::{Counts, Presence, Ticket};

/// A stored ticket. What is looked at rarely, or together, is in words: the row of its properties;
/// its id; that of its party, if it has one; the ids of the sessions; those of the users; of each
/// username its length in bytes, and these. An id is four words.
#[derive(Debug)]
pub(crate) struct Waiting {
    words: Box<[u32]>,
    /// Tells it from those that had its slot before.
    pub(crate) created: u64,
    pub(crate) counts: Counts,
    /// Twice the words of the row; one more if it has a party.
    row: u16,
    /// Players.
    size: u32,
    pub(crate) plan: PlanId,
    /// Passes in which it searched.
    pub(crate) intervals: u32,
    /// Those who search with it, in immediate mode, once it searches.
    pub(crate) group: Option<GroupId>,
}

const ID: usize = 4;

impl Waiting {
    /// `words` is empty, and is a ticket's words after the call.
    pub(crate) fn new(
        ticket: &Ticket,
        created: u64,
        plan: PlanId,
        terms: &mut Terms,
        words: &mut Vec<u32>,
    ) -> Waiting {
        row::pack(&ticket.string_properties, &ticket.numeric_properties, terms, words);
        let row = 2 * words.len() + usize::from(ticket.party.is_some());
        let row = u16::try_from(row).expect("there are few properties");
        push_id(words, ticket.id.as_bytes());
        if let Some(party) = ticket.party {
            push_id(words, party.as_bytes());
        }
        for entry in &ticket.entries {
            push_id(words, entry.session_id.as_bytes());
        }
        for entry in &ticket.entries {
            push_id(words, entry.user_id.as_bytes());
        }
        for entry in &ticket.entries {
            push_text(words, &entry.username);
        }
        let size = ticket.entries.len();
        Waiting {
            words: words.as_slice().into(),
            created,
            counts: ticket.counts,
            row,
            size: u32::try_from(size).expect("a ticket has fewer players than a message bytes"),
            plan,
            intervals: 0,
            group: None,
        }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        Row(&self.words[..usize::from(self.row / 2)])
    }

    pub(crate) fn id(&self) -> TicketId {
        TicketId::from_bytes(id_of(&self.words[usize::from(self.row / 2)..]))
    }

    pub(crate) fn first_word(&self) -> u32 {
        self.words[0]
    }

    fn has_party(&self) -> bool {
        self.row % 2 == 1
    }

    pub(crate) fn party(&self) -> Option<PartyId> {
        let words = &self.words[usize::from(self.row / 2) + ID..];
        self.has_party().then(|| PartyId::from_bytes(id_of(words)))
    }

    pub(crate) fn shares_party(&self, other: &Waiting) -> bool {
        self.has_party() && self.party() == other.party()
    }

    /// Players.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The words from the ids of the sessions on.
    fn players(&self) -> &[u32] {
        let ids = if self.has_party() { 2 * ID } else { ID };
        &self.words[usize::from(self.row / 2) + ids..]
    }

    /// All of them differ.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let ids = self.players()[..self.size as usize * ID].chunks_exact(ID);
        ids.map(|id| SessionId::from_bytes(id_of(id)))
    }

    pub(crate) fn has_session(&self, session: SessionId) -> bool {
        self.sessions().any(|other| other == session)
    }

    pub(crate) fn shares_session(&self, other: &Waiting) -> bool {
        self.sessions().any(|session| other.has_session(session))
    }

    fn presences(&self) -> Vec<Presence> {
        let count = self.size as usize;
        let (users, mut names) = self.players()[count * ID..].split_at(count * ID);
        let players = self.sessions().zip(users.chunks_exact(ID));
        let presences = players.map(|(session_id, user)| Presence {
            user_id: UserId::from_bytes(id_of(user)),
            session_id,
            username: pop_text(&mut names).into(),
        });
        presences.collect()
    }

    /// The ticket as it was added.
    pub(crate) fn ticket(&self, terms: &Terms) -> Ticket {
        let (string_properties, numeric_properties) = row::unpack(self.row(), terms);
        Ticket {
            id: self.id(),
            entries: self.presences(),
            party: self.party(),
            counts: self.counts,
            string_properties,
            numeric_properties,
            created: UnixTime(self.created),
        }
    }
}

fn push_id(words: &mut Vec<u32>, id: &[u8; 16]) {
    push_bytes(words, id);
}

fn push_bytes(words: &mut Vec<u32>, bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<4>();
    words.extend(whole.iter().map(|bytes| u32::from_le_bytes(*bytes)));
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        words.push(u32::from_le_bytes(last));
    }
}

fn push_text(words: &mut Vec<u32>, text: &str) {
    words.push(u32::try_from(text.len()).expect("a text is smaller than a message"));
    push_bytes(words, text.as_bytes());
}

fn id_of(words: &[u32]) -> [u8; 16] {
    let mut id = [0; 16];
    for (bytes, word) in id.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    id
}

fn pop_text(words: &mut &[u32]) -> String {
    let (length, rest) = words.split_first().expect("there is a text for each player");
    let length = *length as usize;
    let (text, rest) = rest.split_at(length.div_ceil(4));
    *words = rest;
    let mut bytes: Vec<u8> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(length);
    String::from_utf8(bytes).expect("it was a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_short_and_comes_back_as_it_was() {
        assert!(size_of::<Waiting>() <= 48);
        let mut terms = Terms::new(1, "n");
        for (party, names) in [(None, vec!["ann"]), (Some(7), vec!["", "größe", "four", "ben"])] {
            let entries = (0..).zip(names).map(|(number, name)| Presence {
                user_id: UserId::from_bytes([number; 16]),
                session_id: SessionId::from_bytes([number + 100; 16]),
                username: name.into(),
            });
            let ticket = Ticket {
                id: TicketId::from_bytes([1; 16]),
                entries: entries.collect(),
                party: party.map(|number| PartyId::from_bytes([number; 16])),
                counts: Counts::new(2, 4, Some(2)).expect("good counts"),
                string_properties: [("a".to_owned(), "b".to_owned())].into(),
                numeric_properties: [("n".to_owned(), -1.5)].into(),
                created: UnixTime(9),
            };
            let mut words = Vec::new();
            let waiting = Waiting::new(&ticket, 9, PlanId(0), &mut terms, &mut words);
            assert_eq!(waiting.ticket(&terms), ticket);
            let sessions = ticket.entries.iter().map(|entry| entry.session_id);
            assert!(waiting.sessions().eq(sessions));
        }
    }
}
