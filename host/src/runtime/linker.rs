//! Registers every area and refuses modules that want more than there is.

use nodule_abi::imports::{AREAS, NAMESPACE_PREFIX};
use nodule_abi::{ABI_VERSION, hooks};
use wasmtime::{Engine, InstancePre, Linker, Module, UnknownImportError};

use super::module_error::ModuleError;
use super::state::IsolateState;
use crate::{
    child_process, diagnostics, error_area, event_loop, ipc, locks, messaging, os, process, shared_memory, stdio,
    timers, wasi, worker_threads,
};

/// The linker with everything a guest may import. The list is the table of contents.
pub fn build(engine: &Engine) -> wasmtime::Result<Linker<IsolateState>> {
    let mut linker = Linker::new(engine);
    wasi::register(&mut linker)?;
    error_area::register(&mut linker)?;
    event_loop::imports::register(&mut linker)?;
    timers::imports::register(&mut linker)?;
    stdio::imports::register(&mut linker)?;
    locks::imports::register(&mut linker)?;
    os::imports::register(&mut linker)?;
    process::imports::register(&mut linker)?;
    messaging::imports::register(&mut linker)?;
    worker_threads::imports::register(&mut linker)?;
    diagnostics::imports::register(&mut linker)?;
    shared_memory::imports::register(&mut linker)?;
    child_process::imports::register(&mut linker)?;
    ipc::imports::register(&mut linker)?;
    Ok(linker)
}

/// Resolves all imports of a module. Refuses one built for another ABI, or with an import that the linker
/// does not have or has with another type.
pub fn resolve(
    linker: &Linker<IsolateState>,
    module: &Module,
    name: &str,
) -> Result<InstancePre<IsolateState>, ModuleError> {
    for export in module.exports() {
        if let Some(wanted) = export.name().strip_prefix(hooks::ABI_EXPORT_PREFIX)
            && wanted != ABI_VERSION.to_string()
        {
            return Err(ModuleError::AbiMismatch {
                name: name.into(),
                wanted: wanted.into(),
                present: ABI_VERSION,
            });
        }
    }
    linker.instantiate_pre(module).map_err(|error| {
        let reason = match error.downcast_ref::<UnknownImportError>() {
            Some(unknown) => explain(unknown.module(), unknown.name()),
            None => format!("{error:#}").replace('\n', " "),
        };
        ModuleError::Link {
            name: name.into(),
            reason,
        }
    })
}

/// Which import is missing, what it wants and what there is.
fn explain(namespace: &str, name: &str) -> String {
    let unknown = format!("unknown import {namespace:?} {name:?}");
    if let Some(rest) = namespace.strip_prefix(NAMESPACE_PREFIX) {
        let (area_name, _) = rest.split_once('/').unwrap_or((rest, ""));
        return match AREAS.iter().find(|area| area.name == area_name) {
            Some(area) if area.namespace == namespace => {
                format!("{unknown}: {namespace} has no such function in this nodule")
            }
            Some(area) => format!("it needs {namespace}, this nodule has {}", area.namespace),
            None => format!("{unknown}: this nodule has no area {area_name:?}"),
        };
    }
    match namespace {
        "wasi_snapshot_preview1" => format!("{unknown}: not part of WASI preview 1"),
        "env" => format!(
            "{unknown} (hint: symbols that the linker did not find become imports of \"env\"; link the library that has it)"
        ),
        "wasi_unstable" => {
            format!("{unknown}: WASI preview 0 is not supported (hint: rebuild with a current toolchain)")
        }
        _ => format!("{unknown} (hint: modules for JavaScript glue or another host need that host)"),
    }
}
