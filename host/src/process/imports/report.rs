//! `process.report`: `getReport`, `writeReport`.

use nodule_abi::error::ErrorRecord;
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{SizedBuffer, read_path, read_value};
use crate::host_error::{HostError, respond};
use crate::process::reports::{self, Trigger};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "get_report",
        |mut caller: Caller<'_, IsolateState>, error: u32, error_len: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = get_report(&mut caller, (error, error_len), SizedBuffer { ptr, cap, len_ptr });
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "write_report",
        |mut caller: Caller<'_, IsolateState>,
         name: u32,
         name_len: u32,
         error: u32,
         error_len: u32,
         ptr: u32,
         cap: u32,
         len_ptr: u32| {
            let result = write_report(
                &mut caller,
                (name, name_len),
                (error, error_len),
                SizedBuffer { ptr, cap, len_ptr },
            );
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

/// An error of length 0 is none.
fn read_error(caller: &mut Caller<'_, IsolateState>, (ptr, len): (u32, u32)) -> Result<Option<ErrorRecord>, HostError> {
    if len == 0 {
        Ok(None)
    } else {
        read_value(caller, ptr, len).map(Some)
    }
}

fn get_report(caller: &mut Caller<'_, IsolateState>, error: (u32, u32), out: SizedBuffer) -> Result<(), HostError> {
    let error = read_error(caller, error)?;
    let state = caller.data();
    let text = reports::build(state, Trigger::GetReport, error.as_ref()).to_json(&state.process.report);
    out.write(caller, text.as_bytes())
}

fn write_report(
    caller: &mut Caller<'_, IsolateState>,
    name: (u32, u32),
    error: (u32, u32),
    out: SizedBuffer,
) -> Result<(), HostError> {
    let name = read_path(caller, name.0, name.1)?;
    let error = read_error(caller, error)?;
    // The name is at most a path long; without room for it nothing is written.
    out.check_room(caller, nodule_abi::limits::PATH_BYTES_MAX)?;
    let written = reports::write(caller.data(), Trigger::Api, error.as_ref(), Some(&name))?;
    out.write(caller, written.as_bytes())
}
