//! What holds of an index after every call, and pools that come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use base::rng::Rng;
use base::{Instant, UnixTime, UserId};

use super::*;
use crate::pool::{Mode, Pool, Settings};
use crate::ticket::Presence;

impl Index {
    /// Every stored ticket is in its cell of each shape as far as that is built, in its lane and
    /// group, and in the lists of its sessions and party; and nothing else is.
    pub(crate) fn check(&self) {
        let stored: Vec<(Entry, &Waiting)> = self
            .stored(0)
            .map(|(slot, waiting)| (Entry { created: waiting.created, slot: Slot(slot) }, waiting))
            .collect();
        assert_eq!(stored.len(), self.len());
        let created = stored.iter().map(|(entry, _)| entry.created).collect::<BTreeSet<_>>();
        assert_eq!(created.len(), stored.len());
        assert_eq!(created.first().copied(), self.oldest());
        assert!(created.last().is_none_or(|last| *last <= self.newest));

        let (mut sessions, mut parties) = (0, 0);
        let mut lanes: BTreeMap<u32, BTreeSet<i128>> = BTreeMap::new();
        for (entry, waiting) in &stored {
            assert_eq!(self.find(waiting.id()), Some(entry.slot));
            for session in waiting.sessions() {
                sessions += 1;
                assert!(self.of_session(session).any(|slot| slot == entry.slot));
            }
            if let Some(party) = waiting.party() {
                parties += 1;
                assert!(self.of_party(party).any(|slot| slot == entry.slot));
            }
            let spot = Spot::of_creation(entry.created, entry.slot).0;
            lanes.entry(waiting.counts.max()).or_default().insert(spot);
        }
        assert_eq!(self.ids.len(), stored.len());
        assert_eq!((self.sessions.len(), self.parties.len()), (sessions, parties));
        let held = self.lanes.iter().map(|(lane, line)| (*lane, line.iter().collect()));
        assert!(held.eq(lanes));

        assert!(self.shapes.len() <= SHAPES_MAX);
        for (position, shape) in self.shapes.iter().enumerate() {
            self.check_shape(position, shape, &stored);
        }
        self.check_groups(&stored);
        if stored.is_empty() {
            let fields: BTreeSet<Term> = self.shapes.iter().flat_map(Shape::fields).collect();
            assert_eq!(self.terms.len(), fields.len(), "only shapes hold terms");
        }
    }

    fn check_shape(&self, position: usize, shape: &Shape, stored: &[(Entry, &Waiting)]) {
        let plans: BTreeSet<PlanId> = stored.iter().map(|(_, waiting)| waiting.plan).collect();
        let shape_of = |plan: &&PlanId| usize::from(self.plans.held(**plan).shape);
        let plans = plans.iter().filter(|plan| shape_of(plan) == position).count();
        assert_eq!(shape.plans as usize, plans + usize::from(position == 0));
        let mut cells: BTreeMap<u64, BTreeSet<i128>> = BTreeMap::new();
        for (entry, waiting) in stored {
            let lane = waiting.counts.max();
            let is_there = shape.build.is_none_or(|build| {
                lane < build.lane || (lane == build.lane && entry.created <= build.created)
            });
            let place = shape.cell_of(waiting, &self.terms, self.hash);
            if let Some((key, number)) = place.filter(|_| is_there && position > 0) {
                cells.entry(key).or_default().insert(shape.spot(waiting, number, entry.slot).0);
            }
        }
        for (key, cell) in shape.cells.iter() {
            assert!(!cell.is_empty());
            let held: BTreeSet<i128> = cell.tickets.iter().collect();
            assert_eq!(held, cells.remove(key).unwrap_or_default());
        }
        assert!(cells.is_empty());
    }

    fn check_groups(&self, stored: &[(Entry, &Waiting)]) {
        let mut joined = 0;
        let (mut groups, mut of_plans) = (0, 0);
        for (number, group) in self.groups.from(0) {
            let id = GroupId::of_number(number);
            assert!(!group.tickets.is_empty());
            joined += group.tickets.iter().count();
            for spot in group.tickets.iter() {
                let slot = Spot(spot).slot();
                let waiting = self.waiting(slot);
                assert_eq!(Spot(spot), Spot::of_creation(waiting.created, slot));
                assert_eq!(waiting.group, Some(id));
                assert_eq!((waiting.plan, waiting.size()), (group.plan, group.size));
            }
            let is_of_plan = self.plans.held(group.plan).group == Some(id);
            (groups, of_plans) = (groups + 1, of_plans + usize::from(is_of_plan));
            let mut alike = self.groups_alike.all(group.hash(self.hash));
            assert_eq!(alike.any(|other| other == number), !self.is_mutual && !is_of_plan);
        }
        assert_eq!(stored.iter().filter(|(_, waiting)| waiting.group.is_some()).count(), joined);
        let listed = if self.is_mutual { 0 } else { groups - of_plans };
        assert_eq!(self.groups_alike.len(), listed);
        self.check_seekers(stored);
    }

