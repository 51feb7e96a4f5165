//! One end of a socket pair: bytes, and descriptors beside them. No call waits.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nodule_abi::limits::IPC_DESCRIPTORS_MAX;
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, sockopt,
};

/// What the kernel keeps of what was written and not read.
const BUFFER_BYTES: usize = 256 * 1024;

/// A connected UNIX stream socket.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What one read gave.
#[derive(Debug, Default)]
pub struct Received {
    /// How many bytes; none at the end.
    pub bytes: usize,
    /// What came with the last frame that begins in them.
    pub descriptors: Vec<OwnedFd>,
    /// Some descriptors were lost: too many, or no room in this process.
    pub is_truncated: bool,
}

impl Socket {
    /// Takes a connected socket into use.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        sockopt::set_socket_send_buffer_size(&fd, BUFFER_BYTES)?;
        sockopt::set_socket_recv_buffer_size(&fd, BUFFER_BYTES)?;
        Ok(Self(fd))
    }

    /// Another descriptor of it, to be waited on apart.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Writes what fits; `descriptors` go with the first byte.
    pub fn send(&self, bytes: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IPC_DESCRIPTORS_MAX))];
        loop {
            let sent = match bytes {
                [bytes] if descriptors.is_empty() => rustix::net::send(&self.0, bytes, flags),
                _ => {
                    let mut control = SendAncillaryBuffer::new(&mut space);
                    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                        return Err(Errno::INVAL);
                    }
                    rustix::net::sendmsg(&self.0, bytes, &mut control, flags)
                }
            };
            match sent {
                Err(Errno::INTR) => {}
                sent => return sent,
            }
        }
    }

    /// Reads what is there into `space`.
    pub fn receive(&self, space: &mut [u8]) -> Result<Received, Errno> {
        let mut control = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IPC_DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut control);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = loop {
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(space)], &mut control, flags) {
                Err(Errno::INTR) => {}
                message => break message?,
            }
        };
        let mut received = Received {
            bytes: message.bytes,
            descriptors: Vec::new(),
            is_truncated: message.flags.contains(ReturnFlags::CTRUNC),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                received.descriptors.extend(descriptors);
            }
        }
        Ok(received)
    }

    /// Bytes that can be read at once.
    pub fn unread_bytes(&self) -> usize {
        let bytes = rustix::io::ioctl_fionread(&self.0).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Ends both directions; what the other side has not read yet it still can.
    pub fn shut_down(&self) {
        // Fails when the other side was faster.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
