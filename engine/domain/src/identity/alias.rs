//! Aliases: texts that lead to one account at most. A username, and whatever signs an account in.

use base::limits::{
    CUSTOM_ID_MAX, CUSTOM_ID_MIN, DEVICE_ID_MAX, DEVICE_ID_MIN, EMAIL_MAX, EMAIL_MIN,
    PROVIDER_ID_MAX, USERNAME_MAX,
};
use base::{Code, Rng, UserId};

use crate::ctx::{Applied, Ctx, Never, Stop};
use crate::record::{self, alias::AliasOwner};

/// The numbers are part of keys on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Username = 1,
    Device = 2,
    Custom = 3,
    Email = 4,
    Apple = 5,
    Facebook = 6,
    FacebookInstantGame = 7,
    GameCenter = 8,
    Google = 9,
    Steam = 10,
    /// A player of an OpenID Connect issuer: its configured name, a colon, and their subject.
    Oidc = 11,
}

/// A well-formed alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    kind: Kind,
    text: String,
}

/// Why text is no alias of a kind, or why one cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    Empty(Kind),
    Characters(Kind),
    /// An e-mail address without `@`, or without a dot behind it.
    Format,
    Length(Kind),
    /// The alias leads to this account already.
    Taken(Kind, UserId),
}

impl Error {
    pub fn code(self) -> Code {
        match self {
            Error::Empty(_) | Error::Characters(_) | Error::Format | Error::Length(_) => {
                Code::InvalidArgument
            }
            Error::Taken(..) => Code::AlreadyExists,
        }
    }
}

impl Kind {
    /// Every kind that signs an account in.
    pub const CREDENTIALS: [Kind; 10] = [
        Kind::Device,
        Kind::Custom,
        Kind::Email,
        Kind::Apple,
        Kind::Facebook,
        Kind::FacebookInstantGame,
        Kind::GameCenter,
        Kind::Google,
        Kind::Steam,
        Kind::Oidc,
    ];

    pub fn number(self) -> u8 {
        self as u8
    }
}

impl Alias {
    /// 1 to 128 bytes without control characters and without `[]`; letter case counts.
    pub fn username(text: &str) -> Result<Alias, Error> {
        let kind = Kind::Username;
        if text.is_empty() {
            return Err(Error::Empty(kind));
        }
        if text.chars().any(|c| c.is_ascii_control()) || text.contains("[]") {
            return Err(Error::Characters(kind));
        }
        if text.len() > USERNAME_MAX {
            return Err(Error::Length(kind));
        }
        Ok(Alias { kind, text: text.to_owned() })
    }

    /// A username of ten random ASCII letters.
    pub fn random_username(rng: &mut Rng) -> Alias {
        const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let letter = |_| char::from(LETTERS[rng.below(52) as usize]);
        Alias { kind: Kind::Username, text: (0..10).map(letter).collect() }
    }

    /// 10 to 128 bytes without white space and control characters.
    pub fn device(text: &str) -> Result<Alias, Error> {
        opaque(Kind::Device, text, DEVICE_ID_MIN, DEVICE_ID_MAX)
    }

    /// 6 to 128 bytes without white space and control characters.
    pub fn custom(text: &str) -> Result<Alias, Error> {
        opaque(Kind::Custom, text, CUSTOM_ID_MIN, CUSTOM_ID_MAX)
    }

    /// 10 to 255 bytes, something before an `@` and a dot within what follows; in lower case.
    pub fn email(text: &str) -> Result<Alias, Error> {
        let kind = Kind::Email;
        if text.is_empty() {
            return Err(Error::Empty(kind));
        }
        check_characters(kind, text)?;
        if !is_email(text) {
            return Err(Error::Format);
        }
        check_length(kind, text, EMAIL_MIN, EMAIL_MAX)?;
        let text = lower_case(text);
        check_length(kind, &text, EMAIL_MIN, EMAIL_MAX)?;
        Ok(Alias { kind, text })
    }

    /// An address as a provider gives it, if it is one: letter case stays, as in Nakama.
    pub fn imported_email(text: &str) -> Option<Alias> {
        let email = Alias::email(text).ok()?;
        Some(Alias { text: text.to_owned(), ..email })
    }

    /// A player's id at a provider: 1 to 128 bytes without white space and control characters.
    pub fn provided(kind: Kind, id: &str) -> Result<Alias, Error> {
        opaque(kind, id, 1, PROVIDER_ID_MAX)
    }

    /// An alias as it stands in a record.
    pub(crate) fn stored(kind: Kind, text: &str) -> Alias {
        Alias { kind, text: text.to_owned() }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key of its record, which also decides its home.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + self.text.len());
        key.push(self.kind.number());
        key.extend_from_slice(self.text.as_bytes());
        key
    }
}

/// Character by character, as Go does it: what a letter becomes does not depend on its neighbours.
pub fn lower_case(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// `^.+@.+\..+$`, where every part holds at least one character.
fn is_email(text: &str) -> bool {
    text.match_indices('@').any(|(at, _)| {
        let domain = &text[at + 1..];
        at > 0 && domain.match_indices('.').any(|(dot, _)| dot > 0 && dot + 1 < domain.len())
    })
}

fn opaque(kind: Kind, text: &str, min: usize, max: usize) -> Result<Alias, Error> {
    if text.is_empty() {
        return Err(Error::Empty(kind));
    }
    check_characters(kind, text)?;
    check_length(kind, text, min, max)?;
    Ok(Alias { kind, text: text.to_owned() })
}

fn check_characters(kind: Kind, text: &str) -> Result<(), Error> {
    // White space and control characters of ASCII, as in Nakama's patterns.
    let is_bad = |c: char| c.is_ascii_control() || c == ' ';
    if text.chars().any(is_bad) { Err(Error::Characters(kind)) } else { Ok(()) }
}

fn check_length(kind: Kind, text: &str, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&text.len()) { Ok(()) } else { Err(Error::Length(kind)) }
}

