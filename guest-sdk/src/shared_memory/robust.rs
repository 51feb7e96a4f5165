//! A lock that survives the isolate that held it.

use std::time::Duration;

use nodule_abi::atomic::WaitResult;
use nodule_abi::error::ErrorCode;

use super::buffer::SharedBuffer;
use super::words::{Deadline, Word, Words};
use crate::error::{Error, Result};
use crate::sys;

const FREE: u32 = 0;
/// Others may wait.
const WAITERS: u32 = 1 << 31;

/// What it protects is as its last holder wanted it.
const CONSISTENT: u32 = 0;
/// A holder ended in the middle.
const INCONSISTENT: u32 = 1;

/// A lock in 8 bytes of a shared buffer; zeros are a free lock. When the isolate that holds it ends, in whatever way, the
/// next one gets it and is told so ([`Locked::OwnerDead`], `EOWNERDEAD`), also one that waits already.
#[derive(Clone, Debug)]
pub struct RobustMutex {
    words: Words,
}

/// A lock that is held now.
#[derive(Debug)]
#[must_use = "dropping it unlocks"]
pub enum Locked<'a> {
    /// As usual.
    Clean(RobustMutexGuard<'a>),
    /// Its last holder ended while it held it: what it protects may be half done. Until
    /// [`RobustMutexGuard::make_consistent`] everyone who locks it is told so.
    OwnerDead(RobustMutexGuard<'a>),
}

impl<'a> Locked<'a> {
    /// The guard of a clean lock; otherwise it is unlocked again.
    ///
    /// # Errors
    /// `EOWNERDEAD`.
    pub fn into_result(self) -> Result<RobustMutexGuard<'a>> {
        match self {
            Self::Clean(guard) => Ok(guard),
            Self::OwnerDead(_) => Err(Error::with_code(ErrorCode::Eownerdead, ErrorCode::Eownerdead.text())),
        }
    }

    /// The guard in any case.
    pub fn into_guard(self) -> RobustMutexGuard<'a> {
        match self {
            Self::Clean(guard) | Self::OwnerDead(guard) => guard,
        }
    }
}

impl RobustMutex {
    /// Its size in the buffer.
    pub const BYTES: usize = 8;

    /// The lock at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer.
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<Self> {
        let words = Words::at(buffer, offset, Self::BYTES, 4)?;
        Ok(Self { words })
    }

    /// 0 or the number of the holder's thread and 1, and whether others wait.
    fn owner(&self) -> Word<'_> {
        self.words.word(0)
    }

    fn state(&self) -> Word<'_> {
        self.words.word(4)
    }

    /// Waits until it is free or its holder has ended, and locks it.
    ///
    /// # Errors
    /// `EBUSY` when this isolate holds it.
    pub fn lock(&self) -> Result<Locked<'_>> {
        match self.acquire(Deadline::NEVER)? {
            Some(locked) => Ok(locked),
            None => Err(Error::with_code(ErrorCode::Etimedout, ErrorCode::Etimedout.text())),
        }
    }

    /// As [`Self::lock`], for at most this time; nothing when it is over.
    ///
    /// # Errors
    /// As of [`Self::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<Locked<'_>>> {
        self.acquire(Deadline::after(timeout))
    }

    fn acquire(&self, deadline: Deadline) -> Result<Option<Locked<'_>>> {
        let own = sys::owner_id() + 1;
        let word = self.owner();
        // Who waited does not know whether others do.
        let mut waiters = 0;
        loop {
            let current = word.get();
            let holder = current & !WAITERS;
            if holder == FREE {
                if word.replace(current, own | (current & WAITERS) | waiters) {
                    return Ok(Some(self.locked()));
                }
                continue;
            }
            if holder == own {
                return Err(Error::with_code(
                    ErrorCode::Ebusy,
                    "this isolate holds the lock already",
                ));
            }
            let contended = current | WAITERS;
            if current != contended && !word.replace(current, contended) {
                continue;
            }
            match word.wait_owned(contended, holder - 1, deadline)? {
                WaitResult::TimedOut => return Ok(None),
                WaitResult::OwnerDead => {
                    if word.replace(contended, own | WAITERS) {
                        self.state().set(INCONSISTENT);
                        return Ok(Some(self.locked()));
                    }
                }
                WaitResult::Woken | WaitResult::NotEqual | WaitResult::Pending => {}
            }
            waiters = WAITERS;
        }
    }

    fn locked(&self) -> Locked<'_> {
        let guard = RobustMutexGuard { mutex: self };
        match self.state().get() {
            INCONSISTENT => Locked::OwnerDead(guard),
            _ => Locked::Clean(guard),
        }
    }
}

/// A robust lock that is held; dropping it unlocks.
#[derive(Debug)]
#[must_use = "dropping it unlocks"]
pub struct RobustMutexGuard<'a> {
    mutex: &'a RobustMutex,
}

impl RobustMutexGuard<'_> {
    /// What the lock protects is in order again: the next one to lock it is not told of the death any more.
    pub fn make_consistent(&self) {
        self.mutex.state().set(CONSISTENT);
    }
}

impl Drop for RobustMutexGuard<'_> {
    fn drop(&mut self) {
        let word = self.mutex.owner();
        if word.swap(FREE) & WAITERS != 0 {
            // All of them: one alone could be terminated before it takes the lock.
            word.wake_all();
        }
    }
}
