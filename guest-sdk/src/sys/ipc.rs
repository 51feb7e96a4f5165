//! Imports of the area `ipc`.

use nodule_abi::imports::ipc::serialization;

use super::messaging::{MessageRef, RawMessage};
use super::{check, fill, import, len32, sized_text};
use crate::error::Result;

/// How a channel stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub is_connected: bool,
    /// Messages are CBOR, not JSON.
    pub is_advanced: bool,
}

pub(crate) fn state(channel: u32) -> Result<State> {
    let [is_connected, serialization] = fill(|out: *mut u32| import!(ipc::state(channel, out)))?;
    Ok(State {
        is_connected: is_connected != 0,
        is_advanced: serialization == serialization::ADVANCED,
    })
}

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// What `IpcSent` names.
    pub request: u32,
    /// Little waits to be sent.
    pub has_room: bool,
}

/// Sends a message with a native handle, or 0.
pub(crate) fn send(channel: u32, message: MessageRef<'_>, handle: u32, flags: u32) -> Result<Sent> {
    let [request, has_room] = fill(|out: *mut u32| {
        import!(ipc::send(
            channel,
            message.bytes.as_ptr(),
            len32(message.bytes.len()),
            message.resources.as_ptr(),
            len32(message.resources.len()),
            message.transfer.as_ptr(),
            len32(message.transfer.len()),
            handle,
            flags,
            out
        ))
    })?;
    Ok(Sent {
        request,
        has_room: has_room != 0,
    })
}

/// Takes the oldest message; gives the native handle that came with it (0 for none), or `None` when there is no message.
pub(crate) fn receive(channel: u32, message: &mut RawMessage) -> Result<Option<u32>> {
    let mut handle = 0;
    let is_there = message.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        import!(ipc::receive(
            channel,
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len,
            &mut handle
        ))
    })?;
    Ok(is_there.then_some(handle))
}

/// Begins delivery.
pub(crate) fn start(channel: u32) -> Result<()> {
    check(import!(ipc::start(channel)))
}

/// Ends delivery.
pub(crate) fn stop(channel: u32) -> Result<()> {
    check(import!(ipc::stop(channel)))
}

/// Closes a channel after what is queued.
pub(crate) fn disconnect(channel: u32) -> Result<()> {
    check(import!(ipc::disconnect(channel)))
}

/// The type of a native handle, as Node names it.
pub(crate) fn handle_type(handle: u32) -> Result<String> {
    sized_text(|buf, cap, len| import!(ipc::handle_type(handle, buf, cap, len)))
}
