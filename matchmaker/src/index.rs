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
//! The first shape asks for nothing: all tickets of one max count, a lane, are a cell of it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

use base::collections::{IdMap, KeyHash};
use base::{PartyId, SessionId, TicketId};

use crate::cell::{Cell, Cells, Seeker, Spot, cell_key, pair_key};
use crate::group::{Group, GroupId};
use crate::leaf::Span;
use crate::plan::Plan;
use crate::plans::{PlanId, Plans};
use crate::query::Query;
use crate::row;
use crate::shape::{Build, Shape};
use crate::slab::Slab;
use crate::sorted::Sorted;
use crate::table::{Table, hash_of};
use crate::terms::{Term, Terms};
use crate::ticket::{Counts, Ticket};
use crate::waiting::Waiting;

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

/// Invariants: every stored ticket is in its cell of each shape as far as that is built, in its
/// lane, and in the lists of its sessions and party; `created` is unique and rises.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) terms: Terms,
    pub(crate) plans: Plans,
    tickets: Slab<Waiting>,
    ids: Table,
    sessions: Table,
    parties: Table,
    /// The tickets of each max count, by their creation: the cells of the first shape.
    lanes: BTreeMap<u32, Sorted>,
    shapes: Vec<Shape>,
    groups: Slab<Group>,
    /// All groups but those that their plan knows.
    groups_alike: Table,
    groups_born: u64,
    newest: u64,
    /// Whether only those match who accept each other: then each ticket is a group of its own.
    is_mutual: bool,
    hash: KeyHash,
    /// Cells of former shapes, of which each new ticket drops a part.
    dropped: Vec<IdMap<u64, Cell>>,
    /// Used again by each call.
    words: Vec<u32>,
    fixed: Vec<(Term, u64)>,
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
            tickets: Slab::default(),
            ids: Table::default(),
            sessions: Table::default(),
            parties: Table::default(),
            lanes: BTreeMap::new(),
            shapes: vec![all],
            groups: Slab::default(),
            groups_alike: Table::default(),
            groups_born: 0,
            newest: 0,
            is_mutual,
            hash: KeyHash { seed },
            dropped: Vec::new(),
            words: Vec::new(),
            fixed: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    /// The creation of the newest ticket so far, waiting or not.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The tickets that a session is in.
    pub(crate) fn of_session(&self, session: SessionId) -> impl Iterator<Item = Slot> {
        let found = self.sessions.all(hash_of(session.as_bytes(), self.hash)).map(Slot);
        found.filter(move |slot| self.waiting(*slot).has_session(session))
    }

    pub(crate) fn of_party(&self, party: PartyId) -> impl Iterator<Item = Slot> {
        let found = self.parties.all(hash_of(party.as_bytes(), self.hash)).map(Slot);
        found.filter(move |slot| self.waiting(*slot).party() == Some(party))
    }

    pub(crate) fn find(&self, id: TicketId) -> Option<Slot> {
        let mut found = self.ids.all(hash_of(id.as_bytes(), self.hash)).map(Slot);
        found.find(|slot| self.waiting(*slot).id() == id)
    }

    pub(crate) fn waiting(&self, slot: Slot) -> &Waiting {
        self.tickets.find(slot.0).expect(SLOT)
    }

    pub(crate) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.tickets.find_mut(slot.0).expect(SLOT)
    }

    /// The ticket of an entry, if it still waits.
    pub(crate) fn still(&self, entry: Entry) -> Option<&Waiting> {
        let waiting = self.tickets.find(entry.slot.0);
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
        let oldest = self.lanes.values().filter_map(|lane| {
            let oldest = Spot(lane.from(i128::MIN).next()?);
            Some(self.waiting(oldest.slot()).created)
        });
        oldest.min()
    }

    /// Stores a ticket as the newest.
    pub(crate) fn insert(&mut self, ticket: &Ticket, query: &Query) -> Entry {
        let created = ticket.created.0.max(self.newest + 1);
        self.newest = created;
        drop(self.dropped.pop());
        let (plan, is_new) = self.plans.hold(query, &mut self.terms);
        if is_new {
            self.place(plan);
        }
        self.words.clear();
        let waiting = Waiting::new(ticket, created, plan, &mut self.terms, &mut self.words);
        let slot = self.tickets.insert(waiting);
        for entry in &ticket.entries {
            self.sessions.insert(hash_of(entry.session_id.as_bytes(), self.hash), slot);
        }
        if let Some(party) = ticket.party {
            self.parties.insert(hash_of(party.as_bytes(), self.hash), slot);
        }
        self.ids.insert(hash_of(ticket.id.as_bytes(), self.hash), slot);
        let lane = ticket.counts.max();
        let slot = Slot(slot);
        self.lanes.entry(lane).or_default().insert(Spot::of_creation(created, slot).0);
        let waiting = self.tickets.find(slot.0).expect(SLOT);
        for shape in &mut self.shapes[1..] {
            if shape.build.is_none_or(|build| lane < build.lane) {
                shape.put(waiting, slot, &self.terms, self.hash);
            }
        }
        Entry { created, slot }
    }

    /// The stored tickets from a place on, each with its place.
    pub(crate) fn stored(&self, from: u32) -> impl Iterator<Item = (u32, &Waiting)> {
        self.tickets.from(from)
    }

    /// Has a ticket's memory come from afar, while other things are done: what is asked for at once
    /// comes at once, what is asked for later comes later.
    pub(crate) fn call_up(&self, slot: Slot) {
        black_box(self.tickets.find(slot.0).map(Waiting::first_word));
    }

    /// The same for a group and its plan.
    fn call_up_group(&self, id: GroupId, plan: PlanId) {
        black_box((self.group(id).map(|group| group.fill), self.plans.held(plan).values));
    }

    /// Takes a stored ticket out, and says when it was created.
    pub(crate) fn remove(&mut self, slot: Slot) -> u64 {
        let waiting = self.waiting(slot);
        if let Some(group) = waiting.group {
            self.call_up_group(group, waiting.plan);
        }
        let waiting = self.tickets.remove(slot.0).expect(SLOT);
        for session in waiting.sessions() {
            self.sessions.remove(hash_of(session.as_bytes(), self.hash), slot.0);
        }
        if let Some(party) = waiting.party() {
            self.parties.remove(hash_of(party.as_bytes(), self.hash), slot.0);
        }
        self.ids.remove(hash_of(waiting.id().as_bytes(), self.hash), slot.0);
        let lane = waiting.counts.max();
        let tickets = self.lanes.get_mut(&lane).expect("a stored ticket is in its lane");
        tickets.remove(Spot::of_creation(waiting.created, slot).0);
        if tickets.is_empty() {
            self.lanes.remove(&lane);
        }
        for shape in &mut self.shapes[1..] {
            if shape.has(&waiting) {
                shape.forget(&waiting, slot, &self.terms, self.hash);
            }
        }
        if let Some(id) = waiting.group {
            let group = self.groups.find_mut(id.number()).expect(GROUP);
            group.tickets.remove(Spot::of_creation(waiting.created, slot).0);
            if group.tickets.is_empty() {
                self.drop_group(id, &waiting);
            }
        }
        row::release(waiting.row(), &mut self.terms);
        if let Some(held) = self.plans.release(waiting.plan, &mut self.terms) {
            self.shapes[usize::from(held.shape)].plans -= 1;
        }
        waiting.created
    }

    // Shapes.

    /// Finds the shape of a new plan, or begins one.
    fn place(&mut self, id: PlanId) {
        let mut fixed = std::mem::take(&mut self.fixed);
        let plan = self.plans.plan(id);
        plan.fixed(&self.terms, &mut fixed);
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
        let held = self.plans.held_mut(id);
        held.shape = u8::try_from(shape).expect("there are few shapes");
        held.values = hasher.finish();
        self.fixed = fixed;
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
            self.dropped.extend(old.cells.into_parts());
        }
        Some(position)
    }

    /// Whether the cells of a plan are all there.
    pub(crate) fn is_built(&self, plan: PlanId) -> bool {
        self.shapes[usize::from(self.plans.held(plan).shape)].build.is_none()
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
        let mut spans = [None; SHAPES_MAX];
        spans.iter_mut().zip(&self.shapes).for_each(|(span, shape)| *span = shape.spanned);
        let shape = &mut self.shapes[position];
        let mut build = shape.build.expect("it was looked for");
        let mut looked = 1;
        if let Some((lane, tickets)) = self.lanes.range(build.lane.max(1)..).next() {
            if *lane > build.lane {
                build = Build { lane: *lane, created: 0, ..build };
            }
            let mut line = tickets.from(Spot::first_of(build.created + 1).0);
            for slot in line.by_ref().take(budget).map(|spot| Spot(spot).slot()) {
                let waiting = self.tickets.find(slot.0).expect(SLOT);
                shape.put(waiting, slot, &self.terms, self.hash);
                let group = waiting.group.filter(|_| self.is_mutual);
                let cell = shape.cell_of(waiting, &self.terms, self.hash);
                if let (Some(group), Some((cell, _))) = (group, cell) {
                    let held = self.plans.held(waiting.plan);
                    let span = spans[usize::from(held.shape)];
                    let seeker = Seeker::new(span.and_then(|f| held.plan.span_of(f)), group);
                    let matches = cell_key(waiting.counts.max(), held.values, self.hash);
                    let pair = pair_key(held.shape.into(), matches, cell, self.hash);
                    shape.cells.cell(pair).seekers.insert(seeker.0);
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
    /// shape without a span, from behind a spot on.
    pub(crate) fn candidates(
        &self,
        id: PlanId,
        lane: u32,
        after: Option<Spot>,
    ) -> impl Iterator<Item = Spot> {
        let held = self.plans.held(id);
        let shape = &self.shapes[usize::from(held.shape)];
        let tickets = match held.shape {
            0 => self.lanes.get(&lane),
            _ => {
                let cell = shape.cells.find(cell_key(lane, held.values, self.hash));
                cell.map(|cell| &cell.tickets)
            }
        };
        let is_line = shape.spanned.is_none();
        let span = shape.spanned.and_then(|field| held.plan.span_of(field)).unwrap_or(Span::ALL);
        let from = after.map_or(Spot::first_of(span.low), Spot::next);
        let to = Spot::new(span.high, Slot(u32::MAX));
        let rest = tickets.into_iter().flat_map(move |tickets| tickets.from(from.0));
        rest.map(Spot).take_while(move |spot| is_line || *spot <= to)
    }

    /// Whether candidates come in the order of their creation.
    pub(crate) fn is_in_order(&self, id: PlanId) -> bool {
        self.shapes[usize::from(self.plans.held(id).shape)].spanned.is_none()
    }

    // Groups.

    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.find(id.number())
    }

    pub(crate) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.find_mut(id.number())
    }

    /// Puts a waiting ticket, whose plan is built, among those alike, and gives their group.
    pub(crate) fn join_group(&mut self, entry: Entry) -> GroupId {
        let waiting = self.waiting(entry.slot);
        let is_selfless = !self.plan(waiting).accepts(waiting, &self.terms);
        let new = Group {
            born: self.groups_born + 1,
            plan: waiting.plan,
            counts: waiting.counts,
            size: waiting.size(),
            tickets: Sorted::default(),
            fill: 0,
            met: 0,
            is_counted: false,
            is_selfless,
        };
        let id = match self.alike(&new) {
            Some(id) => id,
            None => self.begin_group(new, entry.slot),
        };
        let group = self.groups.find_mut(id.number()).expect(GROUP);
        group.tickets.insert(Spot::of_creation(entry.created, entry.slot).0);
        self.waiting_mut(entry.slot).group = Some(id);
        id
    }

    /// The group of tickets that are like those of a new one.
    fn alike(&self, new: &Group) -> Option<GroupId> {
        let held = self.plans.held(new.plan);
        if self.is_mutual || !held.is_shared() {
            return None;
        }
        let others = self.groups_alike.all(new.hash(self.hash)).map(GroupId::of_number);
        let mut known = held.group.into_iter().chain(others);
        known.find(|id| self.group(*id).expect(GROUP).is_like(new))
    }

    /// The oldest ticket of a group that was created later than this.
    pub(crate) fn next_of(&self, group: &Group, after: u64) -> Option<Entry> {
        let slot = Spot(group.tickets.from(Spot::first_of(after + 1).0).next()?).slot();
        Some(Entry { created: self.waiting(slot).created, slot })
    }

    fn begin_group(&mut self, new: Group, slot: Slot) -> GroupId {
        self.groups_born = new.born;
        let (hash, plan) = (new.hash(self.hash), new.plan);
        let id = GroupId::of_number(self.groups.insert(new));
        let waiting = self.tickets.find(slot.0).expect(SLOT);
        let (plans, shapes) = (&self.plans, &mut self.shapes);
        let to = Seeking { plans, terms: &self.terms, hash: self.hash, is_mutual: self.is_mutual };
        to.each(id, waiting, shapes, |cells, cell, seeker| {
            cells.cell(cell).seekers.insert(seeker.0);
        });
        if !self.is_mutual {
            let held = self.plans.held_mut(plan);
            if held.group.is_none() {
                held.group = Some(id);
            } else {
                self.groups_alike.insert(hash, id.number());
            }
        }
        id
    }

    /// `last` was the last ticket of the group.
    fn drop_group(&mut self, id: GroupId, last: &Waiting) {
        let group = self.groups.remove(id.number()).expect(GROUP);
        if !self.is_mutual {
            let held = self.plans.held_mut(group.plan);
            if held.group == Some(id) {
                held.group = None;
            } else {
                self.groups_alike.remove(group.hash(self.hash), id.number());
            }
        }
        let (plans, shapes) = (&self.plans, &mut self.shapes);
        let to = Seeking { plans, terms: &self.terms, hash: self.hash, is_mutual: self.is_mutual };
        to.each(id, last, shapes, |cells, cell, seeker| {
            cells.take(cell, |cell| cell.seekers.remove(seeker.0));
        });
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
        let held = self.plans.held(waiting.plan);
        let matches = cell_key(waiting.counts.max(), held.values, self.hash);
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
                    self.shapes[usize::from(held.shape)].cells.find(pair)
                }
                false => shape.cells.find(cell),
            };
            let Some(cell) = cell else { continue };
            let after = from.after.filter(|_| position == from.shape);
            let after = cell.seekers(value, after, |id| {
                let group = self.group(id).expect(GROUP);
                black_box(self.plans.held(group.plan).values);
                found.push((id, group.born));
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

/// What says where a group is kept as a seeker.
struct Seeking<'a> {
    plans: &'a Plans,
    terms: &'a Terms,
    hash: KeyHash,
    is_mutual: bool,
}

impl Seeking<'_> {
    /// Hands over the cells in which a group of a ticket is kept.
    fn each(
        &self,
        id: GroupId,
        waiting: &Waiting,
        shapes: &mut [Shape],
        mut act: impl FnMut(&mut Cells, u64, Seeker),
    ) {
        let held = self.plans.held(waiting.plan);
        let own = &mut shapes[usize::from(held.shape)];
        let seeker = Seeker::new(own.spanned.and_then(|field| held.plan.span_of(field)), id);
        let matches = cell_key(waiting.counts.max(), held.values, self.hash);
        if !self.is_mutual {
            return act(&mut own.cells, matches, seeker);
        }
        for shape in shapes.iter_mut().filter(|shape| shape.has(waiting)) {
            if let Some((cell, _)) = shape.cell_of(waiting, self.terms, self.hash) {
                let pair = pair_key(held.shape.into(), matches, cell, self.hash);
                act(&mut shape.cells, pair, seeker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
