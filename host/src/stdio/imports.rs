//! `nodule:stdio/1`.

use std::io;
use std::sync::Arc;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::imports::namespace;
use nodule_abi::limits::{STREAM_READ_BYTES_MAX, STREAM_WRITE_BYTES_MAX};
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::runtime::IsolateState;
use crate::stdio::{ReadStream, WriteStream};

const AREA: &str = namespace::stdio;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "is_tty",
        |mut caller: Caller<'_, IsolateState>, fd: u32, out: u32| {
            let result = is_tty(&mut caller, fd, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "window_size",
        |mut caller: Caller<'_, IsolateState>, fd: u32, size: u32| {
            let result = window_size(&mut caller, fd, size);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "open_stdin", |mut caller: Caller<'_, IsolateState>, out: u32| {
        let result = open_stdin(&mut caller, out);
        respond(&mut caller, result)
    })?;
    linker.func_wrap(
        AREA,
        "open",
        |mut caller: Caller<'_, IsolateState>, fd: u32, out: u32| {
            let result = open(&mut caller, fd, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "read",
        |mut caller: Caller<'_, IsolateState>, handle: u32, buf: u32, cap: u32, len: u32| {
            let result = read(&mut caller, Handle::from_guest(handle), buf, cap, len);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "write",
        |mut caller: Caller<'_, IsolateState>, handle: u32, bytes: u32, len: u32, written: u32| {
            let result = write(&mut caller, Handle::from_guest(handle), (bytes, len), written);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn is_tty(caller: &mut Caller<'_, IsolateState>, fd: u32, out: u32) -> Result<(), HostError> {
    let stdio = &caller.data().stdio;
    let is_tty = match fd {
        0 => stdio.stdin.is_terminal(),
        1 => stdio.stdout.is_terminal(),
        2 => stdio.stderr.is_terminal(),
        _ => return Err(ErrorCode::Ebadf.into()),
    };
    guest_memory::write_u32(caller, out, u32::from(is_tty))
}

fn window_size(caller: &mut Caller<'_, IsolateState>, fd: u32, size: u32) -> Result<(), HostError> {
    let stdio = &caller.data().stdio;
    let window = match fd {
        0 => stdio.stdin.window_size(),
        1 => stdio.stdout.window_size(),
        2 => stdio.stderr.window_size(),
        _ => return Err(ErrorCode::Ebadf.into()),
    };
    let (columns, rows) = window.ok_or(ErrorCode::Enotty)?;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&u32::from(columns).to_le_bytes());
    bytes[4..].copy_from_slice(&u32::from(rows).to_le_bytes());
    guest_memory::write_bytes(caller, size, &bytes)
}

fn open_stdin(caller: &mut Caller<'_, IsolateState>, out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, out, 4)?;
    let state = caller.data_mut();
    if state.stdio.stdin.handle().is_some() {
        return Err(ErrorRecord::new(ErrorCode::Ebusy, "standard input is open already").into());
    }
    let handle = state.handles.insert(Resource::Stdin, false)?;
    state.stdio.stdin.open(handle);
    guest_memory::write_u32(caller, out, handle.number())
}

fn open(caller: &mut Caller<'_, IsolateState>, fd: u32, out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, out, 8)?;
    let state = caller.data_mut();
    state.handles.check_room(2)?;
    let descriptor = state.process.stream_fd(fd).ok_or(ErrorCode::Ebadf)?;
    let failed = |error: io::Error| {
        let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EIO));
        ErrorRecord::system(code, "open")
    };
    let reader = ReadStream::from_fd(descriptor).map_err(failed)?;
    let writer = WriteStream::from_fd(descriptor).map_err(failed)?;
    let reader = state.handles.insert(Resource::Reader(reader), false)?;
    let writer = state.handles.insert(Resource::Writer(writer), false)?;
    guest_memory::write_u32(caller, out, reader.number())?;
    guest_memory::write_u32(caller, out + 4, writer.number())
}

fn read(caller: &mut Caller<'_, IsolateState>, handle: Handle, buf: u32, cap: u32, len: u32) -> Result<(), HostError> {
    if cap == 0 || cap > STREAM_READ_BYTES_MAX {
        return Err(
            ErrorRecord::out_of_range("cap", &format!(">= 1 && <= {STREAM_READ_BYTES_MAX}"), &cap.to_string()).into(),
        );
    }
    guest_memory::check_writable(caller, buf, cap as usize)?;
    guest_memory::check_writable(caller, len, 4)?;
    let state = caller.data_mut();
    let mut buffer = vec![0; cap as usize];
    let notify = teller(state, EventKind::Readable, handle);
    let resource = state.handles.get_mut(handle)?;
    let stream = if let Resource::Reader(stream) = resource {
        stream
    } else if matches!(resource, Resource::Stdin) {
        &mut state.stdio.stdin.stream
    } else {
        return Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no stream to read from")).into());
    };
    let result = stream.read_or_notify(&mut buffer, notify);
    let count = moved(state, handle, result, "read")?;
    guest_memory::write_bytes(caller, buf, &buffer[..count])?;
    guest_memory::write_u32(caller, len, u32::try_from(count).unwrap_or(cap))
}

fn write(
    caller: &mut Caller<'_, IsolateState>,
    handle: Handle,
    (ptr, len): (u32, u32),
    written: u32,
) -> Result<(), HostError> {
    guest_memory::check_writable(caller, written, 4)?;
    let bytes = guest_memory::read_bytes(caller, ptr, len, STREAM_WRITE_BYTES_MAX)?;
    let state = caller.data_mut();
    let notify = teller(state, EventKind::Writable, handle);
    let Resource::Writer(stream) = state.handles.get_mut(handle)? else {
        return Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no stream to write to")).into());
    };
    let result = stream.write_or_notify(&bytes, notify);
    let count = moved(state, handle, result, "write")?;
    guest_memory::write_u32(caller, written, u32::try_from(count).unwrap_or(len))
}

/// What tells the isolate that a stream is ready; gives `false` while its queue is full.
fn teller(state: &IsolateState, kind: EventKind, handle: Handle) -> impl Fn() -> bool + Send + Sync + 'static {
    let shared = Arc::clone(&state.shared);
    move || shared.events.push(EventRecord::new(kind, handle.number(), [0; 3]))
}

/// The outcome of a read or write as the guest sees it. While one waits the handle keeps the isolate alive.
fn moved(
    state: &mut IsolateState,
    handle: Handle,
    result: io::Result<usize>,
    syscall: &'static str,
) -> Result<usize, HostError> {
    let waits = result
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    state.handles.set_active(handle, waits)?;
    result.map_err(|error| {
        let record = match (error.raw_os_error(), error.kind()) {
            _ if waits => ErrorRecord::new(ErrorCode::Eagain, "the stream is not ready yet"),
            (Some(errno), _) => ErrorRecord::system(ErrorCode::from_errno(errno), syscall),
            (None, io::ErrorKind::BrokenPipe) => ErrorRecord::system(ErrorCode::Epipe, syscall),
            (None, _) => ErrorRecord::new(ErrorCode::Eio, error.to_string()),
        };
        record.into()
    })
}
