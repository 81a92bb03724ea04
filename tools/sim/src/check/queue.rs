//! Tickets of declared queues: what their players hear of them, and whom they play with.
//!
//! Each ticket bears a number of the client's own, the tag, by which all players of a match know
//! what each of them asked for.

mod lineup;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base::Instant;
use base::json::Json;

use super::{list, member, text};
use crate::faults::Faults;

pub use self::lineup::Player;

/// What a queue asks of its matches, judged here without the matchmaker's code. Two teams of the
/// same size, `a` and `b`.
#[derive(Clone, Debug)]
pub struct Rules {
    pub id: &'static str,
    /// Told with every match: the name of these rules.
    pub mode: String,
    pub size: usize,
    /// Seconds that players have to accept their match.
    pub ready: Option<u32>,
    /// One of each in each team, which is one of two.
    pub has_roles: bool,
    pub has_regions: bool,
    /// How far apart ratings may be, at first and after so many seconds.
    pub window: (u32, u32, u32),
}

pub const ROLES: [&str; 2] = ["tank", "healer"];
pub const REGIONS: [&str; 2] = ["eu", "us"];

/// Milliseconds by which a region may be farther than the best one, at first and after so many
/// seconds.
const FARNESS: (u32, u32, u32) = (10, 50, 4);

/// The definition, as operators write it.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rules { id, mode, size, .. } = self;
        let steps = |(from, to, over): (u32, u32, u32)| {
            format!("{{\"from\":{from},\"to\":{to},\"over_sec\":{over}}}")
        };
        let named = |names: [&str; 2], more: &str| {
            let named = names.map(|name| format!("{{\"name\":\"{name}\"{more}}}"));
            named.join(",")
        };
        let teams = named(["a", "b"], &format!(",\"max\":{size}"));
        write!(f, "{{\"id\":\"{id}\",\"mode\":\"{mode}\",\"teams\":[{teams}]")?;
        write!(f, ",\"attributes\":[{{\"name\":\"map\"}}]")?;
        write!(f, ",\"rating\":{{\"window\":{}}}", steps(self.window))?;
        if let Some(ready) = self.ready {
            write!(f, ",\"ready_sec\":{ready}")?;
        }
        if self.has_roles {
            write!(f, ",\"roles\":[{}]", named(ROLES, ""))?;
        }
        if self.has_regions {
            write!(f, ",\"regions\":[\"eu\",\"us\"],\"latency\":{}", steps(FARNESS))?;
        }
        f.write_str("}")
    }
}

/// What a ticket says of its players.
#[derive(Clone, Debug)]
pub struct Line {
    pub tag: u64,
    pub queue: &'static str,
    pub says: Says,
    /// What is said of some members of a party, by user.
    pub own: BTreeMap<String, Says>,
    pub blocked: Option<String>,
    /// By region.
    pub latencies: [Option<u32>; 2],
    pub map: Option<&'static str>,
    /// No ticket is older than this.
    pub since: Instant,
}

/// Of one player, or of all.
#[derive(Clone, Debug)]
pub struct Says {
    pub rating: u32,
    /// Empty: any.
    pub roles: Vec<&'static str>,
}

/// The properties.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = [(String::new(), &self.says)];
        let own = self.own.iter().map(|(user, says)| (format!("@{user}"), says));
        let all: Vec<_> = common.into_iter().chain(own).collect();
        write!(f, "\"string_properties\":{{\"queue\":\"{}\"", self.queue)?;
        for (whose, says) in &all {
            write!(f, ",\"roles{whose}\":\"{}\"", says.roles.join(","))?;
        }
        if let Some(blocked) = &self.blocked {
            write!(f, ",\"blocked\":\"{blocked}\"")?;
        }
        if let Some(map) = self.map {
            write!(f, ",\"map\":\"{map}\"")?;
        }
        write!(f, "}},\"numeric_properties\":{{\"tag\":{}", self.tag)?;
        for (whose, says) in &all {
            write!(f, ",\"rating{whose}\":{}", says.rating)?;
        }
        for (region, latency) in REGIONS.iter().zip(self.latencies) {
            if let Some(latency) = latency {
                write!(f, ",\"latency.{region}\":{latency}")?;
            }
        }
        f.write_str("}")
    }
}

