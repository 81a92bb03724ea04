//! Passwords: what may be one. Hashing is slow, and done beside the shards.

use base::Code;
use base::limits::{PASSWORD_MAX, PASSWORD_MIN};

/// A password in clear text, as a client sent it: at least 8 bytes. Its `Debug` form does not show
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Short,
    /// More than 72 bytes, of which bcrypt would have hashed the first 72 only: Nakama refuses them
    /// as an internal error.
    Long,
    Wrong,
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Short => Code::InvalidArgument,
            Error::Long => Code::Internal,
            Error::Wrong => Code::Unauthenticated,
        }
    }
}

impl Password {
    pub fn parse(text: &str) -> Result<Password, Error> {
        if text.len() < PASSWORD_MIN {
            return Err(Error::Short);
        }
        Ok(Password(text.to_owned()))
    }

    /// Whether an account can be given this password.
    pub fn check_new(&self) -> Result<(), Error> {
        if self.0.len() > PASSWORD_MAX { Err(Error::Long) } else { Ok(()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 64.
    #[test]
    fn passwords_have_8_to_72_bytes() {
        let new = |length: usize| {
            let password = Password::parse(&"x".repeat(length))?;
            password.check_new()
        };
        assert_eq!(new(7), Err(Error::Short));
        assert_eq!(new(8), Ok(()));
        assert_eq!(new(72), Ok(()));
        assert_eq!(new(73), Err(Error::Long));
        assert_eq!(format!("{:?}", Password::parse("a secret")), "Ok(Password(…))");
    }
}
