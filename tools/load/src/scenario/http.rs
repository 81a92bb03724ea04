//! Requests over HTTP: reading accounts, signing in, signing up.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use client::{Authorization, Error, Http, Method, Server, Session};

use crate::arguments::{Arguments, Scenario};
use crate::record::Record;
use crate::scenario::{HOPELESS, Run, each, finish};

/// A session token is refreshed this long before it ends.
const REFRESH_MARGIN: Duration = Duration::from_secs(10);
/// How long a connection of a closed loop rests after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments) -> Result<Record> {
    let workers = prepare(arguments).await?;
    let run = Run::begin(arguments, "requests")?;
    let spawn = |worker: Worker| tokio::task::spawn_local(worker.run(run.clone()));
    let tasks = workers.into_iter().map(spawn).collect();
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
}

async fn prepare(arguments: &Arguments) -> Result<Vec<Worker>> {
    let server = arguments.server();
    let count = arguments.connections;
    let (scenario, token) = (arguments.scenario, arguments.token.clone());
    let devices = arguments.devices.max(count);
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
                _ => Worker::for_account(server, number, token).await,
            }
        }
    })
    .await
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
        let request = account_request(&http, &token.unwrap_or_default());
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

    async fn run(mut self, run: Rc<Run>) {
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
                    run.error(error.kind());
                    if !run.schedule.is_open() {
                        tokio::time::sleep(ERROR_PAUSE).await;
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
            *request = account_request(&self.http, &session.token);
        }
        Ok(())
    }

    async fn call(&mut self) -> Result<(), Error> {
        match &mut self.call {
            Call::AccountRead { request, .. } => {
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

fn account_request(http: &Http, token: &str) -> Vec<u8> {
    http.encode(Method::Get, "/v2/account", Authorization::Bearer(token), &[])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn account_read_reads_accounts_and_counts_them() {
        let record = against_fake("200 OK", &["--requests", "200", "--connections", "4"]);
        assert_eq!(record.latency.len(), 200);
        assert!(record.errors.is_empty(), "{:?}", record.errors);
        let rate = record.figures[0];
        assert!(rate.0 == "requests_per_s" && rate.1 > 0.0, "{rate:?}");
    }

    #[test]
    fn an_open_loop_sends_all_that_its_schedule_holds() {
        let flags = ["--requests", "100", "--connections", "2", "--rate", "5000"];
        assert_eq!(against_fake("200 OK", &flags).latency.len(), 100);
    }

    #[test]
    fn errors_are_counted_by_kind() {
        let flags = ["--requests", "10", "--connections", "1", "--rate", "5000"];
        let record = against_fake("503 Unavailable", &flags);
        assert_eq!(record.latency.len(), 0);
        assert_eq!(record.errors.into_iter().collect::<Vec<_>>(), [("status 503".to_owned(), 10)]);
    }

    /// Runs `account-read` against a server of this thread that answers accounts with a status.
    fn against_fake(status: &'static str, flags: &[&str]) -> Record {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            tokio::task::spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(serve(stream, status));
                }
            });
            let words = ["ringload", "account-read", "--warmup", "0", "--port", &port];
            let arguments = Arguments::parse_from(words.iter().chain(flags));
            run(&arguments).await.unwrap()
        })
    }

    async fn serve(mut stream: TcpStream, status: &str) {
        let mut buffer = [0; 4096];
        loop {
            // One request at a time, and small: it comes in one piece.
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                return;
            }
            let (status, body) = if buffer.starts_with(b"POST") {
                ("200 OK", r#"{"token":"h.eyJleHAiOjQwMDAwMDAwMDB9.s","refresh_token":"r"}"#)
            } else {
                (status, r#"{"user":{"id":"u"}}"#)
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}
