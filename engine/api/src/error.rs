//! Errors as clients see them: one mapping from codes to HTTP, gRPC number and realtime error.

use std::borrow::Cow;

use base::limits::{
    OBJECTS_MAX, PARTY_LABEL_MAX, PARTY_SIZE_MAX, WALLET_METADATA_MAX, WALLET_NAME_MAX,
    WALLET_NAMES_MAX,
};
use base::{Code, json};
use domain::compete::{board, result};
use domain::economy::{object, wallet};
use domain::identity::alias::{self, Kind};
use domain::identity::{account, password, session};
use domain::operator;
use domain::play::{party, relay};

/// A refusal on its way to a client: the code is the contract, the text helps a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: Cow<'static, str>,
    /// The code of the realtime envelope, where it does not follow from the other one.
    pub realtime: Option<i32>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Error {
        Error { code, message: message.into(), realtime: None }
    }

    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Code::InvalidArgument, message)
    }

    pub fn unauthenticated(message: &'static str) -> Error {
        Error::new(Code::Unauthenticated, message)
    }

    /// Some queue or table is full; the same request may succeed later.
    pub fn exhausted(what: &'static str) -> Error {
        Error::new(Code::ResourceExhausted, what)
    }

    /// Something is wrong on our side, and the log says what.
    pub fn internal() -> Error {
        Error::new(Code::Internal, "An internal error occurred.")
    }

    pub fn deadline() -> Error {
        Error::new(Code::DeadlineExceeded, "The request took too long.")
    }

    /// There is no function of this name to be called.
    pub fn no_function() -> Error {
        let error = Error::new(Code::NotFound, "RPC function not found");
        Error { realtime: Some(6), ..error }
    }

    /// A function that was called has failed.
    pub fn of_function(self) -> Error {
        Error { realtime: Some(7), ..self }
    }

    /// `{code, message}`, the body of every failed HTTP call.
    pub fn body(&self) -> String {
        json::object(|o| {
            o.int32("code", i32::from(self.code.number()));
            o.text("message", &self.message);
        })
    }

    /// The code of a realtime error envelope: Nakama's own numbers, not those of gRPC.
    pub fn realtime_code(&self) -> i32 {
        if let Some(code) = self.realtime {
            return code;
        }
        match self.code {
            Code::InvalidArgument | Code::Unauthenticated => 3, // bad input
            Code::NotFound => 4,                                // match not found
            Code::PermissionDenied => 5,                        // match join rejected
            Code::Canceled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => 0, // runtime exception
        }
    }
}

impl From<alias::Error> for Error {
    fn from(error: alias::Error) -> Error {
        let message = match error {
            alias::Error::Empty(kind) => format!("{} is required.", noun(kind)),
            alias::Error::Characters(Kind::Username) => {
                "Username must not hold control characters or '[]'.".to_owned()
            }
            alias::Error::Characters(kind) => {
                format!("{} must not hold white space or control characters.", noun(kind))
            }
            alias::Error::Format => "Email address has no valid form.".to_owned(),
            alias::Error::Length(kind) => {
                let range = match kind {
                    Kind::Username => "1 to 128",
                    Kind::Device => "10 to 128",
                    Kind::Custom => "6 to 128",
                    Kind::Email => "10 to 255",
                    Kind::Apple
                    | Kind::Oidc
                    | Kind::Facebook
                    | Kind::FacebookInstantGame
                    | Kind::GameCenter
                    | Kind::Google
                    | Kind::Steam => "1 to 128",
                };
                format!("{} must be {range} bytes long.", noun(kind))
            }
            alias::Error::Taken(kind, _) => {
                format!("{} is in use by another account.", noun(kind))
            }
        };
        Error::new(error.code(), message)
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Username => "Username",
        Kind::Device => "Device ID",
        Kind::Custom => "Custom ID",
        Kind::Email => "Email address",
        Kind::Apple => "Apple ID",
        Kind::Facebook => "Facebook ID",
        Kind::FacebookInstantGame => "Facebook Instant Game ID",
        Kind::GameCenter => "Game Center ID",
        Kind::Google => "Google ID",
        Kind::Steam => "Steam ID",
        Kind::Oidc => "The issuer's ID",
    }
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Error {
        let message = match error {
            password::Error::Short => "Password must be at least 8 bytes long.",
            password::Error::Long => "Password must be at most 72 bytes long.",
            password::Error::Wrong => "Invalid credentials.",
        };
        Error::new(error.code(), message)
    }
}

impl From<account::Error> for Error {
    fn from(error: account::Error) -> Error {
        let message = match error {
            account::Error::NotFound => "User account not found.",
            account::Error::Changed => "The account is being changed by another request.",
            account::Error::Nothing => "Nothing to update.",
            account::Error::NoColumn(name) => {
                let text = format!("Field {name} is too long, or has a zero byte.");
                return Error::new(error.code(), text);
            }
            account::Error::NoLanguage => "Field lang_tag must not be empty.",
            account::Error::NotLinked => "It is not linked to the account.",
            account::Error::Last => "The last way to sign in cannot be unlinked.",
            account::Error::TooManyDevices => "The account has too many devices.",
            account::Error::Banned => "User account banned.",
            account::Error::OtherPassword => "Invalid credentials.",
        };
        Error::new(error.code(), message)
    }
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Error {
        let message = match error {
            session::Error::TooManyRevoked => {
                "Too many sessions were logged out one by one; log out all of them instead."
            }
        };
        Error::new(error.code(), message)
    }
}

