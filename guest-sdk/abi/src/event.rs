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

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum EventKind {
    /// A timer is due. The handle of a one-shot timer is closed.
    Timer = 1,
    /// A signal the isolate listens for arrived: `args[0]` its number.
    Signal = 2,
    /// A stream that answered `EAGAIN` can be read again (data, end or error).
    Readable = 3,
}

impl EventKind {
    /// The kind with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Timer),
            2 => Some(Self::Signal),
            3 => Some(Self::Readable),
            _ => None,
        }
    }
}
