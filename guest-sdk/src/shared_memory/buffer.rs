//! Shared buffers.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use nodule_abi::resource::ResourceKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::cell::Cell;
use crate::error::{Error, Result};
use crate::messaging::side_list;
use crate::sys::{self, Window};

/// Memory that isolates share (Node: `SharedArrayBuffer`). Clones are the same buffer, and so is what arrives of it in
/// another isolate. It lives as long as anyone has it.
///
/// The window of the buffer stays for as long as any clone of this value, which views borrow.
#[derive(Clone)]
pub struct SharedBuffer {
    state: Rc<State>,
}

struct State {
    handle: u32,
    window: Window,
    /// The length, when it cannot change.
    fixed: Option<usize>,
    max_byte_length: usize,
}

impl Drop for State {
    fn drop(&mut self) {
        // It is open until here.
        let _ = sys::close(self.handle);
    }
}

/// A length of the host. Windows lie in the memory of the program, so theirs always fit.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl SharedBuffer {
    /// A buffer of zeros.
    ///
    /// # Errors
    /// `RangeError` beyond 4 GiB, `ENOMEM` when the memory is full or a limit is reached, `ERR_ACCESS_DENIED`
    /// when shared memory is denied.
    pub fn new(byte_length: usize) -> Result<Self> {
        Self::of_handle(sys::shared_create(byte_length as u64, None)?)
    }

    /// A buffer of zeros that [`Self::grow`] can make as long as `max_byte_length`. Memory is taken when it is used first.
    ///
    /// # Errors
    /// As of [`Self::new`]; `RangeError` when it is longer than that from the start.
    pub fn growable(byte_length: usize, max_byte_length: usize) -> Result<Self> {
        Self::of_handle(sys::shared_create(byte_length as u64, Some(max_byte_length as u64))?)
    }

    /// The buffer of a handle, which is closed when that fails.
    pub(crate) fn of_handle(handle: u32) -> Result<Self> {
        let open = || {
            let is_growable = sys::shared_is_growable(handle)?;
            let max_byte_length = length(sys::shared_max_byte_length(handle)?);
            Ok(State {
                handle,
                window: Window::of_shared(handle)?,
                fixed: (!is_growable).then_some(max_byte_length),
                max_byte_length,
            })
        };
        match open() {
            Ok(state) => Ok(Self { state: Rc::new(state) }),
            Err(error) => {
                // It was just opened.
                let _ = sys::close(handle);
                Err(error)
            }
        }
    }

    /// The current length in bytes (Node: `byteLength`).
    pub fn byte_length(&self) -> usize {
        match self.state.fixed {
            Some(length) => length,
            // The handle is open as long as this value lives.
            None => sys::shared_byte_length(self.state.handle).map_or(0, length),
        }
    }

    /// The greatest length in bytes (Node: `maxByteLength`).
    pub fn max_byte_length(&self) -> usize {
        self.state.max_byte_length
    }

    /// Whether it can grow (Node: `growable`).
    pub fn is_growable(&self) -> bool {
        self.state.fixed.is_none()
    }

    /// Makes it longer for everyone who has it; it never shrinks. The new bytes are 0.
    ///
    /// # Errors
    /// `RangeError` when it is longer already or beyond its maximum, `TypeError` when it cannot grow.
    pub fn grow(&self, byte_length: usize) -> Result<()> {
        sys::shared_grow(self.state.handle, byte_length as u64)
    }

    /// The first byte of the window, which is as long as the greatest length; the same for every buffer that is this one. Reading
    /// and writing through it is for `unsafe` code, which keeps the value alive and expects others to change the bytes.
    pub fn map(&self) -> *mut u8 {
        self.state.window.pointer()
    }

    /// The cells of a kind.
    pub fn cells<C: Cell>(&self) -> &[C] {
        self.state.window.cells(self.byte_length())
    }

    /// Copies bytes at `offset` out.
    ///
    /// # Errors
    /// `RangeError` behind the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        sys::copy_cells(self.range(offset, bytes.len())?, bytes);
        Ok(())
    }

    /// Copies bytes to `offset`.
    ///
    /// # Errors
    /// `RangeError` behind the end.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        sys::fill_cells(self.range(offset, bytes.len())?, bytes);
        Ok(())
    }

    fn range(&self, offset: usize, len: usize) -> Result<&[AtomicU8]> {
        let end = offset.checked_add(len);
        end.and_then(|end| self.as_u8().get(offset..end)).ok_or_else(|| {
            Error::new(format!(
                "Offset {offset} and {len} bytes are outside the bounds of the buffer"
            ))
            .named("RangeError")
        })
    }

    /// Whether both are the same memory.
    pub fn is_same(&self, other: &Self) -> bool {
        self.map() == other.map()
    }
}

macro_rules! views {
    ($($name:ident, $atomic:ident, $array:literal;)*) => {
        /// Views. They are as long as the buffer was when they were made.
        impl SharedBuffer {
            $(
                #[doc = concat!("All of it as cells (Node: `", $array, "`).")]
                pub fn $name(&self) -> &[$atomic] {
                    self.cells()
                }
            )*
        }
    };
}

views! {
    as_i8, AtomicI8, "Int8Array";
    as_u8, AtomicU8, "Uint8Array";
    as_i16, AtomicI16, "Int16Array";
    as_u16, AtomicU16, "Uint16Array";
    as_i32, AtomicI32, "Int32Array";
    as_u32, AtomicU32, "Uint32Array";
    as_i64, AtomicI64, "BigInt64Array";
    as_u64, AtomicU64, "BigUint64Array";
}

impl Serialize for SharedBuffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        side_list::serialize_handle(self.state.handle, serializer)
    }
}

impl<'de> Deserialize<'de> for SharedBuffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let handle = side_list::deserialize_handle(ResourceKind::SharedBuffer, deserializer)?;
        // In one message the same handle is the same buffer: whoever drops its last clone closes the handle.
        if let Some(state) = side_list::kept(|state: &State| state.handle == handle) {
            return Ok(Self { state });
        }
        let buffer = Self::of_handle(handle).map_err(de::Error::custom)?;
        side_list::keep(Rc::clone(&buffer.state) as Rc<dyn Any>);
        Ok(buffer)
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer")
            .field("byte_length", &self.byte_length())
            .field("max_byte_length", &self.max_byte_length())
            .finish_non_exhaustive()
    }
}
