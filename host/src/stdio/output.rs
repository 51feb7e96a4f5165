//! Where an isolate's output goes.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncWrite;

use super::pipe::{self, PipeReader};
use super::shared::{self, Place, SharedPlace};
use super::{type_name, window_size};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StdStream {
    Out,
    Err,
}

impl StdStream {
    pub fn with_fd<R>(self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Self::Out => body(io::stdout().as_fd()),
            Self::Err => body(io::stderr().as_fd()),
        }
    }
}

#[derive(Clone)]
enum Sink {
    Null,
    Inherited(StdStream),
    /// A pipe is to be made when the isolate starts.
    PipeWanted,
    Stream(Arc<SharedPlace>),
}

/// Where an isolate's output goes. Clones write to the same place, one write at a time.
#[derive(Clone)]
pub struct Output {
    sink: Sink,
}

impl Default for Output {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.sink {
            Sink::Null => "Output::null",
            Sink::Inherited(StdStream::Out) => "Output::inherit_stdout",
            Sink::Inherited(StdStream::Err) => "Output::inherit_stderr",
            Sink::PipeWanted => "Output::pipe",
            Sink::Stream(_) => "Output::stream",
        })
    }
}

impl Output {
    /// The standard output of the process.
    pub fn inherit_stdout() -> Self {
        Self {
            sink: Sink::Inherited(StdStream::Out),
        }
    }

    /// The standard error output of the process.
    pub fn inherit_stderr() -> Self {
        Self {
            sink: Sink::Inherited(StdStream::Err),
        }
    }

    /// Nowhere. The default.
    pub fn null() -> Self {
        Self { sink: Sink::Null }
    }

    /// A bounded pipe whose other end is the field of [`crate::Isolate`] with the stream's name.
    /// Where no such field exists (plugins), writing fails with `BrokenPipe`.
    pub fn pipe() -> Self {
        Self { sink: Sink::PipeWanted }
    }

