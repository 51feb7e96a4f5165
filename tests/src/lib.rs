//! The ledger of Node's API and the documents generated from it and from the ABI table.
//!
//! `make docs` writes the documents; the tests compare the committed ones with what would be written.

pub mod documents;
pub mod ledger;
pub mod proofs;

use std::path::PathBuf;

/// The top of the repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
