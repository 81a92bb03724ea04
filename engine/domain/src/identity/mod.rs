//! Who a client is: accounts, devices, names, sessions and their tokens.

pub mod account;
pub mod device;
pub mod session;
pub mod token;
pub mod username;
