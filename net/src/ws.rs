//! WebSocket, server side.

mod codec;
mod handshake;

pub use codec::{Codec, Event, Failure, Limits};
pub use handshake::{HandshakeError, accept};
pub use tungstenite::Utf8Bytes;
