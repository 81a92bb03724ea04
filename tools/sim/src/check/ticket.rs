//! Tickets: each in at most one match, and within its counts.

use std::collections::{BTreeMap, BTreeSet};

use base::json::Json;

use super::{list, member, session, text};

/// What a ticket asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub min: u32,
    pub max: u32,
    pub multiple: u32,
}

impl Wish {
    fn accepts(self, size: u32) -> bool {
        (self.min..=self.max).contains(&size) && size.is_multiple_of(self.multiple)
    }
}

/// The tickets of one run of the process.
#[derive(Debug, Default)]
pub struct Tickets {
    wishes: BTreeMap<String, Wish>,
    over: BTreeSet<String>,
    /// Of tickets of parties: who was told of them, and who plays by them.
    told: BTreeMap<String, BTreeSet<String>>,
    found: BTreeMap<String, BTreeSet<String>>,
    /// Whether there may be tickets that nobody was told of: their question was given up.
    has_unknown: bool,
    /// Players, and how many of them were told, by the token of the match.
    matches: BTreeMap<String, (BTreeSet<String>, usize)>,
}

impl Tickets {
    pub fn add(&mut self, ticket: &str, wish: Wish) {
        let before = self.wishes.insert(ticket.to_owned(), wish);
        assert!(before.is_none(), "a ticket has an id of its own");
    }

    /// A member hears of the ticket of its party.
    pub fn tell(&mut self, ticket: &str, me: Option<&str>) {
        self.told.entry(ticket.to_owned()).or_default().extend(me.map(str::to_owned));
        self.invariant_all_play(ticket);
    }

    /// Whoever was told of a party's ticket is in its match.
    fn invariant_all_play(&self, ticket: &str) {
        if let (Some(told), Some(found)) = (self.told.get(ticket), self.found.get(ticket)) {
            assert!(told.is_subset(found), "a party plays together: {told:?}, {found:?}");
        }
    }

    pub fn doubt(&mut self) {
        self.has_unknown = true;
    }

    pub fn remove(&mut self, ticket: &str) {
        assert!(self.over.insert(ticket.to_owned()), "a ticket is matched or removed, never both");
    }

    /// A ticket is in at most one match, whose size it wished for, and all players are told of the
    /// same match.
    pub fn invariant_matched(&mut self, me: Option<&str>, matched: &Json) {
        let ticket = text(matched, "ticket").expect("a match is found for a ticket");
        let wish = self.wishes.get(ticket).copied();
        let is_known = wish.is_some() || self.told.contains_key(ticket) || self.has_unknown;
        assert!(is_known, "a ticket is known before it is matched");
        let presence = |user: &Json| session(member(user, "presence").expect("a presence"));
        let users = list(matched, "users");
        let players: BTreeSet<_> = users.iter().map(presence).collect();
        assert_eq!(players.len(), users.len(), "a player is in a match once");
        let size = u32::try_from(players.len()).expect("few players");
        assert!(
            wish.is_none_or(|wish| wish.accepts(size)),
            "a match has a size that each ticket wished for: {wish:?}, {size}"
        );
        let own = presence(member(matched, "self").expect("oneself"));
        assert!(players.contains(&own), "a player is in the match");
        let mut once = ticket.to_owned();
        if text(matched, "self/party_id").is_some() {
            assert!(!self.over.contains(ticket), "a ticket is matched or removed, never both");
            self.found.insert(ticket.to_owned(), players.clone());
            self.invariant_all_play(ticket);
            once = format!("{ticket} of {own}");
        }
        assert!(self.over.insert(once), "a ticket is matched once: {ticket}");
        assert!(me.is_none_or(|me| me == own), "a player is told of its own ticket");
        let token = text(matched, "token").expect("a match has a token").to_owned();
        let known = self.matches.entry(token).or_insert_with(|| (players.clone(), 0));
        assert_eq!(known.0, players, "all players are told of the same match");
        known.1 += 1;
        assert!(known.1 <= known.0.len(), "each player is told once");
    }

    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.wishes.keys().map(String::as_str)
    }
}
