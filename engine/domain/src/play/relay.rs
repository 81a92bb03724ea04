//! A relayed match: the server passes data between its members and knows nothing of the game.

use base::limits::MATCH_PRESENCES_MAX;
use base::{Code, MatchId, SessionId};
use bytes::Bytes;

use crate::ctx::Ctx;
use crate::effect::{Effect, Event};
use crate::presence::Presence;

/// One relayed match. Lives on the shard that its id names (a random id) or that its id hashes to
/// (a named one), in memory only, and exists while it has members.
///
/// Invariants: a session is a member at most once; members stand in the order in which they joined.
#[derive(Debug)]
pub struct Relay {
    id: MatchId,
    members: Vec<Presence>,
}

/// One message of a member to the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    pub op_code: i64,
    pub bytes: Bytes,
    pub reliable: bool,
}

/// Who gets a message: every other member, or the named sessions among the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receivers {
    Others,
    Named(Vec<SessionId>),
}

/// What a joiner learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub match_id: MatchId,
    pub me: Presence,
    /// The members before this join; with the joiner among them when it was a member already.
    pub present: Vec<Presence>,
    /// Members after this join.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound,
    Full,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::NotFound => Code::NotFound,
            Error::Full => Code::PermissionDenied,
        }
    }
}

impl Relay {
    pub fn new(id: MatchId) -> Relay {
        Relay { id, members: Vec::new() }
    }

    /// A match without members is no match any more.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn join(&mut self, ctx: &mut Ctx<'_>, me: Presence) -> Result<Joined, Error> {
        let present = self.members.clone();
        if self.position(me.session_id).is_none() {
            if self.members.len() >= MATCH_PRESENCES_MAX {
                return Err(Error::Full);
            }
            self.members.push(me.clone());
            self.tell(ctx, vec![me.clone()], vec![]);
        }
        Ok(Joined { match_id: self.id, me, present, size: self.members.len() })
    }

    /// The session is a member no more; no effect when it was none.
    pub fn leave(&mut self, ctx: &mut Ctx<'_>, session: SessionId) {
        if let Some(at) = self.position(session) {
            let left = self.members.remove(at);
            self.tell(ctx, vec![], vec![left]);
        }
    }

    /// Passes data on; dropped without a word when the sender is no member.
    pub fn send(&self, ctx: &mut Ctx<'_>, from: SessionId, receivers: &Receivers, data: Data) {
        let Some(at) = self.position(from) else {
            return;
        };
        let is_receiver = |member: &&Presence| match receivers {
            Receivers::Others => member.session_id != from,
            Receivers::Named(sessions) => sessions.contains(&member.session_id),
        };
        let to: Vec<_> = self.members.iter().filter(is_receiver).map(|m| m.session_id).collect();
        if !to.is_empty() {
            let sender = self.members[at].clone();
            let event = Event::MatchData { match_id: self.id, sender, data };
            ctx.push(Effect::Push { to, event });
        }
    }

    fn position(&self, session: SessionId) -> Option<usize> {
        self.members.iter().position(|member| member.session_id == session)
    }

    fn tell(&self, ctx: &mut Ctx<'_>, joins: Vec<Presence>, leaves: Vec<Presence>) {
        let to: Vec<_> = self.members.iter().map(|member| member.session_id).collect();
        if !to.is_empty() {
            let event = Event::MatchPresence { match_id: self.id, joins, leaves };
            ctx.push(Effect::Push { to, event });
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{Now, Rng, UserId};

    use super::*;
    use crate::ctx::world::Nothing;

    /// Rows 328, 360, 362 and 366.
    #[test]
    fn a_join_is_told_to_everybody_and_a_second_one_to_nobody() {
        let mut relay = Relay::new(MATCH);
        let (joined, told) = apply(|ctx| relay.join(ctx, presence(1)));
        assert_eq!(joined.map(|j| (j.present, j.size)), Ok((vec![], 1)));
        assert_eq!(told, [event(&[1], vec![presence(1)], vec![])]);
        let (joined, told) = apply(|ctx| relay.join(ctx, presence(2)));
        assert_eq!(joined.map(|j| (j.present, j.size)), Ok((vec![presence(1)], 2)));
        assert_eq!(told, [event(&[1, 2], vec![presence(2)], vec![])]);
        let (joined, told) = apply(|ctx| relay.join(ctx, presence(2)));
        assert_eq!(joined.map(|j| (j.present, j.size)), Ok((vec![presence(1), presence(2)], 2)));
        assert_eq!(told, []);
        let ((), told) = apply(|ctx| relay.leave(ctx, session(1)));
        assert_eq!(told, [event(&[2], vec![], vec![presence(1)])]);
        let ((), told) = apply(|ctx| relay.leave(ctx, session(1)));
        assert_eq!(told, []);
        let ((), told) = apply(|ctx| relay.leave(ctx, session(2)));
        assert_eq!(told, []);
        assert!(relay.is_empty());
    }

    /// Rows 369, 371, 372, 373 and 374.
    #[test]
    fn data_goes_to_the_others_or_to_the_named() {
        let mut relay = Relay::new(MATCH);
        for n in 1..=3 {
            apply(|ctx| relay.join(ctx, presence(n))).0.expect("room for three");
        }
        let receivers = |from, receivers: Receivers| {
            let data = Data { op_code: 1, bytes: Bytes::from_static(b"x"), reliable: false };
            let ((), told) = apply(|ctx| relay.send(ctx, session(from), &receivers, data.clone()));
            told.into_iter()
                .flat_map(|effect| match effect {
                    Effect::Push { to, .. } => to,
                    other => panic!("data is only passed on: {other:?}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(receivers(1, Receivers::Others), [session(2), session(3)]);
        assert_eq!(receivers(1, Receivers::Named(vec![session(3)])), [session(3)]);
        assert_eq!(receivers(1, Receivers::Named(vec![session(1), session(9)])), [session(1)]);
        assert_eq!(receivers(9, Receivers::Others), []);
    }

    #[test]
    fn a_full_match_refuses() {
        let mut relay = Relay::new(MATCH);
        for n in 0..MATCH_PRESENCES_MAX {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            let me = Presence { session_id: SessionId::from_bytes(bytes), ..presence(1) };
            apply(|ctx| relay.join(ctx, me)).0.expect("below the limit");
        }
        assert_eq!(apply(|ctx| relay.join(ctx, presence(7))).0, Err(Error::Full));
    }

    const MATCH: MatchId = MatchId::from_bytes([5; 16]);

    fn session(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    fn presence(n: u8) -> Presence {
        Presence {
            user_id: UserId::from_bytes([n; 16]),
            session_id: session(n),
            username: "someone".into(),
        }
    }

    fn event(to: &[u8], joins: Vec<Presence>, leaves: Vec<Presence>) -> Effect {
        let to = to.iter().map(|n| session(*n)).collect();
        Effect::Push { to, event: Event::MatchPresence { match_id: MATCH, joins, leaves } }
    }

    fn apply<T>(f: impl FnOnce(&mut Ctx<'_>) -> T) -> (T, Vec<Effect>) {
        let (mut rng, mut effects) = (Rng::from_seed([0; 32]), vec![]);
        let result = f(&mut Ctx::new(Now::default(), &mut rng, &mut Nothing, &mut effects));
        (result, effects)
    }
}
