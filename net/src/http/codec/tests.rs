//! Requests good and bad, whole and in pieces; responses byte by byte.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { head: 256, headers: 4, body: 16 };

/// What a request comes to: method, target, body, keep-alive; or the error's status and text.
#[track_caller]
fn check(input: &str, expected: &[&str]) {
    check_bytes(input.as_bytes(), expected);
}

#[track_caller]
fn check_bytes(input: &[u8], expected: &[&str]) {
    let whole = outcome(&[input]);
    assert_eq!(whole, expected);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(outcome(&bytes), expected, "fed byte by byte");
}

/// Feeds the pieces, polls after each, and writes down what comes, [`Event::Continue`] apart.
fn outcome(pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(LIMITS);
    let mut seen = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.poll() {
                Ok(Some(Event::Request(request))) => seen.push(describe(&request)),
                Ok(Some(Event::Continue)) => {}
                Ok(None) => break,
                Err(error) => {
                    seen.push(format!("{} {error}", error.status()));
                    assert_eq!(decoder.poll(), Err(error));
                    assert_eq!(decoder.buffer.capacity(), 0);
                    return seen;
                }
            }
        }
        if decoder.is_idle() {
            assert!(decoder.buffer.capacity() <= 8, "half of an empty line at the most");
        }
    }
    seen
}

fn describe(request: &Request) -> String {
    let kept = if request.keep_alive { "kept" } else { "closed" };
    let body = String::from_utf8_lossy(&request.body);
    format!("{} {} [{body}] {kept}", request.method, request.target)
}

#[test]
fn requests_are_decoded() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / [] kept"]);
    check("\r\n\r\nGET /x?y=%20 HTTP/1.1\r\nHost: a:1\r\n\r\n", &["GET /x?y=%20 [] kept"]);
    check(
        "POST /a HTTP/1.1\r\nhOsT: [::1]:7350\r\ncontent-length: 005\r\n\r\nhello",
        &["POST /a [hello] kept"],
    );
    check("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", &["GET /a [{}] kept"]);
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS * [] kept"]);
    check("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /b?c [] kept"]);
    check("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / [] kept"]);
    check("GET http://a?c=/ HTTP/1.1\r\nHost: a\r\n\r\n", &["GET /?c=/ [] kept"]);
    check("GET /", &[]);
}

#[test]
fn empty_lines_are_no_beginning() {
    let mut decoder = Decoder::new(LIMITS);
    for piece in ["\r", "\n", "\r\n\r", "\n\r\n"] {
        decoder.feed(piece.repeat(if piece.len() > 3 { 1000 } else { 1 }).as_bytes());
        assert_eq!(decoder.poll(), Ok(None));
        assert!(decoder.is_idle(), "{piece:?}");
        assert!(decoder.buffer.capacity() <= 8);
    }
    decoder.feed(b"\rG");
    assert_eq!(decoder.poll(), Ok(None));
    assert!(!decoder.is_idle());
}

#[test]
fn names_are_lowered_and_values_trimmed() {
    let mut decoder = Decoder::new(LIMITS);
    decoder.feed("GET / HTTP/1.1\r\nHost: a\r\nX-A: \t b  c \t\r\nx-a: ä\r\n\r\n".as_bytes());
    let Ok(Some(Event::Request(request))) = decoder.poll() else {
        panic!("no request");
    };
    assert_eq!(request.header("x-a").collect::<Vec<_>>(), ["b  c", "ä"]);
    assert_eq!(request.header("x-b").next(), None);
}

#[test]
fn the_version_and_the_connection_field_say_whether_the_connection_stays() {
    check("GET / HTTP/1.0\r\n\r\n", &["GET / [] closed"]);
    check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &["GET / [] kept"]);
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", &["GET / [] closed"]);
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        &["GET / [] closed"],
    );
}

#[test]
fn several_requests_of_one_feed_come_one_per_poll() {
    check(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n\
         GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST /1 [x] kept", "GET /2 [] kept", "GET /3 [] kept"],
    );
    check(
        "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /1 [] closed"],
    );
}

