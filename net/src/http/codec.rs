//! HTTP/1.1 requests out of bytes, responses into bytes.

mod chunked;
mod head;
mod response;

use bytes::Bytes;

use self::chunked::Chunked;
use self::head::{Framing, Head};
pub use self::response::{Response, encode};

/// What a client that sent `Expect: 100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Sizes in bytes, except `headers`, which counts fields.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Request line and header fields, the empty line included.
    pub head: usize,
    pub headers: usize,
    pub body: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// A path with its query, or `*`. Not percent-decoded; printable ASCII.
    pub target: String,
    /// In the order of arrival, names in lower case, values without surrounding blanks.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The digit after `HTTP/1.`.
    pub version_minor: u8,
    /// Whether the client wants another request on this connection.
    pub keep_alive: bool,
}

impl Request {
    /// The values of all fields with this name, which is written in lower case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.headers.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated field names `token`, in any letter case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name)
            .flat_map(|value| value.split(','))
            .any(|part| part.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Request(Request),
    /// The client waits for [`CONTINUE`] before it sends the body.
    Continue,
}

/// Why a connection is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("body of {length} bytes is over the limit of {limit}")]
    BodyTooLarge { length: u64, limit: usize },
    #[error("request head is too large")]
    HeadTooLarge,
    #[error("too many header fields")]
    TooManyHeaders,
    #[error("lines must end with CR LF")]
    LineEnd,
    #[error("malformed request line")]
    RequestLine,
    #[error("malformed request target")]
    Target,
    #[error("malformed header field")]
    Header,
    #[error("header field is not UTF-8")]
    HeaderText,
    #[error("HTTP version is not supported")]
    Version,
    #[error("one Host header field is required")]
    Host,
    #[error("malformed Content-Length")]
    ContentLength,
    #[error("both Content-Length and Transfer-Encoding")]
    AmbiguousLength,
    #[error("Transfer-Encoding is not supported")]
    TransferEncoding,
    #[error("Transfer-Encoding must be chunked, alone and in HTTP/1.1")]
    TransferCodings,
    #[error("malformed chunk")]
    Chunk,
    #[error("malformed trailer, or one that no trailer may carry")]
    Trailer,
    #[error("Expect must be 100-continue")]
    Expectation,
}

impl Error {
    /// The status to answer with before the connection is closed.
    pub fn status(&self) -> u16 {
        match self {
            Error::Expectation => 417,
            Error::HeadTooLarge | Error::TooManyHeaders => 431,
            Error::TransferEncoding => 501,
            Error::Version => 505,
            Error::BodyTooLarge { .. }
            | Error::LineEnd
            | Error::RequestLine
            | Error::Target
            | Error::Header
            | Error::HeaderText
            | Error::Host
            | Error::ContentLength
            | Error::AmbiguousLength
            | Error::TransferCodings
            | Error::Chunk
            | Error::Trailer => 400,
        }
    }
}

/// Requests of one connection, in order, one per poll.
///
/// Lives with the connection on the core that accepted it. Invariants: without a partial request it
/// owns no buffer; after an error, and after a request that ends the connection, it reads nothing.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the undecoded bytes begin in `buffer`.
    start: usize,
    head: HeadScan,
    /// A decoded head that waits for its body.
    waiting: Option<Box<Waiting>>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    /// The last request of the connection was given out, or it speaks another protocol.
    Finished,
    Failed(Error),
}

/// How far the search for the end of the head has come, counted from the head's first byte.
#[derive(Debug, Default)]
struct HeadScan {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    body: Body,
    expects_continue: bool,
}

/// What is missing of a request.
#[derive(Debug)]
enum Body {
    /// So many bytes, which stay in the buffer until they are all there.
    Length(usize),
    /// The rest of the chunks; those that came are taken out of the buffer.
    Chunked(Chunked),
}

