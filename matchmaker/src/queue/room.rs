//! The tickets that wait in a queue, found by what has to be equal, by region and by rating.

use std::collections::{BTreeMap, BTreeSet};

use base::{Instant, SessionId, TicketId};

use super::definition::{Definition, ROLES_MAX, Stage};
use super::entrant::{Entrant, UNREACHABLE, fine};
use super::packed::Packed;
use super::roles::Wish;
use crate::ticket::{Presence, Ticket};
use crate::wide::Wide;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// Slots that come into being at once.
const CHUNK: usize = 1024;

/// A ticket that waits. Its age counts from `joined`; of two tickets, the one with the lower
/// `order` came first.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: TicketId,
    pub(super) order: u64,
    pub(super) joined: Instant,
    /// When it enters its next stage, or searches again.
    pub(super) due: Instant,
    /// In sixteenths of a point, as are the next two.
    pub(super) rating: i32,
    /// By so much it counts as nearer.
    pub(super) halo: i32,
    pub(super) window: i32,
    /// A bit for each region that it accepts at its stage.
    pub(super) regions: u32,
    pub(super) group: u32,
    pub(super) stage: u8,
    pub(super) size: u8,
    /// Whether an attempt to match it is queued.
    pub(super) is_queued: bool,
    /// A bit for each of its users, and for each that they block, by hash.
    users: u64,
    blocks: u64,
    pub(super) entrant: Box<Entrant>,
    packed: Packed,
}

impl Waiting {
    pub(super) fn ticket(&self) -> Ticket {
        self.packed.ticket()
    }

    pub(super) fn wishes<'a>(&'a self, stage: &Stage) -> impl Iterator<Item = Wish<'a>> {
        let autofill = stage.autofill;
        self.entrant.players.iter().map(move |player| Wish { named: &player.roles, autofill })
    }
}

/// The tickets of one group that accept one region.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// By rating, then by slot.
    by_rating: BTreeSet<u64>,
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
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) stages: Vec<Stage>,
    /// When its tickets are moved out: those before are gone.
    pub(super) sweep: Slot,
    chunks: Vec<Box<[Option<Waiting>]>>,
    free: Vec<Slot>,
    ids: Wide<TicketId, Slot>,
    /// By session, or by user where there is no session, and by party: each waits once.
    players: Wide<[u8; 16], Slot>,
    groups: Vec<Option<Group>>,
    free_groups: Vec<u32>,
    group_of: BTreeMap<Box<[u8]>, u32>,
    cells_per_group: usize,
    roles: usize,
}

/// Who waits once: a session, or a user that a server speaks for.
pub(super) fn who(presence: &Presence) -> [u8; 16] {
    match is_held(presence) {
        true => *presence.user_id.as_bytes(),
        false => *presence.session_id.as_bytes(),
    }
}

/// All who are known to wait with this ticket.
pub(super) fn known_by(ticket: &Ticket) -> impl Iterator<Item = [u8; 16]> + '_ {
    ticket.entries.iter().map(who).chain(ticket.party.map(|party| *party.as_bytes()))
}

/// Whether a server speaks for the player, who has no session.
pub fn is_held(presence: &Presence) -> bool {
    presence.session_id == SessionId::from_bytes([0; 16])
}

