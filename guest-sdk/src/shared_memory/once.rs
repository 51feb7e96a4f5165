//! A value that is made once.

use nodule_abi::atomic::WaitResult;

use super::buffer::SharedBuffer;
use super::words::{Deadline, Words};
use crate::error::Result;
use crate::sys;

const EMPTY: u32 = 0;
const READY: u32 = u32::MAX;
const STATE: usize = 0;
const LOW: usize = 4;
const HIGH: usize = 8;

/// A number of 64 bits in 12 bytes of a shared buffer that is made once, by whoever needs it first; zeros are an empty one. When
/// the isolate that makes it ends before it is done, the next one makes it.
#[derive(Clone, Debug)]
pub struct OnceCell {
    words: Words,
}

impl OnceCell {
    /// Its size in the buffer.
    pub const BYTES: usize = 12;

    /// The cell at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer.
    pub fn at(buffer: &SharedBuffer, offset: usize) -> Result<Self> {
        let words = Words::at(buffer, offset, Self::BYTES, 4)?;
        Ok(Self { words })
    }

    /// The value, if it was made.
    pub fn get(&self) -> Option<u64> {
        let [state, low, high] = [STATE, LOW, HIGH].map(|at| self.words.word(at).get());
        (state == READY).then(|| u64::from(high) << 32 | u64::from(low))
    }

    /// The value; makes it with `make` when nobody did, waits while another isolate does.
    ///
    /// # Errors
    /// That of `make`; the cell is empty then.
    pub fn get_or_try_init(&self, make: impl FnOnce() -> Result<u64>) -> Result<u64> {
        let own = sys::owner_id() + 1;
        let state = self.words.word(STATE);
        loop {
            match state.get() {
                READY => return Ok(self.get().unwrap_or_default()),
                EMPTY => {
                    if state.replace(EMPTY, own) {
                        return self.init(make);
                    }
                }
                maker => {
                    let result = state.wait_owned(maker, maker - 1, Deadline::NEVER)?;
                    if result == WaitResult::OwnerDead && state.replace(maker, own) {
                        return self.init(make);
                    }
                }
            }
        }
    }

    fn init(&self, make: impl FnOnce() -> Result<u64>) -> Result<u64> {
        let state = self.words.word(STATE);
        let made = make();
        if let Ok(value) = made {
            let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
            self.words.word(LOW).set(half(value));
            self.words.word(HIGH).set(half(value >> 32));
        }
        state.set(if made.is_ok() { READY } else { EMPTY });
        state.wake_all();
        made
    }
}
