//! The isolates of one process in Node's sense: a root isolate and all workers below it.
//!
//! Thread ids, broadcast channels, locks and posts to a thread reach as far as a group. Two root isolates of an
//! embedder never share one.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::code_budget::CodeBudget;
use super::state::IsolateShared;
use crate::child_process::Processes;
use crate::locks::LockTable;
use crate::messaging::QueueBudget;
use crate::messaging::broadcast::BroadcastNames;

/// Number of a thread within its process: 0 for the main thread, never reused (Node: `threadId`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(u32);

impl ThreadId {
    /// The main thread.
    pub const MAIN: Self = Self(0);

    /// The thread a guest names.
    pub const fn from_guest(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the isolates of a process share.
#[derive(Debug, Default)]
pub struct IsolateGroup {
    last_thread: AtomicU32,
    threads: Mutex<HashMap<ThreadId, Weak<IsolateShared>>>,
    /// What its message queues may hold together.
    pub(crate) queues: Arc<QueueBudget>,
    /// What its modules may hold together.
    pub(crate) code: Arc<CodeBudget>,
    /// The processes that its isolates started.
    pub(crate) processes: Processes,
    /// Its broadcast channels.
    pub(crate) broadcasts: BroadcastNames,
    /// Its Web Locks.
    pub(crate) locks: LockTable,
    /// Whether its main thread has a channel to a parent process.
    pub(crate) has_parent_channel: AtomicBool,
}

impl Drop for IsolateGroup {
    fn drop(&mut self) {
        self.queues.close_all();
    }
}

impl IsolateGroup {
    /// The id of a new worker.
    pub(crate) fn next_thread(&self) -> ThreadId {
        ThreadId(self.last_thread.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a thread known to the others.
    pub(crate) fn enter(&self, shared: &Arc<IsolateShared>) {
        self.lock().insert(shared.thread, Arc::downgrade(shared));
    }

    /// Forgets a thread that ends.
    pub(crate) fn leave(&self, thread: ThreadId) {
        self.lock().remove(&thread);
        self.queues.collect();
    }

    /// How many threads run.
    pub(crate) fn live_threads(&self) -> usize {
        self.lock().len()
    }

    /// The thread with this id, while it runs.
    pub(crate) fn thread(&self, thread: ThreadId) -> Option<Arc<IsolateShared>> {
        self.lock().get(&thread)?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ThreadId, Weak<IsolateShared>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
