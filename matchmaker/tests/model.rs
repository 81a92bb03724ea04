//! The pool against a naive, literal model of Nakama's pass, over random worlds.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{Instant, PartyId, SessionId, TicketId, UnixTime, UserId};
use matchmaker::query::{Document, Value};
use matchmaker::{Counts, Error, Match, Mode, Owner, Pool, Presence, Query, Settings, Ticket};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A ticket as the model sees it: a document, and a query over documents.
#[derive(Clone, Debug)]
struct Waiting {
    ticket: Ticket,
    query: Query,
    intervals: u32,
}

impl Document for Waiting {
    #[expect(clippy::cast_precision_loss, reason = "as it is indexed in Nakama")]
    fn any(&self, field: &str, accepts: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let ticket = &self.ticket;
        match field {
            "ticket" => accepts(Value::Text(&ticket.id.to_string())),
            "min_count" => accepts(Value::Number(ticket.counts.min().into())),
            "max_count" => accepts(Value::Number(ticket.counts.max().into())),
            "created_at" => accepts(Value::Number(ticket.created.0 as f64)),
            "party_id" => {
                accepts(Value::Text(&ticket.party.map_or(String::new(), |p| format!("{p}.n"))))
            }
            field => {
                let Some(name) = field.strip_prefix("properties.") else { return false };
                match (ticket.numeric_properties.get(name), ticket.string_properties.get(name)) {
                    (Some(number), _) => accepts(Value::Number(*number)),
                    (None, Some(text)) => accepts(Value::of_text(text)),
                    (None, None) => false,
                }
            }
        }
    }
}

impl Waiting {
    fn size(&self) -> u32 {
        u32::try_from(self.ticket.entries.len()).unwrap()
    }

    fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.ticket.entries.iter().map(|entry| entry.session_id)
    }

    fn accepts(&self, other: &Waiting) -> bool {
        self.query.score(other).is_some()
    }

    fn shares_session(&self, other: &Waiting) -> bool {
        self.sessions().any(|session| other.sessions().any(|other| session == other))
    }
}

/// Section 6 of the reference, step by step, without an index.
struct Model {
    settings: Settings,
    /// By age.
    pool: Vec<Waiting>,
    active: BTreeSet<TicketId>,
    newest: u64,
}

impl Model {
    fn new(settings: Settings) -> Model {
        Model { settings, pool: Vec::new(), active: BTreeSet::new(), newest: 0 }
    }

    fn add(&mut self, mut ticket: Ticket, query: Query) {
        self.newest = ticket.created.0.max(self.newest + 1);
        ticket.created = UnixTime(self.newest);
        if self.settings.mode == Mode::Compatible || ticket.counts.min() < ticket.counts.max() {
            self.active.insert(ticket.id);
        }
        self.pool.push(Waiting { ticket, query, intervals: 0 });
    }

    fn find(&self, id: TicketId) -> &Waiting {
        self.pool.iter().find(|waiting| waiting.ticket.id == id).unwrap()
    }

    fn remove(&mut self, id: TicketId) -> Waiting {
        self.active.remove(&id);
        let position = self.pool.iter().position(|waiting| waiting.ticket.id == id);
        self.pool.remove(position.expect("it waits"))
    }

    fn remove_all(&mut self, leaves: impl Fn(&Waiting) -> bool) -> usize {
        let all = self.pool.iter().filter(|w| leaves(w)).map(|w| w.ticket.id).collect::<Vec<_>>();
        all.iter().for_each(|id| drop(self.remove(*id)));
        all.len()
    }

