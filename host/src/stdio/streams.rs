//! Streams a guest has handles of: what another isolate wrote, and what another isolate will read.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use nodule_abi::error::Result;

use super::channel::{Channel, Direction};
use super::pipe::{PipeReader, PipeWriter};
use super::tell;
use crate::handles::Resource;
use crate::runtime::IsolateState;
use crate::spawn_tied::Tied;

/// The writing end of a stream. Dropping it is the end of the stream.
pub struct WriteStream {
    writer: Writer,
    /// Waits for room.
    waiter: Option<Tied>,
}

/// Where bytes go.
#[derive(Clone)]
enum Writer {
    /// To another isolate.
    Pipe(Arc<PipeWriter>),
    /// To another process.
    Socket(Arc<Channel>),
}

impl Writer {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => pipe.try_write(bytes),
            Self::Socket(socket) => socket.try_write_now(bytes),
        }
    }

    /// Waits until a write would not say `WouldBlock`.
    async fn ready(&self) {
        match self {
            Self::Pipe(pipe) => std::future::poll_fn(|context| pipe.poll_writable(context)).await,
            // A failure is found again by the write that follows.
            Self::Socket(socket) => drop(socket.ready().await),
        }
    }
}

impl fmt::Debug for WriteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteStream")
            .field("is_waiting", &self.waiter.is_some())
            .finish_non_exhaustive()
    }
}

impl From<PipeWriter> for WriteStream {
    fn from(writer: PipeWriter) -> Self {
        Self {
            writer: Writer::Pipe(Arc::new(writer)),
            waiter: None,
        }
    }
}

impl WriteStream {
    /// The writing end of a socket to another process.
    pub fn from_fd(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = Channel::open(fd, Direction::Write)?;
        Ok(Self {
            writer: Writer::Socket(Arc::new(socket)),
            waiter: None,
        })
    }

    /// Its descriptor once more, if it has one.
    pub fn os_fd(&self) -> Option<OwnedFd> {
        match &self.writer {
            Writer::Pipe(_) => None,
            Writer::Socket(socket) => socket.clone_fd().ok(),
        }
    }

    /// Writes what fits. After `WouldBlock`, `notify` is called when there is room or the reader is gone, and again
    /// while it gives `false`.
    pub fn write_or_notify(
        &mut self,
        bytes: &[u8],
        notify: impl Fn() -> bool + Send + Sync + 'static,
    ) -> io::Result<usize> {
        let result = self.writer.try_write(bytes);
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            let writer = self.writer.clone();
            self.waiter = Some(Tied::spawn(async move {
                writer.ready().await;
                drop(writer);
                tell(notify).await;
            }));
        }
        result
    }
}

impl Drop for WriteStream {
    fn drop(&mut self) {
        // The waiter, or the reading end of the same socket, may have it for longer.
        match &self.writer {
            Writer::Pipe(pipe) => pipe.end(),
            Writer::Socket(socket) => socket.end(),
        }
    }
}

/// Gives an isolate the reading end of a pipe, as a handle for `nodule:stdio/1` `read`. Unread data makes whoever
/// writes wait; the handle keeps the isolate alive only while a read waits.
///
/// # Errors
/// `EMFILE` when the isolate has too many handles.
pub fn insert_reader(state: &mut IsolateState, reader: PipeReader) -> Result<u32> {
    let handle = state.handles.insert(Resource::Reader(reader.into()), false)?;
    Ok(handle.number())
}

/// Gives an isolate the writing end of a pipe, as a handle for `nodule:stdio/1` `write`. Closing the handle is the end
/// of the stream; it keeps the isolate alive only while a write waits.
///
/// # Errors
/// `EMFILE` when the isolate has too many handles.
pub fn insert_writer(state: &mut IsolateState, writer: PipeWriter) -> Result<u32> {
    let handle = state.handles.insert(Resource::Writer(writer.into()), false)?;
    Ok(handle.number())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::stdio::pipe;

    #[tokio::test]
    async fn a_write_that_found_no_room_hears_of_room_and_of_the_end_of_the_reader() {
        let (sender, mut events) = mpsc::unbounded_channel();
        let notify = move || sender.send(()).is_ok();
        let (writer, mut reader) = pipe();
        let mut stream = WriteStream::from(writer);
        let large = vec![1; 100_000];
        let taken = stream.write_or_notify(&large, notify.clone()).unwrap();
        assert!(taken < large.len());
        let is_full = |result: io::Result<usize>| result.unwrap_err().kind() == io::ErrorKind::WouldBlock;
        assert!(is_full(stream.write_or_notify(&large, notify.clone())));
        assert!(events.try_recv().is_err());
        let mut buffer = [0; 10];
        reader.read_exact(&mut buffer).await.unwrap();
        events.recv().await.unwrap();
        assert_eq!(stream.write_or_notify(&large, notify.clone()).unwrap(), 10);
        assert!(is_full(stream.write_or_notify(&large, notify.clone())));
        drop(reader);
        events.recv().await.unwrap();
        let error = stream.write_or_notify(&large, notify).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn dropping_the_stream_is_the_end_although_a_write_waits() {
        let (writer, mut reader) = pipe();
        let mut stream = WriteStream::from(writer);
        let large = vec![1; 100_000];
        let taken = stream.write_or_notify(&large, || true).unwrap();
        assert!(stream.write_or_notify(&large, || true).is_err());
        drop(stream);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), taken);
    }
}
