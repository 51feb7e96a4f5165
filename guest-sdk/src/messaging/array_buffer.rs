//! Buffers that can move.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use nodule_abi::error::ErrorCode;
use nodule_abi::resource::ResourceKind;
use nodule_abi::value::{self, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::side_list::{self, clone_error};
use super::transfer::{Transfer, Transferable, data_clone};
use crate::error::{Error, Result};
use crate::shared_memory::Paged;
use crate::sys::IsolateCell;

/// A buffer of bytes with an identity (Node: `ArrayBuffer`): clones of this are the same buffer. In a transfer list it
/// moves; afterwards it is detached here, its length is 0 and every use fails.
///
/// ```no_run
/// # fn main() -> nodule_sdk::Result<()> {
/// use nodule_sdk::worker_threads::{ArrayBuffer, MessageChannel};
///
/// let buffer = ArrayBuffer::from(vec![1, 2, 3]);
/// MessageChannel::new().port1.post_message_with(&buffer, &[&buffer])?;
/// assert!(buffer.is_detached());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ArrayBuffer {
    state: Rc<State>,
}

struct State {
    /// Nothing when detached.
    buffer: IsolateCell<Option<Storage>>,
    is_untransferable: Cell<bool>,
}

impl State {
    /// The handle of its pages, if it has any of its own.
    fn handle(&self) -> Option<u32> {
        self.buffer
            .try_with(|buffer| buffer.as_ref().and_then(Storage::handle))
            .flatten()
    }
}

/// Where the bytes are.
enum Storage {
    /// In the memory of the allocator.
    Heap(value::ArrayBuffer),
    /// In pages of their own, which move without being copied.
    Paged(Paged),
}

impl Storage {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(buffer) => &buffer.bytes,
            Self::Paged(pages) => pages.bytes(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(buffer) => &mut buffer.bytes,
            Self::Paged(pages) => pages.bytes_mut(),
        }
    }

    fn handle(&self) -> Option<u32> {
        match self {
            Self::Heap(_) => None,
            Self::Paged(pages) => Some(pages.handle()),
        }
    }
}

impl ArrayBuffer {
    /// A buffer of zeroes. From 64 KiB on it has pages of its own: moving it to another isolate copies nothing.
    pub fn new(len_bytes: usize) -> Self {
        match Paged::zeros(len_bytes) {
            Some(pages) => Self::of(Storage::Paged(pages)),
            None => Self::of_bytes(vec![0; len_bytes]),
        }
    }

    fn of_bytes(bytes: Vec<u8>) -> Self {
        Self::of(Storage::Heap(value::ArrayBuffer {
            bytes,
            max_byte_length: None,
        }))
    }

    /// A buffer of zeroes that [`Self::resize`] can make as long as `max_len_bytes`.
    ///
    /// # Errors
    /// `RangeError` when it is longer than that from the start.
    pub fn resizable(len_bytes: usize, max_len_bytes: usize) -> Result<Self> {
        if len_bytes > max_len_bytes {
            return Err(range_error());
        }
        Ok(Self::of(Storage::Heap(value::ArrayBuffer {
            bytes: vec![0; len_bytes],
            max_byte_length: u64::try_from(max_len_bytes).ok(),
        })))
    }

    fn of(buffer: Storage) -> Self {
        Self {
            state: Rc::new(State {
                buffer: IsolateCell::new(Some(buffer)),
                is_untransferable: Cell::new(false),
            }),
        }
    }

    /// The buffer of pages that a message brought. In one message the same pages are the same buffer: there are never
    /// two that lend the bytes.
    fn of_handle(handle: u32) -> Result<Self> {
        let known = side_list::kept(|state: &State| state.handle() == Some(handle));
        if let Some(state) = known {
            return Ok(Self { state });
        }
        let buffer = Self::of(Storage::Paged(Paged::of_handle(handle)?));
        side_list::keep(Rc::clone(&buffer.state) as Rc<dyn Any>);
        Ok(buffer)
    }

    fn with<R>(&self, use_buffer: impl FnOnce(&mut Storage) -> R) -> Result<R> {
        let result = self.state.buffer.try_with(|buffer| buffer.as_mut().map(use_buffer));
        match result {
            Some(Some(result)) => Ok(result),
            Some(None) => Err(Error::new("Cannot perform the operation on a detached ArrayBuffer").named("TypeError")),
            None => Err(Error::new("The ArrayBuffer is in use").named("TypeError")),
        }
    }

    /// Its length in bytes; 0 when it is detached (Node: `byteLength`).
    pub fn byte_length(&self) -> usize {
        self.with(|buffer| buffer.bytes().len()).unwrap_or(0)
    }

