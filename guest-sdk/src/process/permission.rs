//! What the guest may do (Node: `process.permission`).
//!
//! Threads and children start with at most what their creator has.

use crate::error::Result;
use crate::sys;

/// Every scope there is.
pub const SCOPES: &[&str] = &[
    "fs",
    "fs.read",
    "fs.write",
    "child",
    "run",
    "worker",
    "net",
    "inspector",
    "wasi",
    "addon",
    "ffi",
    "env",
    "sys",
    "signal",
    "shared_memory",
];

/// Whether `scope` is granted, as a whole or for `reference` (a path, a host). An unknown scope is not granted
/// (Node: `process.permission.has`).
///
/// # Errors
/// When an argument is too long.
pub fn has(scope: &str, reference: Option<&str>) -> Result<bool> {
    sys::process::permission_has(scope, reference.map(str::as_bytes))
}

/// Gives a grant up for good: all of `scope`, or the grant that equals `reference`
/// (Node: `process.permission.drop`). What is open stays open.
///
/// # Errors
/// When an argument is too long.
pub fn drop(scope: &str, reference: Option<&str>) -> Result<()> {
    sys::process::permission_drop(scope, reference.map(str::as_bytes))
}
