//! Reads and writes of guest memory. The only place that touches guest bytes: every pointer and length
//! is checked here, against the memory and against a limit, before anything is allocated.
//!
//! No reference to guest bytes is ever formed: windows of shared memory change under the host. What is read from there is
//! copied first and looked at then.
#![allow(unsafe_code, reason = "copies by checked raw pointers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use nodule_abi::atomic::AtomicOperation;
use nodule_abi::error::{ErrorCode, ErrorRecord};
use wasmtime::{AsContext, AsContextMut, Caller, Memory, Trap};

use crate::host_error::HostError;
use crate::runtime::IsolateState;

type Result<T> = std::result::Result<T, HostError>;

/// The memory exported by the calling module.
pub fn memory(caller: &mut Caller<'_, IsolateState>) -> Result<Memory> {
    if let Some(memory) = caller.data().exports.memory {
        return Ok(memory);
    }
    // Before the exports are known: a call out of the start function.
    caller
        .get_export("memory")
        .and_then(wasmtime::Extern::into_memory)
        .ok_or_else(|| {
            HostError::trap("the module calls an import with pointers but exports no memory named \"memory\"")
        })
}

fn fault() -> HostError {
    ErrorRecord::new(ErrorCode::Efault, "pointer outside the memory of the module").into()
}

/// Checks that a range lies in a memory of `size` bytes.
fn check_range(start: usize, len: usize, size: usize) -> Result<()> {
    match start.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(fault()),
    }
}

/// Where bytes of a memory lie, checked, and whether other isolates may change them meanwhile.
fn place(
    context: &impl AsContext<Data = IsolateState>,
    memory: Memory,
    start: usize,
    len: usize,
) -> Result<(*mut u8, bool)> {
    let context = context.as_context();
    check_range(start, len, memory.data_size(&context))?;
    let windows = &context.data().shared_memory.windows;
    // SAFETY: the range lies in the memory, so the pointer stays inside it or just behind it.
    let pointer = unsafe { memory.data_ptr(&context).add(start) };
    Ok((pointer, windows.overlap(start as u64, len as u64)))
}

/// Copies bytes out of a memory. `EFAULT` when they lie outside.
pub fn copy_out(
    context: &impl AsContext<Data = IsolateState>,
    memory: Memory,
    start: usize,
    len: usize,
) -> Result<Vec<u8>> {
    let (pointer, is_shared) = place(context, memory, start, len)?;
    let mut bytes = Vec::with_capacity(len);
    if is_shared {
        for at in 0..len {
            // SAFETY: in range, as checked; every access of the host to shared bytes is atomic.
            bytes.push(unsafe { AtomicU8::from_ptr(pointer.add(at)) }.load(Ordering::Relaxed));
        }
    } else {
        // SAFETY: in range, as checked; nobody else accesses memory of this isolate while the host runs for it. The vector
        // has room for `len` bytes and gets all of them.
        unsafe {
            std::ptr::copy_nonoverlapping(pointer, bytes.as_mut_ptr(), len);
            bytes.set_len(len);
        }
    }
    Ok(bytes)
}

/// Copies bytes out of the memory of the caller into memory of the host.
pub fn read_into(caller: &mut Caller<'_, IsolateState>, ptr: u32, bytes: &mut [u8]) -> Result<()> {
    let memory = memory(caller)?;
    let (pointer, is_shared) = place(&*caller, memory, ptr as usize, bytes.len())?;
    if is_shared {
        for (at, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: as in `copy_out`.
            *byte = unsafe { AtomicU8::from_ptr(pointer.add(at)) }.load(Ordering::Relaxed);
        }
    } else {
        // SAFETY: as in `copy_out`; `bytes` is memory of the host.
        unsafe { std::ptr::copy_nonoverlapping(pointer, bytes.as_mut_ptr(), bytes.len()) };
    }
    Ok(())
}

/// Copies bytes into a memory. `EFAULT` when they do not fit.
pub fn copy_in(
    context: &mut impl AsContextMut<Data = IsolateState>,
    memory: Memory,
    start: usize,
    bytes: &[u8],
) -> Result<()> {
    let (pointer, is_shared) = place(&context.as_context(), memory, start, bytes.len())?;
    if is_shared {
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: as in `copy_out`.
            unsafe { AtomicU8::from_ptr(pointer.add(at)) }.store(*byte, Ordering::Relaxed);
        }
    } else {
        // SAFETY: as in `copy_out`; `bytes` is memory of the host.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len()) };
    }
    Ok(())
}

/// One aligned cell, for atomic accesses. Not to be kept.
#[derive(Debug)]
pub struct Cell {
    pointer: *mut u8,
    bits: u32,
}

