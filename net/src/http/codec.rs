//! HTTP/1.1 requests out of bytes, responses into bytes.

use std::io::Write as _;

use bytes::Bytes;

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
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
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
}

impl Error {
    /// The status to answer with before the connection is closed.
    pub fn status(&self) -> u16 {
        match self {
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
            | Error::AmbiguousLength => 400,
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
    length: usize,
    expects_continue: bool,
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
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
            self.start = 0;
        }
        event
    }

    /// Whether no partial request is buffered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.start == self.buffer.len()
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
                let Some(length) = self.find_head()? else {
                    return Ok(None);
                };
                let fields = self.head.lines - 2; // neither the request line nor the empty one
                self.head = HeadScan::default();
                let head = &self.buffer[self.start..self.start + length];
                let waiting = decode_head(head, fields, self.limits)?;
                self.start += length;
                Box::new(waiting)
            }
        };
        if self.buffer.len() - self.start < waiting.length {
            let asks = std::mem::take(&mut waiting.expects_continue);
            self.waiting = Some(waiting);
            return Ok(asks.then_some(Event::Continue));
        }
        let mut request = waiting.request;
        request.body = self.take_body(waiting.length);
        Ok(Some(Event::Request(request)))
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
            return Err(Error::HeadTooLarge);
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

fn decode_head(head: &[u8], fields: usize, limits: Limits) -> Result<Waiting, Error> {
    let mut fields = vec![httparse::EMPTY_HEADER; fields];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Error::RequestLine),
        Err(error) => return Err(refusal(error, head)),
    }
    let (Some(method), Some(target), Some(version_minor)) =
        (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Error::RequestLine);
    };
    let target = decode_target(target)?;
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let value = std::str::from_utf8(field.value).map_err(|_| Error::HeaderText)?;
        headers.push((field.name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let mut request = Request {
        method: method.to_owned(),
        target,
        headers,
        body: Bytes::new(),
        version_minor,
        keep_alive: false,
    };
    check_host(&request)?;
    let length = body_length(&request, limits.body)?;
    request.keep_alive = !request.has_token("connection", "close")
        && (version_minor == 1 || request.has_token("connection", "keep-alive"));
    let expects_continue = version_minor == 1 && request.has_token("expect", "100-continue");
    Ok(Waiting { request, length, expects_continue })
}

fn refusal(error: httparse::Error, head: &[u8]) -> Error {
    match error {
        httparse::Error::Version => {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
            let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
            let well_formed = version
                .strip_prefix(b"HTTP/")
                .is_some_and(|number| matches!(number, [b'0'..=b'9', b'.', b'0'..=b'9']));
            // A supported version in the wrong place is a malformed line.
            if well_formed && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
                Error::Version
            } else {
                Error::RequestLine
            }
        }
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Error::Header,
        httparse::Error::NewLine => Error::LineEnd,
        httparse::Error::TooManyHeaders => Error::TooManyHeaders,
        httparse::Error::Status | httparse::Error::Token => Error::RequestLine,
    }
}

/// Reduces the absolute form to a path.
fn decode_target(target: &str) -> Result<String, Error> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Target);
    }
    if target.starts_with('/') || target == "*" {
        return Ok(target.to_owned());
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(Error::Target);
    };
    if !scheme.eq_ignore_ascii_case("http") || rest.is_empty() {
        return Err(Error::Target);
    }
    match rest.find(['/', '?']) {
        Some(0) => Err(Error::Target),
        Some(at) if rest[at..].starts_with('/') => Ok(rest[at..].to_owned()),
        Some(at) => Ok(format!("/{}", &rest[at..])),
        None => Ok("/".to_owned()),
    }
}

/// RFC 9112, 3.2: one Host in HTTP/1.1, at most one in HTTP/1.0, without what no host contains.
fn check_host(request: &Request) -> Result<(), Error> {
    let mut hosts = request.header("host");
    let host = hosts.next();
    let plausible = host.is_none_or(|host| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte))
    });
    if hosts.next().is_some() || !plausible || (host.is_none() && request.version_minor == 1) {
        return Err(Error::Host);
    }
    Ok(())
}

fn body_length(request: &Request, limit: usize) -> Result<usize, Error> {
    let mut lengths = request.header("content-length");
    let length = lengths.next();
    if request.header("transfer-encoding").next().is_some() {
        return Err(match length {
            Some(_) => Error::AmbiguousLength,
            None => Error::TransferEncoding,
        });
    }
    let Some(digits) = length else {
        return Ok(0);
    };
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if lengths.next().is_some() || !only_digits {
        return Err(Error::ContentLength);
    }
    let length = digits.parse().unwrap_or(u64::MAX); // digits that overflow
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(Error::BodyTooLarge { length, limit }),
    }
}

/// One answer. It carries no Date: a server with a clock may add one (RFC 9110, 6.6.1).
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Three digits; anything else is sent as 500.
    pub status: u16,
    /// Content-Length, Transfer-Encoding and Connection are the encoder's own and are left out.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub keep_alive: bool,
    /// The request's: a client of HTTP/1.0 is told that the connection stays.
    pub version_minor: u8,
    /// The answer to HEAD: the length of the body without the body.
    pub head_only: bool,
}

/// Appends the response. Bytes that would end a line or a name are replaced, so that no value can
/// add a header field.
pub fn encode(out: &mut Vec<u8>, response: &Response<'_>) {
    let status = match response.status {
        status @ 100..=999 => status,
        _ => 500,
    };
    let bodiless = matches!(status, 100..=199 | 204 | 304);
    let fields: usize =
        response.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    out.reserve(96 + fields + response.body.len());
    push_display(out, format_args!("HTTP/1.1 {status} {}\r\n", reason(status)));
    for (name, value) in response.headers {
        if is_framing(name) {
            continue;
        }
        out.extend(name.bytes().map(|byte| if is_token(byte) { byte } else { b'-' }));
        out.extend_from_slice(b": ");
        out.extend(value.bytes().map(|byte| {
            let control = byte != b'\t' && byte.is_ascii_control();
            if control { b' ' } else { byte }
        }));
        out.extend_from_slice(b"\r\n");
    }
    if !response.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if response.version_minor == 0 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    if !bodiless {
        push_display(out, format_args!("Content-Length: {}\r\n", response.body.len()));
    }
    out.extend_from_slice(b"\r\n");
    if !bodiless && !response.head_only {
        out.extend_from_slice(response.body);
    }
}

fn push_display(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a Vec does not fail");
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests;
