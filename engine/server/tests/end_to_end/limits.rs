//! What is too much is told so at once, and nobody else notices.

use std::collections::BTreeMap;

use crate::client::{Connection, LOGIN, SERVER_KEY, request};
use crate::process::Server;

fn sign_in_from(client: &str, device: &str) -> String {
    let body = format!("{{\"id\":\"{device}\"}}");
    let plain = request("POST", LOGIN, SERVER_KEY, &body);
    plain.replacen("\r\n", &format!("\r\nX-Forwarded-For: {client}\r\n"), 1)
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_again() {
    let config = "[rate_limit.address]\nsign = { per_sec = 1, burst = 2 }\n";
    let server = Server::start_with(1, config);
    let mut connection = Connection::open(server.address);
    let mut ask = |client: &str, device: &str| {
        connection.send(sign_in_from(client, device));
        connection.receive()
    };
    for device in ["device-0001", "device-0002"] {
        assert_eq!(ask("203.0.113.1", device).status, 200);
    }
    let refused = ask("203.0.113.1", "device-0003");
    assert_eq!(refused.refusal(), (429, 8));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(ask("203.0.113.2", "device-0003").status, 200);
    // Without the field a peer of our own network tells nothing about its clients.
    for _ in 0..5 {
        assert!(!connection.login("device-0001").is_new);
    }
}

#[test]
fn limits_can_be_switched_off() {
    let config = "[rate_limit]\nenabled = false\n[rate_limit.address]\n\
                  sign = { per_sec = 1, burst = 1 }\n";
    let server = Server::start_with(1, config);
    let mut connection = Connection::open(server.address);
    for _ in 0..5 {
        connection.send(sign_in_from("203.0.113.1", "device-0001"));
        assert_eq!(connection.receive().status, 200);
    }
}

/// One thread hashes, 128 passwords wait, the rest is refused at once; accounts are read meanwhile.
#[test]
fn passwords_over_the_queue_are_refused_at_once() {
    let server = Server::start_with(2, "[password]\nthreads = 1\n");
    let mut reader = Connection::open(server.address);
    let token = reader.login("device-0001").session;
    let mut flood: Vec<_> = (0..200)
        .map(|n| {
            let body = format!("{{\"email\":\"user-{n}@example.com\",\"password\":\"password\"}}");
            let mut connection = Connection::open(server.address);
            let target = "/v2/account/authenticate/email";
            connection.send(request("POST", target, SERVER_KEY, &body));
            connection
        })
        .collect();
    assert_eq!(reader.get("/v2/account", &crate::client::bearer(&token)).status, 200);
    let mut answers = BTreeMap::new();
    for connection in &mut flood {
        *answers.entry(connection.receive().status).or_insert(0) += 1;
    }
    // A busy machine does not hash all that wait within the time of a request.
    assert!(answers.keys().all(|status| [200, 429, 504].contains(status)), "{answers:?}");
    assert!(answers[&200] > 0 && answers[&429] > 0, "{answers:?}");
}
