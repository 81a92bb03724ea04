//! A provider or collector on this machine: answers by path, and counts what it is asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
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

    /// A collector that has too much to do.
    pub(crate) fn busy(retry_after: u32) -> Reply {
        let headers = format!("Retry-After: {retry_after}\r\n");
        Reply::Give { status: 503, headers, body: Vec::new() }
    }

    pub(crate) fn redirect(location: &str) -> Reply {
        let headers = format!("Location: {location}\r\n");
        Reply::Give { status: 302, headers, body: Vec::new() }
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    target: String,
    pub(crate) method: String,
    /// The lines behind the first, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// By path, in their order. The last one stays.
type Replies = BTreeMap<String, VecDeque<Reply>>;

/// Listens until the process ends.
pub(crate) struct Server {
    address: SocketAddr,
    replies: Arc<Mutex<Replies>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrivals: Mutex<Receiver<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replies = Arc::default();
        let asked = Arc::default();
        let (sender, arrivals) = channel();
        let server = Server {
            address,
            replies: Arc::clone(&replies),
            asked: Arc::clone(&asked),
            arrivals: Mutex::new(arrivals),
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
        self.set_all(path, [reply]);
    }

    /// Sets what the next requests are answered with, the last one and all later ones alike.
    pub(crate) fn set_all(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().insert(path.into(), replies.into_iter().collect());
    }

    /// The targets of all requests to a path, in their order.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        self.requests(path).into_iter().map(|asked| asked.target).collect()
    }

    /// All requests to a path, in their order.
    pub(crate) fn requests(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| path_of(&asked.target) == path).cloned().collect()
    }

    /// Waits for a further request.
    pub(crate) fn wait(&self) {
        self.arrivals.lock().unwrap().recv().unwrap();
    }
}

fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// Serves one connection until its other end closes it.
fn serve(
    stream: TcpStream,
    replies: &Mutex<Replies>,
    asked: &Mutex<Vec<Asked>>,
    arrivals: &Sender<()>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let reply = replies.lock().unwrap().get_mut(path_of(&request.target)).and_then(|replies| {
            if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
        });
        asked.lock().unwrap().push(request);
        let _ = arrivals.send(());
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

/// One request; none if the other end is gone.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        let length = reader.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next().unwrap_or_default());
    let mut asked = Asked { method, target, ..Asked::default() };
    while let Some((name, value)) = line()?.split_once(": ") {
        asked.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

/// Ends when the other end has had enough.
fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk)?;
    }
}
