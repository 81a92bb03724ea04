//! Accounts: what they hold, and what their owners change about them.
//!
//! An account and the aliases that lead to it are records of their own, on homes of their own.
//! Whoever changes an account asks first what that does to its aliases ([`plan`]), then has all of
//! it prepared as one batch; [`edit`] refuses when the account is not what was planned for.

use base::limits::{
    AVATAR_URL_MAX, DEVICES_MAX, DISPLAY_NAME_MAX, LANG_TAG_MAX, LOCATION_MAX, TIMEZONE_MAX,
};
use base::{Code, Secret, UserId};

use super::alias::{Alias, Kind};
use super::provider::Profile;
use super::session;
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record;
pub use crate::record::user::{Credential, User};

/// What a new account begins with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub user_id: UserId,
    pub username: Alias,
    /// What signs it in, in this order.
    pub credentials: Vec<Alias>,
    /// Hash of its password.
    pub password: Option<Secret>,
    pub display_name: String,
    pub avatar_url: String,
}

/// A change that the owner asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `alias` signs the account in from here on; the earlier one of its kind no more, except that
    /// there can be many devices. An e-mail address brings the hash of its password.
    Link {
        alias: Alias,
        password: Option<Secret>,
    },
    /// The alias of this kind signs the account in no more: this one, or whichever is there.
    Unlink {
        kind: Kind,
        text: Option<String>,
    },
    Update(Update),
    Delete,
}

/// New values; `None` leaves what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    pub username: Option<Alias>,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub lang_tag: Option<String>,
    pub location: Option<String>,
    pub timezone: Option<String>,
}

/// What an edit does to the account's aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub claims: Vec<Alias>,
    pub releases: Vec<Alias>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The account is gone.
    NotFound,
    /// The account is not what the edit was planned for: plan again.
    Changed,
    /// An update without a value.
    Nothing,
    /// A value does not fit its column in Nakama, which answers an internal error: it is too long,
    /// or has a zero byte.
    NoColumn(&'static str),
    /// Every account has a language; Nakama answers an internal error.
    NoLanguage,
    /// It does not sign the account in.
    NotLinked,
    /// Nothing would be left to sign in with.
    Last,
    TooManyDevices,
    Banned,
    /// The password was changed while it was compared.
    OtherPassword,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::NotFound => Code::NotFound,
            Error::Changed => Code::Aborted,
            Error::Nothing => Code::InvalidArgument,
            Error::NoColumn(_) | Error::NoLanguage => Code::Internal,
            Error::NotLinked | Error::Last | Error::Banned => Code::PermissionDenied,
            Error::TooManyDevices => Code::ResourceExhausted,
            Error::OtherPassword => Code::Unauthenticated,
        }
    }
}

impl Update {
    /// Lengths are counted in characters, as Nakama's columns do.
    fn check(&self) -> Result<(), Error> {
        if *self == Update::default() {
            return Err(Error::Nothing);
        }
        if self.lang_tag.as_deref() == Some("") {
            return Err(Error::NoLanguage);
        }
        for (name, value, max) in [
            ("display_name", &self.display_name, DISPLAY_NAME_MAX),
            ("avatar_url", &self.avatar_url, AVATAR_URL_MAX),
            ("lang_tag", &self.lang_tag, LANG_TAG_MAX),
            ("location", &self.location, LOCATION_MAX),
            ("timezone", &self.timezone, TIMEZONE_MAX),
        ] {
            let is_bad = |value: &String| value.contains('\0') || value.chars().count() > max;
            if value.as_ref().is_some_and(is_bad) {
                return Err(Error::NoColumn(name));
            }
        }
        Ok(())
    }
}

