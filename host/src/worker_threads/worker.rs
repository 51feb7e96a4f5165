//! The creator's side of a worker.

use std::sync::{Arc, Mutex, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::event::{EventKind, EventRecord};

use crate::handles::Handle;
use crate::runtime::{ExitStatus, IsolateShared};

/// What connects a worker to its creator. A context is connected in the same way.
#[derive(Debug)]
pub struct WorkerLink {
    creator: Arc<IsolateShared>,
    handle: Handle,
    ended: Mutex<Option<ExitStatus>>,
}

impl WorkerLink {
    /// A link to `handle` of the creator.
    pub fn new(creator: Arc<IsolateShared>, handle: Handle) -> Self {
        Self {
            creator,
            handle,
            ended: Mutex::default(),
        }
    }

    /// The worker's first instruction is about to run.
    pub fn online(&self) {
        self.push(EventKind::WorkerOnline, [0; 3]);
    }

    /// The worker has ended and nothing of it is left.
    pub fn end(&self, status: ExitStatus) {
        let arguments = [status.code.cast_unsigned(), u64::from(status.error.is_some()), 0];
        *self.lock() = Some(status);
        self.push(EventKind::WorkerExit, arguments);
    }

    fn push(&self, kind: EventKind, arguments: [u64; 3]) {
        self.creator
            .events
            .push_counted(EventRecord::new(kind, self.handle.number(), arguments));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ExitStatus>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker as its creator's handle table holds it. Dropping it leaves the worker running.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<IsolateShared>,
    link: Arc<WorkerLink>,
}

impl Worker {
    /// The creator's side of the isolate behind `shared`.
    pub fn new(shared: Arc<IsolateShared>, link: Arc<WorkerLink>) -> Self {
        Self { shared, link }
    }

    /// The way from the worker to here.
    pub fn link(&self) -> Arc<WorkerLink> {
        Arc::clone(&self.link)
    }

    /// Ends it. Repeating has no effect.
    pub fn terminate(&self) {
        self.shared.terminate.cancel();
    }

    /// The error that ended it.
    pub fn exit_error(&self) -> Option<Box<ErrorRecord>> {
        self.link.lock().as_ref()?.error.clone()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.link.lock().is_some()
    }

    /// The isolate. `ERR_WORKER_NOT_RUNNING` after its end.
    pub fn running(&self) -> Result<&Arc<IsolateShared>> {
        if self.has_ended() {
            let code = ErrorCode::WorkerNotRunning;
            return Err(ErrorRecord::new(code, code.text()).into());
        }
        Ok(&self.shared)
    }

    /// The isolate, whether it runs or not.
    pub fn shared(&self) -> &Arc<IsolateShared> {
        &self.shared
    }
}
