//! Usernames: unique, case-sensitive.

use base::limits::USERNAME_MAX;
use base::{Code, Rng, UserId};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::{self, username::UsernameOwner};

/// A well-formed username: 1 to 128 bytes without control characters and without `[]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Username(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Empty,
    Characters,
    Length,
    Taken,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Empty | Error::Characters | Error::Length => Code::InvalidArgument,
            Error::Taken => Code::AlreadyExists,
        }
    }
}

impl Username {
    pub fn parse(text: &str) -> Result<Username, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.chars().any(char::is_control) || text.contains("[]") {
            return Err(Error::Characters);
        }
        if text.len() > USERNAME_MAX {
            return Err(Error::Length);
        }
        Ok(Username(text.to_owned()))
    }

    /// Ten random ASCII letters.
    pub fn random(rng: &mut Rng) -> Username {
        const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let letter = |_| char::from(LETTERS[rng.below(52) as usize]);
        Username((0..10).map(letter).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn key(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The account that bears the name.
pub fn find(ctx: &mut Ctx<'_>, name: &Username) -> Applied<Option<UserId>, Never> {
    let found: Option<UsernameOwner> = record::read(ctx, name.key())?;
    Ok(found.map(|owner| UserId::from_bytes(owner.user_id)))
}

/// Gives the name to `user`.
pub fn claim(ctx: &mut Ctx<'_>, name: &Username, user: UserId) -> Applied<(), Error> {
    if record::read::<UsernameOwner, _>(ctx, name.key())?.is_some() {
        return Err(Stop::Refused(Error::Taken));
    }
    record::write(ctx, name.key(), &UsernameOwner { user_id: *user.as_bytes() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 56 and 57.
    #[test]
    fn usernames_are_short_and_printable() {
        let check = |text: &str, expected: Option<Error>| {
            assert_eq!(Username::parse(text).err(), expected, "{text:?}");
        };
        check("a b", None);
        check(&"x".repeat(128), None);
        check(&"x".repeat(129), Some(Error::Length));
        check("", Some(Error::Empty));
        check("a\nb", Some(Error::Characters));
        check("a[]b", Some(Error::Characters));
        let drawn = Username::random(&mut Rng::from_seed([3; 32]));
        assert!(
            drawn.as_str().len() == 10 && drawn.as_str().chars().all(|c| c.is_ascii_alphabetic())
        );
    }
}
