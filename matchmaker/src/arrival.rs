//! A new ticket is tried at once, in both directions: its query against those that wait, and their
//! queries against it.
//!
//! Groups know how many players their query accepts at most ([`Group::fill`]). A new ticket raises
//! that of the groups that accept it, and only those search that could fill a match now. A search
//! that fails says how many there are. So the number is never too small, and is lowered where it
//! matters.
//!
//! Where matches are mutual, each ticket is a group of its own, and only who accepts the new ticket
//! and is accepted by it counts.

use crate::group::GroupId;
use crate::index::{Entry, Index, SeekerPosition, Slot};
use crate::search::{self, Aim, Search};
use crate::waiting::Waiting;

/// Tickets of a group that search for the sake of one arrival, where each fails because of what it
/// shares with others (a session, a party).
const TRIES_MAX: u32 = 8;

/// As many groups are met before those of them that were triggered search.
const FEW: usize = 64;

/// A group, and its birth.
type Group = (GroupId, u64);

/// The progress of one arrival.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) entry: Entry,
    stage: Stage,
    /// Groups that could fill a match.
    triggered: Vec<Group>,
}

#[derive(Debug)]
enum Stage {
    New,
    /// Groups that could accept it are looked at.
    Meet {
        from: Option<SeekerPosition>,
    },
    /// Triggered groups search, one after another.
    Search {
        at: usize,
        turn: Turn,
        /// The groups that are still to be met.
        next: Option<SeekerPosition>,
    },
}

/// A group searches: its tickets do, oldest first, until one has no conflict.
#[derive(Debug, Default)]
struct Turn {
    tries: u32,
    /// The creation of the ticket that searched last.
    tried: u64,
    search: Option<Box<Search>>,
    /// What the group had met when that search began.
    met: u64,
}

pub(crate) enum Step {
    Going,
    Done,
    /// All members of a match, the one that searched last.
    Found(Vec<Slot>),
}

/// Memory of arrivals before, to be used again.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    search: Option<Box<Search>>,
    groups: Vec<Group>,
    triggered: Vec<Group>,
}

impl Spare {
    fn search(&mut self, index: &Index, searcher: Entry, is_mutual: bool) -> Box<Search> {
        match self.search.take() {
            Some(mut search) => {
                search.begin(index, searcher, Aim::Full, is_mutual);
                search
            }
            None => Box::new(Search::new(index, searcher, Aim::Full, is_mutual)),
        }
    }
}

impl Arrival {
    pub(crate) fn new(entry: Entry, spare: &mut Spare) -> Arrival {
        Arrival { entry, stage: Stage::New, triggered: std::mem::take(&mut spare.triggered) }
    }

    /// It is done: its memory is used again.
    pub(crate) fn end(mut self, spare: &mut Spare) {
        self.triggered.clear();
        spare.triggered = self.triggered;
    }

    /// Its search begins anew when it goes on.
    pub(crate) fn forget_search(&mut self) {
        if let Stage::Search { turn, .. } = &mut self.stage {
            *turn = Turn::default();
        }
    }

    /// Goes on until `budget` is used up, or a match is found, after which it can go on.
    pub(crate) fn step(
        &mut self,
        index: &mut Index,
        spare: &mut Spare,
        is_mutual: bool,
        budget: &mut usize,
    ) -> Step {
        loop {
            let Some(waiting) = index.still(self.entry) else { return Step::Done };
            *budget = budget.saturating_sub(index.terms.take_looked());
            if *budget == 0 {
                return Step::Going;
            }
            match &mut self.stage {
                Stage::New => self.begin(index, is_mutual, budget),
                Stage::Meet { from } => {
                    let Some(position) = *from else {
                        self.end_of_meeting(index);
                        continue;
                    };
                    let mut groups = std::mem::take(&mut spare.groups);
                    *from = index.seekers(waiting, position, FEW, &mut groups);
                    let next = *from;
                    *budget = budget.saturating_sub(1);
                    for group in groups.drain(..) {
                        self.meet(index, group, is_mutual, budget);
                    }
                    spare.groups = groups;
                    if next.is_some() && self.triggered.len() >= FEW {
                        self.stage = Stage::Search { at: 0, turn: Turn::default(), next };
                    }
                }
                Stage::Search { .. } => match self.search(index, spare, is_mutual, budget) {
                    Some(step) => return step,
                    None => continue,
                },
            }
        }
    }

    /// Joins those alike, and finds whom to meet.
    fn begin(&mut self, index: &mut Index, is_mutual: bool, budget: &mut usize) {
        let own = index.join_group(self.entry);
        let waiting = index.waiting(self.entry.slot);
        *budget = budget.saturating_sub(2);
        if is_mutual {
            let accepts_itself = index.plan(waiting).accepts(waiting, &index.terms);
            let size = u64::from(waiting.size());
            let group = index.group_mut(own).expect("just joined");
            group.is_counted = true;
            group.fill = if accepts_itself { size } else { 0 };
        }
        self.stage = Stage::Meet { from: Some(SeekerPosition::default()) };
    }

