//! Connections: bytes from the socket into the codecs, events into the shard, and back.

mod edge;
mod outgoing;
mod request;
mod socket;
mod transport;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use api::ops::Door;
use base::limits::OPERATOR_CONNECTIONS_MAX;
use net::rt;
use net::tls::Acceptor;
use shard::Input;

pub(crate) use self::edge::Edge;
pub(crate) use self::socket::Socket;
use self::socket::{Event, Progress};
use self::transport::Transport;
use crate::driver::Driver;

/// What all connections of one core read into: a connection that waits borrows nothing of it.
const SCRATCH_SIZE: usize = 64 * 1024;
/// How long no connection is accepted after one could not be for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Accepts connections until it is cancelled.
pub(crate) async fn accept(
    listener: std::net::TcpListener,
    door: Door,
    driver: Rc<RefCell<Driver>>,
) {
    let listener = rt::listener(listener);
    let scratch = Rc::new(RefCell::new(vec![0; SCRATCH_SIZE]));
    // Neither door keeps anybody out at the other.
    let limit = match door {
        Door::Clients => driver.borrow().connections_max(),
        Door::Operators => OPERATOR_CONNECTIONS_MAX,
    };
    loop {
        match rt::accept(&listener).await {
            Ok(connection) if driver.borrow().connection_count(door) < limit => {
                let serve = serve(connection, door, driver.clone(), scratch.clone());
                glommio::spawn_local(serve).detach();
            }
            Ok(_) => tracing::warn!(limit, "connection refused: too many"),
            Err(error) if rt::is_exhausted(&error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                glommio::timer::sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {} // the peer is gone already
        }
    }
}

async fn serve(
    connection: rt::Connection,
    door: Door,
    driver: Rc<RefCell<Driver>>,
    scratch: Rc<RefCell<Vec<u8>>>,
) {
    let socket = {
        let mut driver = driver.borrow_mut();
        let now = driver.now();
        let is_draining = driver.is_draining();
        let edge = driver.edge(door);
        let connection = Transport::new(connection, driver.tls().map(Acceptor::accept));
        let socket = driver.add_socket(|number| Socket::new(number, connection, edge, now));
        if is_draining && door == Door::Clients {
            socket.drain();
        }
        driver.set_timer(socket.armed(), socket.number);
        socket
    };
    while let Progress::Read = poll_fn(|cx| socket.poll(cx, &driver, &scratch)).await {
        dispatch(&socket, &driver);
        glommio::yield_if_needed().await;
    }
    driver.borrow_mut().remove_socket(socket.number);
}

/// Hands every complete request or message to the shard.
fn dispatch(socket: &Rc<Socket>, driver: &Rc<RefCell<Driver>>) {
    let driver = &mut *driver.borrow_mut();
    let connection = socket.number;
    while let Some(event) = socket.next_event() {
        let input = match event {
            Event::Request(request) => {
                let home = driver.home_for(&request);
                Input::Request { connection, home, request }
            }
            Event::Text(text) => {
                driver.traffic.received_messages += 1;
                Input::Text { connection, text }
            }
            Event::Binary => Input::Binary { connection },
            Event::Pong => Input::Pong { connection },
            Event::Answered => continue,
        };
        driver.take(input);
        driver.carry_out(); // the answer makes way for the next request
    }
    driver.mark_dirty(socket);
    driver.flush();
}
