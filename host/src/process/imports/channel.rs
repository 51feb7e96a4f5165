//! The IPC channel to the parent. There is none yet, so every call behaves as in Node without a channel.

use nodule_abi::error::ErrorCode;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{check_writable, read_value};
use crate::host_error::{HostError, respond};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "send",
        |mut caller: Caller<'_, IsolateState>, message: u32, message_len: u32, handle: u32, request: u32| {
            let result = send(&mut caller, message, message_len, handle, request);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "disconnect", |mut caller: Caller<'_, IsolateState>| {
        let result = caller
            .data()
            .process
            .require_main("process.disconnect()")
            .map_err(HostError::from);
        let result = result.and_then(|()| Err(ErrorCode::IpcDisconnected.into()));
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn send(
    caller: &mut Caller<'_, IsolateState>,
    message: u32,
    message_len: u32,
    handle: u32,
    request: u32,
) -> Result<(), HostError> {
    caller.data().process.require_main("process.send()")?;
    check_writable(caller, request, 4)?;
    let _message: nodule_abi::value::Value = read_value(caller, message, message_len)?;
    if handle != 0 {
        caller.data().handles.get(crate::handles::Handle::from_guest(handle))?;
    }
    Err(ErrorCode::IpcChannelClosed.into())
}
