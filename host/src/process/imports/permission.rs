//! `process.permission`.

use nodule_abi::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{read_str, write_u32};
use crate::host_error::{HostError, respond};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "permission_has",
        |mut caller: Caller<'_, IsolateState>,
         scope: u32,
         scope_len: u32,
         reference: u32,
         reference_len: u32,
         out: u32| {
            let result = has(&mut caller, (scope, scope_len), (reference, reference_len), out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "permission_drop",
        |mut caller: Caller<'_, IsolateState>, scope: u32, scope_len: u32, reference: u32, reference_len: u32| {
            let result = drop_grant(&mut caller, (scope, scope_len), (reference, reference_len));
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

/// A reference of address 0 is none.
fn read_reference(caller: &mut Caller<'_, IsolateState>, (ptr, len): (u32, u32)) -> Result<Option<String>, HostError> {
    if ptr == 0 {
        Ok(None)
    } else {
        read_str(caller, ptr, len, PATH_BYTES_MAX).map(Some)
    }
}

fn has(
    caller: &mut Caller<'_, IsolateState>,
    scope: (u32, u32),
    reference: (u32, u32),
    out: u32,
) -> Result<(), HostError> {
    let scope = read_str(caller, scope.0, scope.1, NAME_BYTES_MAX)?;
    let reference = read_reference(caller, reference)?;
    let granted = caller.data().permissions.has(&scope, reference.as_deref());
    write_u32(caller, out, u32::from(granted))
}

fn drop_grant(
    caller: &mut Caller<'_, IsolateState>,
    scope: (u32, u32),
    reference: (u32, u32),
) -> Result<(), HostError> {
    let scope = read_str(caller, scope.0, scope.1, NAME_BYTES_MAX)?;
    let reference = read_reference(caller, reference)?;
    Ok(caller.data_mut().permissions.drop(&scope, reference.as_deref())?)
}
