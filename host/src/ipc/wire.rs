//! Framing: messages in a stream of bytes, as Node's two serializations have them.
//!
//! `json` is a line of UTF-8 text a message. `advanced` is a length (`u32`, big-endian) and so many bytes, which between
//! nodule processes are one CBOR item in the tag of self-described CBOR. Pure: no sockets here.

use std::ops::{Deref, Range};

use nodule_abi::error::ErrorCode;
use nodule_abi::imports::ipc::serialization;
use nodule_abi::limits::IPC_MESSAGE_BYTES_MAX;

/// How the messages of a channel are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// A line of JSON a message. What every Node speaks.
    #[default]
    Json,
    /// Length and CBOR.
    Advanced,
}

impl Serialization {
    /// The one with this name (Node: `serialization`, `NODE_CHANNEL_SERIALIZATION_MODE`).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "advanced" => Some(Self::Advanced),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Advanced => "advanced",
        }
    }

    /// Its number in the ABI.
    pub const fn number(self) -> u32 {
        match self {
            Self::Json => serialization::JSON,
            Self::Advanced => serialization::ADVANCED,
        }
    }
}

/// The tag of self-described CBOR, 55799.
const TAG: [u8; 3] = [0xd9, 0xd9, 0xf7];
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = LENGTH_BYTES + TAG.len();

/// Room that is offered for one read.
const READ_BYTES: usize = 64 * 1024;

/// Messages from this size on leave in the buffer they were read into, instead of being copied out of it.
const LARGE_BYTES: usize = 32 * 1024;

const MESSAGE_BYTES_MAX: usize = IPC_MESSAGE_BYTES_MAX as usize;

/// Why a stream is not one of messages. Nothing can be read from it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// These are no messages of this serialization.
    Mismatch,
    /// A message of more than [`IPC_MESSAGE_BYTES_MAX`].
    TooLarge,
}

impl WireError {
    /// The code a guest sees.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Mismatch => ErrorCode::IpcCodecMismatch,
            Self::TooLarge => ErrorCode::IpcMessageTooLarge,
        }
    }
}

/// A received message without its frame: JSON text, or a CBOR item.
#[derive(Debug, Default)]
pub struct Payload {
    buffer: Vec<u8>,
    start: usize,
}

impl Payload {
    /// The part of it at `range`.
    pub fn part(mut self, range: Range<usize>) -> Self {
        let start = self.start.saturating_add(range.start);
        self.buffer.truncate(self.start.saturating_add(range.end));
        self.start = start.min(self.buffer.len());
        self
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.to_vec(),
            start: 0,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}

/// Puts the frames of a stream together in the buffer they are read into. Every byte is looked for a line end once, and
/// moved once at most.
#[derive(Debug)]
pub struct Framer {
    serialization: Serialization,
    /// Zeroes beyond `end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to here there is no line end.
    scanned: usize,
    /// Longest message.
    pub(super) bytes_max: usize,
    /// Bytes that were moved or searched.
    #[cfg(test)]
    pub(super) touched: usize,
}

impl Framer {
    /// Of an empty stream.
    pub fn new(serialization: Serialization) -> Self {
        Self {
            serialization,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            bytes_max: MESSAGE_BYTES_MAX,
            #[cfg(test)]
            touched: 0,
        }
    }

    /// Where the next bytes of the stream go; never empty. Call [`Self::next`] until there is no message before.
    pub fn space(&mut self) -> &mut [u8] {
        if self.buffer.len() - self.end < READ_BYTES {
            self.make_room();
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    fn make_room(&mut self) {
        let partial = self.end - self.start;
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
            self.end = partial;
            #[cfg(test)]
            {
                self.touched += partial;
            }
        }
        // Grows as data arrives, never by what a length claims.
        let wanted = partial + partial.max(READ_BYTES);
        if self.buffer.len() < wanted {
            #[cfg(test)]
            {
                self.touched += partial;
            }
            self.buffer.resize(wanted, 0);
        }
    }

    /// So many bytes were written to the front of [`Self::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.buffer.len());
    }

    /// Whether a message has begun and is not complete.
    pub fn is_mid_message(&self) -> bool {
        self.start < self.end
    }

