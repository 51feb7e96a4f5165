//! One isolate as a task: its run, what ends it from outside, and the end of its workers.

use std::sync::Arc;

use wasmtime::Store;

use super::host::Host;
use super::isolate::ExitStatus;
use super::lifecycle::{self, Lifecycle};
use super::limits::LimitExceeded;
use super::metered::Metered;
use super::state::{IsolateShared, IsolateState};

/// Runs an isolate to its end. When this returns its memory is gone, and none of its workers runs any more.
pub(crate) async fn run_isolate(
    store: Store<IsolateState>,
    shared: Arc<IsolateShared>,
    host: Host,
    entry: String,
) -> ExitStatus {
    shared.group.enter(&shared);
    let status = run_context(store, Arc::clone(&shared), host, entry).await;
    shared.group.leave(shared.thread);
    status
}

/// As [`run_isolate`], for one that is part of a thread and none itself.
pub(crate) async fn run_context(
    store: Store<IsolateState>,
    shared: Arc<IsolateShared>,
    host: Host,
    entry: String,
) -> ExitStatus {
    let status = run_store(store, &shared, &host, entry).await;
    shared.activity.ends();
    shared.thread_messages.close();
    shared.children.end_all().await;
    status
}

/// The store is dropped when this returns, also when the run was cut off.
async fn run_store(mut store: Store<IsolateState>, shared: &IsolateShared, host: &Host, entry: String) -> ExitStatus {
    let state = store.data();
    let (role, timeout, stderr) = (state.role, state.limits.timeout, state.stdio.stderr.clone());
    let run = async move {
        let module = store.data().module.clone();
        Lifecycle::new(&mut store).run(&module, &entry).await
    };
    let run = Metered::new(run, Arc::clone(host.ticker()), Arc::clone(&shared.cpu));
    let admission = Arc::clone(host.admission());
    let admitted = async {
        let _room = match admission.admit().await {
            Ok(room) => room,
            Err(error) => {
                let status = ExitStatus::failed(lifecycle::code::UNCAUGHT, error);
                lifecycle::print_end(role, &stderr, &status).await;
                return status;
            }
        };
        run.await
    };
    let limited = async {
        match timeout {
            None => admitted.await,
            Some(timeout) => match tokio::time::timeout(timeout, admitted).await {
                Ok(status) => status,
                Err(_) => {
                    let status = ExitStatus::failed(1, LimitExceeded::timeout(timeout).0);
                    lifecycle::print_end(role, &stderr, &status).await;
                    status
                }
            },
        }
    };
    tokio::select! {
        biased;
        () = shared.terminate.cancelled() => ExitStatus { code: 1, error: None },
        status = limited => status,
    }
}
