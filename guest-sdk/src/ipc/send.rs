//! Sending over a channel.

use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use nodule_abi::error::ErrorCode;
use nodule_abi::imports::ipc::{KEEP_OPEN, NOTIFY};
use serde::Serialize;

use super::end::{End, State, closed};
use super::handle::SendHandle;
use super::json;
use crate::error::{Error, Result};
use crate::event_loop;
use crate::messaging::transfer::{self, Encoded};
use crate::messaging::{TransferList, data_clone};
use crate::sys::ipc as host;
use crate::sys::messaging::MessageRef;

/// Who is told when a message is written, or that it will not be.
pub(super) type Callback = Box<dyn FnOnce(Result<()>)>;

/// undefined as CBOR.
const UNDEFINED: [u8; 1] = [0xf7];

/// What belongs to a message besides its value (Node: `sendHandle`, `options` and `callback` of `send`).
///
/// ```no_run
/// use nodule_sdk::process::{self, SendOptions};
///
/// let options = SendOptions::new().callback(|written| println!("written: {}", written.is_ok()));
/// process::send_with("hello", options)?;
/// # Ok::<(), nodule_sdk::Error>(())
/// ```
#[derive(Default)]
pub struct SendOptions<'a> {
    handle: Option<&'a SendHandle>,
    keep_open: bool,
    transfer: TransferList<'a>,
    callback: Option<Callback>,
}

impl<'a> SendOptions<'a> {
    /// A message alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// A native handle that goes along. It leaves this process, unless it is [kept open](Self::keep_open).
    #[must_use]
    pub fn handle(mut self, handle: &'a SendHandle) -> Self {
        self.handle = Some(handle);
        self
    }

    /// This process keeps its copy of the handle (Node: `keepOpen`).
    #[must_use]
    pub fn keep_open(mut self, is_kept: bool) -> Self {
        self.keep_open = is_kept;
        self
    }

    /// What moves to the other process, over a channel with the serialization `advanced` (nodule only).
    #[must_use]
    pub fn transfer_list(mut self, list: TransferList<'a>) -> Self {
        self.transfer = list;
        self
    }

    /// Is called once when the message is written, not when it was received, or with the error that prevents it.
    #[must_use]
    pub fn callback(mut self, callback: impl FnOnce(Result<()>) + 'static) -> Self {
        self.callback = Some(Box::new(callback));
        self
    }
}

impl fmt::Debug for SendOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendOptions")
            .field("handle", &self.handle)
            .field("keep_open", &self.keep_open)
            .finish_non_exhaustive()
    }
}

/// A message as its channel has it.
struct Prepared<'a> {
    encoded: Encoded<'a>,
    json: Option<String>,
}

impl<'a> Prepared<'a> {
    fn new(is_advanced: bool, value: &(impl Serialize + ?Sized), transfer: TransferList<'a>) -> Result<Self> {
        if !is_advanced && !transfer.is_empty() {
            return Err(data_clone(
                "Only channels with the serialization `advanced` carry what is in a transfer list",
            ));
        }
        let encoded = transfer::encode(0, value, transfer)?;
        if encoded.bytes == UNDEFINED {
            return Err(json::missing_message());
        }
        let json = if is_advanced {
            None
        } else {
            Some(json::from_cbor(&encoded.bytes)?)
        };
        Ok(Self { encoded, json })
    }

    fn message(&self) -> MessageRef<'_> {
        match &self.json {
            None => self.encoded.message(),
            Some(text) => MessageRef {
                bytes: text.as_bytes(),
                ..MessageRef::default()
            },
        }
    }
}

fn is_code(error: &Error, code: ErrorCode) -> bool {
    error.is_code(code.as_str())
}

impl End {
    /// Sends a message; gives whether little waits to be sent. On a channel that is closed it gives `false`, and the
    /// callback, else `'error'`, gets `ERR_IPC_CHANNEL_CLOSED` on the next tick.
    ///
    /// # Errors
    /// `ERR_IPC_CHANNEL_CLOSED` without a channel, `ERR_IPC_BACKPRESSURE`, and those of the message.
    pub fn send(&self, value: &(impl Serialize + ?Sized), options: SendOptions<'_>) -> Result<bool> {
        if !self.0.exists {
            return Err(closed());
        }
        if !self.0.is_connected.get() {
            self.0.refuse(options.callback);
            return Ok(false);
        }
        let prepared = Prepared::new(self.0.is_advanced, value, options.transfer)?;
        let keep_open = if options.keep_open { KEEP_OPEN } else { 0 };
        let notify = if options.callback.is_some() { NOTIFY } else { 0 };
        let native = options.handle.map_or(0, SendHandle::raw_handle);
        let sent = match host::send(self.0.handle.get(), prepared.message(), native, keep_open | notify) {
            Ok(sent) => sent,
            Err(error) if is_code(&error, ErrorCode::IpcChannelClosed) => {
                self.0.refuse(options.callback);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        prepared.encoded.sent();
        if let Some(handle) = options.handle.filter(|_| !options.keep_open) {
            handle.leave();
        }
        if let Some(callback) = options.callback {
            self.0.add_callback(sent.request, callback);
        }
        Ok(sent.has_room)
    }

    /// Sends a message as soon as there is room for it. The value is cloned now.
    ///
    /// # Errors
    /// As [`Self::send`], without `ERR_IPC_BACKPRESSURE`; `ERR_IPC_CHANNEL_CLOSED` when the channel is closed.
    pub fn send_async<T: Serialize + ?Sized>(&self, value: &T) -> impl Future<Output = Result<()>> + use<T> {
        let prepared = Prepared::new(self.0.is_advanced, value, &[]);
        let state = Rc::clone(&self.0);
        async move {
            let prepared = prepared?;
            let mut waiting = None;
            poll_fn(|context| {
                if !state.is_connected.get() {
                    return Poll::Ready(Err(closed()));
                }
                match host::send(state.handle.get(), prepared.message(), 0, 0) {
                    Ok(_) => return Poll::Ready(Ok(())),
                    Err(error) if is_code(&error, ErrorCode::IpcBackpressure) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                waiting.get_or_insert_with(|| Waiting::new(&state));
                state.room.push(context.waker().clone());
                Poll::Pending
            })
            .await?;
            prepared.encoded.sent();
            Ok(())
        }
    }
}

impl State {
    /// Tells that a message was not sent because the channel is closed.
    fn refuse(&self, callback: Option<Callback>) {
        match callback {
            Some(callback) => event_loop::next_tick(move || callback(Err(closed()))),
            None => self.report(closed()),
        }
    }
}

/// Counts one who waits for room.
struct Waiting(Rc<State>);

impl Waiting {
    fn new(state: &Rc<State>) -> Self {
        state.room.count(1);
        state.update_ref();
        Self(Rc::clone(state))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.room.count(-1);
        self.0.update_ref();
    }
}
