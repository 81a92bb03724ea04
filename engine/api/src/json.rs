//! Reading a JSON object as a protobuf message (the protobuf JSON mapping, as Nakama accepts it).

use std::collections::BTreeMap;

use base::json::Json;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Why a message does not decode; names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

type Read<T> = Result<T, Malformed>;

/// What becomes of members that the message does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// HTTP bodies.
    Ignored,
    /// Realtime envelopes.
    Fatal,
}

/// An object whose members are taken out field by field. A field is named in snake_case and found
/// under that name or its lowerCamelCase form; `null` counts as absent.
#[derive(Debug)]
pub struct Message {
    members: Vec<(String, Json)>,
    unknown: Unknown,
}

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, BASE64);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BASE64);

impl Message {
    pub fn new(value: Json, unknown: Unknown) -> Read<Message> {
        match value {
            Json::Object(members) => Ok(Message { members, unknown }),
            _ => Err(Malformed("the message is not an object".into())),
        }
    }

    pub fn empty(unknown: Unknown) -> Message {
        Message { members: Vec::new(), unknown }
    }

    /// Ends the reading: what is left are members that the message does not have.
    pub fn finish(self) -> Read<()> {
        match (self.unknown, self.members.first()) {
            (Unknown::Fatal, Some((name, _))) => Err(Malformed(format!("unknown field {name:?}"))),
            _ => Ok(()),
        }
    }

    /// The first name that is left.
    pub fn peek(&self) -> Option<&str> {
        self.members.first().map(|(name, _)| name.as_str())
    }

    /// The value of a field; refused when the field stands there twice.
    pub fn take(&mut self, field: &str) -> Read<Option<Json>> {
        let mut found = None;
        let mut at = 0;
        while at < self.members.len() {
            if !names(&self.members[at].0, field) {
                at += 1;
                continue;
            }
            if found.is_some() {
                return Err(Malformed(format!("field {field} is given twice")));
            }
            found = Some(self.members.remove(at).1);
        }
        Ok(found.filter(|value| *value != Json::Null))
    }

    pub fn text(&mut self, field: &str) -> Read<String> {
        Ok(self.text_wrapper(field)?.unwrap_or_default())
    }

    pub fn text_wrapper(&mut self, field: &str) -> Read<Option<String>> {
        self.take(field)?.map(|value| text(value, field)).transpose()
    }

    pub fn flag(&mut self, field: &str) -> Read<bool> {
        Ok(self.flag_wrapper(field)?.unwrap_or_default())
    }

    pub fn flag_wrapper(&mut self, field: &str) -> Read<Option<bool>> {
        match self.take(field)? {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(Malformed(format!("field {field} is not true or false"))),
        }
    }

    pub fn int32(&mut self, field: &str) -> Read<i32> {
        Ok(self.int32_wrapper(field)?.unwrap_or_default())
    }

    pub fn int32_wrapper(&mut self, field: &str) -> Read<Option<i32>> {
        let Some(value) = self.take(field)? else {
            return Ok(None);
        };
        let number = integer(value).and_then(|number| i32::try_from(number).ok());
        number.map(Some).ok_or_else(|| Malformed(format!("field {field} is not a 32-bit integer")))
    }

    pub fn int64(&mut self, field: &str) -> Read<i64> {
        let Some(value) = self.take(field)? else {
            return Ok(0);
        };
        let number = integer(value).and_then(|number| i64::try_from(number).ok());
        number.ok_or_else(|| Malformed(format!("field {field} is not a 64-bit integer")))
    }

    /// Base64 in the standard or the URL-safe alphabet, padded or not.
    pub fn bytes(&mut self, field: &str) -> Read<Bytes> {
        let text = self.text(field)?;
        let url_safe = text.contains(['-', '_']);
        let engine = if url_safe { BASE64_URL } else { BASE64_STANDARD };
        let decoded = engine.decode(&text);
        decoded.map(Bytes::from).map_err(|_| Malformed(format!("field {field} is not base64")))
    }

