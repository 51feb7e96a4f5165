//! Waiting until descriptors can be used.
#![allow(unsafe_code, reason = "a descriptor has to stay open while it is watched")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a descriptor for as long as it is borrowed.
pub fn watch(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the borrow keeps the descriptor open for as long as the result lives.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(|error| error.into_parts().1)
}

/// Waits until a descriptor can be read, or has ended or failed.
pub async fn readable(fd: &impl AsFd) -> io::Result<()> {
    let watch = watch(fd.as_fd(), Interest::READABLE)?;
    watch.readable().await?.retain_ready();
    Ok(())
}
