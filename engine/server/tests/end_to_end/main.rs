//! The whole server from outside: its process, its sockets, its data folder, and the stock SDK.
//!
//! Numbers of rows are those of the compatibility checklist.

mod client;
mod drain;
mod durability;
mod http;
mod process;
mod scripts;
mod start;
