//! What a port is made of: its listeners, its delivery, its end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::imports::messaging::outcome;

use super::received::{self, Handler, Received};
use super::room::Room;
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::Emitter;
use crate::process::{self, WarningOptions};
use crate::sys::{self, IsolateCell};

/// Messages a port delivers before others get their turn, unless more were queued.
const MESSAGES_PER_WAKE: u64 = 1000;
/// In `args[2]` of a record: it goes on with a delivery, and `args[1]` is what is left of it.
const CONTINUED: u64 = 1;

/// How many messages of this wake-up are left.
pub(crate) fn messages_left(record: &EventRecord) -> u64 {
    if record.args[2] == CONTINUED {
        record.args[1]
    } else {
        record.args[0].max(MESSAGES_PER_WAKE)
    }
}

/// The record that goes on with a delivery.
pub(crate) fn continued(mut record: EventRecord, left: u64) -> EventRecord {
    record.args[1] = left;
    record.args[2] = CONTINUED;
    record
}

thread_local! {
    /// The ports by handle: one that comes back in a message again is the same one.
    static PORTS: IsolateCell<BTreeMap<u32, Weak<State>>> = const { IsolateCell::new(BTreeMap::new()) };
}

/// A port, as its clones share it.
pub(super) struct State {
    /// The host's handle; 0 once it is closed or was moved.
    pub handle: Cell<u32>,
    pub message: Emitter<Received>,
    pub message_error: Emitter<Error>,
    pub close: Emitter<()>,
    pub drain: Emitter<()>,
    pub onmessage: Handler,
    pub onmessageerror: Handler,
    is_started: Cell<bool>,
    /// `close` was called.
    pub is_closing: Cell<bool>,
    has_listeners: Cell<bool>,
    pub wants_ref: Cell<bool>,
    /// Something else keeps the isolate alive for it.
    pub is_never_ref: Cell<bool>,
    pub room: Room,
    /// Itself, while it is open and somebody listens.
    keep: IsolateCell<Option<Rc<State>>>,
}

/// What the event loop holds: not the port itself, which closes when nobody has it.
struct PortSink(Weak<State>);

impl Sink for PortSink {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        if let Some(state) = self.0.upgrade() {
            state.dispatch(record);
        }
    }
}

impl State {
    /// The port behind a handle that the isolate owns.
    pub fn of_handle(handle: u32) -> Rc<Self> {
        let known = PORTS.with(|ports| ports.with(|ports| ports.get(&handle).and_then(Weak::upgrade)));
        known.unwrap_or_else(|| {
            let state = Self::new(handle);
            PORTS.with(|ports| ports.with(|ports| ports.insert(handle, Rc::downgrade(&state))));
            event_loop::register(handle, Rc::new(PortSink(Rc::downgrade(&state))));
            state
        })
    }

    fn new(handle: u32) -> Rc<Self> {
        Rc::new_cyclic(|weak: &Weak<Self>| {
            let observer = |changed: fn(&Rc<Self>)| {
                let weak = Weak::clone(weak);
                move |_count| {
                    if let Some(state) = weak.upgrade() {
                        changed(&state);
                    }
                }
            };
            Self {
                handle: Cell::new(handle),
                message: Emitter::with_observer(observer(Self::listeners_changed)),
                message_error: Emitter::with_observer(observer(Self::update_keep)),
                close: Emitter::with_observer(observer(Self::update_keep)),
                drain: Emitter::with_observer(observer(Self::update_keep)),
                onmessage: Handler::default(),
                onmessageerror: Handler::default(),
                is_started: Cell::new(false),
                is_closing: Cell::new(false),
                has_listeners: Cell::new(false),
                wants_ref: Cell::new(false),
                is_never_ref: Cell::new(false),
                room: Room::default(),
                keep: IsolateCell::new(None),
            }
        })
    }

    pub fn is_gone(&self) -> bool {
        self.handle.get() == 0
    }

    /// The first listener starts and refs the port, the last one that goes stops and unrefs it.
    fn listeners_changed(self: &Rc<Self>) {
        let has_listeners = self.message.listener_count() > 0;
        if self.has_listeners.replace(has_listeners) != has_listeners {
            if has_listeners {
                self.start();
            } else if self.is_started.replace(false) && !self.is_gone() {
                // The handle is open, as seen above; so in the calls below.
                let _ = sys::messaging::port_stop(self.handle.get());
            }
            self.wants_ref.set(has_listeners);
            self.update_ref();
        }
        self.update_keep();
    }

