//! From text to clauses, as query_string 0.3.0 reads them.

use std::iter::Peekable;
use std::vec;

use base::limits;

use crate::query::pattern::{Pattern, Refusal};
use crate::query::{ALL_FIELDS, Bound, Clause, Kind, Occur, QueryError, Reason, Test, date};

/// What a backslash before makes literal; before any other character it stands for itself.
pub(super) const RESERVED: &str = "+-=&|><!(){}[]^\"~*?:\\/ ";

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Plus,
    Minus,
    Colon,
    Greater,
    Less,
    Equal,
    /// Digits with at most one point among them.
    Number(String),
    Text(String),
    Phrase(String),
    Boost(String),
    Tilde(String),
}

struct Lexer<'a> {
    text: &'a str,
    /// How far it was read.
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn pop(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn next(&mut self) -> Result<Option<(usize, Token)>, QueryError> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.pop();
        }
        let position = self.at;
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        let single = match first {
            '+' => Token::Plus,
            '-' => Token::Minus,
            ':' => Token::Colon,
            '>' => Token::Greater,
            '<' => Token::Less,
            '=' => Token::Equal,
            '"' | '^' | '~' => {
                self.pop();
                let end: &[u8] = if first == '"' { b"\"" } else { b" " };
                let (text, _) = self.read(end);
                if first == '"' && self.pop().is_none() {
                    return Err(QueryError { position, reason: Reason::Quote });
                }
                return Ok(Some((
                    position,
                    match first {
                        '"' => Token::Phrase(text),
                        '^' => Token::Boost(if text.is_empty() { "1".into() } else { text }),
                        _ => Token::Tilde(if text.is_empty() { "1".into() } else { text }),
                    },
                )));
            }
            _ => {
                let (text, escaped) = self.read(b" :^~");
                let number = text.starts_with(|c: char| c.is_ascii_digit())
                    && text.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
                    && text.matches('.').count() <= 1;
                return Ok(match text.is_empty() {
                    true => None, // a lone backslash at the end
                    false if number && !escaped => Some((position, Token::Number(text))),
                    false => Some((position, Token::Text(text))),
                });
            }
        };
        self.pop();
        Ok(Some((position, single)))
    }

    /// Up to one of the characters in `end`, and whether any was escaped. A backslash that nothing
    /// follows is left out.
    fn read(&mut self, end: &[u8]) -> (String, bool) {
        let (mut text, mut escaped) = (String::new(), false);
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| byte == b'\\' || end.contains(&byte));
            let plain = &rest[..plain.unwrap_or(rest.len())];
            text.push_str(plain);
            self.at += plain.len();
            if self.peek() != Some('\\') {
                return (text, escaped);
            }
            self.pop();
            if let Some(c) = self.pop() {
                escaped = true;
                if !RESERVED.contains(c) {
                    text.push('\\');
                }
                text.push(c);
            }
        }
    }
}

/// Reads one clause or more.
pub(super) fn parse(text: &str) -> Result<Kind, QueryError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    let patterns = tokens.iter().filter(|(_, token)| is_pattern(token)).count();
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        position: 0,
        end: text.len(),
        pattern_size_max: limits::QUERY_PATTERNS_SIZE_MAX / patterns.max(1),
        searchable: true,
    };
    let mut clauses = Vec::new();
    while clauses.is_empty() || parser.tokens.peek().is_some() {
        clauses.push(parser.clause()?);
        if clauses.len() > limits::QUERY_CLAUSES_MAX {
            return Err(parser.error(Reason::TooManyClauses));
        }
    }
    Ok(if parser.searchable { Kind::Clauses(clauses) } else { Kind::Nothing })
}

fn is_expression(text: &str) -> bool {
    text.starts_with('/') && text.ends_with('/')
}

fn is_pattern(token: &Token) -> bool {
    matches!(token, Token::Text(text) if is_expression(text) || text.contains(['*', '?']))
}

