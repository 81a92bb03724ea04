//! Which shard is home to what.

use base::id::Birth;
use base::{MatchId, PartyId, SessionId, ShardId, UserId};

/// The same on every shard of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub count: usize,
    /// This run of the process: transient ids of other runs belong to nobody.
    pub incarnation: u32,
    /// Home of every random match; without it, a match lives on the shard that creates it.
    pub matches: Option<ShardId>,
    /// Home of the ticket pool; without it, the hash of its name decides.
    pub queue: Option<ShardId>,
}

impl Placement {
    /// The home of a durable key: its slot decides, and slots are dealt out in turn.
    pub fn of_key(&self, key: &[u8]) -> ShardId {
        ShardId::nth(usize::from(base::id::slot_of(key)) % self.count)
    }

    pub fn of_user(&self, user: UserId) -> ShardId {
        self.of_key(user.as_bytes())
    }

    /// The shard that drew the id, or, for named matches and ids from elsewhere, the one of its
    /// hash.
    pub fn of_match(&self, id: MatchId) -> ShardId {
        match id.birth() {
            Some(Birth { incarnation, shard })
                if incarnation == self.incarnation && shard.index() < self.count =>
            {
                shard
            }
            _ => self.of_key(id.as_bytes()),
        }
    }

    /// The shard that drew the id; `None` for ids of another run.
    pub fn of_session(&self, id: SessionId) -> Option<ShardId> {
        let birth = id.birth()?;
        let is_ours =
            birth.incarnation == self.incarnation % 64 && birth.shard.index() < self.count;
        is_ours.then_some(birth.shard)
    }

    /// The shard that drew the id; `None` for ids of another run, or from elsewhere.
    pub fn of_party(&self, id: PartyId) -> Option<ShardId> {
        let birth = id.birth()?;
        let is_ours = birth.incarnation == self.incarnation && birth.shard.index() < self.count;
        is_ours.then_some(birth.shard)
    }

    pub fn of_operators(&self) -> ShardId {
        self.of_key(domain::record::operator::KEY)
    }

    pub fn of_tickets(&self) -> ShardId {
        self.queue.unwrap_or_else(|| self.of_key(b"tickets"))
    }

    pub fn birth(&self, shard: ShardId) -> Birth {
        Birth { incarnation: self.incarnation, shard }
    }
}
