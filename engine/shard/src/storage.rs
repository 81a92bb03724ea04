//! Storage objects: changes are one question to the home of their owner, reads are one to each home
//! they concern, and the list of a collection is merged from all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Error;
use api::convert::belongings;
use api::convert::storage::{self as convert, cursor, parse_cursor};
use api::reply::{Reply, UserView};
use api::request::{ObjectList, Storage};
use base::limits::{
    EXPORT_BYTES_MAX, LEDGER_PAGE_MAX, OBJECTS_PAGE_BYTES_MAX, OBJECTS_PAGE_MAX, OBJECTS_ROUNDS_MAX,
};
use base::{Code, LedgerId, ShardId, UserId};
use domain::compete::leaderboard::Written;
use domain::ctx::{Applied, Ctx, Stop};
use domain::economy::object::{self, Change, Found, Id, List, Page, Place, SYSTEM, Who};
use domain::economy::wallet;
use domain::identity::{account, session};
use domain::record::board::Period;

use crate::Shard;
use crate::board::{BoardAnswer, BoardQuery};
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
    /// Everything that an owner has, from behind this place on.
    All {
        owner: UserId,
        after: Option<(String, Place)>,
        limit: usize,
    },
    /// What changed a wallet, newest first.
    Ledger {
        user: UserId,
        before: Option<LedgerId>,
        limit: usize,
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
    List(Listing),
    /// One object, for server code.
    One,
    All,
    Ledger {
        user: UserId,
    },
    Export(Box<Exporting>),
}

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Listing {
    who: Who,
    owner: Option<UserId>,
    list: List,
    /// Of earlier rounds, in the order of the list.
    found: Vec<Found>,
    pages: Vec<Page>,
    rounds: u32,
}

/// An account's export in the making.
#[derive(Debug)]
pub(crate) struct Exporting {
    view: UserView,
    objects: Vec<Found>,
    ledger: Vec<(LedgerId, wallet::Entry)>,
    records: Vec<Written>,
    /// Whose boards are still to be asked, the next one last.
    homes: Vec<ShardId>,
    size: usize,
    /// For the audit trail, if an operator takes it away.
    change: Option<Box<crate::operator::Change>>,
}

pub(crate) fn wait(storing: Storing) -> Step {
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
        Ok(wait(Storing::List(Listing::new(who, Some(owner), list))))
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
            (Storing::List(mut listing), Answer::ObjectPage(page)) => {
                listing.pages.push(page);
                match is_last {
                    true => self.go_on_listing(task, listing),
                    false => wait(Storing::List(listing)),
                }
            }
            (Storing::One, Answer::Objects(found)) => match found.first() {
                Some(found) => document(belongings::object(found)),
                None => Step::Fail(Error::new(Code::NotFound, "There is no such object.")),
            },
            (Storing::All, Answer::AllObjects(found, next)) => {
                document(belongings::objects(&found, next.as_ref()))
            }
            (Storing::Ledger { user }, Answer::Ledger(page)) => {
                document(belongings::ledger_page(user, &page))
            }
            (Storing::Export(exporting), answer) => self.go_on_exporting(task, *exporting, answer),
            (storing, answer) => {
                debug_assert!(false, "{storing:?} does not wait for {answer:?}");
                Step::Fail(Error::internal())
            }
        }
    }

    pub(crate) fn ask_for_list(
        &mut self,
        task: u64,
        who: Who,
        owner: Option<UserId>,
        list: List,
    ) -> Step {
        self.ask_round(task, Listing::new(who, owner, list))
    }

    /// Asks for what comes next in the list.
    fn ask_round(&mut self, task: u64, listing: Listing) -> Step {
        let Listing { who, owner, list, .. } = &listing;
        let (who, list) = (*who, list.clone());
        match *owner {
            Some(owner) => {
                let home = self.config.placement.of_user(owner);
                let query = StorageQuery::OfOwner { who, bearer: None, owner, list };
                self.ask(task, home, Query::Storage(query));
            }
            None => {
                for home in ShardId::all(self.config.placement.count) {
                    let query = StorageQuery::OfCollection { who, list: list.clone() };
                    self.ask(task, home, Query::Storage(query));
                }
            }
        }
        wait(Storing::List(listing))
    }

    /// All homes have answered: there is enough for a page, or it ends here, or they go on.
    fn go_on_listing(&mut self, task: u64, mut listing: Listing) -> Step {
        let pages = std::mem::take(&mut listing.pages);
        let (more, end) = merged(pages);
        listing.found.extend(more);
        listing.rounds += 1;
        let size: usize = listing.found.iter().map(|found| found.object.value.len()).sum();
        let is_enough = listing.found.len() >= listing.list.limit
            || size > OBJECTS_PAGE_BYTES_MAX
            || listing.rounds >= OBJECTS_ROUNDS_MAX
            || listing.owner.is_some();
        match end {
            Some(end) if !is_enough => {
                listing.list.after = Some(end);
                self.ask_round(task, listing)
            }
            end => {
                let Listing { list: List { limit, .. }, mut found, .. } = listing;
                let end = match fitting(&found, limit) {
                    count if count < found.len() => {
                        found.truncate(count);
                        found.last().map(place)
                    }
                    _ => end,
                };
                Step::Done(Reply::ObjectList { cursor: end.as_ref().map(cursor), found })
            }
        }
    }

    /// Gathers everything that is kept of an account.
    pub(crate) fn begin_export(
        &mut self,
        task: u64,
        view: UserView,
        change: Option<Box<crate::operator::Change>>,
    ) -> Step {
        let (objects, ledger, records) = (Vec::new(), Vec::new(), Vec::new());
        let homes = ShardId::all(self.config.placement.count).collect();
        let exporting = Exporting { view, objects, ledger, records, homes, size: 0, change };
        self.ask_objects_of(task, exporting, None)
    }

    fn ask_objects_of(
        &mut self,
        task: u64,
        exporting: Exporting,
        after: Option<(String, Place)>,
    ) -> Step {
        let (owner, limit) = (exporting.view.id, OBJECTS_PAGE_MAX);
        let home = self.config.placement.of_user(owner);
        self.ask(task, home, Query::Storage(StorageQuery::All { owner, after, limit }));
        wait(Storing::Export(Box::new(exporting)))
    }

    fn ask_ledger_of(&mut self, task: u64, exporting: Exporting, before: Option<LedgerId>) -> Step {
        let (user, limit) = (exporting.view.id, LEDGER_PAGE_MAX);
        let home = self.config.placement.of_user(user);
        self.ask(task, home, Query::Storage(StorageQuery::Ledger { user, before, limit }));
        wait(Storing::Export(Box::new(exporting)))
    }

    /// Asks the next home for records, or if there is none, ends.
    fn ask_records_of(
        &mut self,
        task: u64,
        mut exporting: Exporting,
        after: Option<Period>,
    ) -> Step {
        if let Some(home) = exporting.homes.last() {
            let owner = exporting.view.id;
            self.ask(task, *home, Query::Board(BoardQuery::Owned { owner, after }));
            return wait(Storing::Export(Box::new(exporting)));
        }
        let Exporting { view, objects, ledger, records, change, .. } = &mut exporting;
        let json = api::convert::account::export(view, objects, ledger, records);
        match change.take() {
            Some(change) => self.commit_export(task, &change, json),
            None => document(json),
        }
    }

    fn go_on_exporting(&mut self, task: u64, mut exporting: Exporting, answer: Answer) -> Step {
        let Exporting { objects, ledger, records, homes, size, .. } = &mut exporting;
        let next = match answer {
            Answer::AllObjects(found, next) => {
                *size += found.iter().map(|found| found.object.value.len() + 256).sum::<usize>();
                objects.extend(found);
                Next::Objects(next)
            }
            Answer::Ledger(page) => {
                let entry = |(_, entry): &(_, wallet::Entry)| {
                    entry.changeset.len() + entry.metadata.len() + 256
                };
                *size += page.entries.iter().map(entry).sum::<usize>();
                ledger.extend(page.entries);
                Next::Ledger(page.next)
            }
            Answer::Board(BoardAnswer::Owned(owned)) => {
                let size_of = |written: &Written| written.listed.score.size() + 256;
                *size += owned.records.iter().map(size_of).sum::<usize>();
                records.extend(owned.records);
                if owned.next.is_none() {
                    homes.pop();
                }
                Next::Records(owned.next)
            }
            answer => {
                debug_assert!(false, "an export does not wait for {answer:?}");
                return Step::Fail(Error::internal());
            }
        };
        if *size > EXPORT_BYTES_MAX {
            return Step::Fail(Error::exhausted("The account holds too much for one document."));
        }
        match next {
            Next::Objects(Some(after)) => self.ask_objects_of(task, exporting, Some(after)),
            Next::Objects(None) => self.ask_ledger_of(task, exporting, None),
            Next::Ledger(Some(before)) => self.ask_ledger_of(task, exporting, Some(before)),
            Next::Ledger(None) => self.ask_records_of(task, exporting, None),
            Next::Records(after) => self.ask_records_of(task, exporting, after),
        }
    }
}

