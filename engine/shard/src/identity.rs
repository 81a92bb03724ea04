//! Tokens, users, and the socket's handshake: their steps.

use std::collections::BTreeMap;

use api::Error;
use api::http::Response;
use api::reply::Reply;
use api::request::SocketOpen;
use base::limits::{AUDIENCE_MAX, VAR_TEXT_MAX, VARS_MAX};
use base::{Code, Secret, ShardId, TokenId, UserId};
use domain::identity::alias::Alias;
use domain::identity::server_token::ServerClaims;
use domain::identity::session::{Bearer, Check};
use domain::identity::token::{Claims, Kind, Vars};

use crate::Shard;
use crate::connection::Handshake;
use crate::message::{Errand, Message, Query};
use crate::state::State;
use crate::task::{Origin, Step};

impl Shard {
    // Tokens.

    /// Signs both tokens; their expiry counts from now.
    pub(crate) fn session_reply(&self, claims: Claims, created: bool) -> Reply {
        let now = self.now.wall.secs();
        let expiry = now + self.config.token_life.as_secs();
        let mut claims = Claims { expiry, signed_at: now, ..claims };
        let token = Secret(self.config.session_keys.sign(&claims));
        claims.expiry = now + self.config.refresh_token_life.as_secs();
        let refresh_token = Secret(self.config.refresh_keys.sign(&claims));
        Reply::Session { created, token, refresh_token }
    }

    pub(crate) fn refresh(&mut self, task: u64, token: &str, vars: Vars) -> Step {
        if token.is_empty() {
            return Step::Fail(Error::invalid("Refresh token is required."));
        }
        if let Err(error) = check_vars(&vars) {
            return Step::Fail(error);
        }
        let Ok(claims) = self.config.refresh_keys.verify(token, self.now.wall) else {
            return Step::Fail(Error::unauthenticated("Refresh token invalid or expired."));
        };
        let bearer = self.bearer(&claims, Kind::Refresh);
        let home = self.config.placement.of_user(bearer.user_id);
        self.ask(task, home, Query::Refresh(bearer));
        Step::Wait(State::Refresh { claims: Box::new(claims), vars })
    }

    pub(crate) fn logout(
        &mut self,
        task: u64,
        bearer: Bearer,
        token: &str,
        refresh_token: &str,
    ) -> Step {
        let mut tokens = Vec::new();
        let config = self.config.clone();
        for (text, kind, key) in [
            (token, Kind::Session, &config.session_keys),
            (refresh_token, Kind::Refresh, &config.refresh_keys),
        ] {
            if text.is_empty() {
                continue;
            }
            match key.verify(text, self.now.wall) {
                Ok(claims) if claims.user_id == bearer.user_id => {
                    tokens.push(self.bearer(&claims, kind));
                }
                _ => {
                    let error = Error::invalid("The token to log out is not valid.");
                    return self.refuse_after_guard(task, bearer, error);
                }
            }
        }
        let errand = if tokens.is_empty() { Errand::LogoutAll } else { Errand::Logout(tokens) };
        self.ask_guarded(task, bearer, errand);
        Step::Wait(State::Logout)
    }

    pub(crate) fn server_token(&mut self, task: u64, bearer: Bearer, audience: String) -> Step {
        if audience.len() > AUDIENCE_MAX {
            let error = Error::invalid("Audience must be at most 255 bytes long.");
            return self.refuse_after_guard(task, bearer, error);
        }
        self.ask_guarded(task, bearer, Errand::Account);
        Step::Wait(State::ServerToken { audience })
    }

    pub(crate) fn server_token_reply(
        &mut self,
        user_id: UserId,
        username: String,
        audience: String,
    ) -> Reply {
        let token_id = TokenId::random(&mut self.rng);
        let issued_at = self.now.wall.secs();
        let expiry = issued_at + self.config.server_token_life.as_secs();
        let claims = ServerClaims { token_id, user_id, username, audience, issued_at, expiry };
        Reply::ServerToken { token: Secret(self.config.server_keys.sign(&claims)) }
    }

    // Users.

    /// Asks a home for each group of things that live there; how many homes were asked.
    pub(crate) fn scatter<T>(
        &mut self,
        task: u64,
        things: Vec<T>,
        home: impl Fn(&T) -> ShardId,
        query: impl Fn(Vec<T>) -> Query,
    ) -> usize {
        let mut by_home: BTreeMap<ShardId, Vec<T>> = BTreeMap::new();
        for thing in things {
            by_home.entry(home(&thing)).or_default().push(thing);
        }
        let count = by_home.len();
        for (home, things) in by_home {
            self.ask(task, home, query(things));
        }
        count
    }

