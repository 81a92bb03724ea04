//! Operators, the audit trail, and accounts as operators see them.

use base::json::{self, Json, Object};
use base::limits::{AUDIT_PAGE_MAX, QUEUE_PROBLEMS_MAX, TICKETS_PAGE_DEFAULT, TICKETS_PAGE_MAX};
use base::{Secret, UnixTime};
use domain::operator::account::Operator;
use domain::operator::audit::{AuditEntry, Page, Wanted};

use matchmaker::{Explanation, Listed};

use super::{account, belongings, matchmaking};
use crate::console::{AUDIT_DEFAULT, Console, Login, OperatorUpdate, ShownQueue, read_queue};
use crate::error::Error;
use crate::http::Call;
use crate::json::Malformed;
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

pub(super) fn number(call: &Call<'_>, name: &str) -> Result<Option<u64>, Error> {
    let Some(text) = call.query.text(name)? else { return Ok(None) };
    let number = text.parse();
    number.map(Some).map_err(|_| Error::invalid(format!("Parameter {name} is no number.")))
}

pub(super) fn limit(call: &Call<'_>, default: usize, most: usize) -> Result<usize, Error> {
    let limit = number(call, "limit")?.map_or(Ok(default), usize::try_from);
    let limit = limit.ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Error::invalid(format!("Parameter limit has to be 1 to {most}.")))
}

