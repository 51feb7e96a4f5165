//! Typed events with Node's `EventEmitter` semantics (Node: `events`).
//!
//! An [`Emitter`] stands for one event. Listeners run synchronously in the order they were added; an emission calls the
//! listeners that were there when it began, whatever they add or remove meanwhile; a listener that fails keeps the
//! later ones of that emission from running and stays registered.
//!
//! ```no_run
//! use nodule_sdk::events::Emitter;
//!
//! let ready = Emitter::<String>::new();
//! let listener = ready.on(|name| println!("{name} is ready"));
//! ready.once(|_| println!("the first one"));
//! ready.emit(&"db".to_owned());
//! listener.remove();
//! assert_eq!(ready.listener_count(), 0);
//! ```

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::{Rc, Weak};

use nodule_abi::hooks::Origin;

use crate::error::Error;
use crate::sys::IsolateCell;

type Callback<A> = Rc<IsolateCell<dyn FnMut(&A)>>;
/// Hears the number of listeners after each change.
type Observer = Box<dyn Fn(usize)>;

/// One event: its listeners and how to call them. `A` is what they are given.
pub struct Emitter<A: 'static> {
    /// Made on first use, so that an emitter can be a constant.
    list: OnceCell<Rc<List<A>>>,
}

struct List<A> {
    entries: IsolateCell<Vec<Entry<A>>>,
    next_id: Cell<u64>,
    observer: Option<Observer>,
}

struct Entry<A> {
    id: u64,
    once: bool,
    callback: Callback<A>,
}

impl<A> Clone for Entry<A> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            once: self.once,
            callback: Rc::clone(&self.callback),
        }
    }
}

/// A registered listener. Dropping this leaves it registered.
#[derive(Clone)]
pub struct Listener {
    id: u64,
    list: Weak<dyn Remove>,
}

trait Remove {
    fn remove(&self, id: u64) -> bool;
}

impl Listener {
    /// Removes the listener (Node: `emitter.off`). Gives whether it was still registered. An emission in
    /// progress still calls it.
    pub fn remove(&self) -> bool {
        self.list.upgrade().is_some_and(|list| list.remove(self.id))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.id).finish()
    }
}

impl<A> Remove for List<A> {
    fn remove(&self, id: u64) -> bool {
        let removed = self.entries.with(|entries| {
            let index = entries.iter().position(|entry| entry.id == id)?;
            Some((entries.remove(index), entries.len()))
        });
        // The closure is dropped here, outside the use of the cell.
        match removed {
            Some((_, left)) => {
                self.changed(left);
                true
            }
            None => false,
        }
    }
}

impl<A> List<A> {
    fn changed(&self, count: usize) {
        if let Some(observer) = &self.observer {
            observer(count);
        }
    }
}

/// Where a listener is put.
enum Place {
    First,
    Last,
}