    /// Asks whom these aliases lead to; how many homes were asked.
    pub(crate) fn scatter_aliases(&mut self, task: u64, aliases: Vec<Alias>) -> usize {
        let placement = self.config.placement;
        self.scatter(task, aliases, |alias| placement.of_key(&alias.key()), Query::Owners)
    }

    pub(crate) fn find_users(&mut self, task: u64, ids: Vec<UserId>, aliases: Vec<Alias>) -> Step {
        match self.scatter_aliases(task, aliases) {
            0 => self.read_users(task, ids),
            _ => Step::Wait(State::UsersAliases { ids }),
        }
    }

    pub(crate) fn read_users(&mut self, task: u64, mut ids: Vec<UserId>) -> Step {
        ids.sort_unstable();
        ids.dedup();
        let placement = self.config.placement;
        match self.scatter(task, ids, |id| placement.of_user(*id), Query::Users) {
            0 => Step::Done(Reply::Users { users: Vec::new() }),
            _ => Step::Wait(State::UsersRead { found: Vec::new() }),
        }
    }

    // The socket's handshake: format, token, upgrade, in this order, refused in plain text.

    pub(crate) fn ask_handshake(&mut self, task: u64, open: SocketOpen) -> Step {
        if !matches!(open.format.as_str(), "" | "json") {
            return self.refuse_handshake(task, 400);
        }
        let token = open.token.as_ref().map_or("", |token| &token.0);
        let Ok(claims) = self.config.session_keys.verify(token, self.now.wall) else {
            return self.refuse_handshake(task, 401);
        };
        let bearer = self.bearer(&claims, Kind::Session);
        let home = self.config.placement.of_user(bearer.user_id);
        let (check, errand) = (Check::WholeUserOnly, Errand::Nothing);
        self.ask(task, home, Query::Guarded { bearer, check, errand });
        Step::Wait(State::SocketGuard { open, claims: Box::new(claims) })
    }

    pub(crate) fn grant_handshake(
        &mut self,
        number: u64,
        open: &SocketOpen,
        claims: Box<Claims>,
    ) -> Step {
        if !open.is_handshake {
            return self.refuse_handshake(number, 400);
        }
        let canceled = Step::Ended(Err(Code::Canceled));
        let Some(task) = self.tasks.get(&number) else { return canceled };
        let Origin::Http { connection, home } = task.origin else { return canceled };
        let depends = task.depends.clone();
        self.handshakes.insert(connection, Handshake::Granted);
        let granted = Message::Granted { connection, home, claims, online: open.status };
        self.send_when_durable(granted, &depends);
        Step::Ended(Ok(()))
    }

    pub(crate) fn refuse_handshake(&mut self, number: u64, status: u16) -> Step {
        let (code, text) = match status {
            401 => (Code::Unauthenticated, "Missing or invalid token"),
            _ => {
                let text = "Bad request: an unknown format, or no WebSocket handshake";
                (Code::InvalidArgument, text)
            }
        };
        let Some(task) = self.tasks.get(&number) else {
            return Step::Ended(Err(Code::Canceled));
        };
        if let Origin::Http { connection, .. } = task.origin {
            let depends = task.depends.clone();
            self.respond(connection, Response::text(status, text), &depends);
        }
        Step::Ended(Err(code))
    }
}

pub(crate) fn invalid_user_id() -> Error {
    Error::invalid("A user id is not a UUID.")
}

/// `None` when one of the ids is none.
pub(crate) fn parse_users(ids: &[String]) -> Option<Vec<UserId>> {
    ids.iter().map(|id| UserId::parse(id)).collect()
}

/// Names that no account can bear belong to nobody.
pub(crate) fn parse_names(names: &[String]) -> Vec<Alias> {
    names.iter().filter_map(|name| Alias::username(name).ok()).collect()
}

pub(crate) fn check_vars(vars: &Vars) -> Result<(), Error> {
    let is_long = |(name, value): (&String, &String)| name.len().max(value.len()) > VAR_TEXT_MAX;
    if vars.len() > VARS_MAX || vars.iter().any(is_long) {
        return Err(Error::invalid("Too many session variables, or too long ones."));
    }
    Ok(())
}
