//! What is sent to servers to see whether another reader in front of them would find other
//! requests in the same bytes. The cases are those of the public list Http11Probe, by its names,
//! and some of ours, with `+` in front.

use super::*;

const LIMITS: Limits = Limits { head: 9216, headers: 128, body: 1024 };

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// What becomes of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// These bodies, one for each request, with the connection open.
    Accepts(Vec<String>),
    /// No request yet; more bytes may make one.
    Waits,
    /// No request, this status, and the connection closed.
    Refuses(u16),
    /// A request, then that.
    AcceptsThenRefuses(u16),
    /// A request that says itself that it is the last.
    AcceptsLast,
}
use Seen::{AcceptsLast, Refuses, Waits};

fn accepts(bodies: &[&str]) -> Seen {
    Seen::Accepts(bodies.iter().map(|body| (*body).to_owned()).collect())
}

/// A POST with these fields (each with its line's end) and what follows the head.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post(&format!("{CHUNKED}\r\n"), body)
}

/// A GET of `/` with these fields.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// A whole request with this line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

fn seen(pieces: &[&[u8]]) -> Seen {
    let mut decoder = Decoder::new(LIMITS);
    let mut bodies = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.poll() {
                Ok(Some(Event::Request(request))) => {
                    if !request.keep_alive {
                        return AcceptsLast;
                    }
                    bodies.push(String::from_utf8_lossy(&request.body).into_owned());
                }
                Ok(Some(Event::Continue)) => {}
                Ok(None) => break,
                Err(error) if bodies.is_empty() => return Refuses(error.status()),
                Err(error) => return Seen::AcceptsThenRefuses(error.status()),
            }
        }
    }
    if bodies.is_empty() { Waits } else { Seen::Accepts(bodies) }
}

#[track_caller]
fn check_all(cases: &[(&str, String, Seen)]) {
    for (name, text, expected) in cases {
        check(name, text.as_bytes(), expected);
    }
}

#[track_caller]
fn check(name: &str, bytes: &[u8], expected: &Seen) {
    let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    assert_eq!(seen(&[bytes]), *expected, "{name}: {:?}", shown());
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(seen(&single), *expected, "{name}, byte by byte: {:?}", shown());
}

