//! What a user has to be like after everything that was acknowledged, as a value.
//!
//! A write is a function from a state to a state. One that was in flight when the server was killed
//! leaves two states that are right, the one before it and the one after it, and nothing between
//! them: [`User::settle`] finds which of them is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names that all writers want begin like this. Only one user can have such a name at a time, and
/// who else has had it is nobody's memory: all other aliases belong to one user for ever.
pub(super) const CONTESTED: &str = "contested-";

/// So many tokens of a user are remembered.
const TOKENS_MAX: usize = 6;

/// A text that leads to one account at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alias {
    Username(String),
    Device(String),
    Custom(String),
}

/// What everybody who may look sees of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub username: String,
    /// Every update gives both of these one value.
    pub display_name: String,
    pub location: String,
    pub is_banned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub profile: Profile,
    pub devices: BTreeSet<String>,
    pub custom: Option<String>,
}

/// The two tokens of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub session: String,
    pub refresh: String,
    /// The second since 1970 in which they came, which is not before that of their signing.
    pub issued: u64,
    pub are_alive: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.are_alive { "alive" } else { "dead" };
        write!(f, "tokens of second {}: {word}", self.issued)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub account: Option<Account>,
    pub tokens: Vec<Tokens>,
}

/// A durable change of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Create {
        by: Alias,
        username: String,
    },
    Update {
        text: String,
    },
    Rename {
        username: String,
    },
    Link(Alias),
    Unlink(Alias),
    /// Of the tokens with this text of their session.
    Logout {
        session: String,
    },
    LogoutEverywhere,
    Delete,
    Ban,
    Unban,
    DeleteByOperator,
}

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    Nobody,
    /// To the user of this id.
    To(String),
    /// To somebody who is banned.
    Banned,
}

/// What a server says of a user.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// As one of the aliases tells, where the user's id was not known.
    pub id: Option<String>,
    /// As the owner sees it, or the export of who is banned.
    pub account: Option<Account>,
    /// As operators see it.
    pub profile: Option<Profile>,
    pub leads: BTreeMap<Alias, Lead>,
    /// By the text of the session token: whether it and its refresh token are good.
    pub tokens: BTreeMap<String, [bool; 2]>,
}

/// What became of the write that was in flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// There was none.
    Quiet,
    Lost,
    Applied(Write),
}

/// A user, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct User {
    /// Unknown until the server has told it.
    pub id: Option<String>,
    pub state: State,
    /// The write under way and the state that it leads to.
    pub pending: Option<(Write, State)>,
    /// All aliases that the user has or has had, or may have.
    known: BTreeSet<Alias>,
    /// Whether anything was written since the last comparison.
    pub is_touched: bool,
    /// The second of the last ban.
    pub banned_at: u64,
}

impl Alias {
    pub(super) fn text(&self) -> &str {
        match self {
            Alias::Username(text) | Alias::Device(text) | Alias::Custom(text) => text,
        }
    }

    pub(super) fn is_username(&self) -> bool {
        matches!(self, Alias::Username(_))
    }

    fn is_contested(&self) -> bool {
        self.is_username() && self.text().starts_with(CONTESTED)
    }
}

impl Account {
    fn has(&self, alias: &Alias) -> bool {
        match alias {
            Alias::Username(text) => self.profile.username == *text,
            Alias::Device(text) => self.devices.contains(text),
            Alias::Custom(text) => self.custom.as_ref() == Some(text),
        }
    }

    fn add(&mut self, alias: &Alias) {
        match alias {
            Alias::Username(text) => self.profile.username.clone_from(text),
            Alias::Device(text) => {
                self.devices.insert(text.clone());
            }
            Alias::Custom(text) => self.custom = Some(text.clone()),
        }
    }

    /// What signs it in.
    pub(super) fn credentials(&self) -> Vec<Alias> {
        let devices = self.devices.iter().cloned().map(Alias::Device);
        devices.chain(self.custom.clone().map(Alias::Custom)).collect()
    }
}