struct Parser {
    tokens: Peekable<vec::IntoIter<(usize, Token)>>,
    /// Where the token that was read last begins.
    position: usize,
    end: usize,
    pattern_size_max: usize,
    /// False once there was a clause that Nakama accepts and then fails to search with.
    searchable: bool,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let next = self.tokens.next();
        self.position = next.as_ref().map_or(self.end, |(position, _)| *position);
        next.map(|(_, token)| token)
    }

    fn next_is(&mut self, expected: &Token) -> bool {
        self.next_map(|token| (token == expected).then_some(())).is_some()
    }

    /// Reads the next token if `map` wants it.
    fn next_map<T>(&mut self, map: impl FnOnce(&Token) -> Option<T>) -> Option<T> {
        let (position, token) = self.tokens.peek()?;
        let mapped = map(token)?;
        self.position = *position;
        self.tokens.next();
        Some(mapped)
    }

    fn error(&self, reason: Reason) -> QueryError {
        QueryError { position: self.position, reason }
    }

    fn clause(&mut self) -> Result<Clause, QueryError> {
        let occur = if self.next_is(&Token::Plus) {
            Occur::Must
        } else if self.next_is(&Token::Minus) {
            Occur::MustNot
        } else {
            Occur::Should
        };
        let (field, test) = match self.next() {
            Some(Token::Text(field)) if self.next_is(&Token::Colon) => {
                let test = self.value()?;
                (field, test)
            }
            Some(Token::Text(text)) => (ALL_FIELDS.to_owned(), self.text(text)?),
            Some(Token::Phrase(text)) => (ALL_FIELDS.to_owned(), Test::Term(text)),
            Some(token @ Token::Number(_)) => {
                let (text, number) = self.number(Some(token))?;
                (ALL_FIELDS.to_owned(), Test::Number { text, number })
            }
            _ => return Err(self.error(Reason::Syntax)),
        };
        let boost = self.next_map(|token| match token {
            Token::Boost(text) => Some(text.parse().unwrap_or(f64::NAN)),
            _ => None,
        });
        let boost = boost.unwrap_or(1.0);
        if boost.is_nan() || boost.abs() > limits::QUERY_BOOST_MAX {
            return Err(self.error(Reason::Boost));
        }
        Ok(Clause { occur, field, test, boost })
    }

    /// What follows the colon.
    fn value(&mut self) -> Result<Test, QueryError> {
        if self.next_is(&Token::Greater) {
            return self.range(Bound::Above, Bound::AtLeast);
        }
        if self.next_is(&Token::Less) {
            return self.range(Bound::Below, Bound::AtMost);
        }
        match self.next() {
            Some(Token::Text(text)) => self.text(text),
            Some(Token::Phrase(text)) => Ok(Test::Term(text)),
            token => {
                let (text, number) = self.number(token)?;
                Ok(Test::Number { text, number })
            }
        }
    }

    fn range(&mut self, exclusive: Bound, inclusive: Bound) -> Result<Test, QueryError> {
        let bound = if self.next_is(&Token::Equal) { inclusive } else { exclusive };
        match self.next() {
            Some(Token::Phrase(text)) => match date::parse_rfc3339(&text) {
                Some(nanos) => Ok(Test::Date { bound, nanos }),
                None => Err(self.error(Reason::Date)),
            },
            token => Ok(Test::Range { bound, number: self.number(token)?.1 }),
        }
    }

    fn number(&mut self, token: Option<Token>) -> Result<(String, f64), QueryError> {
        let text = match token {
            Some(Token::Number(text)) => text,
            Some(Token::Minus) => match self.next() {
                Some(Token::Number(text)) => format!("-{text}"),
                _ => return Err(self.error(Reason::Syntax)),
            },
            _ => return Err(self.error(Reason::Syntax)),
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok((text, number)),
            _ => Err(self.error(Reason::Number)),
        }
    }

    fn text(&mut self, text: String) -> Result<Test, QueryError> {
        let fuzziness = self.next_map(|token| match token {
            Token::Tilde(fuzziness) => Some(fuzziness.clone()),
            _ => None,
        });
        if let Some(fuzziness) = fuzziness {
            return self.fuzzy(text, &fuzziness);
        }
        let (pattern, test): (_, fn(Pattern) -> Test) = if is_expression(&text) {
            let expression = text.get(1..text.len() - 1).ok_or(self.error(Reason::Syntax))?;
            (Pattern::of_expression(expression, self.pattern_size_max), Test::Regex)
        } else if text.contains(['*', '?']) {
            (Pattern::of_wildcard(&text, self.pattern_size_max), Test::Wildcard)
        } else {
            return Ok(Test::Term(text));
        };
        match pattern {
            Ok(pattern) => Ok(test(pattern)),
            Err(Refusal::TooLarge) => Err(self.error(Reason::PatternTooLarge)),
            Err(Refusal::Malformed) => {
                self.searchable = false;
                Ok(Test::Term(text))
            }
        }
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
