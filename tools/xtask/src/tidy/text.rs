//! Rust source seen through: without comments and literals, with its test code marked.

/// A source file, line by line.
pub(crate) struct Source<'a> {
    pub(crate) lines: Vec<Line<'a>>,
    /// Everything that the file's `use` items bring in, each with its line.
    pub(crate) imports: Vec<(usize, String)>,
}

pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    /// The text with comments and the insides of literals blanked.
    pub(crate) code: String,
    pub(crate) has_literal: bool,
    pub(crate) in_test: bool,
}

impl<'a> Source<'a> {
    /// Parses a text. `all_test` says that the whole file is test code.
    pub(crate) fn parse(text: &'a str, all_test: bool) -> Source<'a> {
        let masked = mask(text);
        let in_test = test_lines(&masked.code, all_test);
        let texts = text.lines();
        let codes = masked.code.lines().map(str::to_owned);
        let lines = texts.zip(codes).zip(in_test).enumerate();
        let lines = lines.map(|(index, ((text, code), in_test))| Line {
            text,
            code,
            has_literal: masked.literal_lines.contains(&index),
            in_test,
        });
        Source { lines: lines.collect(), imports: imports(&masked.code) }
    }

    /// Lines, counted from one, in which a path of names stands: written out, or imported.
    pub(crate) fn lines_naming(&self, name: &str) -> Vec<usize> {
        let written = self.lines.iter().enumerate();
        let written =
            written.filter(|(_, line)| names(&line.code, name)).map(|(index, _)| index + 1);
        let imported = self.imports.iter();
        let imported = imported.filter(|(_, path)| names(path, name)).map(|(line, _)| *line);
        let mut lines: Vec<usize> = written.chain(imported).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

/// Whether `name` stands in `code` as whole words.
pub(crate) fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        let open_start = name.starts_with(is_word) && before.is_some_and(is_word);
        let open_end = name.ends_with(is_word) && after.is_some_and(is_word);
        !open_start && !open_end
    })
}

struct Masked {
    code: String,
    literal_lines: Vec<usize>,
}

/// Blanks comments and literals, keeping every line and column.
fn mask(text: &str) -> Masked {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = Masked { code: String::with_capacity(text.len()), literal_lines: Vec::new() };
    let mut at = 0;
    let mut line = 0;
    while at < chars.len() {
        let token = token_at(&chars, at);
        for (index, c) in chars[at..at + token.len].iter().enumerate() {
            let inside = index >= token.open && index + token.close < token.len;
            if *c == '\n' {
                masked.code.push('\n');
            } else if token.kind == Kind::Code || (token.kind == Kind::Literal && !inside) {
                masked.code.push(*c);
            } else {
                masked.code.push(' ');
            }
            if token.kind == Kind::Literal {
                masked.literal_lines.push(line);
            }
            line += usize::from(*c == '\n');
        }
        at += token.len;
    }
    masked.literal_lines.dedup();
    masked
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

struct Token {
    kind: Kind,
    len: usize,
    /// Characters of a literal before and after its inside.
    open: usize,
    close: usize,
}

fn token_at(chars: &[char], at: usize) -> Token {
    let rest = &chars[at..];
    let comment = |len| Token { kind: Kind::Comment, len, open: 0, close: 0 };
    let literal = |len, open, close| Token { kind: Kind::Literal, len, open, close };
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => comment(rest.iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => comment(block_comment(rest)),
        ['"', ..] => literal(quoted(rest, '"'), 1, 1),
        ['r' | 'b' | 'c', ..] if !after_word && raw_string(rest).is_some() => {
            let (len, open, close) = raw_string(rest).unwrap_or((1, 0, 0));
            literal(len, open, close)
        }
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => literal(quoted(rest, '\''), 1, 1),
        _ => Token { kind: Kind::Code, len: 1, open: 0, close: 0 },
    }
}

/// Length of a comment that may hold others.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a literal with escapes, its quotes included.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a raw string, and of what stands before and behind its inside.
fn raw_string(rest: &[char]) -> Option<(usize, usize, usize)> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    if prefix > 2 || rest[prefix - 1] != 'r' {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let open = prefix + hashes + 1;
    if rest.get(open - 1) != Some(&'"') {
        return None;
    }
    let mut at = open;
    while at < rest.len() {
        let behind = &rest[at + 1..];
        if rest[at] == '"' && behind.len() >= hashes && behind[..hashes].iter().all(|c| *c == '#') {
            return Some((at + 1 + hashes, open, 1 + hashes));
        }
        at += 1;
    }
    Some((rest.len(), open, 0))
}

/// Marks the lines of items behind `#[cfg(test)]`.
fn test_lines(code: &str, all_test: bool) -> Vec<bool> {
    let lines: Vec<&str> = code.lines().collect();
    let mut marks = vec![all_test; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].trim_start().starts_with("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let end = item_end(&lines, at);
        marks[at..=end].fill(true);
        at = end + 1;
    }
    marks
}

/// The last line of the item whose attribute stands in line `start`.
fn item_end(lines: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut opened = false;
    for (index, line) in lines.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '{' => {
                    depth += 1;
                    opened = true;
                }
                '}' => depth = depth.saturating_sub(1),
                ';' if !opened => return index,
                _ => {}
            }
        }
        if opened && depth == 0 {
            return index;
        }
    }
    lines.len() - 1
}

