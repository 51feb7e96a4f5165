//! Everything `unsafe`: calls of the host's imports, the hooks the host calls, the cell that outlives traps, the allocator.
//!
//! The wrappers take Rust types, grow buffers for sized results and turn error numbers into [`Error`]s.
//! On targets other than wasm there is no host: every call fails with `ENOSYS`.
#![allow(unsafe_code, reason = "the boundary to the host")]

mod alloc;
mod cell;
pub(crate) mod child_process;
mod hooks;
pub(crate) mod ipc;
pub(crate) mod messaging;
pub(crate) mod process;
mod resources;
mod shared_memory;
pub(crate) mod worker_threads;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::value;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(all(feature = "counting-allocator", target_family = "wasm"))]
pub use alloc::CountingAllocator;
pub(crate) use alloc::heap_used;
pub(crate) use cell::IsolateCell;
pub(crate) use hooks::install_panic_hook;
pub(crate) use resources::*;
pub(crate) use shared_memory::*;

use crate::error::{Error, Result};

/// Calls an import of the table.
macro_rules! import {
    ($area:ident::$name:ident($($argument:expr),* $(,)?)) => {{
        #[cfg(target_family = "wasm")]
        {
            // SAFETY: pointers come from live references and slices, lengths belong to them, and the
            // host writes only within them, during the call.
            unsafe { nodule_abi::imports::$area::raw::$name($($argument),*) }
        }
        #[cfg(not(target_family = "wasm"))]
        {
            $(let _ = $argument;)*
            $crate::sys::Absent::ABSENT
        }
    }};
}
use import;

/// What an import answers where there is no host.
#[cfg(not(target_family = "wasm"))]
trait Absent {
    const ABSENT: Self;
}

#[cfg(not(target_family = "wasm"))]
impl Absent for u32 {
    const ABSENT: Self = ErrorCode::Enosys as u32;
}

#[cfg(not(target_family = "wasm"))]
impl Absent for u64 {
    const ABSENT: Self = 0;
}

#[cfg(not(target_family = "wasm"))]
impl Absent for f64 {
    const ABSENT: Self = 0.0;
}

/// Whether an import answered with this code.
fn is(number: u32, code: ErrorCode) -> bool {
    number == u32::from(code.number())
}

/// The result an error number stands for.
fn check(number: u32) -> Result<()> {
    if number == 0 { Ok(()) } else { Err(last_error(number)) }
}

/// A length as the ABI passes it. Memory is 32 bit wide, so it always fits there.
fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The record of the failure that was just answered with `number`.
#[cold]
fn last_error(number: u32) -> Error {
    let mut bytes = vec![0; 512];
    loop {
        let mut len = 0;
        let outcome = import!(error::last(bytes.as_mut_ptr(), len32(bytes.len()), &mut len));
        let len = len as usize;
        if outcome == 0 && len <= bytes.len() {
            if let Ok(record) = value::from_slice::<ErrorRecord>(&bytes[..len]) {
                return record.into();
            }
        } else if is(outcome, ErrorCode::Erange) && len > bytes.len() {
            bytes.resize(len, 0);
            continue;
        }
        let code = u16::try_from(number)
            .ok()
            .and_then(ErrorCode::from_number)
            .unwrap_or(ErrorCode::Internal);
        return ErrorRecord::new(code, code.text()).into();
    }
}

/// The bytes of a sized result: grows the buffer until it fits.
fn sized(mut call: impl FnMut(*mut u8, u32, *mut u32) -> u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    loop {
        let mut len = 0;
        let outcome = call(bytes.as_mut_ptr(), len32(bytes.len()), &mut len);
        let len = len as usize;
        if outcome == 0 {
            bytes.truncate(len);
            return Ok(bytes);
        }
        if !is(outcome, ErrorCode::Erange) || len <= bytes.len() {
            return Err(last_error(outcome));
        }
        bytes.resize(len, 0);
    }
}

/// A sized result that is text.
fn sized_text(call: impl FnMut(*mut u8, u32, *mut u32) -> u32) -> Result<String> {
    Ok(String::from_utf8(sized(call)?)?)
}

/// A sized result that is a CBOR value.
fn sized_value<T: DeserializeOwned>(call: impl FnMut(*mut u8, u32, *mut u32) -> u32) -> Result<T> {
    Ok(value::from_slice(&sized(call)?)?)
}

/// A value as the host reads it.
fn encode(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    Ok(value::to_vec(value)?)
}

/// Fills an array of results.
fn fill<T: Copy + Default, const N: usize>(call: impl FnOnce(*mut T) -> u32) -> Result<[T; N]> {
    let mut values = [T::default(); N];
    check(call(values.as_mut_ptr()))?;
    Ok(values)
}

/// Writes out what std still holds back of standard output; its end-of-program hook does not run on every path.
pub(crate) fn flush_stdout() {
    // Nobody is left to tell about a failure.
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

/// Ends the instance where going on would be wrong; the host reports `ERR_WASM_UNREACHABLE`.
pub(crate) fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}
