//! Sockets that are opened and held: what does one cost?

use std::time::{Duration, Instant};

use anyhow::Result;
use client::{Error, Socket};
use tokio::time::timeout;

use crate::arguments::Arguments;
use crate::record::Record;
use crate::report;
use crate::scenario::{each, sign_in};

/// How long nothing happens between the last sign-in and the first socket, for whoever measures.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let case = arguments.case();
    let server = arguments.server();
    let signing = server.clone();
    let sessions = each(arguments.connections, move |number| {
        sign_in(signing.clone(), format!("ringload-idle-{number}"))
    })
    .await?;
    if arguments.json {
        report::line(&case, "signed_in", sessions.len() as f64, "");
        tokio::time::sleep(REST).await;
    }
    let begin = Instant::now();
    let sockets = each(arguments.connections, move |number| {
        let (server, token) = (server.clone(), sessions[number as usize].token.clone());
        async move {
            let mut socket = Socket::open(&server, &token, true).await?;
            greet(&mut socket, server.timeout).await?;
            Ok(socket)
        }
    })
    .await?;
    let opening = begin.elapsed().as_secs_f64();
    let count = sockets.len() as f64;
    if arguments.json {
        report::line(&case, "sockets_open", count, "");
    }
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let holds: Vec<_> =
        sockets.into_iter().map(|socket| tokio::task::spawn_local(hold(socket, end))).collect();
    let mut record = Record::new("sockets");
    for hold in holds {
        if let Err(error) = hold.await? {
            record.error(error.kind());
        }
    }
    record.figures.push(("sockets", count, ""));
    record.figures.push(("opened_per_s", count / opening, "1/s"));
    Ok(record)
}

/// One message each way, and the presence of the user itself.
async fn greet(socket: &mut Socket, limit: Duration) -> Result<(), Error> {
    let mut is_present = false;
    let ping = r#"{"cid":"1","ping":{}}"#;
    socket
        .ask("1", ping, |other| {
            is_present |= format!("{other:?}").contains("status_presence_event");
        })
        .await?;
    while !is_present {
        let envelope = timeout(limit, socket.receive()).await.map_err(|_| Error::Timeout)??;
        is_present = envelope.contains("status_presence_event");
    }
    Ok(())
}

/// Answers the server's pings until the end.
async fn hold(mut socket: Socket, end: Instant) -> Result<(), Error> {
    let receive = async {
        loop {
            socket.receive().await?;
        }
    };
    match tokio::time::timeout_at(end.into(), receive).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}