    /// The next complete message.
    pub fn next(&mut self) -> Result<Option<Payload>, WireError> {
        match self.serialization {
            Serialization::Json => self.next_line(),
            Serialization::Advanced => self.next_item(),
        }
    }

    fn next_line(&mut self) -> Result<Option<Payload>, WireError> {
        loop {
            let fresh = self.buffer.get(self.scanned..self.end).unwrap_or_default();
            let found = memchr::memchr(b'\n', fresh);
            #[cfg(test)]
            {
                self.touched += found.map_or(fresh.len(), |at| at + 1);
            }
            let line_end = found.map_or(self.end, |at| self.scanned + at);
            if line_end - self.start > self.bytes_max {
                return Err(WireError::TooLarge);
            }
            if found.is_none() {
                self.scanned = self.end;
                return Ok(None);
            }
            let line = self.start..line_end;
            self.scanned = line_end + 1;
            if line.is_empty() {
                self.consume(line_end + 1);
                continue;
            }
            let text = self.buffer.get(line.clone()).unwrap_or_default();
            if std::str::from_utf8(text).is_err() {
                return Err(WireError::Mismatch);
            }
            return Ok(Some(self.cut(line, line_end + 1)));
        }
    }

    fn next_item(&mut self) -> Result<Option<Payload>, WireError> {
        let frame = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((length, rest)) = frame.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.bytes_max + TAG.len() {
            return Err(WireError::TooLarge);
        }
        let is_tagged = rest.iter().zip(TAG).all(|(byte, wanted)| *byte == wanted);
        if length <= TAG.len() || !is_tagged {
            return Err(WireError::Mismatch);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let end = self.start + LENGTH_BYTES + length;
        self.scanned = end;
        Ok(Some(self.cut(self.start + HEADER_BYTES..end, end)))
    }

    /// Takes out the message at `range`, whose frame ends at `end`.
    fn cut(&mut self, range: Range<usize>, end: usize) -> Payload {
        let is_large = range.len() >= LARGE_BYTES && range.len() >= self.buffer.len() / 2;
        if is_large && end == self.end {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.truncate(range.end);
            (self.start, self.end, self.scanned) = (0, 0, 0);
            return Payload {
                buffer,
                start: range.start,
            };
        }
        #[cfg(test)]
        {
            self.touched += range.len();
        }
        let payload = Payload::from(self.buffer.get(range).unwrap_or_default());
        self.consume(end);
        payload
    }

    /// Everything before `end` was taken out.
    fn consume(&mut self, end: usize) {
        self.start = end;
        if self.start == self.end {
            (self.start, self.end, self.scanned) = (0, 0, 0);
            // What a large message needed is not kept.
            if self.buffer.len() > 2 * READ_BYTES {
                self.buffer = Vec::new();
            }
        }
    }
}

/// The frame of a message: `before`, so many bytes as `fill` writes, `after`. `None` when that is more than a message
/// may be.
pub fn frame<E>(
    serialization: Serialization,
    (before, message_len, after): (&[u8], usize, &[u8]),
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Option<Vec<u8>>, E> {
    let length = before.len().saturating_add(message_len).saturating_add(after.len());
    if length > MESSAGE_BYTES_MAX {
        return Ok(None);
    }
    let (header, line_end): (&[u8], &[u8]) = match serialization {
        Serialization::Json => (&[], b"\n"),
        Serialization::Advanced => (&TAG, &[]),
    };
    let mut bytes = Vec::new();
    if serialization == Serialization::Advanced {
        let length = u32::try_from(length + TAG.len()).unwrap_or(u32::MAX);
        bytes.reserve_exact(HEADER_BYTES + length as usize);
        bytes.extend_from_slice(&length.to_be_bytes());
    } else {
        bytes.reserve_exact(length + line_end.len());
    }
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(before);
    let start = bytes.len();
    bytes.resize(start + message_len, 0);
    fill(bytes.get_mut(start..).unwrap_or_default())?;
    bytes.extend_from_slice(after);
    bytes.extend_from_slice(line_end);
    Ok(Some(bytes))
}

/// The frame of `message`, which is short.
pub fn short_frame(serialization: Serialization, message: &[u8]) -> Vec<u8> {
    let filled = frame(serialization, (message, 0, &[]), |_| Ok::<_, ()>(()));
    filled.ok().flatten().unwrap_or_default()
}
