//! Sessions, users and the socket's handshake.

use base::Secret;

use crate::error::Error;
use crate::http::{Call, Query};
use crate::request::{Request, SocketOpen};

pub(crate) fn session_refresh(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let request = Request::SessionRefresh {
        token: Secret(body.text("token")?),
        vars: body.text_map("vars")?,
    };
    body.finish()?;
    Ok(request)
}

pub(crate) fn session_logout(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let request = Request::SessionLogout {
        token: Secret(body.text("token")?),
        refresh_token: Secret(body.text("refresh_token")?),
    };
    body.finish()?;
    Ok(request)
}

pub(crate) fn users_get(call: &Call<'_>) -> Result<Request, Error> {
    let list = |name| call.query.texts(name).map(str::to_owned).collect();
    Ok(Request::UsersGet {
        ids: list("ids"),
        usernames: list("usernames"),
        facebook_ids: list("facebook_ids"),
    })
}

/// The handshake's own rules: the header wins over the query, a bad flag is false, nothing is
/// refused here, since its errors are plain text in an order of their own.
pub(crate) fn socket_open(call: &Call<'_>) -> Result<Request, Error> {
    let first = |name| call.query.first(name).unwrap_or_default().to_owned();
    let token = match call.authorization {
        [] => Some(Secret(first("token"))),
        [header, ..] => header.strip_prefix("Bearer ").map(Secret::from),
    };
    let status = Query::parse_flag(&first("status")).unwrap_or(false);
    let is_handshake = call.websocket;
    Ok(Request::SocketOpen(SocketOpen { token, format: first("format"), status, is_handshake }))
}
