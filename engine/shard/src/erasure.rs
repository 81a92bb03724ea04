//! Erasures: what deleted accounts leave behind goes step by step, at the home of each of them.
//!
//! The batch that deletes an account notes the job. Its home asks every shard to erase a part,
//! again and again until none has anything left, then it deletes the note. Notes that are there
//! at the start are taken up again.

use std::collections::BTreeMap;

use base::limits::{ERASURE_RETRY, ERASURES_PAGE_MAX};
use base::{Frame, ShardId, UserId};
use domain::compete::board::Forgotten;
use domain::economy::erasure;

use crate::board::{BoardAnswer, BoardQuery};
use crate::message::{Answer, Message, Query, TaskId};
use crate::view::Depends;
use crate::{Shard, Timer};

/// The jobs of one shard.
///
/// Invariant: every note of this shard is a job, or comes up in a list that is due.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    jobs: BTreeMap<UserId, Job>,
    /// What is awaited, by the number under which it was asked.
    asked: BTreeMap<u64, Asked>,
    /// Notes behind this user are looked for when all jobs are done.
    due: Option<Option<UserId>>,
}

#[derive(Debug, Default)]
struct Job {
    /// Answers that this round still waits for.
    awaited: usize,
    has_more: bool,
    is_refused: bool,
    /// Everything that was erased so far.
    depends: Depends,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    List(Option<UserId>),
    Step(UserId),
    End(UserId),
}

impl Erasures {
    /// Whether nothing is awaited; what was refused waits for its time.
    pub(crate) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Notes of all users are to be looked for.
    pub(crate) fn list_first(&mut self) {
        self.due = Some(None);
    }
}

impl Shard {
    /// A batch that may have deleted accounts of this shard was emitted.
    pub(crate) fn heed_deletions(&mut self, frame: &Frame, depends: &Depends) {
        for user in erasure::written(frame) {
            self.begin_erasure(user, depends);
        }
    }

    /// Goes on with what waits.
    pub(crate) fn wake_erasures(&mut self) {
        let waiting = self.erasures.jobs.iter().filter(|(_, job)| job.is_refused);
        let waiting: Vec<_> = waiting.map(|(user, _)| *user).collect();
        for user in waiting {
            self.ask_erasure(user);
        }
        if self.erasures.jobs.is_empty()
            && let Some(after) = self.erasures.due.take()
        {
            let query = Query::Erasures { after };
            self.ask_for_erasure(self.id, Asked::List(after), query, &Depends::default());
        }
    }

    fn begin_erasure(&mut self, user: UserId, depends: &Depends) {
        if self.erasures.jobs.contains_key(&user) {
            return;
        }
        if self.erasures.jobs.len() >= ERASURES_PAGE_MAX {
            self.erasures.list_first(); // it has a note
            return;
        }
        let job = Job { depends: depends.clone(), ..Job::default() };
        self.erasures.jobs.insert(user, job);
        self.ask_erasure(user);
    }

    /// A round: every shard erases a part of what it keeps.
    fn ask_erasure(&mut self, user: UserId) {
        let Some(job) = self.erasures.jobs.get_mut(&user) else { return };
        let homes = self.config.placement.count;
        *job = Job { awaited: 2 * homes, depends: job.depends.clone(), ..Job::default() };
        let depends = job.depends.clone();
        for home in ShardId::all(self.config.placement.count) {
            self.ask_for_erasure(home, Asked::Step(user), Query::Erase { user }, &depends);
            let records = Query::Board(BoardQuery::Forget(user));
            self.ask_for_erasure(home, Asked::Step(user), records, &depends);
        }
    }

    /// Nothing is erased before the deletion is durable, and no note before what it stands for.
    fn ask_for_erasure(&mut self, home: ShardId, asked: Asked, query: Query, depends: &Depends) {
        let number = self.next_task;
        self.next_task += 1;
        self.erasures.asked.insert(number, asked);
        let ask = Message::Ask { task: TaskId { shard: self.id, number }, query };
        match home == self.id {
            true => self.send_when_durable(ask, depends),
            false => self.send(home, ask, depends),
        }
    }

    /// An answer that no task waits for.
    pub(crate) fn erasure_step(&mut self, number: u64, answer: &Answer, depends: &Depends) {
        let Some(asked) = self.erasures.asked.remove(&number) else { return };
        match (asked, answer) {
            (Asked::List(_), Answer::Erasures(page)) => {
                for user in &page.users {
                    self.begin_erasure(*user, depends);
                }
                if page.next.is_some() && self.erasures.due.is_none() {
                    self.erasures.due = Some(page.next);
                }
            }
            (Asked::List(after), _) => self.erasures.due = Some(after),
            (Asked::Step(user), answer) => self.erased(user, answer, depends),
            (Asked::End(user), Answer::Done) => drop(self.erasures.jobs.remove(&user)),
            (Asked::End(user), _) => self.refused(user),
        }
        if self.erasures.jobs.is_empty() && self.erasures.due.is_some() {
            self.timers.set(self.now.monotonic.after(ERASURE_RETRY), Timer::Erasures);
        }
    }

    fn erased(&mut self, user: UserId, answer: &Answer, depends: &Depends) {
        let Some(job) = self.erasures.jobs.get_mut(&user) else { return };
        job.depends.merge(depends);
        job.awaited = job.awaited.saturating_sub(1);
        match answer {
            Answer::Erased { has_more }
            | Answer::Board(BoardAnswer::Forgotten(Forgotten { has_more, .. })) => {
                job.has_more |= has_more;
            }
            _ => job.is_refused = true,
        }
        if job.awaited > 0 {
            return;
        }
        let depends = job.depends.clone();
        match (job.is_refused, job.has_more) {
            (true, _) => self.refused(user),
            (false, true) => self.ask_erasure(user),
            (false, false) => {
                let query = Query::EraseEnd { user };
                self.ask_for_erasure(self.id, Asked::End(user), query, &depends);
            }
        }
    }

    /// The disk is full or behind, or too much waits: later.
    fn refused(&mut self, user: UserId) {
        if let Some(job) = self.erasures.jobs.get_mut(&user) {
            job.is_refused = true;
        }
        self.timers.set(self.now.monotonic.after(ERASURE_RETRY), Timer::Erasures);
    }
}
