//! What shards tell each other. A message moves as a value; changes in it are frames, shared and
//! read in place.

use std::sync::Arc;

use api::reply::UserView;
use base::{BatchId, ConnectionId, Frame, MatchId, SessionId, ShardId, TicketId, UserId};
use bytes::Bytes;
use domain::identity::account::NewAccount;
use domain::identity::device::DeviceId;
use domain::identity::session::{Bearer, Check};
use domain::identity::token::Claims;
use domain::identity::username::Username;
use domain::play::relay::{self, Joined, Receivers};
use domain::presence::Presence;
use domain::social::status::{self, StatusPresence};

/// A task on the shard that dispatched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    pub shard: ShardId,
    pub number: u64,
}

#[derive(Debug)]
pub enum Message {
    /// A question to the home of an entity; answered exactly once.
    Ask {
        task: TaskId,
        query: Query,
    },
    Answer {
        task: u64,
        answer: Answer,
    },
    /// The task's prepared changes are on their way to the store as this batch: the hold ends.
    Emitted {
        task: TaskId,
        batch: BatchId,
    },
    /// The task came to nothing: its hold ends, or its waiting preparation.
    Abandon {
        task: TaskId,
    },

    /// From a shard to itself, once the grant is durable: open the socket.
    Granted {
        connection: u64,
        home: ShardId,
        claims: Box<Claims>,
        online: bool,
    },
    /// A connection asks for a session on the receiving shard.
    Attach {
        connection: ConnectionId,
        user_id: UserId,
        username: Arc<str>,
        online: bool,
    },
    /// The connection is gone.
    Detach {
        connection: ConnectionId,
    },
    /// A text message for the session of this connection.
    Text {
        connection: ConnectionId,
        text: Bytes,
    },
    /// The connection sent a frame that its format does not have.
    WrongFrame {
        connection: ConnectionId,
    },

    /// From a session to its connection.
    Send {
        connection: u64,
        text: Bytes,
    },
    Close {
        connection: u64,
        code: u16,
        reason: &'static str,
    },
    Flow {
        connection: u64,
        read: bool,
    },

    /// A push to sessions that live on the receiving shard; all of them share the bytes.
    Push {
        to: Vec<SessionId>,
        text: Bytes,
    },
    Status {
        user: UserId,
        command: status::Command,
    },
    MatchLeave {
        id: MatchId,
        session: SessionId,
    },
    MatchData {
        id: MatchId,
        from: SessionId,
        receivers: Receivers,
        data: relay::Data,
    },
    /// The session ended: its tickets go.
    TicketsDrop {
        session: SessionId,
    },
}

/// What a home is asked.
#[derive(Clone, Debug)]
pub enum Query {
    /// Whom the device signs in.
    Device(DeviceId),
    /// Whom the names belong to.
    Usernames(Vec<Username>),
    /// The username of an account that signs in.
    Login(UserId),
    /// The same, if the refresh token is still good.
    Refresh(Bearer),
    /// Something that the bearer of a session token may have done for them.
    Guarded {
        bearer: Bearer,
        check: Check,
        errand: Errand,
    },
    Users(Vec<UserId>),
    /// Prepare a part of a batch and hold its keys until the batch is emitted or abandoned.
    Prepare(Claim),
    /// A session opens: it follows its own user, and is online if so wished.
    Open {
        me: Presence,
        online: bool,
    },
    SetStatus {
        me: Presence,
        text: Option<String>,
    },
    Follow {
        session: SessionId,
        users: Vec<UserId>,
    },
    Unfollow {
        session: SessionId,
        users: Vec<UserId>,
    },
    MatchJoin {
        id: MatchId,
        me: Presence,
        entry: Entry,
    },
    MatchLeave {
        id: MatchId,
        session: SessionId,
    },
    TicketAdd(Box<matchmaker::Ticket>),
    TicketRemove {
        ticket: TicketId,
        session: SessionId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Only whether the token is still good.
    Nothing,
    Account,
    Logout(Vec<Bearer>),
    LogoutAll,
}

/// A part of account creation, on the shard of the claimed key.
#[derive(Clone, Debug)]
pub enum Claim {
    Device { id: DeviceId, user: UserId },
    Username { name: Username, user: UserId },
    Account(NewAccount),
}

impl Claim {
    /// Participants are asked in ascending order of this, so that two batches never wait for each
    /// other.
    pub fn order(&self) -> (u16, u8, Vec<u8>) {
        let (table, key): (u8, &[u8]) = match self {
            Claim::Account(new) => (1, new.user_id.as_bytes()),
            Claim::Device { id, .. } => (2, id.key()),
            Claim::Username { name, .. } => (3, name.key()),
        };
        (base::id::slot_of(key), table, key.to_vec())
    }

    pub fn key(&self) -> &[u8] {
        match self {
            Claim::Account(new) => new.user_id.as_bytes(),
            Claim::Device { id, .. } => id.key(),
            Claim::Username { name, .. } => name.key(),
        }
    }
}

/// On what terms a session joins a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The match has to have members.
    Existing,
    /// The match comes to be if it is not there: its creator, or the bearer of a matchmaker token.
    Open,
}

/// What a home answers.
#[derive(Debug)]
pub enum Answer {
    /// Nothing was done, for this reason.
    Refused(api::Error),
    User(Option<UserId>),
    UserIds(Vec<UserId>),
    /// The account's username, if there is the account.
    Login(Option<String>),
    /// The token is good no more.
    Revoked,
    Done,
    Account(Option<UserView>),
    Users(Vec<UserView>),
    Prepared(Frame),
    Taken(Taken),
    Statuses(Vec<StatusPresence>),
    Joined(Joined),
    Ticket(TicketId),
}

/// A claim that another account was faster with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Device(UserId),
    Username,
}
