//! One clause of a plan: packed, in two to six words.

use std::cell::RefCell;

use base::collections::IdMap;

use crate::query::{Bound, Test, Value};
use crate::row::{Datum, PREFIX, push_u64, u64_of};
use crate::terms::{Term, Terms, key_of, number_of};
use crate::waiting::Waiting;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    pub(crate) column: Column,
    pub(crate) check: Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Property(Term),
    Ticket,
    MinCount,
    MaxCount,
    CreatedAt,
    PartyId,
    /// No ticket has it.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    Text(Term),
    Number {
        text: Term,
        key: i64,
    },
    Span(Span),
    /// One of the patterns of the plan.
    Other(u32),
}

/// A test that is not a comparison, and what it said of texts.
#[derive(Debug)]
pub(crate) struct Pattern {
    test: Test,
    verdicts: RefCell<IdMap<u64, Option<f64>>>,
    verdicts_max: usize,
}

/// Numbers or dates between two bounds, by [`Value::key`], the bounds included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Span {
    pub(crate) const ALL: Span = Span { low: i64::MIN, high: i64::MAX };

    fn new(bound: Bound, key: i64) -> Span {
        let (low, high) = match bound {
            Bound::Above => (key.checked_add(1), Some(i64::MAX)),
            Bound::AtLeast => (Some(key), Some(i64::MAX)),
            Bound::Below => (Some(i64::MIN), key.checked_sub(1)),
            Bound::AtMost => (Some(i64::MIN), Some(key)),
        };
        match (low, high) {
            (Some(low), Some(high)) => Span { low, high },
            _ => Span { low: i64::MAX, high: i64::MIN }, // beyond the last one
        }
    }

    /// What both hold.
    pub(crate) fn and(self, other: Span) -> Span {
        Span { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    fn holds(self, key: i64) -> bool {
        self.low <= key && key <= self.high
    }
}

/// Kinds of checks, in the upper two bits of the first word; the column is below.
const TEXT: u32 = 0;
const NUMBER: u32 = 1;
const SPAN: u32 = 2;
const OTHER: u32 = 3;
const KIND_AT: u32 = 30;

/// Columns that are no property, above [`Terms::MAX`].
const COLUMNS: [Column; 6] = [
    Column::Ticket,
    Column::MinCount,
    Column::MaxCount,
    Column::CreatedAt,
    Column::PartyId,
    Column::Unknown,
];

const _: () = assert!(Terms::MAX as usize + COLUMNS.len() <= 1 << KIND_AT);

impl Leaf {
    pub(crate) fn push(self, words: &mut Vec<u32>) {
        let column = match self.column {
            Column::Property(field) => field.0,
            other => {
                let others = (Terms::MAX..).zip(COLUMNS);
                let found = others.into_iter().find(|(_, column)| *column == other);
                found.expect("all columns are listed").0
            }
        };
        let (kind, first, numbers) = match self.check {
            Check::Text(text) => (TEXT, Some(text.0), [None, None]),
            Check::Number { text, key } => (NUMBER, Some(text.0), [Some(key), None]),
            Check::Span(span) => (SPAN, None, [Some(span.low), Some(span.high)]),
            Check::Other(pattern) => (OTHER, Some(pattern), [None, None]),
        };
        words.push(column | kind << KIND_AT);
        words.extend(first);
        for number in numbers.into_iter().flatten() {
            push_u64(words, number.cast_unsigned());
        }
    }
}

/// Packed leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaves<'a>(pub(crate) &'a [u32]);

impl Iterator for Leaves<'_> {
    type Item = Leaf;

    fn next(&mut self) -> Option<Leaf> {
        let [first, rest @ ..] = self.0 else { return None };
        let kind = first >> KIND_AT;
        let key = |low: u32, high: u32| u64_of(low, high).cast_signed();
        let (check, rest) = match (kind, rest) {
            (TEXT, [text, rest @ ..]) => (Check::Text(Term(*text)), rest),
            (NUMBER, [text, low, high, rest @ ..]) => {
                (Check::Number { text: Term(*text), key: key(*low, *high) }, rest)
            }
            (SPAN, [a, b, c, d, rest @ ..]) => {
                (Check::Span(Span { low: key(*a, *b), high: key(*c, *d) }), rest)
            }
            (OTHER, [pattern, rest @ ..]) => (Check::Other(*pattern), rest),
            _ => return None,
        };
        self.0 = rest;
        let column = first ^ (kind << KIND_AT);
        let column = match column.checked_sub(Terms::MAX) {
            None => Column::Property(Term(column)),
            Some(other) => COLUMNS[other as usize],
        };
        Some(Leaf { column, check })
    }
}

impl Leaf {
    /// Holds its texts. Adds the pattern that it needs to the others.
    pub(crate) fn compile(
        field: &str,
        test: &Test,
        verdicts_max: usize,
        patterns: &mut Vec<Pattern>,
        terms: &mut Terms,
    ) -> Leaf {
        let column = match field {
            name if name.starts_with(PREFIX) => Column::Property(terms.hold(name)),
            "ticket" => Column::Ticket,
            "min_count" => Column::MinCount,
            "max_count" => Column::MaxCount,
            "created_at" => Column::CreatedAt,
            "party_id" => Column::PartyId,
            _ => Column::Unknown,
        };
        let is_property = matches!(column, Column::Property(_));
        let check = match test {
            Test::Range { bound, number } => Check::Span(Span::new(*bound, key_of(*number))),
            Test::Date { bound, nanos } => Check::Span(Span::new(*bound, *nanos)),
            Test::Term(text) if is_property => Check::Text(terms.hold(text)),
            Test::Number { text, number } if is_property => {
                Check::Number { text: terms.hold(text), key: key_of(*number) }
            }
            other => {
                let (test, verdicts) = (other.clone(), RefCell::default());
                patterns.push(Pattern { test, verdicts, verdicts_max });
                Check::Other(u32::try_from(patterns.len() - 1).expect("there are few clauses"))
            }
        };
        Leaf { column, check }
    }

