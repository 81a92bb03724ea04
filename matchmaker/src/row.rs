//! The properties of a waiting ticket, packed: 16 bytes each.

use std::collections::BTreeMap;

use crate::query::Value;
use crate::terms::{Term, Terms, key_of};

/// Before the name of each property stands this, in a query.
pub(crate) const PREFIX: &str = "properties.";

/// In the order of their names, texts first.
pub(crate) type Row = Box<[Property]>;

/// One property. Holds its field and its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property {
    pub(crate) field: Term,
    /// The text and its kind; of a number, none.
    text: u32,
    /// The number, or the date in nanoseconds since 1970.
    bits: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Datum {
    Number(f64),
    Text(Term),
    /// A text that is a date: it is found by its date only.
    Date(Term, i64),
    /// A text under the name of a number, which is not found at all.
    Hidden(Term),
}

const NUMBER: u32 = u32::MAX;
const TEXT: u32 = 0;
const DATE: u32 = 1 << 30;
const HIDDEN: u32 = 2 << 30;
const KIND: u32 = 3 << 30;

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

impl Property {
    /// Whether it is a text under the name of a number.
    pub(crate) fn is_hidden(&self) -> bool {
        self.text != NUMBER && self.text & KIND == HIDDEN
    }

    pub(crate) fn datum(&self) -> Datum {
        let text = Term(self.text & !KIND);
        match self.text {
            NUMBER => Datum::Number(f64::from_bits(self.bits)),
            other => match other & KIND {
                TEXT => Datum::Text(text),
                DATE => Datum::Date(text, self.bits.cast_signed()),
                _ => Datum::Hidden(text),
            },
        }
    }
}

pub(crate) fn pack(
    strings: &BTreeMap<String, String>,
    numbers: &BTreeMap<String, f64>,
    terms: &mut Terms,
) -> Row {
    let mut name = String::from(PREFIX);
    let mut field = |terms: &mut Terms, property: &str| {
        name.truncate(PREFIX.len());
        name.push_str(property);
        terms.hold(&name)
    };
    let mut row = Vec::with_capacity(strings.len() + numbers.len());
    for (property, text) in strings {
        let (kind, bits) = match Value::of_text(text) {
            _ if numbers.contains_key(property) => (HIDDEN, 0),
            Value::Date(nanos) => (DATE, nanos.cast_unsigned()),
            _ => (TEXT, 0),
        };
        let field = field(terms, property);
        row.push(Property { field, text: terms.hold(text).0 | kind, bits });
    }
    for (property, number) in numbers {
        let field = field(terms, property);
        row.push(Property { field, text: NUMBER, bits: number.to_bits() });
    }
    row.into_boxed_slice()
}

/// String and numeric properties.
pub(crate) type Properties = (BTreeMap<String, String>, BTreeMap<String, f64>);

/// What was packed.
pub(crate) fn unpack(row: &[Property], terms: &Terms) -> Properties {
    let (mut strings, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for property in row {
        let name = terms.text(property.field)[PREFIX.len()..].to_owned();
        match property.datum() {
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

pub(crate) fn release(row: &[Property], terms: &mut Terms) {
    for property in row {
        terms.release(property.field);
        match property.datum() {
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
            let mut terms = Terms::new(1, "n");
            let row = pack(&strings, &numbers, &mut terms);
            prop_assert_eq!(unpack(&row, &terms), (strings, numbers));
            release(&row, &mut terms);
            prop_assert_eq!(terms.len(), 0);
        }
    }
}
