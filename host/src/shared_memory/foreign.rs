//! Pages that came from another process. Nothing that it said about them is believed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nodule_abi::error::Result;
use nodule_abi::limits::SHARED_BUFFER_BYTES_MAX;
use rustix::fs::{OFlags, SealFlags};

use super::array_buffer::ArrayPages;
use super::buffer::SharedBuffer;
use super::pages::{Account, PAGE_BYTES, Pages, SEALS};

/// `TMPFS_MAGIC`: the file system of memfds with pages of the usual size.
const TMPFS: u64 = 0x0102_1994;

/// What makes a file the one it is.
pub(super) type FileKey = (u64, u64);

/// The buffers of this process that another one has too. Who gets one of them back gets the same: its waiters are shared.
static KNOWN: Mutex<BTreeMap<FileKey, Weak<SharedBuffer>>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<FileKey, Weak<SharedBuffer>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(file: impl AsFd) -> rustix::io::Result<FileKey> {
    let facts = rustix::fs::fstat(file)?;
    Ok((facts.st_dev, facts.st_ino))
}

/// Makes a buffer known by its file.
pub(super) fn remember(buffer: &Arc<SharedBuffer>) -> rustix::io::Result<()> {
    let key = key(buffer.pages().file())?;
    known().insert(key, Arc::downgrade(buffer));
    Ok(())
}

/// A buffer is gone; its file is still open.
pub(super) fn forget(pages: &Pages) {
    if let Ok(key) = key(pages.file()) {
        let mut known = known();
        // The file may have come in again meanwhile.
        if known.get(&key).is_some_and(|buffer| buffer.strong_count() == 0) {
            known.remove(&key);
        }
    }
}

/// A file that was checked to hold pages, which are nobody's yet.
#[derive(Debug)]
pub struct ForeignPages {
    file: OwnedFd,
    count: u32,
    byte_length: u64,
    key: FileKey,
}

impl ForeignPages {
    /// Checks what came as the pages of `byte_length` bytes; says what is wrong with it.
    pub fn check(file: OwnedFd, byte_length: u64) -> std::result::Result<Self, &'static str> {
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| "it is no memfd")?;
        let is_memory = rustix::fs::fstatfs(&file).is_ok_and(|facts| u64::try_from(facts.f_type) == Ok(TMPFS));
        if !is_memory {
            return Err("it is no memfd of the usual pages");
        }
        if !seals.contains(SEALS) {
            return Err("its size is not sealed");
        }
        let mode = rustix::fs::fcntl_getfl(&file).map_err(|_| "it is no file")?;
        let is_writable = (mode & OFlags::ACCMODE) == OFlags::RDWR;
        if !is_writable || seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
            return Err("it cannot be written");
        }
        // What is sealed stays as it is found here.
        let facts = rustix::fs::fstat(&file).map_err(|_| "it is no file")?;
        let bytes = u64::try_from(facts.st_size).unwrap_or(0);
        let is_whole = bytes > 0 && bytes.is_multiple_of(PAGE_BYTES);
        if !is_whole || bytes < byte_length || bytes > SHARED_BUFFER_BYTES_MAX {
            return Err("its size is wrong");
        }
        Ok(Self {
            file,
            count: u32::try_from(bytes / PAGE_BYTES).unwrap_or(u32::MAX),
            byte_length,
            key: (facts.st_dev, facts.st_ino),
        })
    }

    /// The shared buffer: the one this process has already, else a new one. `ENOMEM` above the account.
    pub fn into_shared(self, account: &Arc<Account>) -> Result<Arc<SharedBuffer>> {
        let mut known = known();
        if let Some(buffer) = known.get(&self.key).and_then(Weak::upgrade) {
            return Ok(buffer);
        }
        let pages = Pages::of_file(self.file, self.count, account)?;
        let buffer = SharedBuffer::of_pages(pages, self.byte_length);
        known.insert(self.key, Arc::downgrade(&buffer));
        Ok(buffer)
    }

    /// The pages of an ArrayBuffer. `ENOMEM` above the account.
    pub fn into_array(self, account: &Arc<Account>) -> Result<ArrayPages> {
        let pages = Pages::of_file(self.file, self.count, account)?;
        Ok(ArrayPages::of_pages(pages, self.byte_length))
    }
}
