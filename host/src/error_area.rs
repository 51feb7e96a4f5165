//! `nodule:error/1`.

use nodule_abi::error::ErrorCode;
use nodule_abi::imports::namespace;
use wasmtime::{Caller, Linker};

use crate::guest_memory::SizedBuffer;
use crate::host_error::{HostError, LastError, respond};
use crate::runtime::IsolateState;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        namespace::error,
        "last",
        |mut caller: Caller<'_, IsolateState>, ptr: u32, cap: u32, len_ptr: u32| {
            // Taken out and put back, so that a failure of this call does not replace it.
            let record = caller.data_mut().last_error.take().map(LastError::record);
            let result = match &record {
                Some(record) => SizedBuffer { ptr, cap, len_ptr }.write_value(&mut caller, record),
                None => Err(HostError::from(ErrorCode::Enoent)),
            };
            let answer = respond(&mut caller, result);
            caller.data_mut().last_error = record.map(LastError::Record);
            answer
        },
    )?;
    Ok(())
}
