//! A client of rustls in memory against the stream: good, bad, and in pieces.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, RootCertStore,
    SupportedProtocolVersion,
};

use super::*;

const FIRST: [&[u8]; 2] = [
    include_bytes!("../../tests/certificate/first.pem"),
    include_bytes!("../../tests/certificate/first.key"),
];
const SECOND: [&[u8]; 2] = [
    include_bytes!("../../tests/certificate/second.pem"),
    include_bytes!("../../tests/certificate/second.key"),
];
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const ALERT: u8 = 21;

fn identity([chain, key]: [&[u8]; 2]) -> Identity {
    Identity::new(Chain::parse(chain).unwrap(), PrivateKey::parse(key).unwrap()).unwrap()
}

/// Trusts both certificates, and offers no protocol.
fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    trusting(&[FIRST, SECOND], version)
}

fn trusting(pairs: &[[&[u8]; 2]], version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for [chain, _] in pairs {
        roots.add(CertificateDer::from_pem_slice(chain).unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Both ends of one connection.
struct Pair {
    client: ClientConnection,
    server: Stream,
    /// What the server has read.
    heard: Vec<u8>,
    /// What the client has read.
    told: Vec<u8>,
    /// The client was told that this is all.
    is_told_all: bool,
}

impl Pair {
    fn new(config: impl Into<Arc<ClientConfig>>, acceptor: &Acceptor) -> Pair {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(config.into(), name).unwrap();
        let server = acceptor.accept();
        Pair { client, server, heard: Vec::new(), told: Vec::new(), is_told_all: false }
    }

    /// After a good handshake.
    fn open(version: &'static SupportedProtocolVersion) -> Pair {
        let mut pair = Pair::new(client_config(version), &Acceptor::new(identity(FIRST)));
        pair.exchange().unwrap();
        assert!(!pair.server.is_handshaking() && !pair.client.is_handshaking());
        pair
    }

    fn exchange(&mut self) -> Result<(), Failure> {
        self.exchange_in_pieces(usize::MAX)
    }

    /// Carries bytes both ways, in pieces of this size, until there are none.
    fn exchange_in_pieces(&mut self, size: usize) -> Result<(), Failure> {
        loop {
            let sent = self.sent_by_client();
            let answer = self.server.output().to_vec();
            if sent.is_empty() && answer.is_empty() {
                return Ok(());
            }
            for piece in answer.chunks(size) {
                self.server.advance(piece.len());
                self.receive(piece).unwrap();
            }
            for piece in sent.chunks(size) {
                self.feed(piece)?;
            }
        }
    }

    fn sent_by_client(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut sent).unwrap();
        }
        sent
    }

    /// What the client would write as these bytes.
    fn said_by_client(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(bytes).unwrap();
        self.sent_by_client()
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.server.feed(&mut bytes.to_vec(), |plaintext| self.heard.extend_from_slice(plaintext))
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() && self.client.read_tls(&mut bytes).unwrap() > 0 {
            self.client.process_new_packets()?;
            self.is_told_all |= self.client.reader().read_to_end(&mut self.told).is_ok();
        }
        Ok(())
    }

    /// Sends this to the client, a record at a time.
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.server.encrypt(bytes).unwrap();
            assert!(count > 0);
            bytes = &bytes[count..];
            let record = self.take_output();
            let room = count + PROTECTION_MAX + CLOSE_MAX; // a key update may go in front
            assert!(record.len() <= room, "{} for {count}", record.len());
            self.receive(&record).unwrap();
        }
    }

    fn take_output(&mut self) -> Vec<u8> {
        let output = self.server.output().to_vec();
        self.server.advance(output.len());
        assert_eq!(self.server.output.capacity(), 0);
        output
    }

    /// What the client has read since, and whether it was told that this is all.
    fn take_told(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.told), self.is_told_all)
    }

    /// The alert that the client is sent instead of anything else.
    #[track_caller]
    fn check_alert(&mut self, expected: AlertDescription) {
        let output = self.take_output();
        assert_eq!(self.receive(&output), Err(rustls::Error::AlertReceived(expected)));
        self.check_over();
    }

    /// After a failure nothing is read or written.
    #[track_caller]
    fn check_over(&mut self) {
        let heard = self.heard.len();
        assert!(self.feed(b"\x16\x03\x01\x00\x00").is_err());
        assert!(self.server.encrypt(b"late").is_err());
        assert_eq!(self.server.encrypt(b""), Ok(0));
        self.server.close();
        assert_eq!((self.server.output(), self.heard.len()), (&[][..], heard));
        assert_eq!(self.server.input.capacity(), 0);
    }
}

