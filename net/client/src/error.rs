//! What can go wrong between a client and a server.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the socket with code {code}: {reason}")]
    SocketClosed { code: u16, reason: String },
    /// An answer that is no success.
    #[error("HTTP status {status}: {body}")]
    Status { status: u16, body: String },
    /// An `error` envelope on a socket.
    #[error("error envelope: {0}")]
    Refused(String),
    #[error("the server does not speak the protocol: {0}")]
    Protocol(&'static str),
}

impl Error {
    /// A short name that is the same for all errors of a kind, for counting them.
    pub fn kind(&self) -> String {
        match self {
            Error::Connect(error) => format!("connect: {}", error.kind()),
            Error::ConnectTimeout => "connect: timed out".into(),
            Error::Broken(error) => format!("broken: {}", error.kind()),
            Error::Timeout => "timeout".into(),
            Error::Closed => "closed".into(),
            Error::SocketClosed { code, .. } => format!("socket closed: {code}"),
            Error::Status { status, .. } => format!("status {status}"),
            Error::Refused(_) => "error envelope".into(),
            Error::Protocol(what) => format!("protocol: {what}"),
        }
    }
}
