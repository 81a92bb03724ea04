//! HTTP/1.1 requests over one connection that is kept.

use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;

use base::json::{Json, object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Server;
use crate::error::Error;
use crate::session::Session;

const HEADERS_MAX: usize = 64;
/// A head or a body that is larger is not what the client asked for.
const ANSWER_MAX: usize = 16 << 20;
const READ_SIZE: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Authorization<'a> {
    None,
    /// The server key, for authentication calls.
    ServerKey,
    /// A session token.
    Bearer(&'a str),
}

/// An answer of any status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The body of a success.
    pub fn success(self) -> Result<&'a [u8], Error> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let body = String::from_utf8_lossy(self.body).into_owned();
        Err(Error::Status { status: self.status, body })
    }
}

/// One HTTP connection. It is opened by the first request, and by the next one after the server has
/// said that it closes it or something failed.
#[derive(Debug)]
pub struct Http {
    server: Arc<Server>,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    /// Bytes of the last answer at the beginning of `input`.
    taken: usize,
}

impl Http {
    pub fn new(server: Arc<Server>) -> Http {
        Http { server, stream: None, input: Vec::new(), taken: 0 }
    }

    /// Opens the connection ahead of the first request.
    pub async fn connect(&mut self) -> Result<(), Error> {
        if self.stream.is_none() {
            self.stream = Some(self.server.connect().await?);
            self.input.clear();
            self.taken = 0;
        }
        Ok(())
    }

    /// The bytes of a request. A load generator keeps them and calls [`Http::send`] many times.
    pub fn encode(
        &self,
        method: Method,
        target: &str,
        authorization: Authorization<'_>,
        body: &[u8],
    ) -> Vec<u8> {
        let Server { host, port, key, .. } = &*self.server;
        let mut out = Vec::with_capacity(512 + body.len());
        let written = match authorization {
            Authorization::None => Ok(()),
            Authorization::ServerKey => {
                let credentials = STANDARD.encode(format!("{key}:"));
                write!(out, "Authorization: Basic {credentials}\r\n")
            }
            Authorization::Bearer(token) => write!(out, "Authorization: Bearer {token}\r\n"),
        };
        written.expect("a Vec takes every byte");
        let length = if method == Method::Get && body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        };
        let head = format!("{} {target} HTTP/1.1\r\nHost: {host}:{port}\r\n", method.name());
        [head.as_bytes(), &out, length.as_bytes(), b"\r\n", body].concat()
    }

    /// Sends the bytes of one request and waits for its answer.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, Error> {
        self.connect().await?;
        let timeout = self.server.timeout;
        let answer = match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.stream = None;
                return Err(error);
            }
            Err(_) => {
                self.stream = None;
                return Err(Error::Timeout);
            }
        };
        if answer.closes {
            self.stream = None;
        }
        self.taken = answer.length;
        Ok(Answer { status: answer.status, body: &self.input[answer.body] })
    }

    /// A request of any kind.
    pub async fn request(
        &mut self,
        method: Method,
        target: &str,
        authorization: Authorization<'_>,
        body: &[u8],
    ) -> Result<Answer<'_>, Error> {
        let request = self.encode(method, target, authorization, body);
        self.send(&request).await
    }

    /// The bytes of a sign-in by device, for [`Http::send`].
    pub fn encode_device(&self, id: &str, create: bool) -> Vec<u8> {
        let target = format!("/v2/account/authenticate/device?create={create}");
        let body = object(|o| o.text("id", id));
        self.encode(Method::Post, &target, Authorization::ServerKey, body.as_bytes())
    }

    /// The bytes of a sign-in by e-mail address and password, for [`Http::send`].
    pub fn encode_email(&self, email: &str, password: &str, create: bool) -> Vec<u8> {
        let target = format!("/v2/account/authenticate/email?create={create}");
        let body = object(|o| {
            o.text("email", email);
            o.text("password", password);
        });
        self.encode(Method::Post, &target, Authorization::ServerKey, body.as_bytes())
    }

    pub async fn authenticate_device(&mut self, id: &str, create: bool) -> Result<Session, Error> {
        let request = self.encode_device(id, create);
        Session::parse(self.send(&request).await?.success()?)
    }

    /// Exchanges the refresh token for a new session.
    pub async fn refresh(&mut self, session: &Session) -> Result<Session, Error> {
        let request = self.encode_refresh(&session.refresh_token);
        Session::parse(self.send(&request).await?.success()?)
    }

    fn encode_refresh(&self, refresh_token: &str) -> Vec<u8> {
        let body = object(|o| o.text("token", refresh_token));
        let target = "/v2/account/session/refresh";
        self.encode(Method::Post, target, Authorization::ServerKey, body.as_bytes())
    }

    /// The bytes that ask for the own account, for [`Http::send`].
    pub fn encode_account(&self, token: &str) -> Vec<u8> {
        self.encode(Method::Get, "/v2/account", Authorization::Bearer(token), &[])
    }

    pub async fn account(&mut self, token: &str) -> Result<Json, Error> {
        let request = self.encode_account(token);
        let answer = self.send(&request).await?;
        Json::parse(answer.success()?).map_err(|_| Error::Protocol("account is not JSON"))
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Whole, Error> {
        let stream = self.stream.as_mut().ok_or(Error::Closed)?;
        stream.write_all(request).await.map_err(Error::Broken)?;
        self.input.drain(..self.taken);
        self.taken = 0;
        loop {
            if !self.input.is_empty()
                && let Some(answer) = parse(&mut self.input)?
            {
                return Ok(answer);
            }
            if self.input.len() > ANSWER_MAX {
                return Err(Error::Protocol("answer is too large"));
            }
            self.input.reserve(READ_SIZE);
            if stream.read_buf(&mut self.input).await.map_err(Error::Broken)? == 0 {
                return Err(Error::Closed);
            }
        }
    }
}

