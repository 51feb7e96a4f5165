//! Broadcast channels.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventRecord;
use nodule_abi::hooks::Origin;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::port_state::{continued, messages_left};
use super::received::{self, Handler, MessageEvent, MessageSource, Received, Source};
use super::transfer;
use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::sys::messaging::RawMessage;
use crate::sys::{self, IsolateCell};
use crate::uncaught;

thread_local! {
    /// The open channels of the isolate by handle.
    static CHANNELS: IsolateCell<BTreeMap<u32, Rc<State>>> = const { IsolateCell::new(BTreeMap::new()) };
}

/// A channel by name: what one posts, all others of that name in the process get (Node: `BroadcastChannel`). It keeps
/// the isolate alive until it is closed or unref'd. Messages without a listener are dropped.
///
/// ```no_run
/// use nodule_sdk::worker_threads::BroadcastChannel;
///
/// # #[nodule_sdk::main]
/// # fn main() -> nodule_sdk::Result<()> {
/// let (here, there) = (BroadcastChannel::new("news"), BroadcastChannel::new("news"));
/// let done = [here.clone(), there.clone()];
/// there.on_message(move |text: String| {
///     println!("{text}");
///     done.iter().for_each(BroadcastChannel::close);
/// });
/// here.post_message("hello")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BroadcastChannel {
    state: Rc<State>,
}

struct State {
    name: String,
    /// The host's handle; 0 once it is closed.
    handle: Cell<u32>,
    message: Emitter<Received>,
    message_error: Emitter<Error>,
    onmessage: Handler,
    onmessageerror: Handler,
}

impl Sink for State {
    /// Delivers one message to one channel of the name; the rest follows in turns of their own.
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        let handle = self.handle.get();
        if handle == 0 {
            return;
        }
        let left = messages_left(&record);
        if left == 0 {
            // It is open, as seen above.
            let _ = sys::messaging::broadcast_rearm(handle);
            return;
        }
        let mut message = received::buffers();
        let mut target = 0;
        let outcome = sys::messaging::broadcast_receive(handle, false, &mut target, &mut message);
        if matches!(outcome, Ok(false)) {
            received::keep(message);
            return;
        }
        event_loop::continue_with(continued(record, left - 1));
        let Some(channel) = CHANNELS.with(|channels| channels.with(|channels| channels.get(&target).cloned())) else {
            return;
        };
        match outcome {
            Ok(_) => received::emit(message, &channel.message, &channel.message_error),
            Err(error) => {
                channel.message_error.emit(&error);
            }
        }
    }
}

impl BroadcastChannel {
    /// Joins `name`. Without room for another handle, `EMFILE` is raised as an uncaught error; see [`Self::try_new`].
    pub fn new(name: impl fmt::Display) -> Self {
        match Self::try_new(name) {
            Ok(channel) => channel,
            Err(error) => uncaught::raise(&error, Origin::UncaughtException),
        }
    }

    /// As [`Self::new`].
    ///
    /// # Errors
    /// `EMFILE` when the isolate has too many handles, `ERR_OUT_OF_RANGE` when the name is longer than 1024 bytes.
    pub fn try_new(name: impl fmt::Display) -> Result<Self> {
        let name = name.to_string();
        let handle = sys::messaging::broadcast_open(&name)?;
        let state = Rc::new(State {
            name,
            handle: Cell::new(handle),
            message: Emitter::new(),
            message_error: Emitter::new(),
            onmessage: Handler::default(),
            onmessageerror: Handler::default(),
        });
        event_loop::register(handle, Rc::clone(&state) as Rc<dyn Sink>);
        CHANNELS.with(|channels| channels.with(|channels| channels.insert(handle, Rc::clone(&state))));
        Ok(Self { state })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Sends a clone of `value` to all other channels of the name.
    ///
    /// # Errors
    /// `InvalidStateError` after [`Self::close`]; `DataCloneError` for what cannot be cloned.
    pub fn post_message<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let handle = self.state.handle.get();
        if handle == 0 {
            return Err(Error::with_code(ErrorCode::InvalidState, "BroadcastChannel is closed."));
        }
        let encoded = transfer::encode(0, value, &[])?;
        encoded.send(|message| sys::messaging::broadcast_post(handle, message))
    }

    /// Calls `listener` with each message, decoded. A message that does not fit `T` gives `messageerror`.
    pub fn on_message<T: DeserializeOwned>(&self, listener: impl FnMut(T) + 'static) -> Listener {
        self.state.message.on(received::typed(listener))
    }

    /// Calls `listener` for each message that could not be decoded, and with `ERR_WORKER_QUEUE_FULL` when messages
    /// were lost because they were not taken in time.
    pub fn on_messageerror(&self, listener: impl FnMut(&Error) + 'static) -> Listener {
        self.state.message_error.on(listener)
    }

    /// Sets the handler of messages (Node: `channel.onmessage = …`); it replaces an earlier one.
    pub fn set_onmessage<T: DeserializeOwned>(&self, handler: impl FnMut(MessageEvent<T>) + 'static) {
        let new = self.state.message.on(received::handler(handler));
        self.state.onmessage.set(Some(new));
    }

    /// Removes the handler of messages.
    pub fn clear_onmessage(&self) {
        self.state.onmessage.set(None);
    }

    /// Sets the handler of messages that could not be decoded; it replaces an earlier one.
    pub fn set_onmessageerror(&self, handler: impl FnMut(&Error) + 'static) {
        let new = self.state.message_error.on(handler);
        self.state.onmessageerror.set(Some(new));
    }

    /// Removes the handler of messages that could not be decoded.
    pub fn clear_onmessageerror(&self) {
        self.state.onmessageerror.set(None);
    }

    /// Leaves the name; what is queued for this channel is dropped. Repeating is harmless.
    pub fn close(&self) {
        let handle = self.state.handle.replace(0);
        if handle != 0 {
            event_loop::unregister(handle);
            let kept = CHANNELS.with(|channels| channels.with(|channels| channels.remove(&handle)));
            drop(kept);
            // It was open until here.
            let _ = sys::close(handle);
        }
    }

    /// Lets the channel keep the isolate alive, as it does at first.
    pub fn ref_(&self) -> &Self {
        // A closed one keeps nothing alive.
        let _ = sys::ref_handle(self.state.handle.get());
        self
    }

    /// Lets the isolate end although the channel is open.
    pub fn unref(&self) -> &Self {
        let _ = sys::unref_handle(self.state.handle.get());
        self
    }
}

impl fmt::Debug for BroadcastChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastChannel")
            .field("name", &self.state.name)
            .field("is_open", &(self.state.handle.get() != 0))
            .finish_non_exhaustive()
    }
}

impl Source for BroadcastChannel {
    fn source_handle(&self) -> u32 {
        self.state.handle.get()
    }

    fn take(&self, handle: u32, message: &mut RawMessage) -> Result<bool> {
        sys::messaging::broadcast_receive(handle, true, &mut 0, message)
    }
}

impl MessageSource for BroadcastChannel {}
