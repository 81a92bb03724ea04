//! The tickets that wait in a queue, found by what has to be equal, by region and by rating.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use base::collections::KeyHash;
use base::{Instant, PartyId, SessionId, TicketId, UserId};

use super::backfill::Priority;
use super::definition::{Definition, ROLES_MAX, Rule, Stage};
use super::entrant::{Entrant, Player, Rare, UNREACHABLE, fine};
use super::ladder::{Ladder, Place};
use super::names::Names;
use super::packed::Packed;
use super::roles::{Wish, can_seat};
use crate::slab::Slab;
use crate::table::{Table, hash_of};
use crate::ticket::{Presence, Ticket};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// Its place in line, and the moment from which its age counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) order: u64,
    pub(super) joined: Instant,
}

/// Slots that come into being at once.
const CHUNK: usize = 256;

/// No slot.
const NONE: u32 = u32::MAX;

/// What searches ask of a ticket that waits, in one cache line. Of two tickets, the one with the
/// lower `order` came first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Hot {
    /// 0: the slot is free.
    pub(super) order: u64,
    /// A bit for each of its users, and for each that they block, by hash.
    users: u64,
    blocks: u64,
    /// Of its players, how many take each role: four bits for each, 15 for more.
    pub(super) takes: u64,
    /// In sixteenths of a point, as are the next two.
    pub(super) rating: i32,
    /// By so much it counts as nearer.
    pub(super) halo: i32,
    pub(super) window: i32,
    /// A bit for each region that it accepts at its stage.
    pub(super) regions: u32,
    /// The regions in which it is to be tried.
    pub(super) queued: u32,
    pub(super) group: u32,
    pub(super) stage: u8,
    pub(super) size: u8,
}

const _: () = assert!(size_of::<Hot>() == 64);

/// The rest of what is known of it. Its age counts from `joined`.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) joined: Instant,
    /// When it enters its next stage, or searches again.
    pub(super) due: Instant,
    pub(super) players: Box<[Player]>,
    pub(super) farness: Box<[u16]>,
    rare: Option<Box<Rare>>,
    packed: Packed,
}

impl Waiting {
    pub(super) fn id(&self) -> TicketId {
        self.packed.id()
    }

    /// The ticket; with the names of the room that it waits in, or has waited in.
    pub(super) fn ticket(&self, names: &Names) -> Ticket {
        self.packed.ticket(names)
    }

    pub(super) fn party(&self) -> Option<PartyId> {
        self.packed.party()
    }

    /// All who are known to wait with the ticket.
    fn known(&self) -> impl Iterator<Item = [u8; 16]> + '_ {
        let players = self.packed.players().map(|(user, session)| player_key(user, session));
        players.chain(self.packed.party().map(|party| *party.as_bytes()))
    }

    pub(super) fn wishes(&self, stage: &Stage) -> impl Iterator<Item = Wish> + '_ {
        let autofill = stage.autofill;
        self.players.iter().map(move |player| Wish { named: player.roles, autofill })
    }

    pub(super) fn sets(&self) -> &[u64] {
        self.rare.as_ref().map_or(&[], |rare| &rare.sets)
    }

    fn numbers(&self) -> &[f64] {
        self.rare.as_ref().map_or(&[], |rare| &rare.numbers)
    }

    fn blocks(&self, other: &Waiting) -> bool {
        let blocked = self.rare.as_ref().map_or(&[][..], |rare| &rare.blocked);
        let mut players = other.packed.players();
        players.any(|(user, _)| blocked.binary_search(&user).is_ok())
    }

    fn shares_user(&self, other: &Waiting) -> bool {
        let mut ours = self.packed.players();
        ours.any(|(user, _)| other.packed.players().any(|(other, _)| other == user))
    }
}

/// The tickets of one group that accept one region.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// By rating, then by slot.
    by_rating: Ladder,
    /// Those that ask for nothing less any more, by age.
    overdue: BTreeSet<(u64, Slot)>,
    pub(super) players: usize,
    /// Players who take each role.
    pub(super) supply: [u32; ROLES_MAX],
    /// No halo in it is larger.
    halo_max: i32,
}

