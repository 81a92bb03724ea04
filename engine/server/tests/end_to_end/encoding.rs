//! HTTP around the calls: bodies in chunks and compressed, origins, header fields of every answer.

use net::http::{Coding, inflate};

use crate::client::{Connection, LOGIN, Response, SERVER_KEY, bearer, request};
use crate::process::Server;

/// A sign-in with these fields, each with its line's end, and no length.
fn login_head(fields: &str) -> String {
    format!("POST {LOGIN} HTTP/1.1\r\nHost: a\r\nAuthorization: {SERVER_KEY}\r\n{fields}\r\n")
}

/// A sign-in whose body is said to be encoded.
fn encoded_login(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("Content-Encoding: {coding}\r\nContent-Length: {length}\r\n");
    [login_head(&head).as_bytes(), body].concat()
}

#[test]
fn a_body_in_chunks_is_a_body() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let head = login_head("Transfer-Encoding: chunked\r\n");
    let body = "6\r\n{\"id\":\r\n10;a=b\r\n\"a-chunked-devic\r\n3\r\ne\"}\r\n0\r\nX-Sum: 1\r\n\r\n";
    connection.send(format!("{head}{body}{}", request("GET", "/healthcheck", "", "")));
    assert!(connection.receive().tokens().is_new);
    assert_eq!(connection.receive().body, "{}");
    for byte in format!("{head}{body}").bytes() {
        connection.send([byte]);
    }
    assert!(!connection.receive().tokens().is_new);
    connection.send(login_head("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"));
    assert_eq!(connection.receive().status, 100);
    connection.send(body);
    assert!(!connection.receive().tokens().is_new);
}

/// Row 9. What is decoded counts, as it comes: the refusal does not wait for the end.
#[test]
fn a_body_in_chunks_over_the_limit_is_refused() {
    let server = Server::start_with(1, "[socket]\nmax_request_size_bytes = 1000\n");
    let mut connection = Connection::open(server.address);
    let head = login_head("Transfer-Encoding: chunked\r\n");
    let chunk = format!("64\r\n{}\r\n", " ".repeat(100));
    connection.send(head + &chunk.repeat(10) + "1\r\n");
    assert_eq!(connection.receive().refusal(), (400, 3));
    assert!(connection.is_over());
}

#[test]
fn an_expectation_that_nobody_knows_is_refused() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n");
    assert_eq!(connection.receive().refusal(), (417, 3));
    assert!(connection.is_over());
}

/// Rows 7 and 10, and the reference on bodies that are not what they claim to be.
#[test]
fn compressed_bodies_are_inflated_up_to_the_limit() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let device = br#"{"id":"a-zipped-device"}"#;
    let nothing = connection.post(LOGIN, SERVER_KEY, "").refusal();
    let mut login = |coding: &str, body: &[u8]| {
        connection.send(encoded_login(coding, body));
        connection.receive()
    };
    assert!(login("gzip", &Coding::Gzip.compress(device)).tokens().is_new);
    assert!(!login("deflate", &Coding::Deflate.compress(device)).tokens().is_new);
    assert!(!login("br", device).tokens().is_new);
    assert_eq!(login("gzip", device).refusal(), nothing);
    assert_eq!(login("deflate", device).refusal(), (400, 3));
    let padded = [device.as_slice(), &[b' '; 262_144]].concat();
    for coding in [Coding::Gzip, Coding::Deflate] {
        let limit = &padded[..262_144];
        assert!(!login(coding.name(), &coding.compress(limit)).tokens().is_new);
        assert_eq!(login(coding.name(), &coding.compress(&padded)).refusal(), (429, 8));
    }
    assert!(!login("identity", device).tokens().is_new, "the connection stays");
}

