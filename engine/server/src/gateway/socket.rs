//! One connection: its protocol, its deadlines, its end.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use api::cors;
use api::http::Response;
use api::ops::Door;
use base::Instant;
use bytes::Bytes;
use net::{http, ws};

use super::edge::{Edge, Shape};
use super::outgoing::Outgoing;
use super::request;
use super::transport::Transport;
use crate::address::client_address;
use crate::driver::Driver;

/// A peer that has so many bytes to take is not read from until it takes them.
const OUTGOING_PAUSE: usize = 64 * 1024;
/// The close code of a peer that does what it may not.
const POLICY: u16 = 1008;
/// How long a refused peer's bytes are still taken and dropped. Closing with bytes unread would
/// reset the connection, and the peer might never read why.
const LINGER: Duration = Duration::from_secs(2);

/// One connection, shared by its task, which reads and waits, and the driver, which writes.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Names the connection on this core.
    pub number: u64,
    state: RefCell<State>,
    /// Of the connection's task, while it waits.
    waker: RefCell<Option<Waker>>,
    is_dirty: Cell<bool>,
}

#[derive(Debug)]
struct State {
    connection: Transport,
    edge: Rc<Edge>,
    protocol: Protocol,
    outgoing: Outgoing,
    /// Until when the WebSocket was given back frames.
    frames_allowed: Instant,
    end: End,
    /// The peer was refused: linger before closing.
    is_refused: bool,
    /// The codec was fed, and may hold an event still.
    is_undecoded: bool,
    /// The task waits for the connection to become readable.
    is_reading: bool,
    /// The shard asked to read no further.
    is_paused: bool,
    is_draining: bool,
    /// What the peer is waited for, and when it has to have done it.
    wait: Wait,
    deadline: Option<Instant>,
    /// When the timer looks at the deadline next: never later than the deadline.
    armed: Instant,
}

#[derive(Debug)]
enum Protocol {
    Http {
        decoder: http::Decoder,
        /// The request that is being answered, as much of it as the response needs.
        answering: Option<Answering>,
    },
    WebSocket(ws::Codec),
}

#[derive(Debug)]
struct Answering {
    shape: Shape,
    /// The response that accepts the request's WebSocket handshake, if it is one.
    handshake: Option<Vec<u8>>,
}

/// How far the connection is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Our close frame is on its way; the peer's is waited for.
    Closing,
    /// Nothing is read any more; over when the outgoing bytes are written.
    Flushing,
    /// A refusal is written; what the peer still sends is dropped.
    Lingering,
    /// Over, whatever is left.
    Aborted,
}

/// What the peer is to do. A deadline is set when this changes, not with each byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing: it waits for us, or the shard's pings see to it.
    Nothing,
    /// To send a next request.
    Idle,
    /// To send the rest of a request.
    Request,
    /// To take bytes.
    Take,
    /// To answer a close frame.
    CloseFrame,
    /// To close after a refusal.
    Linger,
}

pub(super) enum Progress {
    Read,
    Over,
}

pub(super) enum Event {
    Request(api::http::Request),
    Text(Bytes),
    Binary,
    Pong,
    /// The codec has answered by itself.
    Answered,
}

impl Socket {
    pub(super) fn new(number: u64, connection: Transport, edge: Rc<Edge>, now: Instant) -> Socket {
        let decoder = http::Decoder::new(edge.limits.http);
        let deadline = now.after(edge.limits.read_timeout); // for the first request
        let state = State {
            connection,
            edge,
            protocol: Protocol::Http { decoder, answering: None },
            outgoing: Outgoing::default(),
            frames_allowed: now,
            end: End::Open,
            is_refused: false,
            is_undecoded: false,
            is_reading: false,
            is_paused: false,
            is_draining: false,
            wait: Wait::Request,
            deadline: Some(deadline),
            armed: deadline,
        };
        Socket {
            number,
            state: RefCell::new(state),
            waker: RefCell::new(None),
            is_dirty: Cell::new(false),
        }
    }

    /// When its timer is to look at it first.
    pub(super) fn armed(&self) -> Instant {
        self.state.borrow().armed
    }

    pub(crate) fn door(&self) -> Door {
        self.state.borrow().edge.door
    }

