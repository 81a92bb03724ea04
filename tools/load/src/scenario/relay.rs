//! Members of relayed matches send each other data; or sockets send themselves data through an
//! echo, which is the yardstick.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use base::json::{Json, object};
use client::{Error, Server, Socket};

use crate::arguments::{Arguments, Scenario};
use crate::payload::{self, Stamp};
use crate::record::Record;
use crate::scenario::{HOPELESS, Run, each, finish, open_socket};

/// How often a member looks whether all have come.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let is_echo = arguments.scenario == Scenario::WsEcho;
    let size = if is_echo { 1 } else { u64::from(arguments.members) };
    let seats = if is_echo {
        echo_seats(arguments).await?
    } else {
        each(arguments.matches, {
            let (server, members) = (arguments.server(), arguments.members);
            move |number| match_seats(server.clone(), number, members)
        })
        .await?
        .into_iter()
        .flatten()
        .collect()
    };
    let run = Run::begin(arguments, "messages")?;
    let traffic = Rc::new(Traffic::default());
    traffic.sending.set(seats.len());
    let grace = Duration::from_millis(arguments.grace_ms);
    let tasks = (0..).zip(seats).map(|(index, seat)| {
        let member = Member {
            socket: seat.socket,
            match_id: seat.match_id,
            index,
            // The one before in the ring of the match; alone, it is the member itself.
            before: index - index % size + (index + size - 1) % size,
            data_size: arguments.size as usize,
            text: String::new(),
            run: run.clone(),
            traffic: traffic.clone(),
            copies: if is_echo { 1 } else { size - 1 },
            grace,
        };
        tokio::task::spawn_local(member.run(arguments.window))
    });
    let tasks: Vec<_> = tasks.collect();
    let mut record = finish(arguments, &run, tasks).await?;
    let (expected, received) = (traffic.expected.get(), traffic.received.get());
    if received < expected {
        record.errors("lost".into(), expected - received);
    } else if received > expected {
        record.errors("received twice".into(), received - expected);
    }
    record.figures.push(("sent", traffic.sent.get() as f64, ""));
    record.figures.push(("received", received as f64, ""));
    Ok(record)
}

/// Where a member sits before the run.
struct Seat {
    socket: Socket,
    match_id: Rc<str>,
}

async fn echo_seats(arguments: &Arguments) -> Result<Vec<Seat>> {
    let server = arguments.server();
    each(arguments.connections, move |_| {
        let server = server.clone();
        async move {
            let socket = Socket::open(&server, "none", false).await?;
            // As long as a match id is.
            let match_id = "00000000-0000-0000-0000-000000000000.".into();
            Ok(Seat { socket, match_id })
        }
    })
    .await
}

/// Makes a match and lets its members join it.
async fn match_seats(server: Arc<Server>, number: u32, members: u32) -> Result<Vec<Seat>, Error> {
    let mut seats: Vec<Seat> = Vec::new();
    for member in 0..members {
        let device = format!("ringload-member-{number}-{member}");
        let mut socket = open_socket(server.clone(), device).await?;
        let envelope = object(|o| {
            o.text("cid", "1");
            match seats.first() {
                None => o.object("match_create", |_| {}),
                Some(first) => o.object("match_join", |o| o.text("match_id", &first.match_id)),
            }
        });
        let reply = socket.ask("1", &envelope, |_| {}).await?;
        let match_id = match_id(&reply).ok_or(Error::Protocol("reply without a match id"))?;
        seats.push(Seat { socket, match_id: match_id.into() });
    }
    Ok(seats)
}

fn match_id(reply: &Json) -> Option<&str> {
    let member = |value: &'_ Json, name: &str| match value {
        Json::Object(members) => members.iter().position(|(key, _)| key == name),
        _ => None,
    };
    let Json::Object(reply_members) = reply else {
        return None;
    };
    let (_, found) = &reply_members[member(reply, "match")?];
    let Json::Object(match_members) = found else {
        return None;
    };
    match &match_members[member(found, "match_id")?].1 {
        Json::Text(id) => Some(id),
        _ => None,
    }
}

/// Counts of all members together.
#[derive(Debug, Default)]
struct Traffic {
    sent: Cell<u64>,
    /// Copies of what was sent, that are to arrive.
    expected: Cell<u64>,
    received: Cell<u64>,
    /// Members that may still send.
    sending: Cell<usize>,
    /// When the last of them stopped.
    sent_by: Cell<Option<Instant>>,
}

impl Traffic {
    fn stop_sending(&self) {
        self.sending.set(self.sending.get() - 1);
        if self.sending.get() == 0 {
            self.sent_by.set(Some(Instant::now()));
        }
    }

