//! Nakama's cases for `*` queries, by the numbers of the reference, and some that it lacks.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::collections::BTreeMap;
use std::time::Duration;

use base::{SessionId, TicketId, UnixTime, UserId};
use matchmaker::{Counts, Error, Mode, Pool, Presence, Query, Settings, Ticket};

/// A pool whose tickets have numbers and whose sessions have letters.
struct Scene {
    pool: Pool,
    added: u8,
}

fn scene(mode: Mode, max_intervals: u32) -> Scene {
    let settings =
        Settings { mode, interval: Duration::from_secs(1), max_intervals, max_tickets: 3 };
    Scene { pool: Pool::new(settings), added: 0 }
}

fn compatible() -> Scene {
    scene(Mode::Compatible, 5)
}

impl Scene {
    /// Adds the next ticket; the first one has number 1.
    fn add(&mut self, session: char, min: i32, max: i32, multiple: i32) -> Result<u8, Error> {
        let number = self.added + 1;
        let ticket = ticket(number, session, Counts::new(min, max, Some(multiple))?);
        self.pool.add(ticket)?;
        self.added = number;
        Ok(number)
    }

    /// Adds a ticket for each session.
    fn add_all(&mut self, sessions: &str, min: i32, max: i32, multiple: i32) {
        for session in sessions.chars() {
            self.add(session, min, max, multiple).unwrap();
        }
    }

    fn remove(&mut self, number: u8, session: char) -> Result<(), Error> {
        self.pool.remove(ticket_id(number), session_id(session))
    }

    /// Runs one pass and gives the matches by ticket numbers.
    fn pass(&mut self) -> Vec<Vec<u8>> {
        self.pool.begin_pass();
        while self.pool.step(1) {}
        self.matches()
    }

    fn matches(&mut self) -> Vec<Vec<u8>> {
        let formed = std::iter::from_fn(|| self.pool.poll_match());
        formed
            .map(|formed| formed.tickets.iter().map(|ticket| ticket.id.as_bytes()[0]).collect())
            .collect()
    }
}

fn ticket(number: u8, session: char, counts: Counts) -> Ticket {
    Ticket {
        id: ticket_id(number),
        presence: Presence {
            user_id: UserId::from_bytes([session as u8; 16]),
            session_id: session_id(session),
            username: session.to_string().into(),
        },
        counts,
        query: Query::parse("*").unwrap(),
        string_properties: BTreeMap::new(),
        numeric_properties: BTreeMap::from([("b1".to_owned(), 15.0)]),
        created: UnixTime(7), // a clock that stands still
    }
}

fn ticket_id(number: u8) -> TicketId {
    TicketId::from_bytes([number; 16])
}

fn session_id(session: char) -> SessionId {
    SessionId::from_bytes([session as u8; 16])
}

#[test]
fn case_1_a_ticket_is_added() {
    let mut scene = compatible();
    assert_eq!(scene.add('a', 2, 2, 1), Ok(1));
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (1, 1));
}

#[test]
fn case_2_adding_and_removing_repeatedly_does_not_reach_the_limit() {
    let mut scene = compatible();
    for _ in 0..10 {
        let number = scene.add('a', 2, 2, 1).unwrap();
        assert_eq!(scene.remove(number, 'a'), Ok(()));
    }
    assert!(scene.pool.is_empty());
}

#[test]
fn case_3_a_ticket_is_removed_by_its_own_session_only() {
    let mut scene = compatible();
    scene.add_all("a", 2, 2, 1);
    assert_eq!(scene.remove(1, 'b'), Err(Error::NotFound));
    assert_eq!(scene.remove(2, 'a'), Err(Error::NotFound));
    assert_eq!(scene.remove(1, 'a'), Ok(()));
    assert_eq!(scene.remove(1, 'a'), Err(Error::NotFound));
}

#[test]
fn case_5_two_players_match_on_star() {
    let mut scene = compatible();
    scene.add_all("ab", 2, 2, 1);
    assert_eq!(scene.matches(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[2, 1]]); // the oldest searches, and stands last
    assert!(scene.pool.is_empty());
}

#[test]
fn a_match_carries_presences_and_properties() {
    let mut scene = scene(Mode::Immediate, 5);
    scene.add_all("ab", 2, 2, 1);
    let formed = scene.pool.poll_match().unwrap();
    assert_eq!(formed.tickets[0].presence.username.as_ref(), "a");
    assert_eq!(formed.tickets[1].presence.session_id, session_id('b'));
    assert_eq!(formed.tickets[1].numeric_properties["b1"], 15.0);
    assert!(formed.tickets[0].created < formed.tickets[1].created);
}

#[test]
fn case_8_a_removed_ticket_is_not_matched() {
    let mut scene = compatible();
    scene.add_all("ab", 2, 2, 1);
    scene.remove(1, 'a').unwrap();
    assert_eq!(scene.pass(), [[0; 0]; 0]);
}

#[test]
fn case_22_a_session_has_a_limit_of_tickets() {
    let mut scene = compatible();
    scene.add_all("aaa", 2, 2, 1);
    assert_eq!(scene.add('a', 2, 2, 1), Err(Error::TooManyTickets));
    scene.add_all("b", 2, 2, 1);
    assert_eq!(scene.pass(), [[4, 1]]);
    assert_eq!(scene.add('a', 2, 2, 1), Ok(5));
    assert_eq!(scene.add('a', 2, 2, 1), Err(Error::TooManyTickets));
}

