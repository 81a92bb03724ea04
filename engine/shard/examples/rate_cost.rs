//! Reads accounts from one shard, with rate limits or without: whoever counts the instructions of
//! two runs of different length knows what a request costs. `on|off REQUESTS`.

use std::sync::Arc;
use std::time::Duration;

use api::http::{Request, Response};
use api::ops::Operations;
use base::{ClientAddress, Instant, Now, Offset, ShardId, UnixTime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::identity::server_token::ServerKeys;
use domain::identity::token;
use matchmaker::Mode;
use shard::{
    Config, Hooks, Input, Limit, Limits, Output, Placement, Providers, Rates, Sampling, Shard,
};

/// Each reads every `USERS` steps, which is less often than the limits allow.
const USERS: u32 = 500;
const STEP: Duration = Duration::from_micros(100);
/// Longer than any run: no token ends.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

fn main() -> Result<(), &'static str> {
    const USAGE: &str = "usage: rate_cost on|off REQUESTS";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [limits, requests] = words.as_slice() else {
        return Err(USAGE);
    };
    let rates = match limits.as_str() {
        "on" => rates(),
        "off" => Rates::default(),
        _ => return Err(USAGE),
    };
    let requests: u32 = requests.parse().map_err(|_| USAGE)?;
    let mut server = Server::new(rates);
    let tokens: Vec<String> = (0..USERS).map(|user| server.sign_in(user)).collect();
    let reads: Vec<Request> =
        (0..).zip(&tokens).map(|(user, token)| account(user, token)).collect();
    for read in reads.iter().cycle().take(requests as usize) {
        let response = server.ask(read.clone());
        assert_eq!(response.status, 200, "{}", response.body);
    }
    println!("{requests} requests of {USERS} users, limits {limits}");
    Ok(())
}

/// Those of the default configuration.
fn rates() -> Rates {
    let limit = |per_sec, burst| Some(Limit { per_sec, burst });
    Rates {
        address: Limits {
            sign: limit(50, 500),
            password: limit(5, 40),
            read: limit(1_000, 5_000),
            write: limit(500, 2_500),
            stream: None,
        },
        user: Limits {
            sign: limit(5, 30),
            password: limit(1, 10),
            read: limit(50, 300),
            write: limit(25, 150),
            stream: limit(1_000, 2_000),
        },
    }
}

/// A shard that is alone, with a disk that has everything at once.
struct Server {
    shard: Shard,
    now: Now,
    durable: Offset,
}

impl Server {
    fn new(rates: Rates) -> Server {
        let (id, operations) = (ShardId(0), Arc::new(Operations::all()));
        let now = Now { wall: UnixTime::from_secs(1_700_000_000), monotonic: Instant(0) };
        let shard = Shard::new(id, Arc::new(config(rates)), operations, [7; 32]);
        Server { shard, now, durable: Offset(0) }
    }

    fn sign_in(&mut self, user: u32) -> String {
        let request = Request {
            method: "POST".into(),
            target: "/v2/account/authenticate/device".into(),
            authorization: vec![format!("Basic {}", STANDARD.encode("defaultkey:"))],
            body: Bytes::from(format!("{{\"id\":\"rate-cost-{user}\"}}")),
            client: Some(address(user)),
            ..Request::default()
        };
        let response = self.ask(request);
        let token = response.body.split_once("\"token\":\"").and_then(|(_, rest)| {
            let (token, _) = rest.split_once('"')?;
            Some(token.to_owned())
        });
        token.expect("a new device is signed in")
    }

    /// Gives the answer to a request, a step later.
    fn ask(&mut self, request: Request) -> Response {
        self.now.monotonic = self.now.monotonic.after(STEP);
        if self.shard.poll_timeout().is_some_and(|due| due <= self.now.monotonic) {
            self.handle(Input::Timeout);
        }
        let response = self.handle(Input::Request { connection: 1, home: ShardId(0), request });
        response.expect("nothing is left to wait for")
    }

    fn handle(&mut self, input: Input) -> Option<Response> {
        let mut answer = None;
        self.shard.handle(input, self.now);
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Respond { response, .. } => answer = Some(response),
                Output::Commit { batch, .. } => {
                    self.durable.0 += 1;
                    let (offset, applied) = (self.durable, self.durable);
                    self.shard.handle(Input::Durable { batch, offset, applied }, self.now);
                }
                Output::Load { table, key, .. } => {
                    let (value, applied) = (None, self.durable);
                    self.shard.handle(Input::Loaded { table, key, value, applied }, self.now);
                }
                Output::Done(_) => {}
                other => panic!("nobody asked for {other:?}"),
            }
        }
        answer
    }
}

fn account(user: u32, token: &str) -> Request {
    Request {
        method: "GET".into(),
        target: "/v2/account".into(),
        authorization: vec![format!("Bearer {token}")],
        client: Some(address(user)),
        ..Request::default()
    }
}

/// Every user is elsewhere.
fn address(user: u32) -> ClientAddress {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&user.to_be_bytes());
    ClientAddress(address)
}

fn config(rates: Rates) -> Config {
    // An Ed25519 key in PKCS #8 form (RFC 8410).
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend_from_slice(&[7; 32]);
    Config {
        placement: Placement { count: 1, incarnation: 0, matches: None, queue: None },
        name: "node".into(),
        server_key: "defaultkey".into(),
        session_keys: token::Keys::new(b"session", &[]),
        refresh_keys: token::Keys::new(b"refresh", &[]),
        server_keys: Arc::new(ServerKeys::new("node", &key, &[]).expect("the key has its form")),
        token_life: TOKEN_LIFE,
        refresh_token_life: TOKEN_LIFE,
        server_token_life: TOKEN_LIFE,
        operator_keys: token::Keys::new(b"operator", &[]),
        operator_token_life: TOKEN_LIFE,
        single_session: false,
        single_socket: false,
        single_party: false,
        rates,
        providers: Providers::default(),
        ping_period: Duration::from_secs(15),
        pong_wait: Duration::from_secs(25),
        ping_backoff_threshold: 20,
        matchmaker: matchmaker::Settings {
            mode: Mode::Immediate,
            interval: Duration::from_secs(15),
            max_intervals: 2,
            max_tickets: 3,
            rev_precision: false,
            rev_threshold: 1,
        },
        queues: Vec::new(),
        boards: Vec::new(),
        has_webhook: false,
        written_queues: Arc::default(),
        hooks: Hooks::default(),
        sampling: Sampling::default(),
    }
}
