//! Nakama's cases by the numbers of the reference (16 is one of the query language, 17 one of the
//! search), and some that it lacks.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::time::Duration;

use base::{Instant, PartyId, SessionId, TicketId, UnixTime, UserId};
use matchmaker::{Counts, Error, Match, Mode, Owner, Pool, Presence, Query, Settings, Ticket};

const NOW: Instant = Instant(0);
const BOTH: [Mode; 2] = [Mode::Compatible, Mode::Immediate];

/// A pool whose tickets have numbers, from 1 on, and whose sessions and parties have letters.
struct Scene {
    pool: Pool,
    added: u8,
    counts: (i32, i32, i32),
}

fn scene(mode: Mode) -> Scene {
    scene_with(mode, |_| ())
}

fn scene_with(mode: Mode, change: impl Fn(&mut Settings)) -> Scene {
    let mut settings = Settings {
        mode,
        interval: Duration::from_secs(1),
        max_intervals: 5,
        max_tickets: 3,
        rev_precision: true,
        rev_threshold: 1,
    };
    change(&mut settings);
    Scene { pool: Pool::new(settings, 1, "n"), added: 0, counts: (2, 2, 1) }
}

/// A compatible one without mutual checks.
fn plain(max_intervals: u32, counts: (i32, i32, i32)) -> Scene {
    let scene = scene_with(Mode::Compatible, |settings| {
        (settings.max_intervals, settings.rev_precision) = (max_intervals, false);
    });
    Scene { counts, ..scene }
}

impl Scene {
    /// Adds the next ticket, of a session of its own.
    fn add(&mut self, query: &str, properties: &str) -> u8 {
        let session = char::from(b'A'.wrapping_add(self.added));
        self.add_of(&session.to_string(), None, query, properties).unwrap()
    }

    fn add_party(&mut self, sessions: &str, query: &str, properties: &str) -> u8 {
        self.add_of(sessions, sessions.chars().next(), query, properties).unwrap()
    }

    /// The query goes without the prefix of its fields.
    fn add_of(
        &mut self,
        sessions: &str,
        party: Option<char>,
        query: &str,
        properties: &str,
    ) -> Result<u8, Error> {
        let (min, max, multiple) = self.counts;
        let number = self.added + 1;
        let mut ticket = Ticket {
            id: ticket_id(number),
            entries: sessions.chars().map(presence).collect(),
            party: party.map(party_id),
            counts: Counts::new(min, max, Some(multiple))?,
            string_properties: [].into(),
            numeric_properties: [].into(),
            created: UnixTime(7), // a clock that stands still
        };
        for (name, value) in properties.split(' ').filter_map(|property| property.split_once('=')) {
            let name = name.to_owned();
            match value.parse() {
                Ok(number) => drop(ticket.numeric_properties.insert(name, number)),
                Err(_) => drop(ticket.string_properties.insert(name, value.to_owned())),
            }
        }
        self.pool.add(ticket, &Query::parse(&prefixed(query)).unwrap())?;
        self.added = number;
        Ok(number)
    }

    fn add_all(&mut self, sessions: &str) {
        for session in sessions.chars() {
            self.add_of(&session.to_string(), None, "*", "").unwrap();
        }
    }

    fn remove(&mut self, number: u8, session: char) -> Result<(), Error> {
        self.pool.remove(ticket_id(number), Owner::Session(session_id(session)))
    }

    /// Runs one pass, and gives all matches by ticket numbers.
    fn pass(&mut self) -> Vec<Vec<u8>> {
        self.step();
        self.pool.begin_pass(NOW);
        self.step();
        self.matches()
    }

    /// In which order tickets come in immediate mode depends on who arrives when.
    fn check_pass(&mut self, expected: &[&[u8]]) {
        let mut formed = self.pass();
        let mut expected: Vec<_> = expected.iter().map(|numbers| numbers.to_vec()).collect();
        let mode = self.pool.settings().mode;
        if mode == Mode::Immediate {
            formed.iter_mut().chain(&mut expected).for_each(|numbers| numbers.sort_unstable());
        }
        assert_eq!(formed, expected, "{mode:?}");
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.pool.step(1, NOW);
        }
    }

    fn step(&mut self) {
        while self.pool.step(1, NOW) {}
    }

    fn matches(&mut self) -> Vec<Vec<u8>> {
        self.formed().iter().map(numbers).collect()
    }

    fn formed(&mut self) -> Vec<Match> {
        std::iter::from_fn(|| self.pool.poll_match()).collect()
    }
}

