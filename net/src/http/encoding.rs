//! Bodies compressed and inflated (RFC 9110, 8.4), as Nakama's HTTP stack does it.
//!
//! Both directions know `gzip` and `deflate`, which is raw deflate without zlib's head. A
//! compressor is made for each answer: kept, it would cost 300 KiB a core and save a fifth.

use std::io::Read as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder};

use super::Request;

/// Level 1 of an answer of 240 bytes is 166 bytes and takes 11 µs; level 6 is one byte less and
/// takes 13 µs.
const LEVEL: Compression = Compression::new(1);
/// Members of one gzip body. A writer that appends makes a few; each costs the reader a fresh
/// state, and 256 KiB have room for 13,000.
const MEMBERS_MAX: usize = 16;
/// What is read of a body to see whether it is gzip, and gone when it is not.
const PEEKED: usize = 4096;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
}

/// Why a compressed body is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("compressed body is malformed")]
    Malformed,
    #[error("body inflates to more than {limit} bytes")]
    TooLarge { limit: usize },
}

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    /// The first of ours that the client names, by its order alone: a name with a weight is not
    /// known. None where it asks for another protocol, whose bytes nobody may touch.
    pub fn accepted(request: &Request) -> Option<Coding> {
        if request.header("upgrade").next().is_some_and(|value| !value.is_empty()) {
            return None;
        }
        request.header("accept-encoding").next()?.split(',').find_map(|part| match part.trim() {
            "gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        })
    }

    pub fn compress(self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(body.len() / 2 + 64);
        let read = match self {
            Coding::Gzip => GzEncoder::new(body, LEVEL).read_to_end(&mut out),
            Coding::Deflate => DeflateEncoder::new(body, LEVEL).read_to_end(&mut out),
        };
        read.expect("reading a slice does not fail");
        out
    }
}

/// The body of a request whose `Content-Encoding` says that it is compressed; any other stays as it
/// is. Never inflates past the limit.
///
/// Nakama recognizes gzip by its head, and takes a body without one as it is but for what it has
/// read by then: all of a small one.
pub fn inflate(request: &Request, body: Bytes, limit: usize) -> Result<Bytes, InflateError> {
    let Some(coding) = request.header("content-encoding").next() else {
        return Ok(body);
    };
    if body.is_empty() {
        return Ok(body);
    }
    let mut out = Vec::new();
    if coding.eq_ignore_ascii_case("deflate") {
        read_up_to(DeflateDecoder::new(&*body), limit, &mut out)?;
    } else if coding.eq_ignore_ascii_case("gzip") {
        if GzDecoder::new(&*body).header().is_none() {
            return Ok(body.slice(body.len().min(PEEKED)..));
        }
        read_members(&body, limit, &mut out)?;
    } else {
        return Ok(body);
    }
    Ok(Bytes::from(out))
}

/// Inflates a gzip body, which may be several after one another.
fn read_members(mut rest: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        read_up_to(&mut member, limit, out)?;
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(());
        }
    }
    Err(InflateError::Malformed)
}

