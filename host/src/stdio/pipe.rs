//! Bounded in-memory pipes between an isolate's standard streams and its host.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Bytes a pipe holds before its writer waits, as a Linux pipe does.
const PIPE_BYTES: usize = 64 * 1024;

/// The end of a pipe that gives what an isolate wrote. Its end comes when the isolate is gone.
#[derive(Debug)]
pub struct PipeReader(DuplexStream);

/// The end of a pipe whose bytes an isolate reads. Dropping it is the end of the isolate's input.
#[derive(Debug)]
pub struct PipeWriter(DuplexStream);

/// A new pipe. Writing fails with `BrokenPipe` once the reader is dropped.
pub fn pipe() -> (PipeWriter, PipeReader) {
    let (writer, reader) = tokio::io::duplex(PIPE_BYTES);
    (PipeWriter(writer), PipeReader(reader))
}

impl AsyncRead for PipeReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
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
}
