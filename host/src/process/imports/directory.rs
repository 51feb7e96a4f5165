//! Working directory, file mode mask, env files, `execve`.

use nodule_abi::error::ErrorRecord;
use nodule_abi::value::Value;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{SizedBuffer, check_writable, read_path, read_value, write_u32};
use crate::host_error::{HostError, respond};
use crate::process::{directory, execve};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "cwd",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let result = cwd(&mut caller, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "chdir",
        |mut caller: Caller<'_, IsolateState>, path: u32, path_len: u32| {
            let result = chdir(&mut caller, path, path_len);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "umask",
        |mut caller: Caller<'_, IsolateState>, mask: u32, old: u32| {
            let result = umask(&mut caller, mask, old);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "load_env_file",
        |mut caller: Caller<'_, IsolateState>, path: u32, path_len: u32| {
            let result = load_env_file(&mut caller, path, path_len);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "execve",
        |mut caller: Caller<'_, IsolateState>, arguments: u32, arguments_len: u32| {
            let result = run_execve(&mut caller, arguments, arguments_len);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn cwd(caller: &mut Caller<'_, IsolateState>, out: SizedBuffer) -> Result<(), HostError> {
    let state = caller.data();
    let path = state.process.cwd(&state.permissions)?;
    out.write(caller, path.to_string_lossy().as_bytes())
}

fn chdir(caller: &mut Caller<'_, IsolateState>, path: u32, path_len: u32) -> Result<(), HostError> {
    let path = read_path(caller, path, path_len)?;
    let state = caller.data_mut();
    Ok(state.process.chdir(&state.permissions, &path)?)
}

/// Reading only.
const KEEP: u32 = u32::MAX;

fn umask(caller: &mut Caller<'_, IsolateState>, mask: u32, old: u32) -> Result<(), HostError> {
    check_writable(caller, old, 4)?;
    let previous = if mask == KEEP {
        directory::current_umask()
    } else {
        caller.data().process.require_main("Setting process.umask()")?;
        if mask > 0o777 {
            return Err(ErrorRecord::out_of_range("mask", ">= 0 && <= 511", &mask.to_string()).into());
        }
        directory::set_umask(mask)
    };
    write_u32(caller, old, previous)
}

fn load_env_file(caller: &mut Caller<'_, IsolateState>, path: u32, path_len: u32) -> Result<(), HostError> {
    let path = read_path(caller, path, path_len)?;
    let path = if path.is_empty() { ".env" } else { &path };
    let state = caller.data();
    let entries = directory::read_env_file(&state.permissions, &state.process.cwd(&state.permissions)?, path)?;
    let entries = entries.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Ok(state.process.env.set_missing(entries)?)
}

fn run_execve(caller: &mut Caller<'_, IsolateState>, arguments: u32, arguments_len: u32) -> Result<(), HostError> {
    let arguments: Value = read_value(caller, arguments, arguments_len)?;
    let state = caller.data();
    state.process.require_main("process.execve()")?;
    let request = execve::Request::from_value(&arguments, &state.process.env)?;
    match execve::execve(&state.permissions, &state.limits, request) {
        Err(error) => Err(error.into()),
        Ok(never) => match never {},
    }
}