fn numbers(formed: &Match) -> Vec<u8> {
    formed.tickets.iter().map(|ticket| ticket.id.as_bytes()[0]).collect()
}

fn prefixed(query: &str) -> String {
    let clauses = query.split(' ').map(|clause| {
        let field = clause.trim_start_matches(['+', '-']);
        let occur = &clause[..clause.len() - field.len()];
        let prefix = if clause == "*" { "" } else { "properties." };
        format!("{occur}{prefix}{field}")
    });
    clauses.collect::<Vec<_>>().join(" ")
}

fn presence(session: char) -> Presence {
    Presence {
        user_id: UserId::from_bytes([session as u8; 16]),
        session_id: session_id(session),
        username: session.to_string().into(),
    }
}

fn ticket_id(number: u8) -> TicketId {
    TicketId::from_bytes([number; 16])
}

fn session_id(session: char) -> SessionId {
    SessionId::from_bytes([session as u8; 16])
}

fn party_id(party: char) -> PartyId {
    PartyId::from_bytes([party as u8; 16])
}

/// Adds a ticket for each query and properties, and expects these matches in both modes, after
/// which no ticket is in another.
fn check<const N: usize>(tickets: &[(&str, &str)], expected: [&[u8]; N]) {
    for mode in BOTH {
        check_in(mode, (2, 2, 1), tickets, &expected);
    }
}

fn check_in(mode: Mode, counts: (i32, i32, i32), tickets: &[(&str, &str)], expected: &[&[u8]]) {
    let mut scene = Scene { counts, ..scene(mode) };
    for (query, properties) in tickets {
        scene.add(query, properties);
    }
    scene.check_pass(expected);
    scene.check_pass(&[]);
    assert_eq!(scene.pool.len() + expected.concat().len(), tickets.len());
}

const NONE: [&[u8]; 0] = [];
const PAIR: [&[u8]; 1] = [&[2, 1]];

#[test]
fn case_1_a_ticket_is_added() {
    let mut scene = scene(Mode::Compatible);
    assert_eq!(scene.add("*", ""), 1);
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (1, 1));
    assert_eq!(scene.pool.oldest(), Some(UnixTime(7)));
}

#[test]
fn case_2_adding_and_removing_repeatedly_does_not_reach_the_limit() {
    let mut scene = scene(Mode::Compatible);
    for _ in 0..10 {
        let number = scene.add_of("a", None, "*", "").unwrap();
        assert_eq!(scene.remove(number, 'a'), Ok(()));
    }
    assert!(scene.pool.is_empty());
}

#[test]
fn case_3_a_ticket_is_removed_by_its_own_session_only() {
    let mut scene = scene(Mode::Compatible);
    scene.add_all("a");
    assert_eq!(scene.remove(1, 'b'), Err(Error::NotFound));
    assert_eq!(scene.remove(2, 'a'), Err(Error::NotFound));
    assert_eq!(scene.remove(1, 'a'), Ok(()));
    assert_eq!(scene.remove(1, 'a'), Err(Error::NotFound));
}

#[test]
fn case_4_two_who_want_each_other_match() {
    check(&[("a3:bar", "a3=baz"), ("a3:baz", "a3=bar")], PAIR);
    let mut scene = scene(Mode::Compatible);
    scene.add("a3:bar", "a3=baz");
    scene.add("a3:baz", "a3=bar");
    scene.pass();
    scene.add("a3:bar", "a3=baz b=1");
    scene.add("a3:baz", "a3=bar");
    scene.pool.begin_pass(NOW);
    scene.step();
    let [formed] = scene.formed().try_into().unwrap();
    assert_eq!(formed.tickets[0].entries, [presence('D')]);
    assert_eq!(formed.tickets[1].entries, [presence('C')]);
    assert_eq!(formed.tickets[1].string_properties["a3"], "baz");
    assert_eq!(formed.tickets[1].numeric_properties["b"], 1.0);
    assert!(formed.tickets[1].created < formed.tickets[0].created);
}

