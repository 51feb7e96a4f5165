//! One end of a channel between processes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::{EventKind, EventRecord};
use serde::de::DeserializeOwned;

use super::handle::SendHandle;
use super::json::{self, Unreadable};
use super::send::Callback;
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::messaging::received::{self, Received};
use crate::messaging::room::Room;
use crate::messaging::{continued, messages_left};
use crate::sys::messaging::RawMessage;
use crate::sys::{self, IsolateCell, ipc as host};
use crate::timers;

/// A message and the native handle that came with it, as listeners get them.
pub(crate) struct Arrived {
    received: Received,
    handle: Option<SendHandle>,
}

/// What lets an end keep the isolate alive, unless the guest's author decides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepAlive {
    /// That it is open: the end of a parent.
    Open,
    /// Listeners of messages or of the end of the channel: the end of a child.
    Listeners,
}

/// One end of a channel. Clones are the same end.
#[derive(Clone)]
pub(crate) struct End(pub(super) Rc<State>);

/// An end, as its clones share it.
pub(super) struct State {
    /// The host's handle; 0 when there is none, or none any more.
    pub handle: Cell<u32>,
    /// Whether there ever was a channel.
    pub exists: bool,
    pub is_advanced: bool,
    pub is_connected: Cell<bool>,
    /// `'disconnect'` was emitted, or will never be.
    is_over: Cell<bool>,
    is_started: Cell<bool>,
    keep_alive: KeepAlive,
    /// What the guest's author wants.
    wants_ref: Cell<Option<bool>>,
    /// What the host was told.
    is_ref: Cell<Option<bool>>,
    message: Emitter<Arrived>,
    disconnect: Emitter<()>,
    pub error: Rc<Emitter<Error>>,
    /// Who is told when a message is written, by request.
    callbacks: IsolateCell<BTreeMap<u32, Callback>>,
    pub room: Room,
}

impl End {
    /// The end behind a handle that the isolate owns; 0 for none. Its errors go to `error`.
    ///
    /// # Errors
    /// None with a handle of the host's.
    pub fn open(handle: u32, keep_alive: KeepAlive, error: Rc<Emitter<Error>>) -> Result<Self> {
        let facts = if handle == 0 {
            host::State::default()
        } else {
            host::state(handle)?
        };
        Ok(Self::with(handle, facts, keep_alive, error))
    }

    /// The end of no channel.
    pub fn absent() -> Self {
        Self::with(0, host::State::default(), KeepAlive::Listeners, Rc::default())
    }

    fn with(handle: u32, facts: host::State, keep_alive: KeepAlive, error: Rc<Emitter<Error>>) -> Self {
        let state = Rc::new_cyclic(|weak: &Weak<State>| {
            let observer = || {
                let weak = Weak::clone(weak);
                move |_count| {
                    if let Some(state) = weak.upgrade() {
                        state.listeners_changed();
                    }
                }
            };
            State {
                handle: Cell::new(handle),
                exists: handle != 0,
                is_advanced: facts.is_advanced,
                is_connected: Cell::new(facts.is_connected),
                is_over: Cell::new(handle == 0),
                is_started: Cell::new(false),
                keep_alive,
                // Of one that is closed already the host may have nothing more to tell.
                wants_ref: Cell::new((!facts.is_connected).then_some(false)),
                is_ref: Cell::new(None),
                message: Emitter::with_observer(observer()),
                disconnect: Emitter::with_observer(observer()),
                error,
                callbacks: IsolateCell::new(BTreeMap::new()),
                room: Room::default(),
            }
        });
        if handle != 0 {
            event_loop::register(handle, Rc::clone(&state) as Rc<dyn Sink>);
            state.update_ref();
        }
        Self(state)
    }

    /// Whether messages can be sent.
    pub fn is_connected(&self) -> bool {
        let handle = self.0.handle.get();
        self.0.is_connected.get() && host::state(handle).is_ok_and(|state| state.is_connected)
    }

    /// Whether there ever was a channel.
    pub fn exists(&self) -> bool {
        self.0.exists
    }

