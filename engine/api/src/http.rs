//! HTTP without a socket: routing, query parameters, responses.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base::json::Json;
use base::{ClientAddress, Code, json};
use bytes::Bytes;

use crate::convert::{account, board, matchmaking, party, storage};
use crate::error::Error;
use crate::json::{Malformed, Message, Unknown, names};
use crate::ops::{Auth, Door, Operation};
use crate::reply::Reply;

/// One request, as much of it as operations look at. Its `Debug` form shows no credentials.
#[derive(Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The values of all `Authorization` fields.
    pub authorization: Vec<String>,
    pub content_type: Option<String>,
    /// `X-HTTP-Method-Override`.
    pub method_override: Option<String>,
    pub body: Bytes,
    /// Whether this is a well-formed WebSocket handshake.
    pub websocket: bool,
    /// Where the client is, if that tells it apart from others.
    pub client: Option<ClientAddress>,
    /// The listener.
    pub door: Door,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token may stand in the query, a password in the body.
        let path = self.target.split('?').next().unwrap_or_default();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &path)
            .field("body_size", &self.body.len())
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// A request whose row is found, and which is not decoded yet.
pub struct Found<'a> {
    pub row: &'static Operation,
    route: &'static crate::ops::Http,
    /// Named parts of the path.
    parts: Vec<(&'static str, String)>,
    query: &'a str,
    is_form: bool,
}

/// A routed request, as a row's decoder sees it.
pub struct Call<'a> {
    pub query: Query,
    pub authorization: &'a [String],
    pub body: &'a [u8],
    pub websocket: bool,
    pub client: Option<ClientAddress>,
    parts: &'a [(&'static str, String)],
}

impl Call<'_> {
    /// A named part of the path.
    pub(crate) fn part(&self, name: &str) -> &str {
        let part = self.parts.iter().find(|(other, _)| *other == name);
        part.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The body as a message; an empty body is an empty message, and what follows the first JSON
    /// value is not read.
    pub fn body_message(&self) -> Result<Message, Malformed> {
        if self.body.trim_ascii().is_empty() {
            return Ok(Message::empty(Unknown::Ignored));
        }
        let value = Json::parse_first(self.body).map_err(|error| Malformed(error.0))?;
        Message::new(value, Unknown::Ignored)
    }

    pub(crate) fn message(&self) -> Result<Message, Error> {
        self.body_message().map_err(Error::from)
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Error {
        Error::invalid(format!("Malformed request: {}.", malformed.0))
    }
}

/// Parameters behind the question mark, and those of a form body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Result<Query, Error> {
        let mut query = Query::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if !query.push(pair) {
                return Err(Error::invalid(format!("Malformed query at {pair:?}.")));
            }
        }
        Ok(query)
    }

    /// The same without the malformed pairs: the socket's handshake refuses none.
    fn parse_leniently(text: &str) -> Query {
        let mut query = Query::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            query.push(pair);
        }
        query
    }

    /// `false` when the pair has a semicolon, or bad percent-encoding.
    fn push(&mut self, pair: &str) -> bool {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text| percent_decode(text, Plus::IsSpace);
        let (false, Some(name), Some(value)) = (pair.contains(';'), decode(name), decode(value))
        else {
            return false;
        };
        // grpc-gateway reads `name[key]=value` as an entry of a map, or as two items of a list.
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((name, key)) => {
                self.0.push((name.to_owned(), key.to_owned()));
                self.0.push((name.to_owned(), value));
            }
            None => self.0.push((name, value)),
        }
        true
    }

    /// All values of a repeated field.
    pub fn texts(&self, field: &str) -> impl Iterator<Item = &str> {
        let wanted = self.0.iter().filter(move |(name, _)| names(name, field));
        wanted.map(|(_, value)| value.as_str())
    }

    /// The first value under exactly this name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A field that can stand there once.
    pub fn text(&self, field: &str) -> Result<Option<&str>, Error> {
        let mut values = self.texts(field);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Error::invalid(format!("Parameter {field} is given twice."))),
        }
    }

    pub fn flag(&self, field: &str) -> Result<Option<bool>, Error> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let flag = Query::parse_flag(text);
        flag.map(Some)
            .ok_or_else(|| Error::invalid(format!("Parameter {field} is not true or false.")))
    }

    /// The spellings that Go's `strconv.ParseBool` takes.
    pub fn parse_flag(text: &str) -> Option<bool> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsSpace,
    IsPlus,
}

