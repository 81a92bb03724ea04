//! Regular expressions and wildcards.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

use crate::query::Value;

/// What a text has to match from its first character to its last.
///
/// Expressions are Go's, as far as they say something about characters: literals, `.` (no line
/// feed), classes, groups, alternatives, greedy repetition, the flags `i`, `m`, `s`. As in Nakama,
/// one leading `^` is dropped, and an expression with an assertion (`^`, `$`, `\b`) or a lazy
/// repetition is none. Other than there, octal escapes are none either, names of Unicode classes
/// may be spelt in more ways, and how much a repetition may repeat depends on the compiled size
/// alone.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooLarge,
}

impl Pattern {
    pub(super) fn of_expression(text: &str, size_max: usize) -> Result<Pattern, Refusal> {
        let text = text.strip_prefix('^').unwrap_or(text);
        Pattern::compile(text, &translate(text).ok_or(Refusal::Malformed)?, size_max)
    }

    pub(super) fn of_wildcard(text: &str, size_max: usize) -> Result<Pattern, Refusal> {
        let mut source = String::new();
        for c in text.chars() {
            match c {
                '*' => source.push_str(".*"),
                '?' => source.push('.'),
                c => push_literal(&mut source, c),
            }
        }
        Pattern::compile(text, &source, size_max)
    }

    fn compile(text: &str, source: &str, size_max: usize) -> Result<Pattern, Refusal> {
        let built = RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(size_max)
            .dfa_size_limit(size_max)
            .build();
        match built {
            Ok(regex) => Ok(Pattern { text: text.to_owned(), regex }),
            Err(regex::Error::CompiledTooBig(_)) => Err(Refusal::TooLarge),
            Err(_) => Err(Refusal::Malformed),
        }
    }

    /// As it was written, escapes of the query language aside.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many terms of a value match. A text is one term. A number or date has the 16 under
    /// which Nakama indexes it: they mean nothing to a reader, but `*` matches them all, which is
    /// how clients ask whether a field is there.
    pub(super) fn matches(&self, value: Value<'_>) -> usize {
        match (value, value.key()) {
            (Value::Text(text), _) => self.regex.is_match(text).into(),
            (_, Some(key)) => {
                (0..16).filter(|step| self.regex.is_match(&term(key, 4 * step))).count()
            }
            (_, None) => 0,
        }
    }
}

/// How many bits are left out, and the others, seven in a character.
fn term(key: i64, shift: u8) -> String {
    let bits = (key.cast_unsigned() ^ (1 << 63)) >> shift;
    let characters = (63 - shift) / 7 + 1;
    let sevens = (0..characters).rev().map(|at| (bits >> (7 * at) & 0x7f).to_le_bytes()[0]);
    std::iter::once(0x20 + shift).chain(sevens).map(char::from).collect()
}

fn push_literal(source: &mut String, c: char) {
    source.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// Says in the syntax of `regex` what an expression means to Go, where the two differ.
fn translate(text: &str) -> Option<String> {
    let mut source = String::new();
    let mut rest = text;
    let (mut depth, mut repeated) = (0_usize, false);
    while let Some(c) = rest.chars().next() {
        let length = repetition(rest)?;
        source.push_str(&rest[..length]);
        if length > 0 {
            if std::mem::replace(&mut repeated, true) {
                return None; // lazy, or nested
            }
            rest = &rest[length..];
            continue;
        }
        repeated = false;
        rest = &rest[c.len_utf8()..];
        match c {
            '^' | '$' => return None,
            '.' | '|' => source.push(c),
            '(' => depth += usize::from(group(&mut source, &mut rest)?),
            ')' => {
                depth = depth.checked_sub(1)?;
                source.push(c);
            }
            '[' => class(&mut source, &mut rest)?,
            '\\' => match rest.strip_prefix('Q') {
                Some(quoted) => {
                    let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                    source.push_str(&regex::escape(literal));
                    rest = after;
                }
                None => {
                    escape(&mut source, &mut rest)?;
                }
            },
            c => push_literal(&mut source, c),
        }
    }
    (depth == 0).then_some(source)
}

/// The length of the repetition operator that the text begins with; `{` without numbers is none.
fn repetition(text: &str) -> Option<usize> {
    let Some(counts) = text.strip_prefix('{') else {
        return Some(usize::from(text.starts_with(['*', '+', '?'])));
    };
    let Some((counts, _)) = counts.split_once('}') else {
        return Some(0);
    };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) {
        return Some(0);
    }
    let at_most_1000 = |text: &str| text.is_empty() || text.parse().is_ok_and(|n: u16| n <= 1000);
    (at_most_1000(least) && at_most_1000(most)).then_some(counts.len() + 2)
}

