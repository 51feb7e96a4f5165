//! Asks a running isolate and waits for its answer.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;

use crate::runtime::{ControlRequest, Inspection, IsolateShared, IsolateState, Refused};

/// What `look` gives when it is called with the isolate's store, at its next tick or wait.
///
/// # Errors
/// `ERR_WORKER_NOT_RUNNING` when the isolate has ended or ends before; `EAGAIN` when too many requests wait already.
pub(super) async fn inspect<T: Send + 'static>(
    shared: &IsolateShared,
    look: impl FnOnce(StoreContextMut<'_, IsolateState>) -> T + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let inspection = Inspection::new(move |context| {
        // Nothing is done for somebody who does not wait any more.
        if !answer.is_closed() {
            drop(answer.send(look(context)));
        }
    });
    match shared.control.request(ControlRequest::Inspect(inspection)) {
        Ok(()) => {}
        Err(Refused::Ended) => return Err(not_running()),
        Err(Refused::Full) => return Err(too_many("requests wait for the isolate")),
    }
    answered.await.map_err(|_| not_running())
}

/// `ERR_WORKER_NOT_RUNNING`.
fn not_running() -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::WorkerNotRunning, ErrorCode::WorkerNotRunning.text()).into()
}

/// `EAGAIN`.
pub(super) fn too_many(what: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::Eagain, format!("too many {what}")).into()
}
