//! A ticket as its queue reads it: what its properties say about ratings, roles, regions and the
//! rest.

use std::fmt;

use base::UserId;

use super::definition::{DEVIATION_MAX, Definition, Rule, is_rating};
use super::names::{BLOCKED, DEVIATION, Known, Name, Names, RATING, ROLES};
use super::packed::Packed;
use super::roles::RoleList;
use crate::ticket::Ticket;

/// Users that one player blocks.
const BLOCKED_MAX: usize = 100;

/// Milliseconds; more is told as this.
const LATENCY_MAX: f64 = 60_000.0;

/// A region that a ticket never accepts.
pub(super) const UNREACHABLE: u16 = u16::MAX;

/// Ratings are kept in sixteenths of a point.
pub(super) const FINE: f64 = 16.0;

/// Which property of a ticket its queue cannot take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Empty: it is the ticket as a whole.
    pub property: String,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    PartySize,
    Rating,
    Deviation,
    Role,
    User,
    TooManyBlocked,
    Latency,
    NoLatency,
    Text,
    Number,
    Value,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.property.is_empty() {
            write!(f, "{}: ", self.property)?;
        }
        f.write_str(match self.why {
            Why::PartySize => "The queue takes no parties of this size.",
            Why::Rating => "A rating is a number from -1000000 to 1000000.",
            Why::Deviation => "A deviation is a number from 0 to 10000.",
            Why::Role => "The queue has no such role.",
            Why::User => "User ids are needed, separated by commas.",
            Why::TooManyBlocked => "A player can block 100 others.",
            Why::Latency => "A latency is a number of milliseconds, 0 or more.",
            Why::NoLatency => "Every player has to bring a latency to one of the queue's regions.",
            Why::Text => "A text is needed.",
            Why::Number => "A number is needed.",
            Why::Value => "The queue has no such value.",
        })
    }
}

/// One player, as the queue sees them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Player {
    /// In sixteenths of a point.
    pub(super) rating: i32,
    /// In points.
    pub(super) deviation: f32,
    pub(super) roles: RoleList,
}

/// A ticket, and what decides whom it can play with.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) packed: Packed,
    pub(super) players: Box<[Player]>,
    /// The attributes that have to be equal.
    pub(super) key: Vec<u8>,
    /// By region: milliseconds by which it is farther than the player's own best, of the player for
    /// whom that is the most.
    pub(super) farness: Box<[u16]>,
    pub(super) rare: Rare,
}

/// What many queues do not ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rare {
    pub(super) blocked: Box<[UserId]>,
    /// Of the attributes with a distance, in their order; not a number where there is none.
    pub(super) numbers: Box<[f64]>,
    /// Of the attributes that have to share a value: a bit for each.
    pub(super) sets: Box<[u64]>,
}

impl Entrant {
    pub(super) fn read(
        definition: &Definition,
        names: &Names,
        ticket: &Ticket,
    ) -> Result<Entrant, Unfit> {
        if !definition.party_sizes.contains(&ticket.entries.len()) {
            return Err(Unfit { property: String::new(), why: Why::PartySize });
        }
        let known = Known::new(names, ticket);
        let mut players = Vec::with_capacity(ticket.entries.len());
        let mut blocked = Vec::new();
        let mut farness = vec![0; definition.regions.len()];
        let mut latencies = Vec::with_capacity(farness.len());
        for entry in &ticket.entries {
            let owner = match ticket.entries.len() {
                1 if ticket.party.is_none() => Name::ALL,
                _ => {
                    let mut entries = ticket.entries.iter();
                    let place = entries.position(|other| other.user_id == entry.user_id);
                    place.and_then(|place| u8::try_from(place).ok()).expect("a party is small")
                }
            };
            let of = Of { known: &known, owner };
            players.push(of.player(definition)?);
            of.blocked(&mut blocked)?;
            latencies.clear();
            of.farness(definition, &mut latencies, &mut farness)?;
        }
        if !farness.is_empty() && farness.iter().all(|far| *far == UNREACHABLE) {
            return Err(Unfit { property: "latency".into(), why: Why::NoLatency });
        }
        blocked.sort_unstable();
        blocked.dedup();
        let mut entrant = Entrant {
            packed: Packed::new(ticket, &known),
            players: players.into(),
            key: Vec::new(),
            farness: farness.into(),
            rare: Rare { blocked: blocked.into(), ..Rare::default() },
        };
        entrant.attributes(definition, &known)?;
        Ok(entrant)
    }

    /// What decides who can join a running match.
    pub(super) fn of_backfill(
        definition: &Definition,
        names: &Names,
        like: &Ticket,
        region: Option<usize>,
    ) -> Result<Entrant, Unfit> {
        let known = Known::new(names, like);
        let mut farness = vec![UNREACHABLE; definition.regions.len()];
        if let Some(far) = region.and_then(|region| farness.get_mut(region)) {
            *far = 0;
        }
        let mut entrant = Entrant {
            packed: Packed::new(like, &known),
            players: [].into(),
            key: Vec::new(),
            farness: farness.into(),
            rare: Rare::default(),
        };
        entrant.attributes(definition, &known)?;
        Ok(entrant)
    }

