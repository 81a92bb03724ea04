//! One connection's writes: one after the other, at random, to users of its own.
//!
//! No two writers change one user, so each knows what its users have to be like. What they have in
//! common are a few usernames that all of them want.

use anyhow::Result;
use base::Rng;
use base::json::object;
use client::Method;

use crate::crash::api::{Answer, Api, By, Stop, id_body, kind, now, text, tokens_in};
use crate::crash::audit::Entry;
use crate::crash::model::{Account, Alias, CONTESTED, Settled, User, Write};
use crate::crash::{Tally, verify};

/// Names that all writers want.
pub(super) const CONTESTED_COUNT: u32 = 8;

/// So many users with an account a writer has at a time, before others are deleted.
const USERS_MAX: usize = 30;

/// So many devices of an account.
const DEVICES_MAX: usize = 4;

/// How long a ban lasts, in seconds: it ends tokens of its own second, so that a sign-in in that
/// second would give dead ones. One more for the edge of a second.
const BAN_LEAST: u64 = 2;

/// Users of earlier cycles that a comparison looks at, beside those that were touched.
const SAMPLE: u32 = 4;

/// One connection and its users.
#[derive(Debug)]
pub(super) struct Writer {
    number: usize,
    rng: Rng,
    users: Vec<User>,
    /// Names that were given out, so that each is a new one.
    named: u64,
    /// Changes that operators made, for the audit trail.
    pub(super) audited: Vec<Entry>,
    pub(super) tally: Tally,
}

impl Writer {
    pub(super) fn new(number: usize, rng: Rng) -> Writer {
        let (users, audited, tally) = (Vec::new(), Vec::new(), Tally::default());
        Writer { number, rng, users, named: 0, audited, tally }
    }

    /// Writes until something stops it.
    pub(super) async fn write(mut self, mut api: Api) -> (Writer, Stop) {
        loop {
            if let Err(stop) = self.step(&mut api).await {
                let in_flight = self.users.iter().any(|user| user.pending.is_some());
                let was_sent = !matches!(stop, Stop::Gone(client::Error::Connect(_)));
                self.tally.in_flight += u64::from(in_flight && was_sent);
                return (self, stop);
            }
        }
    }

    /// Compares what was touched, and some or all of the rest, with what the server says.
    pub(super) async fn verify(
        mut self,
        mut api: Api,
        reader: String,
        everything: bool,
    ) -> (Writer, Result<(), String>) {
        let mut chosen: Vec<usize> = (0..self.users.len())
            .filter(|index| everything || self.users[*index].is_touched)
            .collect();
        if !everything && !self.users.is_empty() {
            chosen.extend((0..SAMPLE).map(|_| self.any_user()));
        }
        for index in chosen {
            if let Err(why) = self.verify_user(&mut api, &reader, index).await {
                let user = &self.users[index];
                let id = user.id.as_deref().unwrap_or("unknown");
                let who = format!("user {index} of writer {} (id {id})", self.number);
                return (self, Err(format!("{who}: {why}")));
            }
        }
        (self, Ok(()))
    }

    /// The users who have one of the names that all writers want, by that name.
    pub(super) fn holders(&self) -> impl Iterator<Item = (String, String)> {
        self.users.iter().filter_map(|user| {
            let name = &user.state.account.as_ref()?.profile.username;
            let is_contested = name.starts_with(CONTESTED);
            is_contested.then(|| (name.clone(), user.id.clone().unwrap_or_default()))
        })
    }

    pub(super) fn user_count(&self) -> usize {
        self.users.len()
    }

    async fn verify_user(
        &mut self,
        api: &mut Api,
        reader: &str,
        index: usize,
    ) -> Result<(), String> {
        let user = &mut self.users[index];
        let seen = verify::look(api, user, reader, &mut self.audited).await;
        let seen = seen.map_err(|stop| stop.to_string())?;
        self.tally.verified += 1;
        if let Settled::Applied(write) = user.settle(&seen, now())? {
            self.tally.applied += 1;
            self.note_audited(&write, index);
        }
        Ok(())
    }

    async fn step(&mut self, api: &mut Api) -> Result<(), Stop> {
        let alive: Vec<usize> =
            (0..self.users.len()).filter(|i| self.users[*i].state.account.is_some()).collect();
        if alive.is_empty() || (alive.len() < USERS_MAX && self.rng.below(100) < 15) {
            return self.create(api).await;
        }
        let index = alive[below(&mut self.rng, alive.len())];
        let user = &self.users[index];
        if user.state.is_banned() {
            if user.banned_at + BAN_LEAST > now() {
                return Ok(()); // another user next time
            }
            let write = if self.rng.below(4) == 0 { Write::DeleteByOperator } else { Write::Unban };
            return self.send(api, index, write, "").await;
        }
        let bearer = self.bearer(api, index).await?;
        let write = self.draw(index);
        self.send(api, index, write, &bearer).await
    }

    /// A new account, with all that the answer tells of it.
    async fn create(&mut self, api: &mut Api) -> Result<(), Stop> {
        let (by, username) = (self.new_credential(), self.new_name("name"));
        let index = self.users.len();
        self.users.push(User::default());
        let write = Write::Create { by: by.clone(), username: username.clone() };
        self.users[index].begin(write, now());
        let body = api.sign_in(&by, Some(&username)).await?.success()?;
        if body["created"] != true {
            return Err(Stop::Wrong(format!("{by:?} has an account already")));
        }
        let tokens = tokens_in(&body);
        self.acknowledge(index);
        let session = tokens.session.clone();
        self.users[index].state.add_tokens(tokens);
        let account = api.account(&session).await?.success()?;
        self.users[index].id = Some(text(&account["user"], "id"));
        Ok(())
    }

