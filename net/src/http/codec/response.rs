//! Responses into bytes.

use std::io::Write as _;

use super::is_token;

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
        417 => "Expectation Failed",
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
