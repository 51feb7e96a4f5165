//! Descriptors that the parent process gave this one.

use crate::child_process::StdioStream;
use crate::error::Result;
use crate::sys;

/// The descriptor `fd`, from 3 on, that the parent process gave this one: a stream to read from and to write to. Each call
/// opens it anew (Node: `fs` and `net.Socket` with `{fd}`).
///
/// # Errors
/// `EBADF` when there is none.
pub fn stdio(fd: u32) -> Result<StdioStream> {
    Ok(StdioStream::opened(sys::open_stdio(fd)?))
}
