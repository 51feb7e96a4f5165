//! Arguments and environment. The environment is the isolate's own, as `process.env` shows it now.

use wasmtime::{Caller, Linker};

use super::NAMESPACE;
use super::errno::{Errno, Result, respond};
use crate::guest_memory;
use crate::runtime::IsolateState;

/// Registers the calls.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    type Guest<'a> = Caller<'a, IsolateState>;
    linker.func_wrap(
        NAMESPACE,
        "args_sizes_get",
        |mut caller: Guest<'_>, count: u32, bytes: u32| {
            let list = args(&caller);
            respond(write_sizes(&mut caller, &list, count, bytes))
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "args_get",
        |mut caller: Guest<'_>, pointers: u32, buffer: u32| {
            let list = args(&caller);
            respond(write_list(&mut caller, &list, pointers, buffer))
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "environ_sizes_get",
        |mut caller: Guest<'_>, count: u32, bytes: u32| {
            let list = environ(&caller);
            respond(write_sizes(&mut caller, &list, count, bytes))
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "environ_get",
        |mut caller: Guest<'_>, pointers: u32, buffer: u32| {
            let list = environ(&caller);
            respond(write_list(&mut caller, &list, pointers, buffer))
        },
    )?;
    Ok(())
}

fn args(caller: &Caller<'_, IsolateState>) -> Vec<String> {
    caller.data().process.wasi_args()
}

fn environ(caller: &Caller<'_, IsolateState>) -> Vec<String> {
    caller
        .data()
        .process
        .env
        .all()
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

fn write_sizes(caller: &mut Caller<'_, IsolateState>, list: &[String], count: u32, bytes: u32) -> Result<()> {
    let number = |value: usize| u32::try_from(value).map_err(|_| Errno::OVERFLOW);
    let total = number(list.iter().map(|text| text.len() + 1).sum())?;
    guest_memory::write_u32(caller, count, number(list.len())?)?;
    Ok(guest_memory::write_u32(caller, bytes, total)?)
}

/// Writes the texts, each ended by NUL, and a list of their addresses.
fn write_list(caller: &mut Caller<'_, IsolateState>, list: &[String], pointers: u32, buffer: u32) -> Result<()> {
    let mut texts = Vec::with_capacity(list.iter().map(|text| text.len() + 1).sum());
    let mut addresses = Vec::with_capacity(list.len() * 4);
    for text in list {
        let address = u32::try_from(texts.len())
            .ok()
            .and_then(|offset| buffer.checked_add(offset))
            .ok_or(Errno::FAULT)?;
        addresses.extend_from_slice(&address.to_le_bytes());
        texts.extend_from_slice(text.as_bytes());
        texts.push(0);
    }
    guest_memory::check_writable(caller, pointers, addresses.len())?;
    guest_memory::write_bytes(caller, buffer, &texts)?;
    Ok(guest_memory::write_bytes(caller, pointers, &addresses)?)
}
