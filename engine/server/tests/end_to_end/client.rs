//! A client that takes nothing for granted: raw bytes over TCP, HTTP and WebSocket by hand.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use base::json::Json;

use crate::process::DEADLINE;

/// `Authorization` with the default server key.
pub(crate) const SERVER_KEY: &str = "Basic ZGVmYXVsdGtleTo=";
pub(crate) const LOGIN: &str = "/v2/account/authenticate/device";

/// One connection, kept alive as long as the server keeps it.
pub(crate) struct Connection(BufReader<TcpStream>);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    /// Empty where it is compressed.
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

/// What became of a client that sends and does not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// So many bytes were taken, and then none.
    Stuck(usize),
    /// The server ended the connection.
    Over,
}

/// More than all buffers of the kernel between two sockets.
const FLOOD_MAX: usize = 64 << 20;

/// The tokens of a signed-in device.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) is_new: bool,
    pub(crate) session: String,
    pub(crate) refresh: String,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    pub(crate) fn receive(&mut self) -> Response {
        self.try_receive().expect("a response comes before the end of the connection")
    }

    /// The next response, or nothing when the connection ends in front of it.
    pub(crate) fn try_receive(&mut self) -> Option<Response> {
        if self.is_over() {
            return None;
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "torn head: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
        let mut response = Response { status, head, body: String::new(), bytes: Vec::new() };
        let length = response.header("Content-Length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        if response.header("Content-Encoding").is_none() {
            response.body = String::from_utf8(body.clone()).unwrap();
        }
        response.bytes = body;
        Some(response)
    }

    /// Waits for bytes, or for the server to close.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.0.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends the bytes one by one, each 20 ms, until the server closes; gives how long that took.
    pub(crate) fn send_slowly_until_over(
        &mut self,
        bytes: impl IntoIterator<Item = u8>,
    ) -> Duration {
        let start = Instant::now();
        self.0.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        for byte in bytes {
            if self.try_send([byte]).is_err() {
                return start.elapsed();
            }
            match self.0.fill_buf() {
                Ok([]) => return start.elapsed(),
                Ok(bytes) => panic!("{:?} is no end", String::from_utf8_lossy(bytes)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return start.elapsed();
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
            }
            assert!(start.elapsed() < DEADLINE, "the server reads on");
        }
        panic!("the server took it all");
    }

    /// Sends the piece again and again, without reading, until nothing is taken for so long or the
    /// connection is over; gives how many bytes were taken.
    pub(crate) fn flood(&mut self, piece: &[u8], patience: Duration) -> Flood {
        let stream = self.0.get_mut();
        stream.set_write_timeout(Some(patience)).unwrap();
        let pieces = piece.repeat(64 * 1024 / piece.len());
        let mut sent = 0;
        while sent < FLOOD_MAX {
            match stream.write(&pieces[sent % piece.len()..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.set_write_timeout(Some(DEADLINE)).unwrap();
                    return Flood::Stuck(sent);
                }
                Err(_) => return Flood::Over,
            }
        }
        panic!("the server reads on, and has to keep its answers");
    }

    /// Ends the connection as a crashed peer does, whatever is under way.
    pub(crate) fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = libc::socklen_t::try_from(size_of_val(&linger)).unwrap();
        let descriptor = self.0.get_ref().as_raw_fd();
        // SAFETY: the descriptor is open while `self` lives, and the value is of the option's type.
        let result = unsafe {
            libc::setsockopt(
                descriptor,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size,
            )
        };
        assert_eq!(result, 0);
    }

    /// A second handle of the same connection, to read from while this one sends.
    pub(crate) fn reader(&self) -> Connection {
        Connection(BufReader::new(self.0.get_ref().try_clone().unwrap()))
    }

    pub(crate) fn get(&mut self, target: &str, authorization: &str) -> Response {
        self.send(request("GET", target, authorization, ""));
        self.receive()
    }

    pub(crate) fn post(&mut self, target: &str, authorization: &str, body: &str) -> Response {
        self.send(request("POST", target, authorization, body));
        self.receive()
    }

    /// Signs in, and up where the device is new.
    pub(crate) fn login(&mut self, device: &str) -> Tokens {
        self.post(LOGIN, SERVER_KEY, &format!(r#"{{"id":"{device}"}}"#)).tokens()
    }

    pub(crate) fn refresh(&mut self, token: &str) -> Response {
        let body = format!(r#"{{"token":"{token}"}}"#);
        self.post("/v2/account/session/refresh", SERVER_KEY, &body)
    }

    pub(crate) fn logout(&mut self, session: &str, body: &str) {
        let response = self.post("/v2/session/logout", &bearer(session), body);
        assert_eq!((response.status, response.body.as_str()), (200, "{}"));
    }

    /// The caller's user id.
    pub(crate) fn user_id(&mut self, session: &str) -> String {
        let response = self.get("/v2/account", &bearer(session));
        assert_eq!(response.status, 200, "{response:?}");
        response.text(&["user", "id"])
    }

    /// Turns a fresh connection into a WebSocket.
    pub(crate) fn upgrade(mut self, session: &str) -> WebSocket {
        self.send(format!(
            "GET /ws?token={session} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(self.receive().status, 101);
        WebSocket(self)
    }
}

/// One request; an empty authorization is none.
pub(crate) fn request(method: &str, target: &str, authorization: &str, body: &str) -> String {
    let authorization = match authorization {
        "" => String::new(),
        value => format!("Authorization: {value}\r\n"),
    };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: {}\r\n\r\n\
         {body}",
        body.len()
    )
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

impl Response {
    /// The value of a header field, which is written as the server writes it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(field, value)| (field == name).then_some(value))
    }

    pub(crate) fn json(&self) -> Json {
        Json::parse(self.body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {self:?}"))
    }

    /// A text inside the body.
    pub(crate) fn text(&self, path: &[&str]) -> String {
        match member(&self.json(), path) {
            Some(Json::Text(text)) => text.clone(),
            other => panic!("{path:?} is {other:?} in {self:?}"),
        }
    }

    /// The status, and the code of a body that is an error.
    pub(crate) fn refusal(&self) -> (u16, i128) {
        if let Json::Object(members) = self.json()
            && let [(code, Json::Integer(number)), (message, Json::Text(_))] = &*members
            && (code.as_str(), message.as_str()) == ("code", "message")
        {
            return (self.status, *number);
        }
        panic!("{self:?} is no error")
    }

    pub(crate) fn tokens(&self) -> Tokens {
        assert_eq!(self.status, 200, "{self:?}");
        Tokens {
            is_new: member(&self.json(), &["created"]) == Some(&Json::Bool(true)),
            session: self.text(&["token"]),
            refresh: self.text(&["refresh_token"]),
        }
    }
}

/// Follows member names into nested objects.
pub(crate) fn member<'a>(json: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(json, |json, name| match json {
        Json::Object(members) => {
            members.iter().find_map(|(member, value)| (member == name).then_some(value))
        }
        _ => None,
    })
}

/// An open WebSocket.
pub(crate) struct WebSocket(pub(crate) Connection);

impl WebSocket {
    /// Passes over messages until the server closes, and gives the close code.
    pub(crate) fn close_code(&mut self) -> u16 {
        self.close_frame().0
    }

    /// The same with the reason.
    pub(crate) fn close_frame(&mut self) -> (u16, String) {
        loop {
            if let (0x88, payload) = self.frame_in() {
                let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                return (u16::from_be_bytes([payload[0], payload[1]]), reason);
            }
        }
    }

    /// How many frames come in front of the close frame, and its code.
    pub(crate) fn frames_until_close(&mut self) -> (usize, u16) {
        let mut count = 0;
        loop {
            match self.frame_in() {
                (0x88, payload) => return (count, u16::from_be_bytes([payload[0], payload[1]])),
                _ => count += 1,
            }
        }
    }

    /// The first byte and the payload of the next frame.
    pub(crate) fn frame_in(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.0.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length).into()
            }
            length => usize::from(length), // over 64 KiB is nothing that the server sends here
        };
        let mut payload = vec![0; length];
        self.0.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    /// A frame of a client, with the key zero.
    pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap();
        let length = match u8::try_from(length) {
            Ok(short @ 0..126) => vec![0x80 | short],
            _ => [[0x80 | 126].as_slice(), &length.to_be_bytes()].concat(),
        };
        [&[first], &length[..], &[0; 4], payload].concat()
    }

    /// Answers a close frame, as clients do: masked, with the key zero.
    pub(crate) fn confirm_close(&mut self, code: u16) {
        let [high, low] = code.to_be_bytes();
        self.0.send([0x88, 0x82, 0, 0, 0, 0, high, low]);
        assert!(self.0.is_over());
    }
}
