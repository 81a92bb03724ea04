//! Who is there: one session of one user.

use std::sync::Arc;

use base::{SessionId, UserId};

/// A session as others see it. Cloning shares the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub username: Arc<str>,
}
