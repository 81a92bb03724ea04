//! Peers that a server has to bear: heads that come byte by byte, handshakes that nobody ends, and
//! connections that say nothing. What the server closes is opened again.

use std::cell::{Cell, RefCell};
use std::iter::repeat;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use client::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout_at};

use crate::arguments::{Arguments, Scenario};
use crate::record::Record;
use crate::scenario::{each, tell_ready};

/// Between two bytes of a slow head.
const BYTE_PAUSE: Duration = Duration::from_secs(2);
/// The beginning of a slow head, which goes on for ever.
const SLOW_HEAD: &[u8] = b"GET /v2/account HTTP/1.1\r\nX-Slow: ";
/// A handshake without its end.
const HANDSHAKE: &[u8] = b"GET /ws?token=none HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\n";
/// How long a peer rests when the server has closed its connection.
const CLOSED_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let (server, count) = (arguments.server(), arguments.connections);
    let streams = each(count, {
        let server = server.clone();
        move |_| {
            let server = server.clone();
            async move { server.connect().await }
        }
    })
    .await?;
    tell_ready(arguments);
    let crowd = Rc::new(Crowd {
        server,
        end: Instant::now() + Duration::from_secs(arguments.seconds),
        open: Cell::new(count),
        least: Cell::new(count),
        closed: Cell::new(0),
        record: RefCell::new(Record::new("peers")),
    });
    let tasks: Vec<_> = (0..)
        .zip(streams)
        .map(|(number, stream)| {
            let manner = match arguments.scenario {
                // One after the other, rather than all at the same moments.
                Scenario::SlowHeaders => Manner::Slow(BYTE_PAUSE * number / count),
                _ if number % 2 == 0 => Manner::Silent,
                _ => Manner::Handshake,
            };
            tokio::task::spawn_local(hold(crowd.clone(), manner, stream))
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    let mut record = crowd.record.replace(Record::new(""));
    record.figures.push(("peers", f64::from(crowd.open.get()), ""));
    record.figures.push(("peers_least", f64::from(crowd.least.get()), ""));
    record.figures.push(("closed_by_server", f64::from(crowd.closed.get()), ""));
    Ok(record)
}

/// What all peers share.
struct Crowd {
    server: Arc<Server>,
    end: Instant,
    /// Connections that are open, and how few that were at some moment.
    open: Cell<u32>,
    least: Cell<u32>,
    /// How often the server has closed one.
    closed: Cell<u32>,
    record: RefCell<Record>,
}

#[derive(Clone, Copy)]
enum Manner {
    Silent,
    Handshake,
    /// A byte at a time, the first one after so long.
    Slow(Duration),
}

/// Keeps one connection open until the end.
async fn hold(crowd: Rc<Crowd>, manner: Manner, mut stream: TcpStream) {
    loop {
        if timeout_at(crowd.end.into(), stay(&mut stream, manner)).await.is_err() {
            return;
        }
        crowd.closed.set(crowd.closed.get() + 1);
        crowd.open.set(crowd.open.get() - 1);
        crowd.least.set(crowd.least.get().min(crowd.open.get()));
        if timeout_at(crowd.end.into(), sleep(CLOSED_PAUSE)).await.is_err() {
            return;
        }
        stream = match crowd.server.connect().await {
            Ok(stream) => stream,
            Err(error) => return crowd.record.borrow_mut().error(error.kind()),
        };
        crowd.open.set(crowd.open.get() + 1);
    }
}

/// Until the server closes the connection.
async fn stay(stream: &mut TcpStream, manner: Manner) {
    let (mut input, mut output) = stream.split();
    let talk = async {
        let sent = match manner {
            Manner::Silent => Ok(()),
            Manner::Handshake => output.write_all(HANDSHAKE).await,
            Manner::Slow(first) => trickle(&mut output, first).await,
        };
        if sent.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let listen = async {
        let mut buffer = [0; 512];
        while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    tokio::select! {
        () = talk => {}
        () = listen => {}
    }
}

async fn trickle(
    output: &mut (impl tokio::io::AsyncWrite + Unpin),
    first: Duration,
) -> std::io::Result<()> {
    sleep(first).await;
    for byte in SLOW_HEAD.iter().chain(repeat(&b'a')) {
        output.write_all(&[*byte]).await?;
        sleep(BYTE_PAUSE).await;
    }
    Ok(())
}