    pub fn texts(&mut self, field: &str) -> Read<Vec<String>> {
        self.items(field)?.into_iter().map(|item| text(item, field)).collect()
    }

    pub fn message(&mut self, field: &str) -> Read<Option<Message>> {
        let unknown = self.unknown;
        self.take(field)?.map(|value| Message::new(value, unknown)).transpose()
    }

    pub fn messages(&mut self, field: &str) -> Read<Vec<Message>> {
        let unknown = self.unknown;
        self.items(field)?.into_iter().map(|item| Message::new(item, unknown)).collect()
    }

    /// A map of strings to strings.
    pub fn text_map(&mut self, field: &str) -> Read<BTreeMap<String, String>> {
        self.map(field, text)
    }

    /// A map of strings to 64-bit integers.
    pub fn int64_map(&mut self, field: &str) -> Read<BTreeMap<String, i64>> {
        self.map(field, |value, field| {
            let number = integer(value).and_then(|number| i64::try_from(number).ok());
            number.ok_or_else(|| Malformed(format!("field {field} is not of 64-bit integers")))
        })
    }

    /// A map of strings to finite numbers.
    pub fn double_map(&mut self, field: &str) -> Read<BTreeMap<String, f64>> {
        self.map(field, double)
    }

    fn items(&mut self, field: &str) -> Read<Vec<Json>> {
        match self.take(field)? {
            None => Ok(Vec::new()),
            Some(Json::List(items)) => Ok(items),
            Some(_) => Err(Malformed(format!("field {field} is not a list"))),
        }
    }

    fn map<T>(
        &mut self,
        field: &str,
        mut read: impl FnMut(Json, &str) -> Read<T>,
    ) -> Read<BTreeMap<String, T>> {
        let members = match self.take(field)? {
            None => return Ok(BTreeMap::new()),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(Malformed(format!("field {field} is not a map"))),
        };
        let mut map = BTreeMap::new();
        for (key, value) in members {
            if map.contains_key(&key) {
                return Err(Malformed(format!("field {field} has the key {key:?} twice")));
            }
            map.insert(key, read(value, field)?);
        }
        Ok(map)
    }
}

fn text(value: Json, field: &str) -> Read<String> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(Malformed(format!("field {field} is not a string"))),
    }
}

fn double(value: Json, field: &str) -> Read<f64> {
    let number = match unquoted(value) {
        #[expect(clippy::cast_precision_loss, reason = "the nearest double is what JSON means")]
        Some(Json::Integer(number)) => Some(number as f64),
        Some(Json::Float(number)) => Some(number),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| Malformed(format!("field {field} is not a finite number")))
}

/// An integer: as a number, as a number with an empty fraction, or either of them as text.
fn integer(value: Json) -> Option<i128> {
    match unquoted(value)? {
        Json::Integer(number) => Some(number),
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^63")]
        Json::Float(number) if number.fract() == 0.0 && number.abs() < 9.3e18 => {
            Some(number as i128)
        }
        _ => None,
    }
}

/// A number that stands in quotes, without them.
fn unquoted(value: Json) -> Option<Json> {
    let Json::Text(text) = value else {
        return Some(value);
    };
    let plain = !text.starts_with(char::is_whitespace) && !text.ends_with(char::is_whitespace);
    Json::parse(text.as_bytes()).ok().filter(|value| plain && !matches!(value, Json::Text(_)))
}

/// Whether a member's name stands for the field, in snake_case or in lowerCamelCase.
pub fn names(member: &str, field: &str) -> bool {
    member == field || (field.contains('_') && is_camel_case_of(member, field))
}

