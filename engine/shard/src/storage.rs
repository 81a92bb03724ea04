//! Storage objects: changes are one question to the home of their owner, reads are one to each home
//! they concern, and the list of a collection is merged from all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Error;
use api::convert::storage::{self as convert, cursor, parse_cursor};
use api::reply::Reply;
use api::request::{ObjectList, Storage};
use base::limits::OBJECTS_PAGE_BYTES_MAX;
use base::{ShardId, UserId};
use domain::ctx::{Applied, Ctx, Stop};
use domain::economy::object::{self, Change, Found, Id, List, Page, Place, SYSTEM, Who};
use domain::identity::{account, session};

use crate::Shard;
use crate::entity::{Refusal, guard};
use crate::message::{Answer, Errand, Query};
use crate::state::State;
use crate::task::{Step, invalid_token};
use domain::identity::session::Bearer;

/// What the home of an owner is asked.
#[derive(Clone, Debug)]
pub enum StorageQuery {
    /// By the owner, whose token has to be good.
    Change {
        bearer: Bearer,
        changes: Arc<Vec<Change>>,
    },
    Read {
        who: Who,
        /// Whose token has to be good, if nobody has looked at it yet.
        bearer: Option<Bearer>,
        ids: Vec<Id>,
    },
    OfOwner {
        who: Who,
        bearer: Option<Bearer>,
        owner: UserId,
        list: List,
    },
    /// As far as the owners live here.
    OfCollection {
        who: Who,
        list: List,
    },
}

/// What is awaited of homes.
#[derive(Debug)]
pub(crate) enum Storing {
    Change,
    /// The caller's home has looked at the token; then others are asked for these.
    Read {
        who: Who,
        others: Vec<Id>,
        found: Vec<Found>,
    },
    /// Is the token of whoever wants a list still good?
    ListGuard {
        who: Who,
        owner: Option<UserId>,
        list: List,
    },
    List {
        list: List,
        pages: Vec<Page>,
    },
}

fn wait(storing: Storing) -> Step {
    Step::Wait(State::Storage(Box::new(storing)))
}

impl Shard {
    pub(crate) fn begin_storage(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        request: Storage,
    ) -> Step {
        let Some(bearer) = bearer else { return Step::Fail(invalid_token()) };
        let begun = match request {
            Storage::Change(changes) => self.change_objects(task, bearer, changes),
            Storage::Read(names) => {
                let ids: Result<Vec<_>, _> = names.iter().map(convert::id).collect();
                ids.and_then(|ids| self.read_objects(task, bearer, ids))
            }
            Storage::List(list) => self.list_objects(task, bearer, list),
        };
        begun.unwrap_or_else(|error| self.refuse_after_guard(task, bearer, error))
    }

    fn change_objects(
        &mut self,
        task: u64,
        bearer: Bearer,
        changes: Vec<api::request::ObjectChange>,
    ) -> Result<Step, Error> {
        let user = bearer.user_id;
        let changes = changes.into_iter().map(|change| convert::change(user, change));
        let changes = Arc::new(changes.collect::<Result<Vec<_>, _>>()?);
        object::check(&changes)?;
        let query = Query::Storage(StorageQuery::Change { bearer, changes });
        self.ask(task, self.config.placement.of_user(user), query);
        Ok(wait(Storing::Change))
    }

    fn read_objects(&mut self, task: u64, bearer: Bearer, ids: Vec<Id>) -> Result<Step, Error> {
        object::check_ids(&ids)?;
        let who = Who::User(bearer.user_id);
        let home = self.config.placement.of_user(bearer.user_id);
        let is_here = |id: &Id| self.config.placement.of_user(id.user) == home;
        let (ids, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_here);
        let bearer = Some(bearer);
        self.ask(task, home, Query::Storage(StorageQuery::Read { who, bearer, ids }));
        Ok(wait(Storing::Read { who, others, found: Vec::new() }))
    }

    fn list_objects(
        &mut self,
        task: u64,
        bearer: Bearer,
        wanted: ObjectList,
    ) -> Result<Step, Error> {
        let who = Who::User(bearer.user_id);
        let owner = convert::owner(&wanted)?;
        let ObjectList { collection, limit, cursor, .. } = wanted;
        let list = List { collection, after: parse_cursor(&cursor)?, limit };
        let Some(owner) = owner.filter(|owner| *owner == bearer.user_id) else {
            self.ask_guarded(task, bearer, Errand::Nothing);
            return Ok(wait(Storing::ListGuard { who, owner, list }));
        };
        let home = self.config.placement.of_user(owner);
        let (bearer, asked) = (Some(bearer), list.clone());
        let query = StorageQuery::OfOwner { who, bearer, owner, list: asked };
        self.ask(task, home, Query::Storage(query));
        Ok(wait(Storing::List { list, pages: Vec::new() }))
    }

