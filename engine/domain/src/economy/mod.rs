//! What players own: storage objects and wallets.

pub mod erasure;
pub mod object;
pub mod wallet;