#[test]
fn limits_are_exact() {
    let head = |pad: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(pad));
    let pad = LIMITS.head - head(0).len();
    check(&head(pad), &["GET / [] kept"]);
    check(&head(pad + 1), &["431 request head is too large"]);
    check(&format!("GET /{}", "x".repeat(300)), &["431 request head is too large"]);

    let fields = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    check(&fields(3), &["GET / [] kept"]);
    check(&fields(4), &["431 too many header fields"]);

    let body =
        |length: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    check(&format!("{}{}", body("16"), "x".repeat(16)), &["POST / [xxxxxxxxxxxxxxxx] kept"]);
    check(&body("17"), &["400 body of 17 bytes is over the limit of 16"]);
    check(
        &body("99999999999999999999"),
        &["400 body of 18446744073709551615 bytes is over the limit of 16"],
    );
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    let field = |field: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    for length in ["+1", "-1", "1,1", "1 1", "0x1", "", "1.0"] {
        let text = field(&format!("Content-Length: {length}"));
        check(&text, &["400 malformed Content-Length"]);
    }
    check(&field("Content-Length: 1\r\nContent-Length: 1"), &["400 malformed Content-Length"]);
    check(&field("Transfer-Encoding: gzip"), &["501 Transfer-Encoding is not supported"]);
    check(
        &field("Transfer-Encoding: chunked, gzip"),
        &["400 Transfer-Encoding must be chunked, alone and in HTTP/1.1"],
    );
    check(
        &field("Transfer-Encoding: identity\r\nContent-Length: 1"),
        &["400 both Content-Length and Transfer-Encoding"],
    );
    check(&field("X : y"), &["400 malformed header field"]);
    check(&field("X: y\r\n z"), &["400 malformed header field"]);
    check(&field(" X: y"), &["400 malformed header field"]);
    check(&field(": y"), &["400 malformed header field"]);
    check(&field("X"), &["400 malformed header field"]);
    check(&field("X: a\0b"), &["400 malformed header field"]);
    check(&field("X: a\x7f"), &["400 malformed header field"]);
    check(&field("Xä: b"), &["400 malformed header field"]);
    check_bytes(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n",
        &["400 header field is not UTF-8"],
    );
}

#[test]
fn lines_end_with_cr_lf() {
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", &["400 lines must end with CR LF"]);
    check("GET / HTTP/1.1\r\nHost: a\n\r\n", &["400 lines must end with CR LF"]);
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", &["400 lines must end with CR LF"]);
    check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["400 lines must end with CR LF"]);
    check("GET / HTTP/1.1\rHost: a\r\n\r\n", &["400 lines must end with CR LF"]);
    check("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", &["400 lines must end with CR LF"]);
    check("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", &["400 malformed header field"]);
    check("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", &["400 malformed header field"]);
}

#[test]
fn one_host_is_required() {
    check("GET / HTTP/1.1\r\n\r\n", &["400 one Host header field is required"]);
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        &["400 one Host header field is required"],
    );
    check("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", &["400 one Host header field is required"]);
    check("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", &["400 one Host header field is required"]);
}

#[test]
fn request_lines_are_strict() {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.1"] {
        check(&line(&format!("GET / {version}")), &["505 HTTP version is not supported"]);
    }
    for malformed in [
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET / FTP/1.1",
    ] {
        let seen = outcome(&[line(malformed).as_bytes()]);
        assert!(seen.len() == 1 && seen[0].starts_with("400 "), "{malformed}: {seen:?}");
    }
    for target in ["a", "a:1", "https://a/", "http://", "http:///x", "http://?x", "**", "/ä"] {
        check(&line(&format!("GET {target} HTTP/1.1")), &["400 malformed request target"]);
    }
    check(&line("GET /a\tb HTTP/1.1"), &["400 malformed request line"]);
}

#[test]
fn the_client_is_asked_to_continue_once_and_only_while_the_body_is_missing() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n";
    let mut decoder = Decoder::new(LIMITS);
    decoder.feed(head.as_bytes());
    assert_eq!(decoder.poll(), Ok(Some(Event::Continue)));
    assert_eq!(decoder.poll(), Ok(None));
    assert!(!decoder.is_idle());
    decoder.feed(b"o");
    assert_eq!(decoder.poll(), Ok(None));
    decoder.feed(b"k");
    assert!(matches!(decoder.poll(), Ok(Some(Event::Request(_)))));
    assert!(decoder.is_idle());

    decoder.feed(head.as_bytes());
    decoder.feed(b"ok");
    assert!(matches!(decoder.poll(), Ok(Some(Event::Request(_)))));

    decoder.feed(head.replace("Length: 2", "Length: 20").as_bytes());
    let error = Error::BodyTooLarge { length: 20, limit: 16 };
    assert_eq!(decoder.poll(), Err(error));
}

/// A slow sender of a long body costs what it has sent: time in proportion, memory up to the limit.
#[test]
fn chunks_byte_by_byte_cost_no_more_than_their_bytes() {
    const BODY: usize = 256 * 1024;
    let body: Vec<u8> = (0..BODY).map(|index| b"0123456789\r\n"[index % 12]).collect();
    let mut input = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(64) {
        input.extend([b"40\r\n", chunk, b"\r\n"].concat());
    }
    input.extend(b"0\r\n\r\n");
    let mut decoder = Decoder::new(Limits { body: BODY, ..LIMITS });
    let (last, input) = input.split_last().unwrap();
    for byte in input {
        decoder.feed(&[*byte]);
        assert_eq!(decoder.poll(), Ok(None));
        assert!(decoder.buffer.capacity() <= LIMITS.head);
    }
    decoder.feed(&[*last]);
    let Ok(Some(Event::Request(request))) = decoder.poll() else {
        panic!("no request");
    };
    assert_eq!(request.body, body);
    assert!(decoder.is_idle());
}

