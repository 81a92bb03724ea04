//! TLS as clients see it: what is spoken, which certificate is shown, who is ended.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::client::{Connection, LOGIN, SERVER_KEY, WebSocket, request};
use crate::process::{DEADLINE, Process, Server, ringmaster};
use crate::scripts;

/// `first.pem`, `first.key`, `second.pem`, `second.key`: self-signed, for `localhost`.
const PAIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../net/tests/certificate");
const SHORT: Duration = Duration::from_millis(400);
/// Longer than a busy machine takes, shorter than the default of 10 s.
const LATE: Duration = Duration::from_secs(8);

#[test]
fn http_and_websockets_are_spoken_in_both_versions() {
    let server = start("");
    let https = format!("https://{}", server.address);
    assert_eq!(server.banner.concat().matches(&https).count(), 2, "{:?}", server.banner);
    for version in [&TLS12, &TLS13] {
        let address = tunnel(server.address, client_config(version));
        let mut connection = Connection::open(address);
        let tokens = connection.login("a-device-with-a-secret");
        assert_eq!(connection.get("/v2/nope", "").refusal(), (404, 5));
        // A body of many records.
        let padded = format!(r#"{{"id":"a-large-device"}}{}"#, " ".repeat(200_000));
        connection.post(LOGIN, SERVER_KEY, &padded).tokens();
        let large = request("GET", &format!("/{}", "x".repeat(9000)), "", "");
        connection.send(large.repeat(100));
        for _ in 0..100 {
            assert_eq!(connection.receive().status, 404);
        }

        let mut socket = connection.upgrade(&tokens.session);
        let ping = WebSocket::frame(0x81, br#"{"ping":{}}"#);
        let last = WebSocket::frame(0x88, &[0x03, 0xe8]);
        socket.0.send([ping.repeat(5000), last].concat());
        assert_eq!(socket.frames_until_close(), (5000, 1000));
        assert!(socket.0.is_over());
    }
}

#[test]
fn requests_may_come_byte_by_byte_each_in_a_record() {
    let server = start("");
    let mut connection = Connection::open(tunnel(server.address, client_config(&TLS13)));
    for byte in request("POST", LOGIN, SERVER_KEY, r#"{"id":"a-slow-device"}"#).bytes() {
        connection.send([byte]);
    }
    assert!(connection.receive().tokens().is_new);
}

#[test]
fn the_stock_sdk_speaks_tls() {
    scripts::run("engine/server/tests/secure.mjs", &start(""));
}

/// The server says that it closes; else a client could not tell an end from a cut.
#[test]
fn the_last_response_is_followed_by_the_end_of_tls() {
    let server = start("");
    for version in [&TLS12, &TLS13] {
        let mut tls = handshake(server.address, client_config(version));
        tls.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        tls.read_to_string(&mut response).unwrap(); // an error without close_notify
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");

        // And so if the client is the first to close.
        let mut tls = handshake(server.address, client_config(version));
        tls.write_all(request("GET", "/healthcheck", "", "").as_bytes()).unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        let mut response = String::new();
        tls.read_to_string(&mut response).unwrap();
        assert!(response.ends_with("\r\n\r\n{}"), "{response}");
    }
}

#[test]
fn a_changed_certificate_is_for_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    install("first", folder.path());
    let server = Server::start_with(2, &socket_config(&folder.path().join("a"), ""));
    let mut old = Connection::open(tunnel(server.address, client_config(&TLS13)));
    assert_eq!(old.get("/healthcheck", "").status, 200);
    assert_eq!(shown(&server), pem("first"));

    // Found by itself, then asked for.
    install("second", folder.path());
    wait_until_shown(&server, "second");
    install("first", folder.path());
    server.signal(libc::SIGHUP);
    wait_until_shown(&server, "first");

    // What cannot be served is not.
    std::fs::copy(file("second", "key"), folder.path().join("a.key")).unwrap();
    server.signal(libc::SIGHUP);
    let line = server.wait_for_log("certificate not reloaded");
    assert!(line.contains("ERROR") && line.contains("not that of the first certificate"), "{line}");
    std::fs::remove_file(folder.path().join("a.key")).unwrap();
    server.signal(libc::SIGHUP);
    let line = server.wait_for_log("certificate not reloaded");
    assert!(line.contains("a.key") && line.contains("No such file"), "{line}");
    assert_eq!(shown(&server), pem("first"));
    assert_eq!(old.get("/healthcheck", "").status, 200);
    install("second", folder.path());
    server.signal(libc::SIGHUP);
    wait_until_shown(&server, "second");
    assert_eq!(old.get("/healthcheck", "").status, 200);
}

#[test]
fn a_handshake_has_the_time_of_a_request() {
    let server = start(&format!("read_timeout_ms = {}\n", SHORT.as_millis()));
    assert!(Connection::open(server.address).is_over());
    let record = [&[0x16, 3, 1, 0x20, 0][..], &[1, 0, 0x1f, 0xfc]].concat();
    let time = Connection::open(server.address)
        .send_slowly_until_over(record.into_iter().chain(std::iter::repeat_n(0, 5000)));
    assert!(time < LATE, "{time:?}");
    assert_eq!(shown(&server), pem("first"));
}

#[test]
fn what_is_no_tls_is_answered_and_ended() {
    let server = start("");
    for more in [0, 1 << 20].repeat(10) {
        let mut connection = Connection::open(server.address);
        connection.send(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(more)));
        let response = connection.receive();
        assert_eq!(response.status, 400);
        assert_eq!(response.body, "Client sent an HTTP request to an HTTPS server.\n");
        assert!(connection.is_over());
    }
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"no handshake at all").unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).unwrap();
    assert_eq!((alert.len(), alert[0]), (7, 21));
    assert_eq!(shown(&server), pem("first"));
}

