//! Channels between processes, on Node's own wire.
//!
//! | file | what it holds |
//! |---|---|
//! | `wire` | framing: messages in a stream of bytes |
//! | `internal` | what the hosts tell each other: `NODE_HANDLE` and its answers |
//! | `socket` | bytes and descriptors over a socket pair |
//! | `outbox` | what is to be sent, and in which order |
//! | `events` | what the isolate is told |
//! | `state` | the two of them and the inbox, behind one lock |
//! | `descriptors` | what the compiler cannot check about descriptors |
//! | `task` | reads, and writes what could not be written at once |
//! | `channel` | a channel as its isolate holds it |
//! | `linger` | channels that nobody holds any more and that are not sent out yet |
//! | `inherited` | the channel to the parent |
//! | `native_handle` | sockets and servers that come and go with messages |
//! | `resources` | buffers and ports that go to another process beside messages |
//! | `bridge` | carries messages between a port and its other end in another process |
//! | `warner` | warns of handles that were lost |
//! | `imports` | what guests call |

mod bridge;
mod channel;
mod descriptors;
mod events;
pub(crate) mod imports;
mod inherited;
mod internal;
mod linger;
mod native_handle;
mod outbox;
mod resources;
mod socket;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod warner;
mod wire;

pub(crate) use bridge::finish_ports;
pub(crate) use channel::{ChannelWatch, IpcChannel, Reference, insert};
pub(crate) use inherited::{
    ChannelSeed, FD_VARIABLE, SERIALIZATION_VARIABLE, is_channel_variable, open_parent_channel,
    parent_channel_attribute,
};
pub(crate) use linger::finish_sends;
pub(crate) use native_handle::NativeHandle;
pub(crate) use wire::Serialization;
