//! Message channels and broadcast channels between the isolates of a process.
//!
//! | file | what it holds |
//! |---|---|
//! | `message`, `bytes` | a message: bytes that the host never parses, and resources |
//! | `channel` | the two queues of a channel |
//! | `port` | the ends of a channel |
//! | `budget` | the bytes that all queues of a process may hold together, and each isolate's share |
//! | `collect` | channels that nobody can reach any more |
//! | `transfer` | what may move, checked in the order of the specification, all or nothing |
//! | `broadcast` | one to many, by name |
//! | `imports`, `arguments` | what guests call |

use std::collections::HashMap;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::{EventKind, EventRecord};

use crate::handles::{Handle, Resource};
use crate::runtime::{IsolateShared, IsolateState};

pub(crate) mod arguments;
pub(crate) mod broadcast;
mod budget;
mod bytes;
pub(crate) mod channel;
mod collect;
pub(crate) mod imports;
pub(crate) mod message;
pub(crate) mod port;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use budget::{Account, Charge, Charged, QueueBudget};
pub(crate) use channel::Refusal;
pub(crate) use message::{Message, Transferred};
pub(crate) use port::{PortEnd, entangle, entangle_in};
pub(crate) use transfer::{admit, own_port};

/// What messaging keeps for one isolate.
#[derive(Debug, Default)]
pub(crate) struct MessagingState {
    /// Lowers the bounds of the queues the isolate receives from, in bytes.
    pub queue_bytes_max: Option<usize>,
    /// Marks of handles; an entry goes with its handle.
    pub marks: HashMap<Handle, u32>,
}

/// Who receives: an isolate, under the number its events carry.
#[derive(Clone, Debug)]
pub struct Owner {
    pub shared: Arc<IsolateShared>,
    pub handle: Handle,
    /// Lowers the bounds of the queue, in bytes.
    pub queue_bytes_max: Option<usize>,
}

impl Owner {
    /// Makes owners out of an isolate and a handle.
    pub(crate) fn source(state: &IsolateState) -> impl FnOnce(Handle) -> Self + use<> {
        let shared = Arc::clone(&state.shared);
        let queue_bytes_max = state.messaging.queue_bytes_max;
        move |handle| Self {
            shared,
            handle,
            queue_bytes_max,
        }
    }

    /// Gives the owner an event. Each source has at most one of a kind under way.
    fn tell(&self, kind: EventKind, argument: u64) {
        let record = EventRecord::new(kind, self.handle.number(), [argument, 0, 0]);
        self.shared.events.push_counted(record);
    }
}

/// The guest is about to get `record`: brings it up to date and lets its source make another.
pub(crate) fn deliver(state: &mut IsolateState, record: &mut EventRecord) {
    let handle = Handle::from_guest(record.handle);
    let is_close = record.kind == EventKind::PortClose as u32 || record.kind == EventKind::IpcDisconnect as u32;
    match state.handles.get(handle) {
        Ok(Resource::Port(port)) => port.delivered(record),
        Ok(Resource::Broadcast(member)) => member.delivered(),
        Ok(Resource::IpcChannel(channel)) => channel.delivered(record),
        _ => return,
    }
    if is_close {
        // No further event can come. The handle is there, as seen above.
        let _ = state.handles.set_active(handle, false);
    }
}

/// A receiver's queue, or all of them together, cannot take more.
pub(crate) fn queue_full(text: &str) -> Box<ErrorRecord> {
    ErrorRecord::new(ErrorCode::WorkerQueueFull, text).into()
}