fn tls(source: rustls::Error) -> Result<(), Failure> {
    Err(Failure::Tls { source })
}

#[test]
fn both_versions_carry_bytes_both_ways_in_pieces_of_any_size() {
    for version in VERSIONS {
        for size in [1, 7, 1000, usize::MAX] {
            let mut config = client_config(version);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let mut pair = Pair::new(config, &Acceptor::new(identity(FIRST)));
            assert!(pair.server.is_handshaking());
            assert_eq!(pair.server.encrypt(b"early"), Ok(0));
            pair.exchange_in_pieces(size).unwrap();
            assert!(!pair.server.is_handshaking() && !pair.client.is_handshaking());
            assert_eq!(pair.client.protocol_version(), Some(version.version));
            assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
            for _ in 0..3 {
                pair.client.writer().write_all(b"question").unwrap();
                pair.exchange_in_pieces(size).unwrap();
                assert_eq!(std::mem::take(&mut pair.heard), b"question");
                assert_eq!(pair.server.encrypt(b"answer"), Ok(6));
                pair.exchange_in_pieces(size).unwrap();
                assert_eq!(pair.take_told(), (b"answer".to_vec(), false));
            }
            assert_eq!((pair.server.input.capacity(), pair.server.output.capacity()), (0, 0));
        }
    }
}

#[test]
fn a_client_that_names_only_other_protocols_is_refused() {
    for version in VERSIONS {
        let check = |offered: &[&str], expected: Option<&[u8]>| {
            let mut config = client_config(version);
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let mut pair = Pair::new(config, &Acceptor::new(identity(FIRST)));
            pair.exchange().unwrap();
            assert_eq!(pair.client.alpn_protocol(), expected, "{offered:?}");
        };
        check(&[], None);
        check(&["http/1.1"], Some(b"http/1.1"));
        check(&["h2", "http/1.1"], Some(b"http/1.1"));

        let mut config = client_config(version);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.0".to_vec()];
        let mut pair = Pair::new(config, &Acceptor::new(identity(FIRST)));
        assert_eq!(pair.exchange(), tls(rustls::Error::NoApplicationProtocol));
        pair.check_alert(AlertDescription::NoApplicationProtocol);
    }
}

#[test]
fn bytes_that_are_no_tls_are_answered_by_an_alert_or_as_http() {
    let long = [0x16, 3, 1, 0x48, 0x01]; // a record of more than 18 KiB
    for bytes in [&[0; 64][..], &[0xff; 64], b"get / HTTP/1.1\r\n\r\n", &long] {
        let mut pair = Pair::new(client_config(&TLS13), &Acceptor::new(identity(FIRST)));
        let failure = pair.feed(bytes);
        assert!(matches!(failure, Err(Failure::Tls { .. })), "{bytes:?}: {failure:?}");
        assert_eq!(pair.take_output()[0], ALERT, "{bytes:?}");
        pair.check_over();
    }
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"P"] {
        let mut pair = Pair::new(client_config(&TLS13), &Acceptor::new(identity(FIRST)));
        assert_eq!(pair.feed(bytes), Err(Failure::PlainHttp));
        assert!(pair.take_output().starts_with(b"HTTP/1.0 400 Bad Request\r\n"));
        pair.check_over();
    }
    let mut pair = Pair::open(&TLS13);
    assert!(matches!(pair.feed(b"GET / HTTP/1.1\r\n"), Err(Failure::Tls { .. })));
}

#[test]
fn a_part_of_a_handshake_is_waited_for() {
    for version in VERSIONS {
        let acceptor = Acceptor::new(identity(FIRST));
        let hello = Pair::new(client_config(version), &acceptor).sent_by_client();
        for length in 0..hello.len() {
            let mut pair = Pair::new(client_config(version), &acceptor);
            assert_eq!(pair.feed(&hello[..length]), Ok(()));
            assert!(pair.server.is_handshaking() && pair.server.output().is_empty());
            assert_eq!(pair.server.input.capacity(), length);
        }
    }
}