/// Tickets whose attributes are equal where they have to be.
#[derive(Debug)]
struct Group {
    key: Box<[u8]>,
    tickets: usize,
    /// By region; a queue without regions has one cell.
    cells: Box<[Cell]>,
    /// Running matches that look for players, the oldest first.
    guests: BTreeSet<(Priority, u64, Slot)>,
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) stages: Vec<Stage>,
    /// When its tickets are moved out: those before are gone.
    pub(super) sweep: Slot,
    hot: Vec<Box<[Hot]>>,
    cold: Vec<Box<[Option<Waiting>]>>,
    /// Tickets in each chunk.
    taken: Vec<usize>,
    /// The free slot that is taken next: the next after that stands in its place as a group.
    free: u32,
    held: usize,
    /// Slots by ticket.
    ids: Table,
    /// By session, or by user where there is no session, and by party: each waits once.
    players: Table,
    hash: KeyHash,
    pub(super) names: Names,
    groups: Slab<Group>,
    group_of: Table,
    cells_per_group: usize,
    /// Of each role in a team.
    slots: Vec<usize>,
    has_distances: bool,
    pub(super) has_sets: bool,
}

/// Who waits once: a session, or a user that a server speaks for.
pub(super) fn who(presence: &Presence) -> [u8; 16] {
    player_key(presence.user_id, presence.session_id)
}

fn player_key(user: UserId, session: SessionId) -> [u8; 16] {
    if session == NO_SESSION { *user.as_bytes() } else { *session.as_bytes() }
}

/// All who are known to wait with this ticket.
pub(super) fn known_by(ticket: &Ticket) -> impl Iterator<Item = [u8; 16]> + '_ {
    ticket.entries.iter().map(who).chain(ticket.party.map(|party| *party.as_bytes()))
}

/// The session of a player for whom a server speaks.
pub const NO_SESSION: SessionId = SessionId::from_bytes([0; 16]);

/// Whether a server speaks for the player, who has no session.
pub fn is_held(presence: &Presence) -> bool {
    presence.session_id == NO_SESSION
}

impl Room {
    pub(super) fn new(definition: &Definition) -> Room {
        let rules = || definition.attributes.iter().map(|attribute| &attribute.rule);
        Room {
            stages: definition.stages(),
            sweep: Slot(0),
            hot: Vec::new(),
            cold: Vec::new(),
            taken: Vec::new(),
            free: NONE,
            held: 0,
            ids: Table::default(),
            players: Table::default(),
            hash: KeyHash::default(),
            names: Names::new(definition),
            groups: Slab::default(),
            group_of: Table::default(),
            cells_per_group: definition.regions.len().max(1),
            slots: definition.roles.iter().map(|role| role.slots).collect(),
            has_distances: rules().any(|rule| matches!(rule, Rule::Distance(_))),
            has_sets: rules().any(|rule| matches!(rule, Rule::Intersect(_))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held
    }

    pub(super) fn find(&self, id: TicketId) -> Option<Slot> {
        let is_it = |slot| self.waiting(Slot(slot)).id() == id;
        self.ids.find(hash_of(id.as_bytes(), self.hash), is_it).map(Slot)
    }

    pub(super) fn find_player(&self, who: &[u8; 16]) -> Option<Slot> {
        let is_it = |slot| self.waiting(Slot(slot)).known().any(|known| known == *who);
        self.players.find(hash_of(who, self.hash), is_it).map(Slot)
    }

    /// The slots from this one on in which somebody waits.
    pub(super) fn from(&self, slot: Slot) -> impl Iterator<Item = Slot> + '_ {
        let chunks =
            (slot.0 as usize / CHUNK..self.hot.len()).filter(|chunk| self.taken[*chunk] > 0);
        let numbers = chunks.flat_map(|chunk| chunk * CHUNK..(chunk + 1) * CHUNK);
        let slots = numbers.map(|number| Slot(u32::try_from(number).expect("there is a limit")));
        slots.filter(move |next| *next >= slot && self.hot(*next).order != 0)
    }

    pub(super) fn hot(&self, slot: Slot) -> &Hot {
        let index = slot.0 as usize;
        &self.hot[index / CHUNK][index % CHUNK]
    }

    pub(super) fn hot_mut(&mut self, slot: Slot) -> &mut Hot {
        let index = slot.0 as usize;
        &mut self.hot[index / CHUNK][index % CHUNK]
    }

    /// The one who waits there.
    ///
    /// # Panics
    /// When nobody does.
    pub(super) fn waiting(&self, slot: Slot) -> &Waiting {
        let index = slot.0 as usize;
        self.cold[index / CHUNK][index % CHUNK].as_ref().expect("the slot is taken")
    }

    pub(super) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.entry(slot).as_mut().expect("the slot is taken")
    }

