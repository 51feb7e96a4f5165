//! Compiled modules as values.

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::limits::WORKER_MODULE_BYTES_MAX;
use wasmtime::{Caller, Linker};

use super::AREA;
use super::threads::read_code;
use crate::guest_memory::{self, SizedBuffer};
use crate::handles::{Handle, Resource};
use crate::host_error::{HostError, respond};
use crate::runtime::{IsolateState, Module, park};
use crate::worker_threads::source;

type Result<T> = std::result::Result<T, HostError>;

pub(super) fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        AREA,
        "module_compile",
        |mut caller: Caller<'_, IsolateState>, (code, code_len, out): (u32, u32, u32)| {
            Box::new(async move {
                let result = module_compile(&mut caller, (code, code_len), out).await;
                respond(&mut caller, result)
            })
        },
    )?;
    linker.func_wrap(
        AREA,
        "module_current",
        |mut caller: Caller<'_, IsolateState>, out: u32| {
            let module = caller.data().module.clone();
            let result = insert(&mut caller, module, out);
            respond(&mut caller, result)
        },
    )?;
    linker.func_wrap(
        AREA,
        "module_digest",
        |mut caller: Caller<'_, IsolateState>, module: u32, ptr: u32, cap: u32, len_ptr: u32| {
            let result = module_digest(
                &mut caller,
                Handle::from_guest(module),
                SizedBuffer { ptr, cap, len_ptr },
            );
            respond(&mut caller, result)
        },
    )?;
    Ok(())
}

async fn module_compile(caller: &mut Caller<'_, IsolateState>, code: (u32, u32), out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let state = caller.data();
    state.handles.check_room(1)?;
    let host = state.host.clone();
    let reserved = state.reserve_compilation(u64::from(code.1).min(WORKER_MODULE_BYTES_MAX))?;
    let bytes = read_code(caller, code)?.unwrap_or_default();
    let module = park(caller, async move { source::compile(&host, bytes).await }).await??;
    drop(reserved);
    let charge = caller.data().hold_compiled(&module)?;
    let module = module.charged(charge);
    insert(caller, module, out)
}

fn insert(caller: &mut Caller<'_, IsolateState>, module: Module, out: u32) -> Result<()> {
    guest_memory::check_writable(caller, out, 4)?;
    let handle = caller.data_mut().handles.insert(Resource::Module(module), false)?;
    guest_memory::write_u32(caller, out, handle.number())
}

fn module_digest(caller: &mut Caller<'_, IsolateState>, handle: Handle, out: SizedBuffer) -> Result<()> {
    let digest = match caller.data().handles.get(handle)? {
        Resource::Module(module) => module.digest(),
        _ => return Err(ErrorRecord::new(ErrorCode::Einval, format!("{handle} is no module")).into()),
    };
    out.write(caller, digest.as_bytes())
}
