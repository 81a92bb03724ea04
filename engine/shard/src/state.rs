//! What a task waits for.

use std::sync::Arc;

use api::Error;
use api::reply::{ListedParty, UserView};
use api::request::{Request, SocketOpen};
use base::{MatchId, PartyId, Secret, SessionId, UserId};
use domain::identity::alias::{Alias, Kind as AliasKind};
use domain::identity::session::Bearer;
use domain::identity::token::{Claims, Vars};
use domain::social::status::StatusPresence;

use crate::batch::Batch;
use crate::board::Boarding;
use crate::edit::{Editing, Then, Wanted};
use crate::operator::Operating;
use crate::party::Listing;
use crate::rating::Rated;
use crate::sign_in::{Proven, SignIn};
use crate::storage::Storing;

#[derive(Debug)]
pub(crate) enum State {
    /// Nothing is asked yet.
    New,
    /// A before-hook waits for the home to confirm the token.
    HookGuard {
        request: Request,
        bearer: Bearer,
    },
    /// A before-hook looks at the request.
    Hook {
        caller: Option<Bearer>,
    },
    /// Whose proof is it? For a sign-in.
    Proof(Box<Proven>),
    /// Whom does it lead to?
    Lookup {
        sign_in: Box<SignIn>,
    },
    /// What is there to know of the account that signs in?
    Login {
        user: UserId,
        sign_in: Box<SignIn>,
    },
    /// Is it the account's password?
    Password {
        user: UserId,
        hash: Secret,
        sign_in: Box<SignIn>,
    },
    /// The password of a new account is hashed.
    HashForCreation {
        sign_in: Box<SignIn>,
    },
    /// Does the account grant the sign-in?
    SignedIn {
        user: UserId,
        vars: Vars,
    },
    /// Is the token of an edit still good?
    EditGuard {
        bearer: Bearer,
        wanted: Box<Wanted>,
    },
    /// Whose proof is it? For an edit.
    EditProof {
        bearer: Bearer,
        kind: AliasKind,
        then: Then,
    },
    /// The password of an address is hashed.
    HashForLink {
        bearer: Bearer,
        alias: Alias,
    },
    /// What is the account like?
    Edit(Box<Editing>),
    /// Participants prepare a batch, one after another.
    Batch(Box<Batch>),
    Refresh {
        claims: Box<Claims>,
        vars: Vars,
    },
    Account,
    ServerToken {
        audience: String,
    },
    Export,
    /// Bans, or their end, are on their way to the accounts.
    Disable,
    /// The request is wrong; is the token at least good?
    Refusal {
        error: Error,
    },
    Logout,
    /// Is the token of a users request still good?
    UsersGuard {
        ids: Vec<UserId>,
        aliases: Vec<Alias>,
    },
    UsersAliases {
        ids: Vec<UserId>,
    },
    UsersRead {
        found: Vec<UserView>,
    },
    /// May the bearer open a socket?
    SocketGuard {
        open: SocketOpen,
        claims: Box<Claims>,
    },
    /// A new session registers with its user.
    SessionOpen,
    FollowNames {
        session: SessionId,
        ids: Vec<UserId>,
    },
    Follow {
        present: Vec<StatusPresence>,
    },
    /// Following users no longer.
    Unfollow,
    SetStatus,
    MatchJoin {
        id: MatchId,
        is_create: bool,
    },
    MatchLeave,
    /// Something is done to the party.
    Party(PartyId),
    /// Is the token of whoever wants a list of parties still good?
    PartiesGuard(Arc<Listing>),
    /// Is the token of a request for the matchmaker's statistics still good?
    MatchmakerStatsGuard,
    MatchmakerStats,
    Parties {
        listing: Arc<Listing>,
        found: Vec<ListedParty>,
    },
    TicketAdd,
    TicketRemove,
    /// A function that was called by this name.
    Rpc(String),
    /// Results and ratings.
    Rated(Box<Rated>),
    /// Storage objects.
    Storage(Box<Storing>),
    /// Leaderboards and tournaments.
    Board(Box<Boarding>),
    /// A call of an operator.
    Operator(Operating),
}

impl State {
    /// What a request in this state waits for.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            State::New => "begin",
            State::HookGuard { .. }
            | State::EditGuard { .. }
            | State::UsersGuard { .. }
            | State::SocketGuard { .. }
            | State::PartiesGuard(_)
            | State::MatchmakerStatsGuard
            | State::Refusal { .. } => "check token",
            State::Hook { .. } => "run hook",
            State::Proof(_) | State::EditProof { .. } => "ask provider",
            State::Lookup { .. } | State::UsersAliases { .. } | State::FollowNames { .. } => {
                "look up aliases"
            }
            State::Login { .. }
            | State::Refresh { .. }
            | State::Account
            | State::ServerToken { .. }
            | State::Export
            | State::Edit(_)
            | State::UsersRead { .. } => "read account",
            State::Password { .. } => "check password",
            State::HashForCreation { .. } | State::HashForLink { .. } => "hash password",
            State::SignedIn { .. } => "sign in",
            State::Batch(_) => "prepare batch",
            State::Disable => "disable accounts",
            State::Logout => "revoke tokens",
            State::SessionOpen => "open session",
            State::Follow { .. } | State::Unfollow | State::SetStatus => "change status",
            State::MatchJoin { .. } => "join match",
            State::MatchLeave => "leave match",
            State::Party(_) => "ask party",
            State::Parties { .. } => "list parties",
            State::TicketAdd | State::TicketRemove | State::MatchmakerStats | State::Rpc(_) => {
                "ask matchmaker"
            }
            State::Board(boarding) => match **boarding {
                Boarding::Guard { .. } | Boarding::ListGuard(_) => "check token",
                Boarding::Act { .. } | Boarding::List { .. } => "ask board",
            },
            State::Rated(_) => "ask ratings",
            State::Storage(_) => "ask storage",
            State::Operator(_) => "serve operator",
        }
    }
}
