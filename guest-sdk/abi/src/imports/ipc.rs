//! The imports of the area `ipc`.

/// Flag of `send`: the sender keeps its copy of the handle (Node: `keepOpen`).
pub const KEEP_OPEN: u32 = 1;
/// Flag of `send`: an `IpcSent` event tells when the message is written.
pub const NOTIFY: u32 = 2;

/// Numbers of the serializations.
pub mod serialization {
    /// A line of JSON a message.
    pub const JSON: u32 = 0;
    /// Length and CBOR.
    pub const ADVANCED: u32 = 1;
}

abi! {
    /// Channels between processes, on Node's wire (Node: `subprocess.send`, `process.send`). The channel to a child comes
    /// from `nodule:child_process/1` `spawn`, the one to the parent is the attribute `channel` of `nodule:process/1`.
    area ipc version 1 from "nodule:ipc/1" {
        /// Writes 2 numbers to `facts`: 1 while the channel is connected, else 0; its serialization (0 JSON, 1 advanced).
        fn state(channel: u32, facts: *mut u32) -> u32;
        /// Sends a message as the channel's serialization has it: JSON text without line ends, or CBOR. `resources` and
        /// `transfer` are those of `nodule:messaging/1` `post`, and for advanced channels only: shared buffers are shared
        /// with the other process, ports and ArrayBuffers move there, at most 63 in a message; `DataCloneError` for buffers that
        /// can grow and for modules. `handle` is a native handle to send along, or 0.
        /// `flags`: 1 keeps `handle` open here, 2 asks for an `IpcSent` event. Writes 2 numbers to `outcome`: the request
        /// that the event names, and 1 when the backlog is short, as Node's `send` says it. Does not wait.
        /// `ERR_IPC_CHANNEL_CLOSED`, `ERR_IPC_BACKPRESSURE` (`IpcDrain` follows), `ERR_IPC_MESSAGE_TOO_LARGE`,
        /// `ERR_INVALID_HANDLE_TYPE`, `EILSEQ` for JSON that is no UTF-8, and those of a message.
        fn send(channel: u32, message: *const u8, message_len: u32, resources: *const u32, resources_len: u32, transfer: *const u32, transfer_len: u32, handle: u32, flags: u32, outcome: *mut u32) -> u32;
        /// The oldest message, as `nodule:messaging/1` `receive`; writes the native handle that came with it, or 0.
        /// `EAGAIN` when there is none: an `IpcMessage` event follows. `ENOMEM` when buffers in it are above the limits of the isolate,
        /// `DataCloneError` when they are not what the other side said: the message is gone then.
        fn receive(channel: u32, buf: *mut u8, cap: u32, len: *mut u32, resources: *mut u32, resources_cap: u32, resources_len: *mut u32, handle: *mut u32) -> u32;
        /// Begins delivery: `IpcMessage` comes when there are messages.
        fn start(channel: u32) -> u32;
        /// Ends delivery; messages stay queued, and the other side has to wait once the queue is full.
        fn stop(channel: u32) -> u32;
        /// Closes the channel after what is queued; `IpcDisconnect` follows. It is not connected any more when this returns.
        /// `ERR_IPC_DISCONNECTED` when it was not before.
        fn disconnect(channel: u32) -> u32;
        /// The type of a native handle as Node names it (`net.Socket`, `net.Server`, `dgram.Socket`…), as sized text.
        fn handle_type(handle: u32, buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }
}
