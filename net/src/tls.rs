//! TLS 1.2 and 1.3 out of bytes, and into bytes, server side.
//!
//! rustls runs without buffers of its own: records are decrypted where they were read, which is the
//! scratch that all connections of a core share, and what it sends is put into one buffer that goes
//! as soon as it is taken. What stays of an idle connection are its keys (the test
//! `net/tests/tls_memory.rs` holds how much that is).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError};
use rustls::{InconsistentKeys, ServerConfig};

/// What clients may speak inside (RFC 7301). One that names only other protocols is refused, one
/// that names none is not.
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];
/// The plaintext of one record (RFC 8446, 5.1).
pub const RECORD_MAX: usize = 1 << 14;
/// A record on the wire: TLS 1.2 allows 2,048 bytes for its protection (RFC 5246, 6.2.3).
const WIRE_RECORD_MAX: usize = 5 + RECORD_MAX + 2048;
/// What a record is longer than its plaintext: its header, a nonce (TLS 1.2 with AES-GCM), a tag,
/// the type of its content (TLS 1.3).
const PROTECTION_MAX: usize = 5 + 8 + 16 + 1;
/// A close_notify and a key update in front of it, each with its protection.
const CLOSE_MAX: usize = 128;
/// What a browser is told that came without TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\
                            Content-Length: 48\r\nConnection: close\r\n\r\n\
                            Client sent an HTTP request to an HTTPS server.\n";

/// Why a certificate and its key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("malformed PEM")]
    Pem,
    #[error("no certificate in PEM")]
    NoCertificate,
    #[error("certificate {number} of the chain does not parse")]
    Certificate {
        number: usize,
        #[source]
        source: rustls::Error,
    },
    #[error("no private key in PEM; an encrypted one cannot be read")]
    NoPrivateKey,
    #[error("the private key is none of RSA, ECDSA or Ed25519")]
    PrivateKey {
        #[source]
        source: rustls::Error,
    },
    #[error("the private key is not that of the first certificate")]
    Mismatch,
    #[error("the system gives no randomness")]
    Randomness {
        #[source]
        source: rustls::Error,
    },
}

/// Why a connection ended. What the peer is told is in the output.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    #[error("plain HTTP where TLS is spoken")]
    PlainHttp,
    #[error("a handshake message is over the limit")]
    TooLarge,
    #[error("TLS failed")]
    Tls {
        #[source]
        source: rustls::Error,
    },
    #[error("the keys are used up")]
    Exhausted,
    #[error("nothing is sent behind a close")]
    Closed,
}

/// Certificates, the server's own first.
#[derive(Debug)]
pub struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    pub fn parse(pem: &[u8]) -> Result<Chain, Error> {
        let sections = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = sections.map_err(|error| pem_error(&error, Error::NoCertificate))?;
        for (index, certificate) in chain.iter().enumerate() {
            ParsedCertificate::try_from(certificate)
                .map_err(|source| Error::Certificate { number: index + 1, source })?;
        }
        if chain.is_empty() {
            return Err(Error::NoCertificate);
        }
        Ok(Chain(chain))
    }
}

/// A private key in PKCS #8, PKCS #1 or SEC 1.
#[derive(Debug)]
pub struct PrivateKey(Arc<dyn SigningKey>);

impl PrivateKey {
    pub fn parse(pem: &[u8]) -> Result<PrivateKey, Error> {
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| pem_error(&error, Error::NoPrivateKey))?;
        let key = ring::sign::any_supported_type(&key);
        Ok(PrivateKey(key.map_err(|source| Error::PrivateKey { source })?))
    }
}

/// The reader's own words may quote the file, which may be a secret.
fn pem_error(error: &pem::Error, nothing: Error) -> Error {
    match error {
        pem::Error::NoItemsFound => nothing,
        _ => Error::Pem,
    }
}

