//! Channels apart from guests, and between two isolates.

mod between;
mod ports;

use std::sync::Arc;

use super::message::{Message, Transferred};
use super::port::PortEnd;
use super::{Owner, entangle};
use crate::handles::Handle;
use crate::runtime::IsolateShared;

/// Two isolates of one process and a channel between them: each owns an end.
struct Pair {
    shared: [Arc<IsolateShared>; 2],
    ends: [PortEnd; 2],
}

fn owner(shared: &Arc<IsolateShared>, handle: u32) -> Owner {
    Owner {
        shared: Arc::clone(shared),
        handle: Handle::from_guest(handle),
        queue_bytes_max: None,
    }
}

fn pair() -> Pair {
    let main = IsolateShared::root();
    let worker = IsolateShared::worker(&main);
    let mut ends = entangle(&main.group);
    ends[0].attach(owner(&main, 1));
    ends[1].attach(owner(&worker, 2));
    Pair {
        shared: [main, worker],
        ends,
    }
}

fn message(bytes: impl AsRef<[u8]>) -> Message {
    Message {
        bytes: Arc::<[u8]>::from(bytes.as_ref()).into(),
        resources: Vec::new(),
    }
}

fn with_port(end: PortEnd) -> Message {
    Message {
        bytes: Arc::<[u8]>::from([]).into(),
        resources: vec![Transferred::Port(end)],
    }
}

/// Kinds and handles of the events an isolate has.
fn events(shared: &IsolateShared) -> Vec<(u32, u32)> {
    let mut records = Vec::new();
    shared.events.take(&mut records, usize::MAX);
    records.into_iter().map(|record| (record.kind, record.handle)).collect()
}

/// Takes a message as a guest does.
fn receive(end: &mut PortEnd) -> Option<Vec<u8>> {
    end.peek()?;
    end.take().map(|message| message.bytes.to_vec())
}
