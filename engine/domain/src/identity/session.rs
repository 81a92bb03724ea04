//! Which session tokens are still good: logout of one token, or of everything a user holds.

use base::limits::{CLOCK_SLACK, REVOKED_TOKENS_MAX};
use base::{Code, TokenId, UserId};

use super::token::Kind;
use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record;
use crate::record::revocation::{Revocation, RevokedToken};

/// What a revocation is compared with: one token of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub user_id: UserId,
    pub token_id: TokenId,
    pub kind: Kind,
    /// Second since 1970 in which this token, not its first ancestor, was signed.
    pub issued: u64,
    pub expiry: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// So many tokens of the user are logged out that no more can be remembered.
    TooManyRevoked,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::TooManyRevoked => Code::ResourceExhausted,
        }
    }
}

/// How much of the revocation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Everything,
    /// Nakama's socket handshake looks for the token's text where its id is kept, so that the
    /// logout of a single token does not stop it from opening a socket. Clients can see this, hence
    /// so do ours.
    WholeUserOnly,
}

/// Whether the token is still good.
pub fn is_valid(ctx: &mut Ctx<'_>, bearer: &Bearer, check: Check) -> Applied<bool, Never> {
    // The question may have waited for a key since the token's expiry was looked at.
    let now = ctx.now.wall.secs();
    if bearer.expiry <= now {
        return Ok(false);
    }
    let Some(revocation) = load(ctx, bearer.user_id)? else { return Ok(true) };
    if bearer.issued < revocation.issued_before {
        return Ok(false);
    }
    // A refresh keeps the token id: once the token that was logged out has expired, its heirs
    // count.
    let logged_out = |token: &RevokedToken| {
        token.expiry > now
            && token.token_id == *bearer.token_id.as_bytes()
            && token.refresh == (bearer.kind == Kind::Refresh)
    };
    Ok(check == Check::WholeUserOnly || !revocation.tokens.iter().any(logged_out))
}

/// Logs out single tokens of one user.
pub fn revoke(ctx: &mut Ctx<'_>, user: UserId, tokens: &[Bearer]) -> Applied<(), Error> {
    let mut revocation = load(ctx, user)?.unwrap_or_default();
    let now = ctx.now.wall.secs();
    // Kept a while longer: a clock that is set back revives nothing.
    revocation.tokens.retain(|token| token.expiry.saturating_add(CLOCK_SLACK) > now);
    for bearer in tokens {
        let token = RevokedToken {
            token_id: *bearer.token_id.as_bytes(),
            refresh: bearer.kind == Kind::Refresh,
            expiry: bearer.expiry,
        };
        // A refresh keeps the token id, so the latest expiry of the id is the one to remember.
        let same = |known: &&mut RevokedToken| {
            known.token_id == token.token_id && known.refresh == token.refresh
        };
        match revocation.tokens.iter_mut().find(same) {
            Some(known) => known.expiry = known.expiry.max(token.expiry),
            None => revocation.tokens.push(token),
        }
    }
    if revocation.tokens.len() > REVOKED_TOKENS_MAX {
        return Err(Stop::Refused(Error::TooManyRevoked));
    }
    record::write(ctx, user.as_bytes(), &revocation);
    Ok(())
}

/// Logs out every token of the user that was issued before this second.
pub fn revoke_all(ctx: &mut Ctx<'_>, user: UserId) -> Applied<(), Never> {
    let now = ctx.now.wall.secs();
    revoke_before(ctx, user, now)
}

/// The same with the tokens of this very second: a ban is no logout, which a sign-in may follow at
/// once.
pub fn revoke_all_with_newest(ctx: &mut Ctx<'_>, user: UserId) -> Applied<(), Never> {
    let next = ctx.now.wall.secs() + 1;
    revoke_before(ctx, user, next)
}