pub(crate) fn tickets_list(call: &Call<'_>) -> Result<Request, Error> {
    let limit = limit(call, TICKETS_PAGE_DEFAULT, TICKETS_PAGE_MAX)?;
    let from = usize::try_from(number(call, "cursor")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let queue = call.query.text("queue")?.unwrap_or_default().to_owned();
    Ok(Request::Console(Console::TicketsList { from, limit, queue }))
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

/// The body is the definition, whose id may be left to the path.
pub(crate) fn queue_write(call: &Call<'_>) -> Result<Request, Error> {
    let (id, version) = (call.part("id").to_owned(), number(call, "version")?);
    let mut json = Json::parse(call.body).map_err(|error| Malformed(error.0))?;
    if let Json::Object(members) = &mut json
        && !members.iter().any(|(name, _)| name == "id")
    {
        members.push(("id".into(), Json::Text(id.clone())));
    }
    let (own, definition) = read_queue(&json).map_err(|problems| wrong_definition(&problems))?;
    if own != id {
        return Err(Error::invalid("The definition is of another id than the path."));
    }
    Ok(Request::Console(Console::QueueWrite { id, definition, version }))
}

pub(crate) fn queue_delete(call: &Call<'_>) -> Result<Request, Error> {
    let (id, version) = (call.part("id").to_owned(), number(call, "version")?);
    Ok(Request::Console(Console::QueueDelete { id, version }))
}

fn wrong_definition(problems: &[String]) -> Error {
    let problems: Vec<_> = problems.iter().map(|told| told.trim_start_matches(": ")).collect();
    let mut text = format!("Wrong definition: {}.", problems.join("; "));
    if text.len() > QUEUE_PROBLEMS_MAX {
        text.truncate(text.floor_char_boundary(QUEUE_PROBLEMS_MAX));
        text.push('…');
    }
    Error::invalid(text)
}

pub fn queue(queue: &ShownQueue) -> String {
    json::object(|o| o.object("queue", |o| shown_queue(queue, o)))
}

pub fn queues(queues: &[ShownQueue]) -> String {
    json::object(|o| o.list("queues", queues, shown_queue))
}

fn shown_queue(queue: &ShownQueue, o: &mut Object<'_>) {
    o.raw("definition", &queue.definition);
    o.shown("version", queue.written.map_or(0, |(version, _)| version));
    o.text("source", if queue.written.is_some() { "operator" } else { "configuration" });
    if let Some((_, update_time)) = queue.written {
        o.shown("update_time", update_time);
    }
}

pub(crate) fn backup_start(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = call.message()?;
    let name = body.text("name")?;
    body.finish()?;
    Ok(Request::Console(Console::BackupStart { name }))
}

/// A request about whatever the path names.
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
        Console::QueueWrite { definition, .. } => o.raw("definition", definition),
        Console::BoardsDeclare(boards) => o.raw("boards", &boards.len().to_string()),
        Console::BoardRecordWrite { owner, write, .. } => {
            o.shown("owner_id", owner.id);
            o.shown("score", write.score);
            o.shown("subscore", write.subscore);
        }
        Console::BoardRecordDelete { owner, .. } => o.shown("owner_id", owner),
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
        | Console::QueuesList
        | Console::QueueGet { .. }
        | Console::QueueDelete { .. }
        | Console::Server(_)
        | Console::MatchResultWrite(_)
        | Console::RatingGet { .. }
        | Console::RatingHistory(_)
        | Console::BoardsList { .. }
        | Console::BoardGet { .. }
        | Console::BoardUpdate { .. }
        | Console::BoardDelete { .. }
        | Console::BoardRecordsList { .. }
        | Console::BoardStanding { .. }
        | Console::Report(_) => {}
        Console::Belongings(act) => belongings::detail(act, o),
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::http;
    use crate::ops::{Door, Operations};

    fn write_queue(target: &str, body: &str) -> Result<Request, Error> {
        let request = http::Request {
            method: "PUT".into(),
            target: format!("/v2/console/queue/{target}"),
            body: body.to_owned().into(),
            door: Door::Operators,
            ..http::Request::default()
        };
        Operations::all().router.find(&request)?.decode(&request)
    }

    #[test]
    fn a_definition_has_the_id_of_its_path() {
        let teams = r#""teams":[{"name":"a","max":1},{"name":"b","max":1}]"#;
        let bare = write_queue("old%20duel?version=3", &format!("{{{teams}}}"));
        let Ok(Request::Console(Console::QueueWrite { id, definition, version })) = &bare else {
            panic!("{bare:?}")
        };
        assert_eq!((id.as_str(), *version), ("old duel", Some(3)));
        let begin = r#"{"id":"old duel","teams":[{"name":"a","min":1,"max":1},"#;
        assert!(definition.starts_with(begin), "{definition}");
        let named =
            write_queue("old%20duel?version=3", &format!("{{\"id\":\"old duel\",{teams}}}"));
        assert_eq!(named, bare);
        let other = write_queue("duel", &format!("{{\"id\":\"other\",{teams}}}"));
        assert!(other.is_err_and(|error| error.message.contains("another id")));
        assert!(write_queue("duel?version=-1", &format!("{{{teams}}}")).is_err());
    }

    #[test]
    fn all_that_is_wrong_with_a_definition_is_told_in_short() {
        let check = |body: &str, expected: Expect| {
            let error = write_queue("duel", body).expect_err(body);
            expected.assert_eq(&error.message);
        };
        check("", expect!["Malformed request: EOF while parsing a value at line 1 column 0."]);
        check("[]", expect!["Wrong definition: has to be an object; teams: is missing."]);
        check(
            r#"{"mode":1,"regions":"eu"}"#,
            expect![
                "Wrong definition: mode: has to be a text; regions: has to be a list; teams: is missing."
            ],
        );
        let many: Vec<_> = (0..1000).map(|number| format!("\"é{number}\":1")).collect();
        let error = write_queue("duel", &format!("{{{}}}", many.join(",")));
        let text = error.expect_err("nothing of that is known").message;
        assert!(text.len() < QUEUE_PROBLEMS_MAX + 10 && text.ends_with('…'), "{text}");
        let values: Vec<_> = (0..64).map(|number| format!("\"{number:064}\"")).collect();
        let values = format!(r#""rule":"intersect","values":[{}]"#, values.join(","));
        let attributes: Vec<_> =
            (0..8).map(|number| format!(r#"{{"name":"{number}",{values}}}"#)).collect();
        check(
            &format!(
                r#"{{"teams":[{{"name":"a","max":2}}],"attributes":[{}]}}"#,
                attributes.join(",")
            ),
            expect!["Wrong definition: more than 16384 bytes with all defaults."],
        );
    }

    #[test]
    fn a_queue_shows_where_it_comes_from() {
        let mut shown = ShownQueue { definition: "{\"id\":\"duel\"}".into(), written: None };
        let expected = expect![[
            r#"{"queue":{"definition":{"id":"duel"},"version":"0","source":"configuration"}}"#
        ]];
        expected.assert_eq(&queue(&shown));
        shown.written = Some((7, UnixTime::from_secs(0)));
        let expected = expect![[
            r#"{"queues":[{"definition":{"id":"duel"},"version":"7","source":"operator","update_time":"1970-01-01T00:00:00Z"}]}"#
        ]];
        expected.assert_eq(&queues(&[shown]));
        assert_eq!(queues(&[]), "{}");
    }
}
