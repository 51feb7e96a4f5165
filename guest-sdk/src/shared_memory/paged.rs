//! Bytes in pages of their own, which move without being copied.

use nodule_abi::limits::PAGE_BACKED_BYTES_MIN;

use crate::error::Result;
use crate::sys::{self, Window};

/// The bytes of a large ArrayBuffer.
#[derive(Debug)]
pub(crate) struct Paged {
    handle: u32,
    window: Window,
    len: usize,
}

impl Paged {
    /// Zeros; nothing when they are too few for pages of their own, or the host has none.
    pub(crate) fn zeros(len: usize) -> Option<Self> {
        if len < PAGE_BACKED_BYTES_MIN {
            return None;
        }
        let (handle, window) = Window::array_buffer_create(len as u64).ok()?;
        Some(Self { handle, window, len })
    }

    /// What a message brought; the handle is closed when it cannot be mapped.
    pub(crate) fn of_handle(handle: u32) -> Result<Self> {
        let open = || {
            let len = sys::array_buffer_byte_length(handle)?;
            let window = Window::of_array_buffer(handle)?;
            let len = usize::try_from(len).unwrap_or(0);
            Ok(Self { handle, window, len })
        };
        open().inspect_err(|_| {
            // It was just received.
            let _ = sys::close(handle);
        })
    }

    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.window.bytes(self.len)
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.window.bytes_mut(self.len)
    }

    /// A message took the pages; the handle is closed already.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        // It is open until here.
        let _ = sys::close(self.handle);
    }
}
