//! Requests to an isolate from outside: served at its next tick or while it waits, so also by one that computes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use wasmtime::{AsContextMut, Caller, StoreContextMut};

use super::state::IsolateState;
use crate::diagnostics;
use crate::host_error::HostError;
use crate::process::abort::AbortRequest;
use crate::process::reports;

/// What is asked of an isolate.
#[derive(Debug)]
pub enum ControlRequest {
    /// Write a diagnostic report: the report signal arrived.
    Report,
    /// Write a core dump and die by a signal.
    Abort(AbortRequest),
    /// Let somebody look at it.
    Inspect(Inspection),
}

/// Runs once with the store of an isolate, between two of its instructions.
pub struct Inspection(Box<Look>);

type Look = dyn FnOnce(StoreContextMut<'_, IsolateState>) + Send;

impl Inspection {
    /// What `look` looks at is the isolate as it is at its next tick or wait.
    pub fn new(look: impl FnOnce(StoreContextMut<'_, IsolateState>) + Send + 'static) -> Self {
        Self(Box::new(look))
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inspection")
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait already.
    Full,
    /// The isolate has ended.
    Ended,
}

/// Pending requests. Bounded; one that is refused or still waits when the isolate ends is dropped.
#[derive(Debug, Default)]
pub struct Control {
    requests: Mutex<Requests>,
    pending: AtomicBool,
}

#[derive(Debug, Default)]
struct Requests {
    waiting: Vec<ControlRequest>,
    ended: bool,
    /// The isolate's task, when it waited last.
    waker: Option<Waker>,
}

/// Most inspections that wait.
const INSPECTIONS_MAX: usize = 16;
/// Most requests that wait: whoever inspects leaves room for signals.
const REQUESTS_MAX: usize = 2 * INSPECTIONS_MAX;

impl Control {
    /// Adds a request.
    pub fn request(&self, request: ControlRequest) -> Result<(), Refused> {
        let max = match request {
            ControlRequest::Report | ControlRequest::Abort(_) => REQUESTS_MAX,
            ControlRequest::Inspect(_) => INSPECTIONS_MAX,
        };
        let mut requests = self.lock();
        if requests.ended {
            return Err(Refused::Ended);
        }
        if requests.waiting.len() >= max {
            return Err(Refused::Full);
        }
        requests.waiting.push(request);
        self.pending.store(true, Ordering::Release);
        let waker = requests.waker.take();
        drop(requests);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes the requests; cheap when there are none.
    pub fn take(&self) -> Vec<ControlRequest> {
        if !self.pending.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut requests = self.lock();
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut requests.waiting)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses requests from now on and drops those that wait: the isolate has ended.
    pub(crate) fn end(&self) {
        let waiting = {
            let mut requests = self.lock();
            requests.ended = true;
            requests.waker = None;
            std::mem::take(&mut requests.waiting)
        };
        // Whoever asked may ask again when its answer is dropped, so not under the lock.
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when a request is there. Only the isolate's own task waits.
    fn poll_arrived(&self, context: &Context<'_>) -> Poll<()> {
        let mut requests = self.lock();
        if self.pending.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !requests
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            requests.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

/// Serves requests from outside. An error ends the isolate.
pub(crate) fn serve_requests(mut context: impl AsContextMut<Data = IsolateState>) -> wasmtime::Result<()> {
    let mut context = context.as_context_mut();
    for request in context.data().shared.control.take() {
        match request {
            ControlRequest::Report => reports::on_signal(context.data_mut()),
            ControlRequest::Abort(request) => return Err(request.into()),
            ControlRequest::Inspect(inspection) => (inspection.0)(context.as_context_mut()),
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
    let idle = diagnostics::IdleTime::begin(caller.data_mut());
    let output = loop {
        let output = poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => shared.control.poll_arrived(context).map(|()| None),
        });
        match output.await {
            Some(output) => break output,
            None => serve_requests(&mut *caller).map_err(HostError::Trap)?,
        }
    };
    idle.end(caller);
    Ok(output)
}
