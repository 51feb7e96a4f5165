//! Imports about events, handles, timers, streams and the machine.

use std::mem::{ManuallyDrop, MaybeUninit};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventRecord;
use nodule_abi::limits::EVENT_BATCH_MAX;
use serde::de::DeserializeOwned;

use super::{check, fill, import, is, len32, sized_value};
use crate::error::Result;

/// Most records one wait asks for: a page of them.
const WAIT_BATCH: usize = 128;
const _: () = assert!(WAIT_BATCH <= EVENT_BATCH_MAX as usize);

/// Waits for events and hands each to `push`. `timeout_ns` < 0 waits until nothing ref'd is left.
pub(crate) fn wait(timeout_ns: i64, mut push: impl FnMut(EventRecord)) -> Result<()> {
    // Not zeroed: that would cost more than most waits do, and touch a page that stays resident.
    let mut records = [const { MaybeUninit::<EventRecord>::uninit() }; WAIT_BATCH];
    let mut count = 0;
    check(import!(event_loop::wait(
        records.as_mut_ptr().cast::<EventRecord>(),
        len32(WAIT_BATCH),
        timeout_ns,
        0,
        &mut count
    )))?;
    for record in records.iter().take(count as usize) {
        // SAFETY: the host has written the first `count` records; every bit pattern is one.
        push(unsafe { record.assume_init() });
    }
    Ok(())
}

/// Lets `handle` keep the isolate alive.
pub(crate) fn ref_handle(handle: u32) -> Result<()> {
    check(import!(event_loop::ref_handle(handle)))
}

/// Lets the isolate end although `handle` is open.
pub(crate) fn unref_handle(handle: u32) -> Result<()> {
    check(import!(event_loop::unref_handle(handle)))
}

/// Whether `handle` keeps the isolate alive.
pub(crate) fn has_ref(handle: u32) -> Result<bool> {
    let [result] = fill(|out: *mut u32| import!(event_loop::has_ref(handle, out)))?;
    Ok(result != 0)
}

/// Closes `handle`.
pub(crate) fn close(handle: u32) -> Result<()> {
    check(import!(event_loop::close(handle)))
}

/// Starts a one-shot timer and gives its handle.
pub(crate) fn timer_set(delay_ms: f64) -> Result<u32> {
    let [handle] = fill(|out| import!(timers::set(delay_ms, 0, out)))?;
    Ok(handle)
}

/// Starts a timer's time anew.
pub(crate) fn timer_refresh(handle: u32) -> Result<()> {
    check(import!(timers::refresh(handle)))
}

/// Whether stdio `fd` is a terminal.
pub(crate) fn is_tty(fd: u32) -> Result<bool> {
    let [result] = fill(|out: *mut u32| import!(stdio::is_tty(fd, out)))?;
    Ok(result != 0)
}

/// Columns and rows of the terminal behind `fd`.
pub(crate) fn window_size(fd: u32) -> Result<[u32; 2]> {
    fill(|out| import!(stdio::window_size(fd, out)))
}

/// Opens standard input as a stream.
pub(crate) fn open_stdin() -> Result<u32> {
    let [handle] = fill(|out| import!(stdio::open_stdin(out)))?;
    Ok(handle)
}

/// Opens a descriptor from the parent process: what to read from and what to write to.
pub(crate) fn open_stdio(fd: u32) -> Result<[u32; 2]> {
    let mut handles = [0; 2];
    check(import!(stdio::open(fd, handles.as_mut_ptr())))?;
    Ok(handles)
}

/// Reads from a stream: `None` when nothing is there yet and a `Readable` event follows, `Some(0)` at the end.
pub(crate) fn stream_read(handle: u32, buf: &mut [u8]) -> Result<Option<usize>> {
    let mut len = 0;
    let outcome = import!(stdio::read(handle, buf.as_mut_ptr(), len32(buf.len()), &mut len));
    if is(outcome, ErrorCode::Eagain) {
        return Ok(None);
    }
    check(outcome)?;
    Ok(Some((len as usize).min(buf.len())))
}

/// Writes to a stream: `None` when nothing fits and a `Writable` event follows.
pub(crate) fn stream_write(handle: u32, bytes: &[u8]) -> Result<Option<usize>> {
    let mut written = 0;
    let outcome = import!(stdio::write(handle, bytes.as_ptr(), len32(bytes.len()), &mut written));
    if is(outcome, ErrorCode::Eagain) {
        return Ok(None);
    }
    check(outcome)?;
    Ok(Some((written as usize).min(bytes.len())))
}

/// Requests a lock: its handle, 0 when it is refused, and whether it is held already.
pub(crate) fn lock_request(name: &str, mode: u32, flags: u32) -> Result<[u32; 2]> {
    let [mut handle, mut granted] = [0; 2];
    check(import!(locks::request(
        name.as_ptr(),
        len32(name.len()),
        mode,
        flags,
        &mut handle,
        &mut granted
    )))?;
    Ok([handle, granted])
}

/// All locks of the process.
pub(crate) fn lock_query<T: DeserializeOwned>() -> Result<T> {
    sized_value(|buf, cap, len| import!(locks::query(buf, cap, len)))
}

/// Writes to stdio `fd` past std's buffer, in one call of the host; gives how much was taken.
pub(crate) fn write_fd(fd: i32, bytes: &[u8]) -> std::io::Result<usize> {
    use std::io::Write as _;
    use std::os::fd::FromRawFd as _;
    // SAFETY: fds 0..=2 are open as long as the isolate lives, and the `ManuallyDrop` keeps this from closing one.
    let mut file = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
    file.write(bytes)
}

/// One entry a CPU.
pub(crate) fn cpus<T: DeserializeOwned>() -> Result<T> {
    sized_value(|buf, cap, len| import!(os::cpus(buf, cap, len)))
}

/// How many CPUs the process may use.
pub(crate) fn available_parallelism() -> u32 {
    import!(os::available_parallelism())
}
