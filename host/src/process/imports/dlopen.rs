//! Side modules.

use wasmtime::{Caller, Linker};

use super::AREA;
use crate::guest_memory::{check_writable, read_path, read_str, write_bytes, write_u32};
use crate::handles::Handle;
use crate::host_error::{HostError, respond};
use crate::process::dlopen::{self, Address};
use crate::runtime::IsolateState;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(AREA, "dlopen", |mut caller, arguments| {
        Box::new(async move {
            let result = open(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap_async(AREA, "dlsym", |mut caller, arguments| {
        Box::new(async move {
            let result = symbol(&mut caller, arguments).await;
            respond(&mut caller, result)
        })
    })?;
    linker.func_wrap(AREA, "dlclose", |mut caller: Caller<'_, IsolateState>, handle: u32| {
        let result = dlopen::close(caller.data_mut(), Handle::from_guest(handle));
        respond(&mut caller, result.map_err(HostError::from))
    })?;
    Ok(())
}

async fn open(
    caller: &mut Caller<'_, IsolateState>,
    (path, path_len, flags, out): (u32, u32, u32, u32),
) -> Result<(), HostError> {
    check_writable(caller, out, 4)?;
    let path = read_path(caller, path, path_len)?;
    let handle = dlopen::open(caller, &path, flags).await?;
    write_u32(caller, out, handle.number())
}

/// What `result[0]` says.
const FUNCTION: u32 = 0;
/// See [`FUNCTION`].
const DATA: u32 = 1;

async fn symbol(
    caller: &mut Caller<'_, IsolateState>,
    (handle, name, name_len, out): (u32, u32, u32, u32),
) -> Result<(), HostError> {
    check_writable(caller, out, 8)?;
    let name = read_str(caller, name, name_len, nodule_abi::limits::NAME_BYTES_MAX)?;
    let [kind, value] = match dlopen::symbol(caller, Handle::from_guest(handle), &name).await? {
        Address::Function(index) => [FUNCTION, index],
        Address::Data(address) => [DATA, address],
    };
    let result: Vec<u8> = [kind, value].iter().flat_map(|word| word.to_le_bytes()).collect();
    write_bytes(caller, out, &result)
}
