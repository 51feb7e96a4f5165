//! Queues of records of a fixed size.
//!
//! Positions count up and wrap around at 2^32; a capacity is a power of two, so that slots do not jump there.

use std::time::Duration;

use super::buffer::SharedBuffer;
use super::words::{Deadline, Word, Words};
use crate::error::{Error, Result};
use crate::sys;

/// Words that different isolates write lie this far apart.
const LINE_BYTES: usize = 64;
/// Position of the next record to take.
const HEAD: usize = 0;
/// Isolates that wait for room.
const HEAD_WAITERS: usize = 4;
/// Counts records that were taken.
const TAKEN: usize = 8;
/// Position of the next record to add.
const TAIL: usize = LINE_BYTES;
/// Isolates that wait for records.
const TAIL_WAITERS: usize = LINE_BYTES + 4;
/// Counts records that were added.
const ADDED: usize = LINE_BYTES + 8;
const SLOTS: usize = 2 * LINE_BYTES;

#[derive(Clone, Debug)]
struct Ring {
    words: Words,
    record_bytes: usize,
    slot_bytes: usize,
    capacity: u32,
}

const fn bytes_of(slot_bytes: usize, capacity: u32) -> usize {
    SLOTS.saturating_add(slot_bytes.saturating_mul(capacity as usize))
}

impl Ring {
    fn at(buffer: &SharedBuffer, offset: usize, record_bytes: usize, slot_bytes: usize, capacity: u32) -> Result<Self> {
        if !capacity.is_power_of_two() || capacity > 1 << 30 {
            return Err(Error::new(format!(
                "The capacity {capacity} must be a power of two of at most 2^30"
            ))
            .named("RangeError"));
        }
        Ok(Self {
            words: Words::at(buffer, offset, bytes_of(slot_bytes, capacity), 4)?,
            record_bytes,
            slot_bytes,
            capacity,
        })
    }

    fn slot(&self, position: u32) -> usize {
        SLOTS + (position & (self.capacity - 1)) as usize * self.slot_bytes
    }

    fn check(&self, len: usize) -> Result<()> {
        if len == self.record_bytes {
            return Ok(());
        }
        Err(Error::new(format!("Records have {} bytes, not {len}", self.record_bytes)).named("RangeError"))
    }

    /// Tries until it succeeds or the time is over, parked between changes of `changes`.
    fn wait(
        &self,
        (changes, waiters): (Word<'_>, Word<'_>),
        deadline: Deadline,
        mut attempt: impl FnMut() -> bool,
    ) -> Result<bool> {
        if attempt() {
            return Ok(true);
        }
        waiters.add(1);
        let result = loop {
            // A change after this makes the wait end at once.
            let seen = changes.get();
            if attempt() {
                break Ok(true);
            }
            match changes.wait(seen, deadline) {
                Ok(true) => {}
                Ok(false) => break Ok(attempt()),
                other => break other,
            }
        };
        waiters.sub(1);
        result
    }

    fn tell(changes: Word<'_>, waiters: Word<'_>) {
        changes.add(1);
        // One that was terminated is counted for ever, which costs a call and does no harm.
        if waiters.get() > 0 {
            changes.wake_all();
        }
    }

    fn added(&self) -> (Word<'_>, Word<'_>) {
        (self.words.word(ADDED), self.words.word(TAIL_WAITERS))
    }

    fn taken(&self) -> (Word<'_>, Word<'_>) {
        (self.words.word(TAKEN), self.words.word(HEAD_WAITERS))
    }
}

macro_rules! waiting {
    () => {
        /// As [`Self::try_push`]; waits for room. False when the time is over; without one it waits for ever.
        ///
        /// # Errors
        /// `RangeError` when the record has another size.
        pub fn push(&self, record: &[u8], timeout: Option<Duration>) -> Result<bool> {
            self.ring.check(record.len())?;
            let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
            self.ring.wait(self.ring.taken(), deadline, || self.add(record))
        }

        /// As [`Self::try_pop`]; waits for a record. False when the time is over; without one it waits for ever.
        ///
        /// # Errors
        /// `RangeError` when the record has another size.
        pub fn pop(&self, record: &mut [u8], timeout: Option<Duration>) -> Result<bool> {
            self.ring.check(record.len())?;
            let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
            self.ring.wait(self.ring.added(), deadline, || self.take(record))
        }

        /// Adds a record if there is room.
        ///
        /// # Errors
        /// `RangeError` when the record has another size.
        pub fn try_push(&self, record: &[u8]) -> Result<bool> {
            self.ring.check(record.len())?;
            Ok(self.add(record))
        }

        /// Takes the oldest record if there is one.
        ///
        /// # Errors
        /// `RangeError` when the record has another size.
        pub fn try_pop(&self, record: &mut [u8]) -> Result<bool> {
            self.ring.check(record.len())?;
            Ok(self.take(record))
        }

        /// How many records there are; others may change that at once.
        pub fn len(&self) -> usize {
            let words = &self.ring.words;
            words.word(TAIL).get().wrapping_sub(words.word(HEAD).get()) as usize
        }

        /// Whether there are none.
        pub fn is_empty(&self) -> bool {
            self.len() == 0
        }
    };
}

