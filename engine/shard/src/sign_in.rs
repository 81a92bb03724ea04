//! Signing in: from what a client shows to its tokens, over a new account if need be.

use api::Error;
use api::ops::{Door, Rate};
use api::reply::Reply;
use api::request::{Authenticate, Credentials};
use base::limits::{CUSTOM_ID_MAX, PASSWORD_MAX, USERNAME_DRAWS_MAX};
use base::{Code, Secret, TokenId, UserId};
use domain::identity::account::{NewAccount, SignedIn, avatar_url, display_name};
use domain::identity::alias::{self, Alias, Kind};
use domain::identity::password::{self, Password};
use domain::identity::provider::{Profile, Proof};
use domain::identity::token::{Claims, Vars};

use crate::Shard;
use crate::batch::{Conflict, Purpose};
use crate::identity::check_vars;
use crate::message::{Claim, Login, Query};
use crate::output::{Output, PasswordWork};
use crate::rate::Asker;
use crate::state::State;
use crate::task::{Step, too_many_passwords};

/// What a sign-in asks for, checked.
#[derive(Debug)]
pub(crate) struct SignIn {
    /// What leads to the account: a credential, or a username with a password.
    pub(crate) alias: Alias,
    /// Of an account that is to be created.
    pub(crate) username: Option<Alias>,
    pub(crate) create: bool,
    pub(crate) vars: Vars,
    pub(crate) password: Option<Password>,
    /// Of the password, once it was hashed for a new account.
    pub(crate) hash: Option<Secret>,
    pub(crate) profile: Option<Profile>,
    /// The chosen name was found to be taken: it may be by another request of the same player.
    is_second_look: bool,
}

/// A sign-in that waits for its proof to be looked at.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) kind: Kind,
    username: Option<Alias>,
    create: bool,
    vars: Vars,
}

/// An account in the making.
#[derive(Debug)]
pub(crate) struct Creation {
    sign_in: SignIn,
    new: NewAccount,
    /// Random names drawn so far.
    draws: u32,
}

impl Shard {
    pub(crate) fn authenticate_with(&mut self, task: u64, request: Authenticate) -> Step {
        self.parse_sign_in(task, request).unwrap_or_else(Step::Fail)
    }

    /// Checks in Nakama's order, which decides between several errors.
    fn parse_sign_in(&mut self, task: u64, request: Authenticate) -> Result<Step, Error> {
        let Authenticate { credentials, vars, create, username } = request;
        let (alias, password) = match self.with_oidc(credentials) {
            Credentials::Device { id } => (Some(Alias::device(&id)?), None),
            Credentials::Custom { id } => (Some(Alias::custom(&id)?), None),
            Credentials::Email { email, password } => {
                let alias = match email.as_str() {
                    "" => None,
                    email => Some(Alias::email(email)?),
                };
                (alias, Some(Password::parse(&password)?))
            }
            Credentials::Proof(proof) => {
                self.check_proof(&proof)?;
                let username = parse_username(&username)?;
                check_vars(&vars)?;
                let proven = Proven { kind: proof.kind(), username, create, vars };
                self.ask_proof(task, proof);
                return Ok(Step::Wait(State::Proof(Box::new(proven))));
            }
        };
        let username = parse_username(&username)?;
        check_vars(&vars)?;
        let (alias, username) = match (alias, username) {
            (Some(alias), username) => (alias, username),
            (None, Some(username)) => (username, None),
            (None, None) => return Err(alias::Error::Empty(Kind::Email).into()),
        };
        // The crowd that fills the queue shall not look up accounts for nothing.
        if password.is_some() && self.now.monotonic < self.passwords_full_until {
            return Err(too_many_passwords());
        }
        let sign_in = SignIn {
            alias,
            username,
            create,
            vars,
            password,
            hash: None,
            profile: None,
            is_second_look: false,
        };
        Ok(self.look_up(task, Box::new(sign_in)))
    }

    /// The same, unless an ID token stands in place of a custom id, which it is too long to be.
    pub(crate) fn with_oidc(&self, credentials: Credentials) -> Credentials {
        match credentials {
            Credentials::Custom { id }
                if self.config.providers.oidc
                    && id.len() > CUSTOM_ID_MAX
                    && id.bytes().filter(|byte| *byte == b'.').count() == 2 =>
            {
                Credentials::Proof(Proof::Oidc { token: id })
            }
            other => other,
        }
    }

