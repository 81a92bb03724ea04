//! A server on this thread that knows what the scenarios ask, and no more: it takes only what the
//! documents of Nakama's client interface have. It can misbehave in one way at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::tests::websocket::{CLOSE, TEXT, accept_key, decode, encode};

/// More than a client has under way: closing with bytes unread would reset the connection.
const READ_SIZE: usize = 16 * 1024;
const SESSION: &str = r#""token":"h.eyJleHAiOjQwMDAwMDAwMDB9.s","refresh_token":"r"}"#;
const BEARER: &str = "Authorization: Bearer h.eyJleHAiOjQwMDAwMDAwMDB9.s\r\n";
const SERVER_KEY: &str = "Authorization: Basic ZGVmYXVsdGtleTo=\r\n";

/// The envelopes that clients send here, with all fields that they can have.
const ENVELOPES: [(&str, &[&str]); 5] = [
    ("ping", &[]),
    ("match_create", &["name"]),
    ("match_join", &["match_id", "token", "metadata"]),
    ("match_data_send", &["match_id", "op_code", "data", "presences", "reliable"]),
    (
        "matchmaker_add",
        &[
            "min_count",
            "max_count",
            "query",
            "string_properties",
            "numeric_properties",
            "count_multiple",
        ],
    ),
];

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Good,
    /// Its answers come in chunks.
    Chunked,
    /// Reads of accounts, and sign-ins that make none, are answered with this status.
    Status(u16),
    /// No account is new.
    KnowsEverybody,
    /// What creates a match or joins one is answered without a match.
    NoMatch,
    /// The first message of match data gets lost.
    LosesData,
    /// Everybody gets match data twice.
    DoublesData,
    /// Match data, and tickets, are answered with an error.
    Refuses,
    /// A socket is closed when it has said something.
    ClosesSockets,
    /// A connection is closed at its first byte.
    ClosesPeers,
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The first line of each kind of request.
    pub requests: BTreeSet<String>,
    /// What was written: objects' values, and scores.
    pub written: BTreeSet<String>,
    /// Who has an account: devices, and e-mail addresses with their passwords.
    pub accounts: BTreeSet<String>,
    /// Envelopes but match data.
    pub envelopes: BTreeSet<String>,
    pub connections: usize,
    /// What was no request, when its connection ended.
    pub unfinished: Vec<String>,
}

pub(crate) struct Fake {
    habit: Habit,
    pub seen: RefCell<Seen>,
    matches: RefCell<BTreeMap<String, Vec<Rc<TcpStream>>>>,
    /// Who waits, by what they ask for.
    tickets: RefCell<BTreeMap<String, Vec<Rc<TcpStream>>>>,
    has_lost: RefCell<bool>,
}