    fn attributes(&mut self, definition: &Definition, known: &Known<'_>) -> Result<(), Unfit> {
        let (mut key, mut numbers, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        for (place, attribute) in definition.attributes.iter().enumerate() {
            let unfit = |why| Unfit { property: attribute.name.clone(), why };
            let name = Names::attribute(definition, place);
            let number = known.number(name, Name::ALL);
            let text = known.text(name, Name::ALL);
            match &attribute.rule {
                // A number has eight bytes and no length, a text its length in four.
                Rule::Equal => match (number, text) {
                    (Some(number), _) => {
                        key.push(1);
                        // The two zeros are equal.
                        key.extend((number + 0.0).to_bits().to_be_bytes());
                    }
                    (None, Some(text)) => {
                        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                        key.push(2);
                        key.extend(length.to_be_bytes());
                        key.extend(text.as_bytes());
                    }
                    (None, None) => key.push(0),
                },
                Rule::Distance(_) => match (number, text) {
                    (Some(number), _) => numbers.push(number),
                    (None, Some(_)) => return Err(unfit(Why::Number)),
                    (None, None) => numbers.push(f64::NAN),
                },
                Rule::Intersect(values) => {
                    if number.is_some() {
                        return Err(unfit(Why::Text));
                    }
                    let mut set = 0;
                    for value in listed(text.unwrap_or("")) {
                        let place = values.iter().position(|known| known == value);
                        set |= 1 << place.ok_or_else(|| unfit(Why::Value))?;
                    }
                    sets.push(if set == 0 { u64::MAX } else { set });
                }
            }
        }
        self.key = key;
        (self.rare.numbers, self.rare.sets) = (numbers.into(), sets.into());
        Ok(())
    }

    /// The mean of the players, in sixteenths of a point.
    pub(super) fn rating(&self) -> i32 {
        let sum: i64 = self.players.iter().map(|player| i64::from(player.rating)).sum();
        let count = i64::try_from(self.players.len()).expect("a party is small");
        i32::try_from(sum / count).expect("a mean is no larger than the largest")
    }

    #[expect(clippy::cast_precision_loss, reason = "a party is small")]
    pub(super) fn deviation(&self) -> f64 {
        let deviations = self.players.iter().map(|player| f64::from(player.deviation));
        deviations.sum::<f64>() / self.players.len() as f64
    }
}

/// A number of rating points in sixteenths; infinite ones stay out of reach.
#[expect(clippy::cast_possible_truncation, reason = "it is clamped")]
pub(super) fn fine(points: f64) -> i32 {
    (points * FINE).round().clamp(-1e9, 1e9) as i32
}

/// One player's properties: `name@user` in a party, or else `name`, which holds for all of it.
struct Of<'a> {
    known: &'a Known<'a>,
    owner: u8,
}

impl Of<'_> {
    fn number(&self, name: u8) -> Option<f64> {
        self.known.number(name, self.owner)
    }

    fn text(&self, name: u8) -> &str {
        self.known.text(name, self.owner).unwrap_or("")
    }

    fn player(&self, definition: &Definition) -> Result<Player, Unfit> {
        let unfit = |property: &str, why| Unfit { property: property.into(), why };
        let rating = self.number(RATING).unwrap_or(definition.rating.default);
        if !is_rating(rating) {
            return Err(unfit("rating", Why::Rating));
        }
        let deviation = self.number(DEVIATION);
        let deviation = deviation.unwrap_or(definition.rating.default_deviation);
        if !(0.0..=DEVIATION_MAX).contains(&deviation) {
            return Err(unfit("rating_deviation", Why::Deviation));
        }
        let mut roles = RoleList::default();
        for name in listed(self.text(ROLES)) {
            let place = definition.roles.iter().position(|role| role.name == name);
            roles.push(place.ok_or_else(|| unfit("roles", Why::Role))?);
        }
        #[expect(clippy::cast_possible_truncation, reason = "six digits are enough")]
        let deviation = deviation as f32;
        Ok(Player { rating: fine(rating), deviation, roles })
    }

    fn blocked(&self, blocked: &mut Vec<UserId>) -> Result<(), Unfit> {
        let unfit = |why| Unfit { property: "blocked".into(), why };
        let texts = listed(self.text(BLOCKED));
        for (count, text) in texts.enumerate() {
            if count >= BLOCKED_MAX {
                return Err(unfit(Why::TooManyBlocked));
            }
            blocked.push(UserId::parse(text).ok_or_else(|| unfit(Why::User))?);
        }
        Ok(())
    }

    /// Raises what is known of the party by this player. `latencies` is empty.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    fn farness(
        &self,
        definition: &Definition,
        latencies: &mut Vec<Option<f64>>,
        farness: &mut [u16],
    ) -> Result<(), Unfit> {
        for (place, region) in definition.regions.iter().enumerate() {
            let latency = self.number(Names::latency(place));
            if latency.is_some_and(|latency| latency.is_nan() || latency < 0.0) {
                let property = format!("latency.{region}");
                return Err(Unfit { property, why: Why::Latency });
            }
            latencies.push(latency.map(|latency| latency.min(LATENCY_MAX)));
        }
        let best = latencies.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        for (far, latency) in farness.iter_mut().zip(latencies) {
            let own = latency.map_or(UNREACHABLE, |latency| (latency - best).ceil() as u16);
            *far = own.max(*far);
        }
        Ok(())
    }
}

/// The parts of a list with commas.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}
