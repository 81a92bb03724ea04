//! Peers that are slow, silent, greedy or gone: each is ended in time, and costs nobody else.

use std::thread;
use std::time::Duration;

use crate::client::{Connection, Flood, LOGIN, SERVER_KEY, WebSocket, request};
use crate::process::Server;

/// The one time that runs out in a test; all others are as long as they are by default.
const SHORT: Duration = Duration::from_millis(400);
/// Longer than a busy machine takes, shorter than the default of 10 s.
const LATE: Duration = Duration::from_secs(8);
/// After so long without a byte taken a peer has stopped reading.
const STUCK: Duration = Duration::from_millis(1500);

fn server(key: &str) -> Server {
    Server::start_with(2, &format!("[socket]\n{key} = {}\n", SHORT.as_millis()))
}

fn check_alive(server: &Server) {
    assert_eq!(Connection::open(server.address).get("/healthcheck", "").status, 200);
}

/// Rows 18 and "Timeouts" of the transport. Neither the head nor the body has more time for coming
/// in pieces, and an upgrade is a head like any other.
#[test]
fn a_request_has_its_time_however_it_comes() {
    let server = server("read_timeout_ms");
    let endless = || std::iter::repeat_n(b'x', 5000);
    let heads = [
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: ",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ];
    for is_first in [true, false] {
        for head in heads {
            let mut connection = Connection::open(server.address);
            if !is_first {
                assert_eq!(connection.get("/", "").status, 200);
            }
            connection.send(head);
            let time = connection.send_slowly_until_over(endless());
            assert!(time < LATE, "{head:?}: {time:?}");
        }
    }
    let mut silent = Connection::open(server.address);
    assert!(silent.is_over());
    check_alive(&server);
}

#[test]
fn chunks_of_one_byte_have_no_more_time_than_others() {
    let server = server("read_timeout_ms");
    let mut connection = Connection::open(server.address);
    connection.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let time = connection.send_slowly_until_over(b"1\r\nx\r\n".repeat(1000));
    assert!(time < LATE, "{time:?}");
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let server = server("idle_timeout_ms");
    let mut connection = Connection::open(server.address);
    assert_eq!(connection.get("/", "").status, 200);
    assert!(connection.is_over());
    // Empty lines are no request.
    let mut connection = Connection::open(server.address);
    assert_eq!(connection.get("/", "").status, 200);
    let time = connection.send_slowly_until_over(b"\r\n".repeat(1000));
    assert!(time < LATE, "{time:?}");
}

/// Whoever sends requests and takes no answer is read no further, and ended when the time is over.
#[test]
fn a_client_that_takes_no_answer_is_ended() {
    let server = server("write_timeout_ms");
    let mut connection = Connection::open(server.address);
    let flood = connection.flood(request("GET", "/healthcheck", "", "").as_bytes(), STUCK * 5);
    assert_eq!(flood, Flood::Over);
    check_alive(&server);
}

#[test]
fn a_socket_that_takes_no_answer_is_ended() {
    let config = format!("write_wait_ms = {}\nmax_frames_per_sec = 0\n", SHORT.as_millis());
    let server = Server::start_with(2, &format!("[socket]\n{config}"));
    let tokens = Connection::open(server.address).login("a-device-that-pings");
    let mut socket = Connection::open(server.address).upgrade(&tokens.session);
    let flood = socket.0.flood(&WebSocket::frame(0x89, &[b'x'; 125]), STUCK * 5);
    assert_eq!(flood, Flood::Over);
    check_alive(&server);
}

/// The server reads no further while nobody takes its answers, loses none, and goes on as soon as
/// they are taken.
#[test]
fn a_client_that_reads_late_gets_every_answer() {
    let server = Server::start(2);
    let mut connection = Connection::open(server.address);
    let piece = request("GET", "/healthcheck", "", "");
    let Flood::Stuck(sent) = connection.flood(piece.as_bytes(), STUCK) else {
        panic!("the connection is over");
    };
    let mut reader = connection.reader();
    let rest = thread::spawn(move || {
        connection.send(&piece.as_bytes()[sent % piece.len()..]);
        connection.send("GET /v2/nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        sent / piece.len() + 1
    });
    let mut count = 0;
    loop {
        let response = reader.receive();
        if response.status != 200 {
            assert_eq!(response.refusal(), (404, 5));
            break;
        }
        assert_eq!(response.body, "{}");
        count += 1;
    }
    assert_eq!(count, rest.join().unwrap());
    assert!(reader.is_over());
}

#[test]
fn a_socket_that_reads_late_gets_every_pong() {
    let server = Server::start_with(2, "[socket]\nmax_frames_per_sec = 0\n");
    let tokens = Connection::open(server.address).login("a-device-that-pings");
    let mut socket = Connection::open(server.address).upgrade(&tokens.session);
    let ping = WebSocket::frame(0x89, &[b'x'; 125]);
    let Flood::Stuck(sent) = socket.0.flood(&ping, STUCK) else {
        panic!("the connection is over");
    };
    let mut reader = WebSocket(socket.0.reader());
    let rest = thread::spawn(move || {
        socket.0.send(&ping[sent % ping.len()..]);
        socket.0.send(WebSocket::frame(0x88, &[0x03, 0xe8]));
        sent / ping.len() + 1
    });
    let (pongs, code) = reader.frames_until_close();
    assert_eq!((pongs, code), (rest.join().unwrap(), 1000));
}

/// A reader that falls behind by more messages, or by more bytes, than it may is told so behind
/// what it has begun to take.
#[test]
fn a_slow_reader_is_dropped_with_a_reason() {
    for (limit, id) in
        [("outgoing_queue_size = 4", 900), ("outgoing_buffer_size_bytes = 20000", 3000)]
    {
        let config = format!("[socket]\n{limit}\nclose_ack_wait_ms = 20000\n");
        let server = Server::start_with(1, &config);
        let tokens = Connection::open(server.address).login("a-device-that-never-reads");
        let mut socket = Connection::open(server.address).upgrade(&tokens.session);
        let ping = format!(r#"{{"cid":"{}","ping":{{}}}}"#, "x".repeat(id));
        let ping = WebSocket::frame(0x81, ping.as_bytes());
        // More than the kernel holds for a reader that does not read.
        for _ in 0..(16 << 20) / ping.len() {
            socket.0.send(&ping);
        }
        assert_eq!(socket.close_frame(), (1008, "slow reader".to_owned()), "{limit}");
        socket.confirm_close(1008);
        check_alive(&server);
    }
}

#[test]
fn a_socket_that_never_answers_a_close_frame_is_ended() {
    let server = server("close_ack_wait_ms");
    let tokens = Connection::open(server.address).login("a-device-that-goes-on");
    let mut socket = Connection::open(server.address).upgrade(&tokens.session);
    socket.0.send(WebSocket::frame(0x81, b"no envelope"));
    assert_eq!(socket.close_code(), 1000);
    let pings = WebSocket::frame(0x89, b"x").repeat(1000);
    let time = socket.0.send_slowly_until_over(pings);
    assert!(time < LATE, "{time:?}");
}

#[test]
fn a_flood_of_frames_is_ended_with_a_reason() {
    let server = Server::start_with(1, "[socket]\nmax_frames_per_sec = 100\n");
    let tokens = Connection::open(server.address).login("a-device-that-floods");
    for piece in [
        WebSocket::frame(0x89, b"x"),
        WebSocket::frame(0x8a, b""),
        WebSocket::frame(0x81, br#"{"ping":{}}"#),
    ] {
        let mut socket = Connection::open(server.address).upgrade(&tokens.session);
        socket.0.send(piece.repeat(100_000 / piece.len()));
        assert_eq!(socket.close_frame(), (1008, "too many frames".to_owned()));
    }
    let mut socket = Connection::open(server.address).upgrade(&tokens.session);
    socket.0.send(WebSocket::frame(0x89, b"x").repeat(99));
    socket.0.send(WebSocket::frame(0x88, &[0x03, 0xe8]));
    assert_eq!(socket.frames_until_close(), (99, 1000));
}

/// What a peer sent after its mistake is taken and dropped, for a while: closed with bytes unread,
/// the connection would be reset, and the answer lost.
#[test]
fn a_refused_client_reads_why_though_it_had_sent_more() {
    let server = Server::start(1);
    for _ in 0..3 {
        let mut connection = Connection::open(server.address);
        // More than the kernel would hold for a server that does not read.
        connection.send(format!("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n{}", "x".repeat(24 << 20)));
        assert_eq!(connection.receive().refusal(), (400, 3));
        assert!(connection.is_over());
    }
    let mut connection = Connection::open(server.address);
    connection.send("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    assert_eq!(connection.receive().status, 400);
    let mut socket = login_socket(&server);
    socket.0.send(WebSocket::frame(0x81, &[b'x'; 60_000]).repeat(400));
    assert_eq!(socket.close_frame(), (1009, String::new()));
}

fn login_socket(server: &Server) -> WebSocket {
    let tokens = Connection::open(server.address).login("a-device-of-a-socket");
    Connection::open(server.address).upgrade(&tokens.session)
}

/// Connections that are gone before they are accepted, in the middle of a request, and with an
/// answer on its way.
#[test]
fn peers_that_reset_their_connections_stop_nobody() {
    let server = Server::start(2);
    let login = request("POST", LOGIN, SERVER_KEY, r#"{"id":"a-device-that-resets"}"#);
    for round in 0..300 {
        let mut connection = Connection::open(server.address);
        match round % 3 {
            0 => {}
            1 => connection.send(&login[..login.len() / 2]),
            _ => connection.send(&login),
        }
        connection.reset();
    }
    let mut connections: Vec<_> = (0..8).map(|_| Connection::open(server.address)).collect();
    for connection in &mut connections {
        assert_eq!(connection.get("/healthcheck", "").status, 200);
    }
}