    /// Whether nothing is under way on it.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        matches!(state.protocol, Protocol::Http { answering: None, .. }) && state.left() == 0
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether the socket was clean: it is to be flushed once.
    pub(crate) fn mark_dirty(&self) -> bool {
        !self.is_dirty.replace(true)
    }

    /// Waits until there is something to read, or the connection is over.
    pub(super) fn poll(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        driver: &Rc<RefCell<Driver>>,
        scratch: &Rc<RefCell<Vec<u8>>>,
    ) -> Poll<Progress> {
        self.waker.replace(None);
        let state = &mut *self.state.borrow_mut();
        state.is_reading = false;
        let sent = state.connection.sent();
        if state.end == End::Aborted || state.poll_write(cx).is_err() {
            return Poll::Ready(Progress::Over);
        }
        if state.connection.sent() > sent {
            driver.borrow_mut().mark_dirty(self); // for its deadline
        }
        if state.end == End::Flushing && state.left() == 0 {
            let _ = state.connection.shutdown(Shutdown::Write); // the peer may be gone already
            if !state.is_refused {
                return Poll::Ready(Progress::Over);
            }
            state.end = End::Lingering;
            state.is_undecoded = false;
        }
        if state.wants_input() && state.is_undecoded {
            return Poll::Ready(Progress::Read); // left over from the last read
        }
        self.waker.replace(Some(cx.waker().clone()));
        if !state.wants_input() {
            return Poll::Pending;
        }
        let mut driver = driver.borrow_mut();
        if driver.is_congested() {
            driver.stall(self.clone());
            return Poll::Pending;
        }
        let scratch = &mut *scratch.borrow_mut();
        match state.connection.poll_read(cx, scratch) {
            Poll::Pending => {
                state.is_reading = true;
                Poll::Pending
            }
            Poll::Ready(Ok(count)) if count > 0 => {
                driver.traffic.received_bytes += count as u64;
                if state.end != End::Lingering {
                    state.feed(&mut scratch[..count], &driver);
                }
                Poll::Ready(Progress::Read)
            }
            Poll::Ready(Ok(_)) if state.end != End::Lingering => {
                state.end = End::Flushing; // it may still read
                Poll::Ready(Progress::Read)
            }
            Poll::Ready(_) => Poll::Ready(Progress::Over),
        }
    }

    pub(super) fn next_event(&self) -> Option<Event> {
        self.state.borrow_mut().next_event()
    }

    /// Writes what it can, adds what was written since the last time, and tells when to look at a
    /// new, earlier deadline.
    pub(crate) fn flush(&self, now: Instant, sent: &mut u64) -> Option<Instant> {
        self.is_dirty.set(false);
        let state = &mut *self.state.borrow_mut();
        state.write_now();
        *sent += state.connection.take_sent();
        state.settle(now);
        // The task has to see to the rest: more to write, an end, input that is wanted again.
        let wants_input = state.wants_input() && !state.is_reading;
        if state.left() > 0 || state.end != End::Open || wants_input {
            self.wake();
        }
        let deadline = state.deadline?;
        if deadline >= state.armed {
            return None;
        }
        state.armed = deadline;
        Some(deadline)
    }

