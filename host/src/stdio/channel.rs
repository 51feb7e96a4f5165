//! Standard streams of the OS process, used so that nothing but the calling isolate ever waits.
//!
//! The open file description behind fds 0 to 2 is shared with other processes (the shell, siblings of a pipeline),
//! so its `O_NONBLOCK` is never touched: pipes, terminals and devices are opened a second time through
//! `/proc/self/fd`, sockets are asked call by call, and what is left goes to a blocking thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;

use crate::readiness;

/// What a pipe is grown to once a writer finds it full; the most an unprivileged process may ask for.
const PIPE_BYTES: usize = 1 << 20;

/// Longest wait of a blocking thread between two looks at whether it is still wanted.
const BLOCKING_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Most bytes a blocking thread writes at once: a pipe that polls as writable takes them without waiting.
const BLOCKING_WRITE_BYTES: usize = 4096;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }

    fn poll_flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
        }
    }
}

#[derive(Debug)]
enum Access {
    /// A file on a disk: calls wait for no peer.
    Direct(OwnedFd),
    /// A non-blocking open file description of our own.
    NonBlocking(OwnedFd),
    /// A socket: every call says that it must not block.
    Socket(OwnedFd),
    /// Nothing else works.
    BlockingThread(Arc<OwnedFd>),
}

/// One standard stream.
#[derive(Debug)]
pub(super) struct Channel {
    access: Access,
    direction: Direction,
    /// Whether a full pipe was grown already.
    grown: bool,
}

