//! What an idle TLS connection costs: every allocation is counted.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as a test may")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use net::tls::{Acceptor, Chain, Identity, PrivateKey, Stream};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

const CERTIFICATE: &[u8] = include_bytes!("certificate/first.pem");
const KEY: &[u8] = include_bytes!("certificate/first.key");
const COUNT: usize = 200;
/// Rustls 0.23 needs about 3.4 KB. The goal for all of a connection is 16 KiB.
const IDLE_MAX: usize = 4 * 1024;

#[global_allocator]
static ALLOCATOR: Counting = Counting(AtomicUsize::new(0));

/// The system's allocator, and how many bytes are allocated.
struct Counting(AtomicUsize);

// SAFETY: both calls are the system allocator's, unchanged; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.0.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn an_idle_connection_costs_little() {
    let key = PrivateKey::parse(KEY).unwrap();
    let identity = Identity::new(Chain::parse(CERTIFICATE).unwrap(), key).unwrap();
    let acceptor = Acceptor::new(identity);
    for version in [&TLS12, &TLS13] {
        let config = client_config(version);
        drop(idle(&config, &acceptor)); // what is made once is made
        let mut connections = Vec::with_capacity(COUNT);
        let before = ALLOCATOR.0.load(Ordering::Relaxed);
        // Clients are gone when it is counted.
        connections.extend((0..COUNT).map(|_| idle(&config, &acceptor)));
        let each = (ALLOCATOR.0.load(Ordering::Relaxed) - before) / COUNT + size_of::<Stream>();
        println!("{:?}: {each} bytes", version.version);
        assert!(each <= IDLE_MAX, "{:?}: {each} bytes", version.version);
    }
}

/// The server's end of a connection after a request and a response.
fn idle(config: &Arc<ClientConfig>, acceptor: &Acceptor) -> Stream {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(config.clone(), name).unwrap();
    let mut server = acceptor.accept();
    exchange(&mut client, &mut server);
    client.writer().write_all(&[b'q'; 300]).unwrap();
    assert_eq!(exchange(&mut client, &mut server), 300);
    assert_eq!(server.encrypt(&[b'a'; 500]), Ok(500));
    exchange(&mut client, &mut server);
    client.reader().read_exact(&mut [0; 500]).unwrap();
    server
}

/// Carries bytes until there are none, and counts what the server reads.
fn exchange(client: &mut ClientConnection, server: &mut Stream) -> usize {
    let mut read = 0;
    loop {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let answer = server.output().to_vec();
        if sent.is_empty() && answer.is_empty() {
            return read;
        }
        server.advance(answer.len());
        server.feed(&mut sent, |plaintext| read += plaintext.len()).unwrap();
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
}

fn client_config(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
