//! Calls on open files that `wasmtime_wasi` does as they should be done. They are here because its own
//! registration would lend it the guest's memory as one slice, over windows of shared memory as well.

use nodule_abi::limits::PATH_BYTES_MAX;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as p1;

use super::NAMESPACE;
use super::errno::{Errno, Result, check, respond};
use super::scratch::{self, Scratch};
use crate::guest_memory;
use crate::runtime::IsolateState;

/// Bytes of the description of a granted directory; the length of its name lies at 4.
const PRESTAT_BYTES: usize = 8;
const PRESTAT_NAME_LEN_AT: usize = 4;

type Guest<'a, 'b> = &'a mut Caller<'b, IsolateState>;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        "fd_advise",
        |mut caller, (fd, offset, len, advice): (i32, i64, i64, i32)| {
            Box::new(async move {
                let context = scratch::context(&mut caller);
                let returned = p1::fd_advise(context, &mut Scratch::new(0).memory(), fd, offset, len, advice).await;
                respond(check(returned))
            })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "fd_allocate",
        |mut caller: Caller<'_, IsolateState>, fd: i32, offset: i64, len: i64| {
            let context = scratch::context(&mut caller);
            respond(check(p1::fd_allocate(
                context,
                &mut Scratch::new(0).memory(),
                fd,
                offset,
                len,
            )))
        },
    )?;
    linker.func_wrap_async(NAMESPACE, "fd_datasync", |mut caller, (fd,): (i32,)| {
        Box::new(async move {
            let context = scratch::context(&mut caller);
            respond(check(p1::fd_datasync(context, &mut Scratch::new(0).memory(), fd).await))
        })
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_sync", |mut caller, (fd,): (i32,)| {
        Box::new(async move {
            let context = scratch::context(&mut caller);
            respond(check(p1::fd_sync(context, &mut Scratch::new(0).memory(), fd).await))
        })
    })?;
    linker.func_wrap(
        NAMESPACE,
        "fd_fdstat_set_rights",
        |mut caller: Caller<'_, IsolateState>, fd: i32, base: i64, inheriting: i64| {
            let context = scratch::context(&mut caller);
            let memory = &mut Scratch::new(0);
            respond(check(p1::fd_fdstat_set_rights(
                context,
                &mut memory.memory(),
                fd,
                base,
                inheriting,
            )))
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_seek",
        |mut caller, (fd, offset, whence, out): (i32, i64, i32, u32)| {
            Box::new(async move { respond(fd_seek(&mut caller, fd, (offset, whence), out).await) })
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "fd_tell",
        |mut caller: Caller<'_, IsolateState>, fd: i32, out: u32| respond(fd_tell(&mut caller, fd, out)),
    )?;
    linker.func_wrap(
        NAMESPACE,
        "fd_prestat_get",
        |mut caller: Caller<'_, IsolateState>, fd: i32, out: u32| respond(fd_prestat_get(&mut caller, fd, out)),
    )?;
    linker.func_wrap(
        NAMESPACE,
        "fd_prestat_dir_name",
        |mut caller: Caller<'_, IsolateState>, fd: i32, path: u32, len: u32| {
            respond(fd_prestat_dir_name(&mut caller, fd, path, len))
        },
    )?;
    register_sockets(linker)
}

/// There are no sockets in WASI preview 1 here: a descriptor is none of its own (`NOTSOCK`), or none at all.
fn register_sockets(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        NAMESPACE,
        "sock_accept",
        |mut caller: Caller<'_, IsolateState>, fd: i32, _flags: i32, _out: i32| respond(no_socket(&mut caller, fd)),
    )?;
    linker.func_wrap(
        NAMESPACE,
        "sock_recv",
        |mut caller: Caller<'_, IsolateState>, fd: i32, _: i32, _: i32, _: i32, _: i32, _: i32| {
            respond(no_socket(&mut caller, fd))
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "sock_send",
        |mut caller: Caller<'_, IsolateState>, fd: i32, _: i32, _: i32, _: i32, _: i32| {
            respond(no_socket(&mut caller, fd))
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "sock_shutdown",
        |mut caller: Caller<'_, IsolateState>, fd: i32, _how: i32| respond(no_socket(&mut caller, fd)),
    )?;
    Ok(())
}

fn no_socket(caller: Guest<'_, '_>, fd: i32) -> Result<()> {
    /// Both directions.
    const SHUTDOWN: i32 = 3;
    let context = scratch::context(caller);
    check(p1::sock_shutdown(context, &mut Scratch::new(0).memory(), fd, SHUTDOWN))
}

async fn fd_seek(caller: Guest<'_, '_>, fd: i32, (offset, whence): (i64, i32), out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 8)?;
    let mut scratch = Scratch::new(8);
    check(p1::fd_seek(scratch::context(caller), &mut scratch.memory(), fd, offset, whence, 0).await)?;
    Ok(guest_memory::write_u64s(caller, out, &[scratch.u64(0)])?)
}

fn fd_tell(caller: Guest<'_, '_>, fd: i32, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 8)?;
    let mut scratch = Scratch::new(8);
    check(p1::fd_tell(scratch::context(caller), &mut scratch.memory(), fd, 0))?;
    Ok(guest_memory::write_u64s(caller, out, &[scratch.u64(0)])?)
}

fn prestat(caller: Guest<'_, '_>, fd: i32) -> Result<Scratch> {
    let mut scratch = Scratch::new(PRESTAT_BYTES);
    check(p1::fd_prestat_get(
        scratch::context(caller),
        &mut scratch.memory(),
        fd,
        0,
    ))?;
    Ok(scratch)
}

fn fd_prestat_get(caller: Guest<'_, '_>, fd: i32, out: u32) -> Result<()> {
    let prestat = prestat(caller, fd)?;
    Ok(guest_memory::write_bytes(caller, out, prestat.bytes())?)
}

fn fd_prestat_dir_name(caller: Guest<'_, '_>, fd: i32, path: u32, len: u32) -> Result<()> {
    let name_len = prestat(caller, fd)?.u32(PRESTAT_NAME_LEN_AT);
    if name_len > len || name_len > PATH_BYTES_MAX {
        return Err(Errno::NAMETOOLONG.into());
    }
    let mut scratch = Scratch::new(name_len as usize);
    let context = scratch::context(caller);
    check(p1::fd_prestat_dir_name(
        context,
        &mut scratch.memory(),
        fd,
        0,
        name_len.cast_signed(),
    ))?;
    Ok(guest_memory::write_bytes(caller, path, scratch.bytes())?)
}