impl User {
    /// What signs the account in, of this kind.
    pub fn credentials_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let of_kind = move |known: &&Credential| known.kind == kind.number();
        self.credentials.iter().filter(of_kind).map(|known| known.text.as_str())
    }

    /// The one alias of a kind of which there is one at most; empty when there is none.
    pub fn credential(&self, kind: Kind) -> &str {
        self.credentials_of(kind).next().unwrap_or_default()
    }

    pub fn is_disabled(&self) -> bool {
        self.disable_time != 0
    }

    /// Every alias that leads here.
    fn aliases(&self) -> impl Iterator<Item = Alias> {
        let username = Alias::stored(Kind::Username, &self.username);
        let credentials = Kind::CREDENTIALS
            .into_iter()
            .flat_map(|kind| self.credentials_of(kind).map(move |text| Alias::stored(kind, text)));
        std::iter::once(username).chain(credentials)
    }

    fn has(&self, alias: &Alias) -> bool {
        self.credentials_of(alias.kind()).any(|text| text == alias.as_str())
    }

    fn remove(&mut self, alias: &Alias) {
        let number = alias.kind().number();
        self.credentials.retain(|known| known.kind != number || known.text != alias.as_str());
    }

    fn add(&mut self, alias: &Alias) {
        let text = alias.as_str().to_owned();
        self.credentials.push(Credential { kind: alias.kind().number(), text });
    }
}

/// Creates the account. Its aliases are claimed by operations of their own, in the same batch.
pub fn create(ctx: &mut Ctx<'_>, new: &NewAccount) {
    let now = ctx.now.wall.secs();
    let mut user = User {
        username: new.username.as_str().to_owned(),
        display_name: new.display_name.clone(),
        avatar_url: new.avatar_url.clone(),
        lang_tag: "en".to_owned(),
        metadata: "{}".to_owned(),
        wallet: "{}".to_owned(),
        password: new.password.clone().unwrap_or_default().0,
        create_time: now,
        update_time: now,
        ..User::default()
    };
    new.credentials.iter().for_each(|alias| user.add(alias));
    record::write(ctx, new.user_id.as_bytes(), &user);
}

/// The account of this id.
pub fn read(ctx: &mut Ctx<'_>, id: UserId) -> Applied<Option<User>, Never> {
    record::read(ctx, id.as_bytes())
}

/// Writes an account whose aliases are as they were.
pub fn keep(ctx: &mut Ctx<'_>, id: UserId, user: &User) {
    record::write(ctx, id.as_bytes(), user);
}

/// What the edit does to the aliases of this account, if it is allowed.
pub fn plan(user: &User, edit: &Edit) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    match edit {
        Edit::Link { alias, .. } => {
            if user.has(alias) {
                return Ok(plan);
            }
            plan.claims.push(alias.clone());
            if alias.kind() == Kind::Device {
                if user.credentials_of(Kind::Device).count() >= DEVICES_MAX {
                    return Err(Error::TooManyDevices);
                }
            } else {
                let earlier = user.credentials_of(alias.kind());
                plan.releases.extend(earlier.map(|text| Alias::stored(alias.kind(), text)));
            }
        }
        Edit::Unlink { kind, text } => {
            let is_meant = |known: &&str| text.as_deref().is_none_or(|text| text == *known);
            // An issuer's id shows as a custom id where there is no other.
            let kind = match text {
                None if *kind == Kind::Custom && user.credential(Kind::Custom).is_empty() => {
                    Kind::Oidc
                }
                _ => *kind,
            };
            let Some(found) = user.credentials_of(kind).find(is_meant) else {
                // Whatever is linked is nothing, and nothing is what is left.
                return if text.is_none() { Ok(plan) } else { Err(Error::NotLinked) };
            };
            if user.credentials.len() == 1 {
                return Err(Error::Last);
            }
            plan.releases.push(Alias::stored(kind, found));
        }
        Edit::Update(update) => {
            update.check()?;
            if let Some(name) = &update.username
                && name.as_str() != user.username
            {
                plan.claims.push(name.clone());
                plan.releases.push(Alias::stored(Kind::Username, &user.username));
            }
        }
        Edit::Delete => plan.releases.extend(user.aliases()),
    }
    Ok(plan)
}