    /// Whether the provider can be asked about the proof at all.
    pub(crate) fn check_proof(&self, proof: &Proof) -> Result<(), Error> {
        let is_configured = match proof {
            Proof::Apple { .. } => self.config.providers.apple,
            Proof::Steam { .. } => self.config.providers.steam,
            Proof::Facebook { .. }
            | Proof::FacebookInstantGame { .. }
            | Proof::GameCenter(_)
            | Proof::Google { .. }
            | Proof::Oidc { .. } => true,
        };
        if !is_configured {
            return Err(not_configured());
        }
        if proof.is_incomplete() {
            return Err(Error::invalid("The provider's credential is required."));
        }
        Ok(())
    }

    pub(crate) fn ask_proof(&mut self, task: u64, proof: Proof) {
        self.output_of(task, Output::Proof { call: task, proof });
    }

    /// The provider has said whose the proof is.
    pub(crate) fn sign_in_as(&mut self, task: u64, proven: Proven, profile: Profile) -> Step {
        let Proven { kind, username, create, vars } = proven;
        let Ok(alias) = Alias::provided(kind, &profile.id) else {
            return Step::Fail(rejected());
        };
        let sign_in = SignIn {
            alias,
            username,
            create,
            vars,
            password: None,
            hash: None,
            profile: Some(profile),
            is_second_look: false,
        };
        self.look_up(task, Box::new(sign_in))
    }

    fn look_up(&mut self, task: u64, sign_in: Box<SignIn>) -> Step {
        let home = self.config.placement.of_key(&sign_in.alias.key());
        self.ask(task, home, Query::Owners(vec![sign_in.alias.clone()]));
        Step::Wait(State::Lookup { sign_in })
    }

    pub(crate) fn looked_up(
        &mut self,
        task: u64,
        sign_in: Box<SignIn>,
        owner: Option<UserId>,
    ) -> Step {
        match owner {
            Some(user) => self.login(task, user, sign_in),
            None if !sign_in.create || sign_in.alias.kind() == Kind::Username => {
                Step::Fail(user_not_found())
            }
            None => match &sign_in.password {
                Some(password) if sign_in.hash.is_none() => {
                    if let Err(error) = password.check_new() {
                        return Step::Fail(error.into());
                    }
                    let work = PasswordWork::Hash(password.clone());
                    self.ask_password(task, Door::Clients, work);
                    Step::Wait(State::HashForCreation { sign_in })
                }
                _ => self.create(task, sign_in),
            },
        }
    }

    fn login(&mut self, task: u64, user: UserId, sign_in: Box<SignIn>) -> Step {
        self.ask(task, self.config.placement.of_user(user), Query::Login(user));
        Step::Wait(State::Login { user, sign_in })
    }

    /// The account is there: does the password fit?
    pub(crate) fn check_login(
        &mut self,
        task: u64,
        user: UserId,
        sign_in: Box<SignIn>,
        login: Login,
    ) -> Step {
        if login.is_disabled {
            return Step::Fail(banned());
        }
        let Some(password) = &sign_in.password else {
            let signed_in = self.signed_in(&sign_in);
            if signed_in.is_nothing() {
                return Step::Done(self.new_session(user, login.username, sign_in.vars, false));
            }
            return self.grant_sign_in(task, user, signed_in, sign_in.vars);
        };
        if login.password.0.is_empty() || password.as_str().len() > PASSWORD_MAX {
            return Step::Fail(password::Error::Wrong.into());
        }
        let asker = Asker::User(user);
        if let Err(too_often) = self.limiter.take(Rate::Password, asker, self.now.monotonic) {
            return Step::Fail(too_often.error());
        }
        let hash = login.password;
        let work = PasswordWork::Verify { password: password.clone(), hash: hash.0.clone() };
        self.ask_password(task, Door::Clients, work);
        Step::Wait(State::Password { user, hash, sign_in })
    }

    /// It is the account's password, or was when it began to be compared.
    pub(crate) fn password_is_right(
        &mut self,
        task: u64,
        user: UserId,
        hash: Secret,
        sign_in: SignIn,
        rehashed: Option<String>,
    ) -> Step {
        let rehashed = rehashed.map(Secret);
        let signed_in = SignedIn { verified: Some(hash), rehashed, ..self.signed_in(&sign_in) };
        self.grant_sign_in(task, user, signed_in, sign_in.vars)
    }

    fn signed_in(&self, sign_in: &SignIn) -> SignedIn {
        let is_google = sign_in.alias.kind() == Kind::Google;
        let profile = sign_in.profile.clone().filter(|_| is_google);
        SignedIn { profile, revokes: self.config.single_session, ..SignedIn::default() }
    }

