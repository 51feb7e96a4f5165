//! Imports of the area `messaging`.

use nodule_abi::error::ErrorCode;
use nodule_abi::imports::messaging::{ONLY_IF_ROOM, ONLY_THIS};
use nodule_abi::resource::ResourceKind;

use super::{check, fill, import, is, last_error, len32};
use crate::error::Result;

/// A message as it came out: the encoded value and the entries of its side list. The buffers stay as long as they ever
/// were, so that nothing is zeroed again; what counts of them stands apart.
#[derive(Debug, Default)]
pub struct RawMessage {
    buffer: Vec<u8>,
    len: usize,
    /// Handle and kind by turns.
    entries: Vec<u32>,
    count: usize,
}

/// Room for a small message.
const CAPACITY_BYTES: usize = 256;

impl RawMessage {
    /// The encoded value.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Puts another encoded value into the place of what came.
    pub fn replace_bytes(&mut self, bytes: Vec<u8>) {
        self.len = bytes.len();
        self.buffer = bytes;
    }

    /// Bytes its buffer holds.
    pub fn capacity_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Handles and kinds of the side list.
    pub fn resources(&self) -> impl Iterator<Item = (u32, Option<ResourceKind>)> + '_ {
        let pairs = self.entries[..self.count].chunks_exact(2);
        pairs.map(|pair| (pair[0], ResourceKind::from_number(pair[1])))
    }

    /// Its resources were claimed or closed.
    pub fn forget_resources(&mut self) {
        self.count = 0;
    }

    /// Calls until the buffers are large enough. Gives `false` on `EAGAIN`.
    pub(super) fn fill(
        &mut self,
        mut call: impl FnMut(*mut u8, u32, *mut u32, *mut u32, u32, *mut u32) -> u32,
    ) -> Result<bool> {
        if self.buffer.is_empty() {
            self.buffer.resize(CAPACITY_BYTES, 0);
        }
        loop {
            let (mut len, mut count) = (0, 0);
            let outcome = call(
                self.buffer.as_mut_ptr(),
                len32(self.buffer.len()),
                &mut len,
                self.entries.as_mut_ptr(),
                len32(self.entries.len() / 2),
                &mut count,
            );
            let (len, count) = (len as usize, count as usize * 2);
            if outcome == 0 {
                self.len = len.min(self.buffer.len());
                self.count = count.min(self.entries.len());
                return Ok(true);
            }
            if is(outcome, ErrorCode::Eagain) {
                return Ok(false);
            }
            if !is(outcome, ErrorCode::Erange) {
                return Err(last_error(outcome));
            }
            self.buffer.resize(len.max(self.buffer.len()), 0);
            self.entries.resize(count.max(self.entries.len()), 0);
        }
    }
}

/// What goes in: the encoded value, its side list and what moves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessageRef<'a> {
    pub bytes: &'a [u8],
    pub resources: &'a [u32],
    pub transfer: &'a [u32],
}

/// The two ports of a new channel.
pub(crate) fn channel() -> Result<[u32; 2]> {
    fill(|out| import!(messaging::channel(out)))
}

/// Posts; gives a number of [`nodule_abi::imports::messaging::outcome`], or `None` when there is no room.
pub(crate) fn post(port: u32, message: MessageRef<'_>, only_if_room: bool) -> Result<Option<u32>> {
    let mut outcome = 0;
    let number = import!(messaging::post(
        port,
        message.bytes.as_ptr(),
        len32(message.bytes.len()),
        message.resources.as_ptr(),
        len32(message.resources.len()),
        message.transfer.as_ptr(),
        len32(message.transfer.len()),
        if only_if_room { ONLY_IF_ROOM } else { 0 },
        &mut outcome
    ));
    if only_if_room && is(number, ErrorCode::Eagain) {
        return Ok(None);
    }
    check(number)?;
    Ok(Some(outcome))
}

/// Takes the oldest message; gives `false` when there is none.
pub(crate) fn receive(port: u32, message: &mut RawMessage) -> Result<bool> {
    message.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        import!(messaging::receive(
            port,
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len
        ))
    })
}

/// Waits for a message; gives `false` when none came in time or none can come.
pub(crate) fn receive_wait(port: u32, timeout_ns: i64) -> Result<bool> {
    let number = import!(messaging::receive_wait(port, timeout_ns));
    if is(number, ErrorCode::Etimedout) || is(number, ErrorCode::ClosedMessagePort) {
        return Ok(false);
    }
    check(number).map(|()| true)
}

/// Begins delivery, or asks for another event.
pub(crate) fn port_start(port: u32) -> Result<()> {
    check(import!(messaging::start(port)))
}

/// Ends delivery.
pub(crate) fn port_stop(port: u32) -> Result<()> {
    check(import!(messaging::stop(port)))
}

/// Closes a channel.
pub(crate) fn port_close(port: u32) -> Result<()> {
    check(import!(messaging::close(port)))
}

/// Checks a transfer list of handles.
pub(crate) fn check_transfer(source: u32, transfer: &[u32]) -> Result<()> {
    check(import!(messaging::check_transfer(
        source,
        transfer.as_ptr(),
        len32(transfer.len())
    )))
}

/// Adds marks to a resource.
pub(crate) fn mark(handle: u32, flags: u32) -> Result<()> {
    check(import!(messaging::mark(handle, flags)))
}

/// The marks of a resource.
pub(crate) fn marks(handle: u32) -> Result<u32> {
    let [flags] = fill(|out| import!(messaging::marks(handle, out)))?;
    Ok(flags)
}

/// Clones a message within the isolate.
pub(crate) fn clone_message(message: MessageRef<'_>, out: &mut RawMessage) -> Result<()> {
    out.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        import!(messaging::clone_message(
            message.bytes.as_ptr(),
            len32(message.bytes.len()),
            message.resources.as_ptr(),
            len32(message.resources.len()),
            message.transfer.as_ptr(),
            len32(message.transfer.len()),
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len
        ))
    })?;
    Ok(())
}

/// Joins a broadcast channel.
pub(crate) fn broadcast_open(name: &str) -> Result<u32> {
    let [handle] = fill(|out| import!(messaging::broadcast_open(name.as_ptr(), len32(name.len()), out)))?;
    Ok(handle)
}

/// Posts to the other channels of a name.
pub(crate) fn broadcast_post(handle: u32, message: MessageRef<'_>) -> Result<()> {
    check(import!(messaging::broadcast_post(
        handle,
        message.bytes.as_ptr(),
        len32(message.bytes.len()),
        message.resources.as_ptr(),
        len32(message.resources.len())
    )))
}

/// Takes a message for any channel of the isolate with the name of `handle`, or only for that one; gives whether there
/// was one. `target` is set, also on `ERR_WORKER_QUEUE_FULL`.
pub(crate) fn broadcast_receive(
    handle: u32,
    only_this: bool,
    target: &mut u32,
    message: &mut RawMessage,
) -> Result<bool> {
    let flags = if only_this { ONLY_THIS } else { 0 };
    message.fill(|buf, cap, len, entries, entries_cap, entries_len| {
        import!(messaging::broadcast_receive(
            handle,
            flags,
            &mut *target,
            buf,
            cap,
            len,
            entries,
            entries_cap,
            entries_len
        ))
    })
}

/// Asks for another event of a broadcast channel.
pub(crate) fn broadcast_rearm(handle: u32) -> Result<()> {
    check(import!(messaging::broadcast_rearm(handle)))
}
