//! Standard output and standard error.

use std::fmt;
use std::io::{self, Write};

use super::attributes::attribute;
use crate::error::Result;
use crate::sys;

/// A writable standard stream (Node: `process.stdout`, `process.stderr`).
///
/// A write parks the isolate until the host accepted the bytes; what is accepted is not lost, however the isolate ends.
/// It goes past std's buffer, after what `print!` left in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Output {
    fd: i32,
}

/// Standard output (Node: `process.stdout`).
pub fn stdout() -> Output {
    Output { fd: 1 }
}

/// Standard error (Node: `process.stderr`).
pub fn stderr() -> Output {
    Output { fd: 2 }
}

impl Output {
    /// Writes all of `bytes` (Node: `stream.write`). Up to 64 KiB in one call do not mix with what other isolates
    /// write.
    ///
    /// # Errors
    /// `EPIPE` when the reader is gone.
    pub fn write_all(&self, bytes: &[u8]) -> Result<()> {
        let mut output = *self;
        Ok(Write::write_all(&mut output, bytes)?)
    }

    /// The file descriptor; `None` in a thread (Node: `stream.fd`).
    pub fn fd(&self) -> Option<u32> {
        own_fd(self.fd.unsigned_abs())
    }

    /// Whether the stream is a terminal (Node: `stream.isTTY`).
    pub fn is_tty(&self) -> bool {
        sys::is_tty(self.fd.unsigned_abs()).unwrap_or(false)
    }

    /// Width of the terminal (Node: `stream.columns`).
    pub fn columns(&self) -> Option<u32> {
        self.window_size().map(|[columns, _]| columns)
    }

    /// Height of the terminal (Node: `stream.rows`).
    pub fn rows(&self) -> Option<u32> {
        self.window_size().map(|[_, rows]| rows)
    }

    fn window_size(&self) -> Option<[u32; 2]> {
        sys::window_size(self.fd.unsigned_abs()).ok()
    }
}

/// A thread's streams are pipes of the host's and have no descriptor.
pub(super) fn own_fd(fd: u32) -> Option<u32> {
    (attribute::<u32>("threadId") == 0).then_some(fd)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.fd == 1 {
            sys::flush_stdout();
        }
        sys::write_fd(self.fd, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// In one piece, so that what is formatted does not mix with what others write.
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        Write::write_all(self, fmt::format(arguments).as_bytes())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.fd == 1 { "Stdout" } else { "Stderr" })
    }
}
