//! What server code and operators do to storage objects and wallets: what is asked for may concern
//! several owners, each at a home of its own, and is one batch.

use std::collections::{BTreeMap, VecDeque};

use api::Error;
use api::console::{BelongingsAct, MultiUpdate};
use api::convert::belongings as convert;
use api::convert::storage;
use api::reply::Reply;
use api::request::{ObjectChange, ObjectList};
use base::limits::{BELONGINGS_USERS_MAX, WALLET_UPDATES_MAX};
use base::{LedgerId, Table, UserId};
use domain::ctx::{Applied, Ctx, Stop};
use domain::economy::object::{self, Change, List, SYSTEM, Who};
use domain::economy::wallet::{self, Updated};
use domain::identity::account;

use crate::Shard;
use crate::batch::Purpose;
use crate::entity::Refusal;
use crate::message::{Answer, Claim, Query};
use crate::storage::{StorageQuery, Storing, wait};
use crate::task::Step;

/// What is changed of one owner's, as one claim.
#[derive(Clone, Debug)]
pub struct Belongings {
    pub(crate) user: UserId,
    objects: Vec<Change>,
    wallet: Vec<wallet::Update>,
    updates_ledger: bool,
}

/// What that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    user: UserId,
    acks: Vec<object::Ack>,
    wallets: Vec<Updated>,
}

/// In which order the answer tells of owners.
#[derive(Debug)]
pub(crate) struct Order {
    acks: Vec<UserId>,
    wallets: Vec<UserId>,
}

impl Shard {
    /// Asks for what is only read.
    pub(crate) fn read_belongings(
        &mut self,
        task: u64,
        act: &BelongingsAct,
    ) -> Result<Step, Error> {
        Ok(match act {
            BelongingsAct::ObjectList(wanted) => self.list_for_server(task, wanted)?,
            BelongingsAct::ObjectGet(named) => {
                let id = convert::id(named)?;
                object::check_ids(std::slice::from_ref(&id))?;
                let home = self.config.placement.of_user(id.user);
                let (who, bearer, ids) = (Who::Server, None, vec![id]);
                self.ask(task, home, Query::Storage(StorageQuery::Read { who, bearer, ids }));
                wait(Storing::One)
            }
            BelongingsAct::Ledger { user, limit, cursor } => {
                let user = named_user(user)?;
                let (before, limit) = (convert::ledger_cursor(cursor)?, *limit);
                let home = self.config.placement.of_user(user);
                self.ask(task, home, Query::Storage(StorageQuery::Ledger { user, before, limit }));
                wait(Storing::Ledger { user })
            }
            BelongingsAct::ObjectWrite(_)
            | BelongingsAct::ObjectDelete(_)
            | BelongingsAct::LedgerDelete { .. }
            | BelongingsAct::Update(_) => return Err(Error::internal()),
        })
    }

    fn list_for_server(&mut self, task: u64, wanted: &ObjectList) -> Result<Step, Error> {
        let ObjectList { collection, cursor, limit, .. } = wanted;
        let owner = storage::owner(wanted)?;
        match (collection.is_empty(), owner) {
            (true, None) => Err(Error::invalid("Name a collection, an owner, or both.")),
            (true, Some(owner)) => {
                let (after, limit) = (convert::parse_all_cursor(cursor)?, *limit);
                let home = self.config.placement.of_user(owner);
                self.ask(task, home, Query::Storage(StorageQuery::All { owner, after, limit }));
                Ok(wait(Storing::All))
            }
            (false, owner) => {
                let after = storage::parse_cursor(cursor)?;
                let list = List { collection: collection.clone(), after, limit: *limit };
                Ok(self.ask_for_list(task, Who::Server, owner, list))
            }
        }
    }

    /// One batch of what is asked for.
    pub(crate) fn update_belongings(&mut self, task: u64, update: MultiUpdate) -> Step {
        match claims(update) {
            Ok((order, claims)) => {
                self.begin_batch(task, Purpose::Belongings(Box::new(order)), claims)
            }
            Err(error) => Step::Fail(error),
        }
    }
}

