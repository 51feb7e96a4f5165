//! Descriptors that the parent process gave this one, by number.
#![allow(unsafe_code, reason = "a number becomes a descriptor")]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

/// Numbers that were taken: each has one owner.
static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes over the descriptor `number`; it does not go on to children by itself.
///
/// # Errors
/// It is one of the standard streams, is not open, was opened by this process itself, or was taken before.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: borrowed for one look at it; when it is not open the call says so.
    let flags = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // Everything that this process opens itself has the flag.
    if flags.contains(rustix::io::FdFlags::CLOEXEC) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !taken.insert(number) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, came from the parent, and nobody else in this process has it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, flags | rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    use super::*;

    #[test]
    fn what_is_not_the_parents_cannot_be_taken() {
        let own = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        for number in [0, 2, -1, 1_000_000, own.0.as_raw_fd()] {
            assert!(take(number).is_err(), "{number}");
        }
        let (inherited, _other) = rustix::pipe::pipe().unwrap();
        let number = inherited.into_raw_fd();
        let taken = take(number).unwrap();
        assert!(take(number).is_err());
        assert!(
            rustix::io::fcntl_getfd(&taken)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
    }
}
