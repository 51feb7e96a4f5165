//! The workers of an isolate: they end with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::group::ThreadId;
use crate::spawn_tied::Tied;

#[derive(Debug)]
struct Child {
    terminate: CancellationToken,
    task: Tied,
}

/// Workers that were started and have not ended.
#[derive(Debug, Default)]
pub struct Children {
    running: Mutex<HashMap<ThreadId, Child>>,
}

impl Children {
    /// Adds a worker; `start` starts its task, which cannot be over before it is added.
    pub(crate) fn add(&self, thread: ThreadId, terminate: CancellationToken, start: impl FnOnce() -> Tied) {
        let mut running = self.lock();
        let task = start();
        running.insert(thread, Child { terminate, task });
    }

    /// Forgets a worker that has ended; the last thing its task does.
    pub(crate) fn remove(&self, thread: ThreadId) {
        let child = self.lock().remove(&thread);
        drop(child);
    }

    /// Terminates all.
    pub(crate) fn terminate_all(&self) {
        for child in self.lock().values() {
            child.terminate.cancel();
        }
    }

    /// Terminates all and waits until none runs any more.
    pub(crate) async fn end_all(&self) {
        let children = std::mem::take(&mut *self.lock());
        for child in children.values() {
            child.terminate.cancel();
        }
        for child in children.into_values() {
            child.task.ended().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ThreadId, Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
