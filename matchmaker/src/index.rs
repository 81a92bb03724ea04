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

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::ops::Bound::{Excluded, Included, Unbounded};

use base::collections::{IdMap, KeyHash};
use base::{PartyId, SessionId, TicketId, UnixTime};

use crate::line::{Entry, Line};
use crate::plan::{Plan, PlanId, Plans, Span, Subject};
use crate::query::Query;
use crate::row::{self, Datum, Row};
use crate::terms::{Term, Terms};
use crate::ticket::{Counts, Presence, Ticket};

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

/// What the queries of one shape ask for.
#[derive(Debug)]
struct Shape {
    /// Properties of one certain value.
    fixed: Box<[Term]>,
    /// The number that has to lie between bounds.
    spanned: Option<Term>,
    /// Plans that use it; without any, another shape takes its place when one is needed.
    plans: u32,
    cells: IdMap<u64, Tickets>,
    build: Option<Build>,
    /// The groups whose query is of this shape. Where matches are mutual: those whose ticket is in
    /// these cells, by that cell, too.
    seekers: BTreeSet<Seeker>,
}

/// How far a shape's cells are filled: lanes below this one wholly, and of this one those created
/// up to then.
#[derive(Clone, Copy, Debug)]
struct Build {
    lane: u32,
    created: u64,
    /// The newest ticket when it began: the oldest one goes on first.
    begun: u64,
}

/// The tickets of one cell.
#[derive(Debug)]
enum Tickets {
    Line(Line),
    ByNumber(BTreeMap<(i64, u64), Slot>),
}

/// A group under the cell of its matches and its bounds there: by the power of two above their
/// distance, then by the lower one. So the bounds that can hold a number are one range of each
/// distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seeker {
    cell: u64,
    level: u8,
    edge: i64,
    group: GroupId,
}

/// Only an upper bound, kept by it.
const BELOW: u8 = 100;
/// No upper bound.
const ABOVE: u8 = 101;

impl Seeker {
    fn new(cell: u64, span: Option<Span>, group: GroupId) -> Seeker {
        let (level, edge) = match span {
            None => (ABOVE, i64::MIN),
            Some(span) if span.high == i64::MAX => (ABOVE, span.low),
            Some(span) if span.low == i64::MIN => (BELOW, span.high),
            Some(span) => {
                let distance = span.low.abs_diff(span.high);
                let level = u64::BITS - distance.leading_zeros();
                (u8::try_from(level).expect("at most 64"), span.low)
            }
        };
        Seeker { cell, level, edge, group }
    }

    /// The same where matches are mutual: for those whose matches are in the other cell, which the
    /// group's ticket is in. `shape` is that of its own query.
    fn paired(self, shape: usize, other: u64, hash: KeyHash) -> Seeker {
        Seeker { cell: pair_key(shape, self.cell, other, hash), ..self }
    }
}

/// A group in [`Index`]; used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupId(u32);

/// Waiting tickets that are alike as searchers: of the same query, counts and size, and of the same
/// opinion of themselves. Where matches are mutual, each ticket is a group of its own.
#[derive(Debug)]
pub(crate) struct Group {
    /// Tells it from those that had its place before.
    pub(crate) born: u64,
    pub(crate) plan: PlanId,
    pub(crate) counts: Counts,
    pub(crate) size: u32,
    pub(crate) line: Line,
    /// No fewer than the players that its query accepts, of the tickets with its max count and no
    /// smaller min count.
    pub(crate) fill: u64,
    /// All players that were added to it.
    pub(crate) met: u64,
    /// Whether `fill` was counted since the group began.
    pub(crate) is_counted: bool,
    /// Whether its tickets are not accepted by their own query.
    is_selfless: bool,
}

impl Group {
    fn key(&self) -> GroupKey {
        (self.plan, self.counts.min(), self.counts.max(), self.size, self.is_selfless)
    }

    /// It accepts so many players more.
    pub(crate) fn meet(&mut self, players: u32) {
        self.fill += u64::from(players);
        self.met += u64::from(players);
    }

    /// Its fill was counted, but for those whom it met since it had met so many; says whether none
    /// of them has to be looked for: who came before the first count did not see that it could be
    /// filled.
    pub(crate) fn ends_turn(&mut self, met: u64) -> bool {
        std::mem::replace(&mut self.is_counted, true) || self.met == met || !self.could_fill()
    }

    /// Whether there may be enough players for one of its tickets.
    pub(crate) fn could_fill(&self) -> bool {
        let own = if self.is_selfless { self.size } else { 0 };
        self.fill + u64::from(own) >= u64::from(self.counts.max())
    }
}

/// What makes tickets alike.
type GroupKey = (PlanId, u32, u32, u32, bool);

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

/// The cells of a plan: of which shape, and the values that it asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    shape: usize,
    spanned: Option<Term>,
    values: u64,
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
pub(crate) struct Position(i64, u64);

