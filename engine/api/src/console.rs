//! What operators ask for. Paths follow Nakama's console API where the meaning is the same.

use std::collections::BTreeMap;

use base::json::Json;
use base::limits::{AUDIT_PAGE_DEFAULT, QUEUE_DEFINITION_MAX};
use base::{ClientAddress, Secret, TicketId, UnixTime, UserId};
use domain::compete::board::{BoardUpdate, NewBoard};
use domain::compete::leaderboard::{Owner, Wish, Write};
use domain::compete::result;
use domain::operator::audit::Wanted;
use matchmaker::queue::Definition;

use crate::convert::rating::HistoryWish;
use crate::request::{ObjectChange, ObjectList};

/// One call of an operator, decoded but not judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Console {
    /// Answers that the process runs.
    Healthcheck,
    Login(Login),
    /// All tokens of the caller die.
    Logout,
    OperatorsList,
    OperatorCreate {
        username: String,
        password: Secret,
        role: String,
    },
    OperatorUpdate(OperatorUpdate),
    OperatorDelete {
        username: String,
    },
    AuditList(Wanted),
    AccountGet {
        id: String,
    },
    AccountExport {
        id: String,
    },
    AccountBan {
        id: String,
    },
    AccountUnban {
        id: String,
    },
    AccountDelete {
        id: String,
    },
    /// A backup into a folder of this name, below the configured one.
    BackupStart {
        name: String,
    },
    /// Waiting tickets, from a place on: those of a queue, or with an empty name, those of none.
    TicketsList {
        from: usize,
        limit: usize,
        queue: String,
    },
    /// Why a ticket waits.
    TicketExplain {
        id: String,
    },
    TicketRemove {
        id: String,
    },
    /// The matchmaker forms no match, or does again.
    MatchmakerPause {
        is_paused: bool,
    },
    QueuesList,
    QueueGet {
        id: String,
    },
    /// Defines a queue, if it is at this version.
    QueueWrite {
        id: String,
        /// As [`read_queue`] gives it.
        definition: String,
        version: Option<u64>,
    },
    /// Takes an operator's definition back, if it is at this version.
    QueueDelete {
        id: String,
        version: Option<u64>,
    },
    /// Of a game's own server.
    Server(ServerAct),
    /// How a match of a queue ended.
    MatchResultWrite(result::Ending),
    /// What a player is in a queue.
    RatingGet {
        queue: String,
        user: UserId,
    },
    RatingHistory(HistoryWish),
    Belongings(BelongingsAct),
    /// Leaderboards and tournaments that are to be there. Their times are seconds from the request.
    BoardsDeclare(Vec<NewBoard>),
    /// Boards behind this id.
    BoardsList {
        after: String,
        limit: usize,
    },
    BoardGet {
        id: String,
    },
    BoardUpdate {
        id: String,
        update: Box<BoardUpdate>,
    },
    BoardDelete {
        id: String,
    },
    BoardRecordsList {
        id: String,
        wish: Wish,
    },
    BoardRecordWrite {
        id: String,
        owner: Owner,
        write: Write,
    },
    /// How an owner stands among all of the period.
    BoardStanding {
        id: String,
        owner: UserId,
        expiry: Option<u64>,
    },
    BoardRecordDelete {
        id: String,
        owner: UserId,
    },
    Report(Report),
}

/// What server code and operators ask of storage objects and wallets.
#[derive(Clone, Debug, PartialEq)]
pub enum BelongingsAct {
    /// Of a collection, or without one, of an owner.
    ObjectList(ObjectList),
    ObjectGet(ObjectChange),
    ObjectWrite(ObjectChange),
    ObjectDelete(ObjectChange),
    /// The ledger of a wallet, newest entries first.
    Ledger {
        user: String,
        limit: usize,
        cursor: String,
    },
    LedgerDelete {
        user: String,
        entry: String,
    },
    /// Objects and wallets of several owners, all of it or nothing.
    Update(MultiUpdate),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MultiUpdate {
    pub writes: Vec<ObjectChange>,
    pub deletes: Vec<ObjectChange>,
    pub wallets: Vec<WalletUpdate>,
    /// Whether the ledgers tell of it.
    pub updates_ledger: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WalletUpdate {
    pub user: String,
    pub changeset: BTreeMap<String, i64>,
    /// JSON object, or empty.
    pub metadata: String,
}

/// What a game's own servers ask of declared queues.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerAct {
    TicketAdd {
        queue: String,
        wish: ServerWish,
    },
    Ticket(TicketId),
    Ready {
        ticket: TicketId,
        accept: bool,
    },
    TicketRemove(TicketId),
    /// How long players of this rating wait.
    Wait {
        queue: String,
        rating: Option<f64>,
    },
    BackfillAdd {
        queue: String,
        wish: BackfillWish,
    },
    Backfill(TicketId),
    Acknowledge {
        backfill: TicketId,
        tickets: Vec<TicketId>,
    },
    BackfillRemove(TicketId),
}

/// A ticket of players who have no socket here.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerWish {
    pub players: Vec<ServerPlayer>,
    pub string_properties: BTreeMap<String, String>,
    pub numeric_properties: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlayer {
    pub user_id: String,
    pub username: String,
}

/// A running match that looks for players.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillWish {
    pub match_id: String,
    /// Teams that are not named take nobody.
    pub teams: Vec<TeamWish>,
    pub region: String,
    pub rating: Option<f64>,
    /// `high`, as without one, or `low`.
    pub priority: String,
    pub string_properties: BTreeMap<String, String>,
    pub numeric_properties: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TeamWish {
    pub name: String,
    pub open: i32,
    pub rating: Option<f64>,
    pub roles: BTreeMap<String, f64>,
}

/// A declared queue, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownQueue {
    /// JSON object.
    pub definition: String,
    /// Its version, and when it was written: an operator has; else the configuration defines it.
    pub written: Option<(u64, UnixTime)>,
}

/// A sign-in, and the new password if it is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: Secret,
    pub new_password: Option<Secret>,
    /// Where from, for the lock-out.
    pub client: Option<ClientAddress>,
}

/// New values; `None` leaves what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorUpdate {
    pub username: String,
    pub password: Option<Secret>,
    pub role: Option<String>,
    pub is_disabled: Option<bool>,
}

/// What the process, not a shard, can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Whether clients should be sent here.
    Ready,
    Metrics,
    Config,
    Status,
    /// The backup under way, or the last one.
    Backup,
    /// Begin one, of this name.
    StartBackup(String),
}

/// The id of a queue and its definition as JSON, every default written out; or all that is wrong
/// with it, each as `place: what`.
pub fn read_queue(json: &Json) -> Result<(String, String), Vec<String>> {
    let definition = Definition::parse(json)?;
    let text = definition.text();
    if text.len() > QUEUE_DEFINITION_MAX {
        let what = format!(": more than {QUEUE_DEFINITION_MAX} bytes with all defaults");
        return Err(vec![what]);
    }
    // What is kept is read again, and not each number comes back from its text.
    let again = Json::parse(text.as_bytes()).ok().and_then(|json| Definition::parse(&json).ok());
    if again.is_none() {
        return Err(vec![": has a number that cannot be kept".to_owned()]);
    }
    Ok((definition.id, text))
}

pub(crate) const AUDIT_DEFAULT: Wanted = Wanted {
    before: None,
    limit: AUDIT_PAGE_DEFAULT,
    actor: String::new(),
    operation: String::new(),
};
