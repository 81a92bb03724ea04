//! The scenarios, and what they share.

mod http;
mod idle;
mod matchmaker;
mod peer;
mod relay;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use client::{Error, Http, Server, Session, Socket};
use tokio::task::JoinHandle;

use crate::arguments::{Arguments, Scenario};
use crate::record::{Record, Shared};
use crate::report;
use crate::schedule::Schedule;
use crate::server_cpu;
use crate::timer::Timer;

/// Connections that are set up at the same time.
const SETUP_WIDTH: u32 = 64;
/// A run takes no longer than its own time and this.
const OVERTIME: Duration = Duration::from_secs(300);
/// What a server answers that has too much to do, or that is asked too often.
const TOO_MANY_REQUESTS: u16 = 429;

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let own = Duration::from_secs(arguments.warmup + arguments.seconds);
    tokio::time::timeout(own + OVERTIME, scenario(arguments)).await.context("the run hangs")?
}

async fn scenario(arguments: &Arguments) -> Result<Record> {
    match arguments.scenario {
        Scenario::AccountRead
        | Scenario::ObjectWrite
        | Scenario::ObjectRead
        | Scenario::RecordWrite
        | Scenario::BoardPage
        | Scenario::SignIn
        | Scenario::SignUp
        | Scenario::SignInPassword => http::run(arguments).await,
        Scenario::Relay | Scenario::WsEcho => relay::run(arguments).await,
        Scenario::Matchmaker => matchmaker::run(arguments).await,
        Scenario::Idle => idle::run(arguments).await,
        Scenario::SlowHeaders | Scenario::HalfOpen => peer::run(arguments).await,
    }
}

/// What all tasks of a run share.
#[derive(Debug)]
struct Run {
    schedule: Schedule,
    timer: Rc<Timer>,
    record: Shared,
}

impl Run {
    /// Begins a run now. The connections are ready.
    fn begin(arguments: &Arguments, noun: &'static str) -> Result<Rc<Run>> {
        tell_ready(arguments);
        let timer = Timer::start().context("cannot make a timer")?;
        let schedule = Schedule::new(arguments, Instant::now());
        Ok(Rc::new(Run { schedule, timer, record: Record::shared(arguments, noun) }))
    }

    fn success(&self, due: Instant, now: Instant) {
        self.record.borrow_mut().success(&self.schedule, due, now);
    }

    fn error(&self, kind: impl Into<String>) {
        self.record.borrow_mut().error(kind.into());
    }

    /// Takes in what went wrong, if it is a refusal that is no error.
    fn takes_refusal(&self, error: &Error, due: Instant) -> bool {
        let is_refusal = matches!(error, Error::Status { status: TOO_MANY_REQUESTS, .. });
        is_refusal && self.record.borrow_mut().refusal(&self.schedule, due, Instant::now())
    }

    /// Whether an open loop is so far behind that what is left is not sent.
    fn is_hopeless(&self, now: Instant) -> bool {
        self.schedule.is_open() && now > self.schedule.patience()
    }
}

/// Tells whoever watches that everything is set up.
fn tell_ready(arguments: &Arguments) {
    if arguments.json {
        report::line(&arguments.case(), "ready", 1.0, "");
    }
}

const HOPELESS: &str = "not sent within 10 s after the end";

/// Waits for the tasks of a run, and gives what they measured.
async fn finish(
    arguments: &Arguments,
    run: &Rc<Run>,
    tasks: Vec<JoinHandle<()>>,
) -> Result<Record> {
    let watch = arguments.server_pid.map(|pid| tokio::task::spawn_local(watch(pid, run.clone())));
    for task in tasks {
        task.await.context("a connection's task failed")?;
    }
    let mut record = run.record.replace(Record::new(""));
    if let Some(watch) = watch {
        record.server_cpu = Some(watch.await?.context("cannot read the server's processor time")?);
    }
    record.finish(&run.schedule);
    Ok(record)
}

async fn watch(pid: u32, run: Rc<Run>) -> Option<Duration> {
    run.timer.until(run.schedule.measure).await;
    let before = server_cpu::of(pid)?;
    run.timer.until(run.schedule.end).await;
    server_cpu::of(pid)?.checked_sub(before)
}

/// Does `work` for each of the numbers below `count`, so many at a time, and gives the results in
/// order.
async fn each<T: 'static, F>(count: u32, work: impl Fn(u32) -> F + 'static) -> Result<Vec<T>>
where
    F: Future<Output = Result<T, Error>> + 'static,
{
    let work = Rc::new(work);
    let lanes: Vec<_> = (0..count.min(SETUP_WIDTH))
        .map(|lane| {
            let work = work.clone();
            tokio::task::spawn_local(async move {
                let mut done = Vec::new();
                for number in (lane..count).step_by(SETUP_WIDTH as usize) {
                    done.push((number, work(number).await?));
                }
                Ok::<_, Error>(done)
            })
        })
        .collect();
    let mut all = Vec::new();
    for lane in lanes {
        all.extend(lane.await?.context("set-up failed")?);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, made)| made).collect())
}

async fn sign_in(server: Arc<Server>, device: String) -> Result<Session, Error> {
    Http::new(server).authenticate_device(&device, true).await
}

/// A socket of a user with this device.
async fn open_socket(server: Arc<Server>, device: String) -> Result<Socket, Error> {
    let session = sign_in(server.clone(), device).await?;
    Socket::open(&server, &session.token, false).await
}
