//! Waiting for room at a receiver.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::port::MessagePort;
use super::transfer::Encoded;
use crate::error::Result;
use crate::sys::IsolateCell;

/// Those who wait until the receiver at the other end has room.
pub(crate) struct Room {
    waiting: Cell<usize>,
    wakers: IsolateCell<Vec<Waker>>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            waiting: Cell::new(0),
            wakers: IsolateCell::new(Vec::new()),
        }
    }
}

impl Room {
    /// Whether somebody waits: the port must keep the isolate alive then.
    pub fn is_waited_for(&self) -> bool {
        self.waiting.get() > 0
    }

    /// One more waits, or one less.
    pub fn count(&self, change: isize) {
        self.waiting.set(self.waiting.get().saturating_add_signed(change));
    }

    /// Wakes this one, too, when there may be room.
    pub fn push(&self, waker: Waker) {
        self.wakers.with(|wakers| wakers.push(waker));
    }

    /// There may be room.
    pub fn wake(&self) {
        let wakers = self.wakers.with(std::mem::take);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Counts one who waits.
struct Waiting(MessagePort);

impl Waiting {
    fn new(port: &MessagePort) -> Self {
        port.state().room.count(1);
        port.state().update_ref();
        Self(port.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().room.count(-1);
        self.0.state().update_ref();
    }
}

/// Sends a message as soon as there is room for it.
pub(super) async fn post(port: MessagePort, encoded: Result<Encoded<'static>>) -> Result<()> {
    let encoded = encoded?;
    let mut waiting = None;
    poll_fn(|context| {
        let state = port.state();
        match state.send(encoded.message(), true) {
            Ok(Some(_)) => return Poll::Ready(Ok(())),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        waiting.get_or_insert_with(|| Waiting::new(&port));
        state.room.push(context.waker().clone());
        Poll::Pending
    })
    .await?;
    encoded.sent();
    Ok(())
}