    pub(crate) fn text(&self, patterns: &[Pattern], terms: &Terms) -> String {
        let field = match self.column {
            Column::Property(field) => terms.text(field),
            Column::Ticket => "ticket",
            Column::MinCount => "min_count",
            Column::MaxCount => "max_count",
            Column::CreatedAt => "created_at",
            Column::PartyId => "party_id",
            Column::Unknown => "a field that no ticket has",
        };
        match &self.check {
            Check::Text(text) | Check::Number { text, .. } => {
                format!("{field}:\"{}\"", terms.text(*text))
            }
            Check::Span(span) => {
                let bound = |key, unbounded, sign| match key {
                    key if key == unbounded => String::new(),
                    key => format!("{sign}{}", number_of(key)),
                };
                let (low, high) =
                    (bound(span.low, i64::MIN, ">="), bound(span.high, i64::MAX, "<="));
                format!("{field}:{low}{high}")
            }
            Check::Other(pattern) => format!("{field}:{}", patterns[*pattern as usize].test),
        }
    }

    pub(crate) fn release(&self, terms: &mut Terms) {
        if let Column::Property(field) = self.column {
            terms.release(field);
        }
        if let Check::Text(text) | Check::Number { text, .. } = self.check {
            terms.release(text);
        }
    }

    /// Whether a ticket fits.
    #[inline]
    pub(crate) fn accepts(&self, waiting: &Waiting, patterns: &[Pattern], terms: &Terms) -> bool {
        let Column::Property(field) = self.column else {
            return self.closeness(waiting, patterns, terms).is_some();
        };
        let Some(datum) = waiting.row().find(field) else { return false };
        match (self.check, datum) {
            (Check::Text(wanted) | Check::Number { text: wanted, .. }, Datum::Text(text)) => {
                wanted == text
            }
            (Check::Text(_), _) => false,
            (Check::Number { key, .. }, datum) => datum.key() == Some(key),
            (Check::Span(span), datum) => datum.key().is_some_and(|key| span.holds(key)),
            (Check::Other(_), datum) => self.check.closeness_of(datum, patterns, terms).is_some(),
        }
    }

    /// How well a ticket fits, if it does.
    pub(crate) fn closeness(
        &self,
        waiting: &Waiting,
        patterns: &[Pattern],
        terms: &Terms,
    ) -> Option<f64> {
        let of = |value| self.check.closeness(value, patterns, terms);
        match self.column {
            Column::Property(field) => match self.check {
                Check::Other(_) => {
                    self.check.closeness_of(waiting.row().find(field)?, patterns, terms)
                }
                _ => self.accepts(waiting, patterns, terms).then_some(1.0),
            },
            Column::MinCount => of(Value::Number(f64::from(waiting.counts.min()))),
            Column::MaxCount => of(Value::Number(f64::from(waiting.counts.max()))),
            #[expect(clippy::cast_precision_loss, reason = "as it is indexed in Nakama")]
            Column::CreatedAt => of(Value::Number(waiting.created as f64)),
            Column::Ticket => of(Value::Text(&waiting.id().to_string())),
            Column::PartyId => {
                let id = waiting.party().map(|party| format!("{party}.{}", terms.node));
                let text = id.unwrap_or_default();
                of(Value::Text(&text))
            }
            Column::Unknown => None,
        }
    }
}

impl Check {
    /// Of a property, as a pattern sees it.
    fn closeness_of(self, datum: Datum, patterns: &[Pattern], terms: &Terms) -> Option<f64> {
        let Check::Other(pattern) = self else { return None };
        let pattern = &patterns[pattern as usize];
        match datum {
            Datum::Text(text) => pattern.closeness(text, terms),
            Datum::Number(number) => pattern.look(Value::Number(number), terms),
            Datum::Date(_, nanos) => pattern.look(Value::Date(nanos), terms),
            Datum::Hidden(_) => None,
        }
    }

    /// Of what is not a property.
    fn closeness(self, value: Value<'_>, patterns: &[Pattern], terms: &Terms) -> Option<f64> {
        match self {
            Check::Span(span) => span.holds(value.key()?).then_some(1.0),
            Check::Other(pattern) => patterns[pattern as usize].look(value, terms),
            Check::Text(_) | Check::Number { .. } => None,
        }
    }
}

impl Pattern {
    /// Looks at each distinct text once.
    fn closeness(&self, text: Term, terms: &Terms) -> Option<f64> {
        let birth = terms.birth(text);
        let mut verdicts = self.verdicts.borrow_mut();
        if let Some(verdict) = verdicts.get(&birth) {
            return *verdict;
        }
        if verdicts.len() >= self.verdicts_max {
            verdicts.clear();
        }
        let verdict = self.look(Value::Text(terms.text(text)), terms);
        verdicts.insert(birth, verdict);
        verdict
    }

    fn look(&self, value: Value<'_>, terms: &Terms) -> Option<f64> {
        if is_pattern(&self.test) {
            terms.look(match value {
                Value::Text(text) => text.len(),
                Value::Number(_) | Value::Date(_) => NUMBER_LOOKS,
            });
        }
        self.test.closeness(value)
    }
}

/// What it costs to look at the 16 terms of a number, in bytes of a text.
const NUMBER_LOOKS: usize = 32;

pub(crate) fn is_pattern(test: &Test) -> bool {
    matches!(test, Test::Regex(_) | Test::Wildcard(_) | Test::Fuzzy { .. })
}
