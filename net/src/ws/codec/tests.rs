//! The server codec against tungstenite's client, in memory, and against bytes written by hand.

use proptest::prelude::*;
use tungstenite::protocol::frame::Frame;

use super::*;

const LIMITS: Limits = Limits { message: 1000, frames: 1000 };

/// A client whose sent bytes can be taken, and whose input is appended.
struct Client {
    socket: WebSocket<Wire>,
}

#[derive(Default)]
struct Wire {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Client {
    fn new() -> Client {
        Client { socket: WebSocket::from_raw_socket(Wire::default(), Role::Client, None) }
    }

    /// Sends a message and gives the bytes that it takes.
    fn send(&mut self, message: Message) -> Vec<u8> {
        self.socket.send(message).unwrap();
        std::mem::take(&mut self.socket.get_mut().output)
    }

    fn read_from(&mut self, codec: &mut Codec) -> Vec<Message> {
        self.socket.get_mut().input.extend(codec.take_output());
        std::iter::from_fn(|| self.socket.read().ok()).collect()
    }
}

fn codec() -> Codec {
    Codec::new(LIMITS, Vec::new())
}

fn fed(codec: &mut Codec, bytes: &[u8]) -> Vec<Event> {
    codec.feed(bytes);
    std::iter::from_fn(|| codec.poll()).collect()
}

/// A masked frame; the mask is zero, so that the payload can be read in the test.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let mut bytes = vec![0x88, u8::try_from(reason.len() + 2).unwrap()];
    bytes.extend(code.to_be_bytes());
    bytes.extend_from_slice(reason.as_bytes());
    bytes
}

#[test]
fn messages_travel_both_ways() {
    let (mut client, mut codec) = (Client::new(), codec());
    let text = "grüße".repeat(20);
    let bytes = client.send(Message::Text(text.as_str().into()));
    assert_eq!(fed(&mut codec, &bytes), [Event::Text(text.as_str().into())]);
    let bytes = client.send(Message::Binary(vec![7; 1000].into()));
    assert_eq!(fed(&mut codec, &bytes), [Event::Binary(vec![7; 1000].into())]);

    codec.send_text(&text);
    codec.send_binary(&[8; 70_000]);
    codec.ping();
    assert_eq!(
        client.read_from(&mut codec),
        [
            Message::Text(text.as_str().into()),
            Message::Binary(vec![8; 70_000].into()),
            Message::Ping(Bytes::new()),
        ]
    );
    client.socket.flush().unwrap();
    let pong = std::mem::take(&mut client.socket.get_mut().output);
    assert_eq!(fed(&mut codec, &pong), [Event::Pong]);
}

/// The figure that the module's doc states: nothing on the heap, also after a large message, a
/// fragmented one and a control frame.
#[test]
fn an_idle_codec_owns_no_buffer() {
    assert!(size_of::<Codec>() <= 120, "{}", size_of::<Codec>());
    let mut codec = codec();
    let check = |codec: &mut Codec| {
        codec.send_text("answer");
        assert!(codec.has_output());
        drop(codec.take_output());
        assert_eq!((codec.input.capacity(), codec.output.capacity()), (0, 0));
        assert!(codec.fragments.is_none());
    };
    fed(&mut codec, &frame(0x81, b"question"));
    check(&mut codec);
    fed(&mut codec, &frame(0x82, &[1; 1000]));
    check(&mut codec);
    fed(&mut codec, &[frame(0x01, b"a"), frame(0x80, b"b"), frame(0x89, b"c")].concat());
    check(&mut codec);
    for byte in frame(0x81, b"slowly") {
        fed(&mut codec, &[byte]);
    }
    check(&mut codec);
}

#[test]
fn bytes_after_the_handshake_are_read_first() {
    let mut codec = Codec::new(LIMITS, frame(0x81, b"early"));
    assert_eq!(codec.poll(), Some(Event::Text("early".into())));
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut codec = codec();
    let pings = [frame(0x89, b"one"), frame(0x89, b""), frame(0x89, b"three")].concat();
    assert_eq!(fed(&mut codec, &pings), [Event::Ping, Event::Ping, Event::Ping]);
    assert_eq!(codec.take_output(), b"\x8a\x03one\x8a\x00\x8a\x05three");
}

#[test]
fn fragments_make_one_message_with_control_frames_between() {
    let mut codec = codec();
    let euro = "€".as_bytes();
    let bytes = [
        frame(0x01, &euro[..1]),
        frame(0x89, b"x"),
        frame(0x00, &euro[1..2]),
        frame(0x8a, b""),
        frame(0x80, &euro[2..]),
        frame(0x81, b"next"),
    ]
    .concat();
    let expected = [Event::Ping, Event::Pong, Event::Text("€".into()), Event::Text("next".into())];
    assert_eq!(fed(&mut codec, &bytes), expected);
}

