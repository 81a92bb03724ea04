//! JSON values as they came, and a writer that omits defaults as the protobuf mapping does.

use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. An object keeps its members in order and keeps repeated names, since a repeated
/// name is an error of the message, which only its reader can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why text is not JSON; the message says where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Json {
    /// Reads text that is one value and nothing else but white space.
    pub fn parse(text: &[u8]) -> Result<Json, Malformed> {
        serde_json::from_slice(text).map_err(|error| Malformed(error.to_string()))
    }

    /// Reads the first value of the text and ignores what follows, as Nakama's HTTP gateway does.
    pub fn parse_first(text: &[u8]) -> Result<Json, Malformed> {
        match serde_json::Deserializer::from_slice(text).into_iter().next() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(Malformed(error.to_string())),
            None => Err(Malformed("the text is empty".into())),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Integer(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Integer(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Json, E> {
                Ok(Json::Text(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// The text of a value.
pub fn text_of(json: &Json) -> String {
    let mut out = String::new();
    write_json(&mut out, json);
    out
}

fn write_json(out: &mut String, json: &Json) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Integer(number) => write!(out, "{number}").expect("a string takes every text"),
        Json::Float(number) => write!(out, "{number:?}").expect("a string takes every text"),
        Json::Text(text) => write_text(out, text),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_json(out, item);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_text(out, name);
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
    }
}

/// Writes one object. Members with a default value are left out unless the method says otherwise.
pub struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

/// The text of one object.
pub fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    write_object(&mut out, fill);
    out
}

/// Appends one object.
pub fn write_object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object { out, empty: true });
    out.push('}');
}

/// The text of a list of objects.
pub fn list<T>(
    items: impl IntoIterator<Item = T>,
    mut fill: impl FnMut(T, &mut Object<'_>),
) -> String {
    let mut out = String::from("[");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_object(&mut out, |object| fill(item, object));
    }
    out.push(']');
    out
}

/// Appends a string literal.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0; // start of the run that needs no escape
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => write!(out, "\\u{other:04x}").expect("a string takes every text"),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        write_text(self.out, name);
        self.out.push(':');
    }

    fn display(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        write!(self.out, "{value}").expect("a string takes every text");
    }

    /// A string; left out when empty.
    pub fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text_wrapper(name, Some(value));
        }
    }

    /// A string that is present, even when empty, if it is set.
    pub fn text_wrapper(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            write_text(self.out, value);
        }
    }

    /// A value with a text form (an id, a time), always present.
    pub fn shown(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        self.out.push('"');
        write!(self.out, "{value}").expect("a string takes every text");
        self.out.push('"');
    }

    /// `true`; left out when false.
    pub fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.display(name, true);
        }
    }

    /// A 32-bit integer; left out when zero.
    pub fn int32(&mut self, name: &str, value: i32) {
        if value != 0 {
            self.display(name, value);
        }
    }

    /// A 64-bit integer, as text; left out when zero.
    pub fn int64(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.shown(name, value);
        }
    }

    /// A finite number, always present (values of a map are); very large and very small ones with
    /// an exponent, as in Go.
    pub fn double(&mut self, name: &str, value: f64) {
        let size = value.abs();
        if size >= 1e21 || (size < 1e-6 && size > 0.0) {
            self.display(name, format_args!("{value:e}"));
        } else {
            self.display(name, value);
        }
    }

    /// A value that is JSON text already.
    pub fn raw(&mut self, name: &str, text: &str) {
        self.display(name, text);
    }

    /// A message, always present.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        write_object(self.out, fill);
    }

    /// A map or message; left out when `present` is false.
    pub fn object_if(&mut self, present: bool, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        if present {
            self.object(name, fill);
        }
    }

    /// A list of messages; left out when empty.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl FnMut(T, &mut Object<'_>),
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.raw(name, &list(items, fill));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_names_and_number_kinds_are_kept() {
        let value = Json::parse(br#"{"a":1,"a":-2.5,"b":[null,true,18446744073709551615]}"#);
        assert_eq!(
            value,
            Ok(Json::Object(vec![
                ("a".into(), Json::Integer(1)),
                ("a".into(), Json::Float(-2.5)),
                (
                    "b".into(),
                    Json::List(vec![Json::Null, Json::Bool(true), Json::Integer(u64::MAX.into())])
                ),
            ]))
        );
    }

    /// Rows 36 and 84 of the mapping: what is no JSON is refused, what follows the first value is
    /// not read.
    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\":}",
            "{\"a\":1",
            "nonsense",
            "{\"a\":1,}",
            "/*c*/{}",
            "\"\\ud800\"",
            "\"a\nb\"",
            "1e999",
            "\"\u{1}\"",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
            assert!(Json::parse_first(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        assert!(Json::parse(b"{}x").is_err());
        assert_eq!(Json::parse_first(b"{}x"), Ok(Json::Object(vec![])));
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(Json::parse(&nested(crate::limits::JSON_DEPTH_MAX)).is_ok());
        assert!(Json::parse(&nested(crate::limits::JSON_DEPTH_MAX + 1)).is_err());
        assert!(Json::parse(&nested(1_000_000)).is_err());
    }

    /// Rows 22 to 26.
    #[test]
    fn defaults_are_left_out_and_wrappers_are_not() {
        let text = object(|o| {
            o.text("empty", "");
            o.text("text", "a\"b\\c\u{1}\n");
            o.text_wrapper("set", Some(""));
            o.text_wrapper("unset", None);
            o.flag("no", false);
            o.flag("yes", true);
            o.int32("zero", 0);
            o.int32("count", -3);
            o.int64("none", 0);
            o.int64("score", i64::MAX);
            o.double("half", 0.5);
            o.double("whole", 15.0);
            o.double("large", -1e300);
            o.double("small", 1e-7);
            o.raw("raw", "[1]");
            o.list("nothing", [0; 0], |_, _| {});
            o.list("items", [1, 2], |n, o| o.int32("n", n));
            o.object_if(false, "absent", |_| {});
            o.object("self", |_| {});
        });
        assert_eq!(
            text,
            r#"{"text":"a\"b\\c\u0001\n","set":"","yes":true,"count":-3,"score":"9223372036854775807","half":0.5,"whole":15,"large":-1e300,"small":1e-7,"raw":[1],"items":[{"n":1},{"n":2}],"self":{}}"#
        );
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text: String) {
            let mut out = String::new();
            write_text(&mut out, &text);
            prop_assert_eq!(Json::parse(out.as_bytes()), Ok(Json::Text(text)));
        }

        #[test]
        fn every_value_comes_back(text: String, number: i64, float in -1e300..1e300, is: bool) {
            let number = Json::Integer(number.into());
            let list = Json::List(vec![Json::Null, number, Json::Float(float)]);
            let members = vec![(text.clone(), list), (text, Json::Bool(is))];
            let value = Json::List(vec![Json::Object(members), Json::Object(Vec::new())]);
            let out = text_of(&value);
            let read = Json::parse(out.as_bytes());
            prop_assert_eq!(read.is_ok(), true);
            prop_assert_eq!(text_of(&read.unwrap_or(Json::Null)), out);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Json::parse(&bytes);
            let _ = Json::parse_first(&bytes);
        }
    }
}
