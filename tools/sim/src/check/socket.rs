//! One socket: what it asked, what it heard, and what it may conclude from that.

use std::collections::{BTreeMap, BTreeSet};

use base::Instant;
use base::json::Json;

use super::party::{Parties, invariant_parties_are_known};
use super::ticket::{Tickets, Wish};
use super::{list, member, session, text};

/// What a client is told when a deadline has passed.
const GIVEN_UP: &str = "The request took too long.";

/// What a socket asked for.
#[derive(Clone, Debug)]
pub enum Question {
    Ping,
    Follow {
        user: String,
    },
    FollowName,
    Unfollow {
        user: String,
    },
    SetStatus {
        is_online: bool,
    },
    TicketAdd(Wish),
    TicketRemove {
        ticket: String,
    },
    Create,
    Join,
    Leave {
        id: String,
    },
    PartyCreate,
    PartyJoin,
    PartyLeave {
        id: String,
    },
    /// Of a leader, or data of a member.
    PartyAct,
    PartyTicketAdd(Wish),
    PartyTicketRemove {
        ticket: String,
    },
    /// The answer to whether a match is accepted.
    Ready {
        ticket: String,
        accepts: bool,
    },
    Explain {
        ticket: String,
    },
}

/// An open socket, and all that follows from what it heard.
#[derive(Debug)]
pub struct Socket {
    pub user: String,
    /// No other socket of the run has it.
    number: u64,
    /// Its session, once it was named.
    me: Option<String>,
    next_cid: u32,
    waiting: BTreeMap<u32, Question>,
    /// The newest reply that no batch could hold up.
    newest: u32,
    pub is_online: bool,
    /// Other users that it follows for certain.
    follows: BTreeSet<String>,
    /// Sessions by user, and whether they were last told to be online.
    online: BTreeMap<String, BTreeMap<String, bool>>,
    /// Matches that it is a member of, as far as it was told.
    matches: BTreeMap<String, Membership>,
    /// Matches that it left; if it comes again, an old leave of another may come late.
    left: BTreeSet<String>,
    /// A question about matches, or about statuses, was given up at its deadline: it may have had
    /// its effect or may still have it, and nothing can be said any more.
    doubts_matches: bool,
    doubts_statuses: bool,
    doubts_parties: bool,
    pub parties: Parties,
    /// Tickets of its own, waiting or not.
    tickets: Vec<String>,
    /// Number of its next match data.
    pub next_data: i64,
}

#[derive(Debug, Default)]
struct Membership {
    members: BTreeSet<String>,
    /// Who left before the reply with the list came.
    left: BTreeSet<String>,
    is_listed: bool,
    /// The newest data of each sender.
    data: BTreeMap<String, i64>,
}

impl Socket {
    pub fn new(user: String, number: u64, is_online: bool, is_single: bool) -> Socket {
        Socket {
            user,
            number,
            me: None,
            next_cid: 1,
            waiting: BTreeMap::new(),
            newest: 0,
            is_online,
            follows: BTreeSet::new(),
            online: BTreeMap::new(),
            matches: BTreeMap::new(),
            left: BTreeSet::new(),
            doubts_matches: false,
            doubts_statuses: false,
            doubts_parties: false,
            parties: Parties::new(is_single),
            tickets: Vec::new(),
            next_data: 1,
        }
    }

    /// Notes a question, and gives the cid that its answer bears.
    pub fn ask(&mut self, question: Question) -> u32 {
        let is_entry =
            |question: &Question| matches!(question, Question::PartyCreate | Question::PartyJoin);
        let overlaps = is_entry(&question) && self.waiting.values().any(is_entry);
        if overlaps && self.parties.is_single {
            // Which of two parties is the later one is not told.
            self.doubts_parties = true;
            self.parties.forget_all();
        }
        let cid = self.next_cid;
        self.next_cid += 1;
        self.waiting.insert(cid, question);
        cid
    }