    /// A writer of the embedder. Flushed after every write.
    pub fn stream(stream: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            sink: Sink::Stream(SharedPlace::new(Place::Stream(Box::new(stream)))),
        }
    }

    /// Makes the pipe if one is wanted.
    pub(super) fn take_pipe(&mut self) -> Option<PipeReader> {
        if !matches!(self.sink, Sink::PipeWanted) {
            return None;
        }
        let (writer, reader) = pipe::pipe();
        *self = Self::stream(writer);
        Some(reader)
    }

    /// Writes all of `bytes`. Parks the caller until they are accepted; up to
    /// [`nodule_abi::limits::STDIO_ATOMIC_BYTES`] at once never mix with the writes of others: given up half-way, they
    /// are finished.
    ///
    /// # Errors
    /// `BrokenPipe` when the reader is gone, and whatever else the system says.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_counted(bytes, &mut 0).await
    }

    /// As [`Output::write_all`]; counts what was accepted in `written`, also when it fails.
    pub(crate) async fn write_counted(&self, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        match &self.sink {
            Sink::Null => {
                *written += bytes.len();
                Ok(())
            }
            Sink::PipeWanted => Err(io::ErrorKind::BrokenPipe.into()),
            Sink::Inherited(stream) => shared::inherited(*stream).write_all(bytes, written).await,
            Sink::Stream(place) => place.write_all(bytes, written).await,
        }
    }

    fn with_fd<R>(&self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        match &self.sink {
            Sink::Inherited(stream) => Some(stream.with_fd(body)),
            Sink::Null | Sink::PipeWanted | Sink::Stream(_) => None,
        }
    }

    /// Its descriptor once more, if it is a stream of the process. `/dev/null` when it leads nowhere.
    pub fn os_fd(&self) -> Option<io::Result<OwnedFd>> {
        match &self.sink {
            Sink::Null => {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                Some(rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(io::Error::from))
            }
            Sink::Inherited(_) | Sink::PipeWanted | Sink::Stream(_) => self.with_fd(|fd| fd.try_clone_to_owned()),
        }
    }

    /// Whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.with_fd(|fd| rustix::termios::isatty(fd)).unwrap_or(false)
    }

    /// Columns and rows of the terminal, if it is one.
    pub fn window_size(&self) -> Option<(u16, u16)> {
        self.with_fd(window_size).flatten()
    }

    /// Node's name of the stream's type: `TTYWrap`, `PipeWrap` or, for files, `FSReqCallback`.
    pub fn type_name(&self) -> &'static str {
        self.with_fd(type_name).unwrap_or("PipeWrap")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncRead, AsyncReadExt as _};

    use super::*;

    #[tokio::test]
    async fn a_pipe_is_made_once_and_counts_what_it_took() {
        let mut output = Output::pipe();
        assert_eq!(
            output.write_all(b"early").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        let mut reader = output.take_pipe().unwrap();
        assert!(output.take_pipe().is_none());
        let mut written = 0;
        output.write_counted(b"hello", &mut written).await.unwrap();
        assert_eq!(written, 5);
        let mut buffer = [0; 5];
        reader.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
        drop(reader);
        assert_eq!(
            output.write_all(b"late").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writes_of_up_to_64_kib_do_not_mix() {
        let mut output = Output::pipe();
        let mut reader = output.take_pipe().unwrap();
        let writers = [b'a', b'b', b'c'].map(|letter| {
            let output = output.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    output
                        .write_all(&vec![letter; nodule_abi::limits::STDIO_ATOMIC_BYTES])
                        .await
                        .unwrap();
                }
            })
        });
        drop(output);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(got.len(), 60 * nodule_abi::limits::STDIO_ATOMIC_BYTES);
        for piece in got.chunks(nodule_abi::limits::STDIO_ATOMIC_BYTES) {
            assert!(piece.iter().all(|byte| *byte == piece[0]));
        }
    }

    /// Writes `line` to a stream that is full, gives the write up and writes `other`; what the reader then gets.
    async fn given_up(output: Output, mut reader: impl AsyncRead + Unpin, line: &[u8], other: &[u8]) -> Vec<u8> {
        let full = {
            let (output, line) = (output.clone(), line.to_vec());
            tokio::spawn(async move { output.write_all(&line).await })
        };
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(!full.is_finished());
        full.abort();
        assert!(full.await.unwrap_err().is_cancelled());
        let other = other.to_vec();
        let writing = tokio::spawn(async move { output.write_all(&other).await });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap().unwrap();
        got
    }

    #[tokio::test]
    async fn r_a_write_that_was_given_up_is_whole_or_not_there() {
        let line = vec![b'l'; nodule_abi::limits::STDIO_ATOMIC_BYTES];
        let before = vec![b'b'; 1000];
        let whole = [&before[..], &line, b"other"].concat();
        let without = [&before[..], b"other"].concat();

        let mut output = Output::pipe();
        let reader = output.take_pipe().unwrap();
        output.write_all(&before).await.unwrap();
        let got = given_up(output, reader, &line, b"other").await;
        assert!(got == whole || got == without, "{} bytes", got.len());

        let (writer, reader) = tokio::io::duplex(1500);
        let output = Output::stream(writer);
        output.write_all(&before).await.unwrap();
        let got = given_up(output, reader, &line, b"other").await;
        assert!(got == whole, "{} bytes", got.len());
    }

    #[tokio::test]
    async fn the_rest_of_a_write_that_was_given_up_needs_no_other_writer() {
        let (writer, mut reader) = tokio::io::duplex(1000);
        let output = Output::stream(writer);
        let writing = tokio::spawn(async move { output.write_all(&[b'l'; 5000]).await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        writing.abort();
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 5000);
    }

    #[tokio::test]
    async fn nothing_is_a_terminal_but_a_terminal() {
        for output in [Output::null(), Output::pipe(), Output::stream(Vec::new())] {
            assert!(!output.is_terminal());
            assert_eq!(output.window_size(), None);
            assert_eq!(output.type_name(), "PipeWrap");
        }
    }
}