/// Where an export goes on.
enum Next {
    Objects(Option<(String, Place)>),
    Ledger(Option<LedgerId>),
    Records(Option<Period>),
}

impl Listing {
    fn new(who: Who, owner: Option<UserId>, list: List) -> Listing {
        Listing { who, owner, list, found: Vec::new(), pages: Vec::new(), rounds: 0 }
    }
}

fn document(json: String) -> Step {
    Step::Done(Reply::Document { json: json.into() })
}

/// One page of those of several homes, and the place up to which all of them know the list.
fn merged(pages: Vec<Page>) -> (Vec<Found>, Option<Place>) {
    let end = pages.iter().filter_map(|page| page.end.clone()).min();
    let mut found: Vec<_> = pages.into_iter().flat_map(|page| page.found).collect();
    found.sort_by_key(place);
    if let Some(end) = &end {
        found.retain(|found| place(found) <= *end);
    }
    (found, end)
}

/// How many of these one answer takes.
fn fitting(found: &[Found], limit: usize) -> usize {
    let mut size = 0;
    let fits = |found: &&Found| {
        let is_first = size == 0;
        size += found.object.value.len();
        is_first || size <= OBJECTS_PAGE_BYTES_MAX
    };
    found.iter().take(limit).take_while(fits).count()
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
            if guard(ctx, bearer, session::Check::Everything)?.is_none() {
                return Err(Stop::Refused(Refusal::Revoked));
            }
            let who = Who::User(bearer.user_id);
            let acks = object::apply(ctx, who, changes).map_err(|stop| stop.map(Into::into))?;
            Ok(Answer::ObjectAcks(acks))
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
        StorageQuery::All { owner, after, limit } => {
            let all = object::list_all(ctx, *owner, after.as_ref(), *limit);
            let (mut found, next) = all.map_err(Stop::never)?;
            keep_owned(ctx, &mut found)?;
            Ok(Answer::AllObjects(found, next))
        }
        StorageQuery::Ledger { user, before, limit } => {
            if account::read(ctx, *user).map_err(Stop::never)?.is_none() {
                return Err(Stop::Refused(account::Error::NotFound.into()));
            }
            let page = wallet::ledger(ctx, *user, *before, *limit).map_err(Stop::never)?;
            Ok(Answer::Ledger(page))
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
