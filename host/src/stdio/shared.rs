//! A place that several isolates write to, one write at a time.
//!
//! A write of up to [`STDIO_ATOMIC_BYTES`] that has begun is finished even when the isolate that made it is ended
//! meanwhile: what is left of it goes out ahead of the next write, or by a task when there is none.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use nodule_abi::limits::STDIO_ATOMIC_BYTES;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::channel::{Channel, Direction, write_on_thread};
use super::output::StdStream;
use crate::spawn_tied::Tied;

/// One place a stream of the process.
static STDOUT: LazyLock<Arc<SharedPlace>> = LazyLock::new(|| SharedPlace::new(Place::Inherited(StdStream::Out, None)));
static STDERR: LazyLock<Arc<SharedPlace>> = LazyLock::new(|| SharedPlace::new(Place::Inherited(StdStream::Err, None)));

pub(super) enum Place {
    /// A stream of the process. Opened at the first write.
    Inherited(StdStream, Option<Channel>),
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
}

struct State {
    place: Place,
    /// What is left of a write whose isolate is gone; at most [`STDIO_ATOMIC_BYTES`].
    rest: Vec<u8>,
}

/// The place and its lock.
pub(super) struct SharedPlace {
    state: Arc<Mutex<State>>,
    /// Writes the rest of a write that was given up when nobody else does.
    finisher: StdMutex<Option<Tied>>,
}

/// The place of a stream of the process.
pub(super) fn inherited(stream: StdStream) -> &'static Arc<SharedPlace> {
    match stream {
        StdStream::Out => &STDOUT,
        StdStream::Err => &STDERR,
    }
}

/// Waits until the writes to the streams of the process that were given up half-way are finished, for at most `limit` each:
/// what a process does before it ends.
pub(crate) async fn finish_writes(limit: Duration) {
    for place in [&STDOUT, &STDERR] {
        let is_finished = place.state.try_lock().is_ok_and(|state| state.rest.is_empty());
        if !is_finished {
            // Nobody is left to tell about a failure.
            let _ = tokio::time::timeout(limit, place.write_all(&[], &mut 0)).await;
        }
    }
}

impl SharedPlace {
    pub fn new(place: Place) -> Arc<Self> {
        let state = State {
            place,
            rest: Vec::new(),
        };
        Arc::new(Self {
            state: Arc::new(Mutex::new(state)),
            finisher: StdMutex::default(),
        })
    }

    /// Writes all of `bytes`; counts what was accepted in `written`, also when it fails.
    pub async fn write_all(self: &Arc<Self>, bytes: &[u8], written: &mut usize) -> io::Result<()> {
        let guard = Arc::clone(&self.state).lock_owned().await;
        let mut attempt = Attempt {
            shared: self,
            bytes,
            begun: *written,
            written,
            guard: Some(guard),
            is_over: false,
        };
        let result = attempt.run().await;
        attempt.is_over = true;
        result
    }

    /// Starts the task that finishes what was given up. Without a runtime the next writer does it.
    fn finish_later(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let shared = Arc::clone(self);
        let finisher = Tied::spawn(async move {
            // A place that fails takes nothing any more, so there is nothing to mix with either.
            let _ = shared.write_all(&[], &mut 0).await;
        });
        let old = self
            .finisher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(finisher);
        drop(old);
    }
}

/// A write with the lock held. Dropped before it is over, it leaves the rest to others.
struct Attempt<'a> {
    shared: &'a Arc<SharedPlace>,
    bytes: &'a [u8],
    /// What `written` was at first.
    begun: usize,
    written: &'a mut usize,
    /// Absent while a blocking thread has it.
    guard: Option<OwnedMutexGuard<State>>,
    is_over: bool,
}

