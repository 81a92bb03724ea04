//! The pool against a naive, literal model of Nakama's pass, over random calls.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{SessionId, TicketId, UnixTime, UserId};
use matchmaker::{Counts, Error, Match, Mode, Pool, Presence, Query, Settings, Ticket};
use proptest::prelude::*;

/// Section 6 of the reference, step by step, without an index.
struct Model {
    max_intervals: u32,
    pool: Vec<(Ticket, u32)>,
    active: BTreeSet<TicketId>,
}

impl Model {
    fn add(&mut self, ticket: Ticket) {
        self.active.insert(ticket.id);
        self.pool.push((ticket, 0));
    }

    fn remove(&mut self, id: TicketId) {
        self.pool.retain(|(ticket, _)| ticket.id != id);
        self.active.remove(&id);
    }

    fn pass(&mut self) -> Vec<Vec<TicketId>> {
        let mut matches: Vec<Vec<TicketId>> = Vec::new();
        let mut expired = Vec::new();
        for position in 0..self.pool.len() {
            let id = self.pool[position].0.id;
            if !self.active.contains(&id) || matches.iter().flatten().any(|other| *other == id) {
                continue;
            }
            self.pool[position].1 += 1;
            let (a, intervals) = self.pool[position].clone();
            let last = intervals >= self.max_intervals || a.counts.min() == a.counts.max();
            if last {
                expired.push(id);
            }
            let hits: Vec<&Ticket> = self
                .pool
                .iter()
                .map(|(ticket, _)| ticket)
                .filter(|hit| hit.counts.min() >= a.counts.min())
                .filter(|hit| hit.counts.max() <= a.counts.max())
                .filter(|hit| hit.id != a.id && !matches.iter().flatten().any(|id| *id == hit.id))
                .collect();
            if let Some(mut members) = search(&a, &hits, last) {
                members.push(a.id);
                matches.push(members);
            }
        }
        for id in expired {
            self.active.remove(&id);
        }
        for id in matches.iter().flatten() {
            self.remove(*id);
        }
        matches
    }
}

fn search(a: &Ticket, hits: &[&Ticket], last: bool) -> Option<Vec<TicketId>> {
    let max = a.counts.max() as usize;
    let mut combinations: Vec<Vec<&Ticket>> = Vec::new();
    for (position, hit) in hits.iter().enumerate() {
        if session(a) == session(hit) {
            continue;
        }
        let found = combinations.iter().position(|combination| {
            combination.len() + 1 < max
                && combination.iter().all(|member| session(member) != session(hit))
        });
        let found = found.unwrap_or_else(|| {
            combinations.push(Vec::new());
            combinations.len() - 1
        });
        let combination = &mut combinations[found];
        combination.push(hit);
        let mut size = combination.len() + 1;
        let is_last_hit = position == hits.len() - 1;
        let below_max = last && a.counts.min() as usize <= size && size <= max && is_last_hit;
        if size != max && !below_max {
            continue;
        }
        let multiple = a.counts.multiple() as usize;
        let excess = size % multiple;
        if excess != 0 {
            let mut groups = group_indexes(combination, excess);
            if groups.is_empty() {
                continue;
            }
            groups.sort_by_key(|(_, average)| *average);
            let removed = groups.swap_remove(0).0;
            combination.retain(|member| removed.iter().all(|other| other.id != member.id));
            size = combination.len() + 1;
            if !size.is_multiple_of(multiple) {
                continue;
            }
        }
        let accepted = combination.iter().all(|member| {
            let counts = member.counts;
            counts.min() as usize <= size
                && size <= counts.max() as usize
                && size.is_multiple_of(counts.multiple() as usize)
        });
        if accepted {
            return Some(combination.iter().map(|member| member.id).collect());
        }
    }
    None
}

/// All subsets of `tickets` with `required` players and their average creation, in the reference's
/// order: those with the first ticket, appended after the rest, then those without it.
fn group_indexes<'a>(tickets: &[&'a Ticket], required: usize) -> Vec<(Vec<&'a Ticket>, u64)> {
    let Some((first, rest)) = tickets.split_first() else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    match required {
        0 => return groups,
        1 => groups.push((vec![*first], first.created.0)),
        _ => {
            for (mut group, average) in group_indexes(rest, required - 1) {
                let count = group.len() as u64;
                group.push(first);
                groups.push((group, (average * count + first.created.0) / (count + 1)));
            }
        }
    }
    groups.extend(group_indexes(rest, required));
    groups
}