    fn pass(&mut self) -> Vec<Vec<TicketId>> {
        let mut matches: Vec<Vec<TicketId>> = Vec::new();
        let mut expired = Vec::new();
        for position in 0..self.pool.len() {
            let id = self.pool[position].ticket.id;
            if !self.active.contains(&id) || matches.iter().flatten().any(|other| *other == id) {
                continue;
            }
            self.pool[position].intervals += 1;
            let a = &self.pool[position];
            let counts = a.ticket.counts;
            let last = a.intervals >= self.settings.max_intervals || counts.min() == counts.max();
            if last {
                expired.push(id);
            } else if self.settings.mode == Mode::Immediate {
                continue;
            }
            let matched = |id| matches.iter().flatten().any(|other| *other == id);
            let hits = self
                .hits(a, |hit| hit.ticket.counts.max() <= counts.max() && !matched(hit.ticket.id));
            if let Some(mut members) = search(a, &hits, last, self.settings.rev_precision) {
                members.push(id);
                matches.push(members);
            }
        }
        self.active.retain(|id| !expired.contains(id));
        matches.iter().flatten().for_each(|id| drop(self.remove(*id)));
        matches
    }

    fn hits(&self, a: &Waiting, admits: impl Fn(&Waiting) -> bool) -> Vec<&Waiting> {
        let hits = self.pool.iter().filter_map(|hit| Some((a.query.score(hit)?, hit)));
        let mut hits: Vec<_> = hits
            .filter(|(_, hit)| hit.ticket.counts.min() >= a.ticket.counts.min())
            .filter(|(_, hit)| a.ticket.party.is_none() || hit.ticket.party != a.ticket.party)
            .filter(|(_, hit)| hit.ticket.id != a.ticket.id && admits(hit))
            .collect();
        hits.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        hits.into_iter().map(|(_, hit)| hit).collect()
    }

    /// Whether a ticket finds a match of its max count among tickets of the same one.
    fn finds_full_match(&self, a: &Waiting) -> bool {
        let hits = self.hits(a, |hit| hit.ticket.counts.max() == a.ticket.counts.max());
        search(a, &hits, false, self.settings.rev_precision).is_some()
    }
}

fn search(a: &Waiting, hits: &[&Waiting], last: bool, is_mutual: bool) -> Option<Vec<TicketId>> {
    let counts = a.ticket.counts;
    let mut combinations: Vec<Vec<&Waiting>> = Vec::new();
    for (position, hit) in hits.iter().enumerate() {
        if (is_mutual && !hit.accepts(a)) || hit.shares_session(a) {
            continue;
        }
        let size_of =
            |members: &[&Waiting]| members.iter().map(|member| member.size()).sum::<u32>();
        let found = combinations.iter().position(|combination| {
            size_of(combination) + hit.size() + a.size() <= counts.max()
                && combination.iter().all(|member| {
                    !member.shares_session(hit)
                        && (!is_mutual || (member.accepts(hit) && hit.accepts(member)))
                })
        });
        let found = found.unwrap_or_else(|| {
            combinations.push(Vec::new());
            combinations.len() - 1
        });
        let combination = &mut combinations[found];
        combination.push(hit);
        let mut size = size_of(combination) + a.size();
        let is_last_hit = position == hits.len() - 1;
        let below_max = last && counts.min() <= size && size <= counts.max() && is_last_hit;
        if size != counts.max() && !below_max {
            continue;
        }
        let excess = size % counts.multiple();
        if excess != 0 {
            let fitting: Vec<&Waiting> =
                combination.iter().filter(|member| member.size() <= excess).copied().collect();
            let mut groups = group_indexes(&fitting, excess);
            if groups.is_empty() {
                continue;
            }
            groups.sort_by_key(|(_, average)| *average);
            let removed = groups.swap_remove(0).0;
            combination.retain(|m| removed.iter().all(|other| other.ticket.id != m.ticket.id));
            size = size_of(combination) + a.size();
            if !size.is_multiple_of(counts.multiple()) {
                continue;
            }
        }
        let accepted = combination.iter().all(|member| {
            let own = member.ticket.counts;
            own.min() <= size && size <= own.max() && size.is_multiple_of(own.multiple())
        });
        if accepted {
            return Some(combination.iter().map(|member| member.ticket.id).collect());
        }
    }
    None
}