#[test]
fn the_bytes_after_an_upgrade_are_handed_over() {
    let mut decoder = Decoder::new(LIMITS);
    decoder.feed(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n\x81\x00");
    assert!(matches!(decoder.poll(), Ok(Some(Event::Request(_)))));
    assert_eq!(decoder.take_rest(), [0x81, 0]);
    decoder.feed(b"more");
    assert!(decoder.is_idle());
    assert_eq!(decoder.poll(), Ok(None));
}

fn encoded(response: &Response<'_>) -> String {
    let mut out = Vec::new();
    encode(&mut out, response);
    String::from_utf8(out).unwrap()
}

const OK: Response<'_> = Response {
    status: 200,
    headers: &[("Content-Type", "application/json")],
    body: b"{}",
    keep_alive: true,
    version_minor: 1,
    head_only: false,
};

#[test]
fn responses_carry_their_length() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    assert_eq!(encoded(&OK), format!("{head}Content-Length: 2\r\n\r\n{{}}"));
    let closed = Response { keep_alive: false, head_only: true, ..OK };
    assert_eq!(encoded(&closed), format!("{head}Connection: close\r\nContent-Length: 2\r\n\r\n"));
    let old = Response { version_minor: 0, ..OK };
    assert!(encoded(&old).contains("Connection: keep-alive\r\n"));
    let empty = Response { status: 204, headers: &[], ..OK };
    assert_eq!(encoded(&empty), "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(encoded(&Response { status: 7, ..OK }).starts_with("HTTP/1.1 500 "));
}

#[test]
fn no_value_adds_a_header_field() {
    let response =
        Response { headers: &[("X:\r\nY", "a\r\nSet-Cookie: b\0"), ("content-length", "7")], ..OK };
    assert_eq!(
        encoded(&response),
        "HTTP/1.1 200 OK\r\nX---Y: a  Set-Cookie: b \r\nContent-Length: 2\r\n\r\n{}"
    );
}

/// Pieces that are likely to be next to each other in a request, and some noise.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec()),
        Just(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        Just(b"Content-Length: 2\r\n".to_vec()),
        Just(b"Connection: close\r\n".to_vec()),
        Just(b"Expect: 100-continue\r\n".to_vec()),
        Just(b"POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n\r\n".to_vec()),
        Just(b"3\r\nabc\r\n".to_vec()),
        Just(b"0a;x=\"y\"\r\n0123456789\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"0\r\nX-Sum: y\r\n\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"x: y\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(input: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&input[from..cut]);
        from = cut;
    }
    pieces.push(&input[from..]);
    pieces
}

/// Requests of a pipeline as they are sent, each with what it comes to.
fn pipeline() -> impl Strategy<Value = Vec<(String, String)>> {
    let body = "[a-z]{0,16}";
    let request = (0..4_u8, "[A-Z]{1,5}", "/[a-z?=]{0,9}", body, 1..6_usize);
    let request = request.prop_map(|(kind, method, target, body, size)| {
        let line = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
        let length = body.len();
        let sent = match kind {
            0 => return (format!("{line}\r\n"), format!("{method} {target} [] kept")),
            1 => format!("{line}Content-Length: {length}\r\n\r\n{body}"),
            2 => {
                format!("\r\n{line}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            _ => {
                let mut sent = format!("{line}Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.as_bytes().chunks(size) {
                    let text = String::from_utf8_lossy(chunk);
                    sent += &format!("{:02X};n=\"{size}\"\r\n{text}\r\n", chunk.len());
                }
                sent + "0\r\nX-Sum: 1\r\n\r\n"
            }
        };
        (sent, format!("{method} {target} [{body}] kept"))
    });
    proptest::collection::vec(request, 1..8)
}

proptest! {
    /// However the network cuts a pipeline of good requests, they come out as they went in.
    #[test]
    fn a_pipeline_in_any_pieces_gives_its_requests(
        requests in pipeline(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let (sent, expected): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let input = sent.concat();
        prop_assert_eq!(&outcome(&cut(input.as_bytes(), &cuts)), &expected);
        let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        prop_assert_eq!(outcome(&bytes), expected);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        input in fragments(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        prop_assert_eq!(outcome(&cut(&input, &cuts)), outcome(&[&input]));
    }

    #[test]
    fn noise_never_panics(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        outcome(&[&input]);
    }
}
