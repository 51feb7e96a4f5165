//! Large messages of `advanced` channels: the bytes lie in a sealed memfd, and the socket carries its descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nodule_abi::limits::IPC_MESSAGE_BYTES_MAX;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

/// Messages from this size on travel so. Below, the pages of a new file cost more than the way through the socket
/// (docs/decisions.md).
pub const LARGE_MESSAGE_BYTES: usize = 16 << 20;

/// How much is copied at a time; it stays in the cache.
const PIECE_BYTES: usize = 64 * 1024;

/// Neither size nor bytes change any more.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE)
    .union(SealFlags::SEAL);

/// The bytes of a message.
#[derive(Clone, Debug)]
pub struct PayloadFile {
    file: Arc<OwnedFd>,
    len: usize,
}

impl AsFd for PayloadFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl PayloadFile {
    /// A file with so many bytes, which `fill` gives piece by piece. `None` when the system has none.
    pub fn write<E>(len: usize, mut fill: impl FnMut(usize, &mut [u8]) -> Result<(), E>) -> Result<Option<Self>, E> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let Ok(file) = rustix::fs::memfd_create("nodule-message", flags) else {
            return Ok(None);
        };
        let mut piece = vec![0; PIECE_BYTES.min(len)];
        let mut offset = 0;
        while offset < len {
            let count = piece.len().min(len - offset);
            let bytes = piece.get_mut(..count).unwrap_or_default();
            fill(offset, bytes)?;
            if write_all(&file, bytes, offset).is_err() {
                return Ok(None);
            }
            offset += count;
        }
        let is_sealed = rustix::fs::fcntl_add_seals(&file, SEALS).is_ok();
        Ok(is_sealed.then(|| Self {
            file: Arc::new(file),
            len,
        }))
    }

    /// Checks what came as so many bytes; says what is wrong with it.
    pub fn check(file: OwnedFd, len: u64) -> Result<Self, &'static str> {
        let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| "it is no memfd")?;
        if !seals.contains(SEALS) {
            return Err("it is not sealed");
        }
        let facts = rustix::fs::fstat(&file).map_err(|_| "it is no file")?;
        let is_so_long = u64::try_from(facts.st_size) == Ok(len) && len > 0 && len <= u64::from(IPC_MESSAGE_BYTES_MAX);
        let len = usize::try_from(len).map_err(|_| "it is too large")?;
        if !is_so_long {
            return Err("its size is wrong");
        }
        Ok(Self {
            file: Arc::new(file),
            len,
        })
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives the bytes piece by piece.
    ///
    /// # Errors
    /// What `take` says; `failed` when the file cannot be read.
    pub fn read<E>(
        &self,
        failed: impl Fn(Errno) -> E,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut piece = vec![0; PIECE_BYTES.min(self.len)];
        let mut offset = 0;
        while offset < self.len {
            let wanted = piece.len().min(self.len - offset);
            let space = piece.get_mut(..wanted).unwrap_or_default();
            let count = rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, &mut *space, offset as u64));
            let count = count.map_err(&failed)?;
            if count == 0 {
                return Err(failed(Errno::IO));
            }
            take(offset, space.get(..count).unwrap_or_default())?;
            offset += count;
        }
        Ok(())
    }

    /// All bytes at once.
    ///
    /// # Errors
    /// `EIO` when the file cannot be read.
    pub fn to_vec(&self) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::with_capacity(self.len);
        self.read(std::convert::identity, |_, piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], offset: usize) -> Result<(), Errno> {
    let mut offset = offset as u64;
    while !bytes.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?;
        offset += count as u64;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}
