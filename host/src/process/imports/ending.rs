//! Signals and the ways to end.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::hooks::Origin;
use nodule_abi::signal::SIGBREAK;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::read_value;
use crate::host_error::{HostError, respond};
use crate::process::abort::AbortRequest;
use crate::process::end::{ExitRequest, UncaughtError};
use crate::process::kill;
use crate::process::signals::Side;
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "kill",
        |mut caller: Caller<'_, IsolateState>, pid: i32, signal: i32| {
            let state = caller.data();
            let children = &state.shared.group.processes;
            let result = kill::kill(&state.permissions, children, pid, signal).map_err(HostError::from);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "signal_listen",
        |mut caller: Caller<'_, IsolateState>, signal: i32| {
            let state = caller.data_mut();
            let result = state
                .process
                .listen(&state.shared, signal, Side::Guest)
                .map_err(HostError::from);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "signal_unlisten",
        |mut caller: Caller<'_, IsolateState>, signal: i32| {
            let result = signal_unlisten(caller.data_mut(), signal);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "abort", |mut caller: Caller<'_, IsolateState>| {
        let result = match caller.data().process.require_main("process.abort()") {
            Ok(()) => Err(HostError::Trap(AbortRequest { signal: libc::SIGABRT }.into())),
            Err(refused) => Err(refused.into()),
        };
        respond(&mut caller, result)
    })?;
    linker.func_wrap(AREA, "exit", |code: i64| -> wasmtime::Result<u32> {
        Err(ExitRequest(code).into())
    })?;
    linker.func_wrap(
        AREA,
        "panic",
        |mut caller: Caller<'_, IsolateState>, record: u32, record_len: u32| {
            let result = read_value::<ErrorRecord>(&mut caller, record, record_len)
                .map(|record| caller.data_mut().panic = Some(record));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "uncaught",
        |mut caller: Caller<'_, IsolateState>, record: u32, record_len: u32, origin: u32| {
            let result = uncaught(&mut caller, record, record_len, origin);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn signal_unlisten(state: &mut IsolateState, signal: i32) -> Result<(), HostError> {
    if signal != SIGBREAK && nodule_abi::signal::name(signal).is_none() {
        return Err(ErrorRecord::system(ErrorCode::Einval, "signal").into());
    }
    state.process.unlisten(signal, Side::Guest);
    Ok(())
}

fn uncaught(caller: &mut Caller<'_, IsolateState>, record: u32, record_len: u32, origin: u32) -> Result<(), HostError> {
    let origin = Origin::from_number(origin).ok_or(ErrorCode::Einval)?;
    let record = read_value::<Box<ErrorRecord>>(caller, record, record_len)?;
    Err(HostError::Trap(UncaughtError { record, origin }.into()))
}
