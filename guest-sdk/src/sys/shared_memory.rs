//! Imports of shared memory, and the views of windows.

use std::sync::atomic::{AtomicU8, Ordering};

use nodule_abi::atomic::{NOT_GROWABLE, WaitResult};

use super::{check, fill, import};
use crate::error::Result;

/// Makes a shared buffer and gives its handle.
pub(crate) fn shared_create(byte_length: u64, max_byte_length: Option<u64>) -> Result<u32> {
    let max = max_byte_length.unwrap_or(NOT_GROWABLE);
    let [handle] = fill(|out: *mut u32| import!(shared_memory::create(byte_length, max, out)))?;
    Ok(handle)
}

/// The current length of a shared buffer.
pub(crate) fn shared_byte_length(handle: u32) -> Result<u64> {
    let [length] = fill(|out: *mut u64| import!(shared_memory::byte_length(handle, out)))?;
    Ok(length)
}

/// The greatest length of a shared buffer.
pub(crate) fn shared_max_byte_length(handle: u32) -> Result<u64> {
    let [length] = fill(|out: *mut u64| import!(shared_memory::max_byte_length(handle, out)))?;
    Ok(length)
}

/// Whether a shared buffer can grow.
pub(crate) fn shared_is_growable(handle: u32) -> Result<bool> {
    let [growable] = fill(|out: *mut u32| import!(shared_memory::is_growable(handle, out)))?;
    Ok(growable != 0)
}

/// Grows a shared buffer.
pub(crate) fn shared_grow(handle: u32, byte_length: u64) -> Result<()> {
    check(import!(shared_memory::grow(handle, byte_length)))
}

/// A window of this isolate's memory. It is there until its handle is closed, which the owner of this does last.
#[derive(Debug)]
pub(crate) struct Window {
    address: usize,
}

/// Types of which any bytes are a value and that others may change meanwhile: atomic integers.
pub(crate) trait Plain {}

impl Window {
    /// The window of a shared buffer.
    pub(crate) fn of_shared(handle: u32) -> Result<Self> {
        let [address] = fill(|out: *mut u32| import!(shared_memory::map(handle, out)))?;
        Ok(Self {
            address: address as usize,
        })
    }

    /// The window of an ArrayBuffer that was received.
    pub(crate) fn of_array_buffer(handle: u32) -> Result<Self> {
        let [address] = fill(|out: *mut u32| import!(shared_memory::array_buffer_map(handle, out)))?;
        Ok(Self {
            address: address as usize,
        })
    }

    /// Makes an ArrayBuffer in pages of its own: handle and window.
    pub(crate) fn array_buffer_create(byte_length: u64) -> Result<(u32, Self)> {
        let mut address = 0_u32;
        let [handle] =
            fill(|out: *mut u32| import!(shared_memory::array_buffer_create(byte_length, out, &mut address)))?;
        Ok((
            handle,
            Self {
                address: address as usize,
            },
        ))
    }

    /// Its first byte.
    pub(crate) fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// As many cells as fit in `bytes`, which is at most the length of the buffer.
    pub(crate) fn cells<T: Plain>(&self, bytes: usize) -> &[T] {
        // SAFETY: the window is at least that long, aligned to 64 KiB, and stays for as long as this is borrowed. The
        // cells are atomic, so that others may change them; `Plain` is for such types only.
        unsafe { std::slice::from_raw_parts(self.pointer().cast(), bytes / size_of::<T>()) }
    }

    /// The bytes of a buffer that nobody else has.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        // SAFETY: the window is at least that long and stays for as long as this is borrowed; it is this
        // isolate's alone, which lends it mutably through `&mut self` only.
        unsafe { std::slice::from_raw_parts(self.pointer(), len) }
    }

    /// The same, to be changed.
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), len) }
    }
}

/// The length of an ArrayBuffer in pages of its own.
pub(crate) fn array_buffer_byte_length(handle: u32) -> Result<u64> {
    let [length] = fill(|out: *mut u64| import!(shared_memory::array_buffer_byte_length(handle, out)))?;
    Ok(length)
}

/// Where a cell lies.
fn address<T>(cell: &T) -> u32 {
    // Memory is 32 bit wide on the only target with a host.
    u32::try_from(std::ptr::from_ref(cell).addr()).unwrap_or(0)
}

