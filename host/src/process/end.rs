//! The ways a guest ends itself, as errors that unwind it to [`crate::runtime`].

use nodule_abi::error::ErrorRecord;
use nodule_abi::hooks::Origin;

/// `exit(code)` or WASI `proc_exit(code)`.
#[derive(Clone, Copy, Debug)]
pub struct ExitRequest(pub i64);

impl std::fmt::Display for ExitRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit with code {}", self.0)
    }
}

impl std::error::Error for ExitRequest {}

/// An error that the guest raised as uncaught.
#[derive(Clone, Debug)]
pub struct UncaughtError {
    /// The error.
    pub record: Box<ErrorRecord>,
    /// Where it came from.
    pub origin: Origin,
}

impl std::fmt::Display for UncaughtError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.record.fmt(f)
    }
}

impl std::error::Error for UncaughtError {}