#[test]
fn case_5_two_players_match_on_star() {
    check(&[("*", "b1=15"), ("*", "b1=15")], PAIR);
}

#[test]
fn case_6_two_players_match_on_a_range() {
    check(&[("+b1:>=10 +b1:<=20", "b1=15"); 2], PAIR);
}

#[test]
fn case_7_two_players_match_on_a_range_and_a_value() {
    let a = ("+b1:>=10 +b1:<=20", "c2=foo c1=15");
    check(&[a, ("+c1:>=10 +c1:<=20 +c2:foo", "c2=foo b1=15")], PAIR);
}

#[test]
fn case_8_a_removed_ticket_is_not_matched() {
    for mode in BOTH {
        let mut scene = scene(mode);
        scene.add("a3:bar", "a3=baz");
        scene.add("a3:baz", "a3=bar");
        scene.remove(1, 'A').unwrap();
        scene.check_pass(&[]);
    }
}

#[test]
fn case_9_no_match_on_a_value() {
    check(&[("a5:bar", "a5=baz"); 2], NONE);
}

#[test]
fn case_10_no_match_on_a_range() {
    let query = "+b2:>=10 +b2:<=20 +id:i";
    check(&[(query, "b2=25 id=i"), (query, "b2=5 id=i")], NONE);
}

#[test]
fn case_11_no_match_on_a_range_and_a_value() {
    let query = "+c3:>=10 +c3:<=20 +c4:foo +id:i";
    check(&[(query, "c3=25 c4=foo id=i"), (query, "c3=5 c4=foo id=i")], NONE);
}

#[test]
fn case_12_of_three_players_of_a_pair_the_first_is_matched() {
    check(&[("a6:bar +id:i", "a6=bar id=i"); 3], PAIR);
}

#[test]
fn case_13_a_boost_prefers() {
    let low = ("n1:<10^10 a6:bar +id:i", "n1=5 a6=bar id=i");
    let high = ("n1:>10^10 a6:bar +id:i", "n1=15 a6=bar id=i");
    check(&[low, high, low], [&[3, 1]]);
}

#[test]
fn case_14_an_optional_text_prefers() {
    let query = "a6:bar a6:foo^0.5 +id:i";
    let (bar, foo) = ((query, "a6=bar id=i"), (query, "a6=foo id=i"));
    check(&[bar, foo, bar], [&[3, 1]]);
    let query = "a6:bar a6:foo +id:i";
    let (bar, foo) = ((query, "a6=bar id=i"), (query, "a6=foo id=i"));
    check(&[bar, foo, bar], PAIR); // they score the same: the older one
}

#[test]
fn case_15_a_match_carries_what_says_that_it_is_authoritative() {
    for mode in BOTH {
        let mut scene = scene(mode);
        scene.add("d1:foo", "d1=foo mode=authoritative");
        scene.add("d1:foo", "d1=foo mode=authoritative");
        scene.pool.begin_pass(NOW);
        scene.step();
        let [formed] = scene.formed().try_into().unwrap();
        assert_eq!(formed.tickets.iter().map(|ticket| ticket.entries.len()).sum::<usize>(), 2);
        for ticket in &formed.tickets {
            assert_eq!(ticket.string_properties["mode"], "authoritative");
        }
    }
}

#[test]
fn case_18_mutual_matches_are_required() {
    check(&[("+b1:>=10 +b1:<=20", "b1=5"), ("+b1:>=10 +b1:<=20", "b1=15")], NONE);
}

const TRIO: (i32, i32, i32) = (3, 3, 1);

#[test]
fn case_19_the_last_of_three_does_not_accept_the_second() {
    let a = ("+foo:bar b1:10^10", "foo=bar b1=5");
    let b = ("+foo:bar b1:20^10", "foo=bar b1=10");
    let c = ("+foo:bar +b1:<10", "foo=bar b1=20");
    for mode in BOTH {
        check_in(mode, TRIO, &[a, b, c], &[]);
    }
}