/// All subsets of `tickets` with `required` players and their average creation, in the reference's
/// order: those with the first ticket, appended after the rest, then those without it.
fn group_indexes<'a>(tickets: &[&'a Waiting], required: u32) -> Vec<(Vec<&'a Waiting>, u64)> {
    let Some((first, rest)) = tickets.split_first() else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    let created = first.ticket.created.0;
    if first.size() == required {
        groups.push((vec![*first], created));
    } else if first.size() < required {
        for (mut group, average) in group_indexes(rest, required - first.size()) {
            let count = group.len() as u64;
            group.push(first);
            groups.push((group, (average * count + created) / (count + 1)));
        }
    }
    groups.extend(group_indexes(rest, required));
    groups
}

#[derive(Clone, Debug)]
struct New {
    sessions: Vec<u8>,
    party: Option<u8>,
    counts: Counts,
    query: String,
    strings: BTreeMap<String, String>,
    numbers: BTreeMap<String, f64>,
}

#[derive(Clone, Debug)]
enum Call {
    Add(New),
    Remove(Index),
    RemoveSession(u8),
    RemoveParty(u8),
    Pass,
    Step(usize),
}

fn counts() -> impl Strategy<Value = Counts> {
    let free = (2..5_i32, 0..4_i32).prop_map(|(min, more)| (min, min + more, None));
    let even = (1..3_i32, 0..3_i32).prop_map(|(min, more)| (2 * min, 2 * (min + more), Some(2)));
    let threes = (1..3_i32, 0..2_i32).prop_map(|(min, more)| (3 * min, 3 * (min + more), Some(3)));
    let common = select(vec![(2, 4, None), (2, 2, None), (3, 3, None), (2, 6, Some(2))]);
    prop_oneof![1 => free, 1 => even, 1 => threes, 3 => common]
        .prop_map(|(min, max, multiple)| Counts::new(min, max, multiple).unwrap())
}

/// Queries of a game, of few shapes, and clauses of every kind. Where scores are no whole numbers,
/// they are sums of powers of two.
fn query() -> impl Strategy<Value = String> {
    let game = select(vec![
        "*",
        "",
        "+properties.a:site",
        "+properties.a:kite",
        "+properties.b:10",
        "+properties.n:>=1 +properties.n:<=2",
        "+properties.n:>=1",
        "+properties.n:<2",
        "+properties.n:>1.5 +properties.n:<1",
        "+properties.a:site +properties.n:>=1 +properties.n:<=2",
        "+properties.a:kite +properties.n:>=0 +properties.n:<=1 +properties.m:>=1",
        "+properties.a:site +properties.b:10 +properties.m:<=2",
        "+properties.a:site properties.n:>1^4 properties.m:1^2",
        "+properties.n:1 +properties.n:>=1 -properties.a:kite",
        "+properties.d:>=\"2020-01-02T00:00:00Z\" +properties.d:<\"2020-01-03T00:00:00Z\"",
        "properties.a:site^2 properties.a:kite^3 properties.n:>0",
    ]);
    let field = select(vec!["a", "b", "n", "m", "d"]);
    let test = select(vec![
        "site",
        "kite",
        "\"\"",
        "10",
        "1",
        "-1",
        "1e1",
        ">1",
        ">=1",
        "<1",
        "<=2",
        "/site|kite/",
        "/.*te/",
        "/[/",
        "?ite",
        "*",
        "sit*",
        "site~",
        "bite~2",
        "2020-01-02",
        ">\"2020-01-02T00:00:00Z\"",
        "<=\"2020-01-02T00:00:00Z\"",
    ]);
    let of_property = (field, test).prop_map(|(field, test)| format!("properties.{field}:{test}"));
    let of_ticket = select(vec![
        "min_count:2",
        "min_count:>=2",
        "max_count:<4",
        "max_count:/.*/",
        "created_at:>0",
        "created_at:<5000",
        "party_id:\"\"",
        "party_id:01010101-0101-0101-0101-010101010101.n",
        "party_id:/0[12].*/",
        "ticket:/.*1/",
        "ticket:>0",
        "site",
        "other:site",
    ]);
    let of_ticket = of_ticket.prop_map(str::to_owned);
    let test = prop_oneof![5 => of_property, 1 => of_ticket];
    let boost = prop_oneof![3 => Just(""), 1 => select(vec![" ^2", " ^0.5", " ^-1", " ^0", " ^8"])];
    let occur = select(vec!["+", "+", "", "", "-"]);
    let clause =
        (occur, test, boost).prop_map(|(occur, test, boost)| format!("{occur}{test}{boost}"));
    let clauses = prop::collection::vec(clause, 1..4).prop_map(|clauses| clauses.join(" "));
    prop_oneof![3 => game.prop_map(str::to_owned), 2 => clauses]
}

