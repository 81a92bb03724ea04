//! Declared queues against a literal reading of their rules, over random worlds.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, PartyId, SessionId, TicketId, UnixTime, UserId};
use matchmaker::queue::{
    Answer, Attribute, Backfill, Definition, Event, Lineup, Opening, Priority, Properties, Queue,
    Role, Rule, Stage, Steps, Team,
};
use matchmaker::{Counts, Presence, Ticket};
use proptest::prelude::*;

/// A ticket, and when it came.
type Waiting = BTreeMap<TicketId, (Ticket, Instant)>;

/// The rules, word by word, without an index.
struct Model<'a> {
    definition: &'a Definition,
    now: Instant,
}

impl Model<'_> {
    fn stage(&self, joined: Instant) -> Stage {
        let age = self.now.since(joined);
        let stages = self.definition.stages();
        stages.into_iter().rev().find(|stage| stage.from <= age).unwrap()
    }

    fn number(ticket: &Ticket, user: UserId, name: &str) -> Option<f64> {
        let own = ticket.numeric_properties.get(&format!("{name}@{user}"));
        let own = own.filter(|_| ticket.entries.len() > 1);
        own.or_else(|| ticket.numeric_properties.get(name)).copied()
    }

    fn list(ticket: &Ticket, user: UserId, name: &str) -> Vec<String> {
        let own = ticket.string_properties.get(&format!("{name}@{user}"));
        let text = own.or_else(|| ticket.string_properties.get(name)).cloned().unwrap_or_default();
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn users(ticket: &Ticket) -> impl Iterator<Item = UserId> + '_ {
        ticket.entries.iter().map(|entry| entry.user_id)
    }

    #[expect(clippy::cast_precision_loss, reason = "parties are small")]
    fn mean(ticket: &Ticket, name: &str, default: f64) -> f64 {
        let values = Self::users(ticket).map(|u| Self::number(ticket, u, name).unwrap_or(default));
        values.sum::<f64>() / ticket.entries.len() as f64
    }

    /// Whether the ticket accepts the region.
    fn accepts(&self, ticket: &Ticket, joined: Instant, region: &str) -> bool {
        let limit = self.stage(joined).latency;
        Self::users(ticket).all(|user| {
            let latency = |region: &str| Self::number(ticket, user, &format!("latency.{region}"));
            let best = self.definition.regions.iter().filter_map(|region| latency(region));
            let best = best.fold(f64::INFINITY, f64::min);
            latency(region).is_some_and(|latency| (latency - best).ceil() <= limit)
        })
    }

    /// What any two tickets of a match have to be to each other.
    fn fits(&self, a: &(Ticket, Instant), b: &(Ticket, Instant)) -> bool {
        let rating = &self.definition.rating;
        let (sa, sb) = (self.stage(a.1), self.stage(b.1));
        let of = |t: &Ticket| {
            let deviation = Self::mean(t, "rating_deviation", rating.default_deviation);
            (Self::mean(t, "rating", rating.default), deviation * rating.uncertainty)
        };
        let ((ra, ha), (rb, hb)) = (of(&a.0), of(&b.0));
        // In sixteenths, as the queue keeps them: each of five numbers is rounded.
        if (ra - rb).abs() - ha - hb > sa.window.min(sb.window) + 5.0 / 32.0 {
            return false;
        }
        let blocks = |a: &Ticket, b: &Ticket| {
            Self::users(a).any(|user| {
                let blocked = Self::list(a, user, "blocked");
                Self::users(b).any(|other| blocked.contains(&other.to_string()))
            })
        };
        if blocks(&a.0, &b.0) || blocks(&b.0, &a.0) {
            return false;
        }
        let mut distances = sa.distances.iter().zip(&sb.distances);
        self.definition.attributes.iter().all(|Attribute { name, rule }| match rule {
            Rule::Equal => {
                let both = |t: &Ticket| {
                    let number = t.numeric_properties.get(name).copied();
                    (number, t.string_properties.get(name).cloned().filter(|_| number.is_none()))
                };
                both(&a.0) == both(&b.0)
            }
            Rule::Distance(_) => {
                let (near, far) = distances.next().unwrap();
                match (a.0.numeric_properties.get(name), b.0.numeric_properties.get(name)) {
                    (Some(a), Some(b)) => (a - b).abs() <= near.min(*far),
                    _ => true,
                }
            }
            Rule::Intersect(_) => true,
        })
    }

    fn shares_values(&self, tickets: &[&(Ticket, Instant)]) -> bool {
        self.definition.attributes.iter().all(|Attribute { name, rule }| {
            let Rule::Intersect(values) = rule else { return true };
            values.iter().any(|value| {
                tickets.iter().all(|(ticket, _)| {
                    let text = ticket.string_properties.get(name).cloned().unwrap_or_default();
                    text.is_empty() || text.split(',').any(|own| own == value)
                })
            })
        })
    }

    fn takes(&self, ticket: &Ticket, joined: Instant, user: UserId, role: &str) -> bool {
        let named = Self::list(ticket, user, "roles");
        named.is_empty() || named.iter().any(|n| n == role) || self.stage(joined).autofill
    }

    fn check(&self, lineup: &Lineup, waiting: &Waiting) {
        let members: Vec<_> = lineup.tickets.iter().map(|t| &waiting[&t.id]).collect();
        for (place, a) in members.iter().enumerate() {
            for b in &members[place + 1..] {
                assert!(self.fits(a, b), "{a:?} {b:?}");
            }
        }
        assert!(self.shares_values(&members));
        if let Some(region) = lineup.region {
            let names = &self.definition.regions;
            assert!(members.iter().all(|(t, joined)| self.accepts(t, *joined, &names[region])));
        }
        let definition = self.definition;
        let mut sizes = vec![0; definition.teams.len()];
        let mut roles = vec![vec![0; definition.roles.len()]; sizes.len()];
        for ((ticket, joined), seats) in members.iter().zip(&lineup.seats) {
            assert_eq!(ticket.entries.len(), seats.len());
            for (user, seat) in Self::users(ticket).zip(seats) {
                assert_eq!(seat.team, seats[0].team, "a party stays together");
                sizes[seat.team] += 1;
                let Some(role) = seat.role else { continue };
                roles[seat.team][role] += 1;
                let name = &definition.roles[role].name;
                assert!(self.takes(ticket, *joined, user, name));
                let named = Self::list(ticket, user, "roles");
                assert_eq!(seat.is_autofilled, !named.is_empty() && !named.contains(name));
            }
        }
        let is_smaller = members.iter().all(|(_, joined)| self.stage(*joined).smaller);
        for (place, (team, size)) in definition.teams.iter().zip(&sizes).enumerate() {
            assert!((team.min..=team.max).contains(size) && (*size == team.max || is_smaller));
            for (other, same) in definition.teams.iter().zip(&sizes) {
                assert!((team.min, team.max) != (other.min, other.max) || size == same);
            }
            for (role, count) in definition.roles.iter().zip(&roles[place]) {
                assert!(*count <= role.slots);
            }
        }
        let seated = roles.iter().flatten().sum::<usize>();
        assert_eq!(seated, if definition.roles.is_empty() { 0 } else { sizes.iter().sum() });
        let floor = members.iter().map(|(_, joined)| self.stage(*joined).quality);
        assert!((0.0..=1.0).contains(&lineup.quality));
        assert!(lineup.quality >= floor.fold(0.0, f64::max));
        assert!((0.5..=1.0).contains(&lineup.win_probability));
    }

    /// Whether some of those who wait could be a full match, by trying every set of them.
    fn has_match(&self, waiting: &Waiting) -> bool {
        let all: Vec<_> = waiting.values().collect();
        (1_u32..1 << all.len()).any(|set| {
            let members: Vec<_> = all
                .iter()
                .enumerate()
                .filter(|(n, _)| set & 1 << n != 0)
                .map(|(_, w)| *w)
                .collect();
            self.is_match(&members)
        })
    }

    fn is_match(&self, members: &[&(Ticket, Instant)]) -> bool {
        let players: usize = members.iter().map(|(ticket, _)| ticket.entries.len()).sum();
        let regions = &self.definition.regions;
        players == self.definition.players()
            && members
                .iter()
                .enumerate()
                .all(|(place, a)| members[place + 1..].iter().all(|b| self.fits(a, b)))
            && self.shares_values(members)
            && (regions.is_empty()
                || regions.iter().any(|region| {
                    members.iter().all(|(t, joined)| self.accepts(t, *joined, region))
                }))
            && self.deal(members, &mut vec![vec![]; self.definition.teams.len()])
    }

    /// Whether the tickets can be dealt out to teams in which everybody has a role.
    fn deal<'t>(
        &self,
        members: &[&'t (Ticket, Instant)],
        teams: &mut Vec<Vec<&'t (Ticket, Instant)>>,
    ) -> bool {
        let Some((first, rest)) = members.split_first() else {
            return teams.iter().all(|team| self.has_roles(team));
        };
        (0..teams.len()).any(|place| {
            teams[place].push(first);
            let size: usize = teams[place].iter().map(|(t, _)| t.entries.len()).sum();
            let is_good = size <= self.definition.teams[place].max && self.deal(rest, teams);
            teams[place].pop();
            is_good
        })
    }

    fn has_roles(&self, team: &[&(Ticket, Instant)]) -> bool {
        fn give(takes: &[Vec<bool>], slots: &mut [usize]) -> bool {
            let Some((first, rest)) = takes.split_first() else { return true };
            (0..slots.len()).any(|role| {
                let is_free = first[role] && slots[role] > 0;
                is_free && {
                    slots[role] -= 1;
                    let is_good = give(rest, slots);
                    slots[role] += 1;
                    is_good
                }
            })
        }
        let roles = &self.definition.roles;
        let takes: Vec<Vec<bool>> = team
            .iter()
            .flat_map(|(t, joined)| Self::users(t).map(move |user| (t, joined, user)))
            .map(|(t, joined, user)| {
                roles.iter().map(|role| self.takes(t, *joined, user, &role.name)).collect()
            })
            .collect();
        let mut slots: Vec<_> = roles.iter().map(|role| role.slots).collect();
        roles.is_empty() || give(&takes, &mut slots)
    }
}