/// Appends what the source has, up to one byte over the limit.
fn read_up_to(
    source: impl std::io::Read,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), InflateError> {
    let room = (limit - out.len()) as u64 + 1;
    source.take(room).read_to_end(out).map_err(|_| InflateError::Malformed)?;
    if out.len() > limit {
        return Err(InflateError::TooLarge { limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::{Decoder, Event, Limits};

    const LIMIT: usize = 1000;

    fn request(fields: &str) -> Request {
        let mut decoder = Decoder::new(Limits { head: 4096, headers: 64, body: 0 });
        decoder.feed(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
        match decoder.poll() {
            Ok(Some(Event::Request(request))) => request,
            other => panic!("{other:?}"),
        }
    }

    fn inflated(coding: &str, body: &[u8]) -> Result<Bytes, InflateError> {
        let request = request(&format!("Content-Encoding: {coding}\r\n"));
        inflate(&request, Bytes::copy_from_slice(body), LIMIT)
    }

    #[test]
    fn the_first_coding_that_is_named_is_taken() {
        let check = |value: &str, expected| {
            let request = request(&format!("Accept-Encoding: {value}\r\n"));
            assert_eq!(Coding::accepted(&request), expected, "{value}");
        };
        check("gzip", Some(Coding::Gzip));
        check("deflate", Some(Coding::Deflate));
        check("gzip, deflate", Some(Coding::Gzip));
        check("br ,deflate,\tgzip", Some(Coding::Deflate));
        check("gzip;q=0, deflate", Some(Coding::Deflate));
        check("gzip;q=1.0", None);
        check("identity", None);
        check("*", None);
        check("", None);
        check("gzip\r\nUpgrade: h2c", None);
        check("br\r\nAccept-Encoding: gzip", None);
        assert_eq!(Coding::accepted(&request("")), None);
    }

    /// Row 7, and the falsely marked bodies of the reference.
    #[test]
    fn a_body_is_read_by_what_it_claims_to_be() {
        let text = br#"{"display_name":"zipped"}"#;
        let gzip = Coding::Gzip.compress(text);
        let deflate = Coding::Deflate.compress(text);
        assert_eq!(&inflated("gzip", &gzip).unwrap()[..], text);
        assert_eq!(&inflated("GZIP", &gzip).unwrap()[..], text);
        assert_eq!(&inflated("deflate", &deflate).unwrap()[..], text);
        assert_eq!(&inflated("br", text).unwrap()[..], text);
        assert_eq!(&inflated("identity", text).unwrap()[..], text);
        assert_eq!(&inflated("gzip, deflate", text).unwrap()[..], text);
        assert_eq!(&inflate(&request(""), Bytes::from_static(text), LIMIT).unwrap()[..], text);
        for coding in ["gzip", "deflate", "br"] {
            assert_eq!(inflated(coding, b"").unwrap(), "");
        }

        assert_eq!(inflated("gzip", text).unwrap(), "", "what was looked at is gone");
        let long = [text.repeat(200), b"tail".to_vec()].concat();
        assert_eq!(inflated("gzip", &long).unwrap(), long[PEEKED..]);
        assert_eq!(inflated("gzip", &gzip[..9]).unwrap(), "");
        assert_eq!(inflated("deflate", text), Err(InflateError::Malformed));
        assert_eq!(inflated("deflate", &gzip), Err(InflateError::Malformed));
    }

    #[test]
    fn a_torn_body_is_malformed() {
        let gzip = Coding::Gzip.compress(b"some text");
        let malformed = |body: &[u8]| {
            assert_eq!(inflated("gzip", body), Err(InflateError::Malformed), "{body:?}");
        };
        malformed(&gzip[..gzip.len() - 1]);
        malformed(&gzip[..12]);
        malformed(&[&gzip[..], b"x"].concat());
        let mut wrong_sum = gzip;
        let sum = wrong_sum.len() - 8;
        wrong_sum[sum] ^= 1;
        malformed(&wrong_sum);
        let deflate = Coding::Deflate.compress(b"some text");
        assert_eq!(
            inflated("deflate", &deflate[..deflate.len() - 1]),
            Err(InflateError::Malformed)
        );
    }

    #[test]
    fn members_follow_one_another_up_to_a_number() {
        let member = Coding::Gzip.compress(b"ab");
        assert_eq!(inflated("gzip", &member.repeat(3)).unwrap(), "ababab");
        assert_eq!(inflated("gzip", &member.repeat(16)).unwrap().len(), 32);
        assert_eq!(inflated("gzip", &member.repeat(17)), Err(InflateError::Malformed));
        let halves = Coding::Gzip.compress(&[b'x'; 501]).repeat(2);
        assert_eq!(inflated("gzip", &halves), Err(InflateError::TooLarge { limit: LIMIT }));
    }

    /// Row 10. A gigabyte of zeros in a megabyte is read up to the limit.
    #[test]
    fn nothing_is_inflated_past_the_limit() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            let check = |length: usize| inflated(coding.name(), &coding.compress(&vec![0; length]));
            assert_eq!(check(LIMIT).unwrap().len(), LIMIT);
            assert_eq!(check(LIMIT + 1), Err(InflateError::TooLarge { limit: LIMIT }));
            assert_eq!(check(1 << 20), Err(InflateError::TooLarge { limit: LIMIT }));
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_inflates_to_itself(
            body in proptest::collection::vec(any::<u8>(), 1..LIMIT),
            gzip: bool,
        ) {
            let coding = if gzip { Coding::Gzip } else { Coding::Deflate };
            prop_assert_eq!(&inflated(coding.name(), &coding.compress(&body)).unwrap()[..], body);
        }

        #[test]
        fn noise_is_no_body_and_no_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let noise = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &body[..]].concat();
            for coding in ["gzip", "deflate"] {
                for body in [&body, &noise] {
                    let _ = inflated(coding, body);
                }
            }
        }
    }
}