#[test]
fn case_20_the_second_of_three_does_not_accept_the_last() {
    let a = ("+foo:bar b1:10^10", "foo=bar b1=5");
    let b = ("+foo:bar +b1:<10 b1:20^10", "foo=bar b1=10");
    let c = ("+foo:bar", "foo=bar b1=20");
    for mode in BOTH {
        check_in(mode, TRIO, &[a, b, c], &[]);
        check_in(mode, TRIO, &[a, a, c], &[&[2, 3, 1]]);
    }
}

#[test]
fn case_21_a_party_has_a_limit_of_tickets() {
    for mode in BOTH {
        let mut scene = scene(mode);
        let add = |scene: &mut Scene, session, party| {
            scene.add_of(session, Some(party), "a5:bar", "a5=bar")
        };
        for (session, number) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(add(&mut scene, session, 'p'), Ok(number));
        }
        assert_eq!(add(&mut scene, "d", 'p'), Err(Error::TooManyTickets));
        assert_eq!(add(&mut scene, "e", 'q'), Ok(4));
        scene.check_pass(&[&[4, 1]]);
        assert_eq!(add(&mut scene, "a", 'p'), Ok(5));
        assert_eq!(add(&mut scene, "f", 'p'), Err(Error::TooManyTickets));
    }
}

#[test]
fn case_22_a_session_has_a_limit_of_tickets() {
    for mode in BOTH {
        let mut scene = scene(mode);
        let add = |scene: &mut Scene, session| scene.add_of(session, None, "a5:bar", "a5=bar");
        for number in 1..=3 {
            assert_eq!(add(&mut scene, "a"), Ok(number));
        }
        assert_eq!(add(&mut scene, "a"), Err(Error::TooManyTickets));
        assert_eq!(add(&mut scene, "b"), Ok(4));
        scene.check_pass(&[&[4, 1]]);
        assert_eq!(add(&mut scene, "a"), Ok(5));
        assert_eq!(add(&mut scene, "a"), Err(Error::TooManyTickets));
    }
}

#[test]
fn fewer_than_the_max_count_are_accepted_at_the_last_interval_only() {
    for mode in BOTH {
        let change = |settings: &mut Settings| settings.max_intervals = 3;
        let mut scene = Scene { counts: (2, 4, 1), ..scene_with(mode, change) };
        scene.add_all("abc");
        scene.check_pass(&[]);
        scene.check_pass(&[]);
        scene.check_pass(&[&[2, 3, 1]]);
    }
}

#[test]
fn a_full_match_does_not_wait_for_the_last_interval() {
    for mode in BOTH {
        let mut scene = Scene { counts: (2, 4, 1), ..scene(mode) };
        scene.add_all("abcde");
        scene.check_pass(&[&[2, 3, 4, 1]]);
    }
}

/// Player a's first ticket finds b and then, as the last of the list, its own session's second.
#[test]
fn below_the_max_count_nothing_is_formed_when_the_last_hit_is_of_the_same_session() {
    let mut scene = plain(1, (2, 4, 1));
    scene.add_all("b");
    assert_eq!(scene.pass(), NONE); // b is passive from here on
    scene.add_all("aa");
    assert_eq!(scene.pass(), NONE);
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (3, 0));
    scene.add_all("c");
    assert_eq!(scene.pass(), [[3, 4]]); // the combination of b and 2 did not take the last hit
}

#[test]
fn below_the_max_count_nothing_is_formed_when_the_last_hit_does_not_accept_the_searcher() {
    let change = |settings: &mut Settings| settings.max_intervals = 1;
    for mode in BOTH {
        for (last, expected) in [("+b:2", vec![]), ("+b:1", vec![vec![2, 3, 1]])] {
            let mut scene = Scene { counts: (2, 4, 1), ..scene_with(mode, change) };
            scene.add("*", "b=1");
            scene.add("*", "b=1");
            scene.add(last, "b=1");
            scene.pool.begin_pass(NOW);
            scene.step();
            assert_eq!(scene.matches(), expected, "{mode:?}");
        }
    }
}

