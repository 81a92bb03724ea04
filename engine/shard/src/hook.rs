//! Hooks: steps of the dispatch at which server code may look at a call, change it or refuse it.

use std::collections::BTreeSet;

use api::Error;
use api::ops::Operation;
use api::realtime;
use api::reply::Reply;
use api::request::Request;
use base::Code;

use crate::Shard;
use crate::output::Output;
use crate::state::State;
use crate::task::{Origin, Step};
use crate::view::Depends;

/// Operations whose calls stop at a hook, by operation name.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    pub before: BTreeSet<String>,
    pub after: BTreeSet<String>,
}

/// One run of a hook.
#[derive(Debug)]
pub struct HookCall {
    /// Names the call in the verdict. An after-hook is given no verdict.
    pub call: u64,
    pub operation: &'static str,
    pub stage: Stage,
}

#[derive(Debug)]
pub enum Stage {
    Before { request: Request },
    After { reply: Reply },
}

/// What a before-hook said.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go on with this request: the same, or another of the same operation.
    Continue(Request),
    /// The call is refused with this error.
    Refuse(Error),
    /// The operation is switched off.
    Disable,
}

impl Shard {
    pub(crate) fn run_before_hook(&mut self, task: u64, row: &'static Operation, request: Request) {
        let stage = Stage::Before { request };
        let call = HookCall { call: task, operation: row.name, stage };
        self.output_of(task, Output::Hook(call));
    }

    pub(crate) fn handle_hooked(&mut self, call: u64, verdict: Verdict) {
        let Some(task) = self.tasks.get_mut(&call) else { return };
        let State::Hook { caller } = task.state else { return };
        task.awaited = 0;
        let session = match &task.origin {
            Origin::Http { .. } | Origin::Call { .. } => None,
            Origin::Session { session, cid } => Some((*session, cid.clone())),
        };
        let step = match (verdict, session) {
            (Verdict::Continue(request), _) => self.first_step(call, caller, request),
            (Verdict::Refuse(error), None) => Step::Fail(error),
            (Verdict::Disable, None) => Step::Fail(Error::new(Code::NotFound, "Not Found")),
            // A socket hears of a hook in codes of their own, and does not survive a message that
            // is switched off.
            (Verdict::Refuse(error), Some((session, cid))) => {
                self.tell(session, realtime::error(&cid, 7, &error.message), &Depends::default());
                Step::Ended(Err(error.code))
            }
            (Verdict::Disable, Some((session, cid))) => {
                self.end_unrecognized(session, &cid);
                Step::Ended(Err(Code::NotFound))
            }
        };
        self.finish_step(call, step);
    }

    /// Shows a reply to whoever looks at those of its operation.
    pub(crate) fn run_after_hook(
        &mut self,
        task: u64,
        row: &'static Operation,
        reply: &Reply,
        depends: &Depends,
    ) {
        if self.config.hooks.after.contains(row.name) {
            let stage = Stage::After { reply: reply.clone() };
            let call = HookCall { call: task, operation: row.name, stage };
            self.output(Output::Hook(call), depends);
        }
    }
}