impl Attempt<'_> {
    async fn run(&mut self) -> io::Result<()> {
        self.finish_rest().await;
        let mut sent = 0;
        while sent < self.bytes.len() {
            match self.needs_thread()? {
                Some(fd) => return self.write_on_thread(fd, self.bytes.to_vec(), true).await,
                None => {
                    let Some(state) = &mut self.guard else { return Ok(()) };
                    let len = state.place.write_some(&self.bytes[sent..]).await?;
                    sent += len;
                    *self.written += len;
                }
            }
        }
        match &mut self.guard {
            Some(state) if !self.bytes.is_empty() => state.place.flush().await,
            _ => Ok(()),
        }
    }

    /// Writes what an isolate that is gone left. If that fails, so will the write that follows.
    async fn finish_rest(&mut self) {
        while let Some(state) = &mut self.guard
            && !state.rest.is_empty()
        {
            let State { place, rest } = &mut **state;
            let is_failed = match place.needs_thread() {
                Ok(Some(fd)) => {
                    let rest = std::mem::take(rest);
                    self.write_on_thread(fd, rest, false).await.is_err()
                }
                Ok(None) => match place.write_some(rest).await {
                    Ok(len) => {
                        rest.drain(..len);
                        rest.is_empty() && place.flush().await.is_err()
                    }
                    Err(_) => true,
                },
                Err(_) => true,
            };
            if is_failed && let Some(state) = &mut self.guard {
                state.rest = Vec::new();
            }
        }
    }

    fn needs_thread(&mut self) -> io::Result<Option<Arc<OwnedFd>>> {
        match &mut self.guard {
            Some(state) => state.place.needs_thread(),
            None => Ok(None),
        }
    }

    /// The thread keeps the lock, so that it is alone even when the isolate is gone meanwhile; what it then did not write
    /// is left as the rest.
    async fn write_on_thread(&mut self, fd: Arc<OwnedFd>, bytes: Vec<u8>, counts: bool) -> io::Result<()> {
        let Some(mut state) = self.guard.take() else {
            return Ok(());
        };
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let write = move || {
            let (accepted, result) = write_on_thread(&fd, &bytes, &still_wanted);
            let is_begun = accepted > 0 || !counts;
            if still_wanted.strong_count() == 0 && result.is_ok() && is_begun && bytes.len() <= STDIO_ATOMIC_BYTES {
                state.rest = bytes[accepted..].to_vec();
            }
            (state, accepted, result)
        };
        let (state, accepted, result) = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?;
        drop(wanted);
        self.guard = Some(state);
        if counts {
            *self.written += accepted;
        }
        result
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Without the guard a thread is writing: it sees soon that it is not wanted, and may leave a rest.
        if let Some(state) = &mut self.guard {
            let sent = *self.written - self.begun;
            if sent > 0 && self.bytes.len() <= STDIO_ATOMIC_BYTES {
                state.rest.extend_from_slice(&self.bytes[sent..]);
            }
            if state.rest.is_empty() {
                return;
            }
        }
        self.guard = None;
        self.shared.finish_later();
    }
}

impl Place {
    /// The channel, if this is a stream of the process.
    fn channel(&mut self) -> io::Result<Option<&mut Channel>> {
        match self {
            Self::Stream(_) => Ok(None),
            Self::Inherited(_, Some(channel)) => Ok(Some(channel)),
            Self::Inherited(stream, channel) => {
                let opened = stream.with_fd(|fd| Channel::open(fd, Direction::Write))?;
                Ok(Some(channel.insert(opened)))
            }
        }
    }

    fn needs_thread(&mut self) -> io::Result<Option<Arc<OwnedFd>>> {
        Ok(self.channel()?.and_then(|channel| channel.needs_thread()))
    }

    /// Writes something; when it is dropped before it is ready, nothing.
    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = match self {
            Self::Stream(stream) => stream.write(bytes).await?,
            Self::Inherited(..) => match self.channel()? {
                Some(channel) => channel.write_some(bytes).await?,
                None => 0,
            },
        };
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(len)
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush().await,
            Self::Inherited(..) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    /// A place that writes to a pipe of the system.
    fn system_pipe() -> (io::PipeReader, Arc<SharedPlace>) {
        let (reader, writer) = io::pipe().unwrap();
        let channel = Channel::open(writer.as_fd(), Direction::Write).unwrap();
        let place = SharedPlace::new(Place::Inherited(StdStream::Out, Some(channel)));
        (reader, place)
    }

    /// Line `number` of a writer: as long as writes may be that never mix.
    fn line(writer: usize, number: usize) -> Vec<u8> {
        let len = 1 + (writer * 7919 + number * 104_729) % STDIO_ATOMIC_BYTES;
        let mut line = format!("{writer} {number} {len} ").into_bytes();
        line.resize(len.max(line.len()), b'.');
        line.push(b'\n');
        line.truncate(STDIO_ATOMIC_BYTES);
        line
    }

    /// Every line is whole, and those of one writer are in order.
    fn check(got: &[u8], writers: usize) -> Vec<usize> {
        let mut next = vec![0; writers];
        for found in got.split_inclusive(|byte| *byte == b'\n') {
            let text = std::str::from_utf8(found).unwrap();
            let mut words = text.split(' ');
            let mut number = || words.next().unwrap().parse::<usize>().unwrap();
            let (writer, count) = (number(), number());
            assert_eq!(count, next[writer], "lines of a writer in order");
            assert!(found == line(writer, count), "a line was torn");
            next[writer] += 1;
        }
        next
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lines_of_writers_that_are_ended_at_any_moment_are_whole() {
        const WRITERS: usize = 8;
        let (mut reader, place) = system_pipe();
        let reading = std::thread::spawn(move || {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).unwrap();
            got
        });
        let sent = Arc::new([(); WRITERS].map(|()| std::sync::atomic::AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (place, sent) = (Arc::clone(&place), Arc::clone(&sent));
                tokio::spawn(async move {
                    for number in 0.. {
                        place.write_all(&line(writer, number), &mut 0).await.unwrap();
                        sent[writer].store(number + 1, std::sync::atomic::Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            tokio::time::sleep(Duration::from_millis(7)).await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        drop(place);
        let got = reading.join().unwrap();
        for (found, sent) in check(&got, WRITERS).into_iter().zip(&*sent) {
            let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
            assert!(found == sent || found == sent + 1, "{found} lines of {sent}");
        }
    }
}
