//! What shards tell each other. A message moves as a value; changes in it are frames, shared and
//! read in place.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::console::ServerAct;
use api::convert::rating::HistoryWish;
use api::reply::{ListedParty, MatchmakerStats, UserView};
use base::{
    BatchId, ClientAddress, ConnectionId, Frame, LedgerId, MatchId, PartyId, Secret, SessionId,
    ShardId, TicketId, UserId,
};
use bytes::Bytes;
use domain::compete::result::{self, Ending, MatchResult, Outcome, Standing};
use domain::economy::{erasure, object, wallet};
use domain::identity::account::{Edit, NewAccount, Plan, SignedIn, User};
use domain::identity::alias::{Alias, Kind};
use domain::identity::session::{Bearer, Check};
use domain::identity::token::Claims;
use domain::operator::audit::{AuditEntry, Page, Wanted};
use domain::operator::queue::Queues;
use domain::operator::{self, Role};
use domain::play::party;
use domain::play::relay::{self, Joined, Receivers};
use domain::presence::Presence;
use domain::social::notification;
use domain::social::status::{self, StatusPresence};
use matchmaker::{Explanation, Listed};

use crate::belongings::{Belongings, Changed};
use crate::board::{BoardAnswer, BoardQuery};
use crate::party::PartyQuery;
use crate::storage::StorageQuery;

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
        bearer: Bearer,
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
    /// The user may have no socket any more: their sessions end, after this notification.
    Kick {
        user: UserId,
        notice: Option<notification::Code>,
    },
    /// The session is to end, after this text.
    End {
        session: SessionId,
        text: Option<Bytes>,
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
    /// The session is in the party no more.
    PartyLeave {
        id: PartyId,
        by: Presence,
    },
    /// To the session's shard: it is a member.
    PartyEntered {
        id: PartyId,
        session: SessionId,
    },
    /// To the session's shard: it is out, though it did not leave. The number is that of its newest
    /// request to come in, as the party knew it.
    PartyOut {
        id: PartyId,
        session: SessionId,
        number: u64,
    },
    /// The session ended: its tickets go, those of its parties too.
    TicketsDrop {
        session: SessionId,
    },
    /// The party is not what it was when it wished for a match: its tickets go.
    TicketsDropParty {
        party: PartyId,
    },
}

/// What a home is asked.
#[derive(Clone, Debug)]
pub enum Query {
    /// Whom the aliases lead to.
    Owners(Vec<Alias>),
    /// What a sign-in to the account has to know of it.
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
    /// A sign-in is about to be granted: may it be, and what does it leave behind?
    SignedIn {
        user: UserId,
        signed_in: SignedIn,
    },
    /// Ban an account, or lift its ban.
    SetDisabled {
        user: UserId,
        is_disabled: bool,
    },
    /// About operators, who live together.
    Operator(OperatorQuery),
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
    Board(BoardQuery),
    Party(PartyQuery),
    TicketAdd {
        ticket: Box<matchmaker::Ticket>,
        query: Arc<matchmaker::Query>,
        known: Known,
    },
    TicketRemove {
        ticket: TicketId,
        owner: matchmaker::Owner,
    },
    MatchmakerStats,
    /// The result of a match, if it was taken in.
    MatchResult(Arc<Ending>),
    /// What a player is in a queue.
    Standing {
        user: UserId,
        queue: String,
    },
    History(HistoryWish),
    Queue(QueueQuery),
    Pool(PoolQuery),
    Storage(StorageQuery),
    /// Erase a part of what a deleted account has left on this shard.
    Erase {
        user: UserId,
    },
    /// Nothing of it is left anywhere.
    EraseEnd {
        user: UserId,
    },
    /// Erasures of users of this shard that have begun.
    Erasures {
        after: Option<UserId>,
    },
}

/// What the players of a ticket are in its queue, once somebody has looked.
pub(crate) type Known = Option<Arc<BTreeMap<UserId, Standing>>>;

/// A ticket that its queue cannot judge before it is known what its players are.
#[derive(Clone, Debug)]
pub struct Unrated {
    pub queue: String,
    pub users: Vec<UserId>,
    /// What is asked again then.
    pub query: Query,
}

