//! The query language of tickets and listings: which documents are wanted, and which of them more.
//!
//! The reader, the tests and the scores are those of Nakama (query_string 0.3.0 on bluge with a
//! constant similarity), with these differences: a quoted phrase is the exact term, where Nakama
//! never finds it; a clause that several values of one field satisfy counts once; digits are those
//! of ASCII; and there are limits.

mod date;
mod distance;
mod label;
mod parse;
mod pattern;
mod plain;

use std::fmt;

pub use label::Label;
pub use pattern::Pattern;

/// The field of a clause that names none. No document fills it.
pub const ALL_FIELDS: &str = "_all";

/// What a ticket or a listing looks for.
#[derive(Clone, Debug)]
pub struct Query {
    text: Box<str>,
    kind: Kind,
}

/// Whether they mean the same, word by word.
impl PartialEq for Query {
    fn eq(&self, other: &Query) -> bool {
        self.kind == other.kind
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    All,
    /// Nakama takes the text and then fails to search: an expression is malformed, or a fuzziness
    /// is not 0, 1 or 2.
    Nothing,
    Clauses(Vec<Clause>),
}

/// Why a text is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Bytes before the place.
    pub position: usize,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Syntax,
    Quote,
    Number,
    Date,
    Boost,
    Fuzziness,
    TooManyClauses,
    PatternTooLarge,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Syntax => "there is something else than expected",
            Reason::Quote => "a quote is not closed",
            Reason::Number => "the number is none, or too large",
            Reason::Date => "the date is not RFC 3339, or out of range",
            Reason::Boost => "the boost is no number, or too large",
            Reason::Fuzziness => "the fuzziness is no number",
            Reason::TooManyClauses => "there are too many clauses",
            Reason::PatternTooLarge => "the pattern is too large",
        };
        write!(f, "At byte {} of the query, {reason}.", self.position)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occur {
    Must,
    Should,
    MustNot,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    pub occur: Occur,
    pub field: String,
    pub test: Test,
    pub boost: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The exact text.
    Term(String),
    /// The exact text, or an equal number. Zero and minus zero differ.
    Number {
        text: String,
        number: f64,
    },
    Range {
        bound: Bound,
        number: f64,
    },
    Date {
        bound: Bound,
        nanos: i64,
    },
    Regex(Pattern),
    Wildcard(Pattern),
    /// A text at most so many edits away, one or two.
    Fuzzy {
        text: String,
        distance: u8,
    },
}

/// The one end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// A value of a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Number(f64),
    Text(&'a str),
    /// Nanoseconds since 1970.
    Date(i64),
}

/// What queries are asked about: values under names.
pub trait Document {
    /// Whether any value under the field is accepted. Once one is, the others need not be offered.
    fn any(&self, field: &str, accepts: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
}

impl Query {
    /// An empty text means `*`.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        let kind = match text {
            "" | "*" => Kind::All,
            _ => match plain::parse(text) {
                Some(clauses) => Kind::Clauses(clauses),
                None => parse::parse(text)?,
            },
        };
        Ok(Query { text: text.into(), kind })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_all(&self) -> bool {
        self.kind == Kind::All
    }

    /// In the order of the text. None at all if everything matches, or nothing.
    pub fn clauses(&self) -> &[Clause] {
        match &self.kind {
            Kind::All | Kind::Nothing => &[],
            Kind::Clauses(clauses) => clauses,
        }
    }

    /// How well a document matches, if it does.
    ///
    /// It has to satisfy each must clause, no must-not clause, and one should clause if there are
    /// only those. The scores of the clauses that it satisfies add up; for want of any it is 1.
    pub fn score(&self, document: &impl Document) -> Option<f64> {
        let clauses = match &self.kind {
            Kind::All => return Some(1.0),
            Kind::Nothing => return None,
            Kind::Clauses(clauses) => clauses,
        };
        let mut found = None;
        for clause in clauses {
            match (clause.occur, clause.score(document)) {
                (Occur::Must, None) | (Occur::MustNot, Some(_)) => return None,
                (Occur::Should | Occur::MustNot, None) => {}
                (Occur::Must | Occur::Should, Some(score)) => {
                    found = Some(found.unwrap_or(0.0) + score);
                }
            }
        }
        let excludes = clauses.iter().all(|clause| clause.occur == Occur::MustNot);
        found.or(excludes.then_some(1.0))
    }
}

impl Clause {
    /// What the clause adds to the score of a document that satisfies it.
    pub fn score(&self, document: &impl Document) -> Option<f64> {
        let mut best = f64::NEG_INFINITY;
        document.any(&self.field, &mut |value| {
            best = self.test.closeness(value).map_or(best, |closeness| best.max(closeness));
            best >= 1.0
        });
        best.is_finite().then(|| self.weight() * best)
    }