/// A message in records of its own making, one after another and all at once.
#[test]
fn a_handshake_message_may_come_in_many_records() {
    for size in [64, usize::MAX] {
        for version in VERSIONS {
            let mut config = client_config(version);
            config.max_fragment_size = Some(32);
            let mut pair = Pair::new(config, &Acceptor::new(identity(FIRST)));
            pair.exchange_in_pieces(size).unwrap();
            assert!(!pair.server.is_handshaking());
        }
    }
}

#[test]
fn no_more_than_a_record_is_kept() {
    let mut pair = Pair::open(&TLS13);
    assert!(matches!(pair.feed(&[0x17, 3, 3, 0x48, 0x01]), Err(Failure::Tls { .. })));
    pair.check_alert(AlertDescription::DecodeError);

    // A ClientHello of 60,000 bytes, in records that are all as they should be.
    let mut pair = Pair::new(client_config(&TLS13), &Acceptor::new(identity(FIRST)));
    let mut message = vec![0; 4 + 60_000];
    message[..4].copy_from_slice(&[1, 0, 0xea, 0x60]);
    let mut fed = 0;
    let failure = message.chunks(1000).find_map(|fragment| {
        let record = [&[0x16, 3, 1, 0x03, 0xe8], fragment].concat();
        fed += record.len();
        pair.feed(&record).err()
    });
    assert_eq!(failure, Some(Failure::TooLarge));
    assert!(fed <= WIRE_RECORD_MAX + 1005, "{fed}");
    pair.check_over();
}

#[test]
fn a_changed_record_is_answered_by_an_alert() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        let good = pair.said_by_client(b"good");
        let mut bad = pair.said_by_client(b"bad");
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(pair.feed(&[good, bad].concat()), tls(rustls::Error::DecryptError));
        assert_eq!(pair.heard, b"good");
        pair.check_alert(AlertDescription::BadRecordMac);
    }
}

#[test]
fn an_alert_of_the_client_ends_the_connection() {
    for version in VERSIONS {
        let config = trusting(&[SECOND], version);
        let mut pair = Pair::new(config, &Acceptor::new(identity(FIRST)));
        let hello = pair.sent_by_client();
        pair.feed(&hello).unwrap();
        let flight = pair.take_output();
        assert!(pair.receive(&flight).is_err());
        let sent = pair.sent_by_client();
        let failure = pair.feed(&sent);
        let Err(Failure::Tls { source: rustls::Error::AlertReceived(_) }) = failure else {
            panic!("{failure:?}");
        };
        pair.check_over();
    }
}

#[test]
fn a_peer_that_says_nothing_more_still_reads() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.client.writer().write_all(b"last").unwrap();
        pair.client.send_close_notify();
        let sent = [&pair.sent_by_client()[..], b"nobody's"].concat();
        assert!(!pair.server.is_peer_closed());
        pair.feed(&sent).unwrap();
        assert!(pair.server.is_peer_closed());
        assert_eq!(pair.heard, b"last");
        assert_eq!(pair.feed(b"nobody's"), Ok(()));
        assert_eq!(pair.server.input.capacity(), 0);
        pair.say(b"answer");
        pair.server.close();
        pair.exchange().unwrap();
        assert_eq!(pair.take_told(), (b"answer".to_vec(), true));
    }
}

#[test]
fn our_close_is_told_once_and_is_the_end() {
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        pair.say(b"last");
        let late = pair.said_by_client(b"late");
        pair.feed(&late[..late.len() - 1]).unwrap();
        pair.server.close();
        let close = pair.take_output();
        pair.server.close();
        assert!(pair.server.output().is_empty());
        pair.receive(&close).unwrap();
        assert_eq!(pair.take_told(), (b"last".to_vec(), true));
        assert_eq!(pair.feed(b"GET / HTTP/1.1"), Ok(()));
        assert!(pair.heard.is_empty() && pair.server.output().is_empty());
        assert_eq!(pair.server.encrypt(b"late"), Err(Failure::Closed));
        assert_eq!(pair.server.input.capacity(), 0);
    }
    let mut pair = Pair::new(client_config(&TLS13), &Acceptor::new(identity(FIRST)));
    let hello = pair.sent_by_client();
    pair.feed(&hello[..10]).unwrap();
    pair.server.close();
    assert!(pair.server.output().is_empty(), "there are no keys yet");
}

