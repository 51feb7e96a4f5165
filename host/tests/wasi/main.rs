//! WASI preview 1 as a guest sees it: every call made by a real instance.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod files;
mod guest;
mod hostile;
mod poll;
mod process;
mod streams;
