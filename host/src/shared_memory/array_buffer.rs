//! ArrayBuffers in pages of their own. Moving one takes the window away from its isolate and gives the pages to the
//! receiver: no byte is copied.

use std::sync::Arc;

use nodule_abi::error::Result;

use super::pages::{Account, Pages};

/// The pages of an ArrayBuffer.
#[derive(Clone, Debug)]
pub struct ArrayPages {
    pages: Arc<Pages>,
    byte_length: u64,
}

impl ArrayPages {
    /// Zeros. Errors as of [`Pages::new`].
    pub fn new(byte_length: u64, account: &Arc<Account>) -> Result<Self> {
        Ok(Self {
            pages: Arc::new(Pages::new(byte_length, account)?),
            byte_length,
        })
    }

    /// Those of another process.
    pub(super) fn of_pages(pages: Pages, byte_length: u64) -> Self {
        Self {
            pages: Arc::new(pages),
            byte_length,
        }
    }

    /// The length.
    pub fn byte_length(&self) -> u64 {
        self.byte_length
    }

    /// The pages.
    pub fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }
}