/// A queue and its model.
struct World {
    queue: Queue,
    definition: Arc<Definition>,
    now: Instant,
    waiting: Waiting,
    asked: BTreeMap<TicketId, Vec<TicketId>>,
    next: u32,
    matched: usize,
}

impl World {
    fn new(definition: Definition) -> World {
        definition.check().unwrap();
        let definition = Arc::new(definition);
        World {
            queue: Queue::new(definition.clone()),
            definition,
            now: Instant(1),
            waiting: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: 1,
            matched: 0,
        }
    }

    fn ticket(&mut self, size: usize) -> Ticket {
        let mut entries = Vec::new();
        for _ in 0..size {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&self.next.to_be_bytes());
            self.next += 1;
            let (user_id, session_id) = (UserId::from_bytes(id), SessionId::from_bytes(id));
            entries.push(Presence { user_id, session_id, username: "".into() });
        }
        let mut id = [1; 16];
        id[..4].copy_from_slice(&self.next.to_be_bytes());
        Ticket {
            id: TicketId::from_bytes(id),
            entries,
            party: None,
            counts: Counts::new(2, 2, None).unwrap(),
            string_properties: BTreeMap::new(),
            numeric_properties: BTreeMap::new(),
            created: UnixTime(u64::from(self.next)),
        }
    }

    fn add(&mut self, ticket: Ticket) {
        self.queue.add(&ticket, self.now).unwrap();
        self.waiting.insert(ticket.id, (ticket, self.now));
    }

    fn settle(&mut self) {
        let model_of = |definition| Model { definition, now: self.now };
        let mut steps = 0;
        loop {
            let is_more = self.queue.step(64, self.now);
            while let Some(event) = self.queue.poll_event() {
                match event {
                    Event::Matched(lineup) => {
                        let asked = lineup.tickets.iter().all(|t| self.asked.contains_key(&t.id));
                        assert_eq!(asked, self.definition.ready.is_some());
                        if !asked {
                            model_of(&self.definition).check(&lineup, &self.waiting);
                        }
                        for ticket in &lineup.tickets {
                            let known = self.waiting.remove(&ticket.id).expect("it waits, once");
                            assert_eq!(known.0, *ticket);
                            self.asked.remove(&ticket.id);
                        }
                        self.matched += 1;
                    }
                    Event::Asked { tickets, .. } => {
                        let all: Vec<_> = tickets.iter().map(|ticket| ticket.id).collect();
                        for id in &all {
                            assert!(self.waiting.contains_key(id));
                            assert_eq!(self.asked.insert(*id, all.clone()), None);
                        }
                    }
                    Event::Dissolved { waiting, gone } => {
                        for ticket in waiting.iter().chain(&gone) {
                            assert!(self.asked.remove(&ticket.id).is_some());
                        }
                        for ticket in gone {
                            self.waiting.remove(&ticket.id).expect("it was there");
                        }
                    }
                    Event::Backfilled { offers, .. } => {
                        for offer in offers {
                            self.waiting.remove(&offer.ticket.id).expect("it was there");
                        }
                    }
                    Event::Dropped { ticket, .. } => {
                        self.waiting.remove(&ticket.id).expect("it was there");
                    }
                }
            }
            if !is_more {
                return;
            }
            steps += 1;
            assert!(steps < 100_000, "there is always more");
        }
    }

    fn pass_time(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.settle();
    }

    fn idle(&self) -> Waiting {
        let mut waiting = self.waiting.clone();
        waiting.retain(|id, _| !self.asked.contains_key(id));
        waiting
    }
}