fn wait_result(number: u32) -> WaitResult {
    WaitResult::from_number(number).unwrap_or(WaitResult::NotEqual)
}

/// Waits on a cell.
pub(crate) fn atomic_wait<T>(cell: &T, expected: u64, timeout_ms: f64) -> Result<WaitResult> {
    let bits = cell_bits::<T>();
    let [result] = fill(|out: *mut u32| import!(shared_memory::wait(address(cell), bits, expected, timeout_ms, out)))?;
    Ok(wait_result(result))
}

/// Starts to wait on a cell; the handle is that of a wait that goes on.
pub(crate) fn atomic_wait_async<T>(cell: &T, expected: u64, timeout_ms: f64) -> Result<(WaitResult, u32)> {
    let bits = cell_bits::<T>();
    let mut handle = 0_u32;
    let [result] = fill(|out: *mut u32| {
        import!(shared_memory::wait_async(
            address(cell),
            bits,
            expected,
            timeout_ms,
            out,
            &mut handle
        ))
    })?;
    Ok((wait_result(result), handle))
}

/// Waits on a cell that says that the thread `owner` holds a lock.
pub(crate) fn atomic_wait_owned<T>(cell: &T, expected: u32, owner: u32, timeout_ms: f64) -> Result<WaitResult> {
    let [result] = fill(|out: *mut u32| {
        import!(shared_memory::wait_owned(
            address(cell),
            expected,
            owner,
            timeout_ms,
            out
        ))
    })?;
    Ok(wait_result(result))
}

/// The number of this thread.
pub(crate) fn owner_id() -> u32 {
    import!(shared_memory::owner_id())
}

/// Wakes who waits on a cell.
pub(crate) fn atomic_notify<T>(cell: &T, count: u32) -> Result<u32> {
    let [woken] = fill(|out: *mut u32| import!(shared_memory::notify(address(cell), count, out)))?;
    Ok(woken)
}

/// Width of a cell.
const fn cell_bits<T>() -> u32 {
    match size_of::<T>() {
        1 => 8,
        2 => 16,
        4 => 32,
        _ => 64,
    }
}

/// Copies bytes that others may change.
pub(crate) fn copy_cells(cells: &[AtomicU8], bytes: &mut [u8]) {
    for (cell, byte) in cells.iter().zip(bytes) {
        *byte = cell.load(Ordering::Relaxed);
    }
}

/// The same in the other direction.
pub(crate) fn fill_cells(cells: &[AtomicU8], bytes: &[u8]) {
    for (cell, byte) in cells.iter().zip(bytes) {
        cell.store(*byte, Ordering::Relaxed);
    }
}

/// Atomic accesses by imports, for programs that were built without atomic instructions.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
pub(crate) mod by_import {
    use nodule_abi::atomic::AtomicOperation;

    use super::{address, cell_bits};
    use crate::sys::{check, fill, import};

    /// The host refuses addresses outside of the memory and cells that are not aligned; a reference is neither.
    fn never<T: Default>(result: crate::error::Result<T>) -> T {
        result.unwrap_or_default()
    }

    pub(crate) fn load<T>(cell: &T) -> u64 {
        let bits = cell_bits::<T>();
        let read = fill(|out: *mut u64| import!(shared_memory::load(address(cell), bits, out)));
        never(read.map(|[value]| value))
    }

    pub(crate) fn store<T>(cell: &T, value: u64) {
        never(check(import!(shared_memory::store(
            address(cell),
            cell_bits::<T>(),
            value
        ))));
    }

    pub(crate) fn modify<T>(cell: &T, operation: AtomicOperation, operand: u64) -> u64 {
        let (bits, operation) = (cell_bits::<T>(), operation as u32);
        let old = fill(|out: *mut u64| import!(shared_memory::rmw(address(cell), bits, operation, operand, out)));
        never(old.map(|[value]| value))
    }

    pub(crate) fn compare_exchange<T>(cell: &T, expected: u64, replacement: u64) -> u64 {
        let bits = cell_bits::<T>();
        let old = fill(|out: *mut u64| {
            import!(shared_memory::compare_exchange(
                address(cell),
                bits,
                expected,
                replacement,
                out
            ))
        });
        never(old.map(|[value]| value))
    }
}