    fn check_seekers(&self, stored: &[(Entry, &Waiting)]) {
        let mut seekers: BTreeMap<(usize, u64), BTreeSet<Seeker>> = BTreeMap::new();
        for (_, waiting) in stored {
            let Some(group) = waiting.group else { continue };
            let held = self.plans.held(waiting.plan);
            let own = &self.shapes[usize::from(held.shape)];
            let span = own.spanned.and_then(|field| held.plan.span_of(field));
            let seeker = Seeker::new(span, group);
            let matches = cell_key(waiting.counts.max(), held.values, self.hash);
            if !self.is_mutual {
                seekers.entry((held.shape.into(), matches)).or_default().insert(seeker);
                continue;
            }
            for (position, shape) in self.shapes.iter().enumerate() {
                let cell = shape.cell_of(waiting, &self.terms, self.hash);
                if let Some((cell, _)) = cell.filter(|_| shape.has(waiting)) {
                    let pair = pair_key(held.shape.into(), matches, cell, self.hash);
                    seekers.entry((position, pair)).or_default().insert(seeker);
                }
            }
        }
        for (position, shape) in self.shapes.iter().enumerate() {
            for (key, cell) in shape.cells.iter() {
                let held: BTreeSet<Seeker> = cell.seekers.iter().map(Seeker).collect();
                assert_eq!(held, seekers.remove(&(position, *key)).unwrap_or_default());
            }
        }
        assert!(seekers.is_empty());
    }
}

const NOW: Instant = Instant(0);

fn pool(mode: Mode, rev_precision: bool) -> Pool {
    let settings = Settings {
        mode,
        interval: Duration::from_secs(1),
        max_intervals: 2,
        max_tickets: 3,
        rev_precision,
        rev_threshold: 0,
    };
    Pool::new(settings, 7, "n")
}

fn ticket(number: u64, entries: usize, counts: Counts, properties: &[(String, f64)]) -> Ticket {
    let id = u128::from(number).to_be_bytes();
    let session = |at: usize| (u128::from(number) << 64 | at as u128).to_be_bytes();
    let entries = (0..entries).map(|at| Presence {
        user_id: UserId::from_bytes(id),
        session_id: SessionId::from_bytes(session(at)),
        username: "player".into(),
    });
    Ticket {
        id: TicketId::from_bytes(id),
        entries: entries.collect(),
        party: number.is_multiple_of(3).then(|| PartyId::from_bytes(id)),
        counts,
        string_properties: [("name".to_owned(), number.to_string())].into(),
        numeric_properties: properties.iter().cloned().collect(),
        created: UnixTime(number),
    }
}

/// One of 64 shapes, half of them with a span.
fn shaped(rng: &mut Rng) -> (String, Vec<(String, f64)>) {
    let mut clauses = Vec::new();
    let mut properties = Vec::new();
    let kinds = rng.below(32);
    for field in (0..5).filter(|field| kinds >> field & 1 == 1) {
        let value = rng.below(2);
        clauses.push(format!("+properties.f{field}:{value}"));
        properties.push((format!("f{field}"), value.into()));
    }
    let rating = rng.below(100);
    properties.push(("rating".into(), rating.into()));
    if rng.below(2) == 0 {
        clauses.push(format!("+properties.rating:>={}", rating.saturating_sub(5)));
        clauses.push(format!("+properties.rating:<={}", rating + 5));
    }
    (clauses.join(" "), properties)
}

#[test]
fn an_index_is_whole_while_tickets_of_many_shapes_come_and_go() {
    for (seed, mode, rev_precision) in
        [(1, Mode::Immediate, false), (2, Mode::Immediate, true), (3, Mode::Compatible, false)]
    {
        let mut rng = Rng::from_seed([seed; 32]);
        let mut pool = pool(mode, rev_precision);
        for number in 1..=6_000 {
            let (query, properties) = shaped(&mut rng);
            let (min, max) = [(2, 2), (2, 4), (8, 8), (30, 30)][rng.below(4) as usize];
            let counts = Counts::new(min, max, None).expect("good counts");
            let size = 1 + rng.below(3) as usize;
            let ticket = ticket(number, size, counts, &properties);
            pool.add(ticket, &Query::parse(&query).expect("a query")).expect("room");
            let leavers = if number % 2_000 < 1_000 { rng.below(2) } else { rng.below(3) };
            for _ in 0..leavers {
                let places = pool.index.stored(0).last().map_or(1, |(last, _)| last + 1);
                let slot = rng.below(places);
                if let Some(waiting) = pool.index.tickets.find(slot) {
                    pool.expel(waiting.id()).expect("it waits");
                }
            }
            pool.step(rng.below(100) as usize, NOW);
            if number % 300 == 0 {
                pool.begin_pass(NOW);
            }
            if number % 250 == 0 {
                pool.index.check();
                check_seekers(&pool.index);
            }
        }
        assert_eq!(pool.index.shapes.len(), SHAPES_MAX);
        while pool.step(1000, NOW) {}
        pool.index.check();
        assert!(pool.len() > 10, "{}", pool.len());
        let waiting = pool.index.stored(0).map(|(_, waiting)| waiting.id());
        waiting.collect::<Vec<_>>().iter().for_each(|id| pool.expel(*id).expect("it waits"));
        pool.index.check();
        assert!(pool.is_empty() && pool.active_len() == 0);
        while pool.step(1000, NOW) {}
        assert!(!pool.has_work());
        assert!(pool.index.shapes.iter().all(|shape| shape.cells.iter().next().is_none()));
    }
}