impl Position {
    pub(crate) const START: Position = Position(i64::MIN, 0);
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
            cells: IdMap::default(),
            build: None,
            seekers: BTreeSet::new(),
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
        self.slots[slot.0 as usize].as_ref().expect("a slot is held while its ticket waits")
    }

    pub(crate) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.slots[slot.0 as usize].as_mut().expect("a slot is held while its ticket waits")
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
            let line = self.shapes[0].line(*lane, self.hash);
            line.iter().find(|entry| self.still(**entry).is_some()).map(|entry| entry.created)
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
                shape.put(&waiting, entry, &self.terms, self.hash);
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
        let slots = &self.slots;
        let waits = |entry: &Entry| {
            slots[entry.slot.0 as usize].as_ref().is_some_and(|w| w.created == entry.created)
        };
        for shape in &mut self.shapes {
            if shape.has(&waiting) {
                shape.forget(&waiting, &self.terms, self.hash, waits);
            }
        }
        if let Some(id) = waiting.group {
            let group = self.groups[id.0 as usize].as_mut().expect(GROUP);
            group.line.forget(waits);
            if group.line.len() == 0 {
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
            cells: IdMap::default(),
            build: (self.len() > 0).then_some(Build { lane: 0, created: 0, begun: self.newest }),
            seekers: BTreeSet::new(),
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
            let line = all[0].line(build.lane, self.hash);
            let line = &line[line.partition_point(|entry| entry.created <= build.created)..];
            let part = &line[..line.len().min(budget)];
            for entry in part {
                let waiting = self.slots[entry.slot.0 as usize].as_ref();
                if let Some(waiting) = waiting.filter(|w| w.created == entry.created) {
                    shape.put(waiting, *entry, &self.terms, self.hash);
                    let group = waiting.group.filter(|_| self.is_mutual);
                    let cell = shape.cell_of(waiting, &self.terms, self.hash);
                    if let (Some(group), Some((cell, _))) = (group, cell) {
                        let place = self.places[waiting.plan.index()];
                        let seeker = place.seeker(group, waiting, &self.plans, self.hash);
                        shape.seekers.insert(seeker.paired(place.shape, cell, self.hash));
                    }
                }
                build.created = entry.created;
            }
            looked += part.len();
            if part.len() == line.len() {
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
        match shape.cells.get(&cell_key(lane, place.values, self.hash))? {
            Tickets::Line(line) => {
                let rest = line.after(from.1);
                found.extend_from_slice(&rest[..rest.len().min(most)]);
                (rest.len() > most).then(|| Position(from.0, rest[most - 1].created))
            }
            Tickets::ByNumber(tickets) => {
                let field = shape.spanned.expect("tickets are kept by this number");
                let span = self.plans.plan(id).span_of(field).expect("the plan is of this shape");
                let low = (span.low, 0).max((from.0, from.1));
                let mut rest = tickets.range((Excluded(low), Unbounded));
                for _ in 0..most {
                    match rest.next() {
                        Some(((number, created), slot)) if *number <= span.high => {
                            found.push(Entry { created: *created, slot: *slot });
                            if found.len() == most {
                                return Some(Position(*number, *created));
                            }
                        }
                        _ => return None,
                    }
                }
                None
            }
        }
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
            line: Line::default(),
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
        self.groups[id.0 as usize].as_mut().expect(GROUP).line.push(entry);
        self.waiting_mut(entry.slot).group = Some(id);
        id
    }

    fn begin_group(&mut self, new: Group, slot: Slot) -> GroupId {
        let id = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupId(u32::try_from(self.groups.len() - 1).expect("fewer groups than tickets"))
        });
        for (shape, seeker) in self.seekers_of(id, self.waiting(slot)) {
            self.shapes[shape].seekers.insert(seeker);
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
        for (shape, seeker) in self.seekers_of(id, last) {
            self.shapes[shape].seekers.remove(&seeker);
        }
    }

    /// Where a group of a ticket is kept: as a seeker of which shapes.
    fn seekers_of(&self, id: GroupId, waiting: &Waiting) -> Vec<(usize, Seeker)> {
        let place = self.places[waiting.plan.index()];
        let seeker = place.seeker(id, waiting, &self.plans, self.hash);
        if !self.is_mutual {
            return vec![(place.shape, seeker)];
        }
        let shapes = self.shapes.iter().enumerate().filter(|(_, shape)| shape.has(waiting));
        let pairs = shapes.filter_map(|(position, shape)| {
            let (cell, _) = shape.cell_of(waiting, &self.terms, self.hash)?;
            Some((position, seeker.paired(place.shape, cell, self.hash)))
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
            let (seekers, cell) = match self.is_mutual {
                true => {
                    let pair = pair_key(position, cell, matches, self.hash);
                    (&self.shapes[place.shape].seekers, pair)
                }
                false => (&shape.seekers, cell),
            };
            let after = from.after.filter(|_| position == from.shape);
            let bound = |level, edge, group| Seeker { cell, level, edge, group: GroupId(group) };
            let mut level = after.map_or(0, |after| after.level);
            while let Some(next) = seekers.range(bound(level, i64::MIN, 0)..).next()
                && next.cell == cell
            {
                level = next.level;
                let (from, to) = match level {
                    BELOW => (value, i64::MAX),
                    ABOVE => (i64::MIN, value),
                    0..64 => (value.saturating_sub_unsigned(1 << level), value),
                    _ => (i64::MIN, value),
                };
                let low = match after.filter(|after| after.level == level) {
                    Some(after) => Excluded(after),
                    None => Included(bound(level, from, 0)),
                };
                for seeker in seekers.range((low, Included(bound(level, to, u32::MAX)))) {
                    let group = self.group(seeker.group).expect(GROUP);
                    found.push((seeker.group, group.born));
                    if found.len() == most {
                        return Some(SeekerPosition { shape: position, after: Some(*seeker) });
                    }
                }
                level += 1;
            }
        }
        None
    }
}

impl Place {
    fn seeker(self, id: GroupId, waiting: &Waiting, plans: &Plans, hash: KeyHash) -> Seeker {
        let span = self.spanned.and_then(|field| plans.plan(waiting.plan).span_of(field));
        Seeker::new(cell_key(waiting.counts.max(), self.values, hash), span, id)
    }
}

const GROUP: &str = "a group is held while its tickets wait";

impl Shape {
    /// Whether its cells are filled as far as this ticket.
    fn has(&self, waiting: &Waiting) -> bool {
        let lane = waiting.counts.max();
        self.build.is_none_or(|build| {
            lane < build.lane || (lane == build.lane && waiting.created <= build.created)
        })
    }

    fn fields(&self) -> impl Iterator<Item = Term> {
        self.fixed.iter().copied().chain(self.spanned)
    }

    /// The cell of a ticket, and its number there, if it has all that the shape asks for.
    fn cell_of(&self, waiting: &Waiting, terms: &Terms, hash: KeyHash) -> Option<(u64, i64)> {
        let datum = |field: Term| {
            let property = waiting.row.iter().find(|p| p.field == field && !p.is_hidden())?;
            Some(property.datum())
        };
        let mut hasher = hash.build_hasher();
        for field in &self.fixed {
            let key = match datum(*field)? {
                Datum::Text(text) => terms.key(text),
                datum => datum.key()?.cast_unsigned(),
            };
            hasher.write_u64(key);
        }
        let value = match self.spanned {
            None => i64::MIN,
            Some(field) => datum(field)?.key()?,
        };
        Some((cell_key(waiting.counts.max(), hasher.finish(), hash), value))
    }

    /// The tickets of one max count, of the first shape.
    fn line(&self, lane: u32, hash: KeyHash) -> &[Entry] {
        let key = cell_key(lane, hash.build_hasher().finish(), hash);
        match self.cells.get(&key) {
            Some(Tickets::Line(line)) => line.after(0),
            Some(Tickets::ByNumber(_)) | None => &[],
        }
    }

    fn put(&mut self, waiting: &Waiting, entry: Entry, terms: &Terms, hash: KeyHash) {
        if let Some((key, value)) = self.cell_of(waiting, terms, hash) {
            let spanned = self.spanned;
            match self.cells.entry(key).or_insert_with(|| Tickets::new(spanned)) {
                Tickets::Line(line) => line.push(entry),
                Tickets::ByNumber(tickets) => {
                    tickets.insert((value, entry.created), entry.slot);
                }
            }
        }
    }

    fn forget(
        &mut self,
        waiting: &Waiting,
        terms: &Terms,
        hash: KeyHash,
        waits: impl Fn(&Entry) -> bool,
    ) {
        let Some((key, value)) = self.cell_of(waiting, terms, hash) else { return };
        let cell = self.cells.get_mut(&key).expect("a stored ticket is in its cell");
        match cell {
            Tickets::Line(line) => line.forget(waits),
            Tickets::ByNumber(tickets) => {
                tickets.remove(&(value, waiting.created));
            }
        }
        if cell.is_empty() {
            self.cells.remove(&key);
        }
    }
}

impl Tickets {
    fn new(spanned: Option<Term>) -> Tickets {
        match spanned {
            None => Tickets::Line(Line::default()),
            Some(_) => Tickets::ByNumber(BTreeMap::new()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Tickets::Line(line) => line.len() == 0,
            Tickets::ByNumber(tickets) => tickets.is_empty(),
        }
    }
}

fn cell_key(lane: u32, values: u64, hash: KeyHash) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write_u64(values ^ (u64::from(lane) << 32));
    hasher.finish()
}

fn pair_key(shape: usize, cell: u64, other: u64, hash: KeyHash) -> u64 {
    let mut hasher = hash.build_hasher();
    [shape as u64, cell, other].into_iter().for_each(|key| hasher.write_u64(key));
    hasher.finish()
}

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