    /// The timer has fired: ends a connection whose time is over, else tells when to look again.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let state = &mut *self.state.borrow_mut();
        if state.armed > now {
            return None; // another timer is set
        }
        match state.deadline {
            Some(deadline) if deadline <= now => {
                state.end = End::Aborted;
                self.wake();
                None
            }
            Some(deadline) => {
                state.armed = deadline;
                Some(deadline)
            }
            None => {
                state.armed = now.after(state.edge.limits.idle_timeout);
                Some(state.armed)
            }
        }
    }

    pub(crate) fn respond(&self, response: &Response) {
        self.state.borrow_mut().respond(response);
    }

    /// Accepts the WebSocket handshake that is being answered.
    pub(crate) fn upgrade(&self) {
        let state = &mut *self.state.borrow_mut();
        let Protocol::Http { decoder, answering } = &mut state.protocol else {
            return;
        };
        let Some(handshake) = answering.take().and_then(|request| request.handshake) else {
            return;
        };
        let rest = decoder.take_rest();
        state.outgoing.buffer().extend_from_slice(&handshake);
        state.is_undecoded = true;
        let codec = ws::Codec::new(state.edge.limits.ws, rest);
        state.protocol = Protocol::WebSocket(codec);
    }

    pub(crate) fn send(&self, text: &[u8]) {
        self.state.borrow_mut().send(text);
    }

    pub(crate) fn ping(&self) {
        if let Protocol::WebSocket(codec) = &mut self.state.borrow_mut().protocol {
            codec.ping();
        }
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        let state = &mut *self.state.borrow_mut();
        if let Protocol::WebSocket(codec) = &mut state.protocol
            && state.end == End::Open
        {
            codec.close(code, reason);
            state.end = End::Closing;
        }
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.state.borrow_mut().is_paused = is_paused;
    }

    /// The next response is the last; an idle connection ends at once.
    pub(crate) fn drain(&self) {
        let state = &mut *self.state.borrow_mut();
        state.is_draining = true;
        if let Protocol::Http { answering: None, .. } = state.protocol {
            state.end = End::Flushing;
            self.wake();
        }
    }
}

impl State {
    /// Bytes that the peer has still to take.
    fn left(&self) -> usize {
        self.outgoing.size() + self.connection.unsent()
    }

    /// Bytes that could still be dropped, with those that the codec has still to give.
    fn waiting(&self) -> usize {
        let output = match &self.protocol {
            Protocol::WebSocket(codec) => codec.output_size(),
            Protocol::Http { .. } => 0,
        };
        self.outgoing.size() + output
    }

    fn wants_input(&self) -> bool {
        match (&self.protocol, self.end) {
            _ if self.left() > OUTGOING_PAUSE => false,
            (_, End::Flushing | End::Aborted) => false,
            (_, End::Lingering) => true,
            // One request at a time: the next is decoded when this one is answered.
            (Protocol::Http { answering, .. }, _) => answering.is_none(),
            (Protocol::WebSocket(_), End::Open) => !self.is_paused,
            (Protocol::WebSocket(_), End::Closing) => true,
        }
    }

    fn feed(&mut self, bytes: &mut [u8], driver: &Driver) {
        self.is_undecoded = true;
        let protocol = &mut self.protocol;
        let decrypted = self.connection.decrypt(bytes, |plaintext| match protocol {
            Protocol::Http { decoder, .. } => decoder.feed(plaintext),
            Protocol::WebSocket(codec) => codec.feed(plaintext),
        });
        if let Err(failure) = decrypted {
            let peer = self.connection.peer();
            tracing::debug!(%peer, error = &failure as &dyn std::error::Error, "refused");
            self.end = End::Flushing;
            self.is_refused = true; // more of it may be on the way
        } else if let Protocol::WebSocket(codec) = &self.protocol
            && codec.wants_allowance()
        {
            self.allow_frames(driver.now());
        }
    }

    /// Gives the codec back the frames of the time that has passed.
    fn allow_frames(&mut self, now: Instant) {
        let Protocol::WebSocket(codec) = &mut self.protocol else {
            return;
        };
        let Some(rate) = self.edge.frame_rate else {
            return codec.allow(u32::MAX);
        };
        let passed = now.since(self.frames_allowed).as_nanos();
        let frames = u32::try_from(passed * u128::from(rate) / 1_000_000_000).unwrap_or(u32::MAX);
        codec.allow(frames);
        // What is left of a frame's time counts for the next.
        let time = u64::from(frames) * 1_000_000_000 / u64::from(rate);
        self.frames_allowed = self.frames_allowed.after(Duration::from_nanos(time));
    }

    fn next_event(&mut self) -> Option<Event> {
        if !self.wants_input() || self.end == End::Lingering {
            return None;
        }
        let event = self.decode();
        self.is_undecoded = event.is_some();
        event
    }

