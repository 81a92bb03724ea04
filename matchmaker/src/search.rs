//! One ticket's search for others, as Nakama does it, cut into steps.
//!
//! Hits are examined by their score, then by their age. Where all score the same and cells give
//! them by age, they are examined as they come, and the search ends with the first match;
//! otherwise all are gathered first. Who leaves while a search is interrupted stays in its
//! combination until that is full, or looked at for a match.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use base::SessionId;

use crate::cell::Spot;
use crate::index::{Entry, Index, Slot};
use crate::waiting::Waiting;

/// Combinations of one search that have room for more. Nakama has no such limit.
const COMBINATIONS_MAX: usize = 256;
/// Steps in which subsets are looked for, and tickets that they have, to bring a match to a
/// multiple. Nakama has no such limit.
const SUBSET_STEPS: usize = 32_768;
/// Members of combinations that one hit is compared with. Nakama has no such limit.
const PAIRS_MAX: usize = 4096;
/// Candidates whose memory is called up together.
const AHEAD: usize = 8;
/// Combinations that are kept to be used again.
const SPARE_MAX: usize = 4;
/// Candidates taken from a cell at once.
const CHUNK: usize = 64;

/// Which hits and matches a search takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A match of the max count, of tickets that accept it.
    Full,
    /// In a pass: hits are all those whose counts lie inside the searcher's.
    Pass {
        /// Whether a match below the max count is accepted.
        is_last: bool,
    },
}

/// The greatest one is examined first.
#[derive(Clone, Copy, Debug)]
struct Hit {
    score: f64,
    entry: Entry,
}

impl Ord for Hit {
    fn cmp(&self, other: &Hit) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then(other.entry.created.cmp(&self.entry.created))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Hit) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Hit) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Hit {}

/// The candidates of one lane.
#[derive(Debug)]
struct Source {
    lane: u32,
    /// The last one that was taken.
    after: Option<Spot>,
    /// Whether no more are there.
    is_over: bool,
    chunk: VecDeque<Entry>,
}

impl Source {
    fn new(lane: u32) -> Source {
        Source { lane, after: None, is_over: false, chunk: VecDeque::new() }
    }

    fn fill(&mut self, index: &Index, searcher: &Waiting) {
        let rest = index.candidates(searcher.plan, self.lane, self.after);
        for spot in rest.take(CHUNK) {
            let created = index.waiting(spot.slot()).created;
            self.chunk.push_back(Entry { created, slot: spot.slot() });
            self.after = Some(spot);
        }
        self.is_over = self.chunk.len() < CHUNK;
    }
}

/// The progress of one search.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) searcher: Entry,
    aim: Aim,
    is_mutual: bool,
    /// The newest ticket that belongs to the search.
    pub(crate) until: u64,
    sources: Vec<Source>,
    /// Where all hits are gathered before they are examined, these.
    hits: BinaryHeap<Hit>,
    stage: Stage,
    /// Players of all tickets that the query accepts and the match has room for, whoever they are;
    /// of no meaning in a pass.
    accepted: u64,
    /// Whether a hit was left out for what it is to the searcher: of its session or party.
    has_conflict: bool,
    combinations: Vec<Combination>,
    /// Those of searches before, to be used again.
    spare: Vec<Combination>,
    /// The combination that the last hit joined.
    joined: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Hits are examined as they come.
    Merge,
    Gather,
    /// The gathered ones are.
    Examine,
}

#[derive(Debug, Default)]
struct Combination {
    members: Vec<Entry>,
    /// In order.
    sessions: Vec<SessionId>,
    size: u32,
}

pub(crate) enum Step {
    /// The budget is used up.
    Going,
    Failed {
        /// See [`Search`].
        accepted: u64,
        has_conflict: bool,
    },
    /// The other members, in the order in which they joined.
    Found(Vec<Slot>),
}

impl Search {
    pub(crate) fn new(index: &Index, searcher: Entry, aim: Aim, is_mutual: bool) -> Search {
        let mut search = Search {
            searcher,
            aim,
            is_mutual,
            until: 0,
            sources: Vec::new(),
            hits: BinaryHeap::new(),
            stage: Stage::Merge,
            accepted: 0,
            has_conflict: false,
            combinations: Vec::new(),
            spare: Vec::new(),
            joined: None,
        };
        search.begin(index, searcher, aim, is_mutual);
        search
    }