impl From<object::Error> for Error {
    fn from(error: object::Error) -> Error {
        use object::Error as Why;
        let code = error.code();
        let message = match error {
            Why::NoCollection => "Field collection is required.".into(),
            Why::NoKey => "Field key is required.".into(),
            Why::NoColumn(name) => format!("Field {name} is too long, or has a zero byte."),
            Why::NoValue => "Field value is required.".into(),
            Why::Value(why) => format!("Field value {why}."),
            Why::PermissionRead => "Field permission_read has to be 0, 1 or 2.".into(),
            Why::PermissionWrite => "Field permission_write has to be 0 or 1.".into(),
            Why::TooMany => format!("At most {OBJECTS_MAX} objects at once."),
            Why::TooLarge => "The objects are too large together.".into(),
            Why::Rejected => {
                "An object is not there, has another version, or must not be written.".into()
            }
        };
        Error::new(code, message)
    }
}

impl From<wallet::Error> for Error {
    fn from(error: wallet::Error) -> Error {
        use wallet::Error as Why;
        let code = error.code();
        let message = match error {
            Why::Negative(name) => format!("The wallet would hold less than nothing of {name:?}."),
            Why::Overflow(name) => format!("The wallet would hold too much of {name:?}."),
            Why::Name => format!("A name of a wallet is 1 to {WALLET_NAME_MAX} bytes."),
            Why::TooManyNames => format!("A wallet holds at most {WALLET_NAMES_MAX} names."),
            Why::Metadata => format!(
                "The metadata has to be a JSON object of at most {WALLET_METADATA_MAX} bytes."
            ),
            Why::NotFound => "There is no such entry in the ledger.".into(),
        };
        Error::new(code, message)
    }
}

impl From<operator::account::Error> for Error {
    fn from(error: operator::account::Error) -> Error {
        use operator::account::Error as Why;
        let message = match error {
            Why::Name => {
                "Username must be 3 to 64 letters, digits, '.', '_', '@' or '-', and begin with a \
                 letter or digit."
            }
            Why::Password => "Password must be 12 to 128 bytes long.",
            Why::Exists => "There is an operator of this name.",
            Why::NotFound => "There is no operator of this name.",
            Why::TooMany => "There are too many operators.",
            Why::LastAdmin => "One admin has to stay.",
            Why::NotFirst => "The first operator has to be an admin.",
            Why::Dead => "Operator token invalid or expired.",
            Why::NotAllowed => "The operator's role does not allow this.",
        };
        Error::new(error.code(), message)
    }
}

impl From<operator::queue::Error> for Error {
    fn from(error: operator::queue::Error) -> Error {
        use operator::queue::Error as Why;
        let message = match error {
            Why::NotFound => "There is no queue of this id.",
            Why::Configured => {
                "The queue is defined by the configuration, and has to be deleted there."
            }
            Why::OtherVersion(0) => {
                "The queue is at version 0: no operator's definition is in force."
            }
            Why::OtherVersion(version) => {
                let text = format!("The queue is at version {version}: read it again.");
                return Error::new(error.code(), text);
            }
            Why::TooMany => "There are too many queues.",
            Why::TooLarge => "The definitions of all queues are too large together.",
        };
        Error::new(error.code(), message)
    }
}

impl From<result::Error> for Error {
    fn from(error: result::Error) -> Error {
        let message = match error {
            result::Error::Differs => "The match has another result already.",
            result::Error::Changed => "Other results change the ratings of these players.",
        };
        Error::new(error.code(), message)
    }
}

impl From<board::Error> for Error {
    fn from(error: board::Error) -> Error {
        use board::Error as Why;
        let message = match error {
            Why::NotFound => "Leaderboard or tournament not found.",
            Why::TooMany => "There are too many leaderboards and tournaments.",
            Why::OtherKind => "A leaderboard is no tournament.",
            Why::Authoritative => "Only servers write to this leaderboard or tournament.",
            Why::Negative => "Score and subscore must not be negative.",
            Why::Overflow => "The score would be too large.",
            Why::Operator => "There is no such operator.",
            Why::Cursor => "The cursor is not of this list.",
            Why::Ended => "The tournament is over.",
            Why::NotActive => "The tournament is not active.",
            Why::NotJoined => "The tournament has to be joined first.",
            Why::Full | Why::JoinFull => "The tournament is full.",
            Why::JoinOver => "The tournament cannot be joined any more.",
            Why::NoAttempts => "The tournament takes no more scores of this owner.",
            Why::Wrong(what) => what,
        };
        Error::new(error.code(), message)
    }
}

impl From<relay::Error> for Error {
    fn from(error: relay::Error) -> Error {
        let message = match error {
            relay::Error::NotFound => "Match not found.",
            relay::Error::Full => "Match is full.",
        };
        Error::new(error.code(), message)
    }
}

impl From<party::Error> for Error {
    fn from(error: party::Error) -> Error {
        use party::Error as Why;
        let message = match error {
            Why::NotFound => "Party not found.",
            Why::MaxSize => "The party's size must be 0 to 256.",
            Why::Label => "The label must be a JSON object of at most 2048 bytes.",
            Why::HiddenLabel => "A hidden party has no label.",
            Why::Full => "The party is full.",
            Why::Requested => "The party has been asked already.",
            Why::TooManyRequests => "Too many ask to join the party.",
            Why::NotMember => "Only a member of the party can do this.",
            Why::NotLeader => "Only the party's leader can do this.",
            Why::NotThere => "Nobody of the party is this presence.",
            Why::Oneself => "The leader cannot remove itself.",
        };
        Error::new(error.code(), message)
    }
}

const _: () = assert!(PARTY_SIZE_MAX == 256 && PARTY_LABEL_MAX == 2048, "named in texts above");

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 4.
    #[test]
    fn the_body_has_code_and_message_and_nothing_else() {
        let body = Error::invalid("a \"bad\" id").body();
        assert_eq!(body, r#"{"code":3,"message":"a \"bad\" id"}"#);
    }
}
