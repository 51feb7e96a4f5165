//! Where an isolate's output goes.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::channel::{Channel, Direction, write_on_thread};
use super::pipe::{self, PipeReader};
use super::{type_name, window_size};

/// A standard stream of the process that isolates write to. Opened at the first write.
type SharedChannel = Arc<Mutex<Option<Channel>>>;

/// One lock a stream, so that writes of several isolates do not mix.
static STDOUT: LazyLock<SharedChannel> = LazyLock::new(SharedChannel::default);
static STDERR: LazyLock<SharedChannel> = LazyLock::new(SharedChannel::default);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StdStream {
    Out,
    Err,
}

impl StdStream {
    fn with_fd<R>(self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Self::Out => body(io::stdout().as_fd()),
            Self::Err => body(io::stderr().as_fd()),
        }
    }

    fn channel(self) -> &'static SharedChannel {
        match self {
            Self::Out => &STDOUT,
            Self::Err => &STDERR,
        }
    }
}

#[derive(Clone)]
enum Sink {
    Null,
    Inherited(StdStream),
    /// A pipe is to be made when the isolate starts.
    PipeWanted,
    Stream(Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>),
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
            sink: Sink::Stream(Arc::new(Mutex::new(Box::new(stream)))),
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
    /// [`nodule_abi::limits::STDIO_ATOMIC_BYTES`] at once never mix with the writes of others.
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
            Sink::Inherited(stream) => write_inherited(*stream, bytes, written).await,
            Sink::Stream(stream) => {
                let mut stream = stream.lock().await;
                let mut rest = bytes;
                while !rest.is_empty() {
                    let len = stream.write(rest).await?;
                    if len == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    *written += len;
                    rest = &rest[len..];
                }
                stream.flush().await
            }
        }
    }

    fn with_fd<R>(&self, body: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        match &self.sink {
            Sink::Inherited(stream) => Some(stream.with_fd(body)),
            Sink::Null | Sink::PipeWanted | Sink::Stream(_) => None,
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

async fn write_inherited(stream: StdStream, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    let mut guard = Arc::clone(stream.channel()).lock_owned().await;
    if guard.is_none() {
        *guard = Some(stream.with_fd(|fd| Channel::open(fd, Direction::Write))?);
    }
    match guard.as_mut() {
        Some(channel) if channel.needs_thread().is_none() => channel.write_all(bytes, written).await,
        _ => write_blocking(guard, bytes, written).await,
    }
}

/// The blocking thread keeps the lock, so that it is alone even when its isolate is terminated meanwhile.
async fn write_blocking(guard: OwnedMutexGuard<Option<Channel>>, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    let Some(fd) = guard.as_ref().and_then(Channel::needs_thread) else {
        return Ok(());
    };
    let wanted = Arc::new(());
    let still_wanted = Arc::downgrade(&wanted);
    let bytes = bytes.to_vec();
    let write = move || {
        let _alone = guard;
        write_on_thread(&fd, &bytes, &still_wanted)
    };
    let (accepted, result) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?;
    drop(wanted);
    *written += accepted;
    result
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::AsyncReadExt as _;

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

    #[tokio::test]
    async fn nothing_is_a_terminal_but_a_terminal() {
        for output in [Output::null(), Output::pipe(), Output::stream(Vec::new())] {
            assert!(!output.is_terminal());
            assert_eq!(output.window_size(), None);
            assert_eq!(output.type_name(), "PipeWrap");
        }
    }
}