/// The claims of what one operator changes, and on what.
pub(crate) fn claims_of(act: &BelongingsAct) -> Result<(String, Vec<Claim>), Error> {
    match act {
        BelongingsAct::ObjectWrite(named) | BelongingsAct::ObjectDelete(named) => {
            let change = change(named.clone())?;
            object::check(std::slice::from_ref(&change))?;
            let object::Id { user, collection, key } = &change.id;
            let target = format!("{user}/{collection}/{key}");
            let belongings = Belongings {
                user: *user,
                objects: vec![change],
                wallet: Vec::new(),
                updates_ledger: false,
            };
            Ok((target, vec![Claim::Belongings(Box::new(belongings))]))
        }
        BelongingsAct::LedgerDelete { user, entry } => {
            let (user, id) = (named_user(user)?, convert::entry_id(entry)?);
            Ok((user.to_string(), vec![Claim::LedgerForget { user, id }]))
        }
        BelongingsAct::ObjectList(_)
        | BelongingsAct::ObjectGet(_)
        | BelongingsAct::Ledger { .. }
        | BelongingsAct::Update(_) => Err(Error::internal()),
    }
}

fn named_user(text: &str) -> Result<UserId, Error> {
    UserId::parse(text).ok_or_else(crate::identity::invalid_user_id)
}

fn change(named: ObjectChange) -> Result<Change, Error> {
    let user = convert::owner(&named.user)?;
    storage::change(user, named)
}

/// A claim for each owner, and the order of the request.
fn claims(update: MultiUpdate) -> Result<(Order, Vec<Claim>), Error> {
    let MultiUpdate { writes, deletes, wallets, updates_ledger } = update;
    if wallets.len() > WALLET_UPDATES_MAX {
        return Err(Error::invalid(format!("At most {WALLET_UPDATES_MAX} wallets at once.")));
    }
    let mut order = Order { acks: Vec::new(), wallets: Vec::new() };
    let mut of_users: BTreeMap<UserId, Belongings> = BTreeMap::new();
    let new = |user| Belongings { user, objects: Vec::new(), wallet: Vec::new(), updates_ledger };
    for named in writes.into_iter().chain(deletes) {
        let change = change(named)?;
        let user = change.id.user;
        if change.value.is_some() {
            order.acks.push(user);
        }
        of_users.entry(user).or_insert_with(|| new(user)).objects.push(change);
    }
    for wanted in wallets {
        let (user, update) = convert::update(wanted)?;
        order.wallets.push(user);
        of_users.entry(user).or_insert_with(|| new(user)).wallet.push(update);
    }
    if of_users.is_empty() {
        return Err(Error::invalid("Nothing to update."));
    }
    if of_users.len() > BELONGINGS_USERS_MAX {
        return Err(Error::invalid(format!("At most {BELONGINGS_USERS_MAX} owners at once.")));
    }
    for belongings in of_users.values() {
        object::check(&belongings.objects)?;
    }
    let claims = of_users.into_values().map(|belongings| Claim::Belongings(Box::new(belongings)));
    Ok((order, claims.collect()))
}

/// The answer to an update, in the order of the request.
pub(crate) fn updated(order: &Order, changed: Vec<Changed>) -> Step {
    let (mut acks, mut wallets) = (BTreeMap::new(), BTreeMap::new());
    for Changed { user, acks: of_user, wallets: wallets_of_user } in changed {
        acks.insert(user, VecDeque::from(of_user));
        wallets.insert(user, VecDeque::from(wallets_of_user));
    }
    let acks = order.acks.iter().filter_map(|user| acks.get_mut(user)?.pop_front());
    let wallets = order.wallets.iter().filter_map(|user| wallets.get_mut(user)?.pop_front());
    let json = convert::updated(&acks.collect::<Vec<_>>(), &wallets.collect::<Vec<_>>());
    Step::Done(Reply::Document { json: json.into() })
}

/// The answer to an operator who has written one object.
pub(crate) fn written(changed: &[Changed]) -> Option<Reply> {
    let ack = changed.iter().find_map(|changed| changed.acks.first())?;
    Some(Reply::Document { json: convert::ack(ack).into() })
}

// The home's side.

