//! Waiting for a condition that a lock protects.

use std::time::Duration;

use super::buffer::SharedBuffer;
use super::lock::MutexGuard;
use super::words::{Deadline, Words};
use crate::error::Result;

/// A condition variable in 4 bytes of a shared buffer, for use with a [`super::Mutex`]. Waking up does not mean that the condition
/// holds: look again.
#[derive(Clone, Debug)]
pub struct Condvar {
    words: Words,
}

impl Condvar {
    /// Its size in the buffer.
    pub const BYTES: usize = 4;

    /// The condition variable at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer.
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<Self> {
        let words = Words::at(buffer, offset, Self::BYTES, Self::BYTES)?;
        Ok(Self { words })
    }

    /// Unlocks, waits for a notification, and locks again.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn wait<'a>(&self, guard: MutexGuard<'a>) -> Result<MutexGuard<'a>> {
        self.wait_until(guard, Deadline::NEVER).map(|(guard, _)| guard)
    }

    /// As [`Self::wait`], for at most this time; also gives whether it was notified in time.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn wait_timeout<'a>(&self, guard: MutexGuard<'a>, timeout: Duration) -> Result<(MutexGuard<'a>, bool)> {
        self.wait_until(guard, Deadline::after(timeout))
    }

    fn wait_until<'a>(&self, guard: MutexGuard<'a>, deadline: Deadline) -> Result<(MutexGuard<'a>, bool)> {
        let mutex = guard.mutex;
        // Every notification changes the number, so that none between here and the wait is missed.
        let seen = self.words.word(0).get();
        drop(guard);
        let in_time = self.words.word(0).wait(seen, deadline)?;
        Ok((mutex.lock()?, in_time))
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.words.word(0).add(1);
        self.words.word(0).wake_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.words.word(0).add(1);
        self.words.word(0).wake_all();
    }
}