fn session(ticket: &Ticket) -> SessionId {
    ticket.presence.session_id
}

#[derive(Clone, Debug)]
enum Call {
    Add {
        session: u8,
        counts: Counts,
    },
    /// The ticket added that many calls ago, in a ring of those that still wait.
    Remove(prop::sample::Index),
    RemoveSession(u8),
    Interval,
    Step(usize),
}

fn counts() -> impl Strategy<Value = Counts> {
    let free = (2..6_i32, 0..4_i32).prop_map(|(min, more)| (min, min + more, None));
    let even = (1..4_i32, 0..3_i32).prop_map(|(min, more)| (2 * min, 2 * (min + more), Some(2)));
    let threes = (1..3_i32, 0..2_i32).prop_map(|(min, more)| (3 * min, 3 * (min + more), Some(3)));
    let common = Just((2, 4, None));
    prop_oneof![free, even, threes, common]
        .prop_map(|(min, max, multiple)| Counts::new(min, max, multiple).unwrap())
}

fn calls(sessions: u8) -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        8 => (0..sessions, counts()).prop_map(|(session, counts)| Call::Add { session, counts }),
        1 => any::<prop::sample::Index>().prop_map(Call::Remove),
        1 => (0..sessions).prop_map(Call::RemoveSession),
        2 => Just(Call::Interval),
        2 => (1..20_usize).prop_map(Call::Step),
    ];
    prop::collection::vec(call, 1..60)
}

fn settings(mode: Mode) -> Settings {
    Settings { mode, interval: Duration::from_secs(1), max_intervals: 2, max_tickets: 3 }
}

fn ticket(number: u64, session: u8, counts: Counts) -> Ticket {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Ticket {
        id: TicketId::from_bytes(id),
        presence: Presence {
            user_id: UserId::from_bytes([session; 16]),
            session_id: SessionId::from_bytes([session; 16]),
            username: format!("player{session}").into(),
        },
        counts,
        query: Query::All,
        string_properties: BTreeMap::new(),
        numeric_properties: BTreeMap::new(),
        created: UnixTime(number * 1000),
    }
}

/// The tickets that wait, followed from outside, and the properties of every match.
#[derive(Default)]
struct Witness {
    waiting: BTreeMap<TicketId, Ticket>,
}

impl Witness {
    fn check_match(&mut self, formed: &Match) {
        let size = u32::try_from(formed.tickets.len()).unwrap();
        let mut sessions = BTreeSet::new();
        for ticket in &formed.tickets {
            assert!(self.waiting.remove(&ticket.id).is_some(), "a ticket is in at most one match");
            assert!(ticket.counts.accept(size), "every member accepts the size");
            assert!(sessions.insert(session(ticket)), "no two members are of one session");
        }
    }

    fn check_no_full_match(&self) {
        let mut sessions: BTreeMap<u32, BTreeSet<SessionId>> = BTreeMap::new();
        for ticket in self.waiting.values() {
            sessions.entry(ticket.counts.max()).or_default().insert(session(ticket));
        }
        for (max, sessions) in sessions {
            assert!(sessions.len() < max as usize, "a full match of {max} was left");
        }
    }
}

fn apply(pool: &mut Pool, witness: &mut Witness, number: u64, call: &Call) {
    match call {
        Call::Add { session: player, counts } => {
            let ticket = ticket(number, *player, *counts);
            let held = witness.waiting.values().filter(|other| session(other) == session(&ticket));
            let expected = if held.count() < 3 { Ok(()) } else { Err(Error::TooManyTickets) };
            assert_eq!(pool.add(ticket.clone()), expected);
            if expected.is_ok() {
                witness.waiting.insert(ticket.id, ticket);
            }
        }
        Call::Remove(which) => {
            if witness.waiting.is_empty() {
                return;
            }
            let id = *witness.waiting.keys().nth(which.index(witness.waiting.len())).unwrap();
            let ticket = witness.waiting.remove(&id).unwrap();
            let stranger = SessionId::from_bytes([255; 16]);
            assert_eq!(pool.remove(id, stranger), Err(Error::NotFound));
            assert_eq!(pool.remove(id, session(&ticket)), Ok(()));
            assert_eq!(pool.remove(id, session(&ticket)), Err(Error::NotFound));
        }
        Call::RemoveSession(player) => {
            let gone = SessionId::from_bytes([*player; 16]);
            let before = witness.waiting.len();
            witness.waiting.retain(|_, ticket| session(ticket) != gone);
            assert_eq!(pool.remove_session(gone), before - witness.waiting.len());
        }
        Call::Interval => pool.begin_pass(),
        Call::Step(budget) => {
            pool.step(*budget);
        }
    }
}