    /// One group is asked whether it accepts the new ticket.
    fn meet(&mut self, index: &mut Index, (id, born): Group, is_mutual: bool, budget: &mut usize) {
        let Some(group) = index.group(id).filter(|group| group.born == born) else { return };
        let new = index.waiting(self.entry.slot);
        *budget = budget.saturating_sub(index.plans.plan(group.plan).weight());
        if group.counts.max() != new.counts.max()
            || (group.counts.min() > new.counts.min() && !is_mutual)
            || group.size + new.size() > group.counts.max()
            || !self.is_accepted(index, id, new, is_mutual)
        {
            return;
        }
        let size = new.size();
        if is_mutual {
            let Some(other) = sole(index, group).filter(|other| other.created != new.created)
            else {
                return;
            };
            if !index.plan(new).accepts(other, &index.terms) {
                return;
            }
            let (min, other_size, own) = (other.counts.min(), other.size(), new.group);
            let new_min = new.counts.min();
            if min >= new_min
                && let Some(own) = own.and_then(|own| index.group_mut(own))
            {
                own.meet(other_size);
            }
            if min > new_min {
                return;
            }
        }
        let group = index.group_mut(id).expect("it was just there");
        group.meet(size);
        if group.is_counted && group.could_fill() {
            self.triggered.push((id, born));
        }
    }

    /// Whether a group accepts the new ticket. Its own one was asked already.
    fn is_accepted(&self, index: &Index, id: GroupId, new: &Waiting, is_mutual: bool) -> bool {
        let group = index.group(id).expect("it was just there");
        if new.group == Some(id) && !is_mutual {
            return !group.is_selfless;
        }
        index.plans.plan(group.plan).accepts(new, &index.terms)
    }

    /// Its own group is tried first, where it is new or could fill a match.
    fn end_of_meeting(&mut self, index: &Index) {
        let own = index.waiting(self.entry.slot).group.expect("it has joined");
        let group = index.group(own).expect("the ticket waits in it");
        let own = (own, group.born);
        if !group.is_counted || group.could_fill() {
            self.triggered.retain(|other| *other != own);
            self.triggered.insert(0, own);
        }
        self.stage = Stage::Search { at: 0, turn: Turn::default(), next: None };
    }

    fn search(
        &mut self,
        index: &mut Index,
        spare: &mut Spare,
        is_mutual: bool,
        budget: &mut usize,
    ) -> Option<Step> {
        let Stage::Search { at, turn, next } = &mut self.stage else {
            return None;
        };
        let Some((id, born)) = self.triggered.get(*at).copied() else {
            if next.is_none() {
                return Some(Step::Done);
            }
            self.triggered.clear();
            self.stage = Stage::Meet { from: *next };
            return None;
        };
        let Some(group) = index.group(id).filter(|group| group.born == born) else {
            (*at, *turn) = (*at + 1, Turn::default());
            return None;
        };
        let met = group.met;
        let running = turn.search.take().filter(|search| index.still(search.searcher).is_some());
        let mut search = match running {
            Some(search) => search,
            None => {
                *budget = budget.saturating_sub(1);
                let Some(next) = index.next_of(group, turn.tried) else {
                    let is_over = index.group_mut(id).is_none_or(|group| group.ends_turn(turn.met));
                    (*at, *turn) = (*at + usize::from(is_over), Turn::default());
                    return None;
                };
                (turn.tries, turn.tried, turn.met) = (turn.tries + 1, next.created, met);
                spare.search(index, next, is_mutual)
            }
        };
        match search.step(index, budget) {
            search::Step::Going => {
                turn.search = Some(search);
                Some(Step::Going)
            }
            search::Step::Found(mut members) => {
                members.push(search.searcher.slot);
                spare.search = Some(search);
                // If the new ticket still waits, the group may fill another one.
                *turn = Turn::default();
                Some(Step::Found(members))
            }
            search::Step::Failed { accepted, has_conflict } => {
                spare.search = Some(search);
                let group = index.group_mut(id).expect("it was just there");
                group.fill = accepted + (met - turn.met);
                if !has_conflict || turn.tries >= TRIES_MAX {
                    let is_over = group.ends_turn(turn.met);
                    (*at, *turn) = (*at + usize::from(is_over), Turn::default());
                }
                None
            }
        }
    }
}

/// The ticket of a group of one.
fn sole<'a>(index: &'a Index, group: &crate::group::Group) -> Option<&'a Waiting> {
    index.next_of(group, 0).map(|entry| index.waiting(entry.slot))
}
