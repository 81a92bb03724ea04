//! The tokens of a signed-in user.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::json::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

/// What a sign-in gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub token: String,
    pub refresh_token: String,
    /// Whether the sign-in made the account.
    pub created: bool,
    /// When the session token ends, since 1970.
    pub expires: Duration,
}

impl Session {
    pub(crate) fn parse(body: &[u8]) -> Result<Session, Error> {
        let answer = Json::parse(body).map_err(|_| Error::Protocol("session is not JSON"))?;
        let token = text(&answer, "token").ok_or(Error::Protocol("session without a token"))?;
        let expires = expiry(token).ok_or(Error::Protocol("session token without an expiry"))?;
        Ok(Session {
            token: token.to_owned(),
            refresh_token: text(&answer, "refresh_token").unwrap_or_default().to_owned(),
            created: member(&answer, "created") == Some(&Json::Bool(true)),
            expires,
        })
    }

    /// Whether the token ends within `margin`.
    pub fn ends_within(&self, margin: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now + margin >= self.expires
    }
}

pub(crate) fn member<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    let Json::Object(members) = value else {
        return None;
    };
    members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

pub(crate) fn text<'a>(value: &'a Json, name: &str) -> Option<&'a str> {
    match member(value, name)? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// The `exp` claim. The signature is the server's business.
fn expiry(token: &str) -> Option<Duration> {
    let claims = token.split('.').nth(1)?;
    let claims = Json::parse(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    match member(&claims, "exp")? {
        Json::Integer(seconds) => Some(Duration::from_secs(u64::try_from(*seconds).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_is_read_from_the_token() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"uid":"u","exp":1795503941}"#);
        let body = format!(r#"{{"created":true,"token":"h.{claims}.s","refresh_token":"r"}}"#);
        let session = Session::parse(body.as_bytes()).unwrap();
        assert_eq!(session.expires, Duration::from_secs(1_795_503_941));
        assert!(session.created);
        assert_eq!(session.refresh_token, "r");
        assert!(session.ends_within(Duration::from_secs(1_795_503_941)));
    }

    #[test]
    fn an_answer_that_is_no_session_is_an_error() {
        for body in ["", "{}", r#"{"token":1}"#, r#"{"token":"a.b.c"}"#, r#"{"token":"a"}"#] {
            assert!(Session::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