impl<A: 'static> Emitter<A> {
    /// An event without listeners.
    pub const fn new() -> Self {
        Self { list: OnceCell::new() }
    }

    /// An event that tells `observer` the number of its listeners after each change.
    pub fn with_observer(observer: impl Fn(usize) + 'static) -> Self {
        let emitter = Self::new();
        let _ = emitter.list.set(new_list(Some(Box::new(observer))));
        emitter
    }

    /// Calls `listener` at every emission (Node: `emitter.on`).
    pub fn on(&self, listener: impl FnMut(&A) + 'static) -> Listener {
        self.add(listener, false, Place::Last)
    }

    /// As [`Self::on`], ahead of the listeners that are there (Node: `emitter.prependListener`).
    pub fn prepend(&self, listener: impl FnMut(&A) + 'static) -> Listener {
        self.add(listener, false, Place::First)
    }

    /// Calls `listener` at the next emission only, after removing it (Node: `emitter.once`).
    pub fn once(&self, listener: impl FnOnce(&A) + 'static) -> Listener {
        let mut listener = Some(listener);
        let call = move |arguments: &A| {
            if let Some(listener) = listener.take() {
                listener(arguments);
            }
        };
        self.add(call, true, Place::Last)
    }

    fn add(&self, listener: impl FnMut(&A) + 'static, once: bool, place: Place) -> Listener {
        let list = self.list.get_or_init(|| new_list(None));
        let id = list.next_id.get();
        list.next_id.set(id + 1);
        let entry = Entry {
            id,
            once,
            callback: Rc::new(IsolateCell::new(listener)),
        };
        let count = list.entries.with(|entries| {
            match place {
                Place::First => entries.insert(0, entry),
                Place::Last => entries.push(entry),
            }
            entries.len()
        });
        list.changed(count);
        let list: Rc<dyn Remove> = Rc::clone(list) as _;
        Listener {
            id,
            list: Rc::downgrade(&list),
        }
    }

    /// Calls the listeners one after the other and gives whether there were any.
    ///
    /// # Panics
    /// When a listener emits its own event again.
    #[allow(clippy::panic, reason = "a mistake of the caller, as with RefCell")]
    pub fn emit(&self, arguments: &A) -> bool {
        let Some(list) = self.list.get() else { return false };
        // Nearly always there is one; it needs no list.
        let (first, rest) = list.entries.with(|entries| match entries.split_first() {
            Some((first, rest)) => (Some(first.clone()), rest.to_vec()),
            None => (None, Vec::new()),
        });
        let Some(first) = first else { return false };
        for entry in std::iter::once(&first).chain(&rest) {
            // A `once` that is gone already ran in an emission within this one.
            if entry.once && !list.remove(entry.id) {
                continue;
            }
            if entry.callback.try_with(|callback| callback(arguments)).is_none() {
                panic!("a listener emitted the event it was called for");
            }
        }
        true
    }

    /// How many listeners there are.
    pub fn listener_count(&self) -> usize {
        self.list
            .get()
            .map_or(0, |list| list.entries.with(|entries| entries.len()))
    }

    /// Removes all listeners.
    pub fn remove_all(&self) {
        if let Some(list) = self.list.get() {
            let removed = list.entries.with(std::mem::take);
            if !removed.is_empty() {
                list.changed(0);
            }
        }
    }
}

fn new_list<A>(observer: Option<Observer>) -> Rc<List<A>> {
    Rc::new(List {
        entries: IsolateCell::new(Vec::new()),
        next_id: Cell::new(0),
        observer,
    })
}

impl Emitter<Error> {
    /// Emits an `'error'` event: without a listener the error is uncaught, and this does not return.
    pub fn emit_error(&self, error: &Error) {
        if !self.emit(error) {
            crate::uncaught::raise(error, Origin::UncaughtException);
        }
    }
}

impl<A: 'static> Default for Emitter<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: 'static> fmt::Debug for Emitter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("listeners", &self.listener_count())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    type Trace = Rc<RefCell<Vec<&'static str>>>;
    type TestListener = Box<dyn FnMut(&())>;

    fn trace() -> (Trace, impl Fn(&'static str) -> TestListener) {
        let trace = Trace::default();
        let copy = Rc::clone(&trace);
        let listener = move |name| -> TestListener {
            let trace = Rc::clone(&copy);
            Box::new(move |()| trace.borrow_mut().push(name))
        };
        (trace, listener)
    }

    #[test]
    fn listeners_run_in_order_and_once_only_once() {
        let (trace, listener) = trace();
        let event = Emitter::new();
        event.on(listener("a"));
        event.once(listener("b"));
        event.prepend(listener("c"));
        assert!(event.emit(&()));
        assert!(event.emit(&()));
        assert_eq!(*trace.borrow(), ["c", "a", "b", "c", "a"]);
    }

    #[test]
    fn an_emission_calls_those_that_were_there_when_it_began() {
        let (trace, listener) = trace();
        let event = Rc::new(Emitter::new());
        let removed: Rc<RefCell<Option<Listener>>> = Rc::default();
        let (event2, removed2, late) = (
            Rc::clone(&event),
            Rc::clone(&removed),
            RefCell::new(Some(listener("late"))),
        );
        event.once(move |()| {
            assert!(removed2.borrow().as_ref().is_some_and(Listener::remove));
            if let Some(late) = late.borrow_mut().take() {
                event2.on(late);
            }
        });
        *removed.borrow_mut() = Some(event.on(listener("removed")));
        event.emit(&());
        event.emit(&());
        assert_eq!(*trace.borrow(), ["removed", "late"]);
    }

    #[test]
    fn the_observer_hears_the_count() {
        let counts = Rc::new(RefCell::new(Vec::new()));
        let copy = Rc::clone(&counts);
        let event = Emitter::<()>::with_observer(move |count| copy.borrow_mut().push(count));
        let listener = event.on(|()| {});
        event.once(|()| {});
        event.emit(&());
        assert!(listener.remove());
        assert!(!listener.remove());
        assert_eq!(*counts.borrow(), [1, 2, 1, 0]);
    }
}
