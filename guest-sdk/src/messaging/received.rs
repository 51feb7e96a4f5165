//! Messages on their way to their readers.

use std::cell::Cell;
use std::time::Duration;

use nodule_abi::resource::ResourceKind;
use nodule_abi::value::{self, DecodeError};
use serde::de::DeserializeOwned;

use super::port::MessagePort;
use super::side_list;
use super::transfer::data_clone;
use crate::error::{Error, Result};
use crate::events::{Emitter, Listener};
use crate::sys::IsolateCell;
use crate::sys::messaging::RawMessage;

thread_local! {
    /// The buffers of the last message, to be used again.
    static SPARE: IsolateCell<Option<RawMessage>> = const { IsolateCell::new(None) };
}

/// Larger buffers are not kept.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Buffers for a message.
pub(crate) fn buffers() -> RawMessage {
    SPARE.with(|spare| spare.with(Option::take)).unwrap_or_default()
}

/// Keeps buffers for the next message.
pub(crate) fn keep(message: RawMessage) {
    if message.capacity_bytes() <= KEPT_BYTES_MAX {
        let old = SPARE.with(|spare| spare.with(|spare| spare.replace(message)));
        drop(old);
    }
}

fn decode_error(error: &DecodeError) -> Error {
    data_clone(format!("The message could not be decoded: {error}"))
}

/// Reads a message into one value; what it carries besides is closed.
pub(crate) fn read<T: DeserializeOwned>(message: RawMessage) -> Result<T> {
    let result = read_ref(&message);
    keep(message);
    result
}

/// As [`read`], of a message that stays.
pub(crate) fn read_ref<T: DeserializeOwned>(message: &RawMessage) -> Result<T> {
    side_list::begin(message);
    let result = value::from_slice(message.bytes()).map_err(|error| decode_error(&error));
    side_list::end();
    result
}

/// Closes what a message carries that nobody reads.
pub(crate) fn discard(message: RawMessage) {
    side_list::begin(&message);
    side_list::end();
    keep(message);
}

/// Lets `run` give a message to its readers.
///
/// # Errors
/// One of them could not read it.
pub(crate) fn with_readers(message: RawMessage, run: impl FnOnce(Received) -> Received) -> Result<()> {
    side_list::begin(&message);
    let received = run(Received {
        message,
        failure: Cell::new(None),
    });
    side_list::end();
    let failure = received.failure.take();
    keep(received.message);
    failure.map_or(Ok(()), Err)
}

/// A message as its listeners get it; each reads it into its own type.
pub(crate) struct Received {
    message: RawMessage,
    failure: Cell<Option<Error>>,
}

impl Received {
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        match value::from_slice(self.message.bytes()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.set(Some(decode_error(&error)));
                None
            }
        }
    }
}

/// Gives a message to all listeners; when one of them could not read it, `messageerror` follows.
pub(super) fn emit(message: RawMessage, listeners: &Emitter<Received>, errors: &Emitter<Error>) {
    let read = with_readers(message, |received| {
        listeners.emit(&received);
        received
    });
    if let Err(error) = read {
        errors.emit(&error);
    }
}

/// A listener of messages that calls `listener` with the decoded value.
pub(super) fn typed<T: DeserializeOwned>(mut listener: impl FnMut(T) + 'static) -> impl FnMut(&Received) + 'static {
    move |received| {
        if let Some(value) = received.read() {
            listener(value);
        }
    }
}

/// What the handler of [`MessagePort::set_onmessage`] gets (Node: `MessageEvent`).
#[derive(Debug)]
pub struct MessageEvent<T> {
    /// The value.
    pub data: T,
    /// The ports that came with it, in the order of the transfer list.
    pub ports: Vec<MessagePort>,
}

/// As [`typed`], for handlers of whole events.
pub(super) fn handler<T: DeserializeOwned>(
    mut handler: impl FnMut(MessageEvent<T>) + 'static,
) -> impl FnMut(&Received) + 'static {
    move |received| {
        if let Some(data) = received.read() {
            let ports = side_list::claim_all(ResourceKind::Port);
            let ports = ports.into_iter().map(MessagePort::of_handle).collect();
            handler(MessageEvent { data, ports });
        }
    }
}

/// The one handler of an `on…` attribute.
#[derive(Default)]
pub(super) struct Handler(Cell<Option<Listener>>);

impl Handler {
    /// Sets it; the one before is removed.
    pub fn set(&self, listener: Option<Listener>) {
        if let Some(old) = self.0.replace(listener) {
            old.remove();
        }
    }
}

/// Where messages can be taken from: [`MessagePort`] and [`BroadcastChannel`](super::BroadcastChannel). Other types
/// cannot implement it.
pub trait MessageSource: Source {}

pub(super) mod sealed {
    use crate::error::Result;
    use crate::sys::messaging::RawMessage;

    /// How messages are taken.
    pub trait Source {
        /// Its handle; 0 when it is closed.
        fn source_handle(&self) -> u32;
        /// Takes the oldest message of an open handle.
        fn take(&self, handle: u32, message: &mut RawMessage) -> Result<bool>;
    }
}

pub(super) use sealed::Source;

/// Takes the oldest message that is queued for `source`, if there is one (Node: `receiveMessageOnPort`). No event is
/// emitted; a port need not be started. Messages stay readable after the other end was closed, until the `close` event.
///
/// # Errors
/// `DataCloneError` when the message does not fit `T`; it is lost then. `EMFILE` when it carries more resources than
/// the isolate may have. `ERR_WORKER_QUEUE_FULL`, once, when a broadcast channel lost messages.
pub fn receive_message_on_port<T: DeserializeOwned>(source: &impl MessageSource) -> Result<Option<T>> {
    let handle = source.source_handle();
    if handle == 0 {
        return Ok(None);
    }
    let mut message = buffers();
    match source.take(handle, &mut message) {
        Ok(true) => read(message).map(Some),
        Ok(false) => {
            keep(message);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// As [`receive_message_on_port`], waiting up to `timeout` for a message; the isolate does nothing else meanwhile.
/// `None` when none came in time, or when none can come because the channel is closed.
///
/// # Errors
/// As [`receive_message_on_port`].
pub fn receive_message_on_port_timeout<T: DeserializeOwned>(
    source: &impl MessageSource,
    timeout: Duration,
) -> Result<Option<T>> {
    let handle = source.source_handle();
    let timeout_ns = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
    if handle == 0 || !crate::sys::messaging::receive_wait(handle, timeout_ns)? {
        return Ok(None);
    }
    receive_message_on_port(source)
}