#[test]
fn breaches_are_answered_with_their_code_and_an_empty_reason() {
    let check = |bytes: &[u8], failure: Failure, code: u16| {
        let mut codec = codec();
        assert_eq!(fed(&mut codec, bytes), [Event::Failed(failure)], "{bytes:?}");
        assert_eq!(codec.take_output(), close_frame(code, ""));
        assert!(codec.is_closed());
        codec.send_text("late");
        codec.close(1000, "late");
        assert_eq!(fed(&mut codec, &frame(0x81, b"late")), []);
        assert!(!codec.has_output());
        assert_eq!(codec.input.capacity(), 0);
    };
    let too_large = |bytes: &[u8]| check(bytes, Failure::TooLarge, 1009);
    too_large(&frame(0x81, &[b'x'; 1001]));
    too_large(&frame(0x81, &[b'x'; 1001])[..8]); // the header is enough
    too_large(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    too_large(&[frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])].concat());
    too_large(&[frame(0x02, &[0; 1000]), frame(0x00, &[0; 1])].concat());
    too_large(&[frame(0x02, &[0; 600]), frame(0x00, &[0; 600])[..8].to_vec()].concat());

    let encoding = |bytes: &[u8]| check(bytes, Failure::Encoding, 1007);
    encoding(&frame(0x81, b"\xff"));
    encoding(&frame(0x81, &[b"\xce\xba\xf4\x90".as_slice(), &[b'x'; 500]].concat())[..12]);
    encoding(&[frame(0x01, b"\xe2\x82"), frame(0x80, b"\xacxx\xff")[..10].to_vec()].concat());
    encoding(&[frame(0x01, b"\xe2"), frame(0x00, b"x\x80")[..7].to_vec()].concat());
    encoding(&[frame(0x01, b"\xe2"), frame(0x80, b"x")].concat());
    encoding(&frame(0x88, b"\x03\xe8\xff"));

    let protocol = |bytes: &[u8]| check(bytes, Failure::Protocol, 1002);
    protocol(b"\x81\x02hi"); // not masked
    protocol(&frame(0x83, b"")); // unknown opcode
    protocol(&frame(0x8b, b""));
    protocol(&frame(0xc1, b"")); // reserved bit
    protocol(&frame(0x80, b"")); // continues nothing
    protocol(&[frame(0x01, b""), frame(0x81, b"")].concat()); // message inside a message
    protocol(&frame(0x09, b"")); // fragmented control frame
    protocol(&frame(0x89, &[0; 126])); // long control frame
    protocol(&frame(0x88, b"x")); // half a close code
}

/// Frames of all kinds count, also those that are no message and those that nobody reads any more.
#[test]
fn more_frames_than_are_allowed_end_the_connection() {
    let fragments = [frame(0x01, b"a"), frame(0x00, b""), frame(0x80, b"b")].concat();
    for (kind, frames) in
        [(frame(0x81, b"text"), 1), (frame(0x89, b""), 1), (frame(0x8a, b""), 1), (fragments, 3)]
    {
        for is_closing in [false, true] {
            let mut codec = Codec::new(Limits { frames: 12, ..LIMITS }, Vec::new());
            if is_closing {
                codec.close(1000, "");
                codec.take_output();
            }
            fed(&mut codec, &kind.repeat(12 / frames));
            assert!(!codec.is_closed(), "{kind:?}");
            let events = fed(&mut codec, &kind);
            assert_eq!(events, [Event::Failed(Failure::TooMany)], "{kind:?}");
            let close = close_frame(1008, "too many frames");
            assert_eq!(codec.take_output().ends_with(&close), !is_closing);
        }
    }
}

#[test]
fn what_is_allowed_comes_back_up_to_the_limit() {
    let ping = frame(0x89, b"");
    let mut codec = Codec::new(Limits { frames: 10, ..LIMITS }, Vec::new());
    assert_eq!(fed(&mut codec, &ping.repeat(5)).len(), 5);
    assert!(!codec.wants_allowance());
    assert_eq!(fed(&mut codec, &ping).len(), 1);
    assert!(codec.wants_allowance());
    codec.allow(u32::MAX);
    assert!(!codec.wants_allowance());
    assert_eq!(fed(&mut codec, &ping.repeat(10)), vec![Event::Ping; 10]);
    codec.allow(1);
    assert_eq!(fed(&mut codec, &ping.repeat(2)), [Event::Ping, Event::Failed(Failure::TooMany)]);
}

