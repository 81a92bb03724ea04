//! The server's half of WebSocket, as much of it as a fake server needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;

/// The answer to a key (RFC 6455, section 4.2.2).
pub(crate) fn accept_key(key: &str) -> String {
    STANDARD.encode(sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// A frame of a server, which is not masked.
pub(crate) fn encode(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()).expect("a fake server says little") {
        length @ 0..126 => frame.push(length.to_be_bytes()[1]),
        length => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// Takes a client's frame from the beginning of the input, once all of it is there.
pub(crate) fn decode(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [first, second, ..] = *input.as_slice() else {
        return None;
    };
    assert!(first & 0x80 != 0, "the client does not divide messages");
    assert!(second & 0x80 != 0, "a client masks its frames");
    let (head, length) = match second & 0x7f {
        length @ 0..126 => (2, usize::from(length)),
        126 => (4, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
        _ => panic!("the client sends no frame of 64 KiB"),
    };
    let mask: [u8; 4] = input.get(head..head + 4)?.try_into().unwrap();
    let payload = input.get(head + 4..head + 4 + length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    input.drain(..head + 4 + length);
    Some((first & 0x0f, payload))
}

/// FIPS 180-4, section 6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for at in 16..80 {
            let word = words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16];
            words.push(word.rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match at {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = [mixed, e, constant, word]
                .iter()
                .fold(a.rotate_left(5), |sum, term| sum.wrapping_add(*term));
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[test]
fn a_key_is_answered_as_in_the_standard() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