/// Prepares one owner's part. The account is written too, even as it is: whoever deletes it waits
/// for this batch, and then nothing comes to be behind the erasure.
pub(crate) fn prepare(ctx: &mut Ctx<'_>, belongings: &Belongings) -> Applied<Answer, Refusal> {
    let Belongings { user, objects, wallet, updates_ledger } = belongings;
    let mut wallets = Vec::new();
    if *user == SYSTEM {
        if !wallet.is_empty() {
            return Err(Stop::Refused(account::Error::NotFound.into()));
        }
    } else {
        let found = account::read(ctx, *user).map_err(Stop::never)?;
        let mut account = found.ok_or(Stop::Refused(account::Error::NotFound.into()))?;
        let kept = wallet::parse(&account.wallet).ok_or(Stop::Damaged(ACCOUNTS))?;
        let mut kept = kept;
        for update in wallet {
            let after = wallet::add(&kept, update).map_err(|error| Stop::Refused(error.into()))?;
            let previous = std::mem::replace(&mut kept, after.clone());
            wallets.push(Updated { user: *user, previous, updated: after });
        }
        if !wallet.is_empty() {
            account.wallet = wallet::text(&kept);
            account.update_time = ctx.now.wall.secs();
        }
        account::keep(ctx, *user, &account);
        if *updates_ledger {
            wallet::enter(ctx, *user, wallet);
        }
    }
    let acks = object::apply(ctx, Who::Server, objects).map_err(|stop| stop.map(Refusal::from))?;
    Ok(Answer::Changes(Box::new(Changed { user: *user, acks, wallets })))
}

/// The table of accounts, whose wallets may be damaged.
const ACCOUNTS: Table = <account::User as domain::record::Record>::TABLE;

pub(crate) fn forget(ctx: &mut Ctx<'_>, user: UserId, id: LedgerId) -> Applied<(), Refusal> {
    wallet::forget(ctx, user, id).map_err(|stop| stop.map(Refusal::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::console::WalletUpdate;

    fn named(user: &str, key: &str, value: Option<&str>) -> ObjectChange {
        let value = value.map(|text| api::request::ObjectValue {
            text: text.into(),
            permission_read: 1,
            permission_write: 1,
        });
        ObjectChange {
            collection: "c".into(),
            key: key.into(),
            user: user.into(),
            version: String::new(),
            value,
        }
    }

    #[test]
    fn there_is_one_claim_for_each_owner_and_writes_come_first() {
        let [ann, ben] = [1, 2].map(|byte| UserId::from_bytes([byte; 16]).to_string());
        let update = MultiUpdate {
            writes: vec![named(&ben, "a", Some("{}")), named(&ann, "b", Some("{}"))],
            deletes: vec![named(&ben, "c", None), named("", "d", None)],
            wallets: vec![WalletUpdate { user: ben.clone(), ..WalletUpdate::default() }],
            updates_ledger: true,
        };
        let (order, claims) = claims(update).expect("well-formed");
        let shown = |users: &[UserId]| users.iter().map(UserId::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&order.acks), [ben.clone(), ann.clone()]);
        assert_eq!(shown(&order.wallets), std::slice::from_ref(&ben));
        let of = |claim: &Claim| match claim {
            Claim::Belongings(one) => (one.user.to_string(), one.objects.len(), one.wallet.len()),
            other => panic!("{other:?}"),
        };
        let claims: Vec<_> = claims.iter().map(of).collect();
        assert_eq!(claims, [(SYSTEM.to_string(), 1, 0), (ann, 1, 0), (ben, 2, 1)]);
    }

    #[test]
    fn what_cannot_be_is_refused_before_anybody_is_asked() {
        let user = UserId::from_bytes([1; 16]).to_string();
        let wallet = |user: &str, name: &str| WalletUpdate {
            user: user.into(),
            changeset: [(name.to_owned(), 1)].into(),
            metadata: String::new(),
        };
        let update = |writes, wallets| MultiUpdate { writes, wallets, ..MultiUpdate::default() };
        for wrong in [
            update(vec![], vec![]),
            update(vec![named("x", "k", Some("{}"))], vec![]),
            update(vec![named(&user, "", Some("{}"))], vec![]),
            update(vec![named(&user, "k", Some("[]"))], vec![]),
            update(vec![], vec![wallet("", "coins")]),
            update(vec![], vec![wallet(&user, "")]),
            update(vec![], vec![wallet(&user, "coins"); WALLET_UPDATES_MAX + 1]),
        ] {
            assert!(claims(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
