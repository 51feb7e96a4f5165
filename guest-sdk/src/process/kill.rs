//! Sending signals.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::signal;

use crate::error::Result;
use crate::sys;

/// A signal by name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal<'a> {
    /// `"SIGTERM"`.
    Name(&'a str),
    /// 15; 0 tests whether the process exists.
    Number(i32),
}

/// Node's default: SIGTERM.
impl Default for Signal<'_> {
    fn default() -> Self {
        Self::Name("SIGTERM")
    }
}

/// No argument: the default.
impl From<()> for Signal<'_> {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl<'a> From<&'a str> for Signal<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<i32> for Signal<'_> {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

impl Signal<'_> {
    fn number(self) -> Result<i32> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Name(name) => Ok(signal::number(name)
                .ok_or_else(|| ErrorRecord::new(ErrorCode::UnknownSignal, format!("Unknown signal: {name}")))?),
        }
    }
}

/// Sends a signal to the process `pid`; 0 is the own group, a negative number that group, -1 everybody. `()` is
/// SIGTERM (Node: `process.kill`).
///
/// # Errors
/// `ERR_UNKNOWN_SIGNAL`, `EINVAL`, `ESRCH`, `EPERM`; `ERR_ACCESS_DENIED` for other than the own process and its
/// descendants without the grant `signal`.
pub fn kill<'a>(pid: i32, signal: impl Into<Signal<'a>>) -> Result<bool> {
    sys::process::kill(pid, signal.into().number()?)?;
    Ok(true)
}
