//! HTTP/1.1.

mod codec;
mod encoding;

pub use codec::{CONTINUE, Decoder, Error, Event, Limits, Request, Response, encode, is_token};
pub use encoding::{Coding, InflateError, inflate};
