//! A lock between isolates.

use std::time::Duration;

use super::buffer::SharedBuffer;
use super::words::{Deadline, Word, Words};
use crate::error::Result;

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and others may wait.
const CONTENDED: u32 = 2;

/// A lock in 4 bytes of a shared buffer; zeros are a free lock. It protects what its users agree on.
///
/// It stays locked when the isolate that holds it is terminated: others then wait until their time is over.
/// [`super::RobustMutex`] notices that. Locking it twice in one isolate waits for ever.
#[derive(Clone, Debug)]
pub struct Mutex {
    words: Words,
}

impl Mutex {
    /// Its size in the buffer.
    pub const BYTES: usize = 4;

    /// The lock at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer.
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<Self> {
        let words = Words::at(buffer, offset, Self::BYTES, Self::BYTES)?;
        Ok(Self { words })
    }

    fn word(&self) -> Word<'_> {
        self.words.word(0)
    }

    /// Locks it if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_>> {
        self.word().replace(FREE, LOCKED).then_some(MutexGuard { mutex: self })
    }

    /// Waits until it is free, and locks it.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn lock(&self) -> Result<MutexGuard<'_>> {
        self.acquire(Deadline::NEVER)?;
        Ok(MutexGuard { mutex: self })
    }

    /// As [`Self::lock`], for at most this time; nothing when it is over.
    ///
    /// # Errors
    /// None that a guest could cause.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<MutexGuard<'_>>> {
        let is_locked = self.acquire(Deadline::after(timeout))?;
        Ok(is_locked.then_some(MutexGuard { mutex: self }))
    }

    pub(super) fn acquire(&self, deadline: Deadline) -> Result<bool> {
        let word = self.word();
        if word.replace(FREE, LOCKED) {
            return Ok(true);
        }
        if word.spin(|state| state == FREE) && word.replace(FREE, LOCKED) {
            return Ok(true);
        }
        // Who waited does not know whether others do.
        while word.swap(CONTENDED) != FREE {
            if !word.wait(CONTENDED, deadline)? {
                return Ok(word.swap(CONTENDED) == FREE);
            }
        }
        Ok(true)
    }

    pub(super) fn release(&self) {
        if self.word().swap(FREE) == CONTENDED {
            self.word().wake_one();
        }
    }
}

/// A lock that is held; dropping it unlocks.
#[derive(Debug)]
#[must_use = "dropping it unlocks"]
pub struct MutexGuard<'a> {
    pub(super) mutex: &'a Mutex,
}

impl Drop for MutexGuard<'_> {
    fn drop(&mut self) {
        self.mutex.release();
    }
}
