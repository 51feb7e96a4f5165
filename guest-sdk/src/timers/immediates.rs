//! Immediates: what runs when the events of a wait are used up.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use crate::sys::IsolateCell;

struct Queues {
    /// Set since the last check phase began.
    queued: VecDeque<Rc<Entry>>,
    /// Those of the check phase that is running.
    current: VecDeque<Rc<Entry>>,
    /// How many of both keep the loop going.
    ref_count: usize,
}

struct Entry {
    is_ref: Cell<bool>,
    callback: Cell<Option<Box<dyn FnOnce()>>>,
}

thread_local! {
    static QUEUES: IsolateCell<Queues> =
        const { IsolateCell::new(Queues { queued: VecDeque::new(), current: VecDeque::new(), ref_count: 0 }) };
}

fn queues<R>(use_queues: impl FnOnce(&mut Queues) -> R) -> R {
    QUEUES.with(|queues| queues.with(use_queues))
}

impl Entry {
    /// Takes the callback; it then no longer counts.
    fn take(&self) -> Option<Box<dyn FnOnce()>> {
        let callback = self.callback.take()?;
        if self.is_ref.get() {
            queues(|queues| queues.ref_count -= 1);
        }
        Some(callback)
    }
}

/// Whether an immediate keeps the loop going.
pub(crate) fn has_ref() -> bool {
    ref_count() > 0
}

/// How many immediates keep the loop going.
pub(crate) fn ref_count() -> usize {
    queues(|queues| queues.ref_count)
}

/// Fixes which immediates run now; those that they set wait for the next round.
pub(crate) fn begin_check() {
    queues(|queues| {
        let queued = std::mem::take(&mut queues.queued);
        queues.current.extend(queued);
    });
}

/// The next callback of the check phase.
pub(crate) fn next() -> Option<Box<dyn FnOnce()>> {
    while let Some(entry) = queues(|queues| queues.current.pop_front()) {
        if let Some(callback) = entry.take() {
            return Some(callback);
        }
    }
    None
}

/// An immediate of [`set_immediate`] (Node: class `Immediate`).
#[derive(Clone)]
pub struct Immediate {
    entry: Rc<Entry>,
}

/// Calls `callback` once the events that are there have been dispatched (Node: `setImmediate`).
pub fn set_immediate(callback: impl FnOnce() + 'static) -> Immediate {
    let entry = Rc::new(Entry {
        is_ref: Cell::new(true),
        callback: Cell::new(Some(Box::new(callback))),
    });
    queues(|queues| {
        queues.queued.push_back(Rc::clone(&entry));
        queues.ref_count += 1;
    });
    Immediate { entry }
}

impl Immediate {
    /// Keeps it from running (Node: `clearImmediate`). Repeating has no effect.
    pub fn clear(&self) {
        drop(self.entry.take());
    }

    /// Lets it keep the isolate alive, as it does at first (Node: `immediate.ref`).
    pub fn ref_(&self) {
        self.set_ref(true);
    }

    /// Lets the isolate end before it ran (Node: `immediate.unref`).
    pub fn unref(&self) {
        self.set_ref(false);
    }

    /// Whether it keeps the isolate alive (Node: `immediate.hasRef`).
    pub fn has_ref(&self) -> bool {
        self.entry.is_ref.get()
    }

    fn set_ref(&self, is_ref: bool) {
        let was_ref = self.entry.is_ref.replace(is_ref);
        let callback = self.entry.callback.take();
        let is_waiting = callback.is_some();
        self.entry.callback.set(callback);
        if is_waiting && was_ref != is_ref {
            queues(|queues| {
                if is_ref {
                    queues.ref_count += 1;
                } else {
                    queues.ref_count -= 1;
                }
            });
        }
    }
}

impl fmt::Debug for Immediate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Immediate")
            .field("has_ref", &self.has_ref())
            .finish_non_exhaustive()
    }
}

/// Waits for the next check phase (Node: `timers/promises` `setImmediate`).
pub async fn immediate() {
    let (resolver, reached) = crate::promise::deferred();
    let _immediate = set_immediate(move || resolver.resolve(()));
    // The resolver only ever resolves.
    let _ = reached.await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_round_runs_what_was_set_before_it() {
        let trace: Rc<RefCell<Vec<&'static str>>> = Rc::default();
        let push = |name| {
            let trace = Rc::clone(&trace);
            move || trace.borrow_mut().push(name)
        };
        let late = push("late");
        let first = push("first");
        set_immediate(move || {
            first();
            set_immediate(late);
        });
        set_immediate(push("cleared")).clear();
        let unref = set_immediate(push("unref"));
        unref.unref();
        assert_eq!(ref_count(), 1);
        begin_check();
        while let Some(run) = next() {
            run();
        }
        assert_eq!(*trace.borrow(), ["first", "unref"]);
        assert!(has_ref(), "the late one waits for the next round");
    }
}
