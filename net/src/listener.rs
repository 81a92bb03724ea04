//! Listening sockets that all cores share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, per core.
const BACKLOG: i32 = 1024;
/// How long a port in use may be a killed server's, and how often to look.
const PROBE_MAX: Duration = Duration::from_secs(2);
const PROBE_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{address} is in use by another process")]
    InUse { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Socket {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// One listener per core, all on the same port; port 0 takes a free one.
///
/// SO_REUSEPORT lets the cores share the port, and would let a second server of the same user
/// share it too, so a first socket asks with SO_REUSEADDR alone: that fails while anybody listens,
/// and not because of connections that a killed server left behind.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, Error> {
    if address.port() != 0 {
        probe(address).map_err(|error| refusal(address, error))?;
    }
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(count);
    for _ in 0..count {
        let chosen = match listeners.first() {
            Some(first) => first.local_addr().map_err(|error| refusal(address, error))?,
            None => address,
        };
        let socket = bound(chosen, true).map_err(|error| refusal(chosen, error))?;
        socket.listen(BACKLOG).map_err(|error| refusal(chosen, error))?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

/// Whether anybody listens. The kernel takes down a killed process's ring after the process is
/// gone, and a pending accept keeps the listener till then: some tens of milliseconds at the most.
fn probe(address: SocketAddr) -> io::Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match bound(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && waited < PROBE_MAX => {
                std::thread::sleep(PROBE_PAUSE);
                waited += PROBE_PAUSE;
            }
            probed => return probed.map(drop),
        }
    }
}

/// A blocking socket: io_uring answers "would block" for one that is not, and does not wait.
fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn refusal(address: SocketAddr, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::AddrInUse {
        return Error::InUse { address };
    }
    Error::Socket { address, source }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn the_listeners_share_one_chosen_port() {
        let listeners = bind(any(), 3).unwrap();
        let port = port(&listeners);
        assert_ne!(port, 0);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn a_live_listener_is_an_error_that_names_the_port() {
        let live = bind(any(), 2).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port(&live)));
        let error = bind(address, 2).unwrap_err();
        assert_eq!(error.to_string(), format!("{address} is in use by another process"));
    }

    /// A connection that the server closed first stays in TIME_WAIT on the server's port.
    #[test]
    fn a_server_that_is_gone_can_be_followed_at_once() {
        let listeners = bind(any(), 1).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port(&listeners)));
        let mut client = TcpStream::connect(address).unwrap();
        let (served, _) = listeners[0].accept().unwrap();
        drop(served);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        drop(client);
        drop(listeners);
        assert_eq!(bind(address, 2).unwrap().len(), 2);
    }

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn port(listeners: &[TcpListener]) -> u16 {
        listeners[0].local_addr().unwrap().port()
    }
}
