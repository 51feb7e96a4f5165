//! Runs compiled WebAssembly modules the way Node runs scripts.

pub mod os;
pub mod permissions;
pub mod process;
