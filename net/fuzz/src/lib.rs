//! What the fuzzer calls, and what the replay of its corpus calls: each holds the codec's promises
//! against any bytes.

use net::{http, ws};

/// The first byte says where the rest is cut in two.
fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (at, rest) = data.split_first()?;
    Some(rest.split_at(usize::from(*at).min(rest.len())))
}

/// How bytes are cut does not change what is decoded, an error is final, and nothing is kept of a
/// connection that waits for nothing.
pub fn http(data: &[u8]) {
    let limits = http::Limits { head: 1024, headers: 16, body: 512 };
    let run = |pieces: &[&[u8]]| {
        let mut decoder = http::Decoder::new(limits);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(event)) => events.push(Ok(event)),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(decoder.poll(), Err(error), "an error is final");
                        events.push(Err(error));
                        return events;
                    }
                }
            }
        }
        events
    };
    let Some((head, tail)) = cut(data) else { return };
    let requests = |events: Vec<Result<http::Event, http::Error>>| {
        events.into_iter().filter(|event| !matches!(event, Ok(http::Event::Continue)))
    };
    // Whether a client waits for 100 depends on what has come of the body; nothing else may.
    let whole = requests(run(&[&data[1..]]));
    let pieces = requests(run(&[head, tail]));
    assert!(whole.eq(pieces), "the cut at {} changes what is decoded", head.len());
}

/// The same for WebSocket frames; and what is answered ends with a close frame once it has failed.
pub fn ws(data: &[u8]) {
    let limits = ws::Limits { message: 256 };
    let run = |pieces: &[&[u8]]| {
        let mut codec = ws::Codec::new(limits, Vec::new());
        let mut events = Vec::new();
        for piece in pieces {
            codec.feed(piece);
            while let Some(event) = codec.poll() {
                if matches!(event, ws::Event::Failed(_) | ws::Event::Closed { .. }) {
                    assert!(codec.is_closed() && codec.has_output());
                }
                events.push(event);
            }
        }
        (events, codec.take_output())
    };
    let Some((head, tail)) = cut(data) else { return };
    assert_eq!(run(&[&data[1..]]), run(&[head, tail]), "cut at {}", head.len());
}