    /// Judges a text; gives the matches and tickets that it named.
    pub fn hear(&mut self, heard: &str, tickets: &mut Tickets, now: Instant) {
        let value = Json::parse(heard.as_bytes()).expect("sockets hear JSON");
        if let Some(cid) = text(&value, "cid") {
            let cid: u32 = cid.parse().expect("cids are numbers here");
            return self.hear_answer(cid, &value, tickets);
        }
        let Json::Object(members) = &value else { panic!("an envelope is an object: {heard}") };
        let (name, body) = members.first().expect("an envelope is not empty");
        match name.as_str() {
            "match_presence_event" | "match_data" if self.doubts_matches => {}
            "match_presence_event" => self.hear_members(body),
            "match_data" => self.hear_data(body),
            "status_presence_event" => self.hear_statuses(body),
            "matchmaker_matched" => {
                tickets.invariant_matched(self.me.as_deref(), body, (self.number, now));
            }
            "party_matchmaker_ticket" => {
                let ticket = text(body, "ticket").expect("a ticket");
                tickets.tell(ticket, self.me.as_deref());
                tickets.lines.tell(ticket, self.number);
            }
            name if name.starts_with("party") => {
                if !self.doubts_parties
                    && let Some(me) = self.parties.hear(name, body, self.me.as_deref())
                {
                    self.learn(&me);
                }
            }
            "notifications" => {
                for notification in list(body, "notifications") {
                    tickets.lines.hear(self.number, notification);
                }
            }
            // Match data that names no match.
            "error" => {}
            other => panic!("nobody expects {other}: {heard}"),
        }
    }

    /// Every question is answered once, and those that no batch can hold up in their order.
    fn hear_answer(&mut self, cid: u32, value: &Json, tickets: &mut Tickets) {
        let question = self.waiting.remove(&cid).expect("a question is answered once");
        let can_be_held_up = matches!(
            question,
            Question::FollowName
                | Question::PartyCreate
                | Question::PartyJoin
                | Question::PartyLeave { .. }
                | Question::PartyAct
                | Question::PartyTicketAdd(_)
                | Question::PartyTicketRemove { .. }
        );
        if !can_be_held_up {
            assert!(cid > self.newest, "{cid} is answered in its turn");
            self.newest = cid;
        }
        if member(value, "error").is_some() {
            if text(value, "error/message") == Some(GIVEN_UP) {
                self.doubt(&question, tickets);
            } else {
                self.hear_refusal(&question, tickets);
            }
            return;
        }
        match question {
            Question::Ping => assert!(member(value, "pong").is_some(), "a ping's answer"),
            Question::FollowName => {}
            Question::Follow { user } => {
                let status = member(value, "status").expect("a follow's answer");
                for presence in list(status, "presences") {
                    let user = text(presence, "user_id").expect("a user").to_owned();
                    let sessions = self.online.entry(user).or_default();
                    // What was told meanwhile is newer than the list.
                    sessions.entry(session(presence)).or_insert(true);
                }
                if user != self.user {
                    self.follows.insert(user);
                }
            }
            Question::Unfollow { user } => {
                if user != self.user {
                    self.follows.remove(&user);
                    self.online.remove(&user);
                }
            }
            Question::SetStatus { is_online } => self.is_online = is_online,
            Question::TicketAdd(wish) => {
                let ticket = text(value, "matchmaker_ticket/ticket").expect("a ticket");
                self.note_line(&wish, ticket, false, tickets);
                tickets.add(ticket, wish);
                self.tickets.push(ticket.to_owned());
            }
            Question::TicketRemove { ticket } => tickets.remove(&ticket, self.number),
            Question::Create | Question::Join if self.doubts_matches => {}
            Question::Create | Question::Join => {
                self.hear_list(member(value, "match").expect("a match"));
            }
            Question::PartyCreate | Question::PartyJoin | Question::PartyAct => {}
            Question::PartyLeave { id } => {
                let is_of_parties = |other: &Question| {
                    matches!(other, Question::PartyLeave { .. } | Question::PartyAct)
                };
                match self.waiting.values().any(is_of_parties) {
                    true => self.parties.leave_early(&id),
                    false => self.parties.leave(&id),
                }
            }
            Question::PartyTicketAdd(wish) => {
                let ticket = text(value, "party_matchmaker_ticket/ticket").expect("a ticket");
                self.note_line(&wish, ticket, true, tickets);
                tickets.add(ticket, wish);
                tickets.tell(ticket, self.me.as_deref());
            }
            Question::PartyTicketRemove { ticket } => tickets.remove(&ticket, self.number),
            Question::Ready { ticket, accepts } => {
                tickets.lines.answered(&ticket, self.number, accepts, true);
            }
            Question::Explain { ticket } => tickets.lines.explain(&ticket, true),
            Question::Leave { id } => {
                self.matches.remove(&id);
                self.left.insert(id);
            }
        }
    }

    fn note_line(&self, wish: &Wish, ticket: &str, is_of_party: bool, tickets: &mut Tickets) {
        if let Some(line) = &wish.line {
            tickets.lines.add(ticket, line.tag, self.number, is_of_party);
        }
    }

