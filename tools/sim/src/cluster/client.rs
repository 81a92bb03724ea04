//! Clients: what they send, in the words of the protocol, and what they hear.

use std::collections::VecDeque;

use api::http::{Request, Response};
use base::json::Json;
use base::{ConnectionId, ShardId};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use shard::Input;

use super::Cluster;

/// What reached a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Response {
        status: u16,
        body: String,
    },
    Upgraded,
    Text(String),
    Ping,
    Closed {
        code: u16,
        reason: &'static str,
    },
    /// The process died.
    Lost,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Http,
    /// A request is under way: the next one is read when this one is answered.
    Asked,
    Socket,
    Gone,
}

/// One connection, together with the gateway's side of it.
#[derive(Debug)]
pub struct Client {
    phase: Phase,
    inputs: VecDeque<Input>,
    is_paused: bool,
    /// Answers no pings.
    is_mute: bool,
    number: u64,
    heard: Vec<Heard>,
}

impl Client {
    pub fn is_ready(&self) -> bool {
        match (self.inputs.front(), &self.phase) {
            (None, _) => false,
            (Some(Input::Closed { .. }), _) => true,
            (Some(Input::Request { .. }), phase) => *phase == Phase::Http,
            (Some(_), phase) => *phase == Phase::Socket && !self.is_paused,
        }
    }

    /// Nothing comes from here any more, and nobody has heard what it should have.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Gone && self.inputs.is_empty() && self.heard.is_empty()
    }

    pub fn take_input(&mut self) -> Option<Input> {
        let input = self.inputs.pop_front();
        if matches!(input, Some(Input::Request { .. })) {
            self.phase = Phase::Asked;
        }
        input
    }

    pub fn respond(&mut self, response: Response) {
        if self.phase == Phase::Gone {
            return;
        }
        assert_eq!(self.phase, Phase::Asked, "nobody asked for {response:?}");
        self.phase = Phase::Http;
        self.heard.push(Heard::Response { status: response.status, body: response.body });
    }

    pub fn upgrade(&mut self) {
        if self.phase == Phase::Gone {
            return;
        }
        assert_eq!(self.phase, Phase::Asked, "an upgrade answers a request");
        self.phase = Phase::Socket;
        self.heard.push(Heard::Upgraded);
    }

    /// What comes before the upgrade or after the end reaches nobody.
    pub fn receive(&mut self, text: &[u8]) {
        if self.phase == Phase::Socket {
            let text = String::from_utf8(text.to_vec()).expect("a text message is UTF-8");
            self.heard.push(Heard::Text(text));
        }
    }

    pub fn ping(&mut self) {
        if self.phase == Phase::Socket {
            self.heard.push(Heard::Ping);
            if !self.is_mute {
                self.inputs.push_back(Input::Pong { connection: self.number });
            }
        }
    }

    pub fn close(&mut self, code: u16, reason: &'static str) {
        if self.phase == Phase::Socket {
            self.heard.push(Heard::Closed { code, reason });
            self.leave();
        }
    }

    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The connection ends, whoever ended it; what was not read is lost.
    fn leave(&mut self) {
        if self.phase != Phase::Gone {
            self.phase = Phase::Gone;
            self.inputs.clear();
            self.inputs.push_back(Input::Closed { connection: self.number });
        }
    }

    /// The process is gone, and with it whoever could be told of the end.
    pub fn lose(&mut self) {
        if self.phase != Phase::Gone {
            self.heard.push(Heard::Lost);
        }
        self.phase = Phase::Gone;
        self.inputs.clear();
    }
}

/// The tokens of a sign-in, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub token: String,
    pub refresh_token: String,
    pub user_id: String,
    pub username: String,
    pub created: bool,
}

impl Login {
    pub fn read(body: &str) -> Login {
        let token = text_of(body, "token").expect("a session has a token");
        let claims = claims(&token).expect("the token is a JWT");
        Login {
            user_id: text_of(&claims, "uid").expect("a token names the user"),
            username: text_of(&claims, "usn").expect("a token has the username"),
            created: body.contains("\"created\":true"),
            refresh_token: text_of(body, "refresh_token").expect("a session has two tokens"),
            token,
        }
    }
}