/// What follows an opening parenthesis; false if it sets flags and is closed already.
fn group(source: &mut String, rest: &mut &str) -> Option<bool> {
    source.push_str("(?");
    let Some(special) = rest.strip_prefix('?') else {
        source.push(':');
        return Some(true);
    };
    if let Some(named) = special.strip_prefix("P<").or_else(|| special.strip_prefix('<')) {
        let (name, after) = named.split_once('>')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        source.push(':');
        *rest = after;
        return is_name.then_some(true);
    }
    let end = special.find([':', ')'])?;
    let (flags, after) = special.split_at(end + 1);
    if !flags[..end].bytes().all(|flag| b"ims-".contains(&flag)) {
        return None;
    }
    source.push_str(flags);
    *rest = after;
    Some(flags.ends_with(':'))
}

/// What follows an opening bracket.
fn class(source: &mut String, rest: &mut &str) -> Option<()> {
    source.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        source.push('^');
        *rest = after;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some(named) = rest.strip_prefix("[:")
            && let Some((name, after)) = named.split_once(":]")
        {
            const NAMES: [&str; 14] = [
                "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
                "punct", "space", "upper", "word", "xdigit",
            ];
            let known = NAMES.contains(&name.strip_prefix('^').unwrap_or(name));
            write!(source, "[:{name}:]").expect("a string takes every text");
            *rest = known.then_some(after)?;
            continue;
        }
        let single = class_member(source, rest)?;
        if single && let Some(after) = rest.strip_prefix('-').filter(|a| !a.starts_with(']')) {
            source.push('-');
            *rest = after;
            class_member(source, rest)?.then_some(())?;
        }
    }
    source.push(']');
    *rest = &rest[1..];
    Some(())
}

/// One character, or a named class; true for the former.
fn class_member(source: &mut String, rest: &mut &str) -> Option<bool> {
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    if c == '\\' {
        return escape(source, rest);
    }
    push_literal(source, c);
    Some(true)
}

/// What follows a backslash: one character, or a class; true for the former.
fn escape(source: &mut String, rest: &mut &str) -> Option<bool> {
    let c = rest.chars().next()?;
    *rest = &rest[c.len_utf8()..];
    let class = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'p' | 'P' => {
            let (mut name, braced) = argument(rest, 1)?;
            let mut negated = c == 'P';
            if let Some(inverted) = name.strip_prefix('^').filter(|_| braced) {
                (name, negated) = (inverted, !negated);
            }
            let letters = name.chars().all(|c| c == '_' || c.is_ascii_alphabetic());
            let letter = if negated { 'P' } else { 'p' };
            write!(source, "\\{letter}{{{name}}}").expect("a string takes every text");
            return letters.then_some(false);
        }
        'x' => {
            let (digits, _) = argument(rest, 2)?;
            push_literal(source, char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            return Some(true);
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' => {
            source.extend(['\\', c]);
            return Some(true);
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => {
            push_literal(source, c);
            return Some(true);
        }
        _ => return None,
    };
    source.push_str(class);
    Some(false)
}

/// What stands in braces, or the next so many characters; and whether it was the former.
fn argument<'a>(rest: &mut &'a str, length: usize) -> Option<(&'a str, bool)> {
    let text = *rest;
    let (found, after, braced) = match text.strip_prefix('{') {
        Some(braced) => {
            let (found, after) = braced.split_once('}')?;
            (found, after, true)
        }
        None => {
            let (found, after) = text.split_at_checked(length)?;
            (found, after, false)
        }
    };
    *rest = after;
    Some((found, braced))
}
