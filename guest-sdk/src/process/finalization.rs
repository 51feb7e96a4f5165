//! Callbacks for values that are still alive at the end (Node: `process.finalization`).
//!
//! The registry holds values weakly: one that was dropped before takes its callback along.
//!
//! ```no_run
//! use std::rc::Rc;
//! use nodule_sdk::process::finalization;
//!
//! let log = Rc::new(String::from("log"));
//! finalization::register(&log, |log, event| println!("{event}: closing {log}"));
//! ```

use std::rc::Rc;
use std::sync::Arc;

use crate::sys::IsolateCell;

/// When a callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    BeforeExit,
    Exit,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::BeforeExit => "beforeExit",
            Self::Exit => "exit",
        }
    }
}

struct Entry {
    event: Event,
    /// Address of the value, which is unique while a weak reference to it exists.
    address: usize,
    run: Box<dyn FnOnce(&str)>,
}

thread_local! {
    static ENTRIES: IsolateCell<Vec<Entry>> = const { IsolateCell::new(Vec::new()) };
}

/// A shared value that can be held weakly: `Rc` and `Arc`.
pub trait Shared: Sized + 'static {
    /// The weak form.
    type Weak: 'static;

    /// The weak form of this.
    fn downgrade(&self) -> Self::Weak;
    /// The value, unless it was dropped.
    fn upgrade(weak: &Self::Weak) -> Option<Self>;
    /// Where the value is.
    fn address(&self) -> usize;
}

macro_rules! shared {
    ($($pointer:ident, $weak:path;)*) => {$(
        impl<T: 'static> Shared for $pointer<T> {
            type Weak = $weak;

            fn downgrade(&self) -> Self::Weak {
                $pointer::downgrade(self)
            }

            fn upgrade(weak: &Self::Weak) -> Option<Self> {
                weak.upgrade()
            }

            fn address(&self) -> usize {
                $pointer::as_ptr(self).addr()
            }
        }
    )*};
}

shared! {
    Rc, std::rc::Weak<T>;
    Arc, std::sync::Weak<T>;
}

/// Calls `callback` with the value and `"exit"` when the isolate ends, before the listeners of that event
/// (Node: `process.finalization.register`).
pub fn register<S: Shared>(value: &S, callback: impl FnOnce(&S, &str) + 'static) {
    add(Event::Exit, value, callback);
}

/// Calls `callback` with the value and `"beforeExit"` when the loop is empty; it may start work
/// (Node: `process.finalization.registerBeforeExit`).
pub fn register_before_exit<S: Shared>(value: &S, callback: impl FnOnce(&S, &str) + 'static) {
    add(Event::BeforeExit, value, callback);
}

fn add<S: Shared>(event: Event, value: &S, callback: impl FnOnce(&S, &str) + 'static) {
    let address = value.address();
    let weak = value.downgrade();
    let run = Box::new(move |event: &str| {
        if let Some(value) = S::upgrade(&weak) {
            callback(&value, event);
        }
    });
    ENTRIES.with(|entries| entries.with(|entries| entries.push(Entry { event, address, run })));
}

/// Removes all callbacks of the value; repeating is harmless (Node: `process.finalization.unregister`).
pub fn unregister<S: Shared>(value: &S) {
    let address = value.address();
    let removed: Vec<_> =
        ENTRIES.with(|entries| entries.with(|entries| extract(entries, |entry| entry.address == address)));
    drop(removed);
}

/// Runs and forgets the callbacks of `event`, in the order they were registered.
pub(crate) fn run(event: Event) {
    while let Some(entry) = take_first(event) {
        (entry.run)(event.name());
    }
}

fn take_first(event: Event) -> Option<Entry> {
    ENTRIES.with(|entries| {
        entries.with(|entries| {
            let index = entries.iter().position(|entry| entry.event == event)?;
            Some(entries.remove(index))
        })
    })
}

fn extract(entries: &mut Vec<Entry>, matches: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let (taken, kept) = std::mem::take(entries).into_iter().partition(matches);
    *entries = kept;
    taken
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn living_values_get_their_callback_and_dropped_ones_do_not() {
        let trace: Rc<RefCell<Vec<String>>> = Rc::default();
        let note = |name: &'static str| {
            let trace = Rc::clone(&trace);
            move |value: &Rc<u32>, event: &str| trace.borrow_mut().push(format!("{name} {value} {event}"))
        };
        let (kept, dropped, unregistered) = (Rc::new(1), Rc::new(2), Rc::new(3));
        register(&dropped, note("dropped"));
        register(&kept, note("a"));
        register_before_exit(&kept, note("b"));
        register(&unregistered, note("unregistered"));
        drop(dropped);
        unregister(&unregistered);
        unregister(&unregistered);
        run(Event::BeforeExit);
        run(Event::Exit);
        run(Event::Exit);
        assert_eq!(*trace.borrow(), ["b 1 beforeExit", "a 1 exit"]);
    }
}
