//! Calls about the standard streams themselves.

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::errno::{Errno, Result, check, respond};
use super::fd_table::Stream;
use super::scratch::{self, Scratch};
use super::{NAMESPACE, fds};
use crate::guest_memory;
use crate::runtime::IsolateState;

const FDSTAT_BYTES: usize = 24;
const FILESTAT_BYTES: usize = 64;
/// Where a file's status has its type.
const FILESTAT_TYPE_AT: usize = 16;

const FILETYPE_UNKNOWN: u8 = 0;
const FILETYPE_CHARACTER_DEVICE: u8 = 2;

const RIGHT_FD_READ: u64 = 1 << 1;
const RIGHT_FD_WRITE: u64 = 1 << 6;
const RIGHT_POLL_FD_READWRITE: u64 = 1 << 27;

const FDFLAG_DSYNC: u32 = 1 << 1;
const FDFLAG_NONBLOCK: u32 = 1 << 2;
const FDFLAG_RSYNC: u32 = 1 << 3;
const FDFLAG_SYNC: u32 = 1 << 4;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(NAMESPACE, "fd_fdstat_get", |mut caller, (fd, out): (u32, u32)| {
        Box::new(async move { respond(fd_fdstat_get(&mut caller, fd, out).await) })
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_filestat_get", |mut caller, (fd, out): (u32, u32)| {
        Box::new(async move { respond(fd_filestat_get(&mut caller, fd, out).await) })
    })?;
    linker.func_wrap(
        NAMESPACE,
        "fd_fdstat_set_flags",
        |mut caller: Caller<'_, IsolateState>, fd: u32, flags: u32| {
            respond(fd_fdstat_set_flags(&mut caller, fd, flags))
        },
    )?;
    Ok(())
}

/// A guest takes a character device for a terminal; everything else has no name in WASI that would not promise more.
fn file_type(state: &IsolateState, stream: Stream) -> u8 {
    let is_terminal = match stream {
        Stream::Stdin => state.stdio.stdin.is_terminal(),
        Stream::Stdout => state.stdio.stdout.is_terminal(),
        Stream::Stderr => state.stdio.stderr.is_terminal(),
    };
    if is_terminal {
        FILETYPE_CHARACTER_DEVICE
    } else {
        FILETYPE_UNKNOWN
    }
}

async fn fd_fdstat_get(caller: &mut Caller<'_, IsolateState>, fd: u32, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, FDSTAT_BYTES)?;
    let Some(stream) = fds(caller).stream(fd) else {
        let mut scratch = Scratch::new(FDSTAT_BYTES);
        check(p1::fd_fdstat_get(scratch::context(caller), &mut scratch.memory(), fd.cast_signed(), 0).await)?;
        return Ok(guest_memory::write_bytes(caller, out, scratch.bytes())?);
    };
    let state = caller.data();
    let (right, nonblocking) = match stream {
        Stream::Stdin => (RIGHT_FD_READ, state.wasi.fds.stdin_nonblocking),
        Stream::Stdout | Stream::Stderr => (RIGHT_FD_WRITE, false),
    };
    let rights = (right | RIGHT_POLL_FD_READWRITE).to_le_bytes();
    let mut bytes = [0; FDSTAT_BYTES];
    bytes[0] = file_type(state, stream);
    bytes[2] = if nonblocking {
        FDFLAG_NONBLOCK.to_le_bytes()[0]
    } else {
        0
    };
    bytes[8..16].copy_from_slice(&rights);
    bytes[16..24].copy_from_slice(&rights);
    Ok(guest_memory::write_bytes(caller, out, &bytes)?)
}

async fn fd_filestat_get(caller: &mut Caller<'_, IsolateState>, fd: u32, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, FILESTAT_BYTES)?;
    let mut scratch = Scratch::new(FILESTAT_BYTES);
    match fds(caller).stream(fd) {
        Some(stream) => scratch.bytes_mut()[FILESTAT_TYPE_AT] = file_type(caller.data(), stream),
        None => check(p1::fd_filestat_get(scratch::context(caller), &mut scratch.memory(), fd.cast_signed(), 0).await)?,
    }
    Ok(guest_memory::write_bytes(caller, out, scratch.bytes())?)
}

fn fd_fdstat_set_flags(caller: &mut Caller<'_, IsolateState>, fd: u32, flags: u32) -> Result<()> {
    match fds(caller).stream(fd) {
        None => check(p1::fd_fdstat_set_flags(
            scratch::context(caller),
            &mut Scratch::new(0).memory(),
            fd.cast_signed(),
            flags.cast_signed(),
        )),
        Some(_) if flags & (FDFLAG_DSYNC | FDFLAG_RSYNC | FDFLAG_SYNC) != 0 => Err(Errno::INVAL.into()),
        Some(Stream::Stdin) => {
            fds(caller).stdin_nonblocking = flags & FDFLAG_NONBLOCK != 0;
            Ok(())
        }
        // Writes always park: a guest that asked otherwise sees a short wait instead of `AGAIN`.
        Some(Stream::Stdout | Stream::Stderr) => Ok(()),
    }
}
