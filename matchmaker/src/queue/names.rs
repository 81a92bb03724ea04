//! The names of the properties that a queue knows, as small numbers; and what a ticket says under
//! them.

use std::collections::BTreeMap;

use base::UserId;

use super::definition::Definition;
use crate::ticket::Ticket;

#[derive(Debug)]
pub(super) struct Names(Box<[Box<str>]>);

pub(super) const RATING: u8 = 0;
pub(super) const DEVIATION: u8 = 1;
pub(super) const ROLES: u8 = 2;
pub(super) const BLOCKED: u8 = 3;
/// Of latencies the first one; attributes follow them.
const REGIONS: u8 = 5;
const ALWAYS: [&str; REGIONS as usize] =
    ["rating", "rating_deviation", "roles", "blocked", "queue"];

/// The name of a property: its number, and of which player it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// [`Name::OTHER`]: the queue does not know it.
    pub(super) number: u8,
    /// [`Name::ALL`], or the index of a player: that stands behind the name as `@user`.
    pub(super) owner: u8,
}

impl Name {
    pub(super) const OTHER: u8 = u8::MAX;
    pub(super) const ALL: u8 = u8::MAX;
}

/// Bytes of a user's id as a text.
const USER: usize = 36;

impl Names {
    pub(super) fn new(definition: &Definition) -> Names {
        let always = ALWAYS.iter().map(|name| (*name).into());
        let latencies = definition.regions.iter().map(|region| format!("latency.{region}").into());
        let attributes = definition.attributes.iter().map(|attribute| attribute.name.as_str());
        Names(always.chain(latencies).chain(attributes.map(Box::from)).collect())
    }

    /// The number of the latency to a region.
    pub(super) fn latency(region: usize) -> u8 {
        REGIONS + u8::try_from(region).expect("there are few regions")
    }

    /// The number of an attribute of this definition.
    pub(super) fn attribute(definition: &Definition, attribute: usize) -> u8 {
        Names::latency(definition.regions.len() + attribute)
    }

    pub(super) fn text(&self, number: u8) -> &str {
        &self.0[usize::from(number)]
    }

    fn find(&self, name: &str) -> Option<u8> {
        let place = self.0.iter().position(|known| **known == *name)?;
        u8::try_from(place).ok()
    }

    fn name(&self, users: &[[u8; USER]], name: &str) -> Name {
        if let Some((rest, user)) = name.as_bytes().split_last_chunk::<USER>()
            && rest.last() == Some(&b'@')
            && let Some(owner) = users.iter().position(|known| known == user)
            && let Some(number) = self.find(&name[..rest.len() - 1])
        {
            return Name { number, owner: u8::try_from(owner).expect("a party is small") };
        }
        Name { number: self.find(name).unwrap_or(Name::OTHER), owner: Name::ALL }
    }
}

/// The properties of a ticket, in the order of their names: its name as the queue knows it, and as
/// it is; and the value.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) texts: Vec<(Name, &'a str, &'a str)>,
    pub(super) numbers: Vec<(Name, &'a str, f64)>,
}

impl<'a> Known<'a> {
    /// Only the players of a party have properties of their own.
    pub(super) fn new(names: &Names, ticket: &'a Ticket) -> Known<'a> {
        let is_party = ticket.party.is_some() || ticket.entries.len() > 1;
        let players = if is_party { &ticket.entries[..] } else { &[] };
        let users: Vec<_> = players.iter().map(|player| text_of(player.user_id)).collect();
        Known {
            texts: listed(names, &users, &ticket.string_properties, String::as_str),
            numbers: listed(names, &users, &ticket.numeric_properties, |number| *number),
        }
    }

    /// What holds for a player, or for all of them.
    pub(super) fn number(&self, number: u8, owner: u8) -> Option<f64> {
        find(&self.numbers, number, owner)
    }

    pub(super) fn text(&self, number: u8, owner: u8) -> Option<&'a str> {
        find(&self.texts, number, owner)
    }
}

fn listed<'a, T, V>(
    names: &Names,
    users: &[[u8; USER]],
    properties: &'a BTreeMap<String, T>,
    value: impl Fn(&'a T) -> V,
) -> Vec<(Name, &'a str, V)> {
    let mut listed = Vec::with_capacity(properties.len());
    for (name, property) in properties {
        listed.push((names.name(users, name), name.as_str(), value(property)));
    }
    listed
}

fn find<V: Copy>(listed: &[(Name, &str, V)], number: u8, owner: u8) -> Option<V> {
    let of = |owner: u8| {
        let found = listed.iter().find(|(name, ..)| *name == Name { number, owner });
        found.map(|(.., value)| *value)
    };
    let own = if owner == Name::ALL { None } else { of(owner) };
    own.or_else(|| of(Name::ALL))
}

/// An id as it stands in the name of a property.
pub(super) fn text_of(user: UserId) -> [u8; USER] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; USER];
    let mut at = 0;
    for (index, byte) in user.as_bytes().iter().enumerate() {
        at += usize::from(matches!(index, 4 | 6 | 8 | 10)); // the dashes
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    #[test]
    fn ids_are_written_as_ever() {
        let mut rng = Rng::from_seed([1; 32]);
        for _ in 0..100 {
            let user = UserId::random(&mut rng);
            assert_eq!(text_of(user), *user.to_string().as_bytes());
        }
    }
}
