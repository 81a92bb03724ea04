//! A realtime socket: envelopes as JSON text over WebSocket.
//!
//! tungstenite encodes, masks and decodes in memory; the socket's bytes are read and written here,
//! so that several envelopes leave in one write.

use std::io::{self, Read, Write};

use tokio::net::TcpStream;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, Utf8Bytes, WebSocket};

use crate::Server;
use crate::error::Error;
use crate::session::{member, text};
use base::json::Json;

const HEADERS_MAX: usize = 64;
const HEAD_MAX: usize = 16 * 1024;
/// Read at once. Ten thousand idle sockets hold a buffer of this size each, inside tungstenite.
const READ_SIZE: usize = 4 * 1024;

/// One socket after its handshake.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    codec: WebSocket<Pipe>,
    timeout: std::time::Duration,
}

impl Socket {
    /// Opens a socket for a session token; `online` announces the user's presence.
    pub async fn open(server: &Server, token: &str, online: bool) -> Result<Socket, Error> {
        let stream = server.connect().await?;
        let handshake = shake_hands(server, &stream, token, online);
        let rest =
            tokio::time::timeout(server.timeout, handshake).await.map_err(|_| Error::Timeout)??;
        let config = WebSocketConfig::default().read_buffer_size(READ_SIZE).write_buffer_size(0);
        let pipe = Pipe { input: rest, ..Pipe::default() };
        let codec = WebSocket::from_raw_socket(pipe, Role::Client, Some(config));
        Ok(Socket { stream, codec, timeout: server.timeout })
    }

    /// Encodes an envelope; [`Socket::flush`] sends it.
    pub fn push(&mut self, envelope: &str) -> Result<(), Error> {
        self.codec.write(Message::text(envelope)).map_err(|error| failure(&error))
    }

    /// Writes all that was encoded.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.codec.flush().map_err(|error| failure(&error))?;
        let writing = write_all(&self.stream, self.codec.get_mut());
        match tokio::time::timeout(self.timeout, writing).await {
            Ok(written) => written,
            Err(_) => Err(Error::Timeout),
        }
    }

    pub async fn send(&mut self, envelope: &str) -> Result<(), Error> {
        self.push(envelope)?;
        self.flush().await
    }

    /// The next envelope, however long it takes. Pings are answered on the way.
    pub async fn receive(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            if let Some(envelope) = self.take()? {
                return Ok(envelope);
            }
            // A pong or the echo of a close frame may have been encoded.
            write_all(&self.stream, self.codec.get_mut()).await?;
            self.stream.readable().await.map_err(Error::Broken)?;
            let input = &mut self.codec.get_mut().input;
            input.reserve(READ_SIZE);
            match self.stream.try_read_buf(input) {
                Ok(0) => return Err(Error::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::Broken(error)),
            }
        }
    }

    /// The next envelope among the bytes that were read.
    pub fn take(&mut self) -> Result<Option<Utf8Bytes>, Error> {
        loop {
            match self.codec.read() {
                Ok(Message::Text(envelope)) => return Ok(Some(envelope)),
                Ok(Message::Binary(_)) => return Err(Error::Protocol("binary frame")),
                Ok(Message::Close(frame)) => {
                    let (code, reason) = match frame {
                        Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
                        None => (1005, String::new()),
                    };
                    return Err(Error::SocketClosed { code, reason });
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    /// Sends a request that carries `cid` and waits for its reply; other envelopes go to `other`.
    pub async fn ask(
        &mut self,
        cid: &str,
        envelope: &str,
        mut other: impl FnMut(Json),
    ) -> Result<Json, Error> {
        self.send(envelope).await?;
        let timeout = self.timeout;
        let reply = async {
            loop {
                let envelope = parse(&self.receive().await?)?;
                if text(&envelope, "cid") == Some(cid) {
                    return match member(&envelope, "error") {
                        Some(error) => Err(Error::Refused(format!("{error:?}"))),
                        None => Ok(envelope),
                    };
                }
                other(envelope);
            }
        };
        match tokio::time::timeout(timeout, reply).await {
            Ok(reply) => reply,
            Err(_) => Err(Error::Timeout),
        }
    }
}

fn parse(envelope: &str) -> Result<Json, Error> {
    Json::parse(envelope.as_bytes()).map_err(|_| Error::Protocol("envelope is not JSON"))
}

/// Upgrades the connection, and gives what came behind the answer.
async fn shake_hands(
    server: &Server,
    stream: &TcpStream,
    token: &str,
    online: bool,
) -> Result<Vec<u8>, Error> {
    let key = generate_key();
    let request = encode_handshake(server, token, online, &key);
    let mut pipe = Pipe { output: request.into_bytes(), ..Pipe::default() };
    write_all(stream, &mut pipe).await?;
    let mut input = pipe.input;
    loop {
        if let Some(head) = check_handshake(&input, &key)? {
            return Ok(input.split_off(head));
        }
        if input.len() > HEAD_MAX {
            return Err(Error::Protocol("handshake is too large"));
        }
        stream.readable().await.map_err(Error::Broken)?;
        match stream.try_read_buf(&mut input) {
            Ok(0) => return Err(Error::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Error::Broken(error)),
        }
    }
}

fn encode_handshake(server: &Server, token: &str, online: bool, key: &str) -> String {
    let Server { host, port, .. } = server;
    format!(
        "GET /ws?lang=en&status={online}&token={token} HTTP/1.1\r\nHost: {host}:{port}\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n\r\n"
    )
}

/// The length of a complete and good answer.
fn check_handshake(input: &[u8], key: &str) -> Result<Option<usize>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Error::Protocol("handshake is malformed")),
    };
    let status = response.code.unwrap_or_default();
    if status != 101 {
        let body = String::from_utf8_lossy(&input[length..]).into_owned();
        return Err(Error::Status { status, body });
    }
    let accept = derive_accept_key(key.as_bytes());
    let is_accept =
        |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("sec-websocket-accept");
    match response.headers.iter().find(is_accept) {
        Some(header) if header.value == accept.as_bytes() => Ok(Some(length)),
        _ => Err(Error::Protocol("handshake has the wrong accept key")),
    }
}