#[test]
fn a_close_is_echoed_with_its_code() {
    let check = |payload: &[u8], code: Option<u16>, echo: &[u8]| {
        let mut codec = codec();
        assert_eq!(fed(&mut codec, &frame(0x88, payload)), [Event::Closed { code }]);
        assert_eq!(codec.take_output(), echo);
        assert!(codec.is_closed());
    };
    check(b"\x03\xe8", Some(1000), b"\x88\x02\x03\xe8");
    check(b"\x03\xe9bye", Some(1001), b"\x88\x02\x03\xe9");
    check(b"\x0f\xa1", Some(4001), b"\x88\x02\x0f\xa1");
    check(b"", None, b"\x88\x00");
    check(b"\x03\xed", Some(1002), b"\x88\x02\x03\xea"); // 1005 may not be sent
}

#[test]
fn after_our_close_the_peer_is_ignored_until_its_own() {
    let (mut client, mut codec) = (Client::new(), codec());
    let late = client.send(Message::Text("late".into()));
    codec.close(1000, "server-side session disconnect");
    codec.close(1001, "again");
    codec.send_text("dropped");
    let bytes = [late, frame(0x89, b"ping"), frame(0x01, b"part")].concat();
    assert_eq!(fed(&mut codec, &bytes), []);
    assert!(!codec.is_closed());
    let messages = client.read_from(&mut codec);
    let frame =
        CloseFrame { code: CloseCode::Normal, reason: "server-side session disconnect".into() };
    assert_eq!(messages, [Message::Close(Some(frame))]);
    let _ = client.socket.flush();
    let echo = std::mem::take(&mut client.socket.get_mut().output);
    assert_eq!(fed(&mut codec, &echo), [Event::Closed { code: Some(1000) }]);
    assert!(codec.is_closed() && !codec.has_output());
}

#[test]
fn a_breach_after_our_close_sends_nothing_more() {
    let mut codec = codec();
    codec.close(1000, "");
    codec.take_output();
    let bytes = frame(0x81, b"\xff");
    assert_eq!(fed(&mut codec, &bytes), [Event::Failed(Failure::Encoding)]);
    assert!(!codec.has_output());
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut codec = codec();
    codec.close(1000, &"ä".repeat(100));
    assert_eq!(codec.take_output(), close_frame(1000, &"ä".repeat(61)));
}

fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..6);
    let piece = prop_oneof![
        Just(frame(0x81, "täxt".as_bytes())),
        payload().prop_map(|bytes| frame(0x82, &bytes)),
        Just(frame(0x01, b"part")),
        Just(frame(0x00, b"more")),
        Just(frame(0x80, b"end")),
        payload().prop_map(|bytes| frame(0x89, &bytes)),
        payload().prop_map(|bytes| frame(0x8a, &bytes)),
        Just(frame(0x88, b"\x03\xe8")),
        Just(frame(0x82, &[0; 700])),
        Just(frame(0x01, &[b'x'; 700])),
        payload().prop_map(|bytes| frame(0x01, &bytes)),
        payload().prop_map(|bytes| frame(0x80, &bytes)),
        payload().prop_map(|bytes| frame(0x81, &bytes)),
        payload(),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        input in traffic(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        closing in any::<bool>(),
    ) {
        let run = |pieces: &[&[u8]]| {
            let mut codec = codec();
            if closing {
                codec.close(1000, "");
            }
            let events: Vec<_> =
                pieces.iter().flat_map(|piece| fed(&mut codec, piece)).collect();
            (events, codec.take_output(), codec.is_closed())
        };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&input[from..cut]);
            from = cut;
        }
        pieces.push(&input[from..]);
        prop_assert_eq!(run(&pieces), run(&[&input]));
    }

    #[test]
    fn a_fragmented_message_arrives_whole(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        size in 1..50_usize,
    ) {
        let mut codec = codec();
        let mut chunks: Vec<&[u8]> = message.chunks(size).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let last = chunks.len() - 1;
        let mut client = Client::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let opcode = if index == 0 { Data::Binary } else { Data::Continue };
            let part = Frame::message(chunk.to_vec(), OpCode::Data(opcode), index == last);
            let bytes = client.send(Message::Frame(part));
            let events = fed(&mut codec, &bytes);
            if index == last {
                prop_assert_eq!(events, vec![Event::Binary(message.clone().into())]);
            } else {
                prop_assert_eq!(events, vec![]);
            }
        }
    }
}
