//! Integration tests: the real binary and the library on real guests. One binary, because linking is the slow part.
//!
//! | module | what it tests |
//! |---|---|
//! | `abi` | the import table, the linker and the committed documents agree; modules for another host are refused |
//! | `hostile` | modules that lie, hoard, loop and flood end as documented, the host in good order |
//! | `hostile_arguments` | every import with every kind of bad argument |
//! | `neighbours` | hostile isolates beside a good one in one host: the good one does not notice |
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
mod hostile_arguments;
mod ledger;
mod neighbours;
mod support;
mod tidy;
