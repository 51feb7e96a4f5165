//! Requests to an isolate from outside: served at its next tick or while it waits, so also by one that computes.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use wasmtime::{AsContextMut, Caller};

use super::state::IsolateState;
use crate::host_error::HostError;
use crate::process::abort::AbortRequest;
use crate::process::reports;

/// What is asked of an isolate.
#[derive(Clone, Debug)]
pub enum ControlRequest {
    /// Write a diagnostic report: the report signal arrived.
    Report,
    /// Write a core dump and die by a signal.
    Abort(AbortRequest),
}

/// Pending requests. Bounded: a request that is pending already is not added again.
#[derive(Debug, Default)]
pub struct Control {
    requests: Mutex<Vec<ControlRequest>>,
    pending: AtomicBool,
    arrived: Notify,
}

/// Most requests that wait.
const REQUESTS_MAX: usize = 16;

impl Control {
    /// Adds a request; dropped when too many wait already.
    pub fn request(&self, request: ControlRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < REQUESTS_MAX {
            requests.push(request);
        }
        self.pending.store(true, Ordering::Release);
        drop(requests);
        self.arrived.notify_one();
    }

    /// Takes the requests; cheap when there are none.
    pub fn take(&self) -> Vec<ControlRequest> {
        if !self.pending.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends when a request may have arrived.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// Serves requests from outside. An error ends the isolate.
pub(crate) fn serve_requests(mut context: impl AsContextMut<Data = IsolateState>) -> wasmtime::Result<()> {
    let mut context = context.as_context_mut();
    for request in context.data().shared.control.take() {
        match request {
            ControlRequest::Report => reports::on_signal(context.data_mut()),
            ControlRequest::Abort(request) => return Err(request.into()),
        }
    }
    Ok(())
}

/// Waits for `future` in a host function; requests from outside are served meanwhile.
pub(crate) async fn park<T>(
    caller: &mut Caller<'_, IsolateState>,
    future: impl Future<Output = T>,
) -> Result<T, HostError> {
    let shared = Arc::clone(&caller.data().shared);
    let mut future = pin!(future);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return Ok(output),
            () = shared.control.arrived() => serve_requests(&mut *caller).map_err(HostError::Trap)?,
        }
    }
}
