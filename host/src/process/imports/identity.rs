//! User and group ids.

use nodule_abi::error::{ErrorRecord, Result as GuestResult};
use nodule_abi::value::Value;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{SizedBuffer, read_value, write_u32};
use crate::host_error::{HostError, respond};
use crate::process::identity::{self, Id};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    register_getter(linker, "getuid", identity::getuid)?;
    register_getter(linker, "geteuid", identity::geteuid)?;
    register_getter(linker, "getgid", identity::getgid)?;
    register_getter(linker, "getegid", identity::getegid)?;
    linker.func_wrap(
        AREA,
        "getgroups",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let result = getgroups(&mut caller, SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    register_setter(linker, "setuid", |value| {
        identity::setuid(&Id::from_value(value, "id")?)
    })?;
    register_setter(linker, "seteuid", |value| {
        identity::seteuid(&Id::from_value(value, "id")?)
    })?;
    register_setter(linker, "setgid", |value| {
        identity::setgid(&Id::from_value(value, "id")?)
    })?;
    register_setter(linker, "setegid", |value| {
        identity::setegid(&Id::from_value(value, "id")?)
    })?;
    register_setter(linker, "setgroups", |value| {
        identity::setgroups(&Id::list_from_value(value)?)
    })?;
    register_setter(linker, "initgroups", |value| {
        let undefined = Value::Undefined;
        let argument = |index: usize| value.as_array().and_then(|list| list.get(index)).unwrap_or(&undefined);
        let user = Id::from_value(argument(0), "user")?;
        identity::initgroups(&user, &Id::from_value(argument(1), "extraGroup")?)
    })
}

fn register_getter(linker: &mut Linker<IsolateState>, name: &'static str, get: fn() -> u32) -> wasmtime::Result<()> {
    linker.func_wrap(AREA, name, move |mut caller: Caller<'_, IsolateState>, out: u32| {
        let allowed = caller.data().permissions.check_sys(name).map(drop);
        let result = allowed
            .map_err(HostError::from)
            .and_then(|()| write_u32(&mut caller, out, get()));
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn getgroups(caller: &mut Caller<'_, IsolateState>, out: SizedBuffer) -> Result<(), HostError> {
    let _granted = caller.data().permissions.check_sys("getgroups")?;
    out.write_value(caller, &identity::getgroups()?)
}

/// A setter parks the isolate: it may look names up, and changes the ids of every OS thread.
fn register_setter(
    linker: &mut Linker<IsolateState>,
    name: &'static str,
    set: fn(&Value) -> GuestResult<()>,
) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        AREA,
        name,
        move |mut caller: Caller<'_, IsolateState>, (value, value_len): (u32, u32)| {
            Box::new(async move {
                let result = run_setter(&mut caller, name, set, value, value_len).await;
                respond(&mut caller, result)
            })
        },
    )?;
    Ok(())
}

async fn run_setter(
    caller: &mut Caller<'_, IsolateState>,
    name: &'static str,
    set: fn(&Value) -> GuestResult<()>,
    value: u32,
    value_len: u32,
) -> Result<(), HostError> {
    caller.data().process.require_main(&format!("process.{name}()"))?;
    let value: Value = read_value(caller, value, value_len)?;
    let _granted = caller.data().permissions.check_sys(name)?;
    let done: Result<(), Box<ErrorRecord>> = tokio::task::spawn_blocking(move || set(&value))
        .await
        .map_err(HostError::internal)?;
    Ok(done?)
}
