//! What waits, and why a ticket waits still, for operators.

use base::TicketId;

use crate::pool::Pool;
use crate::ticket::{Error, Ticket};
use crate::waiting::Waiting;

/// What one call of [`Pool::explain`] costs, about, in the units of [`Pool::step`].
const BUDGET: usize = 2_000;

/// The reasons that are no clauses, in the order in which they are looked at.
const OTHER_REASONS: [&str; 3] = [
    "its counts do not lie inside",
    "it is of the same session or party",
    "its query excludes the ticket",
];

/// A ticket that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub ticket: Ticket,
    /// As it was understood.
    pub query: String,
    /// Passes in which it searched.
    pub intervals: u32,
}

/// What stands between a ticket and the others that wait. A ticket may be counted several times,
/// once for each reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub listed: Listed,
    /// Other tickets that were looked at.
    pub others: u64,
    /// Tickets that nothing excludes: there are too few of them.
    pub acceptable: u64,
    /// Excluded by each clause of the query.
    pub by_clause: Vec<(String, u64)>,
    /// Their counts do not lie inside the ticket's.
    pub by_counts: u64,
    /// They are of the same session or party.
    pub by_owner: u64,
    /// Where matches are mutual: their query excludes the ticket.
    pub by_their_query: u64,
    /// The one that the fewest reasons exclude, the oldest of several.
    pub nearest: Option<Nearest>,
    /// Where [`Pool::explain`] goes on, if it has not looked at all tickets.
    next: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    pub ticket: TicketId,
    created: u64,
    /// The clauses, and other reasons, that exclude it.
    pub lacks: Vec<String>,
}

impl Explanation {
    /// Whether all tickets were looked at.
    pub fn is_whole(&self) -> bool {
        self.next.is_none()
    }
}

impl Pool {
    /// Up to `limit` waiting tickets, in no order of theirs, from a place on, and the place to go
    /// on from.
    pub fn list(&self, from: usize, limit: usize) -> (Vec<Listed>, Option<usize>) {
        let mut rest = self.index.stored(u32::try_from(from).unwrap_or(u32::MAX));
        let listed = rest.by_ref().take(limit).map(|(_, waiting)| self.listed(waiting)).collect();
        (listed, rest.next().map(|(place, _)| place as usize))
    }

    fn listed(&self, waiting: &Waiting) -> Listed {
        Listed {
            ticket: waiting.ticket(&self.index.terms),
            query: self.index.plan(waiting).text(&self.index.terms),
            intervals: waiting.intervals,
        }
    }

    /// Why a ticket waits. Does a bounded part of the work: call it again with what it gave, until
    /// that is whole.
    pub fn explain(&self, id: TicketId, so_far: Option<Explanation>) -> Result<Explanation, Error> {
        let slot = self.index.find(id).ok_or(Error::NotFound)?;
        let me = self.index.waiting(slot);
        let (plan, terms) = (self.index.plan(me), &self.index.terms);
        let mut so_far = so_far.unwrap_or_else(|| Explanation {
            listed: self.listed(me),
            others: 0,
            acceptable: 0,
            by_clause: plan.clauses(terms).into_iter().map(|clause| (clause, 0)).collect(),
            by_counts: 0,
            by_owner: 0,
            by_their_query: 0,
            nearest: None,
            next: Some(0),
        });
        let (from, mut left) = (so_far.next.unwrap_or(u32::MAX), BUDGET);
        so_far.next = None;
        terms.take_looked();
        for (place, other) in self.index.stored(from) {
            if left == 0 {
                so_far.next = Some(place);
                break;
            }
            if other.id() == id {
                continue;
            }
            so_far.others += 1;
            let is_inside =
                me.counts.min() <= other.counts.min() && other.counts.max() <= me.counts.max();
            let is_own = other.shares_session(me) || me.shares_party(other);
            let is_refused =
                self.settings.rev_precision && !self.index.plan(other).accepts(me, terms);
            let by_clause = plan.excludes(other, terms);
            let others = [!is_inside, is_own, is_refused];
            let cost = plan.weight() + terms.take_looked();
            left = left.saturating_sub(cost);

            let counts = [&mut so_far.by_counts, &mut so_far.by_owner, &mut so_far.by_their_query];
            for (count, excludes) in counts.into_iter().zip(others) {
                *count += u64::from(excludes);
            }
            for ((_, count), excludes) in so_far.by_clause.iter_mut().zip(&by_clause) {
                *count += u64::from(*excludes);
            }
            let reasons = by_clause.iter().chain(&others).filter(|excludes| **excludes).count();
            so_far.acceptable += u64::from(reasons == 0);
            let is_nearer = so_far.nearest.as_ref().is_none_or(|nearest| {
                (reasons, other.created) < (nearest.lacks.len(), nearest.created)
            });
            if is_nearer {
                let clauses = so_far.by_clause.iter().map(|(clause, _)| clause.as_str());
                let names = clauses.zip(by_clause).chain(OTHER_REASONS.into_iter().zip(others));
                let lacks = names.filter(|(_, excludes)| *excludes);
                let lacks = lacks.map(|(reason, _)| reason.to_owned()).collect();
                let created = other.created;
                so_far.nearest = Some(Nearest { ticket: other.id(), created, lacks });
            }
        }
        Ok(so_far)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::{SessionId, UnixTime, UserId};

    use super::*;
    use crate::{Counts, Mode, Presence, Query, Settings};

    /// Expensive patterns over long texts cost no more at once than cheap ones.
    #[test]
    fn an_explanation_is_made_in_bounded_parts() {
        let settings = Settings {
            mode: Mode::Compatible,
            interval: Duration::from_secs(1),
            max_intervals: 2,
            max_tickets: 1,
            rev_precision: false,
            rev_threshold: 1,
        };
        let mut pool = Pool::new(settings, 1, "n");
        let id = |number: u8| TicketId::from_bytes([number; 16]);
        for number in 1..=100 {
            let presence = Presence {
                user_id: UserId::from_bytes([number; 16]),
                session_id: SessionId::from_bytes([number; 16]),
                username: "".into(),
            };
            let ticket = Ticket {
                id: id(number),
                entries: vec![presence],
                party: None,
                counts: Counts::new(2, 2, None).expect("good counts"),
                string_properties: [("text".into(), format!("{number}{}", "a".repeat(1000)))]
                    .into(),
                numeric_properties: [].into(),
                created: UnixTime(0),
            };
            let query = Query::parse("+properties.text:/.*b/ +properties.a:x").expect("a query");
            pool.add(ticket, &query).expect("room");
        }
        let (mut parts, mut so_far) = (0, None);
        let whole = loop {
            let part = pool.explain(id(1), so_far).expect("it waits");
            parts += 1;
            if part.is_whole() {
                break part;
            }
            so_far = Some(part);
        };
        assert!(parts > 20, "{parts}");
        assert_eq!((whole.others, whole.acceptable), (99, 0));
        assert!(whole.by_clause.iter().all(|(_, tickets)| *tickets == 99), "{whole:?}");
        assert_eq!(whole.nearest.expect("99 are there").lacks.len(), 2);
    }
}
