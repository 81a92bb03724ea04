//! What the sidecar costs: memory when idle, and time of a token whose key is known.
//!
//! `cargo run --release -p sidecar --example cost`

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::identity::provider::Proof;
use sidecar::{Handle, Settings, Sidecar};

// Written for the tests, which use all of it and unwrap.
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../src/tests/sign.rs"]
mod sign;

const PROOFS: usize = 20_000;

fn main() -> std::io::Result<()> {
    let before = resident();
    drop(Sidecar::start(Settings::default())?); // maps the code
    let started = Instant::now();
    let idle = Sidecar::start(Settings::default())?;
    let took = started.elapsed();
    // An answer without the network: the thread is up.
    verify(&idle.handle(), &Proof::Steam { token: String::new() }, 1, 1);
    println!("start {took:?}, resident {} KiB more", resident() - before);
    drop(idle);

    let signer = sign::Signer::first();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut settings = Settings::default();
    settings.google.jwks_url = format!("http://{}/", listener.local_addr()?);
    let keys = format!(r#"{{"keys":[{}]}}"#, signer.jwk("a"));
    thread::spawn(move || serve(listener.accept()?.0, &keys));
    let sidecar = Sidecar::start(settings)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = format!(
        r#"{{"iss":"https://accounts.google.com","aud":"a.apps.googleusercontent.com",
        "sub":"110169484474386276334","name":"Test User","email":"user@example.com",
        "email_verified":true,"iat":{now},"exp":{}}}"#,
        now + 3600
    );
    let proof = Proof::Google { token: signer.token("a", &claims) };
    verify(&sidecar.handle(), &proof, 1, 1);
    println!("resident with a key set {} KiB more", resident() - before);
    for in_flight in [1, 512] {
        let took = verify(&sidecar.handle(), &proof, PROOFS, in_flight);
        let micros = took.as_secs_f64() * 1e6 / PROOFS as f64;
        println!("RS256, key known, {in_flight} in flight: {micros:.1} µs each");
    }
    Ok(())
}

/// Verifies a proof many times, some at once.
fn verify(handle: &Handle, proof: &Proof, times: usize, in_flight: usize) -> Duration {
    let (sender, verdicts) = channel();
    let begin = || {
        let sender = sender.clone();
        handle.verify(proof.clone(), move |verdict| {
            let _ = sender.send(verdict.is_ok());
        });
    };
    let started = Instant::now();
    (0..in_flight).for_each(|_| begin());
    let mut good = 0;
    for number in 0..times {
        good += usize::from(verdicts.recv().is_ok_and(|is_ok| is_ok));
        if number + in_flight < times {
            begin();
        }
    }
    assert!(good == times || times == 1, "{good} of {times} were accepted");
    started.elapsed()
}

/// Answers one connection's requests with the keys.
fn serve(stream: TcpStream, keys: &str) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let mut stream = stream;
    for line in lines {
        if line?.is_empty() {
            let length = keys.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{keys}")?;
        }
    }
    Ok(())
}

/// KiB of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