/// Changes the account. The aliases of the plan are claimed and released by operations of their
/// own, in the same batch.
pub fn edit(ctx: &mut Ctx<'_>, id: UserId, edit: &Edit, planned: &Plan) -> Applied<(), Error> {
    let found = read(ctx, id).map_err(Stop::never)?;
    let mut user = found.ok_or(Stop::Refused(Error::NotFound))?;
    if plan(&user, edit).map_err(Stop::Refused)? != *planned {
        return Err(Stop::Refused(Error::Changed));
    }
    if *edit == Edit::Delete {
        session::revoke_all(ctx, id).map_err(Stop::never)?;
        record::delete::<User>(ctx, id.as_bytes());
        return Ok(());
    }
    session::keep(ctx, id).map_err(Stop::never)?;
    for alias in &planned.releases {
        user.remove(alias);
    }
    match edit {
        Edit::Link { alias, password } => {
            planned.claims.iter().for_each(|alias| user.add(alias));
            if let (Kind::Email, Some(password)) = (alias.kind(), password) {
                user.password.clone_from(&password.0);
            }
        }
        Edit::Unlink { kind: Kind::Email, .. } => user.password.clear(),
        Edit::Unlink { .. } | Edit::Delete => {}
        Edit::Update(update) => {
            let set = |field: &mut String, value: &Option<String>| {
                if let Some(value) = value {
                    field.clone_from(value);
                }
            };
            if let Some(name) = &update.username {
                name.as_str().clone_into(&mut user.username);
            }
            set(&mut user.display_name, &update.display_name);
            set(&mut user.avatar_url, &update.avatar_url);
            set(&mut user.lang_tag, &update.lang_tag);
            set(&mut user.location, &update.location);
            set(&mut user.timezone, &update.timezone);
        }
    }
    user.update_time = ctx.now.wall.secs();
    record::write(ctx, id.as_bytes(), &user);
    Ok(())
}

/// What a sign-in leaves behind in the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedIn {
    /// The hash that the shown password was found to be of; the account's may be another by now.
    pub verified: Option<Secret>,
    /// A better hash of the same password.
    pub rehashed: Option<Secret>,
    /// What the provider says: fills what is empty.
    pub profile: Option<Profile>,
    /// Tokens issued before die.
    pub revokes: bool,
}

impl SignedIn {
    pub fn is_nothing(&self) -> bool {
        *self == SignedIn::default()
    }
}

/// Grants a sign-in to the account as it is now, and notes what it leaves behind.
pub fn sign_in(ctx: &mut Ctx<'_>, id: UserId, signed_in: &SignedIn) -> Applied<User, Error> {
    let found = read(ctx, id).map_err(Stop::never)?;
    let mut user = found.ok_or(Stop::Refused(Error::NotFound))?;
    if user.is_disabled() {
        return Err(Stop::Refused(Error::Banned));
    }
    if signed_in.verified.as_ref().is_some_and(|hash| hash.0 != user.password) {
        return Err(Stop::Refused(Error::OtherPassword));
    }
    let mut is_changed = false;
    if let Some(new) = &signed_in.rehashed {
        user.password.clone_from(&new.0);
        is_changed = true;
    }
    if let Some(profile) = &signed_in.profile {
        for (field, value) in [
            (&mut user.display_name, display_name(profile)),
            (&mut user.avatar_url, avatar_url(profile)),
        ] {
            if field.is_empty() && !value.is_empty() {
                value.clone_into(field);
                is_changed = true;
            }
        }
    }
    if signed_in.revokes {
        session::revoke_all(ctx, id).map_err(Stop::never)?;
    }
    if is_changed {
        record::write(ctx, id.as_bytes(), &user);
    }
    Ok(user)
}

/// The provider's name of the player, if it fits.
pub fn display_name(profile: &Profile) -> &str {
    fitting(&profile.display_name, DISPLAY_NAME_MAX)
}

