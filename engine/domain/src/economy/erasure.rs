//! What a deleted account leaves behind goes little by little: a job, begun in the batch that
//! deletes the account, and found again after a restart.

use base::limits::ERASURES_PAGE_MAX;
use base::{Frame, UserId};

use super::{object, wallet};
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::erasure::{Erasure, behind};
use crate::record::{self, Record as _};

/// Notes that the user's belongings are to go.
pub fn begin(ctx: &mut Ctx<'_>, user: UserId) {
    let begun = ctx.now.wall.secs();
    record::write(ctx, user.as_bytes(), &Erasure { begun });
}

/// The users whose erasure these changes begin.
pub fn written(frame: &Frame) -> Vec<UserId> {
    let notes = frame.changes().filter(|change| change.table == Erasure::TABLE);
    let begun = notes.filter(|note| note.value.is_some());
    begun.filter_map(|note| note.key.try_into().ok().map(UserId::from_bytes)).collect()
}

/// Erases a part of them; `true` when that may not have been the last.
pub fn step(ctx: &mut Ctx<'_>, user: UserId) -> Applied<bool, Never> {
    Ok(object::erase(ctx, user)? || wallet::erase(ctx, user)?)
}

/// Nothing is left.
pub fn end(ctx: &mut Ctx<'_>, user: UserId) {
    record::delete::<Erasure>(ctx, user.as_bytes());
}

/// A page of all erasures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub users: Vec<UserId>,
    /// Behind whom the next page begins, if there may be one.
    pub next: Option<UserId>,
}

/// Erasures of users who live here.
pub fn list(
    ctx: &mut Ctx<'_>,
    is_here: &dyn Fn(UserId) -> bool,
    after: Option<UserId>,
) -> Applied<Page, Never> {
    let rows = ctx.view.range(&behind(after, ERASURES_PAGE_MAX))?;
    let users = rows.iter().map(|(key, _)| (**key).try_into().map(UserId::from_bytes));
    let users: Result<Vec<_>, _> = users.collect();
    let mut users = users.map_err(|_| Stop::Damaged(Erasure::TABLE))?;
    let next = users.last().copied().filter(|_| users.len() == ERASURES_PAGE_MAX);
    users.retain(|user| is_here(*user));
    Ok(Page { users, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    #[test]
    fn erasures_are_found_page_by_page_by_their_home_only() {
        let mut world = World::default();
        let user = |n: usize| {
            UserId::from_bytes(std::array::from_fn(|at| {
                n.to_be_bytes().get(at).copied().unwrap_or(1)
            }))
        };
        let count = ERASURES_PAGE_MAX + 3;
        for n in 0..count {
            world.apply(|ctx| begin(ctx, user(n)));
        }
        let is_here = |user: UserId| user.as_bytes()[7].is_multiple_of(2);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = world.apply(|ctx| list(ctx, &is_here, after)).expect("all is here");
            found.extend(page.users);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..count).map(user).filter(|user| is_here(*user)).collect();
        assert_eq!(found, expected);
        world.apply(|ctx| end(ctx, user(0)));
        let page = world.apply(|ctx| list(ctx, &is_here, None)).expect("all is here");
        assert_eq!(page.users.first(), Some(&user(2)));
    }
}
