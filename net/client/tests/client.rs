//! The client against a fake server of this process, on a port of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic, and its helpers too")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use client::{Authorization, Error, Http, Method, Server, Socket};
use tungstenite::Message;

const SESSION: &str =
    r#"{"created":true,"token":"h.eyJleHAiOjQwMDAwMDAwMDB9.s","refresh_token":"r"}"#;

#[test]
fn calls_go_over_one_connection_that_is_kept() {
    let account = r#"{"user":{"id":"u"},"wallet":"{}"}"#;
    let (server, fake) = start(move |mut stream| {
        vec![
            answer(&mut stream, "200 OK", SESSION),
            answer(&mut stream, "200 OK", account),
            answer(&mut stream, "200 OK", SESSION),
            answer(&mut stream, "503 X", r#"{"code":14,"message":"busy"}"#),
        ]
    });
    let requests = run(async {
        let mut http = Http::new(server);
        let session = http.authenticate_device("device-0001", true).await.unwrap();
        http.account(&session.token).await.unwrap();
        http.refresh(&session).await.unwrap();
        let answer = http.request(Method::Get, "/x", Authorization::None, &[]).await.unwrap();
        assert_eq!(answer.success().unwrap_err().kind(), "status 503");
        fake.join().unwrap()
    });
    let starts: Vec<_> = requests.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "POST /v2/account/authenticate/device?create=true HTTP/1.1",
            "GET /v2/account HTTP/1.1",
            "POST /v2/account/session/refresh HTTP/1.1",
            "GET /x HTTP/1.1",
        ]
    );
    assert!(requests[0].contains("\r\nAuthorization: Basic a2V5Og==\r\n"));
    assert!(requests[0].ends_with(r#"{"id":"device-0001"}"#));
    assert!(requests[1].contains("\r\nAuthorization: Bearer h.eyJleHAiOjQwMDAwMDAwMDB9.s\r\n"));
    assert!(requests[2].ends_with(r#"{"token":"r"}"#));
}

#[test]
fn a_connection_that_ends_is_an_error_and_the_next_request_opens_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = server_at(&listener);
    let fake = std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        read_request(&mut first);
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        answer(&mut second, "200 OK", "{}");
    });
    run(async {
        let mut http = Http::new(server);
        let request = http.encode(Method::Get, "/", Authorization::None, &[]);
        assert_eq!(http.send(&request).await.unwrap_err().kind(), "closed");
        assert_eq!(http.send(&request).await.unwrap().body, b"{}");
    });
    fake.join().unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Server::clone(&server_at(&listener));
    server.timeout = Duration::from_millis(20);
    run(async {
        let mut http = Http::new(Arc::new(server));
        let error = http.request(Method::Get, "/", Authorization::None, &[]).await.unwrap_err();
        assert_eq!(error.kind(), "timeout");
    });
}

#[test]
fn envelopes_travel_both_ways_and_pings_are_answered() {
    let (server, fake) = start(|stream| {
        let mut socket = tungstenite::accept(stream).unwrap();
        socket.send(Message::Ping(vec![7].into())).unwrap();
        let asked = socket.read().unwrap().into_text().unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong(vec![7].into()));
        socket.send(Message::text(r#"{"match_data":{}}"#)).unwrap();
        socket.send(Message::text(r#"{"cid":"1","pong":{}}"#)).unwrap();
        let refused = socket.read().unwrap().into_text().unwrap();
        socket.send(Message::text(r#"{"cid":"2","error":{"code":3}}"#)).unwrap();
        let large = "x".repeat(100_000);
        socket.send(Message::text(large)).unwrap();
        socket.close(None).unwrap();
        vec![asked.as_str().to_owned(), refused.as_str().to_owned()]
    });
    let texts = run(async {
        let mut socket = Socket::open(&server, "a.b.c", true).await.unwrap();
        let mut others = 0;
        let ask = socket.ask("1", r#"{"cid":"1","ping":{}}"#, |_| others += 1);
        ask.await.unwrap();
        assert_eq!(others, 1);
        let refused = socket.ask("2", r#"{"cid":"2","match_join":{}}"#, |_| {}).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        assert_eq!(socket.receive().await.unwrap().len(), 100_000);
        assert_eq!(socket.receive().await.unwrap_err().kind(), "socket closed: 1005");
        fake.join().unwrap()
    });
    assert_eq!(texts, [r#"{"cid":"1","ping":{}}"#, r#"{"cid":"2","match_join":{}}"#]);
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A thread that serves one connection.
fn start(
    serve: impl FnOnce(TcpStream) -> Vec<String> + Send + 'static,
) -> (Arc<Server>, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = server_at(&listener);
    (server, std::thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn server_at(listener: &TcpListener) -> Arc<Server> {
    let port = listener.local_addr().unwrap().port();
    let timeout = Duration::from_secs(10);
    Arc::new(Server { host: "127.0.0.1".into(), port, key: "key".into(), timeout })
}

/// Reads one request and answers it.
fn answer(stream: &mut TcpStream, status: &str, body: &str) -> String {
    let request = read_request(stream);
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    request
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}