    fn decode(&mut self) -> Option<Event> {
        match &mut self.protocol {
            Protocol::Http { decoder, .. } => match decoder.poll() {
                Ok(None) => None,
                Ok(Some(http::Event::Continue)) => {
                    self.outgoing.buffer().extend_from_slice(http::CONTINUE);
                    Some(Event::Answered)
                }
                Ok(Some(http::Event::Request(request))) => Some(self.take_request(request)),
                Err(error) => {
                    self.refuse(&error);
                    Some(Event::Answered)
                }
            },
            Protocol::WebSocket(codec) => Some(match codec.poll()? {
                ws::Event::Text(text) => Event::Text(Bytes::from(text)),
                ws::Event::Binary(_) => Event::Binary,
                ws::Event::Ping => Event::Answered,
                ws::Event::Pong => Event::Pong,
                ws::Event::Closed { .. } => {
                    self.end = End::Flushing;
                    Event::Answered
                }
                ws::Event::Failed(failure) => {
                    let peer = self.connection.peer();
                    tracing::debug!(%peer, error = &failure as &dyn std::error::Error, "refused");
                    self.end = End::Flushing;
                    self.is_refused = true; // more of it may be on the way
                    Event::Answered
                }
            }),
        }
    }

    /// What the gateway answers by itself never reaches the shard.
    fn take_request(&mut self, mut request: http::Request) -> Event {
        let Protocol::Http { answering, .. } = &mut self.protocol else {
            return Event::Answered;
        };
        let first = |name| request.header(name).next();
        let is_preflight = request.method == "OPTIONS";
        let asked = cors::Request {
            method: &request.method,
            origin: first("origin"),
            wanted_method: is_preflight.then(|| first("access-control-request-method")).flatten(),
            wanted_headers: is_preflight.then(|| first("access-control-request-headers")).flatten(),
        };
        let door = self.edge.door;
        let verdict = match door {
            Door::Clients => cors::judge(&asked),
            Door::Operators => cors::Verdict::Serve, // no page of another origin
        };
        let handshake = request::handshake(&request);
        let websocket = handshake.is_some();
        let shape = Shape {
            keep_alive: request.keep_alive && !self.is_draining,
            version_minor: request.version_minor,
            is_head: request.method == "HEAD",
            // A scrape is long, and its reader near.
            coding: (door == Door::Clients).then(|| request::coding(&request)).flatten(),
            allow_origin: verdict == cors::Verdict::Allow,
        };
        *answering = Some(Answering { shape, handshake });
        if let cors::Verdict::Answer(response) = verdict {
            self.respond(&response);
            return Event::Answered;
        }
        let body = std::mem::take(&mut request.body);
        match http::inflate(&request, body, self.edge.limits.http.body) {
            Ok(body) => request.body = body,
            Err(error) => {
                self.respond(&Response::error(&request::inflate_error(error)));
                return Event::Answered;
            }
        }
        let client = client_address(
            self.connection.peer().ip(),
            request.header("x-forwarded-for"),
            self.edge.proxy_count,
        );
        Event::Request(request::to_api(request, websocket, client, door))
    }

    /// Answers bytes that are no request, and reads nothing more.
    fn refuse(&mut self, error: &http::Error) {
        let code = match error.status() {
            501 => base::Code::Unimplemented,
            _ => base::Code::InvalidArgument,
        };
        let mut response =
            Response::error(&api::Error::new(code, format!("Bad request: {error}.")));
        response.status = error.status();
        self.edge.encode(self.outgoing.buffer(), &response, Shape::REFUSAL);
        self.end = End::Flushing;
        self.is_refused = true;
    }

    fn respond(&mut self, response: &Response) {
        let Protocol::Http { answering, .. } = &mut self.protocol else {
            return;
        };
        let Some(request) = answering.take() else {
            return;
        };
        let keep_alive = request.shape.keep_alive && !self.is_draining;
        if self.left() == 0 {
            self.stop_waiting(); // the next request has its own time
        }
        let edge = self.edge.clone();
        edge.encode(self.outgoing.buffer(), response, Shape { keep_alive, ..request.shape });
        if !keep_alive {
            self.end = End::Flushing;
        }
    }

