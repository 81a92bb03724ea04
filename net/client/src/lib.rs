//! A small client of any server that speaks Nakama's client API.
//!
//! # Purpose
//! HTTP/1.1 with keep-alive and a realtime socket over WebSocket, on tokio, cheap enough that one
//! core generates the load of a benchmark. The load generator and later the operator's tool use it.
//!
//! # Owns
//! One TCP connection each for [`Http`] and [`Socket`], with the bytes that are under way.
//!
//! # Invariants
//! - Every wait is bounded by [`Server::timeout`], except [`Socket::receive`], which waits for
//!   events that need not come.
//! - A connection on which anything failed is not used again.
//! - [`Socket::receive`] can be dropped at any await without losing a message.
//!
//! # Never
//! Retries, reconnects within a request, or hides an error: a load generator has to count them.

mod error;
mod http;
mod session;
mod socket;

use std::time::Duration;

use tokio::net::TcpStream;

pub use error::Error;
pub use http::{Answer, Authorization, Http, Method};
pub use session::Session;
pub use socket::Socket;

/// Where a server listens, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Server {
    pub host: String,
    pub port: u16,
    /// User part of the Basic credentials of authentication calls.
    pub key: String,
    /// For connecting, and for each answer.
    pub timeout: Duration,
}

impl Server {
    /// A connection on which nothing was sent yet.
    pub async fn connect(&self) -> Result<TcpStream, Error> {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = tokio::time::timeout(self.timeout, connect)
            .await
            .map_err(|_| Error::ConnectTimeout)?
            .map_err(Error::Connect)?;
        stream.set_nodelay(true).map_err(Error::Connect)?;
        Ok(stream)
    }
}
