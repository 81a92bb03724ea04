//! Tickets: each in at most one match, within its counts, and with players who are accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base::Instant;
use base::json::Json;
use matchmaker::Mode;

use super::queue::{Line, Lines};
use super::{list, member, session, text};

/// What a ticket asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    pub min: u32,
    pub max: u32,
    pub multiple: u32,
    pub want: Want,
    pub properties: Properties,
    /// What it says to the declared queue that it names.
    pub line: Option<Line>,
}

/// Whom it accepts: judged here without the matchmaker's code.
#[derive(Clone, Debug, Default)]
pub struct Want {
    pub room: Room,
    /// The bounds of the rank, both of them accepted.
    pub low: Option<u32>,
    pub high: Option<u32>,
    /// A room that scores higher, where something else is asked for.
    pub prefers: Option<&'static str>,
}

#[derive(Clone, Debug, Default)]
pub enum Room {
    #[default]
    Any,
    Is(&'static str),
    IsNot(&'static str),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    pub room: Option<&'static str>,
    pub rank: Option<u32>,
}

/// One of the players of a match, as all are told of them.
#[derive(Debug)]
struct Player {
    session: String,
    party: Option<String>,
    room: Option<String>,
    rank: Option<u32>,
}

impl Player {
    fn read(user: &Json) -> Player {
        let rank = member(user, "numeric_properties").and_then(|all| member(all, "rank"));
        Player {
            session: session(member(user, "presence").expect("a presence")),
            party: text(user, "party_id").map(str::to_owned),
            room: text(user, "string_properties/room").map(str::to_owned),
            rank: rank.map(|rank| match rank {
                Json::Integer(rank) => u32::try_from(*rank).expect("a rank that was sent"),
                other => panic!("a rank that was sent: {other:?}"),
            }),
        }
    }

    /// Whether both play by one ticket: a player has one in a match, and so has a party.
    fn is_of_ticket(&self, other: &Player) -> bool {
        self.session == other.session || (self.party.is_some() && self.party == other.party)
    }
}

impl Wish {
    fn accepts_size(&self, size: u32) -> bool {
        (self.min..=self.max).contains(&size) && size.is_multiple_of(self.multiple)
    }

    fn is_for_one_other(&self) -> bool {
        (self.min, self.max) == (2, 2)
    }
}

impl Want {
    fn accepts(&self, room: Option<&str>, rank: Option<u32>) -> bool {
        let is_room = match self.room {
            Room::Any => true,
            Room::Is(wanted) => room == Some(wanted),
            Room::IsNot(unwanted) => room != Some(unwanted),
        };
        is_room
            && self.low.is_none_or(|low| rank.is_some_and(|rank| rank >= low))
            && self.high.is_none_or(|high| rank.is_some_and(|rank| rank <= high))
    }
}

/// The members of the message that adds the ticket.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { min, max, multiple, want, properties, line } = self;
        write!(f, "\"min_count\":{min},\"max_count\":{max},\"count_multiple\":{multiple}")?;
        write!(f, ",\"query\":\"{}\"", want.to_string().replace('\\', "\\\\"))?;
        if let Some(line) = line {
            return write!(f, ",{line}");
        }
        if let Some(room) = properties.room {
            write!(f, ",\"string_properties\":{{\"room\":\"{room}\"}}")?;
        }
        if let Some(rank) = properties.rank {
            write!(f, ",\"numeric_properties\":{{\"rank\":{rank}}}")?;
        }
        Ok(())
    }
}

/// The query.
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let term = |room: &str| format!("properties.room:{}", room.replace(' ', "\\ "));
        let mut clauses = Vec::new();
        match self.room {
            Room::Any => {}
            Room::Is(room) => clauses.push(format!("+{}", term(room))),
            Room::IsNot(room) => clauses.push(format!("-{}", term(room))),
        }
        clauses.extend(self.low.map(|low| format!("+properties.rank:>={low}")));
        clauses.extend(self.high.map(|high| format!("+properties.rank:<={high}")));
        // Beside nothing that has to be, it would be a condition.
        if clauses.iter().any(|clause| clause.starts_with('+')) {
            clauses.extend(self.prefers.map(|room| format!("{}^3", term(room))));
        }
        f.write_str(if clauses.is_empty() { "*" } else { "" })?;
        f.write_str(&clauses.join(" "))
    }
}

/// The tickets of one run of the process.
#[derive(Debug)]
pub struct Tickets {
    is_immediate: bool,
    /// Whether all members of a match have to accept each other.
    is_mutual: bool,
    wishes: BTreeMap<String, Wish>,
    over: BTreeSet<String>,
    /// Of tickets of parties: who was told of them, and who plays by them.
    told: BTreeMap<String, BTreeSet<String>>,
    found: BTreeMap<String, BTreeSet<String>>,
    /// Whether there may be tickets that nobody was told of: their question was given up.
    has_unknown: bool,
    /// Tickets whose removal was given up: they wait or not.
    doubted: BTreeSet<String>,
    /// Those of declared queues.
    pub lines: Lines,
    /// Players, and how many of them were told, by the token of the match.
    matches: BTreeMap<String, (BTreeSet<String>, usize)>,
}

impl Tickets {
    pub fn new(mode: Mode, is_mutual: bool) -> Tickets {
        Tickets {
            is_immediate: mode == Mode::Immediate,
            is_mutual,
            wishes: BTreeMap::new(),
            over: BTreeSet::new(),
            told: BTreeMap::new(),
            found: BTreeMap::new(),
            has_unknown: false,
            doubted: BTreeSet::new(),
            lines: Lines::default(),
            matches: BTreeMap::new(),
        }
    }