fn drain(pool: &mut Pool) -> Vec<Match> {
    std::iter::from_fn(|| pool.poll_match()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn compatible_mode_equals_the_model(calls in calls(20), budget in 1..9_usize) {
        let mut pool = Pool::new(settings(Mode::Compatible));
        let mut witness = Witness::default();
        let mut model = Model { max_intervals: 2, pool: Vec::new(), active: BTreeSet::new() };
        for (number, call) in (1..).zip(&calls) {
            let before: BTreeSet<TicketId> = witness.waiting.keys().copied().collect();
            match call {
                Call::Step(_) => continue,
                Call::Interval => {
                    pool.begin_pass();
                    while pool.step(budget) {}
                    let formed = drain(&mut pool);
                    let ids: Vec<Vec<TicketId>> = formed
                        .iter()
                        .map(|formed| formed.tickets.iter().map(|ticket| ticket.id).collect())
                        .collect();
                    prop_assert_eq!(ids, model.pass());
                    for formed in &formed {
                        witness.check_match(formed);
                    }
                }
                Call::Add { .. } | Call::Remove(_) | Call::RemoveSession(_) => {
                    apply(&mut pool, &mut witness, number, call);
                    prop_assert!(drain(&mut pool).is_empty());
                }
            }
            let after: BTreeSet<TicketId> = witness.waiting.keys().copied().collect();
            if let Call::Add { .. } = call {
                for id in after.difference(&before) {
                    model.add(witness.waiting[id].clone());
                }
            } else {
                for id in before.difference(&after) {
                    model.remove(*id);
                }
            }
            prop_assert_eq!(pool.len(), model.pool.len());
            prop_assert_eq!(pool.active_len(), model.active.len());
        }
    }

    #[test]
    fn matches_are_sound_whatever_interrupts_a_pass(
        calls in calls(12),
        immediate in any::<bool>(),
    ) {
        let mode = if immediate { Mode::Immediate } else { Mode::Compatible };
        let mut pool = Pool::new(settings(mode));
        let mut witness = Witness::default();
        for (number, call) in (1..).zip(&calls) {
            apply(&mut pool, &mut witness, number, call);
            for formed in drain(&mut pool) {
                witness.check_match(&formed);
            }
            if immediate {
                witness.check_no_full_match();
            }
            prop_assert_eq!(pool.len(), witness.waiting.len());
        }
        while pool.step(100) {}
    }

    /// Row 17's function, and why the oldest ones are what it removes first.
    #[test]
    fn the_oldest_subset_has_the_lowest_average(
        steps in prop::collection::vec(1..5_u64, 1..9),
        required in 0..8_usize,
    ) {
        let counts = Counts::new(2, 2, None).unwrap();
        let mut created = 0;
        let tickets: Vec<Ticket> = (1..).zip(&steps).map(|(number, step)| {
            created += step;
            Ticket { created: UnixTime(created), ..ticket(number, 1, counts) }
        }).collect();
        let tickets: Vec<&Ticket> = tickets.iter().collect();
        let required = 1 + required % tickets.len();
        let mut groups = group_indexes(&tickets, required);
        groups.sort_by_key(|(_, average)| *average);
        let mut first: Vec<UnixTime> = groups[0].0.iter().map(|ticket| ticket.created).collect();
        first.sort_unstable();
        let oldest: Vec<UnixTime> =
            tickets[..required].iter().map(|ticket| ticket.created).collect();
        prop_assert_eq!(first, oldest);
    }
}
