//! Reads and writes of guest memory. The only place that touches guest bytes: every pointer and length
//! is checked here, against the memory and against a limit, before anything is allocated.

use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use wasmtime::{AsContext, AsContextMut, Caller, Memory};

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

fn range(ptr: u32, len: usize, size: usize) -> Result<std::ops::Range<usize>> {
    let start = ptr as usize;
    let end = start.checked_add(len).filter(|end| *end <= size).ok_or_else(fault)?;
    Ok(start..end)
}

fn slice(memory: Memory, context: &impl AsContext, ptr: u32, len: usize) -> Result<&[u8]> {
    let data = memory.data(context);
    let range = range(ptr, len, data.len())?;
    Ok(&data[range])
}

fn slice_mut(memory: Memory, context: &mut impl AsContextMut, ptr: u32, len: usize) -> Result<&mut [u8]> {
    let data = memory.data_mut(context);
    let range = range(ptr, len, data.len())?;
    Ok(&mut data[range])
}

/// Copies `len` bytes at `ptr`; more than `max` is refused before anything is allocated.
pub fn read_bytes(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32, max: u32) -> Result<Vec<u8>> {
    if len > max {
        return Err(ErrorRecord::out_of_range("length", &format!("<= {max}"), &len.to_string()).into());
    }
    let memory = memory(caller)?;
    Ok(slice(memory, caller, ptr, len as usize)?.to_vec())
}

/// As [`read_bytes`], into memory that can be shared; the caller has compared `len` with a limit.
pub fn read_shared(caller: &mut Caller<'_, IsolateState>, ptr: u32, len: u32) -> Result<Arc<[u8]>> {
    let memory = memory(caller)?;
    Ok(Arc::from(slice(memory, caller, ptr, len as usize)?))
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
    let bytes = slice(memory, caller, ptr, count as usize * 4)?;
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
    slice_mut(memory, caller, ptr, bytes.len())?.copy_from_slice(bytes);
    Ok(())
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
    range(ptr, len, memory.data_size(&*caller)).map(drop)
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
