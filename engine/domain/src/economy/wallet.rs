//! Wallets: amounts by name, which only server code changes, and the ledger of what changed them.

use std::collections::BTreeMap;

use base::json::{self, Json};
use base::limits::{
    LEDGER_ERASED_MAX, LEDGER_PAGE_MAX, WALLET_METADATA_MAX, WALLET_NAME_MAX, WALLET_NAMES_MAX,
};
use base::{Code, LedgerId, UserId, jsonb};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::ledger::{LedgerEntry, id_of, ledger_key, newest_of};
use crate::record::{self, Record as _};

pub use crate::record::ledger::LedgerEntry as Entry;

/// What is in a wallet, or what is added to it.
pub type Amounts = BTreeMap<String, i64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The wallet would hold less than nothing of this.
    Negative(String),
    /// It would hold more of this than an amount can be.
    Overflow(String),
    /// A name is empty, too long, or has a zero byte.
    Name,
    /// The wallet would hold too many names, or the update has too many.
    TooManyNames,
    /// The metadata is no JSON object that can be kept.
    Metadata,
    /// There is no such entry in the ledger.
    NotFound,
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Error::Negative(_) | Error::Overflow(_) => Code::FailedPrecondition,
            Error::Name | Error::TooManyNames | Error::Metadata => Code::InvalidArgument,
            Error::NotFound => Code::NotFound,
        }
    }
}

/// What is added to a wallet, or with negative amounts taken from it. Made by [`Update::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    changeset: Amounts,
    /// In the form of [`base::jsonb`].
    metadata: String,
}

impl Update {
    /// Without metadata, an empty text.
    pub fn parse(changeset: Amounts, metadata: &str) -> Result<Update, Error> {
        let is_bad =
            |name: &String| name.is_empty() || name.contains('\0') || name.len() > WALLET_NAME_MAX;
        if changeset.keys().any(is_bad) {
            return Err(Error::Name);
        }
        if changeset.len() > WALLET_NAMES_MAX {
            return Err(Error::TooManyNames);
        }
        let metadata = match metadata {
            "" => "{}".to_owned(),
            text => jsonb::object(text).map_err(|_| Error::Metadata)?,
        };
        if metadata.len() > WALLET_METADATA_MAX {
            return Err(Error::Metadata);
        }
        Ok(Update { changeset, metadata })
    }
}

/// A wallet before and after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    pub user: UserId,
    pub previous: Amounts,
    pub updated: Amounts,
}

/// Reads a wallet as an account keeps it; `None` when the text is none.
pub fn parse(text: &str) -> Option<Amounts> {
    let Ok(Json::Object(members)) = Json::parse(text.as_bytes()) else { return None };
    let amount = |(name, value)| match value {
        Json::Integer(number) => Some((name, i64::try_from(number).ok()?)),
        Json::Null
        | Json::Bool(_)
        | Json::Float(_)
        | Json::Text(_)
        | Json::List(_)
        | Json::Object(_) => None,
    };
    members.into_iter().map(amount).collect()
}

/// The text that [`parse`] reads, in the form of [`base::jsonb`].
pub fn text(amounts: &Amounts) -> String {
    let mut members: Vec<_> = amounts.iter().collect();
    members.sort_by_key(|(name, _)| (name.len(), name.as_str()));
    let mut out = String::from("{");
    for (name, amount) in members {
        if out.len() > 1 {
            out.push_str(", ");
        }
        json::write_text(&mut out, name);
        out.push_str(": ");
        out.push_str(&amount.to_string());
    }
    out.push('}');
    out
}

/// What the update makes of a wallet.
pub fn add(before: &Amounts, update: &Update) -> Result<Amounts, Error> {
    let mut after = before.clone();
    for (name, amount) in &update.changeset {
        let kept = after.entry(name.clone()).or_default();
        let sum = kept.checked_add(*amount).ok_or_else(|| Error::Overflow(name.clone()))?;
        if sum < 0 {
            return Err(Error::Negative(name.clone()));
        }
        *kept = sum;
    }
    if after.len() > WALLET_NAMES_MAX.max(before.len()) {
        return Err(Error::TooManyNames);
    }
    Ok(after)
}

