//! Echoes every message through the production codec, for suites that drive a WebSocket server with
//! frames good and bad (Autobahn's cases, as `kosoku` has them). `--listen ADDR:PORT`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::rc::Rc;

use glommio::{LocalExecutorBuilder, spawn_local, yield_if_needed};
use net::http::{self, Decoder};
use net::rt::{self, Connection};
use net::ws::{self, Codec};

const SCRATCH_SIZE: usize = 64 * 1024;
/// The suite's largest message.
const MESSAGE_MAX: usize = 16 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let address: SocketAddr = match (words.next().as_deref(), words.next()) {
        (None, None) => "127.0.0.1:0".parse()?,
        (Some("--listen"), Some(address)) => address.parse()?,
        _ => return Err("usage: --listen ADDR:PORT".into()),
    };
    let listener = net::listener::bind(address, 1)?.pop().ok_or("one listener was asked for")?;
    println!("autobahn_echo ws://{}", listener.local_addr()?);
    let executor = LocalExecutorBuilder::default().spawn(move || serve(listener))?;
    executor.join()?;
    Ok(())
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
    let mut decoder = Decoder::new(http::Limits { head: 16 * 1024, headers: 64, body: 0 });
    let request = loop {
        let count = poll_fn(|cx| connection.poll_read(cx, &mut scratch.borrow_mut())).await?;
        decoder.feed(&scratch.borrow()[..count]);
        match decoder.poll() {
            Ok(Some(http::Event::Request(request))) => break request,
            Ok(_) if count > 0 => {}
            _ => return Ok(()),
        }
    };
    write(&mut connection, &ws::accept(&request).map_err(io::Error::other)?).await?;
    let limits = ws::Limits { message: MESSAGE_MAX, frames: u32::MAX };
    let mut codec = Codec::new(limits, decoder.take_rest());
    loop {
        while let Some(event) = codec.poll() {
            match event {
                ws::Event::Text(text) => codec.send_text(&text),
                ws::Event::Binary(bytes) => codec.send_binary(&bytes),
                ws::Event::Ping
                | ws::Event::Pong
                | ws::Event::Closed { .. }
                | ws::Event::Failed(_) => {}
            }
        }
        write(&mut connection, &codec.take_output()).await?;
        if codec.is_closed() {
            connection.shutdown(Shutdown::Write)?;
        }
        yield_if_needed().await;
        let count = poll_fn(|cx| connection.poll_read(cx, &mut scratch.borrow_mut())).await?;
        if count == 0 {
            return Ok(());
        }
        codec.feed(&scratch.borrow()[..count]);
    }
}

async fn write(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    let mut written = connection.try_write(bytes)?;
    while written < bytes.len() {
        written += poll_fn(|cx| connection.poll_write(cx, &bytes[written..])).await?;
    }
    Ok(())
}