/// Rows 8 and 9; transport-009.
#[test]
fn answers_are_compressed_for_those_who_ask() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let mut get = |target: &str, fields: &str| {
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        connection.receive()
    };
    for (accepted, coding) in
        [("gzip", "gzip"), ("gzip, deflate", "gzip"), ("br, deflate, gzip", "deflate")]
    {
        let accepted = format!("Accept-Encoding: {accepted}\r\n");
        let response = get("/healthcheck", &accepted);
        assert_eq!((response.status, response.header("Content-Encoding")), (200, Some(coding)));
        assert_eq!(inflated(&response), "{}");
        let refusal = get("/v2/nope", &accepted);
        assert_eq!((refusal.status, refusal.header("Content-Encoding")), (404, Some(coding)));
        assert!(inflated(&refusal).contains("\"code\":5"));
        for plain in ["/", "/ws", "/?", "/ws?token=x"] {
            assert_eq!(get(plain, &accepted).header("Content-Encoding"), None, "{plain}");
        }
        let upgrade = get("/healthcheck", &format!("{accepted}Upgrade: h2c\r\n"));
        assert_eq!((upgrade.header("Content-Encoding"), &*upgrade.body), (None, "{}"));
    }
    for unknown in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n"] {
        let response = get("/healthcheck", unknown);
        assert_eq!((response.header("Content-Encoding"), &*response.body), (None, "{}"));
    }
}

fn inflated(response: &Response) -> String {
    let coding = response.header("Content-Encoding").unwrap();
    let request = net::http::Request {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("content-encoding".into(), coding.into())],
        body: bytes::Bytes::new(),
        version_minor: 1,
        keep_alive: true,
    };
    let body = inflate(&request, response.bytes.clone().into(), 1 << 20).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Rows 12 and 13; transport-015 and transport-016.
#[test]
fn pages_of_other_origins_may_call() {
    const ORIGIN: &str = "Origin: http://example.com\r\n";
    const ALLOWED: Option<&str> = Some("*");
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let session = bearer(&connection.login("a-device-of-a-page").session);
    let mut call = |method: &str, target: &str, fields: &str| {
        connection.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        connection.receive()
    };
    let origin = |response: &Response| {
        response.header("Access-Control-Allow-Origin").map(str::to_owned).as_deref() == ALLOWED
    };
    let authorized = format!("{ORIGIN}Authorization: {session}\r\n");
    let account = call("GET", "/v2/account", &authorized);
    assert_eq!((account.status, origin(&account)), (200, true));
    assert_eq!(account.header("Access-Control-Allow-Credentials"), None);
    let refused = call("GET", "/v2/account", ORIGIN);
    assert_eq!((refused.refusal(), origin(&refused)), ((401, 16), true));
    assert!(origin(&call("GET", "/", ORIGIN)) && origin(&call("GET", "/ws", ORIGIN)));
    assert!(!origin(&call("GET", "/", "")));

    let wanted = |method: &str, headers: &str| {
        format!(
            "{ORIGIN}Access-Control-Request-Method: {method}\r\n\
             Access-Control-Request-Headers: {headers}\r\n"
        )
    };
    let preflight = call("OPTIONS", "/v2/account", &wanted("PUT", "authorization,content-type"));
    assert_eq!((preflight.status, &*preflight.body, origin(&preflight)), (200, "", true));
    let header = |name| preflight.header(name);
    assert_eq!(header("Access-Control-Allow-Headers"), Some("Authorization,Content-Type"));
    assert_eq!(header("Access-Control-Allow-Methods"), Some("PUT"));
    assert_eq!(header("Access-Control-Max-Age"), None);
    assert_eq!(header("Content-Type"), None);
    assert_eq!(call("OPTIONS", "/v2/account", &wanted("GET", "X-Foo")).status, 403);
    assert_eq!(call("OPTIONS", "/v2/account", &wanted("PATCH", "")).status, 405);
    assert_eq!(call("OPTIONS", "/v2/account", ORIGIN).status, 400);
    assert_eq!(call("OPTIONS", "*", "").status, 200);
}

/// Row 14.
#[test]
fn every_answer_carries_the_configured_fields_and_a_date() {
    let config =
        "[socket]\nresponse_headers = [\"X-Extra=one\", \"X-More=a=b\", \"Vary=Origin\"]\n";
    let server = Server::start_with(1, config);
    let check = |response: &Response, vary: &str| {
        assert_eq!(response.header("X-Extra"), Some("one"));
        assert_eq!(response.header("X-More"), Some("a=b"));
        assert_eq!(response.header("Vary"), Some(vary));
        let date = response.header("Date").unwrap();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    };
    let mut connection = Connection::open(server.address);
    check(&connection.get("/", ""), "Origin");
    check(&connection.get("/healthcheck", ""), "Accept-Encoding");
    check(&connection.get("/v2/nope", ""), "Accept-Encoding");
    connection.send("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n");
    check(&connection.receive(), "Origin");
    connection.send("GET / HTTP/1.1\r\n\r\n");
    check(&connection.receive(), "Accept-Encoding");
}