    /// Whether everything has come, or what has not is given up.
    fn is_over(&self, grace: Duration) -> bool {
        self.sent_by.get().is_some_and(|sent_by| {
            self.received.get() >= self.expected.get() || sent_by.elapsed() >= grace
        })
    }
}

struct Member {
    socket: Socket,
    match_id: Rc<str>,
    index: u64,
    /// Whose message lets this member send its next one, in a closed loop.
    before: u64,
    data_size: usize,
    text: String,
    run: Rc<Run>,
    traffic: Rc<Traffic>,
    /// How many others get a message.
    copies: u64,
    grace: Duration,
}

impl Member {
    async fn run(mut self, window: u32) {
        let ended = if self.run.schedule.is_open() {
            self.run_open().await
        } else {
            self.run_closed(window).await
        };
        if let Err(error) = ended {
            self.run.error(error.kind());
        }
    }

    /// Sends what the schedule says, and receives all the while.
    async fn run_open(&mut self) -> Result<(), Error> {
        let mut next = self.run.schedule.claim(Instant::now());
        let outcome = loop {
            let Some(due) = next else {
                break Ok(());
            };
            let run = self.run.clone();
            tokio::select! {
                () = run.timer.until(due) => {
                    next = self.push_due(due);
                    if let Err(error) = self.socket.flush().await {
                        break Err(error);
                    }
                }
                envelope = self.socket.receive() => match envelope {
                    Ok(envelope) => {
                        self.count(&envelope);
                        if let Err(error) = self.count_rest() {
                            break Err(error);
                        }
                    }
                    Err(error) => break Err(error),
                }
            }
        };
        self.traffic.stop_sending();
        outcome?;
        self.receive_rest().await
    }

    /// Encodes everything that is due, and gives when the next one is.
    fn push_due(&mut self, mut due: Instant) -> Option<Instant> {
        let now = Instant::now();
        loop {
            if self.run.is_hopeless(now) {
                self.run.error(HOPELESS);
            } else {
                self.push(due);
            }
            let next = self.run.schedule.claim(now)?;
            if next > now {
                return Some(next);
            }
            due = next;
        }
    }

    /// Sends one message for each that comes from the member before.
    async fn run_closed(&mut self, window: u32) -> Result<(), Error> {
        for _ in 0..window {
            if let Some(due) = self.run.schedule.claim(Instant::now()) {
                self.push(due);
            }
        }
        let mut outcome = self.socket.flush().await;
        while outcome.is_ok() && Instant::now() < self.run.schedule.end {
            let run = self.run.clone();
            tokio::select! {
                () = run.timer.until(run.schedule.end) => {}
                envelope = self.socket.receive() => outcome = self.answer(envelope).await,
            }
        }
        self.traffic.stop_sending();
        outcome?;
        self.receive_rest().await
    }

    async fn answer(
        &mut self,
        envelope: Result<impl std::ops::Deref<Target = str>, Error>,
    ) -> Result<(), Error> {
        let mut answers = u32::from(self.count(&envelope?));
        while let Some(envelope) = self.socket.take()? {
            answers += u32::from(self.count(&envelope));
        }
        for _ in 0..answers {
            if let Some(due) = self.run.schedule.claim(Instant::now()) {
                self.push(due);
            }
        }
        self.socket.flush().await
    }

    async fn receive_rest(&mut self) -> Result<(), Error> {
        while !self.traffic.is_over(self.grace) {
            let run = self.run.clone();
            tokio::select! {
                () = run.timer.until(Instant::now() + LOOK) => {}
                envelope = self.socket.receive() => {
                    self.count(&envelope?);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, due: Instant) {
        let since = due.saturating_duration_since(self.run.schedule.start).as_nanos();
        let stamp = Stamp { due: u64::try_from(since).unwrap_or(u64::MAX), sender: self.index };
        self.text.clear();
        payload::write(&mut self.text, &self.match_id, stamp, self.data_size);
        match self.socket.push(&self.text) {
            Ok(()) => {
                self.traffic.sent.set(self.traffic.sent.get() + 1);
                self.traffic.expected.set(self.traffic.expected.get() + self.copies);
            }
            Err(error) => self.run.error(error.kind()),
        }
    }

    fn count_rest(&mut self) -> Result<(), Error> {
        while let Some(envelope) = self.socket.take()? {
            self.count(&envelope);
        }
        Ok(())
    }

    /// Takes in an envelope, and says whether it is a message of the member before.
    fn count(&self, envelope: &str) -> bool {
        let Some(stamp) = payload::read(envelope) else {
            if envelope.starts_with("{\"error\"") {
                self.run.error("error envelope");
            }
            return false;
        };
        self.traffic.received.set(self.traffic.received.get() + 1);
        let due = self.run.schedule.start + Duration::from_nanos(stamp.due);
        self.run.success(due, Instant::now());
        stamp.sender == self.before
    }
}
