//! The ABI between nodule and its guests, written once.
//!
//! The host and the guest SDK both depend on this crate; the C header (`guest-sdk/include/nodule.h`)
//! and the golden listing (`tests/golden/imports.txt`) are generated from it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`imports`] | the import table: every function a guest may import, with its documentation |
//! | [`event`] | the fixed-size record that `nodule:event_loop/1` `wait` returns |
//! | [`error`] | error numbers, Node's error codes and the error record |
//! | [`atomic`] | numbers of atomic operations and of the results of waits |
//! | [`resource`] | what a message carries beside its bytes |
//! | [`value`] | structured values as CBOR |
//! | [`signal`] | signal names and numbers |
//! | [`hooks`] | the names and types of what a guest exports |
//! | [`limits`] | every bound of the interface |
//! | [`header`] | the generated C header |
#![no_std]
extern crate alloc;

pub mod atomic;
pub mod error;
pub mod event;
pub mod header;
pub mod hooks;
pub mod imports;
pub mod limits;
pub mod resource;
pub mod signal;
pub mod value;

/// Number of this ABI. A guest that exports `nodule_abi_<n>` with another `n` is refused at load
/// (`ERR_ABI_MISMATCH`, exit code 4). It changes when any area of [`imports`] changes incompatibly.
pub const ABI_VERSION: u32 = 1;