/// Some of everything that a definition can ask for, for small matches.
fn definitions() -> impl Strategy<Value = Definition> {
    let sizes =
        prop_oneof![Just(vec![1, 1]), Just(vec![2, 2]), Just(vec![1, 1, 1]), Just(vec![3, 1])];
    (sizes, any::<[bool; 8]>(), 0_u8..3).prop_map(|(sizes, flags, uncertainty)| {
        let [roles, regions, equal, distance, intersect, autofill, window, ready] = flags;
        let secs = Duration::from_secs;
        let mut definition = Definition::new("q", 1);
        let team = |(n, max): (usize, &usize)| Team { name: format!("t{n}"), min: *max, max: *max };
        definition.teams = sizes.iter().enumerate().map(team).collect();
        definition.party_sizes = (1..=*sizes.iter().max().unwrap()).collect();
        definition.rating.window = match window {
            true => Steps(vec![(secs(0), 50.0), (secs(5), 100.0), (secs(20), 400.0)]),
            false => Steps::constant(300.0),
        };
        definition.rating.uncertainty = f64::from(uncertainty) / 4.0;
        definition.rating.default_deviation = 40.0;
        if roles && sizes == [2, 2] {
            let role = |name: &str| Role { name: name.into(), slots: 1 };
            definition.roles = vec![role("a"), role("b")];
            definition.autofill = autofill.then_some(secs(10));
        }
        if regions {
            definition.regions = vec!["eu".into(), "us".into(), "asia".into()];
            definition.latency = Steps(vec![(secs(0), 10.0), (secs(8), 60.0)]);
        }
        let mut attribute = |is_there, name: &str, rule| {
            if is_there {
                definition.attributes.push(Attribute { name: name.into(), rule });
            }
        };
        attribute(equal, "build", Rule::Equal);
        let steps = Steps(vec![(secs(0), 1.0), (secs(3), 5.0)]);
        attribute(distance, "level", Rule::Distance(steps));
        attribute(intersect, "map", Rule::Intersect(vec!["x".into(), "y".into(), "z".into()]));
        definition.ready = ready.then_some(secs(10));
        definition
    })
}

