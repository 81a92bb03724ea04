//! Hooks: steps of the dispatch at which server code may look at a call, change it or refuse it.

use std::collections::BTreeSet;

use api::reply::Reply;
use api::request::Request;

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
    Refuse(api::Error),
    /// The operation is switched off.
    Disable,
}
