//! The imports of the area `messaging`.

abi! {
    /// Message channels, broadcast channels and structured clones.
    ///
    /// A message is a value (CBOR, `message`) and a side list of resources. On its way in, `resources` holds the
    /// handles that `Value::Resource(i)` means, and `transfer` the handles that move; both are counted in entries.
    /// Kinds that move must be in `transfer`; what is there leaves the caller also when no resource names it.
    /// On its way out, `resources` gets two numbers an entry, handle and kind; `EAGAIN` means that nothing is there,
    /// `ERANGE` that a buffer is too small: both lengths are written then and nothing is taken.
    ///
    /// Posting fails all or nothing, in this order: `ERR_INVALID_TRANSFER_OBJECT` for a handle of a kind that does
    /// not move, `DataCloneError` for a duplicate, the source port, and a port that is closed, moved or marked,
    /// `ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST` for a resource that must be listed.
    area messaging version 1 from "nodule:messaging/1" {
        /// Makes a channel and writes the handles of its two ports to `ports[0]` and `ports[1]`. They neither deliver
        /// nor keep the isolate alive until `start` and `ref_handle`. `EMFILE` when the handle limit is reached.
        fn channel(ports: *mut u32) -> u32;
        /// Sends a message to the other end of `port`; 0 stands for a port that was closed or moved. On a closed
        /// channel it is dropped. `flags`: bit 0, `EAGAIN` instead of queueing above the receiver's high-water mark,
        /// with a `PortDrain` event to follow. `*outcome` becomes 1 when the receiver's queue is below its high-water
        /// mark, 0 when not (`PortDrain` follows), 2 when the message held its own target: the channel is closed and
        /// lost. `ERR_WORKER_QUEUE_FULL` at the hard bound of the receiver's queue.
        fn post(port: u32, message: *const u8, message_len: u32, resources: *const u32, resources_len: u32,
            transfer: *const u32, transfer_len: u32, flags: u32, outcome: *mut u32) -> u32;
        /// Takes the oldest message of `port`. The port need not be started, and can be closed.
        /// `EMFILE` when there is no room for its resources: the message is lost then.
        fn receive(port: u32, buf: *mut u8, cap: u32, len: *mut u32,
            resources: *mut u32, resources_cap: u32, resources_len: *mut u32) -> u32;
        /// Waits until a message is there. Blocks only the calling isolate. `timeout_ns` < 0 waits without end.
        /// `ETIMEDOUT` when the time is over, `ERR_CLOSED_MESSAGE_PORT` when none can come any more.
        /// Also for broadcast channels.
        fn receive_wait(port: u32, timeout_ns: i64) -> u32;
        /// Begins delivery: `Message` events. On a port that is started it asks for another event when messages are there.
        fn start(port: u32) -> u32;
        /// Stops delivery; messages queue up.
        fn stop(port: u32) -> u32;
        /// Closes the channel: sending ends on both sides. Each end gets `PortClose` after the messages that are queued
        /// for it; the caller's at once when it is not started. Repeating has no effect.
        fn close(port: u32) -> u32;
        /// Writes to `*result` whether the channel of `port` is open (1) or closed (0).
        fn is_open(port: u32, result: *mut u32) -> u32;
        /// Checks a transfer list before the message is encoded, as `post` does. `source` is the sending port or 0.
        fn check_transfer(source: u32, transfer: *const u32, transfer_len: u32) -> u32;
        /// Marks the resource of `handle` for good. `flags`: bit 0 untransferable, bit 1 uncloneable.
        fn mark(handle: u32, flags: u32) -> u32;
        /// Writes the marks of `handle` to `*flags`.
        fn marks(handle: u32, flags: *mut u32) -> u32;
        /// Clones a message within the isolate, moving what is in `transfer`. `*len` and `*resources_len` are known
        /// beforehand: those of the message.
        fn clone_message(message: *const u8, message_len: u32, resources: *const u32, resources_len: u32,
            transfer: *const u32, transfer_len: u32, buf: *mut u8, cap: u32, len: *mut u32,
            out_resources: *mut u32, out_resources_cap: u32, out_resources_len: *mut u32) -> u32;
        /// Joins the broadcast channel `name` (at most 1024 bytes) of the process and writes the handle to `*handle`.
        /// It keeps the isolate alive and gives `Broadcast` events from the start.
        fn broadcast_open(name: *const u8, name_len: u32, handle: *mut u32) -> u32;
        /// Sends a message to all other channels of the name. `InvalidStateError` when `handle` is closed.
        fn broadcast_post(handle: u32, message: *const u8, message_len: u32,
            resources: *const u32, resources_len: u32) -> u32;
        /// Takes a message. `flags` bit 0: the oldest one of `handle`. Otherwise the next in order for any channel of
        /// the calling isolate with the name of `handle`: each message reaches them in order of creation before the
        /// next one. `*target` becomes the channel it is for. `ERR_WORKER_QUEUE_FULL`, once, in place of messages that
        /// `*target` lost because it did not take them in time; the text says how many.
        fn broadcast_receive(handle: u32, flags: u32, target: *mut u32, buf: *mut u8, cap: u32, len: *mut u32,
            resources: *mut u32, resources_cap: u32, resources_len: *mut u32) -> u32;
        /// Asks for another event when messages are there for any channel of the isolate with the name of `handle`.
        fn broadcast_rearm(handle: u32) -> u32;
    }
}

/// Flag of `post`: `EAGAIN` instead of queueing above the high-water mark.
pub const ONLY_IF_ROOM: u32 = 1;
/// Flag of `broadcast_receive`: only messages of that one channel.
pub const ONLY_THIS: u32 = 1;

/// Outcomes of `post`.
pub mod outcome {
    /// The receiver's queue is at or above its high-water mark.
    pub const ABOVE_MARK: u32 = 0;
    /// There is room.
    pub const ROOM: u32 = 1;
    /// The message held the port it was sent to.
    pub const TARGET_LOST: u32 = 2;
}

/// Marks of a resource.
pub mod marks {
    /// It cannot be in a transfer list.
    pub const UNTRANSFERABLE: u32 = 1;
    /// It cannot be in a message.
    pub const UNCLONEABLE: u32 = 2;
}
