//! The few things about descriptors that the compiler cannot check.
#![allow(unsafe_code, reason = "registers descriptors")]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::Socket;

/// Waits for something to read on a socket.
pub fn readable(socket: Arc<Socket>) -> io::Result<AsyncFd<Arc<Socket>>> {
    // SAFETY: a socket keeps its descriptor open, unchanged, for as long as it lives, and the `AsyncFd` holds it.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

/// Waits for room to write to a descriptor.
pub fn writable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, and nothing changes or closes what is in it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::WRITABLE) };
    registered.map_err(io::Error::from)
}