impl Room {
    pub(super) fn new(definition: &Definition) -> Room {
        Room {
            stages: definition.stages(),
            sweep: Slot(0),
            chunks: Vec::new(),
            free: Vec::new(),
            ids: Wide::new(),
            players: Wide::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            group_of: BTreeMap::new(),
            cells_per_group: definition.regions.len().max(1),
            roles: definition.roles.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, id: TicketId) -> Option<Slot> {
        self.ids.get(&id).copied()
    }

    pub(super) fn find_player(&self, who: &[u8; 16]) -> Option<Slot> {
        self.players.get(who).copied()
    }

    /// Slots from this one on, with who waits there.
    pub(super) fn from(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Waiting)> {
        let last = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX);
        let slots = (slot.0..last).map(Slot);
        slots.filter_map(|slot| self.get(slot).map(|waiting| (slot, waiting)))
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Waiting> {
        let index = slot.0 as usize;
        self.chunks.get(index / CHUNK)?[index % CHUNK].as_ref()
    }

    fn entry(&mut self, slot: Slot) -> &mut Option<Waiting> {
        let index = slot.0 as usize;
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    /// The one who waits there.
    ///
    /// # Panics
    /// When nobody does.
    pub(super) fn waiting(&self, slot: Slot) -> &Waiting {
        self.get(slot).expect("the slot is taken")
    }

    pub(super) fn waiting_mut(&mut self, slot: Slot) -> &mut Waiting {
        self.entry(slot).as_mut().expect("the slot is taken")
    }

    /// The ticket that an attempt was queued for, if it waits still.
    pub(super) fn still(&self, slot: Slot, order: u64) -> Option<&Waiting> {
        self.get(slot).filter(|waiting| waiting.order == order)
    }

    pub(super) fn stage(&self, waiting: &Waiting) -> &Stage {
        &self.stages[usize::from(waiting.stage)]
    }

    pub(super) fn insert(
        &mut self,
        definition: &Definition,
        ticket: &Ticket,
        entrant: Entrant,
        order: u64,
        joined: Instant,
    ) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            let first = u32::try_from(self.chunks.len() * CHUNK).expect("there is a limit");
            self.chunks.push((0..CHUNK).map(|_| None).collect());
            let count = u32::try_from(CHUNK).expect("small");
            self.free.extend((first + 1..first + count).rev().map(Slot));
            Slot(first)
        });
        self.ids.insert(ticket.id, slot);
        for player in known_by(ticket) {
            self.players.insert(player, slot);
        }
        let group = self.join_group(&entrant.key);
        let users = entrant.players.iter().map(|player| &player.user);
        let waiting = Waiting {
            id: ticket.id,
            order,
            joined,
            due: joined,
            rating: entrant.rating(),
            halo: fine(entrant.deviation() * definition.rating.uncertainty),
            window: 0,
            regions: 0,
            group,
            stage: 0,
            size: u8::try_from(entrant.players.len()).expect("a team is small"),
            is_queued: false,
            users: users.map(|user| bit(user.as_bytes())).fold(0, |all, bit| all | bit),
            blocks: entrant.blocked.iter().map(|user| bit(user.as_bytes())).fold(0, |a, b| a | b),
            packed: Packed::new(ticket),
            entrant: Box::new(entrant),
        };
        *self.entry(slot) = Some(waiting);
        self.enter(slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Waiting {
        let all = self.waiting(slot).regions;
        self.leave_cells(slot, all);
        let waiting = self.entry(slot).take().expect("the slot is taken");
        self.ids.remove(&waiting.id);
        for player in known_by(&waiting.ticket()) {
            self.players.remove(&player);
        }
        let group = waiting.group as usize;
        let left = self.groups[group].as_mut().expect("the ticket was in it");
        left.tickets -= 1;
        if left.tickets == 0 {
            self.group_of.remove(&left.key);
            self.groups[group] = None;
            self.free_groups.push(waiting.group);
        }
        self.free.push(slot);
        waiting
    }

    fn join_group(&mut self, key: &[u8]) -> u32 {
        let group = match self.group_of.get(key) {
            Some(group) => *group,
            None => {
                let group = self.free_groups.pop().unwrap_or_else(|| {
                    self.groups.push(None);
                    u32::try_from(self.groups.len() - 1).expect("no more than tickets")
                });
                let cells = (0..self.cells_per_group).map(|_| Cell::default()).collect();
                self.groups[group as usize] = Some(Group { key: key.into(), tickets: 0, cells });
                self.group_of.insert(key.into(), group);
                group
            }
        };
        self.groups[group as usize].as_mut().expect("it is there").tickets += 1;
        group
    }

    pub(super) fn cell(&self, group: u32, region: usize) -> &Cell {
        &self.groups[group as usize].as_ref().expect("somebody waits in it").cells[region]
    }

    /// The ticket asks for what its next stage asks for. False, if there is none.
    pub(super) fn advance(&mut self, slot: Slot) -> bool {
        let waiting = self.waiting(slot);
        let next = usize::from(waiting.stage) + 1;
        if next >= self.stages.len() {
            return false;
        }
        let was_autofill = self.stage(waiting).autofill;
        if self.stages[next].autofill != was_autofill {
            // Other roles are counted from here on.
            let all = waiting.regions;
            self.leave_cells(slot, all);
            self.waiting_mut(slot).regions = 0;
        }
        self.waiting_mut(slot).stage = u8::try_from(next).expect("there are few stages");
        self.enter(slot);
        true
    }

    /// Brings the ticket into the cells that its stage lets it into.
    fn enter(&mut self, slot: Slot) {
        let waiting = self.waiting(slot);
        let stage = self.stage(waiting);
        let is_last = usize::from(waiting.stage) + 1 == self.stages.len();
        let window = fine(stage.window);
        let mut accepted = 0;
        let farness = &waiting.entrant.farness;
        for (region, far) in farness.iter().enumerate() {
            if *far != UNREACHABLE && f64::from(*far) <= stage.latency {
                accepted |= 1 << region;
            }
        }
        if farness.is_empty() {
            accepted = 1;
        }
        let mut takes = [0; ROLES_MAX];
        for wish in waiting.wishes(stage) {
            for (role, takes) in takes.iter_mut().enumerate().take(self.roles) {
                *takes += u32::from(wish.takes(role));
            }
        }
        let (key, order, group) = (key(waiting.rating, slot), waiting.order, waiting.group);
        let (size, halo, before) = (usize::from(waiting.size), waiting.halo, waiting.regions);
        let cells = &mut self.groups[group as usize].as_mut().expect("it has joined").cells;
        for (region, cell) in cells.iter_mut().enumerate() {
            if accepted & !before & (1 << region) != 0 {
                cell.by_rating.insert(key);
                cell.players += size;
                cell.halo_max = cell.halo_max.max(halo);
                for (supply, takes) in cell.supply.iter_mut().zip(takes) {
                    *supply += takes;
                }
            }
            if is_last && accepted & (1 << region) != 0 {
                cell.overdue.insert((order, slot));
            }
        }
        let waiting = self.waiting_mut(slot);
        (waiting.window, waiting.regions) = (window, accepted);
    }

    fn leave_cells(&mut self, slot: Slot, regions: u32) {
        let waiting = self.waiting(slot);
        let mut takes = [0; ROLES_MAX];
        for wish in waiting.wishes(self.stage(waiting)) {
            for (role, takes) in takes.iter_mut().enumerate().take(self.roles) {
                *takes += u32::from(wish.takes(role));
            }
        }
        let (key, order, group) = (key(waiting.rating, slot), waiting.order, waiting.group);
        let size = usize::from(waiting.size);
        let cells = &mut self.groups[group as usize].as_mut().expect("it is in it").cells;
        for (region, cell) in cells.iter_mut().enumerate() {
            if regions & (1 << region) == 0 {
                continue;
            }
            cell.by_rating.remove(&key);
            cell.overdue.remove(&(order, slot));
            cell.players -= size;
            for (supply, takes) in cell.supply.iter_mut().zip(takes) {
                *supply -= takes;
            }
            if cell.by_rating.is_empty() {
                cell.halo_max = 0;
            }
        }
    }

    /// Whether two tickets could be in one match, as far as it is up to the two of them, their
    /// regions apart.
    pub(super) fn fits(&self, a: &Waiting, b: &Waiting) -> bool {
        let gap = (a.rating - b.rating).abs() - (a.halo.saturating_add(b.halo));
        gap <= a.window.min(b.window)
            && a.regions & b.regions != 0
            && (a.blocks & b.users == 0 || !blocks(&a.entrant, &b.entrant))
            && (b.blocks & a.users == 0 || !blocks(&b.entrant, &a.entrant))
            && (a.users & b.users == 0 || !shares_user(&a.entrant, &b.entrant))
            && self.has_near_numbers(a, b)
            && a.entrant.sets.iter().zip(&b.entrant.sets).all(|(a, b)| a & b != 0)
    }

    pub(super) fn has_near_numbers(&self, a: &Waiting, b: &Waiting) -> bool {
        let (ours, theirs) = (&a.entrant.numbers, &b.entrant.numbers);
        if ours.is_empty() {
            return true;
        }
        let (near, far) = (&self.stage(a).distances, &self.stage(b).distances);
        let mut pairs = ours.iter().zip(theirs).zip(near.iter().zip(far));
        pairs.all(|((a, b), (near, far))| {
            let gap = (a - b).abs();
            gap.is_nan() || gap <= near.min(*far) // who has no number is near everybody
        })
    }
}

pub(super) fn blocks(a: &Entrant, b: &Entrant) -> bool {
    b.players.iter().any(|player| a.blocked.binary_search(&player.user).is_ok())
}

pub(super) fn shares_user(a: &Entrant, b: &Entrant) -> bool {
    a.players.iter().any(|player| b.players.iter().any(|other| other.user == player.user))
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
    /// Where it goes on below, and above; `None` at the end.
    below: Option<u64>,
    above: Option<u64>,
}

impl Walk {
    pub(super) fn new(cell: &Cell, anchor: &Waiting, slot: Slot) -> Walk {
        let at = key(anchor.rating, slot);
        let reach = anchor.window.saturating_add(anchor.halo).saturating_add(cell.halo_max);
        Walk { rating: anchor.rating, reach, below: at.checked_sub(1), above: at.checked_add(1) }
    }

    /// Up to `count` of the next ones. Fewer: that was all.
    pub(super) fn next(&mut self, cell: &Cell, count: usize, found: &mut Vec<Slot>) {
        let Walk { rating, reach, .. } = *self;
        let is_near = |key: &u64| rating_of(*key).saturating_sub(rating).saturating_abs() <= reach;
        let below = self.below.map(|below| cell.by_rating.range(..=below).rev());
        let above = self.above.map(|above| cell.by_rating.range(above..));
        let mut below = below.into_iter().flatten().copied().take_while(is_near).peekable();
        let mut above = above.into_iter().flatten().copied().take_while(is_near).peekable();
        for _ in 0..count {
            let far = |key: &u64| rating_of(*key).abs_diff(rating);
            let is_below = match (below.peek(), above.peek()) {
                (None, None) => {
                    (self.below, self.above) = (None, None);
                    return;
                }
                (Some(below), Some(above)) => far(below) <= far(above),
                (below, _) => below.is_some(),
            };
            let next = if is_below { below.next() } else { above.next() };
            let Some(next) = next else { return };
            match is_below {
                true => self.below = next.checked_sub(1),
                false => self.above = next.checked_add(1),
            }
            found.push(slot_of(next));
        }
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