#[derive(Clone, Debug)]
enum Action {
    Add { size: usize, numbers: [u8; 8], block: Option<u8> },
    Cancel(u8),
    Time(u16),
    Answer { which: u8, accepts: bool, only_one: bool },
    Redefine(u16),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let add = (1_usize..4, any::<[u8; 8]>(), prop::option::weighted(0.2, any::<u8>()))
        .prop_map(|(size, numbers, block)| Action::Add { size, numbers, block });
    let answer = (any::<u8>(), prop::bool::weighted(0.8), any::<bool>())
        .prop_map(|(which, accepts, only_one)| Action::Answer { which, accepts, only_one });
    let action = prop_oneof![
        6 => add,
        1 => any::<u8>().prop_map(Action::Cancel),
        2 => (0_u16..6_000).prop_map(Action::Time),
        3 => answer,
        1 => (100_u16..400).prop_map(Action::Redefine),
    ];
    prop::collection::vec(action, 1..40)
}

fn properties(definition: &Definition, ticket: &mut Ticket, numbers: [u8; 8], block: Option<u8>) {
    let [rating, deviation, roles, regions, build, level, map, own] = numbers;
    let text = |bits: u8, names: &[&str]| {
        let names = names.iter().enumerate().filter(|(n, _)| bits & 1 << n != 0);
        names.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    };
    let number = &mut ticket.numeric_properties;
    number.insert("rating".into(), 1000.0 + 4.0 * f64::from(rating));
    if deviation % 2 == 0 {
        number.insert("rating_deviation".into(), f64::from(deviation));
    }
    if own % 2 == 0 {
        let last = ticket.entries.last().unwrap().user_id;
        number.insert(format!("rating@{last}"), 1000.0 + 4.0 * f64::from(own));
    }
    if !definition.regions.is_empty() {
        number.insert("latency.eu".into(), f64::from(regions & 15) * 5.0);
        number.insert("latency.us".into(), f64::from(regions >> 4) * 5.0);
    }
    if level % 4 != 0 {
        number.insert("level".into(), f64::from(level % 16));
    }
    let texts = &mut ticket.string_properties;
    texts.insert(
        "roles".into(),
        if definition.roles.is_empty() { String::new() } else { text(roles, &["a", "b"]) },
    );
    texts.insert("build".into(), format!("{}", build % 2));
    texts.insert("map".into(), text(map, &["x", "y", "z"]));
    if let Some(block) = block {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&u32::from(block % 30).to_be_bytes());
        texts.insert("blocked".into(), UserId::from_bytes(id).to_string());
    }
}