/// A record that is cut off would be no record, and the reason would never be read.
#[test]
fn a_slow_reader_is_told_why_it_is_dropped() {
    let limits = "outgoing_queue_size = 4\nclose_ack_wait_ms = 20000\n";
    for version in [&TLS12, &TLS13] {
        let server = start(limits);
        let address = tunnel(server.address, client_config(version));
        let tokens = Connection::open(address).login("a-device-that-never-reads");
        let mut socket = Connection::open(address).upgrade(&tokens.session);
        let ping = format!(r#"{{"cid":"{}","ping":{{}}}}"#, "x".repeat(900));
        let ping = WebSocket::frame(0x81, ping.as_bytes());
        // More than the kernel holds for two readers that do not read.
        for _ in 0..(32 << 20) / ping.len() {
            socket.0.send(&ping);
        }
        assert_eq!(socket.close_frame(), (1008, "slow reader".to_owned()));
        socket.confirm_close(1008);
    }
}

#[test]
fn a_certificate_that_cannot_be_served_is_refused_with_the_reason() {
    let check = |certificate: PathBuf, key: PathBuf, parts: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let (data, config) = (folder.path().join("data"), folder.path().join("config.toml"));
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        let text =
            format!("[socket]\nssl_certificate = \"{certificate}\"\nssl_private_key = \"{key}\"\n");
        std::fs::write(&config, text).unwrap();
        let command = ringmaster([OsStr::new("--data-dir"), data.as_os_str()]);
        let arguments = [OsStr::new("--config"), config.as_os_str()];
        let listen = ["--listen", "127.0.0.1:0"];
        let ended = Process::start({ command }.args(arguments).args(listen)).end();
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{}", ended.stderr);
        for part in parts {
            assert!(ended.stderr.contains(part), "{part} is missing in {}", ended.stderr);
        }
        assert!(!data.exists(), "something was started");
    };
    let nowhere = || PathBuf::from("/nowhere/a.pem");
    check(
        file("first", "pem"),
        file("second", "key"),
        &["first.pem", "second.key", "the private key is not that of the first certificate"],
    );
    let missing = ["ssl_certificate", "/nowhere/a.pem", "No such file"];
    check(nowhere(), file("first", "key"), &missing);
    check(file("first", "pem"), nowhere(), &["ssl_private_key", "/nowhere/a.pem"]);
    let swapped = ["ssl_certificate", "first.key", "no certificate in PEM"];
    check(file("first", "key"), file("first", "pem"), &swapped);
    check(file("first", "pem"), PathBuf::new(), &["goes together with socket.ssl_private_key"]);
}

