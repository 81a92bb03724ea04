//! Accounts, users, sessions and the socket's handshake.

use base::UnixTime;
use base::json::Object;

use crate::error::Error;
use crate::http::{Call, Query};
use crate::json::Message;
use crate::reply::UserView;
use crate::request::{AuthenticateDevice, Request, SocketOpen};

pub(crate) fn authenticate_device(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let id = body.text("id")?;
    let vars = body.text_map("vars")?;
    body.finish()?;
    let create = call.query.flag("create")?.unwrap_or(true);
    let username = call.query.text("username")?.unwrap_or_default().to_owned();
    Ok(Request::AuthenticateDevice(AuthenticateDevice { id, vars, create, username }))
}

pub(crate) fn session_refresh(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let request =
        Request::SessionRefresh { token: body.text("token")?, vars: body.text_map("vars")? };
    body.finish()?;
    Ok(request)
}

pub(crate) fn session_logout(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let request = Request::SessionLogout {
        token: body.text("token")?,
        refresh_token: body.text("refresh_token")?,
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
        [] => Some(first("token")),
        [header, ..] => header.strip_prefix("Bearer ").map(str::to_owned),
    };
    let status = Query::parse_flag(&first("status")).unwrap_or(false);
    let is_handshake = call.websocket;
    Ok(Request::SocketOpen(SocketOpen { token, format: first("format"), status, is_handshake }))
}

pub(crate) fn account(view: &UserView, o: &mut Object<'_>) {
    o.object("user", |o| user(view, o));
    o.text("wallet", &view.user.wallet);
    o.list("devices", &view.user.devices, |id, o| o.text("id", id));
}

/// The public part of an account.
pub(crate) fn user(view: &UserView, o: &mut Object<'_>) {
    o.shown("id", view.id);
    o.text("username", &view.user.username);
    o.text("lang_tag", &view.user.lang_tag);
    o.text("metadata", &view.user.metadata);
    o.flag("online", view.online);
    o.shown("create_time", UnixTime::from_secs(view.user.create_time));
    o.shown("update_time", UnixTime::from_secs(view.user.update_time));
}

impl Call<'_> {
    fn message(&self) -> Result<Message, Error> {
        self.body_message().map_err(Error::from)
    }
}
