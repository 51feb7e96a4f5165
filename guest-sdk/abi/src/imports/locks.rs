//! The imports of the area `locks`.

use crate::error::{ErrorCode, ErrorRecord};

abi! {
    /// Web Locks: names that one isolate of the process holds, or several share. A lock is a handle; closing it
    /// (`event_loop` `close`) releases the lock or gives the request up. The end of an isolate releases its locks.
    area locks version 1 from "nodule:locks/1" {
        /// Requests the lock `name` (at most 1024 bytes) and gives its handle. `mode`: 0 exclusive, 1 shared. `flags`: bit 0
        /// only if available, bit 1 steal it from who holds it. `*granted` 1: it is held now; 0: an event of kind
        /// `LockGranted` follows. With bit 0 and a lock that is not available `*handle` is 0. A holder hears that its lock
        /// was stolen by an event of kind `LockStolen`. Requests for a name are granted in order. A request that waits
        /// for another isolate keeps this one alive. `NotSupportedError` (code `9`) for a name that starts with `-` and
        /// for flags that exclude each other, `EMFILE` when there are too many handles.
        fn request(
            name: *const u8,
            name_len: u32,
            mode: u32,
            flags: u32,
            handle: *mut u32,
            granted: *mut u32,
        ) -> u32;
        /// All locks of the process as a sized value: `{held, pending}`, both lists of `{name, mode, clientId}` in the order
        /// of their requests.
        fn query(buf: *mut u8, cap: u32, len: *mut u32) -> u32;
    }
}

/// Mode: no other lock of the name is held at the same time.
pub const MODE_EXCLUSIVE: u32 = 0;
/// Mode: only shared locks of the name are held at the same time.
pub const MODE_SHARED: u32 = 1;
/// Flag: do not wait.
pub const FLAG_IF_AVAILABLE: u32 = 1;
/// Flag: take it from who holds it.
pub const FLAG_STEAL: u32 = 2;

/// What may not be asked for, with Node's texts.
///
/// # Errors
/// A `NotSupportedError`.
pub fn check_request(name: &str, mode: u32, flags: u32) -> crate::error::Result<()> {
    let is_steal = flags & FLAG_STEAL != 0;
    let reason = if name.starts_with('-') {
        "Lock name may not start with hyphen"
    } else if is_steal && flags & FLAG_IF_AVAILABLE != 0 {
        "ifAvailable and steal are mutually exclusive"
    } else if is_steal && mode != MODE_EXCLUSIVE {
        "mode: \"shared\" and steal are mutually exclusive"
    } else {
        return Ok(());
    };
    Err(ErrorRecord::new(ErrorCode::NotSupported, reason).into())
}
