//! `nodule:worker_threads/1`.

mod diagnostics;
mod messages;
mod modules;
mod threads;

use nodule_abi::imports::namespace;
use wasmtime::Linker;

use crate::runtime::IsolateState;

const AREA: &str = namespace::worker_threads;

/// Registers the area.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    threads::register(linker)?;
    messages::register(linker)?;
    modules::register(linker)?;
    diagnostics::register(linker)
}
