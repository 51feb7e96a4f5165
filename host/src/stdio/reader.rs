//! The reading ends of streams: one reader that may be asked, waited for, or told about by an event.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nodule_abi::limits::STDIO_ATOMIC_BYTES;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::channel::{Channel, Direction};
use super::pipe::PipeReader;
use super::tell;
use crate::spawn_tied::Tied;

/// Bytes read ahead from an embedder's stream. Standard input of the process is never read ahead:
/// what a guest leaves there is for whoever reads next.
const READ_AHEAD_BYTES: usize = STDIO_ATOMIC_BYTES;

pub(super) type BoxedStream = Box<dyn AsyncRead + Send + Unpin>;

/// Where bytes come from.
pub(super) enum Reader {
    Bytes {
        bytes: Vec<u8>,
        start: usize,
    },
    /// Standard input of the process, opened at the first read.
    Channel(Option<Channel>),
    /// A pipe of ours: it can be asked, so nothing is read ahead.
    Pipe(PipeReader),
    Stream {
        /// Gone once it has ended or failed.
        stream: Option<BoxedStream>,
        ahead: Vec<u8>,
        start: usize,
        error: Option<io::Error>,
    },
}

fn take_from(bytes: &[u8], start: &mut usize, buffer: &mut [u8]) -> usize {
    let rest = &bytes[*start..];
    let len = rest.len().min(buffer.len());
    buffer[..len].copy_from_slice(&rest[..len]);
    *start += len;
    len
}

fn opened(channel: &mut Option<Channel>) -> io::Result<&Channel> {
    match channel {
        Some(channel) => Ok(channel),
        None => Ok(channel.insert(Channel::open(io::stdin().as_fd(), Direction::Read)?)),
    }
}

impl Reader {
    /// Gives what this stream gives.
    pub fn stream(stream: BoxedStream) -> Self {
        Self::Stream {
            stream: Some(stream),
            ahead: Vec::new(),
            start: 0,
            error: None,
        }
    }

    /// Reads what is there; `WouldBlock` when nothing is.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes { bytes, start } => Ok(take_from(bytes, start, buffer)),
            Self::Channel(channel) => opened(channel)?.try_read(buffer),
            Self::Pipe(pipe) => pipe.try_read(buffer),
            Self::Stream { .. } => {
                if self.poll_ahead(&mut Context::from_waker(Waker::noop())).is_pending() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let Self::Stream {
                    ahead, start, error, ..
                } = self
                else {
                    return Ok(0);
                };
                match error.take() {
                    Some(error) if *start == ahead.len() => Err(error),
                    later => {
                        *error = later;
                        Ok(take_from(ahead, start, buffer))
                    }
                }
            }
        }
    }

    /// Ready when something is read ahead, or the stream has ended or failed.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Stream {
            stream,
            ahead,
            start,
            error,
        } = self
        else {
            return Poll::Ready(());
        };
        let Some(source) = stream else { return Poll::Ready(()) };
        if *start < ahead.len() {
            return Poll::Ready(());
        }
        *start = 0;
        ahead.resize(READ_AHEAD_BYTES, 0);
        let mut buffer = ReadBuf::new(ahead);
        let result = Pin::new(source).poll_read(context, &mut buffer);
        let len = buffer.filled().len();
        ahead.truncate(len);
        match result {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if len == 0 => *stream = None,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(failure)) => {
                *stream = None;
                *error = Some(failure);
            }
        }
        Poll::Ready(())
    }

    /// Whether a read would not say `WouldBlock`.
    fn is_ready(&mut self) -> io::Result<bool> {
        match self {
            Self::Bytes { .. } => Ok(true),
            Self::Channel(channel) => opened(channel)?.is_ready(),
            Self::Pipe(pipe) => Ok(pipe.poll_readable(&mut Context::from_waker(Waker::noop())).is_ready()),
            Self::Stream { .. } => Ok(self.poll_ahead(&mut Context::from_waker(Waker::noop())).is_ready()),
        }
    }

    /// Waits until a read would not say `WouldBlock`.
    async fn ready(&mut self) -> io::Result<()> {
        match self {
            Self::Bytes { .. } => Ok(()),
            Self::Channel(channel) => opened(channel)?.ready().await,
            Self::Pipe(pipe) => {
                std::future::poll_fn(|context| pipe.poll_readable(context)).await;
                Ok(())
            }
            Self::Stream { .. } => {
                std::future::poll_fn(|context| self.poll_ahead(context)).await;
                Ok(())
            }
        }
    }

    /// Bytes that can be read now; 0 at the end, 1 when nobody knows.
    fn available(&self) -> u64 {
        let len = match self {
            Self::Bytes { bytes, start } => bytes.len() - start,
            Self::Channel(channel) => return channel.as_ref().and_then(Channel::available).unwrap_or(1),
            Self::Pipe(pipe) => pipe.len(),
            Self::Stream { ahead, start, .. } => ahead.len() - start,
        };
        u64::try_from(len).unwrap_or(u64::MAX)
    }
}

