//! Where an isolate's input comes from, and the one reader of it that WASI and the stream API share.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nodule_abi::limits::STDIO_ATOMIC_BYTES;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::channel::{Channel, Direction};
use super::pipe::{self, PipeWriter};
use super::{type_name, window_size};
use crate::handles::Handle;
use crate::spawn_tied::Tied;

/// Bytes read ahead from an embedder's stream. Standard input of the process is never read ahead:
/// what a guest leaves there is for whoever reads next.
const READ_AHEAD_BYTES: usize = STDIO_ATOMIC_BYTES;

/// Pause before an event is offered again to a full queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

type BoxedStream = Box<dyn AsyncRead + Send + Unpin>;

/// Where an isolate's input comes from.
#[derive(Default)]
pub struct Input {
    source: Source,
}

#[derive(Default)]
enum Source {
    #[default]
    Null,
    Inherited,
    Bytes(Vec<u8>),
    /// A pipe is to be made when the isolate starts.
    PipeWanted,
    Stream(BoxedStream),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Null => "Input::null",
            Source::Inherited => "Input::inherit",
            Source::Bytes(_) => "Input::bytes",
            Source::PipeWanted => "Input::pipe",
            Source::Stream(_) => "Input::stream",
        })
    }
}

impl Input {
    /// The standard input of the process.
    pub fn inherit() -> Self {
        Self {
            source: Source::Inherited,
        }
    }

    /// Nothing: the end at once. The default.
    pub fn null() -> Self {
        Self::default()
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            source: Source::Bytes(bytes.into()),
        }
    }

    /// A bounded pipe whose other end is [`crate::Isolate::stdin`]. Where no such field exists (plugins): nothing.
    pub fn pipe() -> Self {
        Self {
            source: Source::PipeWanted,
        }
    }

    /// A reader of the embedder. Up to 64 KiB are read ahead.
    pub fn stream(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self {
            source: Source::Stream(Box::new(stream)),
        }
    }

    /// Makes the pipe if one is wanted.
    pub(super) fn take_pipe(&mut self) -> Option<PipeWriter> {
        if !matches!(self.source, Source::PipeWanted) {
            return None;
        }
        let (writer, reader) = pipe::pipe();
        *self = Self::stream(reader);
        Some(writer)
    }

    pub(super) fn open(self) -> Stdin {
        let inherited = matches!(self.source, Source::Inherited);
        let reader = match self.source {
            Source::Null | Source::PipeWanted => Reader::Bytes {
                bytes: Vec::new(),
                start: 0,
            },
            Source::Bytes(bytes) => Reader::Bytes { bytes, start: 0 },
            Source::Inherited => Reader::Channel(None),
            Source::Stream(stream) => Reader::Stream {
                stream: Some(stream),
                ahead: Vec::new(),
                start: 0,
                error: None,
            },
        };
        Stdin {
            reader: Arc::new(Mutex::new(reader)),
            inherited,
            handle: None,
            waiter: None,
        }
    }
}

enum Reader {
    Bytes {
        bytes: Vec<u8>,
        start: usize,
    },
    /// Standard input of the process, opened at the first read.
    Channel(Option<Channel>),
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
    /// Reads what is there; `WouldBlock` when nothing is.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes { bytes, start } => Ok(take_from(bytes, start, buffer)),
            Self::Channel(channel) => opened(channel)?.try_read(buffer),
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
            Self::Stream { .. } => Ok(self.poll_ahead(&mut Context::from_waker(Waker::noop())).is_ready()),
        }
    }

    /// Waits until a read would not say `WouldBlock`.
    async fn ready(&mut self) -> io::Result<()> {
        match self {
            Self::Bytes { .. } => Ok(()),
            Self::Channel(channel) => opened(channel)?.ready().await,
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
            Self::Stream { ahead, start, .. } => ahead.len() - start,
        };
        u64::try_from(len).unwrap_or(u64::MAX)
    }
}

