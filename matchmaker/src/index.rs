//! The waiting tickets, and who could accept whom, without looking at everybody.
//!
//! # Shapes and cells
//! Most queries of a game have the same shape: certain properties have to have certain values, and
//! one number has to lie between bounds (`+properties.region:eu +properties.rating:>=1400
//! +properties.rating:<=1600`). For each [`Shape`] in use, every ticket that has these properties
//! is in the one [`Cell`] of its values and max count, by its number. A query's matches are in the
//! one cell of its values. The queries are kept in that cell, too, by their bounds: so the queries
//! that could accept a ticket are in its cells, one for each shape. Everything found in a cell is
//! checked against the whole query, so that a cell may hold too much, never too little.
//!
//! The first shape asks for nothing: its cells are the tickets of one max count.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use base::collections::{IdMap, KeyHash};
use base::{PartyId, SessionId, TicketId, UnixTime};

use crate::cell::{Cells, Seeker, Spot, cell_key, pair_key};
use crate::group::{Group, GroupId, GroupKey};
use crate::plan::{Plan, PlanId, Plans, Span, Subject};
use crate::query::Query;
use crate::row::{self, Row};
use crate::shape::{Build, Place, Shape};
use crate::sorted::Sorted;
use crate::terms::{Term, Terms};
use crate::ticket::{Counts, Presence, Ticket};

/// Where the ticket that was created then is stored, if it still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) created: u64,
    pub(crate) slot: Slot,
}

/// Shapes with cells of their own. Queries of another one use the cells of a shape that asks for
/// less, and look at more tickets.
const SHAPES_MAX: usize = 32;

/// Where a ticket is stored; used again after its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// A stored ticket.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Tells it from those that had its slot before.
    pub(crate) created: u64,
    pub(crate) row: Row,
    pub(crate) counts: Counts,
    pub(crate) plan: PlanId,
    pub(crate) id: TicketId,
    pub(crate) entries: Box<[Presence]>,
    pub(crate) party: Option<PartyId>,
    /// Passes in which it searched.
    pub(crate) intervals: u32,
    /// Those who search with it, in immediate mode, once it searches.
    pub(crate) group: Option<GroupId>,
}

impl Waiting {
    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("a ticket has fewer players than a message bytes")
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            row: &self.row,
            id: self.id,
            counts: self.counts,
            created: UnixTime(self.created),
            party: self.party,
        }
    }

    pub(crate) fn shares_session(&self, other: &Waiting) -> bool {
        let mut sessions = self.entries.iter().map(|entry| entry.session_id);
        sessions.any(|session| other.entries.iter().any(|entry| entry.session_id == session))
    }
}

/// Invariants: every stored ticket is in its cell of each shape as far as that is built, in its
/// lane, and in the lists of its sessions and party; `created` is unique and rises.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) terms: Terms,
    pub(crate) plans: Plans,
    /// Where each plan's matches are.
    places: Vec<Place>,
    slots: Vec<Option<Waiting>>,
    free: Vec<Slot>,
    ids: IdMap<TicketId, Slot>,
    sessions: IdMap<SessionId, Slots>,
    parties: IdMap<PartyId, Slots>,
    /// How many tickets have each max count.
    lanes: BTreeMap<u32, u32>,
    shapes: Vec<Shape>,
    groups: Vec<Option<Group>>,
    free_groups: Vec<GroupId>,
    groups_by_key: IdMap<GroupKey, GroupId>,
    groups_born: u64,
    newest: u64,
    /// Whether only those match who accept each other: then each ticket is a group of its own.
    is_mutual: bool,
    hash: KeyHash,
}

/// One slot, as most sessions have, or several.
#[derive(Debug)]
enum Slots {
    One(Slot),
    Many(Vec<Slot>),
}

impl Slots {
    fn as_slice(&self) -> &[Slot] {
        match self {
            Slots::One(slot) => std::slice::from_ref(slot),
            Slots::Many(slots) => slots,
        }
    }
}

/// How far the enumeration of a cell has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position(Option<Spot>);

impl Position {
    pub(crate) const START: Position = Position(None);
}

/// How far the enumeration of seekers has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeekerPosition {
    shape: usize,
    after: Option<Seeker>,
}

