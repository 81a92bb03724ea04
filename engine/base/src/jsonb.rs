//! JSON text in the form in which PostgreSQL's `jsonb` gives it back.
//!
//! Members stand in the order of the lengths of their names, then of their bytes, the last of equal
//! names; one space follows each colon and comma; numbers keep the digits that they were written
//! with, without exponent (PostgreSQL documentation, 8.14 "JSON Types").

use std::fmt::Write as _;
use std::ops::Range;

use crate::json::Json;

/// Digits by which an exponent may move the point; PostgreSQL takes more, and writes them all out.
const EXPONENT_MAX: i32 = 308;

/// Why a text has no such form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    NoJson(String),
    NoObject,
    /// `jsonb` has no text with a zero character.
    ZeroCharacter,
    /// A number with so large an exponent.
    Exponent,
}

/// The form of a text that is one JSON object.
pub fn object(text: &str) -> Result<String, Malformed> {
    match Json::parse(text.as_bytes()) {
        Err(error) => return Err(Malformed::NoJson(error.0)),
        Ok(Json::Object(_)) => {}
        Ok(_) => return Err(Malformed::NoObject),
    }
    // It is JSON, of bounded depth: the reader below need not look for what that excludes.
    let mut reader = Reader { text, at: 0 };
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    reader.value(&mut out)?;
    Ok(out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> u8 {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest.as_bytes().first().copied().unwrap_or_default()
    }

    fn value(&mut self, out: &mut String) -> Result<(), Malformed> {
        match self.peek() {
            b'{' => self.object(out),
            b'[' => self.list(out),
            b'"' => write_text(out, &self.string()?),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                self.at += end;
                match &rest[..end] {
                    word @ ("true" | "false" | "null") => out.push_str(word),
                    number => return write_number(out, number),
                }
                Ok(())
            }
        }
    }

    /// Members are written as they come, and moved only where they stand in another order: nested
    /// ones would be copied once for each level otherwise.
    fn object(&mut self, out: &mut String) -> Result<(), Malformed> {
        let mut members: Vec<(String, Range<usize>)> = Vec::new();
        self.at += 1;
        out.push('{');
        let begin = out.len();
        while self.peek() != b'}' {
            let name = self.string()?;
            self.peek();
            self.at += 1; // the colon
            if out.len() > begin {
                out.push_str(", ");
            }
            let from = out.len();
            write_text(out, &name)?;
            out.push_str(": ");
            self.value(out)?;
            members.push((name, from..out.len()));
            if self.peek() == b',' {
                self.at += 1;
                self.peek();
            }
        }
        self.at += 1;
        if !members.is_sorted_by(|(a, _), (b, _)| (a.len(), a) < (b.len(), b)) {
            // Stable: of equal names, the last stays the last.
            members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
            let written = out.split_off(begin);
            for (index, (name, range)) in members.iter().enumerate() {
                if members.get(index + 1).is_some_and(|(next, _)| next == name) {
                    continue;
                }
                if out.len() > begin {
                    out.push_str(", ");
                }
                out.push_str(&written[range.start - begin..range.end - begin]);
            }
        }
        out.push('}');
        Ok(())
    }

    fn list(&mut self, out: &mut String) -> Result<(), Malformed> {
        self.at += 1;
        out.push('[');
        while self.peek() != b']' {
            self.value(out)?;
            if self.peek() == b',' {
                self.at += 1;
                out.push_str(", ");
            }
        }
        self.at += 1;
        out.push(']');
        Ok(())
    }

    /// The string that begins here.
    fn string(&mut self) -> Result<String, Malformed> {
        let rest = &self.text[self.at..];
        let mut is_escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let literal = &rest[..end.map_or(rest.len(), |end| end + 2)];
        self.at += literal.len();
        match Json::parse(literal.as_bytes()) {
            Ok(Json::Text(text)) if text.contains('\0') => Err(Malformed::ZeroCharacter),
            Ok(Json::Text(text)) => Ok(text),
            _ => Err(Malformed::NoJson(format!("no string at byte {}", self.at))),
        }
    }
}

fn write_text(out: &mut String, text: &str) -> Result<(), Malformed> {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a string takes every text");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    Ok(())
}