fn revoke_before(ctx: &mut Ctx<'_>, user: UserId, second: u64) -> Applied<(), Never> {
    let mut revocation = load(ctx, user)?.unwrap_or_default();
    // A clock that went back revives nothing.
    revocation.issued_before = revocation.issued_before.max(second);
    record::write(ctx, user.as_bytes(), &revocation);
    Ok(())
}

/// Writes what is there, so that whoever prepares a change by one of the user's tokens holds the
/// logout of that token up until the change is made.
pub fn keep(ctx: &mut Ctx<'_>, user: UserId) -> Applied<(), Never> {
    match load(ctx, user)? {
        Some(revocation) => record::write(ctx, user.as_bytes(), &revocation),
        None => record::delete::<Revocation>(ctx, user.as_bytes()),
    }
    Ok(())
}

fn load<E>(ctx: &mut Ctx<'_>, user: UserId) -> Applied<Option<Revocation>, E> {
    record::read(ctx, user.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::world::World;

    const LIFE: u64 = 60;

    /// Row 91, and rows 89 and 90: one token of a pair dies without the other.
    #[test]
    fn a_logged_out_token_is_dead_and_its_pair_is_not() {
        let mut world = World::default();
        let token = token_at(&world, 1, Kind::Session);
        let pair = Bearer { kind: Kind::Refresh, ..token };
        world.apply(|ctx| revoke(ctx, token.user_id, &[token])).expect("room for one token");
        assert!(!holds(&mut world, &token, Check::Everything));
        assert!(holds(&mut world, &pair, Check::Everything));
        assert!(holds(&mut world, &token, Check::WholeUserOnly));
    }

    /// Row 92.
    #[test]
    fn logging_out_everywhere_spares_tokens_of_the_same_second() {
        let mut world = World::default();
        let old = token_at(&world, 1, Kind::Session);
        world.now = 1001;
        let same_second = token_at(&world, 2, Kind::Session);
        world.apply(|ctx| revoke_all(ctx, old.user_id)).expect("never refused");
        assert!(!holds(&mut world, &old, Check::WholeUserOnly));
        assert!(holds(&mut world, &same_second, Check::Everything));
    }

    /// A question that waited for a key past the token's expiry, or past that of its logout.
    #[test]
    fn a_token_that_expired_meanwhile_is_not_valid_logged_out_or_not() {
        let mut world = World::default();
        let (token, other) =
            (token_at(&world, 1, Kind::Session), token_at(&world, 2, Kind::Session));
        world.apply(|ctx| revoke(ctx, token.user_id, &[token])).expect("room for one token");
        world.now += LIFE;
        assert!(!holds(&mut world, &token, Check::Everything));
        assert!(!holds(&mut world, &other, Check::WholeUserOnly));
    }

    #[test]
    fn expired_tokens_are_forgotten_and_the_rest_is_bounded() {
        let mut world = World::default();
        let user = token_at(&world, 0, Kind::Session).user_id;
        for n in 0..REVOKED_TOKENS_MAX {
            let token = token_at(&world, n, Kind::Session);
            world.apply(|ctx| revoke(ctx, user, &[token])).expect("below the limit");
        }
        let one_more = token_at(&world, REVOKED_TOKENS_MAX, Kind::Session);
        let refused = Err(Stop::Refused(Error::TooManyRevoked));
        assert_eq!(world.apply(|ctx| revoke(ctx, user, &[one_more])), refused);
        world.now += LIFE + CLOCK_SLACK;
        let later = token_at(&world, REVOKED_TOKENS_MAX, Kind::Session);
        assert_eq!(world.apply(|ctx| revoke(ctx, user, &[later])), Ok(()));
    }

    fn token_at(world: &World, number: usize, kind: Kind) -> Bearer {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Bearer {
            user_id: UserId::from_bytes([9; 16]),
            token_id: TokenId::from_bytes(id),
            kind,
            issued: world.now,
            expiry: world.now + LIFE,
        }
    }

    fn holds(world: &mut World, token: &Bearer, check: Check) -> bool {
        world.apply(|ctx| is_valid(ctx, token, check)).expect("the view has everything")
    }
}