impl Index {
    pub(crate) fn new(seed: u64, is_mutual: bool, node: &str) -> Index {
        let all = Shape {
            fixed: Box::default(),
            spanned: None,
            plans: 1,
            cells: Cells::default(),
            build: None,
        };
        Index {
            terms: Terms::new(seed, node),
            plans: Plans::new(seed),
            places: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ids: IdMap::default(),
            sessions: IdMap::default(),
            parties: IdMap::default(),
            lanes: BTreeMap::new(),
            shapes: vec![all],
            groups: Vec::new(),
            free_groups: Vec::new(),
            groups_by_key: IdMap::default(),
            groups_born: 0,
            newest: 0,
            is_mutual,
            hash: KeyHash { seed },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The creation of the newest ticket so far, waiting or not.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn of_session(&self, session: SessionId) -> &[Slot] {
        self.sessions.get(&session).map_or(&[], Slots::as_slice)
    }

    pub(crate) fn of_party(&self, party: PartyId) -> &[Slot] {
        self.parties.get(&party).map_or(&[], Slots::as_slice)
    }

    pub(crate) fn find(&self, id: TicketId) -> Option<Slot> {
        self.ids.get(&id).copied()
    }

    pub(crate) fn waiting(&self, slot: Slot) -> &Waiting {
        self.slots[slot.0 as usize].as_ref().expect(SLOT)
    }

    pub(crate) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.slots[slot.0 as usize].as_mut().expect(SLOT)
    }

    /// The ticket of an entry, if it still waits.
    pub(crate) fn still(&self, entry: Entry) -> Option<&Waiting> {
        let waiting = self.slots[entry.slot.0 as usize].as_ref();
        waiting.filter(|waiting| waiting.created == entry.created)
    }

    pub(crate) fn plan(&self, waiting: &Waiting) -> &Plan {
        self.plans.plan(waiting.plan)
    }

    pub(crate) fn lanes(&self, counts: Counts) -> impl Iterator<Item = u32> {
        self.lanes.range(counts.min()..=counts.max()).map(|(max, _)| *max)
    }

    /// The creation of the oldest ticket.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let oldest = self.lanes.keys().filter_map(|lane| {
            let oldest = self.shapes[0].line(*lane, 0, self.hash).next()?;
            Some(self.waiting(oldest.slot).created)
        });
        oldest.min()
    }

    /// Stores a ticket as the newest.
    pub(crate) fn insert(&mut self, ticket: Ticket, query: &Query) -> Entry {
        let created = ticket.created.0.max(self.newest + 1);
        self.newest = created;
        let (plan, is_new) = self.plans.hold(query, &mut self.terms);
        if is_new {
            self.place(plan);
        }
        let row = row::pack(&ticket.string_properties, &ticket.numeric_properties, &mut self.terms);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).expect("a pool is limited far below 2^32"))
        });
        for entry in &ticket.entries {
            join(&mut self.sessions, entry.session_id, slot);
        }
        if let Some(party) = ticket.party {
            join(&mut self.parties, party, slot);
        }
        self.ids.insert(ticket.id, slot);
        *self.lanes.entry(ticket.counts.max()).or_default() += 1;
        let waiting = Waiting {
            created,
            row,
            counts: ticket.counts,
            plan,
            id: ticket.id,
            entries: ticket.entries.into_boxed_slice(),
            party: ticket.party,
            intervals: 0,
            group: None,
        };
        let entry = Entry { created, slot };
        for shape in &mut self.shapes {
            let lane = waiting.counts.max();
            if shape.build.is_none_or(|build| lane < build.lane) {
                shape.put(&waiting, slot, &self.terms, self.hash);
            }
        }
        self.slots[slot.0 as usize] = Some(waiting);
        entry
    }

    /// The stored tickets from a place on, each with its place.
    pub(crate) fn stored(&self, from: usize) -> impl Iterator<Item = (usize, &Waiting)> {
        let rest = self.slots.get(from..).unwrap_or_default().iter();
        (from..).zip(rest).filter_map(|(place, waiting)| Some((place, waiting.as_ref()?)))
    }

    /// A stored ticket as it was added.
    pub(crate) fn ticket(&self, waiting: &Waiting) -> Ticket {
        let (string_properties, numeric_properties) = row::unpack(&waiting.row, &self.terms);
        Ticket {
            id: waiting.id,
            entries: waiting.entries.to_vec(),
            party: waiting.party,
            counts: waiting.counts,
            string_properties,
            numeric_properties,
            created: UnixTime(waiting.created),
        }
    }

    /// Takes a stored ticket out, and says when it was created.
    pub(crate) fn remove(&mut self, slot: Slot) -> u64 {
        let waiting = self.slots[slot.0 as usize].take().expect("only stored tickets are removed");
        self.free.push(slot);
        for entry in &waiting.entries {
            leave(&mut self.sessions, &entry.session_id, slot);
        }
        if let Some(party) = waiting.party {
            leave(&mut self.parties, &party, slot);
        }
        self.ids.remove(&waiting.id);
        let lane = waiting.counts.max();
        let tickets = self.lanes.get_mut(&lane).expect("a stored ticket is in its lane");
        *tickets -= 1;
        if *tickets == 0 {
            self.lanes.remove(&lane);
        }
        for shape in &mut self.shapes {
            if shape.has(&waiting) {
                shape.forget(&waiting, slot, &self.terms, self.hash);
            }
        }
        if let Some(id) = waiting.group {
            let group = self.groups[id.0 as usize].as_mut().expect(GROUP);
            group.tickets.remove(&Spot::of_creation(waiting.created, slot));
            if group.tickets.is_empty() {
                self.drop_group(id, &waiting);
            }
        }
        row::release(&waiting.row, &mut self.terms);
        if self.plans.release(waiting.plan, &mut self.terms) {
            let place = self.places[waiting.plan.index()];
            self.shapes[place.shape].plans -= 1;
        }
        waiting.created
    }

    // Shapes.

    /// Finds the shape of a new plan, or begins one.
    fn place(&mut self, id: PlanId) {
        let plan = self.plans.plan(id);
        let fixed = plan.fixed(&self.terms);
        let spanned = plan.spanned();
        let exact = self.shapes.iter().position(|shape| {
            shape.spanned == spanned && shape.fixed.iter().eq(fixed.iter().map(|(field, _)| field))
        });
        let own = exact.or_else(|| self.begin_shape(&fixed, spanned));
        let shape = own.unwrap_or_else(|| {
            let plan = self.plans.plan(id);
            let fits = |shape: &Shape| {
                shape.build.is_none()
                    && shape.fixed.iter().all(|field| fixed.iter().any(|(f, _)| f == field))
                    && shape.spanned.is_none_or(|field| plan.span_of(field).is_some())
            };
            let fields =
                |shape: &Shape| 2 * shape.fixed.len() + usize::from(shape.spanned.is_some());
            let fitting = self.shapes.iter().enumerate().filter(|(_, shape)| fits(shape));
            fitting.max_by_key(|(_, shape)| fields(shape)).map_or(0, |(position, _)| position)
        });
        self.shapes[shape].plans += 1;
        let mut hasher = self.hash.build_hasher();
        for field in &self.shapes[shape].fixed {
            let (_, key) = fixed.iter().find(|(f, _)| f == field).expect("a shape that fits");
            hasher.write_u64(*key);
        }
        if self.places.len() <= id.index() {
            self.places.resize(id.index() + 1, Place::default());
        }
        let spanned = self.shapes[shape].spanned;
        self.places[id.index()] = Place { shape, spanned, values: hasher.finish() };
    }

    /// A new shape, whose cells [`Index::build`] fills.
    fn begin_shape(&mut self, fixed: &[(Term, u64)], spanned: Option<Term>) -> Option<usize> {
        let position = match self.shapes.len() {
            fewer if fewer < SHAPES_MAX => fewer,
            _ => self.shapes.iter().position(|shape| shape.plans == 0)?,
        };
        let shape = Shape {
            fixed: fixed.iter().map(|(field, _)| *field).collect(),
            spanned,
            plans: 0,
            cells: Cells::default(),
            build: (self.len() > 0).then_some(Build { lane: 0, created: 0, begun: self.newest }),
        };
        for field in shape.fields() {
            self.terms.hold_again(field);
        }
        if position == self.shapes.len() {
            self.shapes.push(shape);
        } else {
            let old = std::mem::replace(&mut self.shapes[position], shape);
            for field in old.fields() {
                self.terms.release(field);
            }
        }
        Some(position)
    }

    /// Whether the cells of a plan are all there.
    pub(crate) fn is_built(&self, plan: PlanId) -> bool {
        self.shapes[self.places[plan.index()].shape].build.is_none()
    }

    pub(crate) fn is_building(&self) -> bool {
        self.shapes.iter().any(|shape| shape.build.is_some())
    }

    /// Fills cells of a new shape with up to `budget` tickets, and says how many it looked at, and
    /// whether that were all.
    pub(crate) fn build(&mut self, budget: usize) -> (usize, bool) {
        let building = self.shapes.iter().enumerate();
        let building = building.filter_map(|(at, shape)| Some((shape.build?.begun, at)));
        let Some((_, position)) = building.min() else {
            return (0, false);
        };
        let (all, rest) = self.shapes.split_at_mut(1);
        let shape = &mut rest[position - 1];
        let mut build = shape.build.expect("it was looked for");
        let mut looked = 1;
        if let Some((lane, _)) = self.lanes.range(build.lane.max(1)..).next() {
            if *lane > build.lane {
                build = Build { lane: *lane, created: 0, ..build };
            }
            let mut line = all[0].line(build.lane, build.created, self.hash);
            for Spot { slot, .. } in line.by_ref().take(budget).copied() {
                let waiting = self.slots[slot.0 as usize].as_ref().expect(SLOT);
                shape.put(waiting, slot, &self.terms, self.hash);
                let group = waiting.group.filter(|_| self.is_mutual);
                let cell = shape.cell_of(waiting, &self.terms, self.hash);
                if let (Some(group), Some((cell, _))) = (group, cell) {
                    let place = self.places[waiting.plan.index()];
                    let (seeker, matches) = place.seeker(group, waiting, &self.plans, self.hash);
                    let pair = pair_key(place.shape, matches, cell, self.hash);
                    shape.cells.cell(pair).seekers.insert(seeker);
                }
                build.created = waiting.created;
                looked += 1;
            }
            if line.next().is_none() {
                build = Build { lane: build.lane + 1, created: 0, ..build };
            }
            shape.build = Some(build);
        } else {
            shape.build = None;
        }
        (looked, shape.build.is_none())
    }

    // Whom a plan could accept.

    /// Tickets of one lane that a plan could accept, in the order of creation if the plan is of a
    /// shape without a span, from a position on. Gives the position to go on from.
    pub(crate) fn candidates(
        &self,
        id: PlanId,
        lane: u32,
        from: Position,
        most: usize,
        found: &mut Vec<Entry>,
    ) -> Option<Position> {
        let place = self.places[id.index()];
        let shape = &self.shapes[place.shape];
        let cell = shape.cells.find(cell_key(lane, place.values, self.hash))?;
        let span = shape
            .spanned
            .map(|field| self.plans.plan(id).span_of(field).expect("the plan is of this shape"));
        let span = span.unwrap_or(Span::ALL);
        let rest = cell.tickets.from(|spot| match from.0 {
            Some(last) => *spot <= last,
            None => spot.number < span.low,
        });
        let rest = rest.take_while(|spot| spot.number <= span.high);
        for spot in rest.take(most) {
            let created = self.waiting(spot.slot).created;
            found.push(Entry { created, slot: spot.slot });
            if found.len() == most {
                return Some(Position(Some(*spot)));
            }
        }
        None
    }

    /// Whether candidates come in the order of their creation.
    pub(crate) fn is_in_order(&self, id: PlanId) -> bool {
        self.shapes[self.places[id.index()].shape].spanned.is_none()
    }

    // Groups.

    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups[id.0 as usize].as_ref()
    }

    pub(crate) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups[id.0 as usize].as_mut()
    }

    /// Puts a waiting ticket, whose plan is built, among those alike, and gives their group.
    pub(crate) fn join_group(&mut self, entry: Entry) -> GroupId {
        let waiting = self.waiting(entry.slot);
        let (plan, counts, size) = (waiting.plan, waiting.counts, waiting.size());
        let is_selfless = !self.plan(waiting).accepts(&waiting.subject(), &self.terms);
        let new = Group {
            born: self.groups_born + 1,
            plan,
            counts,
            size,
            tickets: Sorted::default(),
            fill: 0,
            met: 0,
            is_counted: false,
            is_selfless,
        };
        let known = match self.is_mutual {
            true => None,
            false => self.groups_by_key.get(&new.key()).copied(),
        };
        let id = known.unwrap_or_else(|| self.begin_group(new, entry.slot));
        let spot = Spot::of_creation(entry.created, entry.slot);
        self.groups[id.0 as usize].as_mut().expect(GROUP).tickets.insert(spot);
        self.waiting_mut(entry.slot).group = Some(id);
        id
    }

    /// The oldest ticket of a group that was created later than this.
    pub(crate) fn next_of(&self, group: &Group, after: u64) -> Option<Entry> {
        let spot = group.tickets.from(Spot::is_up_to(after)).next()?;
        Some(Entry { created: self.waiting(spot.slot).created, slot: spot.slot })
    }

    fn begin_group(&mut self, new: Group, slot: Slot) -> GroupId {
        let id = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupId(u32::try_from(self.groups.len() - 1).expect("fewer groups than tickets"))
        });
        for (shape, cell, seeker) in self.seekers_of(id, self.waiting(slot)) {
            self.shapes[shape].cells.cell(cell).seekers.insert(seeker);
        }
        self.groups_born = new.born;
        if !self.is_mutual {
            self.groups_by_key.insert(new.key(), id);
        }
        self.groups[id.0 as usize] = Some(new);
        id
    }

    /// `last` was the last ticket of the group.
    fn drop_group(&mut self, id: GroupId, last: &Waiting) {
        let group = self.groups[id.0 as usize].take().expect(GROUP);
        self.free_groups.push(id);
        if !self.is_mutual {
            self.groups_by_key.remove(&group.key());
        }
        for (shape, cell, seeker) in self.seekers_of(id, last) {
            self.shapes[shape].cells.take(cell, |cell| cell.seekers.remove(&seeker));
        }
    }

    /// Where a group of a ticket is kept as a seeker: in which cells of which shapes.
    fn seekers_of(&self, id: GroupId, waiting: &Waiting) -> Vec<(usize, u64, Seeker)> {
        let place = self.places[waiting.plan.index()];
        let (seeker, matches) = place.seeker(id, waiting, &self.plans, self.hash);
        if !self.is_mutual {
            return vec![(place.shape, matches, seeker)];
        }
        let shapes = self.shapes.iter().enumerate().filter(|(_, shape)| shape.has(waiting));
        let pairs = shapes.filter_map(|(position, shape)| {
            let (cell, _) = shape.cell_of(waiting, &self.terms, self.hash)?;
            Some((position, pair_key(place.shape, matches, cell, self.hash), seeker))
        });
        pairs.collect()
    }

    /// Groups, of all shapes, that could accept a ticket, from a position on; where matches are
    /// mutual, those that it could accept, too. Gives the position to go on from.
    pub(crate) fn seekers(
        &self,
        waiting: &Waiting,
        from: SeekerPosition,
        most: usize,
        found: &mut Vec<(GroupId, u64)>,
    ) -> Option<SeekerPosition> {
        let place = self.places[waiting.plan.index()];
        let matches = cell_key(waiting.counts.max(), place.values, self.hash);
        for (position, shape) in self.shapes.iter().enumerate().skip(from.shape) {
            if shape.plans == 0 {
                continue;
            }
            let Some((cell, value)) = shape.cell_of(waiting, &self.terms, self.hash) else {
                continue;
            };
            let cell = match self.is_mutual {
                true => {
                    let pair = pair_key(position, cell, matches, self.hash);
                    self.shapes[place.shape].cells.find(pair)
                }
                false => shape.cells.find(cell),
            };
            let Some(cell) = cell else { continue };
            let after = from.after.filter(|_| position == from.shape);
            let after = cell.seekers(value, after, |id| {
                found.push((id, self.group(id).expect(GROUP).born));
                found.len() < most
            });
            if after.is_some() {
                return Some(SeekerPosition { shape: position, after });
            }
        }
        None
    }
}

const GROUP: &str = "a group is held while its tickets wait";
const SLOT: &str = "a slot is held while its ticket waits";

fn join<K: std::hash::Hash + Eq>(lists: &mut IdMap<K, Slots>, key: K, slot: Slot) {
    match lists.entry(key) {
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(Slots::One(slot));
        }
        std::collections::hash_map::Entry::Occupied(mut entry) => match entry.get_mut() {
            Slots::One(first) => {
                let slots = vec![*first, slot];
                entry.insert(Slots::Many(slots));
            }
            Slots::Many(slots) => slots.push(slot),
        },
    }
}

fn leave<K: std::hash::Hash + Eq>(lists: &mut IdMap<K, Slots>, key: &K, slot: Slot) {
    let slots = lists.get_mut(key).expect("a stored ticket is in the lists of its owners");
    match slots {
        Slots::Many(several) if several.len() > 1 => {
            let position = several.iter().rposition(|other| *other == slot);
            several.swap_remove(position.expect("a stored ticket is in the lists of its owners"));
        }
        _ => {
            lists.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