fn cases() -> u32 {
    std::env::var("QUEUE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Every match satisfies every rule, no ticket is lost or in two matches, and whoever could be
    /// matched is, as soon as they could be.
    #[test]
    fn matches_are_those_of_the_rules(definition in definitions(), actions in actions()) {
        let mut world = World::new(definition);
        for action in actions {
            match action {
                Action::Add { size, numbers, block } => {
                    let sizes = &world.definition.party_sizes;
                    let size = size.min(*sizes.last().unwrap());
                    let mut ticket = world.ticket(size);
                    properties(&world.definition, &mut ticket, numbers, block);
                    if world.idle().len() < 10 {
                        world.add(ticket);
                    }
                }
                Action::Cancel(which) => {
                    let ids: Vec<_> = world.waiting.keys().copied().collect();
                    if let Some(id) = ids.get(usize::from(which) % ids.len().max(1)) {
                        world.queue.expel(*id).unwrap();
                        if !world.asked.contains_key(id) {
                            world.waiting.remove(id);
                        }
                        prop_assert!(world.queue.expel(*id).is_err());
                    }
                }
                Action::Time(millis) => world.pass_time(Duration::from_millis(millis.into())),
                Action::Answer { which, accepts, only_one } => {
                    let ids: Vec<_> = world.asked.keys().copied().collect();
                    let Some(id) = ids.get(usize::from(which) % ids.len().max(1)) else { continue };
                    let all = if only_one { vec![*id] } else { world.asked[id].clone() };
                    let answer = if accepts { Answer::Accept } else { Answer::Decline };
                    for id in all {
                        for entry in &world.waiting[&id].0.entries {
                            let _ = world.queue.answer(id, Some(entry.session_id), answer);
                        }
                    }
                }
                Action::Redefine(window) => {
                    let mut definition = (*world.definition).clone();
                    definition.rating.window = Steps::constant(window.into());
                    world.definition = Arc::new(definition);
                    world.queue.redefine(world.definition.clone());
                }
            }
            world.settle();
            let idle = world.idle();
            prop_assert_eq!(world.queue.len(), idle.len());
            let model = Model { definition: &world.definition, now: world.now };
            prop_assert!(!model.has_match(&idle), "{:?}", idle);
        }
    }
}

#[test]
fn a_window_widens_until_it_reaches_somebody() {
    let mut world = World::new(Definition::new("duel", 1));
    for rating in [1000.0, 1200.0] {
        let mut ticket = world.ticket(1);
        ticket.numeric_properties.insert("rating".into(), rating);
        world.add(ticket);
    }
    world.settle();
    assert_eq!(world.matched, 0);
    world.pass_time(Duration::from_millis(9_999));
    assert_eq!(world.matched, 0, "100 to 500 in 16 steps of 2.5 s: 175 until 10 s");
    world.pass_time(Duration::from_millis(1));
    assert_eq!(world.matched, 1, "200 from 10 s on");
}

/// A leader writes a property for each member, however few there are.
#[test]
fn what_a_party_of_one_says_of_its_member_counts() {
    let mut world = World::new(Definition::new("duel", 1));
    for _ in 0..2 {
        let mut ticket = world.ticket(1);
        let user = ticket.entries[0].user_id;
        ticket.party = Some(PartyId::from_bytes(*ticket.id.as_bytes()));
        let rating = 1000.0 + 1000.0 * f64::from(u8::from(world.waiting.is_empty()));
        ticket.numeric_properties.insert(format!("rating@{user}"), rating);
        world.add(ticket);
    }
    world.settle();
    assert_eq!(world.matched, 0, "1000 and 2000 are too far apart");
}

#[test]
fn those_who_accepted_go_back_to_the_front_with_their_age() {
    let mut definition = Definition::new("duel", 1);
    definition.ready = Some(Duration::from_secs(10));
    let mut world = World::new(definition);
    let (ann, ben, cat) = (world.ticket(1), world.ticket(1), world.ticket(1));
    for ticket in [&ann, &ben] {
        world.add(ticket.clone());
        world.pass_time(Duration::from_secs(1));
    }
    assert_eq!(world.asked.keys().copied().collect::<Vec<_>>(), [ann.id, ben.id]);
    let session = |ticket: &Ticket| Some(ticket.entries[0].session_id);
    world.queue.answer(ann.id, session(&ann), Answer::Accept).unwrap();
    assert!(world.queue.answer(ann.id, session(&ben), Answer::Accept).is_err(), "not his");
    world.add(cat.clone());
    world.pass_time(Duration::from_secs(20));
    assert!(!world.waiting.contains_key(&ben.id), "he did not answer");
    assert_eq!(world.asked.keys().copied().collect::<Vec<_>>(), [ann.id, cat.id]);
    world.queue.answer(cat.id, session(&cat), Answer::Accept).unwrap();
    world.queue.answer(ann.id, session(&ann), Answer::Accept).unwrap();
    world.settle();
    assert_eq!(world.matched, 1);
    assert!(world.waiting.is_empty());
}

#[test]
fn an_explanation_names_what_keeps_others_away_and_when_that_ends() {
    let mut definition = Definition::new("duel", 1);
    definition.attributes = vec![Attribute { name: "build".into(), rule: Rule::Equal }];
    let mut world = World::new(definition);
    for (rating, build) in [(1000.0, "1"), (1190.0, "1"), (1400.0, "1"), (1000.0, "2")] {
        let mut ticket = world.ticket(1);
        ticket.numeric_properties.insert("rating".into(), rating);
        ticket.string_properties.insert("build".into(), build.into());
        world.add(ticket);
    }
    world.pass_time(Duration::from_secs(5));
    let ids: Vec<_> = world.waiting.keys().copied().collect();
    let explained = world.queue.explain(ids[0], None, world.now).unwrap();
    assert!(explained.is_whole());
    assert_eq!((explained.waited, explained.window), (Duration::from_secs(5), 150.0));
    assert_eq!((explained.others, explained.acceptable), (3, 0));
    let excluded: Vec<_> = explained.excluded.iter().filter(|(_, count)| *count > 0).collect();
    let by_build = ("attributes that have to be equal", 1);
    assert_eq!(excluded, [&by_build, &("rating window", 2)]);
    assert_eq!(explained.next_reach, Some((ids[1], Duration::from_secs(5))), "200 at 10 s");
    let ticket = world.ticket(1);
    assert!(world.queue.explain(ticket.id, None, world.now).is_err());
}

#[test]
fn smaller_teams_are_accepted_after_a_while() {
    let mut definition = Definition::new("arena", 3);
    for team in &mut definition.teams {
        team.min = 2;
    }
    definition.smaller = Some(Duration::from_secs(30));
    let mut world = World::new(definition);
    for _ in 0..5 {
        let ticket = world.ticket(1);
        world.add(ticket);
    }
    world.pass_time(Duration::from_secs(29));
    assert_eq!(world.matched, 0);
    world.pass_time(Duration::from_secs(1));
    assert_eq!((world.matched, world.waiting.len()), (1, 1), "two against two");
}

#[test]
fn a_definition_that_changes_drops_whom_it_does_not_take() {
    let mut world = World::new(Definition::new("team", 2));
    let (party, alone) = (world.ticket(2), world.ticket(1));
    world.add(party);
    world.add(alone.clone());
    world.settle();
    let mut definition = Definition::new("team", 2);
    definition.party_sizes = BTreeSet::from([1]);
    world.definition = Arc::new(definition);
    world.queue.redefine(world.definition.clone());
    assert_eq!(world.queue.len(), 2);
    world.settle();
    assert_eq!(world.waiting.keys().copied().collect::<Vec<_>>(), [alone.id]);
    assert_eq!(world.queue.len(), 1);
}

#[test]
fn a_server_renews_its_tickets_or_loses_them() {
    let mut world = World::new(Definition::new("duel", 1));
    let mut ticket = world.ticket(1);
    ticket.entries[0].session_id = SessionId::from_bytes([0; 16]);
    world.add(ticket.clone());
    world.pass_time(Duration::from_secs(29));
    world.queue.renew(ticket.id, world.now).unwrap();
    world.pass_time(Duration::from_secs(29));
    assert_eq!(world.queue.len(), 1);
    world.pass_time(Duration::from_secs(1));
    assert_eq!(world.queue.len(), 0);
    assert!(world.queue.renew(ticket.id, world.now).is_err());
}

/// Somebody who waits long is not passed over for those who come and are nearer.
#[test]
fn the_oldest_that_fits_is_taken_first() {
    let mut world = World::new(Definition::new("duel", 1));
    let rated = |world: &mut World, rating: f64| {
        let mut ticket = world.ticket(1);
        ticket.numeric_properties.insert("rating".into(), rating);
        world.add(ticket.clone());
        ticket.id
    };
    let old = rated(&mut world, 1000.0);
    world.settle();
    // Everybody else is out of each other's reach, and in that of the last one.
    world.pass_time(Duration::from_secs(60));
    for place in 0..300_u32 {
        rated(&mut world, 2000.0 + 101.0 * f64::from(place));
    }
    world.settle();
    assert_eq!(world.matched, 0);
    rated(&mut world, 1100.0);
    world.settle();
    assert!(!world.waiting.contains_key(&old));
}

/// A running match of two against two that lacks a healer in the second team.
fn backfill(id: u8) -> Backfill {
    Backfill {
        id: TicketId::from_bytes([id; 16]),
        match_id: "match".into(),
        teams: vec![
            Opening { open: 0, rating: Some(1500.0), roles: vec![0, 0] },
            Opening { open: 1, rating: Some(1500.0), roles: vec![0, 1] },
        ],
        region: None,
        rating: 1500.0,
        priority: Priority::High,
        like: Properties::default(),
    }
}

fn world_of_roles() -> World {
    let mut definition = Definition::new("pairs", 2);
    let role = |name: &str| Role { name: name.into(), slots: 1 };
    definition.roles = vec![role("tank"), role("healer")];
    World::new(definition)
}

fn with_role(world: &mut World, role: &str) -> Ticket {
    let mut ticket = world.ticket(1);
    ticket.string_properties.insert("roles".into(), role.into());
    ticket
}

#[test]
fn a_running_match_takes_exactly_whom_it_acknowledges() {
    let mut world = world_of_roles();
    let tank = with_role(&mut world, "tank");
    world.add(tank);
    world.settle();
    let wanted = backfill(9);
    world.queue.add_backfill(wanted.clone(), world.now).unwrap();
    world.settle();
    let offers = |world: &mut World| {
        let (_, backfill, offers) = world.queue.backfill(wanted.id, world.now).unwrap();
        let open = backfill.teams[1].open;
        (open, offers.into_iter().map(|offer| (offer.ticket.id, offer.team)).collect::<Vec<_>>())
    };
    assert_eq!(offers(&mut world), (1, vec![]), "it lacks no tank");
    assert_eq!(world.queue.ticket(wanted.id), None, "it is no ticket");
    assert!(world.queue.explain(wanted.id, None, world.now).is_err());
    let (ann, ben) = (with_role(&mut world, "healer"), with_role(&mut world, "healer"));
    for healer in [&ann, &ben] {
        world.add(healer.clone());
        world.settle();
    }
    assert_eq!(offers(&mut world), (0, vec![(ann.id, 1)]), "one, the one that came first");

    // Nobody answers: she waits again, and is offered again.
    world.pass_time(Duration::from_secs(10));
    assert_eq!(offers(&mut world), (0, vec![(ann.id, 1)]));
    world.queue.expel(ann.id).unwrap();
    world.waiting.remove(&ann.id);
    world.settle();
    assert_eq!(offers(&mut world), (0, vec![(ben.id, 1)]), "she has left");
    for _ in 0..2 {
        let both = [ann.id, ben.id];
        let answer = world.queue.acknowledge(wanted.id, &both, world.now).unwrap();
        assert_eq!((answer.accepted, answer.expired), (vec![ben.id], vec![ann.id]));
    }
    let told = world.queue.poll_event();
    let Some(Event::Backfilled { match_id, offers: told, .. }) = told else {
        panic!("{told:?}");
    };
    assert_eq!((match_id.as_str(), told[0].ticket.id, &told[0].roles), ("match", ben.id, &vec![1]));
    assert_eq!(world.queue.poll_event(), None);
    assert_eq!(offers(&mut world), (0, vec![]));
    world.queue.remove_backfill(wanted.id).unwrap();
    assert!(world.queue.backfill(wanted.id, world.now).is_err());
    assert_eq!(world.queue.len(), 1, "the tank waits still");
}

#[test]
fn a_match_that_nobody_asks_about_looks_for_nobody() {
    let mut world = world_of_roles();
    world.queue.add_backfill(backfill(9), world.now).unwrap();
    let ann = with_role(&mut world, "healer");
    world.add(ann.clone());
    world.settle();
    assert_eq!(world.queue.len(), 0, "she is offered to it");
    world.pass_time(Duration::from_secs(30));
    assert!(world.queue.backfill(backfill(9).id, world.now).is_err(), "its lease is over");
    assert_eq!(world.queue.ticket(ann.id), Some(ann), "she waits again");
}

/// What is offered by one definition is named by it, and a running match that makes no sense by
/// the next one ends.
#[test]
fn a_definition_that_changes_meets_running_matches() {
    let mut world = world_of_roles();
    let wanted = backfill(9);
    world.queue.add_backfill(wanted.clone(), world.now).unwrap();
    let healer = with_role(&mut world, "healer");
    world.add(healer.clone());
    world.settle();
    let was = world.definition.clone();
    let mut wider = (*was).clone();
    wider.rating.window = Steps::constant(1000.0);
    let mut smaller = Definition::new("pairs", 1);
    smaller.teams.truncate(1);
    smaller.teams[0].max = 2;
    for (definition, is_kept) in [(wider, true), (smaller, false)] {
        world.definition = Arc::new(definition);
        world.queue.redefine(world.definition.clone());
        let (names, _, offers) = world.queue.backfill(wanted.id, world.now).unwrap();
        assert_eq!((names, offers[0].ticket.id), (&was, healer.id), "nothing has moved yet");
        world.settle();
        assert_eq!(world.queue.backfill(wanted.id, world.now).is_ok(), is_kept);
    }
    assert!(world.waiting.is_empty(), "she has a role that the queue has no more, and is told");
}

#[test]
fn new_matches_come_first_where_a_running_one_is_patient() {
    for (priority, matched) in [(Priority::High, 0), (Priority::Low, 1)] {
        let mut world = World::new(Definition::new("duel", 1));
        let open = |open| Opening { open, rating: None, roles: vec![] };
        let teams = vec![open(0), open(1)];
        let wanted = Backfill { teams, priority, ..backfill(9) };
        world.queue.add_backfill(wanted.clone(), world.now).unwrap();
        // The first one is out of the running match's reach, the second one in that of both.
        for rating in [1610.0, 1550.0] {
            let mut ticket = world.ticket(1);
            ticket.numeric_properties.insert("rating".into(), rating);
            world.add(ticket);
            world.settle();
        }
        assert_eq!(world.matched, matched, "{priority:?}");
        let (_, _, offers) = world.queue.backfill(wanted.id, world.now).unwrap();
        assert_eq!(offers.len(), 1 - matched, "{priority:?}");
    }
}

#[test]
fn a_backfill_that_makes_no_sense_is_refused() {
    let mut world = world_of_roles();
    let mut check = |change: &dyn Fn(&mut Backfill), expected: &str| {
        let mut backfill = backfill(9);
        change(&mut backfill);
        let refused = world.queue.add_backfill(backfill, world.now).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    };
    check(&|b| drop(b.teams.pop()), "There has to be one opening for each team of the queue.");
    let open = "Somebody has to be able to come, no more than a team has room for.";
    check(&|b| b.teams[1] = Opening::default(), open);
    check(&|b| b.teams[0].open = 3, open);
    let roles = "Open roles have to be those of the queue, and as many as can come.";
    check(&|b| b.teams[1].roles = vec![1, 1], roles);
    check(&|b| b.teams[1].roles = vec![1], roles);
    check(&|b| b.region = Some(0), "The queue has no such region.");
    check(&|b| b.rating = f64::NAN, "A rating is a number from -1000000 to 1000000.");
    assert_eq!(world.queue.len(), 0);
}
