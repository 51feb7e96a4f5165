//! The synchronous forms: the isolate is parked until the child has ended and its pipes are closed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nodule_abi::error::ErrorRecord;
use nodule_abi::value::Value;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::process::{Process, Reaper, watch};
use super::program::Names;
use super::spawn::Prepared;
use super::spawner::{Ended, Started};
use super::start_failure::StartFailure;
use super::stdio::asynchronous;
use super::tree;
use crate::spawn_tied::Tied;

/// Bytes read at once, as in Node: the piece that crosses `maxBuffer` is kept whole.
const CHUNK_BYTES: usize = 64 * 1024;

const SYSCALL: &str = "spawnSync";

/// A run that is ready to start.
pub struct Run {
    /// What is started.
    pub prepared: Prepared,
    /// What the child reads.
    pub input: Option<Vec<u8>>,
    /// Most bytes of each stream.
    pub max_buffer: usize,
    /// Most bytes of all streams together.
    pub max_total: usize,
    /// Its time.
    pub timeout: Option<Duration>,
    /// What ends it.
    pub kill_signal: i32,
    /// Whether all below it is ended too.
    pub kill_tree: bool,
}

/// What a run gave, as Node's `spawnSync` gives it.
#[derive(Debug, Default, Serialize)]
pub struct RunResult {
    /// 0 when it did not start.
    pid: u32,
    /// By descriptor of the child: what came through its pipe, or null.
    output: Value,
    status: Option<i32>,
    signal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<ErrorRecord>>,
}

/// Ends a child whose run is given up.
struct KillOnDrop(Arc<Process>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill(libc::SIGKILL);
    }
}

impl RunResult {
    /// Of a run that did not start.
    pub fn failed(failure: StartFailure, names: &Names) -> Self {
        Self {
            output: Value::Null,
            error: Some(failure.record(SYSCALL, names)),
            ..Self::default()
        }
    }
}

/// What stopped a child before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Late,
    Full,
}

impl Run {
    /// From the start to the end. Given up, the child is killed.
    ///
    /// # Errors
    /// Why it was not started.
    pub async fn run(mut self) -> Result<RunResult, StartFailure> {
        self.prepared.ends_with_caller = true;
        let started = self.prepared.launch().await?;
        Ok(self.finish(started).await)
    }

    async fn finish(mut self, started: Started) -> RunResult {
        let pid = started.pid;
        let (process, reaper) = watch(started);
        let _end = KillOnDrop(Arc::clone(&process));
        let pipes = std::mem::take(&mut self.prepared.plan.pipes);
        let bounds = Arc::new(Bounds {
            max_buffer: self.max_buffer,
            left: AtomicUsize::new(self.max_total),
            full: CancellationToken::new(),
            closed: CancellationToken::new(),
        });
        let mut input = self.input.take();
        let flows: Vec<_> = pipes
            .into_iter()
            .enumerate()
            .map(|(index, pipe)| {
                let input = if index == 0 {
                    input.take().unwrap_or_default()
                } else {
                    Vec::new()
                };
                pipe.map(|pipe| Flow::start(index, pipe, input, &bounds))
            })
            .collect();
        let (ended, stop) = self.end(&process, &reaper, &bounds).await;
        let mut output = Vec::with_capacity(flows.len());
        for flow in flows {
            let bytes = match flow {
                Some(flow) => flow.bytes().await,
                None => None,
            };
            output.push(bytes.map_or(Value::Null, Value::from));
        }
        std::mem::take(&mut self.prepared.plan.pumps).ended().await;
        let is_full = stop == Some(Stop::Full) || bounds.full.is_cancelled();
        let errno = match stop {
            Some(Stop::Late) => Some(libc::ETIMEDOUT),
            _ => is_full.then_some(libc::ENOBUFS),
        };
        let (status, signal) = match ended {
            Ended::Exited(code) => (Some(code), None),
            // The realtime ones have no names.
            Ended::Signalled(signal) => (None, Some(nodule_abi::signal::name(signal).unwrap_or("SIGRT"))),
        };
        let names = &self.prepared.names;
        RunResult {
            pid,
            output: Value::Array(output),
            status,
            signal,
            error: errno.map(|errno| StartFailure::System(errno).record(SYSCALL, names)),
        }
    }

    /// Waits for the end. A child that is late or writes too much gets a signal, and nothing more is read from it.
    async fn end(&self, process: &Process, reaper: &Reaper, bounds: &Bounds) -> (Ended, Option<Stop>) {
        let late = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let stop = tokio::select! {
            biased;
            ended = reaper.ended() => return (ended, None),
            () = bounds.full.cancelled() => Stop::Full,
            () = late => Stop::Late,
        };
        bounds.closed.cancel();
        if self.kill_tree {
            tree::kill(process, self.kill_signal).await;
        } else if let Err(error) = process.kill(self.kill_signal) {
            tracing::debug!(%error, "a process that was to end cannot be signalled");
        }
        (reaper.ended().await, Some(stop))
    }
}

/// What the streams of a run may hold.
struct Bounds {
    max_buffer: usize,
    /// Bytes that all streams may still get.
    left: AtomicUsize,
    /// One of them was exceeded.
    full: CancellationToken,
    /// Nothing is moved any more.
    closed: CancellationToken,
}

impl Bounds {
    /// Counts bytes of a stream that has `len` now.
    fn count(&self, read: usize, len: usize) {
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read));
        if len > self.max_buffer || left.is_err() {
            self.full.cancel();
        }
    }
}

/// One pipe of a run.
struct Flow {
    read: Arc<Mutex<Vec<u8>>>,
    index: usize,
    task: Tied,
}

impl Flow {
    fn start(index: usize, pipe: OwnedFd, input: Vec<u8>, bounds: &Arc<Bounds>) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let (sink, bounds) = (Arc::clone(&read), Arc::clone(bounds));
        let task = Tied::spawn(async move {
            let moved = async {
                match index {
                    0 => write_all(pipe, &input).await,
                    _ => read_all(pipe, &sink, &bounds).await,
                }
            };
            let result = tokio::select! {
                result = moved => result,
                () = bounds.closed.cancelled() => Ok(()),
            };
            if let Err(error) = result {
                // A child need not read its input, or may close its output.
                tracing::debug!(%error, index, "a pipe of a child ended early");
            }
        });
        Self { read, index, task }
    }

    /// What was read, once the pipe is closed.
    async fn bytes(self) -> Option<Vec<u8>> {
        self.task.ended().await;
        let read = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        (self.index > 0).then_some(read)
    }
}

async fn write_all(pipe: OwnedFd, input: &[u8]) -> io::Result<()> {
    let mut pipe = asynchronous(pipe)?;
    pipe.write_all(input).await?;
    pipe.shutdown().await
}

async fn read_all(pipe: OwnedFd, sink: &Mutex<Vec<u8>>, bounds: &Bounds) -> io::Result<()> {
    let mut pipe = asynchronous(pipe)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let len = pipe.read(&mut chunk).await?;
        if len == 0 {
            return Ok(());
        }
        let total = {
            let mut read = sink.lock().unwrap_or_else(PoisonError::into_inner);
            read.extend_from_slice(&chunk[..len]);
            read.len()
        };
        bounds.count(len, total);
        if bounds.full.is_cancelled() {
            return Ok(());
        }
    }
}
