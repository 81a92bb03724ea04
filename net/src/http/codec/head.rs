//! The head of a request: its line, its fields, and what they say about the body.

use bytes::Bytes;

use super::{Error, Limits, Request, is_token};

/// A decoded head, and what has to come before its request is whole.
#[derive(Debug)]
pub(super) struct Head {
    pub request: Request,
    pub framing: Framing,
    pub expects_continue: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// Decodes a whole head, empty line included, with this number of fields.
pub(super) fn decode(head: &[u8], fields: usize, limits: Limits) -> Result<Head, Error> {
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
    let target = decode_target(method, target)?;
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
    let framing = body_framing(&request, limits.body)?;
    request.keep_alive = !request.has_token("connection", "close")
        && (version_minor == 1 || request.has_token("connection", "keep-alive"));
    let expects_continue = version_minor == 1 && expects_continue(&request)?;
    Ok(Head { request, framing, expects_continue })
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

/// Reduces the absolute form to a path. A fragment is never sent, and a backslash in a path is a
/// slash to some readers and none to others.
fn decode_target(method: &str, target: &str) -> Result<String, Error> {
    let well_formed = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !well_formed || target.split('?').next().is_some_and(|path| path.contains('\\')) {
        return Err(Error::Target);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(target.to_owned());
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(Error::Target);
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if !scheme.eq_ignore_ascii_case("http") || !is_host(authority) {
        return Err(Error::Target);
    }
    if path.starts_with('/') { Ok(path.to_owned()) } else { Ok(format!("/{path}")) }
}

/// RFC 9112, 3.2: one Host in HTTP/1.1, at most one in HTTP/1.0, without what no host contains.
fn check_host(request: &Request) -> Result<(), Error> {
    let mut hosts = request.header("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, None) if request.version_minor == 0 => Ok(()),
        _ => Err(Error::Host),
    }
}

/// A host with its port, without user information.
fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// RFC 9112, 6: what two readers could take for different bodies is refused.
fn body_framing(request: &Request, limit: usize) -> Result<Framing, Error> {
    let mut lengths = request.header("content-length");
    let length = lengths.next();
    let mut codings = request.header("transfer-encoding");
    if let Some(coding) = codings.next() {
        let is_lone = codings.next().is_none() && request.version_minor == 1;
        return match length {
            Some(_) => Err(Error::AmbiguousLength),
            None if is_lone && coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            None if is_lone && !coding.is_empty() && coding.bytes().all(is_token) => {
                Err(Error::TransferEncoding)
            }
            None => Err(Error::TransferCodings),
        };
    }
    let Some(digits) = length else {
        return Ok(Framing::Length(0));
    };
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if lengths.next().is_some() || !only_digits {
        return Err(Error::ContentLength);
    }
    let length = digits.parse().unwrap_or(u64::MAX); // digits that overflow
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(Framing::Length(length)),
        _ => Err(Error::BodyTooLarge { length, limit }),
    }
}

/// RFC 9110, 10.1.1: `100-continue` is the one expectation there is.
fn expects_continue(request: &Request) -> Result<bool, Error> {
    let mut expects = false;
    for value in request.header("expect") {
        if !value.eq_ignore_ascii_case("100-continue") {
            return Err(Error::Expectation);
        }
        expects = true;
    }
    Ok(expects)
}
