//! HTTP as bytes: what a proxy, a tool or an attacker may send.

use crate::client::{Connection, LOGIN, SERVER_KEY, bearer, request};
use crate::process::Server;

/// `socket.max_request_size_bytes`.
const BODY_MAX: usize = 262_144;

/// Rows 1 to 4.
#[test]
fn known_paths_unknown_paths_and_wrong_methods_have_their_answers() {
    let server = Server::start(2);
    let mut connection = Connection::open(server.address);
    let root = connection.get("/", "");
    assert_eq!((root.status, root.body.as_str()), (200, ""));
    let health = connection.get("/healthcheck", "");
    assert_eq!((health.status, health.body.as_str()), (200, "{}"));
    assert_eq!(connection.get("/v2/nope", "").refusal(), (404, 5));
    assert_eq!(connection.get("/healthcheck/", "").refusal(), (404, 5));
    assert_eq!(connection.post("/v2/user", "", "").refusal(), (501, 12));
    assert_eq!(connection.get(LOGIN, SERVER_KEY).refusal(), (501, 12));
}

/// Rows 4, 5 and 44 to 47.
#[test]
fn calls_without_their_credentials_are_refused() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let device = r#"{"id":"a-nosy-device"}"#;
    let session = connection.login("a-nosy-device").session;
    for (target, authorization) in [
        (LOGIN, ""),
        (LOGIN, "Basic d3Jvbmc6"), // wrong:
        (LOGIN, &bearer(&session)),
        ("/v2/session/logout", ""),
        ("/v2/session/logout", SERVER_KEY),
        ("/v2/session/logout", &bearer("x")),
    ] {
        let response = connection.post(target, authorization, device);
        assert_eq!(response.refusal(), (401, 16), "{target} {authorization}");
        assert_eq!(response.header("WWW-Authenticate"), Some(&*response.text(&["message"])));
    }
    let any_password = "Basic ZGVmYXVsdGtleTphbnl0aGluZw==";
    assert!(!connection.post(LOGIN, any_password, device).tokens().is_new);
}

#[test]
fn requests_sent_in_one_piece_are_answered_in_order() {
    let server = Server::start(2);
    let mut connection = Connection::open(server.address);
    let login = request("POST", LOGIN, SERVER_KEY, r#"{"id":"pipelined-device"}"#);
    let health = request("GET", "/healthcheck", "", "");
    let unknown = request("GET", "/v2/nope", "", "");
    for _ in 0..3 {
        connection.send(format!("{login}{health}{unknown}"));
        connection.receive().tokens();
        assert_eq!(connection.receive().body, "{}");
        assert_eq!(connection.receive().refusal(), (404, 5));
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    for byte in request("POST", LOGIN, SERVER_KEY, r#"{"id":"a-slow-device"}"#).bytes() {
        connection.send([byte]);
    }
    assert!(connection.receive().tokens().is_new);
}

/// Row 9.
#[test]
fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let server = Server::start(2);
    let mut connection = Connection::open(server.address);
    let device = r#"{"id":"a-large-device"}"#;
    let padded = |length: usize| device.to_owned() + &" ".repeat(length - device.len());
    let largest = connection.post(LOGIN, SERVER_KEY, &padded(BODY_MAX));
    assert!(largest.tokens().is_new);

    let over = request("POST", LOGIN, SERVER_KEY, &padded(BODY_MAX + 1));
    let (head, _) = over.split_once("\r\n\r\n").unwrap();
    connection.send(format!("{head}\r\n\r\n")); // the length is enough
    assert_eq!(connection.receive().refusal(), (400, 3));
    assert!(connection.is_over());
    let mut connection = Connection::open(server.address);
    let _ = connection.try_send(over); // the server may close before it has come
    assert_eq!(connection.receive().refusal(), (400, 3));
}

/// The limit is row "Header size limit" of the transport: about 9.2 kB.
#[test]
fn a_head_over_the_limit_is_refused() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let head = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Padding: {}\r\n\r\n", "x".repeat(length))
    };
    connection.send(head(9000));
    assert_eq!(connection.receive().status, 200);
    connection.send(head(9300));
    assert_eq!(connection.receive().status, 431);
    assert!(connection.is_over());
}

#[test]
fn requests_whose_length_can_be_read_in_two_ways_end_the_connection() {
    let server = Server::start(1);
    let head = format!("POST {LOGIN} HTTP/1.1\r\nHost: a\r\nAuthorization: {SERVER_KEY}\r\n");
    for (fields, status) in [
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", 400),
        ("Content-Length: +2\r\n", 400),
        ("Transfer-Encoding: chunked, identity\r\n", 400),
        ("Transfer-Encoding: gzip\r\n", 501),
    ] {
        let mut connection = Connection::open(server.address);
        connection.send(format!("{head}{fields}\r\n"));
        let response = connection.receive();
        assert_eq!(response.status, status, "{fields}");
        assert_eq!(response.header("Connection"), Some("close"), "{fields}");
        assert!(connection.is_over(), "{fields}");
    }
}

#[test]
fn a_client_that_waits_for_the_permission_to_send_its_body_gets_it() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    let body = r#"{"id":"a-polite-device"}"#;
    let request = request("POST", LOGIN, SERVER_KEY, body);
    let head = request.strip_suffix(body).unwrap().strip_suffix("\r\n").unwrap();
    connection.send(format!("{head}Expect: 100-continue\r\n\r\n"));
    assert_eq!(connection.receive().status, 100);
    connection.send(body);
    assert!(connection.receive().tokens().is_new);
}

#[test]
fn http_1_0_ends_with_the_response_unless_it_asks_to_stay() {
    let server = Server::start(1);
    let mut connection = Connection::open(server.address);
    for _ in 0..2 {
        connection.send("GET /healthcheck HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = connection.receive();
        assert_eq!((response.status, response.header("Connection")), (200, Some("keep-alive")));
    }
    connection.send("GET /healthcheck HTTP/1.0\r\n\r\n");
    assert_eq!(connection.receive().body, "{}");
    assert!(connection.is_over());

    let mut connection = Connection::open(server.address);
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(connection.receive().header("Connection"), Some("close"));
    assert!(connection.is_over());
}