/// Appends updates to the ledger of a user who lives here.
pub fn enter(ctx: &mut Ctx<'_>, user: UserId, updates: &[Update]) {
    let now = ctx.now.wall.0 / 1000;
    for (index, update) in updates.iter().enumerate() {
        let id = entry_id(ctx, now, index);
        let changeset = text(&update.changeset);
        let metadata = update.metadata.clone();
        let entry = LedgerEntry { changeset, metadata, create_time: now, update_time: now };
        record::write(ctx, &ledger_key(user, id), &entry);
    }
}

/// Version 7 (RFC 9562 §5.7): milliseconds, the microseconds of them in the 12 bits behind the
/// version, then the place within one batch, the rest random.
fn entry_id(ctx: &mut Ctx<'_>, micros: u64, index: usize) -> LedgerId {
    let mut id = [0; 16];
    ctx.rng.fill(&mut id[8..]);
    let time = ((micros / 1000) << 16) | 0x7000 | (micros % 1000);
    id[..8].copy_from_slice(&time.to_be_bytes());
    let index = u16::try_from(index).unwrap_or(u16::MAX) & 0x3fff;
    id[8..10].copy_from_slice(&(0x8000 | index).to_be_bytes());
    LedgerId::from_bytes(id)
}

/// A page of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<(LedgerId, Entry)>,
    /// Behind which entry the next page begins, if there is one.
    pub next: Option<LedgerId>,
}

/// The ledger of a user who lives here, newest entries first.
pub fn ledger(
    ctx: &mut Ctx<'_>,
    user: UserId,
    before: Option<LedgerId>,
    limit: usize,
) -> Applied<Page, Never> {
    let limit = limit.min(LEDGER_PAGE_MAX);
    let rows = ctx.view.range(&newest_of(user, before, limit + 1))?;
    let entry = |(key, value): &(_, _)| {
        let (key, value): (&bytes::Bytes, &bytes::Bytes) = (key, value);
        Some((id_of(key)?, Entry::decode(value)?))
    };
    let entries: Option<Vec<_>> = rows.iter().take(limit).map(entry).collect();
    let entries = entries.ok_or(Stop::Damaged(Entry::TABLE))?;
    let next = entries.last().map(|(id, _)| *id).filter(|_| rows.len() > limit);
    Ok(Page { entries, next })
}

/// Deletes one entry; the wallet stays.
pub fn forget(ctx: &mut Ctx<'_>, user: UserId, id: LedgerId) -> Applied<(), Error> {
    let key = ledger_key(user, id);
    let found: Option<Entry> = record::read(ctx, &key)?;
    found.ok_or(Stop::Refused(Error::NotFound))?;
    record::delete::<Entry>(ctx, &key);
    Ok(())
}

