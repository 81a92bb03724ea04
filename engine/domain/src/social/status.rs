//! A user's status: which sessions they have open, which of them are online with which text, and
//! who follows.

use base::SessionId;
use base::collections::IdSet;

use crate::ctx::Ctx;
use crate::effect::{Effect, Event};
use crate::presence::Presence;

/// A session that is online, and what it says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPresence {
    pub presence: Presence,
    pub text: String,
}

/// The status of one user. Lives on the shard of the user's slot, in memory only.
///
/// Invariants: a session stands in `sessions` and in `online` at most once; every session named
/// here is open.
#[derive(Debug, Default)]
pub struct Status {
    /// The user's own, the oldest first.
    sessions: Vec<SessionId>,
    online: Vec<StatusPresence>,
    followers: IdSet<SessionId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The user has opened this session, which follows them from the start.
    Open {
        session: SessionId,
    },
    /// The user's session is over.
    End {
        session: SessionId,
    },
    /// The session is online with this text.
    Set {
        presence: Presence,
        text: String,
    },
    /// The session is online no more.
    Clear {
        session: SessionId,
    },
    Follow {
        session: SessionId,
    },
    Unfollow {
        session: SessionId,
    },
}

impl Status {
    /// Whether nobody is here and nobody follows; such a status can be forgotten.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.online.is_empty() && self.followers.is_empty()
    }

    pub fn sessions(&self) -> &[SessionId] {
        &self.sessions
    }

    pub fn online(&self) -> &[StatusPresence] {
        &self.online
    }

    pub fn apply(&mut self, ctx: &mut Ctx<'_>, command: Command) {
        match command {
            Command::Open { session } => {
                self.sessions.push(session);
                self.followers.insert(session);
            }
            Command::End { session } => {
                self.sessions.retain(|other| *other != session);
                self.followers.remove(&session);
                self.clear(ctx, session);
            }
            Command::Set { presence, text } => self.set(ctx, StatusPresence { presence, text }),
            Command::Clear { session } => self.clear(ctx, session),
            Command::Follow { session } => {
                self.followers.insert(session);
            }
            Command::Unfollow { session } => {
                self.followers.remove(&session);
            }
        }
    }

    fn set(&mut self, ctx: &mut Ctx<'_>, new: StatusPresence) {
        let old = self.take(new.presence.session_id);
        self.online.push(new.clone());
        self.tell(ctx, vec![new], old.into_iter().collect());
    }

    fn clear(&mut self, ctx: &mut Ctx<'_>, session: SessionId) {
        if let Some(left) = self.take(session) {
            self.tell(ctx, vec![], vec![left]);
        }
    }

    fn take(&mut self, session: SessionId) -> Option<StatusPresence> {
        let at = self.online.iter().position(|p| p.presence.session_id == session)?;
        Some(self.online.remove(at))
    }

    fn tell(&self, ctx: &mut Ctx<'_>, joins: Vec<StatusPresence>, leaves: Vec<StatusPresence>) {
        if self.followers.is_empty() {
            return;
        }
        let mut to: Vec<_> = self.followers.iter().copied().collect();
        to.sort_unstable();
        ctx.push(Effect::Push { to, event: Event::StatusPresence { joins, leaves } });
    }
}

#[cfg(test)]
mod tests {
    use base::{Now, Rng, UserId};

    use super::*;
    use crate::ctx::world::Nothing;

    /// Rows 333, 334 and 338.
    #[test]
    fn a_change_of_text_is_a_join_and_a_leave_in_one_event() {
        let mut status = Status::default();
        let alice = session(1);
        assert_eq!(apply(&mut status, Command::Follow { session: alice }), []);
        let busy = StatusPresence { presence: presence(2), text: "busy".into() };
        let idle = StatusPresence { text: String::new(), ..busy.clone() };
        let set = |p: &StatusPresence| Command::Set {
            presence: p.presence.clone(),
            text: p.text.clone(),
        };
        let told = |joins: Vec<_>, leaves: Vec<_>| {
            [Effect::Push { to: vec![alice], event: Event::StatusPresence { joins, leaves } }]
        };
        assert_eq!(apply(&mut status, set(&busy)), told(vec![busy.clone()], vec![]));
        assert_eq!(apply(&mut status, set(&idle)), told(vec![idle.clone()], vec![busy]));
        let clear = Command::Clear { session: idle.presence.session_id };
        assert_eq!(apply(&mut status, clear.clone()), told(vec![], vec![idle]));
        assert_eq!(apply(&mut status, clear), [], "offline already");
        assert!(!status.is_empty());
        apply(&mut status, Command::Unfollow { session: alice });
        assert!(status.is_empty());
    }

    #[test]
    fn a_session_that_ends_is_nowhere_any_more() {
        let mut status = Status::default();
        let (me, other) = (presence(2), session(1));
        apply(&mut status, Command::Open { session: me.session_id });
        apply(&mut status, Command::Follow { session: other });
        apply(&mut status, Command::Set { presence: me.clone(), text: "busy".into() });
        assert_eq!(status.sessions(), [me.session_id]);
        let told = apply(&mut status, Command::End { session: me.session_id });
        assert!(matches!(&told[..], [Effect::Push { to, .. }] if *to == [other]), "{told:?}");
        assert!(status.sessions().is_empty() && !status.is_empty());
        apply(&mut status, Command::Unfollow { session: other });
        assert!(status.is_empty());
    }

    fn session(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    fn presence(n: u8) -> Presence {
        Presence {
            user_id: UserId::from_bytes([n; 16]),
            session_id: session(n),
            username: "bob".into(),
        }
    }

    fn apply(status: &mut Status, command: Command) -> Vec<Effect> {
        let (mut rng, mut effects) = (Rng::from_seed([0; 32]), vec![]);
        status.apply(&mut Ctx::new(Now::default(), &mut rng, &mut Nothing, &mut effects), command);
        effects
    }
}
