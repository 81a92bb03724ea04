//! Names of fields and text values: each distinct one is kept once, for as long as it is used.

use std::cell::Cell;
use std::hash::BuildHasher;

use base::collections::KeyHash;

use crate::query::Value;
use crate::slab::Slab;
use crate::table::Table;

/// A text in [`Terms`]. Used again once nobody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Terms {
    by_text: Table,
    texts: Slab<Text>,
    /// Terms that were held lately, each at a place that is drawn of its text quickly: names of
    /// fields come again and again.
    lately: Box<[Term; LATELY]>,
    hash: KeyHash,
    drawn: u64,
    /// See [`Terms::take_looked`].
    looked: Cell<usize>,
    /// The name of the node, in the ids of parties.
    pub(crate) node: Box<str>,
}

#[derive(Debug)]
struct Text {
    text: Box<str>,
    /// See [`Terms::key`].
    key: u64,
    birth: u64,
    holders: u32,
}

const LATELY: usize = 1024;

/// A place for a text among the terms held lately.
fn place(text: &str) -> usize {
    let bytes = text.as_bytes();
    let tail = match bytes.last_chunk::<8>() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => bytes.iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
    };
    let mixed = (tail ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - LATELY.ilog2())) as usize
}

const HELD: &str = "a term is held while it is used";

impl Terms {
    /// Terms are numbers below this. So many texts would take more memory than there is.
    pub(crate) const MAX: u32 = (1 << 30) - 8;

    pub(crate) fn new(seed: u64, node: &str) -> Terms {
        Terms {
            by_text: Table::default(),
            texts: Slab::default(),
            lately: Box::new([Term(0); LATELY]),
            hash: KeyHash { seed },
            drawn: 0,
            looked: Cell::new(0),
            node: node.into(),
        }
    }

    /// The term of a text, which one holder more has from now on.
    pub(crate) fn hold(&mut self, text: &str) -> Term {
        let place = place(text);
        if let Some(known) = self.texts.find_mut(self.lately[place].0)
            && *known.text == *text
        {
            known.holders += 1;
            return self.lately[place];
        }
        let term = self.hold_any(text);
        self.lately[place] = term;
        term
    }

    fn hold_any(&mut self, text: &str) -> Term {
        let hash = self.hash.hash_one(text);
        let is_it = |number| self.texts.find(number).is_some_and(|known| *known.text == *text);
        if let Some(number) = self.by_text.find(hash, is_it) {
            self.hold_again(Term(number));
            return Term(number);
        }
        self.drawn += 1;
        let key = match text.parse::<f64>() {
            Ok(number) => key_of(number).cast_unsigned(),
            Err(_) => hash,
        };
        let number =
            self.texts.insert(Text { text: text.into(), key, birth: self.drawn, holders: 1 });
        assert!(number < Terms::MAX, "more texts than memory");
        self.by_text.insert(hash, number);
        Term(number)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    fn held(&self, term: Term) -> &Text {
        self.texts.find(term.0).expect(HELD)
    }

    /// One holder more of a term that is held.
    pub(crate) fn hold_again(&mut self, term: Term) {
        self.texts.find_mut(term.0).expect(HELD).holders += 1;
    }

    pub(crate) fn release(&mut self, term: Term) {
        let text = self.texts.find_mut(term.0).expect(HELD);
        text.holders -= 1;
        if text.holders == 0 {
            let text = self.texts.remove(term.0).expect(HELD);
            self.by_text.remove(self.hash.hash_one(&*text.text), term.0);
        }
    }

    pub(crate) fn text(&self, term: Term) -> &str {
        &self.held(term).text
    }

    /// Equal for all texts that a number in a query can mean, and for that number.
    pub(crate) fn key(&self, term: Term) -> u64 {
        self.held(term).key
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
        self.held(term).birth
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
        assert_eq!((terms.len(), terms.by_text.len()), (2, 2));
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
