//! The requests that the harness makes, of players and of operators, over two kept connections.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base::json::object;
use client::{Authorization, Http, Method};
use serde_json::Value;

use crate::crash::model::{Account, Alias, Profile, Tokens};
use crate::process::Server;

/// No answer takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Why a request has no answer that one can go on with.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection is gone, or was never there.
    Gone(client::Error),
    /// The server says what it must not say.
    Wrong(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Gone(error) => write!(f, "the server broke off: {error:?}"),
            Stop::Wrong(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Stop {}

/// One connection to each door of a server.
#[derive(Debug)]
pub(super) struct Api {
    players: Http,
    operators: Http,
    operator_token: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// A game, by the server key.
    Game,
    /// A player, by a session token.
    Player(&'a str),
    /// An admin.
    Operator,
}

impl Api {
    pub(super) fn new(server: &Server, operator_token: &str) -> anyhow::Result<Api> {
        let http = |port| {
            let (host, key) = ("127.0.0.1".to_owned(), "defaultkey".to_owned());
            Http::new(Arc::new(client::Server { host, port, key, timeout: ANSWER_MAX }))
        };
        let operators = server.operators.context("operators have an address")?;
        Ok(Api {
            players: http(server.port),
            operators: http(operators),
            operator_token: operator_token.to_owned(),
        })
    }

    pub(super) async fn ask(
        &mut self,
        by: By<'_>,
        method: Method,
        target: &str,
        body: &str,
    ) -> Result<Answer, Stop> {
        let (http, authorization) = match by {
            By::Game => (&mut self.players, Authorization::ServerKey),
            By::Player(token) => (&mut self.players, Authorization::Bearer(token)),
            By::Operator => (&mut self.operators, Authorization::Bearer(&self.operator_token)),
        };
        let answer = http.request(method, target, authorization, body.as_bytes()).await;
        let answer = answer.map_err(Stop::Gone)?;
        let body = serde_json::from_slice(answer.body)
            .map_err(|error| Stop::Wrong(format!("{target}: {error}")))?;
        Ok(Answer { status: answer.status, body })
    }

    /// Signs in by a device or a custom id; makes an account of this name where there is none.
    pub(super) async fn sign_in(
        &mut self,
        by: &Alias,
        new_username: Option<&str>,
    ) -> Result<Answer, Stop> {
        let query = match new_username {
            Some(username) => format!("create=true&username={username}"),
            None => "create=false".to_owned(),
        };
        let target = format!("/v2/account/authenticate/{}?{query}", kind(by));
        self.ask(By::Game, Method::Post, &target, &id_body(by)).await
    }

    pub(super) async fn account(&mut self, token: &str) -> Result<Answer, Stop> {
        self.ask(By::Player(token), Method::Get, "/v2/account", "").await
    }

    /// A change by an operator of the account of this id, or a look at it.
    pub(super) async fn operate(
        &mut self,
        method: Method,
        id: &str,
        what: &str,
    ) -> Result<Answer, Stop> {
        let target = format!("/v2/console/account/{id}{what}");
        self.ask(By::Operator, method, &target, "").await
    }

    /// Ids by username, of those names that lead to somebody.
    pub(super) async fn ids_of(
        &mut self,
        reader: &str,
        names: impl Iterator<Item = &str>,
    ) -> Result<Vec<(String, String)>, Stop> {
        let names: Vec<String> = names.map(|name| format!("usernames={name}")).collect();
        let target = format!("/v2/user?{}", names.join("&"));
        let answer = self.ask(By::Player(reader), Method::Get, &target, "").await?.success()?;
        let users = answer["users"].as_array().cloned().unwrap_or_default();
        Ok(users.iter().map(|user| (text(user, "username"), text(user, "id"))).collect())
    }
}

impl Answer {
    /// The body of a success.
    pub(super) fn success(self) -> Result<Value, Stop> {
        match self.status {
            200 => Ok(self.body),
            _ => Err(self.unexpected("200")),
        }
    }

    pub(super) fn unexpected(&self, expected: &str) -> Stop {
        let Answer { status, body } = self;
        Stop::Wrong(format!("expected status {expected}, found {status} {body}"))
    }
}

/// `device` or `custom`, as paths have it.
pub(super) fn kind(alias: &Alias) -> &'static str {
    match alias {
        Alias::Device(_) => "device",
        Alias::Custom(_) | Alias::Username(_) => "custom",
    }
}

pub(super) fn id_body(alias: &Alias) -> String {
    object(|o| o.text("id", alias.text()))
}

/// The tokens that a sign-in gives.
pub(super) fn tokens_in(body: &Value) -> Tokens {
    let (session, refresh) = (text(body, "token"), text(body, "refresh_token"));
    Tokens { session, refresh, issued: now(), are_alive: true }
}

/// The account that a player or an export shows.
pub(super) fn account_in(body: &Value) -> Account {
    let devices = body["devices"].as_array().into_iter().flatten();
    Account {
        profile: profile_in(body),
        devices: devices.map(|device| text(device, "id")).collect(),
        custom: Some(text(body, "custom_id")).filter(|id| !id.is_empty()),
    }
}

pub(super) fn profile_in(account: &Value) -> Profile {
    let user = &account["user"];
    Profile {
        username: text(user, "username"),
        display_name: text(user, "display_name"),
        location: text(user, "location"),
        is_banned: account.get("disable_time").is_some(),
    }
}

/// A text that may be left out when it is empty.
pub(super) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// The second since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_as_owners_and_operators_see_it() {
        let body = serde_json::json!({
            "user": {"id": "i", "username": "ann", "display_name": "x", "location": "y"},
            "devices": [{"id": "d1"}, {"id": "d2"}],
            "custom_id": "c",
        });
        let account = account_in(&body);
        let profile = Profile {
            username: "ann".into(),
            display_name: "x".into(),
            location: "y".into(),
            is_banned: false,
        };
        assert_eq!(account.profile, profile);
        assert_eq!(account.devices.len(), 2);
        assert_eq!(account.custom.as_deref(), Some("c"));
        let banned = serde_json::json!({"user": {"username": "ann"}, "disable_time": "t"});
        assert!(account_in(&banned).profile.is_banned);
        assert_eq!(account_in(&banned).custom, None);
    }
}
