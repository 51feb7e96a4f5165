//! What a thread knows of itself.

use std::cell::OnceCell;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Value;
use crate::error::Result;
use crate::messaging::{MessagePort, received};
use crate::sys::IsolateCell;
use crate::sys::messaging::RawMessage;
use crate::sys::worker_threads as host;
use crate::value::Object;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Facts {
    thread_id: u32,
    thread_name: Option<String>,
    resource_limits: Object,
    parent_port: u32,
    is_internal_thread: bool,
}

/// `workerData` once it was asked for.
enum Data {
    Unasked,
    Absent,
    Here(RawMessage),
}

thread_local! {
    static FACTS: OnceCell<Facts> = const { OnceCell::new() };
    /// The port lives as long as the thread.
    static PARENT_PORT: OnceCell<Option<MessagePort>> = const { OnceCell::new() };
    static DATA: IsolateCell<Data> = const { IsolateCell::new(Data::Unasked) };
}

fn facts<R>(use_facts: impl FnOnce(&Facts) -> R) -> R {
    // Facts never change; a host that does not know them has no threads.
    FACTS.with(|facts| use_facts(facts.get_or_init(|| host::this_thread().unwrap_or_default())))
}

/// This thread's id: 0 in the main thread, never reused (Node: `threadId`).
pub fn thread_id() -> u32 {
    facts(|facts| facts.thread_id)
}

/// This thread's name; `None` in the main thread (Node: `threadName`).
pub fn thread_name() -> Option<String> {
    facts(|facts| facts.thread_name.clone())
}

/// Whether this is the main thread (Node: `isMainThread`).
pub fn is_main_thread() -> bool {
    thread_id() == 0
}

/// Whether the host runs this thread for itself (Node: `isInternalThread`); it runs none today.
pub fn is_internal_thread() -> bool {
    facts(|facts| facts.is_internal_thread)
}

/// The limits in force, by Node's names; empty in the main thread (Node: `resourceLimits`).
pub fn resource_limits() -> Value {
    facts(|facts| Value::Object(facts.resource_limits.clone()))
}

/// The port to the thread that made this one; `None` in the main thread. It keeps this thread alive only while it has a
/// listener (Node: `parentPort`).
pub fn parent_port() -> Option<MessagePort> {
    let handle = facts(|facts| facts.parent_port);
    PARENT_PORT.with(|port| {
        port.get_or_init(|| (handle != 0).then(|| MessagePort::of_handle(handle)))
            .clone()
    })
}

/// The value this thread was started with; null when there is none, which reads as `()`, `None` or [`Value::Null`]
/// (Node: `workerData`). Ports and other resources in it belong to who reads it first.
///
/// # Errors
/// `DataCloneError` when the value is no `T`.
pub fn worker_data<T: DeserializeOwned>() -> Result<T> {
    let data = DATA.with(|data| data.with(|data| std::mem::replace(data, Data::Unasked)));
    let data = match data {
        Data::Unasked => {
            let mut message = RawMessage::default();
            match host::worker_data(&mut message)? {
                true => Data::Here(message),
                false => Data::Absent,
            }
        }
        known => known,
    };
    let (data, value) = match data {
        Data::Here(mut message) => {
            let value = received::read_ref(&message);
            message.forget_resources();
            (Data::Here(message), value)
        }
        Data::Absent | Data::Unasked => (Data::Absent, Ok(crate::value::from_slice(&[0xf6])?)),
    };
    DATA.with(|place| place.with(|place| *place = data));
    value
}