    /// Another search with the memory of this one.
    pub(crate) fn begin(&mut self, index: &Index, searcher: Entry, aim: Aim, is_mutual: bool) {
        let waiting = index.waiting(searcher.slot);
        let counts = waiting.counts;
        (self.searcher, self.aim, self.is_mutual) = (searcher, aim, is_mutual);
        (self.until, self.accepted, self.has_conflict) = (index.newest(), 0, false);
        self.sources.clear();
        match aim {
            Aim::Full => self.sources.push(Source::new(counts.max())),
            Aim::Pass { .. } => self.sources.extend(index.lanes(counts).map(Source::new)),
        }
        self.hits.clear();
        let is_ordered = index.plan(waiting).is_flat() && index.is_in_order(waiting.plan);
        self.stage = if is_ordered { Stage::Merge } else { Stage::Gather };
        self.joined = None;
        for mut combination in self.combinations.drain(..) {
            if self.spare.len() < SPARE_MAX {
                combination.members.clear();
                combination.sessions.clear();
                combination.size = 0;
                self.spare.push(combination);
            }
        }
    }

    /// Goes on until `budget` candidates were looked at, or there is a result. The searcher waits.
    pub(crate) fn step(&mut self, index: &Index, budget: &mut usize) -> Step {
        let searcher = index.waiting(self.searcher.slot);
        loop {
            *budget = budget.saturating_sub(index.terms.take_looked());
            if *budget == 0 {
                return Step::Going;
            }
            let next = match self.stage {
                Stage::Merge => self.next_hit(index, searcher, budget),
                Stage::Gather => {
                    if self.gather(index, searcher, budget) {
                        self.stage = Stage::Examine;
                    }
                    continue;
                }
                Stage::Examine => {
                    *budget -= 1;
                    match self.hits.pop() {
                        None => Next::End,
                        Some(hit) if index.still(hit.entry).is_none() => Next::Going,
                        Some(hit) => Next::Hit(hit),
                    }
                }
            };
            match next {
                Next::Going => {}
                Next::Hit(hit) => {
                    if let Some(found) = self.examine(index, searcher, hit.entry, budget) {
                        return Step::Found(found);
                    }
                }
                Next::End => return self.end(index, searcher),
            }
        }
    }

    /// Takes the hits of one lane after another, and says whether that were all.
    fn gather(&mut self, index: &Index, searcher: &Waiting, budget: &mut usize) -> bool {
        while let Some(source) = self.sources.last() {
            *budget = budget.saturating_sub(1);
            let mut rest = index.candidates(searcher.plan, source.lane, source.after);
            loop {
                let (mut spots, mut count) = ([Spot(0); AHEAD], 0);
                for (place, spot) in spots.iter_mut().zip(rest.by_ref()) {
                    *place = spot;
                    count += 1;
                    index.call_up(spot.slot());
                }
                for spot in &spots[..count] {
                    let waiting = index.waiting(spot.slot());
                    let entry = Entry { created: waiting.created, slot: spot.slot() };
                    let hit = self.look(index, searcher, entry, waiting, budget);
                    self.hits.extend(hit);
                    *budget = budget.saturating_sub(index.terms.take_looked());
                    if *budget == 0 {
                        if let Some(source) = self.sources.last_mut() {
                            source.after = Some(*spot);
                        }
                        return false;
                    }
                }
                if count < AHEAD {
                    self.sources.pop();
                    break;
                }
            }
        }
        true
    }

    /// The next candidate of all lanes, if it is a hit.
    fn next_hit(&mut self, index: &Index, searcher: &Waiting, budget: &mut usize) -> Next {
        for source in &mut self.sources {
            if source.chunk.is_empty() && !source.is_over {
                source.fill(index, searcher);
                *budget = budget.saturating_sub(1);
            }
        }
        *budget = budget.saturating_sub(self.sources.len() / 16);
        let heads = self.sources.iter().enumerate();
        let heads =
            heads.filter_map(|(at, source)| source.chunk.front().map(|entry| (entry.created, at)));
        let Some((_, first)) = heads.min() else {
            return Next::End;
        };
        let entry = self.sources[first].chunk.pop_front().expect("it has a head");
        // Some leave while a search is interrupted.
        let hit = index.still(entry).and_then(|w| self.look(index, searcher, entry, w, budget));
        hit.map_or(Next::Going, Next::Hit)
    }

