//! What waits, and why a ticket waits still, for operators.

use base::TicketId;

use crate::index::Waiting;
use crate::pool::Pool;
use crate::ticket::{Error, Presence, Ticket};

/// Tickets that one call of [`Pool::explain`] looks at.
const LOOKS: usize = 2_000;

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
    next: Option<usize>,
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
        let mut rest = self.index.stored(from);
        let listed = rest.by_ref().take(limit).map(|(_, waiting)| self.listed(waiting)).collect();
        (listed, rest.next().map(|(place, _)| place))
    }

    fn listed(&self, waiting: &Waiting) -> Listed {
        Listed {
            ticket: self.index.ticket(waiting),
            query: self.index.plan(waiting).text(&self.index.terms),
            intervals: waiting.intervals,
        }
    }

    /// Why a ticket waits. Looks at a bounded number of tickets: call it again with what it gave,
    /// until that is whole.
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
        let mine =
            |entry: &Presence| me.entries.iter().any(|own| own.session_id == entry.session_id);
        let mut rest = self.index.stored(so_far.next.unwrap_or(usize::MAX));
        for (_, other) in rest.by_ref().take(LOOKS).filter(|(_, other)| other.id != id) {
            so_far.others += 1;
            let mut lacks = Vec::new();
            let excluded = plan.excludes(&other.subject(), terms);
            for ((clause, count), _) in
                so_far.by_clause.iter_mut().zip(excluded).filter(|(_, excludes)| *excludes)
            {
                *count += 1;
                lacks.push(clause.clone());
            }
            let is_inside =
                me.counts.min() <= other.counts.min() && other.counts.max() <= me.counts.max();
            let is_own =
                other.entries.iter().any(mine) || (me.party.is_some() && me.party == other.party);
            let is_refused = self.settings.rev_precision
                && !self.index.plan(other).accepts(&me.subject(), terms);
            for (is_excluded, count, lack) in [
                (!is_inside, &mut so_far.by_counts, "its counts do not lie inside"),
                (is_own, &mut so_far.by_owner, "it is of the same session or party"),
                (is_refused, &mut so_far.by_their_query, "its query excludes the ticket"),
            ] {
                if is_excluded {
                    *count += 1;
                    lacks.push(lack.to_owned());
                }
            }
            so_far.acceptable += u64::from(lacks.is_empty());
            let is_nearer = so_far.nearest.as_ref().is_none_or(|nearest| {
                (lacks.len(), other.created) < (nearest.lacks.len(), nearest.created)
            });
            if is_nearer {
                let created = other.created;
                so_far.nearest = Some(Nearest { ticket: other.id, created, lacks });
            }
        }
        so_far.next = rest.next().map(|(place, _)| place);
        Ok(so_far)
    }
}