    fn grant_sign_in(&mut self, task: u64, user: UserId, signed_in: SignedIn, vars: Vars) -> Step {
        let home = self.config.placement.of_user(user);
        self.ask(task, home, Query::SignedIn { user, signed_in });
        Step::Wait(State::SignedIn { user, vars })
    }

    pub(crate) fn new_session(
        &mut self,
        user_id: UserId,
        username: String,
        vars: Vars,
        created: bool,
    ) -> Reply {
        let token_id = TokenId::random(&mut self.rng);
        let issued_at = self.now.wall.secs();
        let claims =
            Claims { token_id, user_id, username, vars, expiry: 0, issued_at, signed_at: 0 };
        self.session_reply(claims, created)
    }

    // New accounts.

    pub(crate) fn create(&mut self, task: u64, sign_in: Box<SignIn>) -> Step {
        let (username, draws) = match &sign_in.username {
            Some(name) => (name.clone(), 0),
            None => (Alias::random_username(&mut self.rng), 1),
        };
        let mut new = NewAccount {
            user_id: UserId::random(&mut self.rng),
            username,
            credentials: vec![sign_in.alias.clone()],
            password: sign_in.hash.clone(),
            display_name: String::new(),
            avatar_url: String::new(),
        };
        if let Some(profile) = &sign_in.profile {
            new.credentials.extend(Alias::imported_email(&profile.email));
            display_name(profile).clone_into(&mut new.display_name);
            avatar_url(profile).clone_into(&mut new.avatar_url);
        }
        let creation = Creation { sign_in: *sign_in, new, draws };
        self.prepare_creation(task, Box::new(creation))
    }

    fn prepare_creation(&mut self, task: u64, creation: Box<Creation>) -> Step {
        let new = &creation.new;
        let user = new.user_id;
        let aliases = new.credentials.iter().chain([&new.username]);
        let mut claims: Vec<_> =
            aliases.map(|alias| Claim::Take { alias: alias.clone(), user }).collect();
        claims.push(Claim::Create(Box::new(new.clone())));
        self.begin_batch(task, Purpose::Create(creation), claims)
    }

    pub(crate) fn created(&mut self, creation: Creation) -> Step {
        let Creation { sign_in, new, .. } = creation;
        let username = new.username.as_str().to_owned();
        Step::Done(self.new_session(new.user_id, username, sign_in.vars, true))
    }

    pub(crate) fn resolve_creation(
        &mut self,
        task: u64,
        mut creation: Box<Creation>,
        conflict: Conflict,
    ) -> Step {
        match conflict {
            Conflict::Taken(Kind::Username, _) if !creation.sign_in.is_second_look => {
                let sign_in = SignIn { is_second_look: true, ..creation.sign_in };
                self.look_up(task, Box::new(sign_in))
            }
            Conflict::Taken(Kind::Username, _) if creation.draws == 0 => {
                Step::Fail(Error::new(Code::AlreadyExists, "Username is in use already."))
            }
            Conflict::Taken(Kind::Username, _) if creation.draws < USERNAME_DRAWS_MAX => {
                creation.draws += 1;
                creation.new.username = Alias::random_username(&mut self.rng);
                self.prepare_creation(task, creation)
            }
            // Another request created the account in the meantime: this one signs in to it.
            Conflict::Taken(kind, owner) if kind == creation.sign_in.alias.kind() => {
                self.login(task, owner, Box::new(creation.sign_in))
            }
            // The provider's address belongs to another account: it is not taken over.
            Conflict::Taken(Kind::Email, _) => {
                creation.new.credentials.retain(|alias| alias.kind() != Kind::Email);
                self.prepare_creation(task, creation)
            }
            Conflict::Taken(..) | Conflict::Changed => Step::Fail(Error::internal()),
        }
    }
}

fn parse_username(text: &str) -> Result<Option<Alias>, Error> {
    match text {
        "" => Ok(None),
        text => Ok(Some(Alias::username(text)?)),
    }
}

pub(crate) fn user_not_found() -> Error {
    Error::new(Code::NotFound, "User account not found.")
}

pub(crate) fn banned() -> Error {
    Error::new(Code::PermissionDenied, "User account banned.")
}

pub(crate) fn rejected() -> Error {
    Error::unauthenticated("The provider does not vouch for the credential.")
}

pub(crate) fn not_configured() -> Error {
    Error::new(Code::FailedPrecondition, "The provider is not configured.")
}