    /// The process has died.
    pub fn forget_all(&mut self) {
        let mode = if self.is_immediate { Mode::Immediate } else { Mode::Compatible };
        let mut lines = std::mem::take(&mut self.lines);
        lines.forget_all();
        *self = Tickets { lines, ..Tickets::new(mode, self.is_mutual) };
    }

    pub fn add(&mut self, ticket: &str, wish: Wish) {
        let before = self.wishes.insert(ticket.to_owned(), wish);
        assert!(before.is_none(), "a ticket has an id of its own");
    }

    /// A member hears of the ticket of its party.
    pub fn tell(&mut self, ticket: &str, me: Option<&str>) {
        self.told.entry(ticket.to_owned()).or_default().extend(me.map(str::to_owned));
        self.invariant_all_play(ticket);
    }

    /// Whoever was told of a party's ticket is in its match.
    fn invariant_all_play(&self, ticket: &str) {
        if let (Some(told), Some(found)) = (self.told.get(ticket), self.found.get(ticket)) {
            assert!(told.is_subset(found), "a party plays together: {told:?}, {found:?}");
        }
    }

    pub fn doubt(&mut self) {
        self.has_unknown = true;
        self.lines.doubt();
    }

    pub fn doubt_removal(&mut self, ticket: &str) {
        self.doubted.insert(ticket.to_owned());
        self.lines.doubt_removal(ticket);
    }

    pub fn remove(&mut self, ticket: &str, socket: u64) {
        if self.lines.knows(ticket) {
            return self.lines.remove(ticket, socket);
        }
        let is_first = self.over.insert(ticket.to_owned()) && !self.found.contains_key(ticket);
        assert!(is_first, "a ticket is matched or removed, never both");
    }

    /// A ticket is in at most one match, whose size it wished for, and all players are told of the
    /// same match.
    pub fn invariant_matched(&mut self, me: Option<&str>, matched: &Json, at: (u64, Instant)) {
        let (socket, now) = at;
        if text(matched, "self/string_properties/team").is_some() {
            return self.lines.invariant_matched(socket, matched, now);
        }
        let ticket = text(matched, "ticket").expect("a match is found for a ticket");
        self.lines.match_elsewhere(ticket, socket);
        let wish = self.wishes.get(ticket);
        let is_known = wish.is_some() || self.told.contains_key(ticket) || self.has_unknown;
        assert!(is_known, "a ticket is known before it is matched");
        let users: Vec<_> = list(matched, "users").iter().map(Player::read).collect();
        let players: BTreeSet<_> = users.iter().map(|user| user.session.clone()).collect();
        assert_eq!(players.len(), users.len(), "a player is in a match once");
        let size = u32::try_from(players.len()).expect("few players");
        assert!(
            wish.is_none_or(|wish| wish.accepts_size(size)),
            "a match has a size that each ticket wished for: {wish:?}, {size}"
        );
        let myself = Player::read(member(matched, "self").expect("oneself"));
        if let Some(wish) = wish {
            self.invariant_accepts(wish, &myself, &users);
        }
        let own = myself.session;
        assert!(players.contains(&own), "a player is in the match");
        let mut once = ticket.to_owned();
        if myself.party.is_some() {
            assert!(!self.over.contains(ticket), "a ticket is matched or removed, never both");
            self.found.insert(ticket.to_owned(), players.clone());
            self.invariant_all_play(ticket);
            once = format!("{ticket} of {own}");
        }
        assert!(self.over.insert(once), "a ticket is matched once: {ticket}");
        assert!(me.is_none_or(|me| me == own), "a player is told of its own ticket");
        let token = text(matched, "token").expect("a match has a token").to_owned();
        let known = self.matches.entry(token).or_insert_with(|| (players.clone(), 0));
        assert_eq!(known.0, players, "all players are told of the same match");
        known.1 += 1;
        assert!(known.1 <= known.0.len(), "each player is told once");
    }

    /// The one that searched accepts all others by its query; with `rev_precision`, all accept all.
    fn invariant_accepts(&self, wish: &Wish, myself: &Player, users: &[Player]) {
        let Properties { room, rank } = wish.properties;
        let is_mine = myself.room.as_deref() == room && myself.rank == rank;
        assert!(is_mine, "a match tells the properties of each ticket: {wish:?}, {myself:?}");
        let searched = users.last().expect("a match has players");
        if !self.is_mutual && !searched.is_of_ticket(myself) {
            return;
        }
        for other in users.iter().filter(|user| !user.is_of_ticket(myself)) {
            assert!(
                wish.want.accepts(other.room.as_deref(), other.rank),
                "the one that searched accepts all others by its query: {}, {other:?}",
                wish.want
            );
        }
    }

    /// At rest two tickets of different players do not both wait where they could play together.
    pub fn invariant_waits_rightly(&self, one: &str, other: &str) {
        let waiting = |ticket| {
            let is_searched = |wish: &&Wish| wish.is_for_one_other() && wish.line.is_none();
            let wish = self.wishes.get(ticket).filter(is_searched);
            wish.filter(|_| !self.over.contains(ticket) && !self.doubted.contains(ticket))
        };
        let (Some(one), Some(other)) = (waiting(one), waiting(other)) else { return };
        let accepts = |a: &Wish, b: &Wish| a.want.accepts(b.properties.room, b.properties.rank);
        let (there, back) = (accepts(one, other), accepts(other, one));
        let could_play = if self.is_mutual { there && back } else { there || back };
        assert!(
            !self.is_immediate || !could_play,
            "in immediate mode nobody waits beside a player for whom they could have a match: \
             {one:?}, {other:?}"
        );
    }

    /// Whether a ticket of a party has included the session.
    pub fn is_in_party(&self, me: &str) -> bool {
        self.told.values().any(|told| told.contains(me))
    }

    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.wishes.keys().map(String::as_str)
    }
}
