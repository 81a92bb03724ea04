//! Requests over HTTP: reading accounts, signing in, signing up.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use client::{Error, Http, Server, Session};

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
    AccountRead { session: Option<Session>, request: Vec<u8> },
    SignIn { requests: Vec<Vec<u8>>, next: usize },
    SignUp { prefix: String, next: u64 },
    SignInPassword { request: Vec<u8> },
}

/// Rests after errors, drawn by SplitMix64 (Steele et al., 2014).
struct Pauses(u64);

impl Pauses {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let Range { start, end } = ERROR_PAUSE_MS;
        Duration::from_millis(start + mixed % (end - start))
    }
}

async fn prepare(arguments: &Arguments) -> Result<Vec<Worker>> {
    let server = arguments.server();
    let count = arguments.connections;
    let (scenario, token) = (arguments.scenario, arguments.token.clone());
    let devices = arguments.devices.max(count);
    let accounts = arguments.accounts;
    if scenario == Scenario::SignInPassword {
        let server = server.clone();
        each(accounts, move |number| make_account(server.clone(), number)).await?;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("ringload-{}-{}", std::process::id(), since.as_nanos());
    each(count, move |number| {
        let share = (number..devices).step_by(count as usize);
        let devices = share.map(|device| format!("ringload-device-{device}")).collect();
        let prefix = format!("{run}-{number}");
        let (server, token) = (server.clone(), token.clone());
        async move {
            match scenario {
                Scenario::SignIn => Worker::for_devices(server, devices).await,
                Scenario::SignUp => Worker::for_sign_up(server, prefix).await,
                Scenario::SignInPassword => Worker::for_password(server, number % accounts).await,
                _ => Worker::for_account(server, number, token).await,
            }
        }
    })
    .await
}

/// Makes an account with a password, unless it is there.
async fn make_account(server: Arc<Server>, number: u32) -> Result<(), Error> {
    let mut http = Http::new(server);
    let request = http.encode_email(&email(number), PASSWORD, true);
    http.send(&request).await?.success()?;
    Ok(())
}

fn email(number: u32) -> String {
    format!("ringload-{number}@ringload.example")
}

impl Worker {
    async fn for_account(
        server: Arc<Server>,
        number: u32,
        token: Option<String>,
    ) -> Result<Worker, Error> {
        let mut http = Http::new(server);
        http.connect().await?;
        let session = match token {
            Some(_) => None,
            None => {
                let device = format!("ringload-account-{number}");
                Some(http.authenticate_device(&device, true).await?)
            }
        };
        let token = session.as_ref().map(|session| session.token.clone()).or(token);
        let request = http.encode_account(&token.unwrap_or_default());
        Ok(Worker { http, call: Call::AccountRead { session, request } })
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
        if let Call::AccountRead { session: Some(session), request } = &mut self.call
            && session.ends_within(REFRESH_MARGIN)
        {
            *session = self.http.refresh(session).await?;
            *request = self.http.encode_account(&session.token);
        }
        Ok(())
    }

    async fn call(&mut self) -> Result<(), Error> {
        match &mut self.call {
            Call::AccountRead { request, .. } | Call::SignInPassword { request } => {
                self.http.send(request).await?.success()?;
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