/// Two lengths, or one that two readers could count differently.
#[test]
fn a_length_has_one_meaning() {
    let length = |value: &str, body: &str| post(&format!("Content-Length:{value}\r\n"), body);
    let two = "Content-Length: 5\r\nContent-Length: 10\r\n";
    let smuggled = get("");
    let hidden = |coding: &str| {
        let body = format!("0\r\n\r\n{smuggled}");
        post(&format!("Content-Length: {}\r\n{coding}\r\n", body.len()), &body)
    };
    check_all(&[
        ("COMP-POST-CL-BODY", length(" 5", "hello"), accepts(&["hello"])),
        ("COMP-POST-CL-ZERO", length(" 0", ""), accepts(&[""])),
        ("COMP-POST-NO-CL-NO-TE", post("", ""), accepts(&[""])),
        ("COMP-POST-CL-UNDERSEND", length(" 10", "hello"), Waits),
        ("COMP-RANGE-POST", length(" 5\r\nRange: bytes=0-10", "hello"), accepts(&["hello"])),
        ("SMUG-DUPLICATE-CL", post(two, "helloworld"), Refuses(400)),
        ("SMUG-DUPLICATE-CL-SMUGGLED-GET", post(two, &smuggled), Refuses(400)),
        ("+SAME-CL-TWICE", length(" 5\r\nContent-Length: 5", "hello"), Refuses(400)),
        ("SMUG-CL-COMMA-DIFFERENT", length(" 5, 10", "hello"), Refuses(400)),
        ("SMUG-CL-COMMA-SAME", length(" 5, 5", "hello"), Refuses(400)),
        ("SMUG-CL-COMMA-TRIPLE", length(" 5, 5, 5", "hello"), Refuses(400)),
        ("SMUG-CL-LEADING-ZEROS", length(" 005", "hello"), accepts(&["hello"])),
        ("SMUG-CL-LEADING-ZEROS-OCTAL", length(" 010", "helloworld"), accepts(&["helloworld"])),
        ("SMUG-CL-DOUBLE-ZERO", length(" 00", ""), accepts(&[""])),
        ("SMUG-CL-TRAILING-SPACE", length(" 5 ", "hello"), accepts(&["hello"])),
        ("SMUG-CL-EXTRA-LEADING-SP", length("  5", "hello"), accepts(&["hello"])),
        ("MAL-CL-TAB-BEFORE-VALUE", length("\t5", "hello"), accepts(&["hello"])),
        ("SMUG-CL-NEGATIVE", length(" -1", ""), Refuses(400)),
        ("SMUG-CL-NEGATIVE-ZERO", length(" -0", ""), Refuses(400)),
        ("RFC9112-6.1-CL-PLUS-SIGN", length(" +5", "hello"), Refuses(400)),
        ("RFC9112-6.1-CL-NON-NUMERIC", length(" abc", ""), Refuses(400)),
        ("SMUG-CL-HEX-PREFIX", length(" 0x5", "hello"), Refuses(400)),
        ("SMUG-CL-OCTAL", length(" 0o5", "hello"), Refuses(400)),
        ("SMUG-CL-UNDERSCORE", length(" 1_0", "helloworld"), Refuses(400)),
        ("SMUG-CL-INTERNAL-SPACE", length(" 1 0", "helloworld"), Refuses(400)),
        ("MAL-CL-EMPTY", length(" ", ""), Refuses(400)),
        ("MAL-CL-OVERFLOW", length(" 99999999999999999999", ""), Refuses(400)),
        ("+CL-OVERFLOW-TO-5", length(" 18446744073709551621", "hello"), Refuses(400)),
        ("MAL-POST-CL-HUGE-NO-BODY", length(" 999999999", ""), Refuses(400)),
        ("NORM-UNDERSCORE-CL", length(" 5\r\nContent_Length: 9", "hello"), accepts(&["hello"])),
        ("NORM-SP-BEFORE-COLON-CL", length(" 5\r\nContent-Length : 2", "hello"), Refuses(400)),
        ("NORM-TAB-IN-NAME", length(" 5\r\nContent\tLength: 9", "hello"), Refuses(400)),
        ("SMUG-CL0-BODY-POISON", length(" 0", &format!("X{smuggled}")), accepts(&["", ""])),
        ("SMUG-CLTE-SMUGGLED-GET", hidden(CHUNKED), Refuses(400)),
        ("SMUG-CLTE-SMUGGLED-HEAD", hidden(CHUNKED).replace("\r\nGET", "\r\nHEAD"), Refuses(400)),
        ("SMUG-CLTE-SMUGGLED-GET-CL-PLUS", hidden(CHUNKED).replace("th: ", "th: +"), Refuses(400)),
        (
            "SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC",
            hidden(CHUNKED).replace("\r\nTransfer", "x\r\nTransfer"),
            Refuses(400),
        ),
        (
            "SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD",
            hidden("Transfer-Encoding:\r\n chunked"),
            Refuses(400),
        ),
        (
            "SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE",
            hidden("Transfer-Encoding: chunked "),
            Refuses(400),
        ),
        (
            "SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA",
            hidden("Transfer-Encoding: , chunked"),
            Refuses(400),
        ),
        (
            "SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH",
            hidden("Transfer-Encoding: Chunked"),
            Refuses(400),
        ),
        (
            "SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET",
            hidden("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
            Refuses(400),
        ),
    ]);
}

/// A body is in chunks when that is all the field says, in HTTP/1.1, without a length.
#[test]
fn a_transfer_encoding_is_chunked_or_refused() {
    let with_length =
        |value: &str| post(&format!("Transfer-Encoding:{value}\r\nContent-Length: 5\r\n"), "hello");
    let alone =
        |value: &str| post(&format!("Transfer-Encoding:{value}\r\n"), "5\r\nhello\r\n0\r\n\r\n");
    let old = |fields: &str| format!("POST / HTTP/1.0\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
    let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let turned = "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n";
    check_all(&[
        ("SMUG-CL-TE-BOTH", post(both, "D\r\nhello-bananas\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CLTE-PIPELINE", post(both, "0\r\n\r\n"), Refuses(400)),
        ("SMUG-TECL-PIPELINE", post(turned, "0\r\n\r\n"), Refuses(400)),
        ("SMUG-CLTE-CONN-CLOSE", post(both, "0\r\n\r\n") + &get(""), Refuses(400)),
        ("SMUG-TECL-CONN-CLOSE", post(turned, "0\r\n\r\n") + &get(""), Refuses(400)),
        ("SMUG-CLTE-DESYNC", post(both, "0\r\n\r\nX") + &get(""), Refuses(400)),
        ("SMUG-TECL-DESYNC", post(turned, "0\r\n\r\nX") + &get(""), Refuses(400)),
        ("SMUG-TECL-SMUGGLED-GET", post(turned, &("2d\r\n".to_owned() + &get(""))), Refuses(400)),
        ("NORM-CASE-TE", with_length(" chunked").replace("Transfer", "TRANSFER"), Refuses(400)),
        ("SMUG-TE-XCHUNKED", with_length(" xchunked"), Refuses(400)),
        ("+TE-XCHUNKED-ALONE", alone(" xchunked"), Refuses(501)),
        ("COMP-UNKNOWN-TE-501", alone(" gzip"), Refuses(501)),
        ("SMUG-TE-IDENTITY", with_length(" identity"), Refuses(400)),
        ("+TE-IDENTITY-ALONE", alone(" identity"), Refuses(501)),
        ("SMUG-TE-EMPTY-VALUE", with_length(" "), Refuses(400)),
        ("+TE-EMPTY-VALUE-ALONE", alone(""), Refuses(400)),
        ("SMUG-TE-TRAILING-SPACE", with_length(" chunked "), Refuses(400)),
        ("+TE-TRAILING-SPACE-ALONE", alone(" chunked "), accepts(&["hello"])),
        ("SMUG-TE-TAB-BEFORE-VALUE", with_length("\tchunked"), Refuses(400)),
        ("+TE-TAB-ALONE", alone("\tchunked"), accepts(&["hello"])),
        ("SMUG-TE-CASE-MISMATCH", with_length(" Chunked"), Refuses(400)),
        ("+TE-CASE-ALONE", alone(" CHUNKED"), accepts(&["hello"])),
        ("SMUG-TE-VTAB", with_length(" \x0bchunked"), Refuses(400)),
        ("+TE-VTAB-ALONE", alone(" \x0bchunked"), Refuses(400)),
        ("SMUG-TE-FORMFEED", with_length(" \x0cchunked"), Refuses(400)),
        ("SMUG-TE-NULL", with_length(" chunked\0"), Refuses(400)),
        ("+TE-QUOTED", alone(" \"chunked\""), Refuses(400)),
        ("SMUG-TE-SP-BEFORE-COLON", with_length(" chunked").replace("ng:", "ng :"), Refuses(400)),
        ("SMUG-TE-OBS-FOLD", with_length("\r\n chunked"), Refuses(400)),
        ("+TE-OBS-FOLD-ALONE", alone("\r\n chunked"), Refuses(400)),
        ("SMUG-OPTIONS-TE-OBS-FOLD", with_length("\r\n chunked"), Refuses(400)),
        ("SMUG-TE-DOUBLE-CHUNKED", with_length(" chunked, chunked"), Refuses(400)),
        ("+TE-DOUBLE-CHUNKED-ALONE", alone(" chunked, chunked"), Refuses(400)),
        ("SMUG-TE-NOT-FINAL-CHUNKED", alone(" chunked, gzip"), Refuses(400)),
        ("+TE-CHUNKED-IDENTITY", alone(" chunked, identity"), Refuses(400)),
        ("+TE-GZIP-CHUNKED", alone(" gzip, chunked"), Refuses(400)),
        ("SMUG-TE-LEADING-COMMA", with_length(" , chunked"), Refuses(400)),
        ("+TE-LEADING-COMMA-ALONE", alone(" , chunked"), Refuses(400)),
        ("SMUG-TE-TRAILING-COMMA", with_length(" chunked,"), Refuses(400)),
        ("SMUG-CHUNKED-WITH-PARAMS", with_length(" chunked;ext=val"), Refuses(400)),
        ("+CHUNKED-WITH-PARAMS-ALONE", alone(" chunked;ext=val"), Refuses(400)),
        (
            "SMUG-TE-DUPLICATE-HEADERS",
            with_length(" chunked\r\nTransfer-Encoding: identity"),
            Refuses(400),
        ),
        ("+TE-TWICE", alone(" chunked\r\nTransfer-Encoding: chunked"), Refuses(400)),
        (
            "SMUG-TE-HTTP10",
            old("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            Refuses(400),
        ),
        ("+TE-HTTP10-ALONE", old("Transfer-Encoding: chunked\r\n"), Refuses(400)),
        (
            "SMUG-TRANSFER_ENCODING",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
            accepts(&["hello"]),
        ),
        (
            "NORM-UNDERSCORE-TE",
            post("Content-Length: 5\r\nTransfer_Encoding: chunked\r\n", "hello"),
            accepts(&["hello"]),
        ),
    ]);
}

#[test]
fn chunks_are_exact() {
    let after = format!("5\r\nhello\r\n0\r\n\r\n{}", get(""));
    let long = format!("5;ext={}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536));
    let many = "1;e\r\nx\r\n".repeat(600) + "0\r\n\r\n";
    let trailers = |fields: &str| chunked(&format!("5\r\nhello\r\n0\r\n{fields}\r\n"));
    check_all(&[
        ("COMP-CHUNKED-BODY", chunked("5\r\nhello\r\n0\r\n\r\n"), accepts(&["hello"])),
        (
            "COMP-CHUNKED-MULTI",
            chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
            accepts(&["hello world"]),
        ),
        ("COMP-CHUNKED-EMPTY", chunked("0\r\n\r\n"), accepts(&[""])),
        ("COMP-CHUNKED-NO-FINAL", chunked("5\r\nhello\r\n"), Waits),
        (
            "COMP-CHUNKED-HEX-UPPERCASE",
            chunked("A\r\nhelloworld\r\n0\r\n\r\n"),
            accepts(&["helloworld"]),
        ),
        ("+CHUNK-SIZE-ZEROS", chunked("0005\r\nhello\r\n000\r\n\r\n"), accepts(&["hello"])),
        (
            "COMP-CHUNKED-EXTENSION",
            chunked("5;ext=value\r\nhello\r\n0;a;b=\"\\\"; \"\r\n\r\n"),
            accepts(&["hello"]),
        ),
        ("+CHUNK-EXT-BLANKS", chunked("5 ; a = b\r\nhello\r\n0\r\n\r\n"), accepts(&["hello"])),
        ("+CHUNKED-THEN-GET", chunked(&after), accepts(&["hello", ""])),
        ("SMUG-CHUNK-BARE-SEMICOLON", chunked("5;\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-EXT-INVALID-TOKEN", chunked("5;bad[=x\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("+CHUNK-EXT-OPEN-QUOTE", chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("+CHUNK-EXT-NO-VALUE", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-EXT-LF", chunked("5;\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("+CHUNK-EXT-NAME-LF", chunked("5;a\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-EXT-CR", chunked("5;a\rX\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-EXT-CTRL", chunked("5;\0ext\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("MAL-CHUNK-EXT-64K", chunked(&long), Refuses(400)),
        ("+CHUNK-EXT-MANY", chunked(&many), Refuses(400)),
        ("SMUG-CHUNK-UNDERSCORE", chunked("1_0\r\nhello world!!!!!\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-HEX-PREFIX", chunked("0x5\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-SIZE-PLUS", chunked("+5\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-NEGATIVE", chunked("-1\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-INVALID-SIZE-DESYNC", chunked("+0\r\n\r\nX") + &get(""), Refuses(400)),
        ("+CHUNK-SIZE-EMPTY", chunked("\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-SIZE-TRAILING-OWS", chunked("5 \r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-LEADING-SP", chunked(" 5\r\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("MAL-CHUNK-SIZE-OVERFLOW", chunked("FFFFFFFFFFFFFFFF0\r\nhello\r\n"), Refuses(400)),
        ("+CHUNK-SIZE-64-BITS", chunked("FFFFFFFFFFFFFFFF\r\nhello\r\n"), Refuses(400)),
        ("+CHUNK-SIZE-OVERFLOW-TO-5", chunked("10000000000000005\r\nhello\r\n"), Refuses(400)),
        ("+CHUNK-OVER-THE-LIMIT", chunked("401\r\n"), Refuses(400)),
        ("+CHUNKS-OVER-THE-LIMIT", chunked("1\r\nx\r\n400\r\n"), Refuses(400)),
        ("SMUG-CHUNK-SPILL", chunked("5\r\nhello!!\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-MISSING-TRAILING-CRLF", chunked("5\r\nhello0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-LF-TERM", chunked("5\r\nhello\n0\r\n\r\n"), Refuses(400)),
        ("+CHUNK-CR-TERM", chunked("5\r\nhello\r0\r\n\r\n"), Refuses(400)),
        ("+CHUNK-SIZE-LF", chunked("5\nhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-BARE-CR-TERM", chunked("5\rhello\r\n0\r\n\r\n"), Refuses(400)),
        ("SMUG-CHUNK-LF-TRAILER", chunked("5\r\nhello\r\n0\r\n\n"), Refuses(400)),
        ("COMP-CHUNKED-TRAILER-VALID", trailers("X-Checksum: abc\r\n"), accepts(&["hello"])),
        ("SMUG-TRAILER-CL", trailers("Content-Length: 50\r\n"), Refuses(400)),
        ("SMUG-TRAILER-TE", trailers("Transfer-Encoding: chunked\r\n"), Refuses(400)),
        ("SMUG-TRAILER-HOST", trailers("hOST: evil\r\n"), Refuses(400)),
        ("SMUG-TRAILER-AUTH", trailers("Authorization: Bearer evil\r\n"), Refuses(400)),
        ("SMUG-TRAILER-CONTENT-TYPE", trailers("Content-Type: text/evil\r\n"), Refuses(400)),
        ("+TRAILER-NO-COLON", trailers("GET / HTTP/1.1\r\n"), Refuses(400)),
        ("+TRAILER-SP-BEFORE-COLON", trailers("X : y\r\n"), Refuses(400)),
        ("+TRAILER-OBS-FOLD", trailers("X: y\r\n z\r\n"), Refuses(400)),
        ("+TRAILER-BARE-LF", trailers("X: y\n"), Refuses(400)),
        ("+TRAILER-CONTROL", trailers("X: y\0\r\n"), Refuses(400)),
        ("+TRAILERS-MANY", trailers(&"X: y\r\n".repeat(129)), Refuses(400)),
        ("+TRAILER-LONG", trailers(&format!("X: {}\r\n", "y".repeat(9300))), Refuses(400)),
    ]);
}

#[test]
fn lines_and_fields_are_exact() {
    let name = b"GET / HTTP/1.1\r\nHost: a\r\nX-T\xc3\xabst: value\r\n\r\n";
    check("MAL-NON-ASCII-HEADER-NAME", name, &Refuses(400));
    let garbage: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_mul(167) ^ 0x5a).collect();
    check("MAL-BINARY-GARBAGE", &garbage, &Refuses(400));
    let field = format!("X-Big: {}\r\n", "B".repeat(100_000));
    let fields: String = (0..10_000).map(|index| format!("X-H-{index}: value\r\n")).collect();
    let long_name = format!("{}: val\r\n", "A".repeat(100_000));
    check_all(&[
        ("COMP-BASELINE", get(""), accepts(&[""])),
        ("COMP-HEAD-NO-BODY", line("HEAD / HTTP/1.1"), accepts(&[""])),
        ("SMUG-PIPELINE-SAFE", get("") + &get(""), accepts(&["", ""])),
        ("COMP-LEADING-CRLF", "\r\n\r\n".to_owned() + &get(""), accepts(&[""])),
        ("RFC9112-2.2-BARE-LF-REQUEST-LINE", get("").replacen("\r\n", "\n", 1), Refuses(400)),
        ("RFC9112-2.2-BARE-LF-HEADER", get("").replace("a\r\n", "a\nX: y\r\n"), Refuses(400)),
        ("RFC9112-3-CR-ONLY-LINE-ENDING", get("").replacen("\r\n", "\r", 1), Refuses(400)),
        ("SMUG-BARE-CR-HEADER-VALUE", get("X-Test: val\rue\r\n"), Refuses(400)),
        ("RFC9112-5.1-OBS-FOLD", get("X-Test: value\r\n continued\r\n"), Refuses(400)),
        ("+OBS-FOLD-TAB", get("X-Test: value\r\n\tcontinued\r\n"), Refuses(400)),
        ("RFC9110-5.6.2-SP-BEFORE-COLON", get("X-Test : value\r\n"), Refuses(400)),
        ("COMP-WHITESPACE-BEFORE-HEADERS", get("").replace("Host", " \r\nHost"), Refuses(400)),
        ("+SPACE-BEFORE-FIRST-HEADER", get("").replace("Host", " Host"), Refuses(400)),
        ("RFC9112-5-EMPTY-HEADER-NAME", get(": empty-name\r\n"), Refuses(400)),
        ("RFC9112-5-INVALID-HEADER-NAME", get("Bad[Name: value\r\n"), Refuses(400)),
        ("RFC9112-5-HEADER-NO-COLON", get("NoColonHere\r\n"), Refuses(400)),
        ("MAL-NUL-IN-HEADER-VALUE", get("X-Test: val\0ue\r\n"), Refuses(400)),
        ("MAL-CONTROL-CHARS-HEADER", get("X-Test: abc\x07\x08\x0bdef\r\n"), Refuses(400)),
        ("+DELETE-IN-HEADER-VALUE", get("X-Test: abc\x7f\r\n"), Refuses(400)),
        ("MAL-LONG-HEADER-VALUE", get(&field), Refuses(431)),
        ("MAL-LONG-HEADER-NAME", get(&long_name), Refuses(431)),
        ("MAL-MANY-HEADERS", get(&fields), Refuses(431)),
        ("MAL-INCOMPLETE-REQUEST", "GET / HTTP/1.1\r\nHost: a\r\nX-Test: value".into(), Waits),
        ("MAL-EMPTY-REQUEST", String::new(), Waits),
        ("MAL-WHITESPACE-ONLY-LINE", "   \r\n\r\n".into(), Refuses(400)),
        ("MAL-H2-PREFACE", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Refuses(505)),
        ("COMP-CONNECTION-CLOSE", get("Connection: close\r\n"), AcceptsLast),
        ("COMP-HTTP10-DEFAULT-CLOSE", "GET / HTTP/1.0\r\nHost: a\r\n\r\n".into(), AcceptsLast),
        ("COMP-EXPECT-UNKNOWN", get("Expect: 200-ok\r\n"), Refuses(417)),
        ("+EXPECT-LIST", get("Expect: 100-continue, 200-ok\r\n"), Refuses(417)),
        (
            "SMUG-EXPECT-100-CL-DESYNC",
            post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello") + &get(""),
            accepts(&["hello", ""]),
        ),
        (
            "COMP-NO-1XX-HTTP10",
            "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx".into(),
            AcceptsLast,
        ),
        ("COMP-RANGE-INVALID", get("Range: bytes=abc-xyz\r\n"), accepts(&[""])),
        (
            "MAL-RANGE-OVERLAPPING",
            get(&format!("Range: {}\r\n", "0-,".repeat(1000))),
            accepts(&[""]),
        ),
        ("COMP-ACCEPT-NONSENSE", get("Accept: application/x-nonsense\r\n"), accepts(&[""])),
        ("COMP-DUPLICATE-CT", get("Content-Type: a/b\r\nContent-Type: c/d\r\n"), accepts(&[""])),
    ]);
}

#[test]
fn hosts_targets_versions_and_methods_are_exact() {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost:{value}\r\n\r\n");
    let body = |method: &str| post("Content-Length: 5\r\n", "hello").replacen("POST", method, 1);
    let url = format!("GET /{} HTTP/1.1", "A".repeat(100_000));
    let overlong = b"GET /\xc0\xaf HTTP/1.1\r\nHost: a\r\n\r\n";
    check("MAL-URL-OVERLONG-UTF8", overlong, &Refuses(400));
    check_all(&[
        ("RFC9112-7.1-MISSING-HOST", "GET / HTTP/1.1\r\n\r\n".into(), Refuses(400)),
        ("COMP-HTTP10-NO-HOST", "GET / HTTP/1.0\r\n\r\n".into(), AcceptsLast),
        ("RFC9110-5.4-DUPLICATE-HOST", host(" a\r\nHost: other"), Refuses(400)),
        ("COMP-DUPLICATE-HOST-SAME", host(" a\r\nHost: a"), Refuses(400)),
        ("+DUPLICATE-HOST-HTTP10", host(" a\r\nHost: a").replace("/1.1", "/1.0"), Refuses(400)),
        ("COMP-HOST-WITH-USERINFO", host(" user@a"), Refuses(400)),
        ("COMP-HOST-WITH-PATH", host(" a/path"), Refuses(400)),
        ("COMP-HOST-EMPTY-VALUE", host(" "), Refuses(400)),
        ("SMUG-MULTIPLE-HOST-COMMA", host(" a, other.example.com"), Refuses(400)),
        ("+HOST-WITH-PORT", host(" [::1]:7350"), accepts(&[""])),
        ("RFC9112-3-MULTI-SP-REQUEST-LINE", line("GET  / HTTP/1.1"), Refuses(400)),
        ("RFC9112-3-MISSING-TARGET", line("GET HTTP/1.1"), Refuses(400)),
        ("RFC9112-3.2-FRAGMENT-IN-TARGET", line("GET /path#frag HTTP/1.1"), Refuses(400)),
        ("+FRAGMENT-IN-QUERY", line("GET /?a#b HTTP/1.1"), Refuses(400)),
        ("COMP-SPACE-IN-TARGET", line("GET /pa th HTTP/1.1"), Refuses(400)),
        ("COMP-REQUEST-LINE-TAB", line("GET\t/ HTTP/1.1"), Refuses(400)),
        ("MAL-NUL-IN-URL", line("GET /\0test HTTP/1.1"), Refuses(400)),
        ("MAL-NON-ASCII-URL", line("GET /caf\u{e9} HTTP/1.1"), Refuses(400)),
        ("MAL-URL-BACKSLASH", line("GET /path\\file HTTP/1.1"), Refuses(400)),
        ("+BACKSLASH-IN-QUERY", line("GET /path?a\\b HTTP/1.1"), accepts(&[""])),
        ("MAL-URL-PERCENT-NULL", line("GET /path%00.html HTTP/1.1"), accepts(&[""])),
        ("MAL-URL-PERCENT-CRLF", line("GET /path%0d%0aX:%20y HTTP/1.1"), accepts(&[""])),
        ("MAL-LONG-URL", line(&url), Refuses(431)),
        ("COMP-LONG-URL-OK", line(&format!("{} HTTP/1.1", &url[..8005])), accepts(&[""])),
        ("COMP-ASTERISK-WITH-GET", line("GET * HTTP/1.1"), Refuses(400)),
        ("COMP-OPTIONS-STAR", line("OPTIONS * HTTP/1.1"), accepts(&[""])),
        ("COMP-ABSOLUTE-FORM", line("GET http://a/ HTTP/1.1"), accepts(&[""])),
        ("SMUG-ABSOLUTE-URI-HOST-MISMATCH", line("GET http://b/ HTTP/1.1"), accepts(&[""])),
        ("+ABSOLUTE-USERINFO", line("GET http://user@a/ HTTP/1.1"), Refuses(400)),
        ("COMP-METHOD-CONNECT", line("CONNECT example.com:443 HTTP/1.1"), Refuses(400)),
        ("COMP-METHOD-CASE", line("get / HTTP/1.1"), accepts(&[""])),
        ("COMP-UNKNOWN-METHOD", line("FOOBAR / HTTP/1.1"), accepts(&[""])),
        ("COMP-METHOD-TRACE", line("TRACE / HTTP/1.1"), accepts(&[""])),
        ("+METHOD-BRACKET", line("GE[T / HTTP/1.1"), Refuses(400)),
        ("MAL-LONG-METHOD", line(&format!("{} / HTTP/1.1", "A".repeat(100_000))), Refuses(400)),
        ("RFC9112-2.3-INVALID-VERSION", line("GET / HTTP/9.9"), Refuses(505)),
        ("RFC9112-2.3-HTTP09-REQUEST", "GET /\r\n".into(), Waits),
        ("COMP-HTTP12-VERSION", line("GET / HTTP/1.2"), Refuses(505)),
        ("COMP-VERSION-MISSING-MINOR", line("GET / HTTP/1"), Refuses(400)),
        ("COMP-VERSION-LEADING-ZEROS", line("GET / HTTP/01.01"), Refuses(400)),
        ("COMP-VERSION-WHITESPACE", line("GET / HTTP/ 1.1"), Refuses(400)),
        ("COMP-VERSION-CASE", line("GET / http/1.1"), Refuses(400)),
        ("COMP-GET-WITH-CL-BODY", body("GET"), accepts(&["hello"])),
        ("SMUG-GET-CL-BODY-DESYNC", body("GET") + &get(""), accepts(&["hello", ""])),
        ("SMUG-HEAD-CL-BODY", body("HEAD"), accepts(&["hello"])),
        ("SMUG-OPTIONS-CL-BODY-DESYNC", body("OPTIONS") + &get(""), accepts(&["hello", ""])),
        ("COMP-TRACE-WITH-BODY", body("TRACE"), accepts(&["hello"])),
        (
            "SMUG-GET-CL-PREFIX-DESYNC",
            format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nGE{}", get("")),
            accepts(&["GE", ""]),
        ),
    ]);
}