    fn hear_refusal(&self, question: &Question, tickets: &mut Tickets) {
        match question {
            Question::Ready { ticket, accepts } => {
                tickets.lines.answered(ticket, self.number, *accepts, false);
            }
            Question::Explain { ticket } => tickets.lines.explain(ticket, false),
            _ => {}
        }
    }

    fn doubt(&mut self, question: &Question, tickets: &mut Tickets) {
        match question {
            Question::Create | Question::Join | Question::Leave { .. } => {
                self.doubts_matches = true;
                self.matches.clear();
            }
            Question::Follow { .. } | Question::Unfollow { .. } | Question::SetStatus { .. } => {
                self.doubts_statuses = true;
            }
            Question::PartyCreate | Question::PartyJoin | Question::PartyLeave { .. } => {
                self.doubts_parties = true;
                self.parties.forget_all();
            }
            Question::TicketAdd(_) | Question::PartyTicketAdd(_) => tickets.doubt(),
            Question::TicketRemove { ticket } | Question::PartyTicketRemove { ticket } => {
                tickets.doubt_removal(ticket);
            }
            // What was answered may count.
            Question::Ready { ticket, accepts: false } => tickets.doubt_removal(ticket),
            Question::Ping
            | Question::FollowName
            | Question::PartyAct
            | Question::Ready { .. }
            | Question::Explain { .. } => {}
        }
    }

    /// The list of a match's members agrees with what was told of their coming and going.
    fn hear_list(&mut self, list_of: &Json) {
        let id = text(list_of, "match_id").expect("a match has an id");
        let me = session(member(list_of, "self").expect("oneself"));
        self.learn(&me);
        let membership = self.matches.get_mut(id).expect("a member was told of its own join");
        let listed: BTreeSet<_> = list(list_of, "presences").iter().map(session).collect();
        if membership.is_listed {
            // That somebody left may still wait for a batch which the session had asked about.
            assert!(
                listed.is_subset(&membership.members),
                "a member was told of everybody who is in its match"
            );
            return;
        }
        assert!(!listed.contains(&me), "who joins was no member before");
        membership.is_listed = true;
        for member in listed {
            if !membership.left.contains(&member) {
                membership.members.insert(member);
            }
        }
    }

    /// Nobody joins twice, only members leave, and only members are told.
    fn hear_members(&mut self, event: &Json) {
        let id = text(event, "match_id").expect("a match has an id");
        let joins: Vec<_> = list(event, "joins").iter().map(session).collect();
        let leaves: Vec<_> = list(event, "leaves").iter().map(session).collect();
        if !self.matches.contains_key(id) {
            if joins.is_empty() && self.left.contains(id) {
                return; // an old leave that had to wait
            }
            let [me] = &joins[..] else { panic!("a member first hears of its own join") };
            assert!(leaves.is_empty(), "a member first hears of its own join");
            self.learn(me);
        }
        let membership = self.matches.entry(id.to_owned()).or_default();
        for member in joins {
            assert!(membership.members.insert(member), "nobody joins a match twice");
        }
        for member in leaves {
            let was_known = membership.members.remove(&member);
            let is_first = !self.left.contains(id);
            assert!(was_known || !membership.is_listed || !is_first, "only members leave a match");
            membership.data.remove(&member);
            membership.left.insert(member);
        }
    }

    /// Data comes from members to members, in the order in which it was sent.
    fn hear_data(&mut self, data: &Json) {
        let id = text(data, "match_id").expect("a match has an id");
        let sender = text(data, "presence/session_id").expect("a sender").to_owned();
        let number: i64 = text(data, "op_code").expect("a number").parse().expect("a number");
        let membership = self.matches.get_mut(id).expect("only members hear data");
        assert!(
            !membership.is_listed || membership.members.contains(&sender),
            "only members send data"
        );
        assert_ne!(Some(&sender), self.me.as_ref(), "nobody hears themselves");
        let newest = membership.data.insert(sender, number);
        assert!(newest.is_none_or(|newest| newest < number), "data keeps its order");
    }

    fn hear_statuses(&mut self, event: &Json) {
        for (name, is_online) in [("leaves", false), ("joins", true)] {
            for presence in list(event, name) {
                let user = text(presence, "user_id").expect("a user").to_owned();
                self.online.entry(user).or_default().insert(session(presence), is_online);
            }
        }
    }

