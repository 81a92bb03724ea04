//! The dispatch: from a request, a session's envelope or a call of server code to a task.

use api::Error;
use api::http::{self, Found, Response};
use api::ops::{Auth, Door, Operation, Rate};
use api::request::Request;
use base::{Code, SessionId, ShardId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::identity::session::{Bearer, Check};
use domain::identity::token::{Claims, Kind};
use domain::operator;
use domain::presence::Presence;

use crate::Shard;
use crate::message::{Errand, Query};
use crate::operator::dead_token;
use crate::output::Output;
use crate::rate::{Asker, TooOften};
use crate::state::State;
use crate::task::{Origin, invalid_token, shutting_down};
use crate::view::Depends;

/// Why a request does not become a task.
enum Refused {
    Because(Error),
    TooOften(TooOften),
}

/// Who asks, as far as the token itself tells.
enum Caller {
    Nobody,
    User(Bearer),
    Operator(operator::Bearer),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Because(error)
    }
}

impl From<TooOften> for Refused {
    fn from(too_often: TooOften) -> Refused {
        Refused::TooOften(too_often)
    }
}

impl Shard {
    pub(crate) fn handle_request(
        &mut self,
        connection: u64,
        home: ShardId,
        request: &http::Request,
    ) {
        let origin = Origin::Http { connection, home };
        let operations = self.operations.clone();
        let found = operations.router.find(request);
        let row = found.as_ref().ok().map(|found| found.row);
        // Whoever watches the process does so to its end.
        let is_probe = row.is_some_and(|row| row.auth == Auth::Operators && row.rate == Rate::Free);
        let checked =
            found.map_err(Refused::from).and_then(|found| self.check_request(&found, request));
        let (error, response) = match checked {
            _ if self.is_draining && !is_probe => (shutting_down(), None),
            Ok((row, Caller::Operator(bearer), decoded)) => {
                return self.begin_operator_task(origin, row, bearer, decoded);
            }
            Ok((row, Caller::User(bearer), Ok(decoded))) => {
                return self.begin_task(origin, row, Some(bearer), decoded);
            }
            Ok((row, Caller::Nobody, Ok(decoded))) => {
                return self.begin_task(origin, row, None, decoded);
            }
            Ok((_, _, Err(error))) | Err(Refused::Because(error)) => (error, None),
            Err(Refused::TooOften(too_often)) => {
                let error = too_often.error();
                let response = Response::too_often(&error, too_often.0);
                (error, Some(response))
            }
        };
        let response = response.unwrap_or_else(|| Response::error(&error));
        self.respond(connection, response, &Depends::default());
        self.done_at_once(row, Err(error.code));
    }

    fn check_request(
        &mut self,
        found: &Found<'_>,
        request: &http::Request,
    ) -> Result<(&'static Operation, Caller, Result<Request, Error>), Refused> {
        let (row, now) = (found.row, self.now.monotonic);
        let is_limited = row.door() == Door::Clients || row.rate == Rate::Password;
        if let Some(address) = request.client.filter(|_| is_limited) {
            self.limiter.take(row.rate, Asker::Address(address), now)?;
        }
        // An operator's request is read when its sender is known; what is wrong with a player's is
        // told first, as Nakama does.
        if row.door() == Door::Operators {
            let caller = self.authenticate(row, &request.authorization)?;
            return Ok((row, caller, found.decode(request)));
        }
        let decoded = found.decode(request)?;
        let caller = self.authenticate(row, &request.authorization)?;
        if let Caller::User(bearer) = &caller {
            self.limiter.take(row.rate, Asker::User(bearer.user_id), now)?;
        }
        Ok((row, caller, Ok(decoded)))
    }

    fn begin_operator_task(
        &mut self,
        origin: Origin,
        row: &'static Operation,
        bearer: operator::Bearer,
        request: Result<Request, Error>,
    ) {
        let Some(task) = self.insert_task(origin, row, &Depends::default()) else { return };
        let request = request.and_then(|request| match request {
            Request::Console(request) => Ok(request),
            _ => Err(Error::internal()),
        });
        let step = self.begin_guarded(task, row, bearer, request);
        self.finish_step(task, step);
    }

