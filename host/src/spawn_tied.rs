//! The one way to start a task: it ends with the value that owns it.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::runtime::handover::{self, HandOver};

/// A task that is aborted when this is dropped.
#[derive(Debug)]
pub struct Tied(JoinHandle<()>);

impl Tied {
    /// Starts a task on the current runtime.
    pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// As [`Self::spawn`], for a task that is an isolate.
    pub fn spawn_isolate(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let task = tokio::spawn(HandOver::new(future));
        handover::has_started();
        Self(task)
    }
}

impl Tied {
    /// Waits until the task is over; its failure is logged.
    pub async fn ended(mut self) {
        if let Err(error) = (&mut self.0).await {
            tracing::error!(%error, "a task failed");
        }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.0.abort();
    }
}