impl Channel {
    /// Takes the stream behind `fd` into use. `fd` itself may be closed afterwards.
    pub fn open(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<Self> {
        let own = fd.try_clone_to_owned()?;
        let access = match FileType::from_raw_mode(rustix::fs::fstat(&own)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Access::Direct(own),
            FileType::Socket => Access::Socket(own),
            _ => match reopen(&own, direction) {
                Ok(fd) => Access::NonBlocking(fd),
                // No /proc, or a pipe or terminal that belongs to another user.
                Err(_) => Access::BlockingThread(Arc::new(own)),
            },
        };
        Ok(Self {
            access,
            direction,
            grown: false,
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.access {
            Access::Direct(fd) | Access::NonBlocking(fd) | Access::Socket(fd) => fd.as_fd(),
            Access::BlockingThread(fd) => fd.as_fd(),
        }
    }

    /// Its descriptor once more.
    pub fn clone_fd(&self) -> io::Result<OwnedFd> {
        self.fd().try_clone_to_owned()
    }

    /// Ends what is written to a socket; its other direction goes on.
    pub fn end(&self) {
        if let Access::Socket(socket) = &self.access {
            // It may have been ended by the other side.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
        }
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    pub fn try_write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.try_write(bytes) {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    /// Bytes that can be read at once, when the system knows.
    pub fn available(&self) -> Option<u64> {
        rustix::io::ioctl_fionread(self.fd()).ok()
    }

    /// Reads what is there; `WouldBlock` when nothing is.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match &self.access {
                Access::Direct(fd) | Access::NonBlocking(fd) => rustix::io::read(fd, &mut *buffer),
                Access::Socket(fd) => rustix::net::recv(fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(len, _)| len),
                // Nobody else reads between the two calls, unless standard input is shared with another reader.
                Access::BlockingThread(fd) if self.is_ready()? => rustix::io::read(fd, &mut *buffer),
                Access::BlockingThread(_) => Err(Errno::WOULDBLOCK),
            };
            match result {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    fn try_write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match &self.access {
            Access::Socket(fd) => rustix::net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Access::Direct(fd) | Access::NonBlocking(fd) => rustix::io::write(fd, bytes),
            Access::BlockingThread(_) => Err(Errno::WOULDBLOCK),
        }
    }

    /// Whether the stream can be used now; an end or an error counts.
    pub fn is_ready(&self) -> io::Result<bool> {
        Ok(poll(self.fd(), self.direction, Timespec { tv_sec: 0, tv_nsec: 0 })?)
    }

    /// Waits until the stream can be read or written, or has ended or failed.
    pub async fn ready(&self) -> io::Result<()> {
        if self.is_ready()? {
            return Ok(());
        }
        if let Access::BlockingThread(fd) = &self.access {
            return wait_on_thread(Arc::clone(fd), self.direction).await;
        }
        // For one wait: streams of the process outlive the runtime of an embedder.
        let watch = readiness::watch(self.fd(), self.direction.interest())?;
        loop {
            let mut guard = watch.ready(self.direction.interest()).await?;
            if self.is_ready()? {
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Writes what fits once something does; when it is dropped before it is ready, nothing was written.
    pub async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.try_write(bytes) {
                Ok(len) => return Ok(len),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if self.grow(bytes.len()) => {}
                Err(Errno::WOULDBLOCK) => self.ready().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a full pipe larger, once, when much is left to write.
    fn grow(&mut self, left: usize) -> bool {
        let worth = !self.grown && left > BLOCKING_WRITE_BYTES && matches!(self.access, Access::NonBlocking(_));
        if worth {
            self.grown = true;
        }
        // Fails for everything but pipes, and when the user has many large ones.
        worth && rustix::pipe::fcntl_setpipe_size(self.fd(), PIPE_BYTES).is_ok()
    }

    /// The descriptor, if it must be written to with [`write_on_thread`].
    pub fn needs_thread(&self) -> Option<Arc<OwnedFd>> {
        match &self.access {
            Access::BlockingThread(fd) => Some(Arc::clone(fd)),
            Access::Direct(_) | Access::NonBlocking(_) | Access::Socket(_) => None,
        }
    }
}

/// A second, non-blocking open file description of the same pipe, terminal or device.
fn reopen(fd: &OwnedFd, direction: Direction) -> rustix::io::Result<OwnedFd> {
    let mode = match direction {
        Direction::Read => OFlags::RDONLY,
        Direction::Write => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(
        path,
        mode | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Whether `fd` can be used now; an end or an error counts.
fn poll(fd: BorrowedFd<'_>, direction: Direction, timeout: Timespec) -> rustix::io::Result<bool> {
    match rustix::event::poll(
        &mut [PollFd::from_borrowed_fd(fd, direction.poll_flags())],
        Some(&timeout),
    ) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Polls on a blocking thread, which gives up soon after this future is dropped.
async fn wait_on_thread(fd: Arc<OwnedFd>, direction: Direction) -> io::Result<()> {
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let wait = move || {
        while still_wanted.strong_count() > 0 {
            if poll(fd.as_fd(), direction, BLOCKING_WAIT)? {
                break;
            }
        }
        Ok(())
    };
    let result = tokio::task::spawn_blocking(wait).await;
    drop(wanted);
    result.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Writes on a blocking thread, until all is written or `wanted` is gone. Gives the bytes accepted and the result.
pub(super) fn write_on_thread(fd: &OwnedFd, bytes: &[u8], wanted: &Weak<()>) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() && wanted.strong_count() > 0 {
        let piece = &bytes[written..bytes.len().min(written + BLOCKING_WRITE_BYTES)];
        let result = match poll(fd.as_fd(), Direction::Write, BLOCKING_WAIT) {
            Ok(true) => rustix::io::write(fd, piece),
            Ok(false) | Err(Errno::INTR) => continue,
            Err(error) => Err(error),
        };
        match result {
            Ok(len) => written += len,
            Err(Errno::INTR | Errno::WOULDBLOCK) => {}
            Err(error) => return (written, Err(error.into())),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
        rustix::fs::fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    /// Writes more than the stream holds to a reader that starts late; gives what the reader got.
    async fn write_to_late_reader(mut channel: Channel, reader: OwnedFd, bytes: &[u8]) -> Vec<u8> {
        let reading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            let mut got = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut got).unwrap();
            got
        });
        let mut written = 0;
        while written < bytes.len() {
            written += channel.write_some(&bytes[written..]).await.unwrap();
        }
        drop(channel);
        reading.join().unwrap()
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_full_pipe_waits_without_changing_the_shared_description() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let channel = Channel::open(writer.as_fd(), Direction::Write).unwrap();
        assert!(matches!(channel.access, Access::NonBlocking(_)));
        assert!(!is_nonblocking(writer.as_fd()));
        drop(writer);
        let bytes = pattern(5 << 20);
        assert!(write_to_late_reader(channel, reader, &bytes).await == bytes);
    }

    #[tokio::test]
    async fn a_full_socket_waits_without_changing_the_shared_description() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let channel = Channel::open(writer.as_fd(), Direction::Write).unwrap();
        assert!(matches!(channel.access, Access::Socket(_)));
        assert!(!is_nonblocking(writer.as_fd()));
        drop(writer);
        let bytes = pattern(3 << 20);
        assert!(write_to_late_reader(channel, reader.into(), &bytes).await == bytes);
    }

    #[tokio::test]
    async fn a_closed_reader_is_an_error_of_the_write() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut channel = Channel::open(writer.as_fd(), Direction::Write).unwrap();
        drop(reader);
        let error = channel.write_some(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn reading_waits_for_data_and_sees_the_end() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let channel = Channel::open(reader.as_fd(), Direction::Read).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(
            channel.try_read(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            rustix::io::write(&writer, b"late").unwrap();
        });
        channel.ready().await.unwrap();
        assert_eq!(channel.available(), Some(4));
        assert_eq!(channel.try_read(&mut buffer).unwrap(), 4);
        writing.join().unwrap();
        channel.ready().await.unwrap();
        assert_eq!(channel.try_read(&mut buffer).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_blocking_thread_waits_and_writes_when_nothing_else_works() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let fd = Arc::new(reader);
        let channel = Channel {
            access: Access::BlockingThread(Arc::clone(&fd)),
            direction: Direction::Read,
            grown: false,
        };
        let bytes = pattern(200_000);
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            let wanted = Arc::new(());
            write_on_thread(&writer, &sent, &Arc::downgrade(&wanted))
        });
        let mut got = Vec::new();
        let mut buffer = vec![0; 8192];
        loop {
            match channel.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => got.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => channel.ready().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        let (written, result) = writing.join().unwrap();
        result.unwrap();
        assert_eq!(written, bytes.len());
        assert!(got == bytes);
    }

    #[test]
    fn a_blocking_thread_ends_when_nobody_waits_for_it() {
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        let (written, result) = write_on_thread(&writer, &pattern(1 << 20), &Weak::new());
        result.unwrap();
        assert_eq!(written, 0);
    }
}
