//! Operators, the audit trail, and accounts as operators see them.

use base::json::{self, Object};
use base::limits::{AUDIT_PAGE_MAX, TICKETS_PAGE_DEFAULT, TICKETS_PAGE_MAX};
use base::{Secret, UnixTime};
use domain::operator::account::Operator;
use domain::operator::audit::{AuditEntry, Page, Wanted};

use matchmaker::{Explanation, Listed};

use super::{account, matchmaking};
use crate::console::{AUDIT_DEFAULT, Console, Login, OperatorUpdate};
use crate::error::Error;
use crate::http::Call;
use crate::reply::UserView;
use crate::request::Request;

pub(crate) fn login(call: &Call<'_>) -> Result<Request, Error> {
    sign_in(call, false)
}

pub(crate) fn password_change(call: &Call<'_>) -> Result<Request, Error> {
    sign_in(call, true)
}

fn sign_in(call: &Call<'_>, has_new_password: bool) -> Result<Request, Error> {
    let mut body = call.message()?;
    let (username, password) = (body.text("username")?, Secret(body.text("password")?));
    let new_password =
        if has_new_password { Some(Secret(body.text("new_password")?)) } else { None };
    body.finish()?;
    let login = Login { username, password, new_password, client: call.client };
    Ok(Request::Console(Console::Login(login)))
}

pub(crate) fn operator_create(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let create = Console::OperatorCreate {
        username: body.text("username")?,
        password: Secret(body.text("password")?),
        role: body.text("role")?,
    };
    body.finish()?;
    Ok(Request::Console(create))
}

pub(crate) fn operator_update(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let update = OperatorUpdate {
        username: call.part("username").to_owned(),
        password: body.text_wrapper("password")?.map(Secret),
        role: body.text_wrapper("role")?,
        is_disabled: body.flag_wrapper("disabled")?,
    };
    body.finish()?;
    Ok(Request::Console(Console::OperatorUpdate(update)))
}

pub(crate) fn operator_delete(call: &Call<'_>) -> Result<Request, Error> {
    let username = call.part("username").to_owned();
    Ok(Request::Console(Console::OperatorDelete { username }))
}

pub(crate) fn audit_list(call: &Call<'_>) -> Result<Request, Error> {
    let number = |name| number(call, name);
    let text = |name: &str| -> Result<String, Error> {
        Ok(call.query.text(name)?.unwrap_or_default().to_owned())
    };
    let limit = limit(call, AUDIT_DEFAULT.limit, AUDIT_PAGE_MAX)?;
    let (actor, operation) = (text("username")?, text("operation")?);
    let wanted = Wanted { before: number("cursor")?, limit, actor, operation };
    Ok(Request::Console(Console::AuditList(wanted)))
}

fn number(call: &Call<'_>, name: &str) -> Result<Option<u64>, Error> {
    let Some(text) = call.query.text(name)? else { return Ok(None) };
    let number = text.parse();
    number.map(Some).map_err(|_| Error::invalid(format!("Parameter {name} is no number.")))
}

fn limit(call: &Call<'_>, default: usize, most: usize) -> Result<usize, Error> {
    let limit = number(call, "limit")?.map_or(Ok(default), usize::try_from);
    let limit = limit.ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Error::invalid(format!("Parameter limit has to be 1 to {most}.")))
}

pub(crate) fn tickets_list(call: &Call<'_>) -> Result<Request, Error> {
    let limit = limit(call, TICKETS_PAGE_DEFAULT, TICKETS_PAGE_MAX)?;
    let from = usize::try_from(number(call, "cursor")?.unwrap_or(0)).unwrap_or(usize::MAX);
    Ok(Request::Console(Console::TicketsList { from, limit }))
}

pub fn tickets(tickets: &[Listed], next: Option<usize>, is_paused: bool) -> String {
    json::object(|o| {
        o.flag("paused", is_paused);
        o.list("tickets", tickets, ticket);
        if let Some(next) = next {
            o.shown("cursor", next);
        }
    })
}

/// A number, zero too.
fn count(o: &mut Object<'_>, name: &str, number: impl std::fmt::Display) {
    o.raw(name, &number.to_string());
}

