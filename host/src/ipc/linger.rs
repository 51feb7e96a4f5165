//! Channels that nobody holds any more and that are not sent out yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::channel::Shared;
use super::state::Phase;
use crate::spawn_tied::Tied;

/// Their tasks, which are owned here. Each gives up on its own when its reader takes nothing.
static LINGERING: Mutex<Vec<(Arc<Shared>, Tied)>> = Mutex::new(Vec::new());

/// Tells that one left the list.
static LEFT: Notify = Notify::const_new();

fn lock() -> MutexGuard<'static, Vec<(Arc<Shared>, Tied)>> {
    LINGERING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the task of a channel run on.
pub(super) fn keep(shared: &Arc<Shared>, task: Tied) {
    lock().push((Arc::clone(shared), task));
    // It may have come to its end before it was in the list.
    if shared.lock().phase == Phase::Over {
        leave(shared);
    }
}

/// The task of a channel is at its end.
pub(super) fn leave(shared: &Arc<Shared>) {
    let left: Vec<_> = lock().extract_if(.., |(other, _)| Arc::ptr_eq(other, shared)).collect();
    if !left.is_empty() {
        LEFT.notify_waiters();
    }
}

/// Waits until what was accepted by channels that are closed since is sent, or given up: what a process does before it
/// ends.
pub async fn finish_sends() {
    loop {
        let left = LEFT.notified();
        if lock().is_empty() {
            return;
        }
        left.await;
    }
}
