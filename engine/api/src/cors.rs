//! Requests of pages of other origins: what a browser may send and read.
//!
//! Every origin may call, with a token in a header; there are no cookies to protect.

use crate::http::Response;

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];
/// Methods and header fields that browsers send without asking.
const SIMPLE_METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const SIMPLE_HEADERS: [&str; 4] = ["Accept", "Accept-Language", "Content-Language", "Origin"];
const HEADERS: [&str; 3] = ["Authorization", "Content-Type", "User-Agent"];

/// What every answer to a request with an origin carries.
pub const ALLOW_ORIGIN: (&str, &str) = ("Access-Control-Allow-Origin", "*");

/// One request, as much of it as a browser's rules are about: the first value of each field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub method: &'a str,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Access-Control-Request-Method`.
    pub wanted_method: Option<&'a str>,
    /// `Access-Control-Request-Headers`.
    pub wanted_headers: Option<&'a str>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served as if there were no origins.
    Serve,
    /// It is served, and the answer carries [`ALLOW_ORIGIN`].
    Allow,
    /// This is the whole answer.
    Answer(Response),
}

/// An `OPTIONS` is a question of a browser and is answered here, whatever its path; without an
/// origin it asks for nothing.
pub fn judge(request: &Request<'_>) -> Verdict {
    let has_origin = request.origin.is_some_and(|origin| !origin.is_empty());
    match (request.method, has_origin) {
        ("OPTIONS", true) => Verdict::Answer(preflight(request)),
        ("OPTIONS", false) => Verdict::Answer(empty(200)),
        (_, true) => Verdict::Allow,
        (_, false) => Verdict::Serve,
    }
}

fn preflight(request: &Request<'_>) -> Response {
    let Some(method) = request.wanted_method else {
        return empty(400);
    };
    if !METHODS.contains(&method) {
        return empty(405);
    }
    let mut allowed = Vec::new();
    for name in request.wanted_headers.unwrap_or_default().split(',') {
        let is_named = |other: &&&str| other.eq_ignore_ascii_case(name.trim());
        if name.trim().is_empty() || SIMPLE_HEADERS.iter().any(|other| is_named(&other)) {
            continue;
        }
        match HEADERS.iter().find(is_named) {
            Some(name) => allowed.push(*name),
            None => return empty(403),
        }
    }
    let mut response = empty(200);
    if !allowed.is_empty() {
        response.headers.push(("Access-Control-Allow-Headers", allowed.join(",")));
    }
    if !SIMPLE_METHODS.contains(&method) {
        response.headers.push(("Access-Control-Allow-Methods", method.to_owned()));
    }
    response.headers.push((ALLOW_ORIGIN.0, ALLOW_ORIGIN.1.to_owned()));
    response
}

fn empty(status: u16) -> Response {
    Response { status, headers: Vec::new(), body: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Option<&'static str>, headers: Option<&'static str>) -> (u16, String) {
        let request = Request {
            method: "OPTIONS",
            origin: Some("http://example.com"),
            wanted_method: method,
            wanted_headers: headers,
        };
        let Verdict::Answer(response) = judge(&request) else {
            panic!("a preflight is answered");
        };
        assert_eq!(response.body, "");
        let headers = response.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        (response.status, headers.collect::<Vec<_>>().join("; "))
    }

    /// Rows 12 and 13; transport-016.
    #[test]
    fn a_preflight_is_answered_with_what_it_asks_for() {
        const ORIGIN: &str = "Access-Control-Allow-Origin: *";
        const HEADERS: &str = "Access-Control-Allow-Headers";
        const METHODS: &str = "Access-Control-Allow-Methods";
        let allowed = |method, headers, expected: &str| {
            assert_eq!(asked(Some(method), headers), (200, expected.to_owned()), "{headers:?}");
        };
        allowed("GET", Some("authorization"), &format!("{HEADERS}: Authorization; {ORIGIN}"));
        allowed(
            "PUT",
            Some("Authorization,Content-Type"),
            &format!("{HEADERS}: Authorization,Content-Type; {METHODS}: PUT; {ORIGIN}"),
        );
        allowed("DELETE", None, &format!("{METHODS}: DELETE; {ORIGIN}"));
        allowed(
            "POST",
            Some(" user-agent , ,accept, CONTENT-TYPE"),
            &format!("{HEADERS}: User-Agent,Content-Type; {ORIGIN}"),
        );
        allowed("HEAD", Some("origin,accept-language,content-language"), ORIGIN);

        let refused = |method, headers, status| {
            assert_eq!(asked(method, headers), (status, String::new()), "{method:?} {headers:?}");
        };
        refused(None, Some("authorization"), 400);
        refused(Some("PATCH"), None, 405);
        refused(Some("OPTIONS"), None, 405);
        refused(Some("put"), None, 405);
        refused(Some(""), None, 405);
        refused(Some("GET"), Some("X-Foo"), 403);
        refused(Some("GET"), Some("authorization,x-foo"), 403);
    }

    /// Row 12; transport-015.
    #[test]
    fn an_answer_to_an_origin_says_that_any_may_read_it() {
        let verdict = |method, origin| judge(&Request { method, origin, ..Request::default() });
        assert_eq!(verdict("GET", Some("http://example.com")), Verdict::Allow);
        assert_eq!(verdict("PATCH", Some("null")), Verdict::Allow);
        assert_eq!(verdict("GET", Some("")), Verdict::Serve);
        assert_eq!(verdict("GET", None), Verdict::Serve);
        assert_eq!(verdict("OPTIONS", None), Verdict::Answer(empty(200)));
    }
}
