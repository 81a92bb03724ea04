//! Stopping by a signal.

use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::client::{Connection, LOGIN, SERVER_KEY, request};
use crate::process::{DEADLINE, Server};

#[test]
fn sigterm_lets_everybody_finish_and_then_ends_the_process() {
    check_drain(libc::SIGTERM);
}

#[test]
fn sigint_lets_everybody_finish_and_then_ends_the_process() {
    check_drain(libc::SIGINT);
}

/// One client idles, two have sockets of which one never answers the close frame, eight sign up
/// without a pause.
fn check_drain(signal: i32) {
    let mut server = Server::start_with(2, "[socket]\nclose_ack_wait_ms = 200\n");
    let address = server.address;
    let mut idle = Connection::open(address);
    let tokens = idle.login("device-of-an-idler");
    let mut socket = Connection::open(address).upgrade(&tokens.session);
    let mut mute = Connection::open(address).upgrade(&tokens.session);
    let (sender, ready) = channel();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let sender = sender.clone();
            thread::spawn(move || sign_up_until_the_end(client, address, &sender))
        })
        .collect();
    for _ in 0..32 {
        ready.recv_timeout(DEADLINE).unwrap();
    }
    drop(ready);

    server.signal(signal);
    assert_eq!(socket.close_code(), 1001);
    socket.confirm_close(1001);
    assert_eq!(mute.close_code(), 1001);
    assert!(idle.is_over());
    let clients: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(clients.iter().any(|client| client.was_told), "what is under way is answered");
    let ended = server.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    server.start_again();
    let mut connection = Connection::open(server.address);
    assert!(!connection.login("device-of-an-idler").is_new);
    for device in clients.iter().flat_map(|client| &client.devices) {
        assert!(!connection.login(device).is_new, "{device} was answered and is lost");
    }
}

/// One client's devices that were answered, and whether its last answer said that it is the last.
struct SignedUp {
    devices: Vec<String>,
    was_told: bool,
}

/// A connection may end between two answers, never within one. What comes late may be refused.
fn sign_up_until_the_end(client: usize, address: SocketAddr, ready: &Sender<()>) -> SignedUp {
    let mut connection = Connection::open(address);
    let mut signed_up = SignedUp { devices: Vec::new(), was_told: false };
    while !signed_up.was_told {
        let device = format!("device-{client}-{}", signed_up.devices.len());
        let body = format!(r#"{{"id":"{device}"}}"#);
        if connection.try_send(request("POST", LOGIN, SERVER_KEY, &body)).is_err() {
            break;
        }
        let Some(response) = connection.try_receive() else {
            break;
        };
        let is_last = response.header("Connection") == Some("close");
        if response.status == 503 {
            assert_eq!((response.refusal(), is_last), ((503, 14), true));
            break;
        }
        assert!(response.tokens().is_new);
        signed_up.devices.push(device);
        signed_up.was_told = is_last;
        let _ = ready.send(()); // nobody listens after the signal
    }
    assert!(connection.is_over());
    signed_up
}
