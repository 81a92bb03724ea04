//! Requests over HTTP: accounts, objects and records, signing in, signing up.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base::json::Json;
use client::{Authorization, Error, Http, Method, Server, Session};

use crate::arguments::{Arguments, Scenario};
use crate::record::Record;
use crate::scenario::{HOPELESS, Run, each, finish};

/// A session token is refreshed this long before it ends.
const REFRESH_MARGIN: Duration = Duration::from_secs(10);
/// How long a connection of a closed loop rests after an error or a refusal: drawn anew between
/// these each time, as clients do that back off with jitter. A fixed rest would have all who were
/// refused together come again together.
const ERROR_PAUSE_MS: Range<u64> = 50..150;
/// Of all accounts of sign-in-password.
const PASSWORD: &str = "ringload-password";

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let workers = prepare(arguments).await?;
    let run = Run::begin(arguments, "requests")?;
    let spawn = |(number, worker): (u64, Worker)| {
        tokio::task::spawn_local(worker.run(run.clone(), Pauses(number)))
    };
    let tasks = (0..).zip(workers).map(spawn).collect();
    finish(arguments, &run, tasks).await
}

/// One connection and what it asks.
struct Worker {
    http: Http,
    call: Call,
}

enum Call {
    /// The same request again and again, by a player.
    Read {
        session: Option<Session>,
        read: Read,
        request: Vec<u8>,
    },
    /// A new value each time, by a player.
    Write {
        session: Session,
        write: Write,
        next: u64,
    },
    SignIn {
        requests: Vec<Vec<u8>>,
        next: usize,
    },
    SignUp {
        prefix: String,
        next: u64,
    },
    SignInPassword {
        request: Vec<u8>,
    },
}

enum Read {
    Account,
    Object { owner: String },
    Page { board: String },
}

enum Write {
    Object,
    Record { board: String },
}

impl Read {
    fn encode(&self, http: &Http, token: &str) -> Vec<u8> {
        let bearer = Authorization::Bearer(token);
        match self {
            Read::Account => http.encode_account(token),
            Read::Object { owner } => {
                let id = format!(r#"{{"collection":"load","key":"k","user_id":"{owner}"}}"#);
                let body = format!(r#"{{"object_ids":[{id}]}}"#);
                http.encode(Method::Post, "/v2/storage", bearer, body.as_bytes())
            }
            Read::Page { board } => {
                let target = format!("/v2/leaderboard/{board}?limit=100");
                http.encode(Method::Get, &target, bearer, &[])
            }
        }
    }
}

impl Write {
    /// The request that writes this value.
    fn encode(&self, http: &Http, token: &str, value: u64) -> Vec<u8> {
        let bearer = Authorization::Bearer(token);
        match self {
            Write::Object => {
                let value = format!(
                    r#"{{\"level\":{value},\"name\":\"of a hero\",\"items\":[1,2,3,4,5,6,7,8]}}"#
                );
                let object = format!(r#"{{"collection":"load","key":"k","value":"{value}"}}"#);
                let body = format!(r#"{{"objects":[{object}]}}"#);
                http.encode(Method::Put, "/v2/storage", bearer, body.as_bytes())
            }
            Write::Record { board } => {
                let body = format!(r#"{{"score":"{value}"}}"#);
                let target = format!("/v2/leaderboard/{board}");
                http.encode(Method::Post, &target, bearer, body.as_bytes())
            }
        }
    }
}

/// Rests after errors, drawn by SplitMix64 (Steele et al., 2014).
struct Pauses(u64);

impl Pauses {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(1);
        let Range { start, end } = ERROR_PAUSE_MS;
        Duration::from_millis(start + mixed(self.0) % (end - start))
    }
}

/// The n-th number that SplitMix64 draws.
fn mixed(n: u64) -> u64 {
    let mut mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

async fn prepare(arguments: &Arguments) -> Result<Vec<Worker>> {
    let server = arguments.server();
    let count = arguments.connections;
    let (scenario, token) = (arguments.scenario, arguments.token.clone());
    let board = arguments.board.clone();
    let devices = arguments.devices.max(count);
    let accounts = arguments.accounts;
    if scenario == Scenario::SignInPassword {
        let server = server.clone();
        each(accounts, move |number| make_account(server.clone(), number)).await?;
    }
    if scenario == Scenario::BoardPage {
        let (server, board) = (server.clone(), board.clone());
        each(devices, move |number| make_record(server.clone(), board.clone(), number)).await?;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("ringload-{}-{}", std::process::id(), since.as_nanos());
    each(count, move |number| {
        let share = (number..devices).step_by(count as usize);
        let devices = share.map(|device| format!("ringload-device-{device}")).collect();
        let prefix = format!("{run}-{number}");
        let (server, token, board) = (server.clone(), token.clone(), board.clone());
        async move {
            match scenario {
                Scenario::SignIn => Worker::for_devices(server, devices).await,
                Scenario::SignUp => Worker::for_sign_up(server, prefix).await,
                Scenario::SignInPassword => Worker::for_password(server, number % accounts).await,
                Scenario::ObjectWrite => Worker::for_writes(server, number, Write::Object).await,
                Scenario::RecordWrite => {
                    Worker::for_writes(server, number, Write::Record { board }).await
                }
                Scenario::ObjectRead => Worker::for_object(server, number).await,
                Scenario::BoardPage => {
                    Worker::for_reads(server, number, token, Read::Page { board }).await
                }
                _ => Worker::for_reads(server, number, token, Read::Account).await,
            }
        }
    })
    .await
}

async fn sign_in_account(http: &mut Http, number: u32) -> Result<Session, Error> {
    http.authenticate_device(&format!("ringload-account-{number}"), true).await
}

/// The user id in an account.
fn id_in(account: &Json) -> Option<String> {
    let member = |value: &Json, name: &str| match value {
        Json::Object(members) => {
            members.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        }
        _ => None,
    };
    match member(&member(account, "user")?, "id")? {
        Json::Text(id) => Some(id),
        _ => None,
    }
}

/// Makes an account with a password, unless it is there.
async fn make_account(server: Arc<Server>, number: u32) -> Result<(), Error> {
    let mut http = Http::new(server);
    let request = http.encode_email(&email(number), PASSWORD, true);
    http.send(&request).await?.success()?;
    Ok(())
}

/// Makes an account with a record of the board.
async fn make_record(server: Arc<Server>, board: String, number: u32) -> Result<(), Error> {
    let mut worker = Worker::for_writes(server, number, Write::Record { board }).await?;
    worker.call().await
}

fn email(number: u32) -> String {
    format!("ringload-{number}@ringload.example")
}

impl Worker {
    async fn for_reads(
        server: Arc<Server>,
        number: u32,
        token: Option<String>,
        read: Read,
    ) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        http.connect().await?;
        let session = match token {
            Some(_) => None,
            None => Some(sign_in_account(&mut http, number).await?),
        };
        let token = session.as_ref().map(|session| session.token.clone()).or(token);
        let request = read.encode(&http, &token.unwrap_or_default());
        Ok(Worker { http, call: Call::Read { session, read, request } })
    }

    /// Reads its own object, which is written first.
    async fn for_object(server: Arc<Server>, number: u32) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        let session = sign_in_account(&mut http, number).await?;
        let request = Write::Object.encode(&http, &session.token, u64::from(number));
        http.send(&request).await?.success()?;
        let account = http.account(&session.token).await?;
        let owner = id_in(&account).ok_or(Error::Protocol("the account has no id"))?;
        let read = Read::Object { owner };
        let request = read.encode(&http, &session.token);
        let found = http.send(&request).await?.success()?;
        let value = b"of a hero";
        if !found.windows(value.len()).any(|text| text == value) {
            return Err(Error::Protocol("the object is not there"));
        }
        Ok(Worker { http, call: Call::Read { session: Some(session), read, request } })
    }

    async fn for_writes(server: Arc<Server>, number: u32, write: Write) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        let session = sign_in_account(&mut http, number).await?;
        let next = u64::from(number) << 32; // values of two connections differ
        Ok(Worker { http, call: Call::Write { session, write, next } })
    }

    async fn for_devices(server: Arc<Server>, devices: Vec<String>) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        let mut requests = Vec::new();
        for device in devices {
            http.authenticate_device(&device, true).await?;
            requests.push(http.encode_device(&device, false));
        }
        Ok(Worker { http, call: Call::SignIn { requests, next: 0 } })
    }

    async fn for_sign_up(server: Arc<Server>, prefix: String) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        http.connect().await?;
        Ok(Worker { http, call: Call::SignUp { prefix, next: 0 } })
    }

    async fn for_password(server: Arc<Server>, number: u32) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        http.connect().await?;
        let request = http.encode_email(&email(number), PASSWORD, false);
        Ok(Worker { http, call: Call::SignInPassword { request } })
    }

