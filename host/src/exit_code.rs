//! The exit codes of the binary.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | uncaught error of the guest, exceeded limit, or a file that cannot be read or written |
//! | 3 | the module does not parse or validate, or is no core module |
//! | 4 | the module cannot be linked or instantiated |
//! | 5 | failure of the host itself; stderr has a line that starts with `FATAL ERROR` |
//! | 6, 7 | the guest's uncaught hook is invalid, or failed |
//! | 9 | wrong use of the command line |
//! | 10 | trap before user code |
//! | 12 | invalid debug port |
//! | 13 | the guest's main future can never complete |
//! | 14 | a snapshot could not be made |
//! | 128+n | ended by signal n: the process really dies by it |
//!
//! Any other code is the guest's own. 2 and 8 are never produced by the host.

/// How the binary ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything worked.
    Success,
    /// A file cannot be read or written.
    Failure,
    /// The module does not parse or validate, or is no core module.
    Parse,
    /// The module cannot be linked, or needs more than its limits allow.
    Link,
    /// The host itself failed.
    Fatal,
    /// Wrong use of the command line.
    Usage,
    /// The debug port is invalid.
    DebugPort,
    /// A snapshot could not be made.
    Snapshot,
    /// What the guest ended with, or the runtime on its behalf.
    Guest(u8),
}

impl ExitCode {
    /// The code for the operating system.
    pub const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Parse => 3,
            Self::Link => 4,
            Self::Fatal => 5,
            Self::Usage => 9,
            Self::DebugPort => 12,
            Self::Snapshot => 14,
            Self::Guest(code) => code,
        }
    }
}
