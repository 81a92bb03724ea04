//! What a row of the operation table says.

use std::fmt;

use domain::operator::Role;

use super::OPERATIONS;
use crate::error::Error;
use crate::http::Call;
use crate::json::{Malformed, Message};
use crate::request::Request;

/// One operation. Its `Debug` form is its name: where its code lies differs from run to run.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Subject first, snake_case; the name in hooks, metrics and scripts.
    pub name: &'static str,
    pub doc: &'static str,
    pub auth: Auth,
    pub rate: Rate,
    pub http: Option<Http>,
    pub realtime: Option<Realtime>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a caller has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    Open,
    /// `Authorization: Basic` with the server key.
    ServerKey,
    /// `Authorization: Bearer` with a session token, or an open socket.
    Session,
    /// To be server code: no client can call it.
    Runtime,
    /// The socket's handshake: a session token from the header or the query, refused in plain text.
    Handshake,
    /// Nothing, on the operators' listener.
    Operators,
    /// `Authorization: Bearer` with the token of an operator of this role, or of a higher one.
    Operator(Role),
}

/// Which listener a request came in by, and a route is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    #[default]
    Clients,
    Operators,
}

/// Which allowance a call draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// Not limited: answers without touching state.
    Free,
    /// Signing in and out.
    Sign,
    /// Showing a password, which takes long to hash.
    Password,
    Read,
    Write,
    /// Messages that players exchange many times a second.
    Stream,
}

impl Rate {
    pub const ALL: [Rate; 6] =
        [Rate::Free, Rate::Sign, Rate::Password, Rate::Read, Rate::Write, Rate::Stream];

    /// The value of the metrics' `class` label.
    pub fn name(self) -> &'static str {
        match self {
            Rate::Free => "free",
            Rate::Sign => "sign",
            Rate::Password => "password",
            Rate::Read => "read",
            Rate::Write => "write",
            Rate::Stream => "stream",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Http {
    pub method: &'static str,
    pub path: &'static str,
    pub decode: fn(&Call<'_>) -> Result<Request, Error>,
}

#[derive(Clone, Copy, Debug)]
pub struct Realtime {
    /// The envelope's field.
    pub field: &'static str,
    pub decode: fn(Message) -> Result<Request, Malformed>,
}

impl Operation {
    /// Its place in [`OPERATIONS`]: what is kept for every operation is kept in that order.
    pub fn index(&'static self) -> usize {
        OPERATIONS.element_offset(self).expect("every row stands in the table")
    }

    pub fn door(&self) -> Door {
        match self.auth {
            Auth::Operators | Auth::Operator(_) => Door::Operators,
            Auth::Open | Auth::ServerKey | Auth::Session | Auth::Runtime | Auth::Handshake => {
                Door::Clients
            }
        }
    }

    /// The hook that may change or refuse a request.
    pub fn before_hook(&self) -> String {
        format!("before_{}", self.name)
    }

    /// The hook that sees a request that succeeded.
    pub fn after_hook(&self) -> String {
        format!("after_{}", self.name)
    }
}

pub(super) const fn http(
    method: &'static str,
    path: &'static str,
    decode: fn(&Call<'_>) -> Result<Request, Error>,
) -> Option<Http> {
    Some(Http { method, path, decode })
}

pub(super) const fn realtime(
    field: &'static str,
    decode: fn(Message) -> Result<Request, Malformed>,
) -> Option<Realtime> {
    Some(Realtime { field, decode })
}