    async fn run(mut self, run: Rc<Run>, mut pauses: Pauses) {
        loop {
            if let Err(error) = self.refresh().await {
                run.error(format!("refresh: {}", error.kind()));
            }
            let Some(due) = run.schedule.claim(Instant::now()) else {
                return;
            };
            run.timer.until(due).await;
            if run.is_hopeless(Instant::now()) {
                run.error(HOPELESS);
                continue;
            }
            match self.call().await {
                Ok(()) => run.success(due, Instant::now()),
                Err(error) => {
                    if !run.takes_refusal(&error, due) {
                        run.error(error.kind());
                    }
                    if !run.schedule.is_open() {
                        tokio::time::sleep(pauses.next()).await;
                    }
                }
            }
        }
    }

    /// Gets a new session when the token is about to end.
    async fn refresh(&mut self) -> Result<(), Error> {
        match &mut self.call {
            Call::Read { session: Some(session), read, request }
                if session.ends_within(REFRESH_MARGIN) =>
            {
                *session = self.http.refresh(session).await?;
                *request = read.encode(&self.http, &session.token);
            }
            Call::Write { session, .. } if session.ends_within(REFRESH_MARGIN) => {
                *session = self.http.refresh(session).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn call(&mut self) -> Result<(), Error> {
        match &mut self.call {
            Call::Read { request, .. } | Call::SignInPassword { request } => {
                self.http.send(request).await?.success()?;
            }
            Call::Write { session, write, next } => {
                *next += 1;
                let request = write.encode(&self.http, &session.token, mixed(*next) >> 24);
                self.http.send(&request).await?.success()?;
            }
            Call::SignIn { requests, next } => {
                *next = (*next + 1) % requests.len();
                self.http.send(&requests[*next]).await?.success()?;
            }
            Call::SignUp { prefix, next } => {
                *next += 1;
                let request = self.http.encode_device(&format!("{prefix}-{next}"), true);
                let session = self.http.send(&request).await?.success()?;
                let created = b"\"created\"";
                if !session.windows(created.len()).any(|text| text == created) {
                    return Err(Error::Protocol("the account is not new"));
                }
            }
        }
        Ok(())
    }
}