/// Five players, the searcher wants a multiple of two: the oldest of the others is left out.
#[test]
fn players_above_a_multiple_are_left_out() {
    let mut scene = plain(1, (2, 6, 2));
    scene.add_all("abcde");
    assert_eq!(scene.pass(), [[3, 4, 5, 1]]);
    assert_eq!(scene.pool.len(), 1);
    assert_eq!(scene.remove(2, 'b'), Ok(()));
}

#[test]
fn a_party_that_does_not_fit_a_multiple_is_left_out_whole() {
    let mut scene = plain(1, (3, 9, 3));
    scene.add_all("a");
    scene.add_party("bc", "*", "");
    scene.add_all("d");
    scene.add_all("e");
    assert_eq!(scene.pass(), [[3, 4, 1]]); // five, so two of them are too many
}

#[test]
fn a_party_of_three_plays_with_single_players() {
    for mode in BOTH {
        let mut scene = Scene { counts: (5, 5, 1), ..scene(mode) };
        scene.add_all("a");
        scene.add_party("bcd", "*", "");
        scene.add_party("efg", "*", "");
        scene.add_all("h");
        scene.check_pass(&[&[2, 4, 1]]);
        let mut scene = Scene { counts: (3, 3, 1), ..scene };
        scene.add_party("ijk", "*", "");
        scene.add_party("lmno", "*", "");
        scene.check_pass(&[]); // nobody has room for others
    }
}

#[test]
fn a_hit_s_range_lies_inside_the_searcher_s() {
    // 2–8 finds 2–4, but four players are below its max: accepted at its last interval.
    let mut scene = plain(2, (2, 8, 1));
    scene.add_all("a");
    scene.counts = (2, 4, 1);
    scene.add_all("bcd");
    assert_eq!(scene.pass(), NONE);
    assert_eq!(scene.pass(), [[2, 3, 4, 1]]);
    // 2–4 does not find 2–8.
    scene.add_all("e");
    scene.pass();
    scene.pass();
    scene.counts = (3, 8, 1);
    scene.add_all("f");
    assert_eq!((scene.pass(), scene.pass()), (vec![], vec![]));
    assert_eq!(scene.pool.len(), 2);
}

#[test]
fn a_passive_ticket_is_found_by_a_later_one() {
    for mode in BOTH {
        let mut scene = scene(mode);
        scene.add_all("a");
        scene.check_pass(&[]);
        assert_eq!(scene.pool.active_len(), 0);
        scene.add_all("b");
        scene.check_pass(&[&[1, 2]]);
    }
}

#[test]
fn a_text_that_is_a_date_is_found_by_its_date_only() {
    let found = |query: &str| {
        let mut scene = plain(1, (2, 2, 1));
        scene.add("x:none", "d=2020-01-02");
        scene.add(query, "");
        !scene.pass().is_empty()
    };
    assert!(!found("+d:2020-01-02"));
    assert!(!found("+d:\"2020-01-02\""));
    assert!(!found("+d:2020*"));
    assert!(found("+d:>=\"2020-01-02T00:00:00Z\" +d:<\"2020-01-03T00:00:00Z\""));
    assert!(!found("+d:>\"2020-01-02T00:00:00Z\""));
}

#[test]
fn a_ticket_becomes_passive_after_its_intervals() {
    let mut scene = plain(2, (2, 4, 1));
    scene.add_all("a");
    scene.pass();
    assert_eq!(scene.pool.active_len(), 1);
    scene.pass();
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (1, 0));
}

#[test]
fn a_session_s_tickets_never_play_together() {
    for mode in BOTH {
        let mut scene = scene(mode);
        scene.add_all("aabb");
        scene.check_pass(&[&[3, 1], &[4, 2]]);
    }
}

