//! Event records: what `nodule:event_loop/1` `wait` writes into guest memory.

/// One event: 32 bytes, little-endian, 8-byte aligned. Payloads do not travel in it; they are fetched
/// by the calls of the handle's area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventRecord {
    /// What happened: a number of [`EventKind`].
    pub kind: u32,
    /// The handle it happened to, 0 when there is none.
    pub handle: u32,
    /// Arguments, by kind.
    pub args: [u64; 3],
}

/// Size of an [`EventRecord`] in guest memory.
pub const EVENT_RECORD_BYTES: usize = 32;
const _: () = assert!(size_of::<EventRecord>() == EVENT_RECORD_BYTES);

impl EventRecord {
    /// A record of `kind` about `handle`.
    pub const fn new(kind: EventKind, handle: u32, args: [u64; 3]) -> Self {
        Self {
            kind: kind as u32,
            handle,
            args,
        }
    }

    /// The bytes as they lie in guest memory.
    pub fn to_bytes(self) -> [u8; EVENT_RECORD_BYTES] {
        let mut bytes = [0; EVENT_RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.handle.to_le_bytes());
        for (slot, arg) in bytes[8..].chunks_exact_mut(8).zip(self.args) {
            slot.copy_from_slice(&arg.to_le_bytes());
        }
        bytes
    }
}

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $c:literal;)*) => {
        /// Kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl EventKind {
            /// Every kind with the name the C header has for it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $c)),*];

            /// The kind with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// A timer is due. The handle of a one-shot timer is closed.
    Timer = 1, "TIMER";
    /// A signal the isolate listens for arrived: `args[0]` its number.
    Signal = 2, "SIGNAL";
    /// A stream that answered `EAGAIN` can be read again (data, end or error).
    Readable = 3, "READABLE";
    /// A stream that answered `EAGAIN` to a write takes bytes again, or failed.
    Writable = 4, "WRITABLE";
    /// A started port has messages: `args[0]` how many. Comes again only after a receive answered `EAGAIN`.
    Message = 10, "MESSAGE";
    /// The channel of a port is closed and its last message was received.
    PortClose = 11, "PORT_CLOSE";
    /// The receiver of a port whose queue was above its high-water mark has room again.
    PortDrain = 12, "PORT_DRAIN";
    /// A broadcast channel of this name has messages. Comes again only after a receive answered `EAGAIN`.
    Broadcast = 13, "BROADCAST";
    /// A value another thread posted to this one waits (`worker_threads` `thread_message_receive`).
    ThreadMessage = 14, "THREAD_MESSAGE";
    /// What became of a post to another thread: `args[0]` the request, `args[1]` an error number or 0.
    ThreadMessageDone = 15, "THREAD_MESSAGE_DONE";
    /// A worker's first instruction is about to run.
    WorkerOnline = 20, "WORKER_ONLINE";
    /// A worker has ended: `args[0]` its exit code as two's complement, `args[1]` 1 when an error ended it.
    WorkerExit = 21, "WORKER_EXIT";
    /// A request about a worker is answered: `args[0]` the request, `args[1]` an error number or 0.
    WorkerReply = 22, "WORKER_REPLY";
    /// A lock was granted.
    LockGranted = 30, "LOCK_GRANTED";
    /// A lock that was held was stolen.
    LockStolen = 31, "LOCK_STOLEN";
    /// An asynchronous wait on shared memory is over: `args[0]` 0 woken, 1 timed out.
    WaitDone = 40, "WAIT_DONE";
    /// A child process has ended, and its channel is closed: `args[0]` its exit code as two's complement, `args[1]` the
    /// signal that ended it or 0.
    ChildExit = 50, "CHILD_EXIT";
    /// A started channel between processes has messages. Comes again only after a receive answered `EAGAIN`.
    IpcMessage = 51, "IPC_MESSAGE";
    /// A channel between processes is closed, and its last message was received or can be.
    IpcDisconnect = 52, "IPC_DISCONNECT";
    /// A message with the flag `NOTIFY` is written, or will not be: `args[0]` the request, `args[1]` an error number or 0.
    IpcSent = 53, "IPC_SENT";
    /// A channel that refused a message with `ERR_IPC_BACKPRESSURE` has room again.
    IpcDrain = 54, "IPC_DRAIN";
    /// A channel between processes failed: `args[0]` an error number. It closes.
    IpcError = 55, "IPC_ERROR";
}
