//! A bare HTTP server on the same runtime: what the machine gives before anything is done.
//!
//! One pinned executor per thread, listeners that share a port, httparse straight on the bytes
//! read, a fixed answer of the size of an account. `--listen ADDR:PORT --threads N`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, Placement, spawn_local, yield_if_needed};
use net::rt::{self, Connection};

const SCRATCH_SIZE: usize = 64 * 1024;
const HEADERS_MAX: usize = 32;
const HEAD_MAX: usize = 16 * 1024;
/// The answer of ringmaster to `GET /v2/account`, byte for byte as long.
const ANSWER: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
    "Cache-Control: no-store, no-cache, must-revalidate\r\nVary: Accept-Encoding\r\n",
    "Grpc-Metadata-Content-Type: application/grpc\r\nContent-Length: 238\r\n\r\n",
    r#"{"user":{"id":"3aa1557a-199f-4cac-8591-7d27f33ecd33","username":"yunxTVqipL","#,
    r#""lang_tag":"en","metadata":"{}","create_time":"2026-11-24T07:04:41Z","#,
    r#""update_time":"2026-11-24T07:04:41Z"},"wallet":"{}","#,
    r#""devices":[{"id":"ringload-account-1"}]}"#,
);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (_, body) = ANSWER.split_once("\r\n\r\n").ok_or("the answer has a body")?;
    assert!(ANSWER.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    let (address, threads) = arguments()?;
    let listeners = net::listener::bind(address, threads)?;
    println!("http_echo http://{}", listeners[0].local_addr()?);
    let mut executors = Vec::new();
    for (cpu, listener) in listeners.into_iter().enumerate() {
        let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu)).io_memory(64 * 1024);
        executors.push(builder.spawn(move || serve(listener))?);
    }
    for executor in executors {
        executor.join()?;
    }
    Ok(())
}

fn arguments() -> Result<(SocketAddr, usize), Box<dyn std::error::Error>> {
    let (mut address, mut threads) = ("127.0.0.1:0".to_owned(), "1".to_owned());
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or("a flag needs its value")?;
        match flag.as_str() {
            "--listen" => address = value,
            "--threads" => threads = value,
            _ => return Err("usage: --listen ADDR:PORT --threads N".into()),
        }
    }
    Ok((address.parse()?, threads.parse()?))
}

async fn serve(listener: TcpListener) {
    let listener = rt::listener(listener);
    let scratch = Rc::new(RefCell::new(vec![0; SCRATCH_SIZE]));
    loop {
        if let Ok(connection) = rt::accept(&listener).await {
            let scratch = scratch.clone();
            spawn_local(async move {
                let _ = echo(connection, scratch).await; // the peer has gone
            })
            .detach();
        }
    }
}

async fn echo(mut connection: Connection, scratch: Rc<RefCell<Vec<u8>>>) -> io::Result<()> {
    let mut partial = Vec::new(); // an incomplete request
    let mut output = Vec::new();
    loop {
        let end = poll_fn(|cx| {
            let scratch = &mut *scratch.borrow_mut();
            connection.poll_read(cx, scratch).map_ok(|count| {
                if partial.is_empty() {
                    let taken = answer(&scratch[..count], &mut output)?;
                    partial.extend_from_slice(&scratch[taken..count]);
                } else {
                    partial.extend_from_slice(&scratch[..count]);
                    let taken = answer(&partial, &mut output)?;
                    partial.drain(..taken);
                }
                Ok::<_, io::Error>(count == 0 || partial.len() > HEAD_MAX)
            })
        })
        .await??;
        if end {
            return Ok(());
        }
        let mut written = connection.try_write(&output)?;
        while written < output.len() {
            written += poll_fn(|cx| connection.poll_write(cx, &output[written..])).await?;
        }
        output.clear();
        yield_if_needed().await;
    }
}

/// Answers every complete request, and gives how many bytes they are.
fn answer(input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
    let mut taken = 0;
    while taken < input.len() {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(status) = request.parse(&input[taken..]) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let httparse::Status::Complete(head) = status else {
            break;
        };
        let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let body = length.and_then(|h| std::str::from_utf8(h.value).ok()?.parse().ok());
        let body = body.unwrap_or(0_usize).min(HEAD_MAX);
        if input.len() < taken + head + body {
            break;
        }
        taken += head + body;
        output.extend_from_slice(ANSWER.as_bytes());
    }
    Ok(taken)
}
