//! `nodule:timers/1`.

use nodule_abi::imports::namespace;
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::handles::Handle;
use crate::host_error::{HostError, respond};
use crate::runtime::IsolateState;

const AREA: &str = namespace::timers;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "set",
        |mut caller: Caller<'_, IsolateState>, delay_ms: f64, repeat: u32, out: u32| {
            let result = set(&mut caller, delay_ms, repeat != 0, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(AREA, "refresh", |mut caller: Caller<'_, IsolateState>, handle: u32| {
        let result = refresh(caller.data_mut(), Handle::from_guest(handle));
        respond(&mut caller, result)
    })?;
    Ok(())
}

fn set(caller: &mut Caller<'_, IsolateState>, delay_ms: f64, repeat: bool, out: u32) -> Result<(), HostError> {
    guest_memory::check_writable(caller, out, 4)?;
    let state = caller.data_mut();
    let handle = state.timers.set(delay_ms, repeat, &mut state.handles)?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn refresh(state: &mut IsolateState, handle: Handle) -> Result<(), HostError> {
    state.handles.get(handle)?;
    state.timers.refresh(handle);
    Ok(())
}
