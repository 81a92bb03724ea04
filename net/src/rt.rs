//! The runtime's sockets: the one file of this crate that names glommio.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use socket2::SockRef;

/// Gives a listener to the executor that this thread runs.
///
/// # Panics
/// Outside an executor.
pub fn listener(listener: std::net::TcpListener) -> TcpListener {
    // SAFETY: `into_raw_fd` gives up an open descriptor of a listening TCP socket, which the new
    // value alone owns from here on.
    unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// The next connection. An error concerns that connection, or a resource that ran out, which
/// [`is_exhausted`] tells; not the listener: go on after it.
pub async fn accept(listener: &TcpListener) -> io::Result<Connection> {
    let stream = listener.accept().await?;
    Connection::new(stream)
}

/// Whether an accept failed for want of something, so that the next would fail too.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// One TCP connection. Lives on the executor that accepted it, and owns no buffer.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
}

impl Connection {
    pub fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        Ok(Connection { stream, peer })
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Reads what has come, or waits for readability: `scratch` is borrowed for this call only, so
    /// all connections of a core can share one. Zero is the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, scratch)
    }

    /// Writes what fits at once, which may be nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        match SockRef::from(&self.descriptor()).send_with_flags(bytes, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Writes a part, or waits until some fits.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Ends one direction or both; what was written is still sent.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&self.descriptor()).shutdown(how)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.stream`, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};

    use glommio::LocalExecutorBuilder;

    use super::*;
    use crate::listener::bind;

    #[test]
    fn bytes_travel_both_ways_and_the_end_is_seen() {
        if let Err(refused) = crate::probe::io_uring() {
            eprintln!("skipped: {refused}");
            return;
        }
        let mut listeners = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        let shared = listeners.pop().unwrap();
        let address = shared.local_addr().unwrap();
        let server = LocalExecutorBuilder::default()
            .io_memory(64 * 1024)
            .spawn(move || async move {
                let listener = listener(shared);
                let mut connection = accept(&listener).await.unwrap();
                assert!(connection.peer().ip().is_loopback());
                let mut scratch = [0; 64];
                let mut written = 0;
                loop {
                    let count = poll_fn(|cx| connection.poll_read(cx, &mut scratch)).await.unwrap();
                    if count == 0 {
                        break;
                    }
                    // Small against the socket's buffer: everything fits at once.
                    written += connection.try_write(&scratch[..count]).unwrap();
                }
                let last = poll_fn(|cx| connection.poll_write(cx, b"bye")).await.unwrap();
                assert_eq!(last, 3);
                connection.shutdown(Shutdown::Write).unwrap();
                written
            })
            .unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let mut echo = [0; 5];
        for _ in 0..100 {
            client.write_all(b"hello").unwrap();
            client.read_exact(&mut echo).unwrap();
            assert_eq!(&echo, b"hello");
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bye");
        assert_eq!(server.join().unwrap(), 500);
    }
}
