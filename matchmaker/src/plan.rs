//! A query, compiled once for all tickets that share it.

use std::cell::RefCell;
use std::hash::BuildHasher;

use base::collections::{IdMap, KeyHash};
use base::{PartyId, TicketId, UnixTime};

use crate::query::{Bound, Occur, Query, Test, Value};
use crate::row::{Datum, PREFIX, Property};
use crate::terms::{Term, Terms, key_of, number_of};
use crate::ticket::Counts;

/// Verdicts that the patterns of a query remember, in equal shares; past it, one forgets them all.
const VERDICTS_MAX: usize = 4096;

/// What a query can ask about a ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) row: &'a [Property],
    pub(crate) id: TicketId,
    pub(crate) counts: Counts,
    pub(crate) created: UnixTime,
    pub(crate) party: Option<PartyId>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// All that match score the same for these.
    musts: Box<[Leaf]>,
    nots: Box<[Leaf]>,
    scored: Box<[Scored]>,
    /// Nothing matches.
    is_nothing: bool,
    /// Only should clauses: one of them has to match.
    is_choice: bool,
}

#[derive(Debug)]
struct Leaf {
    column: Column,
    check: Check,
}

#[derive(Debug)]
struct Scored {
    leaf: Leaf,
    weight: f64,
    is_must: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Property(Term),
    Ticket,
    MinCount,
    MaxCount,
    CreatedAt,
    PartyId,
    /// No ticket has it.
    Unknown,
}

#[derive(Debug)]
enum Check {
    Text(Term),
    Number { text: Term, key: i64 },
    Span(Span),
    Other(Box<Pattern>),
}