    fn entry(&mut self, slot: Slot) -> &mut Option<Waiting> {
        let index = slot.0 as usize;
        &mut self.cold[index / CHUNK][index % CHUNK]
    }

    /// The ticket that something was meant for, if it waits still.
    pub(super) fn still(&self, slot: Slot, order: u64) -> Option<&Hot> {
        let hot = self.hot.get(slot.0 as usize / CHUNK)?.get(slot.0 as usize % CHUNK)?;
        Some(hot).filter(|hot| hot.order == order)
    }

    pub(super) fn stage(&self, hot: &Hot) -> &Stage {
        &self.stages[usize::from(hot.stage)]
    }

    pub(super) fn wishes(&self, slot: Slot) -> impl Iterator<Item = Wish> + '_ {
        self.waiting(slot).wishes(self.stage(self.hot(slot)))
    }

    pub(super) fn insert(&mut self, definition: &Definition, entrant: Entrant, came: Came) -> Slot {
        let mut users = 0;
        for (user, _) in entrant.packed.players() {
            users |= bit(user.as_bytes());
        }
        let hot = Hot {
            users,
            blocks: entrant.rare.blocked.iter().fold(0, |all, user| all | bit(user.as_bytes())),
            rating: entrant.rating(),
            halo: fine(entrant.deviation() * definition.rating.uncertainty),
            size: u8::try_from(entrant.players.len()).expect("a team is small"),
            ..Hot::default()
        };
        self.hold(entrant, came, hot)
    }

    /// A running match, which nobody finds who looks for a new one.
    pub(super) fn insert_guest(
        &mut self,
        entrant: Entrant,
        came: Came,
        rating: i32,
        priority: Priority,
    ) -> Slot {
        let slot = self.hold(entrant, came, Hot { rating, ..Hot::default() });
        let group = self.hot(slot).group;
        let group = self.groups.find_mut(group).expect("just joined");
        group.guests.insert((priority, came.order, slot));
        slot
    }

    fn hold(&mut self, entrant: Entrant, came: Came, hot: Hot) -> Slot {
        let Came { order, joined } = came;
        let slot = self.free_slot();
        let group = self.join_group(&entrant.key);
        *self.hot_mut(slot) = Hot { order, group, ..hot };
        let rare = Some(entrant.rare).filter(|rare| *rare != Rare::default());
        let waiting = Waiting {
            joined,
            due: joined,
            players: entrant.players,
            farness: entrant.farness,
            rare: rare.map(Box::new),
            packed: entrant.packed,
        };
        self.held += 1;
        self.ids.insert(hash_of(waiting.id().as_bytes(), self.hash), slot.0);
        for known in waiting.known() {
            self.players.insert(hash_of(&known, self.hash), slot.0);
        }
        *self.entry(slot) = Some(waiting);
        self.enter(slot);
        slot
    }

    /// The running matches of a group, and of this priority, that look for players.
    pub(super) fn guests(&self, group: u32, priority: Priority) -> impl Iterator<Item = Slot> + '_ {
        let guests = self.groups.find(group).into_iter().flat_map(|group| &group.guests);
        guests.filter(move |(other, ..)| *other == priority).map(|(_, _, slot)| *slot)
    }

    fn free_slot(&mut self) -> Slot {
        if self.free == NONE {
            let first = u32::try_from(self.hot.len() * CHUNK).expect("there is a limit");
            let mut hot = vec![Hot::default(); CHUNK];
            for (hot, next) in hot.iter_mut().zip(first + 1..) {
                hot.group = next;
            }
            hot[CHUNK - 1].group = NONE;
            self.hot.push(hot.into());
            self.cold.push((0..CHUNK).map(|_| None).collect());
            self.taken.push(0);
            self.free = first;
        }
        let slot = Slot(self.free);
        self.free = self.hot(slot).group;
        self.taken[slot.0 as usize / CHUNK] += 1;
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Waiting {
        let Hot { regions, group, order, size, .. } = *self.hot(slot);
        self.leave_cells(slot, regions);
        *self.hot_mut(slot) = Hot { group: self.free, ..Hot::default() };
        self.free = slot.0;
        self.taken[slot.0 as usize / CHUNK] -= 1;
        let waiting = self.entry(slot).take().expect("the slot is taken");
        self.held -= 1;
        self.ids.remove(hash_of(waiting.id().as_bytes(), self.hash), slot.0);
        for known in waiting.known() {
            self.players.remove(hash_of(&known, self.hash), slot.0);
        }
        let left = self.groups.find_mut(group).expect("the ticket was in it");
        if size == 0 {
            left.guests.remove(&(Priority::High, order, slot));
            left.guests.remove(&(Priority::Low, order, slot));
        }
        left.tickets -= 1;
        if left.tickets == 0 {
            self.group_of.remove(self.hash.hash_one(&left.key), group);
            self.groups.remove(group);
        }
        waiting
    }

    fn join_group(&mut self, key: &[u8]) -> u32 {
        let hash = self.hash.hash_one(key);
        let is_it = |group| self.groups.find(group).is_some_and(|group| *group.key == *key);
        let group = match self.group_of.find(hash, is_it) {
            Some(group) => group,
            None => {
                let cells = (0..self.cells_per_group).map(|_| Cell::default()).collect();
                let guests = BTreeSet::new();
                let group =
                    self.groups.insert(Group { key: key.into(), tickets: 0, cells, guests });
                self.group_of.insert(hash, group);
                group
            }
        };
        self.groups.find_mut(group).expect("it is there").tickets += 1;
        group
    }

    pub(super) fn cell(&self, group: u32, region: usize) -> &Cell {
        &self.groups.find(group).expect("somebody waits in it").cells[region]
    }

    /// The ticket asks for what its next stage asks for, and is to be tried in these regions: in
    /// all, or where it only reaches farther, in new ones and in those where that reaches somebody.
    /// `None`, if there is no such stage.
    pub(super) fn advance(&mut self, slot: Slot) -> Option<u32> {
        let before = *self.hot(slot);
        let (next, number) = (usize::from(before.stage) + 1, before.stage.checked_add(1)?);
        let (from, to) = (&self.stages[next - 1], self.stages.get(next)?);
        let Stage { from: begin, window, latency, .. } = *to;
        let only_reaches_farther = Stage { from: begin, window, latency, ..from.clone() } == *to;
        if from.autofill != to.autofill {
            // Other roles are counted from here on.
            self.leave_cells(slot, before.regions);
            self.hot_mut(slot).regions = 0;
        }
        self.hot_mut(slot).stage = number;
        self.enter(slot);
        let regions = self.hot(slot).regions;
        if !only_reaches_farther {
            return Some(regions);
        }
        let known = regions & before.regions;
        let reaches = |region: &usize| self.reaches(slot, *region, before.window);
        let reached = bits(known).filter(reaches).fold(0, |all, region| all | 1 << region);
        Some(regions & !known | reached)
    }

    /// Whether somebody fits who was beyond this window.
    fn reaches(&self, slot: Slot, region: usize, before: i32) -> bool {
        let hot = self.hot(slot);
        let cell = self.cell(hot.group, region);
        let nearest = before.saturating_add(hot.halo);
        let farthest = hot.window.saturating_add(hot.halo).saturating_add(cell.halo_max);
        let lowest = hot.rating.saturating_sub(farthest);
        let highest = hot.rating.saturating_add(farthest);
        let mut below = cell.by_rating.place(key(hot.rating.saturating_sub(nearest), Slot(0)));
        while let Some(next) = cell.by_rating.down(&mut below)
            && rating_of(next) >= lowest
        {
            if self.fits(slot, slot_of(next)) {
                return true;
            }
        }
        let above = hot.rating.saturating_add(nearest).saturating_add(1);
        let mut above = cell.by_rating.place(key(above, Slot(0)));
        while let Some(next) = cell.by_rating.up(&mut above)
            && rating_of(next) <= highest
        {
            if self.fits(slot, slot_of(next)) {
                return true;
            }
        }
        false
    }

    /// Brings the ticket into the cells that its stage lets it into.
    fn enter(&mut self, slot: Slot) {
        let (hot, waiting) = (self.hot(slot), self.waiting(slot));
        let stage = self.stage(hot);
        let is_last = usize::from(hot.stage) + 1 == self.stages.len();
        let window = fine(stage.window);
        let mut accepted = 0;
        for (region, far) in waiting.farness.iter().enumerate() {
            if *far != UNREACHABLE && f64::from(*far) <= stage.latency {
                accepted |= 1 << region;
            }
        }
        if waiting.farness.is_empty() {
            accepted = 1;
        }
        let Hot { rating, order, group, size, halo, regions: before, takes: packed, .. } = *hot;
        // Who is in a cell can be seated, and takes the same roles until it leaves all.
        if before == 0 && !self.is_seated(slot) {
            accepted = 0; // a party whose members cannot be in one team
        }
        let is_same = before != 0 && accepted & !before == 0;
        let takes = if is_same { [0; ROLES_MAX] } else { self.takes(slot) };
        let key = key(rating, slot);
        let cells = &mut self.groups.find_mut(group).expect("it has joined").cells;
        // Nobody finds a running match.
        let cells = if size == 0 { &mut [] } else { &mut cells[..] };
        for (region, cell) in cells.iter_mut().enumerate() {
            if accepted & !before & (1 << region) != 0 {
                cell.by_rating.insert(key);
                cell.players += usize::from(size);
                cell.halo_max = cell.halo_max.max(halo);
                for (supply, takes) in cell.supply.iter_mut().zip(takes) {
                    *supply += takes;
                }
            }
            if is_last && accepted & (1 << region) != 0 {
                cell.overdue.insert((order, slot));
            }
        }
        let narrow = |all: u64, takes: &u32| all << 4 | u64::from(*takes.min(&15));
        let packed = if is_same { packed } else { takes.iter().rev().fold(0, narrow) };
        let hot = self.hot_mut(slot);
        (hot.window, hot.regions, hot.takes) = (window, accepted, packed);
    }

    fn leave_cells(&mut self, slot: Slot, regions: u32) {
        let takes = self.takes(slot);
        let Hot { rating, order, group, size, .. } = *self.hot(slot);
        let key = key(rating, slot);
        let cells = &mut self.groups.find_mut(group).expect("it is in it").cells;
        let cells = if size == 0 { &mut [] } else { &mut cells[..] };
        for (region, cell) in cells.iter_mut().enumerate() {
            if regions & (1 << region) == 0 {
                continue;
            }
            cell.by_rating.remove(key);
            cell.overdue.remove(&(order, slot));
            cell.players -= usize::from(size);
            for (supply, takes) in cell.supply.iter_mut().zip(takes) {
                *supply -= takes;
            }
            if cell.by_rating.is_empty() {
                cell.halo_max = 0;
            }
        }
    }

    /// How many of its players take each role.
    fn takes(&self, slot: Slot) -> [u32; ROLES_MAX] {
        let mut takes = [0; ROLES_MAX];
        for wish in self.wishes(slot) {
            for (role, takes) in takes.iter_mut().enumerate().take(self.slots.len()) {
                *takes += u32::from(wish.takes(role));
            }
        }
        takes
    }

    /// Whether its players can have roles in one team.
    fn is_seated(&self, slot: Slot) -> bool {
        if self.hot(slot).size <= 1 || self.slots.is_empty() {
            return true;
        }
        let wishes: Vec<_> = self.wishes(slot).collect();
        can_seat(&wishes, &self.slots)
    }

    /// Whether two tickets could be in one match, as far as it is up to the two of them.
    pub(super) fn fits(&self, a: Slot, b: Slot) -> bool {
        let (one, other) = (self.hot(a), self.hot(b));
        self.gap(a, b) <= one.window.min(other.window)
            && one.regions & other.regions != 0
            && !self.is_blocked(a, b)
            && (!self.has_distances || self.has_near_numbers(a, b))
            && (!self.has_sets || self.shares_values(a, b))
    }

    /// How far apart their ratings are, uncertainty taken off.
    pub(super) fn gap(&self, a: Slot, b: Slot) -> i32 {
        let (one, other) = (self.hot(a), self.hot(b));
        (one.rating - other.rating).abs() - one.halo.saturating_add(other.halo)
    }

    /// Which rules of [`Room::fits`] keep two tickets apart, and whether their groups do.
    pub(super) fn differences(&self, a: Slot, b: Slot) -> [bool; 7] {
        let (one, other) = (self.hot(a), self.hot(b));
        [
            one.group != other.group,
            self.gap(a, b) > one.window.min(other.window),
            one.regions & other.regions == 0,
            self.is_blocked(a, b),
            !self.has_near_numbers(a, b),
            !self.shares_values(a, b),
            false,
        ]
    }

    /// Whether one has blocked the other, or a user is in both.
    fn is_blocked(&self, a: Slot, b: Slot) -> bool {
        let (one, other) = (self.hot(a), self.hot(b));
        (one.blocks & other.users != 0 && self.waiting(a).blocks(self.waiting(b)))
            || (other.blocks & one.users != 0 && self.waiting(b).blocks(self.waiting(a)))
            || (one.users & other.users != 0 && self.waiting(a).shares_user(self.waiting(b)))
    }

    fn has_near_numbers(&self, a: Slot, b: Slot) -> bool {
        let (ours, theirs) = (self.waiting(a).numbers(), self.waiting(b).numbers());
        let near = &self.stage(self.hot(a)).distances;
        let far = &self.stage(self.hot(b)).distances;
        let mut pairs = ours.iter().zip(theirs).zip(near.iter().zip(far));
        pairs.all(|((a, b), (near, far))| {
            let gap = (a - b).abs();
            gap.is_nan() || gap <= near.min(*far) // who has no number is near everybody
        })
    }

    fn shares_values(&self, a: Slot, b: Slot) -> bool {
        let (ours, theirs) = (self.waiting(a).sets(), self.waiting(b).sets());
        ours.iter().zip(theirs).all(|(ours, theirs)| ours & theirs != 0)
    }
}

