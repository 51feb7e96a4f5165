//! Working directory, file mode mask, env files, and replacing the process.

use std::collections::BTreeMap;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::sys;

/// The working directory (Node: `process.cwd`).
///
/// # Errors
/// `ENOENT` when it was removed.
pub fn cwd() -> Result<String> {
    sys::process::cwd()
}

/// Changes the working directory (Node: `process.chdir`).
///
/// # Errors
/// `ENOENT` and others with `syscall`, `path` and `dest`; `ERR_ACCESS_DENIED`; `ERR_WORKER_UNSUPPORTED_OPERATION` in a
/// thread without a directory of its own.
pub fn chdir(directory: &str) -> Result<()> {
    sys::process::chdir(directory)
}

/// Reads the mask as `umask` does.
const UMASK_READ: u32 = u32::MAX;

/// The file mode mask (Node: `process.umask()`).
///
/// # Errors
/// When the host refuses.
pub fn umask() -> Result<u32> {
    sys::process::umask(UMASK_READ)
}

/// Sets the file mode mask and gives the old one (Node: `process.umask(mask)`).
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE` for a text that is no octal number; `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread.
pub fn set_umask<'a>(mask: impl Into<Mask<'a>>) -> Result<u32> {
    sys::process::umask(mask.into().number()? & 0o777)
}

/// A file mode mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask<'a> {
    /// As a number.
    Number(u32),
    /// As an octal number in text: `"022"`.
    Text(&'a str),
}

impl From<u32> for Mask<'_> {
    fn from(mask: u32) -> Self {
        Self::Number(mask)
    }
}

impl<'a> From<&'a str> for Mask<'a> {
    fn from(mask: &'a str) -> Self {
        Self::Text(mask)
    }
}

impl Mask<'_> {
    fn number(self) -> Result<u32> {
        match self {
            Self::Number(mask) => Ok(mask),
            Self::Text(text) => {
                let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
                let mask = if is_octal {
                    u32::from_str_radix(text, 8).ok()
                } else {
                    None
                };
                Ok(mask.ok_or_else(|| {
                    let rule = "must be a 32-bit unsigned integer or an octal string";
                    ErrorRecord::invalid_arg_value("mask", rule, &format!("'{text}'"))
                })?)
            }
        }
    }
}

/// Loads variables from an env file (`None`: `.env`) into the environment; existing ones stay
/// (Node: `process.loadEnvFile`).
///
/// # Errors
/// `ENOENT` with `syscall` and `path`; `EINVAL` when it is no regular file; `ERR_ACCESS_DENIED` without the grant `fs.read`.
pub fn load_env_file(path: Option<&str>) -> Result<()> {
    sys::process::load_env_file(path.unwrap_or_default())
}

#[derive(Serialize)]
struct ExecveArguments<'a> {
    file: &'a str,
    args: &'a [&'a str],
    env: Option<&'a BTreeMap<String, String>>,
}

/// Replaces the process; only stdio stays open, and no event is emitted (Node: `process.execve`). `env` `None` is
/// the environment of this isolate. Returns only when that failed.
///
/// # Errors
/// `ENOENT` and others with `syscall` and `path`; `ERR_INVALID_ARG_VALUE` for NUL in a text; `ERR_ACCESS_DENIED` without
/// the grant; `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread.
pub fn execve(file: &str, args: &[&str], env: Option<&BTreeMap<String, String>>) -> Result<std::convert::Infallible> {
    sys::flush_stdout();
    sys::process::execve(&ExecveArguments { file, args, env })?;
    Err(Error::with_code(
        ErrorCode::Internal,
        "the host did not replace the process",
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn masks_in_text_are_octal() {
        assert_eq!(Mask::from("022").number().unwrap(), 0o22);
        for bad in ["", "8", "+2", "0x1", "77777777777777"] {
            assert!(
                Mask::from(bad).number().unwrap_err().is_code("ERR_INVALID_ARG_VALUE"),
                "{bad}"
            );
        }
    }
}
