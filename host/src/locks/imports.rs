//! `nodule:locks/1`.

use nodule_abi::error::ErrorRecord;
use nodule_abi::imports::locks::{FLAG_IF_AVAILABLE, FLAG_STEAL, MODE_EXCLUSIVE, MODE_SHARED, check_request};
use nodule_abi::imports::namespace;
use nodule_abi::limits::NAME_BYTES_MAX;
use wasmtime::{Caller, Linker};

use super::{Mode, Outcome, WhenBusy};
use crate::guest_memory::{self, SizedBuffer};
use crate::host_error::{HostError, respond};
use crate::runtime::IsolateState;

const AREA: &str = namespace::locks;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "request",
        |mut caller: Caller<'_, IsolateState>, name, name_len, mode, flags, handle, granted| {
            let result = request(&mut caller, (name, name_len), mode, flags, (handle, granted));
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "query",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            let locks = caller.data().shared.group.locks.query();
            let result = SizedBuffer { ptr, cap, len_ptr }.write_value(&mut caller, &locks);
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

fn request(
    caller: &mut Caller<'_, IsolateState>,
    (name, name_len): (u32, u32),
    mode: u32,
    flags: u32,
    (handle_ptr, granted_ptr): (u32, u32),
) -> Result<(), HostError> {
    guest_memory::check_writable(caller, handle_ptr, 4)?;
    guest_memory::check_writable(caller, granted_ptr, 4)?;
    let name = guest_memory::read_str(caller, name, name_len, NAME_BYTES_MAX)?;
    let lock_mode = match mode {
        MODE_EXCLUSIVE => Mode::Exclusive,
        MODE_SHARED => Mode::Shared,
        _ => return Err(ErrorRecord::out_of_range("mode", "0 or 1", &mode.to_string()).into()),
    };
    if flags > FLAG_IF_AVAILABLE | FLAG_STEAL {
        return Err(ErrorRecord::out_of_range("flags", ">= 0 && <= 3", &flags.to_string()).into());
    }
    check_request(&name, mode, flags)?;
    let when_busy = if flags & FLAG_STEAL != 0 {
        WhenBusy::Steal
    } else if flags & FLAG_IF_AVAILABLE != 0 {
        WhenBusy::Refuse
    } else {
        WhenBusy::Wait
    };
    let state = caller.data_mut();
    let outcome = state
        .locks
        .request(&state.shared, &mut state.handles, &name, lock_mode, when_busy)?;
    let (handle, granted) = match outcome {
        Outcome::Granted(handle) => (handle.number(), 1),
        Outcome::Pending(handle) => (handle.number(), 0),
        Outcome::Refused => (0, 0),
    };
    guest_memory::write_u32(caller, handle_ptr, handle)?;
    guest_memory::write_u32(caller, granted_ptr, granted)
}
