//! Words of 32 bits in a shared buffer, of which locks and queues are made.

use std::sync::atomic::{AtomicU8, AtomicU32};
use std::time::{Duration, Instant};

use nodule_abi::atomic::{AtomicOperation, NOTIFY_ALL, WaitResult};

use super::atomics::milliseconds;
use super::buffer::SharedBuffer;
use super::cell::Access as _;
use crate::error::{Error, Result};
use crate::sys;

const WORD_BYTES: usize = 4;

/// How often a lock is looked at before its isolate parks.
const SPINS: usize = 64;

/// A range of a shared buffer.
#[derive(Clone, Debug)]
pub(super) struct Words {
    buffer: SharedBuffer,
    offset: usize,
    bytes: usize,
}

impl Words {
    /// `bytes` at `offset`, which is a multiple of `alignment`.
    pub fn at(buffer: &SharedBuffer, offset: usize, bytes: usize, alignment: usize) -> Result<Self> {
        let end = offset.checked_add(bytes);
        let fits = end.is_some_and(|end| end <= buffer.byte_length());
        if !fits || offset % alignment != 0 {
            return Err(Error::new(format!(
                "Offset {offset} must be a multiple of {alignment} with {bytes} bytes behind it"
            ))
            .named("RangeError"));
        }
        Ok(Self {
            buffer: buffer.clone(),
            offset,
            bytes,
        })
    }

    /// The word at a byte of the range, which is a multiple of 4.
    pub fn word(&self, at: usize) -> Word<'_> {
        Word(&self.buffer.as_u32()[(self.offset + at) / WORD_BYTES])
    }

    /// Bytes of the range.
    pub fn bytes(&self, at: usize, len: usize) -> &[AtomicU8] {
        debug_assert!(at + len <= self.bytes, "within the range");
        let start = self.offset + at;
        &self.buffer.as_u8()[start..start + len]
    }
}

/// One word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a>(&'a AtomicU32);

impl Word<'_> {
    pub fn get(self) -> u32 {
        self.0.get()
    }

    pub fn set(self, value: u32) {
        self.0.set(value);
    }

    pub fn add(self, value: u32) -> u32 {
        self.0.modify(AtomicOperation::Add, value)
    }

    pub fn sub(self, value: u32) -> u32 {
        self.0.modify(AtomicOperation::Sub, value)
    }

    pub fn swap(self, value: u32) -> u32 {
        self.0.modify(AtomicOperation::Exchange, value)
    }

    /// Whether it held `expected` and holds `replacement` now.
    pub fn replace(self, expected: u32, replacement: u32) -> bool {
        self.0.replace(expected, replacement) == expected
    }

    /// Parks while it holds `expected` and nobody notifies. False when the time is over.
    pub fn wait(self, expected: u32, deadline: Deadline) -> Result<bool> {
        let result = sys::atomic_wait(self.0, u64::from(expected), deadline.left_ms())?;
        Ok(result != WaitResult::TimedOut)
    }

    /// The same, until the thread `owner` is gone as well.
    pub fn wait_owned(self, expected: u32, owner: u32, deadline: Deadline) -> Result<WaitResult> {
        sys::atomic_wait_owned(self.0, expected, owner, deadline.left_ms())
    }

    pub fn wake_one(self) {
        self.wake(1);
    }

    pub fn wake_all(self) {
        self.wake(NOTIFY_ALL);
    }

    fn wake(self, count: u32) {
        // Fails for addresses outside of the memory only.
        let _ = sys::atomic_notify(self.0, count);
    }

    /// Looks a few times whether it holds `wanted`.
    pub fn spin(self, wanted: impl Fn(u32) -> bool) -> bool {
        (0..SPINS).any(|_| {
            std::hint::spin_loop();
            wanted(self.get())
        })
    }
}

/// When a wait ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub const NEVER: Self = Self(None);

    /// After this time.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    fn left_ms(self) -> f64 {
        milliseconds(self.0.map(|end| end.saturating_duration_since(Instant::now())))
    }
}
