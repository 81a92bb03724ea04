//! Reads what nearly all queries are made of, quickly: clauses of a field and a word, a number or a
//! bound, without escapes, quotes and boosts.

use base::limits;

use crate::query::parse::is_number;
use crate::query::{Bound, Clause, Occur, Test};

/// The clauses of a text, as the whole reader reads them; nothing if it needs that one.
pub(super) fn parse(text: &str) -> Option<Vec<Clause>> {
    let mut clauses = Vec::with_capacity((1 + text.len() / 20).min(limits::QUERY_CLAUSES_MAX));
    let mut rest = text.trim_start_matches(' ');
    while let Some(first) = rest.as_bytes().first() {
        let (occur, clause) = match first {
            b'+' => (Occur::Must, &rest[1..]),
            b'-' => (Occur::MustNot, &rest[1..]),
            _ => (Occur::Should, rest),
        };
        let (field, after) = word(clause);
        if !field.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
            return None;
        }
        let (test, after) = value(after.strip_prefix(':')?)?;
        if !(after.is_empty() || after.starts_with(' ')) {
            return None;
        }
        clauses.push(Clause { occur, field: field.to_owned(), test, boost: 1.0 });
        rest = after.trim_start_matches(' ');
    }
    (1..=limits::QUERY_CLAUSES_MAX).contains(&clauses.len()).then_some(clauses)
}

/// What follows the colon, and the rest.
fn value(text: &str) -> Option<(Test, &str)> {
    let (exclusive, inclusive) = match text.as_bytes().first()? {
        b'>' => (Bound::Above, Bound::AtLeast),
        b'<' => (Bound::Below, Bound::AtMost),
        _ => {
            let (value, rest) = word(text);
            let unsigned = value.strip_prefix('-');
            if is_number(unsigned.unwrap_or(value)) {
                let number = finite(value)?;
                return Some((Test::Number { text: value.to_owned(), number }, rest));
            }
            if value.is_empty() || unsigned.is_some() {
                return None;
            }
            return Some((Test::Term(value.to_owned()), rest));
        }
    };
    let (bound, number) = match text[1..].strip_prefix('=') {
        Some(number) => (inclusive, number),
        None => (exclusive, &text[1..]),
    };
    let (value, rest) = word(number);
    let is_bound = is_number(value.strip_prefix('-').unwrap_or(value));
    let number = finite(value).filter(|_| is_bound)?;
    Some((Test::Range { bound, number }, rest))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The letters, digits, points and so on at the front, and the rest.
fn word(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !IS_PLAIN[usize::from(byte)]);
    text.split_at(end.unwrap_or(text.len()))
}

/// Characters that mean nothing else in the middle of a word.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        is_plain[byte] = c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
        byte += 1;
    }
    is_plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::{Kind, parse as whole};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_reads_as_the_whole_reader_does(
            text in "( ?[+-]?([a_.]|properties\\.b|1)[:]?[<>]?=?-?([0-9.]{1,3}|[a1.-]{0,3}|\
                     [[:graph:]é\t]){0,2} {0,2}){0,4}",
        ) {
            if let Some(clauses) = parse(&text) {
                prop_assert_eq!(whole::parse(&text), Ok(Kind::Clauses(clauses)), "{}", text);
            }
        }
    }

    #[test]
    fn it_reads_what_clients_write() {
        for text in [
            "+properties.region:eu +properties.rating:>=1400.5 +properties.rating:<=-3",
            "-properties.mode:m-1 level:10 a:<5",
        ] {
            let Some(clauses) = parse(text) else { panic!("{text}") };
            assert_eq!(whole::parse(text), Ok(Kind::Clauses(clauses)), "{text}");
        }
        let huge = format!("a:{}", "9".repeat(400));
        for text in ["", " ", "a", "a:", "a:b^2", "1:b", "a:-b", "a:\"b\"", "a:b*", &huge] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
