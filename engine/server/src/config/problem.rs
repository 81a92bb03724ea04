//! What is wrong with a configuration, a sentence each, in letters that a terminal shows.

use std::borrow::Cow;

/// Nobody reads more at once.
const TOLD_MAX: usize = 20;
/// Longer names are shown in part, and are too long to be a mistyped key.
pub(super) const NAME_MAX: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<String>,
    /// How many are not told.
    more: usize,
}

impl Problems {
    /// Takes a sentence, which is put together if it is told, and told once.
    pub(super) fn add(&mut self, sentence: impl FnOnce() -> String) {
        if self.told.len() == TOLD_MAX {
            self.more += 1;
            return;
        }
        let sentence = escape(&sentence());
        if !self.told.contains(&sentence) {
            self.told.push(sentence);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        self.told
    }
}

/// The text, with escapes for whatever moves a cursor or cannot be seen.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_shown(letter) {
            escaped.push(letter);
        } else {
            escaped.extend(letter.escape_debug());
        }
    }
    escaped
}

/// Whether a terminal shows the letter as itself.
pub(super) fn is_shown(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '\\') || letter.escape_debug().len() == 1
}

/// A name as it is told.
pub(super) fn shorten(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_MAX {
        return name.into();
    }
    let begin: String = name.chars().take(NAME_MAX / 2).collect();
    format!("{begin}…").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_told_once_and_not_too_many_are() {
        let mut problems = Problems::default();
        for number in 0..30 {
            problems.add(|| format!("problem {}", number / 2 * 2));
        }
        for _ in 0..12 {
            problems.add(|| "another".into());
        }
        let told = problems.told();
        assert_eq!((told.len(), &*told[14], &*told[15]), (16, "problem 28", "another"));

        let mut problems = Problems::default();
        (0..30_000).for_each(|number| problems.add(|| format!("problem {number}")));
        let told = problems.told();
        assert_eq!((told.len(), &*told[19], &*told[20]), (21, "problem 19", "and 29980 more"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_once() {
        let escaped = escape("a\n\x1b[31m\"\\é\u{202e}\u{7f}");
        assert_eq!(escaped, "a\\n\\u{1b}[31m\"\\é\\u{202e}\\u{7f}");
        assert_eq!(escape(&escaped), escaped);
    }
}
