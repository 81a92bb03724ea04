//! Who a client is: accounts and what leads to them, sessions and their tokens.

pub mod account;
pub mod alias;
pub mod password;
pub mod provider;
pub mod server_token;
pub mod session;
pub mod token;
