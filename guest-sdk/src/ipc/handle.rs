//! Native handles that travel beside messages.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::error::Result;
use crate::sys;

/// A native handle that came with a message, or that can be sent with one (Node: `sendHandle`): a socket, a server. Clones
/// are the same handle; with the last one it is closed.
#[derive(Clone)]
pub struct SendHandle(Rc<Owned>);

struct Owned(Cell<u32>);

impl Drop for Owned {
    fn drop(&mut self) {
        let handle = self.0.get();
        if handle != 0 {
            // It is open: nobody else closes it.
            let _ = sys::close(handle);
        }
    }
}

impl SendHandle {
    /// The native handle behind a number that the isolate owns, which it takes over.
    pub fn from_handle(handle: u32) -> Self {
        Self(Rc::new(Owned(Cell::new(handle))))
    }

    /// Its type as Node names it: `net.Socket`, `net.Server`, `net.Native`, `dgram.Socket`, `dgram.Native`.
    ///
    /// # Errors
    /// `ERR_HANDLE_CLOSED` after it was sent without [`SendOptions::keep_open`](super::SendOptions::keep_open).
    pub fn kind(&self) -> Result<String> {
        sys::ipc::handle_type(self.raw_handle())
    }

    /// The number; 0 after it was sent.
    pub fn raw_handle(&self) -> u32 {
        self.0.0.get()
    }

    /// The host has taken it.
    pub(super) fn leave(&self) {
        self.0.0.set(0);
    }
}

impl fmt::Debug for SendHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHandle")
            .field("kind", &self.kind().ok())
            .finish_non_exhaustive()
    }
}
