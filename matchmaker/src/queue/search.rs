//! A match is looked for around one ticket, the anchor, in one of its regions.
//!
//! Tickets that fit the anchor are gathered: those that are overdue first, then those nearest in
//! rating. Of these a match is chosen, the oldest first: a ticket is left out only where no match
//! was found with it.

use super::balance::{Split, Unit, balance};
use super::definition::{ATTRIBUTES_MAX, Definition};
use super::entrant::{FINE, UNREACHABLE};
use super::roles::{Seats, Wish};
use super::room::{Hot, Room, Slot, Walk};

/// Tickets that a search looks at, unless it is thorough.
const LOOK: usize = 128;
/// Tickets that have waited longest, which every search looks at first.
pub(super) const OVERDUE_LOOK: usize = 32;
/// Tickets that a match is chosen of.
const KEPT_MAX: usize = 128;
/// Choices that are followed, and sets of tickets that are dealt out to teams.
const CHOICES: usize = 512;
const DEALT: usize = 8;

/// What dealing out a set costs, in tickets looked at.
const DEAL_COST: usize = 64;

#[derive(Debug)]
pub(super) struct Search {
    anchor: Slot,
    region: usize,
    is_thorough: bool,
    walk: Option<Walk>,
    looked: usize,
    /// With their orders: who is found may leave before a match is chosen.
    found: Vec<(u64, Slot)>,
    /// How many of each kind were found: of the same size, who take the same roles.
    kinds: Vec<((u8, u64), usize)>,
}

/// A match, and where it is played.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) slots: Vec<Slot>,
    pub(super) split: Split,
    pub(super) region: usize,
    pub(super) quality: f64,
    /// By attribute that has to share a value: those shared.
    pub(super) sets: Vec<u64>,
}

#[derive(Debug)]
pub(super) enum Step {
    Going,
    None,
    Found(Box<Found>),
}

/// What a queue asks of every match.
#[derive(Debug)]
pub(super) struct Terms {
    /// Sizes of the teams, most players first.
    shapes: Vec<Vec<usize>>,
    slots: Vec<usize>,
    /// The players of the smallest match.
    least: usize,
    most: usize,
    widest: f64,
    farthest: f64,
}

impl Terms {
    pub(super) fn new(definition: &Definition) -> Terms {
        let shapes = definition.shapes();
        let players = |shape: &Vec<usize>| shape.iter().sum::<usize>();
        let (first, last) = (shapes.first(), shapes.last());
        let stages = definition.stages();
        let last_stage = stages.last();
        Terms {
            slots: definition.roles.iter().map(|role| role.slots).collect(),
            least: last.map_or(0, players),
            most: first.map_or(0, players),
            widest: last_stage.map_or(0.0, |stage| stage.window),
            farthest: last_stage.map_or(0.0, |stage| stage.latency),
            shapes,
        }
    }
}

impl Search {
    pub(super) fn new(anchor: Slot, region: usize, is_thorough: bool) -> Search {
        Search {
            anchor,
            region,
            is_thorough,
            walk: None,
            looked: 0,
            found: Vec::new(),
            kinds: Vec::new(),
        }
    }

    /// Whether there may be enough players, and enough for each role.
    pub(super) fn could_fill(terms: &Terms, room: &Room, anchor: &Hot, region: usize) -> bool {
        let cell = room.cell(anchor.group, region);
        let is_smaller = room.stage(anchor).smaller;
        let least = if is_smaller { terms.least } else { terms.most };
        let teams = terms.shapes.first().map_or(0, Vec::len);
        let has_roles = |(slots, supply): (&usize, &u32)| *supply as usize >= slots * teams;
        cell.players >= least && (is_smaller || terms.slots.iter().zip(&cell.supply).all(has_roles))
    }