/// What is asked of a queue.
#[derive(Clone, Debug)]
pub enum QueueQuery {
    Ready {
        ticket: TicketId,
        session: SessionId,
        answer: matchmaker::queue::Answer,
    },
    Wait {
        queue: String,
        rating: Option<f64>,
    },
    /// How is it defined?
    Definition {
        queue: String,
    },
    /// Why does the ticket of this session wait, and what is known of that so far?
    Explain {
        ticket: TicketId,
        session: SessionId,
        so_far: Option<Box<matchmaker::queue::Explanation>>,
    },
}

/// What operators ask the matchmaker.
#[derive(Clone, Debug)]
pub enum PoolQuery {
    /// Of a queue, or with an empty name, those of none.
    List {
        from: usize,
        limit: usize,
        queue: String,
    },
    /// Why does the ticket wait, and what is known of that so far?
    Explain {
        ticket: TicketId,
        so_far: Option<Box<Explanation>>,
    },
    /// The same, of a ticket in a declared queue.
    ExplainQueued {
        ticket: TicketId,
        so_far: Option<Box<matchmaker::queue::Explanation>>,
    },
    Remove(TicketId),
    Pause(bool),
    /// Of a game's own server.
    Server {
        act: ServerAct,
        known: Known,
    },
    /// These are the operators' queues since a change, which is durable.
    Queues(Arc<Queues>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorQuery {
    /// The operator of this name, unless it is disabled.
    Find(String),
    /// A sign-in by this name is tried, from there.
    Try(String, ClientAddress),
    /// Its password was right.
    Passed(String, ClientAddress),
    /// Its password was not looked at: the try does not count.
    Untried(String, ClientAddress),
    /// Whether the bearer may do what takes this role.
    Check {
        bearer: operator::Bearer,
        needed: Role,
    },
    List,
    Audit(Wanted),
    /// What operators have defined.
    Queues,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Only whether the token is still good.
    Nothing,
    Account,
    Logout(Vec<Bearer>),
    LogoutAll,
}

/// A part of a batch over several shards, on the shard of the claimed key.
#[derive(Clone, Debug)]
pub enum Claim {
    /// The alias is to lead to the user.
    Take {
        alias: Alias,
        user: UserId,
    },
    /// The user's alias is to lead nowhere.
    Release {
        alias: Alias,
        user: UserId,
    },
    Create(Box<NewAccount>),
    Edit(Box<AccountEdit>),
    /// The account is to be banned, or not to be any more.
    SetDisabled {
        user: UserId,
        is_disabled: bool,
    },
    /// An operator changes something.
    Operate(Box<Operate>),
    /// The match is to be one that was taken in.
    Result {
        ending: Arc<Ending>,
        result: Box<MatchResult>,
    },
    /// What a result does to one player.
    Rate(Box<Outcome>),
    /// Objects and the wallet of one owner change.
    Belongings(Box<Belongings>),
    /// An entry of a ledger goes.
    LedgerForget {
        user: UserId,
        id: LedgerId,
    },
}

/// The guard, the change if it is one of what lives with operators, and the entry of the audit
/// trail.
#[derive(Clone, Debug)]
pub struct Operate {
    pub bearer: operator::Bearer,
    pub needed: Role,
    pub edit: Option<OperatorEdit>,
    pub entry: AuditEntry,
}

/// A change of what lives with operators.
#[derive(Clone, Debug)]
pub enum OperatorEdit {
    Account(operator::account::Edit),
    Queue(operator::queue::Edit),
}

/// A change of an account, and what was planned for it.
#[derive(Clone, Debug)]
pub struct AccountEdit {
    pub user: UserId,
    /// Whose token has still to be good; an operator's is looked at elsewhere.
    pub bearer: Option<Bearer>,
    pub edit: Edit,
    pub plan: Plan,
}

impl Claim {
    /// Participants are asked in ascending order of this, so that two batches never wait for each
    /// other. The operators' comes first: whoever waits there, where all their changes meet, holds
    /// no account meanwhile.
    pub fn order(&self) -> (bool, u16, u8, Vec<u8>) {
        let table = match self {
            Claim::Create(_)
            | Claim::Edit(_)
            | Claim::SetDisabled { .. }
            | Claim::Belongings(_) => 1,
            Claim::Take { .. } | Claim::Release { .. } => 2,
            Claim::Operate(_) => 4,
            Claim::Rate(_) => 8,
            Claim::Result { .. } => 10,
            Claim::LedgerForget { .. } => 19,
        };
        let key = self.key();
        (table != 4, base::id::slot_of(&key), table, key)
    }

    pub fn key(&self) -> Vec<u8> {
        match self {
            Claim::Create(new) => new.user_id.as_bytes().to_vec(),
            Claim::Edit(edit) => edit.user.as_bytes().to_vec(),
            Claim::SetDisabled { user, .. } | Claim::LedgerForget { user, .. } => {
                user.as_bytes().to_vec()
            }
            Claim::Belongings(belongings) => belongings.user.as_bytes().to_vec(),
            Claim::Operate(_) => domain::record::operator::KEY.to_vec(),
            Claim::Rate(outcome) => outcome.user.as_bytes().to_vec(),
            Claim::Result { ending, .. } => ending.key(),
            Claim::Take { alias, .. } | Claim::Release { alias, .. } => alias.key(),
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
    /// Those whom aliases lead to; no more than were asked for.
    Owners(Vec<UserId>),
    /// What a sign-in has to know, if there is the account.
    Login(Option<Login>),
    /// The token is good no more.
    Revoked,
    Done,
    Account(Option<UserView>),
    Users(Vec<UserView>),
    /// With what it tells of the change, if it does.
    Prepared(Frame, Option<Box<Changed>>),
    /// What was to be prepared changes nothing.
    Changes(Box<Changed>),
    /// The claimed alias leads to this account already.
    Taken(Kind, UserId),
    /// The account is not what the claim was made for.
    Changed,
    Statuses(Vec<StatusPresence>),
    Joined(Joined),
    PartyCreated(Box<party::View>),
    PartyRequests(party::Address, Vec<Presence>),
    Parties(Vec<ListedParty>),
    Ticket(TicketId),
    /// Ask again, with what the players are.
    Unrated(Box<Unrated>),
    MatchmakerStats(MatchmakerStats),
    Tickets {
        tickets: Vec<Listed>,
        next: Option<usize>,
        is_paused: bool,
    },
    Explanation(Box<Explanation>),
    QueuedTickets {
        tickets: Vec<matchmaker::queue::Listed>,
        next: Option<usize>,
        is_paused: bool,
    },
    /// JSON, as whoever asked is told.
    Document(String),
    MatchResult(Option<Box<MatchResult>>),
    Standing(UserId, Standing),
    History(result::Page),
    Definition(Arc<matchmaker::queue::Definition>),
    ObjectAcks(Vec<object::Ack>),
    Objects(Vec<object::Found>),
    ObjectPage(object::Page),
    AllObjects(Vec<object::Found>, Option<(String, object::Place)>),
    Ledger(wallet::Page),
    Erased {
        has_more: bool,
    },
    Erasures(erasure::Page),
    QueueWait(Option<matchmaker::queue::Wait>),
    QueueExplanation(Box<matchmaker::queue::Explanation>),
    Operators(Vec<operator::account::Operator>),
    Audit(Page),
    Queues(Queues),
    Board(BoardAnswer),
}

/// An account that signs in.
#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    /// Hash of the password; empty when there is none.
    pub password: Secret,
    pub is_disabled: bool,
}

impl Login {
    pub(crate) fn of(user: User) -> Login {
        Login {
            is_disabled: user.is_disabled(),
            username: user.username,
            password: Secret(user.password),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_does_not_show_its_hash() {
        let user = User { password: "CANARY".into(), ..User::default() };
        let answer = Answer::Login(Some(Login::of(user)));
        assert!(!format!("{answer:?}").contains("CANARY"));
    }
}
