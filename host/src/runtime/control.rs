//! Requests to an isolate from outside: served at its next tick or while it waits, so also by one that computes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::process::abort::AbortRequest;

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
