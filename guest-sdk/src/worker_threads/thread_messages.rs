//! Messages from any thread of the process to any other.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::messaging::received::{self, Received};
use crate::messaging::{TransferList, transfer};
use crate::process::events;
use crate::promise::{self, Resolver};
use crate::sys::{self, worker_threads as host};

/// How a message was processed, for the host.
mod outcome {
    pub const DONE: u32 = 0;
    pub const FAILED: u32 = 1;
    pub const NO_LISTENER: u32 = 2;
}

/// A message and the thread it came from.
type Arrived = (Received, u32);

thread_local! {
    static ARRIVED: Emitter<Arrived> = const { Emitter::new() };
    /// The token of the message whose listeners run.
    static PROCESSING: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Sends a value to the thread `thread_id`, 0 being the main thread (Node: `postMessageToThread`). The future is done
/// when that thread's listeners have run. It keeps neither side alive.
///
/// # Errors
/// `ERR_WORKER_MESSAGING_SAME_THREAD`; `ERR_WORKER_MESSAGING_FAILED` when there is no such thread or it has no listener;
/// `ERR_WORKER_MESSAGING_ERRORED` when a listener failed; `ERR_WORKER_MESSAGING_TIMEOUT` when `timeout` passed before, the
/// message may still arrive then; and those of a message.
pub fn post_message_to_thread<T: Serialize + ?Sized>(
    thread_id: u32,
    value: &T,
    transfer: TransferList<'_>,
    timeout: Option<Duration>,
) -> impl Future<Output = Result<()>> + use<T> {
    let timeout_ms = timeout.map_or(-1.0, |timeout| timeout.as_secs_f64() * 1000.0);
    let request = transfer::encode(0, value, transfer)
        .and_then(|encoded| encoded.send(|message| host::post_to_thread(thread_id, message, timeout_ms)));
    let answer = request.map(|handle| {
        let (resolver, promise) = promise::deferred();
        event_loop::register(handle, Rc::new(Request { handle, resolver }));
        promise
    });
    async move { answer?.await }
}

struct Request {
    handle: u32,
    resolver: Resolver<()>,
}

impl Sink for Request {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        event_loop::unregister(self.handle);
        // It is open until here.
        let _ = sys::close(self.handle);
        match u16::try_from(record.args[1]).ok().and_then(ErrorCode::from_number) {
            None => self.resolver.resolve(()),
            Some(code) => self.resolver.reject(Error::with_code(code, code.text())),
        }
    }
}

/// Calls `listener` with each value another thread posts to this one, decoded, and that thread's id: as
/// [`crate::process::on_worker_message`], for values of one type and ones that carry ports.
pub fn on_thread_message<T: DeserializeOwned>(mut listener: impl FnMut(T, u32) + 'static) -> Listener {
    listen();
    ARRIVED.with(|arrived| {
        arrived.on(move |(received, source): &Arrived| {
            if let Some(value) = received.read() {
                listener(value, *source);
            }
        })
    })
}

/// Tells the host that there are listeners.
pub(crate) fn listen() {
    // Nothing that a guest could cause.
    let _ = host::thread_messages_listen(true);
}

/// Delivers one message; the rest follows in turns of their own.
pub(crate) fn dispatch(record: EventRecord) {
    let left = crate::messaging::messages_left(&record);
    if left == 0 {
        // Others first: the host tells again behind them.
        listen();
        return;
    }
    let mut message = received::buffers();
    match host::thread_message_receive(&mut message) {
        Ok(Some([source, token])) => {
            event_loop::continue_with(crate::messaging::continued(record, left - 1));
            let listeners = ARRIVED.with(Emitter::listener_count);
            let listeners_of_process = events(|events| events.worker_message.listener_count());
            if listeners + listeners_of_process == 0 {
                received::discard(message);
                done(token, outcome::NO_LISTENER);
                return;
            }
            PROCESSING.set(Some(token));
            let read = received::with_readers(message, |received| {
                if listeners_of_process > 0
                    && let Some(value) = received.read()
                {
                    events(|events| events.worker_message.emit(&(value, source)));
                }
                let arrived = (received, source);
                ARRIVED.with(|listeners| listeners.emit(&arrived));
                arrived.0
            });
            PROCESSING.set(None);
            done(token, if read.is_ok() { outcome::DONE } else { outcome::FAILED });
        }
        Ok(None) => received::keep(message),
        Err(error) => crate::uncaught::raise(&error, nodule_abi::hooks::Origin::UncaughtException),
    }
}

fn done(token: u32, outcome: u32) {
    // The token is the host's own.
    let _ = host::thread_message_done(token, outcome);
}

/// A listener failed. When it was one of these, the sender hears of it and this thread goes on.
pub(crate) fn failed() -> bool {
    match PROCESSING.take() {
        Some(token) => {
            done(token, outcome::FAILED);
            true
        }
        None => false,
    }
}