impl Line {
    fn of(&self, user: &str) -> &Says {
        self.own.get(user).unwrap_or(&self.says)
    }
}

/// A ticket, as one of its sockets knows it.
#[derive(Debug)]
struct View {
    state: State,
    /// It has accepted the match that it is asked about, or may have.
    accepted: bool,
    /// It was told that its answer counts.
    is_acknowledged: bool,
    has_declined: bool,
    /// Acceptances that are not answered.
    pending: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Asked,
    Matched,
    Left,
    /// Taken back, while it was asked or not.
    Removed {
        was_asked: bool,
    },
    /// Its removal was given up.
    Doubted,
}

/// The tickets of one run of the process.
#[derive(Debug, Default)]
pub struct Lines {
    /// By mode; those that were ever written.
    rules: BTreeMap<String, Rules>,
    /// What happened in queues, in all runs of the process.
    counts: Faults,
    /// Queues that operators may have changed.
    changed: BTreeSet<&'static str>,
    lines: BTreeMap<u64, Line>,
    /// By ticket.
    tags: BTreeMap<String, u64>,
    /// By ticket and socket.
    views: BTreeMap<String, BTreeMap<u64, View>>,
    of_parties: BTreeSet<String>,
    removed: BTreeSet<String>,
    has_unknown: bool,
    /// By tag, the token of its match.
    tokens: BTreeMap<u64, String>,
    /// By token: players, and how many of them were told.
    matches: BTreeMap<String, (BTreeSet<String>, usize)>,
    /// Tickets of which somebody is gone for certain.
    gone: BTreeSet<String>,
    /// By ticket, whether its queue could explain why it waits.
    explained: BTreeMap<String, bool>,
    /// Sockets that were asked, and have not answered.
    asked: Vec<(u64, String)>,
}

impl Lines {
    /// The process has died. Definitions that may be written stay.
    pub fn forget_all(&mut self) {
        let before = std::mem::take(self);
        let (rules, changed) = (before.rules, before.changed);
        *self = Lines { counts: before.counts, rules, changed, ..Lines::default() };
    }

    /// These rules are declared, or operators write them from here on.
    pub fn declare(&mut self, rules: Rules) {
        self.rules.insert(rules.mode.clone(), rules);
    }

    pub fn change(&mut self, id: &'static str) {
        self.changed.insert(id);
    }

    pub fn begin(&mut self, line: Line) {
        self.lines.insert(line.tag, line);
    }

    pub fn counts(&self) -> Faults {
        self.counts
    }

    pub fn doubt(&mut self) {
        self.has_unknown = true;
    }

    pub fn knows(&self, ticket: &str) -> bool {
        self.tags.contains_key(ticket)
    }

    /// The ticket of this tag has an id.
    pub fn add(&mut self, ticket: &str, tag: u64, socket: u64, is_of_party: bool) {
        self.tags.insert(ticket.to_owned(), tag);
        if is_of_party {
            self.of_parties.insert(ticket.to_owned());
        }
        self.tell(ticket, socket);
    }

    /// A socket knows of the ticket.
    pub fn tell(&mut self, ticket: &str, socket: u64) {
        let views = self.views.entry(ticket.to_owned()).or_default();
        views.entry(socket).or_insert(View {
            state: State::Waiting,
            accepted: false,
            is_acknowledged: false,
            has_declined: false,
            pending: 0,
        });
    }

    fn view(&mut self, ticket: &str, socket: u64) -> &mut View {
        if self.has_unknown {
            self.tell(ticket, socket);
        }
        let view = self.views.get_mut(ticket).and_then(|views| views.get_mut(&socket));
        view.expect("a player is told of tickets that it knows")
    }