    /// Whether it was moved.
    pub fn is_detached(&self) -> bool {
        self.state.buffer.try_with(|buffer| buffer.is_none()).unwrap_or(false)
    }

    /// Lets `read` see the bytes.
    ///
    /// # Errors
    /// `TypeError` when it is detached, or when this is called within a use of the same buffer.
    pub fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.with(|buffer| read(buffer.bytes()))
    }

    /// Lets `write` change the bytes.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn write<R>(&self, write: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.with(|buffer| write(buffer.bytes_mut()))
    }

    /// A copy of the bytes.
    ///
    /// # Errors
    /// `TypeError` when it is detached.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        self.read(<[u8]>::to_vec)
    }

    /// Changes the length of a resizable buffer; new bytes are 0.
    ///
    /// # Errors
    /// `TypeError` when it is not resizable or detached, `RangeError` beyond its maximum.
    pub fn resize(&self, len_bytes: usize) -> Result<()> {
        self.with(|storage| {
            let Storage::Heap(buffer) = storage else {
                return Err(not_resizable());
            };
            match buffer.max_byte_length {
                None => Err(not_resizable()),
                Some(max) if len_bytes as u64 > max => Err(range_error()),
                Some(_) => {
                    buffer.bytes.resize(len_bytes, 0);
                    Ok(())
                }
            }
        })?
    }

    pub(super) fn mark_untransferable(&self) {
        self.state.is_untransferable.set(true);
    }

    pub(super) fn is_untransferable(&self) -> bool {
        self.state.is_untransferable.get()
    }
}

fn not_resizable() -> Error {
    Error::new("The ArrayBuffer is not resizable").named("TypeError")
}

fn range_error() -> Error {
    Error::with_code(ErrorCode::OutOfRange, "Invalid array buffer length").named("RangeError")
}

/// Large ones are copied once, into pages of their own.
impl From<Vec<u8>> for ArrayBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        match Paged::zeros(bytes.len()) {
            Some(mut pages) => {
                pages.bytes_mut().copy_from_slice(&bytes);
                Self::of(Storage::Paged(pages))
            }
            None => Self::of_bytes(bytes),
        }
    }
}

impl fmt::Debug for ArrayBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayBuffer")
            .field("byte_length", &self.byte_length())
            .finish_non_exhaustive()
    }
}

/// What a message gets of a buffer: its bytes, or its pages when they move with it.
enum Encoding {
    Bytes(value::ArrayBuffer),
    Pages(u32),
}

impl Serialize for ArrayBuffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encoding = self.with(|storage| match storage {
            Storage::Heap(buffer) => Encoding::Bytes(buffer.clone()),
            Storage::Paged(pages) if side_list::has_handle(pages.handle()) => Encoding::Pages(pages.handle()),
            Storage::Paged(pages) => Encoding::Bytes(value::ArrayBuffer {
                bytes: pages.bytes().to_vec(),
                max_byte_length: None,
            }),
        });
        match encoding {
            Ok(Encoding::Bytes(buffer)) => Value::ArrayBuffer(buffer).serialize(serializer),
            Ok(Encoding::Pages(handle)) => side_list::serialize_handle(handle, serializer),
            Err(_) => Err(clone_error(data_clone(
                "An ArrayBuffer is detached and could not be cloned.",
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for ArrayBuffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let value = match value {
            Value::Shared(_, inner) => *inner,
            value => value,
        };
        match value {
            Value::ArrayBuffer(buffer) => Ok(Self::of(Storage::Heap(buffer))),
            Value::Resource(place) => match side_list::claim(place as usize, ResourceKind::ArrayBuffer) {
                Some(handle) => Self::of_handle(handle).map_err(de::Error::custom),
                None => Err(expected(&value)),
            },
            other => Err(expected(&other)),
        }
    }
}

fn expected<E: de::Error>(value: &Value) -> E {
    E::custom(format_args!("expected an ArrayBuffer, got {}", value.describe()))
}

impl Transfer for ArrayBuffer {
    fn handle(&self) -> Option<u32> {
        self.state.handle()
    }

    fn identity(&self) -> (*const (), &'static str) {
        (Rc::as_ptr(&self.state).cast(), "ArrayBuffer")
    }

    fn refusal(&self) -> Option<&'static str> {
        if self.is_detached() {
            return Some("ArrayBuffer in transfer list is already detached");
        }
        self.is_untransferable()
            .then_some("Cannot transfer object of unsupported type.")
    }

    fn detach(&self) {
        match self.state.buffer.try_with(Option::take).flatten() {
            Some(Storage::Paged(pages)) => pages.forget(),
            other => drop(other),
        }
    }
}

impl Transferable for ArrayBuffer {}
