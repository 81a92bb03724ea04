//! Traces as a collector gets them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use base::json::Json;

use crate::client::{Connection, WebSocket, member};
use crate::process::{DEADLINE, Server};

/// What stands in a span, as texts.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: Option<String>,
}

/// Takes whatever is exported to it. Ends with the test's process.
struct Collector {
    address: SocketAddr,
    requests: Receiver<(String, String)>,
    spans: Vec<Span>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
        });
        Collector { address, requests, spans: Vec::new() }
    }

    /// Waits until there is such a span, and gives its place.
    fn wait_for(&mut self, name: &str) -> usize {
        loop {
            if let Some(place) = self.spans.iter().position(|span| span.name == name) {
                return place;
            }
            let (head, body) = self.requests.recv_timeout(DEADLINE).expect("the span comes");
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert!(head.to_lowercase().contains("\r\nx-key: canary-7351\r\n"), "{head}");
            self.spans.extend(read(&body));
        }
    }
}

fn serve(stream: TcpStream, requests: &Sender<(String, String)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let length = head.to_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        requests.send((head, String::from_utf8(body).unwrap())).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    }
}

fn items<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    match member(json, &[name]) {
        Some(Json::List(items)) => items,
        other => panic!("{name} is {other:?}"),
    }
}

fn read(body: &str) -> Vec<Span> {
    let json = Json::parse(body.as_bytes()).unwrap();
    let scopes = items(&json, "resourceSpans").iter().flat_map(|all| items(all, "scopeSpans"));
    let text = |span: &Json, name: &str| match member(span, &[name]) {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    };
    scopes
        .flat_map(|scope| items(scope, "spans"))
        .map(|span| Span {
            name: text(span, "name").unwrap(),
            trace: text(span, "traceId").unwrap(),
            id: text(span, "spanId").unwrap(),
            parent: text(span, "parentSpanId").filter(|parent| !parent.is_empty()),
        })
        .collect()
}

#[test]
fn a_sign_in_and_a_match_arrive_at_a_collector() {
    let mut collector = Collector::start();
    let config = format!(
        "[traces]\nendpoint = \"http://{}\"\nheaders = [\"x-key=canary-7351\"]\n",
        collector.address
    );
    let mut server = Server::start_with(2, &config);
    let mut connection = Connection::open(server.address);
    let tokens = connection.login("device-0001");
    let mut socket = connection.upgrade(&tokens.session);
    socket.0.send(WebSocket::frame(0x81, br#"{"cid":"1","match_create":{}}"#));
    let created = socket.frame_in();
    assert!(String::from_utf8_lossy(&created.1).contains("match_id"), "{created:?}");
    socket.0.send(WebSocket::frame(0x88, &[0x03, 0xe8]));

    let sign_in = collector.wait_for("authenticate_device");
    let whole = collector.wait_for("match");
    let create = collector.wait_for("match_create");
    let spans = &collector.spans;
    assert_eq!(spans[sign_in].parent, None);
    let below: Vec<_> = spans
        .iter()
        .filter(|span| span.parent.as_ref() == Some(&spans[sign_in].id))
        .map(|span| span.name.as_str())
        .collect();
    assert_eq!(below, ["look up aliases", "prepare batch", "reply"], "the account is new");
    assert_eq!(spans[create].trace, spans[whole].trace);
    assert_eq!(spans[create].parent.as_ref(), Some(&spans[whole].id));
    let match_id = String::from_utf8_lossy(&created.1).replace('-', "");
    assert!(match_id.contains(&spans[whole].trace), "a match's trace has its id");

    server.signal(libc::SIGTERM);
    let ended = server.end();
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
}
