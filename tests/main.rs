//! Integration tests: the real binary and the library on real guests. One binary, because linking is the slow part.
//!
//! | module | what it tests |
//! |---|---|
//! | `abi` | the import table, the linker and the committed documents agree |
//! | `hostile` | modules that lie, hoard, loop and flood end, and nobody else notices |
//! | `ledger` | every API id has a state, and every claim a test |
//! | `tidy` | the style of the sources |
//! | `guests`, `support` | no tests: the list of guest programs; running them |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod abi;
mod guests;
mod hostile;
mod ledger;
mod support;
mod tidy;