async fn write_all(stream: &TcpStream, pipe: &mut Pipe) -> Result<(), Error> {
    while !pipe.output.is_empty() {
        match stream.try_write(&pipe.output) {
            Ok(count) if count == pipe.output.len() => pipe.output.clear(),
            Ok(count) => drop(pipe.output.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.writable().await.map_err(Error::Broken)?;
            }
            Err(error) => return Err(Error::Broken(error)),
        }
    }
    Ok(())
}

fn failure(error: &tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Error::Closed,
        tungstenite::Error::Capacity(_) => Error::Protocol("message is too large"),
        _ => Error::Protocol("frame is malformed"),
    }
}

/// What tungstenite reads from and writes to.
#[derive(Debug, Default)]
struct Pipe {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the documents of Nakama's realtime interface have it, with neither a subprotocol nor an
    /// extension.
    #[test]
    fn a_handshake_has_the_documented_form() {
        let timeout = std::time::Duration::from_secs(1);
        let server = Server { host: "host".into(), port: 7350, key: String::new(), timeout };
        assert_eq!(
            encode_handshake(&server, "a.b-_.c", true, "dGhlIHNhbXBsZSBub25jZQ=="),
            "GET /ws?lang=en&status=true&token=a.b-_.c HTTP/1.1\r\nHost: host:7350\r\n\
             Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
    }

    #[test]
    fn a_handshake_needs_the_right_accept_key() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let length = check_handshake(good.as_bytes(), key).unwrap();
        assert_eq!(length, Some(good.len()));
        assert_eq!(check_handshake(&good.as_bytes()[..40], key).unwrap(), None);
        let wrong = good.replace("s3p", "S3p");
        let error = check_handshake(wrong.as_bytes(), key).unwrap_err();
        assert_eq!(error.kind(), "protocol: handshake has the wrong accept key");
        let refused = "HTTP/1.1 401 Unauthorized\r\n\r\n";
        let error = check_handshake(refused.as_bytes(), key).unwrap_err();
        assert_eq!(error.kind(), "status 401");
    }
}