/// The account that the alias leads to.
pub fn find(ctx: &mut Ctx<'_>, alias: &Alias) -> Applied<Option<UserId>, Never> {
    let found: Option<AliasOwner> = record::read(ctx, &alias.key())?;
    Ok(found.map(|owner| UserId::from_bytes(owner.user_id)))
}

/// Makes the alias lead to `user`.
pub fn claim(ctx: &mut Ctx<'_>, alias: &Alias, user: UserId) -> Applied<(), Error> {
    if let Some(owner) = record::read::<AliasOwner, _>(ctx, &alias.key())? {
        let owner = UserId::from_bytes(owner.user_id);
        return Err(Stop::Refused(Error::Taken(alias.kind, owner)));
    }
    record::write(ctx, &alias.key(), &AliasOwner { user_id: *user.as_bytes() });
    Ok(())
}

/// Makes the alias of `user` lead nowhere. `false` when it was not theirs.
pub fn release(ctx: &mut Ctx<'_>, alias: &Alias, user: UserId) -> Applied<bool, Never> {
    let owner: Option<AliasOwner> = record::read(ctx, &alias.key())?;
    let is_theirs = owner.is_some_and(|owner| owner.user_id == *user.as_bytes());
    if is_theirs {
        record::delete::<AliasOwner>(ctx, &alias.key());
    }
    Ok(is_theirs)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::*;

    /// Rows 58 to 60 and 68.
    #[test]
    fn ids_have_a_length_and_no_white_space() {
        let check = |text: &str, expected: Option<Error>| {
            assert_eq!(Alias::device(text).err(), expected, "{text:?}");
        };
        let kind = Kind::Device;
        check("0123456789", None);
        check(&"x".repeat(128), None);
        check("", Some(Error::Empty(kind)));
        check("123456789", Some(Error::Length(kind)));
        check(&"x".repeat(129), Some(Error::Length(kind)));
        check("abc def ghij", Some(Error::Characters(kind)));
        check("abcdefghij\n", Some(Error::Characters(kind)));
        check("abcdefghij\u{7f}", Some(Error::Characters(kind)));
        assert!(Alias::custom("123456").is_ok());
        assert_eq!(Alias::custom("12345"), Err(Error::Length(Kind::Custom)));
        assert_eq!(Alias::custom(&"x".repeat(129)), Err(Error::Length(Kind::Custom)));
    }

    /// Rows 56 and 57.
    #[test]
    fn usernames_are_short_and_printable() {
        let check = |text: &str, expected: Option<Error>| {
            assert_eq!(Alias::username(text).err(), expected, "{text:?}");
        };
        let kind = Kind::Username;
        check("a b", None);
        check(&"x".repeat(128), None);
        check(&"x".repeat(129), Some(Error::Length(kind)));
        check("", Some(Error::Empty(kind)));
        check("a\nb", Some(Error::Characters(kind)));
        check("a[]b", Some(Error::Characters(kind)));
        let drawn = Alias::random_username(&mut Rng::from_seed([3; 32]));
        assert!(
            drawn.as_str().len() == 10 && drawn.as_str().chars().all(|c| c.is_ascii_alphabetic())
        );
    }

    /// Row 63.
    #[test]
    fn addresses_have_their_form_and_are_in_lower_case() {
        let check = |text: &str, expected: Result<&str, Error>| {
            let parsed = Alias::email(text);
            assert_eq!(parsed.as_ref().map(Alias::as_str), expected.as_ref().copied(), "{text:?}");
        };
        check("User.1@Example.COM", Ok("user.1@example.com"));
        check("a@b@c.example", Ok("a@b@c.example"));
        check("ABCΣ@Example.com", Ok("abcσ@example.com"));
        check("İnfo@example.com", Ok("info@example.com"));
        check("", Err(Error::Empty(Kind::Email)));
        check("a@example", Err(Error::Format));
        check("@example.com", Err(Error::Format));
        check("abcdefgh@.", Err(Error::Format));
        check("abcdefgh@a.", Err(Error::Format));
        check("abcdefgh@.com", Err(Error::Format));
        check("a b@example.com", Err(Error::Characters(Kind::Email)));
        check("a@b.c", Err(Error::Length(Kind::Email)));
        check(&format!("{}@b.cd", "x".repeat(251)), Err(Error::Length(Kind::Email)));
        let imported = Alias::imported_email("User.1@Example.COM").map(|email| email.text);
        assert_eq!(imported.as_deref(), Some("User.1@Example.COM"));
        assert_eq!(Alias::imported_email("nobody"), None);
    }

    #[test]
    fn the_same_text_of_two_kinds_is_two_aliases() {
        let (device, custom) = (Alias::device("0123456789"), Alias::custom("0123456789"));
        assert_ne!(device.map(|alias| alias.key()), custom.map(|alias| alias.key()));
    }

    proptest! {
        #[test]
        fn what_is_accepted_keeps_its_limits(text: String) {
            for alias in [Alias::username(&text), Alias::device(&text), Alias::custom(&text)] {
                let is_fine = |alias: Alias| {
                    (1..=128).contains(&alias.as_str().len())
                        && !alias.as_str().chars().any(|c| c.is_ascii_control())
                };
                prop_assert!(alias.ok().is_none_or(is_fine));
            }
            let has_form = |alias: Alias| {
                let domain = alias.as_str().split_once('@').map(|(_, domain)| domain.to_owned());
                domain.is_some_and(|domain| domain.contains('.'))
            };
            prop_assert!(Alias::email(&text).ok().is_none_or(has_form));
        }
    }
}
