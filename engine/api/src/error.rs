//! Errors as clients see them: one mapping from codes to HTTP, gRPC number and realtime error.

use std::borrow::Cow;

use base::{Code, json};
use domain::identity::{device, session, username};
use domain::play::relay;

/// A refusal on its way to a client: the code is the contract, the text helps a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: Cow<'static, str>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Error {
        Error { code, message: message.into() }
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

    /// `{code, message}`, the body of every failed HTTP call.
    pub fn body(&self) -> String {
        json::object(|o| {
            o.int32("code", i32::from(self.code.number()));
            o.text("message", &self.message);
        })
    }

    /// The code of a realtime error envelope: Nakama's own numbers, not those of gRPC.
    pub fn realtime_code(&self) -> i32 {
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

impl From<device::Error> for Error {
    fn from(error: device::Error) -> Error {
        let message = match error {
            device::Error::Empty => "Device ID is required.",
            device::Error::Characters => {
                "Device ID must not hold white space or control characters."
            }
            device::Error::Length => "Device ID must be 10 to 128 bytes long.",
            device::Error::Taken(_) => "Device ID is in use by another account.",
        };
        Error::new(error.code(), message)
    }
}

impl From<username::Error> for Error {
    fn from(error: username::Error) -> Error {
        let message = match error {
            username::Error::Empty => "Username must not be empty.",
            username::Error::Characters => "Username must not hold control characters or '[]'.",
            username::Error::Length => "Username must be at most 128 bytes long.",
            username::Error::Taken => "Username is in use already.",
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

impl From<relay::Error> for Error {
    fn from(error: relay::Error) -> Error {
        let message = match error {
            relay::Error::NotFound => "Match not found.",
            relay::Error::Full => "Match is full.",
        };
        Error::new(error.code(), message)
    }
}

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
