//! `nodule:shared_memory/1`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nodule_abi::atomic::{AtomicOperation, WaitResult};
use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::namespace;
use wasmtime::{Caller, Linker};

use super::array_buffer::ArrayPages;
use super::buffer::SharedBuffer;
use super::futex::Expected;
use super::pages::{range_error, type_error};
use super::waiters::{EventWait, ParkedWait};
use super::window::Backing;
use crate::guest_memory;
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::runtime::{IsolateState, ThreadId, park};

const AREA: &str = namespace::shared_memory;

type Result<T> = std::result::Result<T, HostError>;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    register_buffers(linker)?;
    register_waits(linker)?;
    register_cells(linker)?;
    register_array_buffers(linker)
}

fn register_buffers(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "create",
        |mut caller: Caller<'_, IsolateState>, byte_length: u64, max_byte_length: u64, out: u32| {
            let result = create(&mut caller, byte_length, max_byte_length, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "byte_length",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = number(&mut caller, handle, out, SharedBuffer::byte_length);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "max_byte_length",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = number(&mut caller, handle, out, SharedBuffer::max_byte_length);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "is_growable",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = buffer(&caller, handle)
                .and_then(|buffer| guest_memory::write_u32(&mut caller, out, u32::from(buffer.is_growable())));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "grow",
        |mut caller: Caller<'_, IsolateState>, handle: u32, byte_length: u64| {
            let result = buffer(&caller, handle).and_then(|buffer| Ok(buffer.grow(byte_length)?));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap_async(AREA, "map", |mut caller, (handle, out): (u32, u32)| {
        Box::new(async move {
            let result = match buffer(&caller, handle) {
                Ok(buffer) => map(&mut caller, handle, Backing::Shared(buffer), out).await,
                Err(error) => Err(error),
            };
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(AREA, "unmap", |mut caller: Caller<'_, IsolateState>, handle: u32| {
        let result = unmap(&mut caller, Handle::from_guest(handle));
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn register_waits(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        AREA,
        "wait",
        |mut caller, (address, bits, expected, timeout_ms, out): (u32, u32, u64, f64, u32)| {
            Box::new(async move {
                let result = wait(&mut caller, (address, bits, expected), timeout_ms, out).await;
                respond(&mut caller, result)
            })
        },
    )?;
    linker.func_wrap(
        AREA,
        "wait_async",
        |mut caller: Caller<'_, IsolateState>,
         address: u32,
         bits: u32,
         expected: u64,
         timeout_ms: f64,
         out: u32,
         handle_out: u32| {
            let result = wait_async(&mut caller, (address, bits, expected), timeout_ms, out, handle_out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap_async(
        AREA,
        "wait_owned",
        |mut caller, (address, expected, owner, timeout_ms, out): (u32, u32, u32, f64, u32)| {
            Box::new(async move {
                let result = wait_owned(&mut caller, (address, expected), owner, timeout_ms, out).await;
                respond(&mut caller, result)
            })
        },
    )?;
    linker.func_wrap(AREA, "owner_id", |caller: Caller<'_, IsolateState>| {
        caller.data().shared.thread.number()
    })?;
    linker.func_wrap(
        AREA,
        "notify",
        |mut caller: Caller<'_, IsolateState>, address: u32, count: u32, out: u32| {
            let result = notify(&mut caller, address, count, out);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn register_cells(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "load",
        |mut caller: Caller<'_, IsolateState>, address: u32, bits: u32, out: u32| {
            let result = cell(&mut caller, address, bits, out, guest_memory::Cell::load);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "store",
        |mut caller: Caller<'_, IsolateState>, address: u32, bits: u32, value: u64| {
            let result = guest_memory::cell(&mut caller, address, bits)
                .map(|cell| cell.modify(AtomicOperation::Exchange, value))
                .map(|_old| ());
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "rmw",
        |mut caller: Caller<'_, IsolateState>, address: u32, bits: u32, operation: u32, operand: u64, out: u32| {
            let result = match AtomicOperation::from_number(operation) {
                Some(operation) => cell(&mut caller, address, bits, out, |cell| cell.modify(operation, operand)),
                None => {
                    let received = operation.to_string();
                    let reason = "is not a number of an atomic operation";
                    Err(ErrorRecord::invalid_arg_value("operation", reason, &received).into())
                }
            };
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "compare_exchange",
        |mut caller: Caller<'_, IsolateState>, address: u32, bits: u32, expected: u64, replacement: u64, out: u32| {
            let result = cell(&mut caller, address, bits, out, |cell| {
                cell.compare_exchange(expected, replacement)
            });
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn register_array_buffers(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        AREA,
        "array_buffer_create",
        |mut caller, (byte_length, handle_out, address_out): (u64, u32, u32)| {
            Box::new(async move {
                let result = array_buffer_create(&mut caller, byte_length, handle_out, address_out).await;
                respond(&mut caller, result)
            })
        },
    )?;
    linker.func_wrap_async(AREA, "array_buffer_map", |mut caller, (handle, out): (u32, u32)| {
        Box::new(async move {
            let result = match array_pages(&caller, handle) {
                Ok(array) => map(&mut caller, handle, Backing::Private(Arc::clone(array.pages())), out).await,
                Err(error) => Err(error),
            };
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(
        AREA,
        "array_buffer_byte_length",
        |mut caller: Caller<'_, IsolateState>, handle: u32, out: u32| {
            let result = array_pages(&caller, handle)
                .and_then(|array| guest_memory::write_u64s(&mut caller, out, &[array.byte_length()]));
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

/// The handle exists but names something else.
fn wrong_kind(handle: u32, wanted: &str) -> HostError {
    ErrorRecord::invalid_arg_type("handle", wanted, &format!("handle {handle} of another kind")).into()
}

fn buffer(caller: &Caller<'_, IsolateState>, handle: u32) -> Result<Arc<SharedBuffer>> {
    match caller.data().handles.get(Handle::from_guest(handle))? {
        Resource::SharedBuffer(buffer) => Ok(Arc::clone(buffer)),
        _ => Err(wrong_kind(handle, "a SharedArrayBuffer")),
    }
}

fn array_pages(caller: &Caller<'_, IsolateState>, handle: u32) -> Result<ArrayPages> {
    match caller.data().handles.get(Handle::from_guest(handle))? {
        Resource::ArrayBuffer(array) => Ok(array.clone()),
        _ => Err(wrong_kind(handle, "an ArrayBuffer")),
    }
}

fn create(caller: &mut Caller<'_, IsolateState>, byte_length: u64, max_byte_length: u64, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let state = caller.data_mut();
    let _granted = state.permissions.check_shared_memory("")?;
    let buffer = SharedBuffer::new(byte_length, max_byte_length, state.shared_memory.account())?;
    let handle = state.handles.insert(Resource::SharedBuffer(buffer), false)?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn number(
    caller: &mut Caller<'_, IsolateState>,
    handle: u32,
    out: u32,
    get: impl FnOnce(&SharedBuffer) -> u64,
) -> Result<()> {
    let value = get(&*buffer(caller, handle)?);
    guest_memory::write_u64s(caller, out, &[value])
}

async fn map(caller: &mut Caller<'_, IsolateState>, handle: u32, backing: Backing, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    if let Backing::Shared(_) = backing {
        let _granted = caller.data().permissions.check_shared_memory("")?;
    }
    let address = super::map(caller, Handle::from_guest(handle), backing).await?;
    guest_memory::write_u32(caller, out, address)
}

fn unmap(caller: &mut Caller<'_, IsolateState>, handle: Handle) -> Result<()> {
    let state = caller.data_mut();
    state.handles.get(handle)?;
    Ok(state.shared_memory.unmap(handle)?)
}

/// When a wait ends: NaN is never, what is below 0 at once.
fn deadline(timeout_ms: f64) -> Option<Instant> {
    if timeout_ms.is_nan() {
        return None;
    }
    let timeout = Duration::try_from_secs_f64(timeout_ms.max(0.0) / 1000.0).ok()?;
    Instant::now().checked_add(timeout)
}

/// The buffer and the offset of a cell that can be waited on, checked in the order of `Atomics.wait`.
fn waitable(caller: &mut Caller<'_, IsolateState>, address: u32, bits: u32) -> Result<(Arc<SharedBuffer>, u64)> {
    if !matches!(bits, 32 | 64) {
        let record = ErrorRecord::invalid_arg_value("bits", "must be 32 or 64", &bits.to_string());
        return Err(record.into());
    }
    // Aligned and inside of the memory.
    guest_memory::cell(caller, address, bits)?;
    let Some((buffer, offset)) = caller.data().shared_memory.windows.find(address) else {
        return Err(type_error("Atomics.wait needs a cell of a SharedArrayBuffer").into());
    };
    if offset + u64::from(bits / 8) > buffer.byte_length() {
        return Err(range_error("Invalid atomic access index").into());
    }
    Ok((Arc::clone(buffer), offset))
}

/// Whether a cell holds a value, for the table of waiters to ask under its lock.
fn holds(cell: &guest_memory::Cell, expected: u64) -> bool {
    cell.load() == cell.truncate(expected)
}

/// A cell in its buffer, and what it is expected to hold.
fn of_cell(cell: &guest_memory::Cell, offset: u64, bits: u32, expected: u64) -> Expected {
    Expected {
        offset,
        bits,
        value: cell.truncate(expected),
    }
}

async fn wait(
    caller: &mut Caller<'_, IsolateState>,
    (address, bits, expected): (u32, u32, u64),
    timeout_ms: f64,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let (buffer, offset) = waitable(caller, address, bits)?;
    let wait = {
        let cell = guest_memory::cell(caller, address, bits)?;
        ParkedWait::start(&buffer, of_cell(&cell, offset, bits, expected), || {
            holds(&cell, expected)
        })?
    };
    let result = match wait {
        None => WaitResult::NotEqual,
        Some(mut wait) => match deadline(timeout_ms) {
            None => park(caller, &mut wait).await??,
            Some(deadline) => {
                let timed = tokio::time::timeout_at(deadline.into(), &mut wait);
                match park(caller, timed).await? {
                    Ok(ended) => ended?,
                    Err(_) => wait.give_up(WaitResult::TimedOut),
                }
            }
        },
    };
    guest_memory::write_u32(caller, out, result as u32)
}

fn wait_async(
    caller: &mut Caller<'_, IsolateState>,
    (address, bits, expected): (u32, u32, u64),
    timeout_ms: f64,
    out: u32,
    handle_out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    guest_memory::check_writable(caller, handle_out, 4)?;
    let (buffer, offset) = waitable(caller, address, bits)?;
    let deadline = deadline(timeout_ms);
    let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
    if is_over {
        let result = match holds(&guest_memory::cell(caller, address, bits)?, expected) {
            true => WaitResult::TimedOut,
            false => WaitResult::NotEqual,
        };
        return guest_memory::write_u32(caller, out, result as u32);
    }
    // Without an end of its own it would keep the isolate alive for ever.
    let handle = caller
        .data_mut()
        .handles
        .insert(Resource::Wait(None), deadline.is_some())?;
    let wait = {
        let cell = guest_memory::cell(caller, address, bits)?;
        let isolate = &caller.data().shared;
        let expecting = of_cell(&cell, offset, bits, expected);
        EventWait::start(&buffer, expecting, || holds(&cell, expected), isolate, handle, deadline)
    };
    let handles = &mut caller.data_mut().handles;
    let result = match wait {
        Err(error) => {
            handles.remove(handle)?;
            return Err(error.into());
        }
        Ok(Some(wait)) => {
            *handles.get_mut(handle)? = Resource::Wait(Some(wait));
            guest_memory::write_u32(caller, handle_out, handle.number())?;
            WaitResult::Pending
        }
        Ok(None) => {
            handles.remove(handle)?;
            WaitResult::NotEqual
        }
    };
    guest_memory::write_u32(caller, out, result as u32)
}

async fn wait_owned(
    caller: &mut Caller<'_, IsolateState>,
    (address, expected): (u32, u32),
    owner: u32,
    timeout_ms: f64,
    out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let (buffer, offset) = waitable(caller, address, 32)?;
    if buffer.waiters().is_elsewhere() {
        let text = "locks that know their owner work within one process; another one has this buffer too";
        return Err(ErrorRecord::new(ErrorCode::Enotsup, text).into());
    }
    let owner = caller.data().shared.group.thread(ThreadId::from_guest(owner));
    let wait = {
        let cell = guest_memory::cell(caller, address, 32)?;
        let expected = u64::from(expected);
        ParkedWait::start(&buffer, of_cell(&cell, offset, 32, expected), || holds(&cell, expected))?
    };
    let result = match (wait, owner) {
        (None, _) => WaitResult::NotEqual,
        (Some(mut wait), None) => wait.give_up(WaitResult::OwnerDead),
        (Some(mut wait), Some(owner)) => {
            let deadline = deadline(timeout_ms);
            let over = async {
                match deadline {
                    None => std::future::pending().await,
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                }
            };
            let ended = async {
                tokio::select! {
                    biased;
                    ended = &mut wait => ended,
                    () = owner.gone.cancelled() => Ok(WaitResult::OwnerDead),
                    () = over => Ok(WaitResult::TimedOut),
                }
            };
            match park(caller, ended).await?? {
                other @ (WaitResult::OwnerDead | WaitResult::TimedOut) => wait.give_up(other),
                ended => ended,
            }
        }
    };
    guest_memory::write_u32(caller, out, result as u32)
}

fn notify(caller: &mut Caller<'_, IsolateState>, address: u32, count: u32, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    // Aligned as the smallest cell that can be waited on, and inside of the memory.
    guest_memory::cell(caller, address, 32)?;
    let woken = match caller.data().shared_memory.windows.find(address) {
        Some((buffer, offset)) => buffer.notify(offset, count),
        None => 0,
    };
    guest_memory::write_u32(caller, out, woken)
}

/// Does something with a cell and writes what it gives; nothing is done when that cannot be written.
fn cell(
    caller: &mut Caller<'_, IsolateState>,
    address: u32,
    bits: u32,
    out: u32,
    access: impl FnOnce(&guest_memory::Cell) -> u64,
) -> Result<()> {
    guest_memory::check_writable(caller, out, 8)?;
    let value = access(&guest_memory::cell(caller, address, bits)?);
    guest_memory::write_u64s(caller, out, &[value])
}

async fn array_buffer_create(
    caller: &mut Caller<'_, IsolateState>,
    byte_length: u64,
    handle_out: u32,
    address_out: u32,
) -> Result<()> {
    guest_memory::check_writable(caller, handle_out, 4)?;
    guest_memory::check_writable(caller, address_out, 4)?;
    let state = caller.data_mut();
    let array = ArrayPages::new(byte_length, state.shared_memory.account())?;
    let pages = Arc::clone(array.pages());
    let handle = state.handles.insert(Resource::ArrayBuffer(array), false)?;
    match super::map(caller, handle, Backing::Private(pages)).await {
        Ok(address) => {
            guest_memory::write_u32(caller, handle_out, handle.number())?;
            guest_memory::write_u32(caller, address_out, address)
        }
        Err(error) => {
            caller.data_mut().handles.remove(handle)?;
            Err(error)
        }
    }
}

/// Takes an ArrayBuffer away from the isolate, to be given to another: its window shows zeros from now on, its handle
/// is closed. `ERR_INVALID_ARG_TYPE` when the handle names something else.
pub fn take_array_buffer(state: &mut IsolateState, handle: Handle) -> Result<ArrayPages> {
    if !matches!(state.handles.get(handle)?, Resource::ArrayBuffer(_)) {
        return Err(wrong_kind(handle.number(), "an ArrayBuffer"));
    }
    state.shared_memory.unmap(handle)?;
    match state.handles.remove(handle)? {
        Resource::ArrayBuffer(array) => Ok(array),
        _ => Err(ErrorCode::HandleClosed.into()),
    }
}
