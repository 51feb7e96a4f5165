//! Shared buffers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nodule_abi::atomic::NOT_GROWABLE;
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::foreign;
use super::mapping::View;
use super::pages::{Account, Pages, range_error, type_error};
use super::waiters::Waiters;

/// Memory that isolates share (Node: `SharedArrayBuffer`). It lives as long as anyone holds it.
#[derive(Debug)]
pub struct SharedBuffer {
    pages: Pages,
    byte_length: AtomicU64,
    max_byte_length: u64,
    growable: bool,
    waiters: Waiters,
    /// How the host sees the cells, once that is needed.
    view: OnceLock<View>,
}

impl Drop for SharedBuffer {
    fn drop(&mut self) {
        if self.waiters.is_elsewhere() {
            foreign::forget(&self.pages);
        }
    }
}

impl SharedBuffer {
    /// A buffer of zeros. It can grow to `max_byte_length` unless that is [`NOT_GROWABLE`].
    /// `RangeError` for lengths that cannot be, `ENOMEM` above the account.
    pub fn new(byte_length: u64, max_byte_length: u64, account: &Arc<Account>) -> Result<Arc<Self>> {
        let growable = max_byte_length != NOT_GROWABLE;
        let max_byte_length = if growable { max_byte_length } else { byte_length };
        if byte_length > max_byte_length {
            return Err(range_error("Invalid array buffer max length"));
        }
        Ok(Arc::new(Self {
            pages: Pages::new(max_byte_length, account)?,
            byte_length: AtomicU64::new(byte_length),
            max_byte_length,
            growable,
            waiters: Waiters::default(),
            view: OnceLock::new(),
        }))
    }

    /// The buffer of pages that another process has too.
    pub(super) fn of_pages(pages: Pages, byte_length: u64) -> Arc<Self> {
        Arc::new(Self {
            pages,
            byte_length: AtomicU64::new(byte_length),
            max_byte_length: byte_length,
            growable: false,
            waiters: Waiters::elsewhere(),
            view: OnceLock::new(),
        })
    }

    /// Another process is about to have it too: from now on those that wait for its cells wait where that one can wake
    /// them. `ENOMEM` when too many do already.
    pub fn share_elsewhere(self: &Arc<Self>) -> Result<()> {
        if self.waiters.is_elsewhere() {
            return Ok(());
        }
        self.view()?;
        foreign::remember(self)
            .map_err(|error| ErrorRecord::system(ErrorCode::from_errno(error.raw_os_error()), "fstat"))?;
        Waiters::share_elsewhere(self)
    }

    /// How the host sees its cells.
    pub(super) fn view(&self) -> Result<&View> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let view = View::new(&self.pages)?;
        Ok(self.view.get_or_init(|| view))
    }

    /// Its pages.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The current length.
    pub fn byte_length(&self) -> u64 {
        self.byte_length.load(Ordering::SeqCst)
    }

    /// The greatest length.
    pub fn max_byte_length(&self) -> u64 {
        self.max_byte_length
    }

    /// Whether it can grow.
    pub fn is_growable(&self) -> bool {
        self.growable
    }

    /// Makes it longer for all that hold it; it never shrinks. `RangeError` when it is longer or beyond its
    /// maximum, `TypeError` when it cannot grow.
    pub fn grow(&self, byte_length: u64) -> Result<()> {
        if !self.growable {
            return Err(type_error(
                "Method SharedArrayBuffer.prototype.grow called on incompatible receiver #<SharedArrayBuffer>",
            ));
        }
        let longer = |now: u64| (byte_length >= now && byte_length <= self.max_byte_length).then_some(byte_length);
        match self
            .byte_length
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, longer)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(range_error(
                "SharedArrayBuffer.prototype.grow: Invalid length parameter",
            )),
        }
    }

    /// Who waits on its cells.
    pub fn waiters(&self) -> &Waiters {
        &self.waiters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growable_buffer_grows_to_its_maximum_and_never_shrinks() {
        let account = Account::new(8, 1 << 20);
        let buffer = SharedBuffer::new(10, 100, &account).unwrap();
        assert_eq!((buffer.byte_length(), buffer.max_byte_length()), (10, 100));
        buffer.grow(10).unwrap();
        buffer.grow(100).unwrap();
        for length in [99, 101] {
            assert_eq!(buffer.grow(length).unwrap_err().name, "RangeError");
        }
        assert_eq!(buffer.byte_length(), 100);
        assert_eq!(SharedBuffer::new(2, 1, &account).unwrap_err().name, "RangeError");
        let fixed = SharedBuffer::new(10, NOT_GROWABLE, &account).unwrap();
        assert_eq!((fixed.max_byte_length(), fixed.is_growable()), (10, false));
        assert_eq!(fixed.grow(11).unwrap_err().name, "TypeError");
    }
}
