//! From text to clauses, as query_string 0.3.0 reads them.

use std::borrow::Cow;

use base::limits;

use crate::query::pattern::{Pattern, Refusal};
use crate::query::{ALL_FIELDS, Bound, Clause, Kind, Occur, QueryError, Reason, Test, date};

/// What a backslash before makes literal; before any other character it stands for itself.
pub(super) const RESERVED: &str = "+-=&|><!(){}[]^\"~*?:\\/ ";

#[derive(Debug)]
enum Token<'a> {
    /// One of `+-:><=`.
    Sign(u8),
    /// Digits with at most one point among them.
    Number(&'a str),
    Text(Cow<'a, str>),
    Phrase(Cow<'a, str>),
    Boost(Cow<'a, str>),
    Tilde(Cow<'a, str>),
}

struct Lexer<'a> {
    text: &'a str,
    /// What was not read yet.
    rest: &'a str,
    /// Where a quote begins that is not closed: there the tokens end.
    unclosed: Option<usize>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, rest: text, unclosed: None }
    }

    fn next(&mut self) -> Option<(usize, Token<'a>)> {
        let mut first = *self.rest.as_bytes().first()?;
        if first <= b' ' || !first.is_ascii() {
            self.rest = self.rest.trim_start();
            first = *self.rest.as_bytes().first()?;
        }
        let position = self.text.len() - self.rest.len();
        let token = match first {
            b'+' | b'-' | b':' | b'>' | b'<' | b'=' => {
                self.rest = &self.rest[1..];
                Token::Sign(first)
            }
            b'"' => {
                self.rest = &self.rest[1..];
                let text = self.read(|byte| byte == b'"');
                let Some(rest) = self.rest.strip_prefix('"') else {
                    self.unclosed = Some(position);
                    return None;
                };
                self.rest = rest;
                Token::Phrase(text)
            }
            b'^' | b'~' => {
                self.rest = &self.rest[1..];
                let text = self.read(|byte| byte == b' ');
                let text = if text.is_empty() { "1".into() } else { text };
                if first == b'^' { Token::Boost(text) } else { Token::Tilde(text) }
            }
            _ => self.word()?,
        };
        Some((position, token))
    }

    /// A number or a text; a lone backslash at the end is neither.
    fn word(&mut self) -> Option<Token<'a>> {
        let text = self.read(|byte| matches!(byte, b' ' | b':' | b'^' | b'~'));
        match text {
            Cow::Borrowed(text) if is_number(text) => Some(Token::Number(text)),
            text => (!text.is_empty()).then_some(Token::Text(text)),
        }
    }

    /// Up to one of the characters that end it; borrowed if none was escaped. A backslash that
    /// nothing follows is left out.
    fn read(&mut self, ends: impl Fn(u8) -> bool) -> Cow<'a, str> {
        let mut text = Cow::Borrowed("");
        loop {
            let plain = self.rest.bytes().position(|byte| byte == b'\\' || ends(byte));
            let (plain, rest) = self.rest.split_at(plain.unwrap_or(self.rest.len()));
            text += plain;
            self.rest = rest;
            let Some(rest) = rest.strip_prefix('\\') else {
                return text;
            };
            let mut rest = rest.chars();
            if let Some(c) = rest.next() {
                let text = text.to_mut();
                if !RESERVED.contains(c) {
                    text.push('\\');
                }
                text.push(c);
            }
            self.rest = rest.as_str();
        }
    }
}

pub(super) fn is_number(text: &str) -> bool {
    let mut points = 0;
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text.bytes().all(|byte| {
            points += u32::from(byte == b'.');
            byte == b'.' || byte.is_ascii_digit()
        })
        && points <= 1
}

/// Reads one clause or more.
pub(super) fn parse(text: &str) -> Result<Kind, QueryError> {
    let mut lexer = Lexer::new(text);
    let ahead = lexer.next();
    let mut parser = Parser { lexer, ahead, position: 0, pattern_size_max: None, searchable: true };
    let clauses = parser.clauses();
    if clauses.is_err() {
        while parser.lexer.next().is_some() {}
    }
    if let Some(position) = parser.lexer.unclosed {
        return Err(QueryError { position, reason: Reason::Quote });
    }
    let clauses = clauses?;
    Ok(if parser.searchable { Kind::Clauses(clauses) } else { Kind::Nothing })
}

fn is_expression(text: &str) -> bool {
    text.starts_with('/') && text.ends_with('/')
}

fn is_pattern(token: &Token<'_>) -> bool {
    matches!(token, Token::Text(text) if is_expression(text) || text.contains(['*', '?']))
}