fn strings() -> impl Strategy<Value = BTreeMap<String, String>> {
    let named = |name: &'static str, values: Vec<&'static str>| {
        prop::option::weighted(0.8, select(values).prop_map(move |value| (name, value)))
    };
    (
        named("a", vec!["site", "site", "kite", "bite", ""]),
        named("b", vec!["10", "10", "10.0", "1e1", "site"]),
        named("d", vec!["2020-01-02", "2020-01-02T10:00:00Z", "2021-05-05 00:00:00", "2020-1-2"]),
        prop::option::weighted(0.1, Just(("n", "hidden"))),
    )
        .prop_map(|(a, b, d, n)| {
            let named = [a, b, d, n].into_iter().flatten();
            named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        })
}

fn numbers() -> impl Strategy<Value = BTreeMap<String, f64>> {
    let value = select(vec![0.0, 1.0, 1.0, 1.5, 2.0, -1.0, -0.0, 10.0]);
    let named = move |name: &'static str, weight| {
        prop::option::weighted(weight, value.clone().prop_map(move |value| (name, value)))
    };
    (named("n", 0.8), named("m", 0.6), named("b", 0.1)).prop_map(|(n, m, b)| {
        [n, m, b].into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
    })
}

fn new(sessions: u8) -> impl Strategy<Value = New> {
    let solo = (0..sessions).prop_map(|session| (vec![session], None));
    let party = (prop::collection::btree_set(0..sessions, 1..4), 1..4_u8)
        .prop_map(|(sessions, party)| (sessions.into_iter().collect(), Some(party)));
    let who = prop_oneof![3 => solo, 1 => party];
    (who, counts(), query(), strings(), numbers()).prop_map(
        |((sessions, party), counts, query, strings, numbers)| New {
            sessions,
            party,
            counts,
            query,
            strings,
            numbers,
        },
    )
}

fn calls(sessions: u8) -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        10 => new(sessions).prop_map(Call::Add),
        1 => any::<Index>().prop_map(Call::Remove),
        1 => (0..sessions).prop_map(Call::RemoveSession),
        1 => (1..4_u8).prop_map(Call::RemoveParty),
        2 => Just(Call::Pass),
        2 => (1..9_usize).prop_map(Call::Step),
    ];
    prop::collection::vec(call, 1..70)
}

fn settings(mode: Mode, rev_precision: bool) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        mode,
        interval: second,
        max_intervals: 2,
        max_tickets: 3,
        rev_precision,
        rev_threshold: 0,
    }
}

const NOW: Instant = Instant(0);

/// The pool and its model.
struct World {
    pool: Pool,
    model: Model,
    added: u64,
}

impl World {
    fn new(mode: Mode, rev_precision: bool) -> World {
        let settings = settings(mode, rev_precision);
        let pool = Pool::new(settings.clone(), 7, "n");
        World { pool, model: Model::new(settings), added: 0 }
    }

