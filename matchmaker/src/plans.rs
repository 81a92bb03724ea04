//! The plans of all waiting tickets, each distinct one once.

use std::hash::BuildHasher;

use base::collections::KeyHash;

use crate::group::GroupId;
use crate::plan::{Draft, Plan};
use crate::query::Query;
use crate::slab::Slab;
use crate::table::Table;
use crate::terms::Terms;

/// A plan in [`Plans`]; used again once no ticket has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlanId(pub(crate) u32);

/// Plans are known by two seeded hashes of their texts, which are not kept.
#[derive(Debug)]
pub(crate) struct Plans {
    by_text: Table,
    plans: Slab<Held>,
    hashes: [KeyHash; 2],
    draft: Draft,
}

#[derive(Debug)]
pub(crate) struct Held {
    text: (u64, u64),
    pub(crate) plan: Plan,
    /// The values that its shape asks for.
    pub(crate) values: u64,
    tickets: u32,
    /// One of its groups.
    pub(crate) group: Option<GroupId>,
    /// The shape of its cells.
    pub(crate) shape: u8,
}

const HELD: &str = "a plan is held while its tickets wait";

impl Plans {
    pub(crate) fn new(seed: u64) -> Plans {
        let hashes = [KeyHash { seed }, KeyHash { seed: seed.rotate_left(32) ^ u64::MAX }];
        Plans { by_text: Table::default(), plans: Slab::default(), hashes, draft: Draft::default() }
    }

    /// The plan of a query, which one ticket more has from now on, and whether it is new.
    pub(crate) fn hold(&mut self, query: &Query, terms: &mut Terms) -> (PlanId, bool) {
        let [first, second] = self.hashes.map(|hash| hash.hash_one(query.text()));
        let text = (first, second);
        let is_it = |number| self.plans.find(number).is_some_and(|held| held.text == text);
        if let Some(number) = self.by_text.find(first, is_it) {
            self.held_mut(PlanId(number)).tickets += 1;
            return (PlanId(number), false);
        }
        let plan = Plan::compile(query, terms, &mut self.draft);
        let held = Held { text, plan, values: 0, tickets: 1, group: None, shape: 0 };
        let number = self.plans.insert(held);
        self.by_text.insert(first, number);
        (PlanId(number), true)
    }

    /// Gives the plan back once nobody has it any more.
    pub(crate) fn release(&mut self, id: PlanId, terms: &mut Terms) -> Option<Held> {
        let held = self.held_mut(id);
        held.tickets -= 1;
        if held.tickets > 0 {
            return None;
        }
        let held = self.plans.remove(id.0).expect(HELD);
        held.plan.release(terms);
        self.by_text.remove(held.text.0, id.0);
        Some(held)
    }

    pub(crate) fn held(&self, id: PlanId) -> &Held {
        self.plans.find(id.0).expect(HELD)
    }

    pub(crate) fn held_mut(&mut self, id: PlanId) -> &mut Held {
        self.plans.find_mut(id.0).expect(HELD)
    }

    pub(crate) fn plan(&self, id: PlanId) -> &Plan {
        &self.held(id).plan
    }
}

impl Held {
    /// Whether other tickets may have it, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.tickets > 1
    }
}