    /// Calls `listener` with each message, and what came with it.
    pub fn on_message<T: DeserializeOwned + 'static>(
        &self,
        listener: impl FnMut(T, Option<SendHandle>) + 'static,
    ) -> Listener {
        self.0.message.on(typed(listener))
    }

    /// As [`Self::on_message`], for the next one only.
    pub fn once_message<T: DeserializeOwned + 'static>(
        &self,
        listener: impl FnOnce(T, Option<SendHandle>) + 'static,
    ) -> Listener {
        let mut listener = Some(listener);
        let mut call = typed(move |value, handle| {
            if let Some(listener) = listener.take() {
                listener(value, handle);
            }
        });
        self.0.message.once(move |arrived| call(arrived))
    }

    /// The emitter of messages, to count and to remove listeners.
    pub fn messages(&self) -> &Emitter<Arrived> {
        &self.0.message
    }

    /// The emitter of `'disconnect'`.
    pub fn disconnects(&self) -> &Emitter<()> {
        &self.0.disconnect
    }

    /// The emitter of `'error'`.
    pub fn errors(&self) -> &Emitter<Error> {
        &self.0.error
    }

    /// Closes the channel after what is queued. The second time it is an `'error'`.
    ///
    /// # Errors
    /// `ERR_IPC_DISCONNECTED` when it is not connected and nobody listens for `'error'`.
    pub fn disconnect(&self) -> Result<()> {
        if self.0.is_connected.replace(false) {
            return match host::disconnect(self.0.handle.get()) {
                // The other side was faster, and `'disconnect'` is on its way.
                Err(error) if error.is_code(ErrorCode::IpcDisconnected.as_str()) => Ok(()),
                result => result,
            };
        }
        let error = Error::with_code(ErrorCode::IpcDisconnected, ErrorCode::IpcDisconnected.text());
        if self.0.error.listener_count() == 0 {
            return Err(error);
        }
        self.0.report(error);
        Ok(())
    }

    /// Decides whether the channel keeps the isolate alive; listeners are not counted any more.
    pub fn set_ref(&self, is_ref: bool) {
        self.0.wants_ref.set(Some(is_ref));
        self.0.update_ref();
    }

    /// Whether the channel keeps the isolate alive.
    pub fn has_ref(&self) -> bool {
        let handle = self.0.handle.get();
        handle != 0 && sys::has_ref(handle).unwrap_or(false)
    }

    /// Delivers the oldest message to the listeners now; gives whether there was one.
    pub fn deliver_next(&self) -> bool {
        let next = self.0.take_next();
        let is_there = next.is_some();
        if let Some(next) = next {
            self.0.emit(next);
        }
        is_there
    }

    /// The other side has ended: emits `'disconnect'` unless that happened. Gives whether it did now.
    pub fn finish(&self) -> bool {
        let is_first = !self.0.is_over.get();
        if is_first {
            self.0.finish();
        }
        is_first
    }
}

/// A message as the host gave it, or why it could not.
type Taken = Result<(RawMessage, Option<SendHandle>)>;

impl State {
    /// The first listener of messages starts delivery, the last one that goes stops it.
    fn listeners_changed(&self) {
        let has_listeners = self.message.listener_count() > 0;
        let handle = self.handle.get();
        if handle != 0 && self.is_started.replace(has_listeners) != has_listeners {
            let set = if has_listeners { host::start } else { host::stop };
            // The handle is open.
            let _ = set(handle);
        }
        self.update_ref();
    }

    pub fn update_ref(&self) {
        let handle = self.handle.get();
        if handle == 0 {
            return;
        }
        let by_default = match self.keep_alive {
            KeepAlive::Open => true,
            KeepAlive::Listeners => self.message.listener_count() + self.disconnect.listener_count() > 0,
        };
        let is_waiting = self.room.is_waited_for() || self.callbacks.with(|callbacks| !callbacks.is_empty());
        let is_ref = !self.is_over.get() && (is_waiting || self.wants_ref.get().unwrap_or(by_default));
        if self.is_ref.replace(Some(is_ref)) != Some(is_ref) {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // The handle is open.
            let _ = set(handle);
        }
    }

    /// Emits `'error'` on the next tick.
    pub fn report(&self, error: Error) {
        let emitter = Rc::clone(&self.error);
        event_loop::next_tick(move || emitter.emit_error(&error));
    }

    /// Calls `callback` when the host says that the message is written.
    pub fn add_callback(&self, request: u32, callback: Callback) {
        self.callbacks.with(|callbacks| callbacks.insert(request, callback));
        self.update_ref();
    }

