//! Pages of their own: a sealed memfd, counted against the isolate that made it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::SHARED_BUFFER_BYTES_MAX;
use rustix::fs::{MemfdFlags, SealFlags};

use super::budget::{self, Permit};
use super::mapping::Parked;

/// Size of a page of wasm memory.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// What cannot happen to the file behind pages.
pub(super) const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Identifies pages within the host process. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PagesId(u64);

impl PagesId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What an isolate may have of buffers: those it created, for as long as anyone holds them.
#[derive(Debug)]
pub struct Account {
    max_buffers: usize,
    max_bytes: u64,
    used: Mutex<(usize, u64)>,
}

impl Account {
    /// An account with these bounds.
    pub fn new(max_buffers: usize, max_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            max_buffers,
            max_bytes,
            used: Mutex::default(),
        })
    }

    /// Bytes of the buffers that exist.
    pub fn bytes(&self) -> u64 {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let (buffers, total) = (used.0 + 1, used.1.saturating_add(bytes));
        let refuse = |message: String| Err(ErrorRecord::new(ErrorCode::Enomem, message).into());
        if buffers > self.max_buffers {
            return refuse(format!(
                "more than {} shared buffers (raise it with --max-shared-buffers)",
                self.max_buffers
            ));
        }
        if total > self.max_bytes {
            return refuse(format!(
                "{total} bytes of shared memory wanted, {} allowed (raise it with --max-shared-memory)",
                self.max_bytes
            ));
        }
        *used = (buffers, total);
        Ok(Charge {
            account: Arc::clone(self),
            bytes,
        })
    }
}

/// What one buffer takes of an account.
#[derive(Debug)]
struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut used = self.account.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.0 -= 1;
        used.1 -= self.bytes;
    }
}

/// Whole wasm pages of zeros that can be mapped into linear memories. Their number never changes: the file is sealed.
#[derive(Debug)]
pub struct Pages {
    id: PagesId,
    file: OwnedFd,
    count: u32,
    /// Where they are mapped while no isolate has them.
    parked: Mutex<Option<Parked>>,
    _charge: Charge,
    _permit: Permit,
}

impl Pages {
    /// Pages for `byte_length` bytes, one at least. `RangeError` above 4 GiB, `ENOMEM` when the account, the process or the
    /// system refuse.
    pub fn new(byte_length: u64, account: &Arc<Account>) -> Result<Self> {
        if byte_length > SHARED_BUFFER_BYTES_MAX {
            return Err(range_error("Array buffer allocation failed"));
        }
        let count = byte_length.div_ceil(PAGE_BYTES).max(1);
        let charge = account.charge(count * PAGE_BYTES)?;
        let permit = budget::file()?;
        let file = memfd(count * PAGE_BYTES).map_err(|error| {
            tracing::warn!(%error, "the system refused shared memory to a guest");
            ErrorRecord::new(ErrorCode::Enomem, format!("the system refused the memory: {error}"))
        })?;
        Ok(Self {
            id: PagesId::next(),
            file,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            parked: Mutex::default(),
            _charge: charge,
            _permit: permit,
        })
    }

    /// Those of a file that was checked.
    pub(super) fn of_file(file: OwnedFd, count: u32, account: &Arc<Account>) -> Result<Self> {
        Ok(Self {
            id: PagesId::next(),
            _charge: account.charge(u64::from(count) * PAGE_BYTES)?,
            _permit: budget::file()?,
            file,
            count,
            parked: Mutex::default(),
        })
    }

    /// Which pages these are.
    pub fn id(&self) -> PagesId {
        self.id
    }

    /// How many wasm pages.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Keeps where they are mapped.
    pub(super) fn park(&self, parked: Parked) {
        *self.parked.lock().unwrap_or_else(PoisonError::into_inner) = Some(parked);
    }

    /// Where they were mapped last, if nobody has them.
    pub(super) fn unpark(&self) -> Option<Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The file behind them.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn memfd(bytes: u64) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create("nodule-shared", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create("nodule-shared", flags)?,
        result => result?,
    };
    rustix::fs::ftruncate(&file, bytes)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// A RangeError without a code, as engines of JavaScript throw it.
pub fn range_error(message: &str) -> Box<ErrorRecord> {
    plain_error("RangeError", message)
}

/// A TypeError without a code.
pub fn type_error(message: &str) -> Box<ErrorRecord> {
    plain_error("TypeError", message)
}

fn plain_error(name: &'static str, message: &str) -> Box<ErrorRecord> {
    Box::new(ErrorRecord {
        name: name.into(),
        message: message.into(),
        ..ErrorRecord::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_neither_shrink_nor_grow_nor_be_unsealed() {
        let pages = Pages::new(70_000, &Account::new(1, 1 << 20)).unwrap();
        assert_eq!(pages.count(), 2);
        for bytes in [0, PAGE_BYTES, 3 * PAGE_BYTES] {
            assert_eq!(rustix::fs::ftruncate(pages.file(), bytes), Err(rustix::io::Errno::PERM));
        }
        assert_eq!(
            rustix::fs::fcntl_add_seals(pages.file(), SealFlags::WRITE),
            Err(rustix::io::Errno::PERM)
        );
    }

    #[test]
    fn an_account_bounds_number_and_bytes_until_the_last_holder_is_gone() {
        let account = Account::new(2, 3 * PAGE_BYTES);
        let first = Pages::new(1, &account).unwrap();
        assert!(Pages::new(2 * PAGE_BYTES + 1, &account).unwrap_err().is_code("ENOMEM"));
        let second = Pages::new(0, &account).unwrap();
        assert_ne!(first.id(), second.id());
        assert!(Pages::new(0, &account).unwrap_err().is_code("ENOMEM"));
        assert_eq!(account.bytes(), 2 * PAGE_BYTES);
        drop((first, second));
        assert_eq!(account.bytes(), 0);
        let too_long = Pages::new(SHARED_BUFFER_BYTES_MAX + 1, &account).unwrap_err();
        assert_eq!(too_long.name, "RangeError");
    }
}
