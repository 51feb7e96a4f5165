//! Standard input.

use std::cell::OnceCell;
use std::ops::Deref;

use super::stdout::own_fd;
use crate::stream::Readable;
use crate::sys;

thread_local! {
    static STDIN: OnceCell<Readable> = const { OnceCell::new() };
}

/// Standard input (Node: `process.stdin`): a [`Readable`] that is opened when something reads.
#[derive(Clone, Debug)]
pub struct Stdin {
    stream: Readable,
}

/// Standard input (Node: `process.stdin`). Empty in a thread without the option `stdin`.
pub fn stdin() -> Stdin {
    let stream = STDIN.with(|stdin| stdin.get_or_init(|| Readable::opened_by(sys::open_stdin)).clone());
    Stdin { stream }
}

impl Stdin {
    /// The file descriptor; `None` in a thread (Node: `stream.fd`).
    pub fn fd(&self) -> Option<u32> {
        own_fd(0)
    }

    /// Whether the stream is a terminal (Node: `stream.isTTY`).
    pub fn is_tty(&self) -> bool {
        sys::is_tty(0).unwrap_or(false)
    }

    /// Lets a read keep the isolate alive, as it does at first.
    pub fn ref_(&self) {
        self.stream.ref_();
    }

    /// Lets the isolate end although something reads.
    pub fn unref(&self) {
        self.stream.unref();
    }
}

impl Deref for Stdin {
    type Target = Readable;

    fn deref(&self) -> &Readable {
        &self.stream
    }
}
