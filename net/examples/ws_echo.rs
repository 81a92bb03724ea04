//! A bare WebSocket echo on the same runtime: every message goes back as it came.
//!
//! One pinned executor per thread, listeners that share a port, frames decoded by hand from the
//! bytes read. Whole messages only, as the load generator sends. `--listen ADDR:PORT --threads N`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, Placement, spawn_local, yield_if_needed};
use net::http::{Decoder, Event, Limits};
use net::rt::{self, Connection};

const SCRATCH_SIZE: usize = 64 * 1024;
const MESSAGE_MAX: usize = 4096;
const PING: u8 = 9;
const PONG: u8 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, threads) = arguments()?;
    let listeners = net::listener::bind(address, threads)?;
    println!("ws_echo http://{}", listeners[0].local_addr()?);
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
    let mut decoder = Decoder::new(Limits { head: 16 * 1024, headers: 64, body: 0 });
    let request = loop {
        let count = poll_fn(|cx| connection.poll_read(cx, &mut scratch.borrow_mut())).await?;
        decoder.feed(&scratch.borrow()[..count]);
        match decoder.poll() {
            Ok(Some(Event::Request(request))) => break request,
            Ok(_) if count > 0 => {}
            _ => return Ok(()),
        }
    };
    let mut output = net::ws::accept(&request).map_err(io::Error::other)?;
    let mut partial = decoder.take_rest(); // an incomplete frame
    loop {
        let mut written = connection.try_write(&output)?;
        while written < output.len() {
            written += poll_fn(|cx| connection.poll_write(cx, &output[written..])).await?;
        }
        output.clear();
        yield_if_needed().await;
        let end = poll_fn(|cx| {
            let scratch = &mut *scratch.borrow_mut();
            connection.poll_read(cx, scratch).map_ok(|count| {
                if partial.is_empty() {
                    let taken = answer(&mut scratch[..count], &mut output)?;
                    partial.extend_from_slice(&scratch[taken..count]);
                } else {
                    partial.extend_from_slice(&scratch[..count]);
                    let taken = answer(&mut partial, &mut output)?;
                    partial.drain(..taken);
                }
                Ok::<_, io::Error>(count == 0)
            })
        })
        .await??;
        if end {
            return Ok(());
        }
    }
}

/// Sends back every complete frame, and gives how many bytes they are.
fn answer(input: &mut [u8], output: &mut Vec<u8>) -> io::Result<usize> {
    let mut taken = 0;
    loop {
        let frame = &mut input[taken..];
        let [first, second, ..] = *frame else {
            return Ok(taken);
        };
        let (header, length) = match second & 0x7f {
            126 if frame.len() < 4 => return Ok(taken),
            126 => (4, usize::from(u16::from_be_bytes([frame[2], frame[3]]))),
            length => (2, usize::from(length)),
        };
        if length > MESSAGE_MAX || second & 0x80 == 0 || second & 0x7f == 127 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(payload) = frame.get(header + 4..header + 4 + length) else {
            return Ok(taken);
        };
        let mask = u64::from_ne_bytes(std::array::from_fn(|at| frame[header + at % 4]));
        output.push(if first & 0x0f == PING { 0x80 | PONG } else { first });
        output.push(second & 0x7f);
        output.extend_from_slice(&frame[2..header]);
        let mut words = payload.chunks_exact(8);
        for word in &mut words {
            let word = u64::from_ne_bytes(word.try_into().map_err(io::Error::other)?);
            output.extend_from_slice(&(word ^ mask).to_ne_bytes());
        }
        for (byte, mask) in words.remainder().iter().zip(mask.to_ne_bytes()) {
            output.push(byte ^ mask);
        }
        taken += header + 4 + length;
    }
}
