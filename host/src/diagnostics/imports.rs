//! `nodule:diagnostics/1`.

use nodule_abi::imports::namespace;
use wasmtime::{Caller, Linker};

use super::heap_profile;
use crate::runtime::IsolateState;

const AREA: &str = namespace::diagnostics;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        AREA,
        "heap_sample",
        |mut caller: Caller<'_, IsolateState>, bytes: u64| {
            heap_profile::sample(&mut caller, bytes);
        },
    )?;
    Ok(())
}