impl State {
    pub(super) fn is_banned(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.profile.is_banned)
    }

    pub(super) fn add_tokens(&mut self, tokens: Tokens) {
        if self.tokens.len() == TOKENS_MAX {
            let dead = self.tokens.iter().position(|tokens| !tokens.are_alive);
            self.tokens.remove(dead.unwrap_or(0));
        }
        self.tokens.push(tokens);
    }

    fn kill_tokens(&mut self) {
        self.tokens.iter_mut().for_each(|tokens| tokens.are_alive = false);
    }

    /// Where the alias leads; `None` when it does not matter.
    fn lead(&self, alias: &Alias, id: &str) -> Option<Lead> {
        let account = self.account.as_ref().filter(|account| account.has(alias));
        match account {
            Some(account) if account.profile.is_banned && !alias.is_username() => {
                Some(Lead::Banned)
            }
            Some(_) => Some(Lead::To(id.to_owned())),
            None if alias.is_contested() => None,
            None => Some(Lead::Nobody),
        }
    }

    /// In which way a user of this state and id is not what was seen.
    fn mismatch(&self, id: &str, seen: &Seen) -> Option<String> {
        let profile = self.account.as_ref().map(|account| &account.profile);
        if seen.account != self.account {
            return Some(format!("expected {:?}, found {:?}", self.account, seen.account));
        }
        if seen.profile.as_ref() != profile {
            return Some(format!("expected {profile:?}, operators find {:?}", seen.profile));
        }
        for (alias, found) in &seen.leads {
            let expected = self.lead(alias, id);
            let is_right = match &expected {
                Some(expected) => expected == found,
                None => *found != Lead::To(id.to_owned()),
            };
            if !is_right {
                return Some(format!("{alias:?} leads: expected {expected:?}, found {found:?}"));
            }
        }
        for tokens in &self.tokens {
            let found = seen.tokens.get(&tokens.session);
            if found != Some(&[tokens.are_alive; 2]) {
                return Some(format!("expected {tokens:?}, found [session, refresh] {found:?}"));
            }
        }
        None
    }
}

impl Write {
    /// The state after the write. `now` is the second in which it is sent, or an earlier one.
    fn apply(&self, before: &State, now: u64) -> State {
        let mut state = before.clone();
        match self {
            Write::Create { by, username } => {
                let mut account = Account::default();
                account.add(by);
                account.profile.username.clone_from(username);
                state.account = Some(account);
            }
            Write::Logout { session } => {
                let ended = state.tokens.iter_mut().filter(|tokens| tokens.session == *session);
                ended.for_each(|tokens| tokens.are_alive = false);
            }
            Write::LogoutEverywhere => {
                // Tokens of the second of the logout are spared. Which one that is the server
                // knows: of tokens that are so new nothing can be said.
                state.tokens.retain(|tokens| tokens.issued + 1 < now || !tokens.are_alive);
                state.kill_tokens();
            }
            Write::Delete | Write::DeleteByOperator => {
                state.account = None;
                state.kill_tokens();
            }
            Write::Update { .. }
            | Write::Rename { .. }
            | Write::Link(_)
            | Write::Unlink(_)
            | Write::Ban
            | Write::Unban => {
                if *self == Write::Ban {
                    state.kill_tokens();
                }
                if let Some(account) = &mut state.account {
                    self.edit(account);
                }
            }
        }
        state
    }

    /// What it does to an account that stays.
    fn edit(&self, account: &mut Account) {
        match self {
            Write::Update { text } => {
                account.profile.display_name.clone_from(text);
                account.profile.location.clone_from(text);
            }
            Write::Rename { username } => account.profile.username.clone_from(username),
            Write::Link(alias) => account.add(alias),
            Write::Unlink(Alias::Device(id)) => {
                account.devices.remove(id);
            }
            Write::Unlink(Alias::Custom(_)) => account.custom = None,
            Write::Ban => account.profile.is_banned = true,
            Write::Unban => account.profile.is_banned = false,
            Write::Unlink(Alias::Username(_))
            | Write::Create { .. }
            | Write::Logout { .. }
            | Write::LogoutEverywhere
            | Write::Delete
            | Write::DeleteByOperator => {}
        }
    }

    /// The operation that the audit trail names, if it is one of operators.
    pub(super) fn audited(&self) -> Option<&'static str> {
        match self {
            Write::Ban => Some("console_account_ban"),
            Write::Unban => Some("console_account_unban"),
            Write::DeleteByOperator => Some("console_account_delete"),
            Write::Create { .. }
            | Write::Update { .. }
            | Write::Rename { .. }
            | Write::Link(_)
            | Write::Unlink(_)
            | Write::Logout { .. }
            | Write::LogoutEverywhere
            | Write::Delete => None,
        }
    }

    /// Whether somebody else may have been faster.
    pub(super) fn may_be_refused(&self) -> bool {
        matches!(self, Write::Rename { username } if username.starts_with(CONTESTED))
    }
}

impl User {
    /// Notes that the write is on its way from here on.
    pub(super) fn begin(&mut self, write: Write, now: u64) {
        let after = write.apply(&self.state, now);
        self.remember(&after);
        self.is_touched = true;
        self.pending = Some((write, after));
    }

