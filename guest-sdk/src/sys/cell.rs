//! A cell that stays usable after a trap.

use std::cell::{Cell, UnsafeCell};

thread_local! {
    /// Counts how often the frames below were abandoned. Starts at 1: 0 in a cell means "not in use".
    static GENERATION: Cell<u32> = const { Cell::new(1) };
}

/// Forgets every use of an [`IsolateCell`] that is still open. Called when the host enters a hook: whatever
/// ran before returned or was unwound, so those uses will never go on.
pub(super) fn abandon_frames() {
    GENERATION.set(GENERATION.get().wrapping_add(1).max(1));
}

/// Interior mutability for state of the isolate. Unlike a `RefCell` it does not stay locked when a trap removes the
/// frames that were using it.
pub(crate) struct IsolateCell<T: ?Sized> {
    /// Generation of the use that is open, or 0.
    user: Cell<u32>,
    value: UnsafeCell<T>,
}

/// Ends a use, also when the closure unwinds (which happens on targets other than wasm only).
struct Release<'a>(&'a Cell<u32>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

impl<T> IsolateCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            user: Cell::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> IsolateCell<T> {
    /// Runs `use_value` on the value, or gives `None` when a use of this cell is open further up the stack.
    pub(crate) fn try_with<R>(&self, use_value: impl FnOnce(&mut T) -> R) -> Option<R> {
        let generation = GENERATION.get();
        if self.user.get() == generation {
            return None;
        }
        self.user.set(generation);
        let _release = Release(&self.user);
        // SAFETY: the cell is not `Sync`, so only this thread uses it. An open use of this generation was refused above;
        // one of an older generation belongs to frames that no longer exist (`abandon_frames`).
        Some(use_value(unsafe { &mut *self.value.get() }))
    }

    /// As [`Self::try_with`], for uses that never nest: `use_value` runs no code of the guest's author.
    pub(crate) fn with<R>(&self, use_value: impl FnOnce(&mut T) -> R) -> R {
        match self.try_with(use_value) {
            Some(result) => result,
            None => nested_use(),
        }
    }
}

#[cold]
#[allow(clippy::panic, reason = "an invariant of this crate is broken")]
fn nested_use() -> ! {
    panic!("nested use of the SDK's state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_that_was_abandoned_does_not_block_the_next() {
        let cell = IsolateCell::new(1);
        let seen = cell.with(|_| {
            assert_eq!(cell.try_with(|value| *value), None);
            // What a trap does: the frame of the outer closure is gone when the hook enters.
            abandon_frames();
            cell.try_with(|value| *value)
        });
        assert_eq!(seen, Some(1));
        assert_eq!(cell.try_with(|value| *value), Some(1));
    }
}
