//! Names of fields and text values: each distinct one is kept once, for as long as it is used.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::Arc;

use base::collections::{KeyHash, TextMap};

use crate::query::Value;

/// A text in [`Terms`]. Used again once nobody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Terms {
    ids: TextMap<Term>,
    texts: Vec<Text>,
    free: Vec<Term>,
    drawn: u64,
    /// See [`Terms::take_looked`].
    looked: Cell<usize>,
    /// The name of the node, in the ids of parties.
    pub(crate) node: Box<str>,
}

#[derive(Debug)]
struct Text {
    text: Arc<str>,
    holders: u32,
    /// See [`Terms::key`].
    key: u64,
    birth: u64,
}

impl Terms {
    pub(crate) fn new(seed: u64, node: &str) -> Terms {
        let ids = TextMap::with_hasher(KeyHash { seed });
        Terms {
            ids,
            texts: Vec::new(),
            free: Vec::new(),
            drawn: 0,
            looked: Cell::new(0),
            node: node.into(),
        }
    }

    /// The term of a text, which one holder more has from now on.
    pub(crate) fn hold(&mut self, text: &str) -> Term {
        if let Some(term) = self.ids.get(text) {
            self.texts[term.0 as usize].holders += 1;
            return *term;
        }
        self.drawn += 1;
        let text: Arc<str> = text.into();
        let key = match text.parse::<f64>() {
            Ok(number) => key_of(number).cast_unsigned(),
            Err(_) => self.ids.hasher().hash_one(&*text),
        };
        let new = Text { text: text.clone(), holders: 1, key, birth: self.drawn };
        let term = match self.free.pop() {
            Some(term) => {
                self.texts[term.0 as usize] = new;
                term
            }
            None => {
                self.texts.push(new);
                Term(u32::try_from(self.texts.len() - 1).expect("fewer texts than properties"))
            }
        };
        self.ids.insert(text, term);
        term
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// One holder more of a term that is held.
    pub(crate) fn hold_again(&mut self, term: Term) {
        self.texts[term.0 as usize].holders += 1;
    }

    pub(crate) fn release(&mut self, term: Term) {
        let text = &mut self.texts[term.0 as usize];
        text.holders -= 1;
        if text.holders == 0 {
            let text = std::mem::take(&mut text.text);
            self.ids.remove(&text);
            self.free.push(term);
        }
    }

    pub(crate) fn text(&self, term: Term) -> &str {
        &self.texts[term.0 as usize].text
    }

    /// Equal for all texts that a number in a query can mean, and for that number.
    pub(crate) fn key(&self, term: Term) -> u64 {
        self.texts[term.0 as usize].key
    }

    /// A pattern looks at so many bytes.
    pub(crate) fn look(&self, bytes: usize) {
        self.looked.set(self.looked.get() + bytes);
    }

    /// The bytes that patterns looked at since this was asked last: about a unit of work each.
    pub(crate) fn take_looked(&self) -> usize {
        self.looked.take()
    }

    /// Tells a term from those that had its place before.
    pub(crate) fn birth(&self, term: Term) -> u64 {
        self.texts[term.0 as usize].birth
    }
}

/// Where a number stands among all others.
pub(crate) fn key_of(number: f64) -> i64 {
    Value::Number(number).key().expect("numbers have keys")
}

/// The number that stands there.
pub(crate) fn number_of(key: i64) -> f64 {
    let bits = if key < 0 { key ^ i64::MAX } else { key };
    f64::from_bits(bits.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_for_as_long_as_it_is_held() {
        let mut terms = Terms::new(1, "n");
        let a = terms.hold("a");
        assert_eq!(terms.hold("a"), a);
        let b = terms.hold("b");
        assert_ne!(a, b);
        let birth = terms.birth(a);
        terms.release(a);
        assert_eq!(terms.text(a), "a");
        terms.release(a);
        let c = terms.hold("c");
        assert_eq!((c, terms.text(c)), (a, "c"), "its place is used again");
        assert_ne!(terms.birth(c), birth);
        assert_eq!(terms.ids.len(), 2);
    }

    #[test]
    fn texts_of_one_number_share_its_key() {
        let mut terms = Terms::new(1, "n");
        let keys = ["10", "10.0", "1e1"].map(|text| {
            let term = terms.hold(text);
            terms.key(term)
        });
        assert_eq!(keys, [key_of(10.0).cast_unsigned(); 3]);
        for number in [-1.5, -0.0, 0.0, 1.5, f64::MAX] {
            assert_eq!(number_of(key_of(number)).to_bits(), number.to_bits());
        }
        let (a, b) = (terms.hold("a"), terms.hold("b"));
        assert_ne!(terms.key(a), terms.key(b));
    }
}