/// Does something with the atomic of the right width; the value travels as `u64`.
macro_rules! with_atomic {
    ($cell:expr, $atomic:ident => $use:expr) => {{
        #[allow(clippy::cast_possible_truncation, reason = "the cell has that width")]
        // SAFETY: the cell is aligned and in range, as checked when it was made, and the memory does not go
        // away while its isolate is in a host call; every access of the host to it is atomic.
        unsafe {
            match $cell.bits {
                8 => with_atomic!(@ $cell, AtomicU8, u8, $atomic, $use),
                16 => with_atomic!(@ $cell, AtomicU16, u16, $atomic, $use),
                32 => with_atomic!(@ $cell, AtomicU32, u32, $atomic, $use),
                _ => with_atomic!(@ $cell, AtomicU64, u64, $atomic, $use),
            }
        }
    }};
    (@ $cell:expr, $type:ident, $int:ident, $atomic:ident, $use:expr) => {{
        type Int = $int;
        let $atomic = $type::from_ptr($cell.pointer.cast::<Int>());
        u64::from($use)
    }};
}

impl Cell {
    /// The value.
    pub fn load(&self) -> u64 {
        with_atomic!(self, atomic => atomic.load(Ordering::SeqCst))
    }

    /// Changes the value; gives the old one.
    pub fn modify(&self, operation: AtomicOperation, operand: u64) -> u64 {
        with_atomic!(self, atomic => {
            let operand = operand as Int;
            match operation {
                AtomicOperation::Add => atomic.fetch_add(operand, Ordering::SeqCst),
                AtomicOperation::Sub => atomic.fetch_sub(operand, Ordering::SeqCst),
                AtomicOperation::And => atomic.fetch_and(operand, Ordering::SeqCst),
                AtomicOperation::Or => atomic.fetch_or(operand, Ordering::SeqCst),
                AtomicOperation::Xor => atomic.fetch_xor(operand, Ordering::SeqCst),
                AtomicOperation::Exchange => atomic.swap(operand, Ordering::SeqCst),
            }
        })
    }

    /// Replaces the value if it is `expected`; gives the old one.
    pub fn compare_exchange(&self, expected: u64, replacement: u64) -> u64 {
        with_atomic!(self, atomic => {
            let (expected, replacement) = (expected as Int, replacement as Int);
            match atomic.compare_exchange(expected, replacement, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(old) | Err(old) => old,
            }
        })
    }

    /// `value` cut to the width of the cell.
    pub fn truncate(&self, value: u64) -> u64 {
        value & (u64::MAX >> (64 - self.bits))
    }
}

/// The cell of `bits` at `address`. Traps when it is not aligned; `ERR_INVALID_ARG_VALUE` for another width than 8 to 64,
/// `EFAULT` outside of the memory.
pub fn cell(caller: &mut Caller<'_, IsolateState>, address: u32, bits: u32) -> Result<Cell> {
    if !matches!(bits, 8 | 16 | 32 | 64) {
        let record = ErrorRecord::invalid_arg_value("bits", "must be 8, 16, 32 or 64", &bits.to_string());
        return Err(record.into());
    }
    if !address.is_multiple_of(bits / 8) {
        return Err(HostError::Trap(Trap::HeapMisaligned.into()));
    }
    let memory = memory(caller)?;
    let (pointer, _) = place(&*caller, memory, address as usize, bits as usize / 8)?;
    Ok(Cell { pointer, bits })
}

/// Copies `len` bytes at `ptr`; more than `max` is refused before anything is allocated.
pub fn read_bytes(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32, max: u32) -> Result<Vec<u8>> {
    if len > max {
        return Err(ErrorRecord::out_of_range("length", &format!("<= {max}"), &len.to_string()).into());
    }
    let memory = memory(caller)?;
    copy_out(caller, memory, ptr as usize, len as usize)
}

/// As [`read_bytes`], into memory that can be shared; the caller has compared `len` with a limit.
pub fn read_shared(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32) -> Result<Arc<[u8]>> {
    let memory = memory(caller)?;
    let (pointer, is_shared) = place(&*caller, memory, ptr as usize, len as usize)?;
    if is_shared {
        return Ok(Arc::from(copy_out(caller, memory, ptr as usize, len as usize)?));
    }
    let mut bytes = Arc::new_uninit_slice(len as usize);
    let target = Arc::get_mut(&mut bytes).map_or(std::ptr::null_mut(), |bytes| bytes.as_mut_ptr().cast::<u8>());
    // SAFETY: as in `copy_out`; the new allocation has no other owner, so there is a target of that length.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer, target, len as usize);
        Ok(bytes.assume_init())
    }
}