/// A number as its digits, with the point where the exponent puts it.
fn write_number(out: &mut String, text: &str) -> Result<(), Malformed> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(i32::MAX)),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return Err(Malformed::Exponent);
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let point = count(whole.len()).saturating_add(exponent);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let padded = match point {
        ..=0 => [zeros(1 - point), digits].concat(),
        _ => [digits.as_str(), &zeros(point.saturating_sub(count(digits.len())))].concat(),
    };
    let point = usize::try_from(point.max(1)).unwrap_or(padded.len()).min(padded.len());
    let (whole, fraction) = padded.split_at(point);
    let whole = whole.trim_start_matches('0');
    if padded.bytes().any(|digit| digit != b'0') {
        out.push_str(sign); // there is no negative zero
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(text: &str) -> String {
        object(text).expect("it is an object")
    }

    /// Row 246.
    #[test]
    fn members_are_ordered_and_spaced_as_in_postgres() {
        assert_eq!(form("{}"), "{}");
        assert_eq!(
            form(r#" { "bb":1 ,"a":[1,2 , {}],"c":{"x":null} } "#),
            r#"{"a": [1, 2, {}], "c": {"x": null}, "bb": 1}"#
        );
        assert_eq!(form(r#"{"a":1,"b":2,"a":3}"#), r#"{"a": 3, "b": 2}"#);
        assert_eq!(
            form(r#"{"a":[],"b":[[]],"c":"}]{,\"\\"}"#),
            r#"{"a": [], "b": [[]], "c": "}]{,\"\\"}"#
        );
        assert_eq!(form(r#"{"\u0061":"\u00e9\u0001\n\/"}"#), "{\"a\": \"é\\u0001\\n/\"}");
    }

    #[test]
    fn numbers_keep_their_digits_and_lose_their_exponent() {
        for (written, read) in [
            ("1.0", "1.0"),
            ("1.10", "1.10"),
            ("1e2", "100"),
            ("1.5E1", "15"),
            ("1.50e1", "15.0"),
            ("1e-2", "0.01"),
            ("12.5e-3", "0.0125"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("0e5", "0"),
            ("-1.25", "-1.25"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("100e-2", "1.00"),
            ("0.5e1", "5"),
            ("0.05e1", "0.5"),
        ] {
            assert_eq!(
                form(&format!("{{\"n\":{written}}}")),
                format!("{{\"n\": {read}}}"),
                "{written}"
            );
        }
        assert_eq!(
            object("{\"n\":1e309}"),
            Err(Malformed::NoJson("number out of range at line 1 column 10".into()))
        );
        assert_eq!(object("{\"n\":0e400}"), Err(Malformed::Exponent));
    }

    #[test]
    fn what_is_no_object_has_no_form() {
        for text in ["[]", "5", "null", "\"x\""] {
            assert_eq!(object(text), Err(Malformed::NoObject), "{text}");
        }
        for text in ["", "nonsense", "{", "{}{}", "{'a':1}", "{\"a\":1,}", "{\"a\":01}"] {
            assert!(matches!(object(text), Err(Malformed::NoJson(_))), "{text}");
        }
        assert_eq!(object("{\"a\":\"\\u0000\"}"), Err(Malformed::ZeroCharacter));
        let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(matches!(object(&deep), Err(Malformed::NoJson(_))));
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            (-1e9..1e9).prop_map(|number: f64| format!("{number:e}")),
            any::<String>().prop_map(|text| {
                let mut out = String::new();
                crate::json::write_text(&mut out, &text.replace('\0', ""));
                out
            }),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let name = "[a-c\\\\\"{}, ]{0,3}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|all| format!("[{}]", all.join(" ,"))),
                prop::collection::vec((name, inner), 0..4).prop_map(|all| {
                    let member = |(name, value): &(String, String)| {
                        let mut out = String::new();
                        crate::json::write_text(&mut out, name);
                        format!("{out} :\n{value}")
                    };
                    format!("{{{}}}", all.iter().map(member).collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_form_means_the_same_and_is_its_own_form(value in any_json()) {
            let text = format!("{{\"v\":{value}}}");
            let form = form(&text);
            prop_assert_eq!(object(&form), Ok(form.clone()));
            prop_assert_eq!(plain(&form), plain(&text));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = object(&text);
        }
    }

    /// The value with sorted members, the last of equal names, and numbers as doubles.
    fn plain(text: &str) -> String {
        fn write(value: Json) -> String {
            match value {
                Json::Object(members) => {
                    let members: std::collections::BTreeMap<_, _> =
                        members.into_iter().map(|(name, value)| (name, write(value))).collect();
                    format!("{members:?}")
                }
                Json::List(items) => {
                    format!("{:?}", items.into_iter().map(write).collect::<Vec<_>>())
                }
                #[expect(clippy::cast_precision_loss, reason = "both sides lose the same")]
                Json::Integer(number) => format!("{:e}", number as f64),
                Json::Float(number) => format!("{:e}", number + 0.0),
                other => format!("{other:?}"),
            }
        }
        write(Json::parse(text.as_bytes()).expect("it is JSON"))
    }
}
