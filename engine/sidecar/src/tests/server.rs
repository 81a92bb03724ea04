//! A provider on this machine: answers by path, and counts what it is asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    Give {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Sends a head and then a body without end.
    Flood,
    /// Reads the request and never answers.
    Silence,
}

impl Reply {
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Reply {
        Reply::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl AsRef<[u8]>) -> Reply {
        Reply::Give { status, headers: String::new(), body: body.as_ref().to_vec() }
    }

    pub(crate) fn redirect(location: &str) -> Reply {
        let headers = format!("Location: {location}\r\n");
        Reply::Give { status: 302, headers, body: Vec::new() }
    }
}

/// Listens until the process ends.
pub(crate) struct Server {
    address: SocketAddr,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
    requests: Mutex<Receiver<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replies = Arc::default();
        let asked = Arc::default();
        let (sender, requests) = channel();
        let server = Server {
            address,
            replies: Arc::clone(&replies),
            asked: Arc::clone(&asked),
            requests: Mutex::new(requests),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (replies, asked) = (Arc::clone(&replies), Arc::clone(&asked));
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &replies, &asked, &sender));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.into(), reply);
    }

    /// The targets of all requests to a path, in their order.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|target| path_of(target) == path).cloned().collect()
    }

    /// Waits for a further request.
    pub(crate) fn wait(&self) {
        self.requests.lock().unwrap().recv().unwrap();
    }
}

fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// Serves one connection until its other end closes it.
fn serve(
    stream: TcpStream,
    replies: &Mutex<BTreeMap<String, Reply>>,
    asked: &Mutex<Vec<String>>,
    requests: &Sender<()>,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut stream = stream;
    while let Some(Ok(first)) = lines.next() {
        let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let reply = replies.lock().unwrap().get(path_of(&target)).cloned();
        asked.lock().unwrap().push(target);
        let _ = requests.send(());
        let sent = match reply.unwrap_or_else(|| Reply::status(404, "")) {
            Reply::Give { status, headers, body } => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Reason\r\nContent-Length: {length}\r\n{headers}\r\n"
                );
                stream.write_all(&[head.as_bytes(), &body].concat())
            }
            Reply::Flood => flood(&mut stream),
            Reply::Silence => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Ends when the other end has had enough.
fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk)?;
    }
}