/// Where a complete answer lies.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    status: u16,
    body: Range<usize>,
    length: usize,
    closes: bool,
}

/// Finds the answer at the beginning of `input`, and moves the pieces of a chunked body together
/// once all of them are there.
fn parse(input: &mut [u8]) -> Result<Option<Whole>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Error::Protocol("head is malformed")),
    };
    let status = response.code.unwrap_or_default();
    let mut length = None;
    let mut chunked = false;
    let mut closes = response.version == Some(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).unwrap_or_default();
            length = text.trim().parse::<usize>().ok().filter(|length| *length <= ANSWER_MAX);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = header.value.eq_ignore_ascii_case(b"chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    if matches!(status, 101 | 204 | 304) {
        return Ok(Some(Whole { status, body: head..head, length: head, closes }));
    }
    if chunked {
        let Some((body, length)) = join_chunks(input, head)? else {
            return Ok(None);
        };
        return Ok(Some(Whole { status, body: head..body, length, closes }));
    }
    let end = head + length.ok_or(Error::Protocol("answer without a length"))?;
    if input.len() < end {
        return Ok(None);
    }
    Ok(Some(Whole { status, body: head..end, length: end, closes }))
}

/// Where the joined body and where the whole answer ends, once all chunks are there.
fn join_chunks(input: &mut [u8], head: usize) -> Result<Option<(usize, usize)>, Error> {
    const MALFORMED: Error = Error::Protocol("chunk is malformed");
    let mut chunks = Vec::new();
    let mut at = head;
    loop {
        let (line, size) = match httparse::parse_chunk_size(&input[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(MALFORMED),
        };
        let size = usize::try_from(size).map_err(|_| MALFORMED)?;
        if size > ANSWER_MAX {
            return Err(Error::Protocol("answer is too large"));
        }
        let start = at + line;
        let end = start + size;
        let Some(line_end) = input.get(end..end + 2) else {
            return Ok(None);
        };
        if line_end != b"\r\n" {
            return Err(Error::Protocol("trailers are not understood"));
        }
        at = end + 2;
        if size == 0 {
            break;
        }
        chunks.push(start..end);
    }
    let mut joined = head;
    for chunk in chunks {
        let size = chunk.len();
        input.copy_within(chunk, joined);
        joined += size;
    }
    Ok(Some((joined, at)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// As the documents of Nakama's HTTP interface have them; no field asks for compression.
    #[test]
    fn requests_have_the_documented_form() {
        let timeout = Duration::from_secs(1);
        let server = Server { host: "host".into(), port: 7350, key: "defaultkey".into(), timeout };
        let http = Http::new(Arc::new(server));
        let post = |target: &str, body: &str| {
            format!(
                "POST {target} HTTP/1.1\r\nHost: host:7350\r\n\
                 Authorization: Basic ZGVmYXVsdGtleTo=\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let cases = [
            (
                http.encode_device("ringload-1", true),
                post("/v2/account/authenticate/device?create=true", r#"{"id":"ringload-1"}"#),
            ),
            (
                http.encode_email("a@mail.example", "password", false),
                post(
                    "/v2/account/authenticate/email?create=false",
                    r#"{"email":"a@mail.example","password":"password"}"#,
                ),
            ),
            (
                http.encode_refresh("a.b.c"),
                post("/v2/account/session/refresh", r#"{"token":"a.b.c"}"#),
            ),
            (
                http.encode_account("a.b.c"),
                "GET /v2/account HTTP/1.1\r\nHost: host:7350\r\n\
                 Authorization: Bearer a.b.c\r\n\r\n"
                    .to_owned(),
            ),
        ];
        for (request, expected) in cases {
            assert_eq!(String::from_utf8(request).unwrap(), expected);
        }
    }

    fn body_of(text: &str) -> Result<Option<(u16, String, bool)>, Error> {
        let mut input = text.as_bytes().to_vec();
        Ok(parse(&mut input)?.map(|whole| {
            assert_eq!(whole.length, text.len());
            let body = String::from_utf8_lossy(&input[whole.body]).into_owned();
            (whole.status, body, whole.closes)
        }))
    }

    #[test]
    fn an_answer_is_complete_with_its_last_byte_only() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        ] {
            for length in 0..text.len() {
                assert_eq!(parse(&mut text.as_bytes()[..length].to_vec()).unwrap(), None);
            }
            assert_eq!(body_of(text).unwrap(), Some((200, "hello".to_owned(), false)));
        }
    }

    #[test]
    fn the_end_of_the_connection_is_announced() {
        let text = "HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(body_of(text).unwrap(), Some((503, String::new(), true)));
        let text = "HTTP/1.0 204 X\r\n\r\n";
        assert_eq!(body_of(text).unwrap(), Some((204, String::new(), true)));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
        ] {
            assert!(parse(&mut text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }
}