/// The places of the bits that are set.
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        lowest
    })
}

/// A bit of a filter for ids.
fn bit(id: &[u8; 16]) -> u64 {
    let mut hash = 0_u64;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    1 << (hash >> 58)
}

/// Rating first, as an unsigned number of the same order.
fn key(rating: i32, slot: Slot) -> u64 {
    u64::from(rating.cast_unsigned() ^ (1 << 31)) << 32 | u64::from(slot.0)
}

fn rating_of(key: u64) -> i32 {
    let high = u32::try_from(key >> 32).expect("32 bits");
    (high ^ (1 << 31)).cast_signed()
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn slot_of(key: u64) -> Slot {
    Slot(key as u32)
}

/// A walk over a cell from one rating outwards, nearest first. It can stop and go on: tickets may
/// come and go meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    rating: i32,
    reach: i32,
    /// Where it goes on below, and above: before and at these keys; `None` at the end.
    below: Option<u64>,
    above: Option<u64>,
}

impl Walk {
    pub(super) fn new(cell: &Cell, anchor: &Hot, slot: Slot) -> Walk {
        let at = key(anchor.rating, slot);
        let reach = anchor.window.saturating_add(anchor.halo).saturating_add(cell.halo_max);
        Walk { rating: anchor.rating, reach, below: Some(at), above: at.checked_add(1) }
    }