/// Every group that accepts a ticket, and is accepted by it where matches are mutual, is found, a
/// few at a time or all at once.
fn check_seekers(index: &Index) {
    let built = index.stored(0).filter(|(_, waiting)| index.is_built(waiting.plan));
    for (_, waiting) in built.take(20) {
        let all_by = |most| {
            let (mut all, mut from) = (Vec::new(), Some(SeekerPosition::default()));
            while let Some(position) = from {
                let mut found = Vec::new();
                from = index.seekers(waiting, position, most, &mut found);
                all.extend(found.into_iter().map(|(id, _)| id));
            }
            all
        };
        let all = all_by(usize::MAX);
        assert_eq!(all_by(1), all);
        assert_eq!(all_by(7), all);
        let accepting = index.groups.from(0).filter(|(_, group)| {
            let plan = index.plans.plan(group.plan);
            let is_accepted =
                |spot| index.plan(waiting).accepts(index.waiting(Spot(spot).slot()), &index.terms);
            group.counts.max() == waiting.counts.max()
                && plan.accepts(waiting, &index.terms)
                && (!index.is_mutual || group.tickets.iter().any(is_accepted))
        });
        for (number, _) in accepting {
            assert!(all.contains(&GroupId::of_number(number)));
        }
    }
}

/// A step that meets many long texts looks at few of them.
#[test]
fn what_patterns_look_at_is_part_of_the_budget() {
    let mut pool = pool(Mode::Compatible, false);
    let pair = Counts::new(2, 2, None).expect("good counts");
    for number in 1..=100 {
        let mut ticket = ticket(number, 1, pair, &[]);
        ticket.string_properties.insert("text".into(), format!("{number}{}", "a".repeat(1000)));
        pool.add(ticket, &Query::parse("properties.text:/.*b/").expect("a query")).expect("room");
    }
    pool.begin_pass(NOW);
    let steps = (0..).take_while(|_| pool.step(100, NOW)).count();
    assert!(steps > 100, "{steps}");
    assert_eq!(pool.active_len(), 0);
}

#[test]
fn a_shape_takes_the_place_of_one_that_nobody_uses() {
    let pair = Counts::new(2, 2, None).expect("good counts");
    let mut pool = pool(Mode::Immediate, false);
    let add = |pool: &mut Pool, number: u64, shape: u64| {
        let query = Query::parse(&format!("+properties.f{shape}:1")).expect("a query");
        let properties = [(format!("g{shape}"), 1.0)];
        pool.add(ticket(number, 1, pair, &properties), &query).expect("room");
        while pool.step(1, NOW) {}
        pool.index.check();
    };
    for number in 1..=40 {
        add(&mut pool, number, number);
    }
    assert_eq!(pool.index.shapes[0].plans, 1 + 9, "the last nine have none of their own");
    let slot = pool.index.find(TicketId::from_bytes(5_u128.to_be_bytes())).expect("it waits");
    let plan = pool.index.waiting(slot).plan;
    let place = usize::from(pool.index.plans.held(plan).shape);
    pool.expel(pool.index.waiting(slot).id()).expect("it waits");
    assert_eq!(pool.index.shapes[place].plans, 0);
    add(&mut pool, 41, 41);
    assert_eq!(pool.index.shapes[place].plans, 1);
    assert_eq!(pool.index.shapes[0].plans, 1 + 9);
    // Those of no shape of their own are found, and find.
    let found = |pool: &mut Pool, number, query: &str, properties: &[(String, f64)]| {
        let query = Query::parse(query).expect("a query");
        pool.add(ticket(number, 1, pair, properties), &query).expect("room");
        while pool.step(1, NOW) {}
        pool.index.check();
        pool.poll_match().expect("a match").tickets.len()
    };
    assert_eq!(found(&mut pool, 100, "+properties.none:1", &[("f40".into(), 1.0)]), 2);
    assert_eq!(found(&mut pool, 101, "+properties.none:1", &[("f41".into(), 1.0)]), 2);
    assert_eq!(found(&mut pool, 102, "+properties.g39:1", &[]), 2);
}