#[test]
fn much_is_carried_in_many_records() {
    let much: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for version in VERSIONS {
        let mut pair = Pair::open(version);
        much.chunks(40_000).for_each(|piece| pair.say(piece));
        assert!(pair.told == much);

        for piece in much.chunks(40_000) {
            pair.client.writer().write_all(piece).unwrap();
            pair.exchange_in_pieces(65_536 - 1).unwrap();
        }
        assert!(pair.heard == much);
        assert_eq!(pair.server.input.capacity(), 0);
    }
}

/// Also while a half of a record is here, which encrypting leaves alone.
#[test]
fn keys_may_change_at_any_time() {
    let mut pair = Pair::open(&TLS13);
    for _ in 0..3 {
        pair.client.refresh_traffic_keys().unwrap();
        let update = pair.sent_by_client();
        let (head, tail) = update.split_at(update.len() / 2);
        pair.feed(head).unwrap();
        pair.say(b"one, ");
        pair.feed(tail).unwrap();
        pair.say(b"two");
        assert_eq!(pair.take_told(), (b"one, two".to_vec(), false));
        pair.client.writer().write_all(b"three").unwrap();
        pair.exchange().unwrap();
        assert_eq!(std::mem::take(&mut pair.heard), b"three");
    }
}

#[test]
fn a_new_identity_is_for_new_connections() {
    for version in VERSIONS {
        let config = Arc::new(client_config(version));
        let acceptor = Acceptor::new(identity(FIRST));
        let open = |kind, expected: [&[u8]; 2]| {
            let mut pair = Pair::new(config.clone(), &acceptor);
            pair.exchange().unwrap();
            let certificates = pair.client.peer_certificates().unwrap();
            let expected = CertificateDer::from_pem_slice(expected[0]).unwrap();
            assert_eq!((pair.client.handshake_kind(), &certificates[0]), (Some(kind), &expected));
            pair
        };
        let mut old = open(HandshakeKind::Full, FIRST);
        open(HandshakeKind::Resumed, FIRST);
        acceptor.replace(identity(SECOND));
        open(HandshakeKind::Full, SECOND);
        open(HandshakeKind::Resumed, SECOND);
        old.client.writer().write_all(b"question").unwrap();
        old.exchange().unwrap();
        old.say(b"answer");
        assert_eq!(old.heard, b"question");
        assert_eq!(old.take_told(), (b"answer".to_vec(), false));
    }
}

#[test]
fn what_is_no_certificate_or_key_is_refused_with_the_reason() {
    let chain = |pem: &[u8]| Chain::parse(pem).unwrap_err().to_string();
    assert_eq!(chain(b""), "no certificate in PEM");
    assert_eq!(chain(FIRST[1]), "no certificate in PEM");
    assert_eq!(chain(&FIRST[0][..100]), "malformed PEM");
    let nothing = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(chain(nothing), "certificate 1 of the chain does not parse");
    let second = [FIRST[0], nothing].concat();
    assert_eq!(chain(&second), "certificate 2 of the chain does not parse");

    let key = |pem: &[u8]| PrivateKey::parse(pem).unwrap_err().to_string();
    assert_eq!(key(FIRST[0]), "no private key in PEM; an encrypted one cannot be read");
    assert_eq!(key(&FIRST[1][..60]), "malformed PEM");
    let nothing = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(key(nothing), "the private key is none of RSA, ECDSA or Ed25519");

    let key = PrivateKey::parse(SECOND[1]).unwrap();
    let mixed = Identity::new(Chain::parse(FIRST[0]).unwrap(), key).unwrap_err();
    assert_eq!(mixed.to_string(), "the private key is not that of the first certificate");
}

proptest! {
    /// Nothing that a client sends is a panic, and a failure keeps nothing.
    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        size in 1..100_usize,
        is_13 in any::<bool>(),
    ) {
        let version = VERSIONS[usize::from(is_13)];
        let acceptor = Acceptor::new(identity(SECOND));
        let mut pair = Pair::new(client_config(version), &acceptor);
        // Replaces a part of the client's first flight, then of its second.
        for _ in 0..2 {
            let mut flight = pair.sent_by_client();
            let at = at.index(flight.len().max(1)).min(flight.len());
            flight.splice(at.., bytes.iter().copied());
            for piece in flight.chunks(size) {
                if pair.feed(piece).is_err() {
                    pair.take_output();
                    pair.check_over();
                    return Ok(());
                }
            }
            let output = pair.take_output();
            let _ = pair.receive(&output);
        }
    }
}
