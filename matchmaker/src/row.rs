//! The properties of a waiting ticket, packed: two to four words each.
//!
//! Of each property: a word of its field and its kind; the text, if it has one; the number, or the
//! date in nanoseconds since 1970, in two words, the lower half first. In the order of their names,
//! texts first. A row holds its fields and texts.

use std::collections::BTreeMap;

use crate::query::Value;
use crate::terms::{Term, Terms, key_of};

/// Before the name of each property stands this, in a query.
pub(crate) const PREFIX: &str = "properties.";

/// A packed row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a>(pub(crate) &'a [u32]);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Datum {
    Number(f64),
    Text(Term),
    /// A text that is a date: it is found by its date only.
    Date(Term, i64),
    /// A text under the name of a number, which is not found at all.
    Hidden(Term),
}

/// Kinds, in the upper two bits of the first word.
const NUMBER: u32 = 0;
const TEXT: u32 = 1;
const DATE: u32 = 2;
const HIDDEN: u32 = 3;
const KIND_AT: u32 = 30;

/// Fields and texts are numbers below this.
const _: () = assert!(Terms::MAX <= 1 << KIND_AT);

impl Datum {
    /// Where a number or date stands among all others.
    pub(crate) fn key(self) -> Option<i64> {
        match self {
            Datum::Number(number) => Some(key_of(number)),
            Datum::Date(_, nanos) => Some(nanos),
            Datum::Text(_) | Datum::Hidden(_) => None,
        }
    }
}

pub(crate) fn push_u64(words: &mut Vec<u32>, number: u64) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    words.extend([u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]);
}

pub(crate) fn u64_of(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Row<'_> {
    /// The value of a field, if it can be found.
    pub(crate) fn find(self, field: Term) -> Option<Datum> {
        let words = self.0;
        let mut at = 0;
        while let Some(first) = words.get(at) {
            let kind = first >> KIND_AT;
            if first ^ (kind << KIND_AT) == field.0 && kind != HIDDEN {
                return datum(kind, &words[at + 1..]);
            }
            at += 1 + length(kind);
        }
        None
    }

    /// Fields and their values.
    fn iter(self) -> impl Iterator<Item = (Term, Datum)> {
        let mut words = self.0;
        std::iter::from_fn(move || {
            let [first, rest @ ..] = words else { return None };
            let kind = first >> KIND_AT;
            words = &rest[length(kind)..];
            Some((Term(first ^ (kind << KIND_AT)), datum(kind, rest)?))
        })
    }
}

/// Of what follows the first word.
fn length(kind: u32) -> usize {
    const LENGTHS: [usize; 4] = [2, 1, 3, 1];
    LENGTHS[kind as usize % LENGTHS.len()]
}

fn datum(kind: u32, rest: &[u32]) -> Option<Datum> {
    Some(match (kind, rest) {
        (NUMBER, [low, high, ..]) => Datum::Number(f64::from_bits(u64_of(*low, *high))),
        (DATE, [text, low, high, ..]) => {
            Datum::Date(Term(*text), u64_of(*low, *high).cast_signed())
        }
        (TEXT, [text, ..]) => Datum::Text(Term(*text)),
        (HIDDEN, [text, ..]) => Datum::Hidden(Term(*text)),
        _ => return None,
    })
}

/// Adds a row to words.
pub(crate) fn pack(
    strings: &BTreeMap<String, String>,
    numbers: &BTreeMap<String, f64>,
    terms: &mut Terms,
    words: &mut Vec<u32>,
) {
    let mut name = String::with_capacity(64);
    name.push_str(PREFIX);
    let mut field = |terms: &mut Terms, property: &str, kind: u32| {
        name.truncate(PREFIX.len());
        name.push_str(property);
        terms.hold(&name).0 | kind << KIND_AT
    };
    for (property, text) in strings {
        let is_hidden = !numbers.is_empty() && numbers.contains_key(property);
        let (kind, date) = match Value::of_text(text) {
            _ if is_hidden => (HIDDEN, None),
            Value::Date(nanos) => (DATE, Some(nanos)),
            _ => (TEXT, None),
        };
        words.push(field(terms, property, kind));
        words.push(terms.hold(text).0);
        if let Some(nanos) = date {
            push_u64(words, nanos.cast_unsigned());
        }
    }
    for (property, number) in numbers {
        words.push(field(terms, property, NUMBER));
        push_u64(words, number.to_bits());
    }
}

/// String and numeric properties.
pub(crate) type Properties = (BTreeMap<String, String>, BTreeMap<String, f64>);

/// What was packed.
pub(crate) fn unpack(row: Row<'_>, terms: &Terms) -> Properties {
    let (mut strings, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for (field, datum) in row.iter() {
        let name = terms.text(field)[PREFIX.len()..].to_owned();
        match datum {
            Datum::Number(number) => {
                numbers.insert(name, number);
            }
            Datum::Text(text) | Datum::Date(text, _) | Datum::Hidden(text) => {
                strings.insert(name, terms.text(text).to_owned());
            }
        }
    }
    (strings, numbers)
}

pub(crate) fn release(row: Row<'_>, terms: &mut Terms) {
    for (field, datum) in row.iter() {
        terms.release(field);
        match datum {
            Datum::Number(_) => {}
            Datum::Text(text) | Datum::Date(text, _) | Datum::Hidden(text) => terms.release(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out(
            strings in prop::collection::btree_map("[a-c]?", "([a-c]?|2020-01-0[1-9])", 0..4),
            numbers in prop::collection::btree_map("[a-c]?", -1e9..1e9_f64, 0..4),
        ) {
            let (mut terms, mut words) = (Terms::new(1, "n"), Vec::new());
            pack(&strings, &numbers, &mut terms, &mut words);
            let row = Row(&words);
            prop_assert_eq!(unpack(row, &terms), (strings, numbers));
            release(row, &mut terms);
            prop_assert_eq!(terms.len(), 0);
        }
    }
}