/// The provider's picture of the player, if its address fits.
pub fn avatar_url(profile: &Profile) -> &str {
    fitting(&profile.avatar_url, AVATAR_URL_MAX)
}

fn fitting(text: &str, max: usize) -> &str {
    if text.chars().count() <= max { text } else { "" }
}

/// Bans the account, or lifts its ban. Tokens that it holds die with a ban. `false` when there is
/// no such account.
pub fn set_disabled(ctx: &mut Ctx<'_>, id: UserId, is_disabled: bool) -> Applied<bool, Never> {
    let Some(mut user) = read(ctx, id)? else { return Ok(false) };
    let now = ctx.now.wall.secs();
    user.disable_time = if is_disabled { now.max(1) } else { 0 };
    if is_disabled {
        session::revoke_all_with_newest(ctx, id)?;
    }
    record::write(ctx, id.as_bytes(), &user);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    const ID: UserId = UserId::from_bytes([9; 16]);

    fn alias(alias: Result<Alias, super::super::alias::Error>) -> Alias {
        alias.expect("well-formed")
    }

    fn user(credentials: &[(Kind, &str)]) -> User {
        let credential = |(kind, text): &(Kind, &str)| Credential {
            kind: kind.number(),
            text: (*text).to_owned(),
        };
        User {
            username: "alice".into(),
            lang_tag: "en".into(),
            credentials: credentials.iter().map(credential).collect(),
            ..User::default()
        }
    }

    fn unlink(kind: Kind, text: &str) -> Edit {
        Edit::Unlink { kind, text: (!text.is_empty()).then(|| text.to_owned()) }
    }

    /// Plans and applies the edit.
    fn edited(before: &User, change: &Edit) -> Result<Option<User>, Error> {
        let planned = plan(before, change)?;
        let mut world = World::default();
        world.apply(|ctx| record::write(ctx, ID.as_bytes(), before));
        let changed = world.apply(|ctx| edit(ctx, ID, change, &planned));
        match changed {
            Ok(()) => Ok(world.apply(|ctx| read(ctx, ID)).expect("the view has everything")),
            Err(Stop::Refused(error)) => Err(error),
            Err(stop) => panic!("{stop:?}"),
        }
    }

    /// Rows 117 and 118.
    #[test]
    fn a_new_custom_id_replaces_the_earlier_one_and_devices_gather() {
        let before = user(&[(Kind::Device, "device-0001"), (Kind::Custom, "custom-a")]);
        let link = Edit::Link { alias: alias(Alias::custom("custom-b")), password: None };
        let planned = plan(&before, &link).expect("allowed");
        assert_eq!(planned.releases, [alias(Alias::custom("custom-a"))]);
        let after = edited(&before, &link).expect("allowed").expect("there");
        assert_eq!(after.credential(Kind::Custom), "custom-b");
        assert_eq!(plan(&after, &link), Ok(Plan::default()), "one's own again");

        let link = Edit::Link { alias: alias(Alias::device("device-0002")), password: None };
        let mut after = edited(&after, &link).expect("allowed").expect("there");
        let devices: Vec<_> = after.credentials_of(Kind::Device).collect();
        assert_eq!(devices, ["device-0001", "device-0002"]);
        for n in 2..DEVICES_MAX {
            after.add(&alias(Alias::device(&format!("device-1{n:04}"))));
        }
        let link = Edit::Link { alias: alias(Alias::device("device-0003")), password: None };
        assert_eq!(plan(&after, &link), Err(Error::TooManyDevices));
    }

    /// Rows 119 and 127.
    #[test]
    fn an_address_comes_with_its_password_and_leaves_with_it() {
        let before = user(&[(Kind::Device, "device-0001")]);
        let email = alias(Alias::email("alice@example.com"));
        let link = Edit::Link { alias: email.clone(), password: Some("hash".into()) };
        let after = edited(&before, &link).expect("allowed").expect("there");
        assert_eq!((after.credential(Kind::Email), &*after.password), (email.as_str(), "hash"));
        let again = Edit::Link { alias: email, password: Some("other".into()) };
        let after = edited(&after, &again).expect("allowed").expect("there");
        assert_eq!((after.credentials.len(), &*after.password), (2, "other"));
        let after = edited(&after, &unlink(Kind::Email, "")).expect("allowed").expect("there");
        assert_eq!((after.credential(Kind::Email), &*after.password), ("", ""));
    }

    /// Rows 123 to 126 and 128.
    #[test]
    fn unlinking_needs_a_match_and_leaves_something_to_sign_in_with() {
        let one = user(&[(Kind::Device, "device-0001")]);
        assert_eq!(plan(&one, &unlink(Kind::Device, "device-0001")), Err(Error::Last));
        assert_eq!(plan(&one, &unlink(Kind::Device, "device-0002")), Err(Error::NotLinked));
        assert_eq!(plan(&one, &unlink(Kind::Steam, "")), Ok(Plan::default()));
        assert_eq!(plan(&one, &unlink(Kind::Device, "")), Err(Error::Last));
        let two = user(&[(Kind::Device, "device-0001"), (Kind::Custom, "custom-a")]);
        assert_eq!(plan(&two, &unlink(Kind::Custom, "custom-b")), Err(Error::NotLinked));
        for (kind, text) in [(Kind::Custom, ""), (Kind::Custom, "custom-a"), (Kind::Device, "")] {
            let after = edited(&two, &unlink(kind, text)).expect("allowed").expect("there");
            assert_eq!((after.credentials.len(), after.credential(kind)), (1, ""));
        }
    }

    /// Rows 97 to 101.
    #[test]
    fn an_update_changes_what_it_names() {
        let mut before = user(&[(Kind::Device, "device-0001")]);
        before.location = "Here".into();
        before.avatar_url = "u".into();
        let update = |update: Update| edited(&before, &Edit::Update(update));
        let avatar_url = Some(String::new());
        let after = update(Update { avatar_url, ..Update::default() }).expect("fine");
        let expected = User { avatar_url: String::new(), update_time: 1000, ..before.clone() };
        assert_eq!(after, Some(expected));

        assert_eq!(update(Update::default()), Err(Error::Nothing));
        let lang_tag = Some(String::new());
        assert_eq!(update(Update { lang_tag, ..Update::default() }), Err(Error::NoLanguage));
        let named = |text: String| Update { display_name: Some(text), ..Update::default() };
        assert!(update(named("é".repeat(255))).is_ok());
        assert_eq!(update(named("é".repeat(256))), Err(Error::NoColumn("display_name")));

        let name = |text: &str| {
            let username = Some(alias(Alias::username(text)));
            Edit::Update(Update { username, ..Update::default() })
        };
        assert_eq!(plan(&before, &name("alice")), Ok(Plan::default()), "one's own name");
        let planned = plan(&before, &name("bob")).expect("fine");
        assert_eq!(planned.releases, [alias(Alias::username("alice"))]);
        assert_eq!(edited(&before, &name("bob")).expect("fine").expect("there").username, "bob");
    }

    #[test]
    fn an_edit_that_was_planned_for_another_state_is_refused() {
        let before = user(&[(Kind::Device, "device-0001"), (Kind::Custom, "custom-a")]);
        let link = Edit::Link { alias: alias(Alias::custom("custom-b")), password: None };
        let planned = plan(&before, &link).expect("allowed");
        let meanwhile =
            edited(&before, &unlink(Kind::Custom, "")).expect("allowed").expect("there");
        let mut world = World::default();
        world.apply(|ctx| record::write(ctx, ID.as_bytes(), &meanwhile));
        let refused = world.apply(|ctx| edit(ctx, ID, &link, &planned));
        assert_eq!(refused, Err(Stop::Refused(Error::Changed)));
        let nobody = UserId::from_bytes([1; 16]);
        let refused = world.apply(|ctx| edit(ctx, nobody, &link, &planned));
        assert_eq!(refused, Err(Stop::Refused(Error::NotFound)));
    }

    /// Rows 102 and 104.
    #[test]
    fn a_deleted_account_frees_its_aliases_and_its_tokens_are_dead() {
        let before = user(&[(Kind::Device, "device-0001"), (Kind::Custom, "custom-a")]);
        let planned = plan(&before, &Edit::Delete).expect("always");
        let kinds: Vec<_> = planned.releases.iter().map(Alias::kind).collect();
        assert_eq!(kinds, [Kind::Username, Kind::Device, Kind::Custom]);
        assert_eq!(edited(&before, &Edit::Delete), Ok(None));
    }

    #[test]
    fn a_sign_in_fills_what_is_empty_and_keeps_what_is_not() {
        let mut before = user(&[(Kind::Google, "1")]);
        before.display_name = "Al".into();
        before.password = "old".into();
        let mut world = World::default();
        world.apply(|ctx| record::write(ctx, ID.as_bytes(), &before));
        let profile = Profile {
            id: "1".into(),
            display_name: "Alice".into(),
            avatar_url: "x".repeat(AVATAR_URL_MAX + 1),
            email: String::new(),
        };
        let signed_in = SignedIn {
            verified: Some("old".into()),
            rehashed: Some("new".into()),
            profile: Some(profile),
            revokes: false,
        };
        let after = User { password: "new".into(), ..before };
        assert_eq!(world.apply(|ctx| sign_in(ctx, ID, &signed_in)), Ok(after.clone()));
        assert_eq!(world.apply(|ctx| read(ctx, ID)), Ok(Some(after)));
        let refused = world.apply(|ctx| sign_in(ctx, ID, &signed_in));
        assert_eq!(refused, Err(Stop::Refused(Error::OtherPassword)));
        let nobody = UserId::from_bytes([1; 16]);
        let refused = world.apply(|ctx| sign_in(ctx, nobody, &SignedIn::default()));
        assert_eq!(refused, Err(Stop::Refused(Error::NotFound)));
        assert_eq!(world.apply(|ctx| set_disabled(ctx, ID, true)), Ok(true));
        let refused = world.apply(|ctx| sign_in(ctx, ID, &SignedIn::default()));
        assert_eq!(refused, Err(Stop::Refused(Error::Banned)));
    }

    #[test]
    fn a_ban_is_lifted_again() {
        let mut world = World::default();
        let before = user(&[(Kind::Device, "device-0001")]);
        world.apply(|ctx| record::write(ctx, ID.as_bytes(), &before));
        assert_eq!(world.apply(|ctx| set_disabled(ctx, ID, true)), Ok(true));
        let banned = world.apply(|ctx| read(ctx, ID)).expect("there").expect("there");
        assert_eq!((banned.is_disabled(), banned.disable_time), (true, 1000));
        assert_eq!(world.apply(|ctx| set_disabled(ctx, ID, false)), Ok(true));
        assert_eq!(world.apply(|ctx| read(ctx, ID)), Ok(Some(before)));
        let nobody = UserId::from_bytes([1; 16]);
        assert_eq!(world.apply(|ctx| set_disabled(ctx, nobody, true)), Ok(false));
    }

    #[test]
    fn debug_forms_show_no_hash() {
        let hash = || Some(Secret::from("CANARY"));
        let new = NewAccount {
            user_id: ID,
            username: alias(Alias::username("ann")),
            credentials: Vec::new(),
            password: hash(),
            display_name: String::new(),
            avatar_url: String::new(),
        };
        let link = Edit::Link { alias: alias(Alias::email("ann@example.com")), password: hash() };
        let signed_in =
            SignedIn { verified: hash(), rehashed: hash(), profile: None, revokes: false };
        let user = User { password: "CANARY".into(), ..User::default() };
        let shown = format!("{new:?} {link:?} {signed_in:?} {user:?}");
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(shown.contains("has_password: true"), "{shown}");
    }
}