    /// Up to `count` of the next ones. Fewer: that was all.
    pub(super) fn next(&mut self, cell: &Cell, count: usize, found: &mut Vec<Slot>) {
        let Walk { rating, reach, .. } = *self;
        let reach = reach.unsigned_abs();
        let near = |key: &u64| rating_of(*key).abs_diff(rating) <= reach;
        let ladder = &cell.by_rating;
        let (mut low, mut high) =
            (self.below.map(|key| ladder.place(key)), self.above.map(|key| ladder.place(key)));
        let down = |low: &mut Option<Place>| {
            low.as_mut().and_then(|place| ladder.down(place)).filter(near)
        };
        let up = |high: &mut Option<Place>| {
            high.as_mut().and_then(|place| ladder.up(place)).filter(near)
        };
        let (mut below, mut above) = (down(&mut low), up(&mut high));
        for _ in 0..count {
            let is_below = match (below, above) {
                (None, None) => break,
                (Some(below), Some(above)) => {
                    rating_of(below).abs_diff(rating) <= rating_of(above).abs_diff(rating)
                }
                (below, _) => below.is_some(),
            };
            match is_below {
                true => {
                    found.extend(below.map(slot_of));
                    self.below = below;
                    below = down(&mut low);
                }
                false => {
                    found.extend(above.map(slot_of));
                    self.above = above.and_then(|above| above.checked_add(1));
                    above = up(&mut high);
                }
            }
        }
        self.below = self.below.filter(|_| below.is_some());
        self.above = self.above.filter(|_| above.is_some());
    }

    pub(super) fn is_over(&self) -> bool {
        self.below.is_none() && self.above.is_none()
    }
}

impl Cell {
    /// Those that have waited longest of those that are overdue.
    pub(super) fn overdue(&self, count: usize) -> impl Iterator<Item = Slot> + '_ {
        self.overdue.iter().take(count).map(|(_, slot)| *slot)
    }
}
