//! Attributes, environment, built-in modules, warnings.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::imports::{self, AREAS};
use nodule_abi::limits::{ENV_BYTES_MAX, NAME_BYTES_MAX};
use nodule_abi::value::{Object, Value};
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{SizedBuffer, read_str, read_value};
use crate::host_error::{HostError, respond};
use crate::process::attributes;
use crate::runtime::{IsolateState, current_backtrace};

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "get",
        |mut caller: Caller<'_, IsolateState>, name: u32, name_len: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = get(&mut caller, name, name_len, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "set",
        |mut caller: Caller<'_, IsolateState>, name: u32, name_len: u32, value: u32, value_len: u32| {
            let result = set(&mut caller, (name, name_len), (value, value_len));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "env_get",
        |mut caller: Caller<'_, IsolateState>, key: u32, key_len: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = env_get(&mut caller, key, key_len, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "env_set",
        |mut caller: Caller<'_, IsolateState>, key: u32, key_len: u32, value: u32, value_len: u32| {
            let result = env_set(&mut caller, (key, key_len), (value, value_len));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "env_delete",
        |mut caller: Caller<'_, IsolateState>, key: u32, key_len: u32| {
            let result = env_delete(&mut caller, key, key_len);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "env_all",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let all = Value::Object(caller.data().process.env.all().into_iter().collect::<Object>());
            let result = SizedBuffer { ptr, cap, len_ptr }.write_value(&mut caller, &all);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "get_builtin_module",
        |mut caller: Caller<'_, IsolateState>, id: u32, id_len: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = get_builtin_module(&mut caller, id, id_len, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "get_active_resources_info",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let result = get_active_resources_info(&mut caller, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap_async(
        AREA,
        "print_warning",
        |mut caller: Caller<'_, IsolateState>, (warning, warning_len): (u32, u32)| {
            Box::new(async move {
                let result = print_warning(&mut caller, warning, warning_len).await;
                respond(&mut caller, result)
            })
        },
    )?;
    linker.func_wrap(
        AREA,
        "stack",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let text = current_backtrace(&caller).unwrap_or_default();
            let result = SizedBuffer { ptr, cap, len_ptr }.write(&mut caller, text.as_bytes());
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn get(caller: &mut Caller<'_, IsolateState>, name: u32, name_len: u32, out: SizedBuffer) -> Result<(), HostError> {
    let name = read_str(caller, name, name_len, NAME_BYTES_MAX)?;
    let value = attributes::get(caller.data(), &name)?.ok_or(ErrorCode::Enoent)?;
    out.write_value(caller, &value)
}

fn set(caller: &mut Caller<'_, IsolateState>, name: (u32, u32), value: (u32, u32)) -> Result<(), HostError> {
    let name = read_str(caller, name.0, name.1, NAME_BYTES_MAX)?;
    let value: Value = read_value(caller, value.0, value.1)?;
    Ok(attributes::set(caller.data_mut(), &name, &value)?)
}

fn env_get(caller: &mut Caller<'_, IsolateState>, key: u32, key_len: u32, out: SizedBuffer) -> Result<(), HostError> {
    let key = read_str(caller, key, key_len, ENV_BYTES_MAX)?;
    let value = caller.data().process.env.get(&key).ok_or(ErrorCode::Enoent)?;
    out.write(caller, value.as_bytes())
}

fn env_set(caller: &mut Caller<'_, IsolateState>, key: (u32, u32), value: (u32, u32)) -> Result<(), HostError> {
    let key = read_str(caller, key.0, key.1, ENV_BYTES_MAX)?;
    let value = read_str(caller, value.0, value.1, ENV_BYTES_MAX)?;
    Ok(caller.data().process.env.set(&key, &value)?)
}

fn env_delete(caller: &mut Caller<'_, IsolateState>, key: u32, key_len: u32) -> Result<(), HostError> {
    let key = read_str(caller, key, key_len, ENV_BYTES_MAX)?;
    caller.data().process.env.delete(&key);
    Ok(())
}

fn get_builtin_module(
    caller: &mut Caller<'_, IsolateState>,
    id: u32,
    id_len: u32,
    out: SizedBuffer,
) -> Result<(), HostError> {
    let id = read_str(caller, id, id_len, NAME_BYTES_MAX)?;
    let name = id
        .strip_prefix("node:")
        .or_else(|| id.strip_prefix(imports::NAMESPACE_PREFIX))
        .unwrap_or(&id);
    let area = AREAS.iter().find(|area| area.name == name).ok_or(ErrorCode::Enoent)?;
    let description = Value::object([
        ("name", Value::from(area.name)),
        ("version", area.version.into()),
        ("imports", Value::array(area.imports.iter().map(|import| import.name))),
    ]);
    out.write_value(caller, &description)
}

fn get_active_resources_info(caller: &mut Caller<'_, IsolateState>, out: SizedBuffer) -> Result<(), HostError> {
    let state = caller.data();
    let stdin = state.stdio.stdin_type_name();
    let names: Vec<_> = state
        .handles
        .list(stdin)
        .into_iter()
        .filter(|info| info.active && info.referenced)
        .map(|info| info.type_name)
        .collect();
    out.write_value(caller, &names)
}

async fn print_warning(caller: &mut Caller<'_, IsolateState>, warning: u32, warning_len: u32) -> Result<(), HostError> {
    let warning: ErrorRecord = read_value(caller, warning, warning_len)?;
    let process = &caller.data().process;
    let Some(text) = process.warnings.print(&warning, process.deprecation) else {
        return Ok(());
    };
    let stderr = caller.data().stdio.stderr.clone();
    stderr
        .write_all(text.as_bytes())
        .await
        .map_err(|error| write_error(&error))
}

/// A failed write as the guest sees it.
fn write_error(error: &std::io::Error) -> HostError {
    let code = ErrorCode::from_errno(error.raw_os_error().unwrap_or(libc::EPIPE));
    ErrorRecord::system(code, "write").into()
}