impl Decoder {
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            buffer: Vec::new(),
            start: 0,
            head: HeadScan::default(),
            waiting: None,
            state: State::Open,
        }
    }

    /// Takes in bytes of the connection. Poll until nothing comes before feeding more: what is
    /// buffered is at most one request over the limits plus what was fed last.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Open) {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next request, or nothing until more bytes come. An error is final.
    pub fn poll(&mut self) -> Result<Option<Event>, Error> {
        match self.state {
            State::Open => {}
            State::Finished => return Ok(None),
            State::Failed(error) => return Err(error),
        }
        let event = self.decode();
        match &event {
            Ok(Some(Event::Request(request))) if !request.keep_alive => self.end(State::Finished),
            Ok(_) => {}
            Err(error) => self.end(State::Failed(*error)),
        }
        match &self.buffer[self.start..] {
            [] => self.buffer = Vec::new(),
            b"\r" if self.start > 0 => self.buffer = b"\r".to_vec(),
            _ => return event,
        }
        self.start = 0;
        event
    }

    /// Whether no request has begun. Empty lines, and half of one, are no beginning.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && matches!(&self.buffer[self.start..], [] | b"\r")
    }

    /// The bytes after the last request, when the connection goes on in another protocol.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        rest.drain(..self.start);
        self.end(State::Finished);
        rest
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.buffer = Vec::new();
        self.start = 0;
        self.waiting = None;
    }

    fn decode(&mut self) -> Result<Option<Event>, Error> {
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let Some(Head { request, framing, expects_continue }) = self.take_head()? else {
                    return Ok(None);
                };
                let body = match framing {
                    Framing::Length(length) => {
                        if self.buffer.len() - self.start >= length {
                            return Ok(Some(self.finish(request, length)));
                        }
                        Body::Length(length)
                    }
                    Framing::Chunked => Body::Chunked(Chunked::new(self.limits)),
                };
                Box::new(Waiting { request, body, expects_continue })
            }
        };
        let unread = &self.buffer[self.start..];
        match &mut waiting.body {
            Body::Length(length) if unread.len() >= *length => {
                return Ok(Some(self.finish(waiting.request, *length)));
            }
            Body::Length(_) => {}
            Body::Chunked(chunked) => {
                self.start += chunked.decode(unread)?;
                if chunked.is_complete() {
                    let body = chunked.take();
                    return Ok(Some(Event::Request(Request { body, ..waiting.request })));
                }
            }
        }
        let asks = std::mem::take(&mut waiting.expects_continue);
        self.waiting = Some(waiting);
        Ok(asks.then_some(Event::Continue))
    }

    /// The request whose body is the next `length` bytes.
    fn finish(&mut self, request: Request, length: usize) -> Event {
        Event::Request(Request { body: self.take_body(length), ..request })
    }

    fn take_head(&mut self) -> Result<Option<Head>, Error> {
        let Some(length) = self.find_head()? else {
            return Ok(None);
        };
        let fields = self.head.lines - 2; // neither the request line nor the empty one
        self.head = HeadScan::default();
        let head = head::decode(&self.buffer[self.start..self.start + length], fields, self.limits);
        self.start += length;
        head.map(Some)
    }

    /// The length of the head once it is complete.
    fn find_head(&mut self) -> Result<Option<usize>, Error> {
        if self.head.scanned == 0 {
            // RFC 9112, 2.2: empty lines before a request are skipped.
            while self.buffer[self.start..].starts_with(b"\r\n") {
                self.start += 2;
            }
        }
        let unread = &self.buffer[self.start..];
        if unread == b"\r" {
            return Ok(None);
        }
        let visible = &unread[..unread.len().min(self.limits.head)];
        let head = &mut self.head;
        while let Some(found) = visible[head.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = head.scanned + found;
            if end == 0 || visible[end - 1] != b'\r' {
                return Err(Error::LineEnd);
            }
            head.lines += 1;
            if end == head.line_start + 1 {
                return Ok(Some(end + 1));
            }
            if head.lines > self.limits.headers + 1 {
                return Err(Error::TooManyHeaders);
            }
            head.scanned = end + 1;
            head.line_start = end + 1;
        }
        head.scanned = visible.len();
        if unread.len() >= self.limits.head {
            // Without a blank the method alone is that long: no request line at all.
            let is_line = head.lines > 0 || visible.contains(&b' ');
            return Err(if is_line { Error::HeadTooLarge } else { Error::RequestLine });
        }
        Ok(None)
    }

    /// Takes the next `length` bytes, without a copy where nothing follows them.
    fn take_body(&mut self, length: usize) -> Bytes {
        if length == 0 {
            return Bytes::new();
        }
        let body = self.start..self.start + length;
        if body.end == self.buffer.len() {
            self.start = 0;
            return Bytes::from(std::mem::take(&mut self.buffer)).slice(body);
        }
        self.start = body.end;
        Bytes::copy_from_slice(&self.buffer[body])
    }
}

/// Whether it is a character of names (RFC 9110, 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod probe;
#[cfg(test)]
mod tests;
