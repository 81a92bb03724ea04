//! Bytes of the wire, and the sockets they travel through.
//!
//! # Purpose
//! HTTP/1.1, WebSocket and TLS as codecs that take bytes and give bytes, listeners that every core
//! shares, the question whether the kernel allows io_uring, and the few calls of the runtime that
//! a connection needs.
//!
//! # Owns
//! The state of one connection's protocol: bytes of an incomplete request, frame or message, and
//! bytes that were encoded and not yet taken.
//!
//! # Invariants
//! - How input is cut into pieces does not change what is decoded.
//! - A connection with nothing pending owns no buffer.
//! - No input panics; after a refused one nothing more is read from the connection.
//!
//! # Never
//! Knows an operation, a session or a shard; reads a clock, but for the age of TLS tickets; buffers
//! past a limit. Only `rt` names the runtime, only `rt` and `probe` have unsafe code.

pub mod http;
pub mod listener;
pub mod probe;
pub mod rt;
pub mod tls;
pub mod ws;