/// A test that is not a comparison, and what it said of texts.
#[derive(Debug)]
struct Pattern {
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
    fn and(self, other: Span) -> Span {
        Span { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

impl Plan {
    pub(crate) fn compile(query: &Query, terms: &mut Terms) -> Plan {
        let clauses = query.clauses();
        let mut musts = Vec::<Leaf>::with_capacity(clauses.len());
        let (mut nots, mut scored) = (Vec::new(), Vec::new());
        let patterns = clauses.iter().filter(|clause| is_pattern(&clause.test)).count();
        let verdicts_max = VERDICTS_MAX / patterns.max(1);
        for clause in clauses {
            let leaf = Leaf::compile(&clause.field, &clause.test, verdicts_max, terms);
            let is_must = clause.occur == Occur::Must;
            match (clause.occur, &leaf.check) {
                (Occur::MustNot, _) => nots.push(leaf),
                (Occur::Should, _) | (Occur::Must, Check::Other(_)) => {
                    scored.push(Scored { leaf, weight: clause.weight(), is_must });
                }
                (Occur::Must, Check::Span(more)) => {
                    let more = *more;
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
        Plan {
            is_nothing: !query.is_all() && clauses.is_empty(),
            is_choice: is_choice && !scored.is_empty(),
            musts: musts.into(),
            nots: nots.into(),
            scored: scored.into(),
        }
    }

    pub(crate) fn release(&self, terms: &mut Terms) {
        let leaves = self.musts.iter().chain(self.nots.iter());
        for leaf in leaves.chain(self.scored.iter().map(|scored| &scored.leaf)) {
            leaf.release(terms);
        }
    }

    /// Whether all that match score the same.
    pub(crate) fn is_flat(&self) -> bool {
        self.scored.is_empty()
    }

    /// What it costs to look at a ticket; four clauses cost one.
    pub(crate) fn weight(&self) -> usize {
        1 + (self.musts.len() + self.nots.len() + self.scored.len()) / 5
    }

    /// The score of a ticket that matches, but for what all that match have in common.
    pub(crate) fn score(&self, subject: &Subject<'_>, terms: &Terms) -> Option<f64> {
        let closeness = |leaf: &Leaf| leaf.closeness(subject, terms);
        if self.is_nothing
            || !self.musts.iter().all(|leaf| closeness(leaf).is_some())
            || self.nots.iter().any(|leaf| closeness(leaf).is_some())
        {
            return None;
        }
        let (mut score, mut is_matched) = (0.0, false);
        for Scored { leaf, weight, is_must } in &self.scored {
            match closeness(leaf) {
                Some(closeness) => {
                    score += weight * closeness;
                    is_matched = true;
                }
                None if *is_must => return None,
                None => {}
            }
        }
        (is_matched || !self.is_choice).then_some(score)
    }

    pub(crate) fn accepts(&self, subject: &Subject<'_>, terms: &Terms) -> bool {
        self.score(subject, terms).is_some()
    }

    /// The clauses as they were understood: those that have to match, those that must not, and then
    /// those of which one has to match, as one, or that only add to the score.
    pub(crate) fn clauses(&self, terms: &Terms) -> Vec<String> {
        let needed = self.needed().map(|leaf| format!("+{}", leaf.text(terms)));
        let nots = self.nots.iter().map(|leaf| format!("-{}", leaf.text(terms)));
        let mut clauses: Vec<String> = needed.chain(nots).collect();
        let shoulds = self.scored.iter().filter(|scored| !scored.is_must);
        let shoulds: Vec<_> = shoulds.map(|scored| scored.leaf.text(terms)).collect();
        if !shoulds.is_empty() {
            clauses.push(shoulds.join(" "));
        }
        clauses
    }

    /// Whether each of [`Plan::clauses`] excludes a ticket.
    pub(crate) fn excludes(&self, subject: &Subject<'_>, terms: &Terms) -> Vec<bool> {
        let fits = |leaf: &Leaf| leaf.closeness(subject, terms).is_some();
        let nots = self.nots.iter().map(&fits);
        let mut excludes: Vec<bool> = self.needed().map(|leaf| !fits(leaf)).chain(nots).collect();
        if self.scored.iter().any(|scored| !scored.is_must) {
            excludes.push(self.is_choice && !self.scored.iter().any(|scored| fits(&scored.leaf)));
        }
        excludes
    }

    fn needed(&self) -> impl Iterator<Item = &Leaf> {
        let scored = self.scored.iter().filter(|scored| scored.is_must);
        self.musts.iter().chain(scored.map(|scored| &scored.leaf))
    }

    pub(crate) fn text(&self, terms: &Terms) -> String {
        match self.clauses(terms) {
            _ if self.is_nothing => "nothing".to_owned(),
            clauses if clauses.is_empty() => "*".to_owned(),
            clauses => clauses.join(" "),
        }
    }

    /// The properties of which every match has one certain text or number, with their keys, in the
    /// order of their fields.
    pub(crate) fn fixed(&self, terms: &Terms) -> Vec<(Term, u64)> {
        let mut fixed: Vec<(Term, u64)> = Vec::with_capacity(self.musts.len());
        for leaf in &self.musts {
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
        fixed
    }

    /// The first property that lies between bounds in every match.
    pub(crate) fn spanned(&self) -> Option<Term> {
        self.musts.iter().find_map(|leaf| match (leaf.column, &leaf.check) {
            (Column::Property(field), Check::Span(_)) => Some(field),
            _ => None,
        })
    }

    /// The bounds of this property, if it lies between bounds in every match.
    pub(crate) fn span_of(&self, field: Term) -> Option<Span> {
        self.musts.iter().find_map(|leaf| match leaf.check {
            Check::Span(span) if leaf.column == Column::Property(field) => Some(span),
            _ => None,
        })
    }
}

impl Leaf {
    fn compile(field: &str, test: &Test, verdicts_max: usize, terms: &mut Terms) -> Leaf {
        let column = match field {
            "ticket" => Column::Ticket,
            "min_count" => Column::MinCount,
            "max_count" => Column::MaxCount,
            "created_at" => Column::CreatedAt,
            "party_id" => Column::PartyId,
            name if name.starts_with(PREFIX) => Column::Property(terms.hold(name)),
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
                Check::Other(Box::new(Pattern { test, verdicts, verdicts_max }))
            }
        };
        Leaf { column, check }
    }

    fn text(&self, terms: &Terms) -> String {
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
            Check::Other(pattern) => format!("{field}:{}", pattern.test),
        }
    }

    fn release(&self, terms: &mut Terms) {
        if let Column::Property(field) = self.column {
            terms.release(field);
        }
        if let Check::Text(text) | Check::Number { text, .. } = self.check {
            terms.release(text);
        }
    }

    /// How well a ticket fits, if it does.
    fn closeness(&self, subject: &Subject<'_>, terms: &Terms) -> Option<f64> {
        let of = |value| self.check.closeness(value, terms);
        match self.column {
            Column::Property(field) => {
                let property = subject.row.iter().find(|p| p.field == field && !p.is_hidden())?;
                self.check.closeness_of(property, terms)
            }
            Column::MinCount => of(Value::Number(f64::from(subject.counts.min()))),
            Column::MaxCount => of(Value::Number(f64::from(subject.counts.max()))),
            #[expect(clippy::cast_precision_loss, reason = "as it is indexed in Nakama")]
            Column::CreatedAt => of(Value::Number(subject.created.0 as f64)),
            Column::Ticket => of(Value::Text(&subject.id.to_string())),
            Column::PartyId => {
                let id = subject.party.map(|party| format!("{party}.{}", terms.node));
                let text = id.unwrap_or_default();
                of(Value::Text(&text))
            }
            Column::Unknown => None,
        }
    }
}

impl Check {
    fn closeness_of(&self, property: &Property, terms: &Terms) -> Option<f64> {
        let datum = property.datum();
        let accepts = match (self, datum) {
            (Check::Text(wanted), Datum::Text(text)) => *wanted == text,
            (Check::Text(_), _) => false,
            (Check::Number { text: wanted, .. }, Datum::Text(text)) => *wanted == text,
            (Check::Number { key, .. }, datum) => datum.key() == Some(*key),
            (Check::Span(span), datum) => {
                datum.key().is_some_and(|key| span.low <= key && key <= span.high)
            }
            (Check::Other(pattern), Datum::Text(text)) => return pattern.closeness(text, terms),
            (Check::Other(pattern), Datum::Number(number)) => {
                return pattern.look(Value::Number(number), terms);
            }
            (Check::Other(pattern), Datum::Date(_, nanos)) => {
                return pattern.look(Value::Date(nanos), terms);
            }
            (Check::Other(_), Datum::Hidden(_)) => false,
        };
        accepts.then_some(1.0)
    }

    /// Of what is not a property.
    fn closeness(&self, value: Value<'_>, terms: &Terms) -> Option<f64> {
        match self {
            Check::Span(span) => {
                let key = value.key()?;
                (span.low <= key && key <= span.high).then_some(1.0)
            }
            Check::Other(pattern) => pattern.look(value, terms),
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

fn is_pattern(test: &Test) -> bool {
    matches!(test, Test::Regex(_) | Test::Wildcard(_) | Test::Fuzzy { .. })
}

/// A plan in [`Plans`]; used again once no ticket has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlanId(u32);

impl PlanId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The plans of all waiting tickets, each distinct one once: known by two seeded hashes of its
/// text, which is not kept.
#[derive(Debug)]
pub(crate) struct Plans {
    ids: IdMap<(u64, u64), PlanId>,
    plans: Vec<Held>,
    free: Vec<PlanId>,
    hashes: [KeyHash; 2],
}

#[derive(Debug)]
struct Held {
    text: (u64, u64),
    plan: Plan,
    tickets: u32,
}

impl Plans {
    pub(crate) fn new(seed: u64) -> Plans {
        let hashes = [KeyHash { seed }, KeyHash { seed: seed.rotate_left(32) ^ u64::MAX }];
        Plans { ids: IdMap::default(), plans: Vec::new(), free: Vec::new(), hashes }
    }

    /// The plan of a query, which one ticket more has from now on, and whether it is new.
    pub(crate) fn hold(&mut self, query: &Query, terms: &mut Terms) -> (PlanId, bool) {
        let [first, second] = self.hashes.map(|hash| hash.hash_one(query.text()));
        let text = (first, second);
        if let Some(id) = self.ids.get(&text) {
            self.plans[id.0 as usize].tickets += 1;
            return (*id, false);
        }
        let held = Held { text, plan: Plan::compile(query, terms), tickets: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.plans[id.0 as usize] = held;
                id
            }
            None => {
                self.plans.push(held);
                PlanId(u32::try_from(self.plans.len() - 1).expect("fewer plans than tickets"))
            }
        };
        self.ids.insert(text, id);
        (id, true)
    }

    /// Says whether nobody has the plan any more.
    pub(crate) fn release(&mut self, id: PlanId, terms: &mut Terms) -> bool {
        let held = &mut self.plans[id.0 as usize];
        held.tickets -= 1;
        if held.tickets > 0 {
            return false;
        }
        let plan = std::mem::take(&mut held.plan);
        plan.release(terms);
        self.ids.remove(&held.text);
        self.free.push(id);
        true
    }

    pub(crate) fn plan(&self, id: PlanId) -> &Plan {
        &self.plans[id.0 as usize].plan
    }
}
