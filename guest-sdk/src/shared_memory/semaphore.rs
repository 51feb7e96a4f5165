//! Counted permits.

use std::time::Duration;

use super::buffer::SharedBuffer;
use super::words::{Deadline, Words};
use crate::error::Result;

const PERMITS: usize = 0;
const WAITERS: usize = 4;

/// A semaphore in 8 bytes of a shared buffer; zeros are one without permits. Permits belong to nobody: one that an isolate
/// took is gone when the isolate is terminated.
#[derive(Clone, Debug)]
pub struct Semaphore {
    words: Words,
}

impl Semaphore {
    /// Its size in the buffer.
    pub const BYTES: usize = 8;

    /// The semaphore at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer.
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<Self> {
        let words = Words::at(buffer, offset, Self::BYTES, 4)?;
        Ok(Self { words })
    }

    /// How many permits there are.
    pub fn permits(&self) -> u32 {
        self.words.word(PERMITS).get()
    }

    /// Takes a permit if there is one.
    pub fn try_acquire(&self) -> bool {
        let word = self.words.word(PERMITS);
        loop {
            match word.get() {
                0 => return false,
                permits if word.replace(permits, permits - 1) => return true,
                _ => {}
            }
        }
    }

    /// Waits for a permit and takes it.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn acquire(&self) -> Result<()> {
        self.acquire_until(Deadline::NEVER).map(drop)
    }

    /// As [`Self::acquire`], for at most this time; gives whether it got one.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        self.acquire_until(Deadline::after(timeout))
    }

    fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        let permits = self.words.word(PERMITS);
        if self.try_acquire() || (permits.spin(|permits| permits > 0) && self.try_acquire()) {
            return Ok(true);
        }
        let waiters = self.words.word(WAITERS);
        waiters.add(1);
        let result = loop {
            let in_time = permits.wait(0, deadline);
            if self.try_acquire() {
                break Ok(true);
            }
            match in_time {
                Ok(true) => {}
                other => break other,
            }
        };
        waiters.sub(1);
        result
    }

    /// Gives permits.
    pub fn release(&self, count: u32) {
        self.words.word(PERMITS).add(count);
        // A waiter that was terminated is counted for ever, which costs a call and does no harm.
        if self.words.word(WAITERS).get() > 0 {
            self.words.word(PERMITS).wake_all();
        }
    }
}