    /// Goes on until `budget` is used up.
    pub(super) fn step(&mut self, terms: &Terms, room: &Room, budget: &mut usize) -> Step {
        let anchor = room.hot(self.anchor);
        let cell = room.cell(anchor.group, self.region);
        let mut walk = match self.walk.take() {
            Some(walk) => walk,
            None => {
                for slot in cell.overdue(OVERDUE_LOOK) {
                    *budget = budget.saturating_sub(1);
                    if slot != self.anchor && room.fits(self.anchor, slot) {
                        self.found.push((room.hot(slot).order, slot));
                    }
                }
                Walk::new(cell, anchor, self.anchor)
            }
        };
        let mut near = Vec::with_capacity(16);
        loop {
            let is_enough = self.found.len() >= KEPT_MAX
                || (!self.is_thorough && self.looked >= LOOK)
                || walk.is_over();
            if is_enough {
                return self.choose(terms, room, budget);
            }
            if *budget == 0 {
                self.walk = Some(walk);
                return Step::Going;
            }
            near.clear();
            walk.next(cell, 16, &mut near);
            self.looked += near.len();
            *budget = budget.saturating_sub(near.len().max(1));
            for slot in near.drain(..) {
                let hot = room.hot(slot);
                if room.fits(self.anchor, slot) && self.is_wanted(terms, hot, slot) {
                    self.found.push((hot.order, slot));
                }
            }
        }
    }

    /// More of one kind than a match has room for are of no use, but for a few spare ones.
    fn is_wanted(&mut self, terms: &Terms, hot: &Hot, slot: Slot) -> bool {
        let kind = (hot.size, hot.takes);
        let most = terms.most / usize::from(hot.size) + SPARE;
        let known = self.kinds.iter_mut().find(|(known, _)| *known == kind);
        let count = match known {
            Some((_, count)) => count,
            None => {
                self.kinds.push((kind, 0));
                &mut self.kinds.last_mut().expect("just pushed").1
            }
        };
        *count += 1;
        *count <= most && !self.found.contains(&(hot.order, slot))
    }

    fn choose(&mut self, terms: &Terms, room: &Room, budget: &mut usize) -> Step {
        let anchor = room.hot(self.anchor);
        let mut found = std::mem::take(&mut self.found);
        found.sort_unstable();
        let still = |&(order, slot): &(u64, Slot)| {
            (room.still(slot, order).is_some() && room.fits(self.anchor, slot)).then_some(slot)
        };
        let candidates: Vec<_> = found.iter().filter_map(still).collect();
        if !self.could_choose(terms, room, anchor, &candidates) {
            return Step::None;
        }
        let mut choices = CHOICES;
        let mut dealt = DEALT;
        let mut found = None;
        for (place, sizes) in terms.shapes.iter().enumerate() {
            let is_full = place == 0;
            if !is_full && !room.stage(anchor).smaller {
                break;
            }
            let mut choice = Choice::new(terms, room, &candidates, sizes, is_full, self.region);
            (choice.choices, choice.dealt) = (choices, dealt);
            if choice.add(self.anchor) {
                found = choice.extend(0);
            }
            (choices, dealt) = (choice.choices, choice.dealt);
            if found.is_some() || choices == 0 || dealt == 0 {
                break;
            }
        }
        *budget = budget.saturating_sub(CHOICES - choices + (DEALT - dealt) * DEAL_COST);
        found.map_or(Step::None, |found| Step::Found(Box::new(found)))
    }
}

impl Search {
    /// Whether there may be enough players among these, and enough for each role.
    fn could_choose(&self, terms: &Terms, room: &Room, anchor: &Hot, candidates: &[Slot]) -> bool {
        let is_smaller = room.stage(anchor).smaller;
        let least = if is_smaller { terms.least } else { terms.most };
        let hot = || candidates.iter().map(|slot| room.hot(*slot)).chain([anchor]);
        if hot().map(|hot| usize::from(hot.size)).sum::<usize>() < least {
            return false;
        }
        let teams = terms.shapes.first().map_or(0, Vec::len);
        let has_enough = |(role, slots): (usize, &usize)| {
            let (mut players, mut is_many) = (0, false);
            for hot in hot() {
                let takes = hot.takes >> (4 * role) & 15;
                is_many |= takes == 15; // or more
                players += takes;
            }
            is_many || players >= (slots * teams) as u64
        };
        is_smaller || terms.slots.iter().enumerate().all(has_enough)
    }
}

/// Tickets of one kind that are kept beyond those that a match has room for.
const SPARE: usize = 4;