    fn update_keep(self: &Rc<Self>) {
        let emitters = [
            self.message.listener_count(),
            self.message_error.listener_count(),
            self.close.listener_count(),
            self.drain.listener_count(),
        ];
        let is_kept = !self.is_gone() && (emitters.iter().sum::<usize>() > 0 || self.room.is_waited_for());
        let new = is_kept.then(|| Rc::clone(self));
        let old = self.keep.with(|keep| std::mem::replace(keep, new));
        drop(old);
    }

    pub fn update_ref(self: &Rc<Self>) {
        let is_ref = !self.is_never_ref.get() && (self.wants_ref.get() || self.room.is_waited_for());
        let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
        if !self.is_gone() {
            let _ = set(self.handle.get());
        }
        self.update_keep();
    }

    pub fn start(&self) {
        if !self.is_gone() && !self.is_started.replace(true) {
            let _ = sys::messaging::port_start(self.handle.get());
        }
    }

    fn dispatch(self: Rc<Self>, record: EventRecord) {
        match EventKind::from_number(record.kind) {
            Some(EventKind::Message) => self.deliver(record),
            Some(EventKind::PortClose) => self.closed(),
            Some(EventKind::PortDrain) => {
                self.room.wake();
                self.drain.emit(&());
            }
            _ => {}
        }
    }

    /// Delivers the oldest message now; gives whether there was one.
    pub fn deliver_next(&self) -> bool {
        let handle = self.handle.get();
        if handle == 0 || !self.is_started.get() {
            return false;
        }
        let mut message = received::buffers();
        match sys::messaging::receive(handle, &mut message) {
            Ok(true) => {
                received::emit(message, &self.message, &self.message_error);
                true
            }
            Ok(false) => {
                received::keep(message);
                false
            }
            Err(error) => {
                self.message_error.emit(&error);
                true
            }
        }
    }

    /// Delivers one message; the rest follows in turns of their own.
    fn deliver(&self, record: EventRecord) {
        let handle = self.handle.get();
        if handle == 0 || !self.is_started.get() {
            return;
        }
        let left = messages_left(&record);
        if left == 0 {
            // Others first: the host asks again behind them.
            let _ = sys::messaging::port_start(handle);
            return;
        }
        let mut message = received::buffers();
        match sys::messaging::receive(handle, &mut message) {
            Ok(true) => {
                event_loop::continue_with(continued(record, left - 1));
                received::emit(message, &self.message, &self.message_error);
            }
            Ok(false) => received::keep(message),
            Err(error) => {
                event_loop::continue_with(continued(record, left - 1));
                self.message_error.emit(&error);
            }
        }
    }

    /// The channel is closed and everything was delivered.
    fn closed(&self) {
        let handle = self.leave();
        if handle != 0 {
            let _ = sys::close(handle);
        }
        self.close.emit(&());
    }

    /// Gives the handle up without closing it; 0 when that happened before.
    pub fn leave(&self) -> u32 {
        let handle = self.handle.replace(0);
        if handle != 0 {
            event_loop::unregister(handle);
            PORTS.with(|ports| ports.with(|ports| ports.remove(&handle)));
        }
        self.room.wake();
        let kept = self.keep.with(Option::take);
        drop(kept);
        handle
    }

    /// Sends an encoded message; `None` when there is no room for it.
    pub fn send(&self, message: sys::messaging::MessageRef<'_>, only_if_room: bool) -> Result<Option<bool>> {
        let outcome = sys::messaging::post(self.handle.get(), message, only_if_room)?;
        if outcome == Some(outcome::TARGET_LOST) {
            // The arguments are of the right types, so this cannot fail.
            let _ = process::emit_warning(
                "The target port was posted to itself, and the communication channel was lost",
                WarningOptions::default(),
            );
        }
        Ok(outcome.map(|outcome| outcome != outcome::ABOVE_MARK))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let handle = self.leave();
        if handle != 0 {
            let _ = sys::close(handle);
        }
    }
}