/// Deletes a part of a ledger; `true` when that may not have been the last.
pub fn erase(ctx: &mut Ctx<'_>, user: UserId) -> Applied<bool, Never> {
    let rows = ctx.view.range(&newest_of(user, None, LEDGER_ERASED_MAX))?;
    for (key, _) in &rows {
        record::delete::<Entry>(ctx, key);
    }
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ctx::world::World;

    const USER: UserId = UserId::from_bytes([9; 16]);

    fn amounts(of: &[(&str, i64)]) -> Amounts {
        of.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
    }

    fn update(of: &[(&str, i64)]) -> Update {
        Update::parse(amounts(of), "").expect("well-formed")
    }

    #[test]
    fn an_update_is_added_name_by_name_and_missing_is_nothing() {
        let before = amounts(&[("coins", 5), ("gems", 1)]);
        let after = add(&before, &update(&[("coins", -5), ("keys", 2), ("zero", 0)]));
        assert_eq!(after, Ok(amounts(&[("coins", 0), ("gems", 1), ("keys", 2), ("zero", 0)])));
    }

    #[test]
    fn less_than_nothing_and_more_than_can_be_are_refused_whole() {
        let before = amounts(&[("coins", 5)]);
        let refused = |of: &[(&str, i64)]| add(&before, &update(of)).expect_err("refused");
        assert_eq!(refused(&[("apples", 1), ("coins", -6)]), Error::Negative("coins".into()));
        assert_eq!(refused(&[("gems", -1)]), Error::Negative("gems".into()));
        assert_eq!(refused(&[("coins", i64::MAX)]), Error::Overflow("coins".into()));
        assert_eq!(refused(&[("coins", i64::MIN)]), Error::Negative("coins".into()));
    }

    #[test]
    fn what_is_no_update_is_refused() {
        for name in ["", "a\0", &"x".repeat(WALLET_NAME_MAX + 1)] {
            assert_eq!(Update::parse(amounts(&[(name, 1)]), ""), Err(Error::Name));
        }
        for metadata in ["[]", "x", "{\"a\":\"\\u0000\"}"] {
            assert_eq!(Update::parse(amounts(&[("a", 1)]), metadata), Err(Error::Metadata));
        }
        let many: Amounts = (0..=WALLET_NAMES_MAX).map(|n| (n.to_string(), 1)).collect();
        assert_eq!(Update::parse(many.clone(), ""), Err(Error::TooManyNames));
        let full: Amounts = many.into_iter().skip(1).collect();
        assert_eq!(add(&full, &update(&[("one more", 1)])), Err(Error::TooManyNames));
    }

    #[test]
    fn the_ledger_is_told_newest_first_and_page_by_page() {
        let mut world = World::default();
        for n in 0..5 {
            world.now += 1;
            world.apply(|ctx| {
                enter(ctx, USER, &[update(&[("a", 2 * n)]), update(&[("a", 2 * n + 1)])]);
            });
        }
        world.apply(|ctx| enter(ctx, UserId::from_bytes([8; 16]), &[update(&[("b", 1)])]));
        let (mut told, mut before) = (Vec::new(), None);
        loop {
            let page = world.apply(|ctx| ledger(ctx, USER, before, 3)).expect("all is here");
            told.extend(page.entries.iter().map(|(_, entry)| entry.changeset.clone()));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (0..10).rev().map(|n| format!("{{\"a\": {n}}}")).collect();
        assert_eq!(told, expected);

        let page = world.apply(|ctx| ledger(ctx, USER, None, 1)).expect("all is here");
        let (id, _) = page.entries[0];
        let bytes = id.as_bytes();
        assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (7, 2), "a UUID of version 7");
        assert_eq!(world.apply(|ctx| forget(ctx, USER, id)), Ok(()));
        let again = world.apply(|ctx| forget(ctx, USER, id));
        assert_eq!(again, Err(Stop::Refused(Error::NotFound)));

        assert_eq!(world.apply(|ctx| erase(ctx, USER)), Ok(true));
        assert_eq!(world.apply(|ctx| erase(ctx, USER)), Ok(false));
        let page = world.apply(|ctx| ledger(ctx, USER, None, 1)).expect("all is here");
        assert_eq!(page, Page::default());
    }

    proptest! {
        #[test]
        fn a_wallet_is_read_as_it_was_written(of: BTreeMap<String, i64>) {
            prop_assert_eq!(parse(&text(&of)), Some(of));
        }

        #[test]
        fn a_wallets_text_is_what_jsonb_makes_of_it(of in prop::collection::btree_map("[a-c\"é]{1,3}", any::<i64>(), 0..6)) {
            let text = text(&of);
            prop_assert_eq!(jsonb::object(&text), Ok(text));
        }
    }
}