    /// The write under way has succeeded.
    pub(super) fn acknowledge(&mut self, now: u64) -> Option<Write> {
        let (write, after) = self.pending.take()?;
        if write == Write::Ban {
            self.banned_at = now;
        }
        self.state = after;
        Some(write)
    }

    /// The write under way was refused, and has changed nothing.
    pub(super) fn refuse(&mut self) {
        self.pending = None;
    }

    /// All aliases whose lead tells something.
    pub(super) fn aliases(&self) -> BTreeSet<Alias> {
        let states = [Some(&self.state), self.pending.as_ref().map(|(_, after)| after)];
        let accounts = states.into_iter().flatten().filter_map(|state| state.account.as_ref());
        let names = accounts.map(|account| Alias::Username(account.profile.username.clone()));
        self.known.iter().cloned().chain(names).collect()
    }

    /// Compares with what was seen after a restart. Of a write that was in flight it is either all
    /// there or nothing; whichever it is becomes what is expected.
    pub(super) fn settle(&mut self, seen: &Seen, now: u64) -> Result<Settled, String> {
        let id = self.id.clone().or_else(|| seen.id.clone()).unwrap_or_default();
        let before = self.state.mismatch(&id, seen);
        let settled = match (before, &self.pending) {
            (None, None) => Settled::Quiet,
            (None, Some(_)) => {
                self.refuse();
                Settled::Lost
            }
            (Some(why), None) => return Err(why),
            (Some(before), Some((write, after))) => {
                if let Some(after) = after.mismatch(&id, seen) {
                    return Err(format!(
                        "in flight: {write:?}\n  before it: {before}\n  after it: {after}"
                    ));
                }
                self.acknowledge(now).map_or(Settled::Quiet, Settled::Applied)
            }
        };
        if self.state.account.is_some() {
            self.id = Some(id);
        }
        self.is_touched = false;
        Ok(settled)
    }

