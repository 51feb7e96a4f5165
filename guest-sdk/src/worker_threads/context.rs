//! Contexts: further instances in this isolate, and ports that move to them (Node: `vm.createContext`,
//! `moveMessagePortToContext`).

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use nodule_abi::error::ErrorCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::options::{Source, WorkerOptions};
use super::worker::Worker;
use super::{parent_port, thread_id};
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::messaging::{MessageEvent, MessagePort};
use crate::sys::worker_threads as host;

/// A second instance in this isolate: its own memory, no grants; it runs in turns with this one, while this one waits
/// for events. What it gets is what is moved to it.
#[derive(Clone)]
pub struct Context {
    worker: Worker,
    moved: Rc<Cell<u32>>,
}

/// A port on its way to a context.
#[derive(Serialize, Deserialize)]
struct Moved {
    number: u32,
    port: MessagePort,
}

/// Makes a context of a module (nodule only; stands for `vm.createContext`). Of the options `name`, `argv`, `entry` and
/// the limits count.
///
/// # Errors
/// As [`Worker::new`]; `EAGAIN` when there are 64 contexts.
pub fn create_context(source: impl Into<Source>, options: WorkerOptions<'_>) -> Result<Context> {
    let mut fields = options.fields;
    let mut code = Vec::new();
    // Held until the host has taken its handle.
    let _module = source.into().put_into(&mut fields, &mut code);
    let [context, port] = host::create_context(&fields, &code)?;
    let spawned = host::Spawned {
        worker: context,
        port,
        thread: thread_id(),
        stdio: [0; 3],
    };
    Ok(Context {
        worker: Worker::of(spawned, fields.thread_name(), fields.resource_limits),
        moved: Rc::default(),
    })
}

impl Context {
    /// Calls `listener` with the uncaught error that ended it; without one the error is uncaught here.
    pub fn on_error(&self, listener: impl FnMut(&Error) + 'static) -> Listener {
        self.worker.on_error(listener)
    }

    /// Calls `listener` with its exit code, once.
    pub fn on_exit(&self, listener: impl FnMut(i64) + 'static) -> Listener {
        self.worker.on_exit(listener)
    }

    /// Ends it; gives its exit code, or `None` when it had ended.
    pub fn terminate(&self) -> impl Future<Output = Option<i64>> + use<> {
        self.worker.terminate()
    }

    /// Waits for its end.
    pub fn join(&self) -> impl Future<Output = i64> + use<> {
        self.worker.join()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("moved", &self.moved.get())
            .finish_non_exhaustive()
    }
}

/// Moves a port, with what is queued for it, to a context (Node: `moveMessagePortToContext`). It cannot be used here any
/// more. The number given identifies it in the context ([`on_context_port`]).
///
/// # Errors
/// `ERR_CLOSED_MESSAGE_PORT` when the port is closed or was moved; as [`MessagePort::post_message_with`].
pub fn move_message_port_to_context(port: &MessagePort, context: &Context) -> Result<u32> {
    if port.is_closed() {
        let code = ErrorCode::ClosedMessagePort;
        return Err(Error::with_code(code, code.text()));
    }
    let number = context.moved.get() + 1;
    let moved = Moved {
        number,
        port: port.clone(),
    };
    context.worker.post_message_with(&moved, &[port])?;
    context.moved.set(number);
    Ok(number)
}

/// A port that was moved to this context. Messages come to its one handler; it has no listeners.
#[derive(Clone, Debug)]
pub struct ContextPort(MessagePort);

impl ContextPort {
    /// Sets the handler of messages; it replaces an earlier one. Setting it starts the port and lets it keep the context
    /// alive.
    pub fn set_onmessage<T: DeserializeOwned>(&self, handler: impl FnMut(MessageEvent<T>) + 'static) {
        self.0.set_onmessage(handler);
    }

    /// Removes the handler.
    pub fn clear_onmessage(&self) {
        self.0.clear_onmessage();
    }

    /// Sets the handler of messages that could not be decoded.
    pub fn set_onmessageerror(&self, handler: impl FnMut(&Error) + 'static) {
        self.0.set_onmessageerror(handler);
    }

    /// As [`MessagePort::post_message`].
    ///
    /// # Errors
    /// As there.
    pub fn post_message(&self, value: &(impl Serialize + ?Sized)) -> Result<bool> {
        self.0.post_message(value)
    }

    /// Begins delivery.
    pub fn start(&self) {
        self.0.start();
    }

    /// Closes the channel.
    pub fn close(&self) {
        self.0.close();
    }
}

thread_local! {
    /// The port over which ports come; this keeps it open.
    static CONTROL: OnceCell<MessagePort> = const { OnceCell::new() };
}

/// In a context: calls `listener` with each port that is moved here and its number. While it is registered the context
/// waits for ports and does not end by itself. `None` in what is no context or worker.
pub fn on_context_port(mut listener: impl FnMut(u32, ContextPort) + 'static) -> Option<Listener> {
    let control = parent_port()?;
    let added = control.on_message(move |moved: Moved| listener(moved.number, ContextPort(moved.port)));
    CONTROL.with(|kept| drop(kept.set(control)));
    Some(added)
}
