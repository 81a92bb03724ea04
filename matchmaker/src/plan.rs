//! A query, compiled once for all tickets that share it.

use crate::leaf::{Check, Column, Leaf, Leaves, Pattern, Span, is_pattern};
use crate::query::{Occur, Query};
use crate::row::{push_u64, u64_of};
use crate::terms::{Term, Terms};
use crate::waiting::Waiting;

/// Verdicts that the patterns of a query remember, in equal shares; past it, one forgets them all.
const VERDICTS_MAX: usize = 4096;

/// The clauses are in words: first those for which all that match score the same; then those that
/// must not match; then the scored ones, each with its weight and whether it must match.
#[derive(Debug)]
pub(crate) struct Plan {
    words: Words,
    patterns: Option<Box<Patterns>>,
    /// Where the must-nots begin.
    nots_at: u16,
    /// Where the scored ones begin.
    scored_at: u16,
    clauses: u8,
    /// Nothing matches.
    is_nothing: bool,
    /// Only should clauses: one of them has to match.
    is_choice: bool,
}

/// Few are kept in the plan itself: most plans have three certain values, or so, and one span.
#[derive(Debug)]
enum Words {
    Few { count: u8, words: [u32; WORDS_FEW] },
    Many(Box<[u32]>),
}

const WORDS_FEW: usize = 11;

impl Words {
    fn new(all: &[u32]) -> Words {
        let mut words = [0; WORDS_FEW];
        match (words.get_mut(..all.len()), u8::try_from(all.len())) {
            (Some(few), Ok(count)) => {
                few.copy_from_slice(all);
                Words::Few { count, words }
            }
            _ => Words::Many(all.into()),
        }
    }

    fn all(&self) -> &[u32] {
        match self {
            Words::Few { count, words } => &words[..usize::from(*count)],
            Words::Many(words) => words,
        }
    }
}

/// What most plans have none of.
#[derive(Debug)]
struct Patterns(Vec<Pattern>);

#[derive(Clone, Copy, Debug)]
struct Scored {
    leaf: Leaf,
    weight: f64,
    is_must: bool,
}

/// What a plan is made of, while it is made.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    musts: Vec<Leaf>,
    nots: Vec<Leaf>,
    scored: Vec<Scored>,
    words: Vec<u32>,
}

impl Plan {
    pub(crate) fn compile(query: &Query, terms: &mut Terms, draft: &mut Draft) -> Plan {
        let clauses = query.clauses();
        let Draft { musts, nots, scored, words } = draft;
        musts.clear();
        nots.clear();
        scored.clear();
        words.clear();
        let patterns = clauses.iter().filter(|clause| is_pattern(&clause.test)).count();
        let verdicts_max = VERDICTS_MAX / patterns.max(1);
        let mut patterns = Vec::new();
        for clause in clauses {
            let leaf =
                Leaf::compile(&clause.field, &clause.test, verdicts_max, &mut patterns, terms);
            let is_must = clause.occur == Occur::Must;
            match (clause.occur, leaf.check) {
                (Occur::MustNot, _) => nots.push(leaf),
                (Occur::Should, _) | (Occur::Must, Check::Other(_)) => {
                    scored.push(Scored { leaf, weight: clause.weight(), is_must });
                }
                (Occur::Must, Check::Span(more)) => {
                    let same = musts.iter_mut().find_map(|other| match &mut other.check {
                        Check::Span(span) if other.column == leaf.column => Some(span),
                        _ => None,
                    });
                    match same {
                        Some(span) => {
                            *span = span.and(more);
                            leaf.release(terms);
                        }
                        None => musts.push(leaf),
                    }
                }
                (Occur::Must, _) => musts.push(leaf),
            }
        }
        let is_choice = !clauses.is_empty() && clauses.iter().all(|c| c.occur != Occur::Must);
        let here = |words: &Vec<u32>| u16::try_from(words.len()).expect("there are few clauses");
        musts.iter().for_each(|leaf| leaf.push(words));
        let nots_at = here(words);
        nots.iter().for_each(|leaf| leaf.push(words));
        let scored_at = here(words);
        scored.iter().for_each(|scored| scored.push(words));
        let count = musts.len() + nots.len() + scored.len();
        Plan {
            words: Words::new(words),
            patterns: (!patterns.is_empty()).then(|| Box::new(Patterns(patterns))),
            nots_at,
            scored_at,
            clauses: u8::try_from(count).expect("there are few clauses"),
            is_nothing: !query.is_all() && clauses.is_empty(),
            is_choice: is_choice && !scored.is_empty(),
        }
    }