/// Room for as many clauses is made before they are read.
const CLAUSES_EXPECTED: usize = 8;

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<(usize, Token<'a>)>,
    /// Where the token that was read last begins.
    position: usize,
    /// The share of each pattern, once one was read.
    pattern_size_max: Option<usize>,
    /// False once there was a clause that Nakama accepts and then fails to search with.
    searchable: bool,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let next = self.ahead.take();
        if next.is_some() {
            self.ahead = self.lexer.next();
        }
        self.position = next.as_ref().map_or(self.lexer.text.len(), |(position, _)| *position);
        next.map(|(_, token)| token)
    }

    /// Reads the next token if it is this sign.
    fn next_is(&mut self, expected: u8) -> bool {
        let is_next = matches!(self.ahead, Some((_, Token::Sign(sign))) if sign == expected);
        if is_next {
            self.next();
        }
        is_next
    }

    fn error(&self, reason: Reason) -> QueryError {
        QueryError { position: self.position, reason }
    }

    fn clauses(&mut self) -> Result<Vec<Clause>, QueryError> {
        let spaces = self.lexer.text.bytes().filter(|byte| *byte == b' ').count();
        let mut clauses = Vec::with_capacity((spaces + 1).min(CLAUSES_EXPECTED));
        while clauses.is_empty() || self.ahead.is_some() {
            clauses.push(self.clause()?);
            if clauses.len() > limits::QUERY_CLAUSES_MAX {
                return Err(self.error(Reason::TooManyClauses));
            }
        }
        Ok(clauses)
    }

    fn clause(&mut self) -> Result<Clause, QueryError> {
        let occur = if self.next_is(b'+') {
            Occur::Must
        } else if self.next_is(b'-') {
            Occur::MustNot
        } else {
            Occur::Should
        };
        let (field, test) = match self.next() {
            Some(Token::Text(field)) if self.next_is(b':') => {
                let test = self.value()?;
                (field.into_owned(), test)
            }
            Some(Token::Text(text)) => (ALL_FIELDS.to_owned(), self.text(text)?),
            Some(Token::Phrase(text)) => (ALL_FIELDS.to_owned(), Test::Term(text.into_owned())),
            Some(token @ Token::Number(_)) => {
                let (text, number) = self.number(Some(&token))?;
                (ALL_FIELDS.to_owned(), Test::Number { text: text.into_owned(), number })
            }
            _ => return Err(self.error(Reason::Syntax)),
        };
        let boost = match &self.ahead {
            Some((_, Token::Boost(text))) => {
                let boost = text.parse().unwrap_or(f64::NAN);
                self.next();
                boost
            }
            _ => 1.0,
        };
        if boost.is_nan() || boost.abs() > limits::QUERY_BOOST_MAX {
            return Err(self.error(Reason::Boost));
        }
        Ok(Clause { occur, field, test, boost })
    }

    /// What follows the colon.
    fn value(&mut self) -> Result<Test, QueryError> {
        if self.next_is(b'>') {
            return self.range(Bound::Above, Bound::AtLeast);
        }
        if self.next_is(b'<') {
            return self.range(Bound::Below, Bound::AtMost);
        }
        match self.next() {
            Some(Token::Text(text)) => self.text(text),
            Some(Token::Phrase(text)) => Ok(Test::Term(text.into_owned())),
            token => {
                let (text, number) = self.number(token.as_ref())?;
                Ok(Test::Number { text: text.into_owned(), number })
            }
        }
    }

    fn range(&mut self, exclusive: Bound, inclusive: Bound) -> Result<Test, QueryError> {
        let bound = if self.next_is(b'=') { inclusive } else { exclusive };
        match self.next() {
            Some(Token::Phrase(text)) => match date::parse_rfc3339(&text) {
                Some(nanos) => Ok(Test::Date { bound, nanos }),
                None => Err(self.error(Reason::Date)),
            },
            token => Ok(Test::Range { bound, number: self.number(token.as_ref())?.1 }),
        }
    }

    fn number(&mut self, token: Option<&Token<'a>>) -> Result<(Cow<'a, str>, f64), QueryError> {
        let text = match token {
            Some(Token::Number(text)) => Cow::Borrowed(*text),
            Some(Token::Sign(b'-')) => match self.next() {
                Some(Token::Number(text)) => format!("-{text}").into(),
                _ => return Err(self.error(Reason::Syntax)),
            },
            _ => return Err(self.error(Reason::Syntax)),
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok((text, number)),
            _ => Err(self.error(Reason::Number)),
        }
    }

    fn text(&mut self, text: Cow<'a, str>) -> Result<Test, QueryError> {
        if let Some((_, Token::Tilde(_))) = &self.ahead
            && let Some(Token::Tilde(fuzziness)) = self.next()
        {
            return self.fuzzy(text.into_owned(), &fuzziness);
        }
        if !text.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'/')) {
            return Ok(Test::Term(text.into_owned()));
        }
        let (pattern, test): (_, fn(Pattern) -> Test) = if is_expression(&text) {
            let expression = text.get(1..text.len() - 1).ok_or(self.error(Reason::Syntax))?;
            (Pattern::of_expression(expression, self.pattern_size_max()), Test::Regex)
        } else if text.contains(['*', '?']) {
            (Pattern::of_wildcard(&text, self.pattern_size_max()), Test::Wildcard)
        } else {
            return Ok(Test::Term(text.into_owned()));
        };
        match pattern {
            Ok(pattern) => Ok(test(pattern)),
            Err(Refusal::TooLarge) => Err(self.error(Reason::PatternTooLarge)),
            Err(Refusal::Malformed) => {
                self.searchable = false;
                Ok(Test::Term(text.into_owned()))
            }
        }
    }

    /// An equal share for each pattern of the text.
    fn pattern_size_max(&mut self) -> usize {
        *self.pattern_size_max.get_or_insert_with(|| {
            let mut lexer = Lexer::new(self.lexer.text);
            let tokens = std::iter::from_fn(|| lexer.next());
            let patterns = tokens.filter(|(_, token)| is_pattern(token)).count();
            limits::QUERY_PATTERNS_SIZE_MAX / patterns.max(1)
        })
    }

    fn fuzzy(&mut self, text: String, fuzziness: &str) -> Result<Test, QueryError> {
        let number: f64 = fuzziness.parse().map_err(|_| self.error(Reason::Fuzziness))?;
        if number.is_infinite() && fuzziness.contains(|c: char| c.is_ascii_digit()) {
            return Err(self.error(Reason::Fuzziness));
        }
        Ok(match number.trunc() {
            0.0 => Test::Term(text),
            1.0 => Test::Fuzzy { text, distance: 1 },
            2.0 => Test::Fuzzy { text, distance: 2 },
            _ => {
                self.searchable = false;
                Test::Term(text)
            }
        })
    }
}
