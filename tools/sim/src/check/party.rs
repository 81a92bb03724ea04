//! Parties, as one socket hears of them.

use std::collections::{BTreeMap, BTreeSet};

use base::json::Json;

use super::{list, member, session, text};

/// What a socket knows of parties.
#[derive(Debug, Default)]
pub struct Parties {
    /// Those that it is in, as far as it was told.
    known: BTreeMap<String, Membership>,
    /// Those that it has left by entering another one, with `single_party`, or by asking twice:
    /// what they tell it may still come.
    fading: BTreeSet<String>,
    pub is_single: bool,
}

#[derive(Debug, Default)]
struct Membership {
    /// How the members are named, by session.
    members: BTreeMap<String, String>,
    leader: String,
    /// Who asked to be let in, as the leader was told.
    requests: Vec<String>,
    /// The newest data of each sender.
    data: BTreeMap<String, i64>,
}

impl Parties {
    pub fn new(is_single: bool) -> Parties {
        Parties { is_single, ..Parties::default() }
    }

    /// Judges what a party tells; gives the own session, if it is named.
    pub fn hear(&mut self, name: &str, body: &Json, me: Option<&str>) -> Option<String> {
        let id = text(body, "party_id").expect("a party has an id").to_owned();
        if name == "party" {
            return Some(self.enter(id, body));
        }
        if self.fading.contains(&id) {
            return None;
        }
        let party = self.known.get_mut(&id);
        let Some(party) = party else {
            panic!("no session is told of a party that it is not in: {name} of {id}");
        };
        let me = me.expect("a member knows its session");
        match name {
            "party_presence_event" => party.hear_members(body, me),
            "party_leader" => {
                party.leader = session(member(body, "presence").expect("a leader"));
                assert!(party.members.contains_key(&party.leader), "a member leads");
            }
            "party_data" => party.hear_data(body, me),
            "party_join_request" => {
                assert_eq!(party.leader, me, "the leader is asked");
                party.requests.extend(list(body, "presences").iter().map(named));
            }
            "party_update" => {}
            "party_close" => drop(self.known.remove(&id)),
            other => panic!("no party tells {other}"),
        }
        None
    }

    /// The receiver has come in.
    fn enter(&mut self, id: String, body: &Json) -> String {
        let me = session(member(body, "self").expect("oneself"));
        let members = list(body, "presences").iter().map(|one| (session(one), named(one)));
        let members: BTreeMap<_, _> = members.collect();
        let leader = session(member(body, "leader").expect("a leader"));
        assert!(members.contains_key(&me) && members.contains_key(&leader), "both are members");
        if self.is_single {
            self.fading.extend(std::mem::take(&mut self.known).into_keys());
        }
        self.fading.remove(&id);
        let party = Membership { members, leader, ..Membership::default() };
        assert!(self.known.insert(id, party).is_none(), "who comes in was out");
        me
    }

    pub fn leave(&mut self, id: &str) {
        self.known.remove(id);
    }

    /// A leave that found nothing to do is answered before what was asked earlier: what waits for
    /// a batch is told later.
    pub fn leave_early(&mut self, id: &str) {
        self.known.remove(id);
        self.fading.insert(id.to_owned());
    }

    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Whom a leader may name: who is in the party, or was heard to ask for it.
    pub fn presences(&self, id: &str) -> Vec<String> {
        let party = self.known.get(id).into_iter();
        party.flat_map(|party| party.members.values().chain(&party.requests)).cloned().collect()
    }

    pub fn heard_of(&self, id: &str, sender: &str) -> Option<i64> {
        self.known.get(id)?.data.get(sender).copied()
    }
}

impl Membership {
    /// Nobody joins twice, and only members leave.
    fn hear_members(&mut self, event: &Json, me: &str) {
        for one in list(event, "joins") {
            let name = session(one);
            let before = self.members.insert(name.clone(), named(one));
            assert!(before.is_none() || name == me, "nobody joins a party twice");
        }
        for one in list(event, "leaves") {
            let name = session(one);
            assert_ne!(name, me, "nobody hears of its own leave");
            assert!(self.members.remove(&name).is_some(), "only members leave a party");
            self.data.remove(&name);
        }
    }

    /// Data comes from members to other members, in the order in which it was sent.
    fn hear_data(&mut self, data: &Json, me: &str) {
        let sender = text(data, "presence/session_id").expect("a sender").to_owned();
        let number: i64 = text(data, "op_code").expect("a number").parse().expect("a number");
        assert!(self.members.contains_key(&sender), "only members send data");
        assert_ne!(sender, me, "nobody hears themselves");
        let newest = self.data.insert(sender, number);
        assert!(newest.is_none_or(|newest| newest < number), "data keeps its order");
    }
}

/// A presence as clients write it.
fn named(presence: &Json) -> String {
    base::json::object(|o| {
        for name in ["user_id", "session_id", "username"] {
            o.text(name, text(presence, name).expect("a presence is complete"));
        }
    })
}

/// At rest all members of a party know who is in it and who leads it, and with `single_party`
/// nobody is in two.
pub fn invariant_parties_are_known<'a>(
    sockets: impl Iterator<Item = (&'a Parties, Option<&'a str>)>,
) {
    let mut told: BTreeMap<&str, BTreeMap<&str, &Membership>> = BTreeMap::new();
    for (parties, me) in sockets {
        assert!(!parties.is_single || parties.known.len() <= 1, "nobody is in two parties");
        for (id, party) in &parties.known {
            told.entry(id).or_default().insert(me.expect("a member knows its session"), party);
        }
    }
    for (id, by_member) in told {
        let members: Vec<_> = by_member.keys().copied().collect();
        let leaders: BTreeSet<_> = by_member.values().map(|party| &party.leader).collect();
        assert_eq!(leaders.len(), 1, "all members know the leader of {id}");
        for (member, party) in &by_member {
            let known: Vec<_> = party.members.keys().map(String::as_str).collect();
            assert_eq!(known, members, "{member} knows who is in {id}");
        }
    }
}
