//! What the fuzzer calls, and what the replay of its corpus calls: each holds the codec's promises
//! against any bytes.

use std::sync::LazyLock;

use net::{http, tls, ws};

/// The first byte says where the rest is cut in two.
fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (at, rest) = data.split_first()?;
    Some(rest.split_at(usize::from(*at).min(rest.len())))
}

/// How bytes are cut does not change what is decoded, an error is final, and no body is longer than
/// its limit, as it came or inflated.
pub fn http(data: &[u8]) {
    let limits = http::Limits { head: 1024, headers: 16, body: 512 };
    let run = |pieces: &[&[u8]]| {
        let mut decoder = http::Decoder::new(limits);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(event)) => {
                        if let http::Event::Request(request) = &event {
                            bodies(request, limits.body);
                        }
                        events.push(Ok(event));
                    }
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

fn bodies(request: &http::Request, limit: usize) {
    assert!(request.body.len() <= limit);
    let Ok(body) = http::inflate(request, request.body.clone(), limit) else { return };
    assert!(body.len() <= limit);
    if let Some(coding) = http::Coding::accepted(request) {
        let mut answer = request.clone();
        answer.headers.insert(0, ("content-encoding".to_owned(), coding.name().to_owned()));
        let inflated = http::inflate(&answer, coding.compress(&body).into(), limit);
        assert_eq!(inflated, Ok(body), "what is compressed inflates to itself");
    }
}

/// The same for WebSocket frames; and what is answered ends with a close frame once it has failed.
pub fn ws(data: &[u8]) {
    let limits = ws::Limits { message: 256, frames: 64 };
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

/// What a client says before it has keys: no panic, a failure is final and keeps nothing, and cuts
/// change nothing.
pub fn tls(data: &[u8]) {
    static ACCEPTOR: LazyLock<tls::Acceptor> = LazyLock::new(|| {
        let chain = tls::Chain::parse(include_bytes!("../../tests/certificate/first.pem"));
        let key = tls::PrivateKey::parse(include_bytes!("../../tests/certificate/first.key"));
        let pair = chain.and_then(|chain| tls::Identity::new(chain, key?));
        tls::Acceptor::new(pair.expect("the committed certificate is good"))
    });
    let run = |pieces: &[&[u8]]| {
        let mut stream = ACCEPTOR.accept();
        for piece in pieces {
            let fed = stream.feed(&mut piece.to_vec(), |_| panic!("nobody has keys"));
            stream.advance(stream.output().len());
            if let Err(failure) = fed {
                assert_eq!(stream.feed(&mut [0x16], |_| {}), Err(failure.clone()));
                assert!(stream.output().is_empty());
                return Some(failure);
            }
        }
        assert!(stream.is_handshaking());
        None
    };
    let Some((head, tail)) = cut(data) else { return };
    assert_eq!(run(&[&data[1..]]), run(&[head, tail]), "cut at {}", head.len());
}
