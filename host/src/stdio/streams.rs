//! Streams a guest has handles of: what another isolate wrote, and what another isolate will read.

use std::fmt;
use std::io;
use std::sync::Arc;

use nodule_abi::error::Result;

use super::pipe::{PipeReader, PipeWriter};
use super::tell;
use crate::handles::Resource;
use crate::runtime::IsolateState;
use crate::spawn_tied::Tied;

/// The writing end of a stream. Dropping it is the end of the stream.
pub struct WriteStream {
    writer: Arc<PipeWriter>,
    /// Waits for room.
    waiter: Option<Tied>,
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
            writer: Arc::new(writer),
            waiter: None,
        }
    }
}

impl WriteStream {
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
            let writer = Arc::clone(&self.writer);
            self.waiter = Some(Tied::spawn(async move {
                std::future::poll_fn(|context| writer.poll_writable(context)).await;
                drop(writer);
                tell(notify).await;
            }));
        }
        result
    }
}

impl Drop for WriteStream {
    fn drop(&mut self) {
        // The waiter may have the writer for a moment longer.
        self.writer.end();
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
