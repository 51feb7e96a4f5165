//! The imports of the area `shared_memory`.

abi! {
    /// Memory that isolates share, and what `Atomics` needs of the host (Node: `SharedArrayBuffer`, `Atomics`).
    /// A window is a range of the guest's own linear memory behind which lie the pages of a buffer: an address in it is a
    /// plain pointer, and atomic instructions there are atomic between isolates.
    /// An atomic access that is not aligned traps (`ERR_WASM_ATOMIC`).
    /// Closing a handle (`nodule:event_loop/1` `close`) unmaps its window.
    area shared_memory version 1 from "nodule:shared_memory/1" {
        /// Makes a shared buffer of zeros and writes its handle to `*handle`. It can grow to `max_byte_length`;
        /// with 18446744073709551615 it cannot grow.
        /// `RangeError` beyond 4 GiB or when the length is above the maximum, `ENOMEM` above the limits of the isolate.
        /// `ERR_ACCESS_DENIED` when shared memory is denied.
        fn create(byte_length: u64, max_byte_length: u64, handle: *mut u32) -> u32;
        /// Writes the current length to `*result`.
        fn byte_length(handle: u32, result: *mut u64) -> u32;
        /// Writes the greatest length to `*result`.
        fn max_byte_length(handle: u32, result: *mut u64) -> u32;
        /// Writes 1 to `*result` when the buffer can grow, else 0.
        fn is_growable(handle: u32, result: *mut u32) -> u32;
        /// Grows a buffer for all that hold it. `RangeError` when it is longer, beyond its maximum, or cannot grow
        /// (then `TypeError`).
        fn grow(handle: u32, byte_length: u64) -> u32;
        /// Makes a window of the buffer's greatest length and writes its address, a multiple of 65536, to `*address`;
        /// the same address for every handle of the same buffer. Grows the memory of the module when no free range
        /// fits. `ENOMEM` when the memory is full or at its limit, or there are 1,024 windows.
        /// `ERR_ACCESS_DENIED` when shared memory is denied.
        fn map(handle: u32, address: *mut u32) -> u32;
        /// Ends the use of the window by this handle; with the last use the range holds zeros and is kept for
        /// later windows. Without a window nothing happens.
        fn unmap(handle: u32) -> u32;
        /// Waits while the cell of `bits` (32 or 64) at `address` is not notified (Node: `Atomics.wait`). Writes to
        /// `*result` 0 woken, 1 the cell does not hold `expected`, 2 the time is over. `timeout_ms` may be a fraction; NaN is
        /// for ever, below 0 is 0. `TypeError` outside of windows of shared buffers, `RangeError` behind the length of the
        /// buffer. Parks this isolate only. When another process has the buffer too: `ENOMEM` when too many of this process wait
        /// for such cells, `ENOSYS` before Linux 5.16.
        fn wait(address: u32, bits: u32, expected: u64, timeout_ms: f64, result: *mut u32) -> u32;
        /// As `wait`, without waiting: writes 3 to `*result` and a handle to `*handle`, which gets one event of kind
        /// `WaitDone`, when the cell holds `expected`. The guest closes the handle; closing it earlier ends the wait.
        /// It keeps the isolate alive when the time is finite. `EMFILE` when the handle limit is reached.
        fn wait_async(address: u32, bits: u32, expected: u64, timeout_ms: f64, result: *mut u32, handle: *mut u32) -> u32;
        /// As `wait` on a cell of 32 bits that says that the thread `owner` holds a lock; writes 4 to `*result` when that
        /// thread does not run any more. `ENOTSUP` when another process has the buffer too.
        fn wait_owned(address: u32, expected: u32, owner: u32, timeout_ms: f64, result: *mut u32) -> u32;
        /// The number of this thread, which says in a lock word who holds it; 0 is the main thread.
        fn owner_id() -> u32;
        /// Wakes up to `count` waiters on the cell at `address`, those first that waited longest, and writes
        /// how many to `*woken` (Node: `Atomics.notify`). 4294967295 wakes all. Outside of windows of shared buffers there are
        /// none. When another process has the buffer too, waiters from before it had come first, then those of all processes in
        /// the order of arrival.
        fn notify(address: u32, count: u32, woken: *mut u32) -> u32;
        /// Reads the cell of `bits` (8, 16, 32, 64) at `address`, for guests without atomic instructions.
        fn load(address: u32, bits: u32, result: *mut u64) -> u32;
        /// Writes the cell of `bits` at `address`.
        fn store(address: u32, bits: u32, value: u64) -> u32;
        /// Changes the cell of `bits` at `address` and writes its old value to `*result`. `operation` is a number of
        /// `nodule_atomic_operation`.
        fn rmw(address: u32, bits: u32, operation: u32, operand: u64, result: *mut u64) -> u32;
        /// Writes `replacement` to the cell of `bits` at `address` when it holds `expected`, and its old value to
        /// `*result` in any case.
        fn compare_exchange(address: u32, bits: u32, expected: u64, replacement: u64, result: *mut u64) -> u32;
        /// Makes an ArrayBuffer of zeros that lies in pages of its own, in a window at `*address`: moving it to another
        /// isolate copies nothing. Errors as of `create` and `map`, but nothing is denied. Closing the handle frees it.
        fn array_buffer_create(byte_length: u64, handle: *mut u32, address: *mut u32) -> u32;
        /// Makes the window of a received ArrayBuffer and writes its address to `*address`. Errors as of `map`.
        fn array_buffer_map(handle: u32, address: *mut u32) -> u32;
        /// Writes the length of an ArrayBuffer to `*result`.
        fn array_buffer_byte_length(handle: u32, result: *mut u64) -> u32;
    }
}
