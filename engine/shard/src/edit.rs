//! What owners change about their accounts: values, what signs them in, their end.
//!
//! An edit is planned for the account as it is and prepared as a batch; when the account has
//! changed meanwhile, it is planned again.

use api::Error;
use api::ops::Door;
use api::request::{AccountUpdate, Credentials};
use base::Secret;
use base::limits::EDIT_TRIES_MAX;
use domain::identity::account::{self, Edit, Update};
use domain::identity::alias::{self, Alias, Kind};
use domain::identity::password::Password;
use domain::identity::provider::{Profile, Proof};
use domain::identity::session::Bearer;

use crate::Shard;
use crate::batch::{Conflict, Purpose};
use crate::message::{AccountEdit, Claim, Errand, Message, Query};
use crate::output::PasswordWork;
use crate::sign_in::{rejected, user_not_found};
use crate::state::State;
use crate::task::Step;

/// An edit as it was asked for.
#[derive(Debug)]
pub(crate) enum Wanted {
    Edit(Edit),
    /// Link the address with this password, which is to be hashed.
    LinkEmail {
        alias: Alias,
        password: Password,
    },
    /// Link or unlink the player whose proof it is.
    Prove {
        proof: Proof,
        then: Then,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Link,
    Unlink,
}

/// An edit under way.
#[derive(Debug)]
pub(crate) struct Editing {
    /// By whose token. It is looked at again when the account is changed: a token that was good
    /// when a password or a provider began to be waited for may be dead by then.
    bearer: Bearer,
    edit: Edit,
    tries: u32,
}

impl Shard {
    /// Begins with the token: a dead one is told so before anything else that is wrong.
    pub(crate) fn begin_edit(
        &mut self,
        task: u64,
        bearer: Option<Bearer>,
        wanted: Result<Wanted, Error>,
    ) -> Step {
        let Some(bearer) = bearer else { return Step::Fail(crate::task::invalid_token()) };
        match wanted {
            Err(error) => self.refuse_after_guard(task, bearer, error),
            Ok(wanted) => {
                self.ask_guarded(task, bearer, Errand::Nothing);
                Step::Wait(State::EditGuard { bearer, wanted: Box::new(wanted) })
            }
        }
    }

    pub(crate) fn wanted_link(&self, credentials: Credentials) -> Result<Wanted, Error> {
        let edit = |alias| Wanted::Edit(Edit::Link { alias, password: None });
        Ok(match self.with_oidc(credentials) {
            Credentials::Device { id } => edit(Alias::device(&id)?),
            Credentials::Custom { id } => edit(Alias::custom(&id)?),
            Credentials::Email { email, password } => {
                let alias = Alias::email(&email)?;
                Wanted::LinkEmail { alias, password: Password::parse(&password)? }
            }
            Credentials::Proof(proof) => {
                // Nakama looks at Steam's ticket before it looks at its configuration.
                if proof.kind() == Kind::Steam && proof.is_empty() {
                    return Err(Error::invalid("The provider's credential is required."));
                }
                self.check_proof(&proof)?;
                Wanted::Prove { proof, then: Then::Link }
            }
        })
    }

    pub(crate) fn wanted_unlink(&self, credentials: Credentials) -> Result<Wanted, Error> {
        let edit = |kind, text: String| {
            let text = (!text.is_empty()).then_some(text);
            Wanted::Edit(Edit::Unlink { kind, text })
        };
        Ok(match self.with_oidc(credentials) {
            Credentials::Device { id } if id.is_empty() => {
                return Err(alias::Error::Empty(Kind::Device).into());
            }
            Credentials::Device { id } => edit(Kind::Device, id),
            Credentials::Custom { id } => edit(Kind::Custom, id),
            Credentials::Email { email, .. } => edit(Kind::Email, alias::lower_case(&email)),
            Credentials::Proof(proof) if proof.is_empty() => edit(proof.kind(), String::new()),
            Credentials::Proof(proof) => {
                self.check_proof(&proof)?;
                Wanted::Prove { proof, then: Then::Unlink }
            }
        })
    }

    pub(crate) fn wanted_update(update: AccountUpdate) -> Result<Wanted, Error> {
        let AccountUpdate { username, display_name, avatar_url, lang_tag, location, timezone } =
            update;
        let username = username.as_deref().map(Alias::username).transpose()?;
        let update = Update { username, display_name, avatar_url, lang_tag, location, timezone };
        Ok(Wanted::Edit(Edit::Update(update)))
    }