/// `None` when a percent sign is not followed by two digits, or the bytes are not UTF-8.
fn percent_decode(text: &str, plus: Plus) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus == Plus::IsSpace => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Finds the row of a request. Paths match whole: no trailing slash is added or forgiven.
#[derive(Debug)]
pub struct Router {
    clients: Routes,
    operators: Routes,
}

/// The paths of one listener, and the rows of each.
#[derive(Debug, Default)]
struct Routes {
    plain: BTreeMap<&'static str, Vec<&'static Operation>>,
    /// Paths with named parts, `/v2/console/user/{username}`.
    named: BTreeMap<&'static str, Vec<&'static Operation>>,
}

impl Routes {
    fn new<'a>(rows: impl Iterator<Item = &'a &'static Operation>) -> Routes {
        let mut routes = Routes::default();
        for row in rows {
            if let Some(route) = &row.http {
                let is_named = route.path.contains('{');
                let paths = if is_named { &mut routes.named } else { &mut routes.plain };
                paths.entry(route.path).or_default().push(*row);
            }
        }
        routes
    }
}

/// The named parts of a path of this form; none of them can be empty.
fn parts(form: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let (mut forms, mut segments) = (form.split('/'), path.split('/'));
    let mut parts = Vec::new();
    loop {
        match (forms.next(), segments.next()) {
            (None, None) => return Some(parts),
            (Some(form), Some(segment)) => {
                let segment = percent_decode(segment, Plus::IsPlus)?;
                match form.strip_prefix('{').and_then(|form| form.strip_suffix('}')) {
                    Some(name) if !segment.is_empty() => parts.push((name, segment)),
                    None if form == segment => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

impl Router {
    pub fn new(rows: &[&'static Operation]) -> Router {
        let of = |door| Routes::new(rows.iter().filter(move |row| row.door() == door));
        Router { clients: of(Door::Clients), operators: of(Door::Operators) }
    }

    /// The row of a request.
    pub fn find<'a>(&self, request: &'a Request) -> Result<Found<'a>, Error> {
        let (encoded, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let Some(path) = percent_decode(encoded, Plus::IsPlus) else {
            return Err(Error::invalid("Malformed path: bad percent-encoding."));
        };
        let routes = match request.door {
            Door::Clients => &self.clients,
            Door::Operators => &self.operators,
        };
        let (rows, parts) = match routes.plain.get(path.as_str()) {
            Some(rows) => (rows, Vec::new()),
            None => {
                let mut named = routes.named.iter();
                let found = named.find_map(|(form, rows)| Some((rows, parts(form, encoded)?)));
                found.ok_or_else(not_found)?
            }
        };
        let of_method = |method: &str| {
            let binds = |row: &&&'static Operation| {
                row.http.as_ref().is_some_and(|route| route.method == method)
            };
            rows.iter().find(binds).copied()
        };

        // A form may stand in for a GET whose parameters grew too long, as in grpc-gateway.
        let is_form = request.door == Door::Clients
            && request.method == "POST"
            && is_form(request.content_type.as_deref());
        let row = match (&request.method_override, is_form) {
            (Some(method), true) => of_method(method),
            (None, true) => of_method("POST").or_else(|| of_method("GET")),
            (_, false) => of_method(&request.method),
        };
        let Some(row) = row else {
            let is_plain = rows
                .iter()
                .any(|row| matches!(row.auth, Auth::Open | Auth::Handshake | Auth::Operators));
            return Err(if is_plain && path != "/healthcheck" { not_found() } else { no_method() });
        };
        match &row.http {
            Some(route) => Ok(Found { row, route, parts, query, is_form }),
            None => Err(not_found()),
        }
    }
}

impl Found<'_> {
    /// What is asked for.
    pub fn decode(&self, request: &Request) -> Result<crate::request::Request, Error> {
        let &Found { row, route, ref parts, query, is_form } = self;
        let mut query = match row.auth {
            Auth::Handshake => Query::parse_leniently(query),
            Auth::Open
            | Auth::ServerKey
            | Auth::Session
            | Auth::Runtime
            | Auth::Operators
            | Auth::Operator(_) => Query::parse(query)?,
        };
        if is_form && route.method == "GET" {
            let body = std::str::from_utf8(&request.body);
            let form = Query::parse(body.map_err(|_| Error::invalid("Malformed form."))?)?;
            query.0.extend(form.0);
        }
        let call = Call {
            query,
            authorization: &request.authorization,
            body: &request.body,
            websocket: request.websocket,
            client: request.client,
            parts,
        };
        (route.decode)(&call)
    }
}

fn is_form(content_type: Option<&str>) -> bool {
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| {
        media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

fn not_found() -> Error {
    Error::new(Code::NotFound, "Not Found")
}

fn no_method() -> Error {
    Error::new(Code::Unimplemented, "Method Not Allowed")
}

/// A response without its connection's fields (`Content-Length`, `Connection`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// The content type of Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Response {
    /// The answer of a successful call.
    pub fn reply(reply: &Reply) -> Response {
        if *reply == Reply::Root {
            return Response { status: 200, headers: Vec::new(), body: String::new() };
        }
        match reply {
            Reply::Document { json } => return Response::json(200, json.to_string()),
            Reply::Metrics { text } => {
                let content_type = ("Content-Type", METRICS.to_owned());
                return Response {
                    status: 200,
                    headers: vec![content_type],
                    body: text.to_string(),
                };
            }
            // Whoever verifies tokens need not ask for each of them.
            Reply::PublicKeys { json } => {
                let mut response = Response::json(200, json.to_string());
                response.headers[1].1 = "public, max-age=300".to_owned();
                return response;
            }
            _ => {}
        }
        let mut response = Response::json(200, encode(reply));
        response.headers.push(("Grpc-Metadata-Content-Type", "application/grpc".into()));
        response
    }

    /// The answer of a failed call.
    pub fn error(error: &Error) -> Response {
        let mut response = Response::json(error.code.http_status(), error.body());
        if error.code == Code::Unauthenticated {
            response.headers.push(("WWW-Authenticate", error.message.clone().into_owned()));
        }
        response
    }

    /// The answer of a call that came too soon: when to come again, in whole seconds.
    pub fn too_often(error: &Error, after: Duration) -> Response {
        let mut response = Response::error(error);
        let secs = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers.push(("Retry-After", secs.to_string()));
        response
    }

    /// The plain text in which a socket's handshake fails.
    pub fn text(status: u16, text: &str) -> Response {
        let content_type = ("Content-Type", "text/plain; charset=utf-8".to_owned());
        Response { status, headers: vec![content_type], body: format!("{text}\n") }
    }

    fn json(status: u16, body: String) -> Response {
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            ("Cache-Control", "no-store, no-cache, must-revalidate".to_owned()),
            ("Vary", "Accept-Encoding".to_owned()),
        ];
        Response { status, headers, body }
    }
}

/// The body of a reply; replies that only sockets get have none.
fn encode(reply: &Reply) -> String {
    json::object(|o| match reply {
        Reply::Empty
        | Reply::Root
        | Reply::Pong
        | Reply::Status { .. }
        | Reply::Match { .. }
        | Reply::MatchmakerTicket { .. }
        | Reply::Rpc { .. }
        | Reply::Party { .. }
        | Reply::PartyRequests { .. }
        | Reply::PartyTicket { .. }
        | Reply::PublicKeys { .. }
        | Reply::Metrics { .. }
        | Reply::Document { .. } => {}
        Reply::Session { created, token, refresh_token } => {
            o.flag("created", *created);
            o.text("token", &token.0);
            o.text("refresh_token", &refresh_token.0);
        }
        Reply::Account { user } => account::account(user, o),
        Reply::Users { users } => o.list("users", users, account::user),
        Reply::ServerToken { token } => o.text("token", &token.0),
        Reply::MatchmakerStats(stats) => matchmaking::stats(stats, o),
        Reply::Objects { found } => o.list("objects", found, storage::found),
        Reply::ObjectAcks { acks } => o.list("acks", acks, storage::ack),
        Reply::ObjectList { found, cursor } => {
            o.list("objects", found, storage::found);
            o.text_wrapper("cursor", cursor.as_deref());
        }
        Reply::Parties { parties, cursor } => {
            o.list("parties", parties, party::listed);
            o.text_wrapper("cursor", cursor.as_deref());
        }
        Reply::Record(written) => board::written(written, o),
        Reply::Records { records, repeats_next } => board::records(records, *repeats_next, o),
        Reply::Tournaments { tournaments, cursor } => {
            o.list("tournaments", tournaments, board::tournament);
            o.text_wrapper("cursor", cursor.as_deref());
        }
    })
}

#[cfg(test)]
mod tests {
    use base::Secret;
    use proptest::prelude::*;

    use super::*;
    use crate::request::SocketOpen;

    /// Rows 37 to 41.
    #[test]
    fn parameters_are_read_as_grpc_gateway_reads_them() {
        let query = |text: &str| Query::parse(text).expect("a well-formed query");
        let ids = |text: &str| query(text).texts("ids").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ids("ids=a&x=1&ids=b&"), ["a", "b"]);
        assert_eq!(ids("ids=a,b"), ["a,b"]);
        assert_eq!(ids("ids[]=a"), ["", "a"]);
        assert_eq!(ids("&&"), [""; 0]);
        assert_eq!(query("cacheableCursor=x").text("cacheable_cursor"), Ok(Some("x")));
        assert_eq!(query("u=a%0Ab+c%2B").text("u"), Ok(Some("a\nb c+")));
        assert!(query("u=1&u=2").text("u").is_err());
        assert!(query("create=").flag("create").is_err());
        assert!(query("create=no").flag("create").is_err());
        assert_eq!(query("create=F").flag("create"), Ok(Some(false)));
        assert_eq!(query("").flag("create"), Ok(None));
        assert!(Query::parse("a=%4").is_err() && Query::parse("a=%zz").is_err());
        assert!(Query::parse("a=%ff").is_err() && Query::parse("a=1;b=2").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Query::parse(&text);
        }
    }
    #[test]
    fn debug_forms_show_no_credentials() {
        let secret = || Secret::from("CANARY");
        let request = Request {
            method: "POST".into(),
            target: "/ws?token=CANARY".into(),
            authorization: vec!["Bearer CANARY".into()],
            body: Bytes::from("CANARY"),
            ..Request::default()
        };
        let refresh =
            crate::request::Request::SessionRefresh { token: secret(), vars: BTreeMap::default() };
        let logout =
            crate::request::Request::SessionLogout { token: secret(), refresh_token: secret() };
        let open = SocketOpen {
            token: Some(secret()),
            format: "json".into(),
            status: false,
            is_handshake: true,
        };
        let session = Reply::Session { created: true, token: secret(), refresh_token: secret() };
        let server_token = Reply::ServerToken { token: secret() };
        let shown =
            format!("{request:?} {refresh:?} {logout:?} {open:?} {session:?} {server_token:?}");
        assert!(shown.contains("/ws") && !shown.contains("CANARY"), "{shown}");
    }
}