    fn musts(&self) -> Leaves<'_> {
        Leaves(&self.words.all()[..usize::from(self.nots_at)])
    }

    fn nots(&self) -> Leaves<'_> {
        Leaves(&self.words.all()[usize::from(self.nots_at)..usize::from(self.scored_at)])
    }

    fn scored(&self) -> impl Iterator<Item = Scored> {
        let mut words = &self.words.all()[usize::from(self.scored_at)..];
        std::iter::from_fn(move || Scored::pop(&mut words))
    }

    fn patterns(&self) -> &[Pattern] {
        self.patterns.as_ref().map_or(&[], |patterns| &patterns.0)
    }

    pub(crate) fn release(&self, terms: &mut Terms) {
        let leaves = self.musts().chain(self.nots());
        for leaf in leaves.chain(self.scored().map(|scored| scored.leaf)) {
            leaf.release(terms);
        }
    }

    /// Whether all that match score the same.
    pub(crate) fn is_flat(&self) -> bool {
        usize::from(self.scored_at) == self.words.all().len()
    }

    /// What it costs to look at a ticket; four clauses cost one.
    pub(crate) fn weight(&self) -> usize {
        1 + usize::from(self.clauses) / 5
    }

    /// The score of a ticket that matches, but for what all that match have in common.
    pub(crate) fn score(&self, waiting: &Waiting, terms: &Terms) -> Option<f64> {
        let patterns = self.patterns();
        if self.is_nothing
            || !self.musts().all(|leaf| leaf.accepts(waiting, patterns, terms))
            || self.nots().any(|leaf| leaf.accepts(waiting, patterns, terms))
        {
            return None;
        }
        if self.is_flat() {
            return Some(0.0);
        }
        let (mut score, mut is_matched) = (0.0, false);
        for Scored { leaf, weight, is_must } in self.scored() {
            match leaf.closeness(waiting, patterns, terms) {
                Some(closeness) => {
                    score += weight * closeness;
                    is_matched = true;
                }
                None if is_must => return None,
                None => {}
            }
        }
        (is_matched || !self.is_choice).then_some(score)
    }

    pub(crate) fn accepts(&self, waiting: &Waiting, terms: &Terms) -> bool {
        self.score(waiting, terms).is_some()
    }

    /// The clauses as they were understood: those that have to match, those that must not, and then
    /// those of which one has to match, as one, or that only add to the score.
    pub(crate) fn clauses(&self, terms: &Terms) -> Vec<String> {
        let text = |leaf: Leaf| leaf.text(self.patterns(), terms);
        let needed = self.needed().map(|leaf| format!("+{}", text(leaf)));
        let nots = self.nots().map(|leaf| format!("-{}", text(leaf)));
        let mut clauses: Vec<String> = needed.chain(nots).collect();
        let shoulds = self.scored().filter(|scored| !scored.is_must);
        let shoulds: Vec<_> = shoulds.map(|scored| text(scored.leaf)).collect();
        if !shoulds.is_empty() {
            clauses.push(shoulds.join(" "));
        }
        clauses
    }

    /// Whether each of [`Plan::clauses`] excludes a ticket.
    pub(crate) fn excludes(&self, waiting: &Waiting, terms: &Terms) -> Vec<bool> {
        let fits = |leaf: Leaf| leaf.closeness(waiting, self.patterns(), terms).is_some();
        let nots = self.nots().map(&fits);
        let mut excludes: Vec<bool> = self.needed().map(|leaf| !fits(leaf)).chain(nots).collect();
        if self.scored().any(|scored| !scored.is_must) {
            excludes.push(self.is_choice && !self.scored().any(|scored| fits(scored.leaf)));
        }
        excludes
    }

    fn needed(&self) -> impl Iterator<Item = Leaf> {
        let scored = self.scored().filter(|scored| scored.is_must);
        self.musts().chain(scored.map(|scored| scored.leaf))
    }

    pub(crate) fn text(&self, terms: &Terms) -> String {
        match self.clauses(terms) {
            _ if self.is_nothing => "nothing".to_owned(),
            clauses if clauses.is_empty() => "*".to_owned(),
            clauses => clauses.join(" "),
        }
    }

    /// Finds the properties of which every match has one certain text or number, with their keys,
    /// in the order of their fields.
    pub(crate) fn fixed(&self, terms: &Terms, fixed: &mut Vec<(Term, u64)>) {
        fixed.clear();
        for leaf in self.musts() {
            let Column::Property(field) = leaf.column else { continue };
            let key = match leaf.check {
                Check::Text(text) => terms.key(text),
                Check::Number { key, .. } => key.cast_unsigned(),
                Check::Span(_) | Check::Other(_) => continue,
            };
            if fixed.iter().all(|(other, _)| *other != field) {
                fixed.push((field, key));
            }
        }
        fixed.sort_unstable();
    }

    /// The first property that lies between bounds in every match.
    pub(crate) fn spanned(&self) -> Option<Term> {
        self.musts().find_map(|leaf| match (leaf.column, leaf.check) {
            (Column::Property(field), Check::Span(_)) => Some(field),
            _ => None,
        })
    }

    /// The bounds of this property, if it lies between bounds in every match.
    pub(crate) fn span_of(&self, field: Term) -> Option<Span> {
        self.musts().find_map(|leaf| match leaf.check {
            Check::Span(span) if leaf.column == Column::Property(field) => Some(span),
            _ => None,
        })
    }
}

impl Scored {
    fn push(self, words: &mut Vec<u32>) {
        self.leaf.push(words);
        push_u64(words, self.weight.to_bits());
        words.push(self.is_must.into());
    }

    fn pop(words: &mut &[u32]) -> Option<Scored> {
        let mut leaves = Leaves(words);
        let leaf = leaves.next()?;
        let [low, high, is_must, rest @ ..] = leaves.0 else { return None };
        *words = rest;
        let weight = f64::from_bits(u64_of(*low, *high));
        Some(Scored { leaf, weight, is_must: *is_must == 1 })
    }
}
