//! Groups of players ask for each other, and are matched.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use client::{Error, Server, Socket};
use tokio::time::timeout;

use crate::arguments::Arguments;
use crate::record::Record;
use crate::scenario::{HOPELESS, Run, each, finish, open_socket};

/// A server that matches at intervals takes two of them, each 15 s by default.
const MATCH_MAX: Duration = Duration::from_secs(60);
const LATE: &str = "not matched within 60 s";

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let (server, members) = (arguments.server(), arguments.members);
    let open = move |number| open_group(server.clone(), number, members);
    let groups = each(arguments.connections, open).await?;
    let run = Run::begin(arguments, "matches")?;
    let spawn = |group| tokio::task::spawn_local(play(group, run.clone()));
    let tasks = groups.into_iter().map(spawn).collect();
    finish(arguments, &run, tasks).await
}

/// Players who ask for a room of their own, so that each match is one of them.
struct Group {
    add: String,
    others: Vec<Socket>,
    last: Socket,
}

async fn open_group(server: Arc<Server>, number: u32, members: u32) -> Result<Group, Error> {
    let device = |member| format!("ringload-player-{number}-{member}");
    let mut others = Vec::new();
    for member in 1..members {
        others.push(open_socket(server.clone(), device(member)).await?);
    }
    let add = format!(
        "{{\"matchmaker_add\":{{\"min_count\":{members},\"max_count\":{members},\
         \"query\":\"+properties.room:r{number}\",\"string_properties\":{{\"room\":\"r{number}\"}}}}}}"
    );
    Ok(Group { add, others, last: open_socket(server, device(0)).await? })
}

/// A latency is from when the last ticket was to be sent, to when the last player was told. All
/// other tickets wait by then.
async fn play(mut group: Group, run: Rc<Run>) {
    while let Some(due) = run.schedule.claim(Instant::now()) {
        if run.is_hopeless(Instant::now()) {
            run.error(HOPELESS);
            continue;
        }
        match timeout(MATCH_MAX, queue(&mut group)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return run.error(error.kind()),
            Err(_) => return run.error("no ticket within 60 s"),
        }
        run.timer.until(due).await;
        match timeout(MATCH_MAX, complete(&mut group)).await {
            Ok(Ok(done)) => run.success(due, done),
            Ok(Err(error)) => return run.error(error.kind()),
            Err(_) => return run.error(LATE),
        }
    }
}

async fn queue(group: &mut Group) -> Result<(), Error> {
    for other in &mut group.others {
        other.send(&group.add).await?;
    }
    for other in &mut group.others {
        hear(other, "\"matchmaker_ticket\"").await?;
    }
    Ok(())
}

/// Adds the last ticket; gives when all players were told of the match.
async fn complete(group: &mut Group) -> Result<Instant, Error> {
    group.last.send(&group.add).await?;
    for socket in group.others.iter_mut().chain([&mut group.last]) {
        hear(socket, "\"matchmaker_matched\"").await?;
    }
    Ok(Instant::now())
}

async fn hear(socket: &mut Socket, name: &str) -> Result<(), Error> {
    loop {
        let envelope = socket.receive().await?;
        if envelope.contains(name) {
            return Ok(());
        }
        if envelope.contains("\"error\":") {
            return Err(Error::Refused(envelope.as_str().to_owned()));
        }
    }
}