    /// Sockets that are asked whether they accept a match, with their tickets.
    pub fn take_asked(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.asked)
    }

    /// The socket has not made up its mind.
    pub fn ask_later(&mut self, socket: u64, ticket: String) {
        self.asked.push((socket, ticket));
    }

    /// A socket answers.
    pub fn answer(&mut self, ticket: &str, socket: u64, accepts: bool) {
        if accepts {
            let view = self.view(ticket, socket);
            view.accepted = true;
            view.pending += 1;
        }
    }

    /// What it answered counts, or not.
    pub fn answered(&mut self, ticket: &str, socket: u64, accepts: bool, counts: bool) {
        let view = self.view(ticket, socket);
        view.pending = view.pending.saturating_sub(u32::from(accepts));
        if counts && view.state != State::Doubted {
            assert_eq!(view.state, State::Asked, "who is asked answers: {ticket}");
            view.is_acknowledged |= accepts;
            view.has_declined |= !accepts;
            self.counts.declined_matches += u64::from(!accepts);
        }
    }

    /// A notification about a ticket.
    pub fn hear(&mut self, socket: u64, notification: &Json) {
        let subject = text(notification, "subject").expect("a notification has a subject");
        if !["match_found", "queue_rejoined", "queue_left"].contains(&subject) {
            return; // of a newer socket, or of a ban
        }
        let content = text(notification, "content").expect("a content");
        let content = Json::parse(content.as_bytes()).expect("contents are JSON");
        let ticket = text(&content, "ticket").expect("a ticket").to_owned();
        match subject {
            "match_found" => {
                assert!(
                    !self.removed.contains(&ticket) || self.of_parties.contains(&ticket),
                    "a ticket that was taken back is not asked"
                );
                self.hear_found(&ticket, socket);
            }
            "queue_rejoined" => {
                let view = self.view(&ticket, socket);
                let is_asked = matches!(view.state, State::Asked | State::Doubted);
                assert!(is_asked, "who waits again was asked: {ticket} {view:?}");
                assert!(!view.has_declined, "who declined waits no more: {ticket}");
                view.state = State::Waiting;
                self.counts.rejoined_players += 1;
            }
            _ => self.hear_left(&ticket, socket),
        }
    }

    /// Who is asked waits no more.
    fn hear_found(&mut self, ticket: &str, socket: u64) {
        self.counts.asked_players += 1;
        self.asked.push((socket, ticket.to_owned()));
        let view = self.view(ticket, socket);
        let is_waiting = matches!(view.state, State::Waiting | State::Doubted);
        assert!(is_waiting, "who is asked about a match waited: {ticket} {view:?}");
        view.state = State::Asked;
        (view.accepted, view.is_acknowledged) = (view.pending > 0, false);
    }

    /// A ticket leaves for a reason, and is told once.
    fn hear_left(&mut self, ticket: &str, socket: u64) {
        let line = self.tags.get(ticket).and_then(|tag| self.lines.get(tag));
        let may_be_dropped = line.is_none_or(|line| self.changed.contains(line.queue));
        let is_alone = line.is_some() && !self.of_parties.contains(ticket);
        let view = self.view(ticket, socket);
        match view.state {
            State::Waiting => {
                assert!(may_be_dropped, "who waits leaves by a change of the queue: {ticket}");
            }
            State::Asked => {
                let has_accepted = is_alone && view.is_acknowledged && !view.has_declined;
                assert!(
                    may_be_dropped || !has_accepted,
                    "after a match that was not accepted, who accepted waits again: {ticket}"
                );
            }
            State::Removed { was_asked } => assert!(was_asked, "who went is told nothing"),
            State::Doubted => {}
            State::Matched | State::Left => panic!("who left is told once: {ticket} {view:?}"),
        }
        view.state = State::Left;
        self.counts.left_players += 1;
    }

    /// A socket took its ticket back, or its party's.
    pub fn remove(&mut self, ticket: &str, socket: u64) {
        let is_of_party = self.of_parties.contains(ticket);
        assert!(self.removed.insert(ticket.to_owned()), "a ticket is taken back once: {ticket}");
        let tag = self.tags[ticket];
        let is_matched = self.tokens.contains_key(&tag);
        assert!(!is_matched, "a ticket is matched or removed, never both: {ticket}");
        let view = self.view(ticket, socket);
        let was_asked = match view.state {
            State::Waiting | State::Doubted => is_of_party,
            State::Asked => true,
            // What was told overtakes an answer that waits for the party's batches.
            State::Left if is_of_party => return,
            State::Matched | State::Left | State::Removed { .. } => {
                panic!("who takes a ticket back has one: {ticket} {view:?}")
            }
        };
        let declines = view.state == State::Asked;
        view.state = State::Removed { was_asked };
        self.counts.declined_matches += u64::from(declines);
    }

    pub fn doubt_removal(&mut self, ticket: &str) {
        for view in self.views.get_mut(ticket).into_iter().flat_map(BTreeMap::values_mut) {
            view.state = State::Doubted;
        }
    }

    /// A ticket that named no queue in force was matched by its query.
    pub fn match_elsewhere(&mut self, ticket: &str, socket: u64) {
        if self.knows(ticket) {
            self.view(ticket, socket).state = State::Matched;
        }
    }

    /// A ticket is in at most one match, after all of its players accepted it where they are
    /// asked, and all are told of the same match, once.
    pub fn invariant_matched(&mut self, socket: u64, matched: &Json, now: Instant) {
        let ticket = text(matched, "ticket").expect("a match is found for a ticket");
        let users: Vec<_> = list(matched, "users").iter().map(Player::read).collect();
        let myself = Player::read(member(matched, "self").expect("oneself"));
        let token = text(matched, "token").expect("a match has a token");
        let players: BTreeSet<_> = users.iter().map(|user| user.session.clone()).collect();
        assert_eq!(players.len(), users.len(), "a player is in a match once");
        assert!(players.contains(&myself.session), "a player is in the match");
        let rules = self.rules.get(&myself.mode).expect("a match forms by rules that were written");
        let rules = rules.clone();
        self.invariant_lineup(&rules, &users, now);
        let known = self.tags.get(ticket).is_none_or(|tag| *tag == myself.tag);
        assert!(known, "a player is told of its own ticket");
        for user in &users {
            let before = self.tokens.insert(user.tag, token.to_owned());
            let is_one = before.is_none_or(|before| before == token);
            assert!(is_one, "a ticket is in at most one match: {ticket}");
            self.invariant_may_play(&rules, user.tag, &users);
        }
        if !self.matches.contains_key(token) {
            self.counts.queue_matches += 1;
            self.counts.party_matches += u64::from(users.iter().any(Player::is_of_party));
        }
        let told = self.matches.entry(token.to_owned()).or_insert_with(|| (players.clone(), 0));
        assert_eq!(told.0, players, "all players are told of the same match");
        told.1 += 1;
        assert!(told.1 <= told.0.len(), "each player is told once");
        let view = self.view(ticket, socket);
        let is_right = match view.state {
            State::Waiting => rules.ready.is_none(),
            State::Asked => rules.ready.is_some() && view.accepted && !view.has_declined,
            State::Doubted => true,
            State::Matched | State::Left | State::Removed { .. } => false,
        };
        assert!(is_right, "a ticket is matched while it waits, or once accepted: {view:?}");
        view.state = State::Matched;
    }

    /// Nobody plays who went, or who did not accept where players are asked.
    fn invariant_may_play(&self, rules: &Rules, tag: u64, users: &[Player]) {
        let ticket = self.tags.iter().find(|(_, other)| **other == tag);
        let Some((ticket, _)) = ticket else {
            let is_told_late = rules.ready.is_none() || self.has_unknown;
            assert!(is_told_late, "everyone accepts before a match begins: {tag}");
            return;
        };
        assert!(!self.removed.contains(ticket), "a ticket that was taken back is in no match");
        assert!(!self.gone.contains(ticket), "a ticket ends with its session: {ticket}");
        let views = || self.views[ticket].values();
        let is_out = views().any(|view| view.state == State::Left || view.has_declined);
        assert!(!is_out, "who left is in no match: {ticket}");
        let players = users.iter().filter(|user| user.tag == tag).count();
        let accepted = views().filter(|view| view.accepted).count();
        assert!(
            rules.ready.is_none() || accepted >= players || self.has_unknown,
            "everyone accepts before a match begins: {ticket}, {accepted} of {players}"
        );
    }

    // At rest.

    /// Everybody has heard everything, and no socket is there but these.
    pub fn note_gone(&mut self, sockets: &BTreeMap<u64, &str>) {
        let is_gone =
            |views: &BTreeMap<u64, View>| views.keys().any(|socket| !sockets.contains_key(socket));
        let gone = self.views.iter().filter(|(_, views)| is_gone(views));
        self.gone = gone.map(|(ticket, _)| ticket.clone()).collect();
    }

    /// No question is left without its end.
    pub fn invariant_nobody_is_asked(&self, sockets: &BTreeMap<u64, &str>) {
        for (ticket, views) in &self.views {
            for (socket, view) in views.iter().filter(|(socket, _)| sockets.contains_key(socket)) {
                assert_ne!(view.state, State::Asked, "a ready check ends: {ticket} of {socket}");
            }
        }
    }

    /// Tickets that wait as far as their sockets know: each with one of the sockets.
    pub fn waiting(&self, sockets: &BTreeMap<u64, &str>) -> Vec<(u64, String)> {
        let mut waiting = Vec::new();
        for (ticket, views) in &self.views {
            let waits = |(socket, view): (&u64, &View)| {
                view.state == State::Waiting && sockets.contains_key(socket)
            };
            let is_there = !self.removed.contains(ticket) && views.iter().all(waits);
            if let (true, true, Some((socket, _))) =
                (is_there, self.knows(ticket), views.first_key_value())
            {
                waiting.push((*socket, ticket.clone()));
            }
        }
        waiting
    }

    /// The queue could say why the ticket waits, or does not know it.
    pub fn explain(&mut self, ticket: &str, is_there: bool) {
        self.explained.insert(ticket.to_owned(), is_there);
    }

    /// No ticket is lost: one that was told of nothing waits. Gives those that may wait in the
    /// pool, as the queue that they named may not have been there.
    pub fn invariant_all_wait(&mut self, waiting: &[(u64, String)]) -> Vec<(u64, String)> {
        let mut elsewhere = Vec::new();
        for (socket, ticket) in waiting {
            let is_there = self.explained[ticket];
            let line = &self.lines[&self.tags[ticket]];
            // A party that is not the same any more has lost its ticket, and is not told.
            if is_there || self.of_parties.contains(ticket) {
                continue;
            }
            let may_be_elsewhere = self.changed.contains(line.queue);
            assert!(may_be_elsewhere, "a ticket that was told of nothing waits: {ticket}");
            elsewhere.push((*socket, ticket.clone()));
        }
        elsewhere
    }

    /// Nobody waits who could be matched with others who wait, when all ask for the least.
    pub fn invariant_nobody_is_passed_over(
        &self,
        mode: &str,
        waiting: &[(u64, String)],
        sockets: &BTreeMap<u64, &str>,
    ) {
        let rules = &self.rules[mode];
        let mut units = Vec::new();
        for (_, ticket) in waiting.iter().filter(|(_, ticket)| self.explained[ticket]) {
            let line = &self.lines[&self.tags[ticket]];
            if line.queue == rules.id {
                let users = self.views[ticket].keys().map(|socket| sockets[socket]).collect();
                units.push((line, users));
            }
        }
        lineup::invariant_no_match_is_left(rules, &units);
    }
}
