//! A match is looked for around one ticket, the anchor, in one of its regions.
//!
//! Tickets that fit the anchor are gathered: those that are overdue first, then those nearest in
//! rating. Of these a match is chosen, the oldest first: a ticket is left out only where no match
//! was found with it.

use super::balance::{Split, Unit, balance};
use super::definition::{ATTRIBUTES_MAX, Definition};
use super::entrant::{FINE, UNREACHABLE};
use super::roles::{Seats, Wish};
use super::room::{Hot, Room, Slot, Walk, bits};

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

/// Memory of earlier searches, for the next ones.
#[derive(Debug, Default)]
pub(super) struct Spare {
    found: Vec<(u64, Slot)>,
    kinds: Vec<((u8, u64), usize)>,
    near: Vec<Slot>,
    candidates: Vec<Slot>,
    stacks: Stacks,
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
    pub(super) fn new(anchor: Slot, region: usize, is_thorough: bool, spare: &mut Spare) -> Search {
        Search {
            anchor,
            region,
            is_thorough,
            walk: None,
            looked: 0,
            found: std::mem::take(&mut spare.found),
            kinds: std::mem::take(&mut spare.kinds),
        }
    }

    /// The search is over.
    pub(super) fn give_back(mut self, spare: &mut Spare) {
        self.found.clear();
        self.kinds.clear();
        (spare.found, spare.kinds) = (self.found, self.kinds);
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
    pub(super) fn step(
        &mut self,
        terms: &Terms,
        room: &Room,
        spare: &mut Spare,
        budget: &mut usize,
    ) -> Step {
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
        loop {
            let is_enough = self.found.len() >= KEPT_MAX
                || (!self.is_thorough && self.looked >= LOOK)
                || walk.is_over();
            if is_enough {
                return self.choose(terms, room, spare, budget);
            }
            if *budget == 0 {
                self.walk = Some(walk);
                return Step::Going;
            }
            let near = &mut spare.near;
            near.clear();
            walk.next(cell, 16, near);
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

    fn choose(
        &mut self,
        terms: &Terms,
        room: &Room,
        spare: &mut Spare,
        budget: &mut usize,
    ) -> Step {
        let anchor = room.hot(self.anchor);
        self.found.sort_unstable();
        let still = |&(order, slot): &(u64, Slot)| {
            (room.still(slot, order).is_some() && room.fits(self.anchor, slot)).then_some(slot)
        };
        spare.candidates.clear();
        spare.candidates.extend(self.found.iter().filter_map(still));
        if !self.could_choose(terms, room, anchor, &spare.candidates) {
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
            let mut choice = Choice::new(terms, room, sizes, is_full, self.region, spare);
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

/// What a choice adds to, and takes back.
#[derive(Debug, Default)]
struct Stacks {
    /// Players among the candidates from each place on.
    rest: Vec<usize>,
    chosen: Vec<Slot>,
    /// How many players can be in one of two teams: a bit for each number.
    sums: Vec<u128>,
    sets: Vec<[u64; ATTRIBUTES_MAX]>,
    wishes: Vec<Wish>,
    given: Vec<u8>,
}

/// Some of the candidates, which fit each other.
struct Choice<'a> {
    terms: &'a Terms,
    room: &'a Room,
    candidates: &'a [Slot],
    sizes: &'a [usize],
    is_full: bool,
    region: usize,
    stacks: &'a mut Stacks,
    players: usize,
    seats: Seats,
    choices: usize,
    dealt: usize,
}

impl<'a> Choice<'a> {
    fn new(
        terms: &'a Terms,
        room: &'a Room,
        sizes: &'a [usize],
        is_full: bool,
        region: usize,
        spare: &'a mut Spare,
    ) -> Choice<'a> {
        let Spare { candidates, stacks, .. } = spare;
        let Stacks { rest, chosen, sums, sets, wishes, given } = stacks;
        chosen.clear();
        wishes.clear();
        given.clear();
        sums.clear();
        sums.push(1);
        sets.clear();
        sets.push([u64::MAX; ATTRIBUTES_MAX]);
        rest.clear();
        rest.resize(candidates.len() + 1, 0);
        for (place, slot) in candidates.iter().enumerate().rev() {
            rest[place] = rest[place + 1] + usize::from(room.hot(*slot).size);
        }
        Choice {
            terms,
            room,
            candidates,
            sizes,
            is_full,
            region,
            stacks,
            players: 0,
            seats: Seats::new(terms.slots.iter().copied(), sizes.len()),
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
            if self.players + self.stacks.rest[place] < self.wanted() || self.choices == 0 {
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
        let sums = self.stacks.sums.last().map_or(1, |sums| sums | sums << size);
        // The anchor, the first one, was asked before.
        let fits = |other: &Slot| self.room.fits(slot, *other);
        if !self.can_pack(sums, self.players + size, size)
            || !self.stacks.chosen.iter().skip(1).all(fits)
        {
            return false;
        }
        let mut sets = *self.stacks.sets.last().expect("there is a first one");
        if self.room.has_sets {
            for (shared, own) in sets.iter_mut().zip(self.room.waiting(slot).sets()) {
                *shared &= own;
            }
            if sets.contains(&0) {
                return false;
            }
        }
        if !self.terms.slots.is_empty() {
            let before = self.stacks.wishes.len();
            for wish in self.room.wishes(slot) {
                self.stacks.wishes.push(wish);
                if !self.seats.seat(&self.stacks.wishes, &mut self.stacks.given) {
                    self.stacks.wishes.pop();
                    self.unseat(before);
                    return false;
                }
            }
        }
        self.stacks.chosen.push(slot);
        self.players += size;
        self.stacks.sums.push(sums);
        self.stacks.sets.push(sets);
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
        while self.stacks.wishes.len() > count {
            self.stacks.wishes.pop();
            self.seats.unseat(&mut self.stacks.given);
        }
    }

    fn take_back(&mut self) {
        let Some(slot) = self.stacks.chosen.pop() else { return };
        let size = usize::from(self.room.hot(slot).size);
        self.players -= size;
        self.stacks.sums.pop();
        self.stacks.sets.pop();
        if !self.terms.slots.is_empty() {
            self.unseat(self.stacks.wishes.len() - size);
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
        let units: Vec<_> = self.stacks.chosen.iter().map(unit).collect();
        let split = balance(&units, self.sizes, &self.terms.slots)?;
        let (region, farness) = self.region();
        let quality = self.quality(&split, farness);
        let floor =
            self.stacks.chosen.iter().map(|slot| self.room.stage(self.room.hot(*slot)).quality);
        let sets = self.stacks.sets.last().expect("there is a first one");
        let sets = sets[..self.room.waiting(*self.stacks.chosen.first()?).sets().len()].to_vec();
        let slots = self.stacks.chosen.clone();
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
        let accepted = self.stacks.chosen.iter().map(|slot| self.room.hot(*slot).regions);
        let accepted = accepted.fold(u32::MAX, |all, regions| all & regions);
        let worst = |region: usize| {
            let farness = |slot: &Slot| self.room.waiting(*slot).farness.get(region).copied();
            self.stacks.chosen.iter().filter_map(farness).max().unwrap_or(0)
        };
        let best = bits(accepted).map(|region| (worst(region), region)).min();
        best.map_or((self.region, UNREACHABLE), |(farness, region)| (region, farness))
    }

    /// From 0 to 1, the mean of what the queue asks for: equal teams (weight 5), near ratings (2),
    /// roles that players named first (2), near regions (1).
    #[expect(clippy::cast_precision_loss, reason = "there are few players")]
    fn quality(&self, split: &Split, farness: u16) -> f64 {
        let waiting: Vec<_> =
            self.stacks.chosen.iter().map(|slot| self.room.waiting(*slot)).collect();
        let ratings =
            || self.stacks.chosen.iter().map(|slot| f64::from(self.room.hot(*slot).rating) / FINE);
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
