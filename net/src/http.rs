//! HTTP/1.1.

mod codec;

pub use codec::{CONTINUE, Decoder, Error, Event, Limits, Request, Response, encode};