#[test]
fn the_mutual_check_is_given_up_in_a_pass_that_takes_too_long() {
    let one_sided = |scene: &mut Scene| {
        scene.add("*", "b=1");
        scene.add("+b:2", "b=1");
        scene.pool.begin_pass(NOW);
        scene.pool.step(1, NOW);
        let late = NOW.after(Duration::from_secs(1));
        while scene.pool.step(1, late) {}
        scene.matches()
    };
    let mut late = scene(Mode::Compatible);
    late.add("+b:2", "b=1"); // the first to search
    assert_eq!(one_sided(&mut late), [[1, 2]]);
    let mut never = scene_with(Mode::Compatible, |settings| settings.rev_threshold = 0);
    never.add("+b:2", "b=1");
    assert_eq!(one_sided(&mut never), NONE);
}

#[test]
fn tickets_added_during_a_pass_wait_for_the_next() {
    let mut scene = plain(5, (2, 2, 1));
    scene.add_all("a");
    scene.pool.begin_pass(NOW);
    assert!(scene.pool.step(1, NOW));
    scene.add_all("b");
    scene.step();
    assert_eq!(scene.matches(), NONE);
    assert_eq!(scene.pass(), [[1, 2]]);
}

/// Every moment of a search at which a found ticket can be cancelled.
#[test]
fn a_ticket_cancelled_during_a_search_is_in_no_match() {
    for steps in 0.. {
        let mut scene = plain(5, (3, 3, 1));
        scene.add_all("abcd");
        scene.pool.begin_pass(NOW);
        let more = (0..steps).fold(true, |_, _| scene.pool.step(1, NOW));
        let cancelled = scene.remove(2, 'b');
        scene.step();
        let expected = match cancelled {
            Ok(()) => [[3, 4, 1]],
            Err(_) => [[2, 3, 1]],
        };
        assert_eq!(scene.matches(), expected, "after {steps} steps");
        if !more {
            return;
        }
    }
}

#[test]
fn an_interval_that_ends_during_a_pass_starts_another_one() {
    let mut scene = plain(2, (2, 4, 1));
    scene.add_all("a");
    scene.pool.begin_pass(NOW);
    scene.pool.step(1, NOW);
    scene.pool.begin_pass(NOW);
    scene.step();
    assert_eq!(scene.pool.active_len(), 0);
    assert!(!scene.pool.has_work());
}

#[test]
fn a_paused_pool_forms_no_match() {
    for mode in BOTH {
        let mut scene = scene(mode);
        scene.pool.set_paused(true);
        scene.add_all("a");
        scene.check_pass(&[]);
        scene.add_all("b");
        scene.pool.set_paused(false);
        assert_eq!(scene.pass().concat().len(), 2);
    }
}

#[test]
fn immediate_mode_matches_a_new_ticket_that_accepts_a_waiting_one() {
    let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
    scene.add("+a:none", "a=x");
    scene.step();
    scene.add("+a:x", "a=y");
    scene.step();
    assert_eq!(scene.matches(), [[1, 2]]);
}

#[test]
fn immediate_mode_matches_a_new_ticket_that_a_waiting_one_accepts() {
    for (query, new) in [("+a:x", "a=x"), ("a:/x|z/", "a=x"), ("+n:>1 +n:<3", "n=2"), ("*", "")] {
        let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
        scene.add(query, "a=y");
        scene.step();
        scene.add("+a:none", new);
        scene.step();
        assert_eq!(scene.matches(), [[2, 1]], "{query}");
    }
}

#[test]
fn a_party_is_found_by_the_id_that_clients_know() {
    for (id, expected) in [(format!("{}.n", party_id('B')), 1), (party_id('B').to_string(), 0)] {
        let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
        scene.counts = (3, 3, 1);
        scene.add_party("BC", "+a:none", "");
        let ticket = Ticket {
            id: ticket_id(9),
            entries: vec![presence('A')],
            party: None,
            counts: Counts::new(3, 3, None).unwrap(),
            string_properties: [].into(),
            numeric_properties: [].into(),
            created: UnixTime(7),
        };
        scene.pool.add(ticket, &Query::parse(&format!("+party_id:{id}")).unwrap()).unwrap();
        scene.step();
        assert_eq!(scene.matches().len(), expected, "{id}");
    }
}