/// A server that shows the first certificate, with more of its section `socket`.
fn start(more: &str) -> Server {
    Server::start_with(2, &socket_config(&Path::new(PAIRS).join("first"), more))
}

/// The certificate's files are so named, with `.pem` and `.key` behind it.
fn socket_config(pair: &Path, more: &str) -> String {
    let pair = pair.display();
    format!("[socket]\nssl_certificate = \"{pair}.pem\"\nssl_private_key = \"{pair}.key\"\n{more}")
}

fn file(name: &str, extension: &str) -> PathBuf {
    Path::new(PAIRS).join(name).with_extension(extension)
}

fn pem(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name, "pem")).unwrap()
}

/// Puts a pair in the place of another, one file after the other.
fn install(name: &str, folder: &Path) {
    for extension in ["pem", "key"] {
        std::fs::copy(file(name, extension), folder.join("a").with_extension(extension)).unwrap();
    }
}

fn wait_until_shown(server: &Server, name: &str) {
    let start = Instant::now();
    while shown(server) != pem(name) {
        assert!(start.elapsed() < DEADLINE, "{name} is never shown");
    }
}

/// The certificate that a new connection is shown.
fn shown(server: &Server) -> CertificateDer<'static> {
    let tls = handshake(server.address, client_config(&TLS13));
    tls.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Trusts both certificates.
fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(pem("first")).unwrap();
    roots.add(pem("second")).unwrap();
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

type Tls = rustls::StreamOwned<ClientConnection, TcpStream>;

fn handshake(address: SocketAddr, config: impl Into<Arc<ClientConfig>>) -> Tls {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config.into(), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut stream).unwrap();
    }
    Tls::new(client, stream)
}

/// An address where the server is spoken to without TLS. Ends with the test's process.
fn tunnel(server: SocketAddr, config: ClientConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for plain in listener.incoming().map_while(Result::ok) {
            let Tls { conn: client, sock: stream } = handshake(server, config.clone());
            stream.set_read_timeout(None).unwrap();
            let client = Arc::new(Mutex::new(client));
            let (writer, reader) = (stream.try_clone().unwrap(), client.clone());
            let source = plain.try_clone().unwrap();
            thread::spawn(move || encrypt(&client, source, writer));
            thread::spawn(move || decrypt(&reader, stream, plain));
        }
    });
    address
}

/// Carries bytes towards the server, until one side ends.
fn encrypt(client: &Mutex<ClientConnection>, mut plain: TcpStream, mut stream: TcpStream) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = plain.read(&mut piece) {
        let mut sent = Vec::new();
        {
            let client = &mut *client.lock().unwrap();
            client.writer().write_all(&piece[..count]).unwrap();
            while client.wants_write() {
                client.write_tls(&mut sent).unwrap();
            }
        }
        if stream.write_all(&sent).is_err() {
            break;
        }
    }
}

/// Carries bytes from the server, until one side ends.
fn decrypt(client: &Mutex<ClientConnection>, mut stream: TcpStream, mut plain: TcpStream) {
    let mut piece = [0; 16 * 1024];
    let mut is_over = false;
    while !is_over && let Ok(count @ 1..) = stream.read(&mut piece) {
        let mut received = &piece[..count];
        while !is_over && !received.is_empty() {
            let mut bytes = Vec::new();
            {
                let client = &mut *client.lock().unwrap();
                client.read_tls(&mut received).unwrap();
                client.process_new_packets().expect("the server's records are whole");
                is_over = client.reader().read_to_end(&mut bytes).is_ok();
            }
            is_over |= plain.write_all(&bytes).is_err();
        }
    }
    let _ = plain.shutdown(Shutdown::Both); // the client may be gone
    let _ = stream.shutdown(Shutdown::Both);
}