    /// The score of a value that fits exactly. As in Nakama, the boost of a term works twice, and
    /// that of a range of dates not at all.
    pub fn weight(&self) -> f64 {
        match self.test {
            Test::Term(_) | Test::Fuzzy { .. } => self.boost * self.boost,
            Test::Date { .. } => 1.0,
            Test::Number { .. } | Test::Range { .. } | Test::Regex(_) | Test::Wildcard(_) => {
                self.boost
            }
        }
    }
}

impl Test {
    pub fn accepts(&self, value: Value<'_>) -> bool {
        self.closeness(value).is_some()
    }

    /// How well an accepted value fits: 1; less for edits, by their share of the shorter text; more
    /// for a number or date that matches a pattern.
    #[expect(clippy::cast_precision_loss, reason = "lengths of texts are small")]
    pub fn closeness(&self, value: Value<'_>) -> Option<f64> {
        let accepts = match (self, value) {
            (Test::Fuzzy { text, distance }, Value::Text(value)) => {
                let edits = distance::distance(text, value, *distance)?;
                let shorter = text.chars().count().min(value.chars().count()).max(1);
                return Some(1.0 - f64::from(edits) / shorter as f64);
            }
            (Test::Term(text) | Test::Number { text, .. }, Value::Text(value)) => text == value,
            (Test::Number { number, .. }, value) => value.key() == Some(key(*number)),
            (Test::Range { bound, number }, value) => bound.admits(value, key(*number)),
            (Test::Date { bound, nanos }, value) => bound.admits(value, *nanos),
            (Test::Regex(pattern) | Test::Wildcard(pattern), value) => {
                let terms = pattern.matches(value);
                return (terms > 0).then_some(terms as f64);
            }
            (Test::Term(_) | Test::Fuzzy { .. }, _) => false,
        };
        accepts.then_some(1.0)
    }
}

impl Bound {
    fn admits(self, value: Value<'_>, end: i64) -> bool {
        value.key().is_some_and(|key| match self {
            Bound::Above => key > end,
            Bound::AtLeast => key >= end,
            Bound::Below => key < end,
            Bound::AtMost => key <= end,
        })
    }
}

impl<'a> Value<'a> {
    /// A date-time, if the text is one in a form of Nakama's; then its text cannot be found.
    pub fn of_text(text: &'a str) -> Value<'a> {
        date::parse_property(text).map_or(Value::Text(text), Value::Date)
    }

    /// Where a number or date stands among all others: ranges and equality are of these. Numbers
    /// are in their total order; a date has the place of a number with these bits, in Nakama too.
    pub fn key(self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(key(number)),
            Value::Date(nanos) => Some(nanos),
            Value::Text(_) => None,
        }
    }
}

fn key(number: f64) -> i64 {
    let bits = number.to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// A text that is read as the same query.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::All => f.write_str("*"),
            Kind::Nothing => f.write_str("/[/"),
            Kind::Clauses(clauses) => {
                for (index, clause) in clauses.iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    write!(f, "{space}{clause}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.occur {
            Occur::Must => "+",
            Occur::Should => "",
            Occur::MustNot => "-",
        })?;
        if self.field != ALL_FIELDS {
            write!(f, "{}:", Escaped(&self.field))?;
        }
        write!(f, "{}", self.test)?;
        if self.boost == 1.0 {
            return Ok(());
        }
        // A space ends a fuzziness, and so much as a boost does not.
        let space = if matches!(self.test, Test::Fuzzy { .. }) { " " } else { "" };
        write!(f, "{space}^{}", self.boost)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Term(text) => write!(f, "\"{}\"", Escaped(text)),
            Test::Number { text, .. } => f.write_str(text),
            Test::Range { bound, number } => write!(f, "{bound}{number}"),
            Test::Date { bound, nanos } => {
                write!(f, "{bound}\"")?;
                date::write(f, *nanos)?;
                f.write_str("\"")
            }
            Test::Regex(pattern) => write!(f, "/{}/", Escaped(pattern.text())),
            Test::Wildcard(pattern) => write!(f, "{}", Escaped(pattern.text())),
            Test::Fuzzy { text, distance } => write!(f, "{}~{distance}", Escaped(text)),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::Above => ">",
            Bound::AtLeast => ">=",
            Bound::Below => "<",
            Bound::AtMost => "<=",
        })
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            let backslash = if parse::RESERVED.contains(c) { "\\" } else { "" };
            write!(f, "{backslash}{c}")
        })
    }
}

#[cfg(test)]
mod tests;