#[test]
fn a_ticket_that_found_only_its_own_session_is_searched_again() {
    let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
    scene.add_of("A", None, "+a:x", "a=y").unwrap();
    scene.add_of("A", None, "*", "a=x").unwrap();
    scene.step();
    assert!(scene.matches().is_empty());
    scene.add_of("B", None, "+a:none", "a=z").unwrap();
    scene.step();
    assert_eq!(scene.matches(), [[3, 2]]);
}

#[test]
fn a_new_ticket_that_is_met_while_another_one_searches_is_not_forgotten() {
    for steps in 0..20 {
        let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
        scene.counts = (3, 3, 1);
        scene.add("+a:none", "a=x");
        scene.step();
        scene.add("+a:x", "a=y");
        scene.steps(steps);
        scene.add("+a:none", "a=x");
        scene.step();
        assert_eq!(scene.matches(), [[1, 3, 2]], "after {steps} steps");
    }
}

#[test]
fn of_those_alike_one_who_does_not_accept_itself_finds_more_others() {
    let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
    scene.add("+a:x", "a=x");
    scene.step();
    scene.add("+a:x", "a=y");
    scene.step();
    assert_eq!(scene.matches(), [[1, 2]]);
}

#[test]
fn who_waits_for_cells_is_not_overtaken_by_those_alike() {
    for steps in 0..30 {
        let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
        scene.counts = (4, 4, 1);
        scene.add("+a:x", "b=1");
        scene.add("+b:2", "b=2");
        scene.add("+c:3", "b=1");
        scene.steps(steps);
        scene.add("+b:2", "b=2");
        scene.step();
        assert_eq!(scene.matches(), NONE);
        scene.add("*", "b=2");
        scene.step();
        assert_eq!(scene.matches().len(), 1, "after {steps} steps");
    }
}

/// More groups than are met at once can be filled, but for a session that two of their hits share.
#[test]
fn the_last_of_many_groups_is_met_too() {
    let mut scene = scene_with(Mode::Immediate, |settings| settings.rev_precision = false);
    scene.counts = (3, 3, 1);
    for number in 0..150 {
        scene.add(&format!("+a:x -b:{number}"), "a=y");
    }
    scene.add("+k:1 -z:1", "a=y");
    scene.add_of("w", None, "+a:none", "k=1").unwrap();
    scene.add_of("x", None, "+a:none", "a=x").unwrap();
    scene.step();
    assert_eq!(scene.matches(), NONE);
    scene.add_of("x", None, "+a:none", "a=x k=1").unwrap();
    scene.step();
    assert_eq!(scene.matches(), [[152, 154, 151]]);
}

#[test]
fn a_pass_goes_on_while_new_shapes_come_and_go() {
    let mut scene = scene_with(Mode::Immediate, |settings| settings.max_intervals = 1);
    scene.counts = (2, 4, 1);
    for _ in 0..100 {
        scene.add("+a:none", "");
    }
    scene.step();
    scene.pool.begin_pass(NOW);
    scene.counts = (2, 2, 1);
    for number in 0..250 {
        let added = scene.add(&format!("+f{number}:1"), "");
        scene.pool.step(16, NOW);
        scene.pool.expel(ticket_id(added)).unwrap();
        scene.added -= 1;
    }
    assert_eq!(scene.pool.active_len(), 0);
}

#[test]
fn a_closed_session_takes_its_tickets_along() {
    let mut scene = scene(Mode::Compatible);
    scene.add_all("aab");
    scene.add_party("ac", "*", "");
    assert_eq!(scene.pool.remove_session(session_id('a')), 3);
    assert_eq!(scene.pool.remove_session(session_id('a')), 0);
    assert_eq!(scene.pass(), NONE);
    assert_eq!(scene.pool.len(), 1);
}

#[test]
fn players_are_there_and_differ() {
    let mut scene = scene(Mode::Compatible);
    assert_eq!(scene.add_of("", None, "*", ""), Err(Error::Presences));
    assert_eq!(scene.add_of("aba", Some('p'), "*", ""), Err(Error::Presences));
}
