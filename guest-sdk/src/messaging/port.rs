//! Channels and their ports.

use std::fmt;
use std::rc::Rc;

use nodule_abi::hooks::Origin;
use nodule_abi::resource::ResourceKind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::port_state::State;
use super::received::{self, MessageEvent, MessageSource, Source};
use super::side_list;
use super::transfer::{self, Transfer, TransferList, Transferable};
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::sys;
use crate::sys::messaging::RawMessage;
use crate::uncaught;

/// Two ports, each of which receives what is posted to the other (Node: `MessageChannel`).
#[derive(Clone, Debug)]
pub struct MessageChannel {
    /// One end.
    pub port1: MessagePort,
    /// The other end.
    pub port2: MessagePort,
}

impl MessageChannel {
    /// A new channel. Without room for two more handles, `EMFILE` is raised as an uncaught error; see [`Self::try_new`].
    #[allow(clippy::new_without_default, reason = "it makes something in the host")]
    pub fn new() -> Self {
        match Self::try_new() {
            Ok(channel) => channel,
            Err(error) => uncaught::raise(&error, Origin::UncaughtException),
        }
    }

    /// As [`Self::new`].
    ///
    /// # Errors
    /// `EMFILE` when the isolate has too many handles.
    pub fn try_new() -> Result<Self> {
        let [port1, port2] = sys::messaging::channel()?.map(MessagePort::of_handle);
        Ok(Self { port1, port2 })
    }
}

/// One end of a channel (Node: `MessagePort`). Clones are the same port. A port with a listener stays open until it is
/// closed; another one closes when its last clone is dropped.
///
/// ```no_run
/// use nodule_sdk::worker_threads::MessageChannel;
///
/// # #[nodule_sdk::main]
/// # fn main() -> nodule_sdk::Result<()> {
/// let channel = MessageChannel::new();
/// let port = channel.port2.clone();
/// channel.port2.on_message(move |text: String| {
///     println!("{text}");
///     port.close();
/// });
/// channel.port1.post_message("hello")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MessagePort {
    state: Rc<State>,
}

impl MessagePort {
    /// The port behind a handle that the isolate owns.
    pub(crate) fn of_handle(handle: u32) -> Self {
        Self {
            state: State::of_handle(handle),
        }
    }

    /// Delivers the oldest message to the listeners now; gives whether there was one.
    pub(crate) fn deliver_next(&self) -> bool {
        self.state.deliver_next()
    }

