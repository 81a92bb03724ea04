//! The sockets that this core accepted. A connection belongs to a session, which may live
//! elsewhere: that one is lost and that the other ends are two events.

use std::sync::Arc;

use api::http::Response;
use base::{ConnectionId, Instant, ShardId};
use bytes::Bytes;
use domain::identity::token::{Claims, Kind};

use crate::message::Message;
use crate::output::Output;
use crate::task::shutting_down;
use crate::view::Depends;
use crate::{Shard, Timer};

/// An upgraded connection. Lives on the core that accepted it.
///
/// Invariant: one timer is set for it, at the earlier of `ping` and `deadline`, or before.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where its session lives.
    home: ShardId,
    /// When the next ping is due.
    ping: Instant,
    /// When the peer counts as gone.
    deadline: Instant,
    /// Messages since the deadline last moved.
    received: u32,
}

/// How far the opening of a socket is.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// This task asks whether the token is good.
    Asked(u64),
    /// It is; what tells so is not durable yet.
    Granted,
}

impl Shard {
    /// Upgrades a connection and attaches it to a new session on `home`. What let it in is durable.
    pub(crate) fn open_socket(
        &mut self,
        number: u64,
        home: ShardId,
        claims: &Claims,
        online: bool,
    ) {
        if self.handshakes.remove(&number).is_none() {
            return; // the peer has left
        }
        let depends = Depends::default();
        if self.is_draining {
            let response = Response::error(&shutting_down());
            return self.respond(number, response, &depends);
        }
        self.output(Output::Upgrade { connection: number }, &depends);
        let ping = self.now.monotonic.after(self.config.ping_period);
        let deadline = self.now.monotonic.after(self.config.pong_wait);
        self.connections.insert(number, Connection { home, ping, deadline, received: 0 });
        self.timers.set(ping.min(deadline), Timer::Connection(number));
        let connection = ConnectionId { shard: self.id, number };
        let bearer = self.bearer(claims, Kind::Session);
        let username = Arc::from(claims.username.as_str());
        let attach = Message::Attach { connection, bearer, username, online };
        self.send(home, attach, &depends);
    }

    pub(crate) fn handle_text(&mut self, number: u64, text: Bytes) {
        let now = self.now.monotonic;
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        connection.received += 1;
        if connection.received >= self.config.ping_backoff_threshold {
            connection.received = 0;
            connection.deadline = now.after(self.config.pong_wait);
        }
        let home = connection.home;
        let connection = ConnectionId { shard: self.id, number };
        self.send(home, Message::Text { connection, text }, &Depends::default());
    }

    pub(crate) fn handle_binary(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let home = connection.home;
        let connection = ConnectionId { shard: self.id, number };
        self.send(home, Message::WrongFrame { connection }, &Depends::default());
    }

    pub(crate) fn handle_pong(&mut self, number: u64) {
        let deadline = self.now.monotonic.after(self.config.pong_wait);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.deadline = deadline;
        }
    }

    pub(crate) fn handle_closed(&mut self, number: u64) {
        if let Some(Handshake::Asked(task)) = self.handshakes.remove(&number) {
            self.cancel_task(task); // the peer left before its socket was open
        }
        let Some(connection) = self.connections.remove(&number) else { return };
        let id = ConnectionId { shard: self.id, number };
        self.send(connection.home, Message::Detach { connection: id }, &Depends::default());
    }

    /// Closes a socket from this side; its session ends.
    pub(crate) fn close_connection(&mut self, number: u64, code: u16, reason: &'static str) {
        self.output(Output::Close { connection: number, code, reason }, &Depends::default());
        self.handle_closed(number);
    }

    /// Pings a socket, or gives it up. The timer is not moved with each pong: it looks when it
    /// fires.
    pub(crate) fn expire_connection(&mut self, number: u64) {
        let now = self.now.monotonic;
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if connection.deadline <= now {
            return self.close_connection(number, 1000, "no pong in time");
        }
        let is_ping_due = connection.ping <= now;
        if is_ping_due {
            connection.ping = now.after(self.config.ping_period);
        }
        let next = connection.ping.min(connection.deadline);
        self.timers.set(next, Timer::Connection(number));
        if is_ping_due {
            self.output(Output::Ping { connection: number }, &Depends::default());
        }
    }
}
