//! Device ids: the simplest credential.

use base::limits::{DEVICE_ID_MAX, DEVICE_ID_MIN};
use base::{Code, UserId};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::{self, device::Device};

/// A well-formed device id: 10 to 128 bytes without white space and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceId(String);

/// Why text is no device id, or why one cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Empty,
    Characters,
    Length,
    /// The device signs in this account already.
    Taken(UserId),
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Empty | Error::Characters | Error::Length => Code::InvalidArgument,
            Error::Taken(_) => Code::AlreadyExists,
        }
    }
}

impl DeviceId {
    pub fn parse(text: &str) -> Result<DeviceId, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::Characters);
        }
        if !(DEVICE_ID_MIN..=DEVICE_ID_MAX).contains(&text.len()) {
            return Err(Error::Length);
        }
        Ok(DeviceId(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn key(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The account that the device signs in.
pub fn find(ctx: &mut Ctx<'_>, id: &DeviceId) -> Applied<Option<UserId>, Never> {
    let found: Option<Device> = record::read(ctx, id.key())?;
    Ok(found.map(|device| UserId::from_bytes(device.user_id)))
}

/// Makes the device sign in `user`.
pub fn claim(ctx: &mut Ctx<'_>, id: &DeviceId, user: UserId) -> Applied<(), Error> {
    if let Some(device) = record::read::<Device, _>(ctx, id.key())? {
        return Err(Stop::Refused(Error::Taken(UserId::from_bytes(device.user_id))));
    }
    record::write(ctx, id.key(), &Device { user_id: *user.as_bytes() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows 58, 59 and 68.
    #[test]
    fn device_ids_have_a_length_and_no_white_space() {
        let check = |text: &str, expected: Option<Error>| {
            assert_eq!(DeviceId::parse(text).err(), expected, "{text:?}");
        };
        check("0123456789", None);
        check(&"x".repeat(128), None);
        check("", Some(Error::Empty));
        check("123456789", Some(Error::Length));
        check(&"x".repeat(129), Some(Error::Length));
        check("abc def ghij", Some(Error::Characters));
        check("abcdefghij\n", Some(Error::Characters));
        check("abcdefghij\u{7f}", Some(Error::Characters));
    }
}