    pub(crate) fn storage_step(
        &mut self,
        task: u64,
        storing: Storing,
        answer: Answer,
        is_last: bool,
    ) -> Step {
        match (storing, answer) {
            (Storing::Change, Answer::ObjectAcks(acks)) => Step::Done(Reply::ObjectAcks { acks }),
            (Storing::Read { who, others, mut found }, Answer::Objects(more)) => {
                found.extend(more);
                let mut by_home: BTreeMap<ShardId, Vec<Id>> = BTreeMap::new();
                for id in others {
                    by_home.entry(self.config.placement.of_user(id.user)).or_default().push(id);
                }
                let is_whole = by_home.is_empty() && is_last;
                for (home, ids) in by_home {
                    let query = StorageQuery::Read { who, bearer: None, ids };
                    self.ask(task, home, Query::Storage(query));
                }
                if !is_whole {
                    return wait(Storing::Read { who, others: Vec::new(), found });
                }
                let size: usize = found.iter().map(|found| found.object.value.len()).sum();
                match size > OBJECTS_PAGE_BYTES_MAX {
                    true => Step::Fail(object::Error::TooLarge.into()),
                    false => Step::Done(Reply::Objects { found }),
                }
            }
            (Storing::ListGuard { who, owner, list }, Answer::Done) => {
                self.ask_for_list(task, who, owner, list)
            }
            (Storing::List { list, mut pages }, Answer::ObjectPage(page)) => {
                pages.push(page);
                match is_last {
                    true => Step::Done(merged(pages, list.limit)),
                    false => wait(Storing::List { list, pages }),
                }
            }
            (storing, answer) => {
                debug_assert!(false, "{storing:?} does not wait for {answer:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    fn ask_for_list(&mut self, task: u64, who: Who, owner: Option<UserId>, list: List) -> Step {
        match owner {
            Some(owner) => {
                let home = self.config.placement.of_user(owner);
                let query = StorageQuery::OfOwner { who, bearer: None, owner, list: list.clone() };
                self.ask(task, home, Query::Storage(query));
            }
            None => {
                for home in ShardId::all(self.config.placement.count) {
                    let query = StorageQuery::OfCollection { who, list: list.clone() };
                    self.ask(task, home, Query::Storage(query));
                }
            }
        }
        wait(Storing::List { list, pages: Vec::new() })
    }
}

/// One page of those of several homes.
fn merged(pages: Vec<Page>, limit: usize) -> Reply {
    let mut has_more = pages.iter().any(|page| page.has_more);
    // Behind the end of a page that has more, others are not known to follow next.
    let ends = pages.iter().filter(|page| page.has_more);
    let end = ends.filter_map(|page| page.found.last().map(place)).min();
    let mut found: Vec<_> = pages.into_iter().flat_map(|page| page.found).collect();
    found.sort_by_key(place);
    if let Some(end) = end {
        found.retain(|found| place(found) <= end);
    }
    has_more |= found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    Reply::ObjectList { cursor: last.map(|last| cursor(&place(last))), found }
}

fn place(found: &Found) -> Place {
    let Found { id, object } = found;
    Place { permission_read: object.permission_read, key: id.key.clone(), user: id.user }
}

/// The home's side.
pub(crate) fn answer(
    ctx: &mut Ctx<'_>,
    is_here: &dyn Fn(UserId) -> bool,
    query: &StorageQuery,
) -> Applied<Answer, Refusal> {
    let check = |ctx: &mut Ctx<'_>, bearer: &Option<Bearer>| match bearer {
        Some(bearer) => guard(ctx, bearer, session::Check::Everything).map(drop),
        None => Ok(()),
    };
    match query {
        StorageQuery::Change { bearer, changes } => {
            let user = guard(ctx, bearer, session::Check::Everything)?;
            let who = Who::User(bearer.user_id);
            let acks = object::apply(ctx, who, changes).map_err(|stop| stop.map(Into::into))?;
            match user {
                Some(_) => Ok(Answer::ObjectAcks(acks)),
                None => Err(Stop::Refused(Refusal::Revoked)),
            }
        }
        StorageQuery::Read { who, bearer, ids } => {
            check(ctx, bearer)?;
            let mut found = object::read(ctx, *who, ids).map_err(|stop| stop.map(Refusal::from))?;
            keep_owned(ctx, &mut found)?;
            Ok(Answer::Objects(found))
        }
        StorageQuery::OfOwner { who, bearer, owner, list } => {
            check(ctx, bearer)?;
            let page = object::list_of_owner(ctx, *who, *owner, list).map_err(Stop::never)?;
            owned(ctx, page)
        }
        StorageQuery::OfCollection { who, list } => {
            let page = object::list_of_collection(ctx, *who, is_here, list).map_err(Stop::never)?;
            owned(ctx, page)
        }
    }
}

fn owned(ctx: &mut Ctx<'_>, mut page: Page) -> Applied<Answer, Refusal> {
    keep_owned(ctx, &mut page.found)?;
    Ok(Answer::ObjectPage(page))
}

/// Leaves out what deleted accounts have left behind, which is about to go.
fn keep_owned(ctx: &mut Ctx<'_>, found: &mut Vec<Found>) -> Applied<(), Refusal> {
    let mut owners = BTreeMap::from([(SYSTEM, true)]);
    let mut is_missing = false;
    for Found { id, .. } in found.iter() {
        if owners.contains_key(&id.user) {
            continue;
        }
        match account::read(ctx, id.user) {
            Ok(user) => drop(owners.insert(id.user, user.is_some())),
            Err(Stop::Unavailable) => is_missing = true,
            Err(stop) => return Err(stop.never()),
        }
    }
    if is_missing {
        return Err(Stop::Unavailable);
    }
    found.retain(|found| owners.get(&found.id.user).is_some_and(|is_there| *is_there));
    Ok(())
}