impl Cluster {
    /// A connection to a core, whose sessions live there too.
    pub fn connect(&mut self, core: ShardId) -> ConnectionId {
        let id = ConnectionId { shard: core, number: self.next_connection };
        self.next_connection += 1;
        let client = Client {
            phase: Phase::Http,
            inputs: VecDeque::new(),
            is_paused: false,
            is_mute: false,
            number: id.number,
            heard: Vec::new(),
        };
        self.clients.insert(id, client);
        id
    }

    /// Sends a request; a session that it opens lives on the connection's core.
    pub fn send(&mut self, id: ConnectionId, request: Request) {
        self.send_homed(id, id.shard, request);
    }

    pub fn send_homed(&mut self, id: ConnectionId, home: ShardId, request: Request) {
        let input = Input::Request { connection: id.number, home, request };
        self.client(id).inputs.push_back(input);
    }

    /// Sends one text message.
    pub fn say(&mut self, id: ConnectionId, text: impl Into<String>) {
        let input = Input::Text { connection: id.number, text: Bytes::from(text.into()) };
        self.client(id).inputs.push_back(input);
    }

    pub fn say_bytes(&mut self, id: ConnectionId) {
        let input = Input::Binary { connection: id.number };
        self.client(id).inputs.push_back(input);
    }

    pub fn mute(&mut self, id: ConnectionId) {
        self.client(id).is_mute = true;
    }

    pub fn disconnect(&mut self, id: ConnectionId) {
        self.client(id).leave();
    }

    pub fn is_paused(&mut self, id: ConnectionId) -> bool {
        self.client(id).is_paused
    }

    /// Whether a request of the connection waits for its answer, or to be read.
    pub fn is_waiting(&mut self, id: ConnectionId) -> bool {
        let client = self.client(id);
        client.phase == Phase::Asked || (client.phase != Phase::Gone && !client.inputs.is_empty())
    }

    pub fn is_gone(&mut self, id: ConnectionId) -> bool {
        self.client(id).phase == Phase::Gone
    }

    /// What the client heard since it was last asked.
    pub fn heard(&mut self, id: ConnectionId) -> Vec<Heard> {
        std::mem::take(&mut self.client(id).heard)
    }

    /// The text messages that the client heard since it was last asked.
    pub fn texts(&mut self, id: ConnectionId) -> Vec<String> {
        let heard = self.heard(id).into_iter();
        let text = |heard| match heard {
            Heard::Text(text) => Some(text),
            _ => None,
        };
        heard.filter_map(text).collect()
    }

    /// The status and body of the one answer that the client heard.
    pub fn answer(&mut self, id: ConnectionId) -> (u16, String) {
        match self.heard(id).as_slice() {
            [Heard::Response { status, body }] => (*status, body.clone()),
            other => panic!("one answer was expected: {other:?}"),
        }
    }

    /// Sends a request on a connection of its own, and waits for the answer.
    pub fn call(&mut self, core: ShardId, request: Request) -> (u16, String) {
        let connection = self.connect(core);
        self.send(connection, request);
        self.settle();
        self.answer(connection)
    }

    pub fn sign_in(&mut self, core: ShardId, device_id: &str) -> Login {
        let (status, body) = self.call(core, device(device_id));
        assert_eq!(status, 200, "{body}");
        Login::read(&body)
    }

    /// Opens a socket whose session lives on `home`.
    pub fn open(&mut self, core: ShardId, home: ShardId, token: &str) -> ConnectionId {
        let connection = self.connect(core);
        self.send_homed(connection, home, handshake(&format!("token={token}")));
        self.settle();
        assert_eq!(self.heard(connection), [Heard::Upgraded]);
        connection
    }

