//! Bounded in-memory pipes between an isolate's standard streams and its host.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use nodule_abi::limits::STDIO_ATOMIC_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes a pipe holds before its writer waits, as a Linux pipe does.
const PIPE_BYTES: usize = STDIO_ATOMIC_BYTES;

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    is_reader_gone: bool,
    is_writer_gone: bool,
    /// Whoever waits for bytes or the end.
    reading: Option<Waker>,
    /// Whoever waits for room.
    writing: Option<Waker>,
}

#[derive(Debug, Default)]
struct Pipe(Mutex<State>);

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes whom the change concerns.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> (R, Option<Waker>)) -> R {
        let (result, waker) = change(&mut self.lock());
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl State {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && !self.is_writer_gone && !buffer.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = self.bytes.len().min(buffer.len());
        let (front, back) = self.bytes.as_slices();
        let split = front.len().min(len);
        buffer[..split].copy_from_slice(&front[..split]);
        buffer[split..len].copy_from_slice(&back[..len - split]);
        self.bytes.drain(..len);
        Ok(len)
    }

    /// Takes what fits, unless `least` bytes do not.
    fn write(&mut self, bytes: &[u8], least: usize) -> io::Result<usize> {
        if self.is_reader_gone || self.is_writer_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = PIPE_BYTES.saturating_sub(self.bytes.len());
        if room < least {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = room.min(bytes.len());
        self.bytes.extend(&bytes[..len]);
        Ok(len)
    }
}

/// The end of a pipe that gives what an isolate wrote. Its end comes when the isolate is gone.
#[derive(Debug)]
pub struct PipeReader(Arc<Pipe>);

/// The end of a pipe whose bytes an isolate reads. Dropping it is the end of the isolate's input.
/// Up to 64 KiB written at once go into the pipe as a whole, or, when the write is given up, not at all.
#[derive(Debug)]
pub struct PipeWriter(Arc<Pipe>);

/// A new pipe. Writing fails with `BrokenPipe` once the reader is dropped.
pub fn pipe() -> (PipeWriter, PipeReader) {
    let pipe = Arc::<Pipe>::default();
    (PipeWriter(Arc::clone(&pipe)), PipeReader(pipe))
}

impl PipeReader {
    /// Reads what is there; `WouldBlock` when nothing is, 0 at the end.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.change(|state| {
            let result = state.read(buffer);
            let waker = if result.is_ok() { state.writing.take() } else { None };
            (result, waker)
        })
    }

    /// Ready when there is something to read, or the end.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if !state.bytes.is_empty() || state.is_writer_gone {
            return Poll::Ready(());
        }
        state.reading = Some(context.waker().clone());
        Poll::Pending
    }

    /// How many bytes can be read now.
    pub(super) fn len(&self) -> usize {
        self.0.lock().bytes.len()
    }
}

impl PipeWriter {
    fn write(&self, bytes: &[u8], least: usize) -> io::Result<usize> {
        self.0.change(|state| {
            let result = state.write(bytes, least);
            let waker = if result.is_ok() { state.reading.take() } else { None };
            (result, waker)
        })
    }

    /// Writes what fits; `WouldBlock` when nothing does.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes, bytes.len().min(1))
    }

    /// Ready when a write takes something or fails.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.bytes.len() < PIPE_BYTES || state.is_reader_gone || state.is_writer_gone {
            return Poll::Ready(());
        }
        state.writing = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ends the input of whoever reads.
    pub(super) fn end(&self) {
        self.0.change(|state| {
            state.is_writer_gone = true;
            ((), state.reading.take())
        });
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.is_reader_gone = true;
            state.bytes = VecDeque::new();
            ((), state.writing.take())
        });
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.poll_readable(context).is_pending() {
            return Poll::Pending;
        }
        let len = self.try_read(buffer.initialize_unfilled())?;
        buffer.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let least = if bytes.len() <= STDIO_ATOMIC_BYTES {
            bytes.len()
        } else {
            1
        };
        // The reader may make room between the write and the wait, so both happen in one use of the lock.
        self.0.change(|state| match state.write(bytes, least) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.writing = Some(context.waker().clone());
                (Poll::Pending, None)
            }
            Err(error) => (Poll::Ready(Err(error)), None),
            Ok(len) => (Poll::Ready(Ok(len)), state.reading.take()),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_full_pipe_makes_its_writer_wait_and_a_dropped_end_ends_it() {
        let (mut writer, mut reader) = pipe();
        let writing = tokio::spawn(async move {
            writer.write_all(&[7; PIPE_BYTES + 1]).await.unwrap();
        });
        tokio::task::yield_now().await;
        assert!(!writing.is_finished());
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), PIPE_BYTES + 1);

        let (mut writer, reader) = pipe();
        drop(reader);
        assert_eq!(
            writer.write_all(b"x").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bytes_keep_their_order_whatever_the_sizes() {
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .map(|index| index.to_le_bytes()[index as usize % 3])
            .collect();
        let (mut writer, mut reader) = pipe();
        let sent = bytes.clone();
        let writing = tokio::spawn(async move {
            let mut rest = &sent[..];
            for size in (1..).map(|round: usize| round * 7919 % 90_000) {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(size.min(rest.len()));
                writer.write_all(now).await.unwrap();
                rest = later;
            }
        });
        let mut got = Vec::new();
        let mut buffer = vec![0; 10_007];
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                len => got.extend_from_slice(&buffer[..len]),
            }
        }
        writing.await.unwrap();
        assert!(got == bytes);
    }

    #[tokio::test]
    async fn a_write_of_the_stream_api_takes_what_fits() {
        let (writer, reader) = pipe();
        assert_eq!(writer.try_write(&[1; PIPE_BYTES - 3]).unwrap(), PIPE_BYTES - 3);
        assert_eq!(writer.try_write(&[2; 9]).unwrap(), 3);
        assert_eq!(writer.try_write(&[2; 9]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(writer.try_write(&[]).unwrap(), 0);
        let mut buffer = vec![0; PIPE_BYTES];
        assert_eq!(reader.try_read(&mut buffer).unwrap(), PIPE_BYTES);
        assert_eq!(buffer[PIPE_BYTES - 4..], [1, 2, 2, 2]);
        writer.end();
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 0);
        assert_eq!(writer.try_write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