/// A certificate with its key, and all else that connections of it share.
#[derive(Clone, Debug)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// Sessions are resumed by tickets alone, so that nothing is kept of them; a ticket is good for
    /// no other identity, and for twelve hours at most.
    pub fn new(chain: Chain, key: PrivateKey) -> Result<Identity, Error> {
        let pair = CertifiedKey::new(chain.0, key.0);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(Error::Mismatch),
            Err(source) => return Err(Error::Certificate { number: 1, source }),
        }
        let provider: Arc<CryptoProvider> = ring::default_provider().into();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites of every version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(|source| Error::Randomness { source })?;
        config.max_early_data_size = 0;
        Ok(Identity(Arc::new(config)))
    }
}

/// Begins connections with the identity of the day.
///
/// Shared by all cores, which read it once for each connection. Replacing the identity concerns
/// connections to come.
#[derive(Debug)]
pub struct Acceptor(RwLock<Identity>);

impl Acceptor {
    pub fn new(identity: Identity) -> Acceptor {
        Acceptor(RwLock::new(identity))
    }

    pub fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    pub fn accept(&self) -> Stream {
        let identity = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Stream::new(identity)
    }
}

/// One TLS connection.
///
/// Lives with the connection on the core that accepted it. Invariants: it keeps no input but the
/// beginning of a record or of a handshake message, and no output but what is not taken yet; after
/// a failure, and after a close of either side, nothing more is read; after a failure and after our
/// close nothing more is sent.
pub struct Stream {
    connection: Box<UnbufferedServerConnection>,
    /// Bytes that are no whole record or message yet.
    input: Vec<u8>,
    output: Vec<u8>,
    /// How many bytes of the output are taken.
    taken: usize,
    state: State,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    /// No record was whole yet.
    Fresh,
    Open,
    /// The peer has sent its close_notify: it reads on.
    PeerClosed,
    /// We have sent ours.
    Closed,
    Failed(Failure),
}

impl Stream {
    fn new(identity: Identity) -> Stream {
        let connection = UnbufferedServerConnection::new(identity.0)
            .expect("the one thing that is refused is a size of records, which is the default");
        Stream {
            connection: Box::new(connection),
            input: Vec::new(),
            output: Vec::new(),
            taken: 0,
            state: State::Fresh,
        }
    }