    /// What is no pass and no step.
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Add(new) => self.add(new),
            Call::Remove(which) => {
                if self.model.pool.is_empty() {
                    return;
                }
                let which = which.index(self.model.pool.len());
                let ticket = self.model.pool[which].ticket.clone();
                let owner = match ticket.party {
                    Some(party) => Owner::Party(party),
                    None => Owner::Session(ticket.entries[0].session_id),
                };
                let stranger = Owner::Session(session(255));
                assert_eq!(self.pool.remove(ticket.id, stranger), Err(Error::NotFound));
                assert_eq!(self.pool.remove(ticket.id, owner), Ok(()));
                assert_eq!(self.pool.remove(ticket.id, owner), Err(Error::NotFound));
                self.model.remove(ticket.id);
            }
            Call::RemoveSession(gone) => {
                let gone = session(*gone);
                let count = self.model.remove_all(|waiting| waiting.sessions().any(|s| s == gone));
                assert_eq!(self.pool.remove_session(gone), count);
            }
            Call::RemoveParty(gone) => {
                let gone = party(*gone);
                let count = self.model.remove_all(|waiting| waiting.ticket.party == Some(gone));
                assert_eq!(self.pool.remove_party(gone), count);
            }
            Call::Pass | Call::Step(_) => unreachable!("they are of the test"),
        }
    }

    fn add(&mut self, new: &New) {
        self.added += 1;
        let entries = new.sessions.iter().map(|number| Presence {
            user_id: UserId::from_bytes([*number; 16]),
            session_id: session(*number),
            username: format!("player{number}").into(),
        });
        let ticket = Ticket {
            id: TicketId::from_bytes(u128::from(self.added).to_be_bytes()),
            entries: entries.collect(),
            party: new.party.map(party),
            counts: new.counts,
            string_properties: new.strings.clone(),
            numeric_properties: new.numbers.clone(),
            created: UnixTime(self.added * 1000),
        };
        let waiting = &self.model.pool;
        let of_session = |session| {
            waiting
                .iter()
                .filter(|waiting| waiting.sessions().any(|other| other == session))
                .count()
        };
        let of_party = waiting.iter().filter(|w| w.ticket.party.is_some());
        let of_party = of_party.filter(|w| w.ticket.party == ticket.party).count();
        let is_full = of_party >= 3 || ticket.entries.iter().any(|e| of_session(e.session_id) >= 3);
        let query = Query::parse(&new.query).unwrap();
        let expected = if is_full { Err(Error::TooManyTickets) } else { Ok(()) };
        assert_eq!(self.pool.add(ticket.clone(), &query), expected);
        if expected.is_ok() {
            self.model.add(ticket, query);
        }
    }

    fn pass(&mut self, budget: usize) -> Vec<Vec<TicketId>> {
        self.pool.begin_pass(NOW);
        while self.pool.step(budget, NOW) {}
        self.formed().iter().map(ids_of).collect()
    }

    fn formed(&mut self) -> Vec<Match> {
        std::iter::from_fn(|| self.pool.poll_match()).collect()
    }

    /// Takes matches out of the model that were formed whenever.
    fn check_sound(&mut self) {
        for formed in self.formed() {
            let members: Vec<Waiting> =
                ids_of(&formed).iter().map(|id| self.model.find(*id).clone()).collect();
            members.iter().for_each(|member| drop(self.model.remove(member.ticket.id)));
            for (member, ticket) in members.iter().zip(&formed.tickets) {
                assert_eq!(&member.ticket, ticket, "it comes back as it was added");
            }
            let size = members.iter().map(Waiting::size).sum();
            let (searcher, others) = members.split_last().unwrap();
            for (position, member) in members.iter().enumerate() {
                assert!(member.ticket.counts.accept(size), "all accept the size");
                for other in &members[..position] {
                    assert!(!member.shares_session(other), "all sessions differ");
                }
            }
            for other in others {
                let parties = [other.ticket.party, searcher.ticket.party];
                assert!(parties[0].is_none() || parties[0] != parties[1], "not of one party");
                assert!(searcher.accepts(other), "the searcher accepts all others");
            }
            if self.model.settings.rev_precision {
                for (a, b) in members.iter().flat_map(|a| members.iter().map(move |b| (a, b))) {
                    assert!(a.ticket.id == b.ticket.id || a.accepts(b), "all accept all");
                }
            }
        }
        self.check_sizes();
    }

    fn check_sizes(&self) {
        assert_eq!(self.pool.len(), self.model.pool.len());
        let oldest = self.model.pool.first().map(|waiting| waiting.ticket.created);
        assert_eq!(self.pool.oldest(), oldest);
    }

    /// For single players with one ticket each.
    fn check_no_full_match_is_left(&self) {
        for waiting in &self.model.pool {
            assert!(!self.model.finds_full_match(waiting), "{waiting:?} finds a match");
        }
    }
}