    /// Begins a call of server code.
    pub(crate) fn handle_call(&mut self, call: u64, operation: &str, request: Request) {
        let origin = Origin::Call { call };
        let row = self.operations.by_name(operation);
        let refusal = match row {
            Some(_) if self.is_draining => shutting_down(),
            Some(row) => return self.begin_task(origin, row, None, request),
            None => Error::new(Code::NotFound, "There is no such operation."),
        };
        let code = refusal.code;
        self.output(Output::Called { call, result: Err(refusal) }, &Depends::default());
        self.done_at_once(row, Err(code));
    }

    /// Begins a request of a session; the session waits for its end before it takes the next.
    pub(crate) fn begin_session_task(
        &mut self,
        session: SessionId,
        cid: String,
        row: &'static Operation,
        request: Request,
    ) {
        let origin = Origin::Session { session, cid };
        self.begin_task(origin, row, None, request);
    }

    /// Registers a new session with its user; the session waits till that is done.
    pub(crate) fn begin_session_open(
        &mut self,
        session: SessionId,
        me: Presence,
        bearer: Bearer,
        online: bool,
        depends: &Depends,
    ) {
        let row = self.operations.by_name("socket_open");
        let row = row.expect("a session is opened by this operation");
        let origin = Origin::Session { session, cid: String::new() };
        let Some(task) = self.insert_task(origin, row, depends) else {
            return self.close_session(session, "server is overloaded");
        };
        let home = self.config.placement.of_user(me.user_id);
        // Its user knows of it from the start, so that nothing that ends the user's sessions misses
        // it; what the token's home says comes later, and may close it.
        self.ask(task, home, Query::Open { me, online });
        let (check, errand) = (Check::WholeUserOnly, Errand::Nothing);
        self.ask(task, home, Query::Guarded { bearer, check, errand });
        self.wait(task, State::SessionOpen);
    }

    /// Whose request it is: the bearer of a token that is well-formed and has not expired, if the
    /// row asks for one. Its home knows of logouts.
    fn authenticate(&mut self, row: &Operation, authorization: &[String]) -> Result<Caller, Error> {
        match row.auth {
            Auth::Open | Auth::Handshake | Auth::Runtime | Auth::Operators => Ok(Caller::Nobody),
            Auth::Operator(_) => {
                let [header] = authorization else { return Err(dead_token()) };
                let token = header.strip_prefix("Bearer ").ok_or_else(dead_token)?;
                let bearer = self.config.operator_keys.verify_operator(token, self.now.wall);
                bearer.map(Caller::Operator).map_err(|_| dead_token())
            }
            Auth::ServerKey => {
                let [header] = authorization else {
                    return Err(Error::unauthenticated("Server key required"));
                };
                let encoded = header.strip_prefix("Basic ");
                let credentials = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
                let credentials = credentials.unwrap_or_default();
                let colon = credentials.iter().position(|byte| *byte == b':');
                match colon.map(|colon| &credentials[..colon]) {
                    Some(key) if is_same(key, self.config.server_key.0.as_bytes()) => {
                        Ok(Caller::Nobody)
                    }
                    _ => Err(Error::unauthenticated("Server key invalid")),
                }
            }
            Auth::Session => {
                if authorization.is_empty() {
                    return Err(Error::unauthenticated("Auth token required"));
                }
                let [header] = authorization else {
                    return Err(invalid_token());
                };
                let token = header.strip_prefix("Bearer ").ok_or_else(invalid_token)?;
                if let Some(bearer) = self.verified.find(token, self.now.wall) {
                    return Ok(Caller::User(bearer));
                }
                let claims = self.config.session_keys.verify(token, self.now.wall);
                let claims = claims.map_err(|_| invalid_token())?;
                let bearer = self.bearer(&claims, Kind::Session);
                self.verified.keep(token, bearer);
                Ok(Caller::User(bearer))
            }
        }
    }

    pub(crate) fn bearer(&self, claims: &Claims, kind: Kind) -> Bearer {
        let life = match kind {
            Kind::Session => self.config.token_life,
            Kind::Refresh => self.config.refresh_token_life,
        };
        Bearer {
            user_id: claims.user_id,
            token_id: claims.token_id,
            kind,
            issued: match claims.signed_at {
                // Somebody else who has the key signed it, for a whole life as it seems.
                0 => claims.expiry.saturating_sub(life.as_secs()),
                signed_at => signed_at,
            },
            expiry: claims.expiry,
        }
    }
}

/// Compares secrets in a time that does not tell where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}
