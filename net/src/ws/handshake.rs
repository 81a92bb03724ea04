//! The upgrade of an HTTP request to a WebSocket (RFC 6455, 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::http::Request;

/// Why a request does not open a WebSocket. The answer is 400, best with the header
/// `Sec-WebSocket-Version: 13`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("a WebSocket is opened by GET")]
    Method,
    #[error("a WebSocket is opened by HTTP/1.1")]
    HttpVersion,
    #[error("Upgrade does not name websocket")]
    Upgrade,
    #[error("Connection does not name upgrade")]
    Connection,
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
}

impl HandshakeError {
    pub fn status(&self) -> u16 {
        400
    }
}

/// The response that opens the WebSocket. No subprotocol and no extension is selected.
pub fn accept(request: &Request) -> Result<Vec<u8>, HandshakeError> {
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if request.version_minor != 1 {
        return Err(HandshakeError::HttpVersion);
    }
    if !request.has_token("upgrade", "websocket") {
        return Err(HandshakeError::Upgrade);
    }
    if !request.has_token("connection", "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if only_value(request, "sec-websocket-version") != Some("13") {
        return Err(HandshakeError::Version);
    }
    let key = only_value(request, "sec-websocket-key").ok_or(HandshakeError::Key)?;
    let nonce = STANDARD.decode(key).map_err(|_| HandshakeError::Key)?;
    if nonce.len() != 16 {
        return Err(HandshakeError::Key);
    }
    let accept = derive_accept_key(key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes())
}

fn only_value<'a>(request: &'a Request, name: &'a str) -> Option<&'a str> {
    let mut values = request.header(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Decoder, Event, Limits};

    const OPENING: &str = "GET /ws?token=x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

    #[test]
    fn the_sample_of_the_rfc_is_accepted() {
        let response = String::from_utf8(accept(&decode(OPENING)).unwrap()).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        assert!(response.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        assert!(!response.contains("Protocol:") && !response.contains("Extensions"));
    }

    #[test]
    fn each_missing_part_is_named() {
        let check = |from: &str, to: &str, error| {
            assert_eq!(accept(&decode(&OPENING.replace(from, to))), Err(error), "{to}");
        };
        check("GET", "POST", HandshakeError::Method);
        check("HTTP/1.1", "HTTP/1.0", HandshakeError::HttpVersion);
        check("Upgrade: websocket", "Upgrade: h2c", HandshakeError::Upgrade);
        check("keep-alive, Upgrade", "keep-alive", HandshakeError::Connection);
        check("Version: 13", "Version: 8", HandshakeError::Version);
        check("Sec-WebSocket-Version", "X", HandshakeError::Version);
        check("Sec-WebSocket-Key", "X", HandshakeError::Key);
        check("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", HandshakeError::Key);
        check("dGhlIHNhbXBsZSBub25jZQ==", "?", HandshakeError::Key);
        check(
            "Sec-WebSocket-Protocol: chat",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            HandshakeError::Key,
        );
    }

    fn decode(text: &str) -> Request {
        let mut decoder = Decoder::new(Limits { head: 4096, headers: 64, body: 0 });
        decoder.feed(text.as_bytes());
        match decoder.poll() {
            Ok(Some(Event::Request(request))) => request,
            other => panic!("{other:?}"),
        }
    }
}