fn ticket(listed: &Listed, o: &mut Object<'_>) {
    let Listed { ticket, query, intervals } = listed;
    o.shown("ticket", ticket.id);
    o.shown("create_time", ticket.created);
    o.list("presences", &ticket.entries, |entry, o| {
        o.shown("user_id", entry.user_id);
        o.shown("session_id", entry.session_id);
        o.text("username", &entry.username);
    });
    if let Some(party) = ticket.party {
        o.shown("party", party);
    }
    count(o, "min_count", ticket.counts.min());
    count(o, "max_count", ticket.counts.max());
    count(o, "count_multiple", ticket.counts.multiple());
    o.text("query", query);
    count(o, "intervals", intervals);
    matchmaking::properties(ticket, o);
}

pub fn explanation(explanation: &Explanation) -> String {
    json::object(|o| {
        o.object("ticket", |o| ticket(&explanation.listed, o));
        count(o, "others", explanation.others);
        count(o, "acceptable", explanation.acceptable);
        o.list("excluded_by_clause", &explanation.by_clause, |(clause, tickets), o| {
            o.text("clause", clause);
            count(o, "tickets", tickets);
        });
        count(o, "excluded_by_counts", explanation.by_counts);
        count(o, "excluded_by_owner", explanation.by_owner);
        count(o, "excluded_by_their_query", explanation.by_their_query);
        if let Some(nearest) = &explanation.nearest {
            o.object("nearest", |o| {
                o.shown("ticket", nearest.ticket);
                o.list("lacks", &nearest.lacks, |reason, o| o.text("reason", reason));
            });
        }
    })
}

pub(crate) fn backup_start(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let name = body.text("name")?;
    body.finish()?;
    Ok(Request::Console(Console::BackupStart { name }))
}

/// A request about the account in the path.
pub(crate) fn account(call: &Call<'_>, request: fn(String) -> Console) -> Result<Request, Error> {
    Ok(Request::Console(request(call.part("id").to_owned())))
}

pub fn session(token: &str) -> String {
    json::object(|o| o.text("token", token))
}

pub fn operators(operators: &[Operator]) -> String {
    json::object(|o| o.list("users", operators, operator))
}

fn operator(operator: &Operator, o: &mut Object<'_>) {
    o.text("username", &operator.name);
    o.text("role", operator.role().name());
    o.flag("disabled", operator.is_disabled);
    o.shown("create_time", UnixTime::from_secs(operator.create_time));
    o.shown("update_time", UnixTime::from_secs(operator.update_time));
}

pub fn audit(page: &Page) -> String {
    json::object(|o| {
        o.list("entries", &page.entries, |(number, entry), o| audit_entry(*number, entry, o));
        if let Some(next) = page.next {
            o.shown("cursor", next);
        }
    })
}

fn audit_entry(number: u64, entry: &AuditEntry, o: &mut Object<'_>) {
    o.shown("id", number);
    o.shown("timestamp", UnixTime::from_secs(entry.time));
    o.text("username", &entry.actor);
    o.text("operation", &entry.operation);
    o.text("target", &entry.target);
    o.raw("metadata", &entry.detail);
}

/// What the audit trail keeps of a request: never a password, only that there was one.
pub fn detail(request: &Console) -> String {
    json::object(|o| match request {
        Console::OperatorCreate { role, .. } => o.text("role", role),
        Console::OperatorUpdate(update) => {
            if let Some(role) = &update.role {
                o.text("role", role);
            }
            if let Some(is_disabled) = update.is_disabled {
                // `flag` leaves out what is false.
                o.raw("disabled", if is_disabled { "true" } else { "false" });
            }
            o.flag("password_changed", update.password.is_some());
        }
        Console::Login(login) => o.flag("password_changed", login.new_password.is_some()),
        Console::Healthcheck
        | Console::Logout
        | Console::OperatorsList
        | Console::OperatorDelete { .. }
        | Console::AuditList(_)
        | Console::AccountGet { .. }
        | Console::AccountExport { .. }
        | Console::AccountBan { .. }
        | Console::AccountUnban { .. }
        | Console::AccountDelete { .. }
        | Console::BackupStart { .. }
        | Console::TicketsList { .. }
        | Console::TicketExplain { .. }
        | Console::TicketRemove { .. }
        | Console::MatchmakerPause { .. }
        | Console::Report(_) => {}
    })
}

/// The account as every operator may see it: nothing that signs its player in.
pub fn account_view(view: &UserView) -> String {
    json::object(|o| {
        o.object("account", |o| {
            o.object("user", |o| account::user(view, o));
            o.text("wallet", &view.user.wallet);
            if view.user.is_disabled() {
                o.shown("disable_time", UnixTime::from_secs(view.user.disable_time));
            }
        });
    })
}
