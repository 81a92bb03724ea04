//! Session tokens that were verified a while ago: a client shows the same token with each request,
//! and verifying it takes longer than anything else that a request for an account costs the shard.

use std::collections::VecDeque;
use std::sync::Arc;

use base::UnixTime;
use base::collections::IdMap;
use base::limits::{VERIFIED_TOKEN_SIZE_MAX, VERIFIED_TOKENS_MAX};
use domain::identity::session::Bearer;

/// Invariants: every text in it was signed by the session key; a token is not given out past its
/// expiry. Whether it was logged out is not known here.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    // Only texts with a signature of ours are kept, so nobody can choose keys that collide.
    bearers: IdMap<Arc<str>, Bearer>,
    /// In the order of arrival: the oldest goes first.
    order: VecDeque<Arc<str>>,
}

impl Verified {
    pub(crate) fn find(&self, token: &str, now: UnixTime) -> Option<Bearer> {
        self.bearers.get(token).copied().filter(|bearer| bearer.expiry > now.secs())
    }

    pub(crate) fn keep(&mut self, token: &str, bearer: Bearer) {
        if token.len() > VERIFIED_TOKEN_SIZE_MAX || self.bearers.contains_key(token) {
            return;
        }
        if self.order.len() >= VERIFIED_TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bearers.remove(&oldest);
        }
        let token: Arc<str> = Arc::from(token);
        self.order.push_back(token.clone());
        self.bearers.insert(token, bearer);
    }
}

#[cfg(test)]
mod tests {
    use base::{TokenId, UserId};
    use domain::identity::token::Kind;

    use super::*;

    #[test]
    fn the_oldest_go_first_and_none_outlives_its_expiry() {
        let mut verified = Verified::default();
        let bearer = Bearer {
            user_id: UserId::from_bytes([1; 16]),
            token_id: TokenId::from_bytes([2; 16]),
            kind: Kind::Session,
            issued: 0,
            expiry: 60,
        };
        for n in 0..=VERIFIED_TOKENS_MAX {
            verified.keep(&n.to_string(), bearer);
            verified.keep(&n.to_string(), bearer);
        }
        let find = |token: &str, secs| verified.find(token, UnixTime::from_secs(secs));
        assert_eq!(find("0", 0), None);
        assert_eq!(find("1", 59), Some(bearer));
        assert_eq!(find("1", 60), None);
        assert_eq!(verified.order.len(), VERIFIED_TOKENS_MAX);
        verified.keep(&"x".repeat(VERIFIED_TOKEN_SIZE_MAX + 1), bearer);
        assert_eq!(verified.bearers.len(), VERIFIED_TOKENS_MAX);
    }
}