    /// Whether it was closed or moved.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.is_gone() || self.state.is_closing.get()
    }

    /// It does not keep the isolate alive, whoever listens.
    pub(crate) fn never_ref(&self) {
        self.state.is_never_ref.set(true);
        self.state.update_ref();
    }

    pub(super) fn state(&self) -> &Rc<State> {
        &self.state
    }

    pub(crate) fn raw_handle(&self) -> u32 {
        self.state.handle.get()
    }

    /// Sends a clone of `value` to the other end (Node: `postMessage`). Gives whether the receiver has room for more;
    /// when it has not, `drain` follows. After the channel was closed the message is dropped.
    ///
    /// # Errors
    /// `DataCloneError` for what cannot be cloned, `ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST` for a port in the value
    /// ([`Self::post_message_with`]), `ERR_WORKER_QUEUE_FULL` when the receiver does not keep up. Errors of `Serialize`
    /// implementations come unchanged.
    pub fn post_message<T: Serialize + ?Sized>(&self, value: &T) -> Result<bool> {
        self.post_message_with(value, &[])
    }

    /// As [`Self::post_message`]; what is in `transfer` moves: it cannot be used here any more. `Value::Resource(i)`
    /// in a [`Value`](crate::Value) is the `i`-th port of the list.
    ///
    /// # Errors
    /// As [`Self::post_message`]; `DataCloneError` for an item that occurs twice, is this port, was moved or marked.
    /// Nothing moves then.
    pub fn post_message_with<T: Serialize + ?Sized>(&self, value: &T, transfer: TransferList<'_>) -> Result<bool> {
        let encoded = transfer::encode(self.raw_handle(), value, transfer)?;
        encoded.send(|message| Ok(self.state.send(message, false)?.unwrap_or(true)))
    }

    /// As [`Self::post_message`], but waits while the receiver's queue is above its mark. The value is cloned now.
    ///
    /// # Errors
    /// As [`Self::post_message`].
    pub fn post_message_async<T: Serialize + ?Sized>(&self, value: &T) -> impl Future<Output = Result<()>> + use<T> {
        let encoded = transfer::encode(self.raw_handle(), value, &[]);
        super::room::post(self.clone(), encoded)
    }

    /// Calls `listener` with each message, decoded. The first listener starts the port and lets it keep the isolate
    /// alive. A message that does not fit `T` gives `messageerror`.
    pub fn on_message<T: DeserializeOwned>(&self, listener: impl FnMut(T) + 'static) -> Listener {
        self.state.message.on(received::typed(listener))
    }

    /// As [`Self::on_message`], for one message.
    pub fn once_message<T: DeserializeOwned>(&self, listener: impl FnOnce(T) + 'static) -> Listener {
        let mut listener = Some(listener);
        let mut call = received::typed(move |value| {
            if let Some(listener) = listener.take() {
                listener(value);
            }
        });
        self.state.message.once(move |received| call(received))
    }

    /// Calls `listener` for each message that could not be decoded.
    pub fn on_messageerror(&self, listener: impl FnMut(&Error) + 'static) -> Listener {
        self.state.message_error.on(listener)
    }

    /// Calls `listener` once the channel is closed and everything was delivered.
    pub fn on_close(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.state.close.on(move |()| listener())
    }

    /// Calls `listener` whenever a receiver whose queue was above its mark has room again.
    pub fn on_drain(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.state.drain.on(move |()| listener())
    }

    /// Sets the handler of messages (Node: `port.onmessage = …`); it replaces an earlier one. Setting it starts the
    /// port and lets it keep the isolate alive.
    pub fn set_onmessage<T: DeserializeOwned>(&self, handler: impl FnMut(MessageEvent<T>) + 'static) {
        let new = self.state.message.on(received::handler(handler));
        self.state.onmessage.set(Some(new));
    }

    /// Removes the handler of messages (Node: `port.onmessage = null`). Without another listener delivery stops.
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

    /// Begins delivery (Node: `start`); messages without a listener are dropped.
    pub fn start(&self) {
        self.state.start();
    }

    /// Closes the channel (Node: `close`): nothing more can be sent in either direction. What is queued is still
    /// delivered, then both ends get `close`. Repeating is harmless.
    pub fn close(&self) {
        self.state.is_closing.set(true);
        if !self.state.is_gone() {
            let _ = sys::messaging::port_close(self.raw_handle());
        }
    }

    /// As [`Self::close`]; calls `callback` at the `close` event of this end.
    pub fn close_with(&self, callback: impl FnOnce() + 'static) {
        self.state.close.once(move |()| callback());
        self.close();
    }

    /// Lets the port keep the isolate alive (Node: `ref`).
    pub fn ref_(&self) {
        self.state.wants_ref.set(true);
        self.state.update_ref();
    }

    /// Lets the isolate end although the port is open (Node: `unref`).
    pub fn unref(&self) {
        self.state.wants_ref.set(false);
        self.state.update_ref();
    }

    /// Whether the port keeps the isolate alive (Node: `hasRef`); never after `close`.
    pub fn has_ref(&self) -> bool {
        !self.state.is_gone() && !self.state.is_closing.get() && sys::has_ref(self.raw_handle()).unwrap_or(false)
    }
}

impl fmt::Debug for MessagePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessagePort")
            .field("is_open", &!self.state.is_gone())
            .finish_non_exhaustive()
    }
}

impl PartialEq for MessagePort {
    /// Whether both are the same port.
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.state, &other.state)
    }
}

impl Serialize for MessagePort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.raw_handle() {
            0 => Err(side_list::clone_error(transfer::data_clone(
                "MessagePort is detached and could not be cloned.",
            ))),
            handle => side_list::serialize_handle(handle, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MessagePort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let port = side_list::deserialize_handle(ResourceKind::Port, deserializer).map(Self::of_handle)?;
        side_list::keep(Rc::clone(&port.state) as Rc<dyn std::any::Any>);
        Ok(port)
    }
}

impl Transfer for MessagePort {
    fn handle(&self) -> Option<u32> {
        Some(self.raw_handle())
    }

    fn identity(&self) -> (*const (), &'static str) {
        (Rc::as_ptr(&self.state).cast(), "MessagePort")
    }

    fn refusal(&self) -> Option<&'static str> {
        self.state
            .is_gone()
            .then_some("MessagePort in transfer list is already detached")
    }

    fn detach(&self) {
        // The host took the handle.
        self.state.leave();
    }
}

impl Transferable for MessagePort {}

impl Source for MessagePort {
    fn source_handle(&self) -> u32 {
        self.raw_handle()
    }

    fn take(&self, handle: u32, message: &mut RawMessage) -> Result<bool> {
        sys::messaging::receive(handle, message)
    }
}

impl MessageSource for MessagePort {}