    fn remember(&mut self, state: &State) {
        let Some(account) = &state.account else { return };
        let username = Alias::Username(account.profile.username.clone());
        let own = account.credentials().into_iter().chain([username]);
        self.known.extend(own.filter(|alias| !alias.is_contested()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "id-of-ann";

    fn device(text: &str) -> Alias {
        Alias::Device(text.to_owned())
    }

    fn rename(username: &str) -> Write {
        Write::Rename { username: username.to_owned() }
    }

    fn done(user: &mut User, write: Write, now: u64) {
        user.begin(write, now);
        user.acknowledge(now);
    }

    /// Ann signs in by one device, with one pair of tokens of second 10.
    fn ann() -> User {
        let mut user = User::default();
        done(&mut user, Write::Create { by: device("d1"), username: "ann".to_owned() }, 10);
        user.id = Some(ID.to_owned());
        user.state.add_tokens(tokens("s1", 10));
        user
    }

    fn tokens(session: &str, issued: u64) -> Tokens {
        let text = |kind: &str| format!("{session}-{kind}");
        Tokens { session: text("s"), refresh: text("r"), issued, are_alive: true }
    }

    /// What a server in exactly this state would say of the user.
    fn seen(user: &User, state: &State) -> Seen {
        let lead = |alias: &Alias| state.lead(alias, ID).unwrap_or(Lead::To("other".into()));
        let all = user.aliases();
        Seen {
            id: state.account.as_ref().map(|_| ID.to_owned()),
            account: state.account.clone(),
            profile: state.account.as_ref().map(|account| account.profile.clone()),
            leads: all.into_iter().map(|alias| (alias.clone(), lead(&alias))).collect(),
            tokens: state
                .tokens
                .iter()
                .map(|tokens| (tokens.session.clone(), [tokens.are_alive; 2]))
                .collect(),
        }
    }

    fn after(user: &User) -> State {
        user.pending.as_ref().map(|(_, after)| after.clone()).expect("a write is under way")
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there() {
        let mut user = ann();
        let before = user.state.clone();
        done(&mut user, Write::Update { text: "x".into() }, 11);
        let lost = seen(&user, &before);
        assert!(user.settle(&lost, 12).is_err());
        let kept = seen(&user, &user.state);
        assert_eq!(user.settle(&kept, 12), Ok(Settled::Quiet));
    }

    #[test]
    fn a_write_in_flight_is_there_or_not_and_that_is_expected_from_then_on() {
        for write in [
            Write::Update { text: "x".into() },
            rename("anna"),
            rename("contested-1"),
            Write::Link(device("d2")),
            Write::Link(Alias::Custom("c1".into())),
            Write::Logout { session: "s1-s".into() },
            Write::LogoutEverywhere,
            Write::Ban,
            Write::Delete,
            Write::DeleteByOperator,
        ] {
            let mut user = ann();
            let before = user.state.clone();
            user.begin(write.clone(), 20);
            let old = seen(&user, &before);
            assert_eq!(user.settle(&old, 21), Ok(Settled::Lost), "{write:?}");
            assert_eq!((&user.state, &user.pending), (&before, &None));

            user.begin(write.clone(), 20);
            let (expected, new) = (after(&user), seen(&user, &after(&user)));
            assert_eq!(user.settle(&new, 21), Ok(Settled::Applied(write)));
            assert_eq!((&user.state, &user.pending), (&expected, &None));
            assert!(user.settle(&old, 21).is_err());
        }
    }

    #[test]
    fn half_of_a_write_is_neither_before_nor_after_it() {
        let mut user = ann();
        user.begin(Write::Link(device("d2")), 20);
        let mut half = seen(&user, &after(&user));
        half.leads.insert(device("d2"), Lead::Nobody);
        assert!(user.settle(&half, 21).is_err(), "linked, and the device leads nowhere");

        let mut user = ann();
        user.begin(Write::Update { text: "x".into() }, 20);
        let mut half = seen(&user, &after(&user));
        let account = half.account.as_mut().expect("there");
        account.profile.location.clear();
        half.profile = Some(account.profile.clone());
        assert!(user.settle(&half, 21).is_err(), "one value of two");

        let mut user = ann();
        user.begin(Write::Ban, 20);
        let mut half = seen(&user, &after(&user));
        half.tokens.insert("s1-s".into(), [true, true]);
        assert!(user.settle(&half, 21).is_err(), "banned, and the tokens live");

        let mut user = ann();
        user.begin(Write::Logout { session: "s1-s".into() }, 20);
        let mut half = seen(&user, &after(&user));
        half.tokens.insert("s1-s".into(), [false, true]);
        assert!(user.settle(&half, 21).is_err(), "one token of a pair");
    }

    #[test]
    fn an_account_is_made_with_its_aliases_or_not_at_all() {
        let create = Write::Create { by: device("d1"), username: "ann".into() };
        let mut user = User::default();
        user.begin(create.clone(), 10);
        let whole = seen(&user, &after(&user));
        let mut no_name = seen(&user, &after(&user));
        no_name.leads.insert(Alias::Username("ann".into()), Lead::Nobody);
        let mut only_name = seen(&user, &State::default());
        only_name.leads.insert(Alias::Username("ann".into()), Lead::To(ID.into()));
        assert!(user.settle(&no_name, 11).is_err());
        assert!(user.settle(&only_name, 11).is_err());
        assert_eq!(user.settle(&whole, 11), Ok(Settled::Applied(create)));
        assert_eq!(user.id.as_deref(), Some(ID));
    }

    #[test]
    fn what_a_user_gave_up_leads_nowhere_unless_others_want_it() {
        let mut user = ann();
        for write in [
            Write::Link(device("d2")),
            Write::Unlink(device("d1")),
            rename("contested-1"),
            rename("anna"),
        ] {
            done(&mut user, write, 20);
        }
        let good = seen(&user, &user.state);
        assert_eq!(good.leads[&device("d1")], Lead::Nobody);
        assert_eq!(good.leads[&Alias::Username("ann".into())], Lead::Nobody);
        assert!(!good.leads.contains_key(&Alias::Username("contested-1".into())));
        assert_eq!(user.settle(&good, 21), Ok(Settled::Quiet));
        let mut risen = seen(&user, &user.state);
        risen.leads.insert(device("d1"), Lead::To(ID.into()));
        assert!(user.settle(&risen, 21).is_err());
    }

    #[test]
    fn a_logout_of_everything_says_nothing_of_the_newest_tokens() {
        let mut user = ann();
        user.state.add_tokens(tokens("s2", 19));
        done(&mut user, Write::LogoutEverywhere, 20);
        let [left] = &user.state.tokens[..] else { panic!("{:?}", user.state.tokens) };
        assert_eq!((left.session.as_str(), left.are_alive), ("s1-s", false));
    }

    #[test]
    fn dead_tokens_are_forgotten_first() {
        let mut state = State::default();
        for number in 0..TOKENS_MAX {
            state.add_tokens(tokens(&number.to_string(), 1));
        }
        state.tokens[3].are_alive = false;
        state.add_tokens(tokens("new", 1));
        assert_eq!(state.tokens.len(), TOKENS_MAX);
        assert!(state.tokens.iter().all(|tokens| tokens.are_alive));
    }
}
