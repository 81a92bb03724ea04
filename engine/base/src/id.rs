//! Ids as types of their own, and where each says that its owner lives.
//!
//! A durable id is placed by hash over a fixed number of slots. A transient id carries the shard
//! and the incarnation of the process that drew it, so that any shard can find its home, and so
//! that an id of an earlier process is recognised as nobody's.

use std::fmt;

use uuid::Uuid;

use crate::rng::Rng;
use crate::time::UnixTime;

/// Slots that durable keys are hashed over. Part of format version 1: never changes.
pub const SLOTS: u16 = 4096;

/// Most shards of one process: a transient id carries its shard in one byte.
pub const SHARDS_MAX: usize = 256;

/// 100-nanosecond ticks between 1582-10-15, where version 1 UUIDs begin, and 1970-01-01 (RFC 9562
/// §5.1).
const GREGORIAN_OFFSET: u64 = 0x01B2_1DD2_1381_4000;

/// One core's part of the state, counted from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

impl ShardId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The first `count` shards.
    pub fn all(count: usize) -> impl Iterator<Item = ShardId> {
        (0..count.min(SHARDS_MAX)).map(ShardId::nth)
    }

    /// The shard with this index.
    ///
    /// # Panics
    /// When the index is not below [`SHARDS_MAX`].
    pub fn nth(index: usize) -> ShardId {
        ShardId(u8::try_from(index).expect("an index below SHARDS_MAX fits one byte"))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What tells clients apart by where they come from: an IPv6 address as its network of 56 bits, an
/// IPv4 address in its mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientAddress(pub [u8; 16]);

/// The slot of a durable key: FNV-1a over its bytes, then a fold. Part of format version 1.
pub fn slot_of(key: &[u8]) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let folded = (hash ^ (hash >> 32)) % u64::from(SLOTS);
    u16::try_from(folded).expect("a remainder of SLOTS fits 16 bits")
}

/// One client connection: the core that accepted it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub shard: ShardId,
    pub number: u64,
}

/// Which run of the process, and which shard in it, drew a transient id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Raised durably at every start that takes writes.
    pub incarnation: u32,
    pub shard: ShardId,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                $name(bytes)
            }

            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the hyphenated form, and the three others that Nakama's parser takes: plain
            /// digits, in braces, as `urn:uuid:`.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(|uuid| $name(uuid.into_bytes()))
            }

            /// A version 4 UUID whose free bits are all random.
            pub fn random(rng: &mut Rng) -> Self {
                let mut bytes = [0; 16];
                rng.fill(&mut bytes);
                $name(stamp_version_4(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}

ids! {
    /// An entry of a wallet's ledger, of version 7: its order is that of time.
    LedgerId,
    /// A match that players join. Random ones carry their birth, named ones are of version 5.
    MatchId,
    /// Something that a user was told.
    NotificationId,
    /// A party; it carries its birth.
    PartyId,
    /// One realtime session, of version 1 as in Nakama.
    SessionId,
    /// One waiting matchmaker ticket.
    TicketId,
    /// What a session token and its refresh token share, and what a logout names.
    TokenId,
    /// An account.
    UserId,
}

impl MatchId {
    /// The id that every match of this name has: version 5 in the DNS name space.
    pub fn named(name: &str) -> MatchId {
        MatchId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()).into_bytes())
    }

    pub fn born(birth: Birth, rng: &mut Rng) -> MatchId {
        MatchId(born(birth, rng))
    }

    /// The birth that the id carries, if it is of version 4. Anybody can write such an id, so
    /// compare the incarnation before trusting the shard.
    pub fn birth(&self) -> Option<Birth> {
        birth_of(&self.0)
    }
}

impl PartyId {
    pub fn born(birth: Birth, rng: &mut Rng) -> PartyId {
        PartyId(born(birth, rng))
    }

    /// As that of a match: compare the incarnation before trusting the shard.
    pub fn birth(&self) -> Option<Birth> {
        birth_of(&self.0)
    }
}

impl TicketId {
    pub fn born(birth: Birth, rng: &mut Rng) -> TicketId {
        TicketId(born(birth, rng))
    }
}

impl SessionId {
    /// The home that the id carries, if it is of version 1: six bits of the incarnation and the
    /// shard.
    pub fn birth(&self) -> Option<Birth> {
        if self.0[6] >> 4 != 1 || self.0[8] >> 6 != 0b10 {
            return None;
        }
        Some(Birth { incarnation: u32::from(self.0[8] & 0x3f), shard: ShardId(self.0[9]) })
    }
}