    /// The oldest message, if somebody listens.
    fn take_next(&self) -> Option<Taken> {
        let handle = self.handle.get();
        if handle == 0 || !self.is_started.get() {
            return None;
        }
        let mut message = received::buffers();
        match host::receive(handle, &mut message) {
            Ok(Some(0)) => Some(Ok((message, None))),
            Ok(Some(native)) => Some(Ok((message, Some(SendHandle::from_handle(native))))),
            Ok(None) => {
                received::keep(message);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Gives a message to the listeners. May not return.
    fn emit(&self, taken: Taken) {
        match taken.and_then(|(message, handle)| self.emit_message(message, handle)) {
            Ok(()) => {}
            Err(error) => self.error.emit_error(&error),
        }
    }

    fn emit_message(&self, mut message: RawMessage, handle: Option<SendHandle>) -> Result<()> {
        if !self.is_advanced {
            match json::to_cbor(message.bytes()) {
                Ok(bytes) => message.replace_bytes(bytes),
                Err(Unreadable::NoValue(error)) => return Err(error),
                Err(Unreadable::NotJson(error)) => {
                    if self.is_connected.replace(false) {
                        // The handle is open.
                        let _ = host::disconnect(self.handle.get());
                    }
                    return Err(error);
                }
            }
        }
        received::with_readers(message, |received| {
            let arrived = Arrived { received, handle };
            self.message.emit(&arrived);
            arrived.received
        })
    }

    /// Delivers one message; the rest follows in turns of their own.
    fn deliver(self: &Rc<Self>, record: EventRecord) {
        let left = messages_left(&record);
        if left == 0 {
            // Others first.
            let (state, again) = (Rc::clone(self), EventRecord { args: [0; 3], ..record });
            timers::set_immediate(move || state.deliver(again));
        } else if let Some(next) = self.take_next() {
            event_loop::continue_with(continued(record, left - 1));
            self.emit(next);
        }
    }

    /// The channel is closed: what has come is delivered first, each message in a turn of its own.
    fn disconnected(&self, record: EventRecord) {
        match self.take_next() {
            Some(next) => {
                event_loop::continue_with(record);
                self.emit(next);
            }
            None if self.is_over.get() => {}
            None => self.finish(),
        }
    }

    /// The channel failed; `'disconnect'` follows.
    fn failed(&self, record: EventRecord) {
        match self.take_next() {
            Some(next) => {
                event_loop::continue_with(record);
                self.emit(next);
            }
            None => {
                self.is_connected.set(false);
                self.error.emit_error(&error_of(record.args[0]));
            }
        }
    }

    fn finish(&self) {
        self.is_over.set(true);
        self.is_connected.set(false);
        self.update_ref();
        // A child can still be sent what it did not listen for yet; a parent hears of the end of its child.
        if self.keep_alive == KeepAlive::Open {
            let handle = self.handle.replace(0);
            event_loop::unregister(handle);
            // It is open until here.
            let _ = sys::close(handle);
        }
        self.room.wake();
        for (_, callback) in self.callbacks.with(std::mem::take) {
            event_loop::next_tick(move || callback(Err(closed())));
        }
        self.disconnect.emit(&());
    }

    fn sent(&self, record: EventRecord) {
        let request = u32::try_from(record.args[0]).unwrap_or_default();
        let callback = self.callbacks.with(|callbacks| callbacks.remove(&request));
        self.update_ref();
        if let Some(callback) = callback {
            callback(match record.args[1] {
                0 => Ok(()),
                number => Err(error_of(number)),
            });
        }
    }
}

impl Sink for State {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        match EventKind::from_number(record.kind) {
            Some(EventKind::IpcMessage) => self.deliver(record),
            Some(EventKind::IpcDisconnect) => self.disconnected(record),
            Some(EventKind::IpcSent) => self.sent(record),
            Some(EventKind::IpcDrain) => self.room.wake(),
            Some(EventKind::IpcError) => self.failed(record),
            _ => {}
        }
    }
}

/// The error of sending over a channel that is closed.
pub(super) fn closed() -> Error {
    Error::with_code(ErrorCode::IpcChannelClosed, ErrorCode::IpcChannelClosed.text())
}

/// The error that an event names by its number.
fn error_of(number: u64) -> Error {
    let code = u16::try_from(number).ok().and_then(ErrorCode::from_number);
    let code = code.unwrap_or(ErrorCode::Internal);
    Error::with_code(code, code.text())
}

/// A listener of messages that calls `listener` with the decoded value.
fn typed<T: DeserializeOwned>(mut listener: impl FnMut(T, Option<SendHandle>) + 'static) -> impl FnMut(&Arrived) {
    move |arrived| {
        if let Some(value) = arrived.received.read() {
            listener(value, arrived.handle.clone());
        }
    }
}
