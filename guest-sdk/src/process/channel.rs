//! The channel to the parent process.

use serde::Serialize;

use super::attributes::get_attribute;
use crate::error::Result;
use crate::sys;

/// The IPC channel to the parent (Node: `process.channel`).
#[derive(Debug)]
pub struct Channel {
    handle: u32,
}

impl Channel {
    /// Lets the channel keep the isolate alive, whoever listens (Node: `channel.ref`).
    pub fn ref_(&self) {
        // A channel that is closed keeps nothing alive.
        let _ = sys::ref_handle(self.handle);
    }

    /// Lets the isolate end although the channel is open, whoever listens (Node: `channel.unref`).
    pub fn unref(&self) {
        let _ = sys::unref_handle(self.handle);
    }

    /// Whether the channel keeps the isolate alive (Node: `channel.hasRef`).
    pub fn has_ref(&self) -> bool {
        sys::has_ref(self.handle).unwrap_or(false)
    }
}

/// The channel to the parent, when there is one (Node: `process.channel`).
///
/// # Errors
/// `ERR_WORKER_UNSUPPORTED_OPERATION` in a thread of a process that has one.
pub fn channel() -> Result<Option<Channel>> {
    let handle = get_attribute("channel")?.and_then(|value| value.as_u32());
    Ok(handle.map(|handle| Channel { handle }))
}

/// Whether the channel is open; `None` when there never was one (Node: `process.connected`).
///
/// # Errors
/// As [`channel`].
pub fn connected() -> Result<Option<bool>> {
    Ok(get_attribute("connected")?.and_then(|value| value.as_bool()))
}

/// Sends a message to the parent (Node: `process.send`).
///
/// # Errors
/// `ERR_IPC_CHANNEL_CLOSED` without a channel.
pub fn send(message: &impl Serialize) -> Result<()> {
    sys::process::send(message, 0)?;
    Ok(())
}

/// Closes the channel after what was sent; `'disconnect'` follows (Node: `process.disconnect`).
///
/// # Errors
/// `ERR_IPC_DISCONNECTED` without a channel.
pub fn disconnect() -> Result<()> {
    sys::process::disconnect()
}