fn is_camel_case_of(member: &str, field: &str) -> bool {
    let mut member = member.bytes();
    let mut after_underscore = false;
    for byte in field.bytes() {
        if byte == b'_' {
            after_underscore = true;
            continue;
        }
        let expected = if after_underscore { byte.to_ascii_uppercase() } else { byte };
        after_underscore = false;
        if member.next() != Some(expected) {
            return false;
        }
    }
    member.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, unknown: Unknown) -> Message {
        let value = Json::parse(text.as_bytes()).expect("test text is JSON");
        Message::new(value, unknown).expect("test text is an object")
    }

    fn ignoring(text: &str) -> Message {
        message(text, Unknown::Ignored)
    }

    /// Rows 31, 32 and 35.
    #[test]
    fn names_are_snake_or_camel_and_unknown_ones_depend() {
        for text in [r#"{"refresh_token":"x","more":1}"#, r#"{"refreshToken":"x","more":1}"#] {
            let mut read = ignoring(text);
            assert_eq!(read.text("refresh_token"), Ok("x".into()));
            assert_eq!(read.finish(), Ok(()));
            let mut strict = message(text, Unknown::Fatal);
            assert_eq!(strict.text("refresh_token"), Ok("x".into()));
            assert!(strict.finish().is_err());
        }
        assert!(!names("refreshtoken", "refresh_token"));
        assert!(!names("refreshTokens", "refresh_token"));
    }

    #[test]
    fn a_field_twice_is_refused_in_any_spelling() {
        assert!(ignoring(r#"{"a":"x","a":"y"}"#).text("a").is_err());
        assert!(ignoring(r#"{"a_b":"x","aB":"y"}"#).text("a_b").is_err());
        assert!(ignoring(r#"{"m":{"k":"x","k":"y"}}"#).text_map("m").is_err());
    }

    /// Rows 32, 33 and 34.
    #[test]
    fn numbers_come_in_several_forms_and_wrong_types_are_refused() {
        let int32 = |value: &str| ignoring(&format!("{{\"n\":{value}}}")).int32("n").ok();
        for five in ["5", "5.0", "\"5\"", "5e0", "\"5.0\""] {
            assert_eq!(int32(five), Some(5), "{five}");
        }
        for wrong in
            ["5.5", "true", "\"\"", "\" 5\"", "2147483648", "\"x\"", "[5]", "\"\\\"5\\\"\""]
        {
            assert_eq!(int32(wrong), None, "{wrong}");
        }
        assert_eq!(int32("null"), Some(0));
        let int64 = |value: &str| ignoring(&format!("{{\"n\":{value}}}")).int64("n").ok();
        assert_eq!(int64("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int64("\"-9223372036854775808\""), Some(i64::MIN));
        assert_eq!(int64("\"9223372036854775808\""), None);
        assert_eq!(int64("9007199254740993"), Some(9_007_199_254_740_993));
        assert_eq!(int64("1e19"), None);
        assert!(ignoring(r#"{"s":5}"#).text("s").is_err());
        assert!(ignoring(r#"{"b":"true"}"#).flag("b").is_err());
        assert!(ignoring(r#"{"w":{"value":"x"}}"#).text_wrapper("w").is_err());
        assert_eq!(ignoring(r#"{"w":null}"#).text_wrapper("w"), Ok(None));
        assert_eq!(ignoring(r#"{"w":""}"#).text_wrapper("w"), Ok(Some(String::new())));
        assert!(ignoring(r#"{"m":{"k":null}}"#).text_map("m").is_err());
        assert!(ignoring(r#"{"m":{"k":"NaN"}}"#).double_map("m").is_err());
        assert_eq!(ignoring(r#"{"m":{"k":15}}"#).double_map("m"), Ok([("k".into(), 15.0)].into()));
    }

    /// Row 321.
    #[test]
    fn base64_is_read_in_both_alphabets() {
        let bytes = |text: &str| ignoring(&format!("{{\"b\":\"{text}\"}}")).bytes("b").ok();
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            assert_eq!(bytes(text), Some(Bytes::from_static(&[0xfb, 0xff])), "{text}");
        }
        assert_eq!(bytes(""), Some(Bytes::new()));
        assert_eq!(bytes("+_8="), None);
        assert_eq!(bytes("a"), None);
        assert_eq!(bytes("a b="), None);
    }
}
