//! Snapshots: a module after its initialisation, as a module that starts there.

use std::sync::Arc;

use wasmtime::{Instance, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, Wizer};

use super::host::Host;
use super::isolate::IsolateBuilder;
use super::metered::Metered;
use super::state::{IsolateShared, IsolateState};
use super::trap;
use crate::guest_memory;

/// A snapshot could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot of {name} failed: {reason}")]
pub struct SnapshotError {
    name: String,
    reason: String,
}

impl Host {
    /// Instantiates `wasm` with the grants and streams of `settings`, calls its export `init` (no parameters, no
    /// results; a reactor's `_initialize` before it), and gives the module with memory and globals as they are then.
    /// The export `init` is taken out.
    ///
    /// What `init` opened is not part of it: handles, timers, listeners and open files do not exist when the
    /// snapshot starts.
    pub async fn snapshot(&self, settings: IsolateBuilder, wasm: &[u8], init: &str) -> Result<Vec<u8>, SnapshotError> {
        let name = settings.module_name().to_string();
        let failed = |reason: String| SnapshotError {
            name: name.clone(),
            reason,
        };
        let engine_failed = |error: &wasmtime::Error| failed(format!("{error:#}").replace('\n', " "));
        let mut wizer = Wizer::new();
        wizer.init_func(init);
        let (context, instrumented) = wizer.instrument(wasm).map_err(|error| engine_failed(&error))?;
        let module = wasmtime::Module::new(self.engine(), &instrumented).map_err(|error| engine_failed(&error))?;
        let shared = IsolateShared::root();
        let (mut store, host) = settings
            .into_store(&shared)
            .map_err(|error| failed(error.message.clone()))?;
        let start = async {
            let instance = host.linker().instantiate_async(&mut store, &module).await?;
            for function in ["_initialize", init] {
                if function == init || instance.get_func(&mut store, function).is_some() {
                    let function = instance.get_typed_func::<(), ()>(&mut store, function)?;
                    function.call_async(&mut store, ()).await?;
                }
            }
            Ok(instance)
        };
        let instance: wasmtime::Result<Instance> =
            Metered::new(start, Arc::clone(host.ticker()), Arc::clone(&shared.cpu)).await;
        let instance = instance.map_err(|error| match trap::backtrace(&error) {
            Some(stack) => failed(format!("{}\n{stack}", trap::error_record(&error).message)),
            None => engine_failed(&error),
        })?;
        let mut state = State {
            store: &mut store,
            instance,
            unsupported: None,
        };
        let snapshot = wizer
            .snapshot(&context, &mut state)
            .await
            .map_err(|error| engine_failed(&error))?;
        match state.unsupported {
            None => Ok(snapshot),
            Some(reason) => Err(failed(reason)),
        }
    }
}

/// What the snapshot is read from.
struct State<'a> {
    store: &'a mut Store<IsolateState>,
    instance: Instance,
    /// The first thing that a snapshot cannot hold.
    unsupported: Option<String>,
}

impl InstanceState for State<'_> {
    async fn global_get(&mut self, name: &str, _: wasmparser::ValType) -> SnapshotVal {
        let value = self
            .instance
            .get_global(&mut *self.store, name)
            .map(|global| global.get(&mut *self.store));
        match value {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value),
            Some(Val::F64(value)) => SnapshotVal::F64(value),
            Some(Val::V128(value)) => SnapshotVal::V128(value.as_u128()),
            _ => {
                self.unsupported
                    .get_or_insert_with(|| "a mutable global holds a reference".into());
                SnapshotVal::I32(0)
            }
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.instance.get_memory(&mut *self.store, name) {
            Some(memory) => {
                let size = memory.data_size(&*self.store);
                match guest_memory::copy_out(self.store, memory, 0, size) {
                    Ok(bytes) => contents(&bytes),
                    Err(_) => self.unsupported = Some(format!("the memory {name:?} cannot be read")),
                }
            }
            None => self.unsupported = Some(format!("no memory {name:?}")),
        }
    }
}
