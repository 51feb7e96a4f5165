//! Reading and writing: all buffers of a call, in large pieces.

use nodule_abi::limits::{IOVECS_MAX, STDIO_ATOMIC_BYTES};
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::errno::{Errno, Result, check, respond};
use super::fd_table::Stream;
use super::scratch::{self, Scratch};
use super::{NAMESPACE, fds};
use crate::guest_memory;
use crate::runtime::{IsolateState, park};
use crate::stdio::Output;

/// Most bytes moved at once. A write of this size is one write of the stream.
const PIECE_BYTES: usize = 256 * 1024;
const _: () = assert!(PIECE_BYTES >= STDIO_ATOMIC_BYTES);

/// Bytes of one buffer description: address and length.
const IOVEC_BYTES: usize = 8;
/// The same as a guest counts.
const GUEST_IOVEC_BYTES: u32 = 8;
const _: () = assert!(GUEST_IOVEC_BYTES as usize == IOVEC_BYTES);
/// Where a scratch memory has the count that a call gives, behind the one buffer description.
const COUNT_AT: i32 = 8;
/// Where it has the data.
const DATA_AT: u32 = 16;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        "fd_write",
        |mut caller, (fd, iovs, count, out): (u32, u32, u32, u32)| {
            Box::new(async move { respond(fd_write(&mut caller, fd, (iovs, count), out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_read",
        |mut caller, (fd, iovs, count, out): (u32, u32, u32, u32)| {
            Box::new(async move { respond(fd_read(&mut caller, fd, (iovs, count), out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_pwrite",
        |mut caller, (fd, iovs, count, offset, out): (u32, u32, u32, u64, u32)| {
            Box::new(async move { respond(fd_pwrite(&mut caller, fd, (iovs, count), offset, out).await) })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_pread",
        |mut caller, (fd, iovs, count, offset, out): (u32, u32, u32, u64, u32)| {
            Box::new(async move { respond(fd_pread(&mut caller, fd, (iovs, count), offset, out).await) })
        },
    )?;
    Ok(())
}

/// Where in a file a call starts.
#[derive(Clone, Copy)]
enum Position {
    /// At the file's position, which moves on.
    Current,
    At(u64),
}

impl Position {
    fn after(self, bytes: usize) -> Self {
        match self {
            Self::Current => Self::Current,
            Self::At(offset) => Self::At(offset.saturating_add(bytes as u64)),
        }
    }
}

/// The buffers of a call that are not used up yet. All lie within the guest's memory, which never shrinks.
struct Buffers {
    rest: Vec<(u32, usize)>,
    left: usize,
}

impl Buffers {
    fn read(caller: &mut Caller<'_, IsolateState>, (address, count): (u32, u32)) -> Result<Self> {
        if count > IOVECS_MAX {
            return Err(Errno::INVAL.into());
        }
        let bytes = guest_memory::read_bytes(
            caller,
            address,
            count * GUEST_IOVEC_BYTES,
            IOVECS_MAX * GUEST_IOVEC_BYTES,
        )?;
        let mut rest = Vec::with_capacity(count as usize);
        let mut left = 0_u32;
        // Taken from the end, so the last comes first.
        for iovec in bytes.chunks_exact(IOVEC_BYTES).rev() {
            let (address, len) = (word(iovec, 0), word(iovec, 4));
            guest_memory::check_writable(caller, address, len as usize)?;
            // The count a call gives is a u32.
            left = left.checked_add(len).ok_or(Errno::INVAL)?;
            if len > 0 {
                rest.push((address, len as usize));
            }
        }
        Ok(Self {
            rest,
            left: left as usize,
        })
    }

    /// The next piece of a buffer, of at most `max` bytes.
    fn next(&mut self, max: usize) -> Option<(u32, usize)> {
        let (address, len) = self.rest.pop()?;
        let taken = len.min(max);
        if let (true, Ok(offset)) = (taken < len, u32::try_from(taken)) {
            self.rest.push((address + offset, len - taken));
        }
        self.left -= taken;
        Some((address, taken))
    }

    /// Copies the next piece of the data out of guest memory. Empty when all was taken.
    fn gather(&mut self, caller: &mut Caller<'_, IsolateState>, ahead: usize) -> Result<Vec<u8>> {
        let len = self.left.min(PIECE_BYTES);
        let mut piece = Vec::with_capacity(ahead + len);
        piece.resize(ahead, 0);
        while piece.len() < ahead + len
            && let Some((address, len)) = self.next(ahead + len - piece.len())
        {
            let len = u32::try_from(len).map_err(|_| Errno::INVAL)?;
            piece.extend_from_slice(&guest_memory::read_bytes(caller, address, len, len)?);
        }
        Ok(piece)
    }

    /// Copies data into guest memory.
    fn scatter(&mut self, caller: &mut Caller<'_, IsolateState>, mut data: &[u8]) -> Result<()> {
        while !data.is_empty()
            && let Some((address, len)) = self.next(data.len())
        {
            let (now, later) = data.split_at(len);
            guest_memory::write_bytes(caller, address, now)?;
            data = later;
        }
        Ok(())
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Goes on after a failed piece: what was moved before counts.
fn moved(total: usize, result: Result<()>) -> Result<usize> {
    match result {
        Err(super::errno::WasiError::Errno(errno)) if total == 0 => Err(errno.into()),
        Err(super::errno::WasiError::Trap(error)) => Err(error.into()),
        _ => Ok(total),
    }
}

fn write_count(caller: &mut Caller<'_, IsolateState>, out: u32, total: usize) -> Result<()> {
    let total = u32::try_from(total).map_err(|_| Errno::OVERFLOW)?;
    Ok(guest_memory::write_u32(caller, out, total)?)
}

async fn fd_write(caller: &mut Caller<'_, IsolateState>, fd: u32, iovecs: (u32, u32), out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let buffers = Buffers::read(caller, iovecs)?;
    let total = match fds(caller).stream(fd) {
        None => write_file(caller, fd, buffers, Position::Current).await?,
        Some(Stream::Stdin) => return Err(Errno::BADF.into()),
        Some(Stream::Stdout) => write_stream(caller, buffers, |state| state.stdio.stdout.clone()).await?,
        Some(Stream::Stderr) => write_stream(caller, buffers, |state| state.stdio.stderr.clone()).await?,
    };
    write_count(caller, out, total)
}

async fn fd_pwrite(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    iovecs: (u32, u32),
    offset: u64,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let buffers = Buffers::read(caller, iovecs)?;
    let total = write_file(caller, fd, buffers, Position::At(offset)).await?;
    write_count(caller, out, total)
}

async fn fd_read(caller: &mut Caller<'_, IsolateState>, fd: u32, iovecs: (u32, u32), out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let buffers = Buffers::read(caller, iovecs)?;
    let total = match fds(caller).stream(fd) {
        None => read_file(caller, fd, buffers, Position::Current).await?,
        Some(Stream::Stdin) => read_stdin(caller, buffers).await?,
        Some(Stream::Stdout | Stream::Stderr) => return Err(Errno::BADF.into()),
    };
    write_count(caller, out, total)
}

async fn fd_pread(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    iovecs: (u32, u32),
    offset: u64,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let buffers = Buffers::read(caller, iovecs)?;
    let total = read_file(caller, fd, buffers, Position::At(offset)).await?;
    write_count(caller, out, total)
}

async fn write_stream(
    caller: &mut Caller<'_, IsolateState>,
    mut buffers: Buffers,
    output: impl FnOnce(&IsolateState) -> Output,
) -> Result<usize> {
    let output = output(caller.data());
    let mut total = 0;
    while buffers.left > 0 {
        let piece = buffers.gather(caller, 0)?;
        let written = park(caller, output.write_counted(&piece, &mut total)).await?;
        if let Err(error) = written {
            return moved(total, Err(Errno::from_io(&error).into()));
        }
    }
    Ok(total)
}

/// One read: what is there, parked until something is.
async fn read_stdin(caller: &mut Caller<'_, IsolateState>, mut buffers: Buffers) -> Result<usize> {
    if buffers.left == 0 {
        return Ok(0);
    }
    let mut data = vec![0; buffers.left.min(PIECE_BYTES)];
    let len = loop {
        let state = caller.data();
        match state.stdio.stdin.try_read(&mut data) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && !state.wasi.fds.stdin_nonblocking => {
                let ready = state.stdio.stdin.ready();
                park(caller, ready).await?.map_err(|error| Errno::from_io(&error))?;
            }
            result => break result.map_err(|error| Errno::from_io(&error))?,
        }
    };
    buffers.scatter(caller, &data[..len])?;
    Ok(len)
}

/// Writes to what `wasmtime_wasi` has open, until all is written or a piece was not taken whole.
async fn write_file(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    mut buffers: Buffers,
    position: Position,
) -> Result<usize> {
    let mut total = 0;
    loop {
        let mut scratch = Scratch::of(buffers.gather(caller, DATA_AT as usize)?);
        let len = scratch.bytes().len() - DATA_AT as usize;
        describe_data(&mut scratch, len);
        let context = scratch::context(caller);
        let memory = &mut scratch.memory();
        let fd = fd.cast_signed();
        let returned = match position.after(total) {
            Position::Current => p1::fd_write(context, memory, fd, 0, 1, COUNT_AT).await,
            Position::At(offset) => p1::fd_pwrite(context, memory, fd, 0, 1, offset.cast_signed(), COUNT_AT).await,
        };
        let result = check(returned);
        if result.is_err() {
            return moved(total, result);
        }
        let written = scratch.u32(COUNT_AT as usize) as usize;
        total += written;
        if written < len || buffers.left == 0 {
            return Ok(total);
        }
    }
}

/// Reads from what `wasmtime_wasi` has open, until the buffers are full or a piece was not filled.
async fn read_file(
    caller: &mut Caller<'_, IsolateState>,
    fd: u32,
    mut buffers: Buffers,
    position: Position,
) -> Result<usize> {
    let mut total = 0;
    loop {
        let len = buffers.left.min(PIECE_BYTES);
        let mut scratch = Scratch::new(DATA_AT as usize + len);
        describe_data(&mut scratch, len);
        let context = scratch::context(caller);
        let memory = &mut scratch.memory();
        let fd = fd.cast_signed();
        let returned = match position.after(total) {
            Position::Current => p1::fd_read(context, memory, fd, 0, 1, COUNT_AT).await,
            Position::At(offset) => p1::fd_pread(context, memory, fd, 0, 1, offset.cast_signed(), COUNT_AT).await,
        };
        let result = check(returned);
        if result.is_err() {
            return moved(total, result);
        }
        let read = (scratch.u32(COUNT_AT as usize) as usize).min(len);
        buffers.scatter(caller, &scratch.bytes()[DATA_AT as usize..][..read])?;
        total += read;
        if read < len || buffers.left == 0 {
            return Ok(total);
        }
    }
}

/// Writes the one buffer description of a scratch memory.
fn describe_data(scratch: &mut Scratch, len: usize) {
    let len = u32::try_from(len).unwrap_or(0);
    scratch.bytes_mut()[..4].copy_from_slice(&DATA_AT.to_le_bytes());
    scratch.bytes_mut()[4..8].copy_from_slice(&len.to_le_bytes());
}
