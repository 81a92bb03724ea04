//! Account creation: the coordinator of one batch over several shards.
//!
//! Participants are asked one after another, in ascending order of (slot, table, key), so that two
//! creations never wait for each other. Each prepares its changes and holds the keys; then the
//! coordinator emits the union, or abandons what was prepared.

use api::Error;
use base::limits::USERNAME_DRAWS_MAX;
use base::{Frame, ShardId, UserId};
use domain::identity::account::NewAccount;
use domain::identity::username::{self, Username};

use crate::Shard;
use crate::identity::SignIn;
use crate::message::{Answer, Claim, Message, Query, Taken, TaskId};
use crate::task::{State, Step};

/// An account in the making: the coordinator's side of a batch over several shards.
#[derive(Debug)]
pub(crate) struct Creation {
    sign_in: SignIn,
    user: UserId,
    username: Username,
    /// Random names drawn so far.
    draws: u32,
    /// Claims not prepared yet, in descending order: the next one is the last.
    claims: Vec<Claim>,
    frames: Vec<Frame>,
    /// Shards that hold something for this task, or may be about to.
    pub(crate) participants: Vec<ShardId>,
}

impl Shard {
    pub(crate) fn create(&mut self, task: u64, sign_in: SignIn) -> Step {
        if self.is_behind() {
            return Step::Fail(Error::exhausted("The disk is behind; try again."));
        }
        let user = UserId::random(&mut self.rng);
        let (username, draws) = match &sign_in.username {
            Some(name) => (name.clone(), 0),
            None => (Username::random(&mut self.rng), 1),
        };
        self.prepare_creation(task, sign_in, user, username, draws)
    }

    pub(crate) fn prepare_creation(
        &mut self,
        task: u64,
        sign_in: SignIn,
        user_id: UserId,
        username: Username,
        draws: u32,
    ) -> Step {
        let device = sign_in.device.clone();
        let mut claims = vec![
            Claim::Device { id: device.clone(), user: user_id },
            Claim::Username { name: username.clone(), user: user_id },
            Claim::Account(NewAccount { user_id, username: username.clone(), device }),
        ];
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.order()));
        let (frames, participants) = (Vec::new(), Vec::new());
        let user = user_id;
        let creation = Creation { sign_in, user, username, draws, claims, frames, participants };
        self.ask_next_participant(task, Box::new(creation))
    }

    /// Asks the next participant, or emits the batch when all have prepared.
    pub(crate) fn ask_next_participant(&mut self, task: u64, mut creation: Box<Creation>) -> Step {
        if let Some(claim) = creation.claims.pop() {
            let home = self.config.placement.of_key(claim.key());
            if !creation.participants.contains(&home) {
                creation.participants.push(home);
            }
            self.ask(task, home, Query::Prepare(claim));
            return Step::Wait(State::Create(creation));
        }
        let Creation { sign_in, user, username, frames, participants, .. } = *creation;
        let mut depends =
            self.tasks.get(&task).map(|task| task.depends.clone()).unwrap_or_default();
        let mut holders = participants.clone();
        if !holders.contains(&self.id) {
            holders.push(self.id);
        }
        let before = depends.clone();
        let batch = self.emit(frames, holders, &mut depends);
        for shard in participants {
            let task = TaskId { shard: self.id, number: task };
            self.send(shard, Message::Emitted { task, batch }, &before);
        }
        if let Some(task) = self.tasks.get_mut(&task) {
            task.depends = depends;
        }
        Step::Done(self.new_session(user, username.as_str().to_owned(), sign_in.vars, true))
    }

    pub(crate) fn creation_step(
        &mut self,
        task: u64,
        mut creation: Box<Creation>,
        answer: Answer,
    ) -> Step {
        match answer {
            Answer::Prepared(frame) => {
                creation.frames.push(frame);
                self.ask_next_participant(task, creation)
            }
            Answer::Taken(Taken::Device(owner)) => {
                // Another request created the account in the meantime: this one signs in to it.
                self.abandon(task, &creation.participants);
                self.login(task, owner, creation.sign_in.vars)
            }
            Answer::Taken(Taken::Username) => {
                self.abandon(task, &creation.participants);
                let Creation { sign_in, user, draws, .. } = *creation;
                if draws == 0 || draws >= USERNAME_DRAWS_MAX {
                    return Step::Fail(username::Error::Taken.into());
                }
                let username = Username::random(&mut self.rng);
                self.prepare_creation(task, sign_in, user, username, draws + 1)
            }
            Answer::Refused(error) => {
                self.abandon(task, &creation.participants);
                Step::Fail(error)
            }
            other => {
                debug_assert!(false, "a creation does not wait for {other:?}");
                self.abandon(task, &creation.participants);
                Step::Fail(Error::internal())
            }
        }
    }

    pub(crate) fn abandon(&mut self, number: u64, participants: &[ShardId]) {
        let depends = self.tasks.get(&number).map(|task| task.depends.clone()).unwrap_or_default();
        for shard in participants {
            let task = TaskId { shard: self.id, number };
            self.send(*shard, Message::Abandon { task }, &depends);
        }
    }
}
