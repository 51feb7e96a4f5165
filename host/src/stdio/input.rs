//! Where an isolate's input comes from, and the one reader of it that WASI and the stream API share.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use tokio::io::AsyncRead;

use super::pipe::{self, PipeReader, PipeWriter};
use super::reader::{BoxedStream, ReadStream, Reader};
use super::{type_name, window_size};
use crate::handles::Handle;

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
    Pipe(PipeReader),
    Stream(BoxedStream),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Null => "Input::null",
            Source::Inherited => "Input::inherit",
            Source::Bytes(_) => "Input::bytes",
            Source::PipeWanted | Source::Pipe(_) => "Input::pipe",
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
        self.source = Source::Pipe(reader);
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
            Source::Pipe(pipe) => Reader::Pipe(pipe),
            Source::Stream(stream) => Reader::stream(stream),
        };
        Stdin {
            stream: ReadStream::new(reader),
            inherited,
            handle: None,
        }
    }
}

/// The standard input of a running isolate.
pub struct Stdin {
    /// What WASI and the stream API read from.
    pub stream: ReadStream,
    inherited: bool,
    /// The handle of the stream API, while the guest has it open.
    handle: Option<Handle>,
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl Stdin {
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
        self.stream.stop_waiting();
    }

    fn with_fd<R>(&self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.inherited.then(|| body(io::stdin().as_fd()))
    }

    /// Its descriptor once more, if it is the standard input of the process.
    pub fn os_fd(&self) -> Option<io::Result<OwnedFd>> {
        self.with_fd(|fd| fd.try_clone_to_owned())
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;

    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    fn piped() -> (PipeWriter, Stdin) {
        let mut input = Input::pipe();
        let writer = input.take_pipe().unwrap();
        (writer, input.open())
    }

    #[tokio::test]
    async fn bytes_are_read_to_their_end() {
        let stdin = Input::bytes("hello").open();
        assert_eq!(stdin.stream.ready_now().unwrap().unwrap(), 5);
        let mut buffer = [0; 3];
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer, b"hel");
        assert_eq!(stdin.stream.try_read(&mut buffer).unwrap(), 2);
        assert_eq!(stdin.stream.try_read(&mut buffer).unwrap(), 0);
        assert_eq!(Input::null().open().stream.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(Input::pipe().open().stream.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_read_waits_for_the_writer_and_keeps_what_does_not_fit() {
        let (mut writer, stdin) = piped();
        let mut buffer = [0; 4];
        assert_eq!(
            stdin.stream.try_read(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert!(stdin.stream.ready_now().is_none());
        let writing = tokio::spawn(async move {
            writer.write_all(b"abcdef").await.unwrap();
        });
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 4);
        writing.await.unwrap();
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 2);
        assert_eq!(&buffer[..2], b"ef");
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 0);
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
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 2);
        assert_eq!(
            stdin.stream.read(&mut buffer).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_stream_api_gets_one_event_a_wait_and_shares_the_reader() {
        let (sender, mut events) = mpsc::unbounded_channel();
        let notify = move || sender.send(()).is_ok();
        let (mut writer, mut stdin) = piped();
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let error = stdin.stream.read_or_notify(&mut buffer, notify.clone()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        writer.write_all(b"data").await.unwrap();
        events.recv().await.unwrap();
        assert!(events.try_recv().is_err(), "one event for two reads that found nothing");
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 4);
        assert!(stdin.stream.read_or_notify(&mut buffer, notify.clone()).is_err());
        drop(writer);
        events.recv().await.unwrap();
        assert_eq!(stdin.stream.read_or_notify(&mut buffer, notify).unwrap(), 0);
    }

    #[tokio::test]
    async fn closing_stops_the_wait_but_not_the_stream() {
        let (sender, mut events) = mpsc::unbounded_channel::<()>();
        let (mut writer, mut stdin) = piped();
        let mut buffer = [0; 8];
        assert!(
            stdin
                .stream
                .read_or_notify(&mut buffer, move || sender.send(()).is_ok())
                .is_err()
        );
        stdin.close();
        assert!(events.recv().await.is_none(), "the wait was aborted");
        writer.write_all(b"data").await.unwrap();
        assert_eq!(stdin.stream.read(&mut buffer).await.unwrap(), 4);
    }
}
