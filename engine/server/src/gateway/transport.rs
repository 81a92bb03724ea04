//! A connection as the gateway reads and writes it: plaintext, with TLS below it or without.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll, ready};

use net::{rt, tls};

/// Lives with its socket. With TLS it holds what is encrypted and not written, a record at most and
/// what the handshake says: the rest stays plaintext, so that it can still be dropped.
#[derive(Debug)]
pub(super) struct Transport {
    connection: rt::Connection,
    tls: Option<Box<tls::Stream>>,
    sent: u64,
    counted: u64,
}

impl Transport {
    pub(super) fn new(connection: rt::Connection, tls: Option<tls::Stream>) -> Transport {
        Transport { connection, tls: tls.map(Box::new), sent: 0, counted: 0 }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.connection.peer()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Bytes that are encrypted and not written.
    pub(super) fn unsent(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.output().len())
    }

    /// All bytes that were written: more of them show that the peer takes some.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that were written since this was last asked.
    pub(super) fn take_sent(&mut self) -> u64 {
        self.sent - std::mem::replace(&mut self.counted, self.sent)
    }

    /// Reads what has come, for [`Transport::decrypt`]. Zero is the end, also the one that TLS
    /// announces.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.tls.as_ref().is_some_and(|tls| tls.is_peer_closed()) {
            return Poll::Ready(Ok(0));
        }
        self.connection.poll_read(cx, scratch)
    }

    /// Hands out the plaintext of what was read, in pieces.
    pub(super) fn decrypt(
        &mut self,
        bytes: &mut [u8],
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<(), tls::Failure> {
        match &mut self.tls {
            Some(tls) => tls.feed(bytes, plaintext),
            None => {
                plaintext(bytes);
                Ok(())
            }
        }
    }

    /// Takes what fits at once of the plaintext, which may be nothing.
    pub(super) fn try_write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let count = self.connection.try_write(plaintext)?;
            self.sent += count as u64;
            return Ok(count);
        };
        let mut taken = 0;
        loop {
            while !tls.output().is_empty() {
                let count = self.connection.try_write(tls.output())?;
                if count == 0 {
                    return Ok(taken);
                }
                tls.advance(count);
                self.sent += count as u64;
            }
            match tls.encrypt(&plaintext[taken..]).map_err(io::Error::other)? {
                0 => return Ok(taken),
                count => taken += count,
            }
        }
    }

    /// Takes a part of the plaintext, or waits until some fits. With none it writes what is unsent.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        plaintext: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else {
            let count = ready!(self.connection.poll_write(cx, plaintext))?;
            self.sent += count as u64;
            return Poll::Ready(Ok(count));
        };
        while !tls.output().is_empty() {
            let count = ready!(self.connection.poll_write(cx, tls.output()))?;
            tls.advance(count);
            self.sent += count as u64;
        }
        match tls.encrypt(plaintext).map_err(io::Error::other)? {
            // The handshake goes on when something is read.
            0 if !plaintext.is_empty() => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Nothing more is sent: has TLS say so, once, and tells whether that is to be written.
    pub(super) fn close(&mut self) -> bool {
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        self.unsent() > 0
    }

    /// Ends one direction or both; what was written is still sent.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.connection.shutdown(how)
    }
}