    /// Opens a socket that is online at once, on the core where its session lives.
    pub fn open_online(&mut self, core: ShardId, token: &str) -> ConnectionId {
        let connection = self.connect(core);
        self.send(connection, handshake(&format!("token={token}&status=true")));
        self.settle();
        let heard = self.heard(connection);
        let is_own = |text: &str| text.contains("status_presence_event");
        assert!(matches!(&heard[..], [Heard::Upgraded, Heard::Text(text)] if is_own(text)));
        connection
    }

    /// Says something and gives the one text that is heard then.
    pub fn ask(&mut self, id: ConnectionId, text: impl Into<String>) -> String {
        let mut texts = self.tell(id, text);
        assert_eq!(texts.len(), 1, "{texts:?}");
        texts.remove(0)
    }

    /// Says something and gives every text that is heard then.
    pub fn tell(&mut self, id: ConnectionId, text: impl Into<String>) -> Vec<String> {
        self.say(id, text);
        self.settle();
        self.texts(id)
    }

    fn client(&mut self, id: ConnectionId) -> &mut Client {
        self.clients.get_mut(&id).expect("connections are known for ever")
    }
}

// Requests.

pub fn request(method: &str, target: &str, authorization: &str, body: &str) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        authorization: vec![authorization.into()],
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..Request::default()
    }
}

fn server_key() -> String {
    format!("Basic {}", STANDARD.encode("defaultkey:"))
}

pub fn device(id: &str) -> Request {
    device_with("", id)
}

pub fn device_named(id: &str, username: &str) -> Request {
    device_with(&format!("?username={username}"), id)
}

/// A sign-in with this query, question mark included.
pub fn device_with(query: &str, id: &str) -> Request {
    let target = format!("/v2/account/authenticate/device{query}");
    request("POST", &target, &server_key(), &format!("{{\"id\":\"{id}\"}}"))
}

/// A sign-in by something else than a device, with this query, question mark included.
pub fn authenticate(provider: &str, query: &str, body: &str) -> Request {
    let target = format!("/v2/account/authenticate/{provider}{query}");
    request("POST", &target, &server_key(), body)
}

pub fn link(token: &str, provider: &str, body: &str) -> Request {
    bearer("POST", &format!("/v2/account/link/{provider}"), token, body)
}

pub fn unlink(token: &str, provider: &str, body: &str) -> Request {
    bearer("POST", &format!("/v2/account/unlink/{provider}"), token, body)
}

pub fn refresh(token: &str) -> Request {
    let body = format!("{{\"token\":\"{token}\"}}");
    request("POST", "/v2/account/session/refresh", &server_key(), &body)
}

/// A request of a session.
pub fn bearer(method: &str, target: &str, token: &str, body: &str) -> Request {
    request(method, target, &format!("Bearer {token}"), body)
}

pub fn account(token: &str) -> Request {
    bearer("GET", "/v2/account", token, "")
}

pub fn users(token: &str, query: &str) -> Request {
    bearer("GET", &format!("/v2/user?{query}"), token, "")
}

pub fn logout(token: &str, body: &str) -> Request {
    bearer("POST", "/v2/session/logout", token, body)
}

/// A WebSocket handshake.
pub fn handshake(query: &str) -> Request {
    let target = format!("/ws?{query}");
    Request { method: "GET".into(), target, websocket: true, ..Request::default() }
}

// Reading.

/// A member of the text's object, or of the object under `path/..`.
pub fn text_of(text: &str, path: &str) -> Option<String> {
    let mut value = Json::parse(text.as_bytes()).expect("answers are JSON");
    for name in path.split('/') {
        let Json::Object(members) = value else {
            return None;
        };
        value = members.into_iter().find(|(member, _)| member == name)?.1;
    }
    match value {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// The claims of a token, as text.
pub fn claims(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    String::from_utf8(bytes).ok()
}

/// The text, followed by what its tokens say.
pub fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    for word in words.filter(|word| word.starts_with("eyJ")) {
        plain.push_str(&claims(word).unwrap_or_default());
    }
    plain
}