    /// A socket has one session.
    fn learn(&mut self, me: &str) {
        match &self.me {
            Some(known) => assert_eq!(known, me, "a socket has one session"),
            None => self.me = Some(me.to_owned()),
        }
    }

    // At rest.

    pub fn invariant_is_answered(&self) {
        assert!(self.waiting.is_empty(), "every question is answered: {:?}", self.waiting);
    }

    pub fn has_tickets(&self) -> bool {
        !self.tickets.is_empty()
    }

    pub fn matches(&self) -> impl Iterator<Item = &str> {
        self.matches.keys().map(String::as_str)
    }

    fn heard_of(&self, id: &str, sender: &str) -> Option<i64> {
        self.matches.get(id)?.data.get(sender).copied()
    }
}

/// At rest the members of a match are the sessions that joined it, and each knows all of them.
pub fn invariant_members_are_known(sockets: &[&Socket]) {
    if sockets.iter().any(|socket| socket.doubts_matches) {
        return;
    }
    let mut told: BTreeMap<&str, BTreeMap<String, &BTreeSet<String>>> = BTreeMap::new();
    for socket in sockets {
        for (id, membership) in &socket.matches {
            assert!(membership.is_listed, "a join is answered");
            let me = socket.me.clone().expect("a member knows its session");
            told.entry(id).or_default().insert(me, &membership.members);
        }
    }
    for (id, by_member) in told {
        let members: BTreeSet<_> = by_member.keys().cloned().collect();
        for (member, told) in by_member {
            assert_eq!(*told, members, "{member} knows who is in {id}");
        }
    }
}

/// In immediate mode, at rest: of two players who wait for one other each, none accepts the other;
/// where matches are mutual, not both.
pub fn invariant_pairs_are_matched(sockets: &[&Socket], tickets: &Tickets) {
    let waiting: Vec<_> = sockets
        .iter()
        .enumerate()
        .flat_map(|(index, socket)| socket.tickets.iter().map(move |ticket| (index, ticket)))
        .collect();
    for (at, (one, ticket)) in waiting.iter().enumerate() {
        for (_, other) in waiting[at + 1..].iter().filter(|(other, _)| other != one) {
            tickets.invariant_waits_rightly(ticket, other);
        }
    }
}

/// At rest all members of a party know the same of it.
pub fn invariant_parties_agree(sockets: &[&Socket]) {
    if sockets.iter().all(|socket| !socket.doubts_parties) {
        let known = sockets.iter().map(|socket| (&socket.parties, socket.me.as_deref()));
        invariant_parties_are_known(known);
    }
}

/// At rest the last data of each member has reached all others of the party.
pub fn invariant_party_data_arrived(sockets: &[&Socket], sent: &BTreeMap<(usize, String), i64>) {
    for ((from, id), number) in sent {
        let sender = sockets[*from].me.as_ref().expect("a member knows its session");
        for (index, other) in sockets.iter().enumerate() {
            if index != *from && other.parties.ids().any(|known| known == id) {
                let heard = other.parties.heard_of(id, sender);
                assert_eq!(heard, Some(*number), "data reaches every member");
            }
        }
    }
}

/// At rest a follower knows how many sessions of a user are online, and which.
pub fn invariant_statuses_are_known(sockets: &[&Socket]) {
    if sockets.iter().any(|socket| socket.doubts_statuses) {
        return;
    }
    let nobody = BTreeMap::new();
    for follower in sockets {
        for user in &follower.follows {
            let told = follower.online.get(user).unwrap_or(&nobody);
            let told: BTreeSet<_> =
                told.iter().filter(|(_, is_online)| **is_online).map(|(id, _)| id).collect();
            let online = sockets.iter().filter(|other| other.user == *user && other.is_online);
            let online: Vec<_> = online.collect();
            assert_eq!(told.len(), online.len(), "a follower knows who is online: {user}");
            let named = online.iter().filter_map(|other| other.me.as_ref());
            for me in named {
                assert!(told.contains(me), "a follower knows who is online: {user}");
            }
        }
    }
}

/// At rest the last data of each member has reached all others.
pub fn invariant_data_arrived(sockets: &[&Socket], sent: &BTreeMap<(usize, String), i64>) {
    for ((from, id), number) in sent {
        let sender = sockets[*from].me.as_ref().expect("a member knows its session");
        let others = sockets
            .iter()
            .enumerate()
            .filter(|(index, other)| index != from && other.matches.contains_key(id));
        for (_, other) in others {
            assert_eq!(other.heard_of(id, sender), Some(*number), "data reaches every member");
        }
    }
}
