//! Processes that were started here: signals to them, and their end.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::process::{Pid, Signal};

use super::spawner::{self, Ended, Started};
use super::tree;
use crate::readiness::readable;
use crate::spawn_tied::Tied;

/// A process that was started. Its number is not used to reach it: that may belong to another one by now.
pub struct Process {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    has_ended: AtomicBool,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// The number it had, or has.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; 0 tests.
    ///
    /// # Errors
    /// `ESRCH` when it has ended, `EINVAL` for what is no signal, `EPERM`.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let failed = |code| ErrorRecord::system(code, "kill").into();
        if self.has_ended.load(Ordering::Acquire) {
            return Err(failed(ErrorCode::Esrch));
        }
        if signal == 0 {
            return Ok(());
        }
        let signal = Signal::from_named_raw(signal).ok_or_else(|| failed(ErrorCode::Einval))?;
        rustix::process::pidfd_send_signal(&self.pidfd, signal)
            .map_err(|error| failed(ErrorCode::from_errno(error.raw_os_error())))
    }

    /// Its number for `kill(2)` and `/proc`, while it has not been reaped: nobody else can have it then.
    pub fn live_pid(&self) -> Option<Pid> {
        match self.has_ended.load(Ordering::Acquire) {
            true => None,
            false => i32::try_from(self.pid).ok().and_then(Pid::from_raw),
        }
    }
}

/// What becomes of a process when its time is over.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    /// Its time.
    pub after: Duration,
    /// What it gets then.
    pub signal: i32,
    /// Whether all below it get that too.
    pub whole_tree: bool,
}

/// Waits for the end of a process and reaps it. When this is given up, somebody else reaps it.
pub struct Reaper {
    process: Arc<Process>,
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if !self.process.has_ended.load(Ordering::Acquire) {
            spawner::forget(Arc::clone(&self.process.pidfd));
        }
    }
}

/// Takes over a process that was started.
pub fn watch(started: Started) -> (Arc<Process>, Reaper) {
    let process = Arc::new(Process {
        pid: started.pid,
        pidfd: started.take(),
        has_ended: AtomicBool::new(false),
    });
    let reaper = Reaper {
        process: Arc::clone(&process),
    };
    (process, reaper)
}

impl Reaper {
    /// Ready when the process has ended. Its number is free from then on.
    pub async fn ended(&self) -> Ended {
        loop {
            match spawner::reap_now(&self.process.pidfd) {
                Ok(Some(ended)) => {
                    self.process.has_ended.store(true, Ordering::Release);
                    return ended;
                }
                Ok(None) => {}
                Err(error) => {
                    // Somebody else in the program of an embedder waits for all children.
                    tracing::warn!(%error, pid = self.process.pid, "the end of a process was taken away");
                    self.process.has_ended.store(true, Ordering::Release);
                    return Ended::Exited(0);
                }
            }
            if let Err(error) = readable(&*self.process.pidfd).await {
                tracing::warn!(%error, "the end of a process is looked for");
                tokio::time::sleep(FALLBACK_INTERVAL).await;
            }
        }
    }

    /// As [`Self::ended`]; when its time is over it gets a signal, once. Gives whether that was so.
    pub async fn ended_or_killed(&self, timeout: Option<Timeout>) -> (Ended, bool) {
        let Some(timeout) = timeout else {
            return (self.ended().await, false);
        };
        if let Ok(ended) = tokio::time::timeout(timeout.after, self.ended()).await {
            return (ended, false);
        }
        if timeout.whole_tree {
            tree::kill(&self.process, timeout.signal).await;
        } else if let Err(error) = self.process.kill(timeout.signal) {
            tracing::debug!(%error, "a process whose time is over cannot be signalled");
        }
        (self.ended().await, true)
    }
}

/// How often a process is looked at whose end cannot be waited for.
const FALLBACK_INTERVAL: Duration = Duration::from_millis(20);

/// The tasks that wait for the processes of a group of isolates. They outlive the isolate that started them: a process
/// does not end with its parent.
#[derive(Debug, Default)]
pub struct Processes {
    inner: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    last: u64,
    running: HashMap<u64, Task>,
}

#[derive(Debug)]
struct Task {
    _task: Tied,
    /// What it waits for, unless it is about something else.
    process: Option<Arc<Process>>,
}

impl Processes {
    /// Adds a task, which gets the number to [remove](Self::remove) itself with.
    pub fn add(&self, process: Option<Arc<Process>>, start: impl FnOnce(u64) -> Tied) {
        let mut tasks = self.lock();
        tasks.last += 1;
        let number = tasks.last;
        let task = Task {
            _task: start(number),
            process,
        };
        tasks.running.insert(number, task);
    }

    /// Forgets a task; the last thing it does.
    pub fn remove(&self, number: u64) {
        let task = self.lock().running.remove(&number);
        drop(task);
    }

    /// The process that has this number now.
    pub fn with_pid(&self, pid: u32) -> Option<Arc<Process>> {
        let tasks = self.lock();
        let mut processes = tasks.running.values().filter_map(|task| task.process.as_ref());
        let process = processes.find(|process| process.pid == pid && process.live_pid().is_some());
        process.map(Arc::clone)
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