    /// Sends a message, or finds out that the peer is too slow for it.
    fn send(&mut self, text: &[u8]) {
        let Protocol::WebSocket(codec) = &mut self.protocol else {
            return;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        if self.end != End::Open {
            return;
        }
        codec.send_text(text);
        self.outgoing.end_message(codec.output_size());
        if self.is_behind() {
            self.write_now(); // the peer may be fast, and the messages many
        }
    }

    /// Writes as much as the kernel takes at once.
    fn write_now(&mut self) {
        if let Protocol::WebSocket(codec) = &mut self.protocol
            && codec.has_output()
        {
            self.outgoing.buffer().append(&mut codec.take_output());
        }
        if self.left() == 0 || self.end == End::Aborted {
            return;
        }
        let sent = self.connection.sent();
        match self.connection.try_write(self.outgoing.unwritten()) {
            Ok(count) => self.outgoing.advance(count),
            Err(_) => self.end = End::Aborted,
        }
        self.wrote_since(sent);
        if self.is_behind() && self.end == End::Open {
            self.drop_slow_reader();
        }
    }

    /// Whether a WebSocket's peer has more to take than it may have.
    fn is_behind(&self) -> bool {
        let limits = &self.edge.limits;
        matches!(self.protocol, Protocol::WebSocket(_))
            && (self.outgoing.message_count() > limits.outgoing_count
                || self.waiting() > limits.outgoing_size)
    }

    /// Tells the peer why it is dropped: behind the message that it is in the middle of, if there
    /// is one. Everything after that is gone.
    fn drop_slow_reader(&mut self) {
        let (messages, bytes) = (self.outgoing.message_count(), self.waiting());
        tracing::info!(peer = %self.connection.peer(), messages, bytes, "slow reader dropped");
        self.end = End::Aborted;
        if let Protocol::WebSocket(codec) = &mut self.protocol
            && self.outgoing.cut()
        {
            codec.close(POLICY, "slow reader");
            self.outgoing.buffer().append(&mut codec.take_output());
            self.end = End::Closing;
        }
    }

    fn wrote_since(&mut self, sent: u64) {
        if self.connection.sent() > sent && self.wait == Wait::Take {
            self.stop_waiting(); // it takes bytes: the rest has its own time
        }
    }

    fn stop_waiting(&mut self) {
        self.wait = Wait::Nothing;
        self.deadline = None;
    }

    /// Writes what is left, waiting for room; behind the last of it, that it was the last.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let sent = self.connection.sent();
        while self.left() > 0 || (self.end == End::Flushing && self.connection.close()) {
            match self.connection.poll_write(cx, self.outgoing.unwritten()) {
                Poll::Ready(count) => self.outgoing.advance(count?),
                Poll::Pending => break,
            }
        }
        self.wrote_since(sent);
        Ok(())
    }

    /// Sets what the peer is waited for, and how long.
    fn settle(&mut self, now: Instant) {
        let wait = match (&self.protocol, self.end) {
            (_, End::Aborted) => Wait::Nothing,
            (_, End::Closing) => Wait::CloseFrame,
            (_, End::Lingering) => Wait::Linger,
            _ if self.left() > 0 => Wait::Take,
            (_, End::Flushing) if self.is_refused => Wait::Linger,
            (_, End::Flushing) => Wait::Nothing,
            (Protocol::WebSocket(_) | Protocol::Http { answering: Some(_), .. }, _) => {
                Wait::Nothing
            }
            // The handshake has the first request's time.
            (Protocol::Http { .. }, End::Open) if self.connection.is_handshaking() => Wait::Request,
            (Protocol::Http { decoder, .. }, End::Open) if decoder.is_idle() => Wait::Idle,
            (Protocol::Http { .. }, End::Open) => Wait::Request,
        };
        if wait == self.wait {
            return;
        }
        self.wait = wait;
        let is_http = matches!(self.protocol, Protocol::Http { .. });
        let time = match wait {
            Wait::Nothing => None,
            Wait::Idle => Some(self.edge.limits.idle_timeout),
            Wait::Request => Some(self.edge.limits.read_timeout),
            Wait::Take if is_http => Some(self.edge.limits.write_timeout),
            Wait::Take => Some(self.edge.limits.write_wait),
            Wait::CloseFrame => Some(self.edge.limits.close_ack_wait),
            Wait::Linger => Some(LINGER),
        };
        self.deadline = time.map(|time| now.after(time));
    }
}
