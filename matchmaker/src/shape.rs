//! What queries of one kind ask for, and the tickets that have it.

use std::hash::{BuildHasher, Hasher};

use base::collections::KeyHash;

use crate::cell::{Cells, Spot, cell_key};
use crate::index::Slot;
use crate::row::Datum;
use crate::terms::{Term, Terms};
use crate::waiting::Waiting;

/// What the queries of one shape ask for.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Properties of one certain value.
    pub(crate) fixed: Box<[Term]>,
    /// The number that has to lie between bounds.
    pub(crate) spanned: Option<Term>,
    /// Plans that use it; without any, another shape takes its place when one is needed.
    pub(crate) plans: u32,
    /// The tickets, but for those of the first shape, which are in lanes; and the groups whose
    /// query is of this shape. Where matches are mutual: the groups whose ticket is in these cells,
    /// in cells of their own ([`pair_key`]).
    ///
    /// [`pair_key`]: crate::cell::pair_key
    pub(crate) cells: Cells,
    pub(crate) build: Option<Build>,
}

/// How far a shape's cells are filled: lanes below this one wholly, and of this one those created
/// up to then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    pub(crate) lane: u32,
    pub(crate) created: u64,
    /// The newest ticket when it began: the oldest one goes on first.
    pub(crate) begun: u64,
}

impl Shape {
    /// Whether its cells are filled as far as this ticket.
    pub(crate) fn has(&self, waiting: &Waiting) -> bool {
        let lane = waiting.counts.max();
        self.build.is_none_or(|build| {
            lane < build.lane || (lane == build.lane && waiting.created <= build.created)
        })
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Term> {
        self.fixed.iter().copied().chain(self.spanned)
    }

    /// The cell of a ticket, if it has all that the shape asks for; and the number of the span.
    pub(crate) fn cell_of(
        &self,
        waiting: &Waiting,
        terms: &Terms,
        hash: KeyHash,
    ) -> Option<(u64, i64)> {
        let row = waiting.row();
        let mut hasher = hash.build_hasher();
        for field in &self.fixed {
            let key = match row.find(*field)? {
                Datum::Text(text) => terms.key(text),
                datum => datum.key()?.cast_unsigned(),
            };
            hasher.write_u64(key);
        }
        let number = match self.spanned {
            None => i64::MIN,
            Some(field) => row.find(field)?.key()?,
        };
        Some((cell_key(waiting.counts.max(), hasher.finish(), hash), number))
    }

    /// Where a ticket is in its cell.
    pub(crate) fn spot(&self, waiting: &Waiting, number: i64, slot: Slot) -> Spot {
        match self.spanned {
            None => Spot::of_creation(waiting.created, slot),
            Some(_) => Spot::new(number, slot),
        }
    }

    pub(crate) fn put(&mut self, waiting: &Waiting, slot: Slot, terms: &Terms, hash: KeyHash) {
        if let Some((key, number)) = self.cell_of(waiting, terms, hash) {
            let spot = self.spot(waiting, number, slot);
            self.cells.cell(key).tickets.insert(spot.0);
        }
    }

    pub(crate) fn forget(&mut self, waiting: &Waiting, slot: Slot, terms: &Terms, hash: KeyHash) {
        if let Some((key, number)) = self.cell_of(waiting, terms, hash) {
            let spot = self.spot(waiting, number, slot);
            self.cells.take(key, |cell| cell.tickets.remove(spot.0));
        }
    }
}