    /// Looks at a candidate.
    fn look(
        &mut self,
        index: &Index,
        searcher: &Waiting,
        entry: Entry,
        hit: &Waiting,
        budget: &mut usize,
    ) -> Option<Hit> {
        if entry.created > self.until {
            return None;
        }
        let plan = index.plan(searcher);
        *budget = budget.saturating_sub(plan.weight());
        if hit.counts.min() < searcher.counts.min() {
            return None;
        }
        if entry == self.searcher {
            let group = searcher.group.and_then(|id| index.group(id));
            let accepts_itself = group.is_none_or(|group| !group.is_selfless);
            self.accepted += if accepts_itself { u64::from(hit.size()) } else { 0 };
            return None;
        }
        let score = plan.score(hit, &index.terms)?;
        if self.aim == Aim::Full && !self.is_accepted_by(index, searcher, hit) {
            return None;
        }
        if hit.size() + searcher.size() <= searcher.counts.max() {
            self.accepted += u64::from(hit.size());
        }
        if searcher.shares_party(hit) {
            self.has_conflict = true;
            return None;
        }
        Some(Hit { score, entry })
    }

    fn is_accepted_by(&self, index: &Index, searcher: &Waiting, hit: &Waiting) -> bool {
        !self.is_mutual || index.plan(hit).accepts(searcher, &index.terms)
    }

    fn end(&mut self, index: &Index, searcher: &Waiting) -> Step {
        if self.aim == (Aim::Pass { is_last: true })
            && let Some(joined) = self.joined
        {
            let combination = &mut self.combinations[joined];
            combination.forget_those_who_left(index);
            if combination.size > 0
                && searcher.counts.min() <= searcher.size() + combination.size
                && let Some(found) = accept(index, searcher, combination)
            {
                return Step::Found(found);
            }
        }
        Step::Failed { accepted: self.accepted, has_conflict: self.has_conflict }
    }

    fn examine(
        &mut self,
        index: &Index,
        searcher: &Waiting,
        entry: Entry,
        budget: &mut usize,
    ) -> Option<Vec<Slot>> {
        self.joined = None;
        let hit = index.waiting(entry.slot);
        *budget = budget.saturating_sub((hit.size() * searcher.size() / 64) as usize);
        if hit.shares_session(searcher) {
            self.has_conflict = true;
            return None;
        }
        if self.aim != Aim::Full && !self.is_accepted_by(index, searcher, hit) {
            return None;
        }
        let max = searcher.counts.max();
        let position = self.combination_for(index, hit, max - searcher.size().min(max), budget)?;
        let combination = &mut self.combinations[position];
        combination.members.push(entry);
        combination.size += hit.size();
        combination.take_sessions(hit);
        if combination.size + searcher.size() == max {
            combination.forget_those_who_left(index);
        }
        if combination.size + searcher.size() == max {
            if let Some(found) = accept(index, searcher, combination) {
                return Some(found);
            }
            self.combinations.remove(position); // no room: no later hit can join it
            return None;
        }
        self.joined = Some(position);
        None
    }

    /// The first combination with room for a hit and nobody whom it does not accept, or a new one.
    fn combination_for(
        &mut self,
        index: &Index,
        hit: &Waiting,
        room: u32,
        budget: &mut usize,
    ) -> Option<usize> {
        if hit.size() > room {
            return None;
        }
        let accepts = |a: &Waiting, b: &Waiting| index.plan(a).accepts(b, &index.terms);
        let mut pairs = 0;
        for (position, combination) in self.combinations.iter().enumerate() {
            *budget = budget.saturating_sub(1 + hit.size() as usize / 16);
            let is_free = combination.size + hit.size() <= room
                && !hit.sessions().any(|session| combination.has(session));
            let is_accepted = |member: &Entry| {
                pairs += 1;
                let member = index.still(*member);
                member.is_none_or(|member| accepts(hit, member) && accepts(member, hit))
            };
            if is_free && (!self.is_mutual || combination.members.iter().all(is_accepted)) {
                *budget = budget.saturating_sub(2 * pairs);
                return Some(position);
            }
            if pairs > PAIRS_MAX {
                break;
            }
        }
        *budget = budget.saturating_sub(2 * pairs);
        if self.combinations.len() >= COMBINATIONS_MAX || pairs > PAIRS_MAX {
            return None;
        }
        self.combinations.push(self.spare.pop().unwrap_or_default());
        Some(self.combinations.len() - 1)
    }
}

impl Combination {
    fn has(&self, session: SessionId) -> bool {
        self.sessions.binary_search(&session).is_ok()
    }

    fn take_sessions(&mut self, waiting: &Waiting) {
        for session in waiting.sessions() {
            let at = self.sessions.partition_point(|other| *other < session);
            self.sessions.insert(at, session);
        }
    }

    fn forget_those_who_left(&mut self, index: &Index) {
        let count = self.members.len();
        self.members.retain(|member| index.still(*member).is_some());
        if self.members.len() < count {
            let members = self.members.iter().map(|member| index.waiting(member.slot));
            self.size = members.clone().map(Waiting::size).sum();
            self.sessions.clear();
            self.sessions.extend(members.flat_map(Waiting::sessions));
            self.sessions.sort_unstable();
        }
    }
}

