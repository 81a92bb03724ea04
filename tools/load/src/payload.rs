//! The data of a match message, with the time in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of the time and of the sender at the beginning.
pub(crate) const HEAD: usize = 16;

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was to be sent, in nanoseconds since the start of the run.
    pub due: u64,
    pub sender: u64,
}

/// Appends an envelope of `size` bytes of data.
pub(crate) fn write(out: &mut String, match_id: &str, stamp: Stamp, size: usize) {
    let mut data = vec![0; size.max(HEAD)];
    data[..8].copy_from_slice(&stamp.due.to_le_bytes());
    data[8..HEAD].copy_from_slice(&stamp.sender.to_le_bytes());
    out.push_str(r#"{"match_data_send":{"match_id":""#);
    out.push_str(match_id);
    out.push_str(r#"","op_code":"1","data":""#);
    STANDARD.encode_string(&data, out);
    out.push_str(r#""}}"#);
}

/// The stamp of a message that was received; none if the envelope is another one.
///
/// Finds the member by its text: parsing all of the JSON would cost the load generator more than
/// the server spends on the message.
pub(crate) fn read(envelope: &str) -> Option<Stamp> {
    const TEXT: usize = 24; // of 18 bytes
    let mut rest = envelope;
    if !rest.contains("\"match_data") {
        return None;
    }
    loop {
        let (_, behind) = rest.split_once("\"data\"")?;
        rest = behind.trim_start();
        // Not a value that happens to be this text.
        let Some(value) = rest.strip_prefix(':') else {
            continue;
        };
        let value = value.trim_start().strip_prefix('"')?;
        // The head is 16 bytes; a message of exactly that many ends in padding.
        let value = value.split('"').next()?;
        let text = value.get(..TEXT.min(value.len()))?;
        let data = STANDARD.decode(text).ok()?;
        let due = data.get(..8)?.try_into().ok()?;
        let sender = data.get(8..HEAD)?.try_into().ok()?;
        return Some(Stamp { due: u64::from_le_bytes(due), sender: u64::from_le_bytes(sender) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a filter of presences, it goes to all others; the server keeps it no less than any.
    #[test]
    fn an_envelope_has_the_documented_form() {
        let mut envelope = String::new();
        let stamp = Stamp { due: 1, sender: 2 };
        write(&mut envelope, "5f2d.", stamp, 16);
        let data = "AQAAAAAAAAACAAAAAAAAAA==";
        let expected = format!(
            r#"{{"match_data_send":{{"match_id":"5f2d.","op_code":"1","data":"{data}"}}}}"#
        );
        assert_eq!(envelope, expected);
    }

    #[test]
    fn a_stamp_comes_back_from_every_spelling() {
        let stamp = Stamp { due: 123_456_789_012, sender: 7 };
        for size in [16, 17, 18, 19, 48, 1_000] {
            let mut sent = String::new();
            write(&mut sent, "m.", stamp, size);
            assert_eq!(read(&sent), Some(stamp));
            let data = sent.split('"').rev().nth(1).unwrap();
            for text in [
                format!(r#"{{"match_data":{{"match_id":"m.","data":"{data}"}}}}"#),
                format!(
                    r#"{{"match_data": {{"presence":{{"username":"data"}}, "data": "{data}", "reliable":true}}}}"#
                ),
            ] {
                assert_eq!(read(&text), Some(stamp), "{text}");
            }
        }
    }

    #[test]
    fn other_envelopes_have_none() {
        for text in [
            "{}",
            r#"{"pong":{}}"#,
            r#"{"party_data":{"data":"AAAA"}}"#,
            r#"{"match_data":{"match_id":"m."}}"#,
            r#"{"match_data":{"data":"AAAA"}}"#,
            r#"{"match_data":{"data":"ü"}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
