//! `nodule:process/1`: guest memory in, permission, behaviour, guest memory out.

use wasmtime::Linker;

use crate::runtime::IsolateState;

mod attributes;
mod directory;
mod dlopen;
mod ending;
mod identity;
mod permission;
mod report;
mod usage;

/// The import namespace of the area.
const AREA: &str = nodule_abi::imports::namespace::process;

/// Registers the area. The list is its table of contents.
pub fn register(linker: &mut Linker<IsolateState>) -> wasmtime::Result<()> {
    attributes::register(linker)?;
    identity::register(linker)?;
    usage::register(linker)?;
    directory::register(linker)?;
    dlopen::register(linker)?;
    ending::register(linker)?;
    permission::register(linker)?;
    report::register(linker)
}