#[test]
fn three_players_of_a_pair_leave_the_youngest() {
    let mut scene = compatible();
    scene.add_all("abc", 2, 2, 1);
    assert_eq!(scene.pass(), [[2, 1]]);
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (1, 0));
}

#[test]
fn fewer_than_the_max_count_are_accepted_at_the_last_interval_only() {
    let mut scene = scene(Mode::Compatible, 3);
    scene.add_all("abc", 2, 4, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[2, 3, 1]]);
}

#[test]
fn a_full_match_does_not_wait_for_the_last_interval() {
    let mut scene = compatible();
    scene.add_all("abcde", 2, 4, 1);
    assert_eq!(scene.pass(), [[2, 3, 4, 1]]);
}

/// Player a's first ticket finds b and then, as the last of the list, its own session's second.
#[test]
fn below_the_max_count_nothing_is_formed_when_the_last_hit_is_skipped() {
    let mut scene = scene(Mode::Compatible, 1);
    scene.add_all("b", 2, 4, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]); // b is passive from here on
    scene.add_all("aa", 2, 4, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (3, 0));
    scene.add_all("c", 2, 4, 1);
    assert_eq!(scene.pass(), [[3, 4]]); // the combination of b and 2 did not take the last hit
}

/// Five players, the searcher wants a multiple of two: the oldest of the others is left out.
#[test]
fn players_above_a_multiple_are_left_out() {
    let mut scene = scene(Mode::Compatible, 1);
    scene.add_all("abcde", 2, 6, 2);
    assert_eq!(scene.pass(), [[3, 4, 5, 1]]);
    assert_eq!(scene.pool.len(), 1);
    assert_eq!(scene.remove(2, 'b'), Ok(()));
}

#[test]
fn a_hit_s_range_lies_inside_the_searcher_s() {
    // 2–8 finds 2–4, but four players are below its max: accepted at its last interval.
    let mut scene = scene(Mode::Compatible, 2);
    scene.add_all("a", 2, 8, 1);
    scene.add_all("bcd", 2, 4, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[2, 3, 4, 1]]);
    // 2–4 does not find 2–8.
    scene.add_all("e", 2, 4, 1);
    scene.pass();
    scene.pass();
    scene.add_all("f", 3, 8, 1);
    assert_eq!((scene.pass(), scene.pass()), (vec![], vec![]));
    assert_eq!(scene.pool.len(), 2);
}

#[test]
fn a_passive_ticket_is_found_by_a_later_one() {
    let mut scene = compatible();
    scene.add_all("a", 2, 2, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pool.active_len(), 0);
    scene.add_all("b", 2, 2, 1);
    assert_eq!(scene.pass(), [[1, 2]]);
}

#[test]
fn a_ticket_becomes_passive_after_its_intervals() {
    let mut scene = scene(Mode::Compatible, 2);
    scene.add_all("a", 2, 4, 1);
    scene.pass();
    assert_eq!(scene.pool.active_len(), 1);
    scene.pass();
    assert_eq!((scene.pool.len(), scene.pool.active_len()), (1, 0));
}

#[test]
fn a_session_s_tickets_never_play_together() {
    let mut scene = compatible();
    scene.add_all("aabb", 2, 2, 1);
    assert_eq!(scene.pass(), [[3, 1], [4, 2]]);
}

#[test]
fn tickets_added_during_a_pass_wait_for_the_next() {
    let mut scene = compatible();
    scene.add_all("a", 2, 2, 1);
    scene.pool.begin_pass();
    assert!(scene.pool.step(1));
    scene.add_all("b", 2, 2, 1);
    while scene.pool.step(1) {}
    assert_eq!(scene.matches(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[1, 2]]);
}

/// Every moment of a search at which a found ticket can be cancelled.
#[test]
fn a_ticket_cancelled_during_a_search_is_in_no_match() {
    for steps in 0.. {
        let mut scene = compatible();
        scene.add_all("abcd", 3, 3, 1);
        scene.pool.begin_pass();
        let more = (0..steps).fold(true, |_, _| scene.pool.step(1));
        let cancelled = scene.remove(2, 'b');
        while scene.pool.step(1) {}
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
    let mut scene = scene(Mode::Compatible, 2);
    scene.add_all("a", 2, 4, 1);
    scene.pool.begin_pass();
    scene.pool.step(1);
    scene.pool.begin_pass();
    while scene.pool.step(1) {}
    assert_eq!(scene.pool.active_len(), 0);
    assert!(!scene.pool.has_work());
}

#[test]
fn immediate_mode_forms_a_full_match_on_arrival() {
    let mut scene = scene(Mode::Immediate, 2);
    scene.add_all("abb", 2, 3, 1);
    assert_eq!(scene.matches(), [[0; 0]; 0]);
    scene.add_all("c", 3, 3, 1);
    assert_eq!(scene.matches(), [[1, 4, 2]]); // the newest of the smallest min count searched
    assert_eq!(scene.pool.len(), 1);
}

#[test]
fn immediate_mode_accepts_the_min_count_at_the_last_interval() {
    let mut scene = scene(Mode::Immediate, 2);
    scene.add_all("abc", 2, 4, 1);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pass(), [[2, 3, 1]]);
}

#[test]
fn a_closed_session_takes_its_tickets_along() {
    let mut scene = compatible();
    scene.add_all("aab", 2, 2, 1);
    assert_eq!(scene.pool.remove_session(session_id('a')), 2);
    assert_eq!(scene.pool.remove_session(session_id('a')), 0);
    assert_eq!(scene.pass(), [[0; 0]; 0]);
    assert_eq!(scene.pool.len(), 1);
}
