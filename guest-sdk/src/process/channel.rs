//! The channel to the parent process.

use std::cell::OnceCell;
use std::future::Future;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attributes::get_attribute;
use crate::error::{Error, Result};
use crate::events::Listener;
pub use crate::ipc::{Channel, SendHandle, SendOptions};
use crate::ipc::{End, KeepAlive};

thread_local! {
    static PARENT: OnceCell<Parent> = const { OnceCell::new() };
}

/// The end of the channel, and why it cannot be used here.
struct Parent {
    end: End,
    refusal: Option<Error>,
}

impl Parent {
    fn open() -> Self {
        let found = get_attribute("channel").and_then(|value| {
            let handle = value.and_then(|value| value.as_u32()).unwrap_or(0);
            End::open(handle, KeepAlive::Listeners, Rc::default())
        });
        match found {
            Ok(end) => Self { end, refusal: None },
            Err(error) => Self {
                end: End::absent(),
                refusal: Some(error),
            },
        }
    }
}

/// The end of the channel; one without a channel where there is none.
fn end() -> End {
    PARENT.with(|parent| parent.get_or_init(Parent::open).end.clone())
}

/// As [`end`].
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread of a process that has a channel.
fn usable_end() -> Result<End> {
    PARENT.with(|parent| {
        let parent = parent.get_or_init(Parent::open);
        match &parent.refusal {
            Some(error) => Err(error.clone()),
            None => Ok(parent.end.clone()),
        }
    })
}

/// The channel to the parent; `None` when there is none, or none any more (Node: `process.channel`). At first it keeps the
/// isolate alive as long as somebody listens for `'message'` or `'disconnect'`; once [`Channel::ref_`] or
/// [`Channel::unref`] was called, that counts alone.
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread of a process that has one.
pub fn channel() -> Result<Option<Channel>> {
    Ok(Channel::of(&usable_end()?))
}

/// Whether the channel is open; `None` when there never was one (Node: `process.connected`).
///
/// # Errors
/// As [`channel`].
pub fn connected() -> Result<Option<bool>> {
    let end = usable_end()?;
    Ok(end.exists().then(|| end.is_connected()))
}

/// Sends a message to the parent (Node: `process.send`). Gives whether little waits to be sent: `false` asks to stop for a
/// while. What was sent is written before the process ends. After the channel was closed it gives `false`, and
/// `'error'` with `ERR_IPC_CHANNEL_CLOSED` follows on the next tick.
///
/// # Errors
/// `ERR_IPC_CHANNEL_CLOSED` when there never was a channel; `ERR_IPC_BACKPRESSURE` when too much waits to be sent, see
/// [`send_async`]; `ERR_IPC_MESSAGE_TOO_LARGE`; `ERR_MISSING_ARGS` for undefined; over a channel with JSON `TypeError` for
/// a bigint or cycle in the message and `ERR_INVALID_ARG_TYPE` for a bigint; `DataCloneError` for what cannot be sent;
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread of a process that has a channel.
pub fn send(message: &(impl Serialize + ?Sized)) -> Result<bool> {
    send_with(message, SendOptions::new())
}

/// As [`send`], with a native handle, with what moves, or with a callback. After the channel was closed the callback gets
/// `ERR_IPC_CHANNEL_CLOSED`.
///
/// # Errors
/// As [`send`]; `ERR_INVALID_HANDLE_TYPE`.
pub fn send_with(message: &(impl Serialize + ?Sized), options: SendOptions<'_>) -> Result<bool> {
    usable_end()?.send(message, options)
}

/// As [`send`], but waits while too much waits to be sent (nodule only). The message is cloned now.
///
/// # Errors
/// As [`send`], without `ERR_IPC_BACKPRESSURE`; `ERR_IPC_CHANNEL_CLOSED` when the channel is closed.
pub fn send_async<T: Serialize + ?Sized>(message: &T) -> impl Future<Output = Result<()>> + use<T> {
    let sent = usable_end().map(|end| end.send_async(message));
    async move { sent?.await }
}

/// Closes the channel after what was sent; `'disconnect'` follows on both sides (Node: `process.disconnect`). The second
/// time `'error'` follows with `ERR_IPC_DISCONNECTED`.
///
/// # Errors
/// `ERR_IPC_DISCONNECTED` when there is no channel any more and nobody listens for `'error'`;
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread of a process that has one.
pub fn disconnect() -> Result<()> {
    usable_end()?.disconnect()
}

/// Calls `listener` with each message of the parent, decoded, each in a turn of its own. Messages that came before there
/// was a listener come after the first was added. What does not fit `T` is an [`'error'`](on_error).
///
/// (Node: `process.on('message')`)
pub fn on_message<T: DeserializeOwned + 'static>(mut listener: impl FnMut(T) + 'static) -> Listener {
    end().on_message(move |message, _handle| listener(message))
}

/// As [`on_message`], for the next one only.
pub fn once_message<T: DeserializeOwned + 'static>(listener: impl FnOnce(T) + 'static) -> Listener {
    end().once_message(move |message, _handle| listener(message))
}

/// As [`on_message`], with the native handle that came along.
pub fn on_message_with_handle<T: DeserializeOwned + 'static>(
    listener: impl FnMut(T, Option<SendHandle>) + 'static,
) -> Listener {
    end().on_message(listener)
}

/// Calls `listener` when the channel to the parent is closed, by either side or with the parent's end. All messages came
/// before.
///
/// (Node: `process.on('disconnect')`)
pub fn on_disconnect(mut listener: impl FnMut() + 'static) -> Listener {
    end().disconnects().on(move |()| listener())
}

/// As [`on_disconnect`], for the next time only.
pub fn once_disconnect(listener: impl FnOnce() + 'static) -> Listener {
    end().disconnects().once(move |()| listener())
}

/// Calls `listener` when the channel to the parent fails, a message cannot be read, or one could not be sent and no
/// call told it. Without a listener the error is uncaught.
///
/// (Node: `process.on('error')`)
pub fn on_error(mut listener: impl FnMut(&Error) + 'static) -> Listener {
    end().errors().on(move |error| listener(error))
}

/// As [`on_error`], for the next time only.
pub fn once_error(listener: impl FnOnce(&Error) + 'static) -> Listener {
    end().errors().once(listener)
}

/// Removes what [`count_channel_listeners`] counts.
pub(super) fn remove_channel_listeners(event: &str) {
    match event {
        "message" => end().messages().remove_all(),
        "disconnect" => end().disconnects().remove_all(),
        "error" => end().errors().remove_all(),
        _ => {}
    }
}

/// How many listeners an event of the channel has.
pub(super) fn count_channel_listeners(event: &str) -> usize {
    match event {
        "message" => end().messages().listener_count(),
        "disconnect" => end().disconnects().listener_count(),
        "error" => end().errors().listener_count(),
        _ => 0,
    }
}