/// The full path of everything that a `use` item brings in.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut item = String::new();
    let mut inside = false;
    for (line, text) in (1..).zip(code.lines()) {
        let trimmed = text.trim_start();
        let trimmed = trimmed
            .strip_prefix("pub ")
            .or_else(|| trimmed.strip_prefix("pub(crate) "))
            .unwrap_or(trimmed);
        if !inside && let Some(rest) = trimmed.strip_prefix("use ") {
            inside = true;
            item.clear();
            item.push_str(rest);
        } else if inside {
            item.push('\n');
            item.push_str(text);
        }
        if inside && text.contains(';') {
            inside = false;
            let first = line - item.matches('\n').count();
            expand(&item, first, &mut found);
        }
    }
    found
}

/// Takes `a::{b, c::{d}}` apart into `a::b` and `a::c::d`.
fn expand(item: &str, first: usize, found: &mut Vec<(usize, String)>) {
    let mut prefixes: Vec<String> = Vec::new();
    let mut path = String::new();
    let mut line = first;
    let mut emit = |prefixes: &[String], path: &mut String, line| {
        if !path.trim().is_empty() {
            found.push((line, format!("{}{}", prefixes.concat(), path.trim())));
        }
        path.clear();
    };
    for c in item.chars() {
        match c {
            '{' => prefixes.push(std::mem::take(&mut path)),
            '}' => {
                emit(&prefixes, &mut path, line);
                prefixes.pop();
            }
            ',' | ';' => emit(&prefixes, &mut path, line),
            '\n' => line += 1,
            c if c.is_whitespace() && path.is_empty() => {}
            c => path.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        mask(text).code
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("a\"b", 'c', '\'')"#), r#"f("    ", ' ', '  ')"#);
        assert_eq!(code("f(r#\"a\"b\"#)"), "f(r#\"   \"#)");
        assert_eq!(code("f(br\"a\")"), "f(br\" \")");
        assert_eq!(code("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
        assert_eq!(code("crate::bar(\"a\nb\")"), "crate::bar(\" \n \")");
    }

    #[test]
    fn words_are_matched_whole() {
        assert!(names("use redb::Database;", "redb"));
        assert!(!names("use redbird::Database;", "redb"));
        assert!(!names("let my_redb = 1;", "redb"));
        assert!(names("Instant::now()", "Instant::now"));
        assert!(!names("StdInstant::now()", "Instant::now"));
    }

    #[test]
    fn test_items_are_marked_to_their_end() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let marks = test_lines(text, false);
        assert_eq!(marks, [false, true, true, true, true, false]);
        let text = "#[cfg(test)]\nmod tests;\nfn c() {}\n";
        assert_eq!(test_lines(text, false), [true, true, false]);
    }

    #[test]
    fn imports_are_taken_apart() {
        let text =
            "use std::{fs, io::{self, Read}};\nuse a::b as c;\npub use x::{\n    y,\n    z,\n};\n";
        let expected = [
            (1, "std::fs"),
            (1, "std::io::self"),
            (1, "std::io::Read"),
            (2, "a::b as c"),
            (4, "x::y"),
            (5, "x::z"),
        ];
        let expected: Vec<_> = expected.map(|(line, path)| (line, path.to_owned())).into();
        assert_eq!(imports(text), expected);
    }
}
