//! One ticket's search for others, as Nakama does it, cut into steps.
//!
//! The hits are the tickets whose range of counts lies inside the searcher's, oldest first. They
//! are merged from the classes that qualify, so that a search costs what it examines.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::{SessionId, UnixTime};

use crate::index::{Class, Index, Slot};
use crate::ticket::Counts;

/// The progress of one search. Lives inside a pool; its slots are of tickets that wait, which
/// [`Search::forget`] keeps true.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) searcher: Slot,
    counts: Counts,
    session: SessionId,
    created: UnixTime,
    /// Whether a match below the max count is accepted.
    last: bool,
    /// The newest ticket that belongs to the pass.
    until: UnixTime,
    /// The next class to look at, while classes are gathered.
    gathering: Option<Class>,
    /// The next hit of each class.
    heads: BinaryHeap<Reverse<(UnixTime, Class)>>,
    /// Combinations with room for more. A hit starts another one only where its session is in all
    /// of these, so there are at most as many as a session has tickets.
    combinations: Vec<Vec<(Slot, SessionId)>>,
}

pub(crate) enum Step {
    Going,
    /// Nothing was found.
    Ended,
    /// The other members, oldest first as far as they joined in that order.
    Found(Vec<Slot>),
}

impl Search {
    pub(crate) fn new(index: &Index, searcher: Slot, last: bool, until: UnixTime) -> Search {
        let waiting = index.waiting(searcher);
        let counts = waiting.counts;
        Search {
            searcher,
            counts,
            session: waiting.session,
            created: waiting.created,
            last,
            until,
            gathering: Some(Class {
                max: counts.min(), // no class inside the range has a smaller one
                min: counts.min(),
                multiple: 0,
            }),
            heads: BinaryHeap::new(),
            combinations: Vec::new(),
        }
    }

    /// One unit of work: looks at one class, or at one hit.
    pub(crate) fn step(&mut self, index: &Index) -> Step {
        if let Some(from) = self.gathering {
            self.gathering = self.gather(index, from);
            return Step::Going;
        }
        let Some(Reverse((created, class))) = self.heads.pop() else {
            return Step::Ended;
        };
        self.push_next(index, class, created);
        let Some(hit) = index.in_class(class, created) else {
            return Step::Going; // left while the search was interrupted
        };
        match self.examine(index, hit) {
            Some(members) => Step::Found(members),
            None => Step::Going,
        }
    }

    /// A ticket left the pool: it is in no combination any more.
    pub(crate) fn forget(&mut self, slot: Slot) {
        for combination in &mut self.combinations {
            combination.retain(|(member, _)| *member != slot);
        }
        self.combinations.retain(|members| !members.is_empty());
    }

    /// Takes one class in, and says where to look next.
    fn gather(&mut self, index: &Index, from: Class) -> Option<Class> {
        let class = index.class_from(from)?;
        if class.max > self.counts.max() {
            return None;
        }
        if class.min < self.counts.min() {
            return Some(Class { min: self.counts.min(), multiple: 0, ..class });
        }
        self.push_next(index, class, UnixTime(0));
        Some(Class { multiple: class.multiple + 1, ..class })
    }

    fn push_next(&mut self, index: &Index, class: Class, after: UnixTime) {
        let mut next = index.next_in_class(class, after, self.until);
        if let Some((created, _)) = next
            && created == self.created
        {
            next = index.next_in_class(class, created, self.until);
        }
        if let Some((created, _)) = next {
            self.heads.push(Reverse((created, class)));
        }
    }

    /// Whether a hit comes after the one that was popped last. Heads that left the pool while the
    /// search was interrupted do not count.
    fn has_more(&mut self, index: &Index) -> bool {
        while let Some(Reverse((created, class))) = self.heads.peek().copied() {
            if index.in_class(class, created).is_some() {
                return true;
            }
            self.heads.pop();
            self.push_next(index, class, created);
        }
        false
    }

    fn examine(&mut self, index: &Index, hit: Slot) -> Option<Vec<Slot>> {
        let session = index.waiting(hit).session;
        if session == self.session {
            return None;
        }
        let position = self.join(hit, session);
        let size = size_with_searcher(&self.combinations[position]);
        let full = size == self.counts.max();
        let enough = self.last && self.counts.min() <= size && !self.has_more(index);
        if full || enough {
            let combination = &self.combinations[position];
            if let Some(members) = accept(index, self.counts, combination) {
                return Some(members);
            }
        }
        if full {
            self.combinations.remove(position); // no room: no later hit can join it
        }
        None
    }

    /// Adds a hit to the first combination that has nobody of its session, or to a new one.
    fn join(&mut self, hit: Slot, session: SessionId) -> usize {
        let free =
            |members: &Vec<(Slot, SessionId)>| members.iter().all(|(_, taken)| *taken != session);
        let position = match self.combinations.iter().position(free) {
            Some(position) => position,
            None => {
                self.combinations.push(Vec::new());
                self.combinations.len() - 1
            }
        };
        self.combinations[position].push((hit, session));
        position
    }
}

/// The members of a combination that make a match with the searcher, if everybody accepts its size.
fn accept(index: &Index, searcher: Counts, combination: &[(Slot, SessionId)]) -> Option<Vec<Slot>> {
    // Players above a multiple of the searcher's. Nakama removes the subset of that size with the
    // lowest average creation: of single players, the oldest ones.
    let excess = (size_with_searcher(combination) % searcher.multiple()) as usize;
    if excess > combination.len() {
        return None;
    }
    let mut members: Vec<Slot> = combination.iter().map(|(slot, _)| *slot).collect();
    members.drain(..excess); // joined in the order of age
    let size = size_with_searcher(&members);
    members.iter().all(|slot| index.waiting(*slot).counts.accept(size)).then_some(members)
}

fn size_with_searcher<T>(others: &[T]) -> u32 {
    u32::try_from(others.len()).expect("a combination is limited by a max count") + 1
}