/// Some of the candidates, which fit each other.
struct Choice<'a> {
    terms: &'a Terms,
    room: &'a Room,
    candidates: &'a [Slot],
    /// Players among the candidates from each place on.
    rest: Vec<usize>,
    sizes: &'a [usize],
    is_full: bool,
    region: usize,
    chosen: Vec<Slot>,
    players: usize,
    /// How many players can be in one of two teams: a bit for each number.
    sums: Vec<u128>,
    sets: Vec<[u64; ATTRIBUTES_MAX]>,
    wishes: Vec<Wish>,
    seats: Seats,
    given: Vec<u8>,
    choices: usize,
    dealt: usize,
}

impl<'a> Choice<'a> {
    fn new(
        terms: &'a Terms,
        room: &'a Room,
        candidates: &'a [Slot],
        sizes: &'a [usize],
        is_full: bool,
        region: usize,
    ) -> Choice<'a> {
        let mut rest = vec![0; candidates.len() + 1];
        for (place, slot) in candidates.iter().enumerate().rev() {
            rest[place] = rest[place + 1] + usize::from(room.hot(*slot).size);
        }
        Choice {
            terms,
            room,
            candidates,
            rest,
            sizes,
            is_full,
            region,
            chosen: Vec::with_capacity(16),
            players: 0,
            sums: vec![1],
            sets: vec![[u64::MAX; ATTRIBUTES_MAX]],
            wishes: Vec::with_capacity(16),
            seats: Seats::new(terms.slots.iter().copied(), sizes.len()),
            given: Vec::with_capacity(16),
            choices: 0,
            dealt: 0,
        }
    }

    fn wanted(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Tries the candidates from this place on: with the first of them, then without it.
    fn extend(&mut self, from: usize) -> Option<Found> {
        if self.players == self.wanted() {
            return self.deal();
        }
        for place in from..self.candidates.len() {
            if self.players + self.rest[place] < self.wanted() || self.choices == 0 {
                return None;
            }
            self.choices -= 1;
            let slot = self.candidates[place];
            if self.add(slot) {
                let found = self.extend(place + 1);
                if found.is_some() || self.dealt == 0 {
                    return found;
                }
                self.take_back();
            }
        }
        None
    }

    /// Adds a ticket, if it fits.
    fn add(&mut self, slot: Slot) -> bool {
        let hot = self.room.hot(slot);
        let size = usize::from(hot.size);
        let is_taken = self.is_full || self.room.stage(hot).smaller;
        if self.players + size > self.wanted() || !is_taken {
            return false;
        }
        let sums = self.sums.last().map_or(1, |sums| sums | sums << size);
        // The anchor, the first one, was asked before.
        let fits = |other: &Slot| self.room.fits(slot, *other);
        if !self.can_pack(sums, self.players + size, size) || !self.chosen.iter().skip(1).all(fits)
        {
            return false;
        }
        let mut sets = *self.sets.last().expect("there is a first one");
        for (shared, own) in sets.iter_mut().zip(self.room.waiting(slot).sets()) {
            *shared &= own;
        }
        if sets.contains(&0) {
            return false;
        }
        if !self.terms.slots.is_empty() {
            let before = self.wishes.len();
            for wish in self.room.wishes(slot) {
                self.wishes.push(wish);
                if !self.seats.seat(&self.wishes, &mut self.given) {
                    self.wishes.pop();
                    self.unseat(before);
                    return false;
                }
            }
        }
        self.chosen.push(slot);
        self.players += size;
        self.sums.push(sums);
        self.sets.push(sets);
        true
    }

    /// Whether parties of these sizes can be dealt out to the teams, as far as can be said at once.
    fn can_pack(&self, sums: u128, players: usize, size: usize) -> bool {
        match *self.sizes {
            [first, second] => (players.saturating_sub(second)..=first.min(players))
                .any(|in_first| sums & 1 << in_first != 0),
            ref sizes => sizes.iter().any(|room| size <= *room),
        }
    }

    fn unseat(&mut self, count: usize) {
        while self.wishes.len() > count {
            self.wishes.pop();
            self.seats.unseat(&mut self.given);
        }
    }

    fn take_back(&mut self) {
        let Some(slot) = self.chosen.pop() else { return };
        let size = usize::from(self.room.hot(slot).size);
        self.players -= size;
        self.sums.pop();
        self.sets.pop();
        if !self.terms.slots.is_empty() {
            self.unseat(self.wishes.len() - size);
        }
    }

    /// Deals the chosen ones out to teams, if that gives a match of the quality that all of them
    /// ask for.
    fn deal(&mut self) -> Option<Found> {
        self.dealt = self.dealt.saturating_sub(1);
        let unit = |slot: &Slot| {
            let autofill = self.room.stage(self.room.hot(*slot)).autofill;
            Unit::of(&self.room.waiting(*slot).players, autofill)
        };
        let units: Vec<_> = self.chosen.iter().map(unit).collect();
        let split = balance(&units, self.sizes, &self.terms.slots)?;
        let (region, farness) = self.region();
        let quality = self.quality(&split, farness);
        let floor = self.chosen.iter().map(|slot| self.room.stage(self.room.hot(*slot)).quality);
        let sets = self.sets.last().expect("there is a first one");
        let sets = sets[..self.room.waiting(*self.chosen.first()?).sets().len()].to_vec();
        let slots = self.chosen.clone();
        (quality >= floor.fold(0.0, f64::max)).then_some(Found {
            slots,
            split,
            region,
            quality,
            sets,
        })
    }

    /// The region, of those that all accept, whose worst difference to a player's own best is the
    /// least, and that difference.
    fn region(&self) -> (usize, u16) {
        let accepted = self.chosen.iter().map(|slot| self.room.hot(*slot).regions);
        let accepted = accepted.fold(u32::MAX, |all, regions| all & regions);
        let worst = |region: usize| {
            let farness = |slot: &Slot| self.room.waiting(*slot).farness.get(region).copied();
            self.chosen.iter().filter_map(farness).max().unwrap_or(0)
        };
        let regions = (0..32).filter(|region| accepted & 1 << region != 0);
        let best = regions.map(|region| (worst(region), region)).min();
        best.map_or((self.region, UNREACHABLE), |(farness, region)| (region, farness))
    }

    /// From 0 to 1, the mean of what the queue asks for: equal teams (weight 5), near ratings (2),
    /// roles that players named first (2), near regions (1).
    #[expect(clippy::cast_precision_loss, reason = "there are few players")]
    fn quality(&self, split: &Split, farness: u16) -> f64 {
        let waiting: Vec<_> = self.chosen.iter().map(|slot| self.room.waiting(*slot)).collect();
        let ratings =
            || self.chosen.iter().map(|slot| f64::from(self.room.hot(*slot).rating) / FINE);
        let most = ratings().fold(f64::NEG_INFINITY, f64::max);
        let spread = most - ratings().fold(f64::INFINITY, f64::min);
        let share = |value: f64, most: f64| 1.0 - (value / most.max(f64::MIN_POSITIVE)).min(1.0);
        let mut terms = vec![
            (5.0, 1.0 - (2.0 * split.win_probability - 1.0).abs()),
            (2.0, if spread == 0.0 { 1.0 } else { share(spread, self.terms.widest) }),
        ];
        if !self.terms.slots.is_empty() {
            let roles = self.terms.slots.len() as f64;
            let players = waiting.iter().zip(&split.roles);
            let players = players.flat_map(|(waiting, roles)| waiting.players.iter().zip(roles));
            let liking = |(player, role): (&super::entrant::Player, &u8)| match player
                .roles
                .place(usize::from(*role))
            {
                Some(place) => 1.0 - f64::from(place) / roles,
                None if player.roles.is_empty() => 1.0,
                None => 0.0,
            };
            terms.push((2.0, players.map(liking).sum::<f64>() / self.players as f64));
        }
        if farness != UNREACHABLE && !waiting[0].farness.is_empty() {
            let far = f64::from(farness);
            terms.push((1.0, if far == 0.0 { 1.0 } else { share(far, self.terms.farthest) }));
        }
        let weight: f64 = terms.iter().map(|(weight, _)| weight).sum();
        terms.iter().map(|(weight, value)| weight * value).sum::<f64>() / weight
    }
}