/// Draws session ids: version 1 UUIDs with strictly rising time, the shard in the clock sequence
/// and the node name's digest as node.
#[derive(Debug)]
pub struct SessionIds {
    birth: Birth,
    node: [u8; 6],
    last_tick: u64,
}

impl SessionIds {
    pub fn new(birth: Birth, node_name: &str) -> SessionIds {
        let digest = sha1_smol::Sha1::from(node_name).digest().bytes();
        let mut node = [0; 6];
        node.copy_from_slice(&digest[..6]);
        SessionIds { birth, node, last_tick: 0 }
    }

    pub fn draw(&mut self, wall: UnixTime) -> SessionId {
        let tick = (wall.0 / 100).saturating_add(GREGORIAN_OFFSET).max(self.last_tick + 1);
        self.last_tick = tick;
        let time = tick.to_be_bytes(); // 60 bits: high 12, middle 16, low 32
        let incarnation = self.birth.incarnation.to_be_bytes()[3] & 0x3f;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&time[4..]);
        bytes[4..6].copy_from_slice(&time[2..4]);
        bytes[6] = 0x10 | (time[0] & 0x0f);
        bytes[7] = time[1];
        bytes[8] = 0x80 | incarnation;
        bytes[9] = self.birth.shard.0;
        bytes[10..].copy_from_slice(&self.node);
        SessionId(bytes)
    }
}

/// A version 4 UUID: four bytes of incarnation, one of shard, 82 random bits.
fn born(birth: Birth, rng: &mut Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes[5..]);
    bytes[..4].copy_from_slice(&birth.incarnation.to_be_bytes());
    bytes[4] = birth.shard.0;
    stamp_version_4(bytes)
}

fn birth_of(bytes: &[u8; 16]) -> Option<Birth> {
    if bytes[6] >> 4 != 4 || bytes[8] >> 6 != 0b10 {
        return None;
    }
    let incarnation = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Some(Birth { incarnation, shard: ShardId(bytes[4]) })
}

fn stamp_version_4(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = 0x40 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> Rng {
        Rng::from_seed([1; 32])
    }

    #[test]
    fn a_random_match_id_is_version_4_and_carries_its_birth() {
        let birth = Birth { incarnation: 70_000, shard: ShardId(200) };
        let id = MatchId::born(birth, &mut rng());
        assert_eq!(Uuid::from_bytes(*id.as_bytes()).get_version_num(), 4);
        assert_eq!(id.birth(), Some(birth));
        assert_eq!(MatchId::parse(&id.to_string()), Some(id));
    }

    /// Row 359.
    #[test]
    fn a_named_match_id_is_the_version_5_id_of_its_name() {
        let id = MatchId::named("www.example.com");
        assert_eq!(id.to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
        assert_eq!(id.birth(), None);
    }

    #[test]
    fn session_ids_are_version_1_and_rise_even_when_the_clock_stands() {
        let birth = Birth { incarnation: 66, shard: ShardId(3) };
        let mut ids = SessionIds::new(birth, "nakama1");
        let now = UnixTime::from_secs(1_700_000_000);
        let first = ids.draw(now);
        let second = ids.draw(now);
        let third = ids.draw(UnixTime::from_secs(1));
        assert!(first != second && second != third && first != third);
        assert_eq!(Uuid::from_bytes(*first.as_bytes()).get_version_num(), 1);
        assert_eq!(first.birth(), Some(Birth { incarnation: 2, shard: ShardId(3) }));
        let digest = sha1_smol::Sha1::from("nakama1").digest().bytes();
        assert_eq!(first.as_bytes()[10..], digest[..6]);
    }

    #[test]
    fn four_spellings_are_read_and_nothing_else() {
        let text = "11111111-1111-4111-8111-111111111111";
        let id = UserId::parse(text);
        assert!(id.is_some());
        for other in [
            "11111111111141118111111111111111",
            "{11111111-1111-4111-8111-111111111111}",
            "urn:uuid:11111111-1111-4111-8111-111111111111",
        ] {
            assert_eq!(UserId::parse(other), id, "{other}");
        }
        for wrong in ["", "abc", "11111111-1111-4111-8111-11111111111", "11111111 1111"] {
            assert_eq!(UserId::parse(wrong), None, "{wrong}");
        }
    }

    /// Golden values: the slot of a key is part of format version 1.
    #[test]
    fn slots_never_change() {
        assert_eq!(slot_of(b""), 4033);
        assert_eq!(
            [slot_of(b"device-0001"), slot_of(b"alice"), slot_of(&[0; 16])],
            [760, 956, 3036]
        );
    }
}
