//! Pairs of players ask for any opponent, and are matched.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use client::{Error, Server, Socket};

use crate::arguments::Arguments;
use crate::record::Record;
use crate::scenario::{HOPELESS, Run, each, finish, open_socket};

const ADD: &str = r#"{"matchmaker_add":{"min_count":2,"max_count":2,"query":"*"}}"#;
/// A server that matches at intervals takes two of them, each 15 s by default.
const MATCH_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let server = arguments.server();
    let open = move |number| open_pair(server.clone(), number);
    let pairs = each(arguments.connections, open).await?;
    let run = Run::begin(arguments, "pairs")?;
    let spawn = |pair| tokio::task::spawn_local(play(pair, run.clone()));
    let tasks = pairs.into_iter().map(spawn).collect();
    finish(arguments, &run, tasks).await
}

async fn open_pair(server: Arc<Server>, number: u32) -> Result<[Socket; 2], Error> {
    let one = open_socket(server.clone(), format!("ringload-player-{number}-0")).await?;
    let other = open_socket(server, format!("ringload-player-{number}-1")).await?;
    Ok([one, other])
}

/// A latency is that of the later one: both have asked at the same time.
async fn play([mut one, mut other]: [Socket; 2], run: Rc<Run>) {
    while let Some(due) = run.schedule.claim(Instant::now()) {
        run.timer.until(due).await;
        if run.is_hopeless(Instant::now()) {
            run.error(HOPELESS);
            continue;
        }
        let round = async {
            one.send(ADD).await?;
            other.send(ADD).await?;
            let (first, second) = tokio::join!(matched(&mut one), matched(&mut other));
            Ok::<_, Error>(first?.max(second?))
        };
        match tokio::time::timeout(MATCH_MAX, round).await {
            Ok(Ok(done)) => run.success(due, done),
            Ok(Err(error)) => return run.error(error.kind()),
            Err(_) => return run.error("not matched within 60 s"),
        }
    }
}

async fn matched(socket: &mut Socket) -> Result<Instant, Error> {
    loop {
        let envelope = socket.receive().await?;
        if envelope.contains("\"matchmaker_matched\"") {
            return Ok(Instant::now());
        }
        if envelope.contains("\"error\":") {
            return Err(Error::Refused(envelope.as_str().to_owned()));
        }
    }
}