    /// A session token of the user that is good.
    async fn bearer(&mut self, api: &mut Api, index: usize) -> Result<String, Stop> {
        let state = &self.users[index].state;
        let newest = state.tokens.iter().rev().find(|tokens| tokens.are_alive);
        if let Some(tokens) = newest
            && self.rng.below(20) > 0
        {
            return Ok(tokens.session.clone());
        }
        let credentials = self.account(index).credentials();
        let by = &credentials[below(&mut self.rng, credentials.len())];
        let tokens = tokens_in(&api.sign_in(by, None).await?.success()?);
        let session = tokens.session.clone();
        self.users[index].state.add_tokens(tokens);
        Ok(session)
    }

    /// A write that the user's state allows.
    fn draw(&mut self, index: usize) -> Write {
        let account = self.account(index);
        let (devices, credentials) = (account.devices.len(), account.credentials());
        let current = account.profile.username.clone();
        match self.rng.below(100) {
            0..10 => Write::Rename { username: self.new_name("name") },
            10..22 => {
                let username = format!("{CONTESTED}{}", self.rng.below(CONTESTED_COUNT));
                match username == current {
                    true => Write::Rename { username: self.new_name("name") },
                    false => Write::Rename { username },
                }
            }
            22..34 if devices < DEVICES_MAX => Write::Link(Alias::Device(self.new_name("device"))),
            34..44 => Write::Link(Alias::Custom(self.new_name("custom"))),
            44..58 if credentials.len() > 1 => {
                Write::Unlink(credentials[below(&mut self.rng, credentials.len())].clone())
            }
            58..66 => {
                let tokens = &self.users[index].state.tokens;
                let alive: Vec<_> = tokens.iter().filter(|tokens| tokens.are_alive).collect();
                let session = alive[below(&mut self.rng, alive.len())].session.clone();
                Write::Logout { session }
            }
            66..70 => Write::LogoutEverywhere,
            70..75 => Write::Ban,
            75..78 => Write::Delete,
            78..80 => Write::DeleteByOperator,
            _ => Write::Update { text: self.new_name("text") },
        }
    }

    async fn send(
        &mut self,
        api: &mut Api,
        index: usize,
        write: Write,
        bearer: &str,
    ) -> Result<(), Stop> {
        let user = &mut self.users[index];
        user.begin(write.clone(), now());
        let answer = request(api, user, &write, bearer).await?;
        match answer.status {
            200 => self.acknowledge(index),
            400 | 409 if write.may_be_refused() => {
                user.refuse();
                self.tally.refused += 1;
            }
            _ => {
                let why = answer.unexpected("200");
                return Err(Stop::Wrong(format!("{write:?} of {:?}: {why}", user.id)));
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, index: usize) {
        self.tally.acknowledged += 1;
        if let Some(write) = self.users[index].acknowledge(now()) {
            self.note_audited(&write, index);
        }
    }

    fn note_audited(&mut self, write: &Write, index: usize) {
        if let Some(operation) = write.audited() {
            let target = self.users[index].id.clone().unwrap_or_default();
            self.audited.push((operation.to_owned(), target));
        }
    }

    fn account(&self, index: usize) -> &Account {
        self.users[index].state.account.as_ref().expect("only users with an account are drawn")
    }

    fn any_user(&mut self) -> usize {
        below(&mut self.rng, self.users.len())
    }

    fn new_credential(&mut self) -> Alias {
        match self.rng.below(3) {
            0 => Alias::Custom(self.new_name("custom")),
            _ => Alias::Device(self.new_name("device")),
        }
    }

    /// A text that no other user ever has.
    fn new_name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what}-{}-{}", self.number, self.named)
    }
}

/// Sends a write that changes a user there is.
async fn request(api: &mut Api, user: &User, write: &Write, bearer: &str) -> Result<Answer, Stop> {
    let by = By::Player(bearer);
    let id = user.id.as_deref().unwrap_or_default();
    let account = "/v2/account";
    match write {
        Write::Create { by, username } => api.sign_in(by, Some(username)).await,
        Write::Update { text } => {
            let body = object(|o| {
                o.text("display_name", text);
                o.text("location", text);
            });
            api.ask(by, Method::Put, account, &body).await
        }
        Write::Rename { username } => {
            let body = object(|o| o.text("username", username));
            api.ask(by, Method::Put, account, &body).await
        }
        Write::Link(alias) => {
            let target = format!("{account}/link/{}", kind(alias));
            api.ask(by, Method::Post, &target, &id_body(alias)).await
        }
        Write::Unlink(alias) => {
            let target = format!("{account}/unlink/{}", kind(alias));
            api.ask(by, Method::Post, &target, &id_body(alias)).await
        }
        Write::Logout { session } => {
            let tokens = user.state.tokens.iter().find(|tokens| tokens.session == *session);
            let body = object(|o| {
                o.text("token", session);
                o.text("refresh_token", tokens.map_or("", |tokens| &tokens.refresh));
            });
            api.ask(by, Method::Post, "/v2/session/logout", &body).await
        }
        Write::LogoutEverywhere => api.ask(by, Method::Post, "/v2/session/logout", "{}").await,
        Write::Delete => api.ask(by, Method::Delete, account, "").await,
        Write::Ban => api.operate(Method::Post, id, "/ban").await,
        Write::Unban => api.operate(Method::Post, id, "/unban").await,
        Write::DeleteByOperator => api.operate(Method::Delete, id, "").await,
    }
}

/// A place in a list of so many.
fn below(rng: &mut Rng, len: usize) -> usize {
    let bound = u32::try_from(len).expect("no list here is so long");
    rng.below(bound) as usize
}