enum Next {
    Hit(Hit),
    Going,
    End,
}

/// The members of a combination that make a match with the searcher, if everybody accepts its size.
fn accept(index: &Index, searcher: &Waiting, combination: &Combination) -> Option<Vec<Slot>> {
    let mut members: Vec<Slot> = combination.members.iter().map(|member| member.slot).collect();
    let mut size = combination.size + searcher.size();
    let excess = size % searcher.counts.multiple();
    if excess > 0 {
        let sizes = members.iter().map(|slot| {
            let waiting = index.waiting(*slot);
            (waiting.size(), waiting.created)
        });
        let removed = excess_of(&sizes.collect::<Vec<_>>(), excess)?;
        let mut position = 0..;
        members.retain(|_| !removed.contains(&position.next().expect("no end")));
        size -= excess;
    }
    let mut all = members.iter().map(|slot| index.waiting(*slot));
    all.all(|member| member.counts.accept(size)).then_some(members)
}

/// Which tickets, of these sizes and creations, are taken out of a match that has so many players
/// above a multiple: of the subsets of this size, the one whose average creation is lowest.
fn excess_of(tickets: &[(u32, u64)], excess: u32) -> Option<Vec<usize>> {
    let subsets = subsets(tickets, excess);
    subsets.into_iter().min_by_key(|subset| subset.average).map(|subset| subset.tickets)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Subset {
    tickets: Vec<usize>,
    average: u64,
}

/// The subsets of exactly this many players, in Nakama's order: first those with the first ticket,
/// then those without it, and in each of them a ticket behind those that follow it.
fn subsets(tickets: &[(u32, u64)], required: u32) -> Vec<Subset> {
    fn walk(
        tickets: &[(u32, u64)],
        at: usize,
        required: u32,
        chosen: usize,
        found: &mut Vec<Subset>,
        left: &mut usize,
    ) {
        let Some((size, created)) = tickets.get(at) else { return };
        if *left == 0 {
            return;
        }
        *left -= 1;
        if *size == required {
            found.push(Subset { tickets: vec![at], average: *created });
            *left = left.saturating_sub(chosen);
        } else if *size < required {
            let from = found.len();
            walk(tickets, at + 1, required - size, chosen + 1, found, left);
            for subset in &mut found[from..] {
                let count = subset.tickets.len() as u128;
                let sum = u128::from(subset.average) * count + u128::from(*created);
                subset.average = u64::try_from(sum / (count + 1)).expect("an average of them");
                subset.tickets.push(at);
            }
        }
        walk(tickets, at + 1, required, chosen, found, left);
    }
    if tickets.iter().all(|(size, _)| *size == 1) {
        // As many subsets as there are ways to choose; only the oldest tickets are asked for.
        let mut oldest: Vec<usize> = (0..tickets.len()).collect();
        oldest.sort_by_key(|at| tickets[*at].1);
        let required = required as usize;
        return match required <= oldest.len() {
            true => vec![Subset { tickets: oldest[..required].to_vec(), average: 0 }],
            false => Vec::new(),
        };
    }
    let mut found = Vec::new();
    walk(tickets, 0, required, 0, &mut found, &mut { SUBSET_STEPS });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case 17 of the reference: a to f are 0 to 5.
    #[test]
    fn subsets_come_in_nakamas_order() {
        let tickets = [(1, 100), (2, 110), (1, 120), (1, 130), (3, 140), (2, 150)];
        let found = subsets(&tickets, 2);
        let expected: [(&[usize], u64); 5] =
            [(&[2, 0], 110), (&[3, 0], 115), (&[1], 110), (&[3, 2], 125), (&[5], 150)];
        let found: Vec<_> = found.iter().map(|s| (s.tickets.as_slice(), s.average)).collect();
        assert_eq!(found, expected);
        assert_eq!(excess_of(&tickets, 2), Some(vec![2, 0]));
    }

    #[test]
    fn of_single_players_the_oldest_go() {
        assert_eq!(excess_of(&[(1, 3), (1, 1), (1, 2)], 2), Some(vec![1, 2]));
        assert_eq!(excess_of(&[(1, 3)], 2), None);
        assert_eq!(excess_of(&[(2, 3), (2, 4)], 1), None);
    }

    #[test]
    fn hostile_sizes_end() {
        let tickets: Vec<_> = (0..1000).map(|at| (1 + u32::from(at % 2 == 0), at)).collect();
        let found = subsets(&tickets, 511);
        assert!(found.iter().map(|subset| subset.tickets.len()).sum::<usize>() <= 2 * SUBSET_STEPS);
    }
}