/// The reading end of a stream.
pub struct ReadStream {
    reader: Arc<Mutex<Reader>>,
    /// Waits for data on behalf of the stream API, with the reader locked.
    waiter: Option<Tied>,
}

impl fmt::Debug for ReadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadStream")
            .field("is_waiting", &self.waiter.is_some())
            .finish_non_exhaustive()
    }
}

impl From<PipeReader> for ReadStream {
    fn from(pipe: PipeReader) -> Self {
        Self::new(Reader::Pipe(pipe))
    }
}

impl ReadStream {
    /// The reading end of a socket from another process.
    pub fn from_fd(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = Channel::open(fd, Direction::Read)?;
        Ok(Self::new(Reader::Channel(Some(socket))))
    }

    /// Its descriptor once more, if it has one and nobody reads right now.
    pub fn os_fd(&self) -> Option<OwnedFd> {
        match &*self.reader.try_lock().ok()? {
            Reader::Channel(Some(channel)) => channel.clone_fd().ok(),
            Reader::Channel(None) | Reader::Bytes { .. } | Reader::Pipe(_) | Reader::Stream { .. } => None,
        }
    }

    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader: Arc::new(Mutex::new(reader)),
            waiter: None,
        }
    }

    /// The same stream, for a wait that must not borrow this one.
    pub fn share(&self) -> Self {
        Self {
            reader: Arc::clone(&self.reader),
            waiter: None,
        }
    }

    /// Reads what is there, at most what `buffer` holds; parks the caller while nothing is. 0 at the end.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut reader = self.reader.lock().await;
        loop {
            match reader.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => reader.ready().await?,
                result => return result,
            }
        }
    }

    /// Reads what is there; `WouldBlock` when nothing is.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.try_lock() {
            Ok(mut reader) => reader.try_read(buffer),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits until a read would give data, the end or an error; gives the number of bytes at hand.
    pub async fn ready(&self) -> io::Result<u64> {
        let mut reader = self.reader.lock().await;
        reader.ready().await?;
        Ok(reader.available())
    }

    /// As [`ReadStream::ready`], if a read would not wait.
    pub fn ready_now(&self) -> Option<io::Result<u64>> {
        let mut reader = self.reader.try_lock().ok()?;
        match reader.is_ready() {
            Ok(true) => Some(Ok(reader.available())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// As [`ReadStream::try_read`], for the stream API: after `WouldBlock`, `notify` is called when there is something
    /// to read, and again while it gives `false`.
    pub fn read_or_notify(
        &mut self,
        buffer: &mut [u8],
        notify: impl Fn() -> bool + Send + Sync + 'static,
    ) -> io::Result<usize> {
        // A locked reader is the waiter's: its event is still to come.
        let Ok(mut reader) = Arc::clone(&self.reader).try_lock_owned() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let result = reader.try_read(buffer);
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        {
            self.waiter = Some(Tied::spawn(wait_and_notify(reader, notify)));
        }
        result
    }

    /// Stops waiting on behalf of the stream API.
    pub fn stop_waiting(&mut self) {
        self.waiter = None;
    }
}

async fn wait_and_notify(mut reader: OwnedMutexGuard<Reader>, notify: impl Fn() -> bool) {
    // A failure is found again by the read that follows.
    let _ = reader.ready().await;
    // Unlocked first, so that the guest that gets the event can read.
    drop(reader);
    tell(notify).await;
}
