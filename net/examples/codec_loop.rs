//! The HTTP codec alone, in a loop: the difference between two counts under callgrind is what one
//! round takes. `codec_loop get|post|chunked|answer|gzip|deflate N`.

use std::hint::black_box;

use net::http::{Coding, Decoder, Event, Limits, Response, encode};

const GET: &str = concat!(
    "GET /v2/account HTTP/1.1\r\nHost: 127.0.0.1:7350\r\nAccept: application/json\r\n",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0aWQiOiJiNjBjIn0.abcdefghijklm",
    "\r\nContent-Type: application/json\r\nUser-Agent: codec-loop/1.0\r\n\r\n",
);
const POST: &str = concat!(
    "POST /v2/account/authenticate/device?create=true HTTP/1.1\r\nHost: a\r\n",
    "Authorization: Basic ZGVmYXVsdGtleTo=\r\nContent-Length: 32\r\n\r\n",
    r#"{"id":"0123456789abcdef0123456"}"#,
);
const CHUNKED: &str = concat!(
    "POST /v2/account/authenticate/device?create=true HTTP/1.1\r\nHost: a\r\n",
    "Authorization: Basic ZGVmYXVsdGtleTo=\r\nTransfer-Encoding: chunked\r\n\r\n",
    "20\r\n{\"id\":\"0123456789abcdef0123456\"}\r\n0\r\n\r\n",
);
/// The answer to `GET /v2/account`.
const ANSWER: &str = concat!(
    r#"{"user":{"id":"3aa1557a-199f-4cac-8591-7d27f33ecd33","username":"yunxTVqipL","#,
    r#""lang_tag":"en","metadata":"{}","create_time":"2026-11-24T07:04:41Z","#,
    r#""update_time":"2026-11-24T07:04:41Z"},"wallet":"{}","#,
    r#""devices":[{"id":"ringload-account-1"}]}"#,
);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: get|post|chunked|answer|gzip|deflate N";
    let mut words = std::env::args().skip(1);
    let what = words.next().ok_or(usage)?;
    let count: usize = words.next().ok_or(usage)?.parse()?;
    match what.as_str() {
        "get" => decode(GET, count),
        "post" => decode(POST, count),
        "chunked" => decode(CHUNKED, count),
        "answer" => answer(None, count),
        "gzip" => answer(Some(Coding::Gzip), count),
        "deflate" => answer(Some(Coding::Deflate), count),
        _ => Err(usage.into()),
    }
}

fn decode(input: &str, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut decoder = Decoder::new(Limits { head: 9216, headers: 128, body: 262_144 });
    for _ in 0..count {
        decoder.feed(black_box(input.as_bytes()));
        let Ok(Some(Event::Request(request))) = decoder.poll() else {
            return Err("the request is whole".into());
        };
        black_box(request);
    }
    Ok(())
}

fn answer(coding: Option<Coding>, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    for _ in 0..count {
        let body = match coding {
            Some(coding) => &coding.compress(black_box(ANSWER.as_bytes())),
            None => ANSWER.as_bytes(),
        };
        let headers = &[("Content-Type", "application/json"), ("Vary", "Accept-Encoding")];
        let response = Response {
            status: 200,
            headers,
            body,
            keep_alive: true,
            version_minor: 1,
            head_only: false,
        };
        let mut out = Vec::new();
        encode(&mut out, &response);
        black_box(out);
    }
    Ok(())
}