    /// The token is good.
    pub(crate) fn go_on_editing(&mut self, task: u64, bearer: Bearer, wanted: Wanted) -> Step {
        match wanted {
            Wanted::Edit(edit) => self.read_for_edit(task, Editing { bearer, edit, tries: 0 }),
            Wanted::LinkEmail { alias, password } => {
                if let Err(error) = password.check_new() {
                    return Step::Fail(error.into());
                }
                let work = PasswordWork::Hash(password);
                self.ask_password(task, Door::Clients, work);
                Step::Wait(State::HashForLink { bearer, alias })
            }
            Wanted::Prove { proof, then } => {
                let kind = proof.kind();
                self.ask_proof(task, proof);
                Step::Wait(State::EditProof { bearer, kind, then })
            }
        }
    }

    pub(crate) fn link_email(
        &mut self,
        task: u64,
        bearer: Bearer,
        alias: Alias,
        hash: String,
    ) -> Step {
        let edit = Edit::Link { alias, password: Some(Secret(hash)) };
        self.read_for_edit(task, Editing { bearer, edit, tries: 0 })
    }

    /// The provider has said whose the proof is.
    pub(crate) fn edit_as(
        &mut self,
        task: u64,
        bearer: Bearer,
        kind: Kind,
        then: Then,
        profile: &Profile,
    ) -> Step {
        let Ok(alias) = Alias::provided(kind, &profile.id) else {
            return Step::Fail(rejected());
        };
        let edit = match then {
            Then::Link => Edit::Link { alias, password: None },
            Then::Unlink => Edit::Unlink { kind, text: Some(alias.as_str().to_owned()) },
        };
        self.read_for_edit(task, Editing { bearer, edit, tries: 0 })
    }

    fn read_for_edit(&mut self, task: u64, editing: Editing) -> Step {
        let user = editing.bearer.user_id;
        self.ask(task, self.config.placement.of_user(user), Query::Users(vec![user]));
        Step::Wait(State::Edit(Box::new(editing)))
    }

    pub(crate) fn plan_edit(
        &mut self,
        task: u64,
        editing: Box<Editing>,
        found: Option<&account::User>,
    ) -> Step {
        let Some(found) = found else { return Step::Fail(user_not_found()) };
        let plan = match account::plan(found, &editing.edit) {
            Ok(plan) => plan,
            Err(error) => return Step::Fail(error.into()),
        };
        let (bearer, user) = (editing.bearer, editing.bearer.user_id);
        let takes = plan.claims.iter().map(|alias| Claim::Take { alias: alias.clone(), user });
        let releases =
            plan.releases.iter().map(|alias| Claim::Release { alias: alias.clone(), user });
        let mut claims: Vec<_> = takes.chain(releases).collect();
        let edit = editing.edit.clone();
        let bearer = Some(bearer);
        claims.push(Claim::Edit(Box::new(AccountEdit { user, bearer, edit, plan })));
        self.begin_batch(task, Purpose::Edit(editing), claims)
    }

    pub(crate) fn edited(&mut self, task: u64, editing: &Editing) {
        if editing.edit == Edit::Delete {
            let user = editing.bearer.user_id;
            let depends = self.depends_of(task);
            let home = self.config.placement.of_user(user);
            self.send(home, Message::Kick { user, notice: None }, &depends);
        }
    }

    pub(crate) fn resolve_edit(
        &mut self,
        task: u64,
        mut editing: Editing,
        conflict: Conflict,
    ) -> Step {
        match conflict {
            // Nakama answers a taken name of an update as bad input.
            Conflict::Taken(Kind::Username, owner) if owner != editing.bearer.user_id => {
                Step::Fail(Error::invalid("Username is in use already."))
            }
            Conflict::Taken(kind, owner) if owner != editing.bearer.user_id => {
                Step::Fail(alias::Error::Taken(kind, owner).into())
            }
            Conflict::Taken(..) | Conflict::Changed if editing.tries < EDIT_TRIES_MAX => {
                editing.tries += 1;
                self.read_for_edit(task, editing)
            }
            Conflict::Taken(..) | Conflict::Changed => Step::Fail(account::Error::Changed.into()),
        }
    }
}