/// A queue from one isolate to one other. A terminated one leaves it usable: a record is there whole or not at all.
#[derive(Clone, Debug)]
pub struct SpscRing {
    ring: Ring,
}

impl SpscRing {
    /// Bytes of a ring in the buffer.
    pub const fn bytes(record_bytes: usize, capacity: u32) -> usize {
        bytes_of(record_bytes, capacity)
    }

    /// The ring at `offset`, a multiple of 4; zeros are an empty one. All users name the same sizes; the capacity is a power
    /// of two.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer, or for another capacity.
    pub fn at(buffer: &SharedBuffer, offset: usize, record_bytes: usize, capacity: u32) -> Result<Self> {
        let ring = Ring::at(buffer, offset, record_bytes, record_bytes, capacity)?;
        Ok(Self { ring })
    }

    waiting!();

    fn add(&self, record: &[u8]) -> bool {
        let words = &self.ring.words;
        let tail = words.word(TAIL).get();
        if tail.wrapping_sub(words.word(HEAD).get()) >= self.ring.capacity {
            return false;
        }
        sys::fill_cells(words.bytes(self.ring.slot(tail), record.len()), record);
        words.word(TAIL).set(tail.wrapping_add(1));
        let (changes, waiters) = self.ring.added();
        Ring::tell(changes, waiters);
        true
    }

    fn take(&self, record: &mut [u8]) -> bool {
        let words = &self.ring.words;
        let head = words.word(HEAD).get();
        if head == words.word(TAIL).get() {
            return false;
        }
        sys::copy_cells(words.bytes(self.ring.slot(head), record.len()), record);
        words.word(HEAD).set(head.wrapping_add(1));
        let (changes, waiters) = self.ring.taken();
        Ring::tell(changes, waiters);
        true
    }
}

/// Bytes before the record of a slot: whose turn it is.
const TURN_BYTES: usize = 4;

const fn slot_bytes(record_bytes: usize) -> usize {
    TURN_BYTES + record_bytes.next_multiple_of(TURN_BYTES)
}

/// A queue for any number of isolates at both ends. One that is terminated in the middle of adding or taking a record blocks
/// the ring at that slot.
#[derive(Clone, Debug)]
pub struct MpmcRing {
    ring: Ring,
}

impl MpmcRing {
    /// Bytes of a ring in the buffer.
    pub const fn bytes(record_bytes: usize, capacity: u32) -> usize {
        bytes_of(slot_bytes(record_bytes), capacity)
    }

    /// The ring at `offset`, a multiple of 4; zeros are an empty one. All users name the same sizes; the capacity is a power
    /// of two.
    ///
    /// # Errors
    /// `RangeError` when it does not lie in the buffer, or for another capacity.
    pub fn at(buffer: &SharedBuffer, offset: usize, record_bytes: usize, capacity: u32) -> Result<Self> {
        let ring = Ring::at(buffer, offset, record_bytes, slot_bytes(record_bytes), capacity)?;
        Ok(Self { ring })
    }

    waiting!();

    /// The turns of a position: its round times 2 when a record is added, 1 more when it is taken, 2 more when the next
    /// round begins. Zeros are the first round of adding. Turns wrap around together with positions.
    fn turn(&self, position: u32, step: u32) -> u32 {
        let shift = self.ring.capacity.trailing_zeros();
        let turn = u64::from(position >> shift) * 2 + u64::from(step);
        let rounds = (1_u64 << 33) >> shift;
        u32::try_from(turn % rounds.min(1 << 32)).unwrap_or(0)
    }

    /// Claims the next position of `counter` whose slot has the turn that `wanted` says.
    fn claim(&self, counter: usize, wanted: impl Fn(u32) -> u32) -> Option<u32> {
        let counter = self.ring.words.word(counter);
        loop {
            let position = counter.get();
            let turn = self.ring.words.word(self.ring.slot(position));
            if turn.get() == wanted(position) {
                if counter.replace(position, position.wrapping_add(1)) {
                    return Some(position);
                }
            } else if counter.get() == position {
                return None;
            }
        }
    }

    fn add(&self, record: &[u8]) -> bool {
        let Some(position) = self.claim(TAIL, |position| self.turn(position, 0)) else {
            return false;
        };
        let (words, slot) = (&self.ring.words, self.ring.slot(position));
        sys::fill_cells(words.bytes(slot + TURN_BYTES, record.len()), record);
        words.word(slot).set(self.turn(position, 1));
        let (changes, waiters) = self.ring.added();
        Ring::tell(changes, waiters);
        true
    }

    fn take(&self, record: &mut [u8]) -> bool {
        let Some(position) = self.claim(HEAD, |position| self.turn(position, 1)) else {
            return false;
        };
        let (words, slot) = (&self.ring.words, self.ring.slot(position));
        sys::copy_cells(words.bytes(slot + TURN_BYTES, record.len()), record);
        words.word(slot).set(self.turn(position, 2));
        let (changes, waiters) = self.ring.taken();
        Ring::tell(changes, waiters);
        true
    }
}
