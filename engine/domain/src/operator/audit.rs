//! The audit trail: every change by an operator, numbered without a gap, never changed.

use base::limits::AUDIT_LOOKED_AT_MAX;

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record;
use crate::record::audit::{AuditHead, HEAD};

pub use crate::record::audit::AuditEntry;

/// Which entries are wanted, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Entries below this number; the newest ones without it.
    pub before: Option<u64>,
    pub limit: usize,
    /// Of this actor, or of any when it is empty.
    pub actor: String,
    /// Of this operation, or of any when it is empty.
    pub operation: String,
}

/// Entries with their numbers, and where to go on if there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<(u64, AuditEntry)>,
    pub next: Option<u64>,
}

/// The number that the next entry gets. Read it before anything is written: what follows cannot
/// fail then.
pub fn next_number(ctx: &mut Ctx<'_>) -> Applied<u64, Never> {
    let head: Option<AuditHead> = record::read(ctx, HEAD)?;
    Ok(head.unwrap_or_default().newest + 1)
}

/// Writes the entry of this number, at the time of the command.
pub fn append(ctx: &mut Ctx<'_>, number: u64, entry: &AuditEntry) {
    let entry = AuditEntry { time: ctx.now.wall.secs(), ..entry.clone() };
    record::write(ctx, &number.to_be_bytes(), &entry);
    record::write(ctx, HEAD, &AuditHead { newest: number });
}

/// A page of the trail. With a filter it may hold few entries, or none, and still have a next one:
/// one request looks at a bounded number of them.
pub fn list(ctx: &mut Ctx<'_>, wanted: &Wanted) -> Applied<Page, Never> {
    let newest = next_number(ctx)? - 1;
    let from = wanted.before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
    let to = from.saturating_sub(AUDIT_LOOKED_AT_MAX);
    let is_filtered = !(wanted.actor.is_empty() && wanted.operation.is_empty());
    let count = if is_filtered { from - to } else { (from - to).min(wanted.limit as u64) };

    // All keys that are missing are missed at once.
    let mut found = Vec::new();
    let mut is_missing = false;
    for number in (0..count).map(|back| from - back) {
        match record::read(ctx, &number.to_be_bytes()) {
            Ok(entry) => found.extend(entry.map(|entry: AuditEntry| (number, entry))),
            Err(Stop::Unavailable) => is_missing = true,
            Err(stop) => return Err(stop),
        }
    }
    if is_missing {
        return Err(Stop::Unavailable);
    }
    let is_wanted = |entry: &AuditEntry| {
        (wanted.actor.is_empty() || entry.actor == wanted.actor)
            && (wanted.operation.is_empty() || entry.operation == wanted.operation)
    };
    found.retain(|(_, entry)| is_wanted(entry));
    let is_cut = found.len() > wanted.limit;
    found.truncate(wanted.limit);
    let last = match found.last() {
        Some((number, _)) if is_cut => *number,
        _ => from - count + 1,
    };
    Ok(Page { entries: found, next: (last > 1).then_some(last) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    fn entry(actor: &str) -> AuditEntry {
        AuditEntry {
            time: 0,
            actor: actor.into(),
            operation: "console_account_ban".into(),
            target: String::new(),
            detail: "{}".into(),
        }
    }

    fn numbers(world: &mut World, wanted: &Wanted) -> (Vec<u64>, Option<u64>) {
        let page = world.apply(|ctx| list(ctx, wanted)).expect("it is read");
        (page.entries.iter().map(|(number, _)| *number).collect(), page.next)
    }

    #[test]
    fn a_trail_is_read_back_page_by_page() {
        let mut world = World::default();
        let wanted = Wanted { limit: 2, ..Wanted::default() };
        assert_eq!(numbers(&mut world, &wanted), (vec![], None));
        for actor in ["ann", "ben", "ann", "ann", "ben"] {
            world.apply(|ctx| {
                let number = next_number(ctx).expect("it is read");
                append(ctx, number, &entry(actor));
            });
        }
        assert_eq!(numbers(&mut world, &wanted), (vec![5, 4], Some(4)));
        let second = Wanted { before: Some(4), ..wanted.clone() };
        assert_eq!(numbers(&mut world, &second), (vec![3, 2], Some(2)));
        let third = Wanted { before: Some(2), ..wanted.clone() };
        assert_eq!(numbers(&mut world, &third), (vec![1], None));
        let of_ann = Wanted { actor: "ann".into(), ..wanted.clone() };
        assert_eq!(numbers(&mut world, &of_ann), (vec![4, 3], Some(3)));
        let rest = Wanted { before: Some(3), ..of_ann };
        assert_eq!(numbers(&mut world, &rest), (vec![1], None));
        let nothing = Wanted { operation: "other".into(), ..wanted };
        assert_eq!(numbers(&mut world, &nothing), (vec![], None));
        let page = world.apply(|ctx| list(ctx, &second)).expect("it is read");
        assert_eq!(page.entries[0].1.time, 1000);
    }

    #[test]
    fn one_request_looks_at_a_bounded_number_of_entries() {
        let mut world = World::default();
        for number in 1..=AUDIT_LOOKED_AT_MAX + 10 {
            world.apply(|ctx| append(ctx, number, &entry("ann")));
        }
        let wanted = Wanted { limit: 20, actor: "ben".into(), ..Wanted::default() };
        assert_eq!(numbers(&mut world, &wanted), (vec![], Some(11)));
        let rest = Wanted { before: Some(11), ..wanted };
        assert_eq!(numbers(&mut world, &rest), (vec![], None));
    }
}