fn ids_of(formed: &Match) -> Vec<TicketId> {
    formed.tickets.iter().map(|ticket| ticket.id).collect()
}

fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn party(number: u8) -> PartyId {
    PartyId::from_bytes([number; 16])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn compatible_mode_equals_the_model(
        calls in calls(14),
        budget in prop_oneof![Just(1), 2..9_usize, Just(1000)],
        rev_precision in any::<bool>(),
    ) {
        let mut world = World::new(Mode::Compatible, rev_precision);
        for call in &calls {
            match call {
                Call::Step(budget) => {
                    world.pool.step(*budget, NOW);
                }
                Call::Pass => {
                    let formed = world.pass(budget);
                    prop_assert_eq!(formed, world.model.pass());
                }
                call => world.apply(call),
            }
            prop_assert!(world.formed().is_empty());
            world.check_sizes();
            prop_assert_eq!(world.pool.active_len(), world.model.active.len());
        }
    }

    #[test]
    fn matches_are_sound_whatever_interrupts_a_search(
        calls in calls(14),
        immediate in any::<bool>(),
        rev_precision in any::<bool>(),
    ) {
        let mode = if immediate { Mode::Immediate } else { Mode::Compatible };
        let mut world = World::new(mode, rev_precision);
        for call in &calls {
            match call {
                Call::Step(budget) => {
                    world.pool.step(*budget, NOW);
                }
                Call::Pass => world.pool.begin_pass(NOW),
                call => world.apply(call),
            }
            world.check_sound();
        }
        while world.pool.step(1, NOW) {}
        world.check_sound();
    }

    #[test]
    fn passes_of_immediate_mode_equal_the_model(
        calls in calls(14),
        budget in prop_oneof![Just(1), 2..9_usize, Just(1000)],
        rev_precision in any::<bool>(),
    ) {
        let mut world = World::new(Mode::Immediate, rev_precision);
        for call in &calls {
            match call {
                Call::Step(budget) => {
                    world.pool.step(*budget, NOW);
                }
                Call::Pass => {
                    while world.pool.step(budget, NOW) {}
                    world.check_sound();
                    let formed = world.pass(budget);
                    prop_assert_eq!(formed, world.model.pass());
                }
                call => world.apply(call),
            }
            world.check_sound();
        }
    }

    /// Of matches where all have to accept all, those of three at most: who leaves can make room
    /// for a greater one.
    #[test]
    fn no_full_match_of_single_players_is_left(
        calls in calls(255),
        budget in prop_oneof![Just(1), 2..9_usize, Just(1000)],
        rev_precision in any::<bool>(),
    ) {
        let mut world = World::new(Mode::Immediate, rev_precision);
        for (number, call) in (0..).zip(&calls) {
            match call {
                Call::Step(budget) => {
                    world.pool.step(*budget, NOW);
                }
                Call::Pass => {
                    while world.pool.step(budget, NOW) {}
                    world.check_sound();
                    world.check_no_full_match_is_left();
                }
                Call::Add(new) => {
                    let mut new = New { sessions: vec![number], party: None, ..new.clone() };
                    if rev_precision && new.counts.max() > 3 {
                        new.counts = Counts::new(2, 3, None).unwrap();
                    }
                    world.add(&new);
                }
                call => world.apply(call),
            }
            world.check_sound();
        }
        while world.pool.step(budget, NOW) {}
        world.check_sound();
        world.check_no_full_match_is_left();
    }
}