impl Fake {
    /// Starts a server on the task set of this thread, and gives its port.
    pub(crate) async fn start(habit: Habit) -> (Rc<Fake>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Rc::new(Fake {
            habit,
            seen: RefCell::default(),
            matches: RefCell::default(),
            tickets: RefCell::default(),
            has_lost: RefCell::new(false),
        });
        tokio::task::spawn_local({
            let fake = fake.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    fake.seen.borrow_mut().connections += 1;
                    tokio::task::spawn_local(fake.clone().serve(Rc::new(stream)));
                }
            }
        });
        (fake, port)
    }

    /// Until the client has gone.
    async fn serve(self: Rc<Fake>, stream: Rc<TcpStream>) {
        let mut input = Vec::new();
        while read(&stream, &mut input).await {
            if self.habit == Habit::ClosesPeers {
                return;
            }
            let Some(request) = take_request(&mut input) else {
                continue;
            };
            if let Some(key) = field(&request, "Sec-WebSocket-Key") {
                return self.serve_socket(&stream, &request, key, input).await;
            }
            let (status, body) = self.answer(&request);
            let text = match self.habit {
                Habit::Chunked => {
                    let (first, rest) = body.split_at(body.len() / 2);
                    format!(
                        "HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n\
                         {:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                        first.len(),
                        rest.len()
                    )
                }
                _ => {
                    let length = body.len();
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}")
                }
            };
            write(&stream, text.as_bytes());
        }
        if !input.is_empty() {
            self.seen.borrow_mut().unfinished.push(String::from_utf8(input).unwrap());
        }
    }

    fn answer(&self, request: &str) -> (u16, String) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let line = head.lines().next().unwrap();
        let seen = &mut *self.seen.borrow_mut();
        seen.requests.insert(line.to_owned());
        let status = match self.habit {
            Habit::Status(status) => status,
            _ => 200,
        };
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let account = match line {
            "GET /v2/account HTTP/1.1" if request.contains(BEARER) => {
                return (status, r#"{"user":{"id":"u"},"wallet":"{}"}"#.to_owned());
            }
            "PUT /v2/storage HTTP/1.1" if request.contains(BEARER) => {
                let object = &body["objects"][0];
                let value = object["value"].as_str().unwrap();
                assert!(serde_json::from_str::<Value>(value).unwrap().is_object());
                seen.written.insert(value.to_owned());
                return (status, r#"{"acks":[{}]}"#.to_owned());
            }
            "POST /v2/storage HTTP/1.1" if request.contains(BEARER) => {
                assert_eq!(body["object_ids"][0]["user_id"], "u");
                return (status, r#"{"objects":[{"value":"of a hero"}]}"#.to_owned());
            }
            "POST /v2/leaderboard/points HTTP/1.1" if request.contains(BEARER) => {
                seen.written.insert(text("score"));
                return (status, r#"{"rank":"1"}"#.to_owned());
            }
            "GET /v2/leaderboard/points?limit=100 HTTP/1.1" if request.contains(BEARER) => {
                return (status, r#"{"records":[]}"#.to_owned());
            }
            _ if !request.contains(SERVER_KEY) => return (401, r#"{"code":16}"#.to_owned()),
            _ if line.starts_with("POST /v2/account/authenticate/device?create=") => text("id"),
            _ if line.starts_with("POST /v2/account/authenticate/email?create=") => {
                format!("{} {}", text("email"), text("password"))
            }
            _ => return (404, r#"{"code":5,"message":"Not Found"}"#.to_owned()),
        };
        if !line.contains("create=true") {
            return match seen.accounts.contains(&account) {
                true => (status, format!("{{{SESSION}")),
                false => (404, r#"{"code":5}"#.to_owned()),
            };
        }
        assert!(account.len() >= 10, "{account} is too short");
        match seen.accounts.insert(account) && self.habit != Habit::KnowsEverybody {
            true => (200, format!("{{\"created\":true,{SESSION}")),
            false => (200, format!("{{{SESSION}")),
        }
    }

    async fn serve_socket(
        &self,
        stream: &Rc<TcpStream>,
        request: &str,
        key: &str,
        mut input: Vec<u8>,
    ) {
        let accept = accept_key(key);
        let answer = format!(
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        write(stream, answer.as_bytes());
        if request.contains("status=true") {
            say(stream, &json!({"status_presence_event": {"joins": [{"status": ""}]}}));
        }
        let is_echo = request.contains("token=none");
        loop {
            while let Some((opcode, payload)) = decode(&mut input) {
                match opcode {
                    TEXT if is_echo => write(stream, &encode(TEXT, &payload)),
                    TEXT => {
                        let text = String::from_utf8(payload).unwrap();
                        if self.take_envelope(stream, &text).is_none() {
                            close(stream, "malformed payload");
                        } else if self.habit == Habit::ClosesSockets {
                            close(stream, "no reason");
                        }
                    }
                    // The client's own close frame, or its answer to ours.
                    _ => return,
                }
            }
            if !read(stream, &mut input).await {
                return;
            }
        }
    }

    /// Does what an envelope says; none if it is not as the documents have it.
    fn take_envelope(&self, stream: &Rc<TcpStream>, text: &str) -> Option<()> {
        let mut envelope: Value = serde_json::from_str(text).ok()?;
        let members = envelope.as_object_mut()?;
        let cid = members.remove("cid");
        let (name, fields) = members.iter().next().filter(|_| members.len() == 1)?;
        let (_, known) = ENVELOPES.iter().find(|(known, _)| known == name)?;
        if !fields.as_object()?.keys().all(|field| known.contains(&field.as_str())) {
            return None;
        }
        if name != "match_data_send" {
            self.seen.borrow_mut().envelopes.insert(text.to_owned());
        }
        let reply = |name: &str, reply: Value| match &cid {
            Some(cid) => say(stream, &json!({"cid": cid, name: reply})),
            None => say(stream, &json!({name: reply})),
        };
        match name.as_str() {
            "match_data_send" | "matchmaker_add" if self.habit == Habit::Refuses => {
                reply("error", json!({"code": 3, "message": "no"}));
            }
            "match_create" | "match_join" if self.habit == Habit::NoMatch => {
                reply("match", json!({}));
            }
            "ping" => reply("pong", json!({})),
            "match_create" | "match_join" => {
                let matches = &mut *self.matches.borrow_mut();
                let id = match fields["match_id"].as_str() {
                    Some(id) => id.to_owned(),
                    None => format!("{}.", matches.len()),
                };
                let members = matches.entry(id.clone()).or_default();
                members.push(stream.clone());
                let size = members.len();
                let event = json!({"match_id": id, "joins": [{"user_id": "u"}]});
                say(stream, &json!({"match_presence_event": event}));
                reply("match", json!({"match_id": id, "size": size, "self": {"user_id": "u"}}));
            }
            "match_data_send" => self.relay(stream, fields)?,
            "matchmaker_add" => {
                reply("matchmaker_ticket", json!({"ticket": "t"}));
                let tickets = &mut *self.tickets.borrow_mut();
                let waiting = tickets.entry(fields["query"].to_string()).or_default();
                waiting.push(stream.clone());
                if (waiting.len() as u64) < fields["max_count"].as_u64()? {
                    return Some(());
                }
                for player in &std::mem::take(waiting) {
                    let matched = json!({"ticket": "t", "token": "a.b.c", "users": [], "self": {}});
                    say(player, &json!({"matchmaker_matched": matched}));
                }
            }
            _ => unreachable!("all known envelopes stand here"),
        }
        Some(())
    }

    fn relay(&self, from: &Rc<TcpStream>, fields: &Value) -> Option<()> {
        let id = fields["match_id"].as_str()?;
        let (op_code, data) = (fields["op_code"].as_str()?, fields["data"].as_str()?);
        if self.habit == Habit::LosesData && !self.has_lost.replace(true) {
            return Some(());
        }
        let copies = if self.habit == Habit::DoublesData { 2 } else { 1 };
        let event = json!({"match_data": {
            "match_id": id, "presence": {"username": "data"}, "op_code": op_code, "data": data,
        }});
        let matches = self.matches.borrow();
        let others = matches.get(id)?.iter().filter(|member| !Rc::ptr_eq(member, from));
        for other in others {
            (0..copies).for_each(|_| say(other, &event));
        }
        Some(())
    }
}

/// Waits for bytes; `false` at the end.
async fn read(stream: &TcpStream, input: &mut Vec<u8>) -> bool {
    loop {
        if stream.readable().await.is_err() {
            return false;
        }
        input.reserve(READ_SIZE);
        match stream.try_read_buf(input) {
            Ok(count) => return count > 0,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}

/// Takes a whole request off the beginning of the input.
fn take_request(input: &mut Vec<u8>) -> Option<String> {
    let text = std::str::from_utf8(input).unwrap();
    let head = text.find("\r\n\r\n")? + 4;
    let length = field(text, "Content-Length").map_or(0, |length| length.parse().unwrap());
    let request = text.get(..head + length)?.to_owned();
    input.drain(..head + length);
    Some(request)
}

fn field<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = request.split_once("\r\n\r\n")?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}

fn say(stream: &TcpStream, envelope: &Value) {
    write(stream, &encode(TEXT, envelope.to_string().as_bytes()));
}

fn close(stream: &TcpStream, reason: &str) {
    let payload = [&1000_u16.to_be_bytes()[..], reason.as_bytes()].concat();
    write(stream, &encode(CLOSE, &payload));
}

/// At once: what a test has under way fits into the socket's buffer. Whoever has gone misses it.
fn write(stream: &TcpStream, bytes: &[u8]) {
    match stream.try_write(bytes) {
        Ok(count) => assert_eq!(count, bytes.len(), "the client does not read"),
        Err(error) => {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the client does not read");
        }
    }
}
