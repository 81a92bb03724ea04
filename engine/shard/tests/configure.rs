//! A shard that is given another configuration while it runs.

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

#[test]
fn tokens_of_a_removed_key_are_refused_and_those_of_an_earlier_one_are_not() {
    let mut server = Server::new(config(token::Keys::new(b"first", &[]), Rates::default()));
    let first = server.sign_in();
    assert_eq!(server.read_account(&first), 200); // and is known as good from here on

    server.configure(config(token::Keys::new(b"second", &[b"first"]), Rates::default()));
    let second = server.sign_in();
    assert_eq!([&first, &second].map(|token| server.read_account(token)), [200, 200]);

    server.configure(config(token::Keys::new(b"second", &[]), Rates::default()));
    assert_eq!([&first, &second].map(|token| server.read_account(token)), [401, 200]);
}

#[test]
fn other_rate_limits_count_from_full_buckets() {
    let rates = |burst| {
        let read = Some(Limit { per_sec: 1, burst });
        Rates { user: Limits { read, ..Limits::default() }, ..Rates::default() }
    };
    let keys = || token::Keys::new(b"key", &[]);
    let mut server = Server::new(config(keys(), rates(1)));
    let token = server.sign_in();
    assert_eq!([(); 2].map(|()| server.read_account(&token)), [200, 429]);
    server.configure(config(keys(), rates(1)));
    assert_eq!(server.read_account(&token), 429, "they are the same");
    server.configure(config(keys(), rates(2)));
    assert_eq!([(); 3].map(|()| server.read_account(&token)), [200, 200, 429]);
    server.configure(config(keys(), Rates::default()));
    assert_eq!([(); 3].map(|()| server.read_account(&token)), [200; 3]);
}

#[test]
fn a_configuration_does_not_show_its_keys() {
    let keys = token::Keys::new(b"canary", &[b"canary"]);
    let config = Config { server_key: "canary".into(), ..config(keys, Rates::default()) };
    assert!(!format!("{config:?}").contains("canary"));
}

/// A shard that is alone, with a disk that has everything at once.
struct Server {
    shard: Shard,
    durable: Offset,
}

fn now() -> Now {
    Now { wall: UnixTime::from_secs(1_700_000_000), monotonic: Instant(1) }
}

impl Server {
    fn new(config: Config) -> Server {
        let operations = Arc::new(Operations::all());
        let shard = Shard::new(ShardId(0), Arc::new(config), operations, [7; 32]);
        Server { shard, durable: Offset(0) }
    }

    fn configure(&mut self, config: Config) {
        self.handle(Input::Configure { config: Arc::new(config) });
    }

    fn sign_in(&mut self) -> String {
        let response = self.ask(Request {
            method: "POST".into(),
            target: "/v2/account/authenticate/device".into(),
            authorization: vec![format!("Basic {}", STANDARD.encode("defaultkey:"))],
            body: Bytes::from("{\"id\":\"device-0001\"}"),
            ..Request::default()
        });
        let (_, rest) = response.body.split_once("\"token\":\"").expect("a token");
        rest.split_once('"').expect("its end").0.to_owned()
    }

    fn read_account(&mut self, token: &str) -> u16 {
        let request = Request {
            method: "GET".into(),
            target: "/v2/account".into(),
            authorization: vec![format!("Bearer {token}")],
            client: Some(ClientAddress([1; 16])),
            ..Request::default()
        };
        self.ask(request).status
    }

    fn ask(&mut self, request: Request) -> Response {
        let response = self.handle(Input::Request { connection: 1, home: ShardId(0), request });
        response.expect("nothing is left to wait for")
    }

    fn handle(&mut self, input: Input) -> Option<Response> {
        let mut answer = None;
        self.shard.handle(input, now());
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Respond { response, .. } => answer = Some(response),
                Output::Commit { batch, .. } => {
                    self.durable.0 += 1;
                    let (offset, applied) = (self.durable, self.durable);
                    self.shard.handle(Input::Durable { batch, offset, applied }, now());
                }
                Output::Load { table, key, .. } => {
                    let (value, applied) = (None, self.durable);
                    self.shard.handle(Input::Loaded { table, key, value, applied }, now());
                }
                Output::Scan { range, .. } => {
                    let (rows, is_end, applied) = (Vec::new(), true, self.durable);
                    self.shard.handle(Input::Scanned { range, rows, is_end, applied }, now());
                }
                Output::Done(_) => {}
                other => panic!("nobody asked for {other:?}"),
            }
        }
        answer
    }
}

fn config(session_keys: token::Keys, rates: Rates) -> Config {
    // An Ed25519 key in PKCS #8 form (RFC 8410).
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend_from_slice(&[7; 32]);
    let life = Duration::from_secs(3600);
    Config {
        placement: Placement { count: 1, incarnation: 0, matches: None, queue: None },
        name: "node".into(),
        server_key: "defaultkey".into(),
        session_keys,
        refresh_keys: token::Keys::new(b"refresh", &[]),
        server_keys: Arc::new(ServerKeys::new("node", &key, &[]).expect("the key has its form")),
        token_life: life,
        refresh_token_life: life,
        operator_keys: token::Keys::new(b"operator", &[]),
        operator_token_life: Duration::from_secs(60),
        server_token_life: life,
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
        has_webhook: false,
        written_queues: Arc::default(),
        hooks: Hooks::default(),
        sampling: Sampling::default(),
    }
}