/// Copies `count` numbers at `ptr`; more than `max` are refused before anything is allocated.
pub fn read_u32s(caller: &mut Caller<'_, IsolateState>, ptr: u32, count: u32, max: u32) -> Result<Vec<u32>> {
    if count > max {
        return Err(ErrorRecord::out_of_range("count", &format!("<= {max}"), &count.to_string()).into());
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let memory = memory(caller)?;
    let bytes = copy_out(caller, memory, ptr as usize, count as usize * 4)?;
    let numbers = bytes.as_chunks::<4>().0;
    Ok(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
}

/// Copies UTF-8 text.
pub fn read_str(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32, max: u32) -> Result<String> {
    String::from_utf8(read_bytes(caller, ptr, len, max)?)
        .map_err(|_| ErrorRecord::new(ErrorCode::Eilseq, "text that is not UTF-8").into())
}

/// Copies a path: text of at most `PATH_MAX` bytes without NUL.
pub fn read_path(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32) -> Result<String> {
    if len > nodule_abi::limits::PATH_BYTES_MAX {
        return Err(ErrorRecord::new(ErrorCode::Enametoolong, "path too long").into());
    }
    let path = read_str(caller, ptr, len, nodule_abi::limits::PATH_BYTES_MAX)?;
    if path.contains('\0') {
        let received = nodule_abi::value::Value::from(path.as_str()).describe();
        return Err(ErrorRecord::invalid_arg_value("path", "must be a string without null bytes", &received).into());
    }
    Ok(path)
}

/// Decodes a CBOR value of any type that `serde` knows.
pub fn read_value<T: serde::de::DeserializeOwned>(
    caller: &mut Caller<'_, IsolateState>,
    ptr: u32,
    len: u32,
) -> Result<T> {
    let bytes = read_bytes(caller, ptr, len, nodule_abi::limits::VALUE_BYTES_MAX)?;
    nodule_abi::value::from_slice(&bytes).map_err(|error| {
        ErrorRecord::new(
            ErrorCode::InvalidArgValue,
            format!("value that cannot be decoded: {error}"),
        )
        .into()
    })
}

/// Writes bytes.
pub fn write_bytes(caller: &mut Caller<'_, IsolateState>, ptr: u32, bytes: &[u8]) -> Result<()> {
    let memory = memory(caller)?;
    copy_in(caller, memory, ptr as usize, bytes)
}

/// Writes one number.
pub fn write_u32(caller: &mut Caller<'_, IsolateState>, ptr: u32, value: u32) -> Result<()> {
    write_bytes(caller, ptr, &value.to_le_bytes())
}

/// Writes numbers one behind the other.
pub fn write_u64s(caller: &mut Caller<'_, IsolateState>, ptr: u32, values: &[u64]) -> Result<()> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_bytes(caller, ptr, &bytes)
}

/// Checks that `len` bytes at `ptr` can be written, before work is done whose result goes there.
pub fn check_writable(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: usize) -> Result<()> {
    let memory = memory(caller)?;
    check_range(ptr as usize, len, memory.data_size(&*caller))
}

/// A place in guest memory for a sized result (see [`nodule_abi::imports`]).
#[derive(Clone, Copy, Debug)]
pub struct SizedBuffer {
    /// Where the bytes go.
    pub ptr: u32,
    /// How many fit.
    pub cap: u32,
    /// Where the length goes.
    pub len_ptr: u32,
}

impl SizedBuffer {
    /// Writes the length, and the bytes if they fit; `ERANGE` if not.
    pub fn write(self, caller: &mut Caller<'_, IsolateState>, bytes: &[u8]) -> Result<()> {
        let len =
            u32::try_from(bytes.len()).map_err(|_| ErrorRecord::new(ErrorCode::Erange, "result of 4 GiB or more"))?;
        write_u32(caller, self.len_ptr, len)?;
        if len > self.cap {
            return Err(ErrorRecord::new(ErrorCode::Erange, "buffer too small").into());
        }
        write_bytes(caller, self.ptr, bytes)
    }

    /// For calls that must not be repeated: `ERANGE`, with `most` as the length, unless that many bytes fit.
    pub fn check_room(self, caller: &mut Caller<'_, IsolateState>, most: u32) -> Result<()> {
        check_writable(caller, self.ptr, self.cap as usize)?;
        if self.cap < most {
            write_u32(caller, self.len_ptr, most)?;
            return Err(ErrorRecord::new(ErrorCode::Erange, "buffer too small").into());
        }
        check_writable(caller, self.len_ptr, 4)
    }

    /// Encodes a value and writes it.
    pub fn write_value<T: serde::Serialize>(self, caller: &mut Caller<'_, IsolateState>, value: &T) -> Result<()> {
        let bytes = nodule_abi::value::to_vec(value).map_err(HostError::internal)?;
        self.write(caller, &bytes)
    }
}