/// The standard input of a running isolate.
pub struct Stdin {
    reader: Arc<Mutex<Reader>>,
    inherited: bool,
    /// The handle of the stream API, while the guest has it open.
    handle: Option<Handle>,
    /// Waits for data on behalf of the stream API, with the reader locked.
    waiter: Option<Tied>,
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Stdin {
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
    pub fn ready(&self) -> impl Future<Output = io::Result<u64>> + Send + use<> {
        let reader = Arc::clone(&self.reader);
        async move {
            let mut reader = reader.lock().await;
            reader.ready().await?;
            Ok(reader.available())
        }
    }

    /// As [`Stdin::ready`], if a read would not wait.
    pub fn ready_now(&self) -> Option<io::Result<u64>> {
        let mut reader = self.reader.try_lock().ok()?;
        match reader.is_ready() {
            Ok(true) => Some(Ok(reader.available())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// As [`Stdin::try_read`], for the stream API: after `WouldBlock`, `notify` is called when there is something to
    /// read, and again while it gives `false`.
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

    /// The handle of the stream API, if the guest has it open.
    pub fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Remembers the handle of the stream API.
    pub fn open(&mut self, handle: Handle) {
        self.handle = Some(handle);
    }

    /// Forgets the handle of the stream API and stops waiting on its behalf. WASI can go on reading.
    pub fn close(&mut self) {
        self.handle = None;
        self.waiter = None;
    }

    fn with_fd<R>(&self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.inherited.then(|| body(io::stdin().as_fd()))
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.with_fd(|fd| rustix::termios::isatty(fd)).unwrap_or(false)
    }

    /// Columns and rows of the terminal, if it is one.
    pub fn window_size(&self) -> Option<(u16, u16)> {
        self.with_fd(window_size).flatten()
    }

    /// Node's name of the stream's type, as [`super::Output::type_name`].
    pub fn type_name(&self) -> &'static str {
        self.with_fd(type_name).unwrap_or("PipeWrap")
    }
}

async fn wait_and_notify(mut reader: OwnedMutexGuard<Reader>, notify: impl Fn() -> bool) {
    // A failure is found again by the read that follows.
    let _ = reader.ready().await;
    // Unlocked first, so that the guest that gets the event can read.
    drop(reader);
    while !notify() {
        tokio::time::sleep(QUEUE_FULL_PAUSE).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;

    use super::*;

    fn piped() -> (PipeWriter, Stdin) {
        let mut input = Input::pipe();
        let writer = input.take_pipe().unwrap();
        (writer, input.open())
    }

    #[tokio::test]
    async fn bytes_are_read_to_their_end() {
        let stdin = Input::bytes("hello").open();
        assert_eq!(stdin.ready_now().unwrap().unwrap(), 5);
        let mut buffer = [0; 3];
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer, b"hel");
        assert_eq!(stdin.try_read(&mut buffer).unwrap(), 2);
        assert_eq!(stdin.try_read(&mut buffer).unwrap(), 0);
        assert_eq!(Input::null().open().read(&mut buffer).await.unwrap(), 0);
        assert_eq!(Input::pipe().open().read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_read_waits_for_the_writer_and_keeps_what_does_not_fit() {
        let (mut writer, stdin) = piped();
        let mut buffer = [0; 4];
        assert_eq!(
            stdin.try_read(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert!(stdin.ready_now().is_none());
        let writing = tokio::spawn(async move {
            writer.write_all(b"abcdef").await.unwrap();
        });
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 4);
        writing.await.unwrap();
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 2);
        assert_eq!(&buffer[..2], b"ef");
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 0);
    }

    /// Gives two bytes, then an error, then the end.
    struct Failing(u8);

    impl AsyncRead for Failing {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.0 += 1;
            match self.0 {
                1 => buffer.put_slice(b"ok"),
                2 => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                _ => {}
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_failure_is_reported_once_after_the_data() {
        let stdin = Input::stream(Failing(0)).open();
        let mut buffer = [0; 8];
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 2);
        assert_eq!(
            stdin.read(&mut buffer).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_stream_api_gets_one_event_a_wait_and_shares_the_reader() {
        let (sender, mut events) = mpsc::unbounded_channel();
        let notify = move || sender.send(()).is_ok();
        let (mut writer, mut stdin) = piped();
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let error = stdin.read_or_notify(&mut buffer, notify.clone()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        writer.write_all(b"data").await.unwrap();
        events.recv().await.unwrap();
        assert!(events.try_recv().is_err(), "one event for two reads that found nothing");
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 4);
        assert!(stdin.read_or_notify(&mut buffer, notify.clone()).is_err());
        drop(writer);
        events.recv().await.unwrap();
        assert_eq!(stdin.read_or_notify(&mut buffer, notify).unwrap(), 0);
    }

    #[tokio::test]
    async fn closing_stops_the_wait_but_not_the_stream() {
        let (sender, mut events) = mpsc::unbounded_channel::<()>();
        let (mut writer, mut stdin) = piped();
        let mut buffer = [0; 8];
        assert!(
            stdin
                .read_or_notify(&mut buffer, move || sender.send(()).is_ok())
                .is_err()
        );
        stdin.close();
        assert!(events.recv().await.is_none(), "the wait was aborted");
        writer.write_all(b"data").await.unwrap();
        assert_eq!(stdin.read(&mut buffer).await.unwrap(), 4);
    }
}