    /// Takes in bytes of the connection, which it overwrites, and hands out what was inside, a
    /// record at a time. A failure is final.
    pub fn feed(&mut self, bytes: &mut [u8], plaintext: impl FnMut(&[u8])) -> Result<(), Failure> {
        match &self.state {
            State::Fresh | State::Open => {}
            State::PeerClosed | State::Closed => return Ok(()),
            State::Failed(failure) => return Err(failure.clone()),
        }
        if self.input.is_empty() {
            let read = self.read(bytes, plaintext)?;
            self.input = self.kept(&bytes[read..])?.to_vec();
            return Ok(());
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let read = self.read(&mut input, plaintext)?;
        if !self.kept(&input[read..])?.is_empty() {
            input.drain(..read);
            self.input = input;
        }
        Ok(())
    }

    /// Encrypts the plaintext's first bytes, at most [`RECORD_MAX`], and tells how many. During the
    /// handshake none are taken.
    pub fn encrypt(&mut self, plaintext: &[u8]) -> Result<usize, Failure> {
        if plaintext.is_empty() {
            return Ok(0);
        }
        match &self.state {
            State::Fresh | State::Open | State::PeerClosed => {}
            State::Closed => return Err(Failure::Closed),
            State::Failed(failure) => return Err(failure.clone()),
        }
        if self.connection.is_handshaking() {
            return Ok(0);
        }
        let plaintext = &plaintext[..plaintext.len().min(RECORD_MAX)];
        let mut needed = plaintext.len() + PROTECTION_MAX;
        loop {
            match self.write(&Message::Plaintext(plaintext), needed) {
                Ok(()) => return Ok(plaintext.len()),
                // A key update goes in front.
                Err(EncryptError::InsufficientSize(size)) => needed = size.required_size,
                Err(EncryptError::EncryptExhausted) => {
                    self.state = State::Failed(Failure::Exhausted);
                    return Err(Failure::Exhausted);
                }
            }
        }
    }

    /// Tells the peer, if the handshake was over, that nothing more comes, and reads nothing more.
    pub fn close(&mut self) {
        if !matches!(self.state, State::Fresh | State::Open | State::PeerClosed) {
            return;
        }
        if !self.connection.is_handshaking() {
            let sent = self.write(&Message::Close, CLOSE_MAX);
            debug_assert!(sent.is_ok(), "{sent:?}");
        }
        self.state = State::Closed;
        self.input = Vec::new();
    }

    /// The bytes to write, in order.
    pub fn output(&self) -> &[u8] {
        &self.output[self.taken..]
    }

    /// So many bytes of the output are written.
    pub fn advance(&mut self, count: usize) {
        self.taken += count;
        if self.taken >= self.output.len() {
            self.output = Vec::new();
            self.taken = 0;
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer has said that nothing more comes. Without it an end of the connection may
    /// be anybody's work.
    pub fn is_peer_closed(&self) -> bool {
        self.state == State::PeerClosed
    }

    /// Reads whole records and messages, and tells how many bytes they were.
    fn read(
        &mut self,
        bytes: &mut [u8],
        mut plaintext: impl FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut read = 0;
        loop {
            let status = self.connection.process_tls_records(&mut bytes[read..]);
            let discard = status.discard;
            let is_waiting = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plaintext(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.output, |room| data.encode(room));
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.state = State::PeerClosed;
                    return Ok(bytes.len()); // what comes behind it is nobody's
                }
                // Early data is refused, so it is never read.
                Ok(_) => true,
                Err(source) => return Err(self.fail(source, &bytes[read..])),
            };
            read += discard;
            if discard > 0 && self.state == State::Fresh {
                self.state = State::Open;
            }
            if is_waiting {
                return Ok(read);
            }
        }
    }

    /// What is to be kept of bytes that were not read: a record's worth at most, since a client has
    /// no longer messages to send.
    fn kept<'a>(&mut self, unread: &'a [u8]) -> Result<&'a [u8], Failure> {
        if unread.len() > WIRE_RECORD_MAX {
            self.state = State::Failed(Failure::TooLarge);
            return Err(Failure::TooLarge);
        }
        Ok(unread)
    }

    fn fail(&mut self, source: rustls::Error, unread: &[u8]) -> Failure {
        // A request begins with a letter, and no record does.
        let is_http =
            self.state == State::Fresh && unread.first().is_some_and(u8::is_ascii_uppercase);
        let failure = if is_http {
            self.output.extend_from_slice(PLAIN_HTTP);
            Failure::PlainHttp
        } else {
            self.take_alerts();
            Failure::Tls { source }
        };
        self.state = State::Failed(failure.clone());
        failure
    }

    /// Puts what is left to say into the output. rustls is asked for nothing more: it would read
    /// bytes that it holds to be there.
    fn take_alerts(&mut self) {
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else { return };
            append(&mut self.output, |room| data.encode(room));
        }
    }

    /// Appends what is to be sent, in a room of so many bytes.
    fn write(&mut self, message: &Message<'_>, room: usize) -> Result<(), EncryptError> {
        loop {
            // Nothing of the input is read here that was not before, but it has to be there.
            let status = self.connection.process_tls_records(&mut self.input);
            match status.state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = self.output.len();
                    self.output.resize(start + room, 0);
                    let room = &mut self.output[start..];
                    let written = match message {
                        Message::Plaintext(bytes) => traffic.encrypt(bytes, room),
                        Message::Close => traffic.queue_close_notify(room),
                    };
                    self.output.truncate(start + written.as_ref().map_or(0, |count| *count));
                    return written.map(drop);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.output, |room| data.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) | Err(_) => return Err(EncryptError::EncryptExhausted),
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("state", &self.state).finish_non_exhaustive()
    }
}

/// What we send after the handshake.
enum Message<'a> {
    Plaintext(&'a [u8]),
    Close,
}

/// Makes as much room as is asked for.
fn append(output: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = output.len();
    let mut room = 0;
    loop {
        output.resize(start + room, 0);
        match encode(&mut output[start..]) {
            Ok(count) => return output.truncate(start + count),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => return output.truncate(start),
        }
    }
}

#[cfg(test)]
mod tests;
