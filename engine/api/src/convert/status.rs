//! Statuses, presences and notifications.

use base::UnixTime;
use base::json::Object;
use domain::presence::Presence;
use domain::social::notification::Notification;
use domain::social::status::StatusPresence;

use crate::json::{Malformed, Message};
use crate::request::Request;

pub(crate) fn status_follow(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::StatusFollow {
        user_ids: message.texts("user_ids")?,
        usernames: message.texts("usernames")?,
    };
    message.finish()?;
    Ok(request)
}

pub(crate) fn status_unfollow(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::StatusUnfollow { user_ids: message.texts("user_ids")? };
    message.finish()?;
    Ok(request)
}

pub(crate) fn status_update(mut message: Message) -> Result<Request, Malformed> {
    let request = Request::StatusUpdate { status: message.text_wrapper("status")? };
    message.finish()?;
    Ok(request)
}

pub(crate) fn presence(presence: &Presence, o: &mut Object<'_>) {
    o.shown("user_id", presence.user_id);
    o.shown("session_id", presence.session_id);
    o.text("username", &presence.username);
}

pub(crate) fn status_presence(status: &StatusPresence, o: &mut Object<'_>) {
    presence(&status.presence, o);
    o.text_wrapper("status", Some(&status.text));
}

pub(crate) fn notification(notification: &Notification, o: &mut Object<'_>) {
    o.shown("id", notification.id);
    o.text("subject", notification.code.subject());
    o.text("content", &notification.content);
    o.int32("code", notification.code.number());
    o.shown("create_time", UnixTime::from_secs(notification.create_time.secs()));
}
